"""Sabotages of HTTP/2, TLS and short-term Bedrock keys."""

from tests.mutants.catalogue import SIGV4, one

CONNECTION = "src/craton/http/connection.py"
HTTP2 = "src/craton/http/http2_connection.py"
FRAMES = "src/craton/http/http2_frames.py"
HEADERS = "src/craton/http/http2_headers.py"
REQUEST = "src/craton/http/http2_request.py"
SENDER = "src/craton/http/http2_sender.py"
STREAM = "src/craton/http/http2_stream.py"
TLS = "src/craton/http/tls.py"
CERTIFICATES = "src/craton/bootstrap/certificates.py"
TOKEN = "src/craton/access/bedrock_token.py"
CLI = "src/craton/cli/connection.py"
HTTP2_TEST = "tests/unit/http/test_http2_server.py::"
CERTIFICATES_TEST = "tests/unit/bootstrap/test_certificates.py::"
TOKEN_TEST = "tests/unit/access/test_bedrock_token.py::"
FLOODS = HTTP2_TEST + "test_what_breaks_the_protocol_or_floods_ends_the_connection_with_its_code"


MUTANTS = (
    one(
        "HTTP/2 is not recognized",
        CONNECTION,
        "if opening[:3] == _HTTP2_METHOD:",
        "if opening[:3] == b'XXX':",
        HTTP2_TEST + "test_both_versions_are_served_on_one_port",
    ),
    one(
        "a request sent ahead is begun before its client has the answer to the last",
        CONNECTION,
        "        if self._is_behind:\n            self._is_next_due = True",
        "        if False:\n            self._is_next_due = True",
        "tests/unit/http/test_http_server.py::"
        "test_what_is_sent_ahead_of_a_long_answer_does_not_cost_its_client_that_answer",
    ),
    one(
        "a frame of any length is waited for",
        FRAMES,
        "if length > FRAME_BYTES_MAX:",
        "if length > 2**24:",
        FLOODS,
    ),
    one("frames to no end cost nothing", FRAMES, "self.left -= cost", "pass", FLOODS),
    one(
        "a header block may be of any length",
        FRAMES,
        "self._block_bytes += length",
        "pass",
        FLOODS,
    ),
    one(
        "a reset request no longer counts while its handler runs",
        HTTP2,
        "if not (stream.is_over and stream.is_handled):",
        "if not stream.is_over:",
        HTTP2_TEST + "test_a_reset_request_counts_until_its_handler_ends",
    ),
    one(
        "resets cost no more than other frames",
        FRAMES,
        "int(Kind.RST_STREAM): 10,",
        "int(Kind.RST_STREAM): 1,",
        HTTP2_TEST + "test_resets_of_what_was_just_asked_are_limited",
    ),
    one(
        "a client's goodbye ends its answers",
        HTTP2,
        "if frame.kind == GOAWAY:",
        "if frame.kind == -1:",
        HTTP2_TEST + "test_a_client_that_says_goodbye_still_gets_its_answers",
    ),
    one(
        "drain never waits",
        STREAM,
        "while self.pending_bytes > PENDING_BYTES_HIGH and not self.is_over:",
        "while False:",
        HTTP2_TEST + "test_a_slow_reader_holds_its_own_handler_and_not_our_memory",
    ),
    one(
        "a handler isn't told that its stream was reset",
        STREAM,
        "        for callback in callbacks:\n            callback()\n        return True",
        "        return True",
        HTTP2_TEST + "test_a_reset_tells_the_handler_once_and_leaves_the_other_streams",
    ),
    one(
        "an aborted answer ends as a whole one",
        STREAM,
        "self._end(_RESET)",
        "self._end(_WHOLE)",
        HTTP2_TEST + "test_an_aborted_stream_delivers_what_was_written_and_cannot_seem_whole",
    ),
    one(
        "a client that takes nothing is waited for",
        SENDER,
        "elif now_ns - stream.swept_ns > self._server.limits.write_timeout_s * 1e9:",
        "elif False:",
        HTTP2_TEST + "test_a_client_that_takes_nothing_for_too_long_loses_its_stream_only",
    ),
    one(
        "a table that isn't kept isn't told to be empty",
        HEADERS,
        "pieces.append(_NO_TABLE)",
        "pass",
        HTTP2_TEST + "test_no_table_is_made_whatever_size_a_client_allows",
    ),
    one(
        "a Host that isn't the authority passes",
        REQUEST,
        "if any(host != authority for host in hosts) or len(hosts) > 1:",
        "if len(hosts) > 1:",
        HTTP2_TEST + "test_a_malformed_request_is_refused_and_the_connection_goes_on",
    ),
    one(
        "the end of the server is not announced",
        HTTP2,
        "            self._sender.go_away()\n",
        "",
        HTTP2_TEST + "test_closing_says_goodbye_and_lets_running_requests_finish",
    ),
    one(
        "TLS 1.0 is taken",
        TLS,
        "ssl.TLSVersion.TLSv1_2",
        "ssl.TLSVersion.MINIMUM_SUPPORTED",
        CERTIFICATES_TEST + "test_the_context_takes_nothing_below_tls_12",
    ),
    one(
        "a broken certificate replaces a good one",
        TLS,
        "        self._load(_context())\n",
        "        self._seen = stamps\n",
        CERTIFICATES_TEST + "test_a_renewed_certificate_is_read_and_a_broken_one_is_not",
    ),
    one(
        "the server certificate is not renewed",
        CERTIFICATES,
        "certificate.not_valid_after_utc > now + _days(RENEW_DAYS_LEFT)",
        "True",
        CERTIFICATES_TEST + "test_the_server_certificate_is_renewed_and_the_authority_stays",
    ),
    one(
        "Craton's own commands take any certificate",
        CLI,
        "            context.check_hostname = False\n",
        "            context.check_hostname = False\n"
        "            context.verify_mode = ssl.CERT_NONE\n",
        "tests/sdk/test_tls.py::test_a_certificate_of_ones_own_is_taken_as_it_is_and_no_other",
    ),
    one(
        "a short-term key never expires once it was good",
        TOKEN,
        "if now_s > checked.good_until_s:",
        "if False:",
        TOKEN_TEST + "test_a_token_is_checked_once_and_good_until_it_expires",
    ),
    one(
        "a short-term key may be made for a week",
        TOKEN,
        "> LIFE_S_MAX:",
        "> 604_800:",
        TOKEN_TEST + "test_twelve_hours_is_the_longest_life",
    ),
    one(
        "any presigned request is a short-term key",
        TOKEN,
        'or query.split(b"&").count(_ACTION) != 1:',
        "or False:",
        TOKEN_TEST + "test_anything_else_is_refused_and_says_why",
    ),
    one(
        "a signed :authority may be another host",
        SIGV4,
        'headers = {**headers, AUTHORITY: headers["host"]}',
        'headers = {**headers, AUTHORITY: "127.0.0.1:18999"}',
        "tests/unit/access/test_sigv4.py::test_the_authority_may_be_signed_for_the_host",
    ),
)
