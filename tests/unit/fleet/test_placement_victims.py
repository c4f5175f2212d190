"""Whom to interrupt: the fewest leases, then the least priority, then the youngest."""

import random
from itertools import combinations

import pytest

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Reason, Refusal
from craton.fleet.placement_fragmentation import Fragmentation, fragmentation
from craton.fleet.placement_victims import Held, victims
from craton.fleet.pool import Pool
from tests.fakes.pools import DRAW_W, hosts_of, masks_of, occupy, pool_of


def lease(
    pool: Pool, name: str, hosts: range | tuple[int, ...], *, priority: int = 0, started_s: int = 0
) -> Held:
    held = Held(
        name, priority, started_s, hosts_of(*hosts), masks_of(*[int(pool.full)] * len(hosts))
    )
    pool.take(held.hosts, held.masks)
    return held


def names(answer: tuple[Held, ...] | Refusal) -> list[str]:
    assert not isinstance(answer, Refusal), answer
    return sorted(each.lease for each in answer)


def test_nobody_goes_where_there_is_a_place() -> None:
    pool = pool_of([[4]])
    held = [lease(pool, "a", range(2))]
    assert victims(pool, Demand(2, 4), held, priority=9) == ()


def test_one_large_lease_goes_before_two_small_ones() -> None:
    pool = pool_of([[4, 4]])
    held = [
        lease(pool, "small", (0, 1)),
        lease(pool, "other", (2, 3)),
        lease(pool, "large", range(4, 8), priority=3),
    ]
    assert names(victims(pool, Demand(4, 4), held, priority=9)) == ["large"]
    assert names(victims(pool, Demand(4, 4), held, priority=3)) == ["other", "small"]


def test_the_least_priority_goes_first_and_then_the_youngest() -> None:
    pool = pool_of([[2, 2, 2]])
    held = [
        lease(pool, "old", (0, 1), started_s=10),
        lease(pool, "young", (2, 3), started_s=20),
        lease(pool, "dear", (4, 5), priority=1, started_s=30),
    ]
    assert names(victims(pool, Demand(2, 4), held, priority=2)) == ["young"]
    assert names(victims(pool, Demand(2, 4), [held[0], held[2]], priority=2)) == ["old"]


def test_a_gang_for_one_row_interrupts_only_there() -> None:
    pool = pool_of([[4], [4]])
    held = [lease(pool, str(host), (host,), started_s=host) for host in range(7)]
    assert names(victims(pool, Demand(3, 4, is_one_row=True), held, priority=1)) == ["5", "6"]


def test_leases_of_the_same_or_a_higher_priority_stay() -> None:
    pool = pool_of([[2]])
    held = [lease(pool, "same", range(2), priority=5)]
    answer = victims(pool, Demand(1, 4), held, priority=5)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.NOT_ENOUGH
    assert pool.free_hosts == 0


def test_power_that_is_used_is_given_back_by_leases() -> None:
    pool = pool_of([[4], [4]], row_caps_w=[DRAW_W * 3, DRAW_W], site_cap_w=DRAW_W * 3)
    held = [
        lease(pool, "a", (0,), started_s=1),
        lease(pool, "b", (1,), started_s=2),
        lease(pool, "c", (4,), started_s=3),
    ]
    assert names(victims(pool, Demand(1, 4), held, priority=1)) == ["c"]
    assert names(victims(pool, Demand(2, 4), held, priority=1)) == ["b", "c"]
    pool.check()


def test_two_leases_that_share_a_host_go_together() -> None:
    pool = pool_of([[1]])
    halves = [Held(str(mask), 0, 0, hosts_of(0), masks_of(mask)) for mask in (3, 12)]
    for each in halves:
        pool.take(each.hosts, each.masks)
    assert names(victims(pool, Demand(1, 4), halves, priority=1)) == ["12", "3"]
    assert names(victims(pool, Demand(1, 2), halves, priority=1)) == ["12"]


@pytest.mark.parametrize("seed", range(5))
def test_on_small_pools_no_better_set_of_leases_would_do(seed: int) -> None:
    rng = random.Random(seed)
    asked = 0
    for _ in range(25):
        pool = pool_of([[3, 3], [3, 2]], row_caps_w=[None, rng.choice([None, 30])])
        held: list[Held] = []
        while True:
            answer = place(pool, Demand(rng.randint(1, 3), 4))
            if isinstance(answer, Refusal):
                break
            pool.take(answer.hosts, answer.masks)
            held.append(
                Held(
                    f"lease-{len(held)}",
                    rng.randint(0, 2),
                    rng.randint(0, 99),
                    answer.hosts,
                    answer.masks,
                )
            )
        demand = Demand(rng.randint(1, 4), 4, is_one_row=rng.random() < 0.4)
        before = pool.taken.tobytes()
        answer = victims(pool, demand, held, priority=2)
        assert pool.taken.tobytes() == before
        best = best_set(pool, demand, [each for each in held if each.priority < 2])
        if best is None:
            assert isinstance(answer, Refusal)
            continue
        asked += 1
        assert not isinstance(answer, Refusal)
        assert key(answer) == key(best)
    assert asked > 5


def key(chosen: tuple[Held, ...]) -> tuple[int, list[int], int]:
    priorities = sorted((each.priority for each in chosen), reverse=True)
    return len(chosen), priorities, -sum(each.started_s for each in chosen)


def best_set(pool: Pool, demand: Demand, lower: list[Held]) -> tuple[Held, ...] | None:
    for number in range(len(lower) + 1):
        fits = []
        for chosen in combinations(lower, number):
            for each in chosen:
                pool.release(each.hosts, each.masks)
            if isinstance(place(pool, demand), Placement):
                fits.append(chosen)
            for each in chosen:
                pool.take(each.hosts, each.masks)
        if fits:
            return min(fits, key=key)
    return None


def test_among_very_many_leases_the_answer_still_fits_and_keeps_whom_it_can() -> None:
    pool = pool_of([[4] * 20] * 5)
    rng = random.Random(2)
    held = [
        lease(pool, f"{host:03}", (host, host + 1), priority=rng.randint(0, 3), started_s=host)
        for host in range(0, 400, 2)
    ]
    answer = victims(pool, Demand(20, 4), held, priority=4)
    assert not isinstance(answer, Refusal)
    assert len(answer) == 10
    assert {each.priority for each in answer} == {0}
    lowest = sorted((each for each in held if each.priority == 0), key=lambda each: each.started_s)
    assert names(answer) == sorted(each.lease for each in lowest[-10:])
    pool.check()


def test_a_report_says_how_scattered_what_is_free_is() -> None:
    pool = pool_of([[4, 4], [4, 4]], row_caps_w=[None, DRAW_W * 4])
    occupy(pool, 0, 8)
    occupy(pool, 12, mask=0b0111)
    assert fragmentation(pool) == Fragmentation(
        free_hosts=13,
        whole_leaf_hosts=4,
        partly_free_chips=1,
        gang_hosts_max_in_leaf=4,
        gang_hosts_max_in_row=7,
        gang_hosts_max=9,
    )
    assert fragmentation(pool).whole_share == 4 / 13
    occupy(pool, *(host for host in range(16) if host not in {0, 8, 12}))
    assert fragmentation(pool).whole_share == 1.0
