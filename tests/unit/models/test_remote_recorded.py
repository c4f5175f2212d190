"""A remote engine reads what the upstreams themselves were seen to send: see `recorded/README.md`.

Each exchange goes over HTTP from a server that says nothing but those bytes, in small pieces.
"""

import asyncio
import random
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.dialects.eventstream import write_event
from craton.kernel.clock import SystemClock
from craton.kernel.errors import CratonError
from craton.messages import Answer, Message, Request, Role, Text, fold
from craton.messages.blocks import CitedText, Reasoning, Refusal, ToolUse
from craton.models.card import RemoteSource, RemoteWire
from craton.models.engine import Stop
from craton.models.engines.remote import RemoteEngine

FOLDER = Path(__file__).parent / "recorded"
PIECE_BYTES = 23


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer: its bytes, and what is to be read in them."""

    body: str
    server: str
    after: str
    wire: RemoteWire = RemoteWire.OPENAI
    status: int = 200
    error_type: str | None = None
    retry_after: str | None = None
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tools: list[tuple[str, str, Any]] = []
    stop: str | None = None
    usage: tuple[int, int, int, int, int] | None = None
    error: str | None = None
    says: str = ""
    sent: int = 1
    waited: list[float] | None = None
    gap: str | None = None

    @property
    def streams(self) -> bool:
        return not self.body.endswith(".json")

    def data(self) -> bytes:
        stored = (FOLDER / self.body).read_bytes()
        if not self.body.endswith(".frames"):
            return stored
        frames = [msgspec.json.decode(line) for line in stored.splitlines()]
        return b"".join(
            write_event(name, msgspec.json.encode(payload))
            for frame in frames
            for name, payload in frame.items()
        )

    def head(self) -> bytes:
        kinds = {
            "json": "application/json",
            "sse": "text/event-stream; charset=utf-8",
            "frames": "application/vnd.amazon.eventstream",
        }
        lines = [f"HTTP/1.1 {self.status} As recorded", "transfer-encoding: chunked"]
        lines.append(f"content-type: {kinds[self.body.rpartition('.')[2]]}")
        if self.error_type is not None:
            lines.append(f"x-amzn-errortype: {self.error_type}")
        if self.retry_after is not None:
            lines.append(f"retry-after: {self.retry_after}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


EXCHANGES = [
    msgspec.convert(each, Exchange)
    for each in tomllib.loads((FOLDER / "exchanges.toml").read_text(encoding="utf-8"))["exchange"]
]


@dataclass
class Replay:
    """A server that answers everything with one exchange, and counts how often it was asked."""

    exchange: Exchange
    asked: int = 0
    origin: str = ""
    waited_s: list[float] = field(default_factory=list)
    conversations: list[asyncio.Task[Any]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        self.conversations.append(current)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                (length,) = re.findall(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length))
                self.asked += 1
                await self._answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the engine is done with the connection
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.exchange.head())
        body = self.exchange.data()
        for at in range(0, len(body), PIECE_BYTES):
            piece = body[at : at + PIECE_BYTES]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def nap(self, seconds: float) -> None:
        """The engine's waits: none is waited for."""
        self.waited_s.append(seconds)


@asynccontextmanager
async def replaying(exchange: Exchange) -> AsyncIterator[tuple[Replay, RemoteEngine]]:
    replay = Replay(exchange)
    server = await asyncio.start_server(replay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = RemoteEngine(
        RemoteSource(f"http://127.0.0.1:{port}", "m", wire=exchange.wire, region="eu-west-1"),
        name="lab.m",
        output_tokens_default=100,
        clock=SystemClock(),
        random_source=random.Random(1),
        sleep=replay.nap,
    )
    try:
        yield replay, engine
    finally:
        await engine.close()
        server.close()
        await asyncio.gather(*replay.conversations)


async def ask(engine: RemoteEngine, *, stream: bool) -> Answer:
    turn = Message(role=Role.USER, content=[Text(text="When is high water?")])
    request = Request(model="lab.m", messages=[turn], stream=stream)
    if not stream:
        return await engine.answer(request, request_id="0190", stop=Stop())
    return fold([each async for each in engine.generate(request, request_id="0190", stop=Stop())])


def text_of(answer: Answer) -> str:
    return "".join(
        block.text if isinstance(block, Text) else "".join(block.passages)
        for block in answer.content
        if isinstance(block, Text | CitedText)
    )


def check_answer(answer: Answer, exchange: Exchange) -> None:
    kinds = {kind: [b for b in answer.content if isinstance(b, kind)] for kind in KINDS}
    called = [(b.id, b.name, b.input) for b in kinds[ToolUse] if not b.server]
    usage = answer.metadata.usage
    assert text_of(answer) == exchange.text
    assert "".join(b.text or "" for b in kinds[Reasoning]) == exchange.reasoning
    assert "".join(b.text for b in kinds[Refusal]) == exchange.refusal
    assert called == exchange.tools
    assert answer.stop.stop_reason == exchange.stop
    assert exchange.usage == (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


KINDS = (ToolUse, Reasoning, Refusal)


def parameters() -> list[Any]:
    return [
        pytest.param(
            each,
            id=each.body,
            marks=[pytest.mark.xfail(reason=each.gap, strict=True)] if each.gap else [],
        )
        for each in EXCHANGES
    ]


@pytest.mark.parametrize("exchange", parameters())
async def test_what_an_upstream_was_seen_to_send_is_read(exchange: Exchange) -> None:
    async with replaying(exchange) as (replay, engine):
        if exchange.error is None:
            check_answer(await ask(engine, stream=exchange.streams), exchange)
        else:
            with pytest.raises(CratonError) as raised:
                await ask(engine, stream=exchange.streams)
            assert type(raised.value).__name__ == exchange.error
            assert exchange.says in raised.value.message
    assert replay.asked == exchange.sent
    if exchange.waited is not None:
        assert replay.waited_s == exchange.waited


def test_every_body_is_listed_and_names_a_source_that_the_readme_has() -> None:
    listed = {each.body for each in EXCHANGES}
    assert listed == {path.name for path in FOLDER.iterdir()} - {"README.md", "exchanges.toml"}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    known = set(
        re.findall(r"^\| `([\w-]+)` \| github\.com/\S+ \| `[0-9a-f]{40}`", readme, re.MULTILINE)
    )
    assert {each.after.partition(": ")[0] for each in EXCHANGES} == known
