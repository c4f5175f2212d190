"""Blocks bought and reservations made: once, for what they cost, and within what there is."""

import pytest

from craton.economics.bounds import Period
from craton.fleet.contract import (
    BuyOffer,
    CancelReservation,
    ConfirmPayment,
    ModifyReservation,
    ReservationsQuery,
    ReservationView,
)
from craton.fleet.records import LeaseKind
from craton.kernel.errors import BadRequest, BudgetExceeded, Conflict, NotFound
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    NANOS,
    TRN2U,
    at_day_end,
    buy,
    cap,
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
from tests.fakes.fleets import ALICE, BOB, FleetWorld

LARGE = FLEET.replace("hosts = 4", "hosts = 150")


def modify(world: FleetWorld, what: ReservationView, **changed: object) -> ReservationView:
    command = ModifyReservation(account=what.account, id=what.id, **changed)  # type: ignore[arg-type]
    return world.call("modify_reservation", command)


def cancel(world: FleetWorld, what: ReservationView) -> ReservationView:
    return world.call("cancel_reservation", CancelReservation(what.account, what.id))


def test_a_block_is_paid_when_it_is_bought() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2, days=2, pick=1)
    assert block.state == "scheduled"
    assert block.amount_nanos == paid(world) == 2 * 8 * 48 * 2 * NANOS
    assert not world.faults()


def test_an_offer_bought_twice_is_one_block_paid_once() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world)[0]
    command = BuyOffer(owner=ALICE, offer=offer.id)
    first = world.call("buy_offer", command)
    world.restart()
    world.clock.advance(seconds=HOUR_S)
    assert world.call("buy_offer", command).id == first.id
    assert paid(world) == offer.amount_nanos


def test_who_searches_twice_and_buys_twice_has_two_blocks() -> None:
    world = FleetWorld(FLEET)
    assert buy(world).id != buy(world).id
    world.restart()
    assert len({each.id for _ in range(9) for each in offers(world)}) == 27


def test_an_offer_holds_ten_minutes() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world)[1]
    world.clock.advance(seconds=600)
    assert world.call("buy_offer", BuyOffer(owner=ALICE, offer=offer.id)).state == "scheduled"
    offer = offers(world)[1]
    world.clock.advance(seconds=601)
    with pytest.raises(BadRequest, match="expired"):
        world.call("buy_offer", BuyOffer(owner=ALICE, offer=offer.id))


def test_an_offer_that_starts_at_once_holds_until_notice_must_be_given() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world)[0]
    world.clock.advance(seconds=offer.start_s - 120 - world.now_s)
    assert world.call("buy_offer", BuyOffer(owner=ALICE, offer=offer.id)).state == "scheduled"
    offer = offers(world)[0]
    world.clock.advance(seconds=offer.start_s - 119 - world.now_s)
    with pytest.raises(BadRequest, match="expired"):
        world.call("buy_offer", BuyOffer(owner=ALICE, offer=offer.id))


def test_what_was_sold_meanwhile_is_not_sold_again() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world, BOB, units=3)[0]
    buy(world, units=4)
    with pytest.raises(Conflict, match="Search again"):
        world.call("buy_offer", BuyOffer(owner=BOB, offer=offer.id))
    assert paid(world, BOB) == 0


def test_a_block_no_budget_has_room_for_is_not_kept() -> None:
    world = FleetWorld(FLEET)
    cap(world, 100, period=Period.MONTH)
    block = buy(world, units=6)
    assert block.state == "payment-failed"
    assert paid(world) == 0
    assert offers(world, BOB, units=6)[0].start_s < block.end_s, "its units are free again"


def test_an_extension_no_budget_has_room_for_is_refused() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    cap(world, 100, period=Period.MONTH)
    (offer,) = extensions(world, block, 1)
    with pytest.raises(BudgetExceeded):
        world.call("buy_extension", BuyOffer(owner=ALICE, offer=offer.id))
    assert now(world, block).end_s == block.end_s


