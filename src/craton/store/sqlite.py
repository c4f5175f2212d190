"""The database as a file of SQLite's: what `craton up` uses unless told otherwise.

WAL mode with `synchronous=FULL`: a commit returns only after its WAL frames are on the disk, so
that an acknowledged write survives power loss.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Select, Table, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import bindparam

from craton.store.database import Connection, Insert, Row, compiled


class SqliteDialect:
    """What SQLite is told otherwise than PostgreSQL."""

    def __init__(self) -> None:
        self.compiler = sqlite.dialect(paramstyle="qmark")
        self.begin = "BEGIN IMMEDIATE"

    def insertion(self, table: Table) -> Insert:
        """One statement for each row: nothing lies between it and the file."""
        text = compiled(sqlite.insert(table).on_conflict_do_nothing(), self)
        assert text.names == tuple(column.name for column in table.columns)
        sql = text.sql

        def insert(connection: Connection, rows: Sequence[Row]) -> None:
            connection.executemany(sql, rows)

        return insert

    def strings(self, name: str) -> Select[tuple[str]]:
        """The elements of a JSON array."""
        return select(func.json_each(bindparam(name)).table_valued("value").c.value)


SQLITE = SqliteDialect()


class SqliteConnection(sqlite3.Connection):
    """The driver's own connection, which knows what it speaks."""

    dialect = SQLITE


def open_sqlite(path: Path | str, *, read_only: bool = False) -> SqliteConnection:
    """Open the database file, which must have been migrated; or `:memory:`."""
    if read_only:
        connection = sqlite3.connect(
            f"file:{path}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteConnection,
        )
    else:
        connection = sqlite3.connect(path, isolation_level=None, factory=SqliteConnection)
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
