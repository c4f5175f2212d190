"""Hosts that are emptied: what runs there is told, and what was promised there moves."""

from typing import Any

import pytest

from craton.fleet.contract import LeaseView, ReservationView
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import Conflict
from tests.fakes.fleet_sales import (
    FLEET,
    HOUR_S,
    NANOS,
    NO_SPARES,
    buy,
    end,
    lease,
    mark,
    now,
    paid,
    reserve,
    spot,
)
from tests.fakes.fleets import BOB, FailedCommitError, FleetWorld


def drain(world: FleetWorld, path: str) -> Any:
    return mark(world, path, HostState.DRAINING)


def inside(world: FleetWorld, kept: ReservationView, **wanted: Any) -> LeaseView:
    return lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, **wanted)


def started(world: FleetWorld, **wanted: Any) -> ReservationView:
    block = buy(world, **wanted)
    world.advance(block.start_s - world.now_s)
    return now(world, block)


def test_what_runs_inside_a_reservation_is_told_and_its_host_replaced_after_that() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    held = [inside(world, kept, hosts=1) for _ in range(2)]
    done = drain(world, kept.hosts[0])
    assert (done.leases_ended, done.reservations_moving) == ([held[0].id], [kept.id])
    told = now(world, held[0])
    assert (told.state, told.reason, told.ends_s) == ("ending", "drained", world.now_s + 120)
    assert now(world, held[1]).state == "active"
    assert now(world, kept).hosts == kept.hosts
    world.advance(119)
    assert now(world, held[0]).state == "ending"
    world.advance(1)
    after = now(world, kept)
    assert (now(world, held[0]).reason, after.state) == ("drained", "active")
    assert kept.hosts[0] not in after.hosts
    assert kept.hosts[1] in after.hosts
    assert len(after.hosts) == 2
    assert now(world, held[1]).state == "active"
    assert inside(world, after, hosts=1).state == "active"


def test_hosts_on_which_nothing_runs_are_replaced_at_once() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    done = drain(world, kept.hosts[0])
    assert (done.reservations_moved, done.leases_ended) == ([kept.id], [])
    assert kept.hosts[0] not in now(world, kept).hosts
    assert len(now(world, kept).hosts) == 2


def test_who_ends_early_is_moved_then() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=1)
    held = inside(world, kept, hosts=1)
    drain(world, kept.hosts[0])
    world.advance(10)
    end(world, now(world, held))
    assert world.office.lifecycle.due().is_due
    world.advance()
    assert now(world, kept).hosts != kept.hosts
    assert not world.office.lifecycle.due().is_due


def test_where_there_are_no_others_it_is_said_and_credited_and_tried_again() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=8)
    held = inside(world, block, hosts=8)
    path = block.hosts[0]
    before = paid(world)
    done = drain(world, path)
    assert done.reservations_short == [block.id]
    assert done.reservations_moving == done.reservations_moved == []
    world.advance(120)
    after = now(world, block)
    assert now(world, held).reason == "drained"
    assert (after.state, len(after.hosts), after.broken_hosts) == ("unavailable", 7, 1)
    world.advance(HOUR_S)
    mark(world, path, None)
    world.advance(60)
    assert (now(world, block).state, len(now(world, block).hosts)) == ("active", 8)
    world.advance(block.end_s - world.now_s)
    hour = 8 * 2 * NANOS
    assert before - paid(world) == hour + hour * 60 // 3600


def test_an_ultraserver_is_emptied_and_replaced_whole() -> None:
    world = FleetWorld(FLEET)
    block = started(world, units=2, ultra=True)
    held = [inside(world, block, hosts=1) for _ in range(8)]
    rack = block.hosts[0].rpartition("/")[0]
    done = drain(world, block.hosts[0])
    near = [each.id for each in held if each.hosts[0].startswith(rack)]
    assert sorted(done.leases_ended) == sorted(near)
    assert len(near) == 4
    world.advance(120)
    after = now(world, block)
    assert (after.state, len(after.hosts)) == ("active", 8)
    assert not [name for name in after.hosts if name.startswith(rack)]


def test_what_may_be_interrupted_makes_way_for_a_promise_that_moves() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, units=4)
    held = spot(world, BOB, hosts=4)
    done = drain(world, block.hosts[0])
    assert done.reservations_moved == [block.id]
    assert now(world, held).reason == "preempted"


def test_a_whole_site_that_is_drained_leaves_no_promise_its_hosts() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    done = drain(world, "north")
    assert done.reservations_short == [kept.id]
    assert (now(world, kept).state, now(world, kept).hosts) == ("unavailable", [])
    with pytest.raises(Conflict, match="no host that works now"):
        inside(world, kept, chips=1)
    mark(world, "north", None)
    world.advance(60)
    assert inside(world, kept, hosts=2).state == "active"


def test_a_row_of_several_sorts_of_racks_is_emptied_as_one() -> None:
    racks = """[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 4
"""
    world = FleetWorld(NO_SPARES.replace(racks, racks + racks.replace('"h"', '"i"')))
    kept = reserve(world, hosts=16)
    held = [lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=16)]
    done = drain(world, "north/a1")
    assert (done.leases_ended, done.hosts) == ([held[0].id], 16)
    assert done.reservations_short == [kept.id]
    world.advance(120)
    assert len(now(world, kept).hosts) == 8


def test_leases_outside_are_told_why() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    drain(world, held.hosts[0])
    assert now(world, held).reason == "drained"


def test_a_restart_while_it_empties_changes_nothing() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=1)
    inside(world, kept, hosts=1)
    drain(world, kept.hosts[0])
    world.restart()
    world.advance(120)
    assert now(world, kept).hosts != kept.hosts
    assert now(world, kept).state == "active"


def test_hosts_taken_back_meanwhile_stay_where_they_are() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=1)
    held = inside(world, kept, hosts=1)
    drain(world, kept.hosts[0])
    mark(world, kept.hosts[0], None)
    world.advance(120)
    assert now(world, held).state == "ended", "notice that was given stays given"
    assert now(world, kept).hosts == kept.hosts


def test_what_could_not_be_kept_moves_nothing() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    held = inside(world, kept, hosts=1)
    world.failing = True
    with pytest.raises(FailedCommitError):
        drain(world, "north/a1/h")
    world.failing = False
    assert now(world, kept).hosts == kept.hosts
    assert now(world, held).state == "active"
    assert not world.office.fleet.marks
    world.office.fleet.book(kept.pool).pool.check()
