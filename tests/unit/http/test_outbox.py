"""What one turn of the loop sends: when, in which order, and to whom not."""

import asyncio
from typing import Any, cast

from craton.http.outbox import KEPT_BYTES_MAX, Outbox


class Socket:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written.append(data)


def _transport(socket: Socket) -> asyncio.Transport:
    return cast("Any", socket)


async def test_writes_leave_at_the_end_of_the_turn_in_their_order() -> None:
    outbox, loop = Outbox(), asyncio.get_running_loop()
    one, other = Socket(), Socket()
    for data in (b"a", b"b"):
        outbox.write(loop, _transport(one), data, is_alone=False)
        outbox.write(loop, _transport(other), data, is_alone=False)
    assert one.written == []
    await asyncio.sleep(0)
    assert one.written == other.written == [b"a", b"b"]


async def test_what_callbacks_write_leaves_with_the_rest() -> None:
    outbox, loop, socket = Outbox(), asyncio.get_running_loop(), Socket()
    outbox.before_leaving(
        loop, lambda: outbox.write(loop, _transport(socket), b"late", is_alone=False)
    )
    await asyncio.sleep(0)
    assert socket.written == [b"late"]


async def test_nothing_is_written_to_a_transport_that_closed_in_the_same_turn() -> None:
    outbox, loop, socket, other = Outbox(), asyncio.get_running_loop(), Socket(), Socket()
    outbox.write(loop, _transport(socket), b"lost", is_alone=False)
    outbox.write(loop, _transport(other), b"kept", is_alone=False)
    socket.is_closed = True
    await asyncio.sleep(0)
    assert socket.written == []
    assert other.written == [b"kept"]


async def test_a_long_piece_is_written_at_once_and_overtakes_nothing() -> None:
    outbox, loop, socket = Outbox(), asyncio.get_running_loop(), Socket()
    long = bytes(KEPT_BYTES_MAX + 1)
    outbox.write(loop, _transport(socket), b"first", is_alone=False)
    outbox.write(loop, _transport(socket), long, is_alone=False)
    assert socket.written == [b"first", long]


async def test_who_is_alone_waits_for_nobody_and_overtakes_nothing() -> None:
    outbox, loop, socket = Outbox(), asyncio.get_running_loop(), Socket()
    outbox.write(loop, _transport(socket), b"first", is_alone=False)
    outbox.write(loop, _transport(socket), b"alone", is_alone=True)
    assert socket.written == [b"first", b"alone"]


async def test_a_callback_that_fails_keeps_nobody_elses_writes_back() -> None:
    outbox, loop, socket = Outbox(), asyncio.get_running_loop(), Socket()
    failed: list[Any] = []
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def fail() -> None:
        raise ValueError

    outbox.before_leaving(loop, fail)
    outbox.before_leaving(
        loop, lambda: outbox.write(loop, _transport(socket), b"kept", is_alone=False)
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert socket.written == [b"kept"]
    assert [type(error) for error in failed] == [ValueError]
