"""h2's state of one server connection, set up the way `http2_connection` needs it."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from craton.http.http2_frames import PREFACE
from craton.http.http2_headers import FieldDecoder, FieldEncoder
from craton.http.limits import ServerLimits

STREAMS_MAX_OF_H2 = 1_000_000
STREAMS_KEPT = 8
"""How many that ended are kept at least until they are looked for."""


class Http2Protocol(H2Connection):
    """h2's state machine with our HPACK, remembering fewer streams and counting them seldom."""

    MAX_CLOSED_STREAMS = 1000
    """h2's own 65,536 would be megabytes for each connection that lives long."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder = FieldEncoder()
        self.decoder = FieldDecoder()
        self._sweeps_at = 0

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
