"""The front of cost against interactivity, a line for each chip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from craton.silicon.quote import Point, Quote, ServingJob, ServingPlan
from craton.silicon.report_charts import (
    DASHES,
    SERIES,
    SHAPES,
    WIDTH,
    Axis,
    drawing,
    grid,
    linear,
    logarithmic,
    marker,
    spread,
)
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_text import UNKNOWN, number, split_of

_HEIGHT = 430.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, WIDTH - 120.0, 34.0, _HEIGHT - 52.0
_NAME_GAP = 15.0
DRAWN_FIRST = 6
"""Chips drawn from the start; a reader switches the others on."""


@dataclass(frozen=True, slots=True)
class Line:
    """One chip's points, from the least interactive, and how they are drawn."""

    chip: str
    number: int
    points: tuple[Point, ...]

    @property
    def colour(self) -> str:
        """A colour of the style sheet."""
        return f"var(--s{self.number % SERIES})"

    @property
    def shape(self) -> str:
        """Of its marks; with the dash it tells chips apart that share a colour."""
        return SHAPES[self.number % len(SHAPES)]

    @property
    def is_first(self) -> bool:
        """Whether it is drawn from the start, with its name at its end."""
        return self.number < DRAWN_FIRST

    @property
    def dash(self) -> str | None:
        """Of its line."""
        return DASHES[self.number % len(DASHES)]


def lines(quote: Quote) -> list[Line]:
    """The chips of the front: those with a plan in the plans' order, then by their least cost."""
    others = sorted(quote.front, key=lambda point: _cost(point) or inf)
    ranked = dict.fromkeys([plan.chip for plan in quote.plans] + [p.chip for p in others])
    found: list[Line] = []
    for chip in ranked:
        points = sorted(
            (p for p in quote.front if p.chip == chip and _is_drawable(p)),
            key=lambda point: point.tokens_s_user,
        )
        if points:
            found.append(Line(chip, len(found), tuple(points)))
    return found


def front(quote: Quote) -> Markup:
    """Both views of the front (cost, throughput of a chip), and the figures behind them."""
    drawn = lines(quote)
    if not drawn or not isinstance(quote.job, ServingJob):
        return NOTHING
    views: list[Markup] = []
    if any(_cost(point) for line in drawn for point in line.points):
        views.append(_cost_view(quote, drawn))
    views.append(_throughput_view(quote, drawn))
    return tag(
        "section",
        tag("h2", "Cost against interactivity"),
        tag(
            "p",
            "Each mark is the best a chip does at that speed for one user: towards the right, "
            "people wait less; lower costs less. The further a line reaches to the lower right, "
            "the better the chip for this model and load. These are estimates at full load, "
            "without their intervals; the plans below have theirs.",
        ),
        _others(len(drawn) - DRAWN_FIRST),
        _switches(drawn),
        *views,
        _figures(drawn),
        id="front",
    )


def _others(count: int) -> Markup:
    if count <= 0:
        return NOTHING
    others = f"{count} others" if count > 1 else "one other"
    told = f"The {DRAWN_FIRST} chips that rank best are drawn; the buttons show {others}, and the"
    return tag("p", f"{told} figures below the charts have all.")


def _is_drawable(point: Point) -> bool:
    return 0 < point.tokens_s_user < inf and 0 <= point.tokens_s_chip < inf


def _cost(point: Point) -> float | None:
    """The cost; None where it isn't known, or has no place on a logarithmic axis."""
    usd = point.usd_million_tokens
    return usd if usd is not None and 0 < usd < inf else None


def _chosen(quote: Quote) -> tuple[float, float] | None:
    """Where the best plan stands."""
    best = quote.plans[0] if quote.plans else None
    if not isinstance(best, ServingPlan) or best.usd_million_tokens is None:
        return None
    speed, usd = best.itl_ms.value, best.usd_million_tokens.value
    return (1000 / speed, usd) if 0 < speed < inf and 0 < usd < inf else None


def _cost_view(quote: Quote, drawn: Sequence[Line]) -> Markup:
    placed = {
        line.chip: [(p, cost) for p in line.points if (cost := _cost(p)) is not None]
        for line in drawn
    }
    costs = [cost for points in placed.values() for _, cost in points]
    chosen = _chosen(quote)
    if chosen is not None:
        costs = [*costs, chosen[1]]
    unpriced = [line.chip for line in drawn if not placed[line.chip]]
    notes = (
        [f"No price under these terms is known for {', '.join(unpriced)}: not drawn here."]
        if unpriced
        else []
    )
    if chosen is not None:
        notes.append(_of_the_ring(quote))
    return _view(
        quote,
        [(line, [(p.tokens_s_user, cost, p) for p, cost in placed[line.chip]]) for line in drawn],
        y=logarithmic(costs, _BOTTOM, _TOP),
        y_title="$ per million output tokens",
        title="Cost against interactivity, by chip",
        chosen=chosen,
        note=" ".join(notes),
    )


def _of_the_ring(quote: Quote) -> str:
    """Why the best plan need not lie on its chip's line."""
    best = quote.plans[0]
    apart = isinstance(best, ServingPlan) and best.prefill_layout is not None
    rest = "; it has prefill and decode apart, the lines have them together." if apart else "."
    return "The ring is the best plan, at the load asked for" + rest


def _throughput_view(quote: Quote, drawn: Sequence[Line]) -> Markup:
    rates = [point.tokens_s_chip for line in drawn for point in line.points]
    return _view(
        quote,
        [(line, [(p.tokens_s_user, p.tokens_s_chip, p) for p in line.points]) for line in drawn],
        y=linear(rates, _BOTTOM, _TOP),
        y_title="Output tokens a second from one chip",
        title="Throughput of a chip against interactivity",
        chosen=None,
        note="",
    )


