"""Parts of hosts: partly free hosts first, chips that stay together, a rest beside the whole."""

import random

import numpy as np
import pytest

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Reason, Refusal, demand_for
from craton.fleet.pool import Pool
from craton.kernel.errors import BadRequest
from tests.fakes.pools import (
    DRAW_W,
    division_of,
    every_division,
    occupy,
    pool_of,
    random_pool,
)

BOX = 0x00FF
"""The upper half of a 4 by 4 torus."""


def placed(pool: Pool, demand: Demand) -> Placement:
    answer = place(pool, demand)
    assert isinstance(answer, Placement), answer
    return answer


def test_a_part_is_cut_out_of_a_torus_as_a_box() -> None:
    pool = pool_of([[2, 2]], chips=16, sides=(4, 4))
    found = placed(pool, Demand(1, 8))
    assert (found.hosts.tolist(), found.masks.tolist(), found.cut) == ([0], [BOX], 8)


def test_a_partly_free_host_is_used_before_a_free_one() -> None:
    pool = pool_of([[2, 2]], chips=16, sides=(4, 4))
    occupy(pool, 3, mask=BOX)
    found = placed(pool, Demand(1, 4))
    assert found.hosts.tolist() == [3]
    assert not found.masks[0] & BOX


def test_the_host_with_the_better_box_is_used_before_the_fuller_one() -> None:
    pool = pool_of([[2, 2]], chips=16, sides=(4, 4))
    occupy(pool, 1, mask=0b0101_1010_0101_1111)
    occupy(pool, 2, mask=0b1111)
    found = placed(pool, Demand(1, 4))
    assert (found.hosts.tolist(), found.cut) == ([2], 8)


def test_where_chips_are_all_alike_the_tightest_host_is_used() -> None:
    pool = pool_of([[4, 4]], chips=8)
    occupy(pool, 2, mask=0b0000_0111)
    occupy(pool, 5, mask=0b0001_1111)
    assert placed(pool, Demand(1, 3)).hosts.tolist() == [5]
    assert placed(pool, Demand(1, 4)).hosts.tolist() == [2]
    assert placed(pool, Demand(1, 3)).masks.tolist() == [0b1110_0000]


def test_a_host_with_a_broken_chip_still_serves_parts() -> None:
    pool = pool_of([[1]], chips=4, row_caps_w=[DRAW_W])
    pool.fail_chip(0, 0)
    assert placed(pool, Demand(1, 3)).masks.tolist() == [0b1110]
    assert isinstance(place(pool, Demand(1, 4)), Refusal)


def test_a_partly_free_host_that_draws_nothing_yet_needs_power() -> None:
    pool = pool_of([[1, 1]], chips=4, row_caps_w=[DRAW_W])
    pool.fail_chip(0, 0)
    occupy(pool, 1, mask=0b0111)
    assert placed(pool, Demand(1, 1)).hosts.tolist() == [1]
    answer = place(pool, Demand(1, 2))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.ROW_POWER


def test_hosts_with_more_chips_than_tables_have_get_boxes_too() -> None:
    pool = pool_of([[2]], chips=32, sides=(4, 8))
    found = placed(pool, Demand(1, 16))
    assert found.cut == 8
    occupy(pool, 1, mask=int(found.masks[0]))
    assert placed(pool, Demand(1, 16)).hosts.tolist() == [1]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_part_of_several_hosts_touches_the_fewest_leaves(seed: int) -> None:
    rng = random.Random(seed)
    for case in range(50):
        pool = random_pool(rng)
        pool.power.row_cap_w[:] = 1 << 40
        pool.power.site_cap_w = 1 << 40
        demand = Demand(rng.randint(2, 5), rng.randint(1, 3))
        answer = place(pool, demand)
        fits = np.bitwise_count(pool.offered) >= demand.chips_per_host
        fit = np.add.reduceat(fits, pool.layout.leaf_start[:-1], dtype=np.int32)
        whole = (pool.leaf_free == pool.layout.leaf_hosts_max).tolist()
        as_whole = pool_like(pool, fit)
        best = min(
            (
                (
                    len({int(pool.layout.row_of_leaf[leaf]) for leaf in each}),
                    len(each),
                    sum(whole[leaf] for leaf in each),
                )
                for each in every_division(as_whole, demand)
            ),
            default=None,
        )
        if best is None:
            assert isinstance(answer, Refusal), (seed, case)
            continue
        assert isinstance(answer, Placement), (seed, case)
        division = division_of(pool, answer)
        broken = sum(whole[leaf] for leaf in division)
        assert (answer.rows, answer.leaves, broken) == best, (seed, case)
        assert (np.bitwise_count(answer.masks) == demand.chips_per_host).all()
        pool.take(answer.hosts, answer.masks)
        pool.check()


def pool_like(pool: Pool, free: np.ndarray) -> Pool:
    """A pool of the same leaves, with so many free hosts in each."""
    sizes = np.diff(pool.layout.leaf_start)
    rows = [sizes[pool.layout.row_of_leaf == row].tolist() for row in range(pool.layout.rows)]
    other = pool_of(rows)
    for leaf, number in enumerate(free.tolist()):
        first = int(other.layout.leaf_start[leaf])
        for host in range(first + number, int(other.layout.leaf_start[leaf + 1])):
            occupy(other, host)
    return other


