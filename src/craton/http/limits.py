"""Every limit of the server and of the client, with its default and the reason for it."""

from enum import StrEnum

import msgspec

MIB = 1024 * 1024


class Code(StrEnum):
    """Finer names that a refusal's `CratonError.code` may have."""

    REQUEST_TIMEOUT = "RequestTimeout"
    HEADERS_TOO_LARGE = "RequestHeaderFieldsTooLarge"
    EXPECTATION_FAILED = "ExpectationFailed"
    NOT_IMPLEMENTED = "NotImplemented"
    VERSION_NOT_SUPPORTED = "HttpVersionNotSupported"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    TOO_MANY_BODIES = "TooManyRequestBodies"


class ServerLimits(msgspec.Struct, frozen=True):
    """What one server (one worker process) accepts. Bytes, counts, and seconds."""

    head_bytes_max: int = 32 * 1024
    """Request target and headers together. AWS session tokens take about 2 KiB of it."""
    headers_max: int = 100
    body_bytes_max: int = 32 * MIB
    """Twenty images of 3.75 MB in base64 would be 100 MB; 32 MiB is what Anthropic accepts."""
    bodies_bytes_max: int = 512 * MIB
    """Unfinished bodies of all connections together; over it, new ones are refused."""
    pipelined_bytes_max: int = 64 * 1024
    """What a connection may send ahead while a request runs, before reading from it stops."""
    connections_max: int = 4096
    """Beyond it a request is read and refused in the client's own protocol."""
    connections_surplus_max: int = 512
    """Beyond both together a connection is closed as soon as it is accepted."""
    head_timeout_s: float = 10
    """From a request's first byte to the end of its headers."""
    idle_timeout_s: float = 75
    """Between requests. Longer than the 60 s after which AWS SDK pools drop a connection."""
    body_timeout_s: float = 300
    body_grace_s: float = 10
    """How long a body may take regardless of its rate."""
    body_rate_min: int = 1024
    """Bytes a second that a body must have come at, once the grace is over."""
    write_timeout_s: float = 60
    """How long a client may read nothing of what waits for it."""
    unread_bytes_max: int = 8 * MIB
    """How much may wait for a slow client when more is written; over it, the client is cut off."""
    linger_timeout_s: float = 5
    """How long a refused client may still send, so that it gets to read the refusal."""
    linger_bytes_max: int = 4 * MIB
    streams_max: int = 100
    """Requests at a time over one HTTP/2 connection; more are refused, to be sent again. One whose
    client has left counts until its handler ends."""
    stream_window_bytes: int = MIB
    """How far ahead an HTTP/2 client may send: over a network with 20 ms, 50 MB a second."""
    control_frames_max: int = 1000
    """What an HTTP/2 client may send that carries no request forward (PING, SETTINGS, PRIORITY,
    empty frames; a reset counts for ten) beyond what our answers give it reason to."""
    control_frames_rate_max: int = 50
    """How many more of these it may send each second."""
    sweep_interval_s: float = 1
    """How often timeouts are looked at, and so how exact they are."""


class Timeouts(msgspec.Struct, frozen=True):
    """How long each part of a client's request may take, in seconds."""

    connect_s: float = 5
    """To a connection: waiting for a free one, or for the handshakes of a new one."""
    headers_s: float = 60
    """From the request's last byte handed to the system to the answer's headers."""
    idle_s: float = 60
    """Between two pieces of the body, while the caller is ready to take one."""
    total_s: float = 600
    """From the call to the last byte of the body."""


class Replay(StrEnum):
    """When a request may be sent a second time, on a new connection."""

    NEVER = "never"
    """A pooled connection that the server has closed is still noticed before anything is written
    to it, and another one taken: that is no replay."""
    UNANSWERED = "unanswered"
    """Also if a pooled connection closed after the request was written and before any byte of an
    answer. The server had nearly always closed an idle connection just then and never saw the
    request, but that can't be proved: for requests that may run twice."""


class ClientLimits(msgspec.Struct, frozen=True):
    """What one client holds. Bytes, counts, and seconds."""

    connections_max: int = 1024
    """To one origin."""
    waiting_max: int = 4096
    """Callers waiting for a connection to one origin; beyond it they are refused at once."""
    idle_connections_max: int = 1024
    """Kept open to one origin between requests."""
    keep_idle_s: float = 4
    """How long an idle connection is reused: below the 5 s after which uvicorn (vLLM, SGLang)
    closes one, so that we close first and a request seldom meets a closing connection."""
    head_bytes_max: int = 64 * 1024
    headers_max: int = 200
    unread_bytes_max: int = 256 * 1024
    """How much of a body waits for a slow reader before reading from the socket stops."""
    sweep_interval_s: float = 0.25
    """How often timeouts are looked at, and so how exact they are."""
