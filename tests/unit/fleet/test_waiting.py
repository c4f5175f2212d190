"""Who waits: nobody in vain, and no gang longer than those who were there before it need."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.fleet.contract import ApplyFleet, LeaseView, Owner, RequestLease
from craton.fleet.records import HostState, LeaseKind
from craton.fleet.share_contract import SetShare
from craton.fleet.shares import PATIENCE_S
from craton.kernel.errors import BadRequest, Conflict
from tests.fakes.fleet_sales import (
    FLEET,
    HOUR_S,
    P5EN,
    P5EN_POOL,
    TRN2U,
    buy,
    end,
    lease,
    mark,
    now,
    spot,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld, north, rack

CAROL = Owner("carol", "proj-c", "key-c")
TWO_SITES = FLEET + FLEET.replace('"north"', '"south"', 1)
POWERED = """\
[[site]]
name = "north"
driver = "simulated"
power_kw = 260
oversubscribed = true
[[site.row]]
name = "a"
count = 2
power_kw = 160
oversubscribed = true
[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 6
spares = 1
[[site.row.rack]]
name = "t"
count = 3
type = "trn2u.48xlarge"
ultraserver = "u-trn2x64"
"""
SMALL_AND_LARGE = north(rack("s", "trn2.3xlarge", hosts=4), rack("l", "trn2.48xlarge", hosts=2))


def waiting(world: FleetWorld, owner: Owner = ALICE, **wanted: Any) -> LeaseView:
    queued = lease(world, owner, wait=True, **wanted)
    assert queued.state == "waiting"
    return queued


def state(world: FleetWorld, what: LeaseView) -> str:
    return now(world, what).state


# --- what could never be had -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        ({"hosts": 7}, "north/p5en.48xlarge 6"),
        ({"chips": 49}, "north/p5en.48xlarge 6"),
        ({"hosts": 4, "is_one_row": True}, "north/p5en.48xlarge 3"),
        ({"hosts": 4, "is_one_leaf": True}, "north/p5en.48xlarge 3"),
        ({"hosts": 5, "hosts_per_leaf_max": 2}, "north/p5en.48xlarge 4"),
        ({"hosts": 17, "what": TRN2U}, "north/u-trn2x64 16"),
        ({"hosts": 9, "what": TRN2U, "is_one_row": True}, "north/u-trn2x64 8"),
        ({"hosts": 7, "kind": LeaseKind.INTERRUPTIBLE}, "north/p5en.48xlarge 6"),
    ],
)
def test_nobody_waits_for_more_than_could_ever_be_had(wanted: dict[str, Any], most: str) -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest, match=f"{most}\\."):
        lease(world, wait=True, **wanted)
    assert not world.office.fleet.leases


def test_what_is_set_aside_comes_back_and_is_waited_for() -> None:
    world = FleetWorld(FLEET)
    mark(world, "north/a1/h", HostState.FAILED)
    mark(world, "north/a2/h", HostState.CORDONED)
    queued = waiting(world, hosts=6)
    mark(world, "north", None)
    world.advance()
    assert state(world, queued) == "active"


def test_the_larger_pool_is_waited_for_and_the_smaller_one_no_more() -> None:
    world = FleetWorld(
        FLEET + FLEET.replace('"north"', '"south"', 1).replace("hosts = 4", "hosts = 6")
    )
    held = [lease(world, BOB, hosts=hosts) for hosts in (10, 6)]
    queued = waiting(world, hosts=8)
    assert queued.pool == "south/p5en.48xlarge"
    end(world, held[1])
    world.advance()
    assert state(world, queued) == "waiting", "six hosts of north can't hold eight"
    end(world, held[0])
    world.advance()
    assert state(world, queued) == "active"


@pytest.mark.parametrize("kind", [LeaseKind.ON_DEMAND, LeaseKind.INTERRUPTIBLE])
@given(
    what=st.sampled_from([P5EN, TRN2U]),
    hosts=st.integers(1, 14),
    chips=st.sampled_from([None, 1, 8]),
    leaf=st.booleans(),
    row=st.booleans(),
    spread=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=40, deadline=None)
def test_where_nobody_else_is_nobody_waits(kind: LeaseKind, **wanted: Any) -> None:
    world = empty(POWERED if wanted["chips"] is None else FLEET)
    try:
        granted = lease(
            world,
            ALICE,
            kind,
            what=wanted["what"],
            hosts=wanted["hosts"],
            chips_per_host=wanted["chips"],
            is_one_leaf=wanted["leaf"],
            is_one_row=wanted["row"],
            hosts_per_leaf_max=wanted["spread"],
            wait=True,
        )
    except BadRequest:
        return
    assert granted.state == "active"
    end(world, granted)


WORLDS: dict[str, FleetWorld] = {}


def empty(text: str) -> FleetWorld:
    """A world without leases, made once."""
    if text not in WORLDS:
        WORLDS[text] = FleetWorld(text)
    return WORLDS[text]


@pytest.mark.parametrize("what", [P5EN, TRN2U])
@pytest.mark.parametrize("kind", [LeaseKind.ON_DEMAND, LeaseKind.INTERRUPTIBLE])
def test_the_power_of_rows_and_sites_bounds_what_is_waited_for(what: str, kind: LeaseKind) -> None:
    world = FleetWorld(POWERED)
    with pytest.raises(BadRequest, match="nothing could ever hold them") as refused:
        lease(world, ALICE, kind, what=what, hosts=30, wait=True)
    most = int(refused.value.message.split(". Ask")[0].rpartition(" ")[2])
    assert 0 < most < (10 if what == P5EN else 24), "not all that is built is fed"
    assert lease(world, ALICE, kind, what=what, hosts=most).state == "active"


def test_who_waits_for_what_another_file_has_no_more_keeps_nothing_from_others() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=2)
    queued = waiting(world, hosts=6)
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 4", "hosts = 3")))
    world.advance(HOUR_S)
    assert lease(world, CAROL, hosts=2).state == "active", "four hosts never are six"
    end(world, held)
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 4", "hosts = 5")))
    assert world.office.lifecycle.due().is_due
    world.advance()
    assert state(world, queued) == "active"


def test_who_waits_gets_what_a_larger_file_adds() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=3)
    queued = waiting(world, hosts=4)
    world.advance()
    assert not world.office.lifecycle.due().is_due
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 4", "hosts = 5")))
    assert now(world, held).hosts == held.hosts
    assert world.office.lifecycle.due().is_due
    world.advance()
    assert state(world, queued) == "active"


def test_chips_are_waited_for_on_hosts_of_any_size() -> None:
    world = FleetWorld(SMALL_AND_LARGE)
    held = [
        world.call(
            "request_lease",
            RequestLease(owner=BOB, kind=LeaseKind.INTERRUPTIBLE, pool=pool, hosts=hosts),
        )
        for pool, hosts in (("north/trn2.3xlarge", 4), ("north/trn2.48xlarge", 2))
    ]
    ask = RequestLease(
        owner=ALICE, kind=LeaseKind.INTERRUPTIBLE, chip="trainium2", chips=4, wait=True
    )
    queued = world.call("request_lease", ask)
    assert queued.state == "waiting"
    end(world, held[1])
    world.advance()
    granted = now(world, queued)
    assert (granted.state, granted.pool, granted.chips) == ("active", "north/trn2.48xlarge", 4)


def test_hosts_are_waited_for_where_they_are_alike() -> None:
    world = FleetWorld(SMALL_AND_LARGE)
    for pool, hosts in (("north/trn2.3xlarge", 4), ("north/trn2.48xlarge", 2)):
        world.call(
            "request_lease",
            RequestLease(owner=BOB, kind=LeaseKind.INTERRUPTIBLE, pool=pool, hosts=hosts),
        )
    ask = RequestLease(
        owner=ALICE, kind=LeaseKind.INTERRUPTIBLE, chip="trainium2", hosts=2, wait=True
    )
    queued = world.call("request_lease", ask)
    kept = world.office.fleet.leases[queued.id]
    assert len(kept.pools) == 1
    world.advance(HOUR_S)
    assert state(world, queued) == "waiting"


# --- whose it is ------------------------------------------------------------------------------


def exclusive(text: str, site: str, account: str) -> str:
    return text.replace(f'name = "{site}"\n', f'name = "{site}"\nexclusive_to = "{account}"\n', 1)


def test_nobody_makes_way_in_a_pool_that_the_asker_may_not_have() -> None:
    world = FleetWorld(TWO_SITES)
    lease(world, BOB, zone="south", hosts=6)
    theirs = lease(world, BOB, zone="north", hosts=6)
    queued = waiting(world, hosts=6)
    end(world, theirs)
    world.call("apply_fleet", ApplyFleet(exclusive(TWO_SITES, "north", "bob")))
    spots = spot(world, BOB, zone="north", hosts=6)
    world.advance()
    assert state(world, queued) == "waiting"
    assert state(world, spots) == "active"


# --- who has waited long -----------------------------------------------------------------------


def churned(world: FleetWorld, hosts: int = 6, **wanted: Any) -> list[LeaseView]:
    """Leases of one host each, an hour apart from one another in their ends."""
    return [
        lease(world, BOB, hosts=1, seconds=HOUR_S * (number + 1) // 2, **wanted)
        for number in range(hosts)
    ]


def test_no_stream_of_small_requests_starves_a_gang() -> None:
    world = FleetWorld(FLEET)
    held = churned(world)
    gang = waiting(world, hosts=4)
    for _ in range(24):
        world.advance(HOUR_S // 2)
        if state(world, gang) == "active":
            break
        with suppress(Conflict):
            held.append(lease(world, CAROL, hosts=1, seconds=3 * HOUR_S))
    assert state(world, gang) == "active"
    assert world.now_s - gang.created_ms // 1000 <= 3 * HOUR_S


def test_nor_does_a_stream_of_those_who_wait_and_hold_less() -> None:
    world = FleetWorld(FLEET)
    churned(world)
    lease(world, what=TRN2U, hosts=1)
    gang = waiting(world, hosts=4)
    for number in range(12):
        owner = Owner(f"account-{number}", "p", "k")
        lease(world, owner, hosts=1, seconds=3 * HOUR_S, wait=True)
        world.advance(HOUR_S // 2)
    assert state(world, gang) != "waiting"
    assert now(world, gang).started_s - gang.created_ms // 1000 <= 3 * HOUR_S


def test_a_gang_that_waits_a_little_is_passed_by_who_fits() -> None:
    world = FleetWorld(FLEET)
    lease(world, BOB, hosts=4, seconds=10 * HOUR_S)
    waiting(world, hosts=4)
    world.advance(PATIENCE_S - 1)
    small = lease(world, CAROL, hosts=1)
    assert small.state == "active"
    world.advance(1)
    with pytest.raises(Conflict, match="is kept for 32 chips"):
        lease(world, CAROL, hosts=1)


def test_what_ends_before_a_gang_could_begin_passes_it() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=4, seconds=2 * HOUR_S)
    gang = waiting(world, hosts=4)
    world.advance(HOUR_S)
    brief = lease(world, CAROL, hosts=2, seconds=HOUR_S)
    assert brief.state == "active"
    end(world, brief)
    with pytest.raises(Conflict, match="Ask for 3600 s or less"):
        lease(world, CAROL, hosts=2, seconds=HOUR_S + 1)
    lease(world, CAROL, hosts=2, seconds=HOUR_S)
    world.advance(HOUR_S)
    assert state(world, held) == "ended"
    assert now(world, gang).started_s == held.started_s + 2 * HOUR_S


def test_where_nobody_knows_when_something_ends_what_is_brief_passes() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=4)
    gang = waiting(world, hosts=4)
    world.advance(HOUR_S)
    with pytest.raises(Conflict):
        lease(world, CAROL, hosts=2, seconds=PATIENCE_S + 1)
    lease(world, CAROL, hosts=2, seconds=PATIENCE_S)
    end(world, held)
    world.advance()
    assert state(world, gang) == "active"


def test_what_may_be_interrupted_uses_what_is_kept_and_goes_when_it_is_needed() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=4)
    gang = waiting(world, hosts=6)
    world.advance(HOUR_S)
    spots = spot(world, CAROL, hosts=2)
    assert spots.state == "active"
    end(world, held)
    world.advance()
    assert state(world, spots) == "ending"
    world.advance(120)
    assert state(world, gang) == "active"


def test_who_may_be_interrupted_keeps_nothing_from_who_pays_in_full() -> None:
    world = FleetWorld(FLEET)
    lease(world, BOB, hosts=4)
    spot(world, hosts=4, wait=True)
    world.advance(HOUR_S)
    with pytest.raises(Conflict, match="is kept"):
        spot(world, CAROL, hosts=2)
    assert lease(world, CAROL, hosts=2).state == "active"


def test_a_higher_priority_or_the_better_share_still_passes_who_waits() -> None:
    world = FleetWorld(FLEET)
    lease(world, BOB, hosts=4)
    waiting(world, hosts=4)
    world.advance(HOUR_S)
    assert lease(world, CAROL, hosts=1, priority=1).state == "active"
    with pytest.raises(Conflict):
        lease(world, CAROL, hosts=1)
    world.call("set_share", SetShare("carol", "h200", 16))
    assert lease(world, CAROL, hosts=1).state == "active"
    with pytest.raises(Conflict):
        lease(world, CAROL, hosts=1)


def test_no_more_is_kept_than_was_asked_for() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=4, pick=1)
    gang = waiting(world, hosts=3)
    world.advance(HOUR_S)
    short = [lease(world, CAROL, hosts=1, seconds=HOUR_S) for _ in range(3)]
    assert [each.state for each in short] == ["active"] * 3
    with pytest.raises(Conflict, match="is kept for 24 chips"):
        lease(world, CAROL, hosts=1, seconds=2 * HOUR_S)
    assert state(world, gang) == "waiting"
    assert block.start_s > world.now_s


def test_a_gang_that_must_lie_together_is_kept_the_leaf_with_the_most_room() -> None:
    world = FleetWorld(FLEET)
    held = [lease(world, BOB, what=TRN2U, hosts=1) for _ in range(16)]
    rack = held[0].hosts[0].rpartition("/")[0]
    inside = [each for each in held if each.hosts[0].startswith(rack)]
    gang = waiting(world, what=TRN2U, hosts=4, is_one_leaf=True)
    world.advance(HOUR_S)
    for each in inside[:3]:
        end(world, each)
        with pytest.raises(Conflict):
            lease(world, CAROL, what=TRN2U, chips=1)
    other = next(each for each in held if each not in inside)
    end(world, other)
    elsewhere = lease(world, CAROL, what=TRN2U, hosts=1)
    assert elsewhere.hosts == other.hosts
    end(world, inside[3])
    world.advance()
    assert now(world, gang).hosts == sorted(each.hosts[0] for each in inside)


def test_chips_of_one_host_are_kept_too() -> None:
    world = FleetWorld(FLEET)
    held = [lease(world, BOB, chips=2) for _ in range(24)]
    gang = waiting(world, chips=6)
    world.advance(HOUR_S)
    host = held[0].hosts[0]
    for each in [each for each in held if each.hosts == [host]][:3]:
        with pytest.raises(Conflict):
            lease(world, CAROL, chips=1)
        end(world, each)
    world.advance()
    assert now(world, gang).hosts == [host]


def test_who_has_waited_long_is_first_in_the_queue_that_is_shown() -> None:
    world = FleetWorld(FLEET)
    lease(world, BOB, hosts=6)
    lease(world, what=TRN2U, chips=1)
    mine = lease(world, what=P5EN, hosts=6, wait=True)
    world.advance(60)
    lease(world, CAROL, hosts=1, wait=True)
    first = [now(world, mine).queue_position]
    world.advance(PATIENCE_S)
    first.append(now(world, mine).queue_position)
    assert first == [1, 1]
    assert world.office.fleet.book(P5EN_POOL).pool.check() is None


@given(
    wanted=st.integers(2, 6),
    stream=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from([60, 900, 3600, 7200]), st.integers(0, 900)),
        min_size=8,
        max_size=20,
    ),
)
@settings(max_examples=6, deadline=None)
def test_a_gang_waits_at_most_its_patience_and_the_longest_lease(
    wanted: int, stream: list[tuple[int, int, int]]
) -> None:
    world = FleetWorld(FLEET)
    lease(world, BOB, hosts=6, seconds=7200)
    gang = waiting(world, hosts=wanted)
    for hosts, seconds, pause_s in stream:
        with suppress(Conflict):
            lease(world, CAROL, hosts=hosts, seconds=seconds, wait=pause_s % 2 == 1)
        world.advance(pause_s)
    world.advance(PATIENCE_S + 2 * 7200)
    started = now(world, gang)
    assert started.started_s
    assert started.started_s - gang.created_ms // 1000 <= PATIENCE_S + 7200
