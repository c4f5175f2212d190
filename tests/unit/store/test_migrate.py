import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy import create_engine, insert, inspect, select
from sqlalchemy.engine import Engine

from craton.bootstrap.migrate import HEAD, migrate, revision, upgrade
from craton.bootstrap.postgresql import migrate as migrate_postgresql
from craton.kernel.errors import Conflict
from craton.store.database import METADATA
from craton.store.documents import DOCUMENTS
from craton.store.sqlite import open_sqlite
from tests.fakes.databases import in_memory
from tests.fakes.postgresql import PostgreSqlServer


def shape(engine: Engine) -> dict[str, object]:
    """Tables with their columns, keys and indexes, as the database itself says."""
    inspector = inspect(engine)
    found: dict[str, object] = {}
    for table in sorted(inspector.get_table_names()):
        if table == "alembic_version":
            continue
        columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)]
        indexes = sorted(
            (str(index["name"]), tuple(index["column_names"]))
            for index in inspector.get_indexes(table)
        )
        unique = sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table))
        found[table] = (columns, inspector.get_pk_constraint(table), indexes, unique)
    return found


def test_the_migrations_arrive_at_the_metadata(tmp_path: Path) -> None:
    migrate(tmp_path / "craton.db")
    in_memory().close()  # imports every module that declares tables
    migrated = create_engine(f"sqlite:///{tmp_path / 'craton.db'}")
    declared = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    METADATA.create_all(declared)
    try:
        assert shape(migrated) == shape(declared)
        assert set(shape(migrated)) == set(METADATA.tables)
    finally:
        migrated.dispose()
        declared.dispose()


def test_the_migrations_arrive_at_the_metadata_on_postgresql_too(
    postgresql: PostgreSqlServer,
) -> None:
    urls = [postgresql.database(), postgresql.database()]
    migrate_postgresql(urls[0])
    in_memory().close()
    migrated, declared = (
        create_engine("postgresql+psycopg://", creator=lambda url=url: psycopg.connect(url))
        for url in urls
    )
    METADATA.create_all(declared)
    try:
        assert shape(migrated) == shape(declared)
        assert set(shape(migrated)) == set(METADATA.tables)
    finally:
        migrated.dispose()
        declared.dispose()


def test_tables_without_rowid_stay_so(tmp_path: Path) -> None:
    """Rows stand in the order of their time-ordered key; with row ids each would be kept twice."""
    migrate(tmp_path / "craton.db")
    in_memory().close()
    connection = sqlite3.connect(tmp_path / "craton.db")
    try:
        texts = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    finally:
        connection.close()
    for name, table in METADATA.tables.items():
        is_plain = table.dialect_options["sqlite"]["with_rowid"]
        assert ("WITHOUT ROWID" in texts[name]) is not is_plain


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    database = tmp_path / "craton.db"
    assert revision(database) is None
    migrate(database)
    before = database.read_bytes()
    migrate(database)
    assert database.read_bytes() == before
    assert revision(database) == HEAD


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    database = tmp_path / "craton.db"
    migrate(database)
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with pytest.raises(Conflict, match="9999"):
        migrate(database)
    assert database.read_bytes() == before


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    database = tmp_path / "craton.db"
    database.touch()
    migrate(database)
    assert revision(database) == HEAD


def test_a_connection_commits_durably(tmp_path: Path) -> None:
    """WAL with synchronous FULL: what a commit returned from survives power loss."""
    database = tmp_path / "craton.db"
    migrate(database)
    connection = open_sqlite(database)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        reader = open_sqlite(database, read_only=True)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM usage")
        reader.close()
    finally:
        connection.close()


@dataclass
class Older:
    """A database, and how to bring it up to a revision."""

    engine: Engine
    upgrade: Callable[..., None]


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Older]:
    """A database of the schema before leases that are over were kept apart."""
    url, connect = f"sqlite:///{tmp_path / 'craton.db'}", None
    if request.param == "postgresql":
        server: PostgreSqlServer = request.getfixturevalue("postgresql")
        database = server.database()
        url, connect = "postgresql+psycopg://", lambda: psycopg.connect(database)
    engine = create_engine(url) if connect is None else create_engine(url, creator=connect)
    found = Older(engine, partial(upgrade, url, connect))
    found.upgrade(to="0002")
    yield found
    engine.dispose()


def fill(engine: Engine, leases: Mapping[str, tuple[str, int]]) -> None:
    rows = [
        {
            "kind": "lease",
            "id": id,
            "account": "alice",
            "name": f"token of {id}",
            "version": 1,
            "body": msgspec.json.encode({"id": id, "state": state, "token": token}),
            "created_ms": 1000,
            "updated_ms": 1000 + token,
        }
        for id, (state, token) in leases.items()
    ]
    note = {**rows[0], "kind": "note", "id": "n", "body": b'{"state":"ended"}'}
    with engine.begin() as connection:
        connection.execute(insert(DOCUMENTS), [*rows, note])


def documents(engine: Engine) -> set[tuple[str, str, str, bytes]]:
    columns = DOCUMENTS.c
    with engine.connect() as connection:
        rows = connection.execute(select(columns.kind, columns.id, columns.name, columns.body))
        return {(kind, id, name, bytes(body)) for kind, id, name, body in rows}


def test_leases_that_are_over_move_and_the_highest_token_stays_known(older: Older) -> None:
    states = {f"lease-{n:04}": ("active" if n % 400 == 7 else "ended", n + 1) for n in range(1205)}
    fill(older.engine, states)
    before = documents(older.engine)
    older.upgrade()
    after = documents(older.engine)
    runs = {id for id, (state, _) in states.items() if state == "active"}
    assert len(runs) == 3
    assert {id for kind, id, *_ in after if kind == "lease"} == runs
    assert {id for kind, id, *_ in after if kind == "ended_lease"} == states.keys() - runs
    token = ("fencing", "leases", "leases", b'{"token":1205}')
    assert {each[1:] for each in after - {token}} == {each[1:] for each in before}
    assert token in after


def test_a_database_without_leases_gets_no_token(older: Older) -> None:
    older.upgrade()
    assert documents(older.engine) == set()


def test_the_comparison_sees_a_missing_index(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    METADATA.create_all(engine)
    before = shape(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX postings_by_account")
    assert shape(engine) != before
    engine.dispose()
