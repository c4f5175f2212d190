"""Divided hosts: leases of a part of a chip, of processors and memory, each paid for what it takes.

A host of `north` has 8 chips, 192 processors and 2,048 GiB.
"""

from typing import Any

import pytest

from craton.fleet.contract import (
    ApplyFleet,
    FleetQuery,
    LeaseView,
    MarkHosts,
    RequestLease,
)
from craton.fleet.records import HostState, LeaseKind
from craton.fleet.share_contract import SetShare, SharesQuery
from craton.kernel.errors import BadRequest, BudgetExceeded, Conflict
from tests.fakes.fleet_sales import (
    HOUR_S,
    NANOS,
    P5EN,
    cap,
    end,
    lease,
    mark,
    now,
    offers,
    paid,
    reserve,
    spot,
)
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld, north, rack

POOL = "north/p5en.48xlarge.divided"
DIVIDED = north(rack("d", P5EN, hosts=2, divided=True))
ONE = DIVIDED.replace("hosts = 2", "hosts = 1")
MIXED = DIVIDED + rack("h", P5EN, hosts=2)


def part(world: FleetWorld, milli: int | None = 500, **more: Any) -> LeaseView:
    """Hold so many thousandths of one chip."""
    return lease(world, chip_milli=milli, **more)


def free(world: FleetWorld) -> int:
    """Thousandths of chips that nobody holds."""
    (pool,) = (each for each in world.read("fleet", FleetQuery()).pools if each.key == POOL)
    assert pool.free_milli is not None
    return pool.free_milli


def test_parts_share_a_chip_until_it_is_full_and_then_open_the_next() -> None:
    world = FleetWorld(DIVIDED)
    held = [part(world) for _ in range(3)]
    assert held[0].masks == held[1].masks != held[2].masks
    assert {each.hosts[0] for each in held} == {held[0].hosts[0]}
    assert (held[0].chips, held[0].part is not None) == (1, True)
    assert free(world) == 16_000 - 1500
    (pool,) = (each for each in world.read("fleet", FleetQuery()).pools if each.key == POOL)
    assert (pool.chips_taken, pool.is_divided, pool.units) == (2, True, 0)


def test_a_chip_is_free_again_when_the_last_of_its_parts_is_given_back() -> None:
    world = FleetWorld(ONE)
    parts = [part(world) for _ in range(2)]
    whole = lease(world, chips=7)
    with pytest.raises(Conflict, match="No host has so much left"):
        lease(world, chips=1)
    end(world, parts[0])
    with pytest.raises(Conflict):
        lease(world, chips=1)
    end(world, parts[1])
    assert lease(world, chips=1).masks == parts[0].masks
    assert whole.chips == 7


def test_a_part_has_its_chips_share_of_processors_and_memory_unless_it_says_more() -> None:
    world = FleetWorld(ONE)
    plain, large = part(world, 250), part(world, 250, cpu_milli=100_000, memory_mib=4096)
    assert plain.part is not None
    assert (plain.part.cpu_milli, plain.part.memory_mib) == (6_000, 65_536)
    assert large.part is not None
    assert (large.part.cpu_milli, large.part.memory_mib) == (100_000, 4096)
    with pytest.raises(Conflict):
        part(world, 100, cpu_milli=90_000)
    assert part(world, 100, cpu_milli=80_000).state == "active"


def test_processors_and_memory_are_leased_without_a_chip() -> None:
    world = FleetWorld(ONE)
    held = part(world, None, cpu_milli=48_000)
    assert (held.chips, held.masks) == (0, [0])
    assert held.part is not None
    assert (held.part.memory_mib, held.part.milli) == (0, 2000)
    assert lease(world, chips=6).state == "active"
    with pytest.raises(Conflict):
        lease(world, chips=1)
    end(world, held)
    assert lease(world, chips=2).state == "active"


def test_who_takes_half_of_a_hosts_processors_pays_for_half_of_its_chips() -> None:
    world = FleetWorld(ONE)
    small = part(world, 125)
    large = part(world, 125, owner=BOB, cpu_milli=96_000)
    world.advance(HOUR_S)
    end(world, small)
    end(world, large)
    assert paid(world) == 3 * NANOS // 8
    assert paid(world, BOB) == 4 * 3 * NANOS


