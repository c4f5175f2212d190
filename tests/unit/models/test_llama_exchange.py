"""One exchange with llama.cpp's server: what comes is handed on at once, and nothing hangs."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from craton.kernel.errors import EngineFailed, EngineTimeout
from craton.models.engines.embedded.llama_exchange import ANSWER_BYTES_MAX, Exchange, ask
from tests.fakes.loops import TimedLoop

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


@asynccontextmanager
async def asked(folder: Path, serve: Serve) -> AsyncGenerator[Exchange]:
    """A question to a server of the test's own."""

    async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await serve(reader, writer)
        writer.close()

    path = folder / "s"
    async with asyncio.timeout(30), await asyncio.start_unix_server(serving, str(path)):
        yield await ask(path, "k", "GET", "/", b"")


async def test_pieces_come_as_they_are_sent_and_the_status_before_them(tmp_path: Path) -> None:
    taken: asyncio.Queue[None] = asyncio.Queue()
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(HEAD)
        for piece in (b"one", b"two", b"three"):
            writer.write(chunk(piece))
            await taken.get()  # the next leaves only when this one has come
        writer.write(END)

    async with asked(tmp_path, serve) as exchange:
        async for data in exchange.body():
            assert exchange.status == 200
            seen.append(data)
            taken.put_nowait(None)
        await exchange.hang_up()
    assert seen == [b"one", b"two", b"three"]


async def test_an_answer_that_breaks_off_fails_after_what_came_of_it(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(HEAD + chunk(b"half"))

    async with asked(tmp_path, serve) as exchange:
        pieces = exchange.body()
        assert await anext(pieces) == b"half"
        with pytest.raises(EngineFailed, match="hung up"):
            await anext(pieces)


async def test_who_wants_no_more_says_so_and_waits_until_the_server_lets_go(tmp_path: Path) -> None:
    order: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"half"))
        assert await reader.read() == b"", "the end of what is asked"
        order.append("let go")

    async with asked(tmp_path, serve) as exchange:
        assert await anext(exchange.body()) == b"half"
        await exchange.hang_up()
        order.append("hung up")
    assert order == ["let go", "hung up"]


async def test_what_is_no_http_is_refused(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"hello\r\n\r\n")

    async with asked(tmp_path, serve) as exchange:
        with pytest.raises(EngineFailed, match="no HTTP"):
            await anext(exchange.body())


async def test_where_nobody_listens_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="doesn't answer"):
        await ask(tmp_path / "none", "k", "GET", "/", b"")


async def test_silence_is_waited_for_so_long_and_a_slow_answer_for_ever() -> None:
    time = TimedLoop()
    exchange = Exchange(time, 10)
    exchange.connection_made(asyncio.Transport())
    exchange.data_received(HEAD)
    pieces = exchange.body()
    for _ in range(5):
        time.advance(7)
        exchange.data_received(chunk(b"slow"))
        assert await anext(pieces) == b"slow"
    time.advance(9)
    next_piece = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    assert not next_piece.done()
    time.advance(1)
    with pytest.raises(EngineTimeout, match="no token for 10 s"):
        await next_piece


async def test_an_answer_without_end_is_refused() -> None:
    exchange = Exchange(asyncio.get_running_loop(), 10)
    exchange.data_received(HEAD)
    piece = chunk(b"x" * (1 << 20))
    for _ in range(ANSWER_BYTES_MAX // (1 << 20)):
        exchange.data_received(piece)
    assert len(await anext(exchange.body())) == ANSWER_BYTES_MAX
    exchange.data_received(piece)
    with pytest.raises(EngineFailed, match="more than"):
        await anext(exchange.body())
