"""Resources as documents: one table, typed bodies, optimistic versions.

Rows that are counted or summed (usage, postings, leases) have tables of their own; everything else
that has a name and a state is a document of some kind, owned by an account. A body is the JSON of
the domain's own struct.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.sql import bindparam

from craton.kernel.errors import Conflict, NotFound
from craton.store.database import METADATA, Connection, Statement, string
from craton.store.kind import Body, Change, Kind
from craton.store.undo import Undo

DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("kind", string(40), primary_key=True),
    Column("id", string(128), primary_key=True),
    Column("account", string(32), nullable=False),
    Column("name", string(256), nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    UniqueConstraint("kind", "account", "name"),
)

_INSERT = Statement(insert(DOCUMENTS))
_TAKEN = Statement(
    select(DOCUMENTS.c.id).where(
        DOCUMENTS.c.kind == bindparam("k"),
        DOCUMENTS.c.account == bindparam("a"),
        DOCUMENTS.c.name == bindparam("n"),
    )
)
_NAMED = Statement(
    select(DOCUMENTS.c.body).where(
        DOCUMENTS.c.kind == bindparam("k"),
        DOCUMENTS.c.account == bindparam("a"),
        DOCUMENTS.c.name == bindparam("n"),
    )
)
_GET = Statement(
    select(DOCUMENTS.c.body, DOCUMENTS.c.version).where(
        DOCUMENTS.c.kind == bindparam("k"), DOCUMENTS.c.id == bindparam("i")
    )
)
_UPDATE = Statement(
    update(DOCUMENTS)
    .where(DOCUMENTS.c.kind == bindparam("k"), DOCUMENTS.c.id == bindparam("i"))
    .values(body=bindparam("b"), version=DOCUMENTS.c.version + 1, updated_ms=bindparam("u"))
)
_MOVE = Statement(
    update(DOCUMENTS)
    .where(DOCUMENTS.c.kind == bindparam("k"), DOCUMENTS.c.id == bindparam("i"))
    .values(
        kind=bindparam("to"),
        name=bindparam("n"),
        body=bindparam("b"),
        version=DOCUMENTS.c.version + 1,
        updated_ms=bindparam("u"),
    )
)
_DELETE = Statement(
    delete(DOCUMENTS).where(DOCUMENTS.c.kind == bindparam("k"), DOCUMENTS.c.id == bindparam("i"))
)
_LIST = Statement(
    select(DOCUMENTS.c.id, DOCUMENTS.c.body)
    .where(DOCUMENTS.c.kind == bindparam("k"), DOCUMENTS.c.id > bindparam("after"))
    .order_by(DOCUMENTS.c.id)
    .limit(bindparam("count"))
)


class Transaction:
    """What a command may do to documents, inside the group's transaction.

    Changes are collected so that those of published kinds reach the workers after the commit.
    """

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.changes: list[Change] = []
        self.after_commit: list[Callable[[], None]] = []
        """What to do in memory once this is durable, and not at all if it isn't."""
        self.undo: Undo = []
        """What takes back, last first, a change in memory that later commands of the group see."""

    def add(
        self, kind: Kind[Any], id: str, body: msgspec.Struct, *, account: str, name: str
    ) -> None:
        """Add a document; Conflict if the account has one of that kind and name."""
        taken = _TAKEN.execute(self.connection, k=kind.name, a=account, n=name).fetchone()
        if taken or self._get(kind.name, id):
            raise Conflict(f"A {kind.noun} named {name!r} exists already. Choose another name.")
        encoded = msgspec.json.encode(body)
        _INSERT.execute(
            self.connection,
            kind=kind.name,
            id=id,
            account=account,
            name=name,
            version=1,
            body=encoded,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
        )
        self.changes.append(Change(kind.name, id, encoded))

    def find(self, kind: Kind[Body], id: str) -> Body | None:
        """The document, or None."""
        row = self._get(kind.name, id)
        return kind.decode(row[0]) if row else None

    def get(self, kind: Kind[Body], id: str) -> Body:
        """The document, or NotFound."""
        found = self.find(kind, id)
        if found is None:
            raise NotFound(
                f"There is no {kind.noun} {id!r} here. List what there is, and look again."
            )
        return found

    def find_named(self, kind: Kind[Body], account: str, name: str) -> Body | None:
        """The document of an account that was added under a name, or None."""
        row = _NAMED.execute(self.connection, k=kind.name, a=account, n=name).fetchone()
        return kind.decode(row[0]) if row else None

    def put(self, kind: Kind[Any], id: str, body: msgspec.Struct) -> None:
        """Replace the body of a document that exists."""
        encoded = msgspec.json.encode(body)
        _UPDATE.execute(self.connection, k=kind.name, i=id, b=encoded, u=self.now_ms)
        self.changes.append(Change(kind.name, id, encoded))

    def move(
        self, kind: Kind[Any], to: Kind[Any], id: str, body: msgspec.Struct, *, name: str
    ) -> None:
        """Make a document that exists one of another kind, with a new body.

        So what is over is read no more with what goes on. The name is one that no other document of
        its account and the new kind has.
        """
        encoded = msgspec.json.encode(body)
        _MOVE.execute(
            self.connection, k=kind.name, i=id, to=to.name, n=name, b=encoded, u=self.now_ms
        )
        self.changes += (Change(kind.name, id, None), Change(to.name, id, encoded))

    def remove(self, kind: Kind[Any], id: str) -> None:
        """Delete a document."""
        _DELETE.execute(self.connection, k=kind.name, i=id)
        self.changes.append(Change(kind.name, id, None))

    def list(self, kind: Kind[Body], *, after: str = "", limit: int = 1000) -> "list[Body]":
        """Documents of a kind by id."""
        return [kind.decode(row[1]) for row in page(self.connection, kind.name, after, limit)]

    def _get(self, kind: str, id: str) -> tuple[Any, ...] | None:
        return _GET.execute(self.connection, k=kind, i=id).fetchone()


def page(connection: Connection, kind: str, after: str, limit: int) -> list[tuple[Any, ...]]:
    """(id, body) of a kind's documents in the order of their ids, after one."""
    return _LIST.execute(connection, k=kind, after=after, count=limit).fetchall()


def everything(connection: Connection, kind: str) -> list[Change]:
    """All documents of one kind, as the changes that would make them: a worker's first snapshot."""
    found: list[Change] = []
    after = ""
    while rows := page(connection, kind, after, 1000):
        found += [Change(kind, row[0], bytes(row[1])) for row in rows]
        after = rows[-1][0]
    return found
