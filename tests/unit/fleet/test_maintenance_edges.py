"""Maintenance where it meets other maintenance, marks, promises, late looks and second thoughts."""

import pytest

from craton.fleet.contract import ApplyFleet
from craton.fleet.maintenance import OPEN_MAX
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    MaintenanceView,
    ScheduleMaintenance,
)
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import Conflict
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    NO_SPARES,
    P5EN_POOL,
    TRN2U,
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
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld


def plan(world: FleetWorld, path: str, start_s: int, seconds: int = HOUR_S) -> MaintenanceView:
    return world.call("schedule_maintenance", ScheduleMaintenance(path, start_s, start_s + seconds))


def cancel(world: FleetWorld, id: str) -> None:
    world.call("cancel_maintenance", CancelMaintenance(id))


def marks(world: FleetWorld) -> dict[str, HostState]:
    return {name: mark.state for name, mark in world.office.fleet.marks.items()}


def test_what_is_short_already_does_not_stand_in_the_way_of_repairing_it() -> None:
    world = FleetWorld(NO_SPARES)
    block = buy(world, units=8, days=7)
    mark(world, "north/a1/h/1")
    at_s = block.start_s + DAY_S
    assert plan(world, "north/a1/h/1", at_s).state == "scheduled", "it is broken anyhow"
    with pytest.raises(Conflict, match="2 fewer"):
        plan(world, "north/a1/h/2", at_s)
    with pytest.raises(Conflict, match="4 fewer"):
        plan(world, "north/a1/h", at_s)


def test_what_was_to_end_before_is_given_no_more_time_by_a_late_second_thought() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8, seconds=HOUR_S)
    window = plan(world, "north", world.now_s + 60, seconds=100)
    world.clock.advance(seconds=DAY_S)  # and nobody is there to end it
    cancel(world, window.id)
    assert now(world, held).until_s == window.start_s
    world.advance(0)
    assert now(world, held).ends_s == window.start_s


def test_a_lease_gets_its_end_back_when_its_maintenance_is_given_up() -> None:
    world = FleetWorld(NO_SPARES)
    endless, timed = lease(world, hosts=4), lease(world, BOB, hosts=4, seconds=DAY_S)
    window = plan(world, "north", world.now_s + HOUR_S)
    assert now(world, endless).until_s == now(world, timed).until_s == window.start_s
    world.restart()
    cancel(world, window.id)
    assert now(world, endless).until_s is None
    assert now(world, timed).until_s == timed.until_s
    assert free(world, world.now_s, world.now_s + DAY_S) == 0
    assert free(world, world.now_s + DAY_S, world.now_s + 2 * DAY_S) == 4
    world.restart()
    assert free(world, world.now_s + DAY_S, world.now_s + 2 * DAY_S) == 4
    world.advance(2 * HOUR_S)
    assert now(world, endless).state == now(world, timed).state == "active"


def test_it_keeps_the_earlier_end_of_another_window_and_of_what_was_sold_meanwhile() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8)
    later = plan(world, "north/a1/h", world.now_s + 3 * HOUR_S)
    sooner = plan(world, "north/a1/h", world.now_s + HOUR_S)
    cancel(world, sooner.id)
    assert now(world, held).until_s == later.start_s
    buy(world, units=8, days=1, start_s=world.now_s + DAY_S)
    cancel(world, later.id)
    assert now(world, held).until_s == later.start_s, "what was sold since stands in the way"
    book = world.office.fleet.book(P5EN_POOL)
    assert not book.calendar.short(world.now_s, world.now_s + 30 * DAY_S)


def test_giving_up_that_is_not_kept_changes_no_lease() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8)
    window = plan(world, "north/a1/h", world.now_s + HOUR_S)
    world.failing = True
    with pytest.raises(FailedCommitError):
        cancel(world, window.id)
    world.failing = False
    assert now(world, held).until_s == window.start_s
    (one,) = world.read("maintenance", MaintenanceQuery()).windows
    assert one.state == "scheduled"


def test_nothing_starts_inside_a_reservation_where_it_would_have_to_end_untold() -> None:
    world = FleetWorld(NO_SPARES)
    kept = reserve(world, hosts=4)
    for host in kept.hosts[:2]:
        plan(world, host, world.now_s + HOUR_S)
    world.advance(HOUR_S - 120)
    inside = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=2)
    assert inside.hosts == kept.hosts[2:]
    with pytest.raises(Conflict):
        lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=1)
    world.advance(120)
    assert lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=2).state == "active"
    assert now(world, inside).state == "active"


def test_there_are_so_many_windows_and_no_more() -> None:
    world = FleetWorld()
    for number in range(OPEN_MAX):
        plan(world, "local", world.now_s + 100 * number + 200, 50)
    with pytest.raises(Conflict, match="Give some up"):
        plan(world, "local", world.now_s + 10)


