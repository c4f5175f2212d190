"""Shares: who comes first in the queue, who borrows, and who gives back what was borrowed."""

from typing import Any

import pytest

from craton.fleet.contract import LeaseView, Owner
from craton.fleet.share_contract import SetShare, SharesQuery, ShareView
from craton.kernel.errors import BadRequest
from tests.fakes.fleet_sales import FLEET, TRN2U, end, lease, now, reserve, spot
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

CAROL = Owner("carol", "proj-c", "key-c")


def share(world: FleetWorld, owner: Owner, chips: int | None, chip: str = "h200") -> ShareView:
    return world.call("set_share", SetShare(owner.account, chip, chips))


def waiting(world: FleetWorld, owner: Owner, **wanted: Any) -> LeaseView:
    return lease(world, owner, wait=True, **wanted)


def one_after_another(world: FleetWorld, owner: Owner, **wanted: Any) -> LeaseView:
    world.advance(1)
    return lease(world, owner, **wanted)


def shares(world: FleetWorld, account: str | None = None) -> list[tuple[str, int | None, int, int]]:
    found = world.read("shares", SharesQuery(account)).shares
    return [(each.account, each.chips, each.held_chips, each.borrowed_chips) for each in found]


def test_what_an_account_does_not_use_others_borrow() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 24)
    assert lease(world, BOB, hosts=6).state == "active"
    assert shares(world) == [("alice", 24, 0, 0), ("bob", None, 48, 48)]


def test_who_is_below_its_share_gets_back_what_was_borrowed_with_notice() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 24)
    held = [one_after_another(world, BOB, hosts=2) for _ in range(3)]
    queued = waiting(world, ALICE, hosts=2)
    states = [now(world, each).state for each in held]
    assert states == ["active", "active", "ending"], "the youngest, and no more than it takes"
    assert (now(world, held[2]).reason, now(world, held[2]).ends_s) == (
        "preempted",
        world.now_s + 120,
    )
    world.advance(120)
    assert now(world, queued).state == "active"


def test_nobody_gets_others_chips_beyond_its_share() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 24)
    held = lease(world, BOB, hosts=6)
    assert waiting(world, ALICE, hosts=4).state == "waiting"
    assert waiting(world, CAROL, hosts=1).state == "waiting"
    world.advance(600)
    assert now(world, held).state == "active"


def test_nobody_is_left_less_than_its_share() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 24)
    share(world, BOB, 24)
    held = [one_after_another(world, BOB, hosts=2) for _ in range(3)]
    queued = waiting(world, ALICE, hosts=3)
    # Of six hosts three are his share: one lease can go, and the next reaches into it.
    assert [now(world, each).state for each in held] == ["active"] * 3
    end(world, queued)
    first = waiting(world, ALICE, hosts=2)
    waiting(world, ALICE, hosts=1)
    world.advance(120)
    assert now(world, first).state == "active"
    assert [now(world, each).state for each in held] == ["active", "active", "ended"]


def test_what_may_be_interrupted_goes_before_what_was_borrowed_on_demand() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 48)
    first = lease(world, BOB, hosts=3)
    second = spot(world, CAROL, hosts=3)
    waiting(world, ALICE, hosts=3)
    assert (now(world, first).state, now(world, second).state) == ("active", "ending")
    waiting(world, ALICE, hosts=3, priority=-1)
    world.advance(120)
    assert now(world, first).state == "ending"


def test_on_demand_leases_are_safe_where_nobody_has_a_share() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 64, "trainium2")
    held = lease(world, BOB, hosts=6)
    waiting(world, ALICE, hosts=1)
    assert now(world, held).state == "active", "a share of other chips says nothing about these"


def test_what_is_reserved_is_nobodys_share() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 48)
    kept = reserve(world, BOB, hosts=6)
    waiting(world, ALICE, hosts=1)
    assert now(world, kept).state == "active"
    assert shares(world) == [("alice", 48, 0, 0)]


