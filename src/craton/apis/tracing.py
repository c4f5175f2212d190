"""Where traces go, if anywhere: the seam that `App` tells of every finished request."""

from typing import Protocol

from craton.apis.exchange import Exchange


class Tracing(Protocol):
    """What hears of every request when it is over."""

    def finished(self, exchange: Exchange, status: int, ended_ns: int) -> None:
        """`ended_ns` is the monotonic time of its end, as `exchange.started_ns` is of its start."""
        ...

    def close(self) -> None:
        """Send what is still held back."""
        ...
