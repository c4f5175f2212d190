"""python -m benchmarks.fleet.earliest: how long the earliest free block takes to find.

Fills the calendar of 90,000 units nearly up (blocks.toml, seed and all): for 8 weeks, as far ahead
as capacity blocks are sold, and for 8 years, with starts and ends by the second between the blocks'
whole days. Then asks for the earliest start of blocks that the calendar hardly has room for. Last,
the whole search for offers is asked, which seals and prices up to three of them.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleet.blocks import blocks, read_blocks
from craton.bootstrap.migrate import migrate
from craton.bootstrap.settings import Settings
from craton.bootstrap.state_process import economy, office, price_folders
from craton.economics.prices import load_prices
from craton.fleet.calendar import Calendar
from craton.fleet.contract import ApplyFleet, Owner, SearchOffers
from craton.fleet.fleet import Fleet
from craton.fleet.office import FleetOffice
from craton.fleet.terms import DAY_S, END_OF_DAY_S, HOUR_S
from craton.kernel.clock import SystemClock
from craton.kernel.metrics import Metrics
from craton.store.database import transaction
from craton.store.documents import Transaction
from craton.store.sqlite import open_sqlite

UNITS = 90_000
REFUSED_IN_A_ROW = 400
"""After so many blocks that found no room the calendar is called nearly full."""
SLACK_DAYS = 182
"""How long after the last start a block may go on."""


@dataclass(frozen=True)
class Filled:
    """What was sold, of what there is until the last start, and how long a booking took."""

    sold: float
    blocks: int
    book_us: np.ndarray


def fill(
    calendar: Calendar, now_s: int, days: int, mix: dict[str, Any], *, times: int, by_second: int
) -> Filled:
    """Sell until hardly anything fits; before, `by_second` promises that keep to no clock.

    Each block is of `times` as many units as customers ask for.
    """
    rng = random.Random(mix["seed"])
    for _ in range(by_second):
        start = now_s + rng.randrange(days * DAY_S)
        calendar.book(start, start + rng.randint(HOUR_S, 14 * DAY_S), rng.randint(1, 8))
    day = now_s + (END_OF_DAY_S - now_s) % DAY_S
    refused, sold, took_ns = 0, 0, []
    for block in blocks(mix, days):
        units = block.units * times
        start, last = day + block.first * DAY_S, day + block.last * DAY_S
        length_s = block.days * DAY_S
        runs = calendar.runs(units, start, last + length_s + 1)
        found = runs.first(length_s, phase_s=END_OF_DAY_S, period_s=DAY_S)
        if found is None:
            refused += 1
            if refused == REFUSED_IN_A_ROW:
                break
            continue
        refused, sold = 0, sold + 1
        began = time.perf_counter_ns()
        calendar.book(found, found + length_s, units)
        took_ns.append(time.perf_counter_ns() - began)
    moments, free = calendar.skyline(now_s, day + days * DAY_S)
    lengths = np.diff(np.append(moments, day + days * DAY_S))
    share = 1 - float((free * lengths).sum()) / (UNITS * float(lengths.sum()))
    return Filled(share, sold, np.array(took_ns) / 1000)


def timed(ask: Callable[[], object]) -> tuple[int, int]:
    """Nanoseconds, elapsed and of the processor."""
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    ask()
    return time.perf_counter_ns() - wall, time.thread_time_ns() - cpu


def row(name: str, calendar: Calendar, times: list[tuple[int, int]], found: int) -> None:
    wall, cpu = (np.percentile(each, [50, 99]) / 1e6 for each in np.array(times).T)
    cells = (
        name,
        f"{calendar.steps:,}",
        f"{2 * 8 * len(calendar._times) / 1e6:.2f}",  # noqa: SLF001 - what it really keeps
        f"{100 * found / len(times):.0f} %",
        f"{wall[0]:.3f} / {wall[1]:.3f}",
        f"{cpu[0]:.3f} / {cpu[1]:.3f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


HEAD = ("asked", "steps", "calendar MB", "found", "elapsed ms p50 / p99", "CPU ms p50 / p99")


def searches(calendar: Calendar, now_s: int, days: int, asks: int, seed: int) -> None:
    """The earliest start of blocks of all sizes, between now and the last start."""
    rng = random.Random(seed)
    last_s, times, found = now_s + (days + SLACK_DAYS) * DAY_S, [], 0
    for _ in range(asks):
        units = rng.choice((1, 4, 16, 64, 1024, 8192))
        length_s = rng.choice((1, 7, 14, 28, 182)) * DAY_S

        def ask(units: int = units, length_s: int = length_s) -> int | None:
            runs = calendar.runs(units, now_s, last_s)
            return runs.first(length_s, phase_s=END_OF_DAY_S, period_s=DAY_S)

        found += ask() is not None
        times.append(timed(ask))
    row(f"runs and first, {days:,} days", calendar, times, found)


def offers(desk: FleetOffice, fleet: Fleet, key: str, asks: int, seed: int) -> None:
    """The whole search, as DescribeCapacityBlockOfferings asks for it."""
    rng, times, found = random.Random(seed), [], 0
    book = fleet.book(key)
    owner = Owner("account-1", "default", "key-1")
    for _ in range(asks):
        query = SearchOffers(
            owner=owner,
            instance_type=book.plan.type.name,
            ultraserver=None,
            units=rng.choice((1, 4, 16, 64)),
            hours=24 * rng.choice((1, 7, 14, 28, 182)),
        )
        found += bool(desk.search(query).offers)
        times.append(timed(lambda query=query: desk.search(query)))
    row("search for offers, 8 weeks", book.calendar, times, found)


def opened(folder: Path) -> FleetOffice:
    """The fleet's commands over an empty database, as the state process puts them together."""
    migrate(folder / "craton.db")
    (folder / "vault.key").write_bytes(b"b" * 32)
    connection, clock = open_sqlite(folder / "craton.db"), SystemClock()
    settings = Settings(data=folder, run=folder)
    prices = load_prices(price_folders(folder))
    rated = economy(connection, prices, awaited=[], clock=clock, metrics=Metrics())
    desk = office(settings, rated, prices, clock)
    writing = Transaction(connection, clock.now_ns() // 1_000_000)
    text = (
        '[[site]]\nname = "north"\ndriver = "simulated"\n[[site.row]]\nname = "r"\ncount = 90\n'
        '[[site.row.rack]]\nname = "t"\ntype = "trn2.48xlarge"\ncount = 100\nhosts = 10\n'
    )
    with transaction(connection):
        desk.apply(writing, ApplyFleet(text))
    return desk


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--asks", type=int, default=2000)
    parser.add_argument(
        "--by-second", type=int, default=10_000, help="promises off the clock, for 8 weeks"
    )
    arguments = parser.parse_args()
    mix, now_s = read_blocks(), int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        desk = opened(Path(folder))
        book = desk.fleet.book("north/trn2.48xlarge")
        assert book.units == UNITS, "the fleet file"
        years = Calendar("8 years", UNITS)
        lines: list[str] = []
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
        for calendar, days, times in ((book.calendar, 56, 1), (years, 8 * 365, 50)):
            by_second = arguments.by_second * (1 if days == 56 else 5)
            filled = fill(calendar, now_s, days, mix, times=times, by_second=by_second)
            searches(calendar, now_s, days, arguments.asks, mix["seed"])
            book_us = np.percentile(filled.book_us, [50, 99])
            lines.append(
                f"{days:,} days: {filled.blocks:,} blocks, {100 * filled.sold:.1f} % sold until "
                f"the last start; a booking took {book_us[0]:.0f} / {book_us[1]:.0f} us "
                "(p50 / p99, elapsed)"
            )
        offers(desk, desk.fleet, "north/trn2.48xlarge", arguments.asks, mix["seed"])
        print("\n" + "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
