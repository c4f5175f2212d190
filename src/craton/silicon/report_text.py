"""Plans in words and figures, as the command prints them and the report shows them."""

import math
import re
from collections.abc import Iterable, Sequence

import msgspec

from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.quote import (
    Objective,
    Quote,
    Refusal,
    ServingJob,
    ServingPlan,
    Share,
    Term,
    TrainingJob,
    TrainingPlan,
)

UNKNOWN = TO = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"

FREE = "free"
"""The share of memory that nothing uses, where a plan lists it."""

WHOLE_STEP = "step"
"""The phase of what belongs to no single phase."""

_LETTERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))

_WORST_FIRST = (Provenance.SPEC_EXTRAPOLATED, Provenance.FITTED, Provenance.MEASURED)

RANKED_BY = {
    Objective.COST: "cost",
    Objective.ENERGY: "energy",
    Objective.LATENCY: "latency",
    Objective.CHIPS: "number of chips",
    Objective.POWER: "peak power",
}


def number(value: float, digits: int = 3) -> str:
    """A figure to `digits` significant digits; from a million on with a letter: 5.1M, 2T."""
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if not 1e-4 <= abs(rounded) < 1e15:
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    for size, letter in _LETTERS:
        if abs(rounded) >= max(size, 1e6):
            return number(rounded / size, digits) + letter
    text = f"{rounded:,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: float) -> str:
    """Tokens and parameters as people say them: 4k, 2.1M, 15T."""
    for size, letter in _LETTERS:
        if abs(value) >= size:
            return number(value / size, 4) + letter
    return number(value, 4)


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """The 80 % interval; empty where there is no estimate."""
    if estimate is None:
        return ""
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return low if low == high else f"{low}{TO}{high}"


def value_of(estimate: Estimate | None, digits: int = 3) -> str:
    """The value alone; a dash where there is no estimate."""
    return UNKNOWN if estimate is None else number(estimate.value, digits)


def duration(seconds: float) -> str:
    """A time in the unit that leaves one to three digits before the point."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds * 1e6)} µs"


def split_of(layout: Layout) -> str:
    """A layout in the field's letters; ways that aren't split are left out."""
    ways = [
        ("TP", layout.tensor),
        ("PP", layout.pipeline),
        ("VP", layout.virtual),
        ("CP", layout.context),
        ("DP", layout.data),
        ("EP", layout.expert),
        ("MoE-TP", layout.expert_tensor if layout.expert > 1 else 1),
    ]
    return "·".join(f"{letters}{ways}" for letters, ways in ways if ways > 1) or "TP1"


def split(plan: ServingPlan | TrainingPlan) -> str:
    """How a plan splits the model; both pools where the phases are apart."""
    if isinstance(plan, TrainingPlan) or plan.prefill_layout is None:
        return split_of(plan.layout)
    return (
        f"{plan.prefill_workers}{TIMES}{split_of(plan.prefill_layout)} prefill"
        f" + {plan.decode_workers}{TIMES}{split_of(plan.layout)} decode"
    )


_PARTS = {
    "gemm": "matrix multiplications",
    "qkv": "queries, keys, values",
    "query": "queries, compressed",
    "absorb": "keys and values, absorbed",
    "in": "recurrence in",
    "out": "attention out",
    "up": "feed-forward up",
    "down": "feed-forward down",
    "narrow": "experts' inputs",
    "widen": "experts' outputs",
    "dispatch": "tokens to experts",
    "combine": "tokens from experts",
    "expert": "tokens to and from experts",
    "logits": "output matrix",
    "gather-logits": "gather of the output",
    "mix": "all-reduce after attention",
    "feed-forward": "all-reduce after feed-forward",
    "stage": "to the next stage",
    "host": "waiting for launches",
    "tensor": "tensor-parallel traffic",
    "context": "context-parallel traffic",
    "send": "pipeline traffic",
    "bubble": "pipeline bubble",
    "data": "data-parallel traffic",
}
"""Operations and parts of a step, as a reader who doesn't know the code would call them."""


def called(term: Term) -> str:
    """A part of the time in words; its own name where there are none."""
    return _PARTS.get(term.name, term.name)


def named(term: Term) -> str:
    """A part of the time in words, with its phase unless that is the whole step."""
    return called(term) if term.phase == WHOLE_STEP else f"{term.phase}: {called(term)}"


def provenance(plan: ServingPlan | TrainingPlan) -> Provenance:
    """What a plan rests on: the weakest of what its times rest on."""
    times = (
        (plan.ttft_ms, plan.itl_ms, plan.tokens_s)
        if isinstance(plan, ServingPlan)
        else (plan.step_s, plan.tokens_s)
    )
    found = {estimate.provenance for estimate in times}
    return next(each for each in _WORST_FIRST if each in found)


def used_gib(memory: Iterable[Share]) -> float:
    """What a chip's memory is filled with."""
    return sum(share.gib for share in memory if share.name != FREE)


def memory_used(plan: ServingPlan | TrainingPlan, chip: Chip | None) -> str:
    """The filled part of one chip's memory, in per cent; a dash where it isn't known."""
    if chip is None or not plan.memory:
        return UNKNOWN
    return f"{100 * used_gib(plan.memory) / chip.memory_gib.value:.0f} %"


