"""One HTTP/2 stream: the request that comes over it, and the answer that leaves.

What is written waits here until both windows (the stream's and the connection's) and the socket
allow it to leave; that wait is what `drain` waits for.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from craton.http.message import HeaderPairs, HttpRequest
from craton.http.response_head import BODILESS

PENDING_BYTES_HIGH = 64 * 1024
"""How much may wait before `drain` waits: what asyncio's transports hold for HTTP/1.1."""
PENDING_BYTES_LOW = 16 * 1024


class Ending(StrEnum):
    """How an answer ends once all that was written has left."""

    NONE = "none"
    WHOLE = "whole"
    RESET = "reset"
    """So that what was sent can't be taken for the whole answer."""


_NONE, _WHOLE, _RESET = Ending.NONE, Ending.WHOLE, Ending.RESET


class Sender(Protocol):
    """The connection's sending half, as far as an answer needs it."""

    @property
    def standing_pairs(self) -> HeaderPairs:
        """The headers that every answer has."""
        ...

    def send_now(self, stream: "Http2Stream") -> None:
        """Send what may leave."""
        ...

    def send_soon(self, stream: "Http2Stream") -> None:
        """Send what may leave, at the end of this turn of the loop."""
        ...

    def note_pending(self, stream: "Http2Stream", size: int) -> None:
        """So many bytes more (or less) wait for the client, in all streams together."""
        ...


class Http2Stream:
    """The HTTP/2 form of `message.HttpResponder`, with its request's state beside it."""

    __slots__ = (
        "_callbacks",
        "_drained",
        "_is_bodiless",
        "_is_due",
        "_pending",
        "_sender",
        "_was_left",
        "body",
        "ending",
        "head",
        "id",
        "is_finished",
        "is_handled",
        "is_head",
        "is_over",
        "is_started",
        "is_whole",
        "pending_bytes",
        "request",
        "sent_bytes",
        "since_ns",
        "swept_bytes",
        "swept_ns",
    )

    def __init__(self, sender: Sender, id: int, *, is_head: bool, now_ns: int) -> None:
        self._sender = sender
        self.id = id
        self.is_head = is_head
        self.request: HttpRequest | None = None
        """None while nothing of it was understood."""
        self.body = bytearray()
        self.is_whole = False
        """Whether the client has ended the request."""
        self.is_handled = False
        """Whether the handler has returned, or will never be called."""
        self.since_ns = now_ns
        self.head: list[tuple[bytes, bytes]] | None = None
        """The answer's header fields, until they have left."""
        self._pending: deque[bytes] = deque()
        self.pending_bytes = 0
        self.sent_bytes = 0
        self.swept_bytes = 0
        self.swept_ns = now_ns
        self.ending = _NONE
        self.is_over = False
        """Whether nothing leaves any more: the answer was sent, or nobody waits for it."""
        self.is_started = False
        self.is_finished = False
        self._is_bodiless = False
        self._is_due = False
        self._was_left = False
        self._callbacks: list[Callable[[], None]] = []
        self._drained: asyncio.Future[None] | None = None

    # What a handler uses.

    @property
    def is_gone(self) -> bool:
        """Whether the client has reset the stream, or left altogether."""
        return self._was_left

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before `finish`; at once if it has left."""
        if self._was_left:
            callback()
        else:
            self._callbacks.append(callback)

    def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Give the whole answer; it leaves before this returns, as far as the client lets it."""
        assert not self.is_started, "an answer was already begun"
        fields = self._fields(status, headers)
        if status not in BODILESS:
            fields.append((b"content-length", b"%d" % len(body)))
        self.is_started = self.is_finished = True
        if self.is_over:
            return
        self.head, self.ending = fields, _WHOLE
        if body and not self.is_head and status not in BODILESS:
            self._add(body)
        self._sender.send_now(self)

    def start(self, status: int, headers: HeaderPairs) -> None:
        """Begin an answer of unknown length."""
        assert not self.is_started, "an answer was already begun"
        fields = self._fields(status, headers)
        self.is_started = True
        self._is_bodiless = self.is_head or status in BODILESS
        if not self.is_over:
            self.head = fields
            self._send_soon()

    def write(self, data: bytes) -> None:
        """Add to the body; leaves at the end of this turn of the loop."""
        assert self.is_started, "write before start"
        assert not self.is_finished or self.is_over, "write after finish"
        if self._is_bodiless or not data or self.is_over:
            return
        self._add(data)
        if self.pending_bytes > PENDING_BYTES_HIGH:
            self._sender.send_now(self)
        elif not self._is_due:
            self._send_soon()

    async def drain(self) -> None:
        """Wait while the client takes too little; returns at once when it is gone."""
        while self.pending_bytes > PENDING_BYTES_HIGH and not self.is_over:
            assert self._drained is None, "an answer is written by one handler"
            self._drained = asyncio.get_running_loop().create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    def finish(self) -> None:
        """End the body properly, with all that was written before."""
        assert self.is_started, "finish before start"
        self._end(_WHOLE)

    def abort(self) -> None:
        """Reset the stream after what was written, so that it can't be taken for whole."""
        self._end(_RESET)

    # What the connection calls.

    def take_due(self) -> bool:
        """Whether this turn's end was waited for; it isn't any more."""
        was_due, self._is_due = self._is_due, False
        return was_due and not self.is_over

    @property
    def has_something(self) -> bool:
        """Whether anything could leave if the client let it."""
        return self.head is not None or self.pending_bytes > 0 or self.ending is not _NONE

    def take(self, size_max: int) -> bytes:
        """The next bytes to send, at least one."""
        pieces: list[bytes] = []
        size = 0
        while self._pending and size < size_max:
            piece = self._pending.popleft()
            room = size_max - size
            if len(piece) > room:
                self._pending.appendleft(piece[room:])
                piece = piece[:room]
            pieces.append(piece)
            size += len(piece)
        self.pending_bytes -= size
        self.sent_bytes += size
        self._sender.note_pending(self, -size)
        if self.pending_bytes <= PENDING_BYTES_LOW:
            self._wake()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def drop(self) -> bool:
        """Nobody waits for the answer; true if the handler is told so by this, and works on it."""
        self.is_over = True
        self.head = None
        self._pending.clear()
        self._sender.note_pending(self, -self.pending_bytes)
        self.pending_bytes = 0
        was_left, self._was_left = self._was_left, True
        self._wake()
        if was_left or self.is_finished:
            return False
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        return True

    def _fields(self, status: int, headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
        assert 200 <= status <= 599, f"{status} is not the status of a final answer"
        fields = [(b":status", b"%d" % status), *self._sender.standing_pairs]
        for name, value in headers:
            field = name + value
            if b"\n" in field or b"\r" in field or b"\0" in field:
                raise ValueError("a header name or value has a line break or a NUL in it")
            fields.append((name.lower(), value))
        return fields

    def _add(self, data: bytes) -> None:
        self._pending.append(data)
        self.pending_bytes += len(data)
        self._sender.note_pending(self, len(data))

    def _end(self, ending: Ending) -> None:
        if self.is_finished:
            return
        self.is_finished = True
        if not self.is_over:
            self.ending = ending
            self._sender.send_now(self)

    def _send_soon(self) -> None:
        self._is_due = True
        self._sender.send_soon(self)

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
