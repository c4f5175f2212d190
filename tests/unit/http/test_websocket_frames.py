"""WebSocket frames as RFC 6455 has them: what is read, what is refused, and what is written."""

import itertools
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    unmasked,
)

KEY = b"\x37\xfa\x21\x3d"


def masked(
    opcode: int, payload: bytes, *, is_final: bool = True, key: bytes = KEY, length: bytes = b""
) -> bytes:
    """A client's frame, made a byte at a time and not by the code under test."""
    size = len(payload)
    if not length:
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    first = bytes([opcode | (0x80 if is_final else 0)])
    mixed = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    return first + bytes([length[0] | 0x80]) + length[1:] + key + mixed


def read(*data: bytes, message_bytes_max: int = 1 << 20) -> list[object]:
    reader = FrameReader(message_bytes_max=message_bytes_max)
    return [received for piece in data for received in reader.feed(piece)]


def refused(*data: bytes, message_bytes_max: int = 1 << 20) -> CloseCode:
    with pytest.raises(FrameError) as caught:
        read(*data, message_bytes_max=message_bytes_max)
    return caught.value.code


def test_the_examples_of_the_standard_are_read() -> None:
    # RFC 6455, section 5.7: a masked text message, and a masked answer to a ping.
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == [Message(b"Hello")]
    assert read(bytes.fromhex("8a8537fa213d7f9f4d5158")) == [Pong()]


def test_the_examples_of_the_standard_are_written() -> None:
    assert frame(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(Opcode.PING, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70001])
def test_a_message_of_any_length_is_read_in_whatever_pieces_it_comes(size: int) -> None:
    text = bytes(itertools.islice(itertools.cycle(b"abcdefg"), size))
    data = masked(Opcode.TEXT, text) * 2
    cut = random.Random(size)
    pieces, start = list[bytes](), 0
    while start < len(data):
        end = start + cut.choice((1, 2, 7, 5000))
        pieces.append(data[start:end])
        start = end
    assert read(*pieces) == [Message(text)] * 2


def test_a_message_in_frames_is_whole_and_may_have_a_ping_inside() -> None:
    data = (
        masked(Opcode.TEXT, b"gr", is_final=False),
        masked(Opcode.PING, b"here?"),
        # A letter's two bytes in two frames: only the whole message is UTF-8.
        masked(Opcode.CONTINUATION, b"\xc3", is_final=False),
        masked(Opcode.CONTINUATION, b"", is_final=False),
        masked(Opcode.CONTINUATION, b"\xbcn"),
        masked(Opcode.TEXT, b"next"),
    )
    assert read(*data) == [Ping(b"here?"), Message("grün".encode()), Message(b"next")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", CloseCode.PROTOCOL_ERROR),  # not masked
        (masked(0x81 | 0x40, b"x"), CloseCode.PROTOCOL_ERROR),  # compressed, never agreed to
        (masked(0x3, b""), CloseCode.PROTOCOL_ERROR),  # opcodes nobody has given a meaning
        (masked(0xB, b""), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.PING, bytes(126)), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.PING, b"", is_final=False), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CONTINUATION, b"x"), CloseCode.PROTOCOL_ERROR),
        (
            masked(Opcode.TEXT, b"x", is_final=False) + masked(Opcode.TEXT, b"y"),
            CloseCode.PROTOCOL_ERROR,
        ),
        (masked(Opcode.TEXT, b"x" * 125, length=b"\x7e\x00\x7d"), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.TEXT, b"", length=b"\x7f" + b"\xff" * 8), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.TEXT, b"\xff"), CloseCode.INVALID_DATA),
        (masked(Opcode.BINARY, b"{}"), CloseCode.UNSUPPORTED_DATA),
        (masked(Opcode.CLOSE, b"\x03"), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, (999).to_bytes(2, "big")), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, (1005).to_bytes(2, "big")), CloseCode.PROTOCOL_ERROR),
        (masked(Opcode.CLOSE, (1000).to_bytes(2, "big") + b"\xff"), CloseCode.INVALID_DATA),
    ],
)
def test_what_breaks_the_rules_is_refused_by_its_code(data: bytes, code: CloseCode) -> None:
    assert refused(data) is code


def test_a_message_over_the_limit_is_refused_before_it_has_come() -> None:
    head = masked(Opcode.TEXT, bytes(101))[:6]
    assert refused(head, message_bytes_max=100) is CloseCode.TOO_BIG
    parts = (masked(Opcode.TEXT, b"x" * 60, is_final=False), masked(0, b"x" * 41)[:6])
    assert refused(*parts, message_bytes_max=100) is CloseCode.TOO_BIG
    assert read(masked(Opcode.TEXT, b"x" * 100), message_bytes_max=100) == [Message(b"x" * 100)]


def test_nothing_is_read_after_a_close() -> None:
    data = masked(Opcode.CLOSE, (3000).to_bytes(2, "big") + b"bye") + masked(Opcode.TEXT, b"x")
    assert read(data) == [Close(3000)]
    assert read(masked(Opcode.CLOSE, b"")) == [Close(CloseCode.NO_STATUS)]


def test_what_is_held_is_counted() -> None:
    reader = FrameReader(message_bytes_max=1000)
    reader.feed(masked(Opcode.TEXT, b"x" * 10, is_final=False) + b"\x80")
    assert reader.unfinished_bytes == 11
    reader.feed(masked(Opcode.CONTINUATION, b"")[1:])
    assert reader.unfinished_bytes == 0


def test_a_mask_put_on_twice_is_off() -> None:
    for size in (0, 1, 3, 4, 5, 1000):
        payload = random.Random(size).randbytes(size)
        assert unmasked(unmasked(payload, KEY), KEY) == payload
    assert unmasked(b"\0\0\0\0\0\0", KEY) == KEY + KEY[:2]


def test_a_reason_too_long_for_its_frame_is_cut_between_letters() -> None:
    closing = close_frame(1008, "ü" * 100)
    assert closing[:4] == b"\x88" + bytes([2 + 122]) + (1008).to_bytes(2, "big")
    assert closing[4:].decode() == "ü" * 61
    assert close_frame(CloseCode.NO_STATUS, "x") == b"\x88\x00"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_comes_is_read_or_refused(pieces: list[bytes]) -> None:
    reader = FrameReader(message_bytes_max=50)
    held = 0
    with suppress(FrameError):
        for piece in pieces:
            reader.feed(piece)
            held = max(held, reader.unfinished_bytes)
    assert held <= 50 + 14 + 40


@given(st.lists(st.lists(st.text(max_size=200), min_size=1, max_size=4), max_size=6))
def test_texts_come_as_they_were_sent_in_whatever_frames(texts: list[list[str]]) -> None:
    data = b"".join(
        masked(0 if place else Opcode.TEXT, part.encode(), is_final=place == len(parts) - 1)
        for parts in texts
        for place, part in enumerate(parts)
    )
    assert read(data) == [Message("".join(parts).encode()) for parts in texts]