def _view(
    quote: Quote,
    placed: Sequence[tuple[Line, Sequence[tuple[float, float, Point]]]],
    *,
    y: Axis,
    y_title: str,
    title: str,
    chosen: tuple[float, float] | None,
    note: str,
) -> Markup:
    speeds = [at for _, points in placed for at, _, _ in points]
    x = linear([*speeds, chosen[0]] if chosen else speeds, _LEFT, _RIGHT)
    shown = [(line, points) for line, points in placed if points]
    named = [line for line, _ in shown if line.is_first]
    ends = [y.at(points[-1][1]) for line, points in shown if line.is_first]
    placed_at = dict(zip(named, spread(ends, _NAME_GAP, _TOP + 4, _BOTTOM), strict=True))
    parts = [
        grid(x, y, x_title="Output tokens a second for one user", y_title=y_title),
        _limit(quote.job, x, y),
    ]
    # The best chip is drawn last, over the others.
    for line, points in reversed(shown):
        parts.append(_drawn(line, points, x, y, name_at=placed_at.get(line), y_title=y_title))
    if chosen:
        tip = f"The best plan: {number(chosen[0])} tokens/s a user, ${number(chosen[1])}"
        parts.append(_ring(x.at(chosen[0]), y.at(chosen[1]), tip))
    description = f"Chips: {', '.join(line.chip for line, _ in shown)}. {note}"
    return tag(
        "figure",
        drawing(*parts, height=_HEIGHT, title=title, description=description),
        tag("figcaption", f"{title}. {note}"),
    )


def _drawn(
    line: Line,
    points: Sequence[tuple[float, float, Point]],
    x: Axis,
    y: Axis,
    *,
    name_at: float | None,
    y_title: str,
) -> Markup:
    places = [(x.at(across), y.at(up)) for across, up, _ in points]
    path = " ".join(f"{at:.1f},{up:.1f}" for at, up in places)
    marks = (
        marker(
            line.shape,
            *place,
            class_="mark",
            fill=line.colour,
            data_tip=f"{line.chip} {split_of(p.layout)}, batch {number(p.batch)}: "
            f"{number(across)} tokens/s a user; {y_title}: {number(up)}",
        )
        for place, (across, up, p) in zip(places, points, strict=True)
    )
    return tag(
        "g",
        tag("polyline", points=path, class_="line", stroke=line.colour, stroke_dasharray=line.dash),
        *marks,
        NOTHING if name_at is None else _name(line, places[-1], name_at),
        data_chip=line.chip,
        style=None if line.is_first else "display:none",
    )


def _name(line: Line, end: tuple[float, float], at: float) -> Markup:
    """The chip's name beside the chart, tied to the end of its line."""
    tie = f"{end[0] + 6:.1f},{end[1]:.1f} {_RIGHT + 2:.1f},{at:.1f} {_RIGHT + 8:.1f},{at:.1f}"
    return join(
        tag("polyline", points=tie, class_="leader"),
        marker(line.shape, _RIGHT + 16, at, size=4, fill=line.colour),
        tag("text", line.chip, x=_RIGHT + 24, y=at + 4, class_="name"),
    )


def _limit(job: object, x: Axis, y: Axis) -> Markup:
    """The slowest speed the job allows."""
    if not isinstance(job, ServingJob) or not job.itl_limit_ms:
        return NOTHING
    at = 1000 / job.itl_limit_ms
    if not x.low <= at <= x.high:
        return NOTHING
    return join(
        tag(
            "rect",
            x=x.start,
            y=y.end,
            width=max(x.at(at) - x.start, 0.0),
            height=y.start - y.end,
            class_="outside",
        ),
        tag("line", x1=x.at(at), x2=x.at(at), y1=y.end, y2=y.start, class_="limit"),
        tag(
            "text",
            f"ITL limit {number(job.itl_limit_ms)} ms",
            x=x.at(at) + 5,
            y=y.end + 11,
            class_="limit-name",
        ),
    )


def _ring(x: float, y: float, tip: str) -> Markup:
    return join(
        tag("circle", tag("title", tip), cx=x, cy=y, r=9, class_="chosen", data_tip=tip),
        tag("text", "best plan", x=x, y=y - 14, class_="limit-name", text_anchor="middle"),
    )


def _switches(drawn: Iterable[Line]) -> Markup:
    """One button a chip, with its mark; without scripts they are not shown."""
    buttons = (
        tag(
            "button",
            tag(
                "svg",
                marker(line.shape, 7, 7, fill=line.colour),
                viewBox="0 0 14 14",
                aria_hidden="true",
            ),
            line.chip,
            type="button",
            data_switch=line.chip,
            aria_pressed=str(line.is_first).lower(),
        )
        for line in drawn
    )
    return tag(
        "div", *buttons, class_="switches", role="group", aria_label="Chips shown", hidden=""
    )


def _figures(drawn: Iterable[Line]) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            point.chip,
            split_of(point.layout),
            number(point.batch),
            number(point.tokens_s_user),
            number(point.tokens_s_chip),
            UNKNOWN if point.usd_million_tokens is None else number(point.usd_million_tokens),
        )
        for line in drawn
        for point in line.points
    ]
    heads = ("Chip", "Split", "Batch", "Tokens/s a user", "Tokens/s a chip", "$/M tokens")
    return tag(
        "details",
        tag("summary", "The figures of these charts"),
        table(heads, rows, caption="Fronts, by chip", numeric=frozenset({2, 3, 4, 5})),
    )
