"""Small pools for tests, and every place a gang could have in one, by brute force."""

import random
from collections.abc import Iterator, Sequence

import numpy as np

from craton.fleet.placement_demand import Demand, Placement
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Power

DRAW_W = 10

Score = tuple[int, int, int, int, int]


def pool_of(
    rows: Sequence[Sequence[int]],
    *,
    chips: int = 4,
    sides: tuple[int, ...] = (),
    row_caps_w: list[int | None] | None = None,
    site_cap_w: int | None = None,
    draw_w: int = DRAW_W,
) -> Pool:
    """A pool with leaves of so many hosts in each row."""
    sizes = [size for row in rows for size in row]
    layout = Layout(
        chips_per_host=chips,
        leaf_start=np.concatenate(([0], np.cumsum(sizes))).astype(np.int32),
        row_of_leaf=np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32),
        power_rows=np.arange(len(rows), dtype=np.int32),
        sides=sides,
        draw_w=draw_w,
    )
    return Pool(layout, Power(row_caps_w or [None] * len(rows), site_cap_w))


def hosts_of(*hosts: int) -> np.ndarray:
    return np.array(hosts, np.int32)


def masks_of(*masks: int) -> np.ndarray:
    return np.array(masks, np.uint32)


def occupy(pool: Pool, *hosts: int, mask: int | None = None) -> None:
    """Take hosts whole, or some chips of each."""
    held = int(pool.full) if mask is None else mask
    for host in hosts:
        pool.take(hosts_of(host), masks_of(held))


def random_pool(rng: random.Random) -> Pool:
    """Up to three rows of up to four leaves, with hosts taken, in part or whole, and broken."""
    size = rng.randint(1, 4)
    rows = [
        [size if rng.random() < 0.8 else rng.randint(1, size) for _ in range(rng.randint(1, 4))]
        for _ in range(rng.randint(1, 3))
    ]
    has_power = rng.random() < 0.5
    hosts = sum(map(sum, rows))
    caps = [
        rng.randint(0, sum(row)) * DRAW_W + rng.randint(0, 9)
        if has_power and rng.random() < 0.6
        else None
        for row in rows
    ]
    site = rng.randint(0, hosts) * DRAW_W if has_power and rng.random() < 0.4 else None
    pool = pool_of(rows, row_caps_w=caps, site_cap_w=site)
    load = rng.choice([0.0, 0.2, 0.5])
    for host in range(hosts):
        if rng.random() < load:
            occupy(pool, host, mask=rng.choice([15, 15, 3, 1]))
        if rng.random() < 0.08:
            pool.set_usable(host, False)
        if rng.random() < 0.05:
            pool.fail_chip(host, rng.randrange(4))
    return pool


def random_demand(rng: random.Random, pool: Pool) -> Demand:
    hosts = rng.randint(1, max(1, min(7, pool.layout.hosts)))
    return Demand(
        hosts,
        pool.layout.chips_per_host,
        hosts_per_leaf_max=rng.choice([None, None, None, 1, 2, 3]),
        hosts_per_row_max=rng.choice([None, None, None, 2, 3, 4]),
        is_one_leaf=rng.random() < 0.1,
        is_one_row=rng.random() < 0.15,
    )


def every_division(pool: Pool, demand: Demand) -> Iterator[dict[int, int]]:
    """Every way to have the gang's whole hosts of leaves, within spread and power."""
    layout = pool.layout
    row_left = [
        min(int(hosts), demand.hosts_per_row_max or layout.hosts)
        for hosts in pool.power.row_hosts(layout.power_rows, layout.draw_w)
    ]
    gives = [min(int(n), demand.hosts_per_leaf_max or layout.hosts) for n in pool.leaf_free]

    def divide(leaf: int, left: int, used: dict[int, int]) -> Iterator[dict[int, int]]:
        if left == 0:
            yield dict(used)
            return
        if leaf == layout.leaves or left > sum(gives[leaf:]):
            return
        row = int(layout.row_of_leaf[leaf])
        yield from divide(leaf + 1, left, used)
        for hosts in range(1, min(left, gives[leaf], row_left[row]) + 1):
            row_left[row] -= hosts
            yield from divide(leaf + 1, left - hosts, {**used, leaf: hosts})
            row_left[row] += hosts

    if demand.hosts > pool.power.site_hosts(layout.draw_w):
        return
    for division in divide(0, demand.hosts, {}):
        rows = {int(layout.row_of_leaf[leaf]) for leaf in division}
        if demand.is_one_leaf and len(division) > 1:
            continue
        if demand.is_one_row and len(rows) > 1:
            continue
        yield division


def score(pool: Pool, division: dict[int, int]) -> Score:
    """What is compared, counted from the hosts."""
    layout = pool.layout
    free = pool.offered == pool.full
    rows = {int(layout.row_of_leaf[leaf]) for leaf in division}
    of_leaf = [
        int(free[layout.leaf_start[leaf] : layout.leaf_start[leaf + 1]].sum()) for leaf in division
    ]
    row_of_host = layout.row_of_leaf[layout.leaf_of_host]
    of_rows = sum(int(free[row_of_host == row].sum()) for row in rows)
    hosts = sum(division.values())
    whole = sum(number == layout.leaf_hosts_max for number in of_leaf)
    return len(rows), len(division), whole, sum(of_leaf) - hosts, of_rows - hosts


def division_of(pool: Pool, placement: Placement) -> dict[int, int]:
    leaves = pool.layout.leaf_of_host[placement.hosts].tolist()
    return {leaf: leaves.count(leaf) for leaf in leaves}
