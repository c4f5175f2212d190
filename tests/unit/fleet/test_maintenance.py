"""Maintenance: nothing is promised for its time, what runs is told, and all is as before after."""

import pytest

from craton.fleet.contract import ApplyFleet
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    MaintenanceView,
    ScheduleMaintenance,
)
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import BadRequest, Conflict, NotFound
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    NO_SPARES,
    P5EN_POOL,
    buy,
    free,
    lease,
    mark,
    now,
    offers,
    reserve,
    spot,
    started,
)
from tests.fakes.fleets import BOB, FailedCommitError, FleetWorld


def plan(world: FleetWorld, path: str, start_s: int, seconds: int = HOUR_S) -> MaintenanceView:
    command = ScheduleMaintenance(path, start_s, start_s + seconds, "new cables")
    return world.call("schedule_maintenance", command)


def windows(world: FleetWorld, *, is_all: bool = False) -> list[MaintenanceView]:
    return world.read("maintenance", MaintenanceQuery(is_all)).windows


def test_nothing_is_promised_on_hosts_for_the_time_of_their_maintenance() -> None:
    world = FleetWorld(NO_SPARES)
    at_s = world.now_s + 3 * DAY_S
    window = plan(world, "north/a1/h", at_s, 2 * HOUR_S)
    assert (window.state, window.hosts) == ("scheduled", 4)
    assert free(world, world.now_s, at_s) == 8
    assert free(world, at_s, at_s + 2 * HOUR_S) == 4
    assert free(world, at_s + 2 * HOUR_S, at_s + DAY_S) == 8
    assert free(world, world.now_s, at_s + DAY_S) == 4
    assert offers(world, units=8)[0].end_s <= at_s


def test_spares_stand_in_for_hosts_in_maintenance() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6, days=7)
    plan(world, "north/a1/h/1", block.start_s + DAY_S)
    plan(world, "north/a2/h/1", block.start_s + DAY_S)
    with pytest.raises(Conflict, match="1 fewer"):
        plan(world, "north/a1/h/2", block.start_s + DAY_S)
    assert len(windows(world)) == 2
    assert plan(world, "north/a1/h/2", block.start_s + 2 * DAY_S).state == "scheduled"


def test_maintenance_that_would_break_a_promise_is_refused_and_changes_nothing() -> None:
    world = FleetWorld(NO_SPARES)
    block = buy(world, units=5, pick=1)
    held = lease(world, BOB, hosts=1, seconds=block.start_s - world.now_s)
    with pytest.raises(Conflict, match="1 fewer units"):
        plan(world, "north/a1/h", block.end_s - 1, 1)
    assert plan(world, "north/a1/h", block.end_s, 1).state == "scheduled"
    assert now(world, held).until_s == held.until_s
    assert free(world, block.start_s, block.end_s) == 3


def test_the_hosts_are_set_aside_at_its_start_and_taken_back_at_its_end() -> None:
    world = FleetWorld(NO_SPARES)
    at_s = world.now_s + DAY_S
    window = plan(world, "north/a1/h", at_s)
    world.advance(DAY_S - 1)
    assert not world.office.fleet.marks
    world.advance(1)
    marks = world.office.fleet.marks
    assert [mark.state for mark in marks.values()] == [HostState.MAINTENANCE] * 4
    assert windows(world)[0].state == "under-way"
    assert free(world, world.now_s, at_s + HOUR_S) == 4
    assert offers(world, units=8)[0].start_s >= at_s + HOUR_S, "what comes after is for sale"
    assert lease(world, hosts=4, seconds=60).state == "active"
    with pytest.raises(Conflict):
        lease(world, hosts=1, seconds=60)
    world.advance(HOUR_S)
    assert not world.office.fleet.marks
    assert not windows(world)
    assert [each.id for each in windows(world, is_all=True)] == [window.id]
    assert lease(world, hosts=8).state == "active"


def test_what_broke_meanwhile_stays_set_aside() -> None:
    world = FleetWorld(NO_SPARES)
    mark(world, "north/a1/h/1")
    plan(world, "north/a1/h", world.now_s + 100, 100)
    world.advance(150)
    mark(world, "north/a1/h/2")
    world.advance(100)
    assert sorted(world.office.fleet.marks) == ["north/a1/h/1", "north/a1/h/2"]
    assert free(world, world.now_s, world.now_s + 1) == 6


def test_leases_on_demand_end_when_it_begins_and_are_told_before() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8)
    window = plan(world, "north/a1/h/1", world.now_s + HOUR_S)
    assert now(world, held).until_s == window.start_s
    world.advance(HOUR_S - 121)
    assert now(world, held).state == "active"
    world.advance(1)
    assert (now(world, held).state, now(world, held).reason) == ("ending", "maintenance")
    world.advance(120)
    assert (now(world, held).state, now(world, held).reason) == ("ended", "maintenance")


def test_leases_go_where_they_can_stay() -> None:
    world = FleetWorld(NO_SPARES)
    window = plan(world, "north/a1/h", world.now_s + HOUR_S)
    assert {name[:10] for name in lease(world, hosts=3).hosts} == {"north/a2/h"}
    short = lease(world, hosts=5, seconds=HOUR_S - 1)
    assert short.state == "active"
    world.advance(HOUR_S)
    assert now(world, short).reason == "expired"
    assert windows(world)[0].id == window.id


def test_a_lease_that_may_be_interrupted_has_two_minutes_before_it() -> None:
    world = FleetWorld(NO_SPARES)
    plan(world, "north/a1/h", world.now_s + HOUR_S)
    held = spot(world, hosts=8)
    world.advance(HOUR_S - 120)
    assert (now(world, held).state, now(world, held).ends_s) == ("ending", world.now_s + 120)
    assert spot(world, hosts=1, wait=True).state == "waiting"
    world.advance(120)
    assert now(world, held).state == "ended"


