"""Messages between Craton's own processes, over a Unix socket.

A frame is four bytes of length (big-endian) and a MessagePack array of messages. All messages sent
in one turn of the event loop leave as one frame, so that a busy worker makes one system call and
its peer wakes once. Each end names the union of message types it reads; what doesn't decode closes
the channel, since both ends are ours and of one version.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec

Incoming = TypeVar("Incoming")

FRAME_BYTES_MAX = 64 * 1024 * 1024
_FLUSH_BYTES = FRAME_BYTES_MAX // 2
LINGER_S = 0.005
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">IBI")
_ARRAY_32 = 0xDD
"""MessagePack's mark of an array with a 32-bit count of elements."""


class Channel(asyncio.Protocol, Generic[Incoming]):
    """One end of a connection between two processes.

    `on_messages(channel, messages)` is called once for each frame, in order; `on_closed(channel)`
    once, when the connection is gone. `send` never blocks; `drain` waits while the peer is slow.
    """

    def __init__(
        self,
        reads: Any,  # noqa: ANN401 - a type expression: a struct or a union of tagged structs
        *,
        on_messages: Callable[["Channel[Incoming]", Sequence[Incoming]], None],
        on_opened: Callable[["Channel[Incoming]"], None] | None = None,
        on_closed: Callable[["Channel[Incoming]"], None] | None = None,
    ) -> None:
        self._decoder = msgspec.msgpack.Decoder(list[reads])
        self._encode = msgspec.msgpack.Encoder().encode
        self._on_messages = on_messages
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._is_leaving = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.error: Exception | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._transport is not None

    def send(self, message: msgspec.Struct, *, soon: bool = True) -> None:
        """Queue a message; it leaves at the end of this turn of the loop.

        One that isn't wanted `soon` waits for company, at most `LINGER_S`: it wakes nobody alone.
        Raises what the encoder raises for a value that MessagePack can't hold (an integer over 64
        bits, half a surrogate pair): here, so that it harms no other sender's message.
        """
        if self._transport is None:
            return
        encoded = self._encode(message)
        size = len(encoded)
        if self._outgoing_bytes + size > _FLUSH_BYTES:
            self._flush()
        if soon and not self._is_leaving:
            self._is_leaving = True
            self._loop.call_soon(self._flush)
        elif not self._outgoing:
            self._loop.call_later(LINGER_S, self._flush)
        self._outgoing.append(encoded)
        self._outgoing_bytes += size

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent."""
        await self._writable.wait()

    def close(self) -> None:
        """Send what is queued and close."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        self._is_leaving = False
        if self._outgoing and self._transport is not None:
            size, count = self._outgoing_bytes + 5, len(self._outgoing)
            assert size <= FRAME_BYTES_MAX, "a message between our own processes is too large"
            head = _HEAD.pack(size, _ARRAY_32, count)
            self._transport.write(b"".join((head, *self._outgoing)))
            self._outgoing = []
            self._outgoing_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is connected."""
        # uvloop's transports are no subclass of asyncio's, so this can't be asserted.
        self._transport = cast("asyncio.Transport", transport)
        if self._on_opened is not None:
            self._on_opened(self)

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came; hand on every whole frame."""
        received = self._received
        received += data
        start = 0
        while len(received) - start >= 4:
            (length,) = _LENGTH.unpack_from(received, start)
            if length > FRAME_BYTES_MAX:
                self._fail(ValueError(f"frame of {length} bytes is over {FRAME_BYTES_MAX}"))
                return
            if len(received) - start - 4 < length:
                break
            frame = bytes(received[start + 4 : start + 4 + length])
            start += 4 + length
            try:
                messages = self._decoder.decode(frame)
            except msgspec.MsgspecError as error:
                self._fail(error)
                return
            self._on_messages(self, messages)
        if start:
            del received[:start]

    def _fail(self, error: Exception) -> None:
        self.error = error
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._transport = None
        self._outgoing = []
        self._outgoing_bytes = 0
        self._writable.set()
        self.error = self.error or exc
        if self._on_closed is not None:
            self._on_closed(self)

    def pause_writing(self) -> None:
        """Asyncio: the peer is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Asyncio: the peer caught up."""
        self._writable.set()
