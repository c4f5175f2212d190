from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.economics import statements
from craton.economics.bounds import DAY_MS, Period, Scope
from craton.economics.contract import (
    BoundsQuery,
    BudgetStatus,
    CreateBudget,
    DeleteBudget,
    Held,
    Hold,
    UpdateBudget,
    VerifyQuery,
    Void,
)
from craton.economics.meters import PROMPT_TOKENS, Meter, Outcome, UsageRecord
from craton.economics.prices import PriceBook, Rated, Tariff
from craton.kernel.errors import BudgetExceeded, NotFound
from craton.kernel.ids import Ids, first_id
from craton.kernel.units import Nanos
from craton.store.documents import Transaction
from tests.fakes.ledgers import AT_MS, Books, usage_record

pytestmark = pytest.mark.usefixtures("any_database")

START = date(2026, 1, 1)
SOURCE = "made up"
PRICES = PriceBook(
    [
        Tariff("*", START, "USD", {Meter.OUTPUT_TOKENS: 1_000_000}, SOURCE),
        Tariff("lab.euro", START, "EUR", {Meter.OUTPUT_TOKENS: 1_000_000}, SOURCE),
        Tariff("lab.free", START, "USD", {}, SOURCE),
        Tariff(
            "lab.cached",
            START,
            "USD",
            {Meter.INPUT_TOKENS: 10_000_000, Meter.CACHE_WRITE_TOKENS: 12_500_000},
            SOURCE,
        ),
        Tariff("lab.dearer", START, "USD", {Meter.OUTPUT_TOKENS: 1_000_000}, SOURCE),
        Tariff("lab.dearer", date(2026, 11, 2), "USD", {Meter.OUTPUT_TOKENS: 3_000_000}, SOURCE),
    ]
)
"""One nano-dollar an output token, so that tokens are nano-dollars here."""
WORKER, OTHER = "worker", "other worker"


class Bank(Books):
    """Books with requests that say what they cost."""

    def __init__(self) -> None:
        super().__init__(PRICES)
        self.ids = Ids(self.clock)

    def budget(
        self,
        amount: int,
        *subjects: str,
        name: str = "b",
        scope: Scope = Scope.ACCOUNT,
        currency: str = "USD",
        period: Period = Period.DAY,
    ) -> BudgetStatus:
        of = subjects or ("acc",)
        command = CreateBudget(name, "acc", scope, of, amount, currency, period)
        return self.commit(lambda writing: self.budgets.create(writing, command))

    def hold(
        self,
        output: int,
        *,
        model: str = "lab.model",
        account: str = "acc",
        project: str = "proj",
        key: str = "key",
        meter: str = "output_tokens",
    ) -> Hold:
        at_ms = self.clock.now_ns() // 1_000_000
        id = self.ids.request_id()
        return Hold(id, account, model, at_ms, {meter: output}, project, key)

    def admit(self, hold: Hold, owner: str = WORKER) -> Held:
        held = self.admission.admit(owner, hold)
        assert isinstance(held, Held)
        return held

    def end(self, hold: Hold, output: int) -> None:
        record = UsageRecord(
            hold.request_id,
            hold.account,
            hold.project,
            hold.principal,
            hold.resource,
            "replica",
            Outcome.COMPLETE,
            self.clock.now_ns() // 1_000_000,
            {"output_tokens": output},
        )
        self.post(record)

    def use(self, output: int, **of: str) -> None:
        hold = self.hold(output, **of)
        self.admit(hold)
        self.end(hold, output)

    def status(self) -> BudgetStatus:
        (status,) = self.budgets.read(BoundsQuery()).budgets
        return status

    def sums(self) -> tuple[int, int, int]:
        status = self.status()
        return status.spent_nanos, status.held_nanos, status.left_nanos


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.connection.close()


def test_a_request_passes_that_fits_to_the_last_nano_and_none_that_does_not(bank: Bank) -> None:
    bank.budget(100)
    bank.use(60)
    with pytest.raises(BudgetExceeded):
        bank.admit(bank.hold(41))
    bank.admit(bank.hold(40))
    assert bank.sums() == (60, 40, 0)


def test_open_holds_count_and_a_post_releases_what_was_not_used(bank: Bank) -> None:
    bank.budget(100)
    hold = bank.hold(80)
    bank.admit(hold)
    with pytest.raises(BudgetExceeded):
        bank.admit(bank.hold(30))
    bank.end(hold, 10)
    assert bank.sums() == (10, 0, 90)
    bank.admit(bank.hold(90))


