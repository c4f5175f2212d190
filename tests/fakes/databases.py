"""Empty databases for tests, of both kinds: each test that stores something runs on both."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Protocol

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from craton.bootstrap import postgresql
from craton.bootstrap.migrate import migrate
from craton.economics import tables
from craton.models import responses_kept
from craton.store import documents
from craton.store.database import METADATA, OwnedConnection
from craton.store.postgresql import PostgreSqlConnection, open_readers, open_writer
from craton.store.sqlite import SqliteConnection, open_sqlite
from tests.fakes.postgresql import PostgreSqlServer

TABLES = (tables.USAGE, tables.POSTINGS, documents.DOCUMENTS, responses_kept.RESPONSES)


class Place(Protocol):
    """A database in the schema of this version, which a state process is started over."""

    def open(self) -> tuple[OwnedConnection, OwnedConnection]:
        """What a state process writes through, and what it reads from."""
        ...

    def run(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement, and commit, by a connection of its own; `?` stands for a value."""
        ...


@cache
def migrated() -> bytes:
    """An empty database of the present schema; the migrations run once a test session."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "craton.db"
        migrate(database)
        return database.read_bytes()


class SqlitePlace:
    """A file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def open(self) -> tuple[OwnedConnection, OwnedConnection]:
        if not self.file.exists():
            self.file.write_bytes(migrated())
        return open_sqlite(self.file), open_sqlite(self.file, read_only=True)

    def run(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.file, isolation_level=None)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()


class PostgreSqlPlace:
    """A database of a server; emptied when it is made."""

    def __init__(self, server: PostgreSqlServer) -> None:
        self.url = _migrated(server)
        with psycopg.connect(self.url, autocommit=True) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table.name}".encode())

    def open(self) -> tuple[OwnedConnection, OwnedConnection]:
        return open_writer(self.url, lost=fail), open_readers(self.url, lost=fail, count=1)

    def run(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(placeholders(sql).encode(), parameters)
            return cursor.fetchall() if cursor.description else []


@cache
def _migrated(server: PostgreSqlServer) -> str:
    url = server.database()
    postgresql.migrate(url)
    return url


def placeholders(sql: str) -> str:
    """A statement written for SQLite, as PostgreSQL's driver wants it."""
    return sql.replace("%", "%%").replace("?", "%s")


def fail(error: Exception) -> NoReturn:
    """Stands in for the end of the state process."""
    raise ConnectionError("the session broke") from error


def in_memory() -> SqliteConnection:
    """A database that is gone when it is closed, with the tables of the metadata."""
    assert {table.name for table in TABLES} <= set(METADATA.tables)
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    METADATA.create_all(engine)
    return connection


_OPENERS: list[Callable[[], OwnedConnection]] = [in_memory]


def empty_database() -> OwnedConnection:
    """An empty database of the kind that this test runs on."""
    return _OPENERS[-1]()


def in_transaction(connection: OwnedConnection) -> bool:
    """Whether a transaction is open, as the driver knows it."""
    if isinstance(connection, sqlite3.Connection):
        return connection.in_transaction
    assert isinstance(connection, PostgreSqlConnection)
    return connection._connection.info.transaction_status is not TransactionStatus.IDLE


@contextmanager
def stored_in(server: PostgreSqlServer) -> Iterator[None]:
    """Meanwhile empty databases are the server's; only one at a time."""

    opened: list[OwnedConnection] = []

    def empty() -> OwnedConnection:
        for left_open in opened:  # by a test that failed, or an example of one
            left_open.close()
        opened.clear()
        writer = open_writer(PostgreSqlPlace(server).url, lost=fail)
        # Durability is tested elsewhere, and would make hundreds of examples wait for the disk.
        writer.execute("SET synchronous_commit = off")
        opened.append(writer)
        return writer

    _OPENERS.append(empty)
    try:
        yield
    finally:
        _OPENERS.pop()
        for left_open in opened:
            left_open.close()
