"""Kept responses, apart from documents: they are many, large, and go by age and by size."""

import sqlalchemy as sa
from alembic import op

from craton.bootstrap.migrations.columns import string

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "responses",
        sa.Column("id", string(64), primary_key=True),
        sa.Column("account", string(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("previous", string(64)),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
    )
    op.create_index("responses_by_account", "responses", ["account", "id", "bytes"])
    op.create_index("responses_by_time", "responses", ["at_ms"])


def downgrade() -> None:
    """What was kept is forgotten."""
    op.drop_table("responses")
