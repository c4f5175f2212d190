from collections import defaultdict
from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.economics import statements
from craton.economics.contract import (
    BalancesQuery,
    Held,
    Hold,
    SummaryQuery,
    UsageQuery,
    VerifyQuery,
    Void,
    Voided,
)
from craton.economics.ledger import Ledger
from craton.economics.meters import Meter, UsageRecord
from craton.economics.prices import PriceBook, Rated, Tariff
from craton.kernel.units import Nanos
from tests.fakes.ledgers import AT_MS, Books, usage_record

pytestmark = pytest.mark.usefixtures("any_database")

START = date(2026, 1, 1)
BOTH = {Meter.INPUT_TOKENS: 20_000_000, Meter.OUTPUT_TOKENS: 80_000_000}
SOURCE = "made up"
PRICES = PriceBook(
    [
        Tariff("*", START, "USD", BOTH, SOURCE),
        Tariff(
            "lab.shared", START, "USD", {Meter.OUTPUT_TOKENS: 1_234_567}, SOURCE, "the-lab", 333
        ),
        Tariff("lab.euro", START, "EUR", {Meter.OUTPUT_TOKENS: 7_000_001}, SOURCE),
        Tariff("lab.free", START, "USD", {}, SOURCE),
    ]
)


@pytest.fixture
def books() -> Iterator[Books]:
    made = Books(PRICES)
    yield made
    made.connection.close()


def hold(number: int, *, account: str = "a", output: int = 100) -> Hold:
    return Hold(f"{number:>036}", account, "lab.model", AT_MS, {"output_tokens": output})


def test_a_post_is_what_the_customer_owes_and_what_was_earned(books: Books) -> None:
    (posted,) = books.post(usage_record(1, input_tokens=3, output_tokens=2))
    assert (posted.amount, posted.currency) == (3 * 20 + 2 * 80, "USD")
    assert books.balance("customer/111111111111") == 220
    assert books.balance("revenue/lab.model") == -220


def test_a_labs_share_is_a_cost_and_a_payable(books: Books) -> None:
    (posted,) = books.post(usage_record(1, resource="lab.shared", output_tokens=1_000_000))
    assert posted.amount == 1_234_567
    assert books.balance("cost/share/lab.shared") == 411_111
    assert books.balance("payable/the-lab") == -411_111
    assert books.rows("SELECT sum(amount) FROM postings") == [(0,)]


def test_a_fee_and_its_credit_are_records_of_their_own(books: Books) -> None:
    record = usage_record(1, resource="trn2.48xlarge", block_chip_s=3600)
    back = usage_record(2, resource="trn2.48xlarge")
    books.commit(lambda writing: books.ledger.enter(writing, record, rated(2_235)))
    books.commit(lambda writing: books.ledger.enter(writing, back, rated(-235)))
    assert books.balance("customer/111111111111") == 2_000
    assert books.balance("revenue/trn2.48xlarge") == -2_000
    assert statements.verify(books.connection, VerifyQuery()).faults == []


def test_a_fee_shares_with_a_payee(books: Books) -> None:
    record = usage_record(1, resource="pool")
    fee = Rated(Nanos(100), "USD", "the-owner", Nanos(60))
    books.commit(lambda writing: books.ledger.enter(writing, record, fee))
    assert books.balance("payable/the-owner") == -60
    assert books.balance("cost/share/pool") == 60


def test_nothing_owed_is_a_record_without_postings(books: Books) -> None:
    record = usage_record(1, resource="pool", reserved_chip_s=9)
    books.commit(lambda writing: books.ledger.enter(writing, record, rated(0)))
    assert books.rows("SELECT count(*) FROM usage") == [(1,)]
    assert books.rows("SELECT count(*) FROM postings") == [(0,)]


def rated(amount: int) -> Rated:
    return Rated(Nanos(amount), "USD", None, Nanos(0))


def test_posting_twice_is_once(books: Books) -> None:
    record = usage_record(1, input_tokens=3)
    first, again = books.post(record), books.post(record)
    assert first == again
    assert books.rows("SELECT count(*) FROM usage") == [(1,)]
    assert books.rows("SELECT count(*) FROM postings") == [(2,)]
    assert books.balance("customer/111111111111") == 60


