"""Worker and engine process over a real socket, with a model of a few lines.

The child's server runs in the same event loop here; killing the real process is for tests/engine.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from craton.kernel.channel import Channel
from craton.kernel.clock import SystemClock
from craton.kernel.errors import (
    ContextOverflow,
    EngineFailed,
    EngineNotReady,
    Internal,
    Throttled,
    Unsupported,
)
from craton.kernel.log import Log
from craton.messages import (
    Event,
    Message,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    fold,
)
from craton.messages.tools import Tool
from craton.models.engine import Counts, Engine, Stop
from craton.models.engines.embedded.answer import Piece
from craton.models.engines.embedded.capacity import Capacity
from craton.models.engines.embedded.client import EmbeddedEngine, Limits
from craton.models.engines.embedded.contract import CONTRACT, Hello, Ready, ToEngine
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.process import EngineServer
from craton.models.engines.embedded.replica import Replica
from craton.models.engines.embedded.tools import Prompt

SLOTS = 2
CONTEXT_TOKENS = 50
READY = Ready(CONTRACT, "fake", CONTEXT_TOKENS, SLOTS, 1, "Q4", "", 1)


class WordModel:
    """A token is a word; it says `word` until its limit, one each time it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Semaphore(0)
        self.begun = 0
        self.ended = 0
        self.breaks = False
        self.fails_after: int | None = None

    async def tokens(self, prompt: Prompt) -> list[int]:
        if self.breaks:
            raise ZeroDivisionError("the secret prompt")
        return [0] * sum(len(turn.content.split()) for turn in prompt.turns)

    @asynccontextmanager
    async def complete(
        self, prompt: list[int], planned: Plan, max_tokens: int, stop: Stop
    ) -> AsyncGenerator[AsyncIterator[Piece]]:
        stop.on_request(self.let.release)  # a stop wakes whoever waits, as hanging up does
        self.begun += 1
        try:
            yield self._pieces(max_tokens, stop)
        finally:
            self.ended += 1

    async def _pieces(self, max_tokens: int, stop: Stop) -> AsyncGenerator[Piece]:
        for number in range(1, max_tokens + 1):
            await self.let.acquire()
            if stop.requested:
                return
            yield Piece("word ", False, number)
            if number == self.fails_after:
                raise EngineFailed("The library broke.")
        yield Piece("", True, max_tokens, stop_type="limit")


