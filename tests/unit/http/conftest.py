"""A server on a real loopback socket, under both event loops, with a clock that tests move."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from craton.http import Handler, HttpRequest, HttpResponder, HttpServer, Origin, ServerLimits
from craton.kernel.clock import ManualClock

WAIT_S = 5


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:
    # Their transports differ (uvloop's coalesce writes and are no asyncio.Transport), so both run.
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


async def until(happened: Callable[[], bool]) -> None:
    """Let the loop turn until something is so, for a bounded time."""
    async with asyncio.timeout(WAIT_S):
        while not happened():
            await asyncio.sleep(0)


@dataclass
class RawClient:
    """A client that writes whatever bytes a test wants."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_until(self, end: bytes) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readuntil(end)

    async def read_all(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:  # the server reset it, which is what some tests are about
            pass


@dataclass
class Served:
    server: HttpServer
    port: int
    clock: ManualClock
    clients: list[RawClient] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        return Origin("http", "127.0.0.1", self.port)

    async def connect(self, **options: Any) -> RawClient:
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> bytes:
        """Send bytes on a new connection; everything that comes back until it closes."""
        client = await self.connect()
        client.send(data)
        return await client.read_all()

    async def received(self, count: int) -> None:
        await until(lambda: self.server.counters.bytes_received >= count)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        self.server.sweep()


async def echo(request: HttpRequest, responder: HttpResponder) -> None:
    responder.respond(200, [(b"x-path", request.raw_path)], request.body)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(
        handler: Handler = echo,
        limits: ServerLimits | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        **options: Any,
    ) -> Served:
        clock = ManualClock()
        server = HttpServer(handler, limits=limits, clock=clock, **options)
        listening = socket.create_server(("127.0.0.1", 0))
        await server.start(listening, ssl_context=ssl_context)
        served = Served(server, listening.getsockname()[1], clock)
        running.append(served)
        return served

    yield start
    for served in running:
        for client in served.clients:
            await client.close()
        await served.server.close(0)
        await until(lambda served=served: served.server.counters.connections_now == 0)
