"""The roofline: what the operations of the best plan reach, under what its chip could do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from craton.silicon.chip import Chip
from craton.silicon.precision import Precision
from craton.silicon.quote import ServingPlan, Term, TrainingPlan
from craton.silicon.report_charts import (
    SERIES,
    SHAPES,
    WIDTH,
    Axis,
    Box,
    beside,
    drawing,
    grid,
    logarithmic,
    marker,
    spread,
)
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_text import duration, named, number

_HEIGHT = 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, WIDTH - 150.0, 34.0, _HEIGHT - 52.0


@dataclass(frozen=True, slots=True)
class Dot:
    """One operation: where it stands."""

    term: Term
    intensity: float
    """FLOP a byte."""
    tflops: float
    """Reached."""


def dots(terms: Sequence[Term]) -> list[Dot]:
    """The terms that multiply and read memory; waiting and sending have no place here."""
    return [
        Dot(term, term.flops / term.data_bytes, term.flops / term.seconds / 1e12)
        for term in terms
        if term.flops > 0 and term.data_bytes > 0 and term.seconds > 0
    ]


def roofline(plan: ServingPlan | TrainingPlan, chip: Chip | None) -> Markup:
    """The chart and its figures; nothing where the chip or the operations aren't known."""
    found = dots(plan.terms)
    if chip is None or not found:
        return NOTHING
    ranks = plan.layout.ranks_per_chip
    of_what = chip.title if ranks == 1 else f"one of the {ranks} ranks of {chip.title}"
    return tag(
        "section",
        tag("h2", "Roofline of the best plan"),
        tag(
            "p",
            f"What each operation reaches on {of_what}. The slanted line is as fast as memory "
            "can feed it, the flat ones are the peaks of the formats it multiplies in. Under the "
            "slant, faster memory helps; under a flat line, more arithmetic; far below both, the "
            "time goes into launches, small shapes or waiting."
            + (_OF_A_STEP if isinstance(plan, TrainingPlan) else ""),
        ),
        tag(
            "figure",
            _chart(found, chip, ranks),
            tag("figcaption", "The larger a mark, the larger its part of the time."),
        ),
        _figures(found, chip, ranks),
        id="roofline",
    )


_OF_A_STEP = (
    " Forward and backward passes are taken together, and each operand as moved once a pass; what "
    "multiplies nothing (norms, the optimizer) has no place here, only in the timeline."
)


def _chart(found: Sequence[Dot], chip: Chip, ranks: int) -> Markup:
    bandwidth = chip.memory_tb_s.value / ranks
    peaks = _peaks(chip, ranks)
    knees = [peak / bandwidth for peak in peaks]
    # Room to the right for the flat lines and the names; to the left for the slope, also where all
    # that is drawn lies under the flat ones, as in training.
    knee = max(knees)
    x = logarithmic([*(dot.intensity for dot in found), knee / 4, 4 * knee], _LEFT, _RIGHT)
    y = logarithmic([*(dot.tflops for dot in found), *peaks], _BOTTOM, _TOP)
    phases = list(dict.fromkeys(dot.term.phase for dot in found))
    longest = max(dot.term.seconds for dot in found)
    parts = [
        grid(x, y, x_title="Arithmetic intensity, FLOP a byte read", y_title="TFLOP/s"),
        *_roofs(peaks, bandwidth, x, y),
    ]
    shown = sorted(found, key=lambda dot: -dot.term.seconds)
    marks = [
        (
            x.at(dot.intensity),
            y.at(dot.tflops),
            3.5 + 6 * math.sqrt(dot.term.seconds / longest),
            named(dot.term),
        )
        for dot in shown
    ]
    for dot, (at, up, size, name), label in zip(
        shown, marks, beside(marks, Box(_LEFT, _TOP - 8, _RIGHT, _BOTTOM)), strict=True
    ):
        place = phases.index(dot.term.phase)
        parts.append(
            marker(
                SHAPES[place % len(SHAPES)],
                at,
                up,
                size=size,
                class_="mark",
                fill=f"var(--s{place % SERIES})",
                data_tip=f"{name}: {number(dot.tflops)} TFLOP/s at {number(dot.intensity)} FLOP "
                f"a byte, {duration(dot.term.seconds)}",
            )
        )
        if label is not None:
            parts.append(tag("text", name, x=label[0], y=label[1], class_="name"))
    description = (
        f"{len(found)} operations on {chip.title}: memory {number(chip.memory_tb_s.value)} TB/s,"
        f" peaks {', '.join(f'{name} {number(peak)} TFLOP/s' for peak, name in peaks.items())}."
    )
    return drawing(*parts, height=_HEIGHT, title="Roofline", description=description)


def _peaks(chip: Chip, ranks: int) -> dict[float, str]:
    """The distinct peaks of a rank, highest first, each with the formats that reach it."""
    formats: dict[float, list[Precision]] = {}
    for precision, figure in chip.tflops.items():
        if figure.value > 0:
            formats.setdefault(figure.value / ranks, []).append(precision)
    return {peak: ", ".join(formats[peak]) for peak in sorted(formats, reverse=True)}


def _roofs(peaks: Mapping[float, str], bandwidth: float, x: Axis, y: Axis) -> list[Markup]:
    """The slope up to the highest peak, and each peak from where the slope meets it."""
    highest = max(peaks)
    # The slope enters the picture at its left or at its lower edge.
    first = max(x.low, y.low / bandwidth)
    last = min(highest / bandwidth, x.high)
    parts = [
        tag(
            "line",
            x1=x.at(first),
            y1=y.at(first * bandwidth),
            x2=x.at(last),
            y2=y.at(last * bandwidth),
            class_="roof",
        )
    ]
    names = spread([y.at(peak) + 4 for peak in peaks], 13.0, _TOP - 4, _BOTTOM)
    for (peak, formats), name_at in zip(peaks.items(), names, strict=True):
        knee = min(max(peak / bandwidth, x.low), x.high)
        parts.append(
            join(
                tag(
                    "line",
                    x1=x.at(knee),
                    y1=y.at(peak),
                    x2=x.end,
                    y2=y.at(peak),
                    class_="roof",
                ),
                tag("text", f"{formats} {number(peak)}", x=x.end + 6, y=name_at, class_="tick"),
            )
        )
    return parts


def _figures(found: Sequence[Dot], chip: Chip, ranks: int) -> Markup:
    bandwidth = chip.memory_tb_s.value / ranks
    whole = {
        phase: sum(dot.term.seconds for dot in found if dot.term.phase == phase)
        for phase in {dot.term.phase for dot in found}
    }
    rows: list[tuple[str, ...]] = [
        (
            named(dot.term),
            number(dot.intensity),
            number(dot.tflops),
            f"{100 * dot.tflops / (dot.intensity * bandwidth):.0f} %",
            duration(dot.term.seconds),
            f"{100 * dot.term.seconds / whole[dot.term.phase]:.0f} %",
        )
        for dot in found
    ]
    heads = (
        "Operation",
        "FLOP a byte",
        "TFLOP/s",
        "Of memory bandwidth",
        "Time",
        "Of these in its phase",
    )
    return tag(
        "details",
        tag("summary", "The figures of this chart"),
        table(heads, rows, caption="Operations", numeric=frozenset({1, 2, 3, 4, 5})),
    )
