"""One trial: a real Craton under load, kills at random moments, then the comparison.

Each client notes the id, the figures and the end of every answer. When the killing is over and
Craton was stopped and started cleanly, its ledger is read and compared with these notes.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from craton.access.credentials import read_credentials
from craton.bootstrap.settings import ECHO_MODEL, Settings
from craton.bootstrap.up import Running, running
from craton.economics.contract import (
    UsageLine,
    UsagePage,
    UsageQuery,
    Verdict,
    VerifyQuery,
)
from craton.kernel.clock import SystemClock
from craton.kernel.log import Level, Log
from craton.store.client import StateClient
from tests.crash.client import Client, Told
from tests.crash.killing import (
    Journal,
    Killer,
    Killings,
    ServerKiller,
    ShortMemoryClock,
    until_ready,
)
from tests.crash.purse import Purse
from tests.fakes.postgresql import PostgreSqlServer

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "juniper")
START_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Plan:
    """What a trial does."""

    data: Path
    kills: int
    clients: int = 12
    workers: int = 2
    engine: str = "echo"
    seed: int = 1
    pause_s: float = 0.15
    """The mean pause before each kill of one victim."""
    budget: bool = False
    """Whether the clients race for a budget that is always nearly used up."""
    server: PostgreSqlServer | None = None
    """A server to store everything in, which is killed too; a file if there is none."""
    database: str | None = None
    """The address of its database."""


@dataclass
class Outcome:
    """What a trial found."""

    killings: Killings
    told: list[Told]
    records: list[UsageLine]
    verdict: Verdict
    faults: list[str] = field(default_factory=list)
    billed_unacknowledged: int = 0
    delivered_unbilled: int = 0
    failures_told: Counter[str] = field(default_factory=Counter)
    purse: Purse | None = None

    @property
    def acknowledged(self) -> int:
        return sum(told.is_acknowledged for told in self.told)


async def run_trial(plan: Plan) -> Outcome:
    """Kill under load, restart cleanly, compare."""
    killings = Killings()
    told: list[Told] = []
    journal = Journal(plan.data / "craton.log")
    faults: list[str] = []
    purse: Purse | None = None
    async with _craton(plan) as craton:
        client = await _client(plan, craton)
        purse = Purse(craton.url, _key(craton)) if plan.budget else None
        async with _filled(purse):
            await _load_and_kill(
                plan, craton, client, journal=journal, killings=killings, told=told
            )
        faults += await _internal_errors(client)
    async with _craton(plan) as craton:
        await _client(plan, craton)
        records, verdict = await _ledger(craton)
        if purse is not None:
            await purse.check(craton.url)
            faults += purse.faults
    journal.read()
    outcome = Outcome(killings, told, records, verdict, faults + killings.faults, purse=purse)
    outcome.faults += [f"the log has: {failure[:600]}" for failure in journal.failures]
    compare(outcome)
    return outcome


@asynccontextmanager
async def _craton(plan: Plan) -> AsyncGenerator[Running]:
    settings = Settings(
        data=plan.data,
        port=0,
        engine=plan.engine,
        workers=plan.workers,
        postgresql=plan.database,
    )
    log = Log("supervisor", level=Level.ERROR)
    async with running(settings, clock=ShortMemoryClock(), log=log) as craton:
        yield craton


async def _client(plan: Plan, craton: Running) -> Client:
    """A client, once Craton is ready."""
    async with asyncio.timeout(START_LIMIT_S):
        while not craton.settings.credentials.exists():
            await asyncio.sleep(0.02)
        model = ECHO_MODEL if plan.engine == "echo" else craton.settings.default_model
        client = Client(craton.settings.host, craton.settings.port, _key(craton), model)
        await until_ready(client)
    return client


def _key(craton: Running) -> str:
    credentials = read_credentials(craton.settings.credentials)
    return credentials.keys[credentials.default].api_key


@asynccontextmanager
async def _filled(purse: Purse | None) -> AsyncGenerator[None]:
    """A purse that is filled again and again meanwhile, if there is one."""
    if purse is None:
        yield
        return
    await purse.open()
    stop = asyncio.Event()
    filling = asyncio.get_running_loop().create_task(purse.keep_filling(stop))
    try:
        yield
    finally:
        stop.set()
        await filling


async def _load_and_kill(
    plan: Plan,
    craton: Running,
    client: Client,
    *,
    journal: Journal,
    killings: Killings,
    told: list[Told],
) -> None:
    supervisor = craton.supervisor
    killers = [
        Killer(
            victim,
            supervisor=supervisor,
            journal=journal,
            client=client,
            killings=killings,
            wanted=plan.kills,
            dice=random.Random(f"{plan.seed} {victim}"),
            pause_s=lambda dice: dice.expovariate(1 / plan.pause_s),
        )
        for victim in supervisor.names
    ]
    if plan.server is not None:
        server_killer = ServerKiller(
            plan.server,
            client=client,
            killings=killings,
            wanted=plan.kills,
            dice=random.Random(f"{plan.seed} postgresql"),
            pause_s=lambda dice: dice.expovariate(1 / plan.pause_s),
        )
        killers = [*killers, server_killer]
    stop = asyncio.Event()
    load = [
        asyncio.get_running_loop().create_task(
            _keep_asking(plan, client, random.Random(f"{plan.seed} client {number}"), stop, told)
        )
        for number in range(plan.clients)
    ]
    try:
        await asyncio.gather(*(killer.run() for killer in killers))
        await until_ready(client)
    finally:
        stop.set()
        await asyncio.gather(*load)


async def _keep_asking(
    plan: Plan, client: Client, dice: random.Random, stop: asyncio.Event, told: list[Told]
) -> None:
    while not stop.is_set():
        # Long ones too, so that kills fall into the middle of streams.
        count = dice.choice((3, 20, 200)) if plan.engine == "echo" else 6
        prompt = " ".join(dice.choices(WORDS, k=count))
        limit = None if plan.engine == "echo" else dice.choice((2, 8, 24))
        if plan.budget and limit is None:
            limit = count  # as many words as it will say: what is held is what it costs
        answer = await client.ask(prompt, stream=dice.random() < 0.7, max_tokens=limit)
        if plan.engine == "echo" and answer.is_acknowledged and answer.text != prompt:
            answer.faults.append("an acknowledged answer whose text is not the whole answer")
        answer.text = answer.text[:1]  # only whether there was any
        told.append(answer)
        if answer.status in (0, 429):
            await asyncio.sleep(0.02)  # nobody listens, or no more may be spent: don't spin


async def _internal_errors(client: Client) -> list[str]:
    status, body = await client.get("/metrics")
    if status != 200:
        return [f"/metrics answered {status}"]
    lines = [
        line for line in body.decode().splitlines() if line.startswith("craton_internal_errors")
    ]
    if not lines:
        return ["/metrics has no craton_internal_errors_total"]
    return [f"internal errors: {line}" for line in lines if not line.endswith(" 0")]


async def _ledger(craton: Running) -> tuple[list[UsageLine], Verdict]:
    """Every record and the ledger's verdict, through the state process's own queries."""
    state = StateClient(
        craton.settings.state_socket,
        process="trial",
        leased=False,
        clock=SystemClock(),
        log=Log("trial", level=Level.ERROR),
    )
    await state.open()
    try:
        records: list[UsageLine] = []
        before: str | None = None
        while True:
            page = await state.call("usage", UsageQuery(before=before, limit=1000), UsagePage)
            records += page.records
            before = page.next
            if before is None:
                break
        verdict = await state.call("verify", VerifyQuery(), Verdict, timeout_s=60)
    finally:
        await state.close()
    return records, verdict


def compare(outcome: Outcome) -> None:
    """Hold the clients' notes against the ledger."""
    faults = outcome.faults
    counts = Counter(record.request_id for record in outcome.records)
    faults += [f"{id} has {count} records" for id, count in counts.items() if count > 1]
    by_id = {record.request_id: record for record in outcome.records}
    seen: set[str] = set()
    for told in outcome.told:
        faults += [f"{told.request_id or 'a request'}: {fault}" for fault in told.faults]
        if told.error:
            outcome.failures_told[f"{told.status} {told.error[:100]}"] += 1
        if told.request_id in seen:
            faults.append(f"two answers had the id {told.request_id}")
        if told.request_id:
            seen.add(told.request_id)
        record = by_id.get(told.request_id)
        if told.is_acknowledged:
            _compare_acknowledged(told, record, faults)
        elif record is not None:
            outcome.billed_unacknowledged += 1
        elif told.text:
            outcome.delivered_unbilled += 1
    # What a client never learnt the id of, because the answer's head was lost, was billed too.
    outcome.billed_unacknowledged += len(by_id.keys() - seen)
    verdict = outcome.verdict
    faults += verdict.faults
    if verdict.sum_nanos:
        faults.append(f"the ledger sums to {verdict.sum_nanos}")
    if verdict.usage_records != len(outcome.records):
        faults.append(f"{verdict.usage_records} records, of which {len(outcome.records)} were read")
    if outcome.acknowledged == 0:
        faults.append("nothing was acknowledged, so nothing was tested")


def _compare_acknowledged(told: Told, record: UsageLine | None, faults: list[str]) -> None:
    if record is None:
        faults.append(f"{told.request_id} was acknowledged and has no record")
        return
    usage = told.usage or {}
    quantities = record.quantities
    prompt = sum(
        quantities.get(meter, 0)
        for meter in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )
    recorded = (prompt, quantities.get("output_tokens", 0))
    seen = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    if recorded != seen:
        faults.append(f"{told.request_id}: the client saw {seen}, the record has {recorded}")


def write_notes(outcome: Outcome, path: Path) -> None:
    """Keep the clients' notes for whoever has to find out why."""
    path.write_bytes(b"\n".join(msgspec.json.encode(told) for told in outcome.told) + b"\n")
