"""Clients from npm against the embedded model, unchanged: Vercel's AI SDK, and Claude Code.

Needs Node and npm; `make test-node` runs them, no other target does. The AWS SDK for JavaScript,
over HTTP/2 and TLS, has a runner of its own: `python -m tests.clients.node`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from craton.cli.environment import variables_of
from craton.cli.installation import read_installation
from tests.fakes.craton import Craton

FOLDER = Path(__file__).parent
LIMIT_S = 600
CLAUDE_CODE = "@anthropic-ai/claude-code@2.1.330"
MODEL = "huggingfacetb.smollm2-135m-instruct"

pytestmark = [pytest.mark.node, pytest.mark.timeout(LIMIT_S)]


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        command,
        cwd=folder,
        env=bare | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def told(craton: Craton) -> dict[str, str]:
    """What `craton env` prints."""
    return variables_of(read_installation(craton.data), None)


def test_vercels_ai_sdk_works_through_three_providers(
    smol: Craton, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-vercel")
    shutil.copytree(FOLDER / "vercel", folder, dirs_exist_ok=True)
    installed = run(folder, "npm", "ci", "--no-audit", "--no-fund")
    assert installed.returncode == 0, installed.stderr
    done = run(folder, "node", "--test", "client.test.mjs", **told(smol))
    assert done.returncode == 0, done.stdout
    assert "\n# pass 0" not in done.stdout


def test_claude_code_answers_one_prompt(
    smol: Craton, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-claude-code")
    installed = run(folder, "npm", "install", "--no-audit", "--no-fund", CLAUDE_CODE)
    assert installed.returncode == 0, installed.stderr
    # Its own instructions and tools are about 25,000 tokens, three times what this model can read.
    done = run(
        tmp_path,
        *(str(folder / "node_modules" / ".bin" / "claude"), "--print", "--output-format", "text"),
        *("What is the capital of France?", "--system-prompt", "Be brief.", "--tools", ""),
        **told(smol),
        ANTHROPIC_MODEL=MODEL,
        ANTHROPIC_SMALL_FAST_MODEL=MODEL,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What a model this small makes of its long note on the environment isn't ours to judge.
    assert len(done.stdout.split()) > 3, done.stdout
    assert '"path":"/v1/messages","status":200' in smol.log()
