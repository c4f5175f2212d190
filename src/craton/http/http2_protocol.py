"""h2's state of one server connection, set up the way `http2_connection` needs it."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from craton.http.http2_frames import PREFACE
from craton.http.limits import ServerLimits

STREAMS_MAX_OF_H2 = 1_000_000


class Http2Protocol(H2Connection):
    """h2's state machine, remembering fewer streams and telling whether it has something."""

    MAX_CLOSED_STREAMS = 1000
    """h2's own 65,536 would be megabytes for each connection that lives long."""

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
