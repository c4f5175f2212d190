"""What the ledger says: usage, balances, and whether it is whole. Reads only."""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import exists, func, literal, select
from sqlalchemy.sql import bindparam

from craton.economics.contract import (
    Balance,
    Balances,
    BalancesQuery,
    Summary,
    SummaryLine,
    SummaryQuery,
    UsageLine,
    UsagePage,
    UsageQuery,
    Verdict,
    VerifyQuery,
)
from craton.economics.sums import is_unbalanced, sums, total
from craton.economics.tables import POSTINGS, USAGE, WITH_COST
from craton.kernel.units import decimal
from craton.store.database import Connection, Row, Statement

PAGE_MAX = 1000
_SUMMARY_ROWS = 10_000
FREE_CURRENCY = "USD"
"""Of what cost nothing and so has no posting."""

_COST = (*sums(POSTINGS.c.amount), func.max(POSTINGS.c.currency))
_USAGE = Statement(
    select(*USAGE.columns, *_COST)
    .select_from(WITH_COST)
    .where(
        (bindparam("everyone") == literal(1)) | (USAGE.c.account == bindparam("account")),
        USAGE.c.request_id < bindparam("before"),
    )
    .group_by(USAGE.c.request_id)
    .order_by(USAGE.c.request_id.desc())
    .limit(bindparam("count"))
)
_SINCE = Statement(
    select(
        USAGE.c.request_id,
        USAGE.c.account,
        USAGE.c.resource,
        USAGE.c.quantities,
        *_COST,
    )
    .select_from(WITH_COST)
    .where(
        (bindparam("everyone") == literal(1)) | (USAGE.c.account == bindparam("account")),
        USAGE.c.at_ms >= bindparam("since"),
        USAGE.c.request_id > bindparam("after"),
    )
    .group_by(USAGE.c.request_id)
    .order_by(USAGE.c.request_id)
    .limit(bindparam("count"))
)
_BALANCES = Statement(
    select(
        POSTINGS.c.ledger_account,
        POSTINGS.c.currency,
        func.count(),
        *sums(POSTINGS.c.amount),
    )
    .where(POSTINGS.c.ledger_account >= bindparam("low"))
    .where(POSTINGS.c.ledger_account < bindparam("high"))
    .group_by(POSTINGS.c.ledger_account, POSTINGS.c.currency)
    .order_by(POSTINGS.c.ledger_account)
)
_UNBALANCED = Statement(
    select(POSTINGS.c.transaction_id, POSTINGS.c.currency, *sums(POSTINGS.c.amount))
    .group_by(POSTINGS.c.transaction_id, POSTINGS.c.currency)
    .having(is_unbalanced(POSTINGS.c.amount))
    .limit(100)
)
_ORPHANS = Statement(
    select(POSTINGS.c.transaction_id)
    .where(~exists().where(USAGE.c.request_id == POSTINGS.c.transaction_id))
    .distinct()
    .limit(100)
)
_TOTALS = Statement(
    select(
        select(func.count()).select_from(USAGE).scalar_subquery(),
        select(func.count(POSTINGS.c.transaction_id.distinct())).scalar_subquery(),
        func.count(),
        *sums(POSTINGS.c.amount),
    ).select_from(POSTINGS)
)
_LAST = "g"  # after every hexadecimal digit


def usage(connection: Connection, query: UsageQuery) -> UsagePage:
    """A page of usage records with their costs."""
    limit = max(1, min(query.limit, PAGE_MAX))
    rows = _USAGE.execute(
        connection,
        everyone=int(query.account is None),
        account=query.account,
        before=query.before or _LAST,
        count=limit + 1,
    ).fetchall()
    records = [_line(row) for row in rows[:limit]]
    return UsagePage(records, records[-1].request_id if len(rows) > limit else None)


def _line(row: tuple[Any, ...]) -> UsageLine:
    request_id, at_ms, account, project, principal, resource, replica, outcome = row[:8]
    upper, lower, currency = row[9:]
    amount = total(upper, lower)
    return UsageLine(
        request_id=request_id,
        at_ms=at_ms,
        account=account,
        project=project,
        principal=principal,
        resource=resource,
        replica=replica,
        outcome=outcome,
        quantities=msgspec.json.decode(row[8], type=dict[str, int]),
        amount_nanos=amount,
        currency=currency or FREE_CURRENCY,
        amount=decimal(amount),
    )


def summary(connection: Connection, query: SummaryQuery) -> Summary:
    """Totals by account and resource: sums over records and postings, never a counter."""
    totals: dict[tuple[str, str, str], tuple[int, dict[str, int], int]] = {}
    for _, account, resource, quantities, upper, lower, currency in _since(connection, query):
        key = (account, resource, currency or FREE_CURRENCY)
        requests, counts, cost = totals.get(key, (0, {}, 0))
        for meter, quantity in msgspec.json.decode(quantities, type=dict[str, int]).items():
            counts[meter] = counts.get(meter, 0) + quantity
        totals[key] = (requests + 1, counts, cost + total(upper, lower))
    return Summary(
        [
            SummaryLine(account, resource, requests, counts, cost, currency, decimal(cost))
            for (account, resource, currency), (requests, counts, cost) in sorted(totals.items())
        ]
    )


def _since(connection: Connection, query: SummaryQuery) -> Iterator[Row]:
    """The rows of a summary, a page at a time: all together may be more than memory holds."""
    after = ""
    while True:
        rows = _SINCE.execute(
            connection,
            everyone=int(query.account is None),
            account=query.account,
            since=query.since_ms,
            after=after,
            count=_SUMMARY_ROWS,
        ).fetchall()
        yield from rows
        if len(rows) < _SUMMARY_ROWS:
            return
        after = rows[-1][0]


def balances(connection: Connection, query: BalancesQuery) -> Balances:
    """The balance of each ledger account under a prefix."""
    low, high = query.prefix, query.prefix + "\U0010ffff"
    rows = _BALANCES.execute(connection, low=low, high=high).fetchall()
    found: list[Balance] = []
    for ledger_account, currency, count, *parts in rows:
        amount = total(*parts)
        found.append(Balance(ledger_account, currency, amount, count, decimal(amount)))
    return Balances(found)


def verify(connection: Connection, _: VerifyQuery) -> Verdict:
    """Check that every transaction sums to zero and belongs to a record."""
    totals = _TOTALS.execute(connection).fetchone()
    assert totals is not None
    faults = [
        f"transaction {id} is off by {total(*parts)} nano-{currency}"
        for id, currency, *parts in _UNBALANCED.execute(connection).fetchall()
    ]
    faults += [
        f"transaction {row[0]} has postings and no usage record"
        for row in _ORPHANS.execute(connection).fetchall()
    ]
    records, transactions, postings, *parts = totals
    return Verdict(records, transactions, postings, total(*parts), faults)
