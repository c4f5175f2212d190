"""WebSocket connections over real sockets: handshakes, limits, silence, and how each one ends."""

import asyncio
from typing import Any

import pytest

from craton.http import HttpRequest, HttpResponder, ServerLimits
from craton.http.websocket import Ending, WebSocket, WebSocketLimits, open_websocket
from craton.http.websocket_frames import CloseCode, Opcode
from craton.kernel.errors import CratonError
from tests.unit.http.conftest import RawClient, Serve, Served, until
from tests.unit.http.test_websocket_frames import masked

HANDSHAKE = (
    b"GET /talk HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MESSAGE = Opcode.TEXT


class Talk:
    """A handler that gives back each message, or waits, or does what else a test wants."""

    def __init__(self, limits: WebSocketLimits | None = None) -> None:
        self.limits = limits
        self.sockets: list[WebSocket] = []
        self.gate: asyncio.Event | None = None
        self.received: list[bytes] = []
        self.gone = 0
        self.ended: list[Ending | None] = []

    async def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        try:
            websocket = open_websocket(request, responder, limits=self.limits)
        except CratonError as error:
            responder.respond(400, (), error.message.encode())
            return
        self.sockets.append(websocket)
        websocket.on_gone = self._note_gone
        while (text := await websocket.receive()) is not None:
            self.received.append(text)
            if self.gate is not None:
                await self.gate.wait()
            websocket.send(b"<" + text + b">")
            await websocket.drain()
        self.ended.append(websocket.ending)
        websocket.close(CloseCode.GOING_AWAY, "it is over")

    def _note_gone(self) -> None:
        self.gone += 1


async def connect(served: Served) -> RawClient:
    client = await served.connect()
    client.send(HANDSHAKE)
    head = await client.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return client


async def read_frame(client: RawClient) -> tuple[int, bytes]:
    async with asyncio.timeout(5):
        first, size = await client.reader.readexactly(2)
        if size >= 126:
            length = await client.reader.readexactly(2 if size == 126 else 8)
            size = int.from_bytes(length, "big")
        return first & 0xF, await client.reader.readexactly(size)


async def read_close(client: RawClient) -> tuple[int, bytes]:
    opcode, payload = await read_frame(client)
    assert opcode == Opcode.CLOSE
    return int.from_bytes(payload[:2], "big"), payload[2:]


async def test_a_handshake_is_answered_as_the_standard_has_it(serve: Serve) -> None:
    served = await serve(Talk())
    client = await served.connect()
    client.send(HANDSHAKE)
    head = await client.read_until(b"\r\n\r\n")
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"\r\nupgrade: websocket\r\n" in head
    assert b"\r\nconnection: upgrade\r\n" in head
    assert b"content-length" not in head


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"upgrade: WebSocket", b"upgrade: h2c", b"opens a WebSocket"),
        (b", Upgrade", b"", b"opens a WebSocket"),
        (b"version: 13", b"version: 8", b"version of WebSocket"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhl", b"16 random bytes"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"!", b"16 random bytes"),
    ],
)
async def test_what_is_no_handshake_is_refused_and_http_goes_on(
    serve: Serve, old: bytes, new: bytes, told: bytes
) -> None:
    served = await serve(Talk())
    client = await served.connect()
    for _ in range(2):
        client.send(HANDSHAKE.replace(old, new))
        head = await client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert told in await client.reader.readexactly(size)


async def test_messages_are_answered_one_after_the_other(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk)
    client = await connect(served)
    talk.gate = asyncio.Event()
    client.send(masked(MESSAGE, b"one") + masked(MESSAGE, b"two") + masked(MESSAGE, b"x" * 70000))
    await until(lambda: talk.received == [b"one"])
    talk.gate.set()
    answers = [await read_frame(client) for _ in range(3)]
    assert answers == [
        (MESSAGE, b"<one>"),
        (MESSAGE, b"<two>"),
        (MESSAGE, b"<" + b"x" * 70000 + b">"),
    ]
    assert served.server.counters.body_bytes_now == 0


