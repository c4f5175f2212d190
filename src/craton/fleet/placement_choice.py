"""Choosing the leaves of a gang: one leaf, else one row, else several.

The order of what is better is that of `placement`: fewest rows, fewest leaves, fewest whole leaves
broken, fewest free hosts left in the leaves touched, then in the rows, then lowest numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement_leaves import (
    Counts,
    Field,
    Selection,
    fewest_leaves,
    tightest,
    with_fewest_whole,
)
from craton.fleet.pool_layout import Numbers

_MOST = np.iinfo(np.int32).max


class Leaves(NamedTuple):
    """Leaves in ascending order, and how many hosts of each."""

    leaves: Numbers
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
    return Leaves(np.array([leaf], np.int32), np.array([wanted], np.int32))


def choose_row(field: Field, row_start: Sequence[int], wanted: int) -> Leaves | None:
    """The leaves of the row that holds the gang best."""
    rows = (field.room >= wanted).nonzero()[0]
    if not len(rows):
        return None
    leaves, hosts = _columns(field.leaves, rows), _columns(field.hosts, rows)
    used = fewest_leaves(leaves, hosts, wanted)
    least = int(used.min())
    keep = (used == least).nonzero()[0]
    if len(keep) < len(rows):
        rows, leaves, hosts = rows[keep], _columns(leaves, keep), _columns(hosts, keep)
    fewest, has_fewest = with_fewest_whole(
        leaves, hosts, field.whole[rows], used=least, wanted=wanted, per_leaf=field.per_leaf
    )
    rows = rows[has_fewest]
    row, selection = _tightest_row(field, rows, least, fewest, wanted)
    return pick(field, span(row_start, row), selection, wanted)


def _columns(counts: Counts, which: NDArray[np.intp]) -> Counts:
    # `counts[:, which]` would be laid out by column, and what follows sums by row.
    return counts.take(which, axis=1)


def _tightest_row(
    field: Field, rows: NDArray[np.intp], used: int, whole: int, wanted: int
) -> tuple[int, Selection]:
    """Of rows alike in leaves and whole leaves, the one with the fewest hosts to spare."""
    if used == whole + 1:
        rows = _with_tightest_leaf(field, rows, wanted - whole * field.per_leaf)
    rows = rows[field.free[rows].argsort(kind="stable")]
    row = int(rows[0])
    best = tightest(field.classes(row), used, whole, wanted, field.per_leaf)
    if used <= whole + 1:
        return row, best
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
    return row, best


def _with_tightest_leaf(field: Field, rows: NDArray[np.intp], wanted: int) -> NDArray[np.intp]:
    """The rows that have the smallest leaf, of those not whole, that holds so many."""
    counts = field.all_leaves[wanted : field.top + 1, rows]
    exact = counts[:-1] != counts[1:]
    return rows[exact[int(exact.any(axis=1).argmax())]]


def span(row_start: Sequence[int], row: int) -> Numbers:
    """The leaves of a row."""
    return np.arange(row_start[row], row_start[row + 1], dtype=np.int32)


def pick(field: Field, among: Numbers, selection: Selection, wanted: int) -> Leaves:
    """The lowest leaves of the classes of a selection; the largest gives what is to spare."""
    classes = field.leaf_class[among]
    found = [
        among[(classes == f).nonzero()[0][:number]] for f, number in sorted(selection.used.items())
    ]
    leaves = np.concatenate(found)
    hosts = np.minimum(field.leaf_class[leaves], field.per_leaf)
    # Leaves stand in order of class here, so the last is one of the largest.
    hosts[-1] -= int(hosts.sum()) - wanted
    order = leaves.argsort()
    return Leaves(leaves[order], hosts[order])
