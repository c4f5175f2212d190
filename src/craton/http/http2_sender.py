"""The sending half of one HTTP/2 connection: what may leave when, and how much waits."""

import asyncio
from typing import Protocol

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from craton.http.http2_frames import FRAME_BYTES_MAX, Budget, goaway
from craton.http.http2_protocol import Http2Protocol
from craton.http.http2_stream import Ending, Http2Stream
from craton.http.message import HeaderPairs
from craton.http.outbox import KEPT_BYTES_MAX
from craton.http.server_state import ServerState

EARNED_BY_DATA = 4
"""A client answers each DATA frame with up to two WINDOW_UPDATEs, and may PING besides."""
EARNED_BY_ANSWER = 20

_RESET, _WHOLE = Ending.RESET, Ending.WHOLE


class SenderOwner(Protocol):
    """The connection, as far as its sending half needs it."""

    streams: dict[int, Http2Stream]

    @property
    def is_open(self) -> bool:
        """Whether anything may still be sent."""
        ...

    def settle(self, stream: Http2Stream) -> None:
        """A stream's answer has left."""
        ...

    def drop(self, stream: Http2Stream, *, is_by_client: bool) -> None:
        """Nobody waits for this stream's answer any more."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Http2Sender:
    """Gives h2 what both windows and the socket allow, and the socket what h2 makes of it."""

    def __init__(
        self,
        owner: SenderOwner,
        server: ServerState,
        h2: Http2Protocol,
        budget: Budget,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._server = server
        self._h2 = h2
        self._budget = budget
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.is_writable = True
        """Whether the socket takes more: asyncio's word."""
        self._due: list[Http2Stream] = []
        self._is_due = False
        """Whether this turn's end was asked for."""
        self._kept_bytes = 0
        """How much of bodies h2 has that the socket hasn't."""
        self._pending_bytes = 0
        self._sent_bytes = self._taken_bytes = 0
        self._taken_ns = server.clock.monotonic_ns()

    # What streams use.

    @property
    def standing_pairs(self) -> HeaderPairs:
        """The headers that every answer has."""
        return self._server.standing_pairs

    def send_now(self, stream: Http2Stream) -> None:
        """Send what may leave, with what others have at the end of this turn if there are any."""
        self.send(stream)
        self.flush()

    def send_soon(self, stream: Http2Stream) -> None:
        """Send what may leave, at the end of this turn of the loop."""
        self._due.append(stream)
        self._wait_for_end_of_turn()

    def note_pending(self, stream: Http2Stream, size: int) -> None:
        """So many bytes more (or less) wait for the client, in all streams together."""
        self._pending_bytes += size
        limit = self._server.limits.unread_bytes_max
        if size > 0 and stream.pending_bytes > size and self._pending_bytes - size > limit:
            self.cut_slow_reader(stream)

    # What the connection uses.

    def send(self, stream: Http2Stream) -> None:
        """Give h2 what may leave of one stream."""
        if stream.is_over or not self._owner.is_open:
            return
        try:
            self._send_head(stream)
            self._send_body(stream)
        except ProtocolError:
            # The client closed the stream in a frame that came before this.
            self._owner.drop(stream, is_by_client=True)
        if stream.is_over:
            self._owner.settle(stream)

    def send_all(self) -> None:
        """Give h2 what may leave of every stream."""
        for stream in list(self._owner.streams.values()):
            if stream.has_something:
                self.send(stream)
        self.flush()

    def reset(self, stream: Http2Stream, code: ErrorCodes) -> None:
        """End a stream in both directions."""
        stream.is_whole = True
        try:
            self._h2.reset_stream(stream.id, code)
        except ProtocolError:
            pass  # it was closed by the client meanwhile

    def go_away(self) -> None:
        """Say that no more requests are taken. h2's own GOAWAY would end our answers, too."""
        self.flush_now()
        transport = self.transport
        if transport is not None:
            transport.write(goaway(self._h2.highest_inbound_stream_id))

    def flush(self) -> None:
        """Hand what h2 has ready to the socket: what all streams have in one turn, in one piece.

        Who is alone doesn't wait for the end of the turn, nor does much.
        """
        if self._kept_bytes > KEPT_BYTES_MAX or self._server.counters.requests_now < 2:
            self._write(is_alone=True)
        elif not self._is_due and self._h2.has_data:
            self._wait_for_end_of_turn()

    def flush_now(self) -> None:
        """The same before this returns: something else is about to be done to the socket."""
        self._write(is_alone=True)

    def cut_slow_reader(self, stream: Http2Stream) -> None:
        """Reset a stream whose client takes too little of it."""
        self._server.counters.aborted_slow_reader += 1
        self.reset(stream, ErrorCodes.CANCEL)
        self._owner.drop(stream, is_by_client=False)
        self.flush()

    def sweep(self, now_ns: int) -> None:
        """Cut off a client that reads nothing of what waits for it in the socket."""
        transport = self.transport
        assert transport is not None
        unread_bytes = transport.get_write_buffer_size()
        taken_bytes = self._sent_bytes - unread_bytes
        if not unread_bytes or taken_bytes != self._taken_bytes:
            self._taken_bytes, self._taken_ns = taken_bytes, now_ns
        elif now_ns - self._taken_ns > self._server.limits.write_timeout_s * 1e9:
            self._server.counters.aborted_slow_reader += 1
            self._owner.abort()

    def sweep_stream(self, stream: Http2Stream, now_ns: int) -> None:
        """Reset a stream whose windows have let nothing through for too long."""
        if not stream.pending_bytes or stream.sent_bytes != stream.swept_bytes:
            stream.swept_bytes, stream.swept_ns = stream.sent_bytes, now_ns
        elif now_ns - stream.swept_ns > self._server.limits.write_timeout_s * 1e9:
            self.cut_slow_reader(stream)

    def _wait_for_end_of_turn(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._server.outbox.before_leaving(self._loop, self._send_due)

    def _send_due(self) -> None:
        self._is_due = False
        due, self._due = self._due, []
        for stream in due:
            if stream.take_due():
                self.send(stream)
        self._write(is_alone=False)

    def _write(self, *, is_alone: bool) -> None:
        """Give the socket what h2 has ready; a client too far behind is cut off instead."""
        transport = self.transport
        if not self._h2.has_data or transport is None or not self._owner.is_open:
            return
        server = self._server
        if (
            not self.is_writable
            and transport.get_write_buffer_size() > server.limits.unread_bytes_max
        ):
            server.counters.aborted_slow_reader += 1
            self._owner.abort()
            return
        data = self._h2.data_to_send()
        self._kept_bytes = 0
        server.counters.bytes_sent += len(data)
        self._sent_bytes += len(data)
        server.outbox.write(self._loop, transport, data, is_alone=is_alone)

    def _send_head(self, stream: Http2Stream) -> None:
        if stream.head is None:
            return
        fields, stream.head = stream.head, None
        is_last = stream.ending is _WHOLE and not stream.pending_bytes
        self._h2.send_head(stream.id, fields, is_last=is_last)
        stream.is_over = is_last
        self._budget.earn(EARNED_BY_ANSWER)

    def _send_body(self, stream: Http2Stream) -> None:
        h2 = self._h2
        while stream.pending_bytes and self.is_writable:
            size = min(h2.local_flow_control_window(stream.id), FRAME_BYTES_MAX)
            if size <= 0:
                return
            data = stream.take(size)
            is_last = stream.ending is _WHOLE and not stream.pending_bytes
            h2.send_body(stream.id, data, is_last=is_last)
            self._kept_bytes += len(data)
            stream.is_over = is_last
            self._budget.earn(EARNED_BY_DATA)
        if stream.pending_bytes or stream.is_over:
            return
        if stream.ending is _WHOLE:
            h2.end_stream(stream.id)
            stream.is_over = True
        elif stream.ending is _RESET:
            h2.reset_stream(stream.id, ErrorCodes.INTERNAL_ERROR)
            stream.is_over = stream.is_whole = True
