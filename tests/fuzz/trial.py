"""One trial: lanes of hostile clients against one Craton, a verdict on each input, then the sum.

Most inputs are requests sent one after another on kept connections; the others are scripts, each on
a connection of its own, that play with HTTP itself.
"""

import asyncio
import random
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import msgspec
from botocore.eventstream import ParserError

from craton.access.contract import NewKey
from craton.apis.aws.operations import BUILT, REST_JSON, entries
from craton.cli.connection import Connection
from craton.cli.installation import Trust
from tests.conformance import sdk_answers
from tests.fakes.craton import Craton, Keys
from tests.fuzz.answers import Answer, Cut, Malformed, faults_of, read_answer
from tests.fuzz.request import Sent
from tests.fuzz.requests import Maker
from tests.fuzz.scripts import Ending, Script, script
from tests.fuzz.shrinking import shrunk

QUIET_S = 0.03
"""How long a client that is owed nothing waits for an answer before it ends its side."""
SCRIPTS = 0.25
FAULTS_KEPT = 50
LINES_KEPT = 20
READER_LIMIT = 1024 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
UNREADABLE = (Malformed, ValueError, ParserError, ParseError, msgspec.MsgspecError)
"""What reading or judging a wrong answer raises."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a trial does."""

    inputs: int
    seed: int = 1
    lanes: int = 8
    answer_limit_s: float = 5
    """How late an answer, or the end of a connection, may come."""
    only: int | None = None
    """The one input to send, to see a fault again."""
    kinds: tuple[str, ...] = ()
    """Of what kinds the requests are; none named is all of them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One input whose answer was wrong."""

    number: int
    wire: str
    text: str
    data: bytes


@dataclass
class Outcome:
    """What a trial found."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By wire and status, or what happened instead of an answer."""
    faults: list[Fault] = field(default_factory=list[Fault])
    fault_count: int = 0
    sent: int = 0
    billed_at_least: int = 0
    """Answers of a model that came whole."""
    slowest_s: float = 0
    slowest_number: int = 0
    took_s: float = 0
    after: list[str] = field(default_factory=list[str])
    """What was wrong with Craton when all was over."""

    @property
    def is_clean(self) -> bool:
        return not self.fault_count and not self.after

    def fault(self, number: int, wire: str, text: str, data: bytes) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(Fault(number, wire, text, data))


def maker_for(craton: Craton, kinds: Sequence[str] = ()) -> Maker:
    """A maker of requests to this Craton, of these kinds alone if any are named."""
    status, document = craton.get("/craton/v1/openapi.json")
    assert status == 200
    elsewhere = [
        (entry.method, entry.uri)
        for entry in entries()
        if entry.protocol == REST_JSON and entry.key not in BUILT
    ]
    others = _others(craton)
    return Maker(craton.keys, others, msgspec.json.decode(document), elsewhere, kinds)


def _others(craton: Craton) -> Keys:
    """Keys of an operator of another account, made for this."""
    authority = str(craton.data / "tls/ca.pem")
    connection = Connection(craton.url, craton.keys.api_key, trust=Trust(authority=authority))
    name = f"others-{secrets.token_hex(4)}"
    connection.post("/accounts", dict[str, Any], {"name": name})
    asked = {"account": name, "name": "first", "role": "operator"}
    made = connection.post("/keys", NewKey, asked)
    return Keys(made.account, made.access_key_id, made.secret_access_key, made.api_key)


class Player(Protocol):
    """A client that sends the inputs of these numbers."""

    async def run(self, numbers: Iterator[int]) -> None: ...


NewPlayer = Callable[[Plan, Maker, str, int, Outcome], Player]


async def run_trial(craton: Craton, plan: Plan, player: NewPlayer | None = None) -> Outcome:
    """Send every input, then look at what is left; over HTTP/1.1, if no other player is given."""
    sdk_answers.prepare()
    outcome = Outcome()
    address = urlsplit(craton.url)
    assert address.hostname is not None
    assert address.port is not None
    numbers = iter([plan.only]) if plan.only is not None else iter(range(plan.inputs))
    maker = maker_for(craton, plan.kinds)
    lanes = [
        (player or Lane)(plan, maker, address.hostname, address.port, outcome).run(numbers)
        for _ in range(plan.lanes)
    ]
    started_s = time.monotonic()
    await asyncio.gather(*lanes)
    outcome.took_s = time.monotonic() - started_s
    outcome.after = await asyncio.to_thread(faults_after, craton, outcome)
    return outcome


