"""Dividing a small gang among rows that may not give all they have, exactly.

What is better is a sum over rows at each step of the order (leaves, whole leaves, hosts to spare in
leaves, then in rows), so one integer that has them as digits is a sum, too; and the least sum is
found row by row, for each number of rows and hosts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement_leaves import Field

WORK_MAX = 1_000
_NEVER = 1 << 61

Costs = NDArray[np.int64]


def is_small(wanted: int, number: int, rows: int) -> bool:
    """Whether this takes three milliseconds or so at most."""
    return wanted * number * rows <= WORK_MAX


def divide_exactly(field: Field, rows: Sequence[int], number: int, wanted: int) -> dict[int, int]:
    """How many hosts each of `number` of the rows gives, so that the place is best.

    Such a division must exist.
    """
    free = int(field.free[list(rows)].sum()) + 1
    has = sum(f * number for row in rows for f, number in enumerate(field.classes(row))) + 1
    spare, whole = free, free * has
    leaf = whole * (wanted + 1)
    assert leaf * (wanted + 1) < _NEVER, "a case too large for one integer"
    best = np.full((number + 1, wanted + 1), _NEVER)
    best[0, 0] = 0
    gives: list[NDArray[np.int32]] = []
    for row in rows:
        costs = _costs(field, row, wanted, leaf=leaf, whole=whole, spare=spare)
        costs += field.free[row]
        gave = np.zeros((number + 1, wanted + 1), np.int32)
        after = best.copy()
        for part in range(1, min(int(field.room[row]), wanted) + 1):
            cost = best[:-1, : wanted + 1 - part] + costs[part]
            better = cost < after[1:, part:]
            after[1:, part:][better] = cost[better]
            gave[1:, part:][better] = part
        gives.append(gave)
        best = after
    assert best[number, wanted] < _NEVER, "rows that together don't hold the gang"
    found: dict[int, int] = {}
    for row, gave in zip(reversed(rows), reversed(gives), strict=True):
        part = int(gave[number, wanted])
        if part:
            found[row] = part
            number, wanted = number - 1, wanted - part
    return found


def _costs(field: Field, row: int, wanted: int, *, leaf: int, whole: int, spare: int) -> Costs:
    """By number of hosts: what it costs at the least to have them in this row."""
    size = wanted + field.per_leaf + 1
    best = np.full(size, _NEVER)
    best[0] = 0
    for f, number in enumerate(field.classes(row)):
        give = min(f, field.per_leaf)
        cost = leaf + f * spare + (whole if f == field.top else 0)
        for _ in range(min(number, -(-wanted // give)) if give else 0):
            np.minimum(best[give:], best[:-give] + cost, out=best[give:])
    # To have more is to have enough.
    return np.minimum.accumulate(best[::-1])[::-1][: wanted + 1].copy()