def test_twice_in_one_group_is_once(books: Books) -> None:
    record = usage_record(1, input_tokens=3)
    books.post(record, record, usage_record(2, input_tokens=1), record)
    assert books.rows("SELECT count(*) FROM usage") == [(2,)]
    assert books.balance("customer/111111111111") == 80


def test_a_record_that_is_there_stays_as_it_was(books: Books) -> None:
    books.post(usage_record(1, input_tokens=3))
    books.post(usage_record(1, input_tokens=999, account="222222222222"))
    assert books.balance("customer/111111111111") == 60
    assert books.balance("customer/222222222222") == 0
    assert books.rows("SELECT quantities FROM usage") == [('{"input_tokens":3}',)]


def test_the_same_id_at_another_time_is_the_same_record(books: Books) -> None:
    books.post(usage_record(1, input_tokens=3))
    books.post(usage_record(1, input_tokens=3, at_ms=AT_MS + 1))
    assert books.rows("SELECT at_ms FROM usage") == [(AT_MS,)]


def test_a_post_sent_again_under_other_prices_adds_nothing(books: Books) -> None:
    """The state process restarted between, and the operator had changed the price files."""
    record = usage_record(1, resource="lab.free", output_tokens=9)
    books.post(record)
    shared = Tariff("lab.free", START, "USD", BOTH, SOURCE, "the-lab", 500)
    books.ledger = Ledger(PriceBook([shared]), books.holds)
    books.post(record)
    assert books.rows("SELECT count(*) FROM postings") == [(0,)]


def test_what_costs_nothing_is_recorded_and_posts_nothing(books: Books) -> None:
    (posted,) = books.post(usage_record(1, resource="lab.free", input_tokens=5))
    assert posted.amount == 0
    assert books.rows("SELECT count(*) FROM usage") == [(1,)]
    assert books.rows("SELECT count(*) FROM postings") == [(0,)]


def test_a_hold_reserves_what_its_quantities_would_cost(books: Books) -> None:
    assert books.holds.take("worker", hold(1, output=100)) == Held(8000, AT_MS)
    books.holds.take("worker", hold(2, output=1))
    books.holds.take("worker", hold(3, account="b"))
    assert (books.holds.held("a"), books.holds.held("b")) == (8080, 8000)


def test_a_hold_taken_again_counts_once_and_belongs_to_who_took_it_last(books: Books) -> None:
    books.holds.take("old", hold(1))
    books.holds.take("new", hold(1))
    assert (len(books.holds), books.holds.held("a")) == (1, 8000)
    books.holds.release_owner("old")
    assert books.holds.held("a") == 8000
    books.holds.release_owner("new")
    assert (len(books.holds), books.holds.held("a")) == (0, 0)


def test_a_post_releases_its_hold(books: Books) -> None:
    books.holds.take("worker", hold(1))
    books.post(usage_record(1, input_tokens=1))
    assert (len(books.holds), books.holds.held("a")) == (0, 0)


def test_a_void_releases_a_hold_once(books: Books) -> None:
    books.holds.take("worker", hold(1))
    void = Void(hold(1).request_id)
    assert books.holds.void(void) == Voided(True)
    assert books.holds.void(void) == Voided(False)
    assert books.holds.held("a") == 0


def test_a_workers_holds_go_with_it_and_no_others(books: Books) -> None:
    for number in range(10):
        books.holds.take("one" if number % 2 else "two", hold(number))
    books.holds.release_owner("one")
    assert (len(books.holds), books.holds.held("a")) == (5, 40_000)


