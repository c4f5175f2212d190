import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from craton.fleet.calendar import FOREVER_S, Calendar
from craton.fleet.occupancy import Occupancy
from craton.store.undo import take_back

UNITS, UNIT_W, HORIZON_S = 12, 700, 90


@dataclass
class Sitting:
    """Who sits where until when, as plain as it can be said: what an Occupancy must come to."""

    now_s: int = 1
    ends: dict[int, dict[str, int]] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)

    def free(self, at_s: int) -> int:
        """Units not held at a moment, of those that count."""
        return UNITS - sum(
            self.is_held(unit, at_s) for unit in range(UNITS) if unit not in self.apart
        )

    def drawing(self, at_s: int) -> int:
        return sum(self.is_held(unit, at_s) for unit in range(UNITS))

    def is_held(self, unit: int, at_s: int) -> bool:
        return any(at_s < end for end in self.ends.get(unit, {}).values())


class Sat:
    """An occupancy and its plain twin, driven together."""

    def __init__(self) -> None:
        self.calendar = Calendar("units", UNITS)
        self.watts = Calendar("watts", UNITS * UNIT_W)
        self.occupancy = Occupancy(UNITS, self.calendar, self.watts, UNIT_W)
        self.plain = Sitting()
        self.held: dict[str, list[int]] = {}
        self.number = 0

    def hold(self, units: list[int], until_s: int | None, undo: list[Callable[[], None]]) -> str:
        self.number += 1
        holder = f"lease-{self.number}"
        self.occupancy.hold(holder, array(units), self.plain.now_s, until_s, undo)
        for unit in units:
            self.plain.ends.setdefault(unit, {})[holder] = until_s or FOREVER_S
        self.held[holder] = units
        return holder

    def drop(self, holder: str, undo: list[Callable[[], None]]) -> None:
        units = self.held.pop(holder)
        self.occupancy.drop(holder, array(units), self.plain.now_s, undo)
        for unit in units:
            del self.plain.ends[unit][holder]

    def set_apart(self, unit: int, undo: list[Callable[[], None]]) -> None:
        if unit in self.plain.apart:
            self.occupancy.count_again(unit, self.plain.now_s, undo)
            self.plain.apart.discard(unit)
        else:
            self.occupancy.set_apart(unit, self.plain.now_s, undo)
            self.plain.apart.add(unit)

    def check(self) -> None:
        for at_s in range(self.plain.now_s, HORIZON_S):
            assert self.calendar.free(at_s, at_s + 1) == self.plain.free(at_s), at_s
            drawn_w = UNITS * UNIT_W - self.watts.free(at_s, at_s + 1)
            assert drawn_w == UNIT_W * self.plain.drawing(at_s), at_s


def array(units: list[int]) -> np.ndarray:
    return np.array(units, np.int32)


def some(rng: random.Random) -> list[int]:
    return sorted(rng.sample(range(UNITS), rng.randint(1, 6)))


def step(rng: random.Random, sat: Sat) -> list[Callable[[], None]]:
    undo: list[Callable[[], None]] = []
    kind = rng.choice(("hold", "hold", "drop", "drop", "apart"))
    if kind == "hold":
        until_s = rng.choice((None, sat.plain.now_s + rng.randint(1, 60)))
        sat.hold(some(rng), until_s, undo)
    elif kind == "drop" and sat.held:
        sat.drop(rng.choice(sorted(sat.held)), undo)
    elif kind == "apart":
        sat.set_apart(rng.randrange(UNITS), undo)
    return undo


