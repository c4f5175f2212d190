"""A WebSocket of OpenAI's Responses: what a message becomes, and what a connection remembers."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.access.records import Credential
from craton.apis.exchange import Exchange, Told
from craton.apis.openai.responses import WIRE, ResponseEndpoints
from craton.apis.openai.responses_session import (
    REMEMBERED_BYTES_MAX,
    Recalled,
    Room,
    Session,
    read_message,
    read_stream_id,
)
from craton.apis.openai.responses_socket import ResponseSocket
from craton.economics.meters import Outcome
from craton.http import Headers, HttpRequest
from craton.http.websocket import Ending, WebSocketLimits
from craton.kernel.errors import BadRequest, CratonError, EngineFailed, Unavailable, Unsupported
from craton.models.responses import KeptResponses
from tests.fakes.turns import MODEL, PRINCIPAL, ScriptedEngine, Turn, permits
from tests.fakes.websocket_client import TERMINAL
from tests.unit.apis.test_openai_responses_turn import SCRIPT, KeepingState

HELLO = [{"type": "message", "role": "user", "content": "hello"}]
API_KEY = msgspec.structs.replace(PRINCIPAL, credential=Credential.API_KEY)


class FakeWebSocket:
    """A connection whose client has said all it will; its requests go to the endpoint alone."""

    def __init__(self, talk: "Talk", messages: list[bytes]) -> None:
        self._talk = talk
        self._messages = messages
        self.ending: Ending | None = None
        self.events: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.is_gone = False
        self.on_gone: Any = None

    async def receive(self) -> bytes | None:
        if self._messages and not self.is_gone:
            return self._messages.pop(0)
        self.ending = self.ending or Ending.CLIENT
        return None

    def send(self, text: bytes) -> None:
        if not self.is_gone:
            self.events.append(msgspec.json.decode(text))

    async def drain(self) -> None:
        pass

    def leave(self) -> None:
        self.is_gone = True
        if self.on_gone is not None:
            self.on_gone()

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or code

    async def handle(self, request: HttpRequest, responder: Any) -> None:
        await self._talk.handle(request, responder)


class Talk:
    """One connection and what it touches."""

    def __init__(
        self, *messages: Any, script: Any = SCRIPT, limits: WebSocketLimits | None = None
    ) -> None:
        self.turn = Turn(ScriptedEngine(script), stream=True)
        self.engine: ScriptedEngine = self.turn.inference._router.route(MODEL).engine  # type: ignore[assignment]
        self.state = KeepingState()
        self.state._REPLIES = {**self.state._REPLIES, "response_chain": KeptResponses([])}
        self.turn.inference._state = self.state  # type: ignore[assignment]
        services: Any = SimpleNamespace(
            inference=self.turn.inference,
            router=self.turn.inference._router,
            state=self.state,
            clock=self.turn.clock,
            stores_responses=True,
        )
        self.create = ResponseEndpoints(services).create
        self.room = Room()
        self.socket = FakeWebSocket(self, [self._encoded(message) for message in messages])
        self.count = 0
        self.limits = limits or WebSocketLimits()

    def _encoded(self, message: Any) -> bytes:
        if isinstance(message, bytes):
            return message
        return msgspec.json.encode({"type": "response.create", "model": MODEL, **message})

    async def handle(self, request: HttpRequest, responder: Any) -> None:
        self.count += 1
        assert (request.method, request.raw_path) == ("POST", b"/v1/responses")
        assert request.headers.get(b"authorization") == b"Bearer x"
        clock = self.turn.clock
        id = f"01a2063f-0000-7000-8000-{self.count:012d}"
        permit = permits(clock).of(API_KEY, request)
        exchange = Exchange(
            request, responder, id, clock.monotonic_ns(), WIRE, principal=API_KEY, permit=permit
        )
        try:
            await self.create.run(exchange)
        except Told:
            pass
        except CratonError as error:
            exchange.respond(WIRE.error(error, id))

    async def run(self, principal: Any = API_KEY) -> list[dict[str, Any]]:
        opening = HttpRequest(
            "GET", b"/v1/responses", b"", Headers([(b"authorization", b"Bearer x")]), b"", "::1"
        )
        responder: Any = SimpleNamespace()
        exchange = Exchange(opening, responder, "id", 0, WIRE, principal=principal)
        fake: Any = self.socket
        endpoint = ResponseSocket(limits=self.limits, room=self.room, open=lambda *_, **__: fake)
        await endpoint.connect.run(exchange)
        return self.socket.events

    @property
    def ended(self) -> list[str]:
        """What each message ended with: the status of its response, or an error's code."""
        return [
            event["response"]["status"] if "response" in event else str(event["error"]["code"])
            for event in self.socket.events
            if event["type"] in TERMINAL
        ]

    def asked(self, number: int) -> int:
        """How many messages the conversation of a turn had, as its model got it."""
        return len(self.engine.requests[number].messages)


def continuing(number: int) -> str:
    """The id of the response to the message of that number."""
    return f"resp_01a2063f000070008000{number:012d}"


