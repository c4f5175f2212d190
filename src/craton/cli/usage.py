"""`craton usage`: what was used and what it cost, in sums or request by request."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from craton.cli.connection import Connection
from craton.cli.groups import connect
from craton.cli.options import DATA, AsJson, Data, OfAccount
from craton.cli.output import day_and_time, price, print_json, print_table
from craton.economics.contract import Summary, SummaryLine, UsageLine, UsagePage
from craton.economics.meters import Meter
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import BadRequest

PAGE_MAX = 1000
_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}

_INPUT = (Meter.INPUT_TOKENS, Meter.CACHE_READ_TOKENS, Meter.CACHE_WRITE_TOKENS)
"""Whatever of a prompt was counted, wherever it came from."""


def usage(
    *,
    data: Data = DATA,
    account: OfAccount = None,
    since: Annotated[
        str | None,
        typer.Option(help="From when on: 90m, 24h, 7d, 2w, or a UTC date such as 2026-11-01."),
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Request by request, newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most records.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what was used and what it cost, by account and model."""
    since_ms = moment(since, SystemClock()) if since else 0
    connection = connect(data)
    if records:
        found = newest(connection, account, since_ms=since_ms, limit=limit)
        if as_json:
            print_json({"records": found})
        else:
            _print_records(found)
        return
    query = {"account": account, "since_ms": since_ms}
    summary = connection.get("/usage/summary", Summary, query)
    if as_json:
        print_json({"lines": summary.lines, "totals": totals(summary.lines)})
    else:
        _print_summary(summary.lines)


def moment(text: str, clock: Clock) -> int:
    """A time in milliseconds since the epoch, from what a person wrote; BadRequest if unclear."""
    if match := _AGO.fullmatch(text):
        return max(0, clock.now_ns() // 1_000_000 - int(match[1]) * _UNIT_MS[match[2]])
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"--since is {text!r}. Write 90m, 24h, 7d, 2w, or a date such as 2026-11-01."
        ) from None
    at = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return max(0, int(at.timestamp() * 1000))


def newest(
    connection: Connection, account: str | None, *, since_ms: int, limit: int
) -> list[UsageLine]:
    """The newest records, page by page."""
    found: list[UsageLine] = []
    before: str | None = None
    while len(found) < limit:
        query = {
            "account": account,
            "since_ms": since_ms,
            "before": before,
            "limit": min(PAGE_MAX, limit - len(found)),
        }
        page = connection.get("/usage", UsagePage, query)
        found += page.records
        before = page.next
        if before is None:
            break
    return found


def totals(lines: Sequence[SummaryLine]) -> dict[str, int]:
    """The cost of all lines together, by currency."""
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.currency] = sums.get(line.currency, 0) + line.amount_nanos
    return sums


def _input(quantities: Mapping[str, int]) -> int:
    return sum(quantities.get(meter, 0) for meter in _INPUT)


def _print_summary(lines: Sequence[SummaryLine]) -> None:
    rows = [
        (
            line.account,
            line.resource,
            str(line.requests),
            str(_input(line.quantities)),
            str(line.quantities.get(Meter.OUTPUT_TOKENS, 0)),
            price(line.amount_nanos, line.currency),
        )
        for line in lines
    ]
    rows += [
        ("", "all", str(sum(x.requests for x in lines)), "", "", price(amount, currency))
        for currency, amount in totals(lines).items()
    ]
    columns = ("ACCOUNT", "MODEL", "REQUESTS", "TOKENS IN", "TOKENS OUT", "COST")
    print_table(columns, rows, empty="Nothing was used.", right=columns[2:])


def _print_records(lines: Sequence[UsageLine]) -> None:
    rows = [
        (
            day_and_time(line.at_ms),
            line.request_id,
            line.account,
            line.resource,
            str(_input(line.quantities)),
            str(line.quantities.get(Meter.OUTPUT_TOKENS, 0)),
            price(line.amount_nanos, line.currency),
            line.outcome,
        )
        for line in lines
    ]
    columns = ("UTC", "REQUEST", "ACCOUNT", "MODEL", "IN", "OUT", "COST", "OUTCOME")
    print_table(columns, rows, empty="Nothing was used.", right=("IN", "OUT", "COST"))