def faults_after(craton: Craton, outcome: Outcome) -> list[str]:
    """What Craton itself says of how it went."""
    faults: list[str] = []
    status, _ = craton.get("/readyz")
    if status != 200:
        faults.append(f"/readyz answers {status}")
    errors = craton.metric("craton_internal_errors_total")
    if errors:
        faults.append(f"craton_internal_errors_total is {errors:g}")
    faults += _ills(craton.log())
    authorization = f"Bearer {craton.keys.api_key}"
    status, body = craton.get("/craton/v1/ledger/verify", authorization=authorization)
    verdict: dict[str, Any] = msgspec.json.decode(body)
    if status != 200 or verdict["faults"] or verdict["sum_nanos"]:
        faults.append(f"the ledger isn't whole: {status} {verdict}")
    elif verdict["usage_records"] < outcome.billed_at_least:
        faults.append(
            f"{outcome.billed_at_least} answers came whole, {verdict['usage_records']} were billed"
        )
    return faults


def _ills(log: str) -> list[str]:
    """Deaths and faults that the log has; of those with one traceback only the first."""
    found: dict[str, str] = {}
    for line in log.splitlines():
        if "child_died" in line or "Traceback" in line or '"level":"error"' in line:
            traceback = line.partition('"traceback":')[2]
            found.setdefault(traceback or line, line)
    return [f"the log has: {line[-3000:]}" for line in list(found.values())[:LINES_KEPT]]


