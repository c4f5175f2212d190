"""WebSocket frames: bytes in, messages out, and back, without a socket.

Source: RFC 6455. A server's side of it, without extensions: none is ever agreed to, so a reserved
bit is an error. What a client sends against the rules ends its connection with the close code that
the RFC has for it.
"""

from enum import IntEnum
from typing import NoReturn

import msgspec

_FINAL, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_TWO_BYTES, _EIGHT_BYTES = 126, 127
CONTROL_BYTES_MAX = 125
_CONTROL = 0x8


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Why a connection ends (RFC 6455, section 7.4.1, and IANA's registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """Never sent: the client's Close had no code."""
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class FrameError(Exception):
    """The client broke the rules; the connection ends with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(msgspec.Struct, frozen=True):
    """A whole text message, checked to be UTF-8."""

    text: bytes


class Ping(msgspec.Struct, frozen=True):
    """The client asks whether we are there; the answer repeats the payload."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True):
    """The client is there."""


class Close(msgspec.Struct, frozen=True):
    """The client ends the connection."""

    code: int


Received = Message | Ping | Pong | Close


class FrameReader:
    """Reads one client's frames, in whatever pieces they come."""

    __slots__ = ("_begun", "_buffer", "_is_closed", "_message_bytes_max")

    def __init__(self, *, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._buffer = bytearray()
        # Of a message whose last frame has not come: one growing buffer, since a message in frames
        # of one byte each would cost many times its length as a list of pieces.
        self._begun: bytearray | None = None
        self._is_closed = False

    @property
    def unfinished_bytes(self) -> int:
        """Bytes that are held until their frame or their message is whole."""
        return len(self._buffer) + len(self._begun or b"")

    def feed(self, data: bytes) -> list[Received]:
        """What these bytes complete; FrameError where the client broke the rules."""
        self._buffer += data
        received: list[Received] = []
        while not self._is_closed:
            frame = self._take()
            if frame is None:
                break
            opcode, payload, is_final = frame
            found = self._read(opcode, payload, is_final=is_final)
            if found is not None:
                received.append(found)
        return received

    def _take(self) -> tuple[int, bytes, bool] | None:
        """The next frame, out of the buffer; None until it is whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, is_final = first & _OPCODE, bool(first & _FINAL)
        if first & _RESERVED:
            _break("a reserved bit is set, and no extension was agreed to")
        if not second & _MASKED:
            _break("a frame came that isn't masked")
        length, start = second & _LENGTH, 2
        if opcode & _CONTROL and (length > CONTROL_BYTES_MAX or not is_final):
            _break("a control frame is longer than 125 bytes or in pieces")
        if length >= _TWO_BYTES:
            size = 2 if length == _TWO_BYTES else 8
            if len(buffer) < start + size:
                return None
            length = int.from_bytes(buffer[start : start + size], "big")
            if length < (_TWO_BYTES if size == 2 else 1 << 16) or length >> 63:
                _break("a frame's length isn't written in the shortest form")
            start += size
        if length + len(self._begun or b"") > self._message_bytes_max:
            raise FrameError(
                CloseCode.TOO_BIG, f"a message may have {self._message_bytes_max} bytes"
            )
        end = start + 4 + length
        if len(buffer) < end:
            return None
        key, payload = bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : end])
        del buffer[:end]
        return opcode, unmasked(payload, key), is_final

    def _read(self, opcode: int, payload: bytes, *, is_final: bool) -> Received | None:
        match opcode:
            case Opcode.TEXT | Opcode.CONTINUATION:
                return self._read_text(opcode, payload, is_final=is_final)
            case Opcode.PING:
                return Ping(payload)
            case Opcode.PONG:
                return Pong()
            case Opcode.CLOSE:
                self._is_closed = True
                self._buffer.clear()
                return Close(_close_code(payload))
            case Opcode.BINARY:
                raise FrameError(CloseCode.UNSUPPORTED_DATA, "send JSON as text, not binary")
            case _:
                raise FrameError(CloseCode.PROTOCOL_ERROR, f"there is no opcode {opcode:#x}")

    def _read_text(self, opcode: int, payload: bytes, *, is_final: bool) -> Message | None:
        if (opcode == Opcode.CONTINUATION) is (self._begun is None):
            _break("a message's frames came out of order")
        if self._begun is None:
            if is_final:
                return Message(_checked_text(payload))
            self._begun = bytearray()
        self._begun += payload
        if not is_final:
            return None
        text, self._begun = bytes(self._begun), None
        return Message(_checked_text(text))


def _break(reason: str) -> NoReturn:
    raise FrameError(CloseCode.PROTOCOL_ERROR, reason)


def _checked_text(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_DATA, "a text message is not UTF-8") from None
    return text


def _close_code(payload: bytes) -> int:
    if not payload:
        return CloseCode.NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    is_known = 1000 <= code <= 1014 and code not in {1004, 1005, 1006}
    if len(payload) == 1 or not (is_known or 3000 <= code <= 4999):
        _break("a Close frame has no valid code")
    _checked_text(payload[2:])
    return code


def unmasked(payload: bytes, key: bytes) -> bytes:
    """A payload with its four-byte mask taken off, or put on: both are the same."""
    size = len(payload)
    if not size:
        return b""
    # As two long integers: a byte at a time, 32 MiB would take seconds.
    mask = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")
    return mixed.to_bytes(size, "little")


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One whole frame of a server."""
    size = len(payload)
    if size < _TWO_BYTES:
        head = bytes((_FINAL | opcode, size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, _TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, _EIGHT_BYTES)) + size.to_bytes(8, "big")
    return head + payload


def close_frame(code: int, reason: str) -> bytes:
    """A Close frame; the reason is cut to what fits."""
    if code == CloseCode.NO_STATUS:
        return frame(Opcode.CLOSE, b"")
    told = reason.encode()[: CONTROL_BYTES_MAX - 2].decode(errors="ignore").encode()
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + told)
