"""WebSocket connections of the server: a request of HTTP/1.1 that asked to change to it.

    websocket = open_websocket(request, responder)      the 101 leaves
    while (text := await websocket.receive()) is not None:
        websocket.send(…)
    websocket.close(CloseCode.NORMAL, "")

Source: RFC 6455, without extensions and subprotocols. The handler that opened it runs as long as
the connection is used; to the server it is one of its connections, swept and closed with the rest.
"""

import asyncio
import base64
import binascii
import hashlib
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from craton.http.limits import MIB
from craton.http.lingering import end_our_side
from craton.http.message import HeaderPairs, HttpRequest, HttpResponder
from craton.http.responder import GivenSocket
from craton.http.server_state import Phase, ServerState
from craton.http.websocket_frames import (
    Close,
    CloseCode,
    FrameError,
    FrameReader,
    Message,
    Opcode,
    Ping,
    Pong,
    close_frame,
    frame,
)
from craton.kernel.errors import BadRequest, Unavailable, Unsupported

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What RFC 6455 has a server add to the client's key, to show that it knows the protocol."""
_KEY_BYTES = 16
_OPEN = Phase.OPEN


class WebSocketLimits(msgspec.Struct, frozen=True):
    """What one WebSocket connection may do. Bytes, counts, and seconds."""

    message_bytes_max: int = 32 * MIB
    """One message: as long as a request body may be."""
    waiting_max: int = 16
    """Messages that wait while the handler is busy with another."""
    message_timeout_s: float = 300
    """From a message's first byte to its last."""
    ping_after_s: float = 30
    """Of silence, before the client is asked whether it is there."""
    silence_s: float = 75
    """Of silence, before the client is taken for gone: as long as HTTP waits between requests."""
    lifetime_s: float = 3600
    """After this no more messages are taken; the one that is being handled is finished."""


class Ending(StrEnum):
    """Why no more messages come."""

    CLIENT = "client"
    """It left, was cut off, or broke the protocol."""
    SERVER = "server"
    """The server closes."""
    AGE = "age"
    """The connection is as old as one may get."""


@runtime_checkable
class Upgradable(Protocol):
    """A responder whose connection can change to another protocol, as HTTP/1.1's can."""

    def upgrade(self, headers: HeaderPairs) -> GivenSocket | None:
        """Answer 101 and leave the socket to another protocol; None if the client has left."""
        ...


def open_websocket(
    request: HttpRequest, responder: HttpResponder, *, limits: WebSocketLimits | None = None
) -> "WebSocket":
    """Answer a handshake with 101; BadRequest or Unsupported where it isn't one that can be."""
    key = _checked_key(request)
    if not isinstance(responder, Upgradable):
        raise Unsupported("WebSockets are served over HTTP/1.1. Connect without offering HTTP/2.")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    given = responder.upgrade(((b"upgrade", b"websocket"), (b"sec-websocket-accept", accept)))
    if given is None:
        raise Unavailable("The client left before its connection became a WebSocket.")
    websocket = WebSocket(given.server, given.loop, given.transport, limits or WebSocketLimits())
    given.server.connections.add(websocket)
    given.transport.set_protocol(websocket)
    if given.ahead:
        websocket.data_received(given.ahead)
    return websocket


def _checked_key(request: HttpRequest) -> bytes:
    headers = request.headers
    tokens = b",".join(headers.get_all(b"connection")).lower().split(b",")
    if (
        request.method != "GET"
        or (headers.get(b"upgrade") or b"").lower() != b"websocket"
        or b"upgrade" not in [token.strip() for token in tokens]
    ):
        raise BadRequest(
            f"GET {request.raw_path.decode('latin-1')} opens a WebSocket. Send `Upgrade: "
            "websocket` and `Connection: Upgrade` over HTTP/1.1, or use POST."
        )
    if headers.get(b"sec-websocket-version") != b"13":
        raise BadRequest("The only version of WebSocket served here is 13. Send that one.")
    key = headers.get(b"sec-websocket-key") or b""
    try:
        is_key = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        is_key = False
    if not is_key or headers.is_repeated(b"sec-websocket-key"):
        raise BadRequest("`Sec-WebSocket-Key` must be 16 random bytes in base64, once.")
    return key


