import asyncio

import msgspec
import pytest

from craton.apis.exchange import Told
from craton.economics.contract import Void
from craton.economics.meters import Outcome
from craton.kernel.clock import ManualClock
from craton.kernel.errors import (
    EngineFailed,
    EngineNotReady,
    NotFound,
    Unavailable,
    Unsupported,
)
from craton.messages import (
    BlockStart,
    BlockStop,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    TextDelta,
    Usage,
)
from craton.models.engines.echo import EchoEngine
from tests.fakes.state_process import until
from tests.fakes.turns import MODEL, PRINCIPAL, ScriptedEngine, Turn

DONE = b"[DONE]"
FINISH = b'"finish_reason":"stop"'
USAGE = b'"completion_tokens"'
START = [MessageStart(), BlockStart(index=0), TextDelta(index=0, text="hello")]
USED = Usage(input_tokens=7, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2)
END = [
    BlockStop(index=0),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(usage=USED, chip_us=1234),
]


def echo() -> EchoEngine:
    return EchoEngine(ManualClock(), context_tokens=1000, output_tokens_default=100)


async def test_no_terminal_frame_leaves_before_the_post_is_acknowledged() -> None:
    turn = Turn(ScriptedEngine([*START, *END]), stream=True)
    turn.state.gates["post"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["post"].wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert b"hello" in turn.responder.body  # the text flows while the answer is generated
    for terminal in (DONE, FINISH, USAGE):
        assert terminal not in turn.responder.body
    assert not turn.responder.is_finished
    turn.state.gates["post"].set()
    await task
    for terminal in (DONE, FINISH, USAGE):
        assert terminal in turn.responder.body
    assert turn.responder.is_finished


async def test_no_whole_answer_leaves_before_the_post_is_acknowledged() -> None:
    turn = Turn(ScriptedEngine([*START, *END]), stream=False)
    turn.state.gates["post"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["post"].wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not turn.responder.is_started
    turn.state.gates["post"].set()
    await task
    assert turn.responder.status == 200
    answer = msgspec.json.decode(turn.responder.body)
    assert answer["choices"][0]["message"]["content"] == "hello"
    assert turn.responder.headers[b"x-craton-cost-nanos"] == b"42"
    assert turn.responder.headers[b"x-craton-model"] == MODEL.encode()


async def test_a_refused_post_ends_the_stream_with_an_error_and_no_terminal_frame() -> None:
    turn = Turn(ScriptedEngine([*START, *END]), stream=True)
    turn.state.refuse["post"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Told) as told:
        await turn.run()
    assert isinstance(told.value.error, Unavailable)
    assert b"The ledger could not be written." in turn.responder.body
    for terminal in (DONE, FINISH, USAGE):
        assert terminal not in turn.responder.body
    assert turn.responder.is_finished


async def test_a_refused_post_of_a_whole_answer_sends_nothing_of_it() -> None:
    turn = Turn(ScriptedEngine([*START, *END]), stream=False)
    turn.state.refuse["post"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Unavailable):
        await turn.run()
    assert not turn.responder.is_started


async def test_the_record_says_what_the_client_was_told() -> None:
    turn = Turn(ScriptedEngine([*START, *END]), stream=False)
    await turn.run()
    record = turn.state.record
    assert record.quantities == {
        "input_tokens": 7,
        "output_tokens": 5,
        "cache_read_tokens": 3,
        "cache_write_tokens": 2,
        "chip_us": 1234,
    }
    usage = msgspec.json.decode(turn.responder.body)["usage"]
    assert usage["prompt_tokens"] == 12
    assert usage["completion_tokens"] == 5
    assert (record.account, record.project, record.principal) == (
        PRINCIPAL.account,
        PRINCIPAL.project,
        PRINCIPAL.key,
    )
    assert record.request_id == turn.exchange.request_id
    assert (record.resource, record.outcome) == (MODEL, Outcome.COMPLETE)


async def test_the_hold_comes_first_and_bounds_what_is_posted() -> None:
    turn = Turn(echo(), stream=False)
    await turn.run()
    assert [name for name, _ in turn.state.calls] == ["hold", "post"]
    (hold,) = turn.state.made("hold")
    record = turn.state.record
    assert hold.request_id == record.request_id
    assert hold.quantities["input_tokens"] >= record.quantities["input_tokens"]
    assert hold.quantities["output_tokens"] >= record.quantities["output_tokens"]


async def test_an_unknown_model_is_refused_before_anything_else() -> None:
    engine = ScriptedEngine([*START, *END])
    turn = Turn(engine, stream=False)
    body = turn.exchange.request.body.replace(MODEL.encode(), b"test.unknown-1")
    turn.exchange.request.body = body
    with pytest.raises(NotFound, match=MODEL):
        await turn.run()
    assert engine.requests == []
    assert turn.state.calls == []


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_fails_before_its_first_event_bills_nothing(stream: bool) -> None:
    turn = Turn(ScriptedEngine([EngineNotReady("It is loading.")]), stream=stream)
    with pytest.raises(EngineNotReady):
        await turn.run()
    assert not turn.responder.is_started
    await until(lambda: turn.state.made("void") == [Void(turn.exchange.request_id)])
    assert turn.state.made("post") == []


async def test_an_engine_that_fails_later_ends_the_stream_with_an_error_frame() -> None:
    turn = Turn(ScriptedEngine([*START, EngineFailed("The engine died.")]), stream=True)
    with pytest.raises(Told):
        await turn.run()
    assert b"The engine died." in turn.responder.body
    assert DONE not in turn.responder.body
    await until(lambda: turn.state.made("void") == [Void(turn.exchange.request_id)])
    assert turn.state.made("post") == []


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_ends_without_its_figures_failed(stream: bool) -> None:
    turn = Turn(ScriptedEngine([*START, *END[:-1]]), stream=stream)
    with pytest.raises((Told, EngineFailed)):
        await turn.run()
    assert turn.state.made("post") == []
    assert DONE not in turn.responder.body


async def test_what_an_engine_cannot_serve_is_refused_and_voided() -> None:
    turn = Turn(ScriptedEngine([Unsupported("It can't serve tools.")]), stream=True)
    with pytest.raises(Unsupported):
        await turn.run()
    await until(lambda: len(turn.state.made("void")) == 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_left_stops_the_engine_and_pays_for_what_was_made(
    stream: bool,
) -> None:
    """The echo engine writes a word an event; the client leaves after the second."""
    turn = Turn(echo(), stream=stream, prompt="one two three four five six")
    written = 0

    async def leave_after_two() -> None:
        nonlocal written
        written += 1
        if written == 4:  # message start, then words: block start has no frame
            turn.responder.leave()

    turn.responder.drain = leave_after_two  # type: ignore[method-assign]
    if not stream:
        turn.responder.leave()
    await turn.run()
    record = turn.state.record
    assert record.outcome is Outcome.CLIENT_GONE
    assert record.quantities["input_tokens"] == 6
    assert record.quantities.get("output_tokens", 0) == (3 if stream else 0)
    assert turn.state.made("void") == []


async def test_open_holds_are_said_again_on_a_new_connection_until_they_end() -> None:
    gate = asyncio.Event()
    turn = Turn(ScriptedEngine([*START, gate, *END]), stream=True)
    task = turn.begin()
    await until(lambda: b"hello" in turn.responder.body)
    assert turn.state.before_calls is not None
    ((name, body),) = turn.state.before_calls()
    assert name == "hold"
    assert turn.exchange.request_id.encode() in body
    gate.set()
    await task
    assert list(turn.state.before_calls()) == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cancelled_turn_releases_its_hold(stream: bool) -> None:
    turn = Turn(ScriptedEngine([*START, asyncio.Event()]), stream=stream)
    task = turn.begin()
    await turn.state.arrived["hold"].wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: turn.state.made("void") == [Void(turn.exchange.request_id)])
    assert turn.state.before_calls is not None
    assert list(turn.state.before_calls()) == []


async def test_a_stream_of_an_empty_answer_is_whole() -> None:
    turn = Turn(ScriptedEngine([MessageStart(), *END[1:]]), stream=True)
    await turn.run()
    assert turn.responder.status == 200
    assert turn.responder.body.endswith(b"data: [DONE]\n\n")


async def test_a_hold_is_told_while_its_turn_runs() -> None:
    turn = Turn(ScriptedEngine([*START, asyncio.Event()]), stream=True)
    task = turn.begin()
    await until(lambda: b"hello" in turn.responder.body)
    await asyncio.wait_for(turn.state.arrived["hold"].wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_holds_are_told_at_once_when_asked_for() -> None:
    turn = Turn(ScriptedEngine([*START, asyncio.Event()]), stream=True)
    task = turn.begin()
    await until(lambda: b"hello" in turn.responder.body)
    turn.inference.tell_holds()
    assert [name for name, _ in turn.state.calls] == ["hold"]
    turn.inference.tell_holds()
    assert [name for name, _ in turn.state.calls] == ["hold"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
