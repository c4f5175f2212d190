import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from craton.http import (
    ClientLimits,
    ConnectFailed,
    ConnectTimeout,
    HttpClient,
    HttpRequest,
    HttpResponder,
    HttpResponse,
    Origin,
    PoolFull,
    Replay,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
    Timeouts,
)
from craton.http.client_connection import ClientConnection
from craton.http.client_pool import OriginPool, connect_over_tcp
from craton.http.limits import ServerLimits
from craton.http.response_reader import ResponseReader
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest, CratonError, EngineTimeout, Throttled, Unavailable

from .conftest import WAIT_S, Serve, until

LIMIT = 1_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Script:
    """A server that answers each request on each connection with bytes a test wrote down.

    An answer of None closes the connection instead; what follows an answer's last byte is up to
    `closes`.
    """

    answers: list[bytes | None]
    closes: bool = False
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        return Origin("http", "127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [
                    line for line in head.split(b"\r\n") if line.startswith(b"content-length")
                ]
                content = await reader.readexactly(int(length[0][16:])) if length else b""
                self.requests.append(head + content)
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@dataclass
class Net:
    client: HttpClient
    clock: ManualClock
    run: Callable[..., Awaitable[Script]]

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        self.client.sweep()


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    servers: list[tuple[asyncio.Server, Script]] = []
    clock = ManualClock()
    client = HttpClient(clock=clock, limits=ClientLimits(connections_max=4, waiting_max=2))

    async def run(*answers: bytes | None, closes: bool = False) -> Script:
        script = Script(list(answers), closes)
        server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
        script.port = server.sockets[0].getsockname()[1]
        servers.append((server, script))
        return script

    yield Net(client, clock, run)
    client.close()
    for server, script in servers:
        server.close()
        for writer in script.writers:
            writer.close()
    await until(lambda: client.counters.connections_now == 0)
    for server, _ in servers:
        await server.wait_closed()


def ok(body: bytes, *lines: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def get(net: Net, script: Script, **options: Any) -> bytes:
    async with asyncio.timeout(WAIT_S):
        response = await net.client.request("GET", script.origin, "/", **options)
        return await response.read(LIMIT)


async def piece(response: HttpResponse) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await anext(response)


# Requests and answers.


async def test_a_request_has_host_and_length_and_its_path_as_given(net: Net) -> None:
    script = await net.run(ok(b"hello", b"X-A: 1"), ok(b""))
    response = await net.client.request(
        "POST", script.origin, "/a%2Fb?c", [(b"x-b", b"2")], b"body", timeouts=Timeouts()
    )
    assert response.status == 200
    assert response.headers.get(b"x-a") == b"1"
    assert await response.read(LIMIT) == b"hello"
    host = f"host: 127.0.0.1:{script.port}\r\n".encode()
    expected = b"POST /a%2Fb?c HTTP/1.1\r\n" + host + b"x-b: 2\r\ncontent-length: 4\r\n\r\nbody"
    await get(net, script)
    assert script.requests == [expected, b"GET / HTTP/1.1\r\n" + host + b"\r\n"]
    assert script.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b'2;a="b"\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trail: 1\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok(b"hello"),
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["chunks with extensions and trailers", "interim answers first", "no reason phrase"],
)
async def test_framed_answers_are_read_in_any_pieces_and_the_connection_stays(
    net: Net, answer: bytes
) -> None:
    script = await net.run(*[answer] * 2)
    assert await get(net, script) == b"hello"
    assert await get(net, script) == b"hello"
    assert script.connections == 1
    for cut in range(len(answer)):
        reader = ResponseReader(ClientLimits())
        reader.feed(answer[:cut])
        reader.feed(answer[cut:])
        assert (reader.status, b"".join(reader.pieces), reader.is_whole) == (200, b"hello", True)
        assert reader.is_reusable
        assert reader.headers.get(b"x-trail") is None


