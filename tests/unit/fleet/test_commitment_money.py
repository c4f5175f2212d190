"""The largest contract there is, month by month: every sum is exact, whatever holds the ledger."""

from datetime import UTC, datetime

import pytest

from craton.economics import statements
from craton.economics.bounds import Period, Scope
from craton.economics.contract import (
    BalancesQuery,
    BoundsQuery,
    CreateBudget,
    SummaryQuery,
    VerifyQuery,
)
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    SignCommitment,
    StatementQuery,
    StatementView,
)
from craton.fleet.contract import Advance
from craton.kernel.units import nanos
from tests.fakes.contracts import FLEET, contract
from tests.fakes.fleets import FleetWorld

pytestmark = pytest.mark.usefixtures("any_database")

TOTAL = "138000000000.000000001"
TERM = ("start = 2027-01-01", "end = 2035-01-01")
DELIVERY = 'from = 2027-01-01\nof = "trainium2"\namount = 64\n'


def go(world: FleetWorld, year: int) -> None:
    at_s = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    world.clock.advance(seconds=at_s - world.now_s)
    world.call("advance", Advance())


def test_138_thousand_million_come_out_to_the_nano_unit() -> None:
    world = FleetWorld(FLEET)
    text = contract(*TERM, price=f'total = "{TOTAL}"\n', delivery=DELIVERY)
    signed = world.call(
        "sign_commitment", SignCommitment(text=text, account="alice", principal="key-a")
    )
    budget = CreateBudget(
        "b", "alice", Scope.ACCOUNT, ("alice",), nanos(TOTAL) - 1, "USD", Period.TOTAL
    )
    books = world.books
    books.commit(lambda writing: books.budgets.create(writing, budget))
    go(world, 2027)
    go(world, 2031)
    world.restart()
    go(world, 2035)
    told: Commitments = world.read("commitments", CommitmentsQuery())
    (view,) = told.commitments
    assert (view.contracted, view.recognised, view.backlog) == (TOTAL, TOTAL, "0.00")
    assert sum(nanos(year.due) for year in view.years) == nanos(TOTAL)
    found = statements.balances(books.connection, BalancesQuery()).balances
    assert [(each.ledger_account, each.amount_nanos, each.amount) for each in found] == [
        ("customer/alice", nanos(TOTAL), TOTAL),
        (f"revenue/commitment/{signed.id}", -nanos(TOTAL), "-" + TOTAL),
    ]
    (line,) = statements.summary(books.connection, SummaryQuery()).lines
    assert (line.requests, line.amount_nanos) == (96, nanos(TOTAL))
    months = [f"{year}-{month:02}" for year in range(2027, 2035) for month in range(1, 13)]
    bills: list[StatementView] = [
        world.read("commitment_statement", StatementQuery("trainium", month)) for month in months
    ]
    assert sum(nanos(bill.total) for bill in bills) == nanos(TOTAL)
    (status,) = books.budgets.read(BoundsQuery()).budgets
    assert (status.spent_nanos, status.over, status.left) == (nanos(TOTAL), "0.000000001", "0.00")
    verdict = statements.verify(books.connection, VerifyQuery())
    assert (verdict.sum_nanos, world.faults()) == (0, [])
    books.connection.close()