def test_in_a_leaf_partly_free_hosts_are_used_first() -> None:
    pool = pool_of([[4]], chips=4)
    occupy(pool, 1, mask=0b0001)
    occupy(pool, 3, mask=0b0011)
    assert placed(pool, Demand(3, 2)).hosts.tolist() == [0, 1, 3]


def test_several_parts_open_no_host_that_power_cannot_feed() -> None:
    pool = pool_of([[4], [4]], chips=4, row_caps_w=[2 * DRAW_W, 4 * DRAW_W])
    occupy(pool, 0, 1, mask=0b0001)
    occupy(pool, 4, mask=0b0001)
    assert placed(pool, Demand(2, 2)).hosts.tolist() == [0, 1]
    assert placed(pool, Demand(3, 2)).hosts.tolist() == [4, 5, 6]


def test_parts_spread_over_rows_none_of_which_feeds_all_of_them() -> None:
    pool = pool_of([[4], [4]], chips=4, row_caps_w=[4 * DRAW_W, 3 * DRAW_W])
    found = placed(pool, Demand(6, 1))
    assert np.bincount(found.hosts // 4).tolist() in ([4, 2], [3, 3])
    pool.take(found.hosts, found.masks)
    pool.check()
    assert isinstance(
        place(pool_of([[4], [4]], chips=4, site_cap_w=5 * DRAW_W), Demand(6, 1)), Refusal
    )


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_placed_wherever_enough_hosts_are_fed(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        pool = random_pool(rng)
        power, layout = pool.power, pool.layout
        caps = [rng.choice([0, 1, 2, 3, 50]) * DRAW_W for _ in range(len(power.row_cap_w))]
        power.caps_rows, power.row_cap_w[:] = True, power.row_used_w + caps
        power.site_cap_w = power.site_used_w + rng.choice([1, 3, 50]) * DRAW_W
        hosts, chips = rng.randint(2, 6), rng.randint(1, 3)
        fits = np.bitwise_count(pool.offered) >= chips
        rows = layout.row_of_leaf[layout.leaf_of_host]
        fed = power.row_hosts(layout.power_rows, layout.draw_w)
        idle = sum(
            min(int((fits & (pool.taken == 0) & (rows == row)).sum()), int(fed[row]))
            for row in range(layout.rows)
        )
        most = int((fits & (pool.taken != 0)).sum()) + min(idle, power.site_hosts(layout.draw_w))
        found = place(pool, Demand(hosts, chips))
        assert isinstance(found, Placement) == (most >= hosts)
        if isinstance(found, Placement):
            pool.take(found.hosts, found.masks)
            pool.check()


def test_so_many_chips_mean_whole_hosts_and_a_rest_on_one_more() -> None:
    assert demand_for(24, 16) == Demand(1, 16, 8)
    assert demand_for(5, 16) == Demand(1, 5)
    assert demand_for(64, 16) == Demand(4, 16)
    assert [demand_for(n, 16).chips for n in range(1, 70)] == list(range(1, 70))
    assert demand_for(24, 16).hosts_touched == 2
    with pytest.raises(BadRequest, match="one or more"):
        demand_for(0, 16)


def test_the_rest_stands_on_a_partly_free_host_of_the_same_leaf() -> None:
    pool = pool_of([[2, 2, 2]], chips=16, sides=(4, 4))
    occupy(pool, 0)
    occupy(pool, 1, mask=BOX)
    occupy(pool, 5, mask=BOX)
    found = placed(pool, demand_for(24, 16))
    assert found.hosts.tolist() == [4, 5]
    assert found.masks.tolist() == [0xFFFF, 0xFF00]
    assert (found.rows, found.leaves, found.cut) == (1, 1, 8)


def test_the_rest_opens_a_host_where_that_touches_fewer_leaves() -> None:
    pool = pool_of([[2, 2], [1, 1]], chips=16, sides=(4, 4))
    occupy(pool, 2)
    occupy(pool, 3, mask=BOX)
    found = placed(pool, demand_for(24, 16))
    assert found.hosts.tolist() == [0, 1]
    assert np.bitwise_count(found.masks).tolist() == [16, 8]


def test_the_rest_is_found_in_the_row_that_has_one() -> None:
    pool = pool_of([[1], [1, 1]], chips=4)
    occupy(pool, 2, mask=0b0011)
    found = placed(pool, Demand(1, 4, 2, is_one_row=True))
    assert found.hosts.tolist() == [1, 2]
    assert (found.rows, found.leaves) == (1, 2)


def test_a_rest_without_a_place_is_refused() -> None:
    pool = pool_of([[1], [1]], chips=4)
    occupy(pool, 1, mask=0b0111)
    answer = place(pool, Demand(1, 4, 2))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.NOT_ENOUGH
    assert "no host beside them has 2 free chips" in answer.message


def test_whole_hosts_with_a_rest_draw_no_more_than_is_fed() -> None:
    pool = pool_of([[2], [2]], chips=4, row_caps_w=[None, DRAW_W], site_cap_w=2 * DRAW_W)
    occupy(pool, 2, mask=0b0011)
    found = placed(pool, Demand(1, 4, 2))
    assert found.hosts.tolist() == [0, 2]
    pool.take(found.hosts, found.masks)
    assert isinstance(place(pool, Demand(1, 4, 2)), Refusal)
    pool.check()
