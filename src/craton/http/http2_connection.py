"""One HTTP/2 connection of the server: streams side by side, each with a handler of its own.

`http2_frames` tells frames apart and holds the limits, the h2 library keeps the protocol's state
(streams, windows, HPACK), and this gives each request the same form that HTTP/1.1 gives it.

h2 is given one frame at a time, so that what a frame means is done before the next one is looked
at, and a fault in one takes nothing back of those before it.
"""

import asyncio
from collections.abc import Iterable

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from craton.http.http2_frames import GOAWAY, KINDS, Budget, Frame, FrameFault, FrameReader
from craton.http.http2_protocol import new_protocol
from craton.http.http2_request import body_too_large, read_request, refused_by_head
from craton.http.http2_sender import Http2Sender
from craton.http.http2_stream import Http2Stream
from craton.http.limits import Code
from craton.http.lingering import end_our_side
from craton.http.message import HttpRequest
from craton.http.server_state import Phase, ServerState
from craton.kernel.errors import BadRequest, CratonError, Unavailable

COST_OF_REFUSED_STREAM = 2

_OPEN = Phase.OPEN


class Http2Connection(asyncio.Protocol):
    """One accepted socket whose first bytes, or whose TLS handshake, said HTTP/2."""

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        limits = server.limits
        self._frames = FrameReader(block_bytes_max=limits.head_bytes_max * 3 // 2)
        self._h2 = new_protocol(limits)
        self._budget = Budget(limits.control_frames_max)
        self._sender = Http2Sender(self, server, self._h2, self._budget, loop)
        self._peer = ""
        self._refuse_all: CratonError | None = None
        self._phase = _OPEN
        self.streams: dict[int, Http2Stream] = {}
        """Those whose handler runs, whose request comes, or whose answer leaves."""
        self._is_leaving = False
        """Whether either side has said that it wants no more requests."""
        now_ns = server.clock.monotonic_ns()
        self._idle_ns = self._head_ns = self._swept_ns = now_ns
        self._head_units = 0
        self._lingered_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether requests are still taken from it, or answered."""
        return self._phase is _OPEN

    def begin(
        self, transport: asyncio.Transport, *, peer: str, refuse_all: CratonError | None
    ) -> None:
        """Take over a socket that was accepted; our SETTINGS leave at once."""
        self._transport = self._sender.transport = transport
        self._peer = peer
        self._refuse_all = refuse_all
        self._sender.flush()

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        server = self._server
        server.counters.bytes_received += len(data)
        if self._phase is not _OPEN:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > server.limits.linger_bytes_max:
                self.abort()
            return
        frames = self._frames
        try:
            frames.feed(data)
            while self._phase is _OPEN and (frame := frames.take()) is not None:
                self._take(frame)
        except FrameFault as fault:
            self._fail(fault.code)
        except ProtocolError:
            self._fail(None)  # h2 has put its GOAWAY
        if frames.units != self._head_units or not frames.is_in_head:
            self._head_units = frames.units
            self._head_ns = server.clock.monotonic_ns()
        self._sender.flush()

    def eof_received(self) -> bool:
        """Asyncio: the client sends no more, which is taken for leaving as in HTTP/1.1."""
        if self._phase is _OPEN:
            self._leave(is_by_client=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; how it ended is all the same here
        """Asyncio: the connection is gone."""
        self._leave(is_by_client=True)
        self._transport = self._sender.transport = None
        self._server.counters.connections_now -= 1
        self._server.connections.discard(self)

    def pause_writing(self) -> None:
        """Asyncio: the client reads slowly."""
        self._sender.is_writable = False

    def resume_writing(self) -> None:
        """Asyncio: the client caught up."""
        self._sender.is_writable = True
        self._sender.send_all()

    # Reading.

    def _take(self, frame: Frame) -> None:
        cost = frame.cost
        if cost:
            self._budget.spend(cost)
        if frame.kind == GOAWAY:
            # h2 would take it for the end of our answers, too.
            self._is_leaving = True
            self._close_if_done()
            return
        if frame.kind not in KINDS:
            return  # RFC 9113, 5.5: unknown frames are ignored
        for event in self._h2.receive(frame):
            self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            assert event.stream_id is not None
            assert event.headers is not None
            is_whole = event.stream_ended is not None
            self._begin_request(event.stream_id, event.headers, is_whole=is_whole)
        elif isinstance(event, DataReceived):
            self._add_to_body(event)
        elif isinstance(event, StreamEnded):
            stream = self.streams.get(event.stream_id or 0)
            if stream is not None:
                self._complete(stream)
        elif isinstance(event, StreamReset):
            stream = self.streams.get(event.stream_id or 0)
            if stream is not None:
                self.drop(stream, is_by_client=event.remote_reset)
        elif isinstance(event, WindowUpdated):
            stream = self.streams.get(event.stream_id or 0)
            if stream is not None:
                self._sender.send(stream)
            elif not event.stream_id:
                self._sender.send_all()
        elif isinstance(event, RemoteSettingsChanged):
            self._sender.send_all()

    def _begin_request(
        self, stream_id: int, fields: Iterable[tuple[bytes, bytes]], *, is_whole: bool
    ) -> None:
        server = self._server
        limits = server.limits
        if self._is_leaving or len(self.streams) >= limits.streams_max:
            # The client may send it again, over this connection or another: it wasn't looked at.
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            self._budget.spend(COST_OF_REFUSED_STREAM)
            return
        request, error = read_request(fields, limits, peer=self._peer)
        is_head = request is not None and request.method == "HEAD"
        now_ns = server.clock.monotonic_ns()
        stream = Http2Stream(self._sender, stream_id, is_head=is_head, now_ns=now_ns)
        stream.request = request
        self.streams[stream_id] = stream
        if error is None:
            assert request is not None
            error = self._refuse_all or refused_by_head(request, limits)
        if error is not None:
            self._refuse(stream, error)
        elif not is_whole and request is not None and b"expect" in request.headers:
            self._h2.send_headers(stream_id, [(b":status", b"100")])

    def _add_to_body(self, event: DataReceived) -> None:
        assert event.stream_id is not None
        data, taken = event.data or b"", event.flow_controlled_length
        if taken:
            # At once: what a client may send is limited by its body's length, not by windows.
            self._h2.acknowledge_received_data(taken, event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is None or stream.is_whole or stream.is_handled or not data:
            return
        server = self._server
        stream.body += data
        server.counters.body_bytes_now += len(data)
        if len(stream.body) > server.limits.body_bytes_max:
            self._refuse(stream, body_too_large(server.limits))
        elif server.counters.body_bytes_now > server.limits.bodies_bytes_max:
            self._refuse(
                stream,
                Unavailable(
                    "Too many request bodies are being received at once. Try again shortly.",
                    code=Code.TOO_MANY_BODIES,
                ),
            )

    def _forget_body(self, stream: Http2Stream) -> None:
        self._server.counters.body_bytes_now -= len(stream.body)
        stream.body = bytearray()

    # Handling.

    def _complete(self, stream: Http2Stream) -> None:
        """The client has ended a request: hand it on, unless it was refused before."""
        stream.is_whole = True
        if stream.is_handled or stream.is_over:
            self.settle(stream)
            return
        server, request = self._server, stream.request
        assert request is not None
        request.body = bytes(stream.body)
        self._forget_body(stream)
        server.counters.requests += 1
        server.counters.requests_now += 1
        task = self._loop.create_task(self._handle(stream, request))
        server.tasks.add(task)

    async def _handle(self, stream: Http2Stream, request: HttpRequest) -> None:
        server = self._server
        try:
            await server.handler(request, stream)
            if not stream.is_finished and not stream.is_gone:
                raise RuntimeError("the handler ended without an answer")  # noqa: TRY301 - takes the same way as what it raises
        except Exception as error:  # noqa: BLE001 - the top of a request: whatever it is, it is counted, told, and ends here
            server.counters.internal_errors += 1
            server.on_internal_error(request, stream, error)
        finally:
            server.counters.requests_now -= 1
            if not stream.is_finished:
                stream.abort()
            stream.is_handled = True
            self.settle(stream)
            task = asyncio.current_task()
            assert task is not None
            server.tasks.discard(task)

    def _refuse(self, stream: Http2Stream, error: CratonError) -> None:
        """Answer a request without a handler; what still comes of it is thrown away."""
        server = self._server
        server.counters.refused += 1
        self._forget_body(stream)
        stream.is_handled = True
        status, headers, body = server.refuse(stream.request, error)
        stream.respond(status, headers, body)

    def settle(self, stream: Http2Stream) -> None:
        """Let go of a stream of which nothing is left to do, and of the connection after it."""
        if not (stream.is_over and stream.is_handled):
            return
        if not stream.is_whole and not stream.is_gone:
            # RFC 9113, 8.1: the answer is whole, and the rest of the request wanted by nobody.
            self._sender.reset(stream, ErrorCodes.NO_ERROR)
        if self.streams.pop(stream.id, None) is not None and not self.streams:
            self._idle_ns = self._server.clock.monotonic_ns()
            self._close_if_done()

    def drop(self, stream: Http2Stream, *, is_by_client: bool) -> None:
        """Nobody waits for this answer any more; its handler is told."""
        self._forget_body(stream)
        if not stream.is_whole:
            stream.is_handled = True  # it never ran
        if stream.drop() and stream.is_whole:
            self._server.counters.aborted_by_client += is_by_client
        self.settle(stream)

    # Closing.

    def shut(self) -> None:
        """The server is closing: requests that run are finished, and no more are taken."""
        if self._phase is _OPEN and not self._is_leaving:
            self._is_leaving = True
            self._sender.go_away()
            self._close_if_done()

    def abort(self) -> None:
        """Close at once: the server's patience is over, or there is nobody to be patient with."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _close_if_done(self) -> None:
        if self._phase is _OPEN and self._is_leaving and not self.streams:
            self._sender.flush_now()
            self._linger()

    def _fail(self, code: ErrorCodes | None) -> None:
        """The client broke the protocol: say so and close; None if h2 has said so."""
        if self._phase is not _OPEN:
            return
        self._server.counters.refused += 1
        if code is not None:
            self._h2.close_connection(code)
        self._sender.flush_now()
        self._drop_all(is_by_client=True)
        self._linger()

    def _linger(self) -> None:
        """Close our side after what is written, and read on until the client closes its own."""
        transport = self._transport
        if transport is None or self._phase is not _OPEN:
            return
        self._phase = Phase.LINGERING
        self._idle_ns = self._server.clock.monotonic_ns()
        self._server.note_closed()
        end_our_side(transport)

    def _leave(self, *, is_by_client: bool = False) -> None:
        """Nothing more can reach the client; whoever works for it is told."""
        was_open = self._phase is _OPEN
        self._phase = Phase.CLOSED
        self._drop_all(is_by_client=is_by_client)
        if was_open:
            self._server.note_closed()

    def _drop_all(self, *, is_by_client: bool) -> None:
        for stream in list(self.streams.values()):
            self.drop(stream, is_by_client=is_by_client)

    # Timeouts: looked at by the server's one periodic sweep.

    def sweep(self, now_ns: int) -> None:
        """End what has taken too long, and let the budget grow."""
        transport, limits = self._transport, self._server.limits
        if transport is None:
            return
        elapsed_s = (now_ns - self._swept_ns) / 1e9
        self._swept_ns = now_ns
        self._budget.earn(int(elapsed_s * limits.control_frames_rate_max))
        self._sender.sweep(now_ns)
        if self._phase is Phase.LINGERING:
            is_late = now_ns - self._idle_ns > limits.linger_timeout_s * 1e9
            if is_late and not transport.get_write_buffer_size():
                transport.abort()
        elif self._phase is _OPEN:
            self._sweep_open(now_ns)

    def _sweep_open(self, now_ns: int) -> None:
        limits, frames = self._server.limits, self._frames
        if frames.is_in_head and now_ns - self._head_ns > limits.head_timeout_s * 1e9:
            self._fail(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        if not self.streams:
            if now_ns - self._idle_ns > limits.idle_timeout_s * 1e9:
                self.shut()
            return
        for stream in list(self.streams.values()):
            if not stream.is_over:
                self._sender.sweep_stream(stream, now_ns)
            if not stream.is_whole and not stream.is_handled:
                self._sweep_body(stream, now_ns)

    def _sweep_body(self, stream: Http2Stream, now_ns: int) -> None:
        limits = self._server.limits
        waited_s = (now_ns - stream.since_ns) / 1e9
        received = len(stream.body) + self._frames.waiting_bytes(stream.id)
        reason = ""
        if waited_s > limits.body_timeout_s:
            reason = f"The body took longer than {limits.body_timeout_s:g} s."
        elif waited_s > limits.body_grace_s and received < waited_s * limits.body_rate_min:
            reason = f"The body came at under {limits.body_rate_min} bytes a second."
        if reason:
            text = f"{reason} Send the request again, faster."
            self._refuse(stream, BadRequest(text, code=Code.REQUEST_TIMEOUT))
