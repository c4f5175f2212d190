"""Chips that break while the rest of their host works."""

from collections.abc import Sequence
from typing import Any

import pytest

from craton.fleet.contract import ApplyFleet, FleetQuery, MarkHosts
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import BadRequest, Conflict
from tests.fakes.fleet_sales import (
    FLEET,
    HOUR_S,
    NO_SPARES,
    P5EN_POOL,
    TRN2U,
    ULTRA_POOL,
    end,
    free,
    lease,
    mark,
    now,
    offers,
    started,
)
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

HOST = "north/a1/h/1"
ULTRA_HOST = "north/a1/t1/2"


def breaks(
    world: FleetWorld,
    chips: Sequence[int],
    host: str = HOST,
    state: HostState | None = HostState.FAILED,
) -> Any:
    """Say that chips of a host don't work, or do again."""
    return world.call("mark_hosts", MarkHosts(host, state, "no link", tuple(chips)))


def marks(world: FleetWorld) -> list[tuple[str, str, tuple[int, ...], str]]:
    """What the fleet says of hosts that aren't as they should be."""
    view = world.read("fleet", FleetQuery())
    return [(each.host, each.state, each.chips, each.note) for each in view.marks]


def test_what_runs_on_a_chip_that_fails_ends_and_what_runs_beside_it_goes_on() -> None:
    world = FleetWorld(NO_SPARES)
    first, second = (lease(world, hosts=1, chips_per_host=2) for _ in range(2))
    assert first.hosts == second.hosts
    chip = second.masks[0].bit_length() - 1
    done = breaks(world, [chip], second.hosts[0])
    assert done.leases_ended == [second.id]
    assert (now(world, second).state, now(world, second).reason) == ("ended", "chip-lost")
    assert now(world, first).state == "active"


def test_nobody_gets_a_chip_that_failed_and_others_of_its_host_are_given_away() -> None:
    world = FleetWorld(NO_SPARES)
    for host in range(1, 5):
        for row in ("a1", "a2"):
            breaks(world, [host], f"north/{row}/h/{host}")
    assert offers(world) == []
    with pytest.raises(Conflict, match="no room"):
        lease(world, hosts=1)
    held = [lease(world, hosts=1, chips_per_host=7) for _ in range(8)]
    for each in held:
        number = int(each.hosts[0].rpartition("/")[2])
        assert each.masks == [0xFF & ~(1 << number)]
    with pytest.raises(Conflict, match="no room"):
        lease(world, chips=1)
    assert marks(world)[0] == (HOST, "failed", (1,), "no link")
    (pool,) = (each for each in world.read("fleet", FleetQuery()).pools if each.key == P5EN_POOL)
    assert (pool.chips_broken, pool.hosts_unusable, pool.offered_units) == (8, 0, 0)


def test_a_promise_is_of_whole_hosts_and_leaves_one_whose_chip_fails() -> None:
    world = FleetWorld(FLEET)
    block = started(world, 2)
    inside = [
        lease(world, kind=LeaseKind.RESERVED, reservation=block.id, hosts=1, chips_per_host=4)
        for _ in range(3)
    ]
    (host, _) = block.hosts
    done = breaks(world, [7], host)
    assert done.reservations_moved == [block.id]
    after = now(world, block)
    assert (after.state, len(after.hosts), host in after.hosts) == ("active", 2, False)
    ended = {each.id for each in inside if host in each.hosts}
    assert set(done.leases_ended) == ended
    assert {now(world, each).state for each in inside if each.id not in ended} == {"active"}


def test_a_promise_that_gets_no_other_host_is_short_until_the_chip_works() -> None:
    world = FleetWorld(NO_SPARES)
    block = started(world, 8)
    done = breaks(world, [0], block.hosts[0])
    assert done.reservations_short == [block.id]
    assert (now(world, block).state, now(world, block).broken_hosts) == ("unavailable", 1)
    breaks(world, [0], block.hosts[0], None)
    world.advance(60)
    assert (now(world, block).state, now(world, block).hosts) == ("active", block.hosts)


