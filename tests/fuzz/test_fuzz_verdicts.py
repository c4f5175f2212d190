"""A trial against servers that do wrong must say so, and say it with a small input."""

import asyncio
import random
from typing import Any

import pytest

from tests.fakes.craton import Craton
from tests.fakes.state_process import until
from tests.fuzz.request import Expected, Sent
from tests.fuzz.shrinking import shrunk
from tests.fuzz.trial import Lane, Outcome, Plan, faults_after, maker_for

ERROR = b'{"error":{"message":"m","type":"t","param":null,"code":null}}'
ANSWERS = {
    "a fault of ours": b"HTTP/1.1 500 X\r\ncontent-length: 61\r\n\r\n" + ERROR,
    "no HTTP": b"hello\r\n\r\n",
    "a success for everybody": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\n\r\n{}",
    "a cut answer": b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx",
    "no answer": b"",
}
SEEN = {
    "a fault of ours": "status 500",
    "no HTTP": "Malformed: status line",
    "a success for everybody": "a bad credential was answered with 200",
    "a cut answer": "ended inside",
    "no answer": "ended without an answer",
}


class Wrong(asyncio.Protocol):
    """Answers the first bytes with these, and closes; None never answers, nor closes."""

    def __init__(self, answer: bytes | None, open: set["Wrong"]) -> None:
        self._answer = answer
        self._open = open
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self.transport.write(self._answer)
            self.transport.close()

    def eof_received(self) -> bool:
        return self._answer is None


async def outcome_with(craton: Craton, answer: bytes | None, plan: Plan) -> Outcome:
    outcome = Outcome()
    open: set[Wrong] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wrong(answer, open), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        lane = Lane(plan, maker_for(craton), "127.0.0.1", port, outcome)
        await lane.run(iter(range(plan.inputs)))
    finally:
        server.close()
        for connection in open:
            connection.transport.abort()
        await until(lambda: not open)
    return outcome


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_server_that_answers_wrongly_is_seen(echo: Craton, kind: str) -> None:
    outcome = await outcome_with(echo, ANSWERS[kind], Plan(inputs=40, seed=5))
    assert any(SEEN[kind] in fault.text for fault in outcome.faults)
    assert not outcome.is_clean


async def test_a_server_that_never_answers_is_seen(echo: Craton) -> None:
    outcome = await outcome_with(echo, None, Plan(inputs=12, seed=5, answer_limit_s=0.05))
    texts = " ".join(fault.text for fault in outcome.faults)
    assert "no answer within" in texts
    assert "no end within" in texts


def test_a_fault_that_no_answer_showed_is_seen_afterwards(echo: Craton) -> None:
    assert faults_after(echo, Outcome()) == []
    billed = Outcome(billed_at_least=10**9)
    assert any("were billed" in text for text in faults_after(echo, billed))


async def test_an_input_is_shrunk_to_what_shows_the_fault() -> None:
    body = bytes(random.Random(1).choices(b"abc{}", k=400)) + b"!" + b"x" * 300
    sent = Sent("w", "POST", "/", b"content-length: 701\r\n\r\n", body, Expected.ANY, False)

    class Stream:
        transport: Any

        def abort(self) -> None:
            pass

    async def connect() -> Any:
        stream = Stream()
        stream.transport = stream
        return None, stream

    async def exchange(stream: Any, tried: Sent) -> tuple[None, list[str]]:
        return None, ["bad"] if b"!" in tried.body else []

    assert await shrunk(sent, "bad", connect, exchange) == b"content-length: 1\r\n\r\n!"
