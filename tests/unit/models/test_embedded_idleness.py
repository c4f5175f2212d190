"""A process that nobody needs: when it rests, what is left of it, and that no request is lost."""

import asyncio
import io
import os
import socket
import subprocess
import sys
from array import array
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from craton.kernel.channel import Channel
from craton.kernel.clock import ManualClock
from craton.kernel.errors import EngineNotReady
from craton.kernel.log import Log
from craton.models.engine import Stop
from craton.models.engines.embedded.asleep import MODULE, is_rung
from craton.models.engines.embedded.embeddings_client import EmbeddingEngine
from craton.models.engines.embedded.embeddings_contract import (
    CONTRACT,
    Embed,
    FromEngine,
    Ready,
    ToEngine,
    Vectors,
)
from craton.models.engines.embedded.idleness import Idleness
from craton.models.engines.embedded.link import Contract, Limits, Line
from craton.models.engines.embedded.serving import Server, listening

READY = Ready(CONTRACT, "fake", 256, 1, 1)
MINUTES = 60.0


class Waits:
    """Time that passes when it is waited for; `then` is what happens meanwhile, by turns."""

    def __init__(self, *then: Any) -> None:
        self.clock = ManualClock()
        self.ended = asyncio.Event()
        self.then = list(then)
        self.waited_s: list[float] = []

    async def __call__(self, ended: asyncio.Event, seconds: float) -> None:
        self.waited_s.append(seconds)
        if self.then:
            self.then.pop(0)()
        else:
            self.clock.advance(seconds=seconds)


async def test_a_process_that_nobody_came_to_rests_after_its_time() -> None:
    waits = Waits()
    idleness = Idleness(waits.clock, seconds=10 * MINUTES)
    assert await idleness.is_over(waits.ended, waits)
    assert waits.waited_s == [10 * MINUTES]


async def test_its_time_begins_anew_when_the_last_worker_hangs_up() -> None:
    waits = Waits()
    idleness = Idleness(waits.clock, seconds=600)

    def come_and_go() -> None:
        waits.clock.advance(seconds=500)
        idleness.end()
        waits.clock.advance(seconds=50)
        idleness.begin()
        waits.clock.advance(seconds=50)

    waits.then.append(come_and_go)
    assert await idleness.is_over(waits.ended, waits)
    assert waits.waited_s == [600, 550]


async def test_it_never_rests_while_a_worker_is_connected() -> None:
    waits = Waits()
    idleness = Idleness(waits.clock, seconds=600)
    idleness.end()
    day = [lambda: waits.clock.advance(seconds=600)] * 144
    waits.then += [*day, waits.ended.set]
    assert not await idleness.is_over(waits.ended, waits)


async def test_with_no_time_set_it_never_rests() -> None:
    waits = Waits()
    idleness = Idleness(waits.clock, seconds=0)
    asyncio.get_running_loop().call_soon(waits.ended.set)
    assert not await idleness.is_over(waits.ended, waits)
    assert waits.waited_s == []


async def test_an_end_is_not_waited_out() -> None:
    waits = Waits()
    asyncio.get_running_loop().call_soon(waits.ended.set)
    async with asyncio.timeout(5):
        assert not await Idleness(waits.clock, seconds=600).is_over(waits.ended)


