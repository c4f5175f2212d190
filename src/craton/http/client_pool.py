"""The connections of a client: reused, counted, and waited for in a queue that has an end."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

import msgspec

from craton.http.client_connection import ClientConnection
from craton.http.counters import ClientCounters
from craton.http.failures import ConnectFailed, ConnectTimeout, PoolFull
from craton.http.limits import ClientLimits, Timeouts
from craton.http.outbox import Outbox
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest


class Origin(msgspec.Struct, frozen=True):
    """Where a server is: `http://127.0.0.1:8000`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """The origin of an `http` or `https` URL; a path is left aside."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BadRequest(f"{url!r} is not a URL: {error}. Use http://host:port.") from None
        if parts.scheme not in {"http", "https"} or not host or not host.isascii():
            raise BadRequest(f"{url!r} is not an http or https URL. Use http://host:port.")
        return cls(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))

    @property
    def authority(self) -> str:
        """What stands in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == (443 if self.scheme == "https" else 80)
        return host if is_default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


ProtocolFactory = Callable[[], ClientConnection]
Connect = Callable[[ProtocolFactory, Origin, ssl.SSLContext | None], Awaitable[ClientConnection]]
"""Opens a connection: the network, as an argument."""


async def connect_over_tcp(
    factory: ProtocolFactory, origin: Origin, ssl_context: ssl.SSLContext | None
) -> ClientConnection:
    """The machine's own network."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(factory, origin.host, origin.port, ssl=ssl_context)
    return connection


class _Waiter:
    """A caller in the queue: gets a connection, or None for leave to open one."""

    __slots__ = ("deadline_ns", "granted")

    def __init__(
        self, granted: "asyncio.Future[ClientConnection | None]", deadline_ns: int
    ) -> None:
        self.granted = granted
        self.deadline_ns = deadline_ns


class OriginPool:
    """The connections to one origin."""

    def __init__(
        self,
        origin: Origin,
        *,
        limits: ClientLimits,
        counters: ClientCounters,
        clock: Clock,
        connect: Connect,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.limits = limits
        self.counters = counters
        self.clock = clock
        self.outbox = Outbox()
        self.host_line = f"host: {origin.authority}\r\n".encode("ascii")
        self._origin = origin
        self._connect = connect
        self._ssl_context = ssl_context
        self._idle: list[ClientConnection] = []
        self._all: set[ClientConnection] = set()
        self._slots_taken = 0
        self._is_closed = False
        self._waiters: deque[_Waiter] = deque()

    def take_idle(self, now_ns: int) -> ClientConnection | None:
        """A connection for one request, if one is idle."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh(now_ns):
                return connection
            connection.close()
        return None

    async def take(self, timeouts: Timeouts) -> ClientConnection:
        """A connection for one request: an idle one, a new one, or one that another gives back."""
        now_ns = self.clock.monotonic_ns()
        connection = self.take_idle(now_ns)
        if connection is not None:
            return connection
        if self._slots_taken < self.limits.connections_max:
            self._slots_taken += 1
        else:
            granted = await self._wait(now_ns + int(timeouts.connect_s * 1e9))
            if granted is not None:
                return granted
        return await self._open(timeouts)

    def drop_idle(self) -> None:
        """Close the idle connections, as when one of them proved to be stale."""
        while self._idle:
            self._idle.pop().close()

    def sweep(self, now_ns: int) -> None:
        """End answers, idle connections and waits that have taken too long."""
        for connection in list(self._all):
            connection.sweep(now_ns)
        stale = [connection for connection in self._idle if not connection.is_fresh(now_ns)]
        for connection in stale:
            self._idle.remove(connection)
            connection.close()
        while self._waiters and self._waiters[0].deadline_ns < now_ns:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                self.counters.timeouts += 1
                waiter.granted.set_exception(
                    ConnectTimeout(
                        f"No connection to {self._origin} became free in time. Try again later."
                    )
                )

    def close(self) -> None:
        """Close every connection; answers still coming are broken."""
        self._is_closed = True
        for connection in list(self._all):
            connection.abandon()
        while (waiter := self._next_waiter()) is not None:
            waiter.granted.set_exception(self._closed())

    # What a connection calls.

    @property
    def carries_one(self) -> bool:
        """Whether no more than one request is under way."""
        return len(self._all) - len(self._idle) < 2

    def release(self, connection: ClientConnection) -> None:
        """The connection is free: for whoever waits longest, or for later."""
        waiter = self._next_waiter() if self._waiters else None
        if waiter is not None:
            waiter.granted.set_result(connection)
        elif len(self._idle) < self.limits.idle_connections_max:
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: ClientConnection) -> None:
        """The connection is gone; its place goes to whoever waits longest."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._give_slot_back()

    def _give_slot_back(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.granted.set_result(None)
        else:
            self._slots_taken -= 1

    def _next_waiter(self) -> _Waiter | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                return waiter
        return None

    async def _wait(self, deadline_ns: int) -> ClientConnection | None:
        if len(self._waiters) >= self.limits.waiting_max:
            raise PoolFull(
                f"{self.limits.waiting_max} requests already wait for a connection to "
                f"{self._origin}. Try again later."
            )
        granted: asyncio.Future[ClientConnection | None]
        granted = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(granted, deadline_ns))
        try:
            connection = await granted
        except asyncio.CancelledError:
            self._pass_on(granted)
            raise
        if connection is not None and not connection.is_fresh(self.clock.monotonic_ns()):
            # It closed between being granted and our turn of the loop: forget() gave its place
            # to somebody else, so a place of our own is needed.
            connection.close()
            self._slots_taken += 1
            return None
        return connection

    def _pass_on(self, granted: "asyncio.Future[ClientConnection | None]") -> None:
        """The caller gave up in the very turn in which it was granted something."""
        if not granted.done() or granted.cancelled() or granted.exception() is not None:
            return
        connection = granted.result()
        if connection is None:
            self._give_slot_back()
        else:
            self.release(connection)

    async def _open(self, timeouts: Timeouts) -> ClientConnection:
        try:
            connection = await self._connect_in_time(timeouts.connect_s)
        except BaseException:
            self._give_slot_back()
            raise
        if self._is_closed:
            connection.close()
            raise self._closed()
        if connection.is_connected:
            self._all.add(connection)
        return connection

    async def _connect_in_time(self, connect_s: float) -> ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_s):
                return await self._connect(
                    lambda: ClientConnection(self, loop), self._origin, self._ssl_context
                )
        except TimeoutError:
            self.counters.timeouts += 1
            raise ConnectTimeout(
                f"No connection to {self._origin} within {connect_s:g} s. Is it up?"
            ) from None
        except OSError as error:
            raise ConnectFailed(f"No connection to {self._origin}: {error}. Is it up?") from None

    def _closed(self) -> ConnectFailed:
        return ConnectFailed(f"The client was closed before it reached {self._origin}.")
