"""The fleet in characters and as a page: read without colours, and simulated says so."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.cli.fleet_pictures import (
    DAY_S,
    ROWS_SHOWN_MAX,
    TOO_MANY,
    WEEK_S,
    bar,
    calendar_lines,
    heat_map,
    kilowatts,
    percent,
    power,
    shade,
    step_of,
    stretches,
)
from craton.cli.fleet_pictures_page import page
from craton.fleet.contract import CalendarView
from tests.fakes.fleet_views import MIDNIGHT_S, calendar, fleet, pool, rack, row, site

END_S = MIDNIGHT_S + 14 * DAY_S


def test_a_rack_is_as_dark_as_it_is_full_and_marked_where_something_is_wrong() -> None:
    lines = list(heat_map(fleet(), 120))
    assert lines[:2] == ["local/here: 0 of 1 chips, 0 kW, no cap", "  ·"]
    assert lines[2] == "north/a: 160 of 384 chips, 25 kW of 100 kW (25 %) (simulated)"
    assert lines[3] == "  ·~░~▒~▓~█!·+"


@pytest.mark.parametrize(
    ("taken", "dark"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2), (33, 3), (63, 3), (64, 4)]
)
def test_the_lightest_means_nothing_and_the_darkest_means_all(taken: int, dark: int) -> None:
    assert shade(taken, 64) == dark


def test_a_row_of_many_racks_goes_on_in_the_next_line() -> None:
    racks = [rack(f"north/a/t{n}") for n in range(50)]
    lines = list(heat_map(fleet(rows=[row("a", racks)]), 42))
    assert [len(line) for line in lines[1:]] == [42, 42, 22]


def test_more_rows_than_can_be_read_are_counted_and_the_way_to_them_is_told() -> None:
    rows = [row(f"r{n}", [rack(f"north/r{n}/t1")]) for n in range(ROWS_SHOWN_MAX + 3)]
    lines = list(heat_map(fleet(rows=rows), 80))
    assert len(lines) == 2 * ROWS_SHOWN_MAX + 1
    assert lines[-1].startswith(f"3 more rows, such as north/r{ROWS_SHOWN_MAX}")


def test_racks_that_were_not_told_are_asked_for_by_site_or_row() -> None:
    assert list(heat_map(fleet(rows=[]), 80)) == [TOO_MANY]
    assert TOO_MANY in page(fleet(rows=[]), [], path="", end_s=END_S, at_ms=1)


def test_power_and_shares_say_only_what_is_so() -> None:
    assert power(1_500, None) == "1.5 kW, no cap"
    assert power(2_000_000, 17_000_000) == "2,000 kW of 17,000 kW (12 %)"
    assert [kilowatts(w) for w in (0, 900, 10_000)] == ["0 kW", "0.9 kW", "10 kW"]
    assert [percent(p, 1000) for p in (0, 1, 500, 999, 1000)] == [
        "0 %",
        "<1 %",
        "50 %",
        ">99 %",
        "100 %",
    ]


def test_a_calendar_has_a_line_a_day_for_two_weeks_and_else_a_line_a_week() -> None:
    assert (step_of(2), step_of(3)) == (DAY_S, WEEK_S)
    title, head, *days = calendar_lines(calendar(), MIDNIGHT_S + 5 * DAY_S, DAY_S)
    assert title == "north/u-trn2x64 (simulated): 9 units to promise"
    assert head.endswith("FREE ALL DAY")
    assert [line.split()[-3:] for line in days[:2]] == [["33", "%", "3"], ["83", "%", "0"]]
    assert days[2].endswith("2 too few")
    assert days[4].endswith("0 %                9")
    assert len(list(calendar_lines(calendar(), END_S, WEEK_S))) == 4
    one = calendar(units=1, times_s=[MIDNIGHT_S], free=[1], is_simulated=False)
    assert next(calendar_lines(one, END_S, WEEK_S)) == "north/u-trn2x64: 1 unit to promise"


def test_a_bar_is_full_for_all_and_empty_for_nothing() -> None:
    assert bar(9, 9, 4) == "████"
    assert bar(0, 9, 4) == "░░░░"
    assert bar(5, 10, 4) == "██░░"
    assert bar(0, 0, 4) == "░░░░"


@given(
    free=st.lists(st.integers(-3, 9), min_size=1, max_size=12),
    gaps=st.lists(st.integers(1, 3 * DAY_S), min_size=12, max_size=12),
    late_s=st.integers(0, DAY_S - 1),
    step_s=st.sampled_from([DAY_S, WEEK_S]),
)
def test_each_stretch_counts_what_a_look_at_each_moment_would(
    free: list[int], gaps: list[int], late_s: int, step_s: int
) -> None:
    times = [MIDNIGHT_S + late_s]
    for gap in gaps[: len(free) - 1]:
        times.append(times[-1] + gap)
    end_s = times[-1] + gaps[-1]
    view = CalendarView("p", 9, times, free, False)
    found = stretches(view, end_s, step_s)
    assert (found[0].start_s, found[-1].end_s) == (times[0], end_s)
    for one, other in pairwise(found):
        assert one.end_s == other.start_s
        assert (other.start_s - MIDNIGHT_S) % step_s == 0
    pieces = list(zip(times, [*times[1:], end_s], free, strict=True))
    for each in found:
        inside = [
            (min(until, each.end_s) - max(begin, each.start_s), left)
            for begin, until, left in pieces
            if begin < each.end_s and until > each.start_s
        ]
        taken = sum(seconds * (9 - max(left, 0)) for seconds, left in inside)
        assert each.free_throughout == min(left for _, left in inside)
        assert each.taken_mean == pytest.approx(taken / (each.end_s - each.start_s))


class Reader(HTMLParser):
    """Collects a page's tags and whether they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.classes += [values["class"] or ""] if "class" in values else []
        if tag in ("script", "img", "link", "iframe") or "src" in values or "href" in values:
            self.loads.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def made(**changed: object) -> str:
    return page(fleet(**changed), [calendar()], path="", end_s=END_S, at_ms=MIDNIGHT_S * 1000)


