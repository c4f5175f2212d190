"""python -m benchmarks.fleet.sells: what a full calendar sells, and whether it keeps its word.

The same blocks (blocks.toml, and several seeds from its own on) are asked for one after the other,
each at the earliest start that its customer's patience allows. Craton promises a number of units
and binds them to hosts at the start. Its rivals choose the units at the sale, as whoever keeps a
calendar for each unit has to: every unit must be free the whole time. `first fit` takes the lowest,
`best fit` those that leave the fewest days idle around the block.

Who sells one block more or less gets other blocks after it, so that sums differ by chance too. What
doesn't: each seller is also asked for exactly what another sold, in that order at those starts.

Then every promise of Craton's is replayed in the order of time onto the real pool, with the code
that binds them: at each start whole free hosts are taken, which are kept until the end. A promise
without its hosts is broken; a host that had to change its holder in between would be a migration.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fleet.blocks import Block, blocks, read_blocks
from craton.fleet.calendar import Calendar
from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Power
from craton.fleet.terms import DAY_S

CRATON = "Craton: at the start"
HOSTS_PER_LEAF, LEAVES_PER_ROW, CHIPS = 4, 16, 16
TAIL_DAYS = 240
"""Blocks go on for so long after the last start at most."""


class Sold(NamedTuple):
    """A block that was sold, and when it starts."""

    block: Block
    start: int


@dataclass
class Late:
    """Craton's calendar: a number of units."""

    calendar: Calendar

    def sell(self, block: Block) -> int | None:
        first_s = (1 + block.first) * DAY_S
        last_s = (1 + block.last + block.days) * DAY_S
        runs = self.calendar.runs(block.units, first_s, last_s)
        start_s = runs.first(block.days * DAY_S, phase_s=0, period_s=DAY_S)
        if start_s is None:
            return None
        self.calendar.book(start_s, start_s + block.days * DAY_S, block.units)
        return start_s // DAY_S - 1


@dataclass
class Early:
    """A calendar for each unit, by day."""

    busy: np.ndarray
    is_best_fit: bool
    assigned: list[np.ndarray] = field(default_factory=list)

    def sell(self, block: Block) -> int | None:
        for start in range(block.first, block.last + 1):
            end = start + block.days
            free = (~self.busy[:, start:end].any(axis=1)).nonzero()[0]
            if len(free) >= block.units:
                chosen = self.choose(free, start, end)[: block.units]
                self.busy[chosen, start:end] = True
                return start
        return None

    def choose(self, free: np.ndarray, start: int, end: int) -> np.ndarray:
        if not self.is_best_fit:
            return free
        idle = self.idle(self.busy[free, :start][:, ::-1]) + self.idle(self.busy[free, end:])
        return free[idle.argsort(kind="stable")]

    @staticmethod
    def idle(days: np.ndarray) -> np.ndarray:
        """By unit: days until the first busy one."""
        busy = np.column_stack((days, np.ones(len(days), np.bool_)))
        return busy.argmax(axis=1)


def sold_by(
    sell: Callable[[Block], int | None], mix: dict[str, Any], days: int, asks: int
) -> tuple[list[Sold], float]:
    """What is sold of so many blocks, and the seconds of processor time that took."""
    began, found = time.thread_time(), []
    for block, _ in zip(blocks(mix, days), range(asks), strict=False):
        start = sell(block)
        if start is not None:
            found.append(Sold(block, start))
    return found, time.thread_time() - began