def ranking(plan: ServingPlan | TrainingPlan, objective: Objective) -> tuple[str, Estimate | None]:
    """What an objective has a plan compared by: its name with its unit, and the plan's figure."""
    serving = isinstance(plan, ServingPlan)
    match objective:
        case Objective.COST:
            if serving:
                return "$ per million output tokens", plan.usd_million_tokens
            return "$ in all", plan.usd
        case Objective.ENERGY:
            if serving:
                return "J per output token", plan.joules_token
            return "MWh in all", plan.mwh
        case Objective.LATENCY:
            if serving:
                return "ms between tokens", plan.itl_ms
            return "days", plan.days
        case Objective.POWER:
            return "kW at the wall", plan.power_kw
        case Objective.CHIPS:
            chips = float(plan.chips)
            return "chips", Estimate(chips, chips, chips, provenance(plan))


def amount(estimate: Estimate, unit: str) -> str:
    """A value with its unit, dollars before it."""
    if unit.startswith("$ "):
        return f"${value_of(estimate)} {unit[2:]}"
    return f"{value_of(estimate)} {unit}"


class Loss(msgspec.Struct, frozen=True):
    """Refusals of one chip for one kind of reason, told together."""

    chip: str
    tried: tuple[str, ...]
    """The splits, in the order they were tried."""
    reason: str
    """Figures that differ among them stand as a range."""


_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
_TRIED_MAX = 3
_HERE = "\0"
"""Stands for a figure in the shape of a reason; no text has it."""


def losses(quote: Quote) -> list[Loss]:
    """Refusals grouped by chip and by reason, figures aside; chips without any plan first."""
    planned = {plan.chip for plan in quote.plans}
    found = grouped(quote.refusals)
    return sorted(found, key=lambda loss: loss.chip in planned)


def grouped(refusals: Sequence[Refusal]) -> list[Loss]:
    """Refusals grouped by chip and by reason, figures aside, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault((refusal.chip, _FIGURE.sub(_HERE, refusal.reason)), []).append(refusal)
    return [
        Loss(
            chip,
            tuple(dict.fromkeys(each.what for each in group)),
            _ranged(shape, [each.reason for each in group]),
        )
        for (chip, shape), group in groups.items()
    ]


def tried_in_short(loss: Loss) -> str:
    """What was tried: from the least to the most where only sizes differ, else the first few."""
    shapes = {_FIGURE.sub(_HERE, each) for each in loss.tried}
    if len(loss.tried) > 1 and len(shapes) == 1 and (shape := shapes.pop()).startswith(_HERE):
        return _ranged(shape, loss.tried)
    shown, rest = loss.tried[:_TRIED_MAX], len(loss.tried) - _TRIED_MAX
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _ranged(shape: str, reasons: Sequence[str]) -> str:
    """One reason for many: a figure they agree on as it is, any other from least to most."""
    columns = zip(*(_FIGURE.findall(reason) for reason in reasons), strict=True)
    parts = shape.split(_HERE)
    text = parts[0]
    for figures, rest in zip(columns, parts[1:], strict=True):
        ordered = sorted(set(figures), key=lambda each: float(each.replace(",", "")))
        text += ordered[0] if len(ordered) == 1 else f"{ordered[0]}{TO}{ordered[-1]}"
        text += rest
    return text


def serving_question(job: ServingJob) -> str:
    """A serving job in one line."""
    asked = [
        f"{count(job.input_tokens)} tokens in, {count(job.output_tokens)} out",
        f"{number(job.rate)} requests a second",
    ]
    if job.cached_fraction:
        asked.append(f"{100 * job.cached_fraction:.0f} % of each prompt cached")
    if job.ttft_limit_ms is not None:
        asked.append(f"TTFT at most {number(job.ttft_limit_ms)} ms")
    if job.itl_limit_ms is not None:
        asked.append(f"ITL at most {number(job.itl_limit_ms)} ms")
    if job.confident:
        asked.append("limits kept by the high ends of intervals")
    return ", ".join(asked + _limits(job)) + f"; least {RANKED_BY[job.objective]} first"


def training_question(job: TrainingJob) -> str:
    """A training job in one line."""
    asked = [
        f"{count(job.tokens)} tokens in sequences of {number(float(job.sequence), 6)}",
        f"{count(job.global_batch_tokens)} tokens a step",
        f"in {job.precision}",
    ]
    if job.deadline_days is not None:
        asked.append(f"done within {duration(86_400 * job.deadline_days)}")
    return ", ".join(asked + _limits(job)) + f"; least {RANKED_BY[job.objective]} first"


def question(job: ServingJob | TrainingJob) -> str:
    """A job in one line."""
    return serving_question(job) if isinstance(job, ServingJob) else training_question(job)


def _limits(job: ServingJob | TrainingJob) -> list[str]:
    found: list[str] = []
    if job.power_limit_kw is not None:
        found.append(f"at most {number(job.power_limit_kw)} kW")
    if job.chips_limit is not None:
        of_what = "a replica" if isinstance(job, ServingJob) else "in all"
        found.append(f"at most {job.chips_limit} chips {of_what}")
    return found
