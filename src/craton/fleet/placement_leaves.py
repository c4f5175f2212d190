"""Which leaves a gang gets, given how many leaves have how many free hosts: the arithmetic.

A *field* counts leaves by *class*: by how many of their hosts the gang could get. From those counts
alone follows, exactly and for all rows at once, how few leaves hold a gang and how few of them must
be whole; then, row by row, the selection of leaves whose classes fit it tightest.

Why the last step is small: once the number of leaves is the least possible, the largest leaves have
less to spare than the smallest of them holds. So the tightest selection differs from the largest
leaves by few exchanges, each of which brings the sum down, and sums of exchanges are bits of an
integer.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]
# Named, since the annotations of an inner function are evaluated whenever it is made: 10 us.


class Field(msgspec.Struct, frozen=True, eq=False):
    """Leaves by class and row: what a place is chosen from.

    `leaves[f, row]` counts the leaves of class `f` or more, `hosts[f, row]` the hosts a gang could
    get of those (at most `per_leaf` of each); both for `f` up to one over `per_leaf` where that
    bounds the class, with zeros last. `held[row, k]` are those of the `k` leaves that give most.
    `whole[row]` counts the leaves of class `top`, which are those wholly free. `room[row]` is how
    many hosts power and spread let a gang have in a row, and `free[row]` what a row is judged tight
    by.
    """

    leaf_class: Counts
    all_leaves: Counts
    leaves: Counts
    hosts: Counts
    held: Counts
    whole: Counts
    room: NDArray[np.int64] | Counts
    free: Counts
    top: int
    per_leaf: int

    def classes(self, row: int) -> list[int]:
        """How many leaves of a row have each class."""
        column = self.all_leaves[:, row]
        return (column[:-1] - column[1:]).tolist()


class Selection(NamedTuple):
    """How many leaves of each class to use, and the free hosts that stay in them."""

    spare: int
    used: dict[int, int]


def capped(leaves: Counts, hosts: Counts, per_leaf: int) -> tuple[Counts, Counts]:
    """The same counts if no leaf gives more than `per_leaf` hosts."""
    if per_leaf >= len(leaves) - 2:
        return leaves, hosts
    fewer = leaves[: per_leaf + 2].copy()
    less = hosts[: per_leaf + 2] - (hosts[per_leaf + 1] - per_leaf * leaves[per_leaf + 1])
    fewer[per_leaf + 1] = 0
    less[per_leaf + 1] = 0
    return fewer, less


def held_at_most(largest_first: Counts, per_leaf: int) -> Counts:
    """`Field.held` of leaves of rows, each row's largest first, that give at most `per_leaf`."""
    held = np.zeros((len(largest_first), largest_first.shape[1] + 1), np.int32)
    np.minimum(largest_first, per_leaf).cumsum(axis=1, out=held[:, 1:])
    return held


