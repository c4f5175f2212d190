from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.economics.bounds import Scope
from craton.economics.contract import (
    BoundsQuery,
    CreateLimit,
    DeleteLimit,
    Held,
    Hold,
    LimitStatus,
    UpdateLimit,
    Void,
)
from craton.economics.meters import Outcome, UsageRecord
from craton.economics.prices import PriceBook, Tariff
from craton.kernel.errors import CratonError, Throttled, TooLarge
from craton.kernel.ids import Ids
from tests.fakes.ledgers import Books

pytestmark = pytest.mark.usefixtures("any_database")

PRICES = PriceBook([Tariff("*", date(2026, 1, 1), "USD", {}, "made up")])
WORKER, OTHER = "worker", "other worker"


class Gate(Books):
    """Books in front of which requests queue up."""

    def __init__(self) -> None:
        super().__init__(PRICES)
        self.ids = Ids(self.clock)

    def limit(
        self,
        *subjects: str,
        requests: int | None = None,
        tokens: int | None = None,
        at_once: int | None = None,
        model: str | None = None,
        name: str = "l",
    ) -> LimitStatus:
        of = subjects or ("acc",)
        command = CreateLimit(name, "acc", Scope.ACCOUNT, of, model, requests, tokens, at_once)
        return self.commit(lambda writing: self.limits.create(writing, command))

    def admit(
        self, tokens: int = 1, *, owner: str = WORKER, model: str = "lab.model", key: str = "key"
    ) -> Hold:
        at_ms = self.clock.now_ns() // 1_000_000
        most = {"input_tokens": tokens // 2, "output_tokens": tokens - tokens // 2}
        hold = Hold(self.ids.request_id(), "acc", model, at_ms, most, "proj", key)
        assert isinstance(self.admission.admit(owner, hold), Held)
        return hold

    def end(self, hold: Hold, tokens: int) -> None:
        self.post(
            UsageRecord(
                hold.request_id, "acc", "proj", hold.principal, hold.resource, "r",
                Outcome.COMPLETE, self.clock.now_ns() // 1_000_000, {"output_tokens": tokens},
            )
        )  # fmt: skip

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    def refused(self, tokens: int = 1, **of: str) -> CratonError:
        with pytest.raises((Throttled, TooLarge)) as refusal:
            self.admit(tokens, **of)
        return refusal.value

    def status(self) -> LimitStatus:
        (status,) = self.limits.read(BoundsQuery()).limits
        return status


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.connection.close()


def test_as_many_requests_pass_a_minute_as_the_limit_says_and_not_one_more(gate: Gate) -> None:
    gate.limit(requests=10)
    for _ in range(10):
        gate.admit()
        gate.wait(3)
    refusal = gate.refused()
    assert isinstance(refusal, Throttled)
    assert refusal.retry_after_s == 30
    gate.wait(29.999)
    assert gate.refused().retry_after_s == 1
    gate.wait(0.001)
    gate.admit()
    assert gate.refused().retry_after_s == 3


def test_a_refused_request_does_not_count(gate: Gate) -> None:
    gate.limit(requests=1)
    gate.admit()
    for _ in range(50):
        gate.refused()
        gate.wait(1)
    gate.wait(10)
    gate.admit()


def test_tokens_count_at_their_most_when_held_and_as_used_when_posted(gate: Gate) -> None:
    gate.limit(tokens=100)
    hold = gate.admit(80)
    assert gate.status().tokens_counted == 80
    refusal = gate.refused(21)
    assert "80 are counted, and this request may use 21" in refusal.message
    assert refusal.retry_after_s == 60
    gate.end(hold, 30)
    assert gate.status().tokens_counted == 30
    gate.admit(70)
    gate.refused(1)


def test_tokens_used_beyond_the_hold_count_too(gate: Gate) -> None:
    gate.limit(tokens=100)
    gate.end(gate.admit(50), 120)
    assert gate.status().tokens_counted == 120
    assert gate.refused(1).retry_after_s == 60


def test_what_was_used_counts_from_when_it_was_admitted(gate: Gate) -> None:
    gate.limit(tokens=100)
    hold = gate.admit(100)
    gate.wait(59)
    gate.end(hold, 90)
    assert gate.refused(50).retry_after_s == 1
    gate.wait(1)
    assert gate.status().tokens_counted == 0
    gate.admit(100)


def test_a_failed_request_gives_its_tokens_back_and_stays_counted(gate: Gate) -> None:
    gate.limit(tokens=100, requests=2)
    gate.admission.void(Void(gate.admit(100).request_id))
    status = gate.status()
    assert (status.tokens_counted, status.requests_counted) == (0, 1)
    gate.admit(100)
    gate.refused(1)


def test_a_request_that_can_never_fit_is_not_told_to_try_again(gate: Gate) -> None:
    gate.limit(tokens=100)
    refusal = gate.refused(101)
    assert isinstance(refusal, TooLarge)
    assert refusal.retry_after_s is None
    assert "may use 101 tokens" in refusal.message


def test_requests_at_once_are_those_under_way(gate: Gate) -> None:
    gate.limit(at_once=2)
    first = gate.admit()
    gate.admit(owner=OTHER)
    refusal = gate.refused()
    assert isinstance(refusal, Throttled)
    assert refusal.retry_after_s == 1
    gate.end(first, 1)
    gate.admit()
    gate.admission.closed(OTHER)
    assert gate.status().requests_running == 1


def test_a_limit_of_one_model_counts_that_models_requests(gate: Gate) -> None:
    gate.limit(requests=1, model="lab.slow")
    for _ in range(5):
        gate.admit(model="lab.fast")
    gate.admit(model="lab.slow")
    gate.refused(model="lab.slow")
    assert gate.status().requests_counted == 1


def test_limits_of_a_pair_of_keys_bound_it_together_and_nobody_else(gate: Gate) -> None:
    gate.limit("key", "AKIA", requests=2)
    gate.admit(key="key")
    gate.admit(key="AKIA")
    gate.refused(key="AKIA")
    gate.admit(key="another")


def test_nothing_is_counted_when_one_of_several_limits_refuses(gate: Gate) -> None:
    gate.limit(requests=5, name="wide")
    gate.limit("key", requests=1, name="narrow")
    gate.admit()
    gate.refused()
    wide = next(x for x in gate.limits.read(BoundsQuery()).limits if x.name == "wide")
    assert (wide.requests_counted, wide.requests_running) == (1, 1)


def test_a_new_state_process_counts_the_last_minutes_records_and_the_open_holds(
    gate: Gate,
) -> None:
    gate.limit(requests=4, tokens=100)
    gate.end(gate.admit(10), 10)
    gate.wait(61)
    gate.end(gate.admit(20), 15)
    hold = gate.admit(30)
    gate.wait(20)
    gate.restart()
    gate.holds.take(WORKER, hold)
    status = gate.status()
    assert (status.requests_counted, status.tokens_counted) == (2, 45)
    assert status.requests_running == 1
    gate.admit(50)
    gate.admit(1)
    gate.refused(1)
    gate.wait(40)  # what was admitted before the restart is a minute old
    gate.admit(40)


def test_a_new_limit_counts_the_last_minute(gate: Gate) -> None:
    gate.end(gate.admit(10), 10)
    gate.holds.take(WORKER, gate.admit(20))
    gate.limit(tokens=50)
    assert gate.status().tokens_counted == 30
    gate.refused(21)


def test_numbers_are_changed_and_a_limit_taken_away(gate: Gate) -> None:
    made = gate.limit(requests=1)
    gate.admit()
    changed = gate.commit(lambda w: gate.limits.update(w, UpdateLimit(made.id, 2, 7, None)))
    assert (changed.requests_per_minute, changed.tokens_per_minute) == (2, 7)
    gate.admit()
    gate.refused()
    gate.commit(lambda w: gate.limits.delete(w, DeleteLimit(made.id)))
    gate.admit()
    gate.restart()
    assert gate.limits.read(BoundsQuery()).limits == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 60)), max_size=40),
    st.integers(1, 5),
    st.integers(60, 150),
)
def test_no_sixty_seconds_see_more_than_the_limit_and_none_is_refused_that_fits(
    asked: list[tuple[int, int]], requests: int, tokens: int
) -> None:
    gate = Gate()
    gate.limit(requests=requests, tokens=tokens)
    admitted: list[tuple[int, int]] = []
    for pause_ms, size in asked:
        gate.wait(pause_ms / 1000)
        now_ms = gate.clock.now_ns() // 1_000_000
        recent = [count for at_ms, count in admitted if at_ms > now_ms - 60_000]
        fits = len(recent) < requests and sum(recent) + size <= tokens
        try:
            gate.admit(size)
            assert fits
            admitted.append((now_ms, size))
        except Throttled as refusal:
            assert not fits
            wait_s = refusal.retry_after_s
            assert wait_s is not None
            then_ms = now_ms + wait_s * 1000
            left = [count for at_ms, count in admitted if at_ms > then_ms - 60_000]
            assert len(left) < requests
            assert sum(left) + size <= tokens
    gate.connection.close()
