"""What happens by itself, each thing once and in time: starts, notices, ends, bills, credits."""

from typing import Any

from craton.economics.bounds import Period, Scope
from craton.economics.contract import CreateBudget
from craton.fleet.contract import Advance, BuyOffer, DueQuery, LeaseView, ReservationView
from craton.fleet.records import HostState, LeaseKind
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    NANOS,
    TRN2U,
    ULTRA_POOL,
    at_day_end,
    buy,
    end,
    extensions,
    lease,
    mark,
    now,
    offers,
    paid,
    reserve,
    spot,
)
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld


def go(world: FleetWorld, at_s: int) -> None:
    """Time passes until then, whatever is due on the way."""
    world.advance(at_s - world.now_s)


def inside(world: FleetWorld, block: ReservationView, **wanted: Any) -> LeaseView:
    return lease(world, kind=LeaseKind.RESERVED, reservation=block.id, **wanted)


def test_a_block_has_its_hosts_from_its_start_to_its_end() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2)
    go(world, block.start_s - 1)
    assert (now(world, block).state, now(world, block).hosts) == ("scheduled", [])
    go(world, block.start_s)
    started = now(world, block)
    assert (started.state, len(started.hosts)) == ("active", 2)
    go(world, block.end_s - 1)
    assert now(world, block).state == "active"
    go(world, block.end_s)
    assert (now(world, block).state, now(world, block).hosts) == ("expired", [])


def test_a_block_starts_in_one_row_where_it_can() -> None:
    world = FleetWorld(FLEET)
    lease(world, chips=1)
    block = buy(world, units=3)
    go(world, block.start_s)
    assert len({name.split("/")[1] for name in now(world, block).hosts}) == 1


def test_ultraservers_start_whole_and_in_one_row() -> None:
    world = FleetWorld(FLEET)
    lease(world, what=TRN2U, hosts=1)
    block = buy(world, units=2, ultra=True)
    go(world, block.start_s)
    hosts = now(world, block).hosts
    assert len(hosts) == 8
    assert len({name.rpartition("/")[0] for name in hosts}) == 2
    assert len({name.split("/")[1] for name in hosts}) == 1


def test_one_block_starts_on_the_hosts_another_leaves_that_moment() -> None:
    for _ in range(8):  # ids are random, and nothing may hang on their order
        world = FleetWorld(FLEET)
        first = buy(world, BOB, units=6)
        second = buy(world, units=6)
        assert second.start_s == first.end_s
        events = [*world.advance(second.start_s - world.now_s).events]
        assert now(world, first).state == "expired", events
        assert now(world, second).state == "active", "it found its hosts at once"
        assert now(world, second).broken_hosts == 0


def test_a_block_starts_on_the_hosts_a_lease_leaves_that_moment() -> None:
    for _ in range(8):
        world = FleetWorld(FLEET)
        block = buy(world, units=6, pick=1)
        lease(world, BOB, hosts=6, seconds=block.start_s - world.now_s)
        go(world, block.start_s)
        assert now(world, block).state == "active"


def test_what_may_be_interrupted_has_two_minutes_before_a_block_starts() -> None:
    world = FleetWorld(FLEET)
    taken = [spot(world, BOB, hosts=3), spot(world, BOB, hosts=3)]
    block = buy(world, units=1)
    go(world, block.start_s - 121)
    assert [now(world, each).state for each in taken] == ["active", "active"]
    go(world, block.start_s - 120)
    states = sorted(now(world, each).state for each in taken)
    assert states == ["active", "ending"], "as few as can be"
    (told,) = (now(world, each) for each in taken if now(world, each).state == "ending")
    assert (told.ends_s, told.reason) == (block.start_s, "preempted")
    go(world, block.start_s)
    assert now(world, told).state == "ended"
    assert now(world, block).state == "active"


def test_who_was_not_told_stays_when_a_block_starts() -> None:
    world = FleetWorld(FLEET)
    old = spot(world, BOB, hosts=3)
    world.advance(1)
    young = spot(world, BOB, hosts=3)
    block = buy(world, units=3)
    go(world, block.start_s - 120)
    assert (now(world, old).state, now(world, young).state) == ("active", "ending")
    end(world, now(world, young))
    younger = spot(world, BOB, hosts=1, wait=True)
    assert younger.state == "waiting", "what is free is kept for who starts soon"
    go(world, block.start_s)
    assert now(world, old).state == "active"
    assert now(world, block).state == "active"