def test_a_block_that_is_paid_by_hand_waits_for_the_word() -> None:
    world = FleetWorld(FLEET, is_payment_manual=True)
    block, other = buy(world, pick=2), buy(world, pick=2)
    assert block.state == "payment-pending"
    assert paid(world) == 0
    assert world.call("confirm_payment", ConfirmPayment(block.id, True)).state == "scheduled"
    assert paid(world) == block.amount_nanos
    assert world.call("confirm_payment", ConfirmPayment(other.id, False)).state == "payment-failed"
    with pytest.raises(Conflict, match="waits for no payment"):
        world.call("confirm_payment", ConfirmPayment(other.id, True))


def test_a_block_nobody_paid_is_let_go_after_twelve_hours_or_before_it_would_start() -> None:
    world = FleetWorld(FLEET, is_payment_manual=True)
    far, near = buy(world, pick=2, units=3), buy(world, units=3)
    world.advance(near.start_s - 121 - world.now_s)
    assert now(world, near).state == "payment-pending"
    world.advance(1)
    assert now(world, near).state == "payment-failed"
    world.advance(12 * HOUR_S - (world.now_s - far.created_ms // 1000) - 1)
    assert now(world, far).state == "payment-pending"
    world.advance(1)
    assert now(world, far).state == "payment-failed"
    assert offers(world, BOB, units=6, start_s=far.start_s)[0].start_s == far.start_s


def test_an_account_has_at_most_256_instances_in_blocks() -> None:
    world = FleetWorld(LARGE)
    for _ in range(4):
        buy(world, units=64)
    with pytest.raises(BadRequest, match="above 256"):
        buy(world, units=1)
    assert buy(world, BOB, units=1).state == "scheduled"


def test_a_block_cannot_be_given_back_or_changed() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    with pytest.raises(BadRequest, match="can't be cancelled"):
        cancel(world, block)
    with pytest.raises(BadRequest, match="can't be changed"):
        modify(world, block, hosts=2)


def test_somebody_elses_reservation_does_not_exist() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world)
    with pytest.raises(NotFound):
        world.call("cancel_reservation", CancelReservation("bob", held.id))
    assert not world.read("reservations", ReservationsQuery("bob", held.id)).reservations


def test_a_reservation_is_paid_by_the_second_used_or_not() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=2)
    world.advance(2 * HOUR_S + 1)
    done = cancel(world, held)
    seconds = 2 * HOUR_S + 1
    expected = 2 * 8 * 3 * NANOS * seconds / HOUR_S
    assert abs(paid(world) - expected) <= 2
    assert done.amount_nanos == paid(world)
    assert done.state == "cancelled"
    world.advance(DAY_S)
    assert paid(world) == done.amount_nanos, "nothing is billed afterwards"
    assert not world.faults()


def test_a_reservation_is_billed_hour_by_hour() -> None:
    world = FleetWorld(FLEET)
    reserve(world)
    world.advance(HOUR_S - 1)
    assert paid(world) == 0
    world.advance(1)
    assert paid(world) == 8 * 3 * NANOS


def test_a_reservation_with_an_end_ends_then_and_is_billed_until_then() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, end_s=world.now_s + 1800)
    world.clock.advance(seconds=DAY_S)
    world.advance()
    assert now(world, held).state == "expired"
    assert paid(world) == 8 * 3 * NANOS // 2


def test_a_change_bills_what_was_had_until_then() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=2)
    world.advance(600)
    larger = modify(world, held, hosts=3)
    assert (larger.total_hosts, len(set(larger.hosts))) == (3, 3)
    assert set(held.hosts) < set(larger.hosts)
    world.advance(600)
    smaller = modify(world, held, hosts=1)
    assert len(smaller.hosts) == 1
    world.advance(600)
    cancel(world, held)
    assert paid(world) == (2 + 3 + 1) * 8 * 3 * NANOS // 6


