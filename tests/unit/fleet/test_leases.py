"""Chips held now: where, against whom, in what order, and for how much."""

from typing import Any

import pytest

from craton.fleet.contract import EndLease, LeaseView, Owner
from craton.fleet.records import HostState, LeaseKind
from craton.kernel.errors import AccessDenied, BadRequest, BudgetExceeded, Conflict, NotFound
from tests.fakes.fleet_sales import (
    FLEET,
    HOUR_S,
    NANOS,
    TRN2U,
    buy,
    cap,
    end,
    lease,
    mark,
    now,
    paid,
    reserve,
    spot,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld


def waiting(world: FleetWorld, owner: Owner = ALICE, **wanted: Any) -> LeaseView:
    return lease(world, owner, wait=True, **wanted)


def test_chips_of_a_host_and_no_more_are_held_and_paid() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=3)
    assert (held.chips, len(held.hosts), held.masks[0].bit_count()) == (3, 1, 3)
    world.advance(1800)
    end(world, held)
    assert paid(world) == 3 * 3 * NANOS // 2
    world.advance(HOUR_S)
    assert paid(world) == 3 * 3 * NANOS // 2
    assert now(world, held).spent_nanos == paid(world)


def test_two_leases_share_a_host_and_no_chip() -> None:
    world = FleetWorld(FLEET)
    first, second = lease(world, chips=3), lease(world, BOB, chips=5)
    assert first.hosts == second.hosts
    assert not first.masks[0] & second.masks[0]


def test_what_may_be_interrupted_costs_less_and_sits_on_what_is_promised() -> None:
    world = FleetWorld(FLEET)
    buy(world, BOB, units=6, pick=1)
    held = spot(world, hosts=6)
    world.advance(HOUR_S)
    assert paid(world) == 6 * 8 * 1 * NANOS
    assert now(world, held).state == "active"


def test_on_demand_is_refused_where_it_would_break_a_promise() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, BOB, units=6, pick=1)
    with pytest.raises(Conflict, match="promised for later"):
        lease(world, hosts=1)
    with pytest.raises(Conflict, match="promised for later"):
        lease(world, hosts=1, seconds=block.start_s - world.now_s + 1)
    assert lease(world, hosts=1, seconds=block.start_s - world.now_s).state == "active"


def test_a_refusal_says_why_for_each_pool() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(Conflict, match=r"There is no room now\. north/p5en"):
        lease(world, hosts=7)


def test_the_same_token_gets_the_same_lease_even_when_it_has_ended() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1, client_token="t")
    world.restart()
    assert lease(world, chips=1, client_token="t").id == held.id
    end(world, held)
    again = lease(world, chips=1, client_token="t")
    assert (again.id, again.state) == (held.id, "ended")
    assert lease(world, BOB, chips=1, client_token="t").id != held.id


def test_tokens_grow_over_restarts_and_whoever_shows_an_older_one_is_turned_away() -> None:
    world = FleetWorld(FLEET)
    first = lease(world, chips=1)
    end(world, first)
    world.restart()
    second = lease(world, chips=1)
    assert second.token > first.token
    with pytest.raises(AccessDenied, match="not that of"):
        world.call("end_lease", EndLease(second.id, first.token, None))
    assert now(world, second).state == "active"


def test_a_lease_is_ended_by_its_account_and_no_other() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1)
    for account in ("bob", "carol"):
        with pytest.raises(NotFound):
            world.call("end_lease", EndLease(held.id, None, account))
    done = world.call("end_lease", EndLease(held.id, None, "alice", "well"))
    assert (done.state, done.reason, done.outcome) == ("ended", "released", "well")
    assert world.call("end_lease", EndLease(held.id, held.token, None)) == done


def test_who_waits_is_admitted_when_room_comes() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=6)
    queued = waiting(world, hosts=2, seconds=600)
    assert (queued.state, queued.queue_position) == ("waiting", 1)
    world.advance(1000)
    end(world, held)
    world.advance()
    started = now(world, queued)
    assert (started.state, len(started.hosts)) == ("active", 2)
    assert started.until_s == world.now_s + 600, "its time counts from its start"
    assert paid(world) == 0, "waiting costs nothing"


def test_the_queue_goes_by_priority_then_by_who_holds_less_then_by_time() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=3), lease(world, hosts=3)
    small = lease(world, what=TRN2U, chips=1)
    last = waiting(world, hosts=3)
    third = waiting(world, BOB, hosts=3)
    second = waiting(world, BOB, hosts=3, priority=-1)
    first = waiting(world, hosts=3, priority=5)
    assert small.state == "active"
    end(world, held[1])
    positions = {each.id: now(world, each).queue_position for each in (first, third, last, second)}
    assert [positions[each.id] for each in (first, last, third, second)] == [1, 2, 3, 4]
    world.advance()
    assert now(world, first).state == "active"
    end(world, held[0])
    # Alice holds three hosts now, and Bob none.
    world.advance()
    assert (now(world, third).state, now(world, last).state) == ("active", "waiting")


def test_who_gives_up_waiting_is_out_of_the_queue() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=6)
    queued = waiting(world, hosts=1)
    assert end(world, queued).reason == "cancelled"
    end(world, held)
    world.advance()
    assert now(world, queued).state == "ended"


def test_as_few_as_can_be_are_told_that_an_on_demand_lease_needs_their_chips() -> None:
    world = FleetWorld(FLEET)
    large = spot(world, BOB, hosts=3)
    small = [spot(world, BOB, hosts=1) for _ in range(3)]
    queued = waiting(world, hosts=2)
    assert now(world, large).state == "ending"
    assert [now(world, each).state for each in small] == ["active"] * 3
    assert now(world, large).ends_s == world.now_s + 120
    world.advance(119)
    assert now(world, queued).state == "waiting"
    world.advance(1)
    assert now(world, queued).state == "active"
    assert now(world, large).reason == "preempted"