def test_a_part_that_is_billed_often_pays_no_second_more_or_less() -> None:
    world = FleetWorld(ONE)
    held = part(world, 333)
    for _ in range(7):
        world.advance(3700)
    end(world, held)
    # Each bill rounds a nano-dollar by itself.
    assert paid(world) // 1000 == 7 * 3700 * 333 // 1000 * 3 * NANOS // 3600 // 1000


def test_a_budget_is_asked_for_the_part_and_not_for_the_chip() -> None:
    world = FleetWorld(ONE)
    cap(world, 2)
    assert part(world, 500).state == "active"
    with pytest.raises(BudgetExceeded):
        part(world, 700)


def test_a_share_counts_parts_as_what_they_are() -> None:
    world = FleetWorld(ONE)
    world.call("set_share", SetShare("alice", "h200", 1))
    for _ in range(3):
        part(world, 300)
    (view,) = world.read("shares", SharesQuery()).shares
    assert (view.held_chips, view.borrowed_chips) == (1, 0)
    part(world, 300)
    (view,) = world.read("shares", SharesQuery()).shares
    assert (view.held_chips, view.borrowed_chips) == (2, 1)


def test_divided_hosts_are_not_promised_ahead_and_those_beside_them_are() -> None:
    world = FleetWorld(MIXED)
    assert offers(world, units=3) == []
    assert {each.pool for each in offers(world, units=2)} == {"north/p5en.48xlarge"}


def test_whole_chips_are_had_of_either_and_gangs_only_of_hosts_that_are_not_divided() -> None:
    world = FleetWorld(MIXED)
    assert lease(world, hosts=2).pool == "north/p5en.48xlarge"
    assert lease(world, chips=8).pool == POOL
    assert lease(world, hosts=1).pool == POOL
    with pytest.raises(Conflict):
        lease(world, chips=1)


def test_who_waits_gets_a_part_when_enough_of_one_is_given_back() -> None:
    world = FleetWorld(ONE)
    whole = lease(world, chips=7)
    held = [part(world, 400) for _ in range(2)]
    waiting = part(world, 300, wait=True)
    assert waiting.state == "waiting"
    end(world, held[0])
    world.advance()
    after = now(world, waiting)
    assert (after.state, after.masks) == ("active", held[1].masks)
    assert now(world, whole).state == "active"


def test_nobody_passes_who_has_waited_long_for_a_divided_host() -> None:
    world = FleetWorld(ONE)
    held = [part(world, 900, owner=BOB) for _ in range(8)]
    waiting = lease(world, chips=8, wait=True)
    world.advance(901)
    end(world, held[0])
    world.advance()
    with pytest.raises(Conflict, match="whoever waits since"):
        part(world, 100)
    for each in held[1:]:
        end(world, each)
    world.advance()
    assert now(world, waiting).state == "active"


def test_what_may_be_interrupted_makes_way_on_one_host_and_as_little_as_can_be() -> None:
    world = FleetWorld(DIVIDED)
    one = [spot(world, BOB, chip_milli=500) for _ in range(16)]
    two = spot(world, BOB, chips=8, priority=-5)
    assert two.hosts != one[0].hosts
    waiting = part(world, 1000, wait=True)
    told = [each for each in (*one, two) if now(world, each).state == "ending"]
    assert told == [two]
    world.advance(121)
    assert now(world, waiting).state == "active"
    assert now(world, waiting).hosts == two.hosts


def test_a_part_takes_the_place_of_no_more_parts_than_it_needs() -> None:
    world = FleetWorld(ONE)
    lease(world, chips=7)
    small = [spot(world, BOB, chip_milli=250) for _ in range(4)]
    part(world, 400, wait=True)
    told = [now(world, each).state for each in small].count("ending")
    assert told == 2


def test_one_large_part_makes_way_before_several_small_ones() -> None:
    world = FleetWorld(ONE)
    lease(world, chips=7)
    large = spot(world, BOB, chip_milli=500)
    world.advance(10)
    small = [spot(world, BOB, chip_milli=125) for _ in range(4)]
    part(world, 500, wait=True)
    assert now(world, large).state == "ending"
    assert {now(world, each).state for each in small} == {"active"}


