"""HTTP/2 over a real socket, beside HTTP/1.1 on the same port, with h2 as the client."""

import asyncio
import struct
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple

from craton.http import (
    HttpRequest,
    HttpResponder,
    HttpServer,
    ServerLimits,
    plain_internal_error,
)
from craton.http.http2_connection import Http2Connection
from craton.http.http2_frames import PREFACE
from craton.http.http2_stream import PENDING_BYTES_HIGH
from craton.kernel.clock import ManualClock

from .conftest import Serve, until
from .http2_client import Http2Client, http2

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
MIB = 1024 * 1024


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream_id)
    return head + payload


class Held:
    """A handler that keeps each request until the test lets it go."""

    def __init__(self) -> None:
        self.requests: list[tuple[HttpRequest, HttpResponder]] = []
        self.gone = 0
        self.ended = 0
        self.go = asyncio.Event()

    def _count_gone(self) -> None:
        self.gone += 1

    async def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_gone(self._count_gone)
        self.requests.append((request, responder))
        await self.go.wait()
        if not responder.is_started:
            responder.respond(200, (), request.raw_path)
        self.ended += 1


class Large:
    """A handler that streams a lot and waits for its client."""

    def __init__(self, pieces: int = 64, size: int = 32 * 1024) -> None:
        self.size = size
        self.pieces = pieces
        self.written = 0
        self.ended = 0
        self.gone = 0

    def _count_gone(self) -> None:
        self.gone += 1

    async def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_gone(self._count_gone)
        responder.start(200, ())
        for _ in range(self.pieces):
            if responder.is_gone:
                break
            responder.write(b"x" * self.size)
            self.written += self.size
            await responder.drain()
        responder.finish()
        self.ended += 1


# Answers.


async def test_a_request_is_what_it_would_be_over_http_11(serve: Serve) -> None:
    held = Held()
    held.go.set()
    client = await http2(await serve(held))
    answer = await client.fetch(b"POST", b"/a?b=%20", b"body", [(b"x-one", b"1"), (b"x-one", b"2")])
    assert answer.status == 200
    assert answer.headers[b"server"] == b"craton"
    assert answer.headers[b"date"].startswith(b"Fri, 15 Jan 2027")
    assert answer.headers[b"content-length"] == b"2"
    ((request, _),) = held.requests
    assert (request.method, request.raw_path, request.raw_query) == ("POST", b"/a", b"b=%20")
    assert request.headers.pairs == [(b"host", b"craton"), (b"x-one", b"1"), (b"x-one", b"2")]
    assert request.body == b"body"
    assert request.peer == "127.0.0.1"


