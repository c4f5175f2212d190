"""Clients that people have already, unchanged, each in an environment of its own.

A client sees no more of Craton than the variables that `craton env` prints.
"""

import sys
from pathlib import Path

import pytest

from tests.clients.installing import INSTALL_LIMIT_S, RUN_LIMIT_S, python_with, run, told
from tests.fakes.craton import Craton

FOLDER = Path(__file__).parent / "python"
OWN = ("litellm", "langchain_aws", "strands", "pydantic_ai")
"""Clients whose pins don't go with ours, or with one another's."""


def check(craton: Craton, python: Path, client: str) -> None:
    """Run a client's script; what it printed is what the failure says."""
    variables = told(craton) | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = run(str(python), f"{client}_client.py", at=FOLDER, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed check_" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_LIMIT_S + RUN_LIMIT_S)
@pytest.mark.parametrize("client", OWN)
def test_a_client_with_its_own_pins_works(
    smol: Craton, pytestconfig: pytest.Config, client: str
) -> None:
    assert pytestconfig.cache is not None
    lock = FOLDER / "locks" / f"{client}.txt"
    check(smol, python_with(lock, pytestconfig.cache.mkdir("craton-clients")), client)


@pytest.mark.slow
@pytest.mark.timeout(RUN_LIMIT_S)
def test_anthropics_client_for_bedrock_works(smol: Craton) -> None:
    check(smol, Path(sys.executable), "anthropic_bedrock")
