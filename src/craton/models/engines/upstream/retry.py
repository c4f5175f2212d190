"""When a refused request may be sent once more, so that retries never become a flood of their own.

Only what has generated nothing is sent again: no connection, or a refusal that says "later". Every
request earns a tenth of a retry, so at most a tenth more than was asked for is ever sent, but for
`RETRIES_SAVED` that are saved up in good times. The same rule as in Finagle's and Envoy's budgets.
"""

import random
from collections.abc import Awaitable, Callable

from craton.http import Headers

ATTEMPTS_MAX = 3
EARNED_A_REQUEST = 0.1
RETRIES_SAVED = 10.0
WAIT_S_FIRST = 0.25
WAIT_S_MAX = 8.0
LATER = frozenset({429, 502, 503, 529})
"""Statuses of a server that did nothing: too many requests, no server behind, overloaded."""

Sleep = Callable[[float], Awaitable[None]]


class RetryBudget:
    """How many retries one upstream may still get."""

    __slots__ = ("_random", "_saved")

    def __init__(self, random_source: random.Random) -> None:
        self._saved = RETRIES_SAVED
        self._random = random_source

    def earn(self) -> None:
        """A request was sent for the first time."""
        self._saved = min(self._saved + EARNED_A_REQUEST, RETRIES_SAVED)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def wait_s(self, attempt: int, headers: Headers) -> float | None:
        """Seconds until the next attempt (the first is 1); None if the server asks for too long."""
        asked = _retry_after_s(headers)
        if asked is not None:
            return asked if asked <= WAIT_S_MAX else None
        most = min(WAIT_S_FIRST * 2 ** (attempt - 1), WAIT_S_MAX)
        return most * (0.5 + self._random.random() / 2)


def _retry_after_s(headers: Headers) -> float | None:
    text = headers.get(b"retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None  # a date: rare, and the usual wait will do
    return seconds if seconds >= 0.0 else None
