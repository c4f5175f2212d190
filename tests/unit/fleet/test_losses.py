"""Hosts that break or are set aside: what ran there ends, and promises get others."""

from typing import Any

import pytest

from craton.fleet.contract import EndLease, ReservationView
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import NotFound
from tests.fakes.fleet_sales import (
    FLEET,
    NANOS,
    NO_SPARES,
    P5EN_POOL,
    buy,
    end,
    lease,
    mark,
    now,
    offers,
    paid,
    spot,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld


def started(world: FleetWorld, **wanted: Any) -> ReservationView:
    block = buy(world, **wanted)
    world.advance(block.start_s - world.now_s)
    return now(world, block)


def test_what_runs_on_a_host_that_fails_ends_and_is_paid_until_then() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    world.advance(1800)
    done = mark(world, held.hosts[0])
    assert done.leases_ended == [held.id]
    assert (now(world, held).state, now(world, held).reason) == ("ended", "host-lost")
    assert now(world, held).hosts == held.hosts, "where it was is still known"
    assert paid(world) == 8 * 3 * NANOS // 2
    world.advance(7200)
    assert paid(world) == 8 * 3 * NANOS // 2


def test_the_token_of_a_lost_lease_is_worth_nothing() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    mark(world, held.hosts[0])
    mark(world, held.hosts[0], None)
    other = lease(world, BOB, hosts=1)
    again = world.call("end_lease", EndLease(held.id, held.token, None))
    assert again.reason == "host-lost"
    assert now(world, other).state == "active"
    assert other.token > held.token


def test_other_chips_of_the_pool_run_on() -> None:
    world = FleetWorld(FLEET)
    held = [lease(world, hosts=1) for _ in range(3)]
    mark(world, held[1].hosts[0])
    assert [now(world, each).state for each in held] == ["active", "ended", "active"]


def test_a_block_gets_a_free_host_for_one_that_fails() -> None:
    world = FleetWorld(FLEET)
    block = started(world, units=2)
    done = mark(world, block.hosts[0])
    after = now(world, block)
    assert done.reservations_moved == [block.id]
    assert (after.state, len(after.hosts), after.broken_hosts) == ("active", 2, 0)
    assert block.hosts[0] not in after.hosts
    assert block.hosts[1] in after.hosts


def test_a_block_gets_a_spare_where_all_else_is_taken_and_gives_it_back() -> None:
    world = FleetWorld(FLEET)
    block = started(world, units=6)
    mark(world, block.hosts[0])
    after = now(world, block)
    assert after.state == "active"
    (spare,) = set(after.hosts) - set(block.hosts)
    assert spare in ("north/a1/h/4", "north/a2/h/4")
    world.restart()
    assert now(world, block).hosts == after.hosts
    mark(world, block.hosts[0], None)
    world.advance(block.end_s - world.now_s)
    assert lease(world, hosts=6).state == "active"
    assert len(world.office.fleet.book(P5EN_POOL).spare()) == 2


def test_a_block_gets_the_host_of_what_may_be_interrupted_and_of_as_few_as_can_be() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=5)
    large, small = spot(world, BOB, hosts=2), spot(world, BOB, hosts=1)
    done = mark(world, block.hosts[0])
    assert done.reservations_moved == [block.id]
    assert (now(world, small).state, now(world, large).state) in (
        ("ended", "active"),
        ("active", "ended"),
    )
    assert len(now(world, block).hosts) == 5


def test_a_block_gets_the_one_host_there_is_for_two_that_fail() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=7)
    lost = sorted(block.hosts)[:2]
    mark(world, lost[0])
    assert now(world, block).state == "active"
    done = mark(world, lost[1])
    assert done.reservations_short == [block.id]
    after = now(world, block)
    assert (after.state, len(after.hosts), after.broken_hosts) == ("unavailable", 6, 1)


def test_a_block_gets_the_two_hosts_there_are_for_three_that_fail_at_once() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=6)
    free = {f"north/a{row}/h/{number}" for row in (1, 2) for number in (1, 2, 3, 4)}
    free -= set(block.hosts)
    row = "north/a1/h" if all(name.startswith("north/a2/h") for name in free) else "north/a2/h"
    taken = spot(world, BOB, hosts=1)
    lost = [name for name in block.hosts if name.startswith(row)]
    done = mark(world, row)
    assert done.reservations_short == [block.id]
    after = now(world, block)
    assert len(lost) == 4
    assert (len(after.hosts), after.broken_hosts) == (4, 2)
    assert free < set(after.hosts)
    assert now(world, taken).reason == "preempted"


def test_an_on_demand_lease_never_makes_way_for_a_block_that_lost_a_host() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=6)
    held = lease(world, BOB, hosts=2, seconds=3600)
    mark(world, block.hosts[0])
    assert now(world, held).state == "active"
    assert now(world, block).state == "unavailable"


def test_an_ultraserver_is_replaced_whole_and_all_that_ran_on_it_ends() -> None:
    world = FleetWorld(FLEET)
    block = started(world, units=2, ultra=True)
    held = [lease(world, kind=LeaseKind.RESERVED, reservation=block.id, hosts=1) for _ in range(8)]
    done = mark(world, block.hosts[0])
    rack = block.hosts[0].rpartition("/")[0]
    lost = [each for each in held if each.hosts[0].startswith(rack)]
    assert sorted(done.leases_ended) == sorted(each.id for each in lost)
    assert len(lost) == 4
    after = now(world, block)
    assert len(after.hosts) == 8
    assert not [name for name in after.hosts if name.startswith(rack)]


def test_a_cordoned_host_is_not_used_and_what_runs_there_goes_on() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1)
    mark(world, held.hosts[0], HostState.CORDONED)
    world.advance(1000)
    assert now(world, held).state == "active"
    assert lease(world, BOB, chips=1).hosts != held.hosts


def test_a_drained_host_gives_two_minutes() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1)
    mark(world, "north/a1/h", HostState.DRAINING)
    mark(world, "north/a2/h", HostState.DRAINING)
    assert (now(world, held).state, now(world, held).ends_s) == ("ending", world.now_s + 120)
    world.advance(120)
    assert now(world, held).state == "ended"


def test_a_host_that_is_repaired_is_used_again() -> None:
    world = FleetWorld(NO_SPARES)
    mark(world, "north/a1/h")
    queued = lease(world, hosts=8, wait=True)
    assert queued.state == "waiting"
    mark(world, "north/a1/h", None)
    world.advance()
    assert now(world, queued).state == "active"


def test_marks_outlive_a_restart() -> None:
    world = FleetWorld(FLEET)
    mark(world, "north/a1/h")
    world.restart()
    assert not offers(world, units=5)
    assert offers(world, units=4)
    mark(world, "north/a1/h", None)
    assert offers(world, units=6)


def test_a_path_that_leads_nowhere_marks_nothing() -> None:
    world = FleetWorld(FLEET)
    for path in ("south", "north/a1/h/5", "north/a9", "north/a1/h/0"):
        with pytest.raises(NotFound):
            mark(world, path)


def test_a_lease_on_a_broken_host_can_still_be_ended_by_its_holder() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    mark(world, held.hosts[0], HostState.CORDONED)
    assert end(world, held).reason == "released"
    assert ALICE.account == held.account
