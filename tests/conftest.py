"""Real Cratons for tests of any folder: one on the echo engine, one on the embedded model."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from craton.models import weights
from tests.conformance.plugin import Conformance
from tests.fakes.craton import Craton
from tests.fakes.databases import Place, PostgreSqlPlace, SqlitePlace, stored_in
from tests.fakes.postgresql import CannotStart, PostgreSqlServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="what the Craton on the echo engine stores in, which most tests of SDKs share",
    )
    parser.addoption(
        "--record",
        action="store_true",
        help="write down which operations real clients reached, for docs/coverage.md",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Conformance(config), "conformance")


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """What is there before a module's tests is none of their garbage: to look is quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves open is told of it, and not of the test during which it is collected."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def echo(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Craton]:
    database = None
    if request.config.getoption("--database") == "postgresql":
        database = request.getfixturevalue("postgresql").database()
    running = Craton(tmp_path_factory.mktemp("echo"), engine="echo", database=database)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSqlServer]:
    """A server of this session's own; where none can be had, what needs it says why it skips."""
    try:
        server = PostgreSqlServer()
    except CannotStart as reason:
        pytest.skip(f"no PostgreSQL server here: {reason}")
    yield server
    server.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty databases of one kind, then of the other: the whole module runs on both."""
    if request.param == "sqlite":
        yield
        return
    with stored_in(request.getfixturevalue("postgresql")):
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database in the schema of this version, of each kind."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path / "craton.db")
    return PostgreSqlPlace(request.getfixturevalue("postgresql"))


@pytest.fixture(scope="session")
def smol(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Craton]:
    """The embedded model; its weights are fetched once and shared through pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    for artifact in weights.catalogue().values():
        weights.fetch(artifact, folder)
    data = tmp_path_factory.mktemp("smol")
    shutil.copytree(folder, data / "weights", copy_function=link)
    running = Craton(data, engine="embedded")
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target
