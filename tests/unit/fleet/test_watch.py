"""Who isn't heard of any more: hosts after two seconds, holders after ten."""

import pytest

from craton.fleet.contract import Alive, AliveAnswer, ApplyFleet, DueQuery
from craton.fleet.records import HostState
from tests.fakes.fleet_sales import FLEET, buy, end, lease, mark, now, spot
from tests.fakes.fleets import FailedCommitError, FleetWorld


def hear(world: FleetWorld, *hosts: str) -> AliveAnswer:
    return world.read("alive", Alive(list(hosts), {}))


def test_a_host_that_falls_silent_is_lost_after_two_seconds() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    hear(world, *held.hosts)
    world.advance(2)
    assert now(world, held).state == "active"
    assert not world.read("fleet_due", DueQuery()).is_due
    world.clock.advance(seconds=0.1)
    assert world.read("fleet_due", DueQuery()).is_due
    world.advance()
    assert now(world, held).reason == "host-lost"
    assert world.office.fleet.marks[held.hosts[0]].state is HostState.FAILED
    assert not world.read("fleet_due", DueQuery()).is_due, "it is buried once"


def test_a_host_that_goes_on_speaking_stays() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    for _ in range(5):
        hear(world, *held.hosts)
        world.advance(1.5)
    assert now(world, held).state == "active"


def test_a_host_never_heard_of_is_not_watched() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=6)
    world.advance(3000)
    assert now(world, held).state == "active"


def test_a_block_gets_another_host_for_a_silent_one() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    world.advance(block.start_s - world.now_s)
    (silent, *_) = hosts = now(world, block).hosts
    hear(world, silent)
    events = world.advance(3).events
    assert any(silent in event for event in events)
    assert len(now(world, block).hosts) == 6
    assert silent not in now(world, block).hosts
    assert len(hosts) == 6


def test_a_holder_that_falls_silent_loses_its_lease_after_ten_seconds() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1)
    world.read("alive", Alive([], {held.id: held.token}))
    world.advance(10)
    assert now(world, held).state == "active"
    world.advance(1)
    assert now(world, held).reason == "holder-lost"


def test_a_holder_is_told_that_it_holds_nothing_any_more() -> None:
    world = FleetWorld(FLEET)
    held, other = lease(world, chips=1), lease(world, chips=1)
    queued = lease(world, hosts=6, wait=True)
    end(world, held)
    signs = {
        held.id: held.token,
        other.id: other.token,
        queued.id: queued.token,
        "lease-unknown": 1,
    }
    answer = world.read("alive", Alive([], signs))
    assert sorted(answer.fenced) == sorted([held.id, queued.id, "lease-unknown"])
    stale = world.read("alive", Alive([], {other.id: other.token - 1}))
    assert stale.fenced == [other.id]


def test_a_holder_is_told_when_and_why_it_will_end() -> None:
    world = FleetWorld(FLEET)
    held = spot(world, hosts=1)
    mark(world, held.hosts[0], HostState.DRAINING)
    answer = world.read("alive", Alive([], {held.id: held.token}))
    assert answer.ending == {held.id: world.now_s + 120}
    assert answer.reasons == {held.id: "drained"}


def test_a_silent_host_that_is_in_the_fleet_no_more_is_forgotten() -> None:
    world = FleetWorld(FLEET)
    hear(world, "north/a1/h/4", "nobody", "north")
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 4", "hosts = 3")))
    held = lease(world, chips=1, seconds=5)
    world.advance(10)
    assert now(world, held).state == "ended", "everything else goes on"
    assert not world.office.fleet.marks
    assert not world.read("fleet_due", DueQuery()).is_due


def test_a_host_that_was_lost_while_nothing_could_be_kept_is_lost_later() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1)
    hear(world, *held.hosts)
    world.clock.advance(seconds=3)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.advance()
    world.failing = False
    assert now(world, held).state == "active"
    world.advance()
    assert now(world, held).reason == "host-lost"
