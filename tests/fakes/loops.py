"""An event loop whose time a test moves, for what is driven by hand and only asks when it is."""

import asyncio
from collections.abc import Callable
from typing import Any


class TimedLoop(asyncio.AbstractEventLoop):
    """Timers fire when the test advances to them; futures are the running loop's."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now_s

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def get_debug(self) -> bool:
        return False

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers.append(timer)
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if handle in self._timers:  # one that fired may be cancelled, too
            self._timers.remove(handle)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        due = sorted(timer for timer in self._timers if timer.when() <= self.now_s)
        for timer in due:
            self._timers.remove(timer)
            timer._run()
