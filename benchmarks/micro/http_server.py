"""CPU microseconds a request costs in the HTTP server, and in server and client when it forwards.

    .venv/bin/python benchmarks/micro/http_server.py
    .venv/bin/python benchmarks/micro/http_server.py --port 9000 --pid 4711   # beside another

The server runs in a process of its own and only its CPU time is counted, user and system, so
other work on the machine and the cost of making the load don't show. The file isn't called
`http.py` since a script's folder comes first on the import path and would hide Python's `http`.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
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


async def measure(port: int, pid: int, *, connections: int, seconds: float) -> float:
    """Load a server; CPU microseconds a request."""
    loop = asyncio.get_running_loop()
    warm = Load.done + 1000
    transports = [
        (await loop.create_connection(Load, "127.0.0.1", port))[0] for _ in range(connections)
    ]
    async with asyncio.timeout(30):
        while Load.done < warm:  # the process may still be importing
            await asyncio.sleep(0.05)
    before, used = Load.done, cpu_s(pid)
    await asyncio.sleep(seconds)
    count, used = Load.done - before, cpu_s(pid) - used
    for transport in transports:
        transport.abort()
    return used / count * 1e6


def compare(servers: dict[str, tuple[int, int]], options: argparse.Namespace) -> None:
    """Measure servers in turn, several times over; print the least and the median of each."""
    measured: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(options.rounds):
        for name, (port, pid) in servers.items():
            once = measure(port, pid, connections=options.connections, seconds=options.seconds)
            measured[name].append(uvloop.run(once))
    for name, each_us in measured.items():
        least, median = min(each_us), statistics.median(each_us)
        print(
            f"{name:8} {least:6.1f} us CPU/request at least, {median:6.1f} in the median"
            f"  ({1e6 / least:6.0f} requests/s a core)"
        )


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
    options.add_argument("--port", type=int, help="compare the server that listens here")
    options.add_argument("--pid", type=int, help="its process")
    options.add_argument("--seconds", type=float, default=1.5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--connections", type=int, default=32)
    chosen = options.parse_args()
    echo_port, echo = start(None)
    forward_port, forward = start(echo_port)
    assert echo.pid is not None
    assert forward.pid is not None
    servers = {"echo": (echo_port, echo.pid), "forward": (forward_port, forward.pid)}
    if chosen.port:
        servers["other"] = (chosen.port, chosen.pid)
    compare(servers, chosen)
    echo.kill()
    forward.kill()


if __name__ == "__main__":
    main()