def test_nobody_else_is_told_while_room_is_on_its_way() -> None:
    world = FleetWorld(FLEET)
    held = [spot(world, BOB, hosts=3), spot(world, BOB, hosts=3)]
    waiting(world, hosts=1)
    for _ in range(5):
        world.advance(10)
        mark(world, "north/a1/t1/1", HostState.CORDONED)
        mark(world, "north/a1/t1/1", None)
    assert sorted(now(world, each).state for each in held) == ["active", "ending"]


def test_nobody_is_told_where_a_promise_stands_in_the_way_all_the_same() -> None:
    world = FleetWorld(FLEET)
    held = spot(world, BOB, hosts=6)
    buy(world, BOB, units=6, pick=1)
    assert waiting(world, hosts=1).state == "waiting"
    world.advance(1000)
    assert now(world, held).state == "active"


def test_of_what_may_be_interrupted_only_lower_priorities_make_way_for_higher_ones() -> None:
    world = FleetWorld(FLEET)
    low, high = spot(world, BOB, hosts=3), spot(world, BOB, hosts=3, priority=2)
    same = spot(world, hosts=1, priority=0, wait=True)
    assert {now(world, each).state for each in (low, high)} == {"active"}
    above = spot(world, hosts=3, priority=1, wait=True)
    assert (now(world, low).state, now(world, high).state) == ("ending", "active")
    world.advance(120)
    assert (now(world, above).state, now(world, same).state) == ("active", "waiting")


def test_an_interruptible_lease_with_the_better_right_is_seen_later_too() -> None:
    world = FleetWorld(FLEET)
    kept = lease(world, hosts=3)
    queued = spot(world, hosts=4, priority=1, wait=True)
    taken = spot(world, BOB, hosts=3)
    end(world, kept)
    world.advance()
    assert now(world, taken).state == "ending"
    world.advance(120)
    assert now(world, queued).state == "active"


def test_on_demand_leases_are_never_told() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, BOB, hosts=6)
    assert waiting(world, hosts=1, priority=9).state == "waiting"
    world.advance(1000)
    assert now(world, held).state == "active"


def test_leases_inside_a_reservation_stay_there_and_cost_nothing_more() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    first = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=12)
    second = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=4)
    assert {*first.hosts, *second.hosts} == set(kept.hosts)
    with pytest.raises(Conflict, match=kept.id):
        lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=1)
    world.advance(HOUR_S)
    assert paid(world) == 2 * 8 * 3 * NANOS, "the reservation alone"
    assert now(world, kept).used_hosts == 2
    end(world, first)
    assert lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=1).state == "active"


def test_a_block_is_named_by_its_own_id_too() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    with pytest.raises(Conflict, match="scheduled"):
        lease(world, kind=LeaseKind.RESERVED, reservation=block.block, chips=1)
    world.advance(block.start_s - world.now_s)
    assert lease(world, kind=LeaseKind.RESERVED, reservation=block.block, chips=1).state == "active"


def test_a_reservation_is_its_accounts_own() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world)
    with pytest.raises(NotFound):
        lease(world, BOB, LeaseKind.RESERVED, reservation=kept.id, chips=1)
    with pytest.raises(BadRequest, match="say which"):
        lease(world, ALICE, LeaseKind.RESERVED, chips=1)


def test_nothing_new_starts_on_a_cordoned_host_of_a_reservation() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    mark(world, kept.hosts[0], HostState.CORDONED)
    held = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, chips=1)
    assert held.hosts == [kept.hosts[1]]
    with pytest.raises(Conflict):
        lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=1)


def test_unused_hosts_of_a_reservation_are_told_with_what_they_cost() -> None:
    world = FleetWorld(FLEET)
    kept = reserve(world, hosts=2)
    held = lease(world, kind=LeaseKind.RESERVED, reservation=kept.id, hosts=1)
    world.advance(1800)
    end(world, held)
    world.advance(1800)
    view = now(world, kept)
    assert view.idle_host_s == 2 * HOUR_S - 1800
    assert view.idle_nanos == 8 * 3 * NANOS * 3 // 2


def test_who_cannot_pay_an_hour_gets_nothing() -> None:
    world = FleetWorld(FLEET)
    cap(world, 20)
    with pytest.raises(BudgetExceeded):
        lease(world, chips=7)
    assert lease(world, chips=6).state == "active"


def test_who_could_pay_no_more_when_room_comes_is_not_let_in() -> None:
    world = FleetWorld(FLEET)
    cap(world, 30)
    held = lease(world, BOB, hosts=6)
    own = lease(world, what=TRN2U, chips=8)
    queued = waiting(world, hosts=1)
    world.advance(HOUR_S)
    end(world, own)
    end(world, held)
    world.advance()
    done = now(world, queued)
    assert (done.state, done.reason) == ("ended", "out-of-budget")
    assert lease(world, BOB, hosts=6).state == "active", "it holds nothing"


def test_a_command_that_makes_no_sense_is_refused() -> None:
    world = FleetWorld(FLEET)
    for wanted in ({"chips": 1, "seconds": 0}, {}, {"hosts": 1, "chips_per_host": 9}):
        with pytest.raises(BadRequest):
            lease(world, **wanted)
    with pytest.raises(NotFound, match="has"):
        lease(world, what="p9.huge", chips=1)
