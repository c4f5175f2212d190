"""When the events of an answer leave the engine's process: the first at once, and then at a pace.

On few processors the gateway and its client take their time from the model: at 70 tokens a second
what follows each token was measured to make the model a twentieth slower, nearly all of it for
waking what sleeps, whose code the model's weights have driven out of the caches. A bunch of two
tokens costs hardly more than one. Nobody sees 30 ms, and whoever makes fewer tokens than that
doesn't wait at all.
"""

import asyncio
from collections.abc import Callable

from craton.messages import Event

PACE_S = 0.03


class Pace:
    """Passes on the events of one answer: each bunch `PACE_S` after the last, or later.

    What doesn't come on its own too soon after others waits for the next, but no longer than that.
    """

    def __init__(
        self, send: Callable[[list[Event]], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._send = send
        self._loop = loop
        self._sent_at: float | None = None
        self._waiting: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, events: list[Event]) -> None:
        """More of the answer."""
        self._waiting += events
        now = self._loop.time()
        if self._sent_at is None or now >= self._sent_at + PACE_S:
            self.flush()
        elif self._timer is None:  # for the case that no more comes so soon
            self._timer = self._loop.call_at(now + PACE_S, self.flush)

    def flush(self) -> None:
        """Pass on what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            events, self._waiting = self._waiting, []
            self._sent_at = self._loop.time()
            self._send(events)
