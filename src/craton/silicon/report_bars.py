"""Bars: what fills a chip's memory, where the time of a step goes, and how sure a ranking is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate
from craton.silicon.quote import Quote, ServingPlan, TrainingPlan
from craton.silicon.report_charts import LETTER, SERIES, WIDTH, Axis, drawing, linear, logarithmic
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_text import (
    FREE,
    called,
    duration,
    interval,
    named,
    number,
    ranking,
    split,
    used_gib,
)

_BAR = 34.0
_PLANS_SHOWN = 10
_SPREAD_LOG = 8.0
"""From this ratio of the greatest to the least on, intervals are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar."""

    name: str
    size: float
    words: str
    """Its size with the unit."""


def memory(plan: ServingPlan | TrainingPlan, chip: Chip | None) -> Markup:
    """What one chip's memory holds."""
    parts = [Part(s.name, s.gib, f"{number(s.gib)} GiB") for s in plan.memory if s.name != FREE]
    if not parts:
        return NOTHING
    used = used_gib(plan.memory)
    whole = max(chip.memory_gib.value, used) if chip is not None else used
    told = f"{number(used)} of {number(whole)} GiB" if chip is not None else f"{number(used)} GiB"
    return tag(
        "section",
        tag("h2", "Memory of one chip"),
        tag("p", f"The fullest chip of a replica holds {told}.")
        if isinstance(plan, ServingPlan)
        else tag("p", f"The fullest chip holds {told}."),
        _bar(parts, whole=whole, title=f"Memory: {told}", rest="free"),
        _key(parts, whole, heads=("Held", "Size", "Of the chip"), caption="Memory of one chip"),
        id="memory",
    )


def timeline(plan: ServingPlan | TrainingPlan) -> Markup:
    """Where the time goes: a bar for prefill and one for decode, or one for a training step."""
    terms = [term for term in plan.terms if term.seconds > 0]
    if not terms:
        return NOTHING
    if isinstance(plan, TrainingPlan):
        parts = [Part(named(t), t.seconds, duration(t.seconds)) for t in terms]
        bars = [_timed("One step", parts)]
    else:
        bars = [
            _timed(
                phase.capitalize(),
                [
                    Part(called(t), t.seconds, duration(t.seconds))
                    for t in terms
                    if t.phase == phase
                ],
            )
            for phase in dict.fromkeys(term.phase for term in terms)
        ]
    own = " Each bar has its own scale." if len(bars) > 1 else ""
    return tag(
        "section",
        tag("h2", "Timeline of a step"),
        tag("p", f"Where the time goes, as far as it isn't hidden behind something else.{own}"),
        *bars,
        id="timeline",
    )


def _timed(name: str, parts: Sequence[Part]) -> Markup:
    whole = sum(part.size for part in parts)
    title = f"{name}: {duration(whole)}"
    return join(
        tag("h3", title),
        _bar(parts, whole=whole, title=title, rest=""),
        _key(parts, whole, heads=("Part", "Time", "Share"), caption=f"Time of {name.lower()}"),
    )


def _bar(parts: Sequence[Part], *, whole: float, title: str, rest: str) -> Markup:
    """Pieces side by side, numbered as in the table under them."""
    axis = Axis(0.0, whole, 1.0, WIDTH - 1.0)
    pieces: list[Markup] = []
    at = 0.0
    for index, part in enumerate(parts):
        left, right = axis.at(at), axis.at(at + part.size)
        at += part.size
        tip = f"{part.name}: {part.words}, {100 * part.size / whole:.0f} %"
        piece = tag(
            "rect",
            tag("title", tip),
            x=left,
            y=1.0,
            width=max(right - left, 0.5),
            height=_BAR,
            class_="piece",
            fill=f"var(--s{index % SERIES})",
            data_tip=tip,
        )
        pieces.append(join(piece, _inside(index + 1, part.name, left, right)))
    if rest and at < whole * 0.999:
        left = axis.at(at)
        tip = f"{rest}: {number(whole - at)} GiB, {100 * (whole - at) / whole:.0f} %"
        width = axis.end - left
        pieces += [
            tag("rect", tag("title", tip), x=left, y=1.0, width=width, height=_BAR, class_="rest"),
            _name(rest, left, axis.end, class_="rest-name"),
        ]
    told = "; ".join(f"{part.name} {part.words}" for part in parts)
    return drawing(*pieces, height=_BAR + 2, title=title, description=told)


