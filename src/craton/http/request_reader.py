"""Bytes in, whole requests out: HTTP/1.x parsing without a socket.

llhttp does the grammar, in its strict mode (no bare LF, no folded header, no blank in a name, no
second Content-Length, never Content-Length together with Transfer-Encoding); this module adds what
RFC 9112 asks of a server beyond it, and the limits. What is refused ends the connection: after a
framing error nobody can say where the next request would begin.
"""

from collections import deque
from enum import StrEnum
from typing import NoReturn

import msgspec
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from craton.http.counters import ServerCounters
from craton.http.limits import Code, ServerLimits
from craton.http.message import Headers, HttpRequest
from craton.kernel.errors import BadRequest, CratonError, TooLarge, Unavailable, Unsupported

METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}


class Stage(StrEnum):
    """Where in a request the last byte was."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"


# In Python 3.11 looking a member up costs as much as making a small object.
_IDLE, _HEAD, _BODY = Stage.IDLE, Stage.HEAD, Stage.BODY


class Received(msgspec.Struct):
    """A whole request, and what its connection needs to know to answer it."""

    request: HttpRequest
    is_http_10: bool
    is_last: bool
    """The client wants the connection closed afterwards."""


class Refusal:
    """A request that can't be taken; nothing after it on the connection is read."""

    __slots__ = ("error", "request")

    def __init__(self, request: HttpRequest | None, error: CratonError) -> None:
        self.request = request
        self.error = error


class _StopParsingError(Exception):
    """Raised through the parser to stop it; the refusal stands in the reader."""