async def test_a_ping_is_answered_while_the_handler_works(serve: Serve) -> None:
    talk = Talk()
    client = await connect(await serve(talk))
    talk.gate = asyncio.Event()
    client.send(masked(MESSAGE, b"one") + masked(Opcode.PING, b"there?"))
    assert await read_frame(client) == (Opcode.PONG, b"there?")
    talk.gate.set()


async def test_a_client_that_closes_is_gone_and_gets_its_code_back(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk)
    client = await connect(served)
    talk.gate = asyncio.Event()
    client.send(masked(MESSAGE, b"one"))
    await until(lambda: talk.received == [b"one"])
    client.send(masked(Opcode.CLOSE, (3001).to_bytes(2, "big")))
    assert await read_close(client) == (3001, b"")
    assert await client.read_all() == b""
    assert (talk.gone, talk.ended) == (1, [])
    talk.gate.set()
    await until(lambda: talk.ended == [Ending.CLIENT])
    await until(lambda: served.server.counters.connections_now == 0)


async def test_a_client_that_vanishes_is_gone(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk)
    client = await connect(served)
    client.send(masked(MESSAGE, b"never whole")[:5])
    await until(lambda: served.server.counters.body_bytes_now > 0)
    await client.close()
    await until(lambda: talk.ended == [Ending.CLIENT])
    assert (talk.gone, served.server.counters.body_bytes_now) == (1, 0)
    assert not served.server.connections


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", CloseCode.PROTOCOL_ERROR),
        (masked(MESSAGE, b"x" * 2001)[:8], CloseCode.TOO_BIG),
        (masked(Opcode.BINARY, b"{}"), CloseCode.UNSUPPORTED_DATA),
        (masked(MESSAGE, b"\xff"), CloseCode.INVALID_DATA),
        (masked(MESSAGE, b"x") * 4, CloseCode.POLICY_VIOLATION),
    ],
)
async def test_what_breaks_a_rule_or_a_limit_ends_the_connection_with_its_code(
    serve: Serve, data: bytes, code: CloseCode
) -> None:
    talk = Talk(WebSocketLimits(message_bytes_max=2000, waiting_max=2))
    served = await serve(talk)
    client = await connect(served)
    talk.gate = asyncio.Event()
    if code is CloseCode.POLICY_VIOLATION:  # one is being handled, and two wait
        client.send(masked(MESSAGE, b"x"))
        await until(lambda: bool(talk.received))
    client.send(data)
    told, reason = await read_close(client)
    assert (told, bool(reason), talk.gone) == (code, True, 1)
    assert await client.read_all() == b""
    # What comes now is thrown away, and not for ever.
    client.send(masked(MESSAGE, b"more"))
    await until(lambda: served.server.counters.bytes_received > len(HANDSHAKE + data))
    assert served.server.counters.connections_now == 1
    served.pass_time(6)
    await until(lambda: served.server.counters.connections_now == 0)
    talk.gate.set()


async def test_unfinished_messages_of_all_connections_are_bounded(serve: Serve) -> None:
    served = await serve(Talk(), ServerLimits(bodies_bytes_max=1000))
    client = await connect(served)
    client.send(masked(MESSAGE, b"x" * 2000)[:1500])
    assert (await read_close(client))[0] == CloseCode.TRY_AGAIN_LATER
    assert served.server.counters.body_bytes_now <= 1500


async def test_a_silent_client_is_asked_and_then_cut_off(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk)
    client = await connect(served)
    served.pass_time(31)
    assert await read_frame(client) == (Opcode.PING, b"")
    client.send(masked(Opcode.PONG, b""))
    received = served.server.counters.bytes_received
    await until(lambda: served.server.counters.bytes_received >= received)
    client.send(masked(MESSAGE, b"here"))
    assert await read_frame(client) == (MESSAGE, b"<here>")
    served.pass_time(74)
    assert await read_frame(client) == (Opcode.PING, b"")
    assert talk.gone == 0
    served.pass_time(2)
    await until(lambda: talk.ended == [Ending.CLIENT])
    assert talk.gone == 1


