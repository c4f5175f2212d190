"""python benchmarks/fleet/placement.py: how long a place takes to find, and how good it is.

Fills a fleet of 1.44 million chips with gangs that come and go (placement_mix.toml, seed and all),
once with each placer: Craton's, first fit and best fit. Each sees the same gangs with the same
lifetimes, in the same order, on its own copy of the fleet, and keeps it at the same load. Then asks
for a gang of 64 hosts again and again while the churn goes on. Times are of one thread: elapsed,
processor time and, since other work on the machine slows that down too, the least processor time of
several times the same question.
"""

import argparse
import gc
import heapq
import random
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.placement_fragmentation import fragmentation
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Power

MIX = Path(__file__).with_name("placement_mix.toml")

Placer = Callable[[Pool, int], Placement | None]


def craton(pool: Pool, hosts: int) -> Placement | None:
    found = place(pool, Demand(hosts, pool.layout.chips_per_host))
    return None if isinstance(found, Refusal) else found


def first_fit(pool: Pool, hosts: int) -> Placement | None:
    """The first row with room for all, there the first free hosts; else the first free hosts."""
    room = rooms(pool)
    fits = room >= hosts
    row = int(fits.argmax())
    if fits[row]:
        first, last = pool.layout.row_start[row : row + 2]
        begin, end = pool.layout.leaf_start[first], pool.layout.leaf_start[last]
        found = begin + (pool.offered[begin:end] == pool.full).nonzero()[0][:hosts]
        return placement(pool, found)
    return over_rows(pool, hosts, np.arange(pool.layout.rows), room)


def best_fit(pool: Pool, hosts: int) -> Placement | None:
    """The row that all fit into most tightly, there the tightest leaf, or else the largest."""
    room = rooms(pool)
    fits = room >= hosts
    if not fits.any():
        return over_rows(pool, hosts, np.argsort(-room, kind="stable"), room)
    row = int(np.where(fits, pool.hosts_with[1], 1 << 30).argmin())
    first, last = pool.layout.row_start[row : row + 2]
    free = pool.leaf_free[first:last].copy()
    left, leaves = hosts, []
    while left:
        enough = free >= left
        leaf = int(np.where(enough, free, 1 << 30).argmin() if enough.any() else free.argmax())
        leaves.append((first + leaf, min(left, int(free[leaf]))))
        left -= leaves[-1][1]
        free[leaf] = 0
    found = [hosts_in(pool, leaf, number) for leaf, number in leaves]
    return placement(pool, np.concatenate(found))


def rooms(pool: Pool) -> np.ndarray:
    fed = pool.power.row_hosts(pool.layout.power_rows, pool.layout.draw_w)
    return np.minimum(fed, pool.hosts_with[1])


def over_rows(pool: Pool, hosts: int, rows: np.ndarray, room: np.ndarray) -> Placement | None:
    """The first free hosts of these rows, in their order."""
    found, left = [], hosts
    for row in rows.tolist():
        take = min(left, int(room[row]))
        if take:
            first, last = pool.layout.row_start[row : row + 2]
            begin, end = pool.layout.leaf_start[first], pool.layout.leaf_start[last]
            found.append(begin + (pool.offered[begin:end] == pool.full).nonzero()[0][:take])
            left -= take
        if not left:
            return placement(pool, np.concatenate(found))
    return None


def hosts_in(pool: Pool, leaf: int, number: int) -> np.ndarray:
    begin, end = pool.layout.leaf_start[leaf : leaf + 2]
    return begin + (pool.offered[begin:end] == pool.full).nonzero()[0][:number]


def placement(pool: Pool, hosts: np.ndarray) -> Placement:
    hosts = np.sort(hosts).astype(np.int32)
    leaves = pool.layout.leaf_of_host[hosts]
    rows = pool.layout.row_of_leaf[leaves]
    return Placement(
        hosts,
        np.full(len(hosts), pool.full, np.uint32),
        1 + int((rows[1:] != rows[:-1]).sum()),
        1 + int((leaves[1:] != leaves[:-1]).sum()),
    )


