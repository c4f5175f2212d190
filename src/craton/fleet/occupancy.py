"""Until when units are held by what wasn't promised ahead: leases taken now, and repairs.

The calendar knows promises by number; these sit on certain units. A unit several of them sit on is
taken once, until the last of them ends, so that the calendar loses no more than is really gone.

Arrays by unit, as everything about single units: only one that several sit on is a Python object.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from craton.fleet.calendar import FOREVER_S, Calendar
from craton.store.undo import Undo

Units = NDArray[np.int32]
"""Units in ascending order, once each."""
_Times = NDArray[np.int64]
_Holders = NDArray[np.int32]

_NOBODY = 0
_SEVERAL = -1


class Occupancy:
    """Who holds which unit until when, told to a calendar of units and, if given, one of watts.

    A unit set apart counts in the units' calendar no more; it goes on to draw its watts.
    """

    def __init__(
        self, units: int, calendar: Calendar, watts: Calendar | None = None, unit_w: int = 0
    ) -> None:
        self._calendar = calendar
        self._watts = watts
        self._unit_w = unit_w
        self._ends: _Times = np.zeros(units, np.int64)
        """By unit: when the last of its holders ends; 0 where there is none."""
        self._holder: _Holders = np.zeros(units, np.int32)
        """By unit: the number of who alone holds it."""
        self._several: dict[int, dict[int, int]] = {}
        """Of units that more than one holds: by the holder's number, its end."""
        self._numbers: dict[str, int] = {}
        self._last_number = _NOBODY
        self._is_apart: NDArray[np.bool_] = np.zeros(units, np.bool_)
        self._apart = 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self._ends))

    def end(self, unit: int) -> int:
        """Until when a unit is held; 0 if nobody holds it."""
        return int(self._ends[unit])

    def fits(self, units: Units, now_s: int, until_s: int) -> bool:
        """Whether no promise would be broken by holding these units."""
        watts, count = self._watts, len(units)
        if self._calendar.free(now_s, until_s) >= count and (
            watts is None or watts.free(now_s, until_s) >= count * self._unit_w
        ):
            return True  # whoever sits there now
        starts = _starts(self._ends.take(units), now_s, until_s)
        if not _is_free(self._calendar, _counted(starts[~self._is_apart[units]]), until_s, 1):
            return False
        return watts is None or _is_free(watts, _counted(starts), until_s, self._unit_w)

    def hold(self, holder: str, units: Units, now_s: int, until_s: int | None, undo: Undo) -> None:
        """Sit on units until then (None: until told otherwise), whatever was promised."""
        end_s = until_s if until_s is not None else FOREVER_S
        ends, holders = self._keep(units, undo)
        number = self._number(holder, undo)
        if np.count_nonzero(holders):
            self._shift(units, _starts(ends, now_s, end_s), end_s, -1, undo)
            shared = holders != _NOBODY
            self._share(units[shared].tolist(), number, end_s)
            units = units[~shared]
        else:
            self._shift_alike(units, min(now_s, end_s), end_s, -1, undo)
        self._ends.put(units, end_s)
        self._holder.put(units, number)

    def drop(self, holder: str, units: Units, now_s: int, undo: Undo) -> None:
        """Get up from units; what others sit on stays taken."""
        number = self._numbers.pop(holder)
        undo.append(lambda: self._numbers.__setitem__(holder, number))
        before, holders = self._keep(units, undo)
        alone = holders == number
        if len(units) == np.count_nonzero(alone) > 0:
            # Who holds units alone holds all of them until its own end.
            self._ends.put(units, 0)
            self._holder.put(units, _NOBODY)
            end_s = int(before[0])
            self._shift_alike(units, min(now_s, end_s), end_s, 1, undo)
            return
        self._ends[units[alone]] = 0
        self._holder[units[alone]] = _NOBODY
        self._leave(units[~alone].tolist(), number)
        left = np.maximum(self._ends[units], now_s)
        for end_s in np.unique(before[left < before]).tolist():
            freed = (before == end_s) & (left < end_s)
            self._shift(units[freed], left[freed], end_s, 1, undo)

    def restore(self, held: Sequence[tuple[str, Units, int | None]], now_s: int) -> None:
        """Enter who held units before, and until when: the same as `hold` for each in turn.

        Before that nobody holds any, and none is set apart.
        """
        if not held:
            return
        ends = [FOREVER_S if until_s is None else until_s for _, _, until_s in held]
        counts = [len(units) for _, units, _ in held]
        numbers = np.repeat(np.arange(1, len(held) + 1, dtype=np.int32), counts)
        self._numbers = {holder: number for number, (holder, _, _) in enumerate(held, start=1)}
        self._last_number = len(held)
        units = np.concatenate([units for _, units, _ in held])
        order = units.argsort(kind="stable")
        units, numbers = units[order], numbers[order]
        self._ends[units], self._holder[units] = np.array(ends, np.int64)[numbers - 1], numbers
        again = (units[1:] == units[:-1]).nonzero()[0]
        for unit in np.unique(units[again]).tolist():
            first, last = np.searchsorted(units, (unit, unit + 1)).tolist()
            sharing: list[int] = numbers[first:last].tolist()
            holders = {number: ends[number - 1] for number in sharing}
            self._several[unit], self._holder[unit] = holders, _SEVERAL
            self._ends[unit] = max(holders.values())
        until, count = np.unique(self._ends[self._ends > now_s], return_counts=True)
        self._calendar.take_until(now_s, until, count)
        if self._watts is not None:
            self._watts.take_until(now_s, until, count * self._unit_w)

    def set_apart(self, unit: int, now_s: int, undo: Undo) -> None:
        """Count a unit no more: it isn't among those that can be promised, held or not."""
        self._set_apart(unit, now_s, 1, undo)

    def count_again(self, unit: int, now_s: int, undo: Undo) -> None:
        """Count it again, until whoever holds it gets up."""
        self._set_apart(unit, now_s, -1, undo)

    def _set_apart(self, unit: int, now_s: int, step: int, undo: Undo) -> None:
        end = self.end(unit)
        if end > now_s:
            _move(self._calendar, now_s, end, step, undo)
        self._is_apart[unit] = step > 0
        self._apart += step

        def back() -> None:
            self._is_apart[unit] = step < 0
            self._apart -= step

        undo.append(back)

    def _shift(self, units: Units, starts: _Times, end_s: int, step: int, undo: Undo) -> None:
        """Move the calendars by each of the units, from its own start to one end."""
        counted = _counted(starts)
        if self._watts is not None:
            for start, count in counted:
                _move(self._watts, start, end_s, step * count * self._unit_w, undo)
        if self._apart:
            apart = self._is_apart[units]
            counted = _counted(starts[~apart])
        for start, count in counted:
            _move(self._calendar, start, end_s, step * count, undo)

    def _shift_alike(self, units: Units, start_s: int, end_s: int, step: int, undo: Undo) -> None:
        """The same for units that all have one start."""
        count = len(units)
        if self._watts is not None:
            _move(self._watts, start_s, end_s, step * count * self._unit_w, undo)
        if self._apart:
            count -= int(np.count_nonzero(self._is_apart.take(units)))
        if count:
            _move(self._calendar, start_s, end_s, step * count, undo)

    def _keep(self, units: Units, undo: Undo) -> tuple[_Times, _Holders]:
        """Note how these units are held now: until when, and by whom."""
        ends, holders = self._ends.take(units), self._holder.take(units)
        several = {
            unit: self._several[unit].copy()
            for unit in (units[holders == _SEVERAL].tolist() if self._several else ())
        }

        def back() -> None:
            for unit in units[self._holder[units] == _SEVERAL].tolist():
                del self._several[unit]
            self._several.update(several)
            self._ends[units], self._holder[units] = ends, holders

        undo.append(back)
        return ends, holders

    def _number(self, holder: str, undo: Undo) -> int:
        assert holder not in self._numbers, f"{holder} sits already"
        self._last_number += 1
        self._numbers[holder] = self._last_number
        undo.append(lambda: self._forget(holder))
        return self._last_number

    def _forget(self, holder: str) -> None:
        del self._numbers[holder]

    def _share(self, units: Sequence[int], number: int, end_s: int) -> None:
        """Sit on units that somebody sits on."""
        for unit in units:
            holders = self._several.get(unit)
            if holders is None:
                holders = self._several[unit] = {int(self._holder[unit]): self.end(unit)}
                self._holder[unit] = _SEVERAL
            holders[number] = end_s
            self._ends[unit] = max(self.end(unit), end_s)

    def _leave(self, units: Sequence[int], number: int) -> None:
        """Get up from units that others sit on."""
        for unit in units:
            holders = self._several[unit]
            del holders[number]
            self._ends[unit] = max(holders.values())
            if len(holders) == 1:
                (self._holder[unit],) = holders
                del self._several[unit]


def _starts(ends: _Times, now_s: int, until_s: int) -> _Times:
    """By unit held until then, when on holding it until another moment takes more of it."""
    return np.minimum(np.maximum(ends, now_s), until_s)


def _counted(starts: _Times) -> list[tuple[int, int]]:
    """How many units start at each moment, the earliest first."""
    if not len(starts):
        return []
    first = int(starts[0])
    if np.count_nonzero(starts == first) == len(starts):
        return [(first, len(starts))]
    moments, counts = np.unique(starts, return_counts=True)
    return list(zip(moments.tolist(), counts.tolist(), strict=True))


def _is_free(
    calendar: Calendar, counted: Sequence[tuple[int, int]], until_s: int, weight: int
) -> bool:
    """Whether so much is free from each of these moments on until then, all of it together."""
    taken = 0
    for start, count in counted:
        taken += count * weight
        if start < until_s and calendar.free(start, until_s) < taken:
            return False
    return True


def _move(calendar: Calendar, start_s: int, end_s: int, amount: int, undo: Undo) -> None:
    if start_s < end_s:
        calendar.shift(start_s, end_s, amount)
        undo.append(lambda: calendar.shift(start_s, end_s, -amount))
