"""A pooled HTTP/1.1 client: what remote engines and Craton's own programs send requests with.

A request costs no task and no timer of its own: the caller's own task waits, and one periodic
sweep finds what takes too long.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from craton.http.client_connection import HttpResponse, Unanswered
from craton.http.client_pool import Connect, Origin, OriginPool, connect_over_tcp
from craton.http.counters import ClientCounters
from craton.http.limits import ClientLimits, Replay, Timeouts
from craton.http.message import HeaderPairs
from craton.http.response_head import header_lines
from craton.kernel.clock import Clock, SystemClock

TIMEOUTS = Timeouts()
_NEVER = Replay.NEVER


@dataclass(frozen=True, slots=True)
class Target:
    """What requests that differ only in their bodies share, worked out once."""

    pool: OriginPool
    head: bytes
    """Request line and headers, but for Content-Length."""
    is_head: bool
    is_bodiless: bool
    """An empty body isn't spoken of: GET and HEAD."""

    def with_headers(self, headers: HeaderPairs) -> "Target":
        """The same target with more headers; ValueError if a line break is in them."""
        return replace(self, head=self.head + header_lines(headers))


class HttpClient:
    """Sends requests to any number of origins; belongs to one event loop.

    Timeouts are exact to `limits.sweep_interval_s`. A test moves the clock and calls `sweep`.
    """

    def __init__(
        self,
        *,
        limits: ClientLimits | None = None,
        clock: Clock | None = None,
        ssl_context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        connect: Connect = connect_over_tcp,
        counters: ClientCounters | None = None,
    ) -> None:
        self.limits = limits or ClientLimits()
        self.counters = counters or ClientCounters()
        self._clock = clock or SystemClock()
        self._make_ssl_context = ssl_context
        self._ssl_context: ssl.SSLContext | None = None
        self._connect = connect
        self._pools: dict[Origin, OriginPool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def request(
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: HeaderPairs = (),
        body: bytes = b"",
        *,
        timeouts: Timeouts = TIMEOUTS,
        replay: Replay = Replay.NEVER,
    ) -> HttpResponse:
        """Send one request and wait for the headers of its answer: `target`, then `send`."""
        target = self.target(method, origin, path, headers)
        return await self.send(target, body, timeouts=timeouts, replay=replay)

    def target(self, method: str, origin: Origin, path: str, headers: HeaderPairs = ()) -> Target:
        """Where requests go that share all but their bodies.

        `path` includes the query and is sent as it is. Host and Content-Length are added.
        """
        assert not self._is_closed, "the client is closed"
        pool = self._pools.get(origin) or self._open_pool(origin)
        head = _head(method, path, pool.host_line, headers)
        return Target(pool, head, method == "HEAD", method in {"GET", "HEAD"})

    async def send(
        self,
        target: Target,
        body: bytes,
        *,
        timeouts: Timeouts = TIMEOUTS,
        replay: Replay = Replay.NEVER,
    ) -> HttpResponse:
        """Send a request and wait for the headers of its answer.

        Raises what `failures` lists; any status that the server gives is an answer, not an error.
        """
        assert not self._is_closed, "the client is closed"
        pool = target.pool
        data = _request_bytes(target, body)
        self.counters.requests += 1
        now_ns = self._clock.monotonic_ns()
        deadline_ns = now_ns + int(timeouts.total_s * 1e9)
        may_replay = replay is not _NEVER
        while True:
            connection = pool.take_idle(now_ns) or await pool.take(timeouts)
            may_replay = may_replay and connection.is_used
            response = HttpResponse(connection, timeouts, deadline_ns)
            try:
                await connection.exchange(response, data, is_head=target.is_head)
            except asyncio.CancelledError:
                response.close()
                raise
            except Unanswered:
                if not may_replay:
                    raise
                # The other idle connections are as old; the second try gets a new one.
                may_replay = False
                self.counters.replayed += 1
                pool.drop_idle()
                continue
            return response

    def sweep(self) -> None:
        """End what has taken too long."""
        now_ns = self._clock.monotonic_ns()
        for pool in self._pools.values():
            pool.sweep(now_ns)

    def close(self) -> None:
        """Close every connection; answers still coming are broken."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            pool.close()

    def _open_pool(self, origin: Origin) -> OriginPool:
        context = self._tls() if origin.scheme == "https" else None
        pool = OriginPool(
            origin,
            limits=self.limits,
            counters=self.counters,
            clock=self._clock,
            connect=self._connect,
            ssl_context=context,
        )
        self._pools[origin] = pool
        if self._timer is None:
            self._tick(asyncio.get_running_loop())
        return pool

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = self._make_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep()
        self._timer = loop.call_later(self.limits.sweep_interval_s, self._tick, loop)


def _request_bytes(target: Target, body: bytes) -> bytes:
    if not body and target.is_bodiless:
        return target.head + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (target.head, len(body), body)


def _head(method: str, path: str, host_line: bytes, headers: HeaderPairs) -> bytes:
    """Request line and headers."""
    if not path.startswith("/") or " " in path or not (path.isascii() and path.isprintable()):
        raise ValueError(f"{path!r} is no path: it is relative, or has a blank or a line break")
    first = f"{method} {path} HTTP/1.1\r\n".encode("ascii")
    return b"".join((first, host_line, header_lines(headers)))
