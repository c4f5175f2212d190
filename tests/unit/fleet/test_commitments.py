"""Contracts over years: what is kept for them, what each month costs, and what ends them."""

from datetime import UTC, datetime

import pytest

from craton.fleet.commitment_contract import (
    CommitmentsQuery,
    CommitmentView,
    FindCapacity,
    SignCommitment,
    StatementQuery,
    StatementView,
    TerminateCommitment,
)
from craton.fleet.commitment_records import CommitmentState
from craton.fleet.contract import (
    Advance,
    ApplyFleet,
    BuyOffer,
    CreateReservation,
    EndLease,
    LeaseView,
    MarkHosts,
    Owner,
    RequestLease,
    SearchOffers,
)
from craton.fleet.records import HostState, LeaseKind, LeaseState, ReservationState
from craton.kernel.errors import BadRequest, Conflict, NotFound
from tests.fakes.contracts import DECEMBER_S, FEBRUARY_S, FLEET, JANUARY_S, MARCH_S, contract
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

HOUR_S = 3600
NANOS = 10**9
DECEMBER_H, JANUARY_H, FEBRUARY_H = 744, 744, 672


def signed(text: str = "", fleet: str = FLEET) -> tuple[FleetWorld, str]:
    world = FleetWorld(fleet)
    made: CommitmentView = world.call("sign_commitment", command(text or contract()))
    return world, made.id


def command(text: str) -> SignCommitment:
    return SignCommitment(text=text, account="alice", principal="key-a")


def show(world: FleetWorld) -> CommitmentView:
    (found,) = world.read("commitments", CommitmentsQuery()).commitments
    return found


def statement(world: FleetWorld, month: str) -> StatementView:
    return world.read("commitment_statement", StatementQuery("trainium", month))


def go(world: FleetWorld, at_s: int) -> None:
    world.advance(at_s - world.now_s)


def jump(world: FleetWorld, at_s: int) -> list[str]:
    """Nothing runs until then; then everything at once."""
    world.clock.advance(seconds=at_s - world.now_s)
    return world.call("advance", Advance()).events


def lease(world: FleetWorld, hosts: int, *, inside: bool = True, by: Owner = ALICE) -> LeaseView:
    reservation = show(world).deliveries[0].reservations[0] if inside else None
    return world.call(
        "request_lease",
        RequestLease(
            owner=by,
            kind=LeaseKind.RESERVED if inside else LeaseKind.ON_DEMAND,
            instance_type="trn2.48xlarge",
            hosts=hosts,
            reservation=reservation,
        ),
    )


def owed(world: FleetWorld, account: str = "alice") -> int:
    return world.books.balance(f"customer/{account}")


def test_signing_keeps_the_units_of_each_delivery_for_all_of_its_time() -> None:
    world, _ = signed()
    book = world.office.fleet.books["north/trn2.48xlarge"]
    assert book.free(DECEMBER_S - 1, DECEMBER_S) == 8
    assert book.free(DECEMBER_S, MARCH_S) == 4
    assert book.free(MARCH_S, MARCH_S + 1) == 8
    (delivery,) = show(world).deliveries
    assert (delivery.chips, delivery.held, delivery.missing) == (64, "64", "0")


def test_what_is_kept_starts_by_itself_and_is_no_block_to_buy_or_extend() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    (reservation,) = world.office.fleet.reservations.values()
    assert reservation.state is ReservationState.ACTIVE
    assert len(reservation.hosts) == 4
    assert world.office.fleet.in_use("alice") == 0
    assert show(world).state is CommitmentState.ACTIVE
    assert owed(world) == 0


def test_what_the_fleet_cant_hold_is_missing_and_not_promised() -> None:
    world, _ = signed(contract(delivery='from = 2026-12-01\nof = "trainium2"\namount = 200\n'))
    (delivery,) = show(world).deliveries
    assert (delivery.held, delivery.missing) == ("128", "72")
    assert "north/trn2.48xlarge has no more units free" in delivery.reason


def test_a_sketch_says_the_same_and_keeps_nothing() -> None:
    world = FleetWorld(FLEET)
    sketch: CommitmentView = world.read("sketch_commitment", command(contract()))
    assert sketch.is_dry_run
    assert sketch.deliveries[0].chips == 64
    assert sketch.contracted == "276480.00"
    assert world.office.fleet.books["north/trn2.48xlarge"].free(DECEMBER_S, MARCH_S) == 8
    assert not world.read("commitments", CommitmentsQuery()).commitments