ACCOUNTS = st.sampled_from(["111111111111", "222222222222"])
RECORDS = st.builds(
    lambda number, account, resource, input_tokens, output_tokens: usage_record(
        number,
        account=account,
        resource=resource,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    ),
    st.integers(0, 15),
    ACCOUNTS,
    st.sampled_from(["lab.model", "lab.shared", "lab.euro", "lab.free"]),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
STEPS = st.lists(
    st.one_of(
        st.lists(RECORDS, min_size=1, max_size=5),
        st.tuples(st.just("hold"), st.integers(0, 15), ACCOUNTS, st.sampled_from(["w1", "w2"])),
        st.tuples(st.just("void"), st.integers(0, 15)),
        st.tuples(st.just("die"), st.sampled_from(["w1", "w2"])),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_in_any_sequence_the_ledger_is_a_rating_of_each_first_record(steps: list[object]) -> None:
    books = Books(PRICES)
    first: dict[str, UsageRecord] = {}
    holds: dict[str, tuple[str, str]] = {}
    for step in steps:
        if isinstance(step, list):
            books.post(*step)
            for record in step:
                first.setdefault(record.request_id, record)
                holds.pop(record.request_id, None)
        elif step[0] == "hold":  # type: ignore[index]
            _, number, account, owner = step  # type: ignore[misc]
            taken = hold(number, account=account)
            books.holds.take(owner, taken)
            holds[taken.request_id] = (account, owner)
        elif step[0] == "void":  # type: ignore[index]
            id = hold(step[1]).request_id  # type: ignore[index]
            assert books.holds.void(Void(id)).existed is (holds.pop(id, None) is not None)
        else:
            books.holds.release_owner(step[1])  # type: ignore[index]
            holds = {id: held for id, held in holds.items() if held[1] != step[1]}  # type: ignore[index]
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for record in first.values():
        rated = PRICES.rate(record.resource, record.quantities, record.at_ms)
        owed[f"customer/{record.account}", rated.currency] += rated.amount
    verdict = statements.verify(books.connection, VerifyQuery())
    assert (verdict.faults, verdict.sum_nanos) == ([], 0)
    assert verdict.usage_records == len(first)
    found = statements.balances(books.connection, BalancesQuery("customer/")).balances
    assert {(b.ledger_account, b.currency): b.amount_nanos for b in found} == {
        key: amount for key, amount in owed.items() if amount
    }
    everything = statements.balances(books.connection, BalancesQuery()).balances
    assert sum(balance.amount_nanos for balance in everything) == 0
    for account in ("111111111111", "222222222222"):
        assert books.holds.held(account) == 8000 * sum(h[0] == account for h in holds.values())
    assert len(books.holds) == len(holds)
    books.connection.close()


def test_usage_is_told_newest_first_in_pages_that_meet(books: Books) -> None:
    books.post(*(usage_record(n, account=f"acc-{n % 2}", output_tokens=n) for n in range(1, 26)))
    pages: list[list[int]] = []
    before = None
    while True:
        page = statements.usage(books.connection, UsageQuery(before=before, limit=10))
        pages.append([int(line.request_id) for line in page.records])
        before = page.next
        if before is None:
            break
    assert [number for page in pages for number in page] == list(range(25, 0, -1))
    assert [len(page) for page in pages] == [10, 10, 5]
    mine = statements.usage(books.connection, UsageQuery(account="acc-1", limit=3))
    assert [int(line.request_id) for line in mine.records] == [25, 23, 21]
    assert mine.records[0].amount_nanos == 25 * 80


def test_a_summary_adds_up_records_and_postings_by_account_and_resource(books: Books) -> None:
    books.post(
        usage_record(1, account="a", input_tokens=1, at_ms=AT_MS - 10),
        usage_record(2, account="a", input_tokens=2, output_tokens=5),
        usage_record(3, account="a", resource="lab.shared", output_tokens=1_000_000),
        usage_record(4, account="b", input_tokens=4),
    )
    lines = statements.summary(books.connection, SummaryQuery(account="a")).lines
    assert [(s.resource, s.requests, s.quantities, s.amount_nanos) for s in lines] == [
        ("lab.model", 2, {"input_tokens": 3, "output_tokens": 5}, 460),
        ("lab.shared", 1, {"output_tokens": 1_000_000}, 1_234_567),
    ]
    since = statements.summary(books.connection, SummaryQuery(account="a", since_ms=AT_MS)).lines
    assert since[0].requests == 1
    assert len(statements.summary(books.connection, SummaryQuery()).lines) == 3


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE postings SET amount = amount + 1 WHERE line = 0", "is off by 1 nano-USD"),
        ("DELETE FROM postings WHERE line = 1", "is off by 220 nano-USD"),
        ("DELETE FROM usage", "has postings and no usage record"),
    ],
)
def test_verify_finds_what_is_not_whole(books: Books, damage: str, says: str) -> None:
    books.post(usage_record(1, input_tokens=3, output_tokens=2))
    assert statements.verify(books.connection, VerifyQuery()).faults == []
    books.connection.execute(damage)
    (fault,) = statements.verify(books.connection, VerifyQuery()).faults
    assert says in fault
