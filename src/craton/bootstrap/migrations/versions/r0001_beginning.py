"""The first tables: documents, usage, postings."""

import sqlalchemy as sa
from alembic import op

from craton.bootstrap.migrations.columns import string

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. Written out, not taken from the metadata, which will move on."""
    op.create_table(
        "documents",
        sa.Column("kind", string(40), primary_key=True),
        sa.Column("id", string(128), primary_key=True),
        sa.Column("account", string(32), nullable=False),
        sa.Column("name", string(256), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("kind", "account", "name"),
    )
    op.create_index("documents_by_account", "documents", ["kind", "account", "id"])
    op.create_table(
        "usage",
        sa.Column("request_id", string(36), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("account", string(32), nullable=False),
        sa.Column("project", string(64), nullable=False),
        sa.Column("principal", string(64), nullable=False),
        sa.Column("resource", string(256), nullable=False),
        sa.Column("replica", string(128), nullable=False),
        sa.Column("outcome", string(16), nullable=False),
        sa.Column("quantities", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "postings",
        sa.Column("transaction_id", string(36), primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("ledger_account", string(300), nullable=False),
        sa.Column("currency", string(8), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("postings_by_account", "postings", ["ledger_account", "transaction_id"])


def downgrade() -> None:
    """There is nothing before the beginning."""
    raise NotImplementedError("the first revision can't be undone; restore a backup")