def test_nothing_that_may_be_interrupted_starts_there_from_the_moment_it_is_told() -> None:
    world = FleetWorld(NO_SPARES)
    plan(world, "north/a1/h", world.now_s + HOUR_S)
    world.advance(HOUR_S - 120)
    held = spot(world, hosts=4)
    assert {name[:10] for name in held.hosts} == {"north/a2/h"}
    with pytest.raises(Conflict):
        spot(world, hosts=1)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_hosts_of_two_windows_come_back_with_the_last_of_them(*, is_cancelled: bool) -> None:
    world = FleetWorld(NO_SPARES)
    at_s = world.now_s + 1000
    first = plan(world, "north/a1/h", at_s, 100)
    plan(world, "north/a1/h/1", at_s + 50, 100)
    world.advance(1060)
    if is_cancelled:
        cancel(world, first.id)
    else:
        world.advance(50)
    assert marks(world) == {"north/a1/h/1": HostState.MAINTENANCE}
    world.restart()
    assert lease(world, hosts=7, seconds=1000).state == "active"
    with pytest.raises(Conflict):
        spot(world, hosts=1)
    world.advance(100)
    assert marks(world) == {}


def test_a_host_that_is_repaired_meanwhile_comes_back_at_the_end() -> None:
    world = FleetWorld(NO_SPARES)
    mark(world, "north/a1/h/1")
    plan(world, "north/a1/h", world.now_s + 10, 1000)
    world.advance(20)
    mark(world, "north/a1/h/1", None)
    assert marks(world) == {f"north/a1/h/{n}": HostState.MAINTENANCE for n in (1, 2, 3, 4)}
    kept = reserve(world, hosts=4, end_s=world.now_s + 600)
    assert {name[:10] for name in kept.hosts} == {"north/a2/h"}
    world.advance(1000)
    assert marks(world) == {}


def test_hosts_in_maintenance_are_not_repaired_out_of_it() -> None:
    world = FleetWorld(NO_SPARES)
    window = plan(world, "north/a1/h", world.now_s + 10, 1000)
    world.advance(20)
    with pytest.raises(Conflict, match=f"craton fleet maintenance --cancel {window.id}"):
        mark(world, "north/a1/h/2", None)
    mark(world, "north/a2/h/1")
    mark(world, "north", None)
    assert set(marks(world).values()) == {HostState.MAINTENANCE}
    assert len(marks(world)) == 4


def test_hosts_that_are_added_while_it_is_under_way_are_set_aside_too() -> None:
    world = FleetWorld(NO_SPARES)
    plan(world, "north/a1/h", world.now_s + 10, 1000)
    world.advance(20)
    world.call("apply_fleet", ApplyFleet(NO_SPARES.replace("hosts = 4", "hosts = 5")))
    assert len(marks(world)) == 5
    world.advance(1000)
    assert marks(world) == {}
    assert lease(world, hosts=10).state == "active"


def test_a_block_that_starts_when_it_ends_has_its_hosts_that_moment() -> None:
    world = FleetWorld(NO_SPARES)
    block = buy(world, units=8, pick=1)
    plan(world, "north/a1/h", block.start_s - HOUR_S)
    world.advance(block.start_s - world.now_s)
    assert (now(world, block).state, len(now(world, block).hosts)) == ("active", 8)


def test_all_that_is_late_is_done_in_the_order_of_its_time() -> None:
    world = FleetWorld(NO_SPARES)
    first = buy(world, units=8, pick=1)
    world.advance(first.start_s - world.now_s)
    second = offers(world, units=8)[0]
    assert second.start_s == first.end_s
    plan(world, "north/a1/h", second.end_s, HOUR_S)
    world.clock.advance(seconds=second.end_s + 60 - world.now_s)
    world.advance()
    over = now(world, first)
    assert over.state == "expired"
    assert len(marks(world)) == 4
    assert world.faults() == []


def test_a_lease_that_maintenance_cut_short_says_so_however_late_that_is_seen() -> None:
    world = FleetWorld(NO_SPARES)
    held, own = lease(world, hosts=7), lease(world, BOB, hosts=1, seconds=HOUR_S)
    plan(world, "north", world.now_s + HOUR_S)
    world.clock.advance(seconds=2 * HOUR_S)
    world.advance()
    assert now(world, held).reason == "maintenance"
    assert now(world, held).ends_s == held.started_s + HOUR_S
    assert now(world, own).reason == "expired"


def test_what_runs_where_maintenance_begins_within_two_minutes_is_told_at_once() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, hosts=8)
    window = plan(world, "north/a1/h", world.now_s + 60)
    told = now(world, held)
    assert (told.state, told.reason, told.ends_s) == ("ending", "maintenance", window.start_s)


def test_a_lease_beside_a_host_in_maintenance_keeps_its_ultraserver_once() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, ALICE, what=TRN2U, hosts=1)
    rack = held.hosts[0].rpartition("/")[0]
    window = plan(world, f"{rack}/4", world.now_s + HOUR_S)
    assert now(world, held).until_s is None, "it isn't on that host"
    assert window.hosts == 1


def test_a_block_is_moved_once_by_windows_that_overlap() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, 2)
    row = block.hosts[0].rpartition("/")[0]
    at_s = world.now_s + HOUR_S
    plan(world, row, at_s, 2 * HOUR_S)
    plan(world, block.hosts[0], at_s + HOUR_S, 2 * HOUR_S)
    world.advance(HOUR_S)
    moved = now(world, block).hosts
    assert not set(moved) & set(block.hosts)
    world.advance(4 * HOUR_S)
    assert (now(world, block).hosts, now(world, block).state) == (moved, "active")
    assert marks(world) == {}
