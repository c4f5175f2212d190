"""What Craton asks of a database, and the statements run on it.

Tables are SQLAlchemy Core metadata, so that one declaration serves SQLite and PostgreSQL, the
migrations and the tests. A statement is compiled to text once for each dialect it meets; what runs
on the hot path is the driver's own `execute` on tuples, with nothing between. Which dialect is
spoken is a property of the connection: `sqlite.py` and `postgresql.py` hold all that differs.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import MetaData, String, Table
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.sql import ClauseElement, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

Row = tuple[Any, ...]


def string(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte; the length says what to expect, and bounds nothing.

    PostgreSQL compares by the database's language unless told, and then ids and prefixes would
    come in another order than SQLite's.
    """
    return String(length).with_variant(TEXT(collation="C"), "postgresql")


class Cursor(Protocol):
    """What a driver returns from `execute`."""

    def fetchall(self) -> list[Row]:
        """All rows."""
        ...

    def fetchone(self) -> Row | None:
        """The next row."""
        ...


class Connection(Protocol):
    """What Craton asks of a driver; SQLite's and PostgreSQL's have it, and a recorder in tests."""

    @property
    def dialect(self) -> "Dialect":
        """What is spoken here."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:  # noqa: ANN401
        """Run one statement for each tuple of parameters."""
        ...


class OwnedConnection(Connection, Protocol):
    """A connection in the hands of who opened it."""

    def close(self) -> None:
        """End it."""
        ...


Insert = Callable[[Connection, Sequence[Row]], None]


class Dialect(Protocol):
    """Where databases differ."""

    @property
    def compiler(self) -> Compiler:
        """Makes text of clauses, with positional parameters."""
        ...

    @property
    def begin(self) -> str:
        """The statement that begins a transaction that will write."""
        ...

    def insertion(self, table: Table) -> Insert:
        """A function that inserts rows, and leaves those that are there already as they are."""
        ...

    def strings(self, name: str) -> Select[tuple[str]]:
        """The strings of a parameter that holds a JSON array of them, for `in_`."""
        ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement's text in one dialect, and the order its parameters stand in."""

    sql: str
    names: tuple[str, ...]
    defaults: dict[str, Any]

    def parameters(self, values: dict[str, Any]) -> Row:
        """The values as a tuple in the statement's order; literals keep their own value."""
        return tuple(values.get(name, self.defaults.get(name)) for name in self.names)


def compiled(clause: ClauseElement, dialect: Dialect) -> Compiled:
    """The text of a clause."""
    made = clause.compile(dialect=dialect.compiler)
    assert isinstance(made, SQLCompiler)
    return Compiled(str(made), tuple(made.positiontup or ()), dict(made.params))


class Statement:
    """A statement with named parameters, compiled once for each dialect."""

    def __init__(self, clause: ClauseElement | Callable[[Dialect], ClauseElement]) -> None:
        self._clause = clause
        self._compiled: dict[Dialect, Compiled] = {}

    def execute(self, connection: Connection, **values: object) -> Cursor:
        """Run it; a literal's parameter needs no value."""
        dialect = connection.dialect
        found = self._compiled.get(dialect)
        if found is None:
            clause = self._clause
            made = clause if isinstance(clause, ClauseElement) else clause(dialect)
            found = self._compiled[dialect] = compiled(made, dialect)
        return connection.execute(found.sql, found.parameters(values))


class Insertion:
    """Inserts rows, each value in the place of its column; a row that is there stays as it was."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._inserts: dict[Dialect, Insert] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert the rows that are new."""
        if not rows:
            return
        dialect = connection.dialect
        insert = self._inserts.get(dialect)
        if insert is None:
            insert = self._inserts[dialect] = dialect.insertion(self._table)
        insert(connection, rows)


def begin(connection: Connection) -> None:
    """Begin a transaction that will write."""
    connection.execute(connection.dialect.begin)


@contextmanager
def transaction(connection: Connection):  # noqa: ANN201 - a generator of nothing
    """Commit at the end, roll back on any exception."""
    begin(connection)
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
