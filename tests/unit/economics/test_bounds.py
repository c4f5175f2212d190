from datetime import UTC, datetime

import msgspec
import pytest

from craton.economics.bounds import (
    BUDGETS,
    LIMITS,
    Bounded,
    Budget,
    Limit,
    Period,
    Scope,
    page,
    period_of,
)
from craton.store.kind import Change


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "at", "start", "end"),
    [
        (Period.DAY, "2026-11-22T23:59:59.999", "2026-11-22", "2026-11-23"),
        (Period.DAY, "2026-11-23T00:00:00", "2026-11-23", "2026-11-24"),
        (Period.MONTH, "2026-11-01T00:00:00", "2026-11-01", "2026-12-01"),
        (Period.MONTH, "2026-12-31T23:59:59.999", "2026-12-01", "2027-01-01"),
        (Period.MONTH, "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_a_period_is_a_day_or_month_of_the_calendar_in_utc(
    period: Period, at: str, start: str, end: str
) -> None:
    assert period_of(period, ms(at)) == (ms(start), ms(end))


def test_a_total_begins_at_the_beginning_and_never_ends() -> None:
    assert period_of(Period.TOTAL, ms("2026-11-22")) == (0, None)


def budget(id: str = "bud-1", *subjects: str) -> Change:
    made = Budget(id, "b", "acc", Scope.ACCOUNT, subjects or ("acc",), 5, "USD", Period.DAY)
    return Change(BUDGETS.name, id, msgspec.json.encode(made))


def limit(id: str, *subjects: str, model: str | None = None) -> Change:
    made = Limit(id, "l", "acc", Scope.KEY, subjects, model, requests_per_minute=1)
    return Change(LIMITS.name, id, msgspec.json.encode(made))


def test_a_worker_knows_whom_it_must_ask_for() -> None:
    bounded = Bounded()
    assert bounded.is_empty
    bounded.apply(budget("bud-1", "acc"))
    bounded.apply(limit("lim-1", "key-a", "AKIAA", model="lab.slow"))
    assert not bounded.is_empty
    assert bounded.has("acc", "proj", "key-b", "lab.fast")
    assert bounded.has("other", "proj", "key-a", "lab.slow")
    assert bounded.has("other", "proj", "AKIAA", "lab.slow")
    assert not bounded.has("other", "proj", "key-a", "lab.fast")
    assert not bounded.has("other", "proj", "key-b", "lab.slow")


def test_what_was_taken_away_or_said_again_leaves_nothing_behind() -> None:
    bounded = Bounded()
    for _ in range(3):  # a new state process says everything again
        bounded.apply(budget("bud-1", "acc"))
    bounded.apply(budget("bud-2", "acc"))
    bounded.apply(Change(BUDGETS.name, "bud-1", None))
    assert bounded.has("acc", "proj", "key", "model")
    bounded.apply(Change(BUDGETS.name, "bud-2", None))
    bounded.apply(Change(LIMITS.name, "never-was", None))
    assert bounded.is_empty
    assert not bounded.has("acc", "proj", "key", "model")


def test_other_documents_are_not_its_business() -> None:
    bounded = Bounded()
    bounded.apply(Change("account", "a", b"{}"))
    assert bounded.is_empty


def test_a_page_is_of_one_account_and_continues_where_it_ended() -> None:
    owners = {f"bud-{n}": "a" if n % 2 else "b" for n in range(7)}
    assert page(owners, account="a", id=None, after=None, limit=2) == (["bud-1", "bud-3"], "bud-3")
    assert page(owners, account="a", id=None, after="bud-3", limit=2) == (["bud-5"], None)
    assert page(owners, account=None, id="bud-2", after=None, limit=9) == (["bud-2"], None)
    assert page(owners, account="a", id="bud-2", after=None, limit=9) == ([], None)
