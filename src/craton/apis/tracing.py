"""Where traces go, if anywhere: the seam that `App` tells of every request."""

from typing import Protocol

from craton.apis.exchange import Exchange
from craton.http.message import HeaderPairs


class Tracing(Protocol):
    """What hears of every request that a handler takes, first of its beginning, then of its end."""

    def began(self, exchange: Exchange) -> None:
        """Nothing of the exchange is known yet but its request, id, wire and start."""
        ...

    def onward(self, request_id: str) -> HeaderPairs:
        """What a server that is asked for a request under way is sent, so as to join its trace."""
        ...

    def finished(self, exchange: Exchange, status: int, ended_ns: int) -> None:
        """`ended_ns` is the monotonic time of its end, as `exchange.started_ns` is of its start."""
        ...

    def close(self) -> None:
        """Send what is still held back."""
        ...
