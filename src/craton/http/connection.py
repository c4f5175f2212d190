"""One HTTP/1.x connection of the server: reads requests in turn, runs the handler, writes answers.

Every accepted socket begins here; one that turns out to speak HTTP/2 is handed on.

When the client ends its sending side (FIN) it is taken for gone, although HTTP/1.1 would let it
wait for the answer: nginx, uvicorn and Go's server do the same, every SDK closes both ways at
once, and a model's answer to somebody who has left costs chip time until it ends.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from craton.http.http2_connection import Http2Connection
from craton.http.limits import Code
from craton.http.lingering import end_our_side
from craton.http.message import HttpRequest
from craton.http.request_reader import Received, Refusal, RequestReader, Stage
from craton.http.responder import GivenSocket, Http1Responder
from craton.http.server_state import Phase, ServerState
from craton.kernel.errors import BadRequest, CratonError, Unavailable

PARSE_BYTES_MAX = 16 * 1024
"""The parser can't be stopped between two requests of one piece, so pieces are kept small: a
connection can have at most about 900 tiny requests parsed ahead."""

_HTTP2_METHOD = b"PRI"
"""How HTTP/2's preface begins; it was chosen to be no method of HTTP/1.1."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# In Python 3.11 looking a member up costs as much as making a small object.
_OPEN, _IDLE = Phase.OPEN, Stage.IDLE


