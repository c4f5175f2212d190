"""Leases that are over apart from those that go on, which alone are read at each start.

A lease that ends moves in every index. One of them nobody asked: without it ending a lease costs
no more than before.
"""

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PAGE = 1000
_DOCUMENTS = sa.table(
    "documents",
    sa.column("kind", sa.String),
    sa.column("id", sa.String),
    sa.column("account", sa.String),
    sa.column("name", sa.String),
    sa.column("version", sa.Integer),
    sa.column("body", sa.LargeBinary),
    sa.column("created_ms", sa.BigInteger),
    sa.column("updated_ms", sa.BigInteger),
)
_columns = _DOCUMENTS.c


class _Lease(msgspec.Struct):
    """What is asked of a lease here."""

    state: str
    token: int


_LEASE = msgspec.json.Decoder(_Lease)


def upgrade() -> None:
    """Move those that are over, and write down the highest token of all: it is read no more."""
    op.drop_index("documents_by_account", "documents")
    connection = op.get_bind()
    move = (
        sa.update(_DOCUMENTS)
        .where(_columns.kind == "lease", _columns.id == sa.bindparam("moved"))
        .values(kind="ended_lease")
    )
    highest, at_ms = 0, 0
    for page in _leases(connection):
        leases = [(id, updated_ms, _LEASE.decode(body)) for id, updated_ms, body in page]
        highest = max(highest, *(lease.token for _, _, lease in leases))
        at_ms = max(at_ms, *(updated_ms for _, updated_ms, _ in leases))
        over = [{"moved": id} for id, _, lease in leases if lease.state == "ended"]
        if over:
            connection.execute(move, over)
    if highest:
        fencing = sa.insert(_DOCUMENTS).values(
            kind="fencing",
            id="leases",
            account="",
            name="leases",
            version=1,
            body=msgspec.json.encode({"token": highest}),
            created_ms=at_ms,
            updated_ms=at_ms,
        )
        connection.execute(fencing)


def _leases(connection: sa.Connection) -> Iterator[list[tuple[str, int, bytes]]]:
    """All leases, in pages by their ids: there may be millions."""
    after = ""
    while True:
        rows = connection.execute(
            sa.select(_columns.id, _columns.updated_ms, _columns.body)
            .where(_columns.kind == "lease", _columns.id > after)
            .order_by(_columns.id)
            .limit(PAGE)
        ).all()
        if not rows:
            return
        yield [(id, updated_ms, body) for id, updated_ms, body in rows]
        after = rows[-1][0]


def downgrade() -> None:
    """All leases are of one kind again."""
    op.execute(sa.update(_DOCUMENTS).where(_columns.kind == "ended_lease").values(kind="lease"))
    op.execute(sa.delete(_DOCUMENTS).where(_columns.kind == "fencing"))
    op.create_index("documents_by_account", "documents", ["kind", "account", "id"])
