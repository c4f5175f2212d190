"""Slots and key-value cells, first come, first served.

A request holds a slot and, for its whole life, as many cells of the shared key-value cache as its
prompt and its longest answer need. So the cache can't run out under a running answer, which
llama.cpp would end with an error. Those that don't fit wait in order, up to a limit.
"""

import asyncio
from collections import deque

from craton.kernel.errors import Throttled


class Capacity:
    """A replica's room: `slots` answers at once, `pool_tokens` cells, `queue_max` waiting."""

    def __init__(self, *, slots: int, pool_tokens: int, queue_max: int) -> None:
        self._slots = slots
        self._free_slots = slots
        self._free_tokens = pool_tokens
        self._queue_max = queue_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._slots - self._free_slots

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    async def reserve(self, tokens: int) -> None:
        """Wait for a slot and this many cells; Throttled where the queue is full."""
        if not self._waiting and self._fits(tokens):
            self._take(tokens)
            return
        if len(self._waiting) >= self._queue_max:
            raise Throttled(
                f"The engine's queue is full: {self.running} requests run and {self.waiting} "
                f"wait, which is its limit of {self._queue_max}. Try again in a moment."
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (tokens, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(tokens)  # granted in the very turn in which the caller gave up
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()  # whoever stood behind may fit where this one didn't
            raise

    def release(self, tokens: int) -> None:
        """Give back a slot and its cells."""
        self._free_slots += 1
        self._free_tokens += tokens
        assert self._free_slots <= self._slots, "a slot was released twice"
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            tokens, turn = self._waiting.popleft()
            if not turn.done():  # a caller that gave up removes itself, and takes nothing
                self._take(tokens)
                turn.set_result(None)

    def _fits(self, tokens: int) -> bool:
        return self._free_slots > 0 and tokens <= self._free_tokens

    def _take(self, tokens: int) -> None:
        self._free_slots -= 1
        self._free_tokens -= tokens
