"""The state of a pool: chips are held once, every change has an inverse, and the counts agree."""

import random

import numpy as np
import pytest

from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Power
from craton.kernel.errors import Internal
from tests.fakes.pools import DRAW_W, hosts_of, masks_of, occupy, pool_of


def test_a_chip_is_never_taken_twice() -> None:
    pool = pool_of([[2]])
    occupy(pool, 0, mask=0b0110)
    with pytest.raises(Internal, match="host 0 chips 0xc"):
        pool.take(hosts_of(0, 1), masks_of(0b1100, 0b1111))
    assert pool.taken.tolist() == [0b0110, 0]
    pool.take(hosts_of(0), masks_of(0b1001))
    pool.check()


@pytest.mark.parametrize(
    ("hosts", "masks"),
    [((1, 0), (1, 1)), ((0, 0), (1, 2)), ((0, 1), (1, 0)), ((0,), (0b10000,))],
)
def test_hosts_out_of_order_twice_or_without_chips_are_a_fault(
    hosts: tuple[int, ...], masks: tuple[int, ...]
) -> None:
    pool = pool_of([[2]])
    with pytest.raises(Internal):
        pool.take(hosts_of(*hosts), masks_of(*masks))
    assert not pool.taken.any()


def test_what_cannot_be_used_is_not_given_away() -> None:
    pool = pool_of([[3]])
    assert pool.set_usable(0, False)
    assert not pool.set_usable(0, False)
    assert pool.fail_chip(1, 2)
    assert not pool.fail_chip(1, 2)
    assert pool.free_hosts == 1
    for host in (0, 1):
        with pytest.raises(Internal):
            occupy(pool, host)
    occupy(pool, 1, mask=0b1011)
    pool.check()


def test_a_chip_that_breaks_while_it_is_held_is_not_offered_when_it_comes_back() -> None:
    pool = pool_of([[1]])
    occupy(pool, 0)
    pool.fail_chip(0, 3)
    pool.release(hosts_of(0), masks_of(15))
    assert pool.offered.tolist() == [0b0111]
    assert pool.mend_chip(0, 3)
    assert pool.free_hosts == 1
    pool.check()


def test_whole_hosts_come_back_free_but_those_that_something_is_wrong_with() -> None:
    pool = pool_of([[3], [1]])
    occupy(pool, 0, 1, 2, 3)
    pool.fail_chip(0, 1)
    pool.set_usable(2, False)
    pool.release(hosts_of(0, 1), masks_of(15, 15))
    pool.release(hosts_of(2, 3), masks_of(15, 15))
    assert pool.offered.tolist() == [0b1101, 15, 0, 15]
    assert pool.free_hosts == 2
    pool.check()
    occupy(pool, 1, 3)
    assert pool.power.row_used_w.tolist() == [DRAW_W, DRAW_W]
    pool.release(hosts_of(1, 3), masks_of(15, 15))
    assert pool.power.site_used_w == 0
    pool.check()


def test_chips_that_nobody_holds_do_not_come_back() -> None:
    pool = pool_of([[2]])
    occupy(pool, 0, mask=0b0001)
    with pytest.raises(Internal, match="host 0 chips 0x3"):
        pool.release(hosts_of(0), masks_of(0b0011))
    assert pool.taken.tolist() == [1, 0]
    assert pool.power.site_used_w == DRAW_W


def test_a_lease_is_restored_on_hosts_that_are_not_usable_any_more() -> None:
    pool = pool_of([[2]])
    pool.set_usable(0, False)
    pool.fail_chip(1, 0)
    pool.restore(hosts_of(0, 1), masks_of(15, 15))
    assert pool.chips_taken == 8
    with pytest.raises(Internal):
        pool.restore(hosts_of(0), masks_of(1))
    pool.check()


def test_a_host_draws_from_its_first_chip_to_its_last() -> None:
    pool = pool_of([[1], [1]])
    occupy(pool, 1, mask=0b0001)
    occupy(pool, 1, mask=0b0010)
    assert pool.power.row_used_w.tolist() == [0, DRAW_W]
    assert pool.drawing_hosts().tolist() == [0, 1]
    pool.release(hosts_of(1), masks_of(0b0001))
    assert pool.power.site_used_w == DRAW_W
    pool.release(hosts_of(1), masks_of(0b0010))
    assert pool.power.site_used_w == 0


def test_pools_of_one_site_share_its_rows_power() -> None:
    power = Power([100, 100, None], None)
    layout = Layout(
        chips_per_host=4,
        leaf_start=hosts_of(0, 4, 8),
        row_of_leaf=hosts_of(0, 1),
        power_rows=hosts_of(1, 2),
        draw_w=30,
    )
    one, two = Pool(layout, power), Pool(layout, power)
    occupy(one, 0, 1)
    occupy(two, 0, 7)
    assert power.row_used_w.tolist() == [0, 90, 30]
    assert power.row_hosts(layout.power_rows, 30)[0] == 0
    assert power.row_hosts(hosts_of(0, 1), 10).tolist() == [10, 1]