class RequestReader:
    """Reads the requests of one connection. `received` is taken from by the owner."""

    __slots__ = (
        "_body",
        "_body_bytes_max",
        "_body_more",
        "_counters",
        "_head",
        "_head_bytes",
        "_is_ended",
        "_is_http_10",
        "_limits",
        "_pairs",
        "_parser",
        "_target",
        "_unfinished_bytes",
        "awaits_continue",
        "body_bytes",
        "peer",
        "received",
        "refuse_all",
        "stage",
    )

    def __init__(self, limits: ServerLimits, counters: ServerCounters, *, peer: str) -> None:
        self._limits = limits
        self._body_bytes_max = limits.body_bytes_max
        self._counters = counters
        self.peer = peer
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._is_ended = False
        self._is_http_10 = False
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._head: HttpRequest | None = None
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._body = b""
        self._body_more: bytearray | None = None
        self.stage = _IDLE
        self.body_bytes = 0
        """Bytes of the unfinished body."""
        self.awaits_continue = False
        """The client holds its body back until it is told to go on."""
        self.received: deque[Received | Refusal] = deque()
        self.refuse_all: CratonError | None = None
        """Refuses each request as soon as its headers are known."""

    def feed(self, data: bytes | memoryview) -> None:
        """Parse the next bytes; what they complete is added to `received`."""
        if self._is_ended or self._parser is None:
            return
        before = self._head_bytes + self.body_bytes
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            (offset,) = upgrade.args
            self._ignore_upgrade(memoryview(data)[offset:])
            return
        except HttpParserCallbackError as error:
            self._is_ended = True
            if not isinstance(error.__context__, _StopParsingError):
                raise
            return
        except HttpParserError as error:
            self._end_with_malformed(str(error))
            return
        if self.stage is not _IDLE:
            progressed = self._head_bytes + self.body_bytes != before
            self._count_unfinished(0 if progressed else len(data))

    def refuse(self, error: CratonError) -> None:
        """Give up the request that is being read, as its owner has lost patience."""
        self._is_ended = True
        self._add_refusal(self._head_so_far(), error)

    def close(self) -> None:
        """Let go of the parser (it holds this reader) and of an unfinished body."""
        self._parser = None
        self._is_ended = True
        self._forget_body()

    # What llhttp calls, in this order. An exception from one of them stops the parser.

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a request."""
        self.stage = _HEAD
        self._target = b""
        self._pairs = []
        self._head = None
        self._head_bytes = 0
        self._unfinished_bytes = 0

    def on_url(self, data: bytes) -> None:
        """llhttp: a part of the request target."""
        self._target = self._target + data if self._target else data
        self._head_bytes += len(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header, or one trailer."""
        # Limits are looked at when the head is complete and after each piece of it: this is called
        # ten times a request.
        self._head_bytes += len(name) + len(value) + 4
        self._pairs.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """llhttp: the blank line."""
        parser = self._parser
        assert parser is not None
        method, version = parser.get_method(), parser.get_http_version()
        raw_path, _, raw_query = self._target.partition(b"?")
        headers = Headers(self._pairs)
        name = METHODS.get(method) or method.decode("latin-1")
        head = HttpRequest(name, raw_path, raw_query, headers, b"", self.peer)
        self._head = head
        self._is_http_10 = version == "1.0"
        self.stage = _BODY
        if self._is_head_too_large():
            self._refuse(self._head_too_large())
        # Trailers are read and dropped: nothing here has a use for them, and merging them into
        # the headers would let them pass what is checked now.
        self._pairs = []
        if version not in {"1.1", "1.0"}:
            self._refuse(
                BadRequest(
                    f"HTTP version {version} is not served here. Use HTTP/1.1.",
                    code=Code.VERSION_NOT_SUPPORTED,
                )
            )
        if method not in METHODS:
            self._refuse(
                Unsupported(
                    f"Method {name} is not served here. Use one of {', '.join(METHODS.values())}.",
                    code=Code.NOT_IMPLEMENTED,
                )
            )
        if raw_path[:1] != b"/" or b"#" in self._target:
            self._read_odd_target(head)
        first = headers.first
        if version == "1.1" and (
            b"host" not in first or (headers.is_repeating and headers.is_repeated(b"host"))
        ):
            self._refuse(BadRequest("An HTTP/1.1 request needs exactly one Host header. Send one."))
        if b"transfer-encoding" in first:
            self._check_coding(headers)
        if b"content-length" in first and int(first[b"content-length"]) > self._body_bytes_max:
            self._refuse(self._body_too_large())
        if b"expect" in first and version == "1.1":
            self._check_expectation(first)
        if self.refuse_all is not None:
            self._refuse(self.refuse_all)

    def on_body(self, data: bytes) -> None:
        """llhttp: a part of the body, chunk framing removed."""
        size = len(data)
        self.body_bytes += size
        self._counters.body_bytes_now += size
        if self.body_bytes > self._body_bytes_max:
            self._refuse(self._body_too_large())
        if self._counters.body_bytes_now > self._limits.bodies_bytes_max:
            self._refuse(
                Unavailable(
                    "Too many request bodies are being received at once. Try again shortly.",
                    code=Code.TOO_MANY_BODIES,
                )
            )
        if not self._body:
            self._body = data
        elif self._body_more is None:
            # One growing buffer, not a list: a body sent in one-byte chunks would cost 8 to 40
            # bytes of list and objects for each of its own.
            self._body_more = bytearray(self._body)
            self._body_more += data
        else:
            self._body_more += data

    def on_message_complete(self) -> None:
        """llhttp: the request is whole."""
        parser, head = self._parser, self._head
        assert parser is not None
        assert head is not None
        if parser.should_upgrade():
            return  # its body is still to come: see _ignore_upgrade
        if self._pairs and self._is_head_too_large():
            self._refuse(self._head_too_large())  # trailers count as well
        if self.body_bytes:
            head.body = self._body if self._body_more is None else bytes(self._body_more)
            self._forget_body()
        self.received.append(Received(head, self._is_http_10, not parser.should_keep_alive()))
        self.stage = _IDLE
        self.awaits_continue = False

    def _is_head_too_large(self) -> bool:
        limits = self._limits
        return self._head_bytes > limits.head_bytes_max or len(self._pairs) > limits.headers_max

    def _count_unfinished(self, size: int) -> None:
        # A header, a trailer or a chunk's extension comes to us when it ends, if at all; until
        # then only its raw bytes can be counted.
        self._unfinished_bytes = self._unfinished_bytes + size if size else 0
        head_bytes = self._head_bytes + self._unfinished_bytes
        if head_bytes > self._limits.head_bytes_max or self._is_head_too_large():
            self._is_ended = True
            self._add_refusal(self._head_so_far(), self._head_too_large())

    def _read_odd_target(self, head: HttpRequest) -> None:
        """Targets that aren't a path: `*` for OPTIONS, and the absolute form that proxies get."""
        target = self._target
        if target == b"*" and head.method == "OPTIONS":
            return
        scheme, separator, rest = target.partition(b"://")
        if separator and scheme.lower() in {b"http", b"https"} and b"#" not in target:
            authority = rest.partition(b"/")[0].partition(b"?")[0]
            path, _, head.raw_query = rest[len(authority) :].partition(b"?")
            head.raw_path = path or b"/"
            return
        self._refuse(BadRequest("The request target is not a path. Send one that begins with /."))

    def _check_coding(self, headers: Headers) -> None:
        if self._is_http_10 or b"content-length" in headers:
            self._refuse(
                BadRequest(
                    "Transfer-Encoding may not come with Content-Length nor in HTTP/1.0. "
                    "Send one of them."
                )
            )
        if headers.first[b"transfer-encoding"].lower() != b"chunked" or headers.is_repeated(
            b"transfer-encoding"
        ):
            self._refuse(
                Unsupported(
                    "The only Transfer-Encoding served here is 'chunked'. Send the body so.",
                    code=Code.NOT_IMPLEMENTED,
                )
            )

    def _check_expectation(self, first: dict[bytes, bytes]) -> None:
        if first[b"expect"].lower() != b"100-continue":
            self._refuse(
                BadRequest(
                    "The only expectation served here is '100-continue'. Leave Expect out.",
                    code=Code.EXPECTATION_FAILED,
                )
            )
        has_length = int(first.get(b"content-length", b"0")) > 0
        self.awaits_continue = has_length or b"transfer-encoding" in first

    def _ignore_upgrade(self, rest: memoryview) -> None:
        """Go on in HTTP/1.1 after a request that offered to change to another protocol.

        RFC 9110 lets a server ignore the offer, and Java's HttpClient makes it (`h2c`) with every
        first request, body included. llhttp takes what follows for the other protocol, so a new
        parser is told the framing of that body and reads it and what comes after.
        """
        head = self._head
        assert head is not None
        self._parser = HttpRequestParser(_AfterUpgrade(self))
        lines = [b"POST / HTTP/1.1\r\n"]
        for name in (b"content-length", b"transfer-encoding"):
            value = head.headers.get(name)
            if value is not None:
                lines.append(name + b": " + value + b"\r\n")
        tokens = b",".join(head.headers.get_all(b"connection")).lower().split(b",")
        if self._is_http_10 or b"close" in [token.strip() for token in tokens]:
            lines.append(b"connection: close\r\n")
        self.feed(b"".join(lines) + b"\r\n")
        if rest:
            self.feed(rest)

    def _end_with_malformed(self, reason: str) -> None:
        self._is_ended = True
        last = self.received[-1] if self.received else None
        if isinstance(last, Received) and last.is_last:
            return  # bytes after `Connection: close` mean nothing, and harm nobody
        self._add_refusal(
            self._head_so_far(),
            BadRequest(f"Malformed HTTP request: {reason}. Send valid HTTP/1.1."),
        )

    def _head_so_far(self) -> HttpRequest | None:
        """What is known of the request being read; its target is whole once a header is."""
        if self.stage is _BODY:
            return self._head
        if self.stage is _IDLE or not self._pairs or self._target[:1] != b"/":
            return None
        assert self._parser is not None
        method = self._parser.get_method().decode("latin-1")
        raw_path, _, raw_query = self._target.partition(b"?")
        return HttpRequest(method, raw_path, raw_query, Headers(self._pairs), b"", self.peer)

    def _refuse(self, error: CratonError) -> NoReturn:
        self._add_refusal(self._head_so_far(), error)
        raise _StopParsingError

    def _add_refusal(self, request: HttpRequest | None, error: CratonError) -> None:
        self._forget_body()
        self.awaits_continue = False
        self.stage = _IDLE
        self.received.append(Refusal(request, error))

    def _forget_body(self) -> None:
        if self.body_bytes:
            self._counters.body_bytes_now -= self.body_bytes
            self.body_bytes = 0
        self._body = b""
        self._body_more = None

    def _head_too_large(self) -> TooLarge:
        return TooLarge(
            f"The request line and headers are over {self._limits.head_bytes_max} bytes or "
            f"{self._limits.headers_max} headers. Send fewer or shorter ones.",
            code=Code.HEADERS_TOO_LARGE,
        )

    def _body_too_large(self) -> TooLarge:
        return TooLarge(
            f"The request body is over {self._limits.body_bytes_max} bytes. Send a smaller one."
        )


class _AfterUpgrade:
    """What the second parser calls: it passes over the head that was made up for it."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader
        self._is_in_made_up_head = True

    def on_message_begin(self) -> None:
        if not self._is_in_made_up_head:
            self._reader.on_message_begin()

    def on_url(self, data: bytes) -> None:
        if not self._is_in_made_up_head:
            self._reader.on_url(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_made_up_head:
            self._reader.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_in_made_up_head:
            self._is_in_made_up_head = False
        else:
            self._reader.on_headers_complete()

    def on_body(self, data: bytes) -> None:
        self._reader.on_body(data)

    def on_message_complete(self) -> None:
        self._reader.on_message_complete()
