"""Sabotages of what is kept until a turn's end: writes to sockets, and holds of turns."""

from tests.mutants.catalogue import one

CONNECTION = "src/craton/http/connection.py"
OUTBOX = "src/craton/http/outbox.py"
INFERENCE = "src/craton/apis/inference.py"
SENDER = "src/craton/http/http2_sender.py"
HTTP2 = "src/craton/http/http2_connection.py"
WORKER = "src/craton/bootstrap/worker.py"
OUTBOX_TEST = "tests/unit/http/test_outbox.py::"
HTTP2_TEST = "tests/unit/http/test_http2_server.py::"


MUTANTS = (
    one(
        "a WebSocket's frames overtake its handshake",
        CONNECTION,
        "self.server.outbox.flush()  # what the other protocol writes must not overtake it",
        "pass",
        "tests/unit/http/test_websocket.py::test_frames_that_come_with_the_handshake_are_not_lost",
    ),
    one(
        "a write that doesn't wait overtakes those that do",
        OUTBOX,
        "            self.flush()\n            transport.write(data)\n            return",
        "            transport.write(data)\n            return",
        OUTBOX_TEST + "test_who_is_alone_waits_for_nobody_and_overtakes_nothing",
    ),
    one(
        "what is kept is written to a closed transport",
        OUTBOX,
        "if not transport.is_closing():",
        "if True:",
        OUTBOX_TEST + "test_nothing_is_written_to_a_transport_that_closed_in_the_same_turn",
    ),
    one(
        "a worker says that it knows of a change before its holds are told",
        WORKER,
        "        inference.tell_holds()\n",
        "",
        "tests/unit/bootstrap/test_worker.py::"
        "test_holds_are_told_before_a_worker_says_that_it_knows_of_a_change",
    ),
    one(
        "a usage record is posted before its hold is told",
        INFERENCE,
        "            self.tell_holds()\n        exchange, responder =",
        "            pass\n        exchange, responder =",
        "tests/unit/apis/test_inference_turn.py::test_the_hold_comes_first_and_bounds_what_is_posted",
    ),
    one(
        "over HTTP/2 each answer is a write of its own",
        SENDER,
        "self._server.counters.requests_now < 2:",
        "True:",
        HTTP2_TEST + "test_what_all_streams_answer_in_one_turn_is_one_write",
    ),
    one(
        "over HTTP/2 a writer of much is kept waiting for the end of its turn",
        SENDER,
        "self._kept_bytes > KEPT_BYTES_MAX or",
        "",
        HTTP2_TEST + "test_a_writer_of_much_hears_of_a_slow_socket_within_its_turn",
    ),
    one(
        "what ends an HTTP/2 connection is told after its end",
        HTTP2,
        "            self._h2.close_connection(code)\n        self._sender.flush_now()",
        "            self._h2.close_connection(code)\n        self._sender.flush()",
        HTTP2_TEST + "test_what_ends_a_connection_is_told_while_requests_run",
    ),
    one(
        "an HTTP/2 connection ends before its last answers",
        HTTP2,
        "and not self.streams:\n            self._sender.flush_now()",
        "and not self.streams:\n            self._sender.flush()",
        HTTP2_TEST + "test_a_client_that_says_goodbye_still_gets_its_answers",
    ),
)
