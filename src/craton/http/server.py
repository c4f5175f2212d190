"""The HTTP server of one process: accepts from a given socket and hands requests to one handler."""

import asyncio
import socket
import ssl
from email.utils import formatdate

from craton.http.connection import Http1Connection
from craton.http.counters import ServerCounters
from craton.http.limits import ServerLimits
from craton.http.message import Handler, HeaderPairs, OnInternalError, Refuse
from craton.http.outbox import Outbox
from craton.http.refusal import plain_internal_error, plain_refusal
from craton.http.server_state import ServerConnection
from craton.kernel.clock import Clock, SystemClock

BACKLOG = 2048
ABORT_WAIT_S = 1.0
"""How long handlers have, after their clients were cut off, to put their affairs in order."""


class HttpServer:
    """Serves HTTP/1.1 and HTTP/2 until `close`. One for each process; workers share the socket.

    A connection's first bytes decide its version (or ALPN, with TLS).

    Timeouts are found by one periodic `sweep`, not by a timer a request, so they are exact to
    `limits.sweep_interval_s`. A test moves the clock and calls `sweep` itself.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
        refuse: Refuse = plain_refusal,
        on_internal_error: OnInternalError = plain_internal_error,
        counters: ServerCounters | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or ServerLimits()
        self.clock = clock or SystemClock()
        self.refuse = refuse
        self.on_internal_error = on_internal_error
        self.counters = counters or ServerCounters()
        self.outbox = Outbox()
        self.connections: set[ServerConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_closing = False
        self.standing_headers = b""
        self.standing_pairs: HeaderPairs = ()
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._date_s: int = 0
        self._quiet = asyncio.Event()

    async def start(
        self, listening: socket.socket, *, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        """Accept connections from a bound socket, which may be shared with other processes."""
        assert self._listener is None, "the server was started before"
        loop = asyncio.get_running_loop()
        self._tick(loop)
        self._listener = await loop.create_server(
            lambda: Http1Connection(self, loop),
            sock=listening,
            backlog=BACKLOG,
            ssl=ssl_context,
            ssl_handshake_timeout=None if ssl_context is None else self.limits.head_timeout_s,
            ssl_shutdown_timeout=None if ssl_context is None else self.limits.linger_timeout_s,
        )

    def sweep(self) -> None:
        """End what has taken too long, and set the Date header's second."""
        now_s = self.clock.now_ns() // 1_000_000_000
        if now_s != self._date_s:
            self._date_s = now_s
            date = formatdate(now_s, usegmt=True)
            self.standing_headers = f"server: craton\r\ndate: {date}\r\n".encode()
            self.standing_pairs = ((b"server", b"craton"), (b"date", date.encode()))
        now_ns = self.clock.monotonic_ns()
        for connection in list(self.connections):
            connection.sweep(now_ns)

    async def close(self, grace_s: float) -> None:
        """Stop accepting, let running requests finish for `grace_s` seconds, then cut them off.

        A handler whose client is cut off hears it by `on_gone`; one that still runs a second
        later is cancelled.
        """
        if self._listener is None:
            return
        self.is_closing = True
        self._listener.close()
        for connection in list(self.connections):
            connection.shut()
        self.note_closed()
        try:
            async with asyncio.timeout(grace_s):
                await self._quiet.wait()
                while self.tasks:
                    await asyncio.wait(self.tasks)
        except TimeoutError:
            for connection in list(self.connections):
                if connection.is_open:
                    connection.abort()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=ABORT_WAIT_S)
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Lingering clients were answered and told; a process that ends can't wait for them all.
        for connection in list(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
        await self._listener.wait_closed()

    def note_closed(self) -> None:
        """A connection takes no more requests; when the last one doesn't, `close` goes on."""
        if self.is_closing and not any(connection.is_open for connection in self.connections):
            self._quiet.set()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep()
        self._timer = loop.call_later(self.limits.sweep_interval_s, self._tick, loop)