def test_the_page_is_whole_and_loads_nothing() -> None:
    reader = Reader(made())
    assert reader.open == []
    assert reader.loads == []
    assert "default-src &#x27;none&#x27;" in made()


def test_the_page_draws_each_rack_and_what_is_wrong_with_it() -> None:
    classes = Reader(made()).classes
    legend = {"rack": 5, "rack imagined": 1, "broken": 1, "spare": 1, "taken": 2}
    drawn = {kind: classes.count(kind) - count for kind, count in legend.items()}
    assert drawn == {"rack": 1, "rack imagined": 6, "broken": 1, "spare": 1, "taken": 4}
    text = made()
    assert "north/a/t5: 64 of 64 chips taken, 1 of 4 hosts set aside or broken (simulated)" in text
    assert "160 of 385 chips are taken." in text


def test_the_page_says_what_is_simulated_and_what_is_short() -> None:
    text = made(pools=[pool(offered_units=7)])
    assert "north is simulated: nothing there exists" in text
    assert "north/u-trn2x64 has 2 units less to promise" in text
    real = fleet(sites=[site(is_simulated=False)], pools=[pool(is_simulated=False)])
    assert "simulated: nothing" not in page(real, [], path="", end_s=END_S, at_ms=1)


def test_the_calendar_shows_what_was_promised_and_cannot_be_given() -> None:
    text = made()
    assert "11 of 9 taken" in text
    assert Reader(text).classes.count("short") == 1
    whole = calendar(free=[9, 3, 0, 0, 9])
    calm = page(fleet(), [whole], path="", end_s=END_S, at_ms=1)
    assert Reader(calm).classes.count("short") == 0


def test_words_from_elsewhere_stay_words() -> None:
    view = fleet(pools=[pool("north/<b>x</b>")])
    text = page(view, [], path="<i>", end_s=END_S, at_ms=1)
    assert "<b>" not in text
    assert "<i>" not in text


def test_a_big_fleet_is_a_page_of_a_few_megabytes() -> None:
    rows = [
        row(f"r{n}", [rack(f"north/r{n}/t{m}", chips_taken=48) for m in range(100)])
        for n in range(20)
    ]
    text = page(fleet(rows=rows), [], path="", end_s=END_S, at_ms=1)
    per_rack = len(text) / 2000
    assert per_rack < 320
    assert re.search(r"<title>The fleet</title>", text)