def test_no_part_makes_way_for_nothing_where_several_must() -> None:
    world = FleetWorld(ONE)
    lease(world, chips=7)
    held = [spot(world, BOB, chip_milli=milli) for milli in (300, 300, 300, 100)]
    part(world, 900, wait=True)
    assert [now(world, each).state for each in held] == ["ending"] * 3 + ["active"]


def test_a_host_that_fails_ends_all_parts_of_it_and_a_chip_those_of_that_chip() -> None:
    world = FleetWorld(DIVIDED)
    halves = [part(world) for _ in range(2)]
    beside = lease(world, chips=2)
    cpu = part(world, None, cpu_milli=1000)
    assert {each.hosts[0] for each in (*halves, beside, cpu)} == {beside.hosts[0]}
    chip = halves[0].masks[0].bit_length() - 1
    done = world.call("mark_hosts", MarkHosts(beside.hosts[0], HostState.FAILED, "", (chip,)))
    assert set(done.leases_ended) == {each.id for each in halves}
    assert part(world).masks != halves[0].masks
    assert {now(world, each).state for each in (beside, cpu)} == {"active"}
    mark(world, beside.hosts[0])
    assert {now(world, each).reason for each in (beside, cpu)} == {"host-lost"}
    assert part(world).hosts != beside.hosts
    mark(world, beside.hosts[0], None)
    assert lease(world, chips=8).hosts == beside.hosts


def test_nothing_new_starts_on_a_divided_host_that_is_drained() -> None:
    world = FleetWorld(DIVIDED)
    held = part(world)
    mark(world, held.hosts[0], HostState.DRAINING)
    assert now(world, held).state == "ending"
    assert part(world).hosts != held.hosts


def test_parts_are_known_after_a_restart_and_under_another_fleet_file() -> None:
    world = FleetWorld(DIVIDED)
    held = [
        part(world),
        part(world, 300),
        part(world, None, cpu_milli=50_000),
        lease(world, chips=3),
    ]
    before = free(world), [now(world, each) for each in held]
    world.restart()
    assert (free(world), [now(world, each) for each in held]) == before
    world.call("apply_fleet", ApplyFleet(MIXED))
    assert (free(world), [now(world, each) for each in held]) == before
    for each in held:
        end(world, each)
    assert free(world) == 16_000
    with pytest.raises(Conflict):
        lease(world, hosts=3)


def test_a_part_that_could_not_be_kept_was_not_taken() -> None:
    world = FleetWorld(ONE)
    held = part(world)
    world.failing = True
    with pytest.raises(FailedCommitError):
        part(world)
    assert free(world) == 7500
    with pytest.raises(FailedCommitError):
        end(world, held)
    world.failing = False
    assert free(world) == 7500
    end(world, held)
    assert free(world) == 8000


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"chip_milli": 500, "chips": 2}, "a part is of one chip"),
        ({"chip_milli": 500, "hosts": 2}, "leased one by one"),
        ({"cpu_milli": 200_000}, "No host of the fleet has so much"),
        ({"chips": 9}, "these have 8"),
        ({"chip_milli": 500, "kind": LeaseKind.RESERVED, "reservation": "cr-1"}, "whole hosts"),
    ],
    ids=["of two chips", "of two hosts", "too much", "too many", "reserved"],
)
def test_what_is_no_part_of_a_host_is_refused(wanted: dict[str, Any], said: str) -> None:
    world = FleetWorld(DIVIDED)
    asked: dict[str, Any] = {"kind": LeaseKind.ON_DEMAND, "instance_type": P5EN, "wait": True}
    command = RequestLease(owner=ALICE, **{**asked, **wanted})
    with pytest.raises(BadRequest, match=said):
        world.call("request_lease", command)


def test_parts_of_hosts_that_are_not_divided_are_refused() -> None:
    world = FleetWorld(DIVIDED.replace("divided = true\n", ""))
    with pytest.raises(BadRequest, match="divided = true"):
        part(world)


