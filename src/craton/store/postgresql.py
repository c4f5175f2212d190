"""The database in PostgreSQL: on another machine, backed up and watched as its others are.

A commit returns only after its record is on the server's disk: a server that says otherwise
(`fsync=off`, `synchronous_commit=off`) is refused. All writing goes through one session, which
holds an advisory lock: a second Craton is refused, and one whose session is gone can't write.

A session that broke is not mended. Whether its last commit took place can't be known from here, so
nothing may be answered: the state process ends (`lost`), and the next one starts over what is
there. Gateway workers send their posts again, and those that were committed stay as they were.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, NoReturn, cast

import msgspec
import psycopg
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import LargeBinary, Select, Table, func, select
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import bindparam

from craton.kernel.errors import BadRequest, Conflict, Unavailable
from craton.store.database import Connection, Cursor, Insert, Row, compiled

VERSION_MIN = 140000
"""PostgreSQL 14, as `server_version_num` says it."""
LOCK = int.from_bytes(b"craton")
"""The advisory lock that the writing session holds; such locks belong to one database."""
IN_USE = "database_in_use"
"""The code of the Conflict that a held lock is."""
READERS = 4
"""As many sessions for reading as the pipeline runs queries at a time."""

Lost = Callable[[Exception], NoReturn]
"""What to do when a session broke: never return."""

_ENDED = ("08", "57P")
"""SQLSTATEs of connections that broke, and of servers that shut down or crashed."""

_DEFAULTS: Mapping[str, str | int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # A standby only reads, and may be behind.
    "target_session_attrs": "read-write",
}

_SESSION = {
    # The server finds out as soon that this machine is gone, and lets go of the lock.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Limits meant for people: the session idles whenever nobody asks anything.
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

_WRITING = {
    # Every statement finds its rows by a key. A plan made while a table was empty would read all of
    # it, and be kept while the table grows until the server happens to look at its size.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class PostgreSqlDialect:
    """What PostgreSQL is told otherwise than SQLite."""

    def __init__(self) -> None:
        self.compiler = PGDialect_psycopg(paramstyle="format")
        # One session writes, so each statement may see all that is committed; anything stricter
        # could fail a whole group because of a reader.
        self.begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

    def insertion(self, table: Table) -> Insert:
        """The rows as one JSON document, where they can be: one statement for a whole group.

        For 64 usage records and their postings at a time that took the client 6 µs a record,
        `unnest` of arrays 30 µs, a statement a row 47 µs (psycopg 3.3, PostgreSQL 18.4).
        """
        if any(isinstance(column.type, LargeBinary) for column in table.columns):
            return _insertion_of_each(table, self)
        element = func.jsonb_array_elements(as_type(bindparam("rows"), JSONB)).column_valued("row")
        values = [
            as_type(element.op("->>")(number), column.type)
            for number, column in enumerate(table.columns)
        ]
        clause = insert(table).from_select(list(table.columns), select(*values))
        text = compiled(clause.on_conflict_do_nothing(), self)
        encode = msgspec.json.Encoder().encode

        def insert_all(connection: Connection, rows: Sequence[Row]) -> None:
            connection.execute(text.sql, text.parameters({"rows": encode(rows).decode()}))

        return insert_all

    def strings(self, name: str) -> Select[tuple[str]]:
        """The elements of a JSON array."""
        array = as_type(bindparam(name), JSONB)
        return select(func.jsonb_array_elements_text(array).column_valued("value"))


def _insertion_of_each(table: Table, dialect: PostgreSqlDialect) -> Insert:
    text = compiled(insert(table).on_conflict_do_nothing(), dialect)
    assert text.names == tuple(column.name for column in table.columns)
    sql = text.sql

    def insert_each(connection: Connection, rows: Sequence[Row]) -> None:
        connection.executemany(sql, rows)

    return insert_each


POSTGRESQL = PostgreSqlDialect()


class _WholeNumbers(Loader):
    """Sums of bigints come as numeric, so that they can't overflow; here they are ints again."""

    def load(self, data: Any) -> int:  # noqa: ANN401 - psycopg's own buffers
        return int(bytes(data))


class PostgreSqlConnection:
    """One session; statements are prepared at their first use."""

    dialect = POSTGRESQL

    def __init__(self, connection: psycopg.Connection[Row], lost: Lost) -> None:
        self._connection = connection
        self._lost = lost

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement, and wait until it is done."""
        try:
            cursor = self._connection.execute(sql.encode(), parameters or None)
        except psycopg.Error as error:
            raise self._understood(error) from error
        if sql == "COMMIT" and cursor.statusmessage != "COMMIT":
            # A transaction in which something failed answers a COMMIT with a ROLLBACK.
            raise psycopg.InternalError(f"COMMIT was answered with {cursor.statusmessage}")
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        """Run one statement for each tuple of parameters, all sent before the first answer."""
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(sql.encode(), parameters)
        except psycopg.Error as error:
            raise self._understood(error) from error

    def close(self) -> None:
        """End the session, and let go of the lock at once: the server takes a moment longer."""
        try:
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        except psycopg.Error:
            pass  # there is no session that could hold one
        self._connection.close()

    def _understood(self, error: psycopg.Error) -> Exception:
        if self._connection.closed or _is_the_end(error):
            self._lost(error)
        if isinstance(error, psycopg.DataError) and "NUL" in str(error):
            return BadRequest(
                "A text holds the character NUL, which can't be stored. Leave it out."
            )
        return error


def _is_the_end(error: psycopg.Error) -> bool:
    """Whether the server has ended the session; its socket may not have told the driver yet."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_ENDED)