def test_a_void_and_a_worker_that_is_gone_release_their_holds(bank: Bank) -> None:
    bank.budget(100)
    hold = bank.hold(60)
    bank.admit(hold)
    bank.admit(bank.hold(40), OTHER)
    bank.admission.void(Void(hold.request_id))
    assert bank.sums() == (0, 40, 60)
    bank.admission.closed(OTHER)
    assert bank.sums() == (0, 0, 100)


def test_a_refusal_says_which_budget_what_is_left_and_when_it_renews(bank: Bank) -> None:
    made = bank.budget(2_000_000_000, name="trial")
    bank.use(1_500_000_000)
    with pytest.raises(BudgetExceeded) as refused:
        bank.admit(bank.hold(600_000_000))
    message = refused.value.message
    for part in ("trial", made.id, "account acc", "2.00 USD a day", "1.50 USD is spent"):
        assert part in message
    assert "0.50 USD is left, and this request may cost 0.60 USD" in message
    assert "It renews at 2026-11-02T00:00:00Z" in message
    assert refused.value.retry_after_s is None


def test_what_fits_once_others_have_ended_may_be_tried_again_soon(bank: Bank) -> None:
    bank.budget(100)
    bank.admit(bank.hold(80))
    with pytest.raises(BudgetExceeded, match="reserved by requests under way") as refused:
        bank.admit(bank.hold(30))
    assert refused.value.retry_after_s == 1


@pytest.mark.parametrize(
    ("scope", "subjects"),
    [
        (Scope.ACCOUNT, ("acc",)),
        (Scope.PROJECT, ("proj",)),
        (Scope.KEY, ("key", "AKIA")),
    ],
)
def test_a_budget_bounds_its_subject_and_nobody_else(
    bank: Bank, scope: Scope, subjects: tuple[str, ...]
) -> None:
    bank.budget(100, *subjects, scope=scope)
    bank.use(100, account="other", project="other", key="other")
    bank.use(60)
    if scope is Scope.KEY:
        with pytest.raises(BudgetExceeded):
            bank.use(41, key="AKIA")
    with pytest.raises(BudgetExceeded):
        bank.use(41)
    assert bank.sums() == (60, 0, 40)


def test_every_budget_that_bounds_a_request_must_have_room(bank: Bank) -> None:
    bank.budget(100)
    bank.budget(50, "key", scope=Scope.KEY, name="c")
    with pytest.raises(BudgetExceeded, match="of key key"):
        bank.use(51)
    bank.use(50)
    with pytest.raises(BudgetExceeded, match="of account acc"):
        bank.use(51, key="another")


def test_a_day_renews_at_midnight_and_an_open_hold_counts_on_both_sides(bank: Bank) -> None:
    bank.budget(100)
    bank.use(60)
    hold = bank.hold(40)
    bank.admit(hold)
    bank.clock.advance(seconds=DAY_MS / 1000)
    with pytest.raises(BudgetExceeded):
        bank.admit(bank.hold(61))
    bank.end(hold, 40)
    assert bank.sums() == (40, 0, 60)
    assert bank.status().started_ms % DAY_MS == 0


def test_a_post_of_the_day_before_does_not_count_today(bank: Bank) -> None:
    bank.budget(100)
    hold = bank.hold(40)
    bank.admit(hold)
    late = UsageRecord(
        hold.request_id, "acc", "proj", "key", "lab.model", "r", Outcome.COMPLETE,
        bank.clock.now_ns() // 1_000_000, {"output_tokens": 40},
    )  # fmt: skip
    bank.clock.advance(seconds=DAY_MS / 1000)
    bank.admit(bank.hold(60))
    bank.post(late)
    assert bank.sums() == (0, 60, 40)


def test_a_total_never_renews(bank: Bank) -> None:
    bank.budget(100, period=Period.TOTAL)
    bank.use(100)
    bank.clock.advance(seconds=400 * DAY_MS / 1000)
    with pytest.raises(BudgetExceeded, match=" in all"):
        bank.admit(bank.hold(1))


def test_what_costs_nothing_passes_an_empty_budget(bank: Bank) -> None:
    bank.budget(0)
    bank.use(1000, model="lab.free")
    with pytest.raises(BudgetExceeded):
        bank.use(1)


