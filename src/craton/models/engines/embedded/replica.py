"""What an engine process does with a plan: render, wait for room, generate, account.

It knows no sockets: `process` feeds it and carries its events away. So a test can drive it with a
model of a few lines.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from craton.kernel.clock import Clock
from craton.kernel.errors import ContextOverflow
from craton.messages import Event
from craton.models.engine import Stop
from craton.models.engines.embedded.answer import GrowingAnswer, Piece
from craton.models.engines.embedded.busy import BusyTime
from craton.models.engines.embedded.capacity import Capacity
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.tools import Prompt


class ModelFacts(msgspec.Struct, frozen=True):
    """What the loaded model says about itself."""

    context_tokens: int
    chat_template: str
    quantization: str


class Model(Protocol):
    """A loaded model."""

    async def tokens(self, prompt: Prompt) -> list[int]:
        """All that the model is shown, as tokens."""
        ...

    def complete(
        self, prompt: list[int], planned: Plan, max_tokens: int, stop: Stop
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """Generate until the end, or until asked to stop; leaving early ends it too."""
        ...


class Replica:
    """One loaded model with its room and its busy time."""

    def __init__(
        self,
        model: Model,
        *,
        context_tokens: int,
        capacity: Capacity,
        clock: Clock,
    ) -> None:
        self._model = model
        self._context_tokens = context_tokens
        self._clock = clock
        self.capacity = capacity
        self.busy = BusyTime(clock)

    async def count(self, prompt: Prompt) -> int:
        """Prompt tokens of a conversation, template included."""
        return len(await self._model.tokens(prompt))

    async def generate(
        self, planned: Plan, *, request_id: str, stop: Stop
    ) -> AsyncGenerator[list[Event]]:
        """Yield the answer's events in bunches; errors before the first are the caller's."""
        begun_ns = self._clock.monotonic_ns()
        prompt = await self._model.tokens(planned.prompt)
        room = self._context_tokens - len(prompt)
        if room < 1:
            raise ContextOverflow(
                f"The prompt has {len(prompt)} tokens and the model's context holds "
                f"{self._context_tokens}, of which at least one must be left for the answer. "
                "Shorten the conversation."
            )
        max_tokens = min(planned.max_tokens, room)
        answer = GrowingAnswer(
            prompt_tokens=len(prompt),
            stop_sequences=planned.stop_sequences,
            limit_is_context=planned.max_tokens > room,
            constraint=planned.constraint,
            call_id=request_id,
            logprobs=planned.logprobs,
        )
        if not await self._enter(len(prompt) + max_tokens, stop):
            # The client left while its request waited: nothing was read, nothing is counted.
            nothing = GrowingAnswer(prompt_tokens=0, stop_sequences=[], limit_is_context=False)
            yield nothing.end(latency_ms=self._since_ms(begun_ns), chip_us=0)
            return
        self.busy.enter(request_id)
        try:
            async with self._model.complete(prompt, planned, max_tokens, stop) as pieces:
                async for piece in pieces:
                    if events := answer.add(piece):  # none: text held back, half a character
                        yield events
                    if answer.is_complete:
                        break
        finally:
            chip_us = self.busy.leave(request_id)
            self.capacity.release(len(prompt) + max_tokens)
        yield answer.end(latency_ms=self._since_ms(begun_ns), chip_us=chip_us)

    async def _enter(self, tokens: int, stop: Stop) -> bool:
        """Wait for room; False where the stop was asked for first."""
        reserving = asyncio.ensure_future(self.capacity.reserve(tokens))
        stop.on_request(lambda: _cancel(reserving))
        try:
            await reserving
        except asyncio.CancelledError:
            if stop.requested and not _is_cancelled():
                return False
            reserving.cancel()
            raise
        return True

    def _since_ms(self, begun_ns: int) -> int:
        return (self._clock.monotonic_ns() - begun_ns) // 1_000_000


def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