def test_only_leases_of_the_ultraservers_that_are_needed_are_told() -> None:
    world = FleetWorld(FLEET)
    held = [spot(world, BOB, what=TRN2U, hosts=1) for _ in range(4)]
    spread = [spot(world, BOB, what=TRN2U, hosts=4) for _ in range(3)]
    block = buy(world, units=1, ultra=True)
    go(world, block.start_s - 120)
    states = [now(world, each).state for each in (*held, *spread)]
    assert states.count("ending") == 1
    go(world, block.start_s)
    assert now(world, block).state == "active"


def test_nothing_new_starts_on_what_a_block_needs_in_two_minutes() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    go(world, block.start_s - 120)
    assert spot(world, BOB, hosts=1, wait=True).state == "waiting"
    go(world, block.start_s)
    assert now(world, block).state == "active"


def test_a_block_ends_with_forty_minutes_notice_and_is_cleared_thirty_before() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2)
    go(world, block.start_s)
    held = inside(world, block, hosts=1)
    go(world, block.end_s - 2401)
    assert now(world, held).state == "active"
    go(world, block.end_s - 2400)
    told = now(world, held)
    assert (told.state, told.reason) == ("ending", "reservation-ended")
    assert told.ends_s == block.end_s - 1800
    late = inside(world, block, hosts=1)
    assert (late.state, late.ends_s) == ("ending", block.end_s - 1800)
    go(world, block.end_s - 1800)
    assert now(world, held).state == now(world, late).state == "ended"
    assert now(world, block).state == "active"


def test_an_ultraserver_is_cleared_an_hour_before_its_end() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, ultra=True)
    go(world, block.start_s)
    held = inside(world, block, hosts=4)
    go(world, block.end_s - 2400)
    assert now(world, held).state == "ended", "there is no time left after it is told"


def test_a_block_that_lacks_hosts_is_told_of_its_end_all_the_same() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    go(world, block.start_s)
    mark(world, "north/a1/h")
    assert now(world, block).state == "unavailable"
    held = inside(world, block, hosts=1)
    go(world, block.end_s - 2400)
    assert now(world, held).state == "ending"
    go(world, block.end_s)
    assert now(world, block).state == "expired"


def test_what_could_not_be_given_is_credited_to_the_nano() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    go(world, block.start_s + 1000)
    for number in (1, 2, 3):
        mark(world, f"north/a1/h/{number}")
    go(world, block.start_s + 5000)
    mark(world, "north/a1/h/1", None)
    while now(world, block).state == "unavailable":
        world.advance(1)
    whole_s = world.now_s
    go(world, block.end_s)
    missed_s = whole_s - (block.start_s + 1000)
    assert 4000 <= missed_s <= 4060
    promised_s = 6 * (block.end_s - block.start_s)
    credit = block.amount_nanos * missed_s // promised_s
    assert paid(world) == block.amount_nanos - credit
    assert credit == 8 * missed_s * 2 * NANOS // HOUR_S
    assert not world.faults()


def test_what_was_missing_to_the_end_is_credited_to_the_end() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    go(world, block.start_s)
    for number in (1, 2, 3):
        mark(world, f"north/a1/h/{number}")
    go(world, block.end_s)
    assert paid(world) == block.amount_nanos - block.amount_nanos // 6


def test_a_block_gets_as_many_hosts_as_there_are_and_the_rest_when_they_are_repaired() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=6)
    mark(world, "north/a1/h")
    go(world, block.start_s)
    started = now(world, block)
    assert (started.state, len(started.hosts), started.broken_hosts) == ("unavailable", 4, 2)
    mark(world, "north/a1/h/1", None)
    go(world, world.now_s + 60)
    assert (now(world, block).state, now(world, block).broken_hosts) == ("unavailable", 1)
    mark(world, "north/a1/h/2", None)
    go(world, world.now_s + 60)
    assert (now(world, block).state, len(now(world, block).hosts)) == ("active", 6)


def test_a_block_that_starts_late_is_credited_for_the_time_before() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2, pick=1)
    world.clock.advance(seconds=block.start_s + 7200 - world.now_s)
    world.advance()
    assert now(world, block).state == "active"
    go(world, block.end_s)
    assert paid(world) == block.amount_nanos - 2 * 8 * 2 * 2 * NANOS


def test_a_block_that_never_started_is_credited_whole() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2)
    taken = spot(world, BOB, hosts=6)
    world.clock.advance(seconds=3 * DAY_S)
    world.advance()
    assert now(world, block).state == "expired"
    assert paid(world) == 0
    assert now(world, taken).state == "active", "nobody made way for what was over"
    assert not world.faults()