def test_a_budget_in_another_currency_bounds_nothing_so_nothing_passes(bank: Bank) -> None:
    bank.budget(100)
    with pytest.raises(BudgetExceeded, match="priced in EUR"):
        bank.use(1, model="lab.euro")
    bank.budget(10, currency="EUR", name="euros")
    bank.use(10, model="lab.euro")
    with pytest.raises(BudgetExceeded, match="euros"):
        bank.use(1, model="lab.euro")
    bank.use(100)


def test_the_sum_is_read_from_postings_by_a_new_state_process(bank: Bank) -> None:
    bank.budget(100)
    bank.budget(1000, "key", scope=Scope.KEY, name="k", period=Period.TOTAL)
    bank.use(60)
    bank.use(30, key="another")
    bank.admit(bank.hold(10))
    bank.restart()
    day, total = sorted(bank.budgets.read(BoundsQuery()).budgets, key=lambda b: b.period)
    assert (day.spent_nanos, day.held_nanos) == (90, 0)
    assert total.spent_nanos == 60
    with pytest.raises(BudgetExceeded):
        bank.use(11)
    bank.use(10)


def test_a_new_budget_counts_what_was_spent_and_is_held_already(bank: Bank) -> None:
    bank.use(30)
    bank.use(500, account="other")
    bank.holds.take(WORKER, bank.hold(20))
    assert bank.budget(100).spent_nanos == 30
    assert bank.sums() == (30, 20, 50)


def test_a_post_sent_again_after_a_restart_counts_once(bank: Bank) -> None:
    bank.budget(100)
    hold = bank.hold(40)
    bank.admit(hold)
    bank.end(hold, 40)
    bank.restart()
    bank.holds.take(WORKER, hold)
    assert bank.sums() == (40, 40, 20)
    bank.end(hold, 40)
    assert bank.sums() == (40, 0, 60)


def test_an_amount_is_changed_and_a_budget_taken_away(bank: Bank) -> None:
    made = bank.budget(100)
    bank.use(80)
    changed = bank.commit(lambda w: bank.budgets.update(w, UpdateBudget(made.id, 50)))
    assert (changed.amount_nanos, changed.spent_nanos, changed.left_nanos) == (50, 80, 0)
    assert changed.over_nanos == 30
    with pytest.raises(BudgetExceeded):
        bank.use(1)
    bank.commit(lambda w: bank.budgets.delete(w, DeleteBudget(made.id)))
    bank.use(1000)
    assert bank.budgets.read(BoundsQuery()).budgets == []
    bank.restart()
    assert bank.budgets.read(BoundsQuery()).budgets == []
    with pytest.raises(NotFound, match=made.id):
        bank.commit(lambda w: bank.budgets.delete(w, DeleteBudget(made.id)))


def test_holds_taken_before_a_budget_is_deleted_and_made_again_are_counted_once(bank: Bank) -> None:
    made = bank.budget(100)
    hold = bank.hold(40)
    bank.admit(hold)
    bank.commit(lambda w: bank.budgets.delete(w, DeleteBudget(made.id)))
    bank.budget(100)
    assert bank.sums() == (0, 40, 60)
    bank.end(hold, 40)
    assert bank.sums() == (40, 0, 60)


def test_what_a_remote_engine_used_beyond_its_hold_is_posted_and_shown(bank: Bank) -> None:
    bank.budget(100)
    hold = bank.hold(90)
    bank.admit(hold)
    bank.end(hold, 130)
    status = bank.status()
    assert (status.spent_nanos, status.left_nanos, status.over_nanos) == (130, 0, 30)
    counted = bank.metrics.snapshot()
    assert b"craton_posts_over_hold_total" in counted
    over = bank.metrics.counter("craton_over_hold_nanos_total", "")
    assert over.value == 40
    with pytest.raises(BudgetExceeded):
        bank.admit(bank.hold(1))


def test_prompt_tokens_are_held_at_the_dearest_price_they_can_have(bank: Bank) -> None:
    held = bank.admit(bank.hold(1000, model="lab.cached", meter=PROMPT_TOKENS))
    for written in (0, 1, 499, 500, 1000):
        split = {"cache_write_tokens": written, "input_tokens": 1000 - written}
        assert held.amount >= PRICES.rate("lab.cached", split, AT_MS).amount
    assert held.amount == 12_502