class Lane:
    """One client. Its kept connection is for requests; each script has its own."""

    def __init__(self, plan: Plan, maker: Maker, host: str, port: int, outcome: Outcome) -> None:
        self._plan = plan
        self._maker = maker
        self._host = host
        self._port = port
        self._outcome = outcome
        self._kept: Stream | None = None

    async def run(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            dice = random.Random(f"{self._plan.seed} {number}")
            if dice.random() < SCRIPTS:
                await self._play(number, dice)
            else:
                await self._ask(number, self._make(dice))
            self._outcome.sent += 1
        self._drop()

    def _make(self, dice: random.Random) -> Sent:
        return self._maker.make(dice, at_s=time.time())

    async def _connect(self) -> Stream:
        return await connect(self._host, self._port)

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept[1].transport.abort()
            self._kept = None

    # Requests.

    async def _ask(self, number: int, sent: Sent) -> None:
        if self._kept is None:
            self._kept = await self._connect()
        started_s = time.monotonic()
        answer, faults = await self._exchange(self._kept, sent)
        took_s = time.monotonic() - started_s
        if took_s > self._outcome.slowest_s:
            self._outcome.slowest_s, self._outcome.slowest_number = took_s, number
        if answer is None or answer.is_last or sent.method == "HEAD":
            self._drop()
        self._note(sent.wire, answer)
        if faults:
            data = await shrunk(sent, faults[0], self._connect, self._exchange)
            self._outcome.fault(number, sent.wire, "; ".join(faults), data)

    async def _exchange(self, stream: Stream, sent: Sent) -> tuple[Answer | None, list[str]]:
        return await exchange(stream, sent, limit_s=self._plan.answer_limit_s)

    def _note(self, wire: str, answer: Answer | None) -> None:
        self._outcome.counts[wire, str(answer.status) if answer else "no answer"] += 1
        if answer is not None and answer.status == 200 and _is_billed(wire):
            is_whole = b"exception" not in answer.body[-600:] and FAILED not in answer.body[-9000:]
            self._outcome.billed_at_least += is_whole

    # Scripts.

    async def _play(self, number: int, dice: random.Random) -> None:
        played = script(lambda: self._make(dice), dice)
        stream = await self._connect()
        faults: list[str] = []
        try:
            async with asyncio.timeout(self._plan.answer_limit_s):
                faults = await self._perform(played, stream)
        except TimeoutError:
            faults = [f"no end within {self._plan.answer_limit_s} s"]
        except UNREADABLE as error:
            faults = [f"{type(error).__name__}: {error}"]
        except Cut:
            # Whoever ends his side while an answer comes gets no more of it.
            if played.ending is Ending.WAITS:
                faults = ["the connection ended inside an answer"]
        except OSError as error:
            if played.ending is Ending.WAITS:
                faults = [f"{error!r}"]
        finally:
            stream[1].transport.abort()
        if faults:
            text = "; ".join(faults)
            self._outcome.fault(number, f"http {played.kind}", text, played.whole)

    async def _perform(self, played: Script, stream: Stream) -> list[str]:
        reader, writer = stream
        for piece, pause_s in zip(played.pieces, _pauses(played), strict=False):
            writer.write(piece)
            if pause_s > 0:
                await asyncio.sleep(pause_s)
        if played.ending is Ending.RESETS:
            _reset(writer)
            self._outcome.counts[f"http {played.kind}", "reset"] += 1
            return []
        if played.ending is Ending.WAITS:
            return await self._read_due(played, reader)
        await self._wait_quietly(played, reader)
        writer.write_eof()
        return await self._read_rest(played, reader)

    async def _read_due(self, played: Script, reader: asyncio.StreamReader) -> list[str]:
        wire = f"http {played.kind}"
        if played.refused_with:
            is_head = played.whole.startswith(b"HEAD ")
            answer = await read_answer(reader, is_head=is_head)
            self._outcome.counts[wire, str(answer.status) if answer else "no answer"] += 1
            if answer is None or answer.status not in played.refused_with:
                return [f"owed one of {played.refused_with}, came {answer and answer.status}"]
            return [] if is_head else faults_of(answer, None)
        for place, sent in enumerate(played.due):
            answer = await read_answer(reader, is_head=sent.method == "HEAD")
            self._outcome.counts[wire, str(answer.status) if answer else "no answer"] += 1
            if answer is None:
                return [f"{place} answers came of {len(played.due)} that are due"]
            faults = faults_of(answer, sent)
            if faults:
                return faults
            if answer.is_last:
                break  # a refusal of HTTP's own; what was sent after it is not owed an answer
        return []

    async def _wait_quietly(self, played: Script, reader: asyncio.StreamReader) -> None:
        """Until an answer has begun, or none seems to be coming."""
        if played.pauses_s[:1] == [-1]:
            return
        try:
            async with asyncio.timeout(QUIET_S):
                while not reader._buffer and not reader.at_eof():  # type: ignore[attr-defined]
                    await asyncio.sleep(0.001)
        except TimeoutError:
            pass

    async def _read_rest(self, played: Script, reader: asyncio.StreamReader) -> list[str]:
        wire = f"http {played.kind}"
        for place in count():
            is_head = place == 0 and played.whole.startswith(b"HEAD ")
            answer = await read_answer(reader, is_head=is_head)
            if answer is None:
                break
            self._outcome.counts[wire, str(answer.status)] += 1
            faults = [] if is_head else faults_of(answer, None)
            if faults:
                return faults
        self._outcome.counts[wire, "closed"] += 1
        return []


BILLED = frozenset({"openai chat", "openai embeddings", "openai responses", "anthropic messages"})
FAILED = b'"response.failed"'


def _is_billed(wire: str) -> bool:
    """Whether each whole answer is one of a model."""
    return wire in BILLED or wire.startswith(("converse", "invoke"))


def _pauses(played: Script) -> list[float]:
    return played.pauses_s + [0] * len(played.pieces)


def _reset(writer: asyncio.StreamWriter) -> None:
    connected = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def connect(host: str, port: int, *, ssl: SSLContext | None = None) -> Stream:
    """A connection, plain or over TLS; the caller closes it."""
    return await asyncio.open_connection(host, port, limit=READER_LIMIT, ssl=ssl)


async def exchange(
    stream: Stream, sent: Sent, *, limit_s: float = 5
) -> tuple[Answer | None, list[str]]:
    """Send one request and judge its answer."""
    reader, writer = stream
    try:
        async with asyncio.timeout(limit_s):
            writer.write(sent.whole)
            answer = await read_answer(reader, is_head=sent.method == "HEAD")
        if answer is None:
            return None, ["the connection ended without an answer"]
        return answer, faults_of(answer, sent)
    except TimeoutError:
        return None, [f"no answer within {limit_s} s"]
    except Cut:
        return None, ["the connection ended inside the answer"]
    except UNREADABLE as error:
        return None, [f"{type(error).__name__}: {error}"]
    except OSError as error:
        return None, [repr(error)]
