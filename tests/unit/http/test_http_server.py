import asyncio
import socket
from typing import Any

import pytest

from craton.http import HttpRequest, HttpResponder, ServerLimits, plain_internal_error
from craton.kernel.errors import BadRequest, CratonError

from .conftest import WAIT_S, RawClient, Serve, echo, until

HOST = b"Host: craton\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSE = HOST + b"Connection: close\r\n"


def post(path: bytes, body: bytes, *lines: bytes) -> bytes:
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


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
        responder.respond(200, (), request.body)
        self.ended += 1


# Answers.


async def test_an_answer_has_length_date_and_server_and_the_connection_stays(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    for text in (b"one", b"two"):
        client.send(post(b"/a", text))
        head = await client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nserver: craton\r\ndate: Fri, 15 Jan 2027 ")
        assert b"\r\ncontent-length: 3\r\n" in head
        assert b"connection:" not in head
        assert await client.reader.readexactly(3) == text
    assert served.server.counters.connections == 1
    assert served.server.counters.requests == 2


async def test_the_date_follows_the_clock(serve: Serve) -> None:
    served = await serve()
    served.pass_time(3600)
    assert b"date: Fri, 15 Jan 2027 09:00:00 GMT\r\n" in await served.ask(
        b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    )


async def test_a_stream_is_chunked_and_what_one_turn_writes_is_one_chunk(serve: Serve) -> None:
    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, [(b"content-type", b"text/plain")])
        responder.write(b"one ")
        responder.write(b"")
        responder.write(b"two ")
        await asyncio.sleep(0)
        responder.write(b"")  # as a chunk of its own it would end the body
        await asyncio.sleep(0)
        responder.write(b"three")
        await responder.drain()
        responder.finish()

    served = await serve(stream)
    answer = await served.ask(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert b"transfer-encoding: chunked\r\n" in answer
    assert body(answer) == b"8\r\none two \r\n5\r\nthree\r\n0\r\n\r\n"


async def test_the_first_bytes_leave_while_the_handler_still_works(serve: Serve) -> None:
    go = asyncio.Event()

    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"first")
        await go.wait()
        responder.finish()

    client = await (await serve(stream)).connect()
    client.send(GET)
    await client.read_until(b"5\r\nfirst\r\n")
    go.set()
    assert await client.read_until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_head_has_the_headers_and_no_body(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        if request.raw_path == b"/stream":
            responder.start(200, ())
            responder.write(b"body")
            responder.finish()
        else:
            responder.respond(200, (), b"body")

    served = await serve(handler)
    client = await served.connect()
    client.send(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"content-length: 4\r\n" in await client.read_until(b"\r\n\r\n")
    client.send(b"HEAD /stream HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"transfer-encoding: chunked" in await client.read_until(b"\r\n\r\n")
    client.send(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    rest = await client.read_all()
    assert status(rest) == 200
    assert body(rest) == b"body"


async def test_statuses_without_a_body_have_none(serve: Serve) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(204, (), b"")

    answer = await (await serve(handler)).ask(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert status(answer) == 204
    assert b"content-length" not in answer


async def test_an_http_10_client_gets_no_chunks_and_a_close(serve: Serve) -> None:
    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"one")
        await asyncio.sleep(0)
        responder.write(b"two")
        responder.finish()

    answer = await (await serve(stream)).ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"chunked" not in answer
    assert b"connection: close\r\n" in answer
    assert body(answer) == b"onetwo"


async def test_an_http_10_client_that_asks_to_stay_does(serve: Serve) -> None:
    client = await (await serve()).connect()
    for _ in range(2):
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"connection: keep-alive\r\n" in await client.read_until(b"\r\n\r\n")


@pytest.mark.parametrize(
    "pair", [(b"a\r\nb", b"c"), (b"a", b"b\nc"), (b"a", b"b\rc"), (b"a", b"\0")]
)
async def test_a_line_break_in_a_header_is_our_fault_and_never_leaves(
    serve: Serve, pair: tuple[bytes, bytes]
) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(200, [pair], b"")

    served = await serve(handler)
    assert status(await served.ask(GET)) == 500
    assert served.server.counters.internal_errors == 1


# Requests.


async def test_a_request_cut_at_every_byte_is_answered_as_a_whole_one(serve: Serve) -> None:
    served = await serve()
    data = post(b"/a%20b", b"body", b"X-A: b")
    client = await served.connect()
    for cut in range(1, len(data)):
        before = served.server.counters.bytes_received
        client.send(data[:cut])
        await served.received(before + cut)
        client.send(data[cut:])
        assert b"x-path: /a%20b\r\n" in await client.read_until(b"\r\n\r\n")
        assert await client.reader.readexactly(4) == b"body"


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve: Serve) -> None:
    running = most = 0

    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        responder.respond(200, (), request.body)
        running -= 1

    served = await serve(handler)
    client = await served.connect()
    count = 500
    client.send(b"".join(post(b"/", b"%03d" % number) for number in range(count)))
    for number in range(count):
        await client.read_until(b"\r\n\r\n")
        assert await client.reader.readexactly(3) == b"%03d" % number
    assert most == 1


async def test_requests_sent_ahead_leave_other_connections_their_turn(serve: Serve) -> None:
    turns: list[bytes] = []

    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        turns.append(request.raw_path)
        if request.raw_path == b"/first":
            await begun.wait()
        responder.respond(200, (), b"")

    begun = asyncio.Event()
    served = await serve(handler)
    ahead, other = await served.connect(), await served.connect()
    requests = post(b"/first", b"") + post(b"/ahead", b"") * 200
    ahead.send(requests)
    await served.received(len(requests))
    other.send(post(b"/other", b""))
    begun.set()
    await until(lambda: len(turns) == 202)
    assert turns.index(b"/other") < 201


async def test_a_request_sent_ahead_of_a_handler_that_was_cancelled_is_answered(
    serve: Serve,
) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(200, (), request.raw_path)
        if request.raw_path == b"/stays":
            await asyncio.Event().wait()

    served = await serve(handler)
    client = await served.connect()
    client.send(post(b"/stays", b"") + post(b"/next", b""))
    await client.read_until(b"/stays")
    (task,) = served.server.tasks
    task.cancel()
    await client.read_until(b"/next")


async def test_a_connection_leaves_no_task_behind(serve: Serve) -> None:
    served = await serve(echo)
    client = await served.connect()
    for _ in range(3):
        client.send(post(b"/", b""))
        await client.read_until(b"\r\n\r\n")
    assert len(served.server.tasks) == 1
    await client.close()
    await until(lambda: not served.server.tasks)


async def test_what_is_sent_ahead_is_held_up_to_a_limit(serve: Serve) -> None:
    held = Held()
    served = await serve(held, ServerLimits(pipelined_bytes_max=100_000))
    client = await served.connect()
    client.send(post(b"/", b"a" * 50_000) * 200)
    await until(lambda: len(held.requests) == 1)
    await until(lambda: served.server.counters.bytes_received > 100_000)
    for _ in range(200):
        await asyncio.sleep(0)
    # One read of the socket may go over the limit; asyncio reads 256 KiB at most.
    assert served.server.counters.bytes_received < 100_000 + 2 * 256 * 1024
    held.go.set()
    for _ in range(200):
        await client.read_until(b"\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            await client.reader.readexactly(50_000)


async def test_a_client_that_sent_too_far_ahead_of_its_last_answer_is_seen_closing(
    serve: Serve,
) -> None:
    held = Held()
    served = await serve(held, ServerLimits(pipelined_bytes_max=10_000))
    client = await served.connect()
    client.send(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    await until(lambda: len(held.requests) == 1)
    client.send(b"a" * 20_000)
    await served.received(20_000)
    held.go.set()
    assert status(await client.read_all()) == 200
    await client.close()
    await until(lambda: served.server.counters.connections_now == 0)


@pytest.mark.parametrize("after", [post(b"/after", b""), b"BAD\r\n\r\n"], ids=["good", "bad"])
async def test_what_is_sent_ahead_of_a_long_answer_does_not_cost_its_client_that_answer(
    after: bytes, serve: Serve
) -> None:
    async def handler(request: HttpRequest, responder: HttpResponder) -> None:
        responder.respond(200, (), b"a" * 16_000_000 if request.raw_path == b"/long" else b"")

    served = await serve(handler, ServerLimits(unread_bytes_max=1_000_000))
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        ahead = post(b"/long", b"") + after * 2
        client.sendall(ahead)
        await served.received(len(ahead))
        for _ in range(50):
            await asyncio.sleep(0)
        client.sendall(after)
        await served.received(len(ahead) + len(after))
        # Nobody who reads nothing for a while is idle, or slow in sending.
        served.pass_time(1)
        served.pass_time(59)
        client.setblocking(False)
        answers, statuses = b"", 2 if after.startswith(b"BAD") else 4
        async with asyncio.timeout(WAIT_S):
            while answers.count(b"HTTP/1.1 ") < statuses:
                answers += await asyncio.get_running_loop().sock_recv(client, 1_000_000)
    assert answers.count(b"a" * 16_000_000) == 1
    assert served.server.counters.aborted_slow_reader == 0


async def test_an_error_after_a_good_request_waits_for_its_answer(serve: Serve) -> None:
    served = await serve()
    answer = await served.ask(post(b"/", b"good") + b"BAD\r\n\r\n")
    first, second = answer.split(b"good")
    assert status(first) == 200
    assert status(second) == 400
    assert b"connection: close\r\n" in second


async def test_a_client_that_waits_to_go_on_is_told_to(serve: Serve) -> None:
    client = await (await serve()).connect()
    head, _, text = post(b"/", b"body", b"Expect: 100-continue").rpartition(b"body")
    assert text == b""
    client.send(head)
    assert await client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"body")
    await client.read_until(b"\r\n\r\n")
    assert await client.reader.readexactly(4) == b"body"


async def test_a_client_that_waits_with_too_large_a_body_is_refused_at_once(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_bytes_max=10))
    client = await served.connect()
    client.send(
        b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n"
    )
    assert status(await client.read_until(b"\r\n\r\n")) == 413


# Refusals.


async def test_a_refusal_is_in_the_words_of_whoever_serves(serve: Serve) -> None:
    seen: list[tuple[HttpRequest | None, CratonError]] = []

    def refuse(request: HttpRequest | None, error: CratonError) -> Any:
        seen.append((request, error))
        return 418, [(b"x-own", b"words")], b"no"

    served = await serve(limits=ServerLimits(body_bytes_max=10), refuse=refuse)
    answer = await served.ask(post(b"/path", b"a" * 11))
    assert status(answer) == 418
    assert b"x-own: words\r\n" in answer
    assert b"connection: close\r\n" in answer
    request, error = seen[0]
    assert request is not None
    assert request.raw_path == b"/path"
    assert "10 bytes" in error.message
    assert served.server.counters.refused == 1
    assert served.server.counters.requests == 0


async def test_a_refused_client_that_is_still_sending_can_read_why(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_bytes_max=10))
    client = await served.connect()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(20):
        client.send(b"a" * 50_000)
        await client.writer.drain()
    assert status(await client.read_all()) == 413


async def test_a_refused_client_that_never_stops_sending_is_cut_off(serve: Serve) -> None:
    limits = ServerLimits(body_bytes_max=10, linger_bytes_max=100_000)
    served = await serve(limits=limits)
    client = await served.connect()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")

    async def send_on() -> None:
        while True:
            client.send(b"a" * 50_000)
            await client.writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_on(), WAIT_S)


async def test_a_refused_client_that_never_closes_is_closed_in_time(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    client.send(b"BAD\r\n\r\n")
    assert status(await client.read_all()) == 400
    served.pass_time(4)
    assert served.server.counters.connections_now == 1
    served.pass_time(2)
    await until(lambda: served.server.counters.connections_now == 0)


async def test_connections_over_the_limit_are_refused_politely_and_then_at_once(
    serve: Serve,
) -> None:
    limits = ServerLimits(connections_max=2, connections_surplus_max=1)
    served = await serve(limits=limits)
    first, _ = await served.connect(), await served.connect()
    polite = await served.connect()
    await until(lambda: served.server.counters.connections_now == 3)
    cut = await served.connect()
    try:
        assert await cut.read_all() == b""
    except ConnectionResetError:
        pass
    assert served.server.counters.connections_cut == 1
    polite.send(GET)
    answer = await polite.read_all()
    assert status(answer) == 503
    assert b"Try again" in answer
    first.send(GET)
    assert status(await first.read_until(b"\r\n\r\n")) == 200


# Time.


async def test_headers_that_trickle_are_refused_in_time(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    start = b"GET / HTTP/1.1\r\nX: "
    client.send(start)
    await served.received(len(start))
    for sent in range(3):
        served.pass_time(3.3)
        client.send(b"T")
        await served.received(len(start) + 1 + sent)
    assert served.server.counters.refused == 0
    served.pass_time(0.2)
    assert status(await client.read_all()) == 408


async def test_a_body_slower_than_the_least_rate_is_refused(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_grace_s=10, body_rate_min=100))
    quick, slow = await served.connect(), await served.connect()
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n"
    quick.send(head + b"a" * 2000)
    slow.send(head + b"a" * 1000)
    await served.received(2 * len(head) + 3000)
    served.pass_time(10)
    assert served.server.counters.refused == 0
    served.pass_time(1)
    assert status(await slow.read_all()) == 408
    assert served.server.counters.refused == 1
    quick.send(b"a" * 8000)
    assert status(await quick.read_until(b"\r\n\r\n")) == 200


async def test_a_body_that_takes_too_long_at_any_rate_is_refused(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_timeout_s=30, body_rate_min=1))
    client = await served.connect()
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n"
    client.send(head + b"a" * 9999)
    await served.received(len(head) + 9999)
    served.pass_time(31)
    assert status(await client.read_all()) == 408


async def test_an_idle_connection_is_closed_without_a_word(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    client.send(GET)
    await client.read_until(b"\r\n\r\n")
    served.pass_time(74)
    client.send(GET)
    await client.read_until(b"\r\n\r\n")
    served.pass_time(74)
    assert served.server.counters.connections_now == 1
    served.pass_time(2)
    assert await client.read_all() == b""
    assert served.server.counters.refused == 0


async def test_a_request_that_runs_long_is_not_idle(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    client = await served.connect()
    client.send(GET)
    await until(lambda: bool(held.requests))
    served.pass_time(10_000)
    held.go.set()
    assert status(await client.read_until(b"\r\n\r\n")) == 200


# Clients that leave or don't read.


@pytest.mark.parametrize("way", ["half-close", "close", "reset"])
async def test_a_client_that_leaves_is_gone_and_the_handler_is_told_once(
    serve: Serve, way: str
) -> None:
    held = Held()
    served = await serve(held)
    client = await served.connect()
    client.send(GET)
    await until(lambda: bool(held.requests))
    _, responder = held.requests[0]
    assert not responder.is_gone
    match way:
        case "half-close":
            client.writer.write_eof()
        case "close":
            client.writer.close()
        case _:
            client.writer.transport.abort()
    await until(lambda: held.gone == 1)
    assert responder.is_gone
    await until(lambda: served.server.counters.connections_now == 0)
    late: list[bool] = []
    responder.on_gone(lambda: late.append(True))
    assert late == [True]
    held.go.set()
    await until(lambda: held.ended == 1)  # its answer goes nowhere, and is no error
    assert held.gone == 1
    assert served.server.counters.aborted_by_client == 1
    assert served.server.counters.internal_errors == 0


async def test_a_client_that_leaves_mid_stream_is_gone(serve: Serve) -> None:
    gone = asyncio.Event()

    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        responder.on_gone(gone.set)
        responder.start(200, ())
        while not responder.is_gone:
            responder.write(b"more")
            await responder.drain()
            await asyncio.sleep(0)
        responder.finish()

    served = await serve(stream)
    client = await served.connect()
    client.send(GET)
    await client.read_until(b"more")
    await client.close()
    async with asyncio.timeout(WAIT_S):
        await gone.wait()
    await until(lambda: served.server.counters.requests_now == 0)
    assert served.server.counters.internal_errors == 0


async def test_a_client_that_leaves_after_its_answer_is_not_counted_gone(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    client.send(GET)
    await client.read_until(b"\r\n\r\n")
    await client.close()
    await until(lambda: served.server.counters.connections_now == 0)
    assert served.server.counters.aborted_by_client == 0


def narrow_socket(port: int) -> socket.socket:
    """A client socket whose system buffer is small, so that not reading is felt soon."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", port))
    return narrow


async def test_a_client_that_does_not_read_holds_the_handler_and_not_our_memory(
    serve: Serve,
) -> None:
    written = 0

    async def stream(request: HttpRequest, responder: HttpResponder) -> None:
        nonlocal written
        responder.start(200, ())
        while written < 64_000_000 and not responder.is_gone:
            responder.write(b"a" * 10_000)
            written += 10_000
            await responder.drain()
        responder.finish()

    served = await serve(stream)
    with narrow_socket(served.port) as client:
        client.sendall(GET)
        await until(lambda: written > 0)
        before = -1
        while before != written:  # until nothing moves any more
            before = written
            for _ in range(50):
                await asyncio.sleep(0)
        assert written < 8_000_000  # what the system's own buffers took, and 64 KiB of ours
        (connection,) = served.server.connections
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 256 * 1024
        served.pass_time(1)
        served.pass_time(59)
        assert served.server.counters.aborted_slow_reader == 0
        served.pass_time(2)
        await until(lambda: served.server.counters.requests_now == 0)
    assert served.server.counters.aborted_slow_reader == 1
    assert served.server.counters.aborted_by_client == 0


async def test_a_handler_that_never_waits_for_a_slow_client_is_cut_off(serve: Serve) -> None:
    async def careless(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        for _ in range(1000):
            if not responder.is_gone:
                responder.write(b"a" * 100_000)
        responder.abort()

    served = await serve(careless, ServerLimits(unread_bytes_max=1_000_000))
    with narrow_socket(served.port) as client:
        client.sendall(GET)
        await until(lambda: served.server.counters.aborted_slow_reader == 1)
    assert served.server.counters.bytes_sent < 16_000_000


# Handlers that fail.


async def test_an_exception_is_a_500_without_detail_and_closes(serve: Serve) -> None:
    async def broken(request: HttpRequest, responder: HttpResponder) -> None:
        raise BadRequest("the secret of the house")

    served = await serve(broken)
    answer = await served.ask(GET)
    assert status(answer) == 500
    assert b"secret" not in answer
    assert b"connection: close\r\n" in answer
    assert served.server.counters.internal_errors == 1


async def test_an_exception_in_a_stream_cuts_it_so_that_it_cannot_seem_whole(serve: Serve) -> None:
    async def broken(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"begun")
        raise RuntimeError

    answer = await (await serve(broken)).ask(GET)
    assert body(answer) == b"5\r\nbegun\r\n"


async def test_a_cut_stream_to_an_http_10_client_is_reset(serve: Serve) -> None:
    async def cut(request: HttpRequest, responder: HttpResponder) -> None:
        responder.start(200, ())
        responder.write(b"begun")
        await asyncio.sleep(0)
        responder.abort()

    served = await serve(cut)
    with pytest.raises(ConnectionResetError):
        await served.ask(b"GET / HTTP/1.0\r\n\r\n")


async def test_a_handler_that_ends_without_an_answer_is_an_internal_error(serve: Serve) -> None:
    seen: list[Exception] = []

    def note(request: HttpRequest, responder: HttpResponder, exception: Exception) -> None:
        seen.append(exception)
        plain_internal_error(request, responder, exception)

    async def silent(request: HttpRequest, responder: HttpResponder) -> None:
        return

    served = await serve(silent, on_internal_error=note)
    assert status(await served.ask(GET)) == 500
    assert "without an answer" in str(seen[0])


# The end.


async def test_closing_lets_running_requests_finish_and_says_so(serve: Serve) -> None:
    held = Held()
    served = await serve(held)
    busy, idle = await served.connect(), await served.connect()
    busy.send(GET)
    await until(lambda: bool(held.requests))
    await until(lambda: served.server.counters.connections_now == 2)
    closing = asyncio.create_task(served.server.close(WAIT_S))
    assert await idle.read_all() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port)
    held.go.set()
    answer = await busy.read_all()
    assert status(answer) == 200
    assert b"connection: close\r\n" in answer
    await closing


async def test_closing_waits_for_a_request_that_is_still_coming(serve: Serve) -> None:
    served = await serve()
    client = await served.connect()
    data = post(b"/", b"body")
    client.send(data[:-1])
    await served.received(len(data) - 1)
    closing = asyncio.create_task(served.server.close(WAIT_S))
    await until(lambda: served.server.is_closing)
    client.send(data[-1:])
    assert body(await client.read_all()) == b"body"
    await closing


async def test_closing_cuts_off_what_does_not_finish_and_tells_it(serve: Serve) -> None:
    class Stubborn(Held):
        async def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
            responder.on_gone(self.go.set)
            await super().__call__(request, responder)

    held = Stubborn()
    served = await serve(held)
    client = await served.connect()
    client.send(GET)
    await until(lambda: bool(held.requests))
    await served.server.close(0)
    assert held.ended == 1
    assert served.server.counters.aborted_by_client == 0
    assert served.server.counters.connections_now <= 1
    assert isinstance(client, RawClient)