def _inside(index: int, name: str, left: float, right: float) -> Markup:
    """The piece's number, with its name where there is room, and nothing where there is none."""
    full, short = f"{index} {name}", str(index)
    if len(full) * LETTER < right - left - 6:
        return _name(full, left, right, class_="inside")
    return _name(short, left, right, class_="inside")


def _name(text: str, left: float, right: float, *, class_: str) -> Markup:
    if len(text) * LETTER > right - left - 2:
        return NOTHING
    middle = (left + right) / 2
    return tag("text", text, x=middle, y=_BAR / 2 + 6, class_=class_, text_anchor="middle")


def _key(parts: Sequence[Part], whole: float, *, heads: tuple[str, ...], caption: str) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            join(_swatch(index), f"{index + 1} {part.name}"),
            part.words,
            f"{100 * part.size / whole:.1f} %",
        )
        for index, part in enumerate(parts)
    ]
    return table(heads, rows, caption=caption, numeric=frozenset({1, 2}))


def _swatch(index: int) -> Markup:
    return tag("span", class_="swatch", style=f"background:var(--s{index % SERIES})")


def intervals(quote: Quote) -> Markup:
    """The best plans by what they are ranked by, each with its interval on one scale."""
    shown = [
        (f"{rank}. {plan.chip} {split(plan)}", estimate)
        for rank, plan in enumerate(quote.plans[:_PLANS_SHOWN], 1)
        if (estimate := ranking(plan, quote.job.objective)[1]) is not None
        and isfinite(estimate.low)
        and isfinite(estimate.high)
    ]
    if len(shown) < 2:
        return NOTHING
    title = ranking(quote.plans[0], quote.job.objective)[0]
    ends = [end for _, estimate in shown for end in (estimate.low, estimate.high)]
    left, right, row = 300.0, WIDTH - 70.0, 26.0
    least, most = min(ends), max(ends)
    is_log = least > 0 and most / least > _SPREAD_LOG
    x = logarithmic(ends, left, right) if is_log else linear(ends, left, right)
    bottom = 14 + row * len(shown)
    parts = [
        join(
            tag("line", x1=x.at(tick), x2=x.at(tick), y1=8, y2=bottom, class_="grid"),
            tag(
                "text",
                number(tick),
                x=x.at(tick),
                y=bottom + 15,
                class_="tick",
                text_anchor="middle",
            ),
        )
        for tick in x.ticks()
    ]
    parts += [
        _whisker(name, estimate, x, 14 + row * (index + 0.5))
        for index, (name, estimate) in enumerate(shown)
    ]
    scale = ", on a logarithmic axis" if is_log else ""
    rest = len(quote.plans) - len(shown)
    more = (
        f" {rest} more {'plan is' if rest == 1 else 'plans are'} in the table only." if rest else ""
    )
    return tag(
        "figure",
        drawing(
            *parts,
            height=bottom + 24,
            title=f"Plans by {title}",
            description="; ".join(
                f"{name}: {number(estimate.value)} ({interval(estimate)})"
                for name, estimate in shown
            ),
        ),
        tag(
            "figcaption",
            f"{title}{scale}. The bars hold the truth in 80 % of cases; where two of them "
            f"overlap, the order of these plans may be the other way round.{more}",
        ),
    )


def _whisker(label: str, estimate: Estimate, x: Axis, y: float) -> Markup:
    """One plan: its name, its value, and its interval between two strokes."""
    low, high = x.at(max(estimate.low, x.low)), x.at(estimate.high)
    tip = f"{label}: {number(estimate.value)} ({interval(estimate)})"
    return join(
        tag("text", _cut(label, 42), x=x.start - 12, y=y + 4, class_="name", text_anchor="end"),
        tag("line", x1=low, x2=high, y1=y, y2=y, class_="whisker"),
        tag("line", x1=low, x2=low, y1=y - 5, y2=y + 5, class_="whisker"),
        tag("line", x1=high, x2=high, y1=y - 5, y2=y + 5, class_="whisker"),
        tag(
            "circle",
            tag("title", tip),
            cx=x.at(estimate.value),
            cy=y,
            r=5,
            class_="middle",
            data_tip=tip,
        ),
        tag("text", number(estimate.value), x=high + 8, y=y + 4, class_="tick"),
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
