"""One connection of the client, and the answer that comes over it."""

import asyncio
import select
import socket
from typing import Protocol, Self, cast

from craton.http.counters import ClientCounters
from craton.http.failures import ResponseBroken, ResponseTimeout, ResponseTooLarge
from craton.http.limits import ClientLimits, Timeouts
from craton.http.message import Headers
from craton.http.outbox import Outbox
from craton.http.response_reader import ResponseReader
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError

_NO_HEADERS = Headers()


ASK_AFTER_NS = 50_000_000
"""How long a connection must have been idle for its socket to be asked whether it still is."""


class Unanswered(ResponseBroken):
    """The connection closed before a byte of the answer: the request may never have been seen."""


class HttpResponse:
    """An answer whose headers have come; its body is read by `read` or by iterating, once.

    `close` when not all of it was read: that closes the connection. An answer that came whole has
    given its connection back already.
    """

    __slots__ = (
        "_buffered_bytes",
        "_connection",
        "_error",
        "_pieces",
        "_waiter",
        "deadline_ns",
        "headers",
        "is_whole",
        "status",
        "timeouts",
    )

    def __init__(
        self, connection: "ClientConnection", timeouts: Timeouts, deadline_ns: int
    ) -> None:
        self._connection: ClientConnection | None = connection
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        self.is_whole = False
        """Whether nothing is to come any more; it may not have been read yet."""
        self._error: CratonError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.timeouts = timeouts
        self.deadline_ns = deadline_ns
        self.status = 0
        self.headers = _NO_HEADERS

    async def read(self, limit: int) -> bytes:
        """The whole body, or ResponseTooLarge over `limit` bytes; the connection closes then."""
        if self.is_whole and self._buffered_bytes <= limit:  # a short answer has come at once
            whole, self._pieces, self._buffered_bytes = self._pieces, [], 0
            return whole[0] if len(whole) == 1 else b"".join(whole)
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                self.close()
                raise ResponseTooLarge(f"The answer is over {limit} bytes. Ask for less.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.is_whole:
                raise StopAsyncIteration
            assert self._waiter is None, "an answer is read by one reader at a time"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered_bytes = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    def close(self) -> None:
        """Give up what hasn't come yet, and what hasn't been read."""
        connection, self._connection = self._connection, None
        self._pieces.clear()
        if connection is not None:
            self.fail(ResponseBroken("The answer was closed before it was read."))
            connection.close()

    # What the connection calls.

    def add(self, pieces: list[bytes]) -> int:
        """More of the body; returns how many bytes now wait for the reader."""
        self._pieces += pieces
        self._buffered_bytes += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        if self._waiter is not None:
            self._wake()
        return self._buffered_bytes

    def complete(self) -> None:
        """The body is whole, and the connection no longer ours."""
        self.is_whole = True
        self._connection = None
        if self._waiter is not None:
            self._wake()

    def fail(self, error: CratonError) -> None:
        """The body will not become whole; what came before can still be read."""
        self._error = error
        self._connection = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ConnectionOwner(Protocol):
    """The pool, as far as a connection needs it."""

    limits: ClientLimits
    counters: ClientCounters
    clock: Clock
    outbox: Outbox

    @property
    def carries_one(self) -> bool:
        """Whether no more than one request is under way."""
        ...

    def release(self, connection: "ClientConnection") -> None:
        """The connection is free for another request."""
        ...

    def forget(self, connection: "ClientConnection") -> None:
        """The connection is gone."""
        ...


class ClientConnection(asyncio.Protocol):
    """One connected socket; carries one request at a time."""

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader(owner.limits)
        self._response: HttpResponse | None = None
        self._headed: asyncio.Future[None] | None = None
        self._poll = select.poll()
        self._is_paused = False
        self._active_ns = 0
        self.is_used = False
        """Whether it has carried a request before."""

    @property
    def is_connected(self) -> bool:
        """Whether the socket is still ours."""
        return self._transport is not None

    def is_fresh(self, now_ns: int) -> bool:
        """Whether an idle connection may be used: not too old, and silent.

        After a pause the socket is asked itself, since the event loop may not have come round to
        telling us that the server closed; whatever else an idle connection has to say is no answer
        to us either. One that has just answered isn't asked: a server that closes says so in its
        answer, and a system call for each request would cost more than the rest of the pool.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        idle_ns = now_ns - self._active_ns
        if idle_ns > self._owner.limits.keep_idle_s * 1e9:
            return False
        return idle_ns < ASK_AFTER_NS or not self._poll.poll(0)

    def exchange(
        self, response: HttpResponse, data: bytes, *, is_head: bool
    ) -> "asyncio.Future[None]":
        """Send a request; the future is done when the headers of its answer are there."""
        transport = self._transport
        assert self._response is None, "a connection carries one request at a time"
        if transport is None:
            raise Unanswered("The connection closed as soon as it was made. Try again.")
        self._response = response
        self._reader.begin(is_head=is_head)
        headed = self._headed = self._loop.create_future()
        self._active_ns = self._owner.clock.monotonic_ns()
        self.is_used = True
        owner = self._owner
        owner.outbox.write(self._loop, transport, data, is_alone=owner.carries_one)
        return headed

    def resume(self) -> None:
        """The reader took what waited for it."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._active_ns = self._owner.clock.monotonic_ns()
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once; nothing of ours is worth waiting for."""
        self._response = None
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """The client closes: break the answer that is still coming."""
        if self._response is not None:
            self._fail(ResponseBroken("The client was closed before the answer was whole."))
        else:
            self.close()

    def sweep(self, now_ns: int) -> None:
        """End what has taken too long: an answer, or the wait for the next request."""
        response = self._response
        if response is None:
            return
        timeouts = response.timeouts
        waited_s = (now_ns - self._active_ns) / 1e9
        reason = ""
        if now_ns > response.deadline_ns:
            reason = f"The answer was not whole after {timeouts.total_s:g} s."
        elif not response.status:
            if waited_s > timeouts.headers_s:
                reason = f"No answer began within {timeouts.headers_s:g} s."
        elif waited_s > timeouts.idle_s and not self._is_paused:
            reason = f"The answer paused for over {timeouts.idle_s:g} s."
        if reason:
            self._owner.counters.timeouts += 1
            self._fail(ResponseTimeout(f"{reason} Try again, or allow more time."))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is connected."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of asyncio's
        self._transport = transport
        self._active_ns = self._owner.clock.monotonic_ns()
        self._owner.counters.connections += 1
        self._owner.counters.connections_now += 1
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(connected.fileno(), select.POLLIN | select.POLLRDHUP)

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        response, reader = self._response, self._reader
        if response is None:
            self.close()  # nobody asked
            return
        self._active_ns = self._owner.clock.monotonic_ns()
        try:
            reader.feed(data)
        except ResponseBroken as error:
            self._owner.counters.broken += 1
            self._hand_on(response)  # what came before the fault can still be read
            self._fail(error)
            return
        waiting_bytes = self._hand_on(response)
        if reader.is_whole:
            self._complete(response)
        elif waiting_bytes > self._owner.limits.unread_bytes_max:
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        response, reader = self._response, self._reader
        self._transport = None
        self._response = None
        self._owner.counters.connections_now -= 1
        if response is not None:
            if reader.end() and exc is None:
                response.complete()
            else:
                self._owner.counters.broken += 1
                self._tell_broken(response)
        reader.close()
        self._owner.forget(self)

    def _hand_on(self, response: HttpResponse) -> int:
        """Give the answer what was read of it; returns how many bytes now wait for its reader."""
        reader = self._reader
        if reader.status and not response.status:
            response.status, response.headers = reader.status, reader.headers
            headed, self._headed = self._headed, None
            if headed is not None and not headed.done():
                headed.set_result(None)
        if not reader.pieces:
            return 0
        pieces, reader.pieces = reader.pieces, []
        return response.add(pieces)

    def _tell_broken(self, response: HttpResponse) -> None:
        if self._reader.is_begun:
            error = ResponseBroken("The connection closed before the answer was whole. Try again.")
        else:
            error = Unanswered("The connection closed before any answer came. Try again.")
        self._fail_response(response, error)

    def _fail(self, error: CratonError) -> None:
        response = self._response
        assert response is not None
        self._fail_response(response, error)
        self.close()

    def _fail_response(self, response: HttpResponse, error: CratonError) -> None:
        response.fail(error)
        headed, self._headed = self._headed, None
        if headed is not None and not headed.done():
            headed.set_exception(error)

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _complete(self, response: HttpResponse) -> None:
        transport = self._transport
        assert transport is not None
        self._response = None
        response.complete()
        # A server that answers before it has read the whole request is about to close.
        if self._reader.is_reusable and not transport.get_write_buffer_size():
            self._owner.release(self)
        else:
            transport.abort()
