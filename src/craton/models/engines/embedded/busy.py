"""Who used the processor, and for how long: the replica's busy time, shared out exactly.

While k requests are active each takes 1/k of the time that passes. Shares are whole nanoseconds,
handed out without remainder, so that over any span in which all requests ended their sum is the
busy time, to the microsecond.
"""

from craton.kernel.clock import Clock


class BusyTime:
    """Shares out time among the requests that are active."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = 0
        self._shares_ns: dict[str, int] = {}
        self._rest_ns = 0
        self.total_ns = 0
        """Busy time so far: the time in which at least one request was active."""

    def enter(self, request_id: str) -> None:
        """The request becomes active."""
        assert request_id not in self._shares_ns, "a request became active twice"
        self._advance()
        self._shares_ns[request_id] = 0

    def leave(self, request_id: str) -> int:
        """The request is over; its share in microseconds.

        What doesn't fill a microsecond is carried to the next request that leaves.
        """
        self._advance()
        share_us, self._rest_ns = divmod(self._shares_ns.pop(request_id) + self._rest_ns, 1000)
        return share_us

    @property
    def active(self) -> int:
        """How many requests are active."""
        return len(self._shares_ns)

    def _advance(self) -> None:
        now_ns = self._clock.monotonic_ns()
        count = len(self._shares_ns)
        if count:
            passed_ns = now_ns - self._last_ns
            self.total_ns += passed_ns
            each_ns, odd_ns = divmod(passed_ns, count)
            for number, request_id in enumerate(self._shares_ns):
                self._shares_ns[request_id] += each_ns + (number < odd_ns)
        self._last_ns = now_ns
