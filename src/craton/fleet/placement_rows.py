"""Choosing several rows for a gang that no single row holds.

The least number of rows follows from the roomiest ones. Among the sets of so many rows:

- where power or a spread bounds what a row may give, and the case is small, every way to divide the
  gang among the rows is looked at (`placement_exact`);
- else, up to `SETS_MAX` sets, all of them are compared, which is exact where no row is bounded;
- else a search starts from the roomiest rows and exchanges one at a time (of the `EXCHANGED_MAX`
  least roomy of them) for a better one (of the `ROWS_MAX` next).

Where a bounded row is part of the set, the gang is divided by taking the largest leaves first,
each row's only up to its bound.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement_choice import Leaves, pick, span
from craton.fleet.placement_exact import divide_exactly, is_small
from craton.fleet.placement_leaves import Counts, Field, fewest_leaves, fewest_whole, tightest

SETS_MAX = 2_000
ROWS_MAX = 48
EXCHANGED_MAX = 32
_ROUNDS_MAX = 6
_COMPARED_MAX = 64
"""Sets alike but for the hosts left in their leaves, of which that is worked out."""

Sets = NDArray[np.intp]
Order = NDArray[np.intp]


def choose_rows(field: Field, row_start: Sequence[int], wanted: int) -> Leaves | None:
    """The leaves of the rows that hold the gang best; None if all rows together don't."""
    order = (-field.room).argsort(kind="stable")
    total = field.room[order].cumsum()
    if total[-1] < wanted:
        return None
    number = int(total.searchsorted(wanted)) + 1
    # A row can only be one of so few if the roomiest others leave it no more than its room.
    least = wanted - int(total[number - 2] if number > 1 else 0)
    rows = order[field.room[order] >= max(least, 1)]
    bounded = field.room < field.hosts[1]
    if bounded[rows].any() and is_small(wanted, number, len(rows)):
        return _join(field, row_start, divide_exactly(field, sorted(rows.tolist()), number, wanted))
    sets = _best_sets(field, rows, number, wanted)
    if bounded[sets[0]].any():
        return _join(field, row_start, _divided(field, sets[0].tolist(), wanted))
    free = ~bounded[sets].any(axis=1)
    return _tightest_set(field, row_start, sets[free], wanted)


def _best_sets(field: Field, rows: Order, number: int, wanted: int) -> Sets:
    """The sets of rows that need the fewest leaves and whole leaves, the tightest first."""
    if comb(len(rows), number) <= SETS_MAX:
        every = np.array(list(combinations(sorted(rows.tolist()), number)), np.intp)
    else:
        every = _searched(field, rows[: number + ROWS_MAX], number, wanted)
    every = every[field.room[every].sum(axis=1) >= wanted]
    used, whole = _needs(field, every, wanted)
    every = every[(used == used.min()) & (whole == whole[used == used.min()].min())]
    return every[field.free[every].sum(axis=1).argsort(kind="stable")]


