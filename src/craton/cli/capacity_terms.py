"""What the commands about capacity and leases share: whose keys, which moments, what they print."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from craton.cli.connection import Connection
from craton.cli.installation import read_installation
from craton.cli.output import price
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


def hosts_line(hosts: Sequence[str]) -> str:
    """Names of hosts, as many as can be read."""
    more = len(hosts) - NAMED_MAX
    told = ", ".join(hosts[:NAMED_MAX])
    return f"{told} and {more:,} more (--json lists all)" if more > 0 else told


def chips_of(mask: int) -> str:
    """The numbers of the chips of a mask, runs of them as `0-7`."""
    numbers = [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs)