def test_what_was_missing_is_kept_once_the_fleet_has_it() -> None:
    world, id = signed(contract(delivery='from = 2026-12-01\nof = "trainium2"\namount = 160\n'))
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 9", "hosts = 12")))
    found: CommitmentView = world.call("find_commitment_capacity", FindCapacity(id))
    assert (found.deliveries[0].held, found.deliveries[0].missing) == ("160", "0")
    assert len(found.deliveries[0].reservations) == 2


def test_megawatts_are_units_by_what_their_hosts_draw() -> None:
    """12,312 W a host, so 0.04 MW is three hosts and a bit: four."""
    world, _ = signed(
        contract(
            'unit = "megawatts"',
            price='per_megawatt_month = "1000000"\n',
            delivery='from = 2026-12-01\nof = "trainium2"\namount = "0.04"\n',
        )
    )
    (delivery,) = show(world).deliveries
    assert delivery.pools == {"north/trn2.48xlarge": 4}
    assert (delivery.amount, delivery.held) == ("0.04", "0.04")
    go(world, JANUARY_S)
    assert owed(world) == 40_000 * NANOS


def test_take_or_pay_is_due_though_nothing_was_used() -> None:
    world, _ = signed()
    go(world, JANUARY_S)
    due = 64 * DECEMBER_H * 2
    assert owed(world) == due * NANOS
    december = statement(world, "2026-12")
    assert (december.due, december.total, december.used) == (f"{due}.00", f"{due}.00", 0)
    assert december.delivered == december.committed == 64 * DECEMBER_H * HOUR_S


def test_use_inside_what_is_paid_costs_nothing_more() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    lease(world, 4)
    go(world, JANUARY_S)
    assert owed(world) == 64 * DECEMBER_H * 2 * NANOS
    assert statement(world, "2026-12").used == 64 * DECEMBER_H * HOUR_S


def test_less_is_due_where_only_a_share_is_take_or_pay() -> None:
    world, _ = signed(contract("take_or_pay_permille = 250"))
    go(world, DECEMBER_S)
    held = lease(world, 2)
    go(world, JANUARY_S)
    world.call("end_lease", EndLease(held.id, None, "alice"))
    go(world, FEBRUARY_S)
    # December: 32 of 64 chips, of which 16 are paid by take-or-pay. January: nothing but that.
    assert statement(world, "2026-12").due == f"{16 * DECEMBER_H * 2}.00"
    assert statement(world, "2026-12").extra == f"{16 * DECEMBER_H * 2}.00"
    assert statement(world, "2027-01").total == f"{16 * JANUARY_H * 2}.00"
    assert owed(world) == (32 * DECEMBER_H + 16 * JANUARY_H) * 2 * NANOS


def test_use_above_the_commitment_costs_what_it_costs_on_demand() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    lease(world, 4)
    lease(world, 1, inside=False)
    go(world, JANUARY_S)
    december = statement(world, "2026-12")
    assert december.over == 16 * DECEMBER_H * HOUR_S
    assert december.above == {"USD": f"{16 * DECEMBER_H * 3}.00"}
    assert owed(world) == (64 * 2 + 16 * 3) * DECEMBER_H * NANOS


def test_use_outside_burns_the_commitment_down_too() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    lease(world, 1, inside=False)
    world.call(
        "create_reservation",
        CreateReservation(
            owner=ALICE,
            instance_type="trn2.48xlarge",
            hosts=1,
            zone=None,
            end_s=None,
            is_targeted=True,
            platform="Linux/UNIX",
        ),
    )
    go(world, JANUARY_S)
    december = statement(world, "2026-12")
    assert (december.used, december.over) == (32 * DECEMBER_H * HOUR_S, 0)
    assert owed(world) == 64 * DECEMBER_H * 2 * NANOS


def test_others_burn_nothing_down() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    lease(world, 1, inside=False, by=BOB)
    go(world, JANUARY_S)
    assert statement(world, "2026-12").used == 0
    assert owed(world, "bob") == 16 * DECEMBER_H * 3 * NANOS


def test_use_above_is_refused_where_the_contract_says_so() -> None:
    world, _ = signed(contract('above = "refused"'))
    go(world, DECEMBER_S)
    lease(world, 4)
    with pytest.raises(Conflict, match="no more of that"):
        lease(world, 1, inside=False)
    assert lease(world, 1, inside=False, by=BOB).hosts


def test_a_lease_over_the_end_of_a_month_counts_in_both_to_the_second() -> None:
    world, _ = signed()
    go(world, JANUARY_S - 100)
    held = lease(world, 4)
    world.clock.advance(seconds=150)
    # It is given back before anybody looks whether a month is over.
    world.call("end_lease", EndLease(held.id, None, "alice"))
    go(world, FEBRUARY_S)
    assert statement(world, "2026-12").used == 64 * 100
    assert statement(world, "2027-01").used == 64 * 50


