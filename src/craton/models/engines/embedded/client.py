"""The gateway's side of an engine process: an `Engine` over a channel.

One connection carries all requests of a worker. It is opened when first needed and again after it
was lost, so the engine process may be killed and restarted at any time: requests in flight fail
with `EngineFailed`, later ones wait for the next process within a limit.

Memory is bounded: an answer has no more events than the model's context has tokens, and the queue
of each request can hold no more than that. The channel isn't paused for one slow reader, since
that would hold up every other answer of the worker.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.errors import CratonError, EngineFailed, EngineNotReady, raised
from craton.messages import Event, Metadata, Request
from craton.models.engine import Stop
from craton.models.engines.embedded.contract import (
    CONTRACT,
    Count,
    Counted,
    Events,
    Failed,
    FromEngine,
    Generate,
    Health,
    Healthy,
    Hello,
    Ready,
    StopGeneration,
)
from craton.models.engines.embedded.requirements import Plan, may_need_help, plan
from craton.models.engines.embedded.tools import template_knows_tools

Inbox = asyncio.Queue[list[Event] | int | CratonError]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds."""

    ready_seconds: float = 20.0
    """For a process that is loading or restarting, before EngineNotReady."""
    retry_seconds: float = 0.05
    """Between attempts to connect."""
    health_seconds: float = 2.0
    """Between questions for the process's health, while it works for this worker."""
    silence_seconds: float = 20.0
    """Without any message while it should send some, before the process counts as dead."""


