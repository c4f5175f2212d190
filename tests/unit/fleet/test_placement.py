"""The place of a gang of whole hosts: exactly the best there is, or a reason that is true."""

import random

import numpy as np
import pytest

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Reason, Refusal
from craton.kernel.errors import BadRequest
from tests.fakes.pools import (
    DRAW_W,
    division_of,
    every_division,
    occupy,
    pool_of,
    random_demand,
    random_pool,
    score,
)


def placed(answer: Placement | Refusal) -> Placement:
    assert isinstance(answer, Placement), answer
    return answer


def refused(answer: Placement | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize("seed", range(10))
def test_no_place_is_better_than_the_one_chosen(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"placed": 0, "refused": 0}
    for case in range(100):
        pool = random_pool(rng)
        demand = random_demand(rng, pool)
        every = list(every_division(pool, demand))
        best = min((score(pool, each) for each in every), default=None)
        answer = place(pool, demand)
        if best is None:
            outcomes["refused"] += 1
            assert isinstance(answer, Refusal), (seed, case, demand)
            continue
        outcomes["placed"] += 1
        found = placed(answer)
        division = division_of(pool, found)
        assert division in every, (seed, case, demand)
        assert score(pool, division) == best, (seed, case, demand)
        assert (found.rows, found.leaves) == best[:2]
        pool.take(found.hosts, found.masks)
        pool.check()
    assert min(outcomes.values()) > 10


def test_the_same_pool_gives_the_same_place_and_is_not_changed_by_asking() -> None:
    rng = random.Random(5)
    for _ in range(30):
        pool = random_pool(rng)
        demand = random_demand(rng, pool)
        before = pool.offered.copy()
        first, second = place(pool, demand), place(pool, demand)
        assert np.array_equal(pool.offered, before)
        if isinstance(first, Placement):
            assert first.hosts.tolist() == placed(second).hosts.tolist()


def test_one_row_is_better_than_fewer_leaves_in_two() -> None:
    pool = pool_of([[4, 4], [2, 2, 2, 2]])
    occupy(pool, 4)
    found = placed(place(pool, Demand(8, 4)))
    assert (found.rows, found.leaves) == (1, 4)
    assert found.hosts.tolist() == list(range(8, 16))


def test_a_whole_leaf_is_kept_where_as_many_broken_ones_do() -> None:
    pool = pool_of([[4, 4, 4, 4]])
    occupy(pool, 4, 8)
    found = placed(place(pool, Demand(6, 4)))
    assert division_of(pool, found) == {1: 3, 2: 3}


def test_a_small_gang_takes_the_leaf_that_it_fits_tightest() -> None:
    pool = pool_of([[4, 4, 4], [4, 4, 4]])
    occupy(pool, 4, 16, 17)
    assert placed(place(pool, Demand(2, 4))).hosts.tolist() == [18, 19]
    assert placed(place(pool, Demand(3, 4))).hosts.tolist() == [5, 6, 7]
    assert placed(place(pool, Demand(4, 4))).hosts.tolist() == [12, 13, 14, 15]


def test_among_equals_the_lowest_numbers_are_taken() -> None:
    pool = pool_of([[2, 2], [2, 2]])
    assert placed(place(pool, Demand(1, 4))).hosts.tolist() == [0]
    assert placed(place(pool, Demand(3, 4))).hosts.tolist() == [0, 1, 2]


def test_a_spread_holds_within_leaves_and_rows() -> None:
    pool = pool_of([[4, 4, 4], [4, 4, 4]])
    one_each = placed(place(pool, Demand(3, 4, hosts_per_leaf_max=1)))
    assert division_of(pool, one_each) == {0: 1, 1: 1, 2: 1}
    halves = placed(place(pool, Demand(4, 4, hosts_per_row_max=2)))
    assert (halves.rows, halves.leaves) == (2, 2)


def test_a_row_without_power_is_passed_over() -> None:
    pool = pool_of([[4, 4], [4, 4]], row_caps_w=[2 * DRAW_W, None])
    assert placed(place(pool, Demand(3, 4))).hosts.tolist() == [8, 9, 10]
    assert placed(place(pool, Demand(2, 4))).hosts.tolist() == [0, 1]


def test_no_place_ever_draws_more_than_a_row_or_the_site_may() -> None:
    rng = random.Random(11)
    pool = pool_of(
        [[4] * 6] * 4, row_caps_w=[30, 95, 240, 200], site_cap_w=500
    )  # of 240 watts a row
    held: list[Placement] = []
    for _ in range(400):
        if held and rng.random() < 0.4:
            gone = held.pop(rng.randrange(len(held)))
            pool.release(gone.hosts, gone.masks)
        answer = place(pool, Demand(rng.randint(1, 9), rng.choice([4, 4, 1, 2])))
        if isinstance(answer, Placement):
            pool.take(answer.hosts, answer.masks)
            held.append(answer)
        assert (pool.power.row_used_w <= pool.power.row_cap_w).all()
        assert pool.power.site_used_w <= pool.power.site_cap_w
    pool.check()


def test_a_gang_that_no_empty_pool_holds_is_refused_as_too_large() -> None:
    pool = pool_of([[4, 4], [4]])
    assert refused(place(pool, Demand(13, 4))).reason is Reason.TOO_LARGE
    assert refused(place(pool, Demand(9, 4, is_one_row=True))).reason is Reason.TOO_LARGE
    answer = refused(place(pool, Demand(5, 4, is_one_leaf=True)))
    assert answer.reason is Reason.TOO_LARGE
    assert "largest leaf has a place for 4 hosts" in answer.message


def test_a_refusal_says_how_much_is_free() -> None:
    pool = pool_of([[4, 4]])
    occupy(pool, 0, 1, 2)
    answer = refused(place(pool, Demand(6, 4)))
    assert answer.reason is Reason.NOT_ENOUGH
    assert "5 such hosts are free" in answer.message


def test_what_is_free_but_apart_is_refused_as_scattered() -> None:
    pool = pool_of([[4, 4], [4, 4]])
    occupy(pool, 0, 4, 8, 12)
    leaf = refused(place(pool, Demand(4, 4, is_one_leaf=True)))
    assert leaf.reason is Reason.SCATTERED
    assert "12 are free, but at most 3 in one leaf" in leaf.message
    row = refused(place(pool, Demand(7, 4, is_one_row=True)))
    assert row.reason is Reason.SCATTERED
    assert "at most 6 in one row" in row.message


def test_a_spread_that_nothing_meets_is_named() -> None:
    pool = pool_of([[4, 4]])
    occupy(pool, *range(4))
    answer = refused(place(pool, Demand(2, 4, hosts_per_leaf_max=1)))
    assert answer.reason is Reason.SPREAD
    assert "1 are free" in answer.message


def test_a_refusal_for_power_names_the_row_or_the_site() -> None:
    pool = pool_of([[4], [4]], row_caps_w=[None, 2 * DRAW_W], site_cap_w=7 * DRAW_W)
    row = refused(place(pool, Demand(7, 4)))
    assert (row.reason, row.row) == (Reason.ROW_POWER, 1)
    assert "row 1 has 4 and power for 2" in row.message
    site = refused(place(pool, Demand(8, 4)))
    assert site.reason is Reason.SITE_POWER
    assert "feeds 7 more hosts" in site.message


@pytest.mark.parametrize(
    "demand",
    [
        Demand(0, 4),
        Demand(1, 0),
        Demand(1, 5),
        Demand(1, 4, rest_chips=4),
        Demand(2, 2, rest_chips=1),
        Demand(1, 4, hosts_per_leaf_max=0),
        Demand(1, 4, rest_chips=2, hosts_per_leaf_max=1),
    ],
)
def test_a_demand_that_means_nothing_is_the_callers_fault(demand: Demand) -> None:
    with pytest.raises(BadRequest):
        place(pool_of([[4]]), demand)