class Bench:
    """A server and a client on one socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "engine.sock"
        self.model = WordModel()
        self.log = io.BytesIO()
        self.replica = Replica(
            self.model,
            context_tokens=CONTEXT_TOKENS,
            capacity=Capacity(slots=SLOTS, pool_tokens=1000, queue_max=1),
            clock=SystemClock(),
        )
        self.server = EngineServer(self.replica, READY, Log("engine", stream=self.log))
        self.channels: list[Channel[ToEngine]] = []
        self.listening: asyncio.Server | None = None
        self.engine = EmbeddedEngine(
            self.socket, name="fake", limits=Limits(ready_seconds=2, retry_seconds=0.01)
        )

    async def start(self) -> None:
        def accept() -> Channel[ToEngine]:
            self.channels.append(self.server.channel())
            return self.channels[-1]

        loop = asyncio.get_running_loop()
        self.listening = await loop.create_unix_server(accept, str(self.socket))

    def drop(self) -> None:
        for channel in self.channels:
            channel.close()

    async def answer(
        self, request_id: str, stop: Stop | None = None, **members: Any
    ) -> list[Event]:
        events = self.engine.generate(ask(**members), request_id=request_id, stop=stop or Stop())
        return [event async for event in events]

    async def close(self) -> None:
        await self.engine.close()
        self.drop()
        if self.listening is not None:
            self.listening.close()
            await self.listening.wait_closed()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    bench = Bench(tmp_path)
    await bench.start()
    yield bench
    await bench.close()


def ask(text: str = "one two three", **members: Any) -> Request:
    messages = [Message(role=Role.USER, content=[Text(text=text)])]
    return Request(**({"model": "m", "messages": messages, "max_tokens": 3} | members))


async def until(happens: Any) -> None:
    async with asyncio.timeout(5):
        while not happens():
            await asyncio.sleep(0)


def let(bench: Bench, tokens: int) -> None:
    for _ in range(tokens):
        bench.model.let.release()


async def test_it_is_an_engine_that_counts(bench: Bench) -> None:
    engine: Engine = bench.engine
    assert isinstance(engine, Counts)
    assert await engine.count(ask()) == 3
    assert await bench.engine.ready() == READY


async def test_an_answer_crosses_the_channel_whole(bench: Bench) -> None:
    let(bench, 3)
    whole = fold(await bench.answer("r"))
    assert whole.content == [Text(text="word word word ")]
    assert whole.metadata.usage.input_tokens == 3
    assert whole.metadata.usage.output_tokens == 3


async def test_what_was_made_before_the_model_failed_is_told_before_that(bench: Bench) -> None:
    bench.model.fails_after = 2
    let(bench, 2)
    answer = bench.engine.generate(ask(), request_id="r", stop=Stop())
    for _ in range(2):  # of the message and of its block
        await anext(answer)
    for _ in range(2):
        assert await anext(answer) == TextDelta(index=0, text="word ")
    with pytest.raises(EngineFailed, match="The library broke"):
        await anext(answer)


async def test_a_refusal_comes_before_any_event_with_its_own_kind(bench: Bench) -> None:
    with pytest.raises(Unsupported, match="tool 't', at #: `not`"):
        await bench.answer("r", tools=[Tool(name="t", schema={"not": {}})])


async def test_a_prompt_over_the_context_is_refused_with_both_numbers(bench: Bench) -> None:
    with pytest.raises(ContextOverflow, match="50 tokens and the model's context holds 50"):
        await bench.answer("r", text="x " * 50)


async def test_an_answer_ends_where_the_context_does(bench: Bench) -> None:
    let(bench, 2)
    whole = fold(await bench.answer("r", text="x " * 48, max_tokens=10))
    assert whole.stop.stop_reason is StopReason.CONTEXT_WINDOW_EXCEEDED
    assert whole.metadata.usage.output_tokens == 2


async def test_a_stop_ends_the_answer_in_good_order(bench: Bench) -> None:
    stop = Stop()
    let(bench, 1)
    events: list[Event] = []
    async for event in bench.engine.generate(ask(), request_id="r", stop=stop):
        events.append(event)
        if len(events) == 3:
            stop.request()
    whole = fold(events)
    assert whole.content == [Text(text="word ")]
    assert whole.metadata.usage.output_tokens == 1
    assert bench.replica.capacity.running == 0


async def test_a_stop_in_the_same_breath_as_its_request_is_heard(bench: Bench) -> None:
    stop = Stop()
    stop.request()
    async with asyncio.timeout(5):
        whole = fold(await bench.answer("r", stop))
    assert whole.metadata.usage.total_tokens == 0
    assert bench.model.begun == 0


async def test_a_stop_while_it_waits_costs_nothing(bench: Bench) -> None:
    running = [asyncio.ensure_future(bench.answer(f"r{n}")) for n in range(SLOTS)]
    stop = Stop()
    waiting = asyncio.ensure_future(bench.answer("late", stop))
    await until(lambda: bench.replica.capacity.waiting == 1)
    stop.request()
    whole = fold(await waiting)
    assert whole.metadata.usage.total_tokens == 0
    assert whole.metadata.chip_us == 0
    let(bench, 6)
    await asyncio.gather(*running)


async def test_one_more_than_slots_and_queue_is_throttled(bench: Bench) -> None:
    running = [asyncio.ensure_future(bench.answer(f"r{n}")) for n in range(SLOTS + 1)]
    await until(lambda: bench.replica.capacity.waiting == 1)
    with pytest.raises(Throttled, match="2 requests run and 1 wait"):
        await bench.answer("late")
    let(bench, 9)
    await asyncio.gather(*running)


async def test_a_reader_that_goes_away_stops_its_generation(bench: Bench) -> None:
    let(bench, 1)
    answer = bench.engine.generate(ask(), request_id="r", stop=Stop())
    await anext(answer)
    await answer.aclose()
    await until(lambda: bench.model.ended == 1)
    await until(lambda: bench.replica.capacity.running == 0)


async def test_a_worker_that_hangs_up_stops_all_it_started(bench: Bench) -> None:
    running = [asyncio.ensure_future(bench.answer(f"r{n}")) for n in range(SLOTS)]
    await until(lambda: bench.model.begun == SLOTS)
    await bench.engine.close()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [EngineFailed] * SLOTS
    await until(lambda: bench.model.ended == SLOTS)


async def test_a_lost_process_fails_what_is_in_flight_and_the_next_one_serves(
    bench: Bench,
) -> None:
    running = asyncio.ensure_future(bench.answer("r"))
    await until(lambda: bench.model.begun == 1)
    bench.drop()
    with pytest.raises(EngineFailed, match="try again"):
        await running
    let(bench, 4)
    assert isinstance((await bench.answer("s"))[-1], Metadata)


async def test_a_process_that_is_still_loading_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    counting = asyncio.ensure_future(bench.engine.count(ask()))
    await asyncio.sleep(0.03)
    await bench.start()
    assert await counting == 3
    await bench.close()


async def test_a_process_that_never_comes_is_an_error_within_the_limit(tmp_path: Path) -> None:
    limits = Limits(ready_seconds=0.05, retry_seconds=0.01)
    engine = EmbeddedEngine(tmp_path / "none.sock", name="fake", limits=limits)
    with pytest.raises(EngineNotReady, match="still loading or restarting"):
        await engine.count(ask())


async def test_a_process_of_another_release_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    other = Ready(CONTRACT + 1, "fake", CONTEXT_TOKENS, SLOTS, 1, "Q4", "", 1)
    bench.server = EngineServer(bench.replica, other, Log("engine", stream=bench.log))
    await bench.start()
    with pytest.raises(EngineFailed, match="another release"):
        await bench.engine.ready()
    await bench.close()


async def test_a_silent_process_counts_as_dead(tmp_path: Path) -> None:
    def greet_only(channel: Channel[ToEngine], messages: Any) -> None:
        if any(isinstance(message, Hello) for message in messages):
            channel.send(READY)

    channels: list[Channel[ToEngine]] = []

    def accept() -> Channel[ToEngine]:
        channels.append(Channel(ToEngine, on_messages=greet_only))
        return channels[-1]

    socket = tmp_path / "engine.sock"
    listening = await asyncio.get_running_loop().create_unix_server(accept, str(socket))
    limits = Limits(health_seconds=0.01, silence_seconds=0.03)
    engine = EmbeddedEngine(socket, name="fake", limits=limits)
    with pytest.raises(EngineFailed, match="broke"):
        await engine.count(ask())
    await engine.close()
    for channel in channels:
        channel.close()
    listening.close()
    await listening.wait_closed()


async def test_an_unexpected_exception_is_internal_and_its_text_stays_out(bench: Bench) -> None:
    bench.model.breaks = True
    with pytest.raises(Internal, match="ZeroDivisionError") as caught:
        await bench.answer("r")
    assert "secret" not in caught.value.message
    assert b"ZeroDivisionError" in bench.log.getvalue()
    assert b"secret" not in bench.log.getvalue()


async def test_no_prompt_and_no_answer_is_logged(bench: Bench) -> None:
    let(bench, 3)
    await bench.answer("r", text="confidential matters")
    await until(lambda: b"engine.answered" in bench.log.getvalue())
    written = bench.log.getvalue()
    assert b'"request_id":"r"' in written
    assert b"confidential" not in written
    assert b"word" not in written
