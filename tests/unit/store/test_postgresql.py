"""What PostgreSQL must promise, what it is asked for, and what happens when it goes away."""

import asyncio
import io
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import psycopg
import pytest

from craton.bootstrap import postgresql as bootstrap
from craton.bootstrap.migrate import HEAD
from craton.economics import statements
from craton.economics.contract import BalancesQuery, SummaryQuery, VerifyQuery
from craton.economics.meters import UsageRecord
from craton.economics.prices import PriceBook, Tariff
from craton.kernel.clock import SystemClock
from craton.kernel.errors import BadRequest, Conflict, Unavailable
from craton.kernel.log import Log
from craton.store.database import OwnedConnection, transaction
from craton.store.documents import Transaction
from craton.store.postgresql import (
    IN_USE,
    POSTGRESQL,
    PostgreSqlConnection,
    open_readers,
    open_writer,
)
from tests.fakes.databases import PostgreSqlPlace, empty_database, fail, stored_in
from tests.fakes.ledgers import Books, usage_record
from tests.fakes.postgresql import GUARDED, PASSWORD, CannotStart, PostgreSqlServer, name_of
from tests.fakes.state_process import NOTES, Note

PRICES = PriceBook([Tariff("*", date(2026, 1, 1), "USD", {"output_tokens": 1_000_000}, "made up")])


@pytest.fixture
def url(postgresql: PostgreSqlServer) -> str:
    return PostgreSqlPlace(postgresql).url


@pytest.fixture
def writer(url: str) -> Iterator[PostgreSqlConnection]:
    opened = open_writer(url, lost=fail)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def second() -> Iterator[PostgreSqlServer]:
    try:
        server = PostgreSqlServer()
    except CannotStart as reason:
        pytest.skip(f"no PostgreSQL server here: {reason}")
    yield server
    server.close()


@pytest.fixture
def own(second: PostgreSqlServer) -> PostgreSqlServer:
    """A server that this test may change and end."""
    second.stop()
    second.settings.clear()
    second.start()
    return second


def add(connection: OwnedConnection, id: str) -> None:
    with transaction(connection):
        Transaction(connection, 1).add(NOTES, id, Note(id), account="a", name=id)


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="elsewhere it may be missing"
)
def test_the_tests_have_a_server_on_linux(postgresql: PostgreSqlServer) -> None:
    """So that none of the tests on PostgreSQL is left out where they are meant to run."""
    assert postgresql.run("SELECT 1") == [(1,)]
    with stored_in(postgresql):
        connection = empty_database()
        assert connection.dialect is POSTGRESQL
        connection.close()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("fsync", "off", "fsync=off"),
        ("synchronous_commit", "off", "synchronous_commit=off"),
    ],
)
def test_a_server_that_may_lose_what_it_acknowledged_is_refused(
    own: PostgreSqlServer, setting: str, value: str, says: str
) -> None:
    own.stop()
    own.settings[setting] = value
    own.start()
    with pytest.raises(Conflict, match=says):
        open_writer(own.database(), lost=fail)


