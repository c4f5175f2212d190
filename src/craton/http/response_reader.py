"""Bytes in, one answer out: the client's half of HTTP/1.x parsing, without a socket."""

from typing import NoReturn

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)

from craton.http.failures import ResponseBroken
from craton.http.limits import ClientLimits
from craton.http.message import Headers

_NO_HEADERS = Headers()


class _StopParsingError(Exception):
    """Raised through the parser to stop it."""


class ResponseReader:
    """Reads the answers of one connection, one at a time: `begin`, `feed`…, `end` at its close."""

    __slots__ = (
        "_head_bytes",
        "_head_bytes_max",
        "_headers_max",
        "_is_head",
        "_is_interim",
        "_limits",
        "_pairs",
        "_parser",
        "_progress_count",
        "_reason",
        "_unfinished_bytes",
        "headers",
        "is_begun",
        "is_reusable",
        "is_whole",
        "pieces",
        "status",
    )

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._head_bytes_max = limits.head_bytes_max
        self._headers_max = limits.headers_max
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._reason = ""
        self.begin(is_head=False)

    def begin(self, *, is_head: bool) -> None:
        """Expect the answer to a request that leaves now."""
        self._is_head = is_head
        self._is_interim = False
        self._pairs: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._progress_count = 0
        self.status = 0
        """Zero until the headers have come."""
        self.headers = _NO_HEADERS
        self.pieces: list[bytes] = []
        """Body since the owner last took it away."""
        self.is_begun = False
        """Whether a byte of the answer has come."""
        self.is_whole = False
        self.is_reusable = False
        """Whether the connection can take another request; known once the answer is whole."""

    def feed(self, data: bytes) -> None:
        """Parse the next bytes; ResponseBroken if they aren't HTTP or are over a limit."""
        parser = self._parser
        assert parser is not None
        self.is_begun = True
        before = self._progress_count
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            raise ResponseBroken("The server changed to a protocol nobody asked for.") from None
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, _StopParsingError):
                raise
            self.is_reusable = False
            if not self.is_whole:
                raise ResponseBroken(self._reason) from None
        except HttpParserError as error:
            self.is_reusable = False
            if not self.is_whole:  # what follows a whole answer is dropped with the connection
                raise ResponseBroken(f"The answer is not valid HTTP: {error}.") from None
        if self._progress_count != before or self.is_whole:
            self._unfinished_bytes = 0
            return
        # A header, a trailer or a chunk's extension comes to us when it ends, if at all.
        self._unfinished_bytes += len(data)
        if self._head_bytes + self._unfinished_bytes > self._limits.head_bytes_max:
            raise ResponseBroken(f"The answer can't be read: {self._too_large()}.")

    def end(self) -> bool:
        """The connection closed: whether the answer is whole, as one ended by closing is."""
        if self.status and not self.is_whole:
            is_framed = b"content-length" in self.headers or b"transfer-encoding" in self.headers
            self.is_whole = not is_framed
        return self.is_whole

    def close(self) -> None:
        """Let go of the parser, which holds this reader."""
        self._parser = None

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """llhttp: the first byte of an answer, interim or final."""
        if self.is_whole:
            self._stop("more than one answer came")
        self._pairs = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header, or one trailer, which is dropped."""
        self._progress_count += 1
        self._head_bytes += len(name) + len(value) + 4
        pairs = self._pairs
        pairs.append((name.lower(), value.rstrip(b" \t")))
        if self._head_bytes > self._head_bytes_max or len(pairs) > self._headers_max:
            self._stop(self._too_large())

    def on_headers_complete(self) -> None:
        """llhttp: the blank line."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        self._is_interim = 100 <= status < 200
        if self._is_interim:
            return
        headers = Headers(self._pairs)
        coding = headers.first.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._stop(f"Transfer-Encoding {coding.decode('latin-1')!r} is unknown")
        self.headers = headers
        self.status = status
        self._pairs = []
        if self._is_head:
            # llhttp can't be told that no body follows, so its connection isn't used again.
            self.is_whole = True

    def on_body(self, data: bytes) -> None:
        """llhttp: a part of the body, chunk framing removed."""
        self._progress_count += 1
        if not self._is_head:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        """llhttp: the answer is whole."""
        assert self._parser is not None
        if not self._is_interim:
            self.is_reusable = self._parser.should_keep_alive() and not self._is_head
            self.is_whole = True

    def _stop(self, reason: str) -> NoReturn:
        self._reason = f"The answer can't be read: {reason}."
        raise _StopParsingError

    def _too_large(self) -> str:
        return (
            f"its headers are over {self._limits.head_bytes_max} bytes or "
            f"{self._limits.headers_max} headers"
        )
