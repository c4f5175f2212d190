"""One pool's book: chips, calendar and power in step, and each change taken back exactly."""

import numpy as np
import pytest

from craton.fleet.calendar import FOREVER_S
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import HostState
from craton.kernel.errors import Conflict
from craton.store.undo import Undo, take_back
from tests.fakes.fleet_sales import DAY_S, FLEET, P5EN_POOL, ULTRA_POOL
from tests.fakes.fleets import FleetWorld

NOW_S = 1_000_000
CAPPED = FLEET.replace(
    'driver = "simulated"', 'driver = "simulated"\noversubscribed = true\npower_kw = 60'
)


def book(text: str = FLEET, key: str = P5EN_POOL) -> PoolBook:
    return FleetWorld(text).office.fleet.book(key)


def skyline(of: PoolBook) -> list[tuple[int, int]]:
    times, free = of.calendar.skyline(NOW_S, FOREVER_S)
    return list(zip(times.tolist(), free.tolist(), strict=True))


def hosts(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(numbers, np.int32)


def test_a_promise_takes_its_units_for_its_time_and_no_more() -> None:
    own = book()
    own.promise(NOW_S + 10, NOW_S + 20, 4, [])
    assert [own.free(NOW_S + at, NOW_S + at + 1) for at in (9, 10, 19, 20)] == [6, 2, 2, 6]
    with pytest.raises(Conflict, match="has 2 free"):
        own.promise(NOW_S + 15, None, 3, [])
    own.withdraw(NOW_S + 10, NOW_S + 20, 4, [])
    assert own.free(NOW_S, FOREVER_S) == 6


def test_what_breaks_is_missed_only_when_the_spares_are_used_up() -> None:
    own = book()
    seen: list[int] = []
    for host in (0, 1, 2, 4):
        own.mark(host, HostState.FAILED, NOW_S, [])
        seen.append(own.free(NOW_S, NOW_S + 1))
    assert seen == [6, 6, 5, 4]
    own.mark(0, None, NOW_S, [])
    assert own.free(NOW_S, NOW_S + 1) == 5


def test_a_unit_of_several_broken_hosts_is_missed_once_and_whole_when_all_are() -> None:
    own = book(key=ULTRA_POOL)
    for host in (0, 1, 2):
        own.mark(host, HostState.FAILED, NOW_S, [])
        assert own.free(NOW_S, NOW_S + 1) == 3
    for host, free in ((0, 3), (1, 3), (2, 4)):
        own.mark(host, None, NOW_S, [])
        assert own.free(NOW_S, NOW_S + 1) == free


def test_a_bound_unit_is_missed_when_it_comes_back_broken() -> None:
    own = book()
    own.promise(NOW_S, NOW_S + DAY_S, 3, [])
    own.bind(hosts(0, 1, 2), [])
    for host in (0, 1, 2):
        own.mark(host, HostState.FAILED, NOW_S, [])
    assert own.free(NOW_S, NOW_S + 1) == 3, "its promise counts it"
    own.unbind(hosts(0, 1, 2), NOW_S, [])
    assert own.free(NOW_S, NOW_S + 1) == 2, "two spares stand in for two of three"


def test_every_change_is_taken_back_exactly() -> None:
    own = book()
    own.promise(NOW_S, NOW_S + DAY_S, 2, [])
    own.sit("a", hosts(0), NOW_S, NOW_S + 50, [])
    before = (skyline(own), own.pool.taken.copy(), own.pool.usable.copy(), dict(own.marked))
    undo: Undo = []
    own.promise(NOW_S + 5, NOW_S + 9, 1, undo)
    own.take(hosts(1, 2), np.array([3, 255], np.uint32), undo)
    own.sit("b", hosts(1, 2), NOW_S, None, undo)
    own.rise("a", hosts(0), NOW_S + 3, undo)
    own.bind(hosts(4, 5), undo)
    own.mark(4, HostState.FAILED, NOW_S + 4, undo)
    own.mark(6, HostState.DRAINING, NOW_S + 4, undo)
    own.unbind(hosts(4, 5), NOW_S + 5, undo)
    own.away("w", range(4), (NOW_S + 100, NOW_S + 200), NOW_S + 5, undo)
    own.mark(0, HostState.MAINTENANCE, NOW_S + 100, undo)
    own.no_longer_away("w", NOW_S + 101, undo)
    own.set_in_use(3, True, undo)
    own.pool.check()
    take_back(undo)
    after = (skyline(own), own.pool.taken, own.pool.usable, own.marked)
    assert after[0] == before[0]
    assert (after[1] == before[1]).all()
    assert (after[2] == before[2]).all()
    assert after[3] == before[3]
    own.pool.check()


def test_what_is_away_counts_for_its_time_and_together_with_what_is_broken_once() -> None:
    own = book()
    own.away("w", range(3), (NOW_S + 10, NOW_S + 20), NOW_S, [])
    assert skyline(own) == [(NOW_S, 6), (NOW_S + 10, 5), (NOW_S + 20, 6)]
    own.mark(0, HostState.FAILED, NOW_S, [])
    assert skyline(own) == [(NOW_S, 6), (NOW_S + 10, 5), (NOW_S + 20, 6)]
    own.mark(5, HostState.FAILED, NOW_S, [])
    assert skyline(own) == [(NOW_S, 6), (NOW_S + 10, 4), (NOW_S + 20, 6)]
    own.no_longer_away("w", NOW_S + 12, [])
    assert own.free(NOW_S + 12, FOREVER_S) == 6


def test_away_hosts_are_avoided_for_what_lasts_into_it() -> None:
    own = book()
    own.away("w", range(3), (NOW_S + 10, NOW_S + 20), NOW_S, [])
    for end_s, free in ((NOW_S + 10, 6), (NOW_S + 11, 3), (FOREVER_S, 3)):
        with own.avoiding(NOW_S, end_s):
            assert own.pool.free_hosts == free
    with own.avoiding(NOW_S + 20, FOREVER_S):
        assert own.pool.free_hosts == 6


def test_power_bounds_what_is_promised_beside_the_units() -> None:
    own = book(CAPPED)
    assert own.plan.draw_w is not None
    fed = 60_000 // own.plan.draw_w
    assert 0 < fed < own.units
    assert own.free(NOW_S + 2**31, NOW_S + 2**31 + 1) == fed
    own.sit("a", hosts(0), NOW_S + 2**31, None, [])
    assert own.free(NOW_S + 2**31, NOW_S + 2**31 + 1) == fed - 1


def test_hosts_have_the_names_of_where_they_stand() -> None:
    assert book().names([0, 3, 4]) == ["north/a1/h/1", "north/a1/h/4", "north/a2/h/1"]
    assert book(key=ULTRA_POOL).names([0, 4, 15]) == [
        "north/a1/t1/1",
        "north/a1/t2/1",
        "north/a2/t2/4",
    ]
