"""What capacity costs and how it is entered: every nano-unit once, and credits below zero."""

import pytest

from craton.economics.bounds import Period, Scope
from craton.economics.contract import CreateBudget
from craton.economics.meters import Meter
from craton.economics.prices import PriceBook
from craton.fleet.charges import LEASE_METERS, Charges
from craton.fleet.records import LeaseKind
from craton.kernel.errors import BadRequest, BudgetExceeded
from craton.kernel.ids import Ids
from craton.store.documents import Transaction
from tests.fakes.fleet_sales import (
    FLEET,
    HOUR_S,
    NANOS,
    P5EN,
    buy,
    end,
    lease,
    now,
    paid,
    reserve,
    spot,
)
from tests.fakes.fleets import BOB, PRICES, FleetWorld
from tests.fakes.ledgers import AT_MS


def charges(world: FleetWorld) -> Charges:
    books = world.books
    return Charges(PRICES, books.ledger, books.budgets, Ids(books.clock))


def test_a_chip_hour_costs_by_its_kind() -> None:
    own = charges(FleetWorld())
    for meter, cost in (
        (Meter.BLOCK_CHIP_S, 2),
        (Meter.ON_DEMAND_CHIP_S, 3),
        (Meter.INTERRUPTIBLE_CHIP_S, 1),
        (Meter.RESERVED_CHIP_S, 0),
    ):
        assert own.hour(P5EN, meter, 5000, AT_MS).amount == 5 * cost * NANOS
        assert own.rate(P5EN, meter, 9, AT_MS).amount == 9 * cost * NANOS // HOUR_S


def test_what_has_no_price_is_not_sold() -> None:
    own = charges(FleetWorld())
    for resource, meter in (("p9.huge", Meter.BLOCK_CHIP_S), (P5EN, Meter.INPUT_TOKENS)):
        assert own.price(resource, meter, AT_MS) is None
        with pytest.raises(BadRequest, match="No price file"):
            own.rate(resource, meter, 1, AT_MS)
    assert own.price(P5EN, Meter.BLOCK_CHIP_S, AT_MS) == (2 * NANOS, "USD")


def test_the_ledger_has_who_had_what_and_for_how_long() -> None:
    world = FleetWorld(FLEET)
    held, taken = lease(world, chips=4), spot(world, BOB, hosts=1)
    world.advance(600)
    end(world, held)
    end(world, taken)
    rows = world.books.rows(
        "SELECT account, resource, replica, quantities FROM usage ORDER BY account"
    )
    assert rows == [
        ("alice", P5EN, held.id, f'{{"{Meter.ON_DEMAND_CHIP_S}":2400}}'),
        ("bob", P5EN, taken.id, f'{{"{Meter.INTERRUPTIBLE_CHIP_S}":4800}}'),
    ]
    assert (paid(world), paid(world, BOB)) == (2 * NANOS, round(8 * NANOS / 6))
    assert not world.faults()


def test_a_credit_takes_back_and_is_written_only_where_there_is_one() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    reservation = world.office.fleet.reservations[block.id]
    own = charges(world)
    before = len(world.books.rows("SELECT 1 FROM usage"))

    def give_back(writing: Transaction) -> None:
        own.credit(writing, reservation, P5EN, 7, "USD")
        own.credit(writing, reservation, P5EN, 0, "USD")

    world.books.commit(give_back)
    assert paid(world) == block.amount_nanos - 7
    assert len(world.books.rows("SELECT 1 FROM usage")) == before + 1
    assert not world.faults()


def test_each_kind_of_lease_is_metered_apart() -> None:
    assert set(LEASE_METERS) == set(LeaseKind)
    assert len(set(LEASE_METERS.values())) == len(LeaseKind)


def test_a_budget_is_asked_before_anything_is_held() -> None:
    world = FleetWorld(FLEET)
    world.books.commit(
        lambda writing: world.books.budgets.create(
            writing,
            CreateBudget("b", "alice", Scope.ACCOUNT, ("alice",), 10 * NANOS, "USD", Period.TOTAL),
        )
    )
    with pytest.raises(BudgetExceeded):
        lease(world, chips=4)
    assert lease(world, chips=3).state == "active"


def test_a_price_that_is_gone_stops_nothing_that_is_due() -> None:
    world = FleetWorld(FLEET)
    held, kept = lease(world, chips=4, seconds=2 * HOUR_S), reserve(world, BOB)
    queued = lease(world, hosts=6, wait=True)
    block = buy(world, BOB, pick=1)
    bought = paid(world, BOB)
    world.books.prices = PriceBook([])
    world.restart()
    world.advance(2 * HOUR_S)
    assert now(world, held).state == "ended"
    world.advance(block.start_s - world.now_s)
    assert now(world, block).state == now(world, kept).state == "active"
    assert now(world, queued).state == "waiting"
    assert (paid(world), paid(world, BOB)) == (0, bought)
    ((seconds,),) = world.books.rows(
        "SELECT sum(json_extract(quantities, '$.on_demand_chip_s')) FROM usage WHERE replica = ?",
        (held.id,),
    )
    assert seconds == 4 * 2 * HOUR_S, "what was used is written down"
    with pytest.raises(BadRequest, match="No price file"):
        lease(world, chips=1)
