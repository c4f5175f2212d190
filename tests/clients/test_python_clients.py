"""Clients that people have already, unchanged, each in an environment of its own.

A client sees no more of Craton than the variables that `craton env` prints.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from craton.cli.environment import variables_of
from craton.cli.installation import read_installation
from tests.fakes.craton import Craton

FOLDER = Path(__file__).parent / "python"
INSTALL_LIMIT_S = 600
CHECK_LIMIT_S = 300
OWN = ("litellm", "langchain_aws", "strands", "pydantic_ai")
"""Clients whose pins don't go with ours, or with one another's."""


def python_with(client: str, folder: Path) -> Path:
    """An interpreter that has a client as its lock says; made once and kept."""
    environment = folder / client
    lock = FOLDER / "locks" / f"{client}.txt"
    python, done = environment / "bin" / "python", environment / "installed"
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        uv = [sys.executable, "-m", "uv", "--quiet"]
        for command in (
            [*uv, "venv", "--clear", "--python", sys.executable, str(environment)],
            [*uv, "pip", "sync", "--require-hashes", "--python", str(python), str(lock)],
        ):
            subprocess.run(command, check=True, timeout=INSTALL_LIMIT_S)
        done.write_bytes(lock.read_bytes())
    return python


def check(craton: Craton, python: Path, client: str) -> None:
    """Run a client's script; what it printed is what the failure says."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    told = variables_of(read_installation(craton.data), None)
    done = subprocess.run(
        [str(python), str(FOLDER / f"{client}_client.py")],
        env=bare | told | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=CHECK_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed check_" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_LIMIT_S + CHECK_LIMIT_S)
@pytest.mark.parametrize("client", OWN)
def test_a_client_with_its_own_pins_works(
    smol: Craton, pytestconfig: pytest.Config, client: str
) -> None:
    assert pytestconfig.cache is not None
    check(smol, python_with(client, pytestconfig.cache.mkdir("craton-clients")), client)


@pytest.mark.slow
@pytest.mark.timeout(CHECK_LIMIT_S)
def test_anthropics_client_for_bedrock_works(smol: Craton) -> None:
    check(smol, Path(sys.executable), "anthropic_bedrock")
