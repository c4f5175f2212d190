"""The sales calendar as pictures: what is taken of each pool, over the weeks to come."""

from collections.abc import Sequence
from datetime import UTC, datetime

from craton.cli.fleet_pictures import DAY_S, WEEK_S, day, free_words, percent, stretches, unit_words
from craton.fleet.contract import CalendarView
from craton.silicon.report_charts import WIDTH, Axis, drawing
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag

_LEFT, _RIGHT = 56.0, WIDTH - 10.0
_TOP, _BOTTOM = 10.0, 120.0
_TICKS_MAX = 10


def sales(calendars: Sequence[CalendarView], end_s: int) -> Markup:
    """A chart a pool, with the same by week in figures."""
    if not calendars:
        return NOTHING
    return tag(
        "section",
        tag("h2", "Sales calendar"),
        tag(
            "p",
            "Dark is taken: promised, leased, or not in use because it broke. What lies over the "
            "dashed line was promised and can't be given.",
        ),
        *(_pool(calendar, end_s) for calendar in calendars),
        id="calendar",
    )


def _pool(view: CalendarView, end_s: int) -> Markup:
    imagined = " (simulated)" if view.is_simulated else ""
    weeks = stretches(view, end_s, WEEK_S)
    rows: list[tuple[str, ...]] = [
        (day(week.start_s), percent(week.taken_mean, view.units), free_words(week))
        for week in weeks
    ]
    heads = ("Week from (UTC)", "Taken on average", "Free all week")
    return join(
        tag("h3", f"{view.pool}{imagined}: {unit_words(view.units)}"),
        _chart(view, end_s),
        tag(
            "details",
            tag("summary", "The same in figures"),
            table(heads, rows, caption=f"{view.pool} by week", numeric=frozenset({1, 2})),
        ),
    )


def _chart(view: CalendarView, end_s: int) -> Markup:
    start_s = view.times_s[0]
    x = Axis(float(start_s), float(end_s), _LEFT, _RIGHT)
    taken = [view.units - free for free in view.free]
    most = max(view.units, *taken, 1)
    y = Axis(0.0, float(most), _BOTTOM, _TOP)
    top = y.at(view.units)
    room = tag(
        "rect",
        x=x.start,
        y=top,
        width=x.end - x.start,
        height=_BOTTOM - top,
        class_="room",
    )
    bars = [
        _bar(begin, until, units, x, y, sold=view.units)
        for begin, until, units in zip(view.times_s, [*view.times_s[1:], end_s], taken, strict=True)
        if units > 0
    ]
    over = [tag("line", x1=x.start, x2=x.end, y1=top, y2=top, class_="over")]
    weeks = stretches(view, end_s, WEEK_S)
    told = "; ".join(
        f"week from {day(week.start_s)}: {percent(week.taken_mean, view.units)} taken, "
        f"{free_words(week)} free throughout"
        for week in weeks
    )
    return drawing(
        room,
        *bars,
        *(over if most > view.units else []),
        _scale(x, y, view.units),
        height=_BOTTOM + 24,
        title=f"What is taken of {view.pool}",
        description=told,
    )


def _bar(begin_s: int, until_s: int, units: int, x: Axis, y: Axis, *, sold: int) -> Markup:
    """What is taken for one stretch of time; what is too much has a colour and place of its own."""
    left, right = x.at(begin_s), x.at(until_s)
    within = min(units, sold)
    tip = f"{_moment(begin_s)} to {_moment(until_s)} UTC: {units:,} of {sold:,} taken"
    parts = [_box(left, right, y.at(within), _BOTTOM, tip=tip, kind="sold")]
    if units > sold:
        parts.append(_box(left, right, y.at(units), y.at(sold), tip=tip, kind="short"))
    return join(*parts)


def _box(left: float, right: float, top: float, bottom: float, *, tip: str, kind: str) -> Markup:
    return tag(
        "rect",
        tag("title", tip),
        x=left,
        y=top,
        width=max(right - left, 0.5),
        height=bottom - top,
        class_=kind,
    )


def _scale(x: Axis, y: Axis, units: int) -> Markup:
    first = int(x.low) - int(x.low) % DAY_S + DAY_S
    days = range(first, int(x.high) + 1, DAY_S)
    step = max(1, -(-len(days) // _TICKS_MAX))
    dates = [
        join(
            tag("line", x1=x.at(at), x2=x.at(at), y1=_TOP, y2=_BOTTOM + 4, class_="grid"),
            tag(
                "text",
                datetime.fromtimestamp(at, UTC).strftime("%d %b"),
                x=x.at(at),
                y=_BOTTOM + 17,
                class_="tick",
                text_anchor="middle",
            ),
        )
        for at in days[::step]
    ]
    counts = [
        tag("text", f"{value:,}", x=_LEFT - 6, y=y.at(value) + 4, class_="tick", text_anchor="end")
        for value in (0, units)
    ]
    return join(*dates, *counts)


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
