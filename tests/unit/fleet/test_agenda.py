"""What is due stays found, however many leases came and went before they were due."""

import msgspec

from craton.fleet.contract import EndLease, LeaseView, RequestLease
from craton.fleet.lifecycle import VOID_MAX
from craton.fleet.records import LeaseKind
from tests.fakes.fleets import ALICE, FleetWorld, north, rack

TEXT = north(rack("t", "trn2.48xlarge", hosts=4))


def lease(world: FleetWorld) -> LeaseView:
    command = RequestLease(owner=ALICE, kind=LeaseKind.ON_DEMAND, chip="trainium2", hosts=1)
    held: LeaseView = world.call("request_lease", command)
    return held


def test_the_agenda_forgets_leases_that_ended_before_anything_was_due() -> None:
    world = FleetWorld(TEXT)
    lifecycle = world.office.lifecycle
    stays, goes = lease(world), lease(world)
    gone = world.office.fleet.leases[goes.id]
    world.call("end_lease", EndLease(goes.id, goes.token, "alice"))
    # As many leases as came and went since, without the time that takes.
    for number in range(VOID_MAX + 10):
        lifecycle.note(msgspec.structs.replace(gone, id=f"lease-{number}"))
    entries = lifecycle.entries
    due = lifecycle.due()
    assert lifecycle.entries < entries - VOID_MAX
    assert due.due_s == world.now_s + 3600
    events = world.advance(3600).events
    assert world.office.fleet.leases[stays.id].billed_s == world.now_s, events