async def test_an_answer_without_length_ends_with_its_connection(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 200 OK\r\n\r\nhello", closes=True)
    assert await get(net, script) == b"hello"


async def test_statuses_without_body_and_answers_to_head_have_none(net: Net) -> None:
    script = await net.run(
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ok(b"next"),
    )
    assert await get(net, script) == b""
    assert await get(net, script) == b""
    assert script.connections == 1
    response = await net.client.request("HEAD", script.origin, "/")
    assert await response.read(LIMIT) == b""
    assert response.headers.get(b"content-length") == b"5"
    assert await get(net, script) == b"next"


async def test_a_connection_that_says_close_is_not_used_again(net: Net) -> None:
    script = await net.run(ok(b"one", b"Connection: close"), ok(b"two"))
    assert await get(net, script) == b"one"
    assert await get(net, script) == b"two"
    assert script.connections == 2


async def test_an_answer_followed_by_another_that_nobody_asked_for_poisons_nothing(
    net: Net,
) -> None:
    script = await net.run(ok(b"one") + ok(b"forged"), ok(b"two"))
    assert await get(net, script) == b"one"
    assert await get(net, script) == b"two"
    assert script.connections == 2


async def test_an_error_status_is_an_answer(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 529 Busy\r\nContent-Length: 2\r\n\r\nno")
    response = await net.client.request("GET", script.origin, "/")
    assert (response.status, await response.read(LIMIT)) == (529, b"no")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ],
)
async def test_a_cut_answer_gives_what_came_and_then_says_it_is_broken(
    net: Net, answer: bytes
) -> None:
    script = await net.run(answer, closes=True)
    response = await net.client.request("GET", script.origin, "/")
    assert await piece(response) == b"short"
    with pytest.raises(ResponseBroken):
        await piece(response)
    assert net.client.counters.broken == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 20",
        b"NOT HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    ],
)
async def test_what_is_not_a_readable_answer_is_broken_before_its_body(
    net: Net, answer: bytes
) -> None:
    script = await net.run(answer, closes=True)
    with pytest.raises(ResponseBroken):
        await net.client.request("GET", script.origin, "/")


async def test_an_answer_over_the_readers_limit_is_refused(net: Net) -> None:
    script = await net.run(ok(b"hello"))
    response = await net.client.request("GET", script.origin, "/")
    with pytest.raises(ResponseTooLarge):
        await response.read(4)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/a\nb", "a", "/é"])
async def test_a_path_that_would_forge_a_request_is_our_fault(net: Net, path: str) -> None:
    script = await net.run()
    with pytest.raises(ValueError, match="blank or a line break"):
        await net.client.request("GET", script.origin, path)
    with pytest.raises(ValueError, match="line break"):
        await net.client.request("GET", script.origin, "/", [(b"a", b"b\r\nc: d")])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a:8000/v1", "http://a:8000"),
        ("https://a", "https://a"),
        ("http://a:80", "http://a"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origins_are_read_from_urls(url: str, shown: str) -> None:
    assert str(Origin.parse(url)) == shown


@pytest.mark.parametrize(
    "url", ["a:80", "ftp://a", "http://", "http://a:x", "http://[a", "http://é"]
)
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="http"):
        Origin.parse(url)


# Reuse.


async def test_a_connection_that_the_server_closed_while_idle_is_noticed_before_use(
    net: Net,
) -> None:
    script = await net.run(ok(b"one"), ok(b"two"))
    assert await get(net, script) == b"one"
    script.writers[0].close()
    await script.writers[0].wait_closed()
    net.clock.advance(seconds=0.1)  # no sweep: only the time that the connection has been idle
    assert await get(net, script) == b"two"
    assert len(script.requests) == 2
    assert net.client.counters.replayed == 0


async def test_an_idle_connection_is_not_kept_longer_than_servers_keep_it(net: Net) -> None:
    script = await net.run(ok(b"one"), ok(b"two"))
    await get(net, script)
    net.pass_time(4.5)
    await until(lambda: net.client.counters.connections_now == 0)
    await get(net, script)
    assert script.connections == 2


async def test_a_request_unanswered_on_a_used_connection_is_replayed_only_if_allowed(
    net: Net,
) -> None:
    script = await net.run(ok(b"one"), None, ok(b"two"), None, ok(b"three"))
    assert await get(net, script) == b"one"
    assert await get(net, script, replay=Replay.UNANSWERED) == b"two"
    assert net.client.counters.replayed == 1
    with pytest.raises(ResponseBroken):
        await get(net, script)
    assert net.client.counters.replayed == 1


async def test_a_replay_goes_over_a_new_connection_and_not_another_idle_one(net: Net) -> None:
    script = await net.run(b"", b"", None, ok(b"again"))
    both = [asyncio.create_task(get(net, script)) for _ in range(2)]
    await until(lambda: len(script.requests) == 2)
    for writer in script.writers:
        writer.write(ok(b"first"))
    await asyncio.gather(*both)
    assert await get(net, script, replay=Replay.UNANSWERED) == b"again"
    assert script.connections == 3


async def test_a_connection_answered_before_all_was_sent_is_not_used_again(net: Net) -> None:
    connections = 0

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"enough"))
        await until(lambda: connections == 2)
        writer.close()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
    for body in (b"a" * 30_000_000, b""):
        response = await net.client.request("POST", origin, "/", (), body)
        assert await response.read(LIMIT) == b"enough"
    assert connections == 2
    server.close()
    await server.wait_closed()


