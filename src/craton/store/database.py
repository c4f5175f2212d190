"""A database connection and the statements run on it.

Tables are SQLAlchemy Core metadata, so that one declaration serves SQLite and PostgreSQL, the
migrations and the tests. A statement is compiled to text once; what runs on the hot path is the
driver's own `executemany` on tuples, with nothing between.

SQLite runs in WAL mode with `synchronous=FULL`: a commit returns only after its WAL frames are on
the disk, so that an acknowledged write survives power loss.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import MetaData
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

METADATA = MetaData()

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What a driver returns from `execute`."""

    def fetchall(self) -> list[Row]:
        """All rows."""
        ...

    def fetchone(self) -> Row | None:
        """The next row."""
        ...


class Connection(Protocol):
    """What Craton asks of a driver; sqlite3 has it, and so has apsw, for the power-loss test."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:  # noqa: ANN401
        """Run one statement for each tuple of parameters."""
        ...


class Statement:
    """A compiled statement: its text, and the order its parameters stand in."""

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._defaults: dict[str, Any] = dict(compiled.params)

    def parameters(self, **values: object) -> tuple[Any, ...]:
        """The values as a tuple in the statement's order; literals keep their own value."""
        return tuple(values.get(name, self._defaults.get(name)) for name in self.names)


def open_sqlite(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database file; it must have been migrated."""
    if read_only:
        connection = sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
    else:
        connection = sqlite3.connect(path, isolation_level=None)
        configure(connection)
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


def configure(connection: Connection) -> None:
    """The settings on which durability rests."""
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # A checkpoint every 4,000 pages (16 MB) keeps the WAL small and its cost off most commits.
    connection.execute("PRAGMA wal_autocheckpoint=4000").fetchall()


@contextmanager
def transaction(connection: Connection):  # noqa: ANN201 - a generator of nothing
    """Commit at the end, roll back on any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        rollback(connection)
        raise


@contextmanager
def savepoint(connection: Connection):  # noqa: ANN201 - a generator of nothing
    """Undo what one command wrote if it is refused, and nothing else of its group."""
    connection.execute("SAVEPOINT command")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK TO command")
        raise
    finally:
        connection.execute("RELEASE command")


def rollback(connection: Connection) -> None:
    """Roll back if a transaction is open; a failed COMMIT may have closed it already."""
    try:
        connection.execute("ROLLBACK")
    except Exception as error:
        if "no transaction" not in str(error):
            raise