def test_an_ultraserver_with_a_broken_chip_is_not_sold_and_its_chips_are_leased() -> None:
    world = FleetWorld(NO_SPARES)
    before = len(offers(world, units=4, ultra=True))
    breaks(world, [15], ULTRA_HOST)
    assert (before > 0, offers(world, units=4, ultra=True)) == (True, [])
    assert offers(world, units=3, ultra=True)
    held = lease(world, what=TRN2U, hosts=15)
    assert held.chips == 15 * 16
    assert ULTRA_HOST not in held.hosts
    assert lease(world, what=TRN2U, chips=15).hosts == [ULTRA_HOST]


def test_a_spare_with_a_broken_chip_stands_in_for_nobody() -> None:
    world = FleetWorld(FLEET)
    for row in ("a1", "a2"):
        breaks(world, [3], f"north/{row}/h/4")
    assert world.office.fleet.book(P5EN_POOL).spare() == []
    block = started(world, 6)
    assert mark(world, block.hosts[0]).reservations_short == [block.id]


def test_chips_work_again_one_by_one_or_all_with_their_host() -> None:
    world = FleetWorld(NO_SPARES)
    breaks(world, [1, 5])
    breaks(world, [2])
    assert [each[2] for each in marks(world)] == [(1, 2, 5)]
    breaks(world, [5, 6], state=None)
    assert [each[2] for each in marks(world)] == [(1, 2)]
    mark(world, "north/a1", None)
    assert marks(world) == []
    assert lease(world, hosts=8).chips == 64


def test_a_host_that_was_set_aside_and_has_a_broken_chip_is_whole_when_both_are_mended() -> None:
    world = FleetWorld(NO_SPARES)
    breaks(world, [1])
    mark(world, HOST, HostState.CORDONED)
    assert [each[:3] for each in marks(world)] == [
        (HOST, "cordoned", ()),
        (HOST, "failed", (1,)),
    ]
    breaks(world, [1], state=None)
    assert free(world, world.now_s, world.now_s + HOUR_S) == 7
    mark(world, HOST, None)
    assert free(world, world.now_s, world.now_s + HOUR_S) == 8


def test_what_waits_for_a_whole_host_gets_it_when_the_chip_works_again() -> None:
    world = FleetWorld(NO_SPARES)
    breaks(world, [0])
    waiting = lease(world, hosts=8, wait=True)
    assert waiting.state == "waiting"
    breaks(world, [0], state=None)
    world.advance()
    assert now(world, waiting).state == "active"


def test_broken_chips_are_known_after_a_restart_and_under_another_fleet_file() -> None:
    world = FleetWorld(FLEET)
    breaks(world, [1, 5])
    breaks(world, [15], ULTRA_HOST)
    before, skyline = marks(world), _skylines(world)
    world.restart()
    assert (marks(world), _skylines(world)) == (before, skyline)
    world.call("apply_fleet", ApplyFleet(FLEET.replace("count = 2\ntype", "count = 3\ntype")))
    assert marks(world) == before
    world.call("apply_fleet", ApplyFleet(FLEET.replace('name = "h"', 'name = "g"')))
    assert [each[0] for each in marks(world)] == [ULTRA_HOST]


def _skylines(world: FleetWorld) -> list[list[list[int]]]:
    books = world.office.fleet.books
    return [
        [each.tolist() for each in books[key].calendar.skyline(world.now_s, world.now_s + HOUR_S)]
        for key in (P5EN_POOL, ULTRA_POOL)
    ]


def test_a_failure_that_could_not_be_kept_did_not_happen() -> None:
    world = FleetWorld(NO_SPARES)
    held = lease(world, BOB, hosts=1)
    world.failing = True
    with pytest.raises(FailedCommitError):
        breaks(world, [0], held.hosts[0])
    world.failing = False
    assert marks(world) == []
    assert now(world, held).state == "active"
    end(world, held)
    assert lease(world, ALICE, hosts=8).state == "active"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (MarkHosts("north/a1/h", HostState.FAILED, "", (1,)), "Name it: north/a1/h/1"),
        (MarkHosts("north", HostState.FAILED, "", (1,)), "more than one host"),
        (MarkHosts(HOST, HostState.FAILED, "", (0, 8)), "no chip 8; it has 0 to 7"),
        (MarkHosts(HOST, HostState.DRAINING, "", (1,)), "only hosts are draining"),
    ],
    ids=["a rack", "a site", "too high", "drained"],
)
def test_chips_are_those_of_one_host_and_fail_or_work(command: MarkHosts, said: str) -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest, match=said):
        world.call("mark_hosts", command)
    assert marks(world) == []