@pytest.mark.parametrize("is_restarted", [False, True])
def test_months_that_nobody_was_there_for_are_posted_one_by_one(*, is_restarted: bool) -> None:
    world, _ = signed()
    go(world, DECEMBER_S + 1)
    lease(world, 4)
    if is_restarted:
        world.restart()
    events = jump(world, MARCH_S + 5)
    assert len([each for each in events if "posted" in each]) == 3
    assert statement(world, "2027-01").used == 64 * JANUARY_H * HOUR_S
    assert statement(world, "2027-02").used == 64 * FEBRUARY_H * HOUR_S
    assert owed(world) == 64 * (DECEMBER_H + JANUARY_H + FEBRUARY_H) * 2 * NANOS
    assert show(world).state is CommitmentState.COMPLETED


def test_months_before_anybody_began_it_are_credited_and_no_month_after() -> None:
    world, _ = signed()
    jump(world, FEBRUARY_S)
    for month, hours in (("2026-12", DECEMBER_H), ("2027-01", JANUARY_H)):
        bill = statement(world, month)
        assert (bill.delivered, bill.credit) == (0, f"{64 * hours * 2}.00")
    go(world, MARCH_S)
    bill = statement(world, "2027-02")
    assert (bill.delivered, bill.credit) == (64 * FEBRUARY_H * HOUR_S, "0.00")
    assert owed(world) == 64 * FEBRUARY_H * 2 * NANOS


def test_a_month_whose_commit_fails_is_posted_once_when_it_doesnt() -> None:
    world, id = signed()
    go(world, DECEMBER_S + 1)
    lease(world, 4)
    world.clock.advance(seconds=JANUARY_S - world.now_s)
    before = (dict(world.office.commitments.desk.uses), show(world))
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.call("advance", Advance())
    assert (dict(world.office.commitments.desk.uses), show(world)) == before
    assert owed(world) == 0
    assert world.office.lifecycle.due().is_due
    world.failing = False
    world.call("advance", Advance())
    assert owed(world) == 64 * DECEMBER_H * 2 * NANOS
    assert statement(world, "2026-12").used == 64 * (DECEMBER_H * HOUR_S - 1)
    assert world.books.rows("SELECT count(*) FROM documents WHERE kind = 'commitment_month'") == [
        (1,)
    ]
    assert id == show(world).id


def test_a_state_process_that_begins_anew_posts_no_month_again() -> None:
    world, _ = signed()
    go(world, JANUARY_S + 1)
    before = show(world)
    world.restart()
    world.call("advance", Advance())
    assert show(world) == before
    assert owed(world) == 64 * DECEMBER_H * 2 * NANOS
    assert not world.faults()


def test_use_before_a_restart_counts_after_it() -> None:
    world, _ = signed()
    go(world, DECEMBER_S)
    held = lease(world, 4)
    go(world, DECEMBER_S + 1000)
    world.call("end_lease", EndLease(held.id, None, "alice"))
    world.restart()
    go(world, JANUARY_S)
    assert statement(world, "2026-12").used == 64 * 1000


def test_what_the_operator_didnt_deliver_is_credited() -> None:
    world, _ = signed(contract(delivery='from = 2026-12-01\nof = "trainium2"\namount = 256\n'))
    go(world, JANUARY_S)
    december = statement(world, "2026-12")
    assert december.due == f"{256 * DECEMBER_H * 2}.00"
    assert december.credit == f"{128 * DECEMBER_H * 2}.00"
    assert owed(world) == 128 * DECEMBER_H * 2 * NANOS
    assert show(world).credited == december.credit


def test_hosts_that_break_and_cant_be_replaced_are_credited_by_the_second() -> None:
    world, _ = signed(contract(delivery='from = 2026-12-01\nof = "trainium2"\namount = 128\n'))
    go(world, DECEMBER_S)
    (reservation,) = world.office.fleet.reservations.values()
    names = world.office.fleet.books[reservation.pool].names(reservation.hosts)
    for name in names[:2]:  # one spare is there for the first
        world.call("mark_hosts", MarkHosts(name, HostState.FAILED))
    assert show(world).deliveries[0].broken_units == 1
    jump(world, JANUARY_S)
    assert statement(world, "2026-12").delivered == 128 * DECEMBER_H * HOUR_S - 16 * (
        DECEMBER_H * HOUR_S
    )
    world.call("mark_hosts", MarkHosts(names[0], None))
    go(world, FEBRUARY_S)
    # The repaired host is found at the next look, within a minute.
    missing_s = 128 * JANUARY_H * HOUR_S - statement(world, "2027-01").delivered
    assert 0 <= missing_s <= 16 * 61
    assert statement(world, "2026-12").credit == f"{16 * DECEMBER_H * 2}.00"