async def test_an_answer_is_the_events_of_its_stream_one_message_each() -> None:
    talk = Talk({"input": HELLO, "store": False})
    events = await talk.run()
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 1
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all("stream_id" not in event for event in events)
    assert events[-1]["response"]["id"] == continuing(1)
    assert [name for name, _ in talk.state.calls] == ["hold", "post"]


async def test_nothing_says_that_it_is_complete_before_its_cost_is_durable() -> None:
    talk = Talk({"input": HELLO, "store": False})
    talk.state.gates["post"] = asyncio.Event()
    task = asyncio.create_task(talk.run())
    await talk.state.arrived["post"].wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert talk.socket.events[-1]["type"] == "response.output_item.done"
    talk.state.gates["post"].set()
    await task
    assert talk.ended == ["completed"]


async def test_an_answer_that_could_not_be_posted_fails_with_one_event() -> None:
    talk = Talk({"input": HELLO, "store": False}, {"input": HELLO, "store": False})
    talk.state.refuse["post"] = Unavailable("The ledger could not be written.")
    events = await talk.run()
    assert talk.ended == ["failed", "failed"]
    assert events[-1]["response"]["error"]["message"] == "The ledger could not be written."


async def test_what_is_not_stored_is_continued_on_its_own_connection() -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        {"input": HELLO, "store": False, "previous_response_id": continuing(1)},
        {"input": HELLO, "store": False, "previous_response_id": continuing(2)},
    )
    events = await talk.run()
    assert talk.ended == ["completed"] * 3
    assert [talk.asked(number) for number in range(3)] == [1, 3, 5]
    assert events[-1]["response"]["previous_response_id"] == continuing(2)
    # The state process was never asked for it, and the hold counts what wasn't sent.
    assert {name for name, _ in talk.state.calls} == {"hold", "post"}
    held = [hold.quantities["input_tokens"] for hold in talk.state.made("hold")]
    assert held[0] < held[1] < held[2]


async def test_only_the_last_response_is_remembered() -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        {"input": HELLO, "store": False},
        {"input": HELLO, "store": False, "previous_response_id": continuing(1)},
        {"input": HELLO, "store": False, "previous_response_id": continuing(2)},
    )
    talk.state.refuse["response_chain"] = BadRequest("gone", code="previous_response_not_found")
    events = await talk.run()
    assert talk.ended == ["completed", "completed", "previous_response_not_found", "completed"]
    (error,) = [event for event in events if event["type"] == "error"]
    assert (error["status"], error["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "failing",
    [
        {"input": [{"type": "function_call_output", "call_id": "call_x", "output": "1"}]},
        {"input": HELLO, "nonsense": 1},
    ],
)
async def test_what_a_failed_turn_rested_on_is_forgotten(failing: dict[str, Any]) -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        {**failing, "store": False, "previous_response_id": continuing(1)},
        {"input": HELLO, "store": False, "previous_response_id": continuing(1)},
    )
    talk.state.refuse["response_chain"] = BadRequest("gone", code="previous_response_not_found")
    await talk.run()
    assert talk.ended == ["completed", "None", "previous_response_not_found"]
    assert talk.room.free_bytes == REMEMBERED_BYTES_MAX


async def test_a_turn_that_fails_elsewhere_takes_nothing_away() -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        {"input": HELLO, "nonsense": 1},
        {"input": HELLO, "store": False, "previous_response_id": continuing(1)},
    )
    await talk.run()
    assert talk.ended == ["completed", "None", "completed"]


async def test_an_engine_that_breaks_ends_its_answer_and_not_the_connection() -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        script=[*SCRIPT[:3], EngineFailed("The engine broke.")],
    )
    talk.socket._messages.append(talk._encoded({"input": HELLO, "store": False}))
    await talk.run()
    assert talk.ended == ["failed", "failed"]


async def test_a_stored_answer_is_kept_and_not_remembered_as_well() -> None:
    talk = Talk(
        {"input": HELLO, "store": False},
        {"input": HELLO, "previous_response_id": continuing(1)},
        {"input": HELLO, "store": False, "previous_response_id": continuing(2)},
    )
    talk.state.refuse["response_chain"] = BadRequest("gone", code="previous_response_not_found")
    await talk.run()
    # A response that was stored and then deleted can't be continued, here either.
    assert talk.ended == ["completed", "completed", "previous_response_not_found"]
    (command,) = talk.state.made("keep_response")
    # What it continued can't be looked up by anybody, so it is kept whole.
    assert command.kept.previous is None
    assert len(msgspec.json.decode(command.kept.input)) == 3


async def test_warming_up_asks_no_model_and_is_continued() -> None:
    talk = Talk(
        {"input": HELLO, "generate": False},
        {"input": HELLO, "store": False, "previous_response_id": continuing(1)},
    )
    events = await talk.run()
    assert talk.ended == ["completed", "completed"]
    warm = next(event for event in events if event["type"] == "response.completed")["response"]
    assert (warm["output"], warm["store"], warm["usage"]["total_tokens"]) == ([], False, 0)
    assert len(talk.engine.requests) == 1
    assert talk.asked(0) == 2
    assert len(talk.state.made("post")) == 1


