"""The seam every engine fits.

An engine has one method that matters: it takes a request and yields events. Counting tokens and
embedding are optional abilities with protocols of their own.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from craton.messages import Answer, Event, Request

Onward = Callable[[str], Sequence[tuple[bytes, bytes]]]
"""Gives the headers by which a server elsewhere joins the trace of the request with an id."""


class Stop(msgspec.Struct, eq=False):
    """Asks a running generation to end early, as when the client is gone.

    After `request()` the engine ends its stream soon, in good order: the open block is closed,
    then `MessageStop` and `Metadata` tell what was generated until then, so that it can be billed.
    """

    requested: bool = False
    _callbacks: list[Callable[[], object]] | None = None

    def request(self) -> None:
        """Ask once; asking again does nothing."""
        if not self.requested:
            self.requested = True
            for callback in self._callbacks or ():
                callback()

    def on_request(self, callback: Callable[[], object]) -> None:
        """Call back when asked; at once if that was before."""
        if self.requested:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)


MODEL_MISSING = "model_missing"
"""The code of an `EngineNotReady` that no waiting cures: what the model is made of isn't there."""


class Engine(Protocol):
    """Turns a request into a stream of events.

    Raises `Unsupported` or another `BadRequest` before the first event for what it can't serve;
    `EngineNotReady`, `EngineFailed` or `EngineTimeout` for its own trouble, at any point.
    """

    def generate(self, request: Request, *, request_id: str, stop: Stop) -> AsyncIterator[Event]:
        """Yield the answer's events in the order that `messages.events` sets."""
        ...

    async def close(self) -> None:
        """Release connections and processes."""
        ...


@runtime_checkable
class Answers(Protocol):
    """An engine that gets whole answers whole, and needn't take them apart to have them folded.

    `answer` is what folding `generate` of the same request would give.
    """

    async def answer(self, request: Request, *, request_id: str, stop: Stop) -> Answer:
        """The whole answer."""
        ...


@runtime_checkable
class Counts(Protocol):
    """An engine that can say how many tokens a request's prompt has, before it runs."""

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request, template included."""
        ...


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of texts: a vector each, in their order, and what was used."""

    vectors: list[list[float]]
    input_tokens: int
    texts_cut: int = 0
    """How many texts were longer than the model takes, and lost their end."""
    chip_us: int = 0


@runtime_checkable
class Embeds(Protocol):
    """An engine that turns texts into vectors."""

    async def embed(
        self, texts: list[str], *, request_id: str, stop: Stop, may_cut: bool
    ) -> Embedded:
        """The texts' vectors; of some of them only, with their tokens, if asked to stop.

        ContextOverflow for a text that is longer than the model takes, unless it may be cut.
        """
        ...
