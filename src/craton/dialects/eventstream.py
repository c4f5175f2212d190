"""The `application/vnd.amazon.eventstream` frame: how AWS services stream.

A frame is: total length (4 bytes, big-endian), length of the headers (4), CRC-32 of those eight
bytes (4), headers, payload, CRC-32 of everything before it (4). A header is: length of its name
(1), name, type of its value (1), value. Servers here send string headers only; the reader knows
all ten types. Source: "Event Stream encoding" in the Smithy specification.
"""

import struct
import uuid
from datetime import UTC, datetime, timedelta
from zlib import crc32

import msgspec

from craton.kernel.errors import EngineFailed

HEADERS_BYTES_MAX = 128 * 1024
"""The protocol's own limit."""
PAYLOAD_BYTES_MAX = 24 * 1024 * 1024
"""The protocol's own limit."""

HeaderValue = bool | int | bytes | str | datetime | uuid.UUID

_PRELUDE = struct.Struct(">III")
_UINT = struct.Struct(">I")
_LENGTHS = struct.Struct(">II")
_FRAME_BYTES_MIN = 16
_CACHED_PAYLOAD_BYTES_MAX = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i")} | {
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
}


class Frame(msgspec.Struct, frozen=True):
    """One frame: its headers by name, and its payload."""

    headers: dict[str, HeaderValue]
    payload: bytes


def write_frame(headers: dict[str, str], payload: bytes) -> bytes:
    """A frame with string headers, in the order given."""
    return _seal(_head(_write_headers(headers), len(payload)), payload)


def write_event(event_type: str, payload: bytes) -> bytes:
    """A frame that carries one event, its payload as JSON."""
    # What stands before the payload depends on the payload's length alone, and the lengths of
    # text deltas repeat: so it is kept, together with its CRC.
    heads = _EVENT_HEADS.get(event_type)
    if heads is None:
        headers = {":event-type": event_type, **_EVENT_HEADERS}
        return write_frame(headers, payload)
    length = len(payload)
    known = heads.get(length)
    if known is None:
        head = _head(_EVENT_HEADER_BYTES[event_type], length)
        known = head, crc32(head)
        if length <= _CACHED_PAYLOAD_BYTES_MAX:
            heads[length] = known
    return known[0] + payload + _UINT.pack(crc32(payload, known[1]))


def write_exception(exception_type: str, payload: bytes) -> bytes:
    """A frame that carries a modelled exception, which ends the stream."""
    return write_frame(
        {
            ":exception-type": exception_type,
            ":content-type": "application/json",
            ":message-type": "exception",
        },
        payload,
    )


def _write_headers(headers: dict[str, str]) -> bytes:
    parts: list[bytes] = []
    for name, value in headers.items():
        name_bytes, value_bytes = name.encode(), value.encode()
        assert len(name_bytes) < 256, name
        assert len(value_bytes) < 32768, name
        parts.append(bytes((len(name_bytes),)) + name_bytes)
        parts.append(b"\x07" + len(value_bytes).to_bytes(2, "big") + value_bytes)
    return b"".join(parts)


def _head(headers: bytes, payload_length: int) -> bytes:
    lengths = _LENGTHS.pack(_FRAME_BYTES_MIN + len(headers) + payload_length, len(headers))
    return lengths + _UINT.pack(crc32(lengths)) + headers


def _seal(head: bytes, payload: bytes) -> bytes:
    return head + payload + _UINT.pack(crc32(payload, crc32(head)))


_EVENT_HEADERS = {":content-type": "application/json", ":message-type": "event"}
# The six events of Converse and the one of InvokeModel: a closed set, so that the kept heads have a
# bound.
_EVENT_HEADER_BYTES = {
    event_type: _write_headers({":event-type": event_type, **_EVENT_HEADERS})
    for event_type in (
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "chunk",
    )
}
_EVENT_HEADS: dict[str, dict[int, tuple[bytes, int]]] = {name: {} for name in _EVENT_HEADER_BYTES}


class FrameReader:
    """Cuts a byte stream into frames, whatever pieces it comes in.

    Raises EngineFailed for a frame that is damaged or over the limits; nothing can be read after
    that, since the stream's framing is lost.
    """

    def __init__(self) -> None:
        self._received = bytearray()

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream could end here without cutting a frame."""
        return not self._received

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by these bytes."""
        received = self._received
        received += data
        frames: list[Frame] = []
        start = 0
        while len(received) - start >= 12:
            total, headers_length, prelude_crc = _PRELUDE.unpack_from(received, start)
            if crc32(received[start : start + 8]) != prelude_crc:
                raise EngineFailed("The event stream is damaged: a prelude's checksum is wrong.")
            _check_lengths(total, headers_length)
            if len(received) - start < total:
                break
            frames.append(_read_frame(bytes(received[start : start + total]), headers_length))
            start += total
        if start:
            del received[:start]
        return frames


def _check_lengths(total: int, headers_length: int) -> None:
    payload_length = total - headers_length - _FRAME_BYTES_MIN
    if payload_length < 0:
        raise EngineFailed(
            f"The event stream is damaged: a frame of {total} bytes can't hold "
            f"{headers_length} bytes of headers."
        )
    if headers_length > HEADERS_BYTES_MAX or payload_length > PAYLOAD_BYTES_MAX:
        raise EngineFailed(
            f"A frame of the event stream is too large: {headers_length} bytes of headers "
            f"(at most {HEADERS_BYTES_MAX}), {payload_length} of payload (at most "
            f"{PAYLOAD_BYTES_MAX})."
        )


def _read_frame(frame: bytes, headers_length: int) -> Frame:
    (message_crc,) = _UINT.unpack_from(frame, len(frame) - 4)
    if crc32(frame[:-4]) != message_crc:
        raise EngineFailed("The event stream is damaged: a frame's checksum is wrong.")
    headers = _read_headers(frame[12 : 12 + headers_length])
    return Frame(headers=headers, payload=frame[12 + headers_length : -4])


def _read_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name = data[at + 1 : name_end].decode()
            if name in headers:
                raise EngineFailed(f"The event stream is damaged: two headers {name!r}.")
            headers[name], at = _read_value(data, name_end)
    except (IndexError, ValueError, struct.error, OverflowError) as error:
        raise EngineFailed(f"The event stream is damaged: bad headers ({error}).") from error
    return headers


def _read_value(data: bytes, at: int) -> tuple[HeaderValue, int]:
    """The value whose type stands at `at`, and where the next header begins."""
    kind = data[at]
    at += 1
    if kind in (0, 1):
        return kind == 0, at
    if kind in _NUMBERS:
        (number,) = _NUMBERS[kind].unpack_from(data, at)
        at += _NUMBERS[kind].size
        return (_EPOCH + timedelta(milliseconds=number) if kind == 8 else number), at
    if kind in (6, 7):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            raise ValueError("a value reaches past the end")
        value = data[at + 2 : end]
        return (value if kind == 6 else value.decode()), end
    if kind == 9:
        return uuid.UUID(bytes=data[at : at + 16]), at + 16
    raise ValueError(f"unknown type {kind}")
