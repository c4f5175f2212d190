"""Writes one answer in HTTP/1.x framing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from craton.http.message import HeaderPairs
from craton.http.response_head import BODILESS, header_lines, status_line
from craton.http.server_state import ServerState

COALESCE_BYTES_MAX = 64 * 1024
"""What is collected within one turn of the loop before it is handed on early."""


@dataclass(frozen=True, slots=True)
class GivenSocket:
    """A socket that another protocol takes over, and what its connection had of it."""

    server: ServerState
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    ahead: bytes
    """What came after the request that asked for the other protocol."""


class Wire(Protocol):
    """The connection, as far as an answer needs it."""

    is_gone: bool
    """Whether no answer can reach the client any more."""

    server: ServerState

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        ...

    async def drain(self) -> None:
        """Wait while the client reads too slowly."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call at the end of this turn of the loop."""
        ...

    def end(self, *, is_reset: bool) -> None:
        """Close without ending the answer."""
        ...

    def give_up_socket(self) -> GivenSocket | None:
        """Leave the socket to another protocol; None if the client has left."""
        ...


class Http1Responder:
    """The HTTP/1.x form of `message.HttpResponder`."""

    __slots__ = (
        "_callbacks",
        "_head",
        "_is_bodiless",
        "_is_chunked",
        "_is_flush_due",
        "_is_head",
        "_is_http_10",
        "_pending",
        "_pending_bytes",
        "_was_left",
        "_wire",
        "is_finished",
        "is_last",
        "is_started",
    )

    def __init__(self, wire: Wire, *, is_head: bool, is_http_10: bool, is_last: bool) -> None:
        self._wire = wire
        self._is_head = is_head
        self._is_http_10 = is_http_10
        self._is_chunked = False
        self._is_bodiless = False
        self._is_flush_due = False
        self._head = b""
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._callbacks: list[Callable[[], None]] | None = None
        self._was_left = False
        self.is_started = False
        self.is_finished = False
        self.is_last = is_last
        """The connection closes after this answer."""

    @property
    def is_gone(self) -> bool:
        """Whether the client left before the answer was finished."""
        return self._was_left or self._wire.is_gone

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before `finish`; at once if it has left."""
        if self.is_gone:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def tell_gone(self) -> bool:
        """The connection's word that the client left; false if that was said before."""
        if self._was_left:
            return False
        self._was_left = True
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()
        return True

    def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Give the whole answer in one write."""
        assert not self.is_started, "an answer was already begun"
        lines = header_lines(headers)
        self.is_started = self.is_finished = True
        wire = self._wire
        length = b"" if status in BODILESS else b"content-length: %d\r\n" % len(body)
        shown = b"" if self._is_head or status in BODILESS else body
        first, last = status_line(status), self._connection_line()
        wire.send(b"".join((first, wire.server.standing_headers, lines, length, last, shown)))

    def upgrade(self, headers: HeaderPairs) -> GivenSocket | None:
        """Answer 101 and leave the socket to another protocol; None if the client has left."""
        assert not self.is_started, "an answer was already begun"
        lines = header_lines(headers)
        standing = self._wire.server.standing_headers
        head = (b"HTTP/1.1 101 Switching Protocols\r\n", standing, lines)
        self._wire.send(b"".join((*head, b"connection: upgrade\r\n\r\n")))
        given = self._wire.give_up_socket()
        self.is_started = self.is_finished = given is not None
        return given

    def start(self, status: int, headers: HeaderPairs) -> None:
        """Begin an answer of unknown length: chunked, or ended by closing for HTTP/1.0."""
        assert not self.is_started, "an answer was already begun"
        lines = header_lines(headers)
        self.is_started = True
        self._is_bodiless = self._is_head or status in BODILESS
        coding = b""
        if self._is_http_10:
            self.is_last = True
        elif status not in BODILESS:
            coding = b"transfer-encoding: chunked\r\n"
            self._is_chunked = not self._is_head
        self._head = b"".join(
            (
                status_line(status),
                self._wire.server.standing_headers,
                lines,
                coding,
                self._connection_line(),
            )
        )
        self._flush_soon()

    def write(self, data: bytes) -> None:
        """Add to the body; leaves at the end of this turn of the loop."""
        assert self.is_started, "write before start"
        assert not self.is_finished or self.is_gone, "write after finish"
        if self._is_bodiless or not data or self.is_finished:
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes > COALESCE_BYTES_MAX:
            self._flush()
        elif not self._is_flush_due:
            self._flush_soon()

    async def drain(self) -> None:
        """Wait while the client reads too slowly; returns at once when it is gone."""
        await self._wire.drain()

    def finish(self) -> None:
        """End the body; it leaves before this returns, with all that was written before."""
        assert self.is_started, "finish before start"
        if self.is_finished:
            return
        self._flush(end=b"0\r\n\r\n" if self._is_chunked else b"")
        self.is_finished = True

    def abort(self) -> None:
        """End the connection so that this answer can't be taken for whole.

        What was written still leaves, an error frame for one. Where only closing ends the body
        (HTTP/1.0), the connection is reset: an orderly close would look like a whole answer.
        """
        if self.is_finished:
            return
        if self.is_started:
            self._flush()
        self.is_finished = True
        ends_by_closing = self.is_started and self._is_http_10 and not self._is_bodiless
        self._wire.end(is_reset=ends_by_closing)

    def close_afterwards(self) -> None:
        """Close the connection after this answer, and say so if that is still possible."""
        self.is_last = True

    def _connection_line(self) -> bytes:
        if self.is_last or self._wire.server.is_closing:
            self.is_last = True
            return b"connection: close\r\n\r\n"
        return b"connection: keep-alive\r\n\r\n" if self._is_http_10 else b"\r\n"

    def _flush_soon(self) -> None:
        self._is_flush_due = True
        self._wire.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_flush_due = False
        if not self.is_finished:
            self._flush()

    def _flush(self, end: bytes = b"") -> None:
        pieces = self._pending
        if self._is_chunked and pieces:
            # All of a turn is one chunk: where chunks are cut means nothing.
            out = b"".join((self._head, b"%x\r\n" % self._pending_bytes, *pieces, b"\r\n", end))
        else:
            out = b"".join((self._head, *pieces, end))
        self._head = b""
        if pieces:
            self._pending = []
            self._pending_bytes = 0
        if out:
            self._wire.send(out)
