"""The small forms of `python -m tests.fuzz --over http2` and `--over tls`, and bad verdicts."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hpack import Encoder

from tests.fakes.craton import Craton
from tests.fakes.state_process import until
from tests.fuzz import http2
from tests.fuzz.http2 import END_HEADERS, END_STREAM, Conversation, Ending, frame
from tests.fuzz.http2_trial import Broken, Http2Lane, Listener
from tests.fuzz.tls import TlsLane
from tests.fuzz.trial import Outcome, Plan, maker_for, run_trial

INPUTS = 350
TLS_INPUTS = 200


@pytest.fixture(scope="module", params=[False, True], ids=["clear", "tls"])
def craton(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    running = Craton(tmp_path_factory.mktemp("fuzz"), engine="echo", tls=request.param)
    yield running
    assert running.close() == 0


def described(outcome: Outcome) -> str:
    faults = [f"input {f.number}, {f.wire}: {f.text}\n{f.data[:2000]!r}" for f in outcome.faults]
    return "\n".join([*faults, *outcome.after])


async def test_no_conversation_is_answered_wrongly_late_or_not_at_all(craton: Craton) -> None:
    context = craton.context
    if context is None:
        outcome = await run_trial(craton, Plan(inputs=INPUTS, seed=7), Http2Lane)
        kinds = {f"http2 {kind.__name__.replace('_', ' ')}" for kind, _ in http2.KINDS}
        assert outcome.billed_at_least > 10
    else:
        context.set_alpn_protocols(["h2"])
        plan = Plan(inputs=TLS_INPUTS, seed=7)
        outcome = await run_trial(craton, plan, lambda *given: TlsLane(*given, context))
        kinds = {"tls garbage", "tls bent hello", "tls bent records", "tls no tls"}
    assert outcome.is_clean, described(outcome)
    statuses = Counter[str]()
    for (_, status), times in outcome.counts.items():
        statuses[status] += times
    # Neither everything refused nor everything let through: the inputs reach all depths.
    assert min(statuses["200"], statuses["400"]) > 5
    assert kinds <= {wire for wire, _ in outcome.counts}


@pytest.mark.parametrize("craton", [False], ids=["clear"], indirect=True)
def test_the_same_seed_makes_the_same_conversations(craton: Craton) -> None:
    maker = maker_for(craton)

    def made(seed: int) -> list[bytes]:
        dice = random.Random(seed)
        return [http2.script(lambda: maker.make(dice, at_s=1e9), dice).whole for _ in range(40)]

    assert made(1) == made(1)
    assert made(1) != made(2)


# --- the verdicts bite --------------------------------------------------------------------------

BLOCK = Encoder().encode([(b":status", b"200"), (b"content-type", b"text/plain")])
ANSWER = frame(1, END_HEADERS, 1, BLOCK)


async def listened(data: bytes, *, window: int = http2.WIDE) -> Listener:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    listener = Listener(Conversation("x", [], Ending.WAITS, window=window))
    while not listener.is_closed:
        await listener.read(reader)
    return listener


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ANSWER[:-1],
        frame(1, END_HEADERS, 2, BLOCK),
        frame(1, END_HEADERS, 0, BLOCK),
        ANSWER + ANSWER,
        frame(0, END_STREAM, 1, b"early"),
        ANSWER + frame(0, END_STREAM, 1, b"x") + frame(0, 0, 1, b"late"),
        ANSWER + frame(3, 0, 1, b"\0\0\0\0") + frame(0, 0, 1, b"late"),
        frame(1, 0, 1, BLOCK[:3]) + frame(6, 0, 0, b"12345678"),
        frame(9, END_HEADERS, 1, BLOCK),
        frame(5, END_HEADERS, 1, BLOCK),
        ANSWER + frame(0, 0, 1, b"x" * 16_385),
    ],
)
async def test_an_answer_that_is_no_http_2_is_seen(data: bytes) -> None:
    with pytest.raises(Broken):
        await listened(data)


async def test_data_beyond_a_window_is_seen() -> None:
    assert (await listened(ANSWER + frame(0, 0, 1, b"x" * 10), window=10)).streams[1].body
    with pytest.raises(Broken, match="beyond a window"):
        await listened(ANSWER + frame(0, 0, 1, b"x" * 11), window=10)


class Wrong(asyncio.Protocol):
    """Answers the first bytes with these, and closes if it has any."""

    def __init__(self, answer: bytes, open: set["Wrong"]) -> None:
        self._answer = answer
        self._open = open
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._answer:
            self.transport.write(self._answer)
            self.transport.close()

    def eof_received(self) -> bool:
        return not self._answer


GOAWAY = frame(7, 0, 0, b"\0\0\0\0\0\0\0\2")
SERVERS = {
    "closed with 2 before all was answered": GOAWAY,
    "closed with None before all was answered": frame(4, 0, 0),
    "status 500": frame(1, END_HEADERS | END_STREAM, 1, Encoder().encode([(b":status", b"500")])),
    "was reset with 2": frame(3, 0, 1, b"\0\0\0\2"),
    "no end within": b"",
}


@pytest.mark.parametrize("craton", [False], ids=["clear"], indirect=True)
@pytest.mark.parametrize("fault", SERVERS)
async def test_a_server_that_answers_wrongly_is_seen(craton: Craton, fault: str) -> None:
    outcome, maker = Outcome(), maker_for(craton)
    open: set[Wrong] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wrong(SERVERS[fault], open), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = Plan(inputs=1, answer_limit_s=0.05 if fault.startswith("no end") else 5)
    lane = Http2Lane(plan, maker, "127.0.0.1", port, outcome)
    dice = random.Random(1)
    sent = maker.make(dice, at_s=time.time())
    _, head, body = http2.Asking(dice).request(sent)
    whole = http2.opening() + head + b"".join(body)
    await lane.play(0, Conversation("proper", [whole], Ending.WAITS, {1: sent}))
    server.close()
    for connection in open:
        connection.transport.abort()
    await until(lambda: not open)
    assert fault in outcome.faults[0].text