def test_a_block_goes_to_hosts_that_stay() -> None:
    for row in (1, 2):
        world = FleetWorld(NO_SPARES)
        block = buy(world, units=4, days=3)
        plan(world, f"north/a{row}/h", block.start_s + DAY_S)
        world.advance(block.start_s - world.now_s)
        hosts = now(world, block).hosts
        assert {name.split("/")[1] for name in hosts} == {f"a{3 - row}"}
        world.advance(2 * DAY_S)
        assert now(world, block).hosts == hosts


def test_a_block_that_must_leave_gets_other_hosts_and_its_work_is_told() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, 4)
    held = lease(world, kind=LeaseKind.RESERVED, reservation=block.id, hosts=4)
    row = block.hosts[0].rpartition("/")[0]
    window = plan(world, row, world.now_s + HOUR_S)
    world.advance(HOUR_S - 120)
    assert (now(world, held).state, now(world, held).ends_s) == ("ending", window.start_s)
    world.advance(120)
    after = now(world, block)
    assert (after.state, len(after.hosts)) == ("active", 4)
    assert not [name for name in after.hosts if name.startswith(row)]
    assert now(world, held).reason == "maintenance"


def test_a_window_given_up_leaves_no_trace() -> None:
    world = FleetWorld(NO_SPARES)
    window = plan(world, "north/a1/h", world.now_s + HOUR_S)
    done = world.call("cancel_maintenance", CancelMaintenance(window.id))
    assert done.state == "cancelled"
    assert world.call("cancel_maintenance", CancelMaintenance(window.id)) == done
    assert free(world, world.now_s, world.now_s + DAY_S) == 8
    world.advance(2 * HOUR_S)
    assert not world.office.fleet.marks
    with pytest.raises(NotFound):
        world.call("cancel_maintenance", CancelMaintenance("maintenance-none"))


def test_a_window_under_way_ends_when_it_is_given_up() -> None:
    world = FleetWorld(NO_SPARES)
    window = plan(world, "north/a1/h", world.now_s + 10, DAY_S)
    world.advance(10)
    world.call("cancel_maintenance", CancelMaintenance(window.id))
    assert not world.office.fleet.marks
    assert free(world, world.now_s, world.now_s + DAY_S) == 8


def test_windows_outlive_restarts_other_files_and_late_looks() -> None:
    world = FleetWorld(NO_SPARES)
    at_s = world.now_s + DAY_S
    plan(world, "north/a1/h", at_s)
    world.restart()
    assert free(world, at_s, at_s + 1) == 4
    world.call("apply_fleet", ApplyFleet(NO_SPARES.replace("hosts = 4", "hosts = 5")))
    assert (free(world, at_s, at_s + 1), windows(world)[0].hosts) == (5, 5)
    world.advance(DAY_S)
    world.restart()
    assert free(world, world.now_s, at_s + HOUR_S) == 5
    assert free(world, world.now_s, at_s + HOUR_S + 1) == 5
    assert free(world, at_s + HOUR_S, at_s + HOUR_S + 1) == 10
    world.clock.advance(seconds=DAY_S)
    world.advance()
    assert not world.office.fleet.marks
    assert free(world, world.now_s, world.now_s + 1) == 10


def test_a_window_whose_hosts_left_the_fleet_does_no_harm() -> None:
    world = FleetWorld(NO_SPARES)
    plan(world, "north/a1/h", world.now_s + 100, 100)
    world.call("apply_fleet", ApplyFleet(""))
    world.restart()
    world.advance(300)
    assert not windows(world)


def test_two_windows_of_the_same_hosts_count_once() -> None:
    world = FleetWorld(NO_SPARES)
    at_s = world.now_s + 1000
    first, second = plan(world, "north/a1/h", at_s, 100), plan(world, "north/a1", at_s + 50, 100)
    assert free(world, at_s, at_s + 150) == 4
    world.advance(1060)
    world.advance(50)
    assert free(world, world.now_s, at_s + 150) == 4
    world.advance(100)
    assert free(world, world.now_s, world.now_s + 1) == 8
    assert not world.office.fleet.marks
    assert first.id != second.id


def test_what_could_not_be_kept_is_not_planned() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8)
    world.failing = True
    with pytest.raises(FailedCommitError):
        plan(world, "north/a1/h", world.now_s + 100)
    world.failing = False
    assert not windows(world)
    assert now(world, held).until_s is None
    reserved = world.office.fleet.book(P5EN_POOL)
    assert reserved.free(world.now_s + 1000, world.now_s + DAY_S) == 0
    world.advance(1000)
    assert now(world, held).state == "active"


def test_maintenance_without_an_end_is_another_thing() -> None:
    world = FleetWorld(NO_SPARES)
    with pytest.raises(BadRequest, match="beginning and an end"):
        mark(world, "north/a1/h", HostState.MAINTENANCE)


def test_a_time_that_makes_no_sense_is_refused() -> None:
    world = FleetWorld(NO_SPARES)
    for start_s, seconds in ((world.now_s - 1, 10), (world.now_s, 0), (world.now_s, 401 * DAY_S)):
        with pytest.raises(BadRequest, match="Maintenance begins"):
            plan(world, "north/a1/h", start_s, seconds)
    with pytest.raises(NotFound):
        plan(world, "north/a7", world.now_s + 10)
    assert reserve(world, hosts=8).state == "active"
