"""The gateway's side of a process that embeds: an `Engine` that `Embeds`.

One connection carries all requests of a worker. It is opened when first needed and again after it
was lost, so the process may be started late, killed and restarted at any time: requests in flight
fail with `EngineFailed`, later ones wait for the next process within a limit.
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.errors import CratonError, EngineFailed, EngineNotReady, Unsupported, raised
from craton.messages import Event, Request
from craton.models.engine import Embedded, Stop
from craton.models.engines.embedded.embeddings_contract import (
    CONTRACT,
    Embed,
    Failed,
    FromEngine,
    Health,
    Healthy,
    Hello,
    Ready,
    StopEmbedding,
    Vectors,
)


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


class EmbeddingEngine:
    """`Engine` and `Embeds`, served by the process that listens on `socket`."""

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

    async def embed(
        self, texts: list[str], *, request_id: str, stop: Stop, may_cut: bool
    ) -> Embedded:
        """The texts' vectors; of the first ones only if it was asked to stop."""
        link = await self._linked()
        answered = link.open(request_id)
        try:
            # Half a surrogate pair, which JSON can spell, is no letter and has no token.
            whole = [text.encode(errors="ignore").decode() for text in texts]
            link.send(Embed(request_id, whole, may_cut))
            stop.on_request(lambda: link.send(StopEmbedding(request_id)))
            made = await answered
        except asyncio.CancelledError:
            link.send(StopEmbedding(request_id))
            raise
        finally:
            link.close_request(request_id)
        return Embedded(
            vectors=[array("f", vector).tolist() for vector in made.vectors],
            input_tokens=made.tokens,
            texts_cut=made.texts_cut,
            chip_us=made.chip_us,
        )

    def generate(
        self,
        request: Request,
        *,
        request_id: str,  # noqa: ARG002 - the seam's signature
        stop: Stop,  # noqa: ARG002 - the seam's signature
    ) -> AsyncIterator[Event]:
        """Refuse: there is no text in this model."""
        raise Unsupported(
            f"The model {request.model} turns texts into vectors and generates none. Ask it for "
            "embeddings, or ask another model. `craton models` lists them."
        )

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
                f"The engine {self._name} is still being fetched, loading or restarting after "
                f"{limits.ready_seconds:g} s. Try again in a moment; Craton's log has the reason."
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
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, asyncio.Future[Vectors]] = {}
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
            raise EngineFailed(
                f"The engine process of {self._name} is of another release of Craton "
                f"(contract {facts.contract}, not {CONTRACT}). Restart it."
            )
        return facts is not None

    def open(self, request_id: str) -> "asyncio.Future[Vectors]":
        assert request_id not in self._answers, f"request {request_id} is in flight already"
        answer = self._answers[request_id] = self._loop.create_future()
        if not self.is_open:
            answer.set_exception(self._lost())
        elif self._timer is None:
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(self._limits.health_seconds, self._check)
        return answer

    def close_request(self, request_id: str) -> None:
        del self._answers[request_id]

    def send(self, message: msgspec.Struct) -> None:
        self.channel.send(message)

    def hang_up(self) -> None:
        self.channel.close()

    def _check(self) -> None:
        """While requests are in flight: is the process alive?"""
        self._timer = None
        if not self._answers or not self.is_open:
            return
        if self._loop.time() - self._heard_at > self._limits.silence_seconds:
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
                case Vectors():
                    self._answer(message.request_id, message)
                case Failed():
                    error = raised(message.fault, message.message, message.code)
                    self._answer(message.request_id, error)
                case Ready():
                    if not self._facts.done():
                        self._facts.set_result(message)
                case Healthy():
                    pass

    def _answer(self, request_id: str, answer: Vectors | CratonError) -> None:
        waiting = self._answers.get(request_id)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, CratonError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _closed(self, channel: Channel[FromEngine]) -> None:
        del channel
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._facts.done():
            self._facts.set_result(None)
        self._fail_all()

    def _fail_all(self) -> None:
        for request_id in self._answers:
            self._answer(request_id, self._lost())

    def _lost(self) -> EngineFailed:
        return EngineFailed(
            f"The engine {self._name} broke while it worked on this request. It is being "
            "restarted; try again."
        )