def test_what_wasnt_used_rolls_over_to_the_next_month_and_no_further() -> None:
    world, _ = signed(contract('rolls_over = "month"', "end = 2027-04-01"))
    go(world, JANUARY_S)
    lease(world, 4)
    lease(world, 2, inside=False)
    go(world, MARCH_S)
    january, february = statement(world, "2027-01"), statement(world, "2027-02")
    assert (january.drawn, january.over) == (32 * JANUARY_H * HOUR_S, 0)
    assert (february.drawn, february.over) == (0, 32 * FEBRUARY_H * HOUR_S)


def test_what_wasnt_used_rolls_over_until_the_year_ends() -> None:
    text = contract('rolls_over = "year"', "end = 2027-04-01")
    world, _ = signed(text)
    go(world, FEBRUARY_S)
    assert statement(world, "2026-12").banked == 0
    assert statement(world, "2027-01").banked == 64 * JANUARY_H * HOUR_S
    lease(world, 4)
    lease(world, 2, inside=False)
    go(world, MARCH_S)
    february = statement(world, "2027-02")
    assert (february.drawn, february.over) == (32 * FEBRUARY_H * HOUR_S, 0)
    assert february.banked == 64 * JANUARY_H * HOUR_S - february.drawn


def test_nobody_else_gets_anything_where_the_contract_is_exclusive() -> None:
    world, _ = signed(contract('exclusive = ["north/trn2.48xlarge"]'))
    go(world, DECEMBER_S)
    with pytest.raises(NotFound):
        lease(world, 1, inside=False, by=BOB)
    assert lease(world, 1, inside=False).hosts
    world.restart()
    with pytest.raises(NotFound):
        lease(world, 1, inside=False, by=BOB)
    world.call("apply_fleet", ApplyFleet(FLEET.replace("hosts = 2", "hosts = 3")))
    with pytest.raises(NotFound):
        lease(world, 1, inside=False, by=BOB)
    go(world, MARCH_S + HOUR_S)
    assert lease(world, 1, inside=False, by=BOB).hosts


def test_an_offer_from_before_an_exclusive_contract_buys_nothing() -> None:
    world = FleetWorld(FLEET)
    search = SearchOffers(
        owner=BOB, instance_type="trn2.48xlarge", ultraserver=None, units=1, hours=24
    )
    offer = world.office.search(search).offers[0]
    world.call("sign_commitment", command(contract('exclusive = ["north"]')))
    with pytest.raises(Conflict, match="another account"):
        world.call("buy_offer", BuyOffer(owner=BOB, offer=offer.id))


def test_who_waits_isnt_let_into_what_became_anothers() -> None:
    world = FleetWorld(FLEET)
    first = lease(world, 8, inside=False)
    wish = RequestLease(
        owner=BOB, kind=LeaseKind.ON_DEMAND, instance_type="trn2.48xlarge", hosts=1, wait=True
    )
    waiting = world.call("request_lease", wish)
    with pytest.raises(Conflict, match="can't be kept for alice alone"):
        world.call("sign_commitment", command(contract('exclusive = ["north"]')))
    text = FLEET.replace('name = "north"\n', 'name = "north"\nexclusive_to = "alice"\n')
    world.call("apply_fleet", ApplyFleet(text))
    world.call("end_lease", EndLease(first.id, None, "alice"))
    world.advance(HOUR_S)
    assert world.office.fleet.leases[waiting.id].state is LeaseState.WAITING
    world.call("apply_fleet", ApplyFleet(FLEET))
    world.advance(HOUR_S)
    assert world.office.fleet.leases[waiting.id].state is LeaseState.ACTIVE


def test_an_exclusive_contract_is_refused_where_others_are() -> None:
    world = FleetWorld(FLEET)
    world.call(
        "request_lease",
        RequestLease(owner=BOB, kind=LeaseKind.ON_DEMAND, chip="trainium2", chips=1),
    )
    with pytest.raises(Conflict, match="can't be kept for alice alone"):
        world.call("sign_commitment", command(contract('exclusive = ["north"]')))
    assert not world.office.fleet.reservations


