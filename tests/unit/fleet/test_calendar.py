"""The skyline against a model that counts every second for itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.fleet.calendar import Calendar, Runs
from craton.kernel.errors import Conflict

LAST = 40
UNITS = 5

spans = st.tuples(st.integers(0, LAST - 1), st.integers(1, LAST)).filter(lambda s: s[0] < s[1])
promises = st.lists(st.tuples(spans, st.integers(1, UNITS)), max_size=30)
clocks = st.tuples(st.integers(0, 6), st.integers(1, 7))


def filled(wanted: list[tuple[tuple[int, int], int]]) -> tuple[Calendar, list[int]]:
    """Book what fits, in the calendar and second by second."""
    calendar, seconds = Calendar("units", UNITS), [UNITS] * LAST
    for (start, end), units in wanted:
        if min(seconds[start:end]) >= units:
            calendar.book(start, end, units)
            seconds[start:end] = [free - units for free in seconds[start:end]]
        else:
            with pytest.raises(Conflict):
                calendar.book(start, end, units)
    return calendar, seconds


@settings(max_examples=300)
@given(promises, spans)
def test_what_is_free_is_what_counting_every_second_gives(
    wanted: list[tuple[tuple[int, int], int]], asked: tuple[int, int]
) -> None:
    calendar, seconds = filled(wanted)
    assert calendar.free(*asked) == min(seconds[slice(*asked)])


@settings(max_examples=300)
@given(promises, spans, st.integers(1, UNITS + 1))
def test_runs_are_the_longest_stretches_in_which_enough_is_free(
    wanted: list[tuple[tuple[int, int], int]], asked: tuple[int, int], units: int
) -> None:
    calendar, seconds = filled(wanted)
    runs = calendar.runs(units, *asked)
    expected: list[tuple[int, int]] = []
    for second in range(*asked):
        if seconds[second] >= units:
            if expected and expected[-1][1] == second:
                expected[-1] = (expected[-1][0], second + 1)
            else:
                expected.append((second, second + 1))
    assert list(zip(runs.starts_s.tolist(), runs.ends_s.tolist(), strict=True)) == expected


@settings(max_examples=300)
@given(promises, spans, st.integers(1, 4), st.integers(1, 10), clocks)
def test_the_first_start_is_the_earliest_that_keeps_to_the_clock(
    wanted: list[tuple[tuple[int, int], int]],
    asked: tuple[int, int],
    units: int,
    duration: int,
    clock: tuple[int, int],
) -> None:
    phase, period = clock
    calendar, seconds = filled(wanted)
    runs = calendar.runs(units, *asked)
    possible = [
        start
        for start in range(asked[0], asked[1] - duration + 1)
        if (start - phase) % period == 0 and min(seconds[start : start + duration]) >= units
    ]
    first = runs.first(duration, phase_s=phase, period_s=period)
    assert first == (possible[0] if possible else None)
    assert runs.starts(duration, phase_s=phase, period_s=period, most=3) == possible[:3]


@settings(max_examples=300)
@given(promises, promises, st.integers(1, UNITS), st.integers(1, UNITS))
def test_stretches_of_two_calendars_meet_where_both_hold(
    one: list[tuple[tuple[int, int], int]],
    two: list[tuple[tuple[int, int], int]],
    units: int,
    watts: int,
) -> None:
    (first, firsts), (second, seconds) = filled(one), filled(two)
    both = first.runs(units, 0, LAST).within(second.runs(watts, 0, LAST))
    held = [firsts[at] >= units and seconds[at] >= watts for at in range(LAST)]
    covered = [False] * LAST
    for start, end in zip(both.starts_s.tolist(), both.ends_s.tolist(), strict=True):
        assert start < end
        covered[start:end] = [True] * (end - start)
    assert covered == held


@settings(max_examples=200)
@given(promises)
def test_giving_everything_back_leaves_one_step(
    wanted: list[tuple[tuple[int, int], int]],
) -> None:
    calendar = Calendar("units", UNITS)
    booked: list[tuple[int, int, int]] = []
    for (start, end), units in wanted:
        if calendar.free(start, end) >= units:
            calendar.book(start, end, units)
            booked.append((start, end, units))
    for start, end, units in reversed(booked):
        calendar.release(start, end, units)
    assert calendar.steps == 1
    assert calendar.free(0, LAST) == UNITS


@settings(max_examples=200)
@given(promises, st.integers(0, LAST - 2))
def test_forgetting_the_past_changes_nothing_after_it(
    wanted: list[tuple[tuple[int, int], int]], now: int
) -> None:
    calendar, seconds = filled(wanted)
    calendar.forget(now)
    assert [calendar.free(at, at + 1) for at in range(now, LAST)] == seconds[now:]


def test_units_that_break_after_they_were_promised_show_as_missing() -> None:
    calendar = Calendar("units", UNITS)
    calendar.book(10, 20, 5)
    calendar.book(20, 30, 3)
    calendar.shift(15, 25, -3)
    assert calendar.short(0, 40) == [(15, 20, 3), (20, 25, 1)]
    assert calendar.free(0, 40) == -3


def test_a_refusal_says_how_many_are_free_and_what_to_do() -> None:
    calendar = Calendar("trn2.48xlarge in site-a", 4)
    calendar.book(0, 10, 3)
    with pytest.raises(Conflict, match=r"trn2\.48xlarge in site-a: 2 asked for, and 1 free"):
        calendar.book(5, 15, 2)
    assert calendar.free(10, 15) == 4


def test_no_time_has_no_answer() -> None:
    calendar = Calendar("units", 4)
    with pytest.raises(ValueError, match="no time from 5 to 5"):
        calendar.free(5, 5)
    with pytest.raises(ValueError, match="no time from -1 to 5"):
        calendar.free(-1, 5)


def test_a_clock_that_is_set_back_finds_the_past_as_it_is_known_now() -> None:
    calendar = Calendar("units", 4)
    calendar.book(1, 3, 4)
    calendar.book(3, 9, 1)
    calendar.forget(5)
    assert (calendar.free(0, 5), calendar.steps) == (3, 2)
    calendar.release(2, 9, 1)
    assert (calendar.free(0, 1), calendar.free(2, 9)) == (3, 4)


def test_a_calendar_grows_with_what_is_in_it() -> None:
    calendar = Calendar("units", 1000)
    for at in range(500):
        calendar.book(at * 2, at * 2 + 1, at % 7 + 1)
    assert calendar.steps == 1000
    assert calendar.free(0, 1000) == 993


def test_no_stretch_meets_nothing() -> None:
    none = Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    some = Calendar("units", 1).runs(1, 0, 10)
    assert len(none.within(some)) == len(some.within(none)) == 0
    assert none.first(1) is None


@given(promises, st.integers(1, LAST - 2), st.dictionaries(st.integers(1, LAST), st.integers(1, 3)))
def test_taking_until_many_ends_is_taking_until_each(
    wanted: list[tuple[tuple[int, int], int]], start: int, ends: dict[int, int]
) -> None:
    ends = {end: units for end, units in sorted(ends.items()) if end > start}
    at_once, one_by_one = filled(wanted)[0], filled(wanted)[0]
    at_once.take_until(start, np.array(list(ends), np.int64), np.array(list(ends.values())))
    for end, units in ends.items():
        one_by_one.shift(start, end, -units)
    assert at_once.steps == one_by_one.steps
    for calendar in (at_once, one_by_one):
        calendar.shift(start, LAST, 1)  # it can still be written to
    assert [each.tolist() for each in at_once.skyline(0, LAST)] == [
        each.tolist() for each in one_by_one.skyline(0, LAST)
    ]
