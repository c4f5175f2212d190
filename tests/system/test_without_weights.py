"""`craton up` where the weights of the models that come along can't be had, or aren't wanted."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.craton import SMOL

WITHOUT_INDEX = {**os.environ, "PIP_NO_INDEX": "1"}
"""pip finds nothing, as on a machine without a network."""
PATIENCE_S = 60


@dataclass(frozen=True)
class Up:
    """One `craton up` that is running, and what it said of itself."""

    told: Any
    key: str

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.told["url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


def command(data: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-c", "from craton.cli.main import run; run()"),
        *("up", "--data", str(data), "--port", "0", "--json", *options),
    ]


@contextmanager
def up(data: Path, *options: str) -> Iterator[Up]:
    with subprocess.Popen(
        command(data, *options), env=WITHOUT_INDEX, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        key = json.loads((data / "credentials.json").read_bytes())["keys"]["default"]["api_key"]
        yield Up(told, key)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_first_start_that_can_not_fetch_says_so_and_how_to_go_on_without(tmp_path: Path) -> None:
    ran = subprocess.run(
        command(tmp_path / "data"),
        check=False,
        env=WITHOUT_INDEX,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (ran.returncode, ran.stdout) == (1, b"")
    error = json.loads(ran.stderr)["error"]
    assert error["type"] == "unavailable"
    assert "can't be fetched" in error["message"]
    assert "--engine none" in error["message"]


def test_a_craton_without_models_of_its_own_serves_the_operators(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, "--engine", "none") as craton:
        assert (craton.told["model"], craton.told["answer"]) == (None, None)
        ready = {"status": "ready", "model": None, "missing": {}}
        assert craton.ask("GET", "/readyz") == (200, ready)
        assert craton.ask("GET", "/craton/v1/models") == (200, {"models": [], "next": None})
        source = {"type": "remote", "origin": "http://127.0.0.1:9", "model": "far"}
        assert (
            craton.ask("POST", "/craton/v1/models", {"id": "own.far", "source": source})[0] == 201
        )
    with up(data) as craton:
        assert list(craton.told["missing"]) == [SMOL]
        status, ready = craton.ask("GET", "/readyz")
        assert (status, ready["model"], list(ready["missing"])) == (200, None, [SMOL])
        chat = {"model": SMOL, "messages": [{"role": "user", "content": "hi"}]}
        status, refused = craton.ask("POST", "/v1/chat/completions", chat)
        assert (status, refused["error"]["code"]) == (503, "engine_not_ready")
        assert "can't be fetched" in refused["error"]["message"]
        status, refused = craton.ask("POST", f"/model/{SMOL}/converse", {"messages": []})
        assert status == 400  # its own faults first
        turn = {"role": "user", "content": [{"text": "hi"}]}
        status, refused = craton.ask("POST", f"/model/{SMOL}/converse", {"messages": [turn]})
        assert status == 429  # Bedrock's ModelNotReadyException
        assert "can't be fetched" in refused["message"]