async def test_a_request_unanswered_on_a_new_connection_is_not_replayed(net: Net) -> None:
    script = await net.run(None, ok(b"two"))
    with pytest.raises(ResponseBroken):
        await get(net, script, replay=Replay.UNANSWERED)
    assert len(script.requests) == 1


async def test_a_request_of_which_an_answer_began_is_not_replayed(net: Net) -> None:
    script = await net.run(ok(b"one"), b"HTTP/1.1 2", ok(b"three"))
    await get(net, script)
    asking = asyncio.create_task(get(net, script, replay=Replay.UNANSWERED))
    await until(lambda: len(script.requests) == 2)
    script.writers[0].close()
    with pytest.raises(ResponseBroken):
        await asking
    assert len(script.requests) == 2


async def test_an_answer_left_unread_closes_its_connection(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", ok(b"two"))
    response = await net.client.request("GET", script.origin, "/")
    response.close()
    await until(lambda: net.client.counters.connections_now == 0)
    assert await get(net, script) == b"two"


async def test_a_caller_that_is_cancelled_closes_its_connection(net: Net) -> None:
    script = await net.run(b"")
    asking = asyncio.create_task(get(net, script))
    await until(lambda: len(script.requests) == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: net.client.counters.connections_now == 0)


# Limits and time.


async def test_callers_beyond_the_connections_wait_and_beyond_the_queue_are_refused(
    net: Net,
) -> None:
    script = await net.run(*[b""] * 4, ok(b"fifth"), ok(b"sixth"))
    asking = [asyncio.create_task(get(net, script)) for _ in range(6)]
    await until(lambda: len(script.requests) == 4)
    with pytest.raises(PoolFull) as full:
        await get(net, script)
    assert isinstance(full.value, Throttled)
    script.writers[0].write(ok(b"first"))  # its connection goes on to the fifth caller
    script.writers[1].close()  # its place goes to the sixth
    await until(lambda: len(script.requests) == 6)
    assert script.connections == 5
    for writer in script.writers[2:4]:
        writer.write(ok(b"late"))
    results = await asyncio.gather(*asking, return_exceptions=True)
    broken = [result for result in results if isinstance(result, ResponseBroken)]
    assert len(broken) == 1
    assert sorted(result for result in results if isinstance(result, bytes)) == [
        b"fifth",
        b"first",
        b"late",
        b"late",
        b"sixth",
    ]


async def test_a_wait_for_a_connection_ends_in_time(net: Net) -> None:
    script = await net.run(*[b""] * 4)
    asking = [asyncio.create_task(get(net, script)) for _ in range(5)]
    await until(lambda: len(script.requests) == 4)
    for _ in range(5):
        await asyncio.sleep(0)
    net.pass_time(5.5)
    with pytest.raises(ConnectTimeout):
        await asking[4]
    for task in asking[:4]:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_a_caller_that_gives_up_as_it_is_given_a_connection_passes_it_on(net: Net) -> None:
    script = await net.run(ok(b"one"))
    pool = OriginPool(
        script.origin,
        limits=ClientLimits(connections_max=1),
        counters=net.client.counters,
        clock=net.clock,
        connect=connect_over_tcp,
        ssl_context=None,
    )
    connection = await pool.take(Timeouts())
    waiting = [asyncio.create_task(pool.take(Timeouts())) for _ in range(2)]
    await asyncio.sleep(0)
    pool.release(connection)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert await asyncio.wait_for(waiting[1], WAIT_S) is connection
    connection.close()
    await until(lambda: net.client.counters.connections_now == 0)
    (await asyncio.wait_for(pool.take(Timeouts()), WAIT_S)).close()


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_connection_taken_over_before_its_last_caller_woke_is_left_alone(
    net: Net, is_cancelled: bool
) -> None:
    script = await net.run(b"", ok(b"two"))
    first = asyncio.create_task(get(net, script))
    await until(lambda: len(script.requests) == 1)
    (pool,) = net.client._pools.values()
    (connection,) = pool._all
    second = asyncio.create_task(get(net, script))  # stands in the loop's queue before `first`
    connection.data_received(ok(b"one"))
    if is_cancelled:
        first.cancel()
    assert await asyncio.wait_for(second, WAIT_S) == b"two"
    assert script.connections == 1
    results = await asyncio.gather(first, return_exceptions=True)
    assert is_cancelled or results == [b"one"]


async def test_headers_that_do_not_come_time_out(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 200 OK\r\n")
    asking = asyncio.create_task(get(net, script, timeouts=Timeouts(headers_s=10)))
    await until(lambda: len(script.requests) == 1)
    for _ in range(5):
        await asyncio.sleep(0)
    net.pass_time(9)
    assert not asking.done()
    net.pass_time(11)
    with pytest.raises(ResponseTimeout, match="No answer began within 10 s") as late:
        await asking
    assert isinstance(late.value, EngineTimeout)


async def test_a_body_that_pauses_too_long_times_out(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    response = await net.client.request(
        "GET", script.origin, "/", timeouts=Timeouts(headers_s=1, idle_s=10)
    )
    assert await piece(response) == b"half"
    net.pass_time(9)
    script.writers[0].write(b"more")
    assert await piece(response) == b"more"
    net.pass_time(9)
    net.pass_time(2)
    with pytest.raises(ResponseTimeout, match="paused"):
        await piece(response)


async def test_a_body_that_never_ends_times_out_in_total(net: Net) -> None:
    script = await net.run(b"HTTP/1.1 200 OK\r\n\r\n.")
    response = await net.client.request(
        "GET", script.origin, "/", timeouts=Timeouts(idle_s=10, total_s=35)
    )
    for _ in range(4):
        assert await piece(response) == b"."
        net.pass_time(8)
        script.writers[0].write(b".")
    assert await piece(response) == b"."
    net.pass_time(8)
    with pytest.raises(ResponseTimeout, match="not whole after 35 s"):
        await piece(response)


async def test_nobody_listening_is_a_failed_connect(net: Net) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectFailed) as failed:
        await net.client.request("GET", Origin("http", "127.0.0.1", port), "/")
    assert isinstance(failed.value, Unavailable)
    assert str(port) in failed.value.message


async def test_a_connect_that_hangs_times_out_and_gives_its_place_back() -> None:
    tries = 0

    async def hang(*_: object) -> ClientConnection:
        nonlocal tries
        tries += 1
        await asyncio.Event().wait()
        raise AssertionError

    client = HttpClient(connect=hang, limits=ClientLimits(connections_max=1))
    for _ in range(2):
        with pytest.raises(ConnectTimeout):
            await client.request(
                "GET", Origin("http", "a", 1), "/", timeouts=Timeouts(connect_s=0.01)
            )
    assert tries == 2
    client.close()


async def test_closing_the_client_breaks_answers_and_waits(net: Net) -> None:
    script = await net.run(*[b""] * 4)
    asking = [asyncio.create_task(get(net, script)) for _ in range(5)]
    await until(lambda: len(script.requests) == 4)
    for _ in range(5):
        await asyncio.sleep(0)
    net.client.close()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(result, CratonError) for result in results)


# With our own server at the other end.


async def test_a_reader_that_is_slow_slows_the_server_and_holds_little(serve: Serve) -> None:
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
    client = HttpClient(clock=served.clock)
    response = await client.request("GET", served.origin, "/", timeouts=Timeouts(idle_s=1))
    before = -1
    while before != written:
        before = written
        for _ in range(100):
            await asyncio.sleep(0)
    assert written < 16_000_000
    assert response._buffered_bytes < 1_000_000
    served.clock.advance(seconds=30)
    client.sweep()  # it is our reader that is slow, not the server
    assert client.counters.timeouts == 0
    read = 0
    async for data in response:
        read += len(data)
    assert read == written == 64_000_000
    client.close()
    await until(lambda: client.counters.connections_now == 0)


async def test_a_hundred_requests_at_once_share_few_connections(serve: Serve) -> None:
    served = await serve()
    client = HttpClient(limits=ClientLimits(connections_max=10))

    async def ask(number: int) -> bytes:
        response = await client.request("POST", served.origin, "/", (), b"%d" % number)
        return await response.read(LIMIT)

    answers = await asyncio.gather(*[ask(number) for number in range(100)])
    assert answers == [b"%d" % number for number in range(100)]
    assert served.server.counters.connections == 10
    client.close()
    await until(lambda: client.counters.connections_now == 0)


async def test_an_early_refusal_of_a_large_body_is_read(serve: Serve) -> None:
    served = await serve(limits=ServerLimits(body_bytes_max=1000))
    client = HttpClient()
    response = await client.request("POST", served.origin, "/", (), b"a" * 2_000_000)
    assert response.status == 413
    assert b"1000 bytes" in await response.read(LIMIT)
    client.close()
    await until(lambda: client.counters.connections_now == 0)
