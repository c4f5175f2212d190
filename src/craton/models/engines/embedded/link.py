"""The gateway's end of a connection to an engine process, whatever the engine does.

One connection carries all requests of a worker. It is opened when first needed and again after it
was lost, so the process may be started late, killed and restarted at any time: requests in flight
fail with `EngineFailed`, later ones wait for the next process within a limit.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.errors import CratonError, EngineFailed, EngineNotReady, raised
from craton.models.engine import MODEL_MISSING, Stop
from craton.models.engines.embedded.link_messages import (
    Failed,
    Health,
    Healthy,
    Hello,
    Ready,
    Reply,
    StopRequest,
)

AWAY = ".away"
"""The suffix of a file beside a socket: the process was taken away, and the file says why."""
AWAY_RETRY_S = 60

Facts = TypeVar("Facts", bound=Ready)
"""What a process says of itself."""
Answer = TypeVar("Answer", bound=Reply)
"""What it says about a request, other than `Failed`."""


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
    idle_seconds: float | None = None
    """Without a request, before this worker hangs up so that the process may rest; None: never."""


Missing = Callable[[], str | None]
"""Says why there can't be a process to connect to; None if there can."""


def found() -> str | None:
    """Nothing is missing."""
    return None


class Contract(msgspec.Struct, frozen=True):
    """What is spoken with a kind of process: the contract's number, and the messages read."""

    number: int
    reads: Any


class Line(Generic[Facts, Answer]):
    """Hands out the open link to the process that listens on `socket`, made anew if need be."""

    def __init__(
        self,
        socket: Path,
        contract: Contract,
        *,
        name: str,
        limits: Limits | None = None,
        missing: Missing = found,
        doing: str = "still loading or restarting",
        advice: str = "Try again in a moment.",
    ) -> None:
        """`doing` is what a process does that can't be reached; `advice` what to do about it."""
        self._socket = socket
        self._contract = contract
        self._name = name
        self._limits = limits or Limits()
        self._missing = missing
        self._doing = doing
        self._advice = advice
        self._link: Link[Facts, Answer] | None = None
        self._connecting = asyncio.Lock()
        self._is_closed = False

    async def linked(self) -> "Link[Facts, Answer]":
        """The open link; waits while the process loads, EngineNotReady past the limit."""
        async with self._connecting:
            if self._link is None or not self._link.is_open:
                self._link = await self._connect()
            return self._link

    async def close(self) -> None:
        """Hang up; what is in flight fails."""
        self._is_closed = True
        if self._link is not None:
            self._link.hang_up()

    async def _connect(self) -> "Link[Facts, Answer]":
        limits = self._limits
        try:
            async with asyncio.timeout(limits.ready_seconds):
                while True:
                    if self._is_closed:
                        raise EngineNotReady(f"The engine {self._name} is closed.")
                    if link := await self._attempt():
                        return link
                    self._check_missing()
                    self._check_away()
                    await asyncio.sleep(limits.retry_seconds)
        except TimeoutError as error:
            raise EngineNotReady(
                f"The engine {self._name} is {self._doing} after {limits.ready_seconds:g} s. "
                f"{self._advice}"
            ) from error

    def _check_away(self) -> None:
        """EngineNotReady at once where waiting can't help."""
        try:
            why = self._socket.with_suffix(AWAY).read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        raise EngineNotReady(f"The engine {self._name} is away. {why}", retry_after_s=AWAY_RETRY_S)

    def _check_missing(self) -> None:
        """EngineNotReady at once where there is nothing that could be started."""
        if why := self._missing():
            message = f"The model {self._name} can't be run. {why}"
            raise EngineNotReady(message, code=MODEL_MISSING)

    async def _attempt(self) -> "Link[Facts, Answer] | None":
        link = Link[Facts, Answer](self._contract, self._name, self._limits)
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


