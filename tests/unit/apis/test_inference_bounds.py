import asyncio
from typing import Any

import msgspec
import pytest

from craton.apis.exchange import Told
from craton.economics.bounds import BUDGETS, LIMITS, Budget, Limit, Period, Scope
from craton.economics.contract import Hold, Void
from craton.economics.meters import PROMPT_TOKENS
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BudgetExceeded, Throttled, Unavailable
from craton.messages import (
    BlockStart,
    BlockStop,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    StopReason,
    TextDelta,
    Usage,
)
from craton.models.card import EmbeddedSource, RemoteSource
from craton.models.engines.echo import EchoEngine
from craton.store.contract import UNANSWERED
from craton.store.kind import Change
from tests.fakes.turns import MODEL, PRINCIPAL, ScriptedEngine, Turn

SCRIPT = [
    MessageStart(),
    BlockStart(index=0),
    TextDelta(index=0, text="hello"),
    BlockStop(index=0),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(usage=Usage(input_tokens=7, output_tokens=5)),
]
REMOTE = RemoteSource("http://127.0.0.1:9", "far")


def echo() -> EchoEngine:
    return EchoEngine(ManualClock(), context_tokens=1000, output_tokens_default=100)


def bound(turn: Turn, subject: str = PRINCIPAL.key) -> None:
    budget = Budget("bud-1", "b", "acc", Scope.KEY, (subject,), 5, "USD", Period.DAY)
    turn.bounded.apply(Change(BUDGETS.name, budget.id, msgspec.json.encode(budget)))


def bounded(engine: Any, *, stream: bool = False, **options: Any) -> Turn:
    turn = Turn(engine, stream=stream, **options)
    bound(turn)
    return turn


class CountingEngine(ScriptedEngine):
    """Says that every prompt has 77 tokens."""

    async def count(self, request: Request) -> int:
        return 77


