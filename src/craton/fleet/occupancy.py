"""Until when units are held by what wasn't promised ahead: leases taken now, and repairs.

The calendar knows promises by number; these sit on certain units. A unit several of them sit on is
taken once, until the last of them ends, so that the calendar loses no more than is really gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from craton.fleet.calendar import FOREVER_S, Calendar

Undo = list[Callable[[], None]]


class Occupancy:
    """Who holds which unit until when, told to a calendar that counts `weight` for each unit."""

    def __init__(self, calendar: Calendar, weight: int = 1) -> None:
        self._calendar = calendar
        self._weight = weight
        self._ends: dict[int, dict[str, int]] = {}
        self._apart: set[int] = set()

    def __len__(self) -> int:
        return len(self._ends)

    def end(self, unit: int) -> int:
        """Until when a unit is held; 0 if nobody holds it."""
        holders = self._ends.get(unit)
        return max(holders.values()) if holders else 0

    def wanted(self, units: Iterable[int], now_s: int, until_s: int) -> Counter[int]:
        """What holding these units would take of the calendar: from when on, how many."""
        starts: Counter[int] = Counter()
        for unit in units:
            if unit in self._apart:
                continue
            end = max(self.end(unit), now_s)
            if end < until_s:
                starts[end] += 1
        return starts

    def fits(self, units: Iterable[int], now_s: int, until_s: int) -> bool:
        """Whether no promise would be broken by holding these units."""
        taken = 0
        for start, count in sorted(self.wanted(units, now_s, until_s).items()):
            taken += count * self._weight
            if self._calendar.free(start, until_s) < taken:
                return False
        return True

    def hold(
        self, holder: str, units: Iterable[int], now_s: int, until_s: int | None, undo: Undo
    ) -> None:
        """Sit on units until then (None: until told otherwise), whatever was promised."""
        ends = until_s if until_s is not None else FOREVER_S
        units = list(units)
        for start, count in self.wanted(units, now_s, ends).items():
            self._shift(start, ends, -count, undo)
        for unit in units:
            self._set(unit, holder, ends, undo)

    def drop(self, holder: str, units: Iterable[int], now_s: int, undo: Undo) -> None:
        """Get up from units; what others sit on stays taken."""
        freed: Counter[tuple[int, int]] = Counter()
        for unit in units:
            old = self.end(unit)
            self._set(unit, holder, None, undo)
            left = max(self.end(unit), now_s)
            if left < old and unit not in self._apart:
                freed[left, old] += 1
        for (start, end), count in freed.items():
            self._shift(start, end, count, undo)

    def set_apart(self, unit: int, now_s: int, undo: Undo) -> None:
        """Count a unit no more: it isn't among those that can be promised, held or not."""
        end = self.end(unit)
        if end > now_s:
            self._shift(now_s, end, 1, undo)
        self._apart.add(unit)
        undo.append(lambda: self._apart.discard(unit))

    def count_again(self, unit: int, now_s: int, undo: Undo) -> None:
        """Count it again, until whoever holds it gets up."""
        self._apart.discard(unit)
        undo.append(lambda: self._apart.add(unit))
        end = self.end(unit)
        if end > now_s:
            self._shift(now_s, end, -1, undo)

    def _shift(self, start_s: int, end_s: int, units: int, undo: Undo) -> None:
        amount = units * self._weight
        self._calendar.shift(start_s, end_s, amount)
        undo.append(lambda: self._calendar.shift(start_s, end_s, -amount))

    def _set(self, unit: int, holder: str, end_s: int | None, undo: Undo) -> None:
        holders = self._ends.setdefault(unit, {})
        before = holders.get(holder)
        self._put(unit, holder, end_s)
        undo.append(lambda: self._put(unit, holder, before))

    def _put(self, unit: int, holder: str, end_s: int | None) -> None:
        holders = self._ends.setdefault(unit, {})
        if end_s is None:
            holders.pop(holder, None)
        else:
            holders[holder] = end_s
        if not holders:
            del self._ends[unit]
