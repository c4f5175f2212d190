"""What the server and its connections know of each other, whatever HTTP version they speak."""

import asyncio
from enum import StrEnum
from typing import Protocol

from craton.http.counters import ServerCounters
from craton.http.limits import ServerLimits
from craton.http.message import Handler, HeaderPairs, OnInternalError, Refuse
from craton.http.outbox import Outbox
from craton.kernel.clock import Clock


class Phase(StrEnum):
    """What a connection is doing."""

    OPEN = "open"
    LINGERING = "lingering"
    """Our last answer is given; what still comes is thrown away, so that closing doesn't reset the
    connection before the client has read that answer."""
    CLOSED = "closed"


class ServerConnection(Protocol):
    """A connection, as far as the server needs it."""

    @property
    def is_open(self) -> bool:
        """Whether requests are still taken from it, or answered."""
        ...

    def sweep(self, now_ns: int) -> None:
        """End what has taken too long."""
        ...

    def shut(self) -> None:
        """The server is closing: nothing more is taken from this connection."""
        ...

    def abort(self) -> None:
        """The server's patience is over."""
        ...


class ServerState(Protocol):
    """What connections share."""

    limits: ServerLimits
    counters: ServerCounters
    outbox: Outbox
    clock: Clock
    handler: Handler
    refuse: Refuse
    on_internal_error: OnInternalError
    connections: set[ServerConnection]
    tasks: set[asyncio.Task[None]]
    is_closing: bool
    standing_headers: bytes
    """The lines that every HTTP/1.x answer has."""
    standing_pairs: HeaderPairs
    """The same for HTTP/2."""

    def note_closed(self) -> None:
        """A connection takes no more requests."""
        ...