def fewest_leaves(leaves: Counts, hosts: Counts, wanted: int) -> Counts:
    """By column: the least number of leaves that hold `wanted`; each column must have room."""
    enough = hosts[1:-1] >= wanted
    kind = np.int8 if len(enough) < 128 else np.int32
    least = enough.view(np.int8).sum(axis=0, dtype=kind).astype(np.intp)
    columns = np.arange(len(least))
    # All leaves of a larger class than `least` are used, and of that class as many as it takes.
    missing = wanted - hosts[least + 1, columns]
    return leaves[least + 1, columns] - (-missing // least)


def fewest_whole(
    leaves: Counts, hosts: Counts, whole: Counts, *, used: Counts | int, wanted: int, per_leaf: int
) -> Counts:
    """By column: the least number of wholly free leaves among `used` leaves that hold `wanted`.

    The most that k other leaves hold is concave in k, so it is the least of its tangents: for class
    f, what the leaves above f hold and f for each of the rest. Each tangent asks for so many.
    """
    classes = np.arange(per_leaf, dtype=np.int32)[:, None]
    missing = leaves[1 : per_leaf + 1] - (whole + used)
    missing *= classes
    missing -= hosts[1 : per_leaf + 1]
    missing += whole * per_leaf + wanted
    # Floating point divides many times faster, and is exact for numbers of this size.
    tangents = missing / (per_leaf - classes)
    return np.maximum(np.ceil(tangents.max(axis=0)), 0).astype(np.int32)


def fewest_leaves_in_row(held: Counts, wanted: int) -> Counts:
    """By row: the least number of leaves that hold `wanted`; each row must have room."""
    return (held >= wanted).argmax(axis=1)


def fewest_whole_in_row(
    held: Counts, whole: Counts, *, used: int, wanted: int, per_leaf: int, other: int
) -> tuple[int, Flags]:
    """The least number of wholly free leaves among `used` that hold `wanted`, and in which rows.

    Each row holds so many in `used` leaves, and not in fewer; `other` is the most that a leaf gives
    which isn't wholly free.
    """
    # What is looked at first is most often enough: as few as there can be.
    least = middle = max(0, wanted - used * other)
    most, found = used, np.ones(len(held), np.bool_)
    if least == most:
        return most, found
    width = held.shape[1]
    flat: Counts = held.reshape(-1)
    first: Places = np.arange(used, len(flat) + used, width, dtype=np.intp)
    most_kept = width - 1 - used

    def enough(most: int) -> Flags:
        """Whether `used` leaves, at most so many of them whole, hold `wanted`."""
        # The largest leaves are the whole ones: those of them that are kept are passed over.
        kept = np.maximum(whole - most, 0)
        last: Places = first + np.minimum(kept, most_kept)
        kept *= per_leaf
        kept += wanted
        return flat.take(last) >= kept

    while least < most:
        now = enough(middle)
        if np.count_nonzero(now):
            most, found = middle, now
        else:
            least = middle + 1
        middle = (least + most) // 2
    return most, found


def tightest(
    classes: Sequence[int], used: int, whole: int, wanted: int, per_leaf: int
) -> Selection:
    """Of `used` leaves, `whole` of them wholly free, those with the fewest hosts to spare.

    `classes[f]` counts the leaves of class `f`; the last class is that of whole leaves.
    """
    top = len(classes) - 1
    if per_leaf < top:
        return _tightest_capped(classes, used, whole, wanted, per_leaf)
    chosen, spare, last = _largest(classes, used - whole, wanted - whole * top)
    if spare:
        outs = [(f - last, n) for f, n in chosen.items() if f - last <= spare]
        ins = [
            (last - f, classes[f] - chosen.get(f, 0))
            for f in range(min(last, top - 1), max(last - spare, 1) - 1, -1)
            if classes[f] > chosen.get(f, 0)
        ]
        saved, out, into = _exchange(outs, ins, spare)
        spare -= saved
        for more in out:
            chosen[last + more] -= 1
        for less in into:
            chosen[last - less] = chosen.get(last - less, 0) + 1
    if whole:
        chosen[top] = whole
    return Selection(spare, {f: n for f, n in chosen.items() if n})


def _largest(classes: Sequence[int], used: int, wanted: int) -> tuple[dict[int, int], int, int]:
    """The largest leaves but whole ones, by class; what they have over; the class of the last."""
    chosen: dict[int, int] = {}
    last = 0
    for f in range(len(classes) - 2, 0, -1):
        if used and classes[f]:
            chosen[f] = min(used, classes[f])
            used -= chosen[f]
            wanted -= f * chosen[f]
            last = f
    assert used <= 0 >= wanted, "a selection of leaves that doesn't hold the gang"
    return chosen, -wanted, last


def _exchange(
    outs: Sequence[tuple[int, int]], ins: Sequence[tuple[int, int]], spare: int
) -> tuple[int, list[int], list[int]]:
    """The exchanges that save most, up to `spare`: what is saved, and by each leaf out and in.

    `outs` and `ins` are pairs of what one leaf saves and how many such leaves there are.
    """
    has_out, has_in = {saves for saves, _ in outs}, {saves for saves, _ in ins}
    for saves in has_out:
        if spare - saves in has_in:
            return spare, [saves], [spare - saves]
    pairs = min(spare, sum(n for _, n in outs), sum(n for _, n in ins))
    if not pairs:
        return 0, [], []
    width = 2 * (spare + 1)
    out_items, out_states = _sums(outs, spare, pairs, width)
    in_items, in_states = _sums(ins, spare, pairs, width)
    best, at = 0, (0, 0, 0)
    low = (1 << (spare + 1)) - 1
    for number in range(1, pairs + 1):
        out = out_states[-1] >> number * width & low
        into = in_states[-1] >> number * width & low
        for saves in range(spare + 1) if out and into else ():
            if out >> saves & 1:
                more = (into & ((1 << (spare - saves + 1)) - 1)).bit_length() - 1
                if more >= 0 and saves + more > best:
                    best, at = saves + more, (number, saves, more)
        if best == spare:
            break
    number, saves, more = at
    return (
        best,
        _retraced(out_items, out_states, number, saves, width),
        _retraced(in_items, in_states, number, more, width),
    )


def _sums(
    items: Iterable[tuple[int, int]], spare: int, pairs: int, width: int
) -> tuple[list[int], list[int]]:
    """Which sums so many items have: bit `number * width + sum`, after each item in turn."""
    block = (1 << (spare + 1)) - 1
    valid = sum(block << number * width for number in range(pairs + 1))
    used: list[int] = []
    states = [1]
    for saves, there in items:
        for _ in range(min(there, pairs, spare // saves if saves else pairs)):
            used.append(saves)
            states.append((states[-1] | states[-1] << (width + saves)) & valid)
    return used, states


def _retraced(
    items: Sequence[int], states: Sequence[int], number: int, total: int, width: int
) -> list[int]:
    """The items behind a number and a sum."""
    found: list[int] = []
    for i in range(len(items) - 1, -1, -1):
        if not states[i] >> (number * width + total) & 1:
            found.append(items[i])
            number -= 1
            total -= items[i]
    return found


def _tightest_capped(
    classes: Sequence[int], used: int, whole: int, wanted: int, per_leaf: int
) -> Selection:
    """The same where no leaf may give all it has: what a leaf gives and has are two things.

    Classes that give as much are used from the smallest on; what exchanges can still save is
    found as the best total for each number of leaves and of hosts given less.
    """
    top = len(classes) - 1
    others, need = used - whole, max(wanted - whole * per_leaf, 0)
    chosen = {top: whole} if whole else {}
    left = others
    for f in range(per_leaf, top):
        if left and classes[f]:
            chosen[f] = min(left, classes[f])
            left -= chosen[f]
    for f in range(per_leaf - 1, 0, -1):
        if left and classes[f]:
            chosen[f] = min(left, classes[f])
            left -= chosen[f]
    assert left == 0, "a selection of leaves that doesn't hold the gang"
    given = sum(min(f, per_leaf) * n for f, n in chosen.items() if f != top)
    exchanges = _worthwhile(classes, chosen, given - need, per_leaf) if others else []
    for out, into in exchanges:
        chosen[out] -= 1
        chosen[into] = chosen.get(into, 0) + 1
    used_now = {f: n for f, n in chosen.items() if n}
    return Selection(sum(f * n for f, n in used_now.items()) - wanted, used_now)


def _worthwhile(
    classes: Sequence[int], chosen: dict[int, int], spare: int, per_leaf: int
) -> list[tuple[int, int]]:
    """Exchanges of a leaf for one that gives less, by the most free hosts saved within `spare`."""
    top = len(classes) - 1
    last = min(min(f, per_leaf) for f in chosen if f != top)
    outs = [
        (min(f, per_leaf) - last, f)
        for f in sorted(chosen, reverse=True)
        if f != top and min(f, per_leaf) - last <= spare
        for _ in range(min(chosen[f], spare))
    ]
    ins = [
        (last - f, f)
        for f in range(min(last, per_leaf - 1), max(last - spare, 1) - 1, -1)
        for _ in range(min(classes[f] - chosen.get(f, 0), spare))
    ]
    leave, enter = _totals(outs, spare, 1), _totals(ins, spare, -1)
    best: int = 0
    exchange: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    for (number, saves), (had, out) in leave.items():
        for more in range(spare - saves + 1):
            has, into = enter.get((number, more), (-had, ()))
            if had + has > best:
                best, exchange = had + has, (out, into)
    return list(zip(*exchange, strict=True))


def _totals(
    items: Iterable[tuple[int, int]], spare: int, sign: int
) -> dict[tuple[int, int], tuple[int, tuple[int, ...]]]:
    """By number of leaves and hosts they save: the most (by `sign`, least) free hosts they have."""
    states: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {(0, 0): (0, ())}
    for saves, f in items:
        for (number, saved), (total, which) in list(states.items()):
            key = (number + 1, saved + saves)
            if number < spare and key[1] <= spare:
                known = states.get(key)
                if known is None or total + sign * f > known[0]:
                    states[key] = (total + sign * f, (*which, f))
    return states
