"""When an answer of OpenAI's Responses is kept, and what its client sees if it can't be."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.apis.exchange import Told
from craton.apis.openai.responses import ResponseEndpoints
from craton.economics.contract import Posted
from craton.economics.meters import Outcome
from craton.kernel.errors import Unavailable
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
from craton.models.responses import (
    RESPONSE_BYTES_MAX,
    KeepResponse,
    KeptResponse,
    KeptResponses,
    ReadChain,
)
from tests.fakes.turns import MODEL, PRINCIPAL, FakeState, ScriptedEngine, Turn

SCRIPT = [
    MessageStart(),
    BlockStart(index=0),
    TextDelta(index=0, text="hello"),
    BlockStop(index=0),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(usage=Usage(input_tokens=7, output_tokens=5)),
]
COMPLETED = b"response.completed"


class KeepingState(FakeState):
    """A state process that keeps responses as well."""

    _READS = {
        **FakeState._READS,
        "keep_response": KeepResponse,
        "response_chain": ReadChain,
    }
    _REPLIES = {**FakeState._REPLIES, "keep_response": Posted(42, "USD")}

    def __init__(self) -> None:
        super().__init__()
        self.arrived |= {name: asyncio.Event() for name in ("keep_response", "response_chain")}

    async def call(self, name: str, body: Any, reads: type, **_: Any) -> Any:
        return await super().call(name, body, reads, resend=True)


class ResponseTurn(Turn):
    """One creation of a response on its way through its endpoint."""

    def __init__(
        self, *, stream: bool, script: Any = SCRIPT, stores: bool = True, **members: Any
    ) -> None:
        super().__init__(ScriptedEngine(script), stream=stream)
        self.state = KeepingState()
        self.inference._state = self.state  # type: ignore[assignment]
        body = {"model": MODEL, "stream": stream, "input": "one two three", **members}
        self.exchange.request.body = msgspec.json.encode(body)
        services: Any = SimpleNamespace(
            inference=self.inference,
            router=self.inference._router,
            state=self.state,
            clock=self.clock,
            stores_responses=stores,
        )
        self.endpoint = ResponseEndpoints(services).create

    async def run(self) -> None:
        await self.endpoint.run(self.exchange)

    @property
    def commands(self) -> list[str]:
        return [name for name, _ in self.state.calls if name != "hold"]


@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_tells_that_it_is_complete_before_it_is_kept(stream: bool) -> None:
    turn = ResponseTurn(stream=stream)
    turn.state.gates["keep_response"] = asyncio.Event()
    task = turn.begin()
    await turn.state.arrived["keep_response"].wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (b"hello" in turn.responder.body) is stream
    assert COMPLETED not in turn.responder.body
    assert not turn.responder.is_finished
    turn.state.gates["keep_response"].set()
    await task
    assert turn.responder.is_finished
    assert turn.commands == ["keep_response"]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_kept_is_what_the_client_was_told(stream: bool) -> None:
    turn = ResponseTurn(stream=stream)
    await turn.run()
    (command,) = turn.state.made("keep_response")
    assert command.kept.response in turn.responder.body
    document = msgspec.json.decode(command.kept.response)
    assert (document["id"], document["store"]) == (command.kept.id, True)
    assert command.kept.id == "resp_" + turn.exchange.request_id.replace("-", "")
    assert command.kept.account == PRINCIPAL.account
    (item,) = msgspec.json.decode(command.kept.input)
    assert item["content"] == [{"type": "input_text", "text": "one two three"}]
    assert command.record.quantities == {"input_tokens": 7, "output_tokens": 5}


async def test_an_answer_that_could_not_be_kept_is_none() -> None:
    turn = ResponseTurn(stream=True)
    turn.state.refuse["keep_response"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Told):
        await turn.run()
    assert COMPLETED not in turn.responder.body
    assert b"event: response.failed" in turn.responder.body
    whole = ResponseTurn(stream=False)
    whole.state.refuse["keep_response"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Unavailable):
        await whole.run()
    assert not whole.responder.is_started


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_not_to_be_kept_is_posted_alone(stream: bool) -> None:
    turn = ResponseTurn(stream=stream, store=False)
    await turn.run()
    assert turn.commands == ["post"]
    assert b'"store":false' in turn.responder.body


async def test_an_answer_nobody_waits_for_is_posted_alone() -> None:
    turn = ResponseTurn(stream=False)
    turn.responder.leave()
    await turn.run()
    assert turn.commands == ["post"]
    assert turn.state.record.outcome is Outcome.CLIENT_GONE


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_too_long_to_keep_is_posted_alone_and_told(stream: bool) -> None:
    long = TextDelta(index=0, text="x" * RESPONSE_BYTES_MAX)
    turn = ResponseTurn(stream=stream, script=[*SCRIPT[:2], long, *SCRIPT[3:]])
    await turn.run()
    assert turn.commands == ["post"]
    last = turn.responder.body.rpartition(COMPLETED)[2] if stream else turn.responder.body
    assert b'"store":false' in last


async def test_the_hold_bounds_a_conversation_that_was_not_sent() -> None:
    turn = ResponseTurn(stream=False, previous_response_id="resp_1")
    said = b'[{"type":"message","role":"user","content":"%b"}]' % (b"word " * 100)
    kept = KeptResponse("resp_1", "111111111111", 1, None, said, b'{"model":"gone","output":[]}')
    turn.state._REPLIES = {**turn.state._REPLIES, "response_chain": KeptResponses([kept])}
    await turn.run()
    (hold,) = turn.state.made("hold")
    sent = len(turn.exchange.request.body)
    assert hold.quantities["input_tokens"] == sent + len(said) + len(kept.response)
    engine = turn.inference._router.route(MODEL).engine
    assert [len(m.content) for m in engine.requests[0].messages] == [1, 1]  # type: ignore[attr-defined]
    (command,) = turn.state.made("keep_response")
    assert command.kept.previous == "resp_1"
    assert len(msgspec.json.decode(command.kept.input)) == 1


@pytest.mark.parametrize("store", [None, True, False])
async def test_an_operator_may_have_kept_only_what_asks_for_it(store: bool | None) -> None:
    members = {} if store is None else {"store": store}
    turn = ResponseTurn(stream=False, stores=False, **members)
    await turn.run()
    assert turn.commands == ["keep_response" if store else "post"]
    assert msgspec.json.decode(turn.responder.body)["store"] is bool(store)
