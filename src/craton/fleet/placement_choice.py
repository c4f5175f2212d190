"""Choosing the leaves of a gang: one leaf, else one row, else several.

The order of what is better is that of `placement`: fewest rows, fewest leaves, fewest whole leaves
broken, fewest free hosts left in the leaves touched, then in the rows, then lowest numbers.
"""

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement_leaves import (
    Counts,
    Field,
    fewest_leaves_in_row,
    fewest_whole_in_row,
    tightest,
)
from craton.fleet.pool_layout import Numbers

_MOST = np.iinfo(np.int32).max


class Leaves(NamedTuple):
    """Leaves in ascending order, and how many hosts of each."""

    leaves: NDArray[np.intp]
    hosts: Numbers


def choose_leaf(field: Field, row_start: Sequence[int], wanted: int) -> Leaves | None:
    """The leaf that holds the gang tightest."""
    if wanted > field.per_leaf:
        return None
    has_room = field.room >= wanted
    counts = field.all_leaves
    exact = counts[wanted : field.top + 1] != counts[wanted + 1 : field.top + 2]
    exact &= has_room
    fits = exact.any(axis=1)
    first = int(fits.argmax())
    if not fits[first]:
        return None
    row = int(np.where(exact[first], field.free, _MOST).argmin())
    begin, end = row_start[row : row + 2]
    leaf = begin + int((field.leaf_class[begin:end] == wanted + first).argmax())
    return Leaves(np.array([leaf], np.intp), np.array([wanted], np.int32))


def choose_row(field: Field, row_start: Sequence[int], wanted: int) -> Leaves | None:
    """The leaves of the row that holds the gang best."""
    rows = (field.room >= wanted).nonzero()[0]
    if not len(rows):
        return None
    held = field.held.take(rows, axis=0)
    used = fewest_leaves_in_row(held, wanted)
    least = int(used.min())
    keep = (used == least).nonzero()[0]
    if len(keep) < len(rows):
        rows, held = rows[keep], held[keep]
    fewest, has_fewest = fewest_whole_in_row(
        held,
        field.whole.take(rows),
        used=least,
        wanted=wanted,
        per_leaf=field.per_leaf,
        other=min(field.per_leaf, field.top - 1),
    )
    rows = rows[has_fewest]
    row, used_of = _tightest_row(field, rows, least, fewest, wanted)
    begin, end = row_start[row : row + 2]
    leaves, hosts = pick(field.leaf_class[begin:end], used_of, wanted, field.per_leaf)
    return Leaves(leaves + begin, hosts)


def _tightest_row(
    field: Field, rows: NDArray[np.intp], used: int, whole: int, wanted: int
) -> tuple[int, dict[int, int]]:
    """Of rows alike in leaves and whole leaves, the one with the fewest hosts to spare.

    With how many of its leaves are used of each class.
    """
    chosen = {field.top: whole} if whole else {}
    if used <= whole + 1:
        if used > whole:
            rows, last = _with_tightest_leaf(field, rows, wanted - whole * field.per_leaf)
            chosen[last] = 1
        return int(rows[field.free.take(rows).argmin()]), chosen
    rows = rows[field.free[rows].argsort(kind="stable")]
    row = int(rows[0])
    best = tightest(field.classes(row), used, whole, wanted, field.per_leaf)
    known = {field.all_leaves[:, row].tobytes()}
    for other in rows[1:].tolist() if best.spare else ():
        # Rows that have the same leaves are many where much is free.
        key = field.all_leaves[:, other].tobytes()
        if key in known:
            continue
        known.add(key)
        selection = tightest(field.classes(other), used, whole, wanted, field.per_leaf)
        if selection.spare < best.spare:
            row, best = other, selection
            if not best.spare:
                break
    return row, best.used


def _with_tightest_leaf(
    field: Field, rows: NDArray[np.intp], wanted: int
) -> tuple[NDArray[np.intp], int]:
    """The rows that have the smallest leaf, of those not whole, that holds so many; its class."""
    counts = field.all_leaves[wanted : field.top + 1].take(rows, axis=1)
    exact = counts[:-1] != counts[1:]
    first = int(exact.any(axis=1).argmax())
    return rows[exact[first]], wanted + first


def span(row_start: Sequence[int], row: int) -> NDArray[np.intp]:
    """The leaves of a row."""
    return np.arange(row_start[row], row_start[row + 1])


def pick(classes: Counts, used: dict[int, int], wanted: int, per_leaf: int) -> Leaves:
    """The lowest leaves of each class, as many as are used, and what each gives.

    They are told as places in `classes`; what is over stays in one of the largest.
    """
    by_class = sorted(used.items())
    found = [(classes == f).nonzero()[0][:number] for f, number in by_class]
    gives = [min(f, per_leaf) for f, _ in by_class]
    numbers = [number for _, number in by_class]
    hosts = np.array(gives, np.int32).repeat(numbers)
    # Leaves stand in order of class here, so the last is one of the largest.
    hosts[-1] -= sum(map(mul, gives, numbers)) - wanted
    if len(found) == 1:
        return Leaves(found[0], hosts)
    leaves = np.concatenate(found)
    order = leaves.argsort()
    return Leaves(leaves.take(order), hosts.take(order))