@pytest.mark.parametrize("seed", range(8))
def test_what_is_free_and_drawn_is_what_those_who_sit_there_leave(seed: int) -> None:
    rng = random.Random(seed)
    sat = Sat()
    for _ in range(40):
        step(rng, sat)
        sat.check()
        sat.plain.now_s = min(sat.plain.now_s + rng.randint(0, 2), HORIZON_S - 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_step_that_is_taken_back_leaves_no_trace(seed: int) -> None:
    rng = random.Random(seed)
    sat = Sat()
    for _ in range(40):
        step(rng, sat)
    before = [each.tolist() for each in sat.calendar.skyline(sat.plain.now_s, FOREVER_S)]
    state = Counter(sat.occupancy.end(unit) for unit in range(UNITS)), dict(sat.held)
    undo = [back for _ in range(10) for back in step(rng, sat)]
    take_back(undo)
    after = [each.tolist() for each in sat.calendar.skyline(sat.plain.now_s, FOREVER_S)]
    assert after == before
    assert Counter(sat.occupancy.end(unit) for unit in range(UNITS)) == state[0]
    for holder, units in state[1].items():
        sat.occupancy.drop(holder, array(units), sat.plain.now_s, [])
    assert len(sat.occupancy) == 0


def test_what_fits_is_what_holding_would_leave_at_least_nothing_of() -> None:
    rng = random.Random(6)
    answers: Counter[bool] = Counter()
    for _ in range(300):
        sat = Sat()
        for _ in range(rng.randint(0, 6)):
            step(rng, sat)
        for _ in range(rng.randint(0, 9)):  # promises, which count units and watts
            start, units = rng.randint(1, 60), rng.randint(1, 4)
            sat.calendar.shift(start, start + 30, -units)
            sat.watts.shift(start, start + 30, -units * UNIT_W)
        units, until_s = some(rng), sat.plain.now_s + rng.randint(1, 60)
        fits = sat.occupancy.fits(array(units), sat.plain.now_s, until_s)
        now_s = sat.plain.now_s
        before = min(sat.calendar.free(now_s, until_s), sat.watts.free(now_s, until_s))
        sat.hold(units, until_s, [])
        least = min(sat.calendar.free(now_s, until_s), sat.watts.free(now_s, until_s))
        # Holding what is held already takes nothing, even where too much is promised.
        if before >= 0:
            assert fits == (least >= 0)
            answers[fits] += 1
    assert min(answers.values()) > 20


def test_a_unit_that_two_sit_on_is_taken_until_the_last_of_them_ends() -> None:
    sat = Sat()
    first = sat.hold([0, 1], 50, [])
    second = sat.hold([1, 2], 80, [])
    assert [sat.occupancy.end(unit) for unit in range(3)] == [50, 80, 80]
    sat.drop(second, [])
    assert [sat.occupancy.end(unit) for unit in range(3)] == [50, 50, 0]
    sat.drop(first, [])
    assert len(sat.occupancy) == 0
    sat.check()


def test_who_held_before_is_entered_at_once_as_one_after_the_other() -> None:
    rng = random.Random(3)
    for _ in range(30):
        now_s = 20
        held = [
            (f"lease-{number}", array(some(rng)), rng.choice((None, 10, 20, 21, 40, 60)))
            for number in range(rng.randint(0, 8))
        ]
        one_by_one, at_once = Sat(), Sat()
        for sat in (one_by_one, at_once):
            sat.calendar.shift(30, 50, -3)  # a promise
        for holder, units, until_s in held:
            one_by_one.occupancy.hold(holder, units, now_s, until_s, [])
        at_once.occupancy.restore(held, now_s)
        assert state_of(at_once, now_s) == state_of(one_by_one, now_s)
        for holder, units, _ in rng.sample(held, len(held)):
            for sat in (one_by_one, at_once):
                sat.occupancy.drop(holder, units, now_s + 5, [])
            assert state_of(at_once, now_s + 5) == state_of(one_by_one, now_s + 5)


def state_of(sat: Sat, now_s: int) -> tuple[list[list[int]], ...]:
    return (
        [each.tolist() for each in sat.calendar.skyline(now_s, FOREVER_S)],
        [each.tolist() for each in sat.watts.skyline(now_s, FOREVER_S)],
        [[sat.occupancy.end(unit) for unit in range(UNITS)]],
    )