def pool_of(hosts: int) -> Pool:
    leaves = hosts // HOSTS_PER_LEAF
    rows = -(-leaves // LEAVES_PER_ROW)
    layout = Layout(
        chips_per_host=CHIPS,
        leaf_start=np.arange(leaves + 1, dtype=np.int32) * HOSTS_PER_LEAF,
        row_of_leaf=(np.arange(leaves) // LEAVES_PER_ROW).astype(np.int32),
        power_rows=np.arange(rows, dtype=np.int32),
        sides=(4, 4),
    )
    return Pool(layout, Power([None] * rows, None))


@dataclass
class Audit:
    """What a replay found."""

    kept: int = 0
    broken: int = 0
    unit_days: int = 0
    rows: int = 0


def replay(sold: list[Sold], hosts: int) -> Audit:
    """Bind every promise at its start to whole hosts of a pool, and keep them until its end."""
    pool, audit = pool_of(hosts), Audit()
    ends: dict[int, list[Placement]] = {}
    for day in range(max(each.start for each in sold) + TAIL_DAYS):
        for held in ends.pop(day, ()):
            pool.release(held.hosts, held.masks)
        for block, _ in (each for each in sold if each.start == day):
            found = place(pool, Demand(block.units, CHIPS))
            if not isinstance(found, Placement):
                audit.broken += 1
                continue
            pool.take(found.hosts, found.masks)  # a host that is held already would be refused here
            ends.setdefault(day + block.days, []).append(found)
            audit.kept += 1
            audit.rows += found.rows
            audit.unit_days += block.units * block.days
    assert not ends, "a promise that never ended"
    assert pool.free_hosts == hosts, "a host that never came back"
    pool.check()
    return audit


def audited_early(sold: list[Sold], busy: np.ndarray) -> None:
    """The rival's own books agree: as many unit-days are taken as were sold."""
    assert int(busy.sum()) == sum(each.block.units * each.block.days for each in sold)


def unit_days(sold: list[Sold], days: int) -> int:
    """Unit-days sold, of those before the last start."""
    return sum(
        each.block.units * (min(each.start + each.block.days, days) - each.start) for each in sold
    )


@dataclass
class Total:
    """Sums over the seeds, of one way to bind."""

    blocks: int = 0
    unit_days: int = 0
    before_last: int = 0
    cpu_s: float = 0.0
    same: int = 0
    """Unit-days of what it could sell of exactly what Craton sold; of Craton, of what all sold."""
    same_asked: int = 0
    ratios: list[float] = field(default_factory=list)


def sellers(hosts: int, days: int) -> dict[str, Late | Early]:
    busy = np.zeros((hosts, days + TAIL_DAYS), np.bool_)
    return {
        CRATON: Late(Calendar("units", hosts)),
        "first fit by unit, at the sale": Early(busy.copy(), is_best_fit=False),
        "best fit by unit, at the sale": Early(busy.copy(), is_best_fit=True),
    }


def sell(mix: dict[str, Any], totals: dict[str, Total], arguments: argparse.Namespace) -> Audit:
    """All ways to bind on the same demand; what Craton's promises came to."""
    hosts, days = arguments.hosts, arguments.days
    by_name: dict[str, list[Sold]] = {}
    for name, seller in sellers(hosts, days).items():
        sold, seconds = sold_by(seller.sell, mix, days, arguments.asks)
        by_name[name] = sold
        if isinstance(seller, Early):
            audited_early(sold, seller.busy)
        total = totals.setdefault(name, Total())
        total.blocks += len(sold)
        total.unit_days += all_days(sold)
        total.before_last += unit_days(sold, days)
        total.cpu_s += seconds
        total.ratios.append(all_days(sold) / all_days(by_name[CRATON]))
    for name in by_name:
        for other in by_name if name == CRATON else (CRATON,):
            again = same(sellers(hosts, days)[name], by_name[other])
            totals[name].same += all_days(again)
            totals[name].same_asked += all_days(by_name[other])
    audit = replay(by_name[CRATON], hosts)
    assert audit.broken or audit.unit_days == all_days(by_name[CRATON]), "a promise was lost"
    return audit


def same(seller: Late | Early, sold: list[Sold]) -> list[Sold]:
    """What a seller can sell of exactly that, in that order at those starts."""
    return [
        each
        for each in sold
        if seller.sell(replace(each.block, first=each.start, last=each.start)) is not None
    ]


def all_days(sold: list[Sold]) -> int:
    return sum(each.block.units * each.block.days for each in sold)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=2048)
    parser.add_argument("--days", type=int, default=56, help="starts within so many")
    parser.add_argument("--asks", type=int, default=4_000, help="blocks asked for")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    mix, hosts, days = read_blocks(), arguments.hosts, arguments.days
    seeds = range(mix["seed"], mix["seed"] + arguments.seeds)
    totals: dict[str, Total] = {}
    audits = [sell({**mix, "seed": seed}, totals, arguments) for seed in seeds]
    print(
        f"{arguments.asks:,} blocks asked of {hosts:,} units for {days} days, {len(seeds)} seeds "
        f"from {seeds[0]} on\n"
    )
    print(
        f"| bound | blocks sold | unit-days | of Craton's (least and most of a seed) | full until "
        f"day {days} | of exactly what Craton sold (Craton: what any sold) | CPU us a block |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    base = totals[CRATON].unit_days
    for name, total in totals.items():
        full = total.before_last / (hosts * days * len(seeds))
        print(
            f"| {name} | {total.blocks:,} | {total.unit_days:,} | {total.unit_days / base:.4f} "
            f"({min(total.ratios):.4f} to {max(total.ratios):.4f}) | {100 * full:.2f} % | "
            f"{100 * total.same / total.same_asked:.2f} % | "
            f"{1e6 * total.cpu_s / arguments.asks / len(seeds):.0f} |"
        )
    kept, broken = (sum(each) for each in zip(*((a.kept, a.broken) for a in audits), strict=True))
    rows = sum(audit.rows for audit in audits) / kept
    print(
        f"\nreplayed on real hosts: {kept:,} promises kept, {broken} broken, none moved from its "
        f"start to its end; {rows:.2f} rows of {HOSTS_PER_LEAF * LEAVES_PER_ROW} hosts a block"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
