"""Whom to interrupt so that a gang has a place: the fewest leases, of the least priority, youngest.

What counts is where hosts come free: in the pool, or for a gang that must stay in one row or leaf,
in that row or leaf. There the number of leases that must go at the least follows from the largest.
Sets of so many are tried in order of preference, each by asking `place` as if they were gone; so
that the answer is exact wherever all sets are few enough (`SETS_MAX` of them, `TRIALS_MAX` tried).

Where they are more, one set is made for each such place: the largest leases up to the least
priority that suffices, each exchanged for a lesser or younger one where enough still comes free.
Where no such set helps, because power or a spread stands in the way, leases go one by one, the
largest first, until there is a place, and those that it turns out not to need are kept.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.pool import Masks, Pool
from craton.fleet.pool_layout import Numbers

SETS_MAX = 2_000
TRIALS_MAX = 200
_MORE_MAX = 2
"""How many leases over the least number are tried set by set."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A lease as preemption sees it: chips, how much it matters, and since when it runs."""

    lease: str
    priority: int
    started_s: int
    hosts: Numbers
    masks: Masks


@dataclass(frozen=True, slots=True)
class _Where:
    """A part of the pool that could hold the gang: what is missing, and what each lease frees."""

    missing: int
    frees: tuple[tuple[int, Held], ...]
    """Largest first; of leases that free as much, the preferred one first."""

    def least(self) -> int | None:
        """How many leases must go at the least; None if all aren't enough."""
        left = self.missing
        for number, (frees, _) in enumerate(self.frees):
            if left <= 0:
                return number
            left -= frees
        return len(self.frees) if left <= 0 else None


def victims(
    pool: Pool, demand: Demand, held: Sequence[Held], *, priority: int
) -> tuple[Held, ...] | Refusal:
    """The leases below `priority` to interrupt; none if there is a place already.

    A refusal says why not even all of them would help. The pool is as before when this returns;
    nothing else may look at it meanwhile.
    """
    if isinstance(place(pool, demand), Placement):
        return ()
    lower = sorted((each for each in held if each.priority < priority), key=_preference)
    with _without(pool, lower):
        everything = place(pool, demand)
    if isinstance(everything, Refusal):
        return everything
    wheres = _wheres(pool, demand, lower)
    least = min((number for each in wheres if (number := each.least()) is not None), default=1)
    numbers = range(max(least, 1), least + _MORE_MAX + 1)
    sets = (chosen for number in numbers for chosen in _sets(wheres, number))
    for chosen in islice(sets, TRIALS_MAX):
        if _helps(pool, demand, chosen):
            return chosen
    return _one_by_one(pool, demand, lower)


def _preference(held: Held) -> tuple[int, int, str]:
    """Who goes first: the least priority, then the youngest."""
    return held.priority, -held.started_s, held.lease


def _set_preference(chosen: Iterable[Held]) -> tuple[list[int], int, list[str]]:
    """Which set goes first: that whose highest priority is least, and so on; then the youngest."""
    chosen = tuple(chosen)
    priorities = sorted((each.priority for each in chosen), reverse=True)
    started = -sum(each.started_s for each in chosen)
    return priorities, started, sorted(each.lease for each in chosen)


@contextmanager
def _without(pool: Pool, gone: Iterable[Held]) -> Generator[None]:
    """The pool as if these leases had ended."""
    released: list[Held] = []
    try:
        for each in gone:
            pool.release(each.hosts, each.masks)
            released.append(each)
        yield
    finally:
        for each in reversed(released):
            pool.restore(each.hosts, each.masks)


def _helps(pool: Pool, demand: Demand, gone: Iterable[Held]) -> bool:
    with _without(pool, gone):
        return isinstance(place(pool, demand), Placement)


