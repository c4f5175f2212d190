"""One race: many clients, several workers, one budget or limit.

Each client asks again and again until it is told that nothing of its size can fit any more. Then
what was posted is compared with what was allowed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from craton.access.contract import NewKey
from craton.access.credentials import read_credentials
from craton.bootstrap.settings import ECHO_MODEL, Settings
from craton.bootstrap.up import running
from craton.cli.connection import Connection
from craton.economics.contract import BudgetStatus, LimitStatus, Summary
from craton.kernel.clock import SystemClock
from craton.kernel.log import Level, Log
from tests.crash.client import Client
from tests.crash.killing import until_ready
from tests.limits.upstream import Upstream

Json = dict[str, Any]

PROMPT = "one two three four five"
WORDS = len(PROMPT.split())
MAX_TOKENS = 40
INPUT_NANOS, OUTPUT_NANOS = 20, 80
"""A token's price, of Craton's own default tariff."""
COST = WORDS * (INPUT_NANOS + OUTPUT_NANOS)
HELD = WORDS * INPUT_NANOS + MAX_TOKENS * OUTPUT_NANOS
HELD_REMOTE = 200 * 25 + 3 + MAX_TOKENS * OUTPUT_NANOS
"""At most: a remote prompt is held as if each byte were a token that its cache keeps."""
REMOTE = "local.far"
AGAIN_S = 0.005
"""Sooner than a client is told to try again, so that the race is close."""
START_LIMIT_S = 60


@dataclass
class Result:
    """What a race left."""

    answered: int = 0
    refused: int = 0
    refused_for_now: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    budget: BudgetStatus | None = None
    limit: LimitStatus | None = None
    posted_nanos: int = 0
    """What the usage records of the race cost."""
    over_hold_nanos: float = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ground:
    """A running Craton, and an account of its own to race on."""

    operator: Connection
    account: str
    key: str

    def client(self, model: str) -> Client:
        parts = urlsplit(self.operator.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return Client(parts.hostname, parts.port, self.key, model)

    async def get(self, path: str, reads: Any) -> Any:
        return await asyncio.to_thread(self.operator.get, path, reads)

    async def post(self, path: str, reads: Any, body: Json) -> Any:
        return await asyncio.to_thread(self.operator.post, path, reads, body)

    async def metric(self, name: str) -> float:
        _, body = await self.client(ECHO_MODEL).get("/metrics")
        lines = [line for line in body.decode().splitlines() if line.startswith(name + "{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@asynccontextmanager
async def ground(data: Path, *, workers: int) -> AsyncGenerator[Ground]:
    """A Craton on the echo engine."""
    settings = Settings(data=data, port=0, engine="echo", workers=workers)
    log = Log("supervisor", level=Level.ERROR)
    async with running(settings, clock=SystemClock(), log=log) as craton:
        async with asyncio.timeout(START_LIMIT_S):
            while not craton.settings.credentials.exists():
                await asyncio.sleep(0.02)
            credentials = read_credentials(craton.settings.credentials)
            key = credentials.keys[credentials.default].api_key
            settings = craton.settings
            await until_ready(Client(settings.host, settings.port, key, ECHO_MODEL))
        yield await asyncio.to_thread(racing, Connection(craton.url, key))


def racing(operator: Connection) -> Ground:
    """An account that nobody else uses."""
    account = operator.post("/accounts", Json, {"name": "racers"})["id"]
    key = operator.post("/keys", NewKey, {"name": "racer", "account": account})
    return Ground(operator, account, key.api_key)


async def race_budget(on: Ground, *, clients: int, amount: int, model: str = ECHO_MODEL) -> Result:
    """Race for a budget until no request fits any more."""
    body = {
        "name": "race", "account": on.account, "amount_nanos": amount, "period": "total"
    }  # fmt: skip
    made: BudgetStatus = await on.post("/budgets", BudgetStatus, body)
    result = Result()
    await asyncio.gather(*(_until_refused(on.client(model), result) for _ in range(clients)))
    result.budget = await on.get(f"/budgets/{made.id}", BudgetStatus)
    summary: Summary = await on.get(f"/usage/summary?account={on.account}", Summary)
    result.posted_nanos = sum(line.amount_nanos for line in summary.lines)
    result.over_hold_nanos = await on.metric("craton_over_hold_nanos_total")
    _judge_budget(result, held=HELD if model == ECHO_MODEL else HELD_REMOTE)
    return result


async def _until_refused(client: Client, result: Result) -> None:
    while True:
        told = await client.ask(PROMPT, stream=result.answered % 2 == 0, max_tokens=MAX_TOKENS)
        result.faults += told.faults
        if told.is_acknowledged:
            result.answered += 1
        elif told.status == 429 and "Try again" in told.error:
            result.refused_for_now += 1
            await asyncio.sleep(AGAIN_S)
        elif told.status == 429:
            result.refused += 1
            return
        else:
            result.errors[f"{told.status} {told.error[:200]}"] += 1
            return


def _judge_budget(result: Result, *, held: int) -> None:
    budget, faults = result.budget, result.faults
    assert budget is not None
    faults += [f"{count} times: {error}" for error, count in result.errors.items()]
    if budget.held_nanos:
        faults.append(f"{budget.held_nanos} nanos are held though nothing runs")
    if budget.spent_nanos != result.posted_nanos:
        faults.append(f"the budget counts {budget.spent_nanos}, the ledger {result.posted_nanos}")
    overshoot = max(0, result.posted_nanos - budget.amount_nanos)
    if overshoot > result.over_hold_nanos:
        faults.append(f"{overshoot} overdrawn, of which {result.over_hold_nanos} are explained")
    if budget.left_nanos >= held:
        faults.append(f"{budget.left_nanos} are left, and a request of {held} was refused")
    if budget.over_nanos != overshoot:
        faults.append(f"{overshoot} overdrawn, of which the budget shows {budget.over_nanos}")


async def race_limit(on: Ground, *, clients: int, requests: int) -> Result:
    """Race for the requests of one minute."""
    body = {"name": "race", "account": on.account, "requests_per_minute": requests}
    made: LimitStatus = await on.post("/limits", LimitStatus, body)
    result = Result()

    async def run() -> None:
        client = on.client(ECHO_MODEL)
        for _ in range(3 * requests // clients + 3):
            told = await client.ask(PROMPT, stream=False, max_tokens=MAX_TOKENS)
            result.faults += told.faults
            if told.is_acknowledged:
                result.answered += 1
            elif told.status == 429:
                result.refused += 1
            else:
                result.errors[f"{told.status} {told.error[:200]}"] += 1

    await asyncio.gather(*(run() for _ in range(clients)))
    result.limit = await on.get(f"/limits/{made.id}", LimitStatus)
    result.faults += [f"{count} times: {error}" for error, count in result.errors.items()]
    if result.answered != requests:
        result.faults.append(f"{result.answered} requests were answered, {requests} are allowed")
    return result


@asynccontextmanager
async def overrunning_model(on: Ground, *, excess_tokens: int) -> AsyncGenerator[str]:
    """A remote model whose answers use more than they were allowed to."""
    async with Upstream(output_tokens=MAX_TOKENS + excess_tokens).serving() as origin:
        source = {"type": "remote", "origin": origin, "model": "far"}
        await on.post("/models", Json, {"id": REMOTE, "source": source})
        yield REMOTE