class WebSocket(asyncio.Protocol):
    """One connection after its handshake. All methods run in the server's event loop."""

    def __init__(
        self,
        server: ServerState,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        limits: WebSocketLimits,
    ) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = transport
        self._limits = limits
        self._frames = FrameReader(message_bytes_max=limits.message_bytes_max)
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held_bytes = 0  # of all that, as the server's counters have it
        self._wanted: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._phase = _OPEN
        now_ns = server.clock.monotonic_ns()
        self._opened_ns = self._heard_ns = self._begun_ns = self._taken_ns = now_ns
        self._left_ns = now_ns
        self._is_asked = False
        self._is_deaf = False
        self._lingered_bytes = 0
        self._sent_bytes = self._taken_bytes = 0
        self.ending: Ending | None = None
        """Why `receive` returns None; None while messages may come."""
        self.on_gone: Callable[[], None] | None = None
        """Called once when the client leaves; whoever works for it sets it."""

    # What the handler uses.

    @property
    def is_gone(self) -> bool:
        """Whether nothing can reach the client any more."""
        return self._phase is not _OPEN

    async def receive(self) -> bytes | None:
        """The next message, as UTF-8; None once no more are taken, and `ending` says why."""
        while self.ending is None:
            if self._messages:
                text = self._messages.popleft()
                self._waiting_bytes -= len(text)
                self._count_held()
                return text
            self._wanted = self._loop.create_future()
            await self._wanted
        return None

    def send(self, text: bytes) -> None:
        """Send one text message; a client too far behind is cut off instead."""
        self._write(frame(Opcode.TEXT, text))

    async def drain(self) -> None:
        """Wait while the client reads too slowly; returns at once when it is gone."""
        await self._writable.wait()

    async def handle(self, request: HttpRequest, responder: HttpResponder) -> None:
        """Have the server's handler answer a request that was made of a message."""
        counters = self._server.counters
        counters.requests += 1
        counters.requests_now += 1
        try:
            await self._server.handler(request, responder)
        finally:
            counters.requests_now -= 1

    def close(self, code: int, reason: str) -> None:
        """Say that it is over, and why; the connection closes when the client has said so too."""
        if self._phase is not _OPEN:
            return
        self._write(close_frame(code, reason))
        if self._phase is _OPEN:  # or it was cut off for reading too slowly
            self._leave(Phase.LINGERING)

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        server = self._server
        server.counters.bytes_received += len(data)
        if self._phase is not _OPEN:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > server.limits.linger_bytes_max:
                self.abort()
                return
        if self._is_deaf:
            return
        self._heard_ns, self._is_asked = server.clock.monotonic_ns(), False
        if not self._frames.unfinished_bytes:
            self._begun_ns = self._heard_ns
        try:
            for received in self._frames.feed(data):
                if isinstance(received, Close):
                    self._answer_close(received)
                elif self._phase is _OPEN:
                    self._take(received)
        except FrameError as error:
            self.close(error.code, error.reason)
            self._is_deaf = True  # nobody can say where the next frame would begin
            if self._transport is not None:
                end_our_side(self._transport)
        self._count_held()

    def eof_received(self) -> bool:
        """Asyncio: the client sends no more. False has asyncio close our side as well."""
        self._leave(Phase.CLOSED)
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; how it ended is all the same here
        """Asyncio: the connection is gone."""
        self._leave(Phase.CLOSED)
        self._transport = None
        self._server.counters.connections_now -= 1
        self._server.connections.discard(self)

    def pause_writing(self) -> None:
        """Asyncio: the client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Asyncio: the client caught up."""
        self._writable.set()

    # What the server calls.

    @property
    def is_open(self) -> bool:
        """Whether messages are still answered."""
        return self._phase is _OPEN

    def shut(self) -> None:
        """The server is closing: the message that is being handled is the last."""
        self._end(Ending.SERVER)

    def abort(self) -> None:
        """The server's patience is over."""
        transport = self._transport
        self._leave(Phase.CLOSED)
        if transport is not None:
            transport.abort()

    def sweep(self, now_ns: int) -> None:
        """End what has taken too long."""
        transport, limits = self._transport, self._limits
        if transport is None:
            return
        unread = transport.get_write_buffer_size()
        taken = self._sent_bytes - unread
        if not unread or taken != self._taken_bytes:
            self._taken_bytes, self._taken_ns = taken, now_ns
        elif now_ns - self._taken_ns > self._server.limits.write_timeout_s * 1e9:
            self._server.counters.aborted_slow_reader += 1
            self.abort()
            return
        silent_s = (now_ns - self._heard_ns) / 1e9
        if self._phase is not _OPEN:
            if now_ns - self._left_ns > self._server.limits.linger_timeout_s * 1e9:
                transport.abort()
        elif silent_s > limits.silence_s:
            self.abort()
        elif self._frames.unfinished_bytes and (
            now_ns - self._begun_ns > limits.message_timeout_s * 1e9
        ):
            self.close(
                CloseCode.POLICY_VIOLATION,
                f"a message took longer than {limits.message_timeout_s:g} s",
            )
        elif now_ns - self._opened_ns > limits.lifetime_s * 1e9:
            self._end(Ending.AGE)
        if silent_s > limits.ping_after_s and not self._is_asked:
            self._is_asked = True
            self._write(frame(Opcode.PING, b""))

    # Inside.

    def _take(self, received: Message | Ping | Pong) -> None:
        match received:
            case Message(text):
                if len(self._messages) == self._limits.waiting_max:
                    raise FrameError(
                        CloseCode.POLICY_VIOLATION,
                        f"{self._limits.waiting_max} messages may wait; send the next later",
                    )
                self._messages.append(text)
                self._waiting_bytes += len(text)
                self._begun_ns = self._heard_ns
                self._wake()
            case Ping(payload):
                self._write(frame(Opcode.PONG, payload))
            case Pong():
                pass

    def _answer_close(self, close: Close) -> None:
        transport = self._transport
        if self._phase is _OPEN:
            self._write(close_frame(close.code, ""))
        self._leave(Phase.CLOSED)
        if transport is not None:
            transport.close()

    def _count_held(self) -> None:
        counters = self._server.counters
        held = self._waiting_bytes + self._frames.unfinished_bytes
        counters.body_bytes_now += held - self._held_bytes
        self._held_bytes = held
        if counters.body_bytes_now > self._server.limits.bodies_bytes_max and held:
            self.close(CloseCode.TRY_AGAIN_LATER, "too much is being received at once")

    def _write(self, data: bytes) -> None:
        transport, server = self._transport, self._server
        if transport is None or self._phase is not _OPEN:
            return
        if (
            not self._writable.is_set()
            and transport.get_write_buffer_size() > server.limits.unread_bytes_max
        ):
            server.counters.aborted_slow_reader += 1
            self.abort()
            return
        server.counters.bytes_sent += len(data)
        self._sent_bytes += len(data)
        transport.write(data)

    def _end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending
            self._wake()

    def _leave(self, phase: Phase) -> None:
        """Nothing more can reach the client; whoever works for it is told."""
        was_open, self._phase = self._phase is _OPEN, phase
        if was_open:
            self._left_ns = self._server.clock.monotonic_ns()
        self._messages.clear()
        self._waiting_bytes = 0
        if phase is Phase.CLOSED:
            self._frames = FrameReader(message_bytes_max=0)
            self._is_deaf = True
        self._count_held()
        self._writable.set()
        self._end(Ending.CLIENT)
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()
        if was_open:
            self._server.note_closed()

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.done():
            wanted.set_result(None)