PLACERS: dict[str, Placer] = {"Craton": craton, "first fit": first_fit, "best fit": best_fit}


def build(fleet: dict[str, Any]) -> Pool:
    leaves = -(-fleet["hosts"] // fleet["hosts_per_leaf"])
    rows = -(-leaves // fleet["leaves_per_row"])
    starts = np.minimum(np.arange(leaves + 1) * fleet["hosts_per_leaf"], fleet["hosts"])
    layout = Layout(
        chips_per_host=fleet["chips_per_host"],
        leaf_start=starts.astype(np.int32),
        row_of_leaf=(np.arange(leaves) // fleet["leaves_per_row"]).astype(np.int32),
        power_rows=np.arange(rows, dtype=np.int32),
        sides=tuple(fleet["sides"]),
        draw_w=fleet["draw_w"],
    )
    return Pool(layout, Power([fleet["row_cap_w"]] * rows, None))


def gangs(mix: dict[str, Any], hosts: int) -> Iterator[tuple[int, float]]:
    """Hosts and lifetime of one gang after another."""
    rng = random.Random(mix["seed"])
    kinds, weights = mix["gang"], [kind["weight"] for kind in mix["gang"]]
    while True:
        kind = rng.choices(kinds, weights)[0]
        least, most = kind["hosts"]
        stays = rng.expovariate(1 / (kind["stays"] * hosts / 1000))
        yield rng.randint(least, most), stays


@dataclass
class Run:
    """One placer on one fleet."""

    pool: Pool
    placer: Placer
    mix: dict[str, Any]
    held: list[tuple[float, int, Placement]] = field(default_factory=list)
    number: int = 0
    given: int = 0
    gangs: int = 0
    extra_leaves: int = 0
    rows: int = 0
    refused: int = 0
    place_ns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.demands = gangs(self.mix, self.pool.layout.hosts)
        self.limit = self.pool.layout.hosts * self.mix["load_percent"] // 100

    def step(self) -> None:
        """The next gang, after those whose time came first have gone to make room."""
        hosts, stays = next(self.demands)
        self.make_room(hosts)
        began = time.thread_time_ns()
        found = self.placer(self.pool, hosts)
        self.place_ns.append(time.thread_time_ns() - began)
        self.number += 1
        if found is None:
            self.refused += 1
            return
        self.pool.take(found.hosts, found.masks)
        heapq.heappush(self.held, (self.number + stays, self.number, found))
        self.given += hosts
        self.gangs += 1
        self.rows += found.rows
        self.extra_leaves += found.leaves - -(-hosts // self.pool.layout.leaf_hosts_max)

    def make_room(self, hosts: int) -> None:
        taken = self.pool.layout.hosts - self.pool.free_hosts
        while self.held and (taken + hosts > self.limit or self.held[0][0] <= self.number):
            gone = heapq.heappop(self.held)[2]
            self.pool.release(gone.hosts, gone.masks)
            taken -= len(gone.hosts)

    def churn(self) -> None:
        """Fill, and turn over; what is counted is counted from when the fleet is full."""
        while self.given < self.limit:
            self.step()
        self.gangs = self.rows = self.extra_leaves = self.refused = 0
        self.place_ns.clear()
        while self.given < self.limit * (1 + self.mix["turnovers"]):
            self.step()

    def probe(self) -> dict[str, np.ndarray]:
        """Ask for gangs of one size, each after a step of the churn."""
        hosts, out = self.mix["probe_hosts"], []
        for _ in range(self.mix["probes"]):
            self.step()
            self.make_room(hosts)
            times = np.array([self.timed(hosts) for _ in range(self.mix["repeats"])])
            found = self.placer(self.pool, hosts)
            assert found is not None, "no place for the probe"
            out.append((*times[0], *times.min(axis=0), found.rows, found.leaves))
        names = ("wall", "cpu", "cycle", "wall_least", "cpu_least", "cycle_least", "rows", "leaves")
        return dict(zip(names, np.array(out).T, strict=True))

    def timed(self, hosts: int) -> tuple[int, int, int]:
        """Nanoseconds to find a place, elapsed and of the processor; and with take and release."""
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        found = self.placer(self.pool, hosts)
        wall_1, cpu_1 = time.perf_counter_ns(), time.thread_time_ns()
        assert found is not None, "no place for the probe"
        self.pool.take(found.hosts, found.masks)
        self.pool.release(found.hosts, found.masks)
        return wall_1 - wall, cpu_1 - cpu, time.thread_time_ns() - cpu


def reload(run: Run) -> float:
    """Seconds to build the pool anew and enter every lease."""
    leases = [held for _, _, held in run.held]
    began = time.thread_time()
    layout = run.pool.layout
    pool = Pool(layout, Power([None] * layout.rows, None))
    hosts = np.concatenate([lease.hosts for lease in leases])
    masks = np.concatenate([lease.masks for lease in leases])
    order = hosts.argsort()
    pool.restore(hosts[order], masks[order])
    took = time.thread_time() - began
    assert pool.free_hosts == run.pool.free_hosts
    return took


def megabytes(pool: Pool) -> float:
    every = [*vars(pool).values(), *(getattr(pool.layout, name) for name in Layout.__slots__)]
    # One that is a part of another has its bytes.
    arrays = [each for each in every if isinstance(each, np.ndarray) and each.base is None]
    return sum(each.nbytes for each in arrays) / 1e6


def report(name: str, run: Run, probe: dict[str, np.ndarray], base: float) -> float:
    us = {key: np.percentile(values, [50, 99]) / 1000 for key, values in probe.items()}
    cycle = float(probe["cycle_least"].mean())
    mixed = np.percentile(run.place_ns, [50, 99]) / 1000
    scattered = fragmentation(run.pool)
    least = -(-run.mix["probe_hosts"] // run.pool.layout.leaf_hosts_max)
    pairs = [
        f"{us[key][0]:.0f} / {us[key][1]:.0f}"
        for key in ("wall", "cpu", "cpu_least", "cycle_least")
    ]
    cells = (
        name,
        *pairs,
        f"{1e9 / cycle:,.0f}",
        f"{cycle / base:.2f}" if base else "1.00",
        f"{mixed[0]:.0f} / {mixed[1]:.0f}",
        f"{probe['leaves'].mean() - least:.2f}",
        f"{probe['rows'].mean():.2f}",
        f"{run.extra_leaves / run.gangs:.3f}",
        f"{run.rows / run.gangs:.3f}",
        f"{100 * scattered.whole_share:.0f} %",
        str(run.refused),
    )
    print("| " + " | ".join(cells) + " |", flush=True)
    return cycle


HEAD = (
    "placer",
    "decide, elapsed us p50 / p99",
    "decide, CPU us",
    "decide, CPU us, least of repeats",
    "with take and release, CPU us, least of repeats",
    "gangs/s of that",
    "time, of Craton's",
    "decide, whole mix, CPU us",
    "leaves over the least, 64 hosts",
    "rows, 64 hosts",
    "leaves over, mix",
    "rows, mix",
    "free hosts in whole leaves",
    "refused",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the fleet only")
    parser.add_argument("--turnovers", type=float, help="instead of the mix's")
    arguments = parser.parse_args()
    mix = tomllib.loads(MIX.read_text(encoding="utf-8"))
    mix["turnovers"] = arguments.turnovers or mix["turnovers"]
    for fleet in mix["fleet"]:
        fleet["hosts"] = int(fleet["hosts"] * arguments.scale)
        print(f"\n{fleet['name']}, {mix['load_percent']} % taken, seed {mix['seed']}\n")
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
        base, notes = 0.0, ""
        for name, placer in PLACERS.items():
            gc.collect()
            began = time.thread_time()
            run = Run(build(fleet), placer, mix)
            built = time.thread_time() - began
            run.churn()
            probe = run.probe()
            cycle = report(name, run, probe, base)
            base = base or cycle
            run.pool.check()
            notes = notes or (
                f"{len(run.held):,} leases; the pool's arrays are {megabytes(run.pool):.1f} MB; "
                f"built in {built:.3f} s; built and every lease entered in {reload(run):.3f} s."
            )
        print("\n" + notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
