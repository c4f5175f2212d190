"""What the commands about capacity and leases share: whose keys, which moments, what they print."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from craton.apis.native.runs_contract import RunView
from craton.cli.connection import Connection
from craton.cli.installation import read_installation
from craton.cli.output import price
from craton.fleet.contract import LeaseView
from craton.fleet.records import WHOLE_MILLI, chips_in
from craton.kernel.errors import BadRequest

NAMED_MAX = 200
"""More hosts than this are counted, not named."""
HOUR_S = 3600
NOT_REAL = "simulated"
IMAGINED = "This is simulated capacity: it is only imagined, and nothing runs there."

As = Annotated[
    str | None,
    typer.Option("--account", help="For which account: whose keys of the credentials file to use."),
]
ReservationId = Annotated[
    str, typer.Argument(help="Its id (cr-…), as `craton capacity list` shows it.")
]


def connect_as(data: Path, account: str | None) -> Connection:
    """The running Craton of a data folder, with the keys of one account of it."""
    installation = read_installation(data)
    return Connection(
        installation.endpoint.url,
        installation.key(account).api_key,
        trust=installation.endpoint.trust,
    )


def moment_s(text: str | None, option: str) -> int | None:
    """A UTC date or moment as people write it, in seconds; BadRequest if unclear."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"{option} is {text!r}. Write a date such as 2026-12-01, or a moment such as "
            "2026-12-01T11:30; both are UTC."
        ) from None
    at = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return max(0, int(at.timestamp()))


def part_terms(
    chips: str | None, cpus: float | None, memory_gib: float | None
) -> dict[str, int | None]:
    """What of a host is asked for, as the native API takes it; BadRequest for what is no number."""
    milli = None if chips is None else _milli(chips)
    is_part = milli is not None and milli < WHOLE_MILLI
    return {
        "chips": None if milli is None else max(1, milli // WHOLE_MILLI),
        "chip_milli": milli if is_part else None,
        "cpu_milli": None if cpus is None else round(cpus * 1000),
        "memory_mib": None if memory_gib is None else round(memory_gib * 1024),
    }


def _milli(chips: str) -> int:
    """Thousandths of chips, of text: a whole number of chips, or less than one."""
    try:
        milli = Decimal(chips) * WHOLE_MILLI
    except InvalidOperation:
        milli = Decimal(0)
    if not milli.is_finite() or milli <= 0 or milli % (WHOLE_MILLI if milli > WHOLE_MILLI else 1):
        raise BadRequest(
            f"--chips {chips}: give a whole number, or thousandths of one chip, such as 0.25."
        )
    return int(milli)


def held_words(held: LeaseView | RunView) -> str:
    """How many chips somebody has, or which part of one."""
    milli = WHOLE_MILLI if held.part is None else held.part.chip_milli
    return f"{held.chips * milli / WHOLE_MILLI:g} x {held.chip}"


def utc(at_s: int | None) -> str:
    """A moment to the minute; a dash where there is none."""
    if at_s is None:
        return "-"
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def days(seconds: int) -> str:
    """How long, in whole days where it is some, else in days and hours."""
    whole, rest = divmod(seconds, 24 * HOUR_S)
    hours = f"{rest / HOUR_S:.3g} h" if rest else ""
    return " ".join(part for part in (f"{whole} d" if whole else "", hours) if part) or "0 h"


def an_hour(amount_nanos: int, hosts: int, seconds: int, currency: str) -> str:
    """The price of a host for an hour, rounded to a hundredth of a cent where it isn't exact."""
    whole, rest = divmod(amount_nanos * HOUR_S, max(1, hosts * seconds))
    if not rest:
        return price(whole, currency)
    return "about " + price(round(whole, -5), currency)


Cpus = Annotated[
    float | None,
    typer.Option(min=0.001, help="Of a divided host so many processors; else its chips' part."),
]
MemoryGib = Annotated[
    float | None,
    typer.Option(min=0.001, help="Of a divided host so much memory; else its chips' part."),
]
SomeChips = Annotated[
    str | None, typer.Option(help="How many chips in all; of a divided host also a part: 0.5.")
]


def hosts_line(hosts: Sequence[str]) -> str:
    """Names of hosts, as many as can be read."""
    more = len(hosts) - NAMED_MAX
    told = ", ".join(hosts[:NAMED_MAX])
    return f"{told} and {more:,} more (--json lists all)" if more > 0 else told


def chips_of(mask: int) -> str:
    """The numbers of the chips of a mask, runs of them as `0-7`."""
    runs: list[list[int]] = []
    for number in chips_in(mask):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs)
