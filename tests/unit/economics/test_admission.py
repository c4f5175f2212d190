import asyncio
from collections.abc import Iterator
from datetime import date

import pytest

from craton.economics.admission import GATHER_S
from craton.economics.bounds import Period, Scope
from craton.economics.contract import BoundsQuery, CreateBudget, Held, Hold, Void
from craton.economics.meters import Meter
from craton.economics.prices import PriceBook, Tariff
from craton.kernel.errors import BudgetExceeded
from tests.fakes.ledgers import AT_MS, Books

pytestmark = pytest.mark.usefixtures("any_database")

PRICES = PriceBook(
    [Tariff("*", date(2026, 1, 1), "USD", {Meter.OUTPUT_TOKENS: 1_000_000}, "made up")]
)


@pytest.fixture
def books() -> Iterator[Books]:
    made = Books(PRICES)
    command = CreateBudget("b", "acc", Scope.ACCOUNT, ("acc",), 100, "USD", Period.DAY)
    made.commit(lambda writing: made.budgets.create(writing, command))
    yield made
    made.connection.close()


def hold(number: int, output: int) -> Hold:
    return Hold(
        f"{number:>036}", "acc", "lab.model", AT_MS, {"output_tokens": output}, "proj", "key"
    )


def asked(books: Books, owner: str, hold: Hold) -> "asyncio.Future[Held]":
    answer = books.admission.admit(owner, hold)
    assert isinstance(answer, asyncio.Future)
    return answer


def held(books: Books) -> int:
    return books.budgets.read(BoundsQuery()).budgets[0].held_nanos


async def test_a_new_state_process_lets_nobody_in_before_every_worker_said_what_it_holds(
    books: Books,
) -> None:
    books.restart(awaited=["gateway-0", "gateway-1"])
    answer = asked(books, "one", hold(1, 50))
    books.admission.greeted("gateway-0")
    books.admission.greeted("supervisor")
    assert not answer.done()
    books.holds.take("two", hold(2, 60))  # what gateway-1 still has, said before its hello
    books.admission.greeted("gateway-1")
    with pytest.raises(BudgetExceeded):
        await answer
    assert isinstance(books.admission.admit("one", hold(1, 40)), Held)
    assert held(books) == 100


async def test_those_who_waited_are_judged_in_the_order_they_came(books: Books) -> None:
    books.restart(awaited=["gateway-0"])
    answers = [asked(books, "one", hold(number, 60)) for number in range(3)]
    books.admission.greeted("gateway-0")
    assert (await answers[0]).amount == 60
    for answer in answers[1:]:
        with pytest.raises(BudgetExceeded):
            await answer


async def test_a_request_that_was_given_up_while_it_waited_takes_no_hold(books: Books) -> None:
    books.restart(awaited=["gateway-0"])
    asked(books, "one", hold(1, 60))
    asked(books, "two", hold(2, 60))
    books.admission.void(Void(hold(1, 60).request_id))
    books.admission.closed("two")
    books.admission.greeted("gateway-0")
    assert held(books) == 0


async def test_a_worker_that_never_comes_back_is_given_up(books: Books) -> None:
    books.restart(awaited=["gateway-0"])
    first = asked(books, "one", hold(1, 60))
    books.clock.advance(seconds=GATHER_S)
    assert isinstance(books.admission.admit("one", hold(2, 40)), Held)
    assert (await first).amount == 60


async def test_a_hold_that_is_asked_for_again_counts_once(books: Books) -> None:
    books.admission.admit("one", hold(1, 60))
    books.admission.admit("two", hold(1, 60))
    assert held(books) == 60


async def test_the_state_process_own_clock_says_when_a_hold_was_taken(books: Books) -> None:
    taken = books.admission.admit("one", hold(1, 60))
    assert isinstance(taken, Held)
    assert taken.at_ms == books.clock.now_ns() // 1_000_000


async def test_refusals_are_counted_by_their_reason(books: Books) -> None:
    with pytest.raises(BudgetExceeded):
        books.admission.admit("one", hold(1, 101))
    series = books.metrics.counter("craton_holds_refused_total", "", reason="budget_exceeded")
    assert series.value == 1
