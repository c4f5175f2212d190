"""One HTTP exchange with llama.cpp's server, over its Unix socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httptools

from craton.kernel.errors import CratonError, EngineFailed, EngineTimeout

ANSWER_BYTES_MAX = 64 * 1024 * 1024
PIECE_SECONDS_MAX = 300
"""Longest wait for the next token: reading a full context on two busy cores takes two minutes."""


async def ask(socket: Path, key: str, method: str, path: str, body: bytes) -> "Exchange":
    """Ask, on a connection of its own; EngineFailed if nobody listens."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: llama\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    exchange = Exchange(loop, PIECE_SECONDS_MAX)
    try:
        await loop.create_unix_connection(lambda: exchange, str(socket))
    except OSError as error:
        raise EngineFailed(f"llama.cpp doesn't answer ({error}). Try again.") from error
    exchange.write(head.encode() + body)
    return exchange


class Exchange(asyncio.Protocol):
    """One HTTP exchange; httptools calls back into it.

    A token comes every few milliseconds and takes the processors from those that make the next, so
    what is done for each is little: no stream, no timer and no task of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, silence_s_max: float) -> None:
        """EngineTimeout comes where nothing has come for `silence_s_max`."""
        self._loop = loop
        self._silence_s_max = silence_s_max
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._data: list[bytes] = []
        self._bytes = 0
        self._is_whole = False
        self._is_half_closed = False
        self._error: CratonError | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = loop.create_future()
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def status(self) -> int:
        """The HTTP status; 0 before the head came."""
        return int(self._parser.get_status_code())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is connected."""
        # uvloop's transports are no subclass of asyncio's, so this can't be asserted.
        self._transport = cast("asyncio.Transport", transport)
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(self._silence_s_max, self._check)

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        if self._is_whole or self._error is not None:
            return
        self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._error = EngineFailed(f"llama.cpp answered what is no HTTP ({error}). Try again.")
        if self._bytes > ANSWER_BYTES_MAX:
            self._error = EngineFailed(f"llama.cpp sent more than {ANSWER_BYTES_MAX} bytes.")
            self._data.clear()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._end_timer()
        if self._is_half_closed and self._error is None:
            self._is_whole = True
        why = "" if exc is None else f" ({exc})"
        self._error = self._error or EngineFailed(f"llama.cpp hung up{why}. Try again.")
        if not self._gone.done():
            self._gone.set_result(None)
        self._wake()

    def on_body(self, data: bytes) -> None:
        """Httptools: a piece of the body."""
        self._data.append(data)
        self._bytes += len(data)

    def on_message_complete(self) -> None:
        """Httptools: the answer is whole."""
        self._is_whole = True

    def write(self, data: bytes) -> None:
        """Ask."""
        if self._transport is not None:
            self._transport.write(data)

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes; after `half_close` it may end at any point."""
        while True:
            if self._data:
                data, self._data = b"".join(self._data), []
                yield data
            elif self._is_whole:
                return
            elif self._error is not None:
                raise self._error
            else:
                self._waiting = self._loop.create_future()
                await self._waiting

    def half_close(self) -> None:
        """Say that no more is wanted; the server lets go soon and hangs up."""
        if not self._is_half_closed and self._transport is not None:
            self._is_half_closed = True
            if not self._transport.is_closing():
                self._transport.write_eof()

    async def hang_up(self) -> None:
        """Say that no more is wanted, and wait until the server has let go."""
        try:
            self.half_close()
            await self._gone
        finally:
            self._end_timer()
            if self._transport is not None:
                self._transport.close()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _check(self) -> None:
        """Has anything come within the time?"""
        due_at = self._heard_at + self._silence_s_max
        if self._loop.time() < due_at:
            self._timer = self._loop.call_at(due_at, self._check)
            return
        self._error = EngineTimeout(
            f"The model gave no token for {self._silence_s_max:g} s. Try again."
        )
        self._wake()