def _searched(field: Field, rows: Order, number: int, wanted: int) -> Sets:
    """From the roomiest rows, the best exchange of one row for another, until none helps."""
    counts = _bounded(field, rows)
    room, free = field.room[rows], field.free[rows].astype(np.int64)
    chosen, others = np.arange(number), np.arange(number, len(rows))
    key = _keys(field, [each[..., chosen].sum(axis=-1)[..., None] for each in counts], wanted)
    best_key = int(key[0]) * int(free.sum() + 1) + int(free[chosen].sum())
    for _ in range(_ROUNDS_MAX):
        # The least roomy of those chosen are last.
        out = np.repeat(chosen[-EXCHANGED_MAX:], len(others))
        into = np.tile(others, len(out) // max(len(others), 1))
        fits = int(room[chosen].sum()) - room[out] + room[into] >= wanted
        out, into = out[fits], into[fits]
        if not len(out):
            break
        sums = [
            each[..., chosen].sum(axis=-1)[..., None] - each[..., out] + each[..., into]
            for each in counts
        ]
        keys = _keys(field, sums, wanted) * int(free.sum() + 1)
        keys += int(free[chosen].sum()) - free[out] + free[into]
        at = int(keys.argmin())
        if keys[at] >= best_key:
            break
        best_key = int(keys[at])
        others = np.sort(np.append(others[others != into[at]], out[at]))
        chosen = np.sort(np.append(chosen[chosen != out[at]], into[at]))
    return np.sort(rows[chosen])[None]


def _keys(field: Field, counts: Sequence[Counts], wanted: int) -> NDArray[np.int64]:
    """One number for each column that orders them: by leaves, then by whole leaves."""
    leaves, hosts, whole = counts
    used = fewest_leaves(leaves, hosts, wanted)
    broken = fewest_whole(leaves, hosts, whole, used=used, wanted=wanted, per_leaf=field.per_leaf)
    return used.astype(np.int64) * (wanted + 1) + broken


def _needs(field: Field, sets: Sets, wanted: int) -> tuple[Counts, Counts]:
    """By set of rows: the fewest leaves, and the fewest whole ones among so many."""
    rows, at = np.unique(sets, return_inverse=True)
    counts = _bounded(field, rows)
    at = at.reshape(sets.shape).T
    sums = [sum((each[..., i] for i in at[1:]), each[..., at[0]]) for each in counts]
    used, whole = np.divmod(_keys(field, sums, wanted), wanted + 1)
    return used, whole


def _bounded(field: Field, rows: Sets) -> tuple[Counts, Counts, Counts]:
    """The counts of rows, of which a bounded one has its largest leaves up to its bound.

    So the leaf at the bound counts as one that has only what is left.
    """
    leaves, hosts = field.leaves.take(rows, axis=1), field.hosts.take(rows, axis=1)
    whole, room = field.whole[rows], field.room[rows]
    cut = (room < hosts[1]).nonzero()[0]
    if not len(cut):
        return leaves, hosts, whole
    most = room[cut].astype(np.int32)
    classes = np.arange(len(leaves))[:, None]
    least = (hosts[1:-1, cut] >= most).sum(axis=0)
    above = hosts[least + 1, cut]
    entire = leaves[least + 1, cut] + (most - above) // least
    rest = (most - above) % least
    partial = (rest >= classes) & (classes > 0)
    leaves[:, cut] = np.minimum(leaves[:, cut], entire) + partial
    hosts[:, cut] = np.minimum(hosts[:, cut], most - rest) + partial * rest
    whole[cut] = np.minimum(whole[cut], entire)
    return leaves, hosts, whole


def _tightest_set(field: Field, row_start: Sequence[int], sets: Sets, wanted: int) -> Leaves:
    """Of sets alike in leaves and whole leaves, the one with the fewest hosts to spare."""
    used, whole = (int(each[0]) for each in _needs(field, sets[:1], wanted))
    best, best_set = None, sets[0]
    for each in sets[:_COMPARED_MAX]:
        counts = field.all_leaves[:, each].sum(axis=1)
        classes = (counts[:-1] - counts[1:]).tolist()
        selection = tightest(classes, used, whole, wanted, field.per_leaf)
        if best is None or selection.spare < best.spare:
            best, best_set = selection, each
            if not best.spare:
                break
    assert best is not None
    among = np.concatenate([span(row_start, row) for row in sorted(best_set.tolist())])
    leaves, hosts = pick(field.leaf_class[among], best.used, wanted, field.per_leaf)
    return Leaves(among[leaves], hosts)


def _divided(field: Field, rows: Sequence[int], wanted: int) -> dict[int, int]:
    """How many hosts each row gives: the largest leaves first, each row's up to its bound."""
    parts: list[tuple[int, int]] = []
    for row in rows:
        room = int(field.room[row])
        for f in range(field.top, 0, -1):
            give = min(f, field.per_leaf)
            number = int(field.all_leaves[f, row] - field.all_leaves[f + 1, row])
            while number and room > 0:
                parts.append((min(give, room), row))
                room -= give
                number -= 1
    hosts = dict.fromkeys(rows, 0)
    for give, row in sorted(parts, key=lambda part: (-part[0], part[1])):
        part = min(give, wanted)
        hosts[row] += part
        wanted -= part
    return hosts


def _join(field: Field, row_start: Sequence[int], hosts: dict[int, int]) -> Leaves | None:
    """The best leaves of each row for its part of the gang."""
    found: list[Leaves] = []
    for row, wanted in sorted(hosts.items()):
        leaves, counts = field.leaves[:, row : row + 1], field.hosts[:, row : row + 1]
        used = int(fewest_leaves(leaves, counts, wanted)[0])
        whole = fewest_whole(
            leaves,
            counts,
            field.whole[row : row + 1],
            used=used,
            wanted=wanted,
            per_leaf=field.per_leaf,
        )
        selection = tightest(field.classes(row), used, int(whole[0]), wanted, field.per_leaf)
        begin, end = row_start[row : row + 2]
        chosen, gives = pick(field.leaf_class[begin:end], selection.used, wanted, field.per_leaf)
        found.append(Leaves(chosen + begin, gives))
    return Leaves(
        np.concatenate([each.leaves for each in found]),
        np.concatenate([each.hosts for each in found]),
    )
