"""Usage and the ledger: what was used, what it cost, and whether the books balance."""

from typing import Any

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import ById, ListBalances, ListUsage, Nothing, SummarizeUsage
from craton.apis.native.operation import READ, Caller, Operation
from craton.economics.contract import (
    Balances,
    BalancesQuery,
    Summary,
    SummaryQuery,
    UsageLine,
    UsagePage,
    UsageQuery,
    Verdict,
    VerifyQuery,
)
from craton.kernel.errors import NotFound
from craton.kernel.ids import time_of

SUM_TIMEOUT_S = 60
"""Sums over every record take longer than a plain call: about a second for a million."""
LATE_MS = 15 * 60_000
"""A record is made when its request ends: at most 600 s of generation after the time in its id."""
_AFTER_ITSELF = "~"
"""Sorts after every character of an id, so `id + "~"` is just past that id."""


async def list_usage(caller: Caller, asked: ListUsage) -> UsagePage:
    """A page of usage records, newest first."""
    query = UsageQuery(caller.scope(asked.account), asked.before, asked.limit)
    page = await caller.services.state.call("usage", query, UsagePage)
    if not asked.since_ms:
        return page
    is_last = bool(page.records) and (
        time_of(page.records[-1].request_id) < asked.since_ms - LATE_MS
    )
    records = [line for line in page.records if line.at_ms >= asked.since_ms]
    return UsagePage(records, None if is_last else page.next)


async def get_usage(caller: Caller, asked: ById) -> UsageLine:
    """The record of one request."""
    query = UsageQuery(caller.scope(None), asked.id + _AFTER_ITSELF, 1)
    page = await caller.services.state.call("usage", query, UsagePage)
    for line in page.records:
        if line.request_id == asked.id:
            return line
    raise NotFound(
        f"There is no usage record of a request {asked.id!r}. A request that was refused has none."
    )


async def summarize_usage(caller: Caller, asked: SummarizeUsage) -> Summary:
    """Totals by account and model."""
    query = SummaryQuery(caller.scope(asked.account), asked.since_ms)
    return await caller.services.state.call("summary", query, Summary, timeout_s=SUM_TIMEOUT_S)


async def list_balances(caller: Caller, asked: ListBalances) -> Balances:
    """The balance of each ledger account."""
    query = BalancesQuery(asked.prefix)
    return await caller.services.state.call("balances", query, Balances, timeout_s=SUM_TIMEOUT_S)


async def verify_ledger(caller: Caller, _: Nothing) -> Verdict:
    """Check that every transaction sums to zero and belongs to a usage record."""
    return await caller.services.state.call(
        "verify", VerifyQuery(), Verdict, timeout_s=SUM_TIMEOUT_S
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListUsage",
        method="GET",
        path="/usage",
        summary="List usage records, newest first",
        action=READ,
        takes=ListUsage,
        returns=UsagePage,
        run=list_usage,
    ),
    Operation(
        name="SummarizeUsage",
        method="GET",
        path="/usage/summary",
        summary="Totals by account and model",
        action=READ,
        takes=SummarizeUsage,
        returns=Summary,
        run=summarize_usage,
    ),
    Operation(
        name="GetUsage",
        method="GET",
        path="/usage/{id}",
        summary="The record of one request, by its request id",
        action=READ,
        takes=ById,
        returns=UsageLine,
        run=get_usage,
    ),
    Operation(
        name="ListBalances",
        method="GET",
        path="/ledger/balances",
        summary="Balances of the ledger's accounts",
        action=ADMINISTER,
        takes=ListBalances,
        returns=Balances,
        run=list_balances,
    ),
    Operation(
        name="VerifyLedger",
        method="GET",
        path="/ledger/verify",
        summary="Check that every transaction sums to zero",
        action=ADMINISTER,
        takes=Nothing,
        returns=Verdict,
        run=verify_ledger,
    ),
)
