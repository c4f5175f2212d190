"""CPU microseconds a request costs in the HTTP server, and in server and client when it forwards.

    .venv/bin/python benchmarks/micro/http_server.py
    .venv/bin/python benchmarks/micro/http_server.py --port 9000 --pid 4711   # any other server

The server runs in a process of its own and only its CPU time is counted, user and system, so
other work on the machine and the cost of making the load don't show. The file isn't called
`http.py` since a script's folder comes first on the import path and would hide Python's `http`.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import time
from pathlib import Path

import uvloop

from craton.http import HttpClient, HttpRequest, HttpResponder, HttpServer, Origin, Replay

BODY = b"x" * 1024
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8400\r\n"
    b"accept: application/json\r\naccept-encoding: gzip, deflate\r\nconnection: keep-alive\r\n"
    b"user-agent: OpenAI/Python 3.54.0\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer sk-craton-0123456789abcdef\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def serve(listening: socket.socket, upstream_port: int | None) -> None:
    """A server process: echo, or forward to an echo."""

    async def run() -> None:
        client = HttpClient()
        origin = Origin("http", "127.0.0.1", upstream_port or 0)

        async def echo(request: HttpRequest, responder: HttpResponder) -> None:
            responder.respond(200, [(b"content-type", b"application/json")], request.body)

        async def forward(request: HttpRequest, responder: HttpResponder) -> None:
            answer = await client.request(
                "POST", origin, "/v1", (), request.body, replay=Replay.UNANSWERED
            )
            body = await answer.read(1 << 20)
            responder.respond(answer.status, [(b"content-type", b"application/json")], body)

        await HttpServer(echo if upstream_port is None else forward).start(listening)
        await asyncio.Event().wait()

    uvloop.run(run())


class Load(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    done = 0

    def __init__(self) -> None:
        self._expected = 0
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(REQUEST)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if not self._expected:  # every answer of a server has the same length
            self._expected = data.index(b"\r\n\r\n") + 4 + len(BODY)
        if self._received >= self._expected:
            self._received = 0
            Load.done += 1
            self._transport.write(REQUEST)  # type: ignore[attr-defined]


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def measure(name: str, port: int, pid: int, *, connections: int, seconds: float) -> float:
    """Load a server; print and return CPU microseconds a request."""
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_connection(Load, "127.0.0.1", port))[0] for _ in range(connections)
    ]
    await asyncio.sleep(0.5)
    started, before, used = time.perf_counter(), Load.done, cpu_s(pid)
    await asyncio.sleep(seconds)
    count, elapsed = Load.done - before, time.perf_counter() - started
    each_us = (cpu_s(pid) - used) / count * 1e6
    for transport in transports:
        transport.abort()
    print(
        f"{name:10} {connections:4} connections  {each_us:6.1f} us CPU/request"
        f"  {1e6 / each_us:7.0f} requests/s a core  (seen: {count / elapsed:.0f}/s)"
    )
    return each_us


def start(upstream_port: int | None) -> tuple[int, multiprocessing.process.BaseProcess]:
    """Start a server process; its port and itself."""
    listening = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(listening, upstream_port), daemon=True
    )
    process.start()
    return listening.getsockname()[1], process


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--port", type=int, help="measure the server that listens here")
    options.add_argument("--pid", type=int, help="its process")
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--connections", type=int, default=32)
    chosen = options.parse_args()
    load = {"connections": chosen.connections, "seconds": chosen.seconds}
    if chosen.port:
        uvloop.run(measure("other", chosen.port, chosen.pid, **load))
        return
    echo_port, echo = start(None)
    forward_port, forward = start(echo_port)
    assert echo.pid is not None
    assert forward.pid is not None
    alone = uvloop.run(measure("echo", echo_port, echo.pid, **load))
    both = uvloop.run(measure("forward", forward_port, forward.pid, **load))
    print(f"the client's share of forwarding: {both - alone:.1f} us")
    echo.kill()
    forward.kill()


if __name__ == "__main__":
    main()
