"""Money and counts are integers; this is where they meet text.

Money is nano-units of a currency: 1 USD is 1_000_000_000. A price is nano-units for a million of
what a meter counts, so that a price below a nano-unit a token is still exact.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import NewType

Nanos = NewType("Nanos", int)

NANOS_PER_UNIT = 1_000_000_000
PRICE_QUANTITY = 1_000_000
SECONDS_PER_HOUR = 3600

# Python's own context would round what has more than 28 digits, and say nothing.
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])


def cost(quantity: int, price_nanos_per_million: int) -> Nanos:
    """What `quantity` costs at a price, rounded half to even to a whole nano-unit."""
    return _half_to_even(quantity * price_nanos_per_million, PRICE_QUANTITY)


def hourly_cost(seconds: int, price_nanos_per_hour: int) -> Nanos:
    """What so many seconds cost at a price an hour, rounded half to even to a whole nano-unit."""
    return _half_to_even(seconds * price_nanos_per_hour, SECONDS_PER_HOUR)


def _half_to_even(amount: int, by: int) -> Nanos:
    whole, rest = divmod(amount, by)
    half = by // 2
    return Nanos(whole + (1 if rest > half or (rest == half and whole & 1) else 0))


def nanos(text: str) -> Nanos:
    """Read a decimal amount of currency, such as `0.35`.

    ValueError or ArithmeticError for what a nano-unit can't hold exactly.
    """
    value = _EXACT.multiply(Decimal(text), NANOS_PER_UNIT)
    if value != value.to_integral_value():
        raise ValueError(f"{text} has more than nine decimals")
    return Nanos(int(value))


def money(amount: int, currency: str = "USD") -> str:
    """Print nano-units exactly: `0.00001234 USD`, without trailing zeros past the cents."""
    return f"{decimal(amount)} {currency}"


def decimal(amount: int) -> str:
    """The same without the currency."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), NANOS_PER_UNIT)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"
