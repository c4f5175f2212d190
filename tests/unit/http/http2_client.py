"""An HTTP/2 client for tests: h2's state over a raw socket, with every answer kept by stream."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from .conftest import WAIT_S, RawClient, Served

Fields = Sequence[tuple[bytes, bytes]]


@dataclass
class StreamAnswer:
    """What came over one stream."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    interim: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    pieces: int = 0
    is_whole: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[b":status"])

    @property
    def is_over(self) -> bool:
        return self.is_whole or self.reset is not None


class Http2Client:
    """Speaks HTTP/2 with prior knowledge; `takes` says whether what is read is acknowledged."""

    def __init__(self, raw: RawClient, *, window: int | None = None, takes: bool = True) -> None:
        self.raw = raw
        self.h2 = H2Connection(
            H2Configuration(
                header_encoding=None, validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )  # fmt: skip
        self.takes = takes
        self.streams: dict[int, StreamAnswer] = {}
        self.goaway: events.ConnectionTerminated | None = None
        self.is_closed = False
        if window is not None:
            self.h2.local_settings.initial_window_size = window
            self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.raw.send(self.h2.data_to_send())

    def ask(
        self, method: bytes = b"GET", path: bytes = b"/", body: bytes | None = None,
        headers: Fields = (), *, is_whole: bool = True, fields: Fields | None = None,
    ) -> int:  # fmt: skip
        """Begin a request; its stream's number."""
        id = self.h2.get_next_available_stream_id()
        pseudo = ((b":method", method), (b":scheme", b"http"), (b":authority", b"craton"))
        sent = [*pseudo, (b":path", path), *headers] if fields is None else list(fields)
        self.h2.send_headers(id, sent, end_stream=body is None and is_whole)
        self.streams[id] = StreamAnswer()
        if body is not None:
            self.send(id, body, is_last=is_whole)
        self.flush()
        return id

    def send(self, id: int, body: bytes, *, is_last: bool = True) -> None:
        for at in range(0, max(len(body), 1), 16_000):
            piece = body[at : at + 16_000]
            self.h2.send_data(id, piece, end_stream=is_last and at + 16_000 >= len(body))
        self.flush()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Read until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not happened():
                assert not self.is_closed, f"closed: {self.goaway}, {self.streams}"
                await self._read()

    async def answer(self, id: int) -> StreamAnswer:
        answer = self.streams[id]
        await self.until(lambda: answer.is_over)
        return answer

    async def fetch(self, *args: Any, **options: Any) -> StreamAnswer:
        return await self.answer(self.ask(*args, **options))

    async def closed(self) -> int | None:
        """Read until the server closes its side; the code of its GOAWAY."""
        async with asyncio.timeout(WAIT_S):
            while not self.is_closed:
                await self._read()
        return None if self.goaway is None else int(self.goaway.error_code or 0)

    async def _read(self) -> None:
        try:
            data = await self.raw.reader.read(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self.is_closed = True
            return
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                self.streams[event.stream_id].headers = dict(event.headers)
            case events.InformationalResponseReceived():
                self.streams[event.stream_id].interim.append(dict(event.headers)[b":status"])
            case events.DataReceived():
                answer = self.streams[event.stream_id]
                answer.body += event.data
                answer.pieces += bool(event.data)
                if self.takes and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.streams[event.stream_id].is_whole = True
            case events.StreamReset():
                self.streams[event.stream_id].reset = int(event.error_code)
            case events.ConnectionTerminated():
                self.goaway = event
            case _:
                pass


async def http2(served: Served, **options: Any) -> Http2Client:
    return Http2Client(await served.connect(), **options)
