"""The arithmetic of leaves: of all sets, the fewest, with the fewest whole ones, the tightest."""

import random
from itertools import combinations

import numpy as np
import pytest

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement
from craton.fleet.placement_leaves import capped, fewest_leaves, fewest_whole, tightest
from tests.fakes.pools import division_of, occupy, pool_of, score


@pytest.mark.parametrize("seed", range(4))
def test_no_set_of_leaves_is_better(seed: int) -> None:
    rng = random.Random(seed)
    exchanged = 0
    for _ in range(250):
        size = rng.choice([2, 3, 5, 9, 12])
        free = [rng.choice([size, rng.randint(0, size)]) for _ in range(rng.randint(1, 7))]
        per_leaf = rng.choice([size, size, rng.randint(1, size)])
        most = sum(min(f, per_leaf) for f in free)
        if not most:
            continue
        wanted = rng.randint(1, most)
        counts = np.bincount(free, minlength=size + 2)
        leaves = counts[::-1].cumsum()[::-1][:, None].astype(np.int32)
        hosts = (counts * np.arange(size + 2))[::-1].cumsum()[::-1][:, None].astype(np.int32)
        least, held = capped(leaves, hosts, per_leaf)
        used = fewest_leaves(least, held, wanted)
        whole = fewest_whole(least, held, leaves[size], used=used, wanted=wanted, per_leaf=per_leaf)
        found = tightest(counts[: size + 1].tolist(), int(used[0]), int(whole[0]), wanted, per_leaf)
        best = min(
            (number, each.count(size), sum(each) - wanted)
            for number in range(1, len(free) + 1)
            for each in combinations(free, number)
            if sum(min(f, per_leaf) for f in each) >= wanted
        )
        assert (int(used[0]), int(whole[0]), found.spare) == best
        assert all(counts[f] >= number for f, number in found.used.items())
        assert sum(f * number for f, number in found.used.items()) - wanted == found.spare
        largest = sorted(free, reverse=True)[: int(used[0])]
        exchanged += sum(largest) - wanted > found.spare
    assert exchanged > 20


def test_exchanges_of_several_leaves_at_once_are_found() -> None:
    # Of 9, 9, 9 and 5, 5, 7 hosts no single exchange makes 19; two do: 9 + 5 + 5.
    pool = pool_of([[10] * 7])
    for leaf, free in enumerate([9, 9, 9, 5, 5, 7, 0]):
        occupy(pool, *range(leaf * 10, leaf * 10 + 10 - free))
    found = place(pool, Demand(19, 4))
    assert isinstance(found, Placement)
    assert found.leaves == 3
    assert score(pool, division_of(pool, found))[3] == 0


def test_a_gang_over_many_rows_touches_no_more_than_it_must() -> None:
    rng = random.Random(3)
    pool = pool_of([[4] * 6] * 40)
    for host in range(pool.layout.hosts):
        if rng.random() < 0.5:
            occupy(pool, host)
    free = np.sort(pool.hosts_with[1])[::-1]
    for hosts in (60, 100, 200):
        found = place(pool, Demand(hosts, 4))
        assert isinstance(found, Placement)
        assert found.rows == int(np.searchsorted(free.cumsum(), hosts)) + 1
        roomiest = np.argsort(-pool.hosts_with[1], kind="stable")[: found.rows]
        leaves = np.sort(pool.leaf_free[np.isin(pool.layout.row_of_leaf, roomiest)])[::-1]
        assert found.leaves <= int(np.searchsorted(leaves.cumsum(), hosts)) + 1
        assert len(found.hosts) == hosts


def test_a_gang_over_many_bounded_rows_stays_within_each() -> None:
    caps = [35, None, 75, 55, None, 95, 25, 85] * 5
    pool = pool_of([[4] * 6] * 40, row_caps_w=caps)
    found = place(pool, Demand(300, 4))
    assert isinstance(found, Placement)
    pool.take(found.hosts, found.masks)
    assert (pool.power.row_used_w <= pool.power.row_cap_w).all()
