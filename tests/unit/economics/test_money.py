"""Amounts of any size: sums above 64 bits, and records that no single posting holds."""

from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from craton.economics import statements
from craton.economics.bounds import Period, Scope
from craton.economics.contract import (
    BalancesQuery,
    BoundsQuery,
    BudgetStatus,
    CreateBudget,
    Hold,
    Posted,
    SummaryQuery,
    UsageLine,
    UsageQuery,
    Verdict,
    VerifyQuery,
)
from craton.economics.ledger import RECORD_NANOS_MAX
from craton.economics.meters import Meter, UsageRecord
from craton.economics.prices import PriceBook, Rated, Tariff
from craton.economics.sums import sums, total
from craton.economics.tables import POSTING_NANOS_MAX, POSTINGS
from craton.kernel.errors import BudgetExceeded, Internal
from craton.kernel.units import NANOS_PER_UNIT, Nanos, decimal
from craton.store.database import Insertion, Statement
from tests.fakes.ledgers import AT_MS, Books, usage_record

pytestmark = pytest.mark.usefixtures("any_database")

START, SOURCE = date(2026, 1, 1), "made up"
CONTRACT = 138_000_000_000 * NANOS_PER_UNIT + 1
"""Eight years of two gigawatts, and a nano-unit that a float would lose."""
UNIT_A_TOKEN = {Meter.OUTPUT_TOKENS: 1_000_000 * NANOS_PER_UNIT}
PRICES = PriceBook(
    [
        Tariff("lab.model", START, "USD", UNIT_A_TOKEN, SOURCE),
        Tariff("lab.shared", START, "USD", UNIT_A_TOKEN, SOURCE, "the-lab", 250),
    ]
)
CUSTOMER = "111111111111"
INT64 = st.integers(-(2**63), 2**63 - 1)
OPPOSITES = st.lists(st.integers(-(2**63) + 1, 2**63 - 1)).map(
    lambda each: [*each, *(-amount for amount in each)]
)

_SUM = Statement(select(*sums(POSTINGS.c.amount)))
_INSERT = Insertion(POSTINGS)


@pytest.fixture
def books() -> Iterator[Books]:
    made = Books(PRICES)
    yield made
    made.connection.close()


def enter(
    books: Books, number: int, amount: int, *, payee: str | None = None, share: int = 0
) -> UsageRecord:
    record = usage_record(number, resource="commitment/cmt-1")
    rated = Rated(Nanos(amount), "USD", payee, Nanos(share))
    books.commit(lambda writing: books.ledger.enter(writing, record, rated))
    return record


def balances(books: Books) -> dict[str, int]:
    found = statements.balances(books.connection, BalancesQuery()).balances
    assert all(each.amount == decimal(each.amount_nanos) for each in found)
    return {each.ledger_account: each.amount_nanos for each in found}


def lines(books: Books) -> list[UsageLine]:
    return statements.usage(books.connection, UsageQuery()).records


def verify(books: Books) -> Verdict:
    verdict = statements.verify(books.connection, VerifyQuery())
    return books.budgets.verified(books.connection, verdict)


def budget(books: Books, amount: int) -> None:
    command = CreateBudget("b", CUSTOMER, Scope.ACCOUNT, (CUSTOMER,), amount, "USD", Period.TOTAL)
    books.commit(lambda writing: books.budgets.create(writing, command))


def status(books: Books) -> BudgetStatus:
    (found,) = books.budgets.read(BoundsQuery()).budgets
    return found


def asking(books: Books, tokens: int) -> None:
    hold = Hold("h" * 36, CUSTOMER, "lab.model", AT_MS, {"output_tokens": tokens})
    books.budgets.judge(hold, books.holds.price(hold), AT_MS)


def test_a_sum_in_two_parts_is_what_python_adds(books: Books) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(INT64, max_size=40) | OPPOSITES)
    @example([2**63 - 1] * 5)
    @example([-(2**63)] * 5)
    @example([2**63 - 1, 2**63 - 1, -(2**63), -(2**63), 2])
    @example([-1, 1])
    @example([2**32, -(2**31), -(2**31)])
    def is_equal(amounts: list[int]) -> None:
        connection, expected = books.connection, sum(amounts)
        connection.execute("DELETE FROM postings")
        rows = [("t", line, "customer/a", "USD", amount) for line, amount in enumerate(amounts)]
        _INSERT.execute(connection, rows)
        selected = _SUM.execute(connection).fetchone()
        assert selected is not None
        assert total(*selected) == expected
        assert balances(books) == ({"customer/a": expected} if amounts else {})
        verdict = statements.verify(connection, VerifyQuery())
        assert verdict.sum_nanos == expected
        off = [fault for fault in verdict.faults if "is off by" in fault]
        assert off == ([f"transaction t is off by {expected} nano-USD"] if expected else [])

    is_equal()