def test_a_longer_block_goes_on_and_its_work_with_it() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    go(world, block.start_s)
    held = inside(world, block, hosts=1)
    (offer,) = extensions(world, block, 1)
    world.call("buy_extension", BuyOffer(owner=ALICE, offer=offer.id))
    go(world, block.end_s)
    assert now(world, block).state == now(world, held).state == "active"
    go(world, block.end_s + DAY_S)
    assert now(world, block).state == "expired"


def test_leases_are_billed_each_hour_and_end_when_their_time_is_over() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=4, seconds=5400)
    world.advance(HOUR_S)
    assert paid(world) == 4 * 3 * NANOS
    world.advance(1800)
    assert (now(world, held).state, now(world, held).reason) == ("ended", "expired")
    assert paid(world) == 6 * 3 * NANOS


def test_a_lease_is_paid_until_its_own_end_however_late_that_is_seen() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=4, seconds=5400)
    told = spot(world, chips=8)
    mark(world, now(world, told).hosts[0], HostState.DRAINING)
    world.clock.advance(seconds=DAY_S)
    world.advance()
    assert now(world, held).ends_s == held.started_s + 5400
    assert now(world, told).ends_s == told.started_s + 120
    assert paid(world) == 6 * 3 * NANOS + round(8 * 1 * NANOS / 30)


def test_a_lease_nobody_can_pay_any_more_is_given_notice() -> None:
    world = FleetWorld(FLEET)
    world.books.commit(
        lambda writing: world.books.budgets.create(
            writing,
            CreateBudget(
                name="cap",
                account="alice",
                scope=Scope.ACCOUNT,
                subjects=("alice",),
                amount_nanos=60 * NANOS,
                currency="USD",
                period=Period.TOTAL,
            ),
        )
    )
    held = lease(world, chips=8)
    world.advance(HOUR_S)
    assert now(world, held).state == "active", "48 of 60 will be spent"
    world.advance(HOUR_S)
    told = now(world, held)
    assert (told.state, told.reason, told.ends_s) == ("ending", "out-of-budget", world.now_s + 120)
    world.advance(120)
    assert now(world, held).state == "ended"
    assert paid(world) == 8 * 3 * NANOS * (2 * HOUR_S + 120) // HOUR_S


def test_what_is_due_is_told() -> None:
    world = FleetWorld(FLEET)
    assert not world.read("fleet_due", DueQuery()).is_due
    held = lease(world, chips=1, seconds=100)
    due = world.read("fleet_due", DueQuery())
    assert (due.is_due, due.due_s) == (False, held.until_s)
    world.clock.advance(seconds=100)
    assert world.read("fleet_due", DueQuery()).is_due
    world.advance()
    assert not world.read("fleet_due", DueQuery()).is_due


def test_what_could_not_be_kept_is_due_again() -> None:
    world = FleetWorld(FLEET)
    kept, block = reserve(world, BOB), buy(world, units=1)
    held = [lease(world, chips=1, seconds=100), spot(world, BOB, hosts=4)]
    world.clock.advance(seconds=block.start_s - world.now_s)
    world.failing = True
    for _ in range(2):
        try:
            world.call("advance", Advance())
        except FailedCommitError:
            continue
    world.failing = False
    assert now(world, held[0]).state == "active"
    assert world.read("fleet_due", DueQuery()).is_due
    world.advance()
    assert now(world, held[0]).state == "ended"
    assert now(world, block).state == "active"
    world.advance(HOUR_S)
    assert now(world, kept).amount_nanos == 8 * 3 * NANOS, "and so is what came after it"


def test_looking_twice_or_after_a_restart_does_nothing_twice() -> None:
    world = FleetWorld(FLEET)
    block, held = buy(world, units=2), lease(world, BOB, chips=3)
    for at_s in (block.start_s - 120, block.start_s, block.start_s + 7000, block.end_s):
        go(world, at_s)
        before = (paid(world), paid(world, BOB), now(world, block), now(world, held).state)
        world.advance()
        world.restart()
        world.advance()
        again = (paid(world), paid(world, BOB), now(world, block), now(world, held).state)
        assert before == again
    assert not world.faults()


def test_a_pool_that_is_all_sold_is_free_again_after_a_restart_when_it_should_be() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, BOB, units=4, ultra=True)
    world.restart()
    at_day_end(world)
    assert world.office.fleet.book(ULTRA_POOL).free(block.start_s, block.end_s) == 0
    assert offers(world, units=4, ultra=True)[0].start_s == block.end_s
