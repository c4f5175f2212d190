"""Sends HTTP/2 conversations, reads what comes as strictly as RFC 9113 allows, and judges it."""

import asyncio
import random
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from hpack import Decoder
from hpack.exceptions import HPACKError

from tests.fuzz import http2
from tests.fuzz.answers import GOOD, REFUSALS, Answer, faults_of
from tests.fuzz.http2 import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    WIDE,
    Conversation,
    Ending,
    frame,
    script,
    window_update,
)
from tests.fuzz.request import Sent
from tests.fuzz.requests import Maker
from tests.fuzz.trial import BILLED, QUIET_S, UNREADABLE, Outcome, Plan, connect

NO_ERROR = 0
CLOSING_CODES = frozenset({1, 3, 5, 6, 9, 11})
"""What a client that broke the protocol may be told: never INTERNAL_ERROR (2)."""
WIDENED_BY = 20_000
BODY_BYTES_MAX = 34 * 1024 * 1024
"""Somewhat more than Craton takes: larger ones only take longer."""


class Broken(Exception):
    """What came is no HTTP/2."""


@dataclass(slots=True)
class Partial:
    """An answer as far as it has come."""

    headers: dict[bytes, bytes] | None = None
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    reset: int | None = None

    def answer(self) -> Answer:
        assert self.headers is not None
        others = {name: value for name, value in self.headers.items() if name[:1] != b":"}
        return Answer(int(self.headers[b":status"]), others, bytes(self.body))


