"""When a process that nobody needs may rest."""

import asyncio
from collections.abc import Awaitable, Callable

from craton.kernel.clock import Clock

Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Waits until an event is set, or for so many seconds."""


class Idleness:
    """How long nobody has been connected. It begins with the process, to which nobody is yet."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        """After so many seconds the process may rest; after 0 it never may."""
        self._clock = clock
        self._seconds = seconds
        self._since_ns: int | None = clock.monotonic_ns()

    def begin(self) -> None:
        """The last worker hung up."""
        self._since_ns = self._clock.monotonic_ns()

    def end(self) -> None:
        """A worker connected."""
        self._since_ns = None

    async def is_over(self, ended: asyncio.Event, wait: Wait | None = None) -> bool:
        """Wait until the process may rest: True; or until it is to end: False."""
        wait = wait or _wait
        if not self._seconds:
            await ended.wait()
        while not ended.is_set():
            left_s = self._left_s()
            if left_s <= 0:
                return True
            await wait(ended, left_s)
        return False

    def _left_s(self) -> float:
        """Before it may rest at the earliest."""
        if self._since_ns is None:
            return self._seconds
        return self._seconds - (self._clock.monotonic_ns() - self._since_ns) / 1e9


async def _wait(ended: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        pass