def test_a_hold_before_midnight_bounds_a_post_at_tomorrows_price(bank: Bank) -> None:
    assert bank.admit(bank.hold(10, model="lab.dearer")).amount == 10
    bank.clock.advance(seconds=(DAY_MS - AT_MS % DAY_MS) / 1000 - 60)
    assert bank.admit(bank.hold(10, model="lab.dearer")).amount == 30


def test_a_fee_counts_for_the_next_command_of_its_group_and_not_if_that_is_undone(
    bank: Bank,
) -> None:
    bank.budget(100)
    record = usage_record(1, account="acc", resource="pool")
    fee = Rated(Nanos(60), "USD", None, Nanos(0))
    writing = Transaction(bank.connection, AT_MS)
    bank.connection.execute("BEGIN")
    bank.ledger.enter(writing, record, fee)
    with pytest.raises(BudgetExceeded):
        bank.admit(bank.hold(41))
    bank.connection.execute("ROLLBACK")
    for take_back in reversed(writing.undo):
        take_back()
    bank.admit(bank.hold(100))


def test_verify_compares_every_budget_with_its_postings(bank: Bank) -> None:
    bank.budget(100)
    bank.use(60)

    def check() -> list[str]:
        verdict = statements.verify(bank.connection, VerifyQuery())
        verdict = bank.budgets.verified(bank.connection, verdict)
        assert verdict.budgets == 1
        return verdict.faults

    assert check() == []
    bank.connection.execute("UPDATE usage SET account = 'another'")
    (fault,) = check()
    assert "counts 60 nanos as spent" in fault
    assert "sum to 0" in fault


def test_request_ids_of_the_period_are_all_looked_at() -> None:
    bank = Bank()
    id = bank.ids.request_id()
    now_ms = bank.clock.now_ns() // 1_000_000
    assert first_id(now_ms) <= id < first_id(now_ms + 1)
    bank.connection.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 60), st.sampled_from(["key", "AKIA", "else"])),
        st.tuples(st.just("end"), st.integers(0, 20), st.integers(0, 100)),
        st.tuples(st.just("fail"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("die"), st.sampled_from([WORKER, OTHER]), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 20), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from(list(Period)))
def test_in_any_sequence_nothing_is_overdrawn_and_nothing_that_fits_is_refused(
    steps: list[tuple[str, object, object]], period: Period
) -> None:
    bank = Bank()
    bank.budget(100, "key", "AKIA", scope=Scope.KEY, period=period)
    under_way: list[tuple[Hold, str]] = []
    posted: list[tuple[int, int]] = []

    def spent() -> int:
        start_ms = bank.status().started_ms
        return sum(amount for at_ms, amount in posted if at_ms >= start_ms)

    for number, (kind, first, second) in enumerate(steps):
        if kind == "ask":
            hold = bank.hold(int(first), key=str(second))  # type: ignore[call-overload]
            owner = WORKER if number % 2 else OTHER
            held = sum(h.quantities["output_tokens"] for h, _ in under_way if h.principal != "else")
            fits = second == "else" or spent() + held + int(first) <= 100  # type: ignore[call-overload]
            try:
                bank.admit(hold, owner)
                assert fits
                under_way.append((hold, owner))
            except BudgetExceeded:
                assert not fits
        elif kind in ("end", "fail") and under_way:
            hold, _ = under_way.pop(int(first) % len(under_way))  # type: ignore[call-overload]
            used = hold.quantities["output_tokens"] * int(second) // 100  # type: ignore[call-overload]
            if kind == "fail":
                bank.admission.void(Void(hold.request_id))
                continue
            bank.end(hold, used)
            if hold.principal != "else":
                posted.append((bank.clock.now_ns() // 1_000_000, used))
        elif kind == "die":
            bank.admission.closed(first)
            under_way = [(hold, owner) for hold, owner in under_way if owner != first]
        elif kind == "restart":
            bank.restart()
            for hold, owner in under_way:
                bank.holds.take(owner, hold)
        elif kind == "wait":
            # No request takes longer than POST_WITHIN_MS: after hours none is under way.
            for hold, _ in under_way:
                bank.admission.void(Void(hold.request_id))
            under_way.clear()
            bank.clock.advance(seconds=int(first) * 3600)  # type: ignore[call-overload]
        status = bank.status()
        assert status.spent_nanos == spent() <= 100
        assert status.spent_nanos + status.held_nanos <= 100
    verdict = statements.verify(bank.connection, VerifyQuery())
    assert bank.budgets.verified(bank.connection, verdict).faults == []
    bank.connection.close()