def test_a_reservation_grows_only_into_what_is_free() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=2)
    reserve(world, BOB, hosts=3)
    with pytest.raises(Conflict):
        modify(world, held, hosts=4)
    assert now(world, held).total_hosts == 2
    assert modify(world, held, hosts=3).total_hosts == 3


def test_hosts_in_use_are_not_given_back() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=2)
    inside = lease(world, kind=LeaseKind.RESERVED, reservation=held.id, hosts=2)
    with pytest.raises(Conflict, match="in use"):
        modify(world, held, hosts=1)
    with pytest.raises(Conflict, match="End them first"):
        cancel(world, held)
    end(world, inside)
    assert cancel(world, held).state == "cancelled"


def test_an_end_may_come_later_while_nothing_else_is_promised() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=3, end_s=world.now_s + HOUR_S)
    block = buy(world, BOB, units=4, pick=1)
    assert modify(world, held, end_s=block.start_s).end_s == block.start_s
    with pytest.raises(Conflict):
        modify(world, held, end_s=block.start_s + 1)
    with pytest.raises(Conflict):
        modify(world, held, is_endless=True)
    with pytest.raises(BadRequest, match="past"):
        modify(world, held, end_s=world.now_s)


def test_a_reservation_is_refused_where_it_would_break_a_promise() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, BOB, units=4, pick=1)
    with pytest.raises(Conflict, match="aren't free"):
        reserve(world, hosts=3)
    assert reserve(world, hosts=3, end_s=block.start_s).state == "active"


def test_the_same_token_makes_the_same_reservation() -> None:
    world = FleetWorld(FLEET)
    first = reserve(world, token="t")
    world.restart()
    assert reserve(world, token="t").id == first.id
    with pytest.raises(Conflict, match="other parameters"):
        reserve(world, hosts=2, token="t")


def test_a_token_of_a_reservation_says_nothing_about_leases() -> None:
    world = FleetWorld(FLEET)
    first = reserve(world, token="t")
    held = lease(world, chips=1, client_token="t")
    assert held.state == "active"
    assert reserve(world, token="t").id == first.id
    assert lease(world, chips=1, client_token="t").id == held.id


def test_ultraservers_are_reserved_whole() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(Conflict):
        reserve(world, hosts=3, kind=TRN2U)
    held = reserve(world, hosts=8, kind=TRN2U)
    assert {name.rpartition("/")[0] for name in held.hosts} <= {
        f"north/a{row}/t{rack}" for row in (1, 2) for rack in (1, 2)
    }
    assert len({name.rpartition("/")[0] for name in held.hosts}) == 2
    with pytest.raises(BadRequest, match="units of 4"):
        modify(world, held, hosts=6)


def test_a_broken_reservation_is_billed_for_what_it_has_and_can_be_given_back() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=6)
    world.advance(600)
    for name in ("north/a1/h/1", "north/a1/h/2", "north/a1/h/3"):
        mark(world, name)
    assert now(world, held).state == "unavailable"
    assert now(world, held).broken_hosts == 1, "two spares took the place of two"
    world.advance(600)
    mark(world, "north/a1/h/1", None)
    world.advance(60)
    assert now(world, held).state == "active"
    world.advance(540)
    assert cancel(world, held).state == "cancelled"
    hosts_s = 6 * 600 + 5 * 660 + 6 * 540
    assert abs(paid(world) - hosts_s * 8 * 3 * NANOS / HOUR_S) <= 8


def test_a_reservation_that_lacks_hosts_can_be_cancelled() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, hosts=6)
    mark(world, "north/a1/h")
    assert now(world, held).state == "unavailable"
    assert cancel(world, held).state == "cancelled"
    world.restart()
    assert now(world, held).state == "cancelled"


def test_what_may_be_interrupted_does_not_hold_up_a_reservation_for_long() -> None:
    world = FleetWorld(FLEET)
    at_day_end(world)
    taken = spot(world, BOB, hosts=6)
    with pytest.raises(Conflict):
        reserve(world, hosts=1)
    assert now(world, taken).state == "active"
