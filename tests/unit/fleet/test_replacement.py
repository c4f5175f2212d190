"""Another fleet file comes into force: what holds hosts keeps them by name, or it is refused."""

import pytest

from craton.fleet.contract import ApplyFleet, FleetQuery
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import BadRequest, Conflict
from tests.fakes.fleet_sales import (
    FLEET,
    P5EN,
    P5EN_POOL,
    buy,
    end,
    lease,
    mark,
    now,
    offers,
    reserve,
    spot,
)
from tests.fakes.fleets import BOB, FailedCommitError, FleetWorld

BEFORE = """\
[[site.row]]
name = "0"
[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 5
"""
RENUMBERED = FLEET.replace("[[site.row]]\n", BEFORE + "[[site.row]]\n", 1)


def apply(world: FleetWorld, text: str) -> None:
    world.call("apply_fleet", ApplyFleet(text))


def test_what_holds_hosts_keeps_them_by_name_when_they_are_numbered_otherwise() -> None:
    world = FleetWorld(FLEET)
    kept, held, taken = reserve(world, hosts=2), lease(world, chips=3), spot(world, BOB, hosts=1)
    inside = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=4)
    numbers = world.office.fleet.leases[held.id].hosts
    apply(world, RENUMBERED)
    for each in (kept, held, taken, inside):
        assert now(world, each).hosts == each.hosts
    assert world.office.fleet.leases[held.id].hosts != numbers
    assert now(world, held).masks == held.masks
    assert lease(world, BOB, hosts=5).state == "active"
    for each in (held, taken, inside):
        end(world, each)
    assert world.office.fleet.book(P5EN_POOL).pool.chips_taken == 7 * 8
    world.restart()
    assert now(world, kept).hosts == kept.hosts


def test_promises_and_marks_are_carried_over() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6, pick=1)
    mark(world, "north/a2/h/3", HostState.CORDONED)
    apply(world, RENUMBERED)
    assert not [each for each in offers(world, units=6) if each.start_s == block.start_s]
    assert offers(world, units=5)[0].start_s < block.start_s
    assert list(world.office.fleet.marks) == ["north/a2/h/3"]
    pool = next(each for each in world.read("fleet", FleetQuery()).pools if each.key == P5EN_POOL)
    assert pool.hosts_unusable == 1


def test_a_file_without_a_host_that_somebody_holds_is_refused_and_changes_nothing() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=6)
    for text in ("", FLEET.replace('"h"', '"g"')):
        with pytest.raises(Conflict, match=held.id):
            apply(world, text)
    assert now(world, held).hosts == held.hosts
    assert world.office.fleet.book(P5EN_POOL).pool.chips_taken == 48
    world.office.fleet.book(P5EN_POOL).pool.check()


def test_a_file_with_fewer_units_than_are_promised_is_refused() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=5, pick=1)
    with pytest.raises(Conflict, match="fewer units"):
        apply(world, FLEET.replace("hosts = 4", "hosts = 3"))
    assert not offers(world, units=2, start_s=block.start_s, end_s=block.end_s + 1)
    apply(world, FLEET.replace("hosts = 4", "hosts = 5"))
    assert offers(world, units=3, start_s=block.start_s)[0].start_s == block.start_s


def test_a_file_with_less_power_than_what_runs_draws_is_refused() -> None:
    world = FleetWorld(FLEET)
    lease(world, hosts=6)
    site = 'driver = "simulated"'
    capped = FLEET.replace(site, site + "\noversubscribed = true\npower_kw = 20")
    with pytest.raises(Conflict, match="power"):
        apply(world, capped)


def test_marks_of_hosts_that_are_gone_are_forgotten() -> None:
    world = FleetWorld(FLEET)
    mark(world, "north/a1/h/4")
    apply(world, FLEET.replace("hosts = 4", "hosts = 3"))
    assert not world.office.fleet.marks
    apply(world, FLEET)
    world.restart()
    assert offers(world, units=6)


def test_a_file_that_could_not_be_kept_changes_nothing() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=3)
    world.failing = True
    with pytest.raises(FailedCommitError):
        apply(world, RENUMBERED)
    world.failing = False
    assert now(world, held).hosts == held.hosts
    end(world, held)
    assert world.office.fleet.book(P5EN_POOL).pool.chips_taken == 0
    assert not offers(world, units=7)


def test_a_wrong_file_is_refused_whole() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest):
        apply(world, FLEET + FLEET)
    assert offers(world)


def test_who_waits_goes_on_waiting_where_its_pool_is_gone_and_can_give_up() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=6)
    queued = lease(world, hosts=1, wait=True, zone="north")
    end(world, held)
    # Before anybody looks, the site goes.
    apply(world, "")
    assert now(world, queued).state == "waiting"
    world.advance()
    assert now(world, queued).instance_type == P5EN
    apply(world, FLEET)
    world.advance()
    assert now(world, queued).state == "active"
    other = lease(world, hosts=6, wait=True)
    assert end(world, other).reason == "cancelled"