def test_power_below_what_is_drawn_leaves_nothing_rather_than_less() -> None:
    power = Power([100], 150)
    power.add([(0, 2)], 30)
    power.row_cap_w[0] = 50
    power.site_cap_w = 50
    assert power.row_hosts(hosts_of(0), 30).tolist() == [0]
    assert power.site_hosts(30) == 0
    with pytest.raises(Internal, match="More power was given back"):
        power.add([(0, 1)], -70)
    assert power.row_used_w.tolist() == [60]


@pytest.mark.parametrize("seed", range(6))
def test_counts_agree_after_any_changes_and_inverses_undo_them_all(seed: int) -> None:
    rng = random.Random(seed)
    pool = pool_of([[3, 2, 3], [3], [1, 3]], chips=rng.choice([4, 20]))
    start = snapshot(pool)
    undo = []
    for step in range(120):
        host = rng.randrange(pool.layout.hosts)
        kind = rng.choice(["take", "take", "release", "usable", "fail", "mend"])
        chip = rng.randrange(pool.layout.chips_per_host)
        if kind == "take" and pool.offered[host]:
            mask = int(pool.offered[host]) & rng.choice([int(pool.full), 0b0110, 0b1])
            if mask:
                at = hosts_of(host), masks_of(mask)
                pool.take(*at)
                undo.append(lambda at=at: pool.release(*at))
        elif kind == "release" and pool.taken[host]:
            at = hosts_of(host), masks_of(int(pool.taken[host]))
            pool.release(*at)
            undo.append(lambda at=at: pool.restore(*at))
        elif kind == "usable":
            value = not pool.usable[host]
            pool.set_usable(host, value)
            undo.append(lambda host=host, value=value: pool.set_usable(host, not value))
        elif kind == "fail" and pool.fail_chip(host, chip):
            undo.append(lambda host=host, chip=chip: pool.mend_chip(host, chip))
        elif kind == "mend" and pool.mend_chip(host, chip):
            undo.append(lambda host=host, chip=chip: pool.fail_chip(host, chip))
        if step % 10 == 0:
            pool.check()
    assert len(undo) > 40
    for back in reversed(undo):
        back()
    pool.check()
    assert snapshot(pool) == start


def snapshot(pool: Pool) -> list[bytes]:
    arrays = (pool.taken, pool.broken, pool.usable, pool.offered, pool.leaf_free, pool.partly)
    return [each.tobytes() for each in (*arrays, pool.power.row_used_w)]


def test_a_check_would_see_a_count_that_is_wrong() -> None:
    for spoil in (
        "leaf_free",
        "leaves_with",
        "hosts_with",
        "held",
        "partly",
        "partly_by_mask",
        "offered",
    ):
        pool = pool_of([[2, 2]])
        np.ravel(getattr(pool, spoil))[1] += 1
        with pytest.raises(AssertionError):
            pool.check()


def test_a_layout_out_of_order_is_refused() -> None:
    with pytest.raises(AssertionError, match="rows out of order"):
        Layout(4, hosts_of(0, 1, 2), hosts_of(0, 2), hosts_of(0, 1))
    with pytest.raises(AssertionError, match="a leaf without hosts"):
        Layout(4, hosts_of(0, 1, 1), hosts_of(0, 0), hosts_of(0))
    with pytest.raises(AssertionError, match="power rows"):
        Layout(4, hosts_of(0, 1, 2), hosts_of(0, 1), hosts_of(3, 3))


def test_many_leases_are_restored_at_once_as_one_after_the_other() -> None:
    one_by_one, at_once = pool_of([[2, 2], [3]]), pool_of([[2, 2], [3]])
    leases = [((5, 6), (0b1111, 0b0011)), ((0, 6), (0b1111, 0b0100)), ((1, 2), (0b1000, 0b1111))]
    for hosts, masks in leases:
        one_by_one.restore(hosts_of(*hosts), masks_of(*masks))
    at_once.restore_all(
        hosts_of(*(host for hosts, _ in leases for host in hosts)),
        masks_of(*(mask for _, masks in leases for mask in masks)),
    )
    assert snapshot(at_once) == snapshot(one_by_one)
    at_once.check()
    at_once.restore_all(hosts_of(), masks_of())


def test_leases_restored_at_once_that_hold_a_chip_twice_are_a_fault() -> None:
    pool = pool_of([[2]])
    with pytest.raises(Internal, match="host 1"):
        pool.restore_all(hosts_of(1, 0, 1), masks_of(0b0011, 0b1111, 0b0110))
    assert not pool.taken.any()