async def test_warming_up_needs_no_input() -> None:
    talk = Talk({"instructions": "Be brief.", "generate": False}, {"instructions": "Be brief."})
    await talk.run()
    assert talk.ended == ["completed", "None"]


async def test_a_lane_is_told_in_every_event_of_its_answer() -> None:
    talk = Talk(
        {"input": HELLO, "store": False, "stream_id": "a"},
        {"input": HELLO, "nonsense": 1, "stream_id": 'b"'},
        {"type": "response.steer", "stream_id": "c"},
    )
    events = await talk.run()
    assert [event["stream_id"] for event in events[:-2]] == ["a"] * (len(events) - 2)
    assert [event["stream_id"] for event in events[-2:]] == ['b"', "c"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"[1]", "not a JSON object"),
        (b"{", "not valid JSON"),
        (b'{"type":"response.cancel"}', "`type`: expected `response.create`"),
        (b"{}", "`type`: expected `response.create`"),
        (b'{"type":"response.steer"}', "`type`: 'response.steer' is not served"),
        (b'{"type":"response.create","stream":false}', "`stream`: every answer"),
        (b'{"type":"response.create","generate":"no"}', "`generate`: expected a boolean"),
        (b'{"type":"response.create","stream_id":""}', "`stream_id`: expected 1 to"),
        (b'{"type":"response.create","stream_id":1}', "`stream_id`: expected a string"),
        (b'{"type":"response.create","model":"m","background":true}', "`background`: "),
        (b'{"type":"response.create","input":"x"}', "`model`: is required"),
    ],
)
async def test_what_is_wrong_with_a_message_is_an_error_event(message: bytes, told: str) -> None:
    talk = Talk(message, {"input": HELLO, "store": False})
    events = await talk.run()
    assert (events[0]["type"], events[0]["status"]) == ("error", 400)
    assert told in events[0]["error"]["message"]
    assert talk.ended[1] == "completed"


async def test_a_client_that_leaves_ends_its_answer_and_is_billed() -> None:
    gate = asyncio.Event()
    talk = Talk({"input": HELLO, "store": False}, script=[*SCRIPT[:3], gate, *SCRIPT[3:]])
    task = asyncio.create_task(talk.run())
    while not talk.socket.events or "delta" not in talk.socket.events[-1]:
        await asyncio.sleep(0)
    (running,) = talk.turn.inference._turns.values()
    assert not running.stop.requested
    talk.socket.leave()
    assert running.stop.requested
    gate.set()
    await task
    assert talk.state.record.outcome is Outcome.CLIENT_GONE


async def test_an_old_connection_is_told_so_and_closed() -> None:
    talk = Talk(limits=WebSocketLimits(lifetime_s=3600))
    talk.socket.ending = Ending.AGE
    events = await talk.run()
    assert talk.ended == ["websocket_connection_limit_reached"]
    assert "60 minutes" in events[0]["error"]["message"]
    assert talk.socket.closed == 1000


async def test_a_closing_server_says_that_it_goes_away() -> None:
    talk = Talk()
    talk.socket.ending = Ending.SERVER
    await talk.run()
    assert (talk.socket.events, talk.socket.closed) == ([], 1001)


async def test_a_signature_opens_no_websocket() -> None:
    with pytest.raises(Unsupported, match="API key"):
        await Talk().run(PRINCIPAL)


def test_what_connections_remember_has_a_bound() -> None:
    room = Room(100)
    one, two = (Session(None, room) for _ in range(2))  # type: ignore[arg-type]
    one.remember(Recalled("a", b"x" * 60, frozenset()))
    two.remember(Recalled("b", b"x" * 60, frozenset()))
    assert one.recall("a") is not None
    assert (two.recall("b"), room.free_bytes) == (None, 40)
    one.forget()
    two.remember(Recalled("b", b"x" * 60, frozenset()))
    assert (two.recall("b") is not None, two.recall(None), room.free_bytes) == (True, None, 40)


def test_a_message_is_the_body_of_a_request_with_what_only_it_has_taken_out() -> None:
    message = read_message(
        b'{"type":"response.create","stream_id":"s","generate":true,"model":"m",'
        b'"previous_response_id":"resp_1","input":{"big":12345678901234567890123}}'
    )
    assert msgspec.json.decode(message.body, type=dict[str, msgspec.Raw]).keys() == {
        "model",
        "previous_response_id",
        "input",
        "stream",
    }
    assert b"12345678901234567890123" in message.body
    assert (message.previous, message.stream_id, message.generates) == ("resp_1", "s", True)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"stream_id":5}', b'{"stream_id":""}', b"\xff"])
def test_a_message_of_no_lane_has_none(text: bytes) -> None:
    assert read_stream_id(text) is None