def test_the_months_of_the_largest_contract_add_up_to_the_nano_unit(books: Books) -> None:
    month, rest = divmod(CONTRACT, 96)
    for number in range(96):
        enter(books, number, month + (1 if number < rest else 0))
    assert balances(books) == {
        f"customer/{CUSTOMER}": CONTRACT,
        "revenue/commitment/cmt-1": -CONTRACT,
    }
    (line,) = statements.summary(books.connection, SummaryQuery()).lines
    assert (line.requests, line.amount_nanos) == (96, CONTRACT)
    assert line.amount == "138000000000.000000001"
    assert sum(each.amount_nanos for each in lines(books)) == CONTRACT
    verdict = verify(books)
    assert (verdict.sum_nanos, verdict.postings, verdict.faults) == (0, 192, [])


def test_a_budget_above_64_bits_is_kept_to_the_nano_unit(books: Books) -> None:
    enter(books, 1, CONTRACT)
    budget(books, CONTRACT + 5 * NANOS_PER_UNIT - 1)
    for _ in range(2):
        asking(books, 4)
        with pytest.raises(BudgetExceeded, match=r"138000000000\.000000001 USD is spent"):
            asking(books, 5)
        assert status(books).spent_nanos == CONTRACT
        assert status(books).left == "4.999999999"
        assert verify(books).faults == []
        assert verify(books).budgets == 1
        books.restart()
    enter(books, 2, CONTRACT)
    assert status(books).spent_nanos == 2 * CONTRACT
    assert status(books).over_nanos == CONTRACT + 1 - 5 * NANOS_PER_UNIT
    assert verify(books).faults == []


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "amount",
    [POSTING_NANOS_MAX, POSTING_NANOS_MAX + 1, 2**63, 2 * POSTING_NANOS_MAX, CONTRACT],
)
def test_a_record_is_as_many_postings_as_it_takes(books: Books, amount: int, sign: int) -> None:
    amount *= sign
    enter(books, 1, amount, payee="the-lab", share=amount // 4)
    enter(books, 2, 7)
    share = amount // 4
    assert balances(books) == {
        f"customer/{CUSTOMER}": amount + 7,
        "revenue/commitment/cmt-1": -amount - 7,
        "cost/share/commitment/cmt-1": share,
        "payable/the-lab": -share,
    }
    assert [line.amount_nanos for line in lines(books)] == [7, amount]
    assert verify(books).faults == []
    ((most,),) = books.rows("SELECT max(abs(amount)) FROM postings")
    assert most == min(abs(amount), POSTING_NANOS_MAX)


def test_a_divided_record_is_written_once(books: Books) -> None:
    record = usage_record(1, output_tokens=50_000_000_000)
    first = books.post(record, record)
    again = books.post(record)
    assert first + again == [Posted(50 * 10**18, "USD")] * 3
    assert balances(books)[f"customer/{CUSTOMER}"] == 50 * 10**18
    ((count,),) = books.rows("SELECT count(*) FROM postings")
    assert count == 12


def test_verify_misses_a_part_of_a_divided_record(books: Books) -> None:
    enter(books, 1, CONTRACT)
    books.connection.execute("DELETE FROM postings WHERE line = -1")
    (fault,) = verify(books).faults
    assert f"is off by -{POSTING_NANOS_MAX} nano-USD" in fault


def test_an_answer_above_64_bits_is_posted_beside_others_and_over_its_hold(books: Books) -> None:
    budget(books, 10**25)
    hold = Hold(usage_record(1).request_id, CUSTOMER, "lab.shared", AT_MS, {"output_tokens": 9})
    assert books.admission.admit("worker", hold) == books.holds.take("worker", hold)
    large = usage_record(1, resource="lab.shared", output_tokens=10**14 // 2)
    posted = books.post(large, usage_record(2, output_tokens=3))
    assert posted == [Posted(5 * 10**22, "USD"), Posted(3 * 10**9, "USD")]
    assert balances(books)["payable/the-lab"] == -5 * 10**22 // 4
    assert status(books).spent_nanos == 5 * 10**22 + 3 * 10**9
    assert verify(books).faults == []
    assert b"craton_over_hold_nanos_total" in books.metrics.snapshot()


def test_what_no_ledger_takes_is_refused_alone(books: Books) -> None:
    hold = Hold(usage_record(1).request_id, CUSTOMER, "lab.model", AT_MS, {"output_tokens": 9})
    books.holds.take("worker", hold)
    mad = usage_record(1, output_tokens=RECORD_NANOS_MAX // NANOS_PER_UNIT + 1)
    refused, posted = books.post(mad, usage_record(2, output_tokens=3))
    assert isinstance(refused, Internal)
    assert "lab.model would cost 90000000000001.00 USD" in refused.message
    assert posted == Posted(3 * 10**9, "USD")
    assert [line.amount_nanos for line in lines(books)] == [3 * 10**9]
    assert len(books.holds) == 0
    with pytest.raises(Internal, match=r"takes 90000000000000\.00 USD at once"):
        enter(books, 3, -RECORD_NANOS_MAX - 1)
    assert len(lines(books)) == 1
