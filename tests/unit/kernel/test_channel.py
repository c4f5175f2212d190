import asyncio
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from craton.kernel.channel import FRAME_BYTES_MAX, Channel


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    number: int
    body: bytes = b""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    number: int


class Transport:
    """Takes what is written, and remembers how it ended."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True


def channel(received: list[list[Any]] | None = None, **handlers: Any) -> tuple[Channel[Any], Any]:
    def keep(_: Channel[Any], messages: Sequence[Any]) -> None:
        if received is not None:
            received.append(list(messages))

    made = Channel[Any](Ping | Pong, on_messages=keep, **handlers)
    transport = Transport()
    made.connection_made(transport)  # type: ignore[arg-type]
    return made, transport


def frame(*messages: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(messages)
    return struct.pack(">I", len(body)) + body


def sent(transport: Any) -> list[list[Any]]:
    """The messages of each write; one write is one whole frame."""
    found: list[list[Any]] = []
    for data in transport.written:
        (length,) = struct.unpack_from(">I", data)
        assert len(data) == 4 + length
        found.append(msgspec.msgpack.decode(data[4:], type=list[Ping | Pong]))
    return found


async def test_messages_of_one_turn_leave_as_one_frame() -> None:
    made, transport = channel()
    made.send(Ping(1))
    made.send(Pong(2))
    assert transport.written == []
    await asyncio.sleep(0)
    assert sent(transport) == [[Ping(1), Pong(2)]]
    made.send(Ping(3))
    await asyncio.sleep(0)
    assert sent(transport)[1:] == [[Ping(3)]]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    frames=st.lists(
        st.lists(
            st.builds(Ping, st.integers(0, 2**60), st.binary(max_size=40))
            | st.builds(Pong, st.integers(0, 9)),
            max_size=4,
        ),
        max_size=6,
    ),
    cuts=st.lists(st.integers(1, 7), min_size=1),
)
def test_frames_cut_anywhere_arrive_whole_and_in_order(
    frames: list[list[Any]], cuts: list[int]
) -> None:
    async def feed() -> None:
        received: list[list[Any]] = []
        made, _ = channel(received)
        data = b"".join(frame(*messages) for messages in frames)
        turn = 0
        while data:
            cut = cuts[turn % len(cuts)]
            made.data_received(data[:cut])
            data = data[cut:]
            turn += 1
        assert received == frames

    asyncio.run(feed())


async def test_several_frames_in_one_piece_are_several_deliveries() -> None:
    received: list[list[Any]] = []
    made, _ = channel(received)
    made.data_received(frame(Ping(1)) + frame(Ping(2), Pong(3)) + frame(Ping(4))[:5])
    assert received == [[Ping(1)], [Ping(2), Pong(3)]]


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 20) + b"\xc1" * 20,
        struct.pack(">I", 3) + b"abc",
        struct.pack(">I", 1) + b"\x05",
        struct.pack(">I", FRAME_BYTES_MAX + 1),
        b"GET / HTTP/1.1\r\n\r\n",
        frame(type("Other", (msgspec.Struct,), {}, tag="other")()),
    ],
)
async def test_what_does_not_decode_ends_the_channel_and_says_why(garbage: bytes) -> None:
    received: list[list[Any]] = []
    made, transport = channel(received)
    made.data_received(garbage)
    assert transport.is_aborted
    assert made.error is not None
    assert received == []


async def test_nothing_is_sent_and_nothing_fails_after_the_end() -> None:
    closed: list[Any] = []
    made, transport = channel(on_closed=closed.append)
    made.send(Ping(1))
    made.connection_lost(ConnectionResetError("gone"))
    made.send(Ping(2))
    await asyncio.sleep(0)
    assert transport.written == []
    assert closed == [made]
    assert not made.is_open
    assert isinstance(made.error, ConnectionResetError)


async def test_closing_sends_what_is_queued() -> None:
    made, transport = channel()
    made.send(Ping(1))
    made.close()
    assert sent(transport) == [[Ping(1)]]
    assert transport.is_closed


async def test_drain_waits_while_the_peer_is_slow_and_ends_with_the_channel() -> None:
    made, _ = channel()
    await made.drain()
    made.pause_writing()
    waiting = asyncio.ensure_future(made.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    made.resume_writing()
    await waiting
    made.pause_writing()
    waiting = asyncio.ensure_future(made.drain())
    made.connection_lost(None)
    await waiting
