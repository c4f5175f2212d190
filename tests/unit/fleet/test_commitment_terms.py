"""The arithmetic of contracts: parts add up to the whole, whatever the parts are."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from craton.fleet.commitment_terms import (
    Above,
    Bill,
    Counted,
    Delivery,
    Period,
    Price,
    Rate,
    RollsOver,
    Terms,
    Unit,
    amounts,
    banked_after,
    bill,
    periods,
    quantities,
    quantity,
    share,
    watt_seconds,
)

DAY_S = 86_400
FIRST_S = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())


@st.composite
def terms(draw: st.DrawFn, rate: Rate = Rate.TOTAL) -> Terms:
    """Any contract: deliveries anywhere in a term of up to twelve years."""
    days = draw(st.integers(1, 4400))
    first = draw(st.integers(0, 40))
    spans = draw(
        st.lists(
            st.tuples(st.integers(0, days - 1), st.integers(1, days), st.integers(1, 10**10)),
            min_size=1,
            max_size=6,
        )
    )
    unit = draw(st.sampled_from(list(Unit)))
    start_s = FIRST_S + first * DAY_S
    return Terms(
        name="any",
        account="alice",
        currency="USD",
        unit=unit,
        start_s=start_s,
        end_s=start_s + days * DAY_S,
        price=Price(rate, draw(st.integers(1, 4 * 10**20))),
        deliveries=tuple(
            Delivery(
                start_s + begin * DAY_S,
                start_s + min(days, begin + length) * DAY_S,
                ("trainium3",),
                amount,
            )
            for begin, length, amount in spans
        ),
        take_or_pay_permille=1000,
        rolls_over=RollsOver.NONE,
        above=Above.ON_DEMAND,
        exclusive=(),
        termination_permille=0,
        source="made up",
    )


@given(terms())
def test_months_cover_the_term_without_a_gap(any_terms: Terms) -> None:
    months = periods(any_terms.start_s, any_terms.end_s)
    assert months[0].start_s == any_terms.start_s
    assert months[-1].end_s == any_terms.end_s
    for before, after in pairwise(months):
        assert before.end_s == after.start_s
        assert datetime.fromtimestamp(after.start_s, UTC).day == 1
    assert all(0 < each.end_s - each.start_s <= each.month_s for each in months)


@given(terms())
def test_the_months_amounts_add_up_to_the_total(any_terms: Terms) -> None:
    parts = amounts(any_terms, periods(any_terms.start_s, any_terms.end_s))
    assert sum(parts) == any_terms.price.amount
    assert min(parts) >= 0


@given(terms())
def test_the_months_quantities_add_up_to_what_is_delivered(any_terms: Terms) -> None:
    months = periods(any_terms.start_s, any_terms.end_s)
    whole = sum(
        each.amount
        if any_terms.unit is Unit.CHIP_HOURS
        else each.amount * (each.end_s - each.start_s)
        for each in any_terms.deliveries
    )
    assert sum(quantities(any_terms, months)) == whole


@given(terms(Rate.PER_CHIP_HOUR))
def test_prices_an_hour_lose_less_than_a_nano_in_all(any_terms: Terms) -> None:
    months = periods(any_terms.start_s, any_terms.end_s)
    whole = sum(quantities(any_terms, months)) * any_terms.price.amount
    assert sum(amounts(any_terms, months)) == whole // 3600


@given(st.integers(0, 10**21), st.lists(st.integers(0, 10**17), min_size=1, max_size=40))
def test_shares_add_up_and_none_is_off_by_one_nano(amount: int, weights: list[int]) -> None:
    if not sum(weights):
        weights[0] = 1
    parts = share(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - amount * weight) < sum(weights)


@given(terms(), st.integers(0, 4400), st.integers(0, 4400))
def test_a_time_cut_anywhere_promises_the_same(any_terms: Terms, cut: int, end: int) -> None:
    delivery = any_terms.deliveries[0]
    start_s, cut_s = any_terms.start_s, any_terms.start_s + min(cut, end) * DAY_S
    end_s = any_terms.start_s + max(cut, end) * DAY_S
    unit = any_terms.unit
    parts = quantity(unit, delivery, start_s, cut_s) + quantity(unit, delivery, cut_s, end_s)
    assert parts == quantity(unit, delivery, start_s, end_s)


def test_a_megawatt_for_a_month_costs_the_same_in_a_short_month() -> None:
    start_s = FIRST_S + 15 * DAY_S
    made = Terms(
        name="power",
        account="alice",
        currency="USD",
        unit=Unit.MEGAWATTS,
        start_s=start_s,
        end_s=FIRST_S + 90 * DAY_S,
        price=Price(Rate.PER_MEGAWATT_MONTH, 31_000),
        deliveries=(Delivery(start_s, FIRST_S + 90 * DAY_S, ("trainium3",), 2_000_000),),
        take_or_pay_permille=1000,
        rolls_over=RollsOver.NONE,
        above=Above.ON_DEMAND,
        exclusive=(),
        termination_permille=0,
        source="made up",
    )
    months = periods(made.start_s, made.end_s)
    assert amounts(made, months) == [32_000, 62_000, 62_000]


def test_years_that_are_agreed_are_kept_to() -> None:
    start_s, end_s = FIRST_S, FIRST_S + 730 * DAY_S
    made = Terms(
        name="years",
        account="alice",
        currency="USD",
        unit=Unit.CHIPS,
        start_s=start_s,
        end_s=end_s,
        price=Price(Rate.TOTAL, 1_000_003, ((2027, 3), (2028, 1_000_000))),
        deliveries=(Delivery(start_s, end_s, ("trainium3",), 7),),
        take_or_pay_permille=1000,
        rolls_over=RollsOver.NONE,
        above=Above.ON_DEMAND,
        exclusive=(),
        termination_permille=0,
        source="made up",
    )
    parts = amounts(made, periods(start_s, end_s))
    assert (sum(parts[:12]), sum(parts[12:])) == (3, 1_000_000)


quantities_of = st.integers(0, 10**6)


@given(
    st.integers(0, 10**12),
    st.integers(1, 10**6),
    quantities_of,
    quantities_of,
    quantities_of,
    st.integers(0, 1000),
)
@example(1000, 1, 0, 1, 0, 1)
def test_any_months_bill_is_fair(  # noqa: PLR0917 - one for each strategy
    amount: int, committed: int, missing: int, used: int, banked: int, permille: int
) -> None:
    delivered = max(0, committed - missing)
    made = bill(Counted(amount, committed, delivered, used, banked), permille)
    assert 0 <= made.credit <= made.due <= amount
    assert made.extra >= 0
    # Nobody pays more than the whole for what is within the commitment.
    assert made.recognised <= amount
    # All use is met by something, once.
    assert made.drawn <= min(used, banked)
    assert used - made.drawn - made.over <= committed
    # Whoever was given everything pays at least the minimum, and whoever used all of it pays it.
    if delivered == committed:
        assert made.credit == 0
        assert made.recognised >= amount * permille // 1000
        if used >= committed + banked:
            assert amount - made.recognised <= 1
    if delivered == 0:
        assert made.credit == made.due


def bill_of(*, used: int, delivered: int = 100, banked: int = 0, permille: int = 1000) -> Bill:
    return bill(Counted(1000, 100, delivered, used, banked), permille)


@pytest.mark.parametrize(
    ("made", "recognised", "drawn", "over", "unused"),
    [
        (bill_of(used=0), 1000, 0, 0, 100),
        (bill_of(used=100), 1000, 0, 0, 0),
        (bill_of(used=130), 1000, 0, 30, 0),
        (bill_of(used=130, banked=20), 1000, 20, 10, 0),
        (bill_of(used=10, permille=500), 500, 0, 0, 40),
        (bill_of(used=70, permille=500), 700, 0, 0, 0),
        (bill_of(used=70, permille=500, banked=15), 550, 15, 0, 0),
        (bill_of(used=0, delivered=60), 600, 0, 0, 60),
        (bill_of(used=80, delivered=60), 800, 0, 0, 0),
    ],
)
def test_a_bill_by_hand(made: Bill, recognised: int, drawn: int, over: int, unused: int) -> None:
    assert (made.recognised, made.drawn, made.over, made.unused) == (
        recognised,
        drawn,
        over,
        unused,
    )


def test_what_rolls_over_ends_with_its_time() -> None:
    december, january, february = periods(FIRST_S - DAY_S, FIRST_S + 40 * DAY_S)
    counted = Counted(1000, 100, 100, 30, 50)
    made = bill(counted, 1000)

    def after(rule: RollsOver, month: Period, following: Period | None) -> int:
        return banked_after(counted, made, rule, month, following)

    assert after(RollsOver.NONE, january, february) == 0
    assert after(RollsOver.MONTH, january, february) == 70
    assert after(RollsOver.YEAR, january, february) == 120
    assert after(RollsOver.YEAR, december, january) == 0
    assert after(RollsOver.YEAR, january, None) == 0


def test_a_chips_share_of_its_hosts_draw() -> None:
    assert watt_seconds(16 * 3600, 12_312, 16) == 12_312 * 3600
    assert watt_seconds(1, 12_312, 16) == 769
