"""What every engine process does, whatever it serves: its end, its log, and its socket."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.kernel.clock import Clock
from craton.kernel.errors import EngineFailed
from craton.kernel.log import Log
from craton.models.engines.embedded.command_line import parse_as
from craton.models.engines.embedded.serving import listening, run


class Named(msgspec.Struct, frozen=True):
    name: str


def parse(words: list[str]) -> Named:
    return parse_as(words, Named)


class Life:
    """A process that says one thing and ends as it is told."""

    def __init__(self, end: Exception | None = None) -> None:
        self.end = end
        self.written = io.BytesIO()

    async def serve(self, specification: Named, clock: Clock, log: Log) -> int:
        del clock
        log.info("engine.said", model=specification.name)
        if self.end is not None:
            raise self.end
        return 0

    def run(self, *words: str) -> int:
        return run(list(words), parse, self.serve, stream=self.written)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]


def test_an_orderly_end_leaves_nothing_unsaid() -> None:
    life = Life()
    assert life.run("--name", "m") == 0
    assert [(line["event"], line["engine"]) for line in life.lines] == [("engine.said", "m")]


def test_a_model_that_cannot_be_served_is_told_with_its_reason() -> None:
    life = Life(EngineFailed("The file is cut off."))
    assert life.run("--name", "m") == 1
    assert [line["event"] for line in life.lines] == ["engine.said", "engine.failed"]
    assert life.lines[1]["error"] == "The file is cut off."


def test_what_was_said_before_an_unexpected_end_is_written() -> None:
    life = Life(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        life.run("--name", "m")
    assert [line["event"] for line in life.lines] == ["engine.said"]


def test_bad_words_are_refused_before_anything_is_loaded() -> None:
    life = Life()
    assert life.run("--name") == 2
    assert life.run("--model", "x") == 2
    assert [line["event"] for line in life.lines] == ["engine.bad_arguments"] * 2


async def test_the_socket_is_its_owners_replaces_a_dead_ones_and_goes(tmp_path: Path) -> None:
    socket = tmp_path / "e.sock"
    socket.touch()
    async with listening(asyncio.Protocol, socket):
        assert socket.is_socket()
        assert socket.stat().st_mode & 0o777 == 0o600
    assert not socket.exists()