async def turns_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_engine_begins_only_when_the_hold_was_granted(stream: bool) -> None:
    engine = ScriptedEngine(SCRIPT)
    turn = bounded(engine, stream=stream)
    turn.state.gates["admit"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["admit"].wait()
    await turns_of_the_loop()
    assert engine.requests == []
    turn.state.gates["admit"].set()
    await task
    assert len(engine.requests) == 1
    assert [name for name, _ in turn.state.calls] == ["admit", "post"]


@pytest.mark.parametrize("refusal", [BudgetExceeded("none left"), Throttled("too fast")])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_request_never_reaches_the_engine(stream: bool, refusal: Exception) -> None:
    engine = ScriptedEngine(SCRIPT)
    turn = bounded(engine, stream=stream)
    turn.state.refuse["admit"] = refusal
    with pytest.raises(type(refusal)):
        await turn.run()
    assert engine.requests == []
    assert turn.state.made("post") == []
    assert not turn.responder.is_started


async def test_whoever_is_not_bounded_waits_for_nothing() -> None:
    turn = Turn(ScriptedEngine(SCRIPT), stream=False)
    bound(turn, "another key")
    other = Limit("lim-1", "l", "acc", Scope.KEY, (PRINCIPAL.key,), "lab.other", 1)
    turn.bounded.apply(Change(LIMITS.name, other.id, msgspec.json.encode(other)))
    await turn.run()
    assert [name for name, _ in turn.state.calls] == ["hold", "post"]


async def test_the_hold_names_account_project_and_key() -> None:
    for turn in (Turn(echo(), stream=False), bounded(echo())):
        await turn.run()
        hold: Hold = turn.state.calls[0][1]
        assert (hold.account, hold.project, hold.principal) == (
            PRINCIPAL.account,
            PRINCIPAL.project,
            PRINCIPAL.key,
        )


async def test_an_engine_that_counts_is_asked_for_the_prompts_tokens() -> None:
    turn = bounded(CountingEngine(SCRIPT), max_tokens=9)
    await turn.run()
    (hold,) = turn.state.made("admit")
    assert hold.quantities == {"input_tokens": 77, "output_tokens": 9}


async def test_a_prompt_that_nobody_counts_has_at_most_as_many_tokens_as_bytes() -> None:
    turn = bounded(ScriptedEngine(SCRIPT), source=EmbeddedSource(weights="w"))
    await turn.run()
    (hold,) = turn.state.made("admit")
    assert hold.quantities["input_tokens"] == len(turn.exchange.request.body)


async def test_a_remote_prompt_is_held_at_the_dearest_it_can_cost() -> None:
    turn = bounded(ScriptedEngine(SCRIPT), source=REMOTE)
    await turn.run()
    (hold,) = turn.state.made("admit")
    assert set(hold.quantities) == {PROMPT_TOKENS, "output_tokens"}


@pytest.mark.parametrize(
    ("source", "held"),
    [
        (EmbeddedSource(weights="w"), {"input_tokens": 77, "output_tokens": 27}),
        (REMOTE, {PROMPT_TOKENS: 231, "output_tokens": 27}),
    ],
    ids=["our own reads the prompt once", "elsewhere each is asked for by itself"],
)
async def test_every_choice_is_held(source: Any, held: dict[str, int]) -> None:
    turn = bounded(CountingEngine(SCRIPT), max_tokens=9, n=3, source=source)
    await turn.run()
    (hold,) = turn.state.made("admit")
    assert hold.quantities == held


async def test_every_choice_is_held_where_nothing_is_bounded() -> None:
    turn = Turn(ScriptedEngine(SCRIPT), stream=False, max_tokens=9, n=3)
    await turn.run()
    (hold,) = turn.state.made("hold")
    assert hold.quantities["output_tokens"] == 27


@pytest.mark.parametrize(
    ("asked", "held"),
    [({}, 100), ({"max_tokens": 7}, 7), ({"max_tokens": 5000}, 1000)],
    ids=["the card's default", "the caller's", "the context"],
)
async def test_the_engine_may_generate_as_much_as_is_held_and_no_more(
    asked: dict[str, int], held: int
) -> None:
    engine = ScriptedEngine(SCRIPT)
    turn = bounded(engine, **asked)
    await turn.run()
    (hold,) = turn.state.made("admit")
    assert hold.quantities["output_tokens"] == held
    assert [request.max_tokens for request in engine.requests] == [held]


async def test_the_cards_default_reaches_the_engine_for_everyone() -> None:
    engine = ScriptedEngine(SCRIPT)
    await Turn(engine, stream=False).run()
    assert [request.max_tokens for request in engine.requests] == [100]


async def test_only_a_granted_hold_is_said_again_with_the_moment_it_was_taken() -> None:
    gate = asyncio.Event()
    turn = bounded(ScriptedEngine([*SCRIPT[:3], gate, *SCRIPT[3:]]))
    turn.state.gates["admit"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["admit"].wait()
    assert turn.state.before_calls is not None
    assert list(turn.state.before_calls()) == []
    turn.state.gates["admit"].set()
    await turns_of_the_loop()
    ((name, body),) = turn.state.before_calls()
    assert name == "hold"
    assert msgspec.msgpack.decode(body, type=Hold).at_ms == 1234
    gate.set()
    await task


async def test_a_turn_that_is_cancelled_while_it_waits_takes_its_request_back() -> None:
    turn = bounded(ScriptedEngine(SCRIPT))
    turn.state.gates["admit"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["admit"].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turn.state.made("void") == [Void(turn.exchange.request_id)]


@pytest.mark.parametrize(
    ("refusal", "voids"),
    [
        (Unavailable("The ledger could not be written."), 1),
        (Unavailable("No answer came in time.", code=UNANSWERED), 0),
    ],
    ids=["refused", "unanswered"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_post_that_was_refused_frees_its_hold_and_one_that_may_yet_come_keeps_it(
    stream: bool, refusal: Exception, voids: int
) -> None:
    turn = bounded(ScriptedEngine(SCRIPT), stream=stream)
    turn.state.refuse["post"] = refusal
    with pytest.raises((Unavailable, Told)):
        await turn.run()
    assert len(turn.state.made("void")) == voids


async def test_the_model_that_is_bounded_is_the_card_not_the_name_that_was_asked() -> None:
    turn = Turn(ScriptedEngine(SCRIPT), stream=False)
    limit = Limit("lim-1", "l", "acc", Scope.KEY, (PRINCIPAL.key,), MODEL, 1)
    turn.bounded.apply(Change(LIMITS.name, limit.id, msgspec.json.encode(limit)))
    await turn.run()
    assert turn.state.made("admit")[0].resource == MODEL
