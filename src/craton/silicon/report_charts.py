"""Axes and frames of charts: where a value stands, which ticks to write, how labels keep apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from craton.silicon.report_markup import Markup, join, tag
from craton.silicon.report_text import number

WIDTH = 860.0
"""Of every chart, in its own pixels; the page scales it."""

SERIES = 8
"""Colours of the style sheet (`--s0` and on); shapes and dashes tell series apart besides."""

DASHES = (None, "7 3", "2 3", "9 3 2 3", "12 4", "4 4")


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values along a line of pixels."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`; above `start` in value where the axis points right, below where up."""
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the range, few enough to read."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def linear(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis from zero to a little above the greatest value."""
    high = max(values, default=1.0) or 1.0
    return Axis(0.0, high * 1.05, start, end)


def logarithmic(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis around positive values, at least a factor of four wide."""
    low, high = min(values), max(values)
    middle = math.sqrt(low * high)
    return Axis(min(low / 1.15, middle / 2), max(high * 1.15, middle * 2), start, end, log=True)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * size >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high / low)
    multiples = (1.0, 2.0, 5.0) if decades <= 2.5 else (1.0, 3.0) if decades <= 4 else (1.0,)
    found = [
        multiple * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for multiple in multiples
    ]
    return [tick for tick in found if low <= tick <= high]


def grid(x: Axis, y: Axis, *, x_title: str, y_title: str) -> Markup:
    """The lines, the ticks and the titles of a chart with two axes."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts = [
        join(
            tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid"),
            tag("text", number(tick), x=at, y=bottom + 16, class_="tick", text_anchor="middle"),
        )
        for tick, at in ((tick, x.at(tick)) for tick in x.ticks())
    ]
    parts += [
        join(
            tag("line", x1=left, x2=right, y1=at, y2=at, class_="grid"),
            tag("text", number(tick), x=left - 7, y=at + 4, class_="tick", text_anchor="end"),
        )
        for tick, at in ((tick, y.at(tick)) for tick in y.ticks())
    ]
    parts += [
        tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"),
        tag("line", x1=left, x2=left, y1=top, y2=bottom, class_="axis"),
        tag(
            "text",
            x_title,
            x=(left + right) / 2,
            y=bottom + 36,
            class_="title",
            text_anchor="middle",
        ),
        tag("text", y_title, x=left - 48, y=top - 12, class_="title"),
    ]
    return join(*parts)


def drawing(*parts: str, height: float, title: str, description: str) -> Markup:
    """One chart, with the words a reader who doesn't see it is given."""
    return tag(
        "div",
        tag(
            "svg",
            tag("title", title),
            tag("desc", description),
            *parts,
            viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
            role="img",
            aria_label=f"{title}. {description}",
        ),
        class_="chart",
    )


_SHAPES = {
    "circle": "M-{r},0a{r},{r} 0 1,0 {d},0a{r},{r} 0 1,0 -{d},0Z",
    "square": "M-{r},-{r}h{d}v{d}h-{d}Z",
    "diamond": "M0,-{u}L{u},0L0,{u}L-{u},0Z",
    "up": "M0,-{u}L{u},{r}L-{u},{r}Z",
    "down": "M0,{u}L{u},-{r}L-{u},-{r}Z",
    "plus": "M-{u},-{t}H-{t}V-{u}H{t}V-{t}H{u}V{t}H{t}V{u}H-{t}V{t}H-{u}Z",
    "hourglass": "M-{u},-{u}H{u}L-{u},{u}H{u}Z",
}
SHAPES = tuple(_SHAPES)


def marker(shape: str, x: float, y: float, *, size: float = 4.5, **attributes: object) -> Markup:
    """A mark of one of `SHAPES`; what hovering tells comes as the attribute `data_tip`."""
    sizes = {"r": size, "d": 2 * size, "u": 1.25 * size, "t": 0.45 * size}
    path = _SHAPES[shape].format(**{key: f"{value:.1f}" for key, value in sizes.items()})
    tip = attributes.get("data_tip")
    told = (tag("title", str(tip)),) if tip is not None else ()
    return tag("path", *told, d=path, transform=f"translate({x:.1f},{y:.1f})", **attributes)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, `gap` apart, between `low` and `high` if all fit."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    least = low
    for index in order:
        placed[index] = max(wanted[index], least)
        least = placed[index] + gap
    most = high
    for index in reversed(order):
        placed[index] = min(placed[index], most)
        most = placed[index] - gap
    return placed


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that a label or a mark takes."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two share any room."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


LETTER = 7.2
"""Pixels a letter of a label takes at most, on the mean; fonts differ."""


def beside(
    marks: Sequence[tuple[float, float, float, str]], room: Box
) -> list[tuple[float, float] | None]:
    """Where each mark's label starts (left end, baseline): right, left, over or under the mark.

    A mark is its x, y, radius and label. Earlier marks choose first; None where a label would
    cover something or leave the room.
    """
    taken = [Box(x - size, y - size, x + size, y + size) for x, y, size, _ in marks]
    found: list[tuple[float, float] | None] = []
    for index, (x, y, size, text) in enumerate(marks):
        width = len(text) * LETTER
        starts = (
            (x + size + 4, y + 4),
            (x - size - 4 - width, y + 4),
            (x - width / 2, y - size - 5),
            (x - width / 2, y + size + 13),
            (x + size - width, y - size - 5),
            (x + size - width, y + size + 13),
            (x - size, y - size - 19),
            (x - size, y + size + 27),
        )
        others = taken[:index] + taken[index + 1 :]
        spot = next((s for s in starts if _is_free(_box(s, width), others, room)), None)
        if spot is not None:
            taken.append(_box(spot, width))
        found.append(spot)
    return found


def _box(start: tuple[float, float], width: float) -> Box:
    return Box(start[0], start[1] - 11, start[0] + width, start[1] + 3)


def _is_free(box: Box, others: Sequence[Box], room: Box) -> bool:
    inside = (
        box.left >= room.left
        and box.right <= room.right
        and box.top >= room.top
        and box.bottom <= room.bottom
    )
    return inside and not any(box.meets(other) for other in others)
