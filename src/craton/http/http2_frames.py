"""Bytes in, whole HTTP/2 frames out: RFC 9113's framing, and limits on what a client makes of it.

The `h2` library behind it would buffer a frame of any announced length, decode a header block of a
megabyte, answer any number of PINGs, and take a client's GOAWAY for the end of its own answers. So
frames are told apart here first, and what h2 gets is whole, short and not too often of no use.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from h2.errors import ErrorCodes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES_MAX = 16_384
"""A frame's longest payload: RFC 9113's initial SETTINGS_MAX_FRAME_SIZE, which is never raised."""
HEAD_BYTES = 9
CONTINUATIONS_MAX = 32

_HEAD = struct.Struct(">HBBBL")
END_STREAM = 0x1
_ACK = 0x1
END_HEADERS = 0x4


class Kind(IntEnum):
    """The frame types of RFC 9113, section 6."""

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


# In Python 3.11 looking a member up costs as much as making a small object.
DATA, HEADERS, CONTINUATION = int(Kind.DATA), int(Kind.HEADERS), int(Kind.CONTINUATION)
_SETTINGS = int(Kind.SETTINGS)
GOAWAY = int(Kind.GOAWAY)
KINDS = frozenset(int(kind) for kind in Kind)

_COSTS = {
    int(Kind.PRIORITY): 1,
    int(Kind.RST_STREAM): 10,  # of a request that may have cost us far more than a frame
    int(Kind.SETTINGS): 5,
    int(Kind.PING): 1,
    int(Kind.GOAWAY): 1,
    int(Kind.WINDOW_UPDATE): 1,
    int(Kind.CONTINUATION): 1,
}


class Frame(NamedTuple):
    """One whole frame; `data` has its head too."""

    kind: int
    flags: int
    stream_id: int
    data: bytes

    @property
    def cost(self) -> int:
        """How much of a client's budget it takes: 0 for what carries a request forward."""
        kind = self.kind
        if kind == HEADERS or (kind == _SETTINGS and self.flags & _ACK):
            return 0
        if kind == DATA:
            return int(len(self.data) == HEAD_BYTES and not self.flags & END_STREAM)
        return _COSTS.get(kind, 1)


class FrameFault(Exception):
    """The client broke the framing, or a limit on it; the connection ends with this code."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame_head(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """What comes before a payload of this length."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def goaway(last_stream_id: int) -> bytes:
    """The frame that says that no streams above this one are taken, and why: NO_ERROR."""
    payload = struct.pack(">LL", last_stream_id, ErrorCodes.NO_ERROR)
    return frame_head(GOAWAY, 0, 0, len(payload)) + payload


class Budget:
    """How much a client may still send that carries no request forward."""

    __slots__ = ("_most", "left")

    def __init__(self, most: int) -> None:
        self._most = most
        self.left = most

    def spend(self, cost: int) -> None:
        """Take a cost off; FrameFault if there isn't as much."""
        self.left -= cost
        if self.left < 0:
            raise FrameFault(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames to no end")

    def earn(self, amount: int) -> None:
        """Our answers, and time, give a client reason for more."""
        self.left = min(self.left + amount, self._most)


class FrameReader:
    """Reads the frames of one connection, from its preface on."""

    __slots__ = (
        "_block_bytes",
        "_block_bytes_max",
        "_block_frames",
        "_block_stream",
        "_buffer",
        "_is_begun",
        "_preface_bytes",
        "units",
    )

    def __init__(self, *, block_bytes_max: int) -> None:
        self._buffer = bytearray()
        self._preface_bytes = 0
        self._is_begun = False
        self._block_stream = 0
        """The stream whose header block isn't complete yet, or 0."""
        self._block_bytes = 0
        self._block_frames = 0
        self._block_bytes_max = block_bytes_max
        self.units = 0
        """How much came whole: frames, but for those that a header block still waits for."""

    @property
    def is_in_head(self) -> bool:
        """Whether anything but a body was begun and isn't whole."""
        if self._block_stream or self._preface_bytes < len(PREFACE):
            return True
        buffer = self._buffer
        return bool(buffer) and (len(buffer) < HEAD_BYTES or buffer[3] != DATA)

    def waiting_bytes(self, stream_id: int) -> int:
        """Bytes of an unfinished DATA frame of a stream, its head among them."""
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES or buffer[3] != DATA:
            return 0
        return len(buffer) if int.from_bytes(buffer[5:9], "big") == stream_id else 0

    def feed(self, data: bytes) -> None:
        """Add bytes; `take` gives what they complete."""
        missing = len(PREFACE) - self._preface_bytes
        if missing:
            begun = data[:missing]
            if not PREFACE.startswith(begun, self._preface_bytes):
                raise FrameFault(ErrorCodes.PROTOCOL_ERROR, "this is no HTTP/2 preface")
            self._preface_bytes += len(begun)
            data = data[missing:]
        self._buffer += data

    def take(self) -> Frame | None:
        """The next whole frame; FrameFault as soon as its head shows that it can't be taken."""
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        high, low, kind, flags, stream_id = _HEAD.unpack_from(buffer)
        length = (high << 8) | low
        stream_id &= 0x7FFF_FFFF
        self._check(kind, flags, stream_id, length)
        whole = HEAD_BYTES + length
        if len(buffer) < whole:
            return None
        data = bytes(buffer[:whole])
        del buffer[:whole]
        self._is_begun = True
        if kind in (HEADERS, CONTINUATION):
            self._add_to_block(stream_id, flags, length)
        if not self._block_stream:
            self.units += 1
        return Frame(kind, flags, stream_id, data)

    def _check(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if length > FRAME_BYTES_MAX:
            raise FrameFault(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        if not self._is_begun and (kind != _SETTINGS or flags & _ACK):
            raise FrameFault(ErrorCodes.PROTOCOL_ERROR, "the first frame is no SETTINGS")
        if self._block_stream:
            if kind != CONTINUATION or stream_id != self._block_stream:
                raise FrameFault(ErrorCodes.PROTOCOL_ERROR, "a frame inside a header block")
            if self._block_frames > CONTINUATIONS_MAX:
                raise FrameFault(ErrorCodes.ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        elif kind == CONTINUATION:
            raise FrameFault(ErrorCodes.PROTOCOL_ERROR, "CONTINUATION of no header block")
        if kind in (HEADERS, CONTINUATION) and self._block_bytes + length > self._block_bytes_max:
            raise FrameFault(ErrorCodes.ENHANCE_YOUR_CALM, "a header block that is too long")

    def _add_to_block(self, stream_id: int, flags: int, length: int) -> None:
        if flags & END_HEADERS:
            self._block_stream = self._block_bytes = self._block_frames = 0
        else:
            # Stream 0 may have no headers; h2 says so when it gets the frame.
            self._block_stream = stream_id
            self._block_bytes += length
            self._block_frames += 1
