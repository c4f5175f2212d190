"""Time as an argument, so that tests and the twin can own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: wall time for records, monotonic time for durations."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds since the Unix epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ns: int = 1_800_000_000_000_000_000) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Wall time, as last set."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Monotonic time moves with wall time here."""
        return self._now_ns

    def advance(self, *, seconds: float) -> None:
        """Move both readings forward."""
        assert seconds >= 0
        self._now_ns += int(seconds * 1e9)