class PostgreSqlReaders:
    """Sessions that only read, taken in turns, so that a long query delays no short one."""

    dialect = POSTGRESQL

    def __init__(self, opened: Sequence[PostgreSqlConnection]) -> None:
        self._all = tuple(opened)
        self._idle: SimpleQueue[PostgreSqlConnection] = SimpleQueue()
        for connection in opened:
            self._idle.put(connection)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one query in a session that is idle; its rows are here when this returns."""
        connection = self._idle.get()
        try:
            return connection.execute(sql, parameters)
        finally:
            self._idle.put(connection)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> NoReturn:
        """Nothing is written here."""
        raise AssertionError(f"a reader was asked to write: {sql} {parameters}")

    def close(self) -> None:
        """End the sessions."""
        for connection in self._all:
            connection.close()


def open_writer(url: str, *, lost: Lost) -> PostgreSqlConnection:
    """The session that writes, alone in its database.

    Unavailable if the server can't be reached or refuses the user; Conflict if it isn't durable,
    or, with the code `IN_USE`, if another session writes. That of a state process that was killed
    does so until its last commit has ended.
    """
    connection = connect(url, "craton")
    try:
        for setting in (*_examined(connection, url), *_WRITING.items()):
            connection.execute("SELECT set_config(%s, %s, false)", setting)
        _lock(connection, url)
    except BaseException:
        connection.close()
        raise
    return PostgreSqlConnection(connection, lost)


def open_readers(url: str, *, lost: Lost, count: int = READERS) -> PostgreSqlReaders:
    """Sessions that read what is committed."""
    opened: list[PostgreSqlConnection] = []
    try:
        for _ in range(count):
            connection = connect(url, "craton reader")
            opened.append(PostgreSqlConnection(connection, lost))
            connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    except BaseException:
        for reader in opened:
            reader.close()
        raise
    return PostgreSqlReaders(opened)


def check(url: str) -> None:
    """Look at the server as a start does, and change nothing; Unavailable or Conflict, likewise."""
    with connect(url, "craton check") as connection:
        _examined(connection, url)


def connect(url: str, name: str) -> psycopg.Connection[Row]:
    """A session without Craton's own checks; Unavailable says why there is none."""
    given = conninfo_to_dict(url)
    options = {key: value for key, value in _DEFAULTS.items() if key not in given}
    try:
        connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=0, application_name=name, **cast("Any", options)
        )
        connection.adapters.register_loader("numeric", _WholeNumbers)
        for setting in _SESSION.items():
            connection.execute("SELECT set_config(%s, %s, false)", setting)
    except psycopg.Error as error:
        raise Unavailable(
            f"The database {place(url)} can't be reached: {_told(error)}. Start the "
            "server, or correct --database; a password is taken from ~/.pgpass or the file that "
            "PGPASSFILE names."
        ) from None
    return connection


def _told(error: psycopg.Error) -> str:
    return " ".join(str(error).split()).rstrip(".?")


def place(url: str) -> str:
    """What a person calls this database."""
    given = conninfo_to_dict(url)
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    port = f" port {given['port']}" if "port" in given else ""
    return f"{given.get('dbname') or given.get('user') or 'of this user'} at {host}{port}"


def _examined(connection: psycopg.Connection[Row], url: str) -> list[tuple[str, str]]:
    """Refuse a server that would lose what it acknowledged; what to keep set in this session."""
    if connection.info.server_version < VERSION_MIN:
        raise Conflict(
            f"The database {place(url)} runs PostgreSQL {connection.info.server_version // 10000}; "
            f"Craton needs {VERSION_MIN // 10000} or later."
        )
    row = connection.execute(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
        " current_setting('server_encoding')"
    ).fetchone()
    assert row is not None
    fsync, synchronous_commit, encoding = row
    if fsync != "on":
        raise Conflict(
            f"The database {place(url)} has fsync={fsync}, so a power failure could lose answers "
            "that were acknowledged, or the ledger. Set fsync = on in its postgresql.conf."
        )
    if synchronous_commit == "off":
        raise Conflict(
            f"The database {place(url)} has synchronous_commit=off, so a crash could lose answers "
            "that were acknowledged. Set it to on, for this user alone with "
            "`ALTER ROLE … SET synchronous_commit = on`."
        )
    if encoding != "UTF8":
        raise Conflict(
            f"The database {place(url)} stores text as {encoding}. Make one with "
            "`createdb --encoding=UTF8 --template=template0`, and name it with --database."
        )
    # Kept for this session whatever the server is told later.
    return [("synchronous_commit", synchronous_commit)]


def _lock(connection: psycopg.Connection[Row], url: str) -> None:
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", (LOCK,)).fetchone()
    assert row is not None
    if not row[0]:
        raise Conflict(
            f"The database {place(url)} is used by another running Craton{_holder(connection)}. "
            "Stop that one, or name another database with --database.",
            code=IN_USE,
        )


def _holder(connection: psycopg.Connection[Row]) -> str:
    row = connection.execute(
        "SELECT coalesce(host(client_addr), 'the server''s own machine') FROM pg_locks"
        " JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) + objid::bigint = %s::bigint",
        (LOCK,),
    ).fetchone()
    return f", connected from {row[0]}" if row else ""