@pytest.mark.parametrize(
    "change",
    [("hosts = 2", 'ultraserver = "u-p6e-gb200x72"'), ("hosts = 2", "hosts = 2\nspares = 1")],
    ids=["an UltraServer", "spares"],
)
def test_only_loose_servers_without_spares_are_divided(change: tuple[str, str]) -> None:
    text = DIVIDED.replace(*change)
    if "ultraserver" in text:
        text = text.replace("p5en.48xlarge", "p6e-gb200.36xlarge")
    with pytest.raises(BadRequest, match="divided"):
        FleetWorld(text)


def test_reservations_are_of_hosts_that_are_not_divided() -> None:
    world = FleetWorld(MIXED)
    assert reserve(world, hosts=2).pool == "north/p5en.48xlarge"
    with pytest.raises(Conflict):
        reserve(world, hosts=1)


def test_a_machine_is_not_made_whole_while_somebody_holds_a_part_of_it() -> None:
    world = FleetWorld("[this_machine]\ndivided = true\n")
    held = lease(world, what="craton.local", chip_milli=500)
    waiting = lease(world, BOB, what="craton.local", chip_milli=700, wait=True)
    with pytest.raises(Conflict, match="a part of a host"):
        world.call("apply_fleet", ApplyFleet("[this_machine]\ndivided = false\n"))
    end(world, held)
    world.advance()
    assert now(world, waiting).state == "active"
    later = lease(world, what="craton.local", chip_milli=400, wait=True)
    end(world, waiting)
    world.call("apply_fleet", ApplyFleet("[this_machine]\ndivided = false\n"))
    world.advance()
    assert now(world, later).state == "waiting"
    assert lease(world, what="craton.local", hosts=1).part is None


def test_nothing_is_kept_of_a_whole_machine_for_who_waits_for_a_part_of_it() -> None:
    world = FleetWorld("[this_machine]\ndivided = true\n")
    held = lease(world, what="craton.local", chips=1)
    waiting = lease(world, BOB, what="craton.local", chip_milli=500, wait=True)
    end(world, held)
    world.call("apply_fleet", ApplyFleet("[this_machine]\ndivided = false\n"))
    world.advance(901)
    assert now(world, waiting).state == "waiting"
    assert lease(world, what="craton.local", hosts=1).state == "active"


def test_whole_chips_go_on_when_their_machine_is_divided() -> None:
    world = FleetWorld("[this_machine]\n")
    held = lease(world, what="craton.local", hosts=1)
    assert held.part is None
    world.call("apply_fleet", ApplyFleet("[this_machine]\ndivided = true\n"))
    with pytest.raises(Conflict):
        lease(world, what="craton.local", chip_milli=100)
    world.advance(HOUR_S)
    end(world, held)
    assert paid(world) == 3 * NANOS
    assert lease(world, what="craton.local", chip_milli=100).state == "active"


def test_this_machine_is_divided_by_the_fleet_file() -> None:
    world = FleetWorld("[this_machine]\ndivided = true\n")
    halves = [lease(world, what="craton.local", chip_milli=500) for _ in range(2)]
    assert {each.masks[0] for each in halves} == {1}
    with pytest.raises(Conflict):
        lease(world, what="craton.local", chip_milli=500)
    world.call("apply_fleet", ApplyFleet(DIVIDED + "[this_machine]\ndivided = true\n"))
    assert {now(world, each).state for each in halves} == {"active"}


def test_a_pool_learns_what_is_asked_of_it_and_not_of_hosts_of_another_size() -> None:
    large = "trn2.48xlarge"
    small = rack("s", "trn2.3xlarge", hosts=1, divided=True)
    world = FleetWorld(north(small, rack("w", large, hosts=2, divided=True)))
    either = RequestLease(owner=ALICE, kind=LeaseKind.ON_DEMAND, chip="trainium2", hosts=1)
    for _ in range(9):  # of a large one, that is 16 chips
        end(world, world.call("request_lease", either))
    for _ in range(3):
        end(world, lease(world, what=large, chips=15))
    first, second = (lease(world, what=large, chips=1) for _ in range(2))
    assert first.hosts == second.hosts