def test_who_is_below_its_share_comes_before_who_is_above() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 16)
    held = lease(world, CAROL, hosts=6, seconds=100)
    bobs = waiting(world, BOB, hosts=3)
    beyond = waiting(world, ALICE, hosts=3)
    within = waiting(world, ALICE, hosts=2)
    order = {each.id: now(world, each).queue_position for each in (bobs, beyond, within)}
    assert order == {within.id: 1, bobs.id: 2, beyond.id: 3}
    world.advance(100)
    assert now(world, held).state == "ended"
    assert now(world, within).state == "active"


def test_of_two_below_their_shares_who_uses_less_of_it_comes_first() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 32)
    share(world, BOB, 16)
    held = [lease(world, ALICE, hosts=1), lease(world, BOB, hosts=1), lease(world, CAROL, hosts=4)]
    bobs, alices = waiting(world, BOB, hosts=1), waiting(world, ALICE, hosts=1)
    assert now(world, alices).queue_position == 1, "a quarter of hers is in use, and half of his"
    assert now(world, bobs).queue_position == 2
    assert held[2].state == "active"


def test_of_two_beyond_their_shares_who_borrowed_less_comes_first() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 8)
    for owner, hosts in ((ALICE, 3), (BOB, 2), (CAROL, 1)):
        lease(world, owner, hosts=hosts)
    order = [waiting(world, owner, hosts=1) for owner in (ALICE, BOB, CAROL)]
    # Beyond their shares they hold 16, 16 and 8 chips.
    assert [now(world, each).queue_position for each in order] == [2, 3, 1]


def test_a_share_of_nothing_is_as_good_as_none() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 0)
    held = one_after_another(world, BOB, hosts=6)
    waiting(world, ALICE, hosts=1)
    world.advance()
    assert now(world, held).state == "active"
    assert shares(world) == [("alice", 0, 0, 0), ("bob", None, 48, 48)]


def test_who_comes_third_gets_back_its_own_from_both_who_borrow_and_no_more() -> None:
    world = FleetWorld(FLEET)
    share(world, CAROL, 32)
    held = [one_after_another(world, owner, hosts=1) for owner in (ALICE, BOB) * 3]
    queued = [waiting(world, CAROL, hosts=2) for _ in range(3)]
    world.advance(240)
    ended = [now(world, each).state == "ended" for each in held]
    assert ended == [False, False, True, True, True, True]
    states = [now(world, each).state for each in queued]
    assert states == ["active", "active", "waiting"]
    world.restart()
    world.advance(600)
    assert [now(world, each).state for each in held][:2] == ["active", "active"]


def test_what_one_is_given_counts_before_the_next_is_served() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, CAROL, hosts=6)
    alices = [waiting(world, ALICE, hosts=1) for _ in range(4)]
    bobs = [waiting(world, BOB, hosts=1) for _ in range(4)]
    end(world, held)
    world.advance()
    active = [now(world, each).state == "active" for each in (*alices, *bobs)]
    assert active == [True, True, True, False] * 2


def test_a_new_share_counts_at_once_and_one_taken_away_no_more() -> None:
    world = FleetWorld(FLEET)
    held = [one_after_another(world, BOB, hosts=3) for _ in range(2)]
    waiting(world, ALICE, hosts=1)
    world.advance()
    assert now(world, held[1]).state == "active"
    share(world, ALICE, 8)
    world.advance()
    assert (now(world, held[0]).state, now(world, held[1]).state) == ("active", "ending")
    share(world, ALICE, None)
    assert shares(world) == []


def test_shares_outlive_a_restart_and_a_failed_commit_changes_none() -> None:
    world = FleetWorld(FLEET)
    share(world, ALICE, 8)
    world.failing = True
    for chips in (16, None):
        with pytest.raises(FailedCommitError):
            share(world, ALICE, chips)
    with pytest.raises(FailedCommitError):
        share(world, BOB, 16)
    world.failing = False
    assert shares(world) == [("alice", 8, 0, 0)]
    assert share(world, ALICE, 16).chips == 16
    world.restart()
    assert shares(world, "alice") == [("alice", 16, 0, 0)]
    assert shares(world, "bob") == []


def test_a_share_is_of_a_chip_that_the_fleet_has() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest, match="h200"):
        share(world, ALICE, 8, "h900")
    with pytest.raises(BadRequest, match="0 or more"):
        share(world, ALICE, -1)
    assert lease(world, what=TRN2U, chips=1).state == "active"