async def test_both_versions_are_served_on_one_port(serve: Serve) -> None:
    served = await serve()
    client = await http2(served)
    assert (await client.fetch(b"POST", body=b"two")).body == b"two"
    old = await served.ask(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert old.startswith(b"HTTP/1.1 200 OK\r\n")
    assert served.server.counters.connections == 2
    assert served.server.counters.requests == 2


@pytest.mark.parametrize("cut", [1, 2, 3, 16, 24, 27])
async def test_a_preface_in_two_pieces_is_recognized(serve: Serve, cut: int) -> None:
    served = await serve()
    raw = await served.connect()
    whole = PREFACE + SETTINGS
    raw.send(whole[:cut])
    await served.received(cut)
    raw.send(whole[cut:])
    assert (await raw.reader.readexactly(9))[3] == 4
    await served.received(len(whole))
    assert served.server.counters.bytes_received == len(whole)


@pytest.mark.parametrize("line", [b"P", b"PR"])
async def test_a_method_that_begins_as_the_preface_does_is_http_11(
    serve: Serve, line: bytes
) -> None:
    served = await serve()
    raw = await served.connect()
    raw.send(line)
    await served.received(len(line))
    raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"[len(line) :])
    if line == b"P":
        assert (await raw.read_until(b"\r\n")).startswith(b"HTTP/1.1 200")
    else:
        assert (await raw.read_until(b"\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_request_cut_at_every_byte_is_answered_as_a_whole_one(serve: Serve) -> None:
    served = await serve()
    client = await http2(served)
    whole: list[bytes] = []
    client.raw.send = whole.append  # type: ignore[method-assign]
    id = client.ask(b"POST", body=b"body")
    del client.raw.send
    await until(lambda: served.server.counters.bytes_received > 0)
    for byte in b"".join(whole):
        before = served.server.counters.bytes_received
        client.raw.send(bytes([byte]))
        await served.received(before + 1)
    assert (await client.answer(id)).body == b"body"


async def test_requests_of_one_connection_run_side_by_side(serve: Serve) -> None:
    held = Held()
    client = await http2(await serve(held))
    ids = [client.ask(path=b"/%d" % number) for number in range(50)]
    await until(lambda: len(held.requests) == 50)
    held.go.set()
    bodies = [bytes((await client.answer(id)).body) for id in ids]
    assert bodies == [b"/%d" % number for number in range(50)]


async def test_what_one_turn_writes_is_one_frame_and_leaves_while_the_handler_works(
    serve: Serve,
) -> None:
    go = asyncio.Event()

    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, [(b"content-type", b"text/plain")])
        responder.write(b"one ")
        responder.write(b"")
        responder.write(b"two")
        await go.wait()
        responder.write(b" three")
        responder.finish()

    client = await http2(await serve(stream))
    id = client.ask()
    await client.until(lambda: bytes(client.streams[id].body) == b"one two")
    assert client.streams[id].pieces == 1
    go.set()
    answer = await client.answer(id)
    assert bytes(answer.body) == b"one two three"
    assert answer.pieces == 2
    assert b"content-length" not in answer.headers


async def test_head_and_204_have_no_body(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        if request.raw_path == b"/stream":
            responder.start(200, ())
            responder.write(b"body")
            await asyncio.sleep(0)
            responder.finish()
        else:
            responder.respond(204 if request.raw_path == b"/204" else 200, (), b"body")

    client = await http2(await serve(handler))
    for path in (b"/", b"/stream"):
        answer = await client.fetch(b"HEAD", path)
        assert answer.status == 200
        assert not answer.body
    answer = await client.fetch(b"GET", b"/204")
    assert answer.status == 204
    assert b"content-length" not in answer.headers
    assert (await client.fetch(b"GET", b"/stream")).body == b"body"


async def test_a_line_break_in_a_header_is_our_fault_and_never_leaves(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(200, [(b"x", b"a\r\nset-cookie: b")], b"")

    served = await serve(handler)
    answer = await (await http2(served)).fetch()
    assert answer.status == 500
    assert b"x" not in answer.headers
    assert served.server.counters.internal_errors == 1


async def test_a_client_that_waits_to_go_on_is_told_to(serve: Serve) -> None:
    client = await http2(await serve())
    id = client.ask(b"POST", headers=[(b"expect", b"100-continue")], is_whole=False)
    await client.until(lambda: client.streams[id].interim == [b"100"])
    client.send(id, b"now")
    assert bytes((await client.answer(id)).body) == b"now"
    answer = await client.fetch(b"POST", b"/", b"x", [(b"expect", b"200-ok")])
    assert answer.status == 417


async def test_trailers_are_read_and_dropped(serve: Serve) -> None:
    held = Held()
    held.go.set()
    client = await http2(await serve(held))
    id = client.ask(b"POST", body=b"body", is_whole=False)
    client.h2.send_headers(id, [(b"x-late", b"1")], end_stream=True)
    client.flush()
    assert (await client.answer(id)).status == 200
    assert b"x-late" not in held.requests[0][0].headers
    assert held.requests[0][0].body == b"body"


async def test_a_body_larger_than_every_window_arrives(serve: Serve) -> None:
    client = await http2(await serve())
    body = bytes(range(256)) * 8 * 1024
    id = client.ask(b"POST", is_whole=False)
    await client.until(lambda: client.h2.local_flow_control_window(id) > 65_535)
    at = 0
    while at < len(body):
        room = min(client.h2.local_flow_control_window(id), 16_000, len(body) - at)
        if room:
            client.h2.send_data(id, body[at : at + room])
            client.flush()
            at += room
        else:
            await client.until(lambda: client.h2.local_flow_control_window(id) > 0)
    client.h2.end_stream(id)
    client.flush()
    assert bytes((await client.answer(id)).body) == body


class Socket:
    """A transport that remembers what was written, and each of how much."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0


def connected(server: HttpServer) -> tuple[Http2Connection, Http2Client, Socket]:
    """A connection without a network, and a client for what it writes."""
    socket: Any = Socket()
    sent: Any = Socket()
    server.sweep()
    connection = Http2Connection(server, asyncio.get_running_loop())
    connection.begin(socket, peer="", refuse_all=None)
    sent.send = connection.data_received
    client = Http2Client(sent)
    socket.written.clear()
    return connection, client, socket


async def test_what_all_streams_answer_in_one_turn_is_one_write() -> None:
    held = Held()
    server = HttpServer(held, clock=ManualClock())
    _, client, socket = connected(server)
    ids = [client.ask(path=b"/%d" % number) for number in range(20)]
    await until(lambda: len(held.requests) == 20)
    held.go.set()
    await until(lambda: held.ended == 20)
    await asyncio.sleep(0)
    assert len(socket.written) == 1
    for event in client.h2.receive_data(socket.written[0]):
        client._take(event)
    assert [client.streams[id].body for id in ids] == [b"/%d" % number for number in range(20)]


async def test_a_writer_of_much_hears_of_a_slow_socket_within_its_turn() -> None:
    server = HttpServer(Large(pieces=0), clock=ManualClock())
    server.counters.requests_now = 2
    connection, client, socket = connected(server)
    client.h2.increment_flow_control_window(4 * MIB)
    client.h2.increment_flow_control_window(4 * MIB, client.ask(b"POST", is_whole=False))
    client.flush()
    socket.written.clear()
    (stream,) = connection.streams.values()
    stream.start(200, ())
    stream.write(b"x" * 2 * PENDING_BYTES_HIGH)
    assert sum(map(len, socket.written)) > PENDING_BYTES_HIGH
    await asyncio.sleep(0)


# Flow control and back-pressure.


async def test_a_slow_reader_holds_its_own_handler_and_not_our_memory(serve: Serve) -> None:
    large = Large()

    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        if request.raw_path == b"/large":
            await large(request, responder)
        else:
            responder.respond(200, (), b"small")

    client = await http2(await serve(handler), takes=False)
    id = client.ask(path=b"/large")
    await client.until(lambda: len(client.streams[id].body) == 65_535)
    assert large.written <= 65_535 + PENDING_BYTES_HIGH + 2 * large.size
    assert large.ended == 0
    # Its window of the connection is used up: another one's answer waits as well, not for ever.
    client.h2.increment_flow_control_window(MIB)
    client.flush()
    assert bytes((await client.fetch(path=b"/small")).body) == b"small"
    assert large.ended == 0
    client.takes = True
    client.h2.increment_flow_control_window(4 * MIB)
    client.h2.increment_flow_control_window(4 * MIB, id)
    client.flush()
    assert len((await client.answer(id)).body) == large.pieces * large.size
    assert large.ended == 1


async def test_a_window_that_the_client_widens_by_a_setting_lets_the_rest_through(
    serve: Serve,
) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(200, (), b"x" * 1000)

    client = await http2(await serve(handler), window=10)
    id = client.ask()
    await client.until(lambda: len(client.streams[id].body) == 10)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.flush()
    client.takes = False
    await client.until(lambda: client.h2.local_settings.initial_window_size == 0)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    client.flush()
    assert len((await client.answer(id)).body) == 1000


async def test_a_client_that_takes_nothing_for_too_long_loses_its_stream_only(
    serve: Serve,
) -> None:
    large = Large()
    served = await serve(large, ServerLimits(write_timeout_s=60))
    client = await http2(served, takes=False)
    id = client.ask()
    await client.until(lambda: len(client.streams[id].body) == 65_535)
    served.pass_time(1)
    served.pass_time(59)
    assert large.gone == 0
    served.pass_time(2)
    assert (await client.answer(id)).reset == ErrorCodes.CANCEL
    await until(lambda: large.ended == 1)
    assert large.gone == 1
    assert served.server.counters.aborted_slow_reader == 1
    assert served.server.counters.aborted_by_client == 0


async def test_a_handler_that_never_waits_for_a_slow_client_is_cut_off(serve: Serve) -> None:
    gone = asyncio.Event()

    async def flood(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_gone(gone.set)
        responder.start(200, ())
        while not gone.is_set():
            responder.write(b"x" * 100_000)
            await asyncio.sleep(0)
        responder.finish()

    served = await serve(flood, ServerLimits(unread_bytes_max=MIB))
    client = await http2(served, takes=False)
    assert (await client.fetch()).reset == ErrorCodes.CANCEL
    assert gone.is_set()
    assert served.server.counters.aborted_slow_reader == 1


# Clients that leave.


async def test_a_reset_tells_the_handler_once_and_leaves_the_other_streams(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    left, stays = client.ask(path=b"/left"), client.ask(path=b"/stays")
    await until(lambda: len(held.requests) == 2)
    client.h2.reset_stream(left, ErrorCodes.CANCEL)
    client.flush()
    await until(lambda: held.gone == 1)
    assert held.requests[0][1].is_gone
    assert not held.requests[1][1].is_gone
    held.go.set()
    assert bytes((await client.answer(stays)).body) == b"/stays"
    assert held.gone == 1
    assert held.ended == 2
    assert served.server.counters.aborted_by_client == 1


async def test_a_lost_connection_tells_every_handler(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    for _ in range(3):
        client.ask()
    await until(lambda: len(held.requests) == 3)
    client.raw.writer.transport.abort()
    await until(lambda: held.gone == 3)
    held.go.set()
    await until(lambda: not served.server.tasks)
    assert served.server.counters.aborted_by_client == 3
    assert not served.server.connections


async def test_a_client_that_leaves_mid_stream_ends_the_wait_for_it(serve: Serve) -> None:
    large = Large()
    served = await serve(large)
    client = await http2(served, takes=False)
    id = client.ask()
    await client.until(lambda: len(client.streams[id].body) == 65_535)
    client.h2.reset_stream(id, ErrorCodes.CANCEL)
    client.flush()
    await until(lambda: large.ended == 1)
    assert large.gone == 1
    assert (await client.fetch(b"HEAD")).status == 200


@pytest.mark.parametrize("others", [0, 2])
async def test_a_client_that_says_goodbye_still_gets_its_answers(serve: Serve, others: int) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    ids = [client.ask(path=b"/last") for _ in range(3)]
    await until(lambda: len(held.requests) == 3)
    served.server.counters.requests_now += others  # which stay: nobody is alone
    client.raw.send(frame(7, 0, 0, b"\0" * 8))
    before = served.server.counters.bytes_received
    await served.received(before)
    held.go.set()
    for id in ids:
        assert bytes((await client.answer(id)).body) == b"/last"
    assert await client.closed() is None


async def test_what_ends_a_connection_is_told_while_requests_run(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    for _ in range(3):
        client.ask()
    await until(lambda: len(held.requests) == 3)
    client.raw.send(frame(0, 0, 0, b"data of no stream"))
    assert await client.closed() == ErrorCodes.PROTOCOL_ERROR
    held.go.set()
    await until(lambda: held.ended == 3)


async def test_a_connection_leaves_nothing_behind(serve: Serve) -> None:
    served = await serve()
    client = await http2(served)
    for number in range(20):
        assert bytes((await client.fetch(b"POST", b"/", b"%d" % number)).body) == b"%d" % number
    counters = served.server.counters
    await until(lambda: not served.server.tasks)
    assert counters.requests_now == counters.body_bytes_now == 0
    (connection,) = served.server.connections
    assert not connection.streams  # type: ignore[attr-defined]
    await client.raw.close()
    await until(lambda: not served.server.connections)
    assert counters.aborted_by_client == 0


# Handlers that fail.


async def test_an_exception_is_a_500_for_its_stream_only(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        if request.raw_path == b"/bad":
            raise RuntimeError("secret")
        responder.respond(200, (), b"")

    client = await http2(await serve(handler, on_internal_error=plain_internal_error))
    answer = await client.fetch(path=b"/bad")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert (await client.fetch()).status == 200


async def test_an_aborted_stream_delivers_what_was_written_and_cannot_seem_whole(
    serve: Serve,
) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"begun")
        raise RuntimeError

    client = await http2(await serve(handler))
    answer = await client.fetch()
    assert bytes(answer.body) == b"begun"
    assert answer.reset == ErrorCodes.INTERNAL_ERROR
    assert not answer.is_whole


async def test_a_handler_that_ends_without_an_answer_is_an_internal_error(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        pass

    served = await serve(handler)
    assert (await (await http2(served)).fetch()).status == 500
    assert served.server.counters.internal_errors == 1


# Refusals of one request.

GOOD = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((*GOOD, (b"X-Upper", b"1")), 400),
        ((*GOOD, (b"x y", b"1")), 400),
        ((*GOOD, (b"", b"1")), 400),
        ((*GOOD, (b"x", b"a\0b")), 400),
        ((*GOOD, (b"x", b"a\r\nb: c")), 400),
        ((*GOOD, (b"connection", b"close")), 400),
        ((*GOOD, (b"transfer-encoding", b"chunked")), 400),
        ((*GOOD, (b"te", b"gzip")), 400),
        ((*GOOD, (b"host", b"b")), 400),
        ((*GOOD, (b":path", b"/b")), 400),
        ((*GOOD, (b"x", b"1"), (b":authority", b"b")), 400),
        ((*GOOD, (b":unknown", b"b")), 400),
        (GOOD[1:], 400),
        (GOOD[:3], 400),
        ((GOOD[0], *GOOD[2:]), 400),
        ((*GOOD[:2], GOOD[3]), 400),
        ((*GOOD[:3], (b":path", b"a")), 400),
        ((*GOOD[:3], (b":path", b"")), 400),
        ((*GOOD[:3], (b":path", b"/a b")), 400),
        ((*GOOD[:3], (b":path", b"/\xff")), 400),
        ((*GOOD[:3], (b":path", b"/a#b")), 400),
        ((*GOOD[:3], (b":path", b"*")), 400),
        (((b":method", b"CONNECT"), (b":authority", b"a:1")), 501),
        (((b":method", b"BREW"), *GOOD[1:]), 501),
        ((*GOOD, *((b"x-%d" % n, b"1") for n in range(101))), 431),
        ((*GOOD, (b"x", b"y" * 33_000)), 431),
        (((b":method", b"OPTIONS"), *GOOD[1:3], (b":path", b"*")), 200),
        ((*GOOD[:2], GOOD[3], (b"host", b"a")), 200),
        ((*GOOD, (b"host", b"a"), (b"te", b"trailers"), (b"x", b" \xe9 ")), 200),
    ],
)
async def test_a_malformed_request_is_refused_and_the_connection_goes_on(
    serve: Serve, fields: Any, status: int
) -> None:
    served = await serve()
    client = await http2(served)
    answer = await client.fetch(fields=fields)
    assert answer.status == status
    assert served.server.counters.refused == (status != 200)
    assert (await client.fetch()).status == 200


async def test_a_body_over_the_limit_is_refused_while_it_comes(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_bytes_max=1000))
    client = await http2(served)
    id = client.ask(b"POST", headers=[(b"content-length", b"1001")], is_whole=False)
    await client.until(lambda: client.streams[id].reset is not None)
    assert client.streams[id].status == 413
    assert client.streams[id].reset == ErrorCodes.NO_ERROR
    id = client.ask(b"POST", body=b"x" * 1001, is_whole=False)
    await client.until(lambda: client.streams[id].reset is not None)
    assert client.streams[id].status == 413
    assert served.server.counters.body_bytes_now == 0
    assert (await client.fetch(b"POST", b"/", b"x" * 1000)).status == 200


async def test_bodies_of_all_streams_together_have_a_limit(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(bodies_bytes_max=1500))
    client = await http2(served)
    first = client.ask(b"POST", body=b"x" * 1000, is_whole=False)
    await served.received(1000)
    second = client.ask(b"POST", body=b"x" * 1000, is_whole=False)
    await client.until(lambda: client.streams[second].reset is not None)
    assert client.streams[second].status == 503
    client.send(first, b"")
    assert (await client.answer(first)).status == 200
    assert served.server.counters.body_bytes_now == 0


async def test_too_many_requests_at_a_time_are_refused_to_be_sent_again(serve: Serve) -> None:
    held = Held()
    client = await http2(await serve(held, ServerLimits(streams_max=3)))
    ids = [client.ask() for _ in range(5)]
    await client.until(lambda: all(client.streams[id].reset is not None for id in ids[3:]))
    assert {client.streams[id].reset for id in ids[3:]} == {ErrorCodes.REFUSED_STREAM}
    held.go.set()
    for id in ids[:3]:
        assert (await client.answer(id)).status == 200
    assert (await client.fetch()).status == 200
    assert client.h2.remote_settings.max_concurrent_streams == 3


async def test_a_reset_request_counts_until_its_handler_ends(serve: Serve) -> None:
    """Rapid reset (CVE-2023-44487): streams end at once, and what they began doesn't."""
    held = Held()
    client = await http2(await serve(held, ServerLimits(streams_max=3)))
    for _ in range(3):
        client.h2.reset_stream(client.ask())
    client.flush()
    await until(lambda: held.gone == 3)
    assert (await client.fetch()).reset == ErrorCodes.REFUSED_STREAM
    assert len(held.requests) == 3
    held.go.set()
    await until(lambda: held.ended == 3)
    assert (await client.fetch()).status == 200


# Floods, and what ends the connection.


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (PREFACE + frame(6, 0, 0, b"12345678"), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + frame(4, 1, 0), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + b"\x01\0\0\x00\0\0\0\0\x01", ErrorCodes.FRAME_SIZE_ERROR),
        (PREFACE + SETTINGS + b"\xff\xff\xff\x06\0\0\0\0\0", ErrorCodes.FRAME_SIZE_ERROR),
        (PREFACE + SETTINGS + frame(9, 4, 1), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(1, 0, 1) + frame(6, 0, 0, b"8" * 8), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(1, 0, 1) + frame(9, 0, 3), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(1, 0, 1) + frame(9, 0, 1) * 99, ErrorCodes.ENHANCE_YOUR_CALM),
        (
            PREFACE + SETTINGS + frame(1, 0, 1) + frame(9, 0, 1, b"\0" * 16_384) * 4,
            ErrorCodes.ENHANCE_YOUR_CALM,
        ),
        (PREFACE + SETTINGS + frame(1, 5, 1, b"\xff" * 9), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(0, 1, 1, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(8, 0, 0, b"\0\0\0\0"), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff"), ErrorCodes.FLOW_CONTROL_ERROR),
        (PREFACE + SETTINGS + frame(6, 0, 0, b"12345678") * 1001, ErrorCodes.ENHANCE_YOUR_CALM),
        (PREFACE + SETTINGS * 202, ErrorCodes.ENHANCE_YOUR_CALM),
        (PREFACE + SETTINGS + frame(2, 0, 1, b"\0\0\0\0\1") * 1001, ErrorCodes.ENHANCE_YOUR_CALM),
        (PREFACE + SETTINGS + frame(0xEE, 0, 0) * 1001, ErrorCodes.ENHANCE_YOUR_CALM),
        (PREFACE + SETTINGS + frame(8, 0, 0, b"\0\0\0\1") * 1001, ErrorCodes.ENHANCE_YOUR_CALM),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SETTINGS, ErrorCodes.PROTOCOL_ERROR),
    ],
    ids=lambda value: None if isinstance(value, ErrorCodes) else value[24:].hex()[:60] or "x",
)
async def test_what_breaks_the_protocol_or_floods_ends_the_connection_with_its_code(
    serve: Serve, data: bytes, code: ErrorCodes
) -> None:
    served = await serve()
    answer = await served.ask(data)
    goaway = answer[-17:]
    assert goaway[3] == 7, answer
    assert int.from_bytes(goaway[13:17], "big") == code
    assert not any(connection.is_open for connection in served.server.connections)


async def test_resets_of_what_was_just_asked_are_limited(serve: Serve) -> None:
    held = Held()
    client = await http2(await serve(held))
    for _ in range(101):
        client.h2.reset_stream(client.ask())
    client.flush()
    assert await client.closed() == ErrorCodes.ENHANCE_YOUR_CALM
    assert len(held.requests) <= 100
    held.go.set()


async def test_clients_that_cancel_what_was_answering_may_do_so_for_ever(serve: Serve) -> None:
    go = asyncio.Event()

    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"begun")
        responder.on_gone(go.set)
        await go.wait()

    client = await http2(await serve(stream))
    for _ in range(300):
        go.clear()
        id = client.ask()
        await client.until(lambda stream=client.streams[id]: bool(stream.body))
        client.h2.reset_stream(id, ErrorCodes.CANCEL)
        client.flush()
        await go.wait()
    assert client.goaway is None


async def test_time_gives_a_client_more_frames(serve: Serve) -> None:
    limits = ServerLimits(control_frames_max=10, control_frames_rate_max=5, idle_timeout_s=999)
    served = await serve(limits=limits)
    client = await http2(served)
    ping = frame(6, 0, 0, b"12345678")
    for _ in range(3):
        before = served.server.counters.bytes_received
        client.raw.send(ping * 4)
        await served.received(before + len(ping) * 4)
        served.pass_time(1)
    assert (await client.fetch()).status == 200
    client.raw.send(ping * 12)
    assert await client.closed() == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("size", [0, 100, 2**30])
async def test_no_table_is_made_whatever_size_a_client_allows(serve: Serve, size: int) -> None:
    client = await http2(await serve())
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
    client.flush()
    for _ in range(2):
        assert (await client.fetch()).status == 200
    assert client.h2.decoder.header_table_size == 0
    assert not client.h2.decoder.header_table.dynamic_entries


async def test_a_credential_that_comes_again_is_read_the_same(serve: Serve) -> None:
    held = Held()
    held.go.set()
    client = await http2(await serve(held))
    secret = (b"authorization", b"Bearer " + b"k" * 64)
    for _ in range(3):
        await client.fetch(headers=[NeverIndexedHeaderTuple(*secret)])
    assert [request.headers.get(secret[0]) for request, _ in held.requests] == [secret[1]] * 3


async def test_connections_over_the_limit_are_refused_in_http_2(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(connections_max=1))
    first = await http2(served)
    assert (await first.fetch()).status == 200
    assert (await (await http2(served)).fetch()).status == 503
    assert (await first.fetch()).status == 200


# Time.


@pytest.mark.parametrize(
    "data", [PREFACE[:9], PREFACE + b"\0", PREFACE + SETTINGS + frame(1, 0, 1), b"PR"]
)
async def test_a_head_that_trickles_is_not_waited_for(serve: Serve, data: bytes) -> None:
    served = await serve(limits=ServerLimits(head_timeout_s=10))
    raw = await served.connect()
    raw.send(data)
    await served.received(len(data))
    served.pass_time(9)
    await asyncio.sleep(0)
    (connection,) = served.server.connections
    assert connection.is_open
    served.pass_time(2)
    answer = await raw.read_all()
    assert answer.startswith(b"HTTP/1.1 408") if data == b"PR" else answer[-14] == 7


async def test_a_body_slower_than_the_least_rate_is_refused_and_others_go_on(
    serve: Serve,
) -> None:
    served = await serve(limits=ServerLimits(body_grace_s=10, body_rate_min=100))
    client = await http2(served)
    slow = client.ask(b"POST", body=b"x" * 1050, is_whole=False)
    quick = client.ask(b"POST", body=b"x" * 9000, is_whole=False)
    await served.received(10_050)
    served.pass_time(10)
    served.pass_time(1)
    await client.until(lambda: client.streams[slow].reset is not None)
    assert client.streams[slow].status == 408
    client.send(quick, b"")
    assert (await client.answer(quick)).status == 200


async def test_an_idle_connection_is_told_and_closed(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(idle_timeout_s=75))
    client = await http2(served)
    await client.fetch()
    served.pass_time(76)
    assert await client.closed() == ErrorCodes.NO_ERROR
    await client.raw.close()
    await until(lambda: not served.server.connections)


async def test_a_request_that_runs_long_is_not_idle(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    id = client.ask()
    await until(lambda: len(held.requests) == 1)
    served.pass_time(10_000)
    held.go.set()
    assert (await client.answer(id)).status == 200


# The end of the server.


async def test_closing_says_goodbye_and_lets_running_requests_finish(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    id = client.ask(path=b"/last")
    await until(lambda: len(held.requests) == 1)
    closing = asyncio.create_task(served.server.close(5))
    await client.until(lambda: client.goaway is not None)
    assert client.goaway is not None
    assert client.goaway.last_stream_id == id
    assert client.goaway.error_code == ErrorCodes.NO_ERROR
    held.go.set()
    rest = await client.raw.read_all()
    assert b"/last" in rest
    await client.raw.close()
    await closing
    assert held.gone == 0


async def test_closing_cuts_off_what_does_not_finish_and_tells_it(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await http2(served)
    client.ask()
    await until(lambda: len(held.requests) == 1)
    closing = asyncio.create_task(served.server.close(0.01))
    await until(lambda: held.gone == 1)
    held.go.set()
    await closing
    assert held.ended == 1


async def test_closing_an_idle_connection_needs_no_patience(serve: Serve) -> None:
    served = await serve()
    client = await http2(served)
    await client.fetch()
    closing = asyncio.create_task(served.server.close(60))
    assert await client.closed() == ErrorCodes.NO_ERROR
    await client.raw.close()
    await closing
