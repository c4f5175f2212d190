"""Sums of amounts, exact at any size, on databases that add in 64 bits.

SQLite refuses a sum above 64 bits. So the upper and the lower 32 bits of each amount are added
apart, which two thousand million amounts of any size can't make too large, and Python puts the two
sums together. `>>` keeps the sign and `&` has none, in SQLite and in PostgreSQL alike: of -1 the
upper bits are -1 and the lower ones 2^32 - 1.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, func, literal_column, or_

# Written into the statement: SQLite adds what it finds twice, with the same text, only once.
_BITS = literal_column("32", Integer)
_LOWER = literal_column("4294967295", Integer)
_WHOLE = literal_column("4294967296", Integer)


def sums(amounts: Column[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What to select instead of the sum of a column; `total` makes the sum of it."""
    upper, lower = amounts.bitwise_rshift(_BITS), amounts.bitwise_and(_LOWER)
    return func.sum(upper), func.sum(lower)


def total(upper: int | None, lower: int | None) -> int:
    """The sum, of what `sums` selected; of no amounts it is 0."""
    return ((upper or 0) << 32) + (lower or 0)


def is_unbalanced(amounts: Column[Any]) -> ColumnElement[bool]:
    """Whether a group's amounts sum to anything but zero: a condition on the group."""
    upper, lower = sums(amounts)
    # Where it matters the lower sum is a multiple, and PostgreSQL's quotient has no fraction.
    return or_(lower % _WHOLE != 0, upper + lower // _WHOLE != 0)