class EmbeddedEngine:
    """`Engine` and `Counts`, served by the process that listens on `socket`."""

    def __init__(self, socket: Path, *, name: str, limits: Limits | None = None) -> None:
        self._socket = socket
        self._name = name
        self._limits = limits or Limits()
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()
        self._is_closed = False

    async def ready(self) -> Ready:
        """What the process serves; waits while it loads, EngineNotReady past the limit."""
        return (await self._linked()).facts

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncGenerator[Event]:
        """Yield the answer's events."""
        planned = plan(request)
        link = await self._linked()
        planned = link.helped(request, planned)
        inbox = link.open(request_id)
        is_whole = False
        try:
            link.send(Generate(request_id, planned))
            stop.on_request(lambda: link.send(StopGeneration(request_id)))
            while not is_whole:
                match await inbox.get():
                    case CratonError() as error:
                        is_whole = True
                        raise error
                    case list() as events:
                        is_whole = isinstance(events[-1], Metadata)
                        for event in events:
                            yield event
                    case int():
                        raise AssertionError("a generation was answered with a count")
        finally:
            link.close_request(request_id)
            if not is_whole:
                link.send(StopGeneration(request_id))

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request, template included."""
        planned = plan(request)
        link = await self._linked()
        planned = link.helped(request, planned)
        request_id = link.next_count_id()
        inbox = link.open(request_id)
        try:
            link.send(Count(request_id, planned.prompt))
            match await inbox.get():
                case CratonError() as error:
                    raise error
                case int() as tokens:
                    return tokens
                case list():
                    raise AssertionError("a count was answered with events")
        finally:
            link.close_request(request_id)

    async def close(self) -> None:
        """Hang up; what is in flight fails."""
        self._is_closed = True
        if self._link is not None:
            self._link.hang_up()

    async def _linked(self) -> "_Link":
        """The open connection, made anew where there is none."""
        async with self._connecting:
            if self._link is None or not self._link.is_open:
                self._link = await self._connect()
            return self._link

    async def _connect(self) -> "_Link":
        limits = self._limits
        try:
            async with asyncio.timeout(limits.ready_seconds):
                while True:
                    if self._is_closed:
                        raise EngineNotReady(f"The engine {self._name} is closed.")
                    if link := await self._attempt():
                        return link
                    await asyncio.sleep(limits.retry_seconds)
        except TimeoutError as error:
            raise EngineNotReady(
                f"The engine {self._name} is still loading or restarting after "
                f"{limits.ready_seconds:g} s. Try again in a moment."
            ) from error

    async def _attempt(self) -> "_Link | None":
        link = _Link(self._name, self._limits)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: link.channel, str(self._socket))
        except OSError:
            return None  # it doesn't listen yet
        try:
            return link if await link.greet() else None
        except BaseException:
            link.hang_up()
            raise


class _Link:
    """One connection and the requests in flight on it."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._inboxes: dict[str, Inbox] = {}
        self._counts = 0
        self._loop = asyncio.get_running_loop()
        self._facts: asyncio.Future[Ready | None] = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._is_silent = False
        self.channel: Channel[FromEngine] = Channel(
            FromEngine, on_messages=self._take, on_closed=self._closed
        )

    @property
    def is_open(self) -> bool:
        return self.channel.is_open and not self._is_silent

    @property
    def facts(self) -> Ready:
        facts = self._facts.result()
        assert facts is not None, "the link was used before it was ready"
        return facts

    async def greet(self) -> bool:
        """Introduce this worker; False where the process died meanwhile."""
        self.channel.send(Hello())
        facts = await self._facts
        if facts is not None and facts.contract != CONTRACT:
            self.hang_up()
            raise EngineFailed(
                f"The engine process of {self._name} is of another release of Craton "
                f"(contract {facts.contract}, not {CONTRACT}). Restart it."
            )
        return facts is not None

    def helped(self, request: Request, planned: Plan) -> Plan:
        """The plan, made again where this model needs help to decide on a call."""
        if may_need_help(planned) and not template_knows_tools(self.facts.chat_template):
            return plan(request, must_help=True)
        return planned

    def next_count_id(self) -> str:
        self._counts += 1
        return f"count-{self._counts}"

    def open(self, request_id: str) -> Inbox:
        assert request_id not in self._inboxes, f"request {request_id} is in flight already"
        inbox: Inbox = asyncio.Queue()
        self._inboxes[request_id] = inbox
        if not self.is_open:
            inbox.put_nowait(self._lost())
        elif self._timer is None:
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(self._limits.health_seconds, self._check)
        return inbox

    def close_request(self, request_id: str) -> None:
        self._inboxes.pop(request_id, None)

    def send(self, message: msgspec.Struct) -> None:
        self.channel.send(message)

    def hang_up(self) -> None:
        self.channel.close()

    def _check(self) -> None:
        """While requests are in flight: is the process alive?"""
        self._timer = None
        if not self._inboxes or not self.is_open:
            return
        silence = self._loop.time() - self._heard_at
        if silence > self._limits.silence_seconds:
            # What is queued may never leave, so the connection may never close: it is given up.
            self._is_silent = True
            self.hang_up()
            self._fail_all()
            return
        self.channel.send(Health())
        self._timer = self._loop.call_later(self._limits.health_seconds, self._check)

    def _take(self, channel: Channel[FromEngine], messages: Sequence[FromEngine]) -> None:
        del channel
        self._heard_at = self._loop.time()
        for message in messages:
            match message:
                case Events(request_id=request_id, events=events):
                    if inbox := self._inboxes.get(request_id):
                        inbox.put_nowait(events)
                case Failed(request_id=request_id):
                    if inbox := self._inboxes.get(request_id):
                        inbox.put_nowait(raised(message.fault, message.message, message.code))
                case Counted(request_id=request_id, tokens=tokens):
                    if inbox := self._inboxes.get(request_id):
                        inbox.put_nowait(tokens)
                case Ready():
                    if not self._facts.done():
                        self._facts.set_result(message)
                case Healthy():
                    pass

    def _closed(self, channel: Channel[FromEngine]) -> None:
        del channel
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._facts.done():
            self._facts.set_result(None)
        self._fail_all()

    def _fail_all(self) -> None:
        for inbox in self._inboxes.values():
            inbox.put_nowait(self._lost())

    def _lost(self) -> EngineFailed:
        return EngineFailed(
            f"The engine {self._name} broke while it worked on this request. It is being "
            "restarted; try again."
        )
