"""Clients from npm, unchanged: the AWS SDK over HTTP/2, and Vercel's AI SDK.

Needs Node and npm; `make test-node` runs them, no other target does. `test_clients_page.py` has
Claude Code.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.installing import INSTALL_LIMIT_S, RUN_LIMIT_S, node_folder_with, run, told
from tests.fakes.bedrock_token import bedrock_token
from tests.fakes.craton import ECHO, Craton

FOLDER = Path(__file__).parent

pytestmark = [pytest.mark.node, pytest.mark.timeout(INSTALL_LIMIT_S + RUN_LIMIT_S)]


@pytest.fixture
def cache(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("craton-node")


@pytest.fixture(scope="module", params=["in the clear", "over TLS"])
def two_workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Craton]:
    is_secured = request.param == "over TLS"
    data = tmp_path_factory.mktemp("two-workers")
    running = Craton(data, engine="echo", workers=2, tls=is_secured)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def check(folder: Path, variables: dict[str, str]) -> None:
    """Run a folder's tests with Node; what it printed is what the failure says."""
    tests = sorted(file.name for file in folder.glob("*.test.mjs"))
    done = run("node", "--test", *tests, at=folder, variables=variables)
    assert done.returncode == 0, done.stdout
    assert "\n# pass 0" not in done.stdout


def test_the_aws_sdk_works_over_http2(two_workers: Craton, cache: Path) -> None:
    folder = node_folder_with(FOLDER / "node", cache)
    check(folder, told(two_workers) | {"CRATON_TEST_MODEL": ECHO})


def test_the_aws_sdk_works_with_a_short_term_bedrock_key(two_workers: Craton, cache: Path) -> None:
    if not two_workers.url.startswith("https"):
        pytest.skip("the SDK sends a bearer token over TLS alone")
    folder = node_folder_with(FOLDER / "node", cache)
    token = bedrock_token(two_workers.keys.access_key_id, two_workers.keys.secret_access_key)
    variables = {"CRATON_TEST_MODEL": ECHO, "AWS_BEARER_TOKEN_BEDROCK": token}
    check(folder, told(two_workers) | variables)


def test_vercels_ai_sdk_works_through_three_providers(smol: Craton, cache: Path) -> None:
    check(node_folder_with(FOLDER / "vercel", cache), told(smol))