def test_a_database_that_is_not_utf_8_is_refused(postgresql: PostgreSqlServer) -> None:
    made = postgresql.database(options="ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(Conflict, match="as LATIN1"):
        open_writer(made, lost=fail)


def test_a_commit_stays_durable_whatever_the_server_is_told_later(
    postgresql: PostgreSqlServer, url: str, writer: PostgreSqlConnection
) -> None:
    postgresql.run("ALTER SYSTEM SET synchronous_commit = off")
    try:
        postgresql.run("SELECT pg_reload_conf()")
        assert postgresql.run("SHOW synchronous_commit") == [("off",)]
        assert writer.execute("SHOW synchronous_commit").fetchone() == ("on",)
    finally:
        postgresql.run("ALTER SYSTEM RESET synchronous_commit")
        postgresql.run("SELECT pg_reload_conf()")


def test_one_session_writes_at_a_time(url: str, writer: PostgreSqlConnection) -> None:
    with pytest.raises(Conflict, match="another running Craton, connected from") as refused:
        open_writer(url, lost=fail)
    assert refused.value.code == IN_USE
    writer.close()
    open_writer(url, lost=fail).close()


def test_a_session_that_was_closed_holds_nobody_up(url: str) -> None:
    """The lock goes with it at once, and not when the server's process has ended."""
    for _ in range(30):
        open_writer(url, lost=fail).close()


def test_readers_see_what_is_committed_and_write_nothing(
    url: str, writer: PostgreSqlConnection
) -> None:
    readers = open_readers(url, lost=fail, count=2)
    try:
        count = "SELECT count(*) FROM documents"
        with transaction(writer):
            Transaction(writer, 1).add(NOTES, "one", Note("one"), account="a", name="one")
            assert readers.execute(count).fetchone() == (0,)
        assert readers.execute(count).fetchone() == (1,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            readers.execute("DELETE FROM documents")
    finally:
        readers.close()


def test_a_commit_that_became_a_rollback_is_no_commit(writer: PostgreSqlConnection) -> None:
    writer.execute("BEGIN")
    with pytest.raises(psycopg.errors.UndefinedTable):
        writer.execute("SELECT * FROM nothing")
    with pytest.raises(psycopg.InternalError, match="answered with ROLLBACK"):
        writer.execute("COMMIT")


def test_a_text_with_nul_is_the_callers_fault_and_spares_the_rest(
    writer: PostgreSqlConnection,
) -> None:
    with transaction(writer):
        work = Transaction(writer, 1)
        work.add(NOTES, "one", Note("one"), account="a", name="one")
        with pytest.raises(BadRequest, match="NUL"):
            work.find(NOTES, "a\x00b")
    assert [note.id for note in Transaction(writer, 1).list(NOTES)] == ["one"]


def test_ids_and_prefixes_are_compared_byte_by_byte(postgresql: PostgreSqlServer, url: str) -> None:
    """As SQLite does, whatever language the database is in; the server of these tests knows none
    but C, so the columns are asked."""
    rows = postgresql.run(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'text' AND table_name <> 'alembic_version'",
        name_of(url),
    )
    assert {row[2] for row in rows if row[1] != "quantities"} == {"C"}
    assert ("usage", "request_id", "C") in rows
    assert ("postings", "ledger_account", "C") in rows


def test_a_group_of_posts_takes_as_many_statements_as_a_single_one(
    postgresql: PostgreSqlServer,
) -> None:
    ran: list[str] = []
    with stored_in(postgresql):
        books = Books(PRICES)
        inner = books.connection

        class Counted:
            dialect = POSTGRESQL

            def execute(self, sql: str, parameters: object = ()) -> object:
                ran.append(sql)
                return inner.execute(sql, parameters)  # type: ignore[arg-type]

        def post(*records: UsageRecord) -> int:
            ran.clear()
            with transaction(inner):
                books.ledger.post(Transaction(Counted(), 1), records)  # type: ignore[arg-type]
            return len(ran)

        one = post(usage_record(0, output_tokens=7))
        many = post(*(usage_record(n, output_tokens=7) for n in range(1, 501)))
        assert (one, many) == (3, 3)
        assert books.rows("SELECT count(*), sum(amount) FROM postings") == [(1002, 0)]
        inner.close()


def test_sums_beyond_64_bits_are_exact(postgresql: PostgreSqlServer) -> None:
    with stored_in(postgresql):
        books = Books(PRICES)
        for number in range(3):
            for line, amount in enumerate((2**63 - 1, 1 - 2**63)):
                books.rows(
                    "INSERT INTO postings VALUES (?, ?, ?, 'USD', ?) RETURNING line",
                    (f"{number}", line, f"account-{line}", amount),
                )
        (one, other) = statements.balances(books.connection, BalancesQuery()).balances
        assert (one.amount_nanos, other.amount_nanos) == (3 * (2**63 - 1), 3 * (1 - 2**63))
        verdict = statements.verify(books.connection, VerifyQuery())
        assert (verdict.sum_nanos, len(verdict.faults)) == (0, 3)
        books.connection.close()


def test_a_summary_reads_more_records_than_a_page_holds(
    postgresql: PostgreSqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "_SUMMARY_ROWS", 7)
    with stored_in(postgresql):
        books = Books(PRICES)
        books.post(*(usage_record(n, output_tokens=1) for n in range(21)))
        (line,) = statements.summary(books.connection, SummaryQuery()).lines
        assert (line.requests, line.quantities) == (21, {"output_tokens": 21})
        books.connection.close()


def test_a_session_that_broke_is_lost_and_says_nothing_else(own: PostgreSqlServer) -> None:
    made = own.database()
    bootstrap.migrate(made)
    writer = open_writer(made, lost=fail)
    readers = open_readers(made, lost=fail, count=1)
    add(writer, "kept")
    own.kill()
    with pytest.raises(ConnectionError, match="broke"):
        add(writer, "lost")
    with pytest.raises(ConnectionError, match="broke"):
        readers.execute("SELECT 1")
    own.start()
    again = open_writer(made, lost=fail)
    assert [note.id for note in Transaction(again, 1).list(NOTES)] == ["kept"]
    again.close()
    readers.close()


def test_a_session_that_the_server_ends_is_lost(postgresql: PostgreSqlServer, url: str) -> None:
    writer = open_writer(url, lost=fail)
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = "
    assert postgresql.run(ended + "'craton'") == [(True,)]
    with pytest.raises(ConnectionError, match="broke"):
        writer.execute("COMMIT")
    writer.close()


async def test_a_server_that_is_away_is_waited_for(own: PostgreSqlServer) -> None:
    made = own.database()
    own.stop()
    log = io.BytesIO()
    opening = asyncio.ensure_future(
        bootstrap.open_waiting(
            made, asyncio.Event(), clock=SystemClock(), log=Log("state", stream=log)
        )
    )
    while b"database_awaited" not in log.getvalue():
        await asyncio.sleep(0.01)
    assert not opening.done()
    await asyncio.to_thread(own.start)
    opened = await opening
    assert opened is not None
    for connection in opened:
        connection.close()
    assert bootstrap.revision(made) == HEAD


async def test_waiting_ends_when_craton_stops(own: PostgreSqlServer) -> None:
    made = own.database()
    own.stop()
    stop, log = asyncio.Event(), Log("state", stream=io.BytesIO())
    opening = asyncio.ensure_future(
        bootstrap.open_waiting(made, stop, clock=SystemClock(), log=log)
    )
    await asyncio.sleep(0)
    stop.set()
    assert await opening is None


async def test_a_start_without_a_server_is_refused_at_once(own: PostgreSqlServer) -> None:
    made = own.database()
    own.stop()
    with pytest.raises(Unavailable, match="Start the server"):
        await bootstrap.try_out(made, SystemClock())


def test_a_newer_schema_is_refused_untouched(postgresql: PostgreSqlServer) -> None:
    made = postgresql.database()
    bootstrap.migrate(made)
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="9999"):
        bootstrap.migrate(made)
    assert bootstrap.revision(made) == "9999"


def test_a_password_comes_from_a_file_and_is_told_nowhere(
    postgresql: PostgreSqlServer, tmp_path: Path
) -> None:
    database = name_of(postgresql.database())
    if not postgresql.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{GUARDED}'"):
        postgresql.run(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:{GUARDED}:{PASSWORD}\n")
    passwords.chmod(0o600)
    given = postgresql.url(database, user=GUARDED, passfile=str(passwords))
    open_writer(given, lost=fail).close()
    passwords.write_text(f"*:*:*:{GUARDED}:wrong {PASSWORD}\n")
    with pytest.raises(Unavailable, match="password authentication failed") as refused:
        open_writer(given, lost=fail)
    assert PASSWORD not in str(refused.value)


def test_a_lost_session_ends_the_process_for_its_supervisor(own: PostgreSqlServer) -> None:
    """A process of its own writes; the server is killed under it."""
    made = own.database()
    bootstrap.migrate(made)
    program = (
        "import sys\n"
        "from craton.bootstrap.postgresql import _ending\n"
        "from craton.kernel.log import Log\n"
        "from craton.store.postgresql import open_writer\n"
        "writer = open_writer(sys.argv[1], lost=_ending(Log('state')))\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
        "writer.execute('SELECT 1')\n"
        "print('went on', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, made],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    own.kill()
    said, logged = process.communicate(timeout=30)
    assert process.returncode == bootstrap.LOST_STATUS
    assert said == b""
    assert msgspec.json.decode(logged)["event"] == "database_lost"
