from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.kernel.units import cost, money, nanos


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [
        (1, 500_000, 0),  # half a nano rounds to even: down to 0
        (3, 500_000, 2),  # one and a half: up to 2
        (5, 500_000, 2),  # two and a half: down to 2
        (1, 500_001, 1),
        (1, 499_999, 0),
        (1_000_000, 20_000_000, 20_000_000),
        (0, 20_000_000, 0),
        (7, 0, 0),
    ],
)
def test_a_cost_is_rounded_half_to_even(quantity: int, price: int, expected: int) -> None:
    assert cost(quantity, price) == expected


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_cost_is_the_exact_product_rounded_once(quantity: int, price: int) -> None:
    exact = Decimal(quantity * price).scaleb(-6)
    assert cost(quantity, price) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.integers(-(10**30), 10**30))
def test_money_comes_back_from_its_text_unchanged(amount: int) -> None:
    text, currency = money(amount, "EUR").split()
    assert currency == "EUR"
    assert nanos(text) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (12_340, "0.00001234 USD"),
        (1_500_000_000, "1.50 USD"),
        (-1, "-0.000000001 USD"),
        (0, "0.00 USD"),
    ],
)
def test_money_is_printed_exactly(amount: int, text: str) -> None:
    assert money(amount) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.0000000001",
        "1.0000000001",
        "0.02000000000000000000000000000000001",
        "NaN",
        "Infinity",
        "a lot",
        "",
    ],
)
def test_what_a_nano_unit_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        nanos(text)