async def test_a_message_that_takes_too_long_ends_the_connection(serve: Serve) -> None:
    served = await serve(Talk(WebSocketLimits(silence_s=10_000, ping_after_s=10_000)))
    client = await connect(served)
    client.send(masked(MESSAGE, b"slow")[:5])
    await until(lambda: served.server.counters.body_bytes_now > 0)
    served.pass_time(301)
    assert (await read_close(client))[0] == CloseCode.POLICY_VIOLATION


async def test_an_old_connection_finishes_its_message_and_takes_no_more(serve: Serve) -> None:
    talk = Talk(WebSocketLimits(lifetime_s=60))
    served = await serve(talk)
    client = await connect(served)
    talk.gate = asyncio.Event()
    client.send(masked(MESSAGE, b"last") + masked(MESSAGE, b"too late"))
    await until(lambda: talk.received == [b"last"])
    served.pass_time(61)
    talk.gate.set()
    frames = [await read_frame(client) for _ in range(3)]
    assert frames[0] == (Opcode.PING, b"")
    assert frames[1] == (MESSAGE, b"<last>")
    assert frames[2][0] == Opcode.CLOSE
    assert talk.ended == [Ending.AGE]


async def test_a_closing_server_lets_the_message_it_handles_finish(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk)
    idle, busy = await connect(served), await connect(served)
    talk.gate = asyncio.Event()
    busy.send(masked(MESSAGE, b"last"))
    await until(lambda: talk.received == [b"last"])
    closing = asyncio.create_task(served.server.close(5))
    assert await read_close(idle) == (CloseCode.GOING_AWAY, b"it is over")
    talk.gate.set()
    assert await read_frame(busy) == (MESSAGE, b"<last>")
    assert await read_close(busy) == (CloseCode.GOING_AWAY, b"it is over")
    await closing
    assert talk.ended == [Ending.SERVER, Ending.SERVER]


async def test_a_client_that_does_not_read_is_cut_off(serve: Serve) -> None:
    talk = Talk()
    served = await serve(talk, ServerLimits(unread_bytes_max=100_000))
    client = await connect(served)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    talk.gate = asyncio.Event()
    client.send(masked(MESSAGE, b"go"))
    await until(lambda: talk.received == [b"go"])
    (websocket,) = talk.sockets
    for _ in range(1000):
        websocket.send(b"x" * 65536)
        await asyncio.sleep(0)
        if websocket.is_gone:
            break
    assert websocket.is_gone
    assert served.server.counters.aborted_slow_reader == 1
    talk.gate.set()


@pytest.mark.parametrize("others", [0, 1])
async def test_frames_that_come_with_the_handshake_are_not_lost(serve: Serve, others: int) -> None:
    gate = asyncio.Event()
    talk = Talk()

    async def late(request: HttpRequest, responder: HttpResponder) -> None:
        await gate.wait()
        await talk(request, responder)

    served = await serve(late)
    client, *busy = [await served.connect() for _ in range(1 + others)]
    for each in (client, *busy):  # who isn't alone has his 101 kept until the end of the turn
        each.send(HANDSHAKE)
    await until(lambda: served.server.counters.requests_now == 1 + others)
    early = masked(MESSAGE, b"early")
    client.send(early)
    await served.received(len(HANDSHAKE) * (1 + others) + len(early))
    gate.set()
    await client.read_until(b"\r\n\r\n")
    assert await read_frame(client) == (MESSAGE, b"<early>")


async def test_a_client_that_left_before_the_101_breaks_nothing(serve: Serve) -> None:
    gate, talk, told = asyncio.Event(), Talk(), list[Any]()

    async def late(request: HttpRequest, responder: HttpResponder) -> None:
        await gate.wait()
        await talk(request, responder)
        told.append(responder.is_gone)

    served = await serve(late)
    client = await served.connect()
    client.send(HANDSHAKE)
    await until(lambda: served.server.counters.requests_now == 1)
    await client.close()
    await until(lambda: served.server.counters.connections_now == 0)
    gate.set()
    await until(lambda: told == [True])
    assert (talk.sockets, served.server.counters.internal_errors) == ([], 0)
