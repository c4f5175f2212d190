"""What the server and the client count, for metrics; as plain numbers."""

from dataclasses import dataclass


@dataclass(slots=True)
class ServerCounters:
    """One server's counts since it started; `*_now` are gauges."""

    connections_now: int = 0
    connections: int = 0
    connections_cut: int = 0
    """Closed at once on being accepted: over every limit."""
    requests_now: int = 0
    requests: int = 0
    """Handed to the handler."""
    refused: int = 0
    """Answered without the handler: malformed, too large, too slow, too many."""
    internal_errors: int = 0
    """Handlers that raised, or ended without an answer."""
    aborted_by_client: int = 0
    """The client left before its answer was finished."""
    aborted_slow_reader: int = 0
    """The client was cut off because it didn't read."""
    body_bytes_now: int = 0
    """Request bodies still being received, all connections together."""
    bytes_received: int = 0
    bytes_sent: int = 0


@dataclass(slots=True)
class ClientCounters:
    """One client's counts since it started; `*_now` are gauges."""

    connections_now: int = 0
    connections: int = 0
    requests: int = 0
    replayed: int = 0
    """Sent a second time, as `Replay` allowed."""
    timeouts: int = 0
    broken: int = 0
    """Answers that ended before they were whole."""