def test_ending_it_early_bills_until_then_and_lets_everything_go() -> None:
    world, id = signed(contract("termination_permille = 500"))
    go(world, DECEMBER_S)
    lease(world, 4)
    go(world, JANUARY_S + 240 * HOUR_S)
    ended: CommitmentView = world.call("terminate_commitment", TerminateCommitment(id))
    rest = 64 * (JANUARY_H - 240 + FEBRUARY_H) * 2
    assert ended.state is CommitmentState.TERMINATED
    assert statement(world, "2027-01").due == f"{64 * 240 * 2}.00"
    assert (ended.fee, ended.backlog) == (f"{rest // 2}.00", "0.00")
    assert owed(world) == (64 * (DECEMBER_H + 240) * 2 + rest // 2) * NANOS
    assert not world.office.fleet.leases
    assert world.office.fleet.books["north/trn2.48xlarge"].free(world.now_s, MARCH_S) == 8
    go(world, MARCH_S + HOUR_S)
    assert owed(world) == (64 * (DECEMBER_H + 240) * 2 + rest // 2) * NANOS
    assert world.call("terminate_commitment", TerminateCommitment(id)).fee == ended.fee
    assert not world.faults()


def test_ending_it_before_its_term_costs_its_fee_alone() -> None:
    world, id = signed(contract("termination_permille = 100"))
    world.call("terminate_commitment", TerminateCommitment(id))
    total = 64 * (DECEMBER_H + JANUARY_H + FEBRUARY_H) * 2
    assert owed(world) == total * NANOS // 10
    assert [each.state for each in world.office.fleet.reservations.values()] == [
        ReservationState.CANCELLED
    ]


def test_a_completed_one_cant_be_ended() -> None:
    world, id = signed()
    go(world, MARCH_S + 1)
    with pytest.raises(Conflict, match="is completed, and so can't become terminated"):
        world.call("terminate_commitment", TerminateCommitment(id))


def test_contracted_is_recognised_lapsed_or_still_to_come() -> None:
    world, _ = signed(contract("take_or_pay_permille = 400"))
    for at_s in (DECEMBER_S + 5, JANUARY_S, FEBRUARY_S, MARCH_S):
        go(world, at_s)
        view = show(world)
        parts = [float(each) for each in (view.recognised, view.lapsed, view.backlog)]
        assert sum(parts) == float(view.contracted) == 276480
        assert [year.year for year in view.years] == [2026, 2027]
    assert show(world).backlog == "0.00"
    assert show(world).years[1].recognised == "72499.20"


def test_signing_twice_is_signing_once_and_another_text_is_refused() -> None:
    world, id = signed()
    assert world.call("sign_commitment", command(contract())).id == id
    with pytest.raises(Conflict, match="already"):
        world.call("sign_commitment", command(contract("take_or_pay_permille = 1")))
    assert len(world.office.fleet.reservations) == 1


def test_a_term_that_began_is_refused() -> None:
    world = FleetWorld(FLEET)
    began = datetime.fromtimestamp(world.now_s, UTC).date().replace(month=10)
    with pytest.raises(BadRequest, match="began before today"):
        world.call(
            "sign_commitment",
            command(
                contract(
                    f"start = {began}", delivery='from = 2026-12-01\nof = "trainium2"\namount = 1\n'
                )
            ),
        )


def test_a_signing_that_isnt_committed_keeps_nothing() -> None:
    world = FleetWorld(FLEET)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.call("sign_commitment", command(contract('exclusive = ["north"]')))
    world.failing = False
    assert world.office.fleet.books["north/trn2.48xlarge"].free(DECEMBER_S, MARCH_S) == 8
    assert world.office.fleet.books["north/trn2.48xlarge"].plan.exclusive_to is None
    assert not world.read("commitments", CommitmentsQuery()).commitments
    assert world.call("sign_commitment", command(contract())).state is CommitmentState.SIGNED


def test_a_statement_of_a_month_that_isnt_over_says_which_are() -> None:
    world, _ = signed()
    go(world, JANUARY_S)
    with pytest.raises(NotFound, match="Posted: 2026-12 to 2026-12"):
        statement(world, "2027-01")


def test_two_accounts_may_call_their_commitments_the_same() -> None:
    world, id = signed()
    bobs = SignCommitment(text=contract('account = "bob"'), account="bob", principal="key-b")
    other = world.call("sign_commitment", bobs).id
    desk = world.office.commitments.desk
    assert (desk.find("trainium", "alice").id, desk.find("trainium", "bob").id) == (id, other)
    with pytest.raises(NotFound):
        desk.find(id, "bob")


def test_what_is_made_up_says_so() -> None:
    world, _ = signed()
    assert show(world).is_simulated
    go(world, JANUARY_S)
    assert statement(world, "2026-12").is_simulated
