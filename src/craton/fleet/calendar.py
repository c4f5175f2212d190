"""How much of something is free, and when: a skyline.

A promise takes a number of units from one moment to another and doesn't say which. For units that
can stand in for one another that loses nothing: a promise starts, and at that moment at least so
many units are free, since no more were ever promised than there are. So a calendar never has to
know who sits where, and a unit that breaks is only one unit less.

The skyline is exact at any moment, not slotted. It costs a few bytes for each moment at which the
free amount changes; capacity blocks all end at the same time of day, so those are few.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import Conflict

Integers = NDArray[np.int64]

FOREVER_S = 1 << 40
"""After any date that can be asked for (the year 36812)."""
_SPARE_STEPS = 64


@dataclass(frozen=True, slots=True)
class Runs:
    """Longest stretches of time in which something holds: `[starts_s[i], ends_s[i])`, in order."""

    starts_s: Integers
    ends_s: Integers

    def __len__(self) -> int:
        return len(self.starts_s)

    def within(self, other: "Runs") -> "Runs":
        """The stretches in which both hold."""
        if not len(self) or not len(other):
            return Runs(self.starts_s[:0], self.ends_s[:0])
        # Two runs overlap where one starts inside the other: starting with each of ours in the
        # other's run that is open then, and with each of theirs in ours.
        at = np.searchsorted(other.ends_s, self.starts_s, side="right")
        ours = (at < len(other)) & (_at(other.starts_s, at) <= self.starts_s)
        back = np.searchsorted(self.ends_s, other.starts_s, side="right")
        theirs = (back < len(self)) & (_at(self.starts_s, back) < other.starts_s)
        starts = np.concatenate((self.starts_s[ours], other.starts_s[theirs]))
        ends = np.concatenate(
            (
                np.minimum(self.ends_s[ours], _at(other.ends_s, at)[ours]),
                np.minimum(other.ends_s[theirs], _at(self.ends_s, back)[theirs]),
            )
        )
        order = np.argsort(starts, kind="stable")
        return Runs(starts[order], ends[order])

    def first(self, duration_s: int, *, phase_s: int = 0, period_s: int = 1) -> int | None:
        """The earliest start that leaves `duration_s`; starts are `phase_s` plus whole periods."""
        starts = self.starts_s
        if period_s > 1:
            starts = phase_s - (phase_s - starts) // period_s * period_s
        fits = starts + duration_s <= self.ends_s
        at = int(np.argmax(fits)) if len(fits) else 0
        return int(starts[at]) if len(fits) and fits[at] else None

    def starts(self, duration_s: int, *, phase_s: int, period_s: int, most: int) -> list[int]:
        """The earliest `most` starts, one after the other, that leave `duration_s`."""
        found: list[int] = []
        aligned = phase_s - (phase_s - self.starts_s) // period_s * period_s
        fits = np.flatnonzero(aligned + duration_s <= self.ends_s)
        for at in fits.tolist():
            last = int(self.ends_s[at]) - duration_s
            found += range(int(aligned[at]), last + 1, period_s)[: most - len(found)]
            if len(found) >= most:
                break
        return found


def _at(values: Integers, at: NDArray[np.intp]) -> Integers:
    """The values at places of which some lie one past the end; those are masked by the caller."""
    return values[np.minimum(at, len(values) - 1)]


class Calendar:
    """Free units of one pool, or free watts of one site, over time.

    `name` says in errors what is counted. Free may be negative where units broke that were promised
    already: `short` tells how many and when.
    """

    def __init__(self, name: str, units: int) -> None:
        self.name = name
        self._steps = 1
        self._times: Integers = np.zeros(_SPARE_STEPS, np.int64)
        self._free: Integers = np.zeros(_SPARE_STEPS, np.int64)
        self._free[0] = units

    @property
    def steps(self) -> int:
        """How many moments the skyline changes at."""
        return self._steps

    def free(self, start_s: int, end_s: int) -> int:
        """How many units are free during the whole of `[start_s, end_s)`."""
        first, last = self._span(start_s, end_s)
        return int(self._free[first:last].min())

    def book(self, start_s: int, end_s: int, units: int) -> None:
        """Take units; Conflict if so many aren't free all the time."""
        free = self.free(start_s, end_s)
        if free < units:
            raise Conflict(
                f"{self.name}: {units} asked for, and {max(0, free)} free during all of that time. "
                "Search again: what was offered may have been sold since."
            )
        self.shift(start_s, end_s, -units)

    def release(self, start_s: int, end_s: int, units: int) -> None:
        """Give units back."""
        self.shift(start_s, end_s, units)

    def shift(self, start_s: int, end_s: int, units: int) -> None:
        """Add to what is free in `[start_s, end_s)`, or take from it, below 0 too."""
        if start_s >= end_s:
            return
        first = self._cut(start_s)
        last = self._cut(end_s)
        self._free[first:last] += units
        self._join(last)
        self._join(first)

    def take_until(self, start_s: int, ends_s: Integers, units: Integers) -> None:
        """Take many amounts from one moment on, each until its own end; ends ascend, once each."""
        if not len(ends_s):
            return
        assert start_s < ends_s[0], "an end before the start"
        times = np.union1d(self._times[: self._steps], np.append(ends_s, start_s))
        free = self._free[np.searchsorted(self._times[: self._steps], times, side="right") - 1]
        # What is still taken at a moment is what ends after it.
        taken = np.append(units[::-1].cumsum()[::-1], 0)
        is_after = times >= start_s
        free[is_after] -= taken[np.searchsorted(ends_s, times[is_after], side="right")]
        is_step = np.append(True, free[1:] != free[:-1])
        self._times, self._free = times[is_step], free[is_step]
        self._steps = len(self._times)

    def runs(self, units: int, start_s: int, end_s: int) -> Runs:
        """When at least `units` are free, within `[start_s, end_s)`."""
        first, last = self._span(start_s, end_s)
        good = self._free[first:last] >= units
        edges = np.flatnonzero(good[1:] != good[:-1]) + 1
        times = self._times[first : last + 1].copy()
        times[0] = start_s
        if last == self._steps:
            times = np.append(times[: last - first], end_s)
        else:
            times[-1] = end_s
        bounds = times[np.concatenate(([0], edges, [last - first]))]
        skip = 0 if good[0] else 1
        starts = bounds[skip:-1:2]
        return Runs(starts, bounds[skip + 1 :: 2][: len(starts)])

    def short(self, start_s: int, end_s: int) -> list[tuple[int, int, int]]:
        """Where more is promised than there is: (start, end, units that are missing)."""
        first, last = self._span(start_s, end_s)
        found: list[tuple[int, int, int]] = []
        for at in (np.flatnonzero(self._free[first:last] < 0) + first).tolist():
            until = int(self._times[at + 1]) if at + 1 < self._steps else end_s
            begin = max(start_s, int(self._times[at]))
            found.append((begin, min(end_s, until), -int(self._free[at])))
        return found

    def forget(self, before_s: int) -> None:
        """Drop what changed up to a moment; all time before then reads as that moment does.

        So it stays usable where the clock is set back. What can still be taken back may cut steps
        at moments that are over, so that is to be kept, or undone, first.
        """
        first = int(self._times[: self._steps].searchsorted(before_s, side="right")) - 1
        if first > 0:
            beginning = self._times[0]
            self._times[: self._steps - first] = self._times[first : self._steps].copy()
            self._free[: self._steps - first] = self._free[first : self._steps].copy()
            self._times[0] = beginning
            self._steps -= first

    def skyline(self, start_s: int, end_s: int) -> tuple[Integers, Integers]:
        """(moments, free from each on) within `[start_s, end_s)`, the first moment at `start_s`."""
        first, last = self._span(start_s, end_s)
        times = self._times[first:last].copy()
        times[0] = start_s
        return times, self._free[first:last].copy()

    def _span(self, start_s: int, end_s: int) -> tuple[int, int]:
        """The steps that `[start_s, end_s)` meets: at least one."""
        times = self._times[: self._steps]
        if start_s >= end_s or start_s < times[0]:
            raise ValueError(f"{self.name}: no time from {start_s} to {end_s} in this calendar")
        first = int(times.searchsorted(start_s, side="right")) - 1
        return first, int(times.searchsorted(end_s, side="left"))

    def _cut(self, at_s: int) -> int:
        """The step that starts at that moment; made if there is none."""
        steps = self._steps
        at = int(self._times[:steps].searchsorted(at_s))
        if at < steps and self._times[at] == at_s:
            return at
        if at == 0:
            raise ValueError(f"{self.name}: {at_s} lies before this calendar")
        if steps == len(self._times):
            self._times, self._free = _grown(self._times), _grown(self._free)
        self._times[at + 1 : steps + 1] = self._times[at:steps]
        self._free[at + 1 : steps + 1] = self._free[at:steps]
        self._times[at] = at_s
        self._free[at] = self._free[at - 1]
        self._steps += 1
        return at

    def _join(self, at: int) -> None:
        """Drop a step that changes nothing."""
        if 0 < at < self._steps and self._free[at] == self._free[at - 1]:
            self._times[at : self._steps - 1] = self._times[at + 1 : self._steps]
            self._free[at : self._steps - 1] = self._free[at + 1 : self._steps]
            self._steps -= 1


def _grown(values: Integers) -> Integers:
    grown: NDArray[Any] = np.zeros(len(values) * 2, np.int64)
    grown[: len(values)] = values
    return grown