class Http1Connection(asyncio.Protocol):
    """One accepted socket. All methods run in the server's event loop."""

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader: RequestReader | None = None
        self._opening: bytes | None = b""
        """What came until it is known which HTTP version this is; None once it is."""
        self._phase = _OPEN
        self.is_gone = False
        """Whether no answer can reach the client any more: the phase isn't OPEN."""
        self._responder: Http1Responder | None = None
        self._task: asyncio.Task[None] | None = None
        self._given: tuple[HttpRequest, Http1Responder] | None = None
        self._wanted: asyncio.Future[None] | None = None
        self._ahead = bytearray()
        self._is_reading_paused = False
        self._is_behind = False
        """Whether the client reads slower than we write: asyncio's word."""
        self._is_next_due = False
        """Whether the next request waits until the client has taken the answers it has."""
        self._writable = asyncio.Event()
        self._writable.set()
        self._since_ns = server.clock.monotonic_ns()
        self._stage = _IDLE
        self._lingered_bytes = 0
        self._sent_bytes = 0
        self._taken_bytes = 0
        self._taken_ns = 0

    @property
    def is_busy(self) -> bool:
        """Whether a request is being handled."""
        return self._responder is not None

    @property
    def is_open(self) -> bool:
        """Whether requests are still taken from it."""
        return self._phase is _OPEN

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is accepted."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of asyncio's
        server, limits = self.server, self.server.limits
        counters = server.counters
        counters.connections += 1
        counters.connections_now += 1
        server.connections.add(self)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._reader = RequestReader(limits, counters, peer=peer[0] if peer else "")
        surplus = counters.connections_now - limits.connections_max
        if surplus > limits.connections_surplus_max:
            counters.connections_cut += 1
            transport.abort()
        elif surplus > 0:
            self._reader.refuse_all = Unavailable(
                f"This server has its {limits.connections_max} connections. Try again shortly.",
                code=Code.TOO_MANY_CONNECTIONS,
            )
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family in {socket.AF_INET, socket.AF_INET6}:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A client whose machine died mid-answer sends nothing: only the kernel's probes tell.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() == "h2":
            self._become_http2(b"")

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        self.server.counters.bytes_received += len(data)
        if self.is_gone:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > self.server.limits.linger_bytes_max:
                self._abort()
        elif self._responder is not None or self._is_next_due:
            self._keep_ahead(data)
        elif self._opening is None:
            self._parse(data)
        else:
            self._recognize(self._opening + data)

    def eof_received(self) -> bool:
        """Asyncio: the client sends no more. False has asyncio close our side as well."""
        if self._phase is _OPEN:
            self._leave(is_by_client=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; how it ended is all the same here
        """Asyncio: the connection is gone."""
        self._leave(is_by_client=True)
        self._transport = None
        self.server.counters.connections_now -= 1
        self.server.connections.discard(self)

    def pause_writing(self) -> None:
        """Asyncio: the client reads slowly."""
        self._is_behind = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """Asyncio: the client caught up."""
        self._is_behind = False
        self._writable.set()
        if self._is_next_due:
            self._is_next_due = False
            if self._phase is _OPEN:
                self._next()

    # Reading.

    def _recognize(self, opening: bytes) -> None:
        """Take a connection's first bytes for HTTP/2 or for HTTP/1.x: three are enough."""
        if opening[:3] == _HTTP2_METHOD:
            self._become_http2(opening)
        elif _HTTP2_METHOD.startswith(opening):
            self._opening = opening
            self._stage = Stage.HEAD  # so that the rest of it must come in time
        else:
            self._opening = None
            self._stage = _IDLE
            self._parse(opening)

    def _become_http2(self, opening: bytes) -> None:
        """Give the socket to the other protocol; this object is done."""
        transport, reader, server = self._transport, self._reader, self.server
        assert transport is not None
        assert reader is not None
        other = Http2Connection(server, self._loop)
        server.connections.discard(self)
        server.connections.add(other)
        self._transport = None
        transport.set_protocol(other)
        other.begin(transport, peer=reader.peer, refuse_all=reader.refuse_all)
        reader.close()
        if opening:
            server.counters.bytes_received -= len(opening)  # it counts them, too
            other.data_received(opening)

    def _parse(self, data: bytes) -> None:
        reader = self._reader
        assert reader is not None
        if len(data) <= PARSE_BYTES_MAX:
            reader.feed(data)
        else:
            view, start = memoryview(data), 0
            while start < len(data) and not reader.received:
                reader.feed(view[start : start + PARSE_BYTES_MAX])
                start += PARSE_BYTES_MAX
            if start < len(data):
                self._ahead += view[start:]
        if reader.received:
            self._next()
        elif reader.stage is not self._stage or reader.awaits_continue:
            self._note_stage()

    def _keep_ahead(self, data: bytes) -> None:
        """Hold what a client sends while its request runs; stop reading when it is too much."""
        self._ahead += data
        if len(self._ahead) > self.server.limits.pipelined_bytes_max:
            transport = self._transport
            if transport is not None and not self._is_reading_paused:
                self._is_reading_paused = True
                transport.pause_reading()

    def _next(self) -> None:
        """Start the next request, parsing more of what came ahead if there is none yet.

        Answers that the client hasn't taken would count against the next one as unread.
        """
        if self._is_behind:
            self._is_next_due = True
            return
        reader = self._reader
        assert reader is not None
        while not reader.received and self._ahead:
            piece = bytes(self._ahead[:PARSE_BYTES_MAX])
            del self._ahead[:PARSE_BYTES_MAX]
            reader.feed(piece)
        if self._is_reading_paused and not self._ahead and self._transport is not None:
            self._is_reading_paused = False
            self._transport.resume_reading()
        if not reader.received:
            self._stage = _IDLE
            self._since_ns = self.server.clock.monotonic_ns()
            self._note_stage()
            return
        received = reader.received.popleft()
        if isinstance(received, Refusal):
            self._answer_refusal(received)
        else:
            self._start(received)

    def _note_stage(self) -> None:
        reader = self._reader
        assert reader is not None
        if reader.stage is not self._stage:
            self._stage = reader.stage
            self._since_ns = self.server.clock.monotonic_ns()
        if reader.awaits_continue:
            reader.awaits_continue = False
            if not reader.body_bytes:
                self.send(CONTINUE)

    # Handling.

    def _start(self, received: Received) -> None:
        server = self.server
        server.counters.requests += 1
        server.counters.requests_now += 1
        responder = Http1Responder(
            self,
            is_head=received.request.method == "HEAD",
            is_http_10=received.is_http_10,
            is_last=received.is_last,
        )
        self._responder = responder
        self._given = received.request, responder
        wanted = self._wanted
        if self._task is None:
            self._begin_serving()
        elif wanted is not None and not wanted.done():
            wanted.set_result(None)

    def _begin_serving(self) -> None:
        self._task = self._loop.create_task(self._serve())
        self.server.tasks.add(self._task)

    async def _serve(self) -> None:
        """Handle the connection's requests in turn, in one task: one for each costs a µs more."""
        task = self._task
        assert task is not None
        try:
            while self._given is not None:
                (request, responder), self._given = self._given, None
                await self._handle(request, responder)
                if self._given is not None:
                    await asyncio.sleep(0)  # it had come ahead: first other connections' turn
                elif not self.is_gone:
                    self._wanted = self._loop.create_future()
                    await self._wanted
        finally:
            # Not by a callback of the task: that costs a turn.
            self.server.tasks.discard(task)
            self._task = self._wanted = None
            if self._given is not None and not self.is_gone:
                self._begin_serving()  # the handler was cancelled, and another request had come

    async def _handle(self, request: HttpRequest, responder: Http1Responder) -> None:
        server = self.server
        try:
            await server.handler(request, responder)
            if not responder.is_finished and not responder.is_gone:
                raise RuntimeError("the handler ended without an answer")  # noqa: TRY301 - takes the same way as what it raises
        except Exception as error:  # noqa: BLE001 - the top of a request: whatever it is, it is counted, told, and ends here
            server.counters.internal_errors += 1
            responder.close_afterwards()
            server.on_internal_error(request, responder, error)
        finally:
            server.counters.requests_now -= 1
            self._responder = None
            if not responder.is_finished:
                responder.abort()
            if self._phase is _OPEN:
                self._go_on(is_last=responder.is_last)

    def _go_on(self, *, is_last: bool) -> None:
        reader = self._reader
        assert reader is not None
        if is_last or self.server.is_closing:
            self._linger()
        elif self._ahead or reader.received or reader.stage is not _IDLE:
            self._next()
        else:
            self._stage = _IDLE
            self._since_ns = self.server.clock.monotonic_ns()

    def _answer_refusal(self, refusal: Refusal) -> None:
        server = self.server
        server.counters.refused += 1
        request = refusal.request
        status, headers, body = server.refuse(request, refusal.error)
        responder = Http1Responder(
            self,
            is_head=request is not None and request.method == "HEAD",
            is_http_10=False,
            is_last=True,
        )
        responder.respond(status, headers, body)
        self._linger()

    # Writing and closing: called by the responder too.

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport; a client too far behind is cut off instead."""
        transport = self._transport
        if transport is None or self.is_gone:
            return
        if (
            self._is_behind
            and transport.get_write_buffer_size() > self.server.limits.unread_bytes_max
        ):
            self._cut_slow_reader()
            return
        self.server.counters.bytes_sent += len(data)
        self._sent_bytes += len(data)
        is_alone = self.server.counters.requests_now < 2
        self.server.outbox.write(self._loop, transport, data, is_alone=is_alone)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was sent, or is gone."""
        await self._writable.wait()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """At the end of this turn of the loop."""
        self.server.outbox.before_leaving(self._loop, callback)

    def end(self, *, is_reset: bool) -> None:
        """Close without ending an answer; reset it where only that tells the client so."""
        self._leave()
        transport = self._transport
        if transport is None:
            return
        self.server.outbox.flush()
        if is_reset:
            connected = transport.get_extra_info("socket")
            with suppress(OSError):  # already closed by the system
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    def give_up_socket(self) -> GivenSocket | None:
        """Leave the socket to another protocol: this object is done but for its handler."""
        transport, self._transport = self._transport, None
        if transport is None or self.is_gone:
            return None
        self.server.outbox.flush()  # what the other protocol writes must not overtake it
        given = GivenSocket(self.server, self._loop, transport, bytes(self._ahead))
        self._phase, self.is_gone = Phase.CLOSED, True
        self.server.connections.discard(self)
        self._release()
        if self._is_reading_paused:
            transport.resume_reading()
        return given

    def shut(self) -> None:
        """The server is closing: nothing more is taken from this connection."""
        if self._phase is _OPEN and not self.is_busy and self._stage is _IDLE:
            self._linger()

    def abort(self) -> None:
        """The server's patience is over."""
        self._abort()

    def _linger(self) -> None:
        """Close our side after what is written, and read on until the client closes its own."""
        transport = self._transport
        if transport is None or self._phase is not _OPEN:
            return
        self._phase = Phase.LINGERING
        self.is_gone = True
        self._since_ns = self.server.clock.monotonic_ns()
        self._release()
        self.server.note_closed()
        if self._is_reading_paused:
            self._is_reading_paused = False
            transport.resume_reading()
        self.server.outbox.flush()
        end_our_side(transport)

    def _leave(self, *, is_by_client: bool = False) -> None:
        """Nothing more can reach the client; whoever works for it is told."""
        was_open = self._phase is _OPEN
        self._phase = Phase.CLOSED
        self.is_gone = True
        self._release()
        self._writable.set()
        responder = self._responder
        if responder is not None and not responder.is_finished and responder.tell_gone():
            self.server.counters.aborted_by_client += is_by_client
        if was_open:
            self.server.note_closed()

    def _release(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.done():
            wanted.set_result(None)  # no request comes any more: the task ends
        self._ahead = bytearray()
        if self._reader is not None:
            self._reader.close()

    def _abort(self) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _cut_slow_reader(self) -> None:
        self.server.counters.aborted_slow_reader += 1
        self._abort()

    # Timeouts: looked at by the server's one periodic sweep, so that a request sets no timer.

    def sweep(self, now_ns: int) -> None:
        """End what has taken too long."""
        transport, limits = self._transport, self.server.limits
        if transport is None:
            return
        unread = transport.get_write_buffer_size()
        taken = self._sent_bytes - unread
        if not unread or taken != self._taken_bytes:
            self._taken_bytes, self._taken_ns = taken, now_ns
        elif now_ns - self._taken_ns > limits.write_timeout_s * 1e9:
            self._cut_slow_reader()
            return
        waited_s = (now_ns - self._since_ns) / 1e9
        if self._phase is Phase.LINGERING:
            if waited_s > limits.linger_timeout_s and not unread:
                transport.abort()
        elif self._phase is _OPEN and self._responder is None:
            self._sweep_reading(waited_s)

    def _sweep_reading(self, waited_s: float) -> None:
        limits, reader = self.server.limits, self._reader
        assert reader is not None
        if self._is_next_due:
            return  # it is the client's reading that is waited for, and that is watched already
        if self._stage is _IDLE:
            if waited_s > limits.idle_timeout_s:
                self._linger()
            return
        error: CratonError | None = None
        if self._stage is Stage.HEAD and waited_s > limits.head_timeout_s:
            error = _too_slow(f"The headers took longer than {limits.head_timeout_s:g} s.")
        elif self._stage is Stage.BODY:
            in_grace = waited_s <= limits.body_grace_s
            if waited_s > limits.body_timeout_s:
                error = _too_slow(f"The body took longer than {limits.body_timeout_s:g} s.")
            elif not in_grace and reader.body_bytes < waited_s * limits.body_rate_min:
                error = _too_slow(f"The body came at under {limits.body_rate_min} bytes a second.")
        if error is not None:
            reader.refuse(error)
            self._next()


def _too_slow(reason: str) -> BadRequest:
    return BadRequest(f"{reason} Send the request again, faster.", code=Code.REQUEST_TIMEOUT)