class Link(Generic[Facts, Answer]):
    """One connection and the requests in flight on it."""

    def __init__(self, contract: Contract, name: str, limits: Limits) -> None:
        self._contract = contract.number
        self._name = name
        self._limits = limits
        self._takers: dict[str, Callable[[Answer | CratonError], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._facts: asyncio.Future[Facts | None] = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._is_given_up = False
        self.channel: Channel[Ready | Reply | Healthy] = Channel(
            contract.reads, on_messages=self._take, on_closed=self._closed
        )

    @property
    def is_open(self) -> bool:
        """Whether the process can be asked."""
        return self.channel.is_open and not self._is_given_up

    @property
    def facts(self) -> Facts:
        """What the process said of itself when it was greeted."""
        facts = self._facts.result()
        assert facts is not None, "the link was used before it was ready"
        return facts

    async def greet(self) -> bool:
        """Introduce this worker; False where the process died meanwhile."""
        self.channel.send(Hello(self._contract))
        facts = await self._facts
        if facts is not None and facts.contract != self._contract:
            raise EngineFailed(
                f"The engine process of {self._name} is of another release of Craton "
                f"(contract {facts.contract}, not {self._contract}). Restart it."
            )
        self._begin_idle()
        return facts is not None

    def open(self, request_id: str, take: Callable[[Answer | CratonError], None]) -> None:
        """Begin a request: `take` is called with all that is said about it, until it is closed."""
        assert request_id not in self._takers, f"request {request_id} is in flight already"
        self._takers[request_id] = take
        self._end_idle()
        if not self.is_open:
            take(self._lost())
        elif self._timer is None:
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(self._limits.health_seconds, self._check)

    def close(self, request_id: str) -> None:
        """End a request: nothing more is taken for it."""
        del self._takers[request_id]
        self._begin_idle()

    async def ask(
        self, request_id: str, message: msgspec.Struct, *, stop: Stop | None = None
    ) -> Answer:
        """Send a request that has one answer, and wait for it; who leaves stops it."""
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self.open(request_id, lambda answer: _settle(answered, answer))
        try:
            self.send(message)
            if stop is not None:
                stop.on_request(lambda: self.send(StopRequest(request_id)))
            return await answered
        except asyncio.CancelledError:
            self.send(StopRequest(request_id))
            raise
        finally:
            self.close(request_id)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, if the process is still there."""
        self.channel.send(message)

    def hang_up(self) -> None:
        """Close the connection, which stops all that was asked over it."""
        self._is_given_up = True
        self.channel.close()

    def _begin_idle(self) -> None:
        seconds = self._limits.idle_seconds
        if seconds is not None and not self._takers and self.is_open:
            self._idle_timer = self._loop.call_later(seconds, self.hang_up)

    def _end_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _check(self) -> None:
        """While requests are in flight: is the process alive?"""
        self._timer = None
        if not self._takers or not self.is_open:
            return
        silence = self._loop.time() - self._heard_at
        if silence > self._limits.silence_seconds:
            # What is queued may never leave, so the connection may never close: it is given up.
            self.hang_up()
            self._fail_all()
            return
        self.channel.send(Health())
        self._timer = self._loop.call_later(self._limits.health_seconds, self._check)

    def _take(
        self,
        channel: Channel[Ready | Reply | Healthy],
        messages: Sequence[Ready | Reply | Healthy],
    ) -> None:
        del channel
        self._heard_at = self._loop.time()
        for message in messages:
            match message:
                case Failed():
                    error = raised(message.fault, message.message, message.code)
                    self._hand(message.request_id, error)
                case Reply():
                    self._hand(message.request_id, cast("Answer", message))
                case Ready():
                    if not self._facts.done():
                        self._facts.set_result(cast("Facts", message))
                case Healthy():
                    pass

    def _hand(self, request_id: str, answer: Answer | CratonError) -> None:
        if take := self._takers.get(request_id):
            take(answer)

    def _closed(self, channel: Channel[Ready | Reply | Healthy]) -> None:
        del channel
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end_idle()
        if not self._facts.done():
            self._facts.set_result(None)
        self._fail_all()

    def _fail_all(self) -> None:
        for take in self._takers.values():
            take(self._lost())

    def _lost(self) -> EngineFailed:
        return EngineFailed(
            f"The engine {self._name} broke while it worked on this request. It is being "
            "restarted; try again."
        )


def _settle(answered: asyncio.Future[Answer], answer: Answer | CratonError) -> None:
    if answered.done():
        return
    if isinstance(answer, CratonError):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)