class Listener:
    """Reads one connection, holding the server to the windows that it was given."""

    def __init__(self, conversation: Conversation) -> None:
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 2**20
        self._decoder.max_allowed_table_size = 2**32  # as conversations offer it
        self._window = conversation.window
        self._room = WIDE if conversation.window == WIDE else 65_535
        self._rooms: dict[int, int] = {}
        self._block: tuple[int, int, bytes] | None = None
        self.holds_to_windows = conversation.ending is Ending.WAITS
        self.streams: dict[int, Partial] = {}
        self.goaway: int | None = None
        self.is_closed = False
        self.to_send = bytearray()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """The next frame, or the end."""
        try:
            head = await reader.readexactly(9)
            size = int.from_bytes(head[:3], "big")
            payload = await reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Broken("the connection ended inside a frame") from None
            self.is_closed = True
            return
        except ConnectionError:
            self.is_closed = True
            return
        if size > 16_384:
            raise Broken(f"a frame of {size} bytes")
        (stream,) = struct.unpack(">L", head[5:9])
        self._take(head[3], head[4], stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise Broken("a frame inside a header block")
        match kind:
            case http2.DATA:
                self._take_data(stream, flags, payload)
            case http2.HEADERS | http2.CONTINUATION:
                self._take_headers(kind, flags, stream, payload)
            case http2.RST_STREAM:
                self._open(stream).reset = int.from_bytes(payload, "big")
            case http2.SETTINGS:
                if not flags & ACK:
                    self.to_send += frame(http2.SETTINGS, ACK, 0)
            case http2.GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big")
            case http2.PING | http2.WINDOW_UPDATE:
                pass
            case _:
                raise Broken(f"a frame of type {kind}")

    def _open(self, stream: int) -> Partial:
        if stream == 0 or stream % 2 == 0:
            raise Broken(f"a frame on stream {stream}")
        return self.streams.setdefault(stream, Partial())

    def _take_headers(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == CONTINUATION:
            if self._block is None or self._block[0] != stream:
                raise Broken("CONTINUATION of nothing")
            first_flags, block = self._block[1], self._block[2] + payload
        else:
            first_flags, block = flags, payload
        if not flags & END_HEADERS:
            self._block = (stream, first_flags, block)
            return
        self._block = None
        fields = list(self._decoder.decode(block, raw=True))
        headers = {bytes(name): bytes(value) for name, value in fields}
        if len(headers) != len(fields) or any(name != name.lower() for name in headers):
            raise Broken(f"headers {fields}")
        partial = self._open(stream)
        if partial.is_whole or partial.reset is not None or partial.headers is not None:
            raise Broken(f"headers on stream {stream}, which has an answer")
        if not headers[b":status"].startswith(b"1"):
            partial.headers = headers
        partial.is_whole = bool(first_flags & END_STREAM)

    def _take_data(self, stream: int, flags: int, payload: bytes) -> None:
        partial = self._open(stream)
        if partial.headers is None or partial.is_whole or partial.reset is not None:
            raise Broken(f"data on stream {stream}, out of place")
        size = len(payload)
        room = self._rooms.setdefault(stream, self._window) - size
        self._room -= size
        self._rooms[stream] = room
        if self.holds_to_windows and size and (room < 0 or self._room < 0):
            raise Broken("data beyond a window")
        partial.body += payload
        partial.is_whole = bool(flags & END_STREAM)
        if self._window != WIDE and size:
            self.widen(stream, size)

    def widen(self, stream: int, size: int) -> None:
        """Let more come of a stream."""
        self._room += size
        self._rooms[stream] = self._rooms.setdefault(stream, self._window) + WIDENED_BY
        self.to_send += window_update(0, size) if size else b""
        self.to_send += window_update(stream, WIDENED_BY)


class Http2Lane:
    """One client; a connection for each conversation."""

    def __init__(  # noqa: PLR0917 - a player's form
        self,
        plan: Plan,
        maker: Maker,
        host: str,
        port: int,
        outcome: Outcome,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._plan = plan
        self._maker = maker
        self._address = host, port
        self._outcome = outcome
        self._context = context

    async def run(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            dice = random.Random(f"http2 {self._plan.seed} {number}")
            await self.play(number, await self.made(dice))
            self._outcome.sent += 1

    async def made(self, dice: random.Random) -> Conversation:
        """What these dice show; in a thread, since a bent document may take seconds to write."""
        return await asyncio.to_thread(script, lambda: self._make(dice), dice)

    def _make(self, dice: random.Random) -> Sent:
        while True:
            sent = self._maker.make(dice, at_s=time.time())
            if len(sent.body) <= BODY_BYTES_MAX:
                return sent

    async def play(self, number: int, conversation: Conversation) -> None:
        listener = Listener(conversation)
        started_s = time.monotonic()
        faults: list[str] = []
        reader, writer = await connect(*self._address, ssl=self._context)
        try:
            async with asyncio.timeout(self._plan.answer_limit_s):
                faults = await self._perform(conversation, listener, reader, writer)
        except TimeoutError:
            faults = [f"no end within {self._plan.answer_limit_s} s: {listener.streams}"]
        except (Broken, HPACKError, *UNREADABLE) as error:
            faults = [f"{type(error).__name__}: {error}"]
        except OSError as error:
            if conversation.ending is Ending.WAITS:
                faults = [repr(error)]
        finally:
            writer.transport.abort()
        took_s = time.monotonic() - started_s
        if took_s > self._outcome.slowest_s:
            self._outcome.slowest_s, self._outcome.slowest_number = took_s, number
        if faults:
            text = "; ".join(faults)
            self._outcome.fault(number, f"http2 {conversation.kind}", text, conversation.whole)

    async def _perform(
        self, conversation: Conversation, listener: Listener, reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> list[str]:  # fmt: skip
        for piece in conversation.pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        match conversation.ending:
            case Ending.RESETS:
                self._count(conversation, "reset")
                return []
            case Ending.WAITS:
                if not conversation.window:
                    for stream in (*conversation.due, *conversation.refused):
                        listener.widen(stream, 0)
                await self._until_answered(conversation, listener, reader, writer)
            case Ending.WAITS_FOR_CLOSE:
                while not listener.is_closed:
                    await listener.read(reader)
                self._count(conversation, f"closed {listener.goaway}")
                if listener.goaway not in CLOSING_CODES:
                    return [f"owed a reason for closing, came {listener.goaway}"]
            case _:
                await self._read_rest(listener, reader, writer)
                self._count(conversation, f"closed {listener.goaway or NO_ERROR}")
                if listener.goaway not in {None, NO_ERROR, *CLOSING_CODES}:
                    return [f"the connection was ended with {listener.goaway}"]
        return self._judged(conversation, listener)

    async def _until_answered(
        self, conversation: Conversation, listener: Listener, reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        owed = {*conversation.due, *conversation.refused}
        while any(not _is_over(listener.streams.get(stream)) for stream in owed):
            if listener.to_send:
                writer.write(bytes(listener.to_send))
                listener.to_send.clear()
            await listener.read(reader)
            if listener.is_closed:
                raise Broken(f"closed with {listener.goaway} before all was answered")

    async def _read_rest(
        self, listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        ends_s = time.monotonic() + QUIET_S
        while time.monotonic() < ends_s and not listener.is_closed:
            if _has_frame(reader):
                await listener.read(reader)
            else:
                await asyncio.sleep(0.001)
        if not writer.can_write_eof():
            return  # TLS: only the whole connection can be closed
        writer.write_eof()
        while not listener.is_closed:
            await listener.read(reader)

    def _judged(self, conversation: Conversation, listener: Listener) -> list[str]:
        faults: list[str] = []
        for stream, partial in listener.streams.items():
            sent = conversation.due.get(stream)
            if not partial.is_whole or partial.headers is None:
                if sent is not None:
                    faults.append(f"stream {stream} was reset with {partial.reset}")
                continue
            answer = partial.answer()
            self._count(conversation, str(answer.status))
            if sent is not None or not _is_to_head(answer):
                faults += faults_of(answer, sent)
            elif answer.status not in GOOD | REFUSALS:
                faults.append(f"status {answer.status}")
            statuses = conversation.refused.get(stream)
            if statuses is not None and answer.status not in statuses:
                faults.append(f"owed one of {statuses}, came {answer.status}")
            if sent is not None and sent.wire in BILLED and answer.status == 200:
                self._outcome.billed_at_least += b"exception" not in answer.body[-600:]
        return faults

    def _count(self, conversation: Conversation, what: str) -> None:
        self._outcome.counts[f"http2 {conversation.kind}", what] += 1


def _has_frame(reader: asyncio.StreamReader) -> bool:
    """Whether a whole frame, or the end, has come."""
    waiting = reader._buffer  # type: ignore[attr-defined]
    is_whole = len(waiting) >= 9 and len(waiting) >= 9 + int.from_bytes(waiting[:3], "big")
    return is_whole or reader.at_eof()


def _is_to_head(answer: Answer) -> bool:
    """Whether this must be the answer to a HEAD, which changed bytes made of another request.

    Such an answer tells the length of what it doesn't have, or, for a greeting, has no type.
    """
    has_length = answer.headers.get(b"content-length", b"0") != b"0"
    return not answer.body and (has_length or b"content-type" not in answer.headers)


def _is_over(partial: Partial | None) -> bool:
    return partial is not None and (partial.is_whole or partial.reset is not None)