class Bench:
    """A process that embeds, in this loop: each text's vector is its length."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.clock = ManualClock()
        self.idleness = Idleness(self.clock, seconds=600)
        self.crowd: list[Channel[ToEngine]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.server = Server[ToEngine, Embed](
            ToEngine,
            READY,
            Log("engine", stream=io.BytesIO()),
            self._answer,
            idleness=self.idleness,
        )
        self.engine = EmbeddingEngine(
            socket,
            name="fake",
            limits=Limits(ready_seconds=0.2, retry_seconds=0.01, idle_seconds=0.01),
        )

    def accept(self) -> Channel[ToEngine]:
        self.crowd.append(self.server.channel())
        return self.crowd[-1]

    @property
    def connected(self) -> int:
        return sum(channel.is_open for channel in self.crowd)

    async def _answer(self, channel: Channel[ToEngine], asked: Embed, stop: Stop) -> None:
        del stop
        await self.may_answer.wait()
        vectors = [array("f", [len(text)]).tobytes() for text in asked.texts]
        channel.send(Vectors(asked.request_id, vectors, 1, 0, 1))

    async def embed(self, name: str) -> list[list[float]]:
        made = await self.engine.embed(["abc"], request_id=name, stop=Stop(), may_cut=True)
        return made.vectors


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    bench = Bench(tmp_path / "e.sock")
    async with listening(bench.accept, tmp_path / "e.sock"):
        yield bench
        await bench.engine.close()
        await until(lambda: not bench.connected)


async def until(happens: Any) -> None:
    async with asyncio.timeout(5):
        while not happens():
            await asyncio.sleep(0)


async def test_a_worker_that_asks_nothing_hangs_up_and_comes_back(bench: Bench) -> None:
    assert await bench.embed("a") == [[3.0]]
    await until(lambda: not bench.connected)
    assert await bench.embed("b") == [[3.0]]
    assert len(bench.crowd) == 2


async def test_a_worker_does_not_hang_up_while_it_waits_for_an_answer(bench: Bench) -> None:
    bench.may_answer.clear()
    waiting = asyncio.ensure_future(bench.embed("a"))
    await until(lambda: bench.connected)
    asyncio.get_running_loop().call_later(0.05, bench.may_answer.set)
    assert await waiting == [[3.0]]
    assert len(bench.crowd) == 1


async def test_whoever_hung_up_is_not_asked_in_the_same_turn(bench: Bench) -> None:
    line = Line[Ready, Vectors](bench.socket, Contract(CONTRACT, FromEngine), name="fake")
    link = await line.linked()
    link.hang_up()
    other = await line.linked()
    assert other is not link
    assert (await other.ask("a", Embed("a", ["abc"], True))).tokens == 1
    await line.close()


async def test_who_comes_while_the_process_leaves_is_sent_to_the_next(bench: Bench) -> None:
    bench.server.close()
    with pytest.raises(EngineNotReady):  # and not EngineFailed: it was never let in
        await bench.embed("a")
    assert len(bench.crowd) > 1


async def test_rest_counts_from_when_the_last_worker_hung_up(bench: Bench) -> None:
    waits = Waits()

    async def left_s() -> float:
        waits.ended.clear()
        waits.then.append(waits.ended.set)
        assert not await bench.idleness.is_over(waits.ended, waits)
        return waits.waited_s[-1]

    bench.may_answer.clear()
    waiting = asyncio.ensure_future(bench.embed("a"))
    await until(lambda: bench.connected)
    bench.clock.advance(seconds=10_000)
    assert await left_s() == 600
    bench.may_answer.set()
    await waiting
    await until(lambda: not bench.connected)
    bench.clock.advance(seconds=100)
    assert await left_s() == 500


@pytest.fixture
def lifeline() -> Any:
    reading, writing = os.pipe()
    ends = {"reading": reading, "writing": writing}
    yield ends
    for end in ends.values():
        os.close(end)


async def test_a_sleeping_process_wakes_when_somebody_connects(
    tmp_path: Path, lifeline: dict[str, int]
) -> None:
    path = tmp_path / "e.sock"
    path.touch()  # the process that slept in may have left it
    waking = asyncio.ensure_future(asyncio.to_thread(is_rung, path, lifeline["reading"]))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        await until(lambda: _connects(client, path))
        assert await waking
        with pytest.raises(ConnectionResetError):  # not let in: to try again
            client.recv(1)
    assert not path.exists()


def _connects(client: socket.socket, path: Path) -> bool:
    try:
        client.connect(str(path))
    except OSError:
        return False
    return True


async def test_a_sleeping_process_ends_with_its_supervisor(
    tmp_path: Path, lifeline: dict[str, int]
) -> None:
    path = tmp_path / "e.sock"
    sleeping = asyncio.ensure_future(asyncio.to_thread(is_rung, path, lifeline["reading"]))
    await until(path.is_socket)
    os.close(lifeline.pop("writing"))
    assert not await sleeping
    assert not path.exists()


def test_asleep_nothing_is_loaded_but_the_standard_library() -> None:
    say = f"import sys, {MODULE}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", say], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert not {"asyncio", "msgspec", "numpy"} & set(loaded)
    parents = {MODULE.rsplit(".", count)[0] for count in range(1, MODULE.count(".") + 1)}
    assert {name for name in loaded if name.split(".")[0] == "craton"} == {MODULE, *parents}
