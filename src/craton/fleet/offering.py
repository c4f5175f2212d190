"""How many units of a pool are offered, now and later: all that work and aren't away, up to a most.

A calendar is told of every change. What is away is away for a while, said beforehand; what is
missing is missing until further notice. A unit that is both counts once.
"""

from dataclasses import dataclass

from craton.fleet.calendar import FOREVER_S, Calendar
from craton.store.undo import Undo

_Steps = tuple[tuple[int, int], ...]
"""(from when on, how many), the first for now."""


@dataclass(frozen=True, slots=True)
class Away:
    """Units that are away from one moment to another."""

    start_s: int
    end_s: int
    units: frozenset[int]
    hosts: range
    """Those because of which they are away: a unit may have others too."""


class Offering:
    """Up to `most` of `all_units`; `most` is what the calendar has of itself."""

    def __init__(self, calendar: Calendar, most: int, all_units: int) -> None:
        self._calendar = calendar
        self._most = most
        self._all = all_units
        self._away: dict[str, Away] = {}
        self._steps: _Steps = ((0, most),)

    def at(self, moment_s: int) -> int:
        """How many, at a moment from now on."""
        return _at(self._steps, moment_s)

    def named(self, name: str) -> list[str]:
        """What is away of that name, or under it."""
        return [each for each in self._away if each.partition("/")[0] == name]

    def within(self, start_s: int, end_s: int) -> list[Away]:
        """What is away at some moment of a time."""
        return [
            each for each in self._away.values() if each.start_s < end_s and start_s < each.end_s
        ]

    def set_away(self, name: str, away: Away | None, undo: Undo) -> None:
        """Note that units are away, or with None that they aren't any more."""
        before = self._away.get(name)
        self._put(name, away)
        undo.append(lambda: self._put(name, before))

    def _put(self, name: str, away: Away | None) -> None:
        if away is None:
            self._away.pop(name, None)
        else:
            self._away[name] = away

    def balance(self, missing: set[int], now_s: int, undo: Undo) -> None:
        """Tell the calendar how many there are from now on."""
        before, after = self._steps, self._count(missing, now_s)
        moments = sorted({now_s, *(at for at, _ in (*before, *after) if at > now_s)})
        for start, end in zip(moments, [*moments[1:], FOREVER_S], strict=True):
            self._shift(start, end, _at(after, start) - _at(before, start), undo)
        self._steps = after
        undo.append(lambda: self._put_steps(before))

    def _put_steps(self, steps: _Steps) -> None:
        self._steps = steps

    def _count(self, missing: set[int], now_s: int) -> _Steps:
        if not self._away:
            return ((now_s, min(self._most, self._all - len(missing))),)
        edges = (edge for each in self._away.values() for edge in (each.start_s, each.end_s))
        steps: list[tuple[int, int]] = []
        for at in sorted({now_s, *(edge for edge in edges if edge > now_s)}):
            gone = set(missing)
            for each in self._away.values():
                if each.start_s <= at < each.end_s:
                    gone |= each.units
            steps.append((at, min(self._most, self._all - len(gone))))
        return tuple(steps)

    def _shift(self, start_s: int, end_s: int, units: int, undo: Undo) -> None:
        if units:
            self._calendar.shift(start_s, end_s, units)
            undo.append(lambda: self._calendar.shift(start_s, end_s, -units))


def _at(steps: _Steps, moment_s: int) -> int:
    """How many there are at a moment."""
    count = steps[0][1]
    for at, value in steps:
        if at > moment_s:
            break
        count = value
    return count
