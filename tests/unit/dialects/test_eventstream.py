"""Event-stream frames: botocore reads what is written here, and damage is seen."""

import contextlib
import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects.eventstream import (
    FrameReader,
    write_event,
    write_exception,
    write_frame,
)
from craton.kernel.errors import EngineFailed


@given(
    event_type=st.sampled_from(["contentBlockDelta", "metadata", "chunk"]),
    payload=st.binary(max_size=1500),
)
def test_botocore_reads_an_event(event_type: str, payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(write_event(event_type, payload))
    event = buffer.next()
    assert event.payload == payload
    assert event.headers == {
        ":event-type": event_type,
        ":content-type": "application/json",
        ":message-type": "event",
    }


def test_botocore_reads_an_exception() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(write_exception("throttlingException", b'{"message":"slow down"}'))
    response = buffer.next().to_response_dict()
    assert response["headers"][":exception-type"] == "throttlingException"
    assert response["status_code"] == 400


@given(
    payloads=st.lists(st.binary(max_size=40), max_size=5),
    cut=st.integers(1, 50),
)
def test_frames_come_out_whatever_pieces_they_came_in(payloads: list[bytes], cut: int) -> None:
    data = b"".join(write_event("metadata", payload) for payload in payloads)
    reader = FrameReader()
    frames = []
    for start in range(0, len(data), cut):
        frames += reader.feed(data[start : start + cut])
    assert [frame.payload for frame in frames] == payloads
    assert reader.is_between_frames


@settings(max_examples=300)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_seen(at: int, bit: int) -> None:
    data = bytearray(write_event("metadata", b'{"usage":{}}'))
    data[at % len(data)] ^= 1 << bit
    reader = FrameReader()
    with pytest.raises(EngineFailed, match="damaged"):
        reader.feed(bytes(data))


def _frame(headers: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return head + struct.pack(">I", zlib.crc32(head))


def test_every_type_of_header_value_is_read() -> None:
    values = {
        "t": b"\x00",
        "f": b"\x01",
        "byte": b"\x02\xff",
        "short": b"\x03\x01\x00",
        "int": b"\x04\x00\x00\x00\x07",
        "long": b"\x05" + (2**40).to_bytes(8, "big"),
        "bytes": b"\x06\x00\x02ab",
        "text": b"\x07\x00\x02ab",
        "time": b"\x08" + (1_000).to_bytes(8, "big"),
        "uuid": b"\x09" + bytes(range(16)),
    }
    headers = b"".join(bytes([len(name)]) + name.encode() + v for name, v in values.items())
    (frame,) = FrameReader().feed(_frame(headers, b"x"))
    assert frame.payload == b"x"
    assert list(frame.headers) == list(values)
    assert frame.headers["t"] is True
    assert frame.headers["f"] is False
    assert frame.headers["byte"] == -1
    assert frame.headers["long"] == 2**40
    assert frame.headers["bytes"] == b"ab"
    assert frame.headers["text"] == "ab"
    assert str(frame.headers["time"]) == "1970-01-01 00:00:01+00:00"
    assert str(frame.headers["uuid"]) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


@given(headers=st.binary(max_size=60))
def test_bad_headers_are_an_engine_failure_and_nothing_else(headers: bytes) -> None:
    with contextlib.suppress(EngineFailed):
        FrameReader().feed(_frame(headers))


def test_a_header_named_twice_is_refused() -> None:
    with pytest.raises(EngineFailed, match="two headers"):
        FrameReader().feed(_frame(b"\x01a\x00" * 2))


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (16, 1), (26 * 2**20, 0), (200_000, 140_000), (2**32 - 1, 0)]
)
def test_impossible_and_excessive_lengths_are_refused_at_once(total: int, headers: int) -> None:
    lengths = struct.pack(">II", total, headers)
    with pytest.raises(EngineFailed):
        FrameReader().feed(lengths + struct.pack(">I", zlib.crc32(lengths)))


def test_a_cut_frame_is_not_between_frames() -> None:
    reader = FrameReader()
    assert reader.feed(write_frame({"a": "b"}, b"payload")[:-1]) == []
    assert not reader.is_between_frames