def _wheres(pool: Pool, demand: Demand, lower: Sequence[Held]) -> list[_Where]:
    """The pool, or each row or leaf that the gang must stay in, with what leases free there."""
    layout = pool.layout
    part_of_leaf, parts = np.zeros(layout.leaves, np.int32), 1
    if demand.is_one_row:
        part_of_leaf, parts = layout.row_of_leaf, layout.rows
    if demand.is_one_leaf:
        part_of_leaf, parts = np.arange(layout.leaves, dtype=np.int32), layout.leaves
    fits = np.bitwise_count(pool.offered) >= demand.chips_per_host
    part_of_host = part_of_leaf[layout.leaf_of_host]
    free = np.bincount(part_of_host[fits], minlength=parts)
    frees: dict[int, list[tuple[int, Held]]] = {}
    for each in lower:
        freed = part_of_host[_freed(pool, demand, each)]
        numbers, counts = np.unique(freed, return_counts=True)
        for part, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            frees.setdefault(part, []).append((count, each))
    return [
        # Leases come in order of preference, and sorting keeps it among those that free as much.
        _Where(
            demand.hosts_touched - int(free[part]), tuple(sorted(leases, key=lambda pair: -pair[0]))
        )
        for part, leases in sorted(frees.items())
    ]


def _freed(pool: Pool, demand: Demand, held: Held) -> Numbers:
    """The hosts that have the demand's chips once a lease is gone, and haven't now."""
    left = pool.taken[held.hosts] & ~held.masks
    offered: NDArray[np.uint32] = ~(left | pool.broken[held.hosts]) & pool.full
    fits = np.bitwise_count(offered) >= demand.chips_per_host
    fitted = np.bitwise_count(pool.offered[held.hosts]) >= demand.chips_per_host
    return held.hosts[fits & ~fitted & pool.usable[held.hosts]]


def _sets(wheres: Iterable[_Where], number: int) -> list[tuple[Held, ...]]:
    """Sets of so many leases that free enough somewhere, the preferred first."""
    found: dict[tuple[str, ...], tuple[Held, ...]] = {}
    for where in wheres:
        least = where.least()
        if least is None or least > number or number > len(where.frees):
            continue
        if comb(len(where.frees), number) <= SETS_MAX:
            every = combinations(where.frees, number)
            sets = [each for each in every if sum(frees for frees, _ in each) >= where.missing]
        else:
            sets = [_preferred(where, number)]
        for each in sets:
            chosen = tuple(held for _, held in each)
            found[tuple(sorted(held.lease for held in chosen))] = chosen
    return sorted(found.values(), key=_set_preference)


def _preferred(where: _Where, number: int) -> list[tuple[int, Held]]:
    """One set of so many leases: of least priorities, then better ones for some."""
    among: list[tuple[int, Held]] = list(where.frees)
    for most in sorted({held.priority for _, held in where.frees}):
        some = [pair for pair in where.frees if pair[1].priority <= most]
        if len(some) >= number and sum(frees for frees, _ in some[:number]) >= where.missing:
            among = some
            break
    chosen, spare = among[:number], sum(frees for frees, _ in among[:number]) - where.missing
    others = sorted(among[number:], key=lambda pair: _preference(pair[1]))
    for at, (frees, held) in sorted(
        enumerate(chosen), key=lambda item: _preference(item[1][1]), reverse=True
    ):
        for other in others:
            if _preference(other[1]) >= _preference(held):
                break
            if frees - other[0] <= spare:
                spare -= frees - other[0]
                chosen[at] = other
                others.remove(other)
                break
    return chosen


def _one_by_one(pool: Pool, demand: Demand, lower: Sequence[Held]) -> tuple[Held, ...]:
    """Leases until there is a place, the largest first; then without those it doesn't need."""
    gone: list[Held] = []
    for each in sorted(lower, key=lambda held: -len(held.hosts)):
        gone.append(each)
        if _helps(pool, demand, gone):
            break
    for each in sorted(gone, key=_preference, reverse=True):
        rest = [other for other in gone if other is not each]
        if _helps(pool, demand, rest):
            gone = rest
    return tuple(sorted(gone, key=_preference))
