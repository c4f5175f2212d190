"""What one turn of a model touches, with every moment under the test's control."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from craton.access.directory import Directory
from craton.access.records import AccountId, KeyId, Principal, ProjectId, Role
from craton.apis.exchange import Exchange
from craton.apis.inference import Inference
from craton.apis.openai.endpoints import WIRE
from craton.apis.permit import Permits, Place
from craton.economics.bounds import Bounded
from craton.economics.contract import Held, Hold, Posted, Void, Voided
from craton.economics.meters import UsageRecord
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.messages import Event, Request
from craton.models.card import MODELS, EchoSource, ModelCard, Source
from craton.models.engine import Stop
from craton.models.router import Router
from craton.store.kind import Change

MODEL = "test.scripted-1"


class FakeState:
    """A state process that answers when the test says so, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.before_calls: Callable[[], Sequence[tuple[str, bytes]]] | None = None
        self.refuse: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.arrived: dict[str, asyncio.Event] = {
            name: asyncio.Event() for name in ("hold", "admit", "post", "void")
        }

    _READS: dict[str, Any] = {"hold": Hold, "admit": Hold, "post": UsageRecord, "void": Void}
    _REPLIES: dict[str, msgspec.Struct] = {
        "hold": Held(1),
        "admit": Held(1, 1234),
        "post": Posted(42, "USD"),
        "void": Voided(True),
    }

    async def submit(self, name: str, body: bytes, *, timeout_s: float, resend: bool) -> bytes:
        assert resend, f"{name} must survive a restart of the state process"
        self.calls.append((name, msgspec.msgpack.decode(body, type=self._READS[name])))
        self.arrived[name].set()
        if name in self.gates:
            await self.gates[name].wait()
        if name in self.refuse:
            raise self.refuse[name]
        return msgspec.msgpack.encode(self._REPLIES[name])

    def tell(self, name: str, body: bytes) -> None:
        if name == "holds":
            self.calls += [("hold", hold) for hold in msgspec.msgpack.decode(body, type=list[Hold])]
            self.arrived["hold"].set()
            return
        self.calls.append((name, msgspec.msgpack.decode(body, type=self._READS[name])))
        self.arrived[name].set()

    async def call(
        self, name: str, body: Any, reads: type, *, timeout_s: float = 10, resend: bool = False
    ) -> Any:
        encoded = msgspec.msgpack.encode(body)
        reply = await self.submit(name, encoded, timeout_s=timeout_s, resend=resend)
        return msgspec.msgpack.decode(reply, type=reads)

    def made(self, name: str) -> list[Any]:
        return [body for called, body in self.calls if called == name]

    @property
    def record(self) -> UsageRecord:
        (record,) = self.made("post")
        return record


class FakeResponder:
    """A client: what has reached it, and whether it is still there."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_gone = False
        self.is_started = False
        self.is_finished = False
        self.is_aborted = False
        self._callbacks: list[Callable[[], None]] = []

    def on_gone(self, callback: Callable[[], None]) -> None:
        if self.is_gone:
            callback()
        else:
            self._callbacks.append(callback)

    def leave(self) -> None:
        self.is_gone = True
        for callback in self._callbacks:
            callback()

    def respond(self, status: int, headers: Any, body: bytes) -> None:
        assert not self.is_started
        self.status, self.headers, self.body = status, dict(headers), body
        self.is_started = self.is_finished = True

    def start(self, status: int, headers: Any) -> None:
        assert not self.is_started
        self.status, self.headers, self.is_started = status, dict(headers), True

    def write(self, data: bytes) -> None:
        assert self.is_started
        assert not self.is_finished
        if not self.is_gone:
            self.body += data

    async def drain(self) -> None:
        pass

    def finish(self) -> None:
        assert self.is_started
        self.is_finished = True

    def abort(self) -> None:
        self.is_aborted = self.is_finished = True


class ScriptedEngine:
    """Yields what it was given: events, errors to raise, and gates to wait at."""

    def __init__(self, script: Sequence[Event | Exception | asyncio.Event]) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.is_closed = False

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncIterator[Event]:
        self.requests.append(request)
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def close(self) -> None:
        self.is_closed = True


PRINCIPAL = Principal(AccountId("111111111111"), ProjectId("proj-a"), KeyId("key-a"), Role.MEMBER)


def permits(clock: ManualClock, directory: Directory | None = None) -> Permits:
    place = Place("us-east-1", is_secure=False)
    return Permits(directory or Directory(), clock, place=place)


class Turn:
    """One request on its way through `Inference`."""

    def __init__(
        self,
        engine: Any,
        *,
        stream: bool,
        prompt: str = "one two three",
        source: Source | None = None,
        **members: Any,
    ) -> None:
        self.clock = ManualClock()
        self.state = FakeState()
        self.responder = FakeResponder()
        self.log = io.BytesIO()
        router = Router(lambda _: engine, lambda _: None)
        card = ModelCard(MODEL, "Scripted", "Test", source or EchoSource(), 1000, 100)
        router.apply(Change(MODELS.name, card.id, msgspec.json.encode(card)))
        self.bounded = Bounded()
        self.inference = Inference(
            bounded=self.bounded,
            router=router,
            state=self.state,  # type: ignore[arg-type]
            clock=self.clock,
            log=Log("gateway-0", stream=self.log, clock=self.clock),
        )
        document = {
            "model": MODEL,
            "stream": stream,
            "messages": [{"role": "user", "content": prompt}],
            **members,
        }
        if stream:
            document["stream_options"] = {"include_usage": True}
        body = msgspec.json.encode(document)
        http = HttpRequest("POST", b"/v1/chat/completions", b"", Headers(), body, "127.0.0.1")
        self.exchange = Exchange(
            http,
            self.responder,  # type: ignore[arg-type]
            Ids(self.clock).request_id(),
            self.clock.monotonic_ns(),
            WIRE,
            principal=PRINCIPAL,
            permit=permits(self.clock).of(PRINCIPAL, http),
        )

    async def run(self) -> None:
        request = WIRE.dialect.read_request(self.exchange.request.body)
        await self.inference.run(self.exchange, WIRE, request)

    def begin(self) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(self.run())
