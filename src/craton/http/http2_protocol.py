"""h2's state of one server connection, set up the way `http2_connection` needs it.

HEADERS and DATA, of which nearly all traffic is, take a shorter way than h2's own: it parses each
frame anew, writes a text of it for a log that nobody keeps, and looks at all streams for each new
one. What the frames do to its state machines, windows and tables is the same.
"""

from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection
from h2.events import Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamInputs
from hyperframe.frame import DataFrame, HeadersFrame

from craton.http.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    HEAD_BYTES,
    HEADERS,
    PREFACE,
    Frame,
    frame_head,
)
from craton.http.http2_headers import FieldDecoder, FieldEncoder
from craton.http.limits import ServerLimits

STREAMS_MAX_OF_H2 = 1_000_000
STREAMS_KEPT = 8
"""How many that ended are kept at least until they are looked for."""


class _Headers(HeadersFrame):
    def __repr__(self) -> str:
        return "HEADERS"


class _Data(DataFrame):
    def __repr__(self) -> str:
        return "DATA"


_PLAIN: dict[tuple[int, int], tuple[type[_Headers | _Data], tuple[str, ...]]] = {
    (HEADERS, END_HEADERS): (_Headers, ("END_HEADERS",)),
    (HEADERS, END_HEADERS | END_STREAM): (_Headers, ("END_HEADERS", "END_STREAM")),
    (DATA, 0): (_Data, ()),
    (DATA, END_STREAM): (_Data, ("END_STREAM",)),
}
"""Frames with neither padding nor a priority, and what h2 calls their flags."""


class Http2Protocol(H2Connection):
    """h2's state machine with our HPACK, remembering fewer streams and counting them seldom."""

    MAX_CLOSED_STREAMS = 1000
    """h2's own 65,536 would be megabytes for each connection that lives long."""

    _data_to_send: bytearray

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder = FieldEncoder()
        self.decoder = FieldDecoder()
        self._sweeps_at = 0
        kinds: dict[type[Any], Any] = self._frame_dispatch_table  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - h2 doesn't say
        kinds.update({_Data: self._receive_data_frame, _Headers: self._receive_headers_frame})

    def receive(self, frame: Frame) -> list[Event]:
        """What one whole frame means: `receive_data`, of which this is the short way."""
        plain = _PLAIN.get((frame.kind, frame.flags))
        if plain is None or not frame.stream_id:
            return self.receive_data(frame.data)
        kind, flags = plain
        try:
            return self._receive_frame(kind(frame.stream_id, frame.data[HEAD_BYTES:], flags=flags))
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

    def send_head(
        self, stream_id: int, fields: list[tuple[bytes, bytes]], *, is_last: bool
    ) -> None:
        """Begin an answer: `send_headers` without what it does for clients."""
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        self._move(stream_id, StreamInputs.SEND_HEADERS, is_last=is_last)
        block = self.encoder.encode(fields)
        kind, flags = HEADERS, END_STREAM if is_last else 0
        while len(block) > FRAME_BYTES_MAX:
            self._data_to_send += frame_head(kind, flags, stream_id, FRAME_BYTES_MAX)
            self._data_to_send += block[:FRAME_BYTES_MAX]
            kind, flags, block = CONTINUATION, 0, block[FRAME_BYTES_MAX:]
        self._data_to_send += frame_head(kind, flags | END_HEADERS, stream_id, len(block)) + block

    def send_body(self, stream_id: int, data: bytes, *, is_last: bool) -> None:
        """Go on with an answer: `send_data` of what both windows and a frame have room for."""
        size = len(data)
        assert size <= min(self.local_flow_control_window(stream_id), FRAME_BYTES_MAX)
        self.state_machine.process_input(ConnectionInputs.SEND_DATA)
        stream = self._move(stream_id, StreamInputs.SEND_DATA, is_last=is_last)
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        self._data_to_send += frame_head(DATA, END_STREAM if is_last else 0, stream_id, size) + data

    def _move(self, stream_id: int, sent: StreamInputs, *, is_last: bool) -> H2Stream:
        stream = self._get_stream_by_id(stream_id)
        stream.state_machine.process_input(sent)
        if is_last:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        return stream

    @property
    def open_inbound_streams(self) -> int:
        """How many streams are open, once there are twice as many as were; until then none.

        h2 looks through all of them at each new one, to forget those that ended and to hold the
        client to a limit that `http2_connection` holds it to.
        """
        if len(self.streams) < self._sweeps_at:
            return 0
        count = super().open_inbound_streams
        self._sweeps_at = 2 * len(self.streams) + STREAMS_KEPT
        return count

    @property
    def has_data(self) -> bool:
        """Whether `data_to_send` would give any."""
        return bool(self._data_to_send)


def new_protocol(limits: ServerLimits) -> Http2Protocol:
    """h2's state of one connection, with our SETTINGS ready to leave.

    h2 ends a connection whose client has more streams open than it may; we refuse the one stream,
    as RFC 9113, 5.1.2, has it. So the client is told our limit, and h2 a larger one.
    """
    protocol = Http2Protocol(
        H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,  # by `http2_request`
            validate_outbound_headers=False,  # by `http2_stream`
            normalize_outbound_headers=False,
        )
    )
    told = {
        SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
        SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes_max + 32 * limits.headers_max,
    }
    protocol.local_settings = Settings(client=False, initial_values=told)
    protocol.initiate_connection()
    protocol.local_settings = Settings(
        client=False,
        initial_values={
            **told,
            SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX_OF_H2,
            # Over it the connection ends; up to it the one request is refused.
            SettingCodes.MAX_HEADER_LIST_SIZE: 2 * limits.head_bytes_max,
        },
    )
    protocol.decoder.max_header_list_size = 2 * limits.head_bytes_max
    protocol.increment_flow_control_window(limits.stream_window_bytes)
    protocol.receive_data(PREFACE)  # `http2_frames` checks the client's
    return protocol
