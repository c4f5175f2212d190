"""The answer in a sentence, the figures of the best plan, and the table of plans."""

from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate
from craton.silicon.quote import Objective, Quote, ServingPlan, TrainingPlan
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag
from craton.silicon.report_text import (
    UNKNOWN,
    amount,
    duration,
    interval,
    memory_used,
    number,
    provenance,
    ranking,
    split,
    value_of,
)

Plan = ServingPlan | TrainingPlan


def answer(quote: Quote, chips: dict[str, Chip]) -> Markup:
    """The best plan in a sentence, against the best on another chip, with its figures."""
    if not quote.plans:
        return tag(
            "section",
            tag("p", "Nothing that was tried meets these limits.", class_="answer"),
            tag("p", "What was tried, and why it lost, is listed below."),
            id="answer",
        )
    best = quote.plans[0]
    return tag(
        "section",
        tag("p", sentence(best), class_="answer"),
        tag("p", runner_up(quote)),
        tag("div", *_tiles(best, chips.get(best.chip)), class_="tiles"),
        id="answer",
    )


def sentence(plan: Plan) -> str:
    """One plan in a sentence."""
    chips = f"{plan.chips} {plan.chip} chip{'s' if plan.chips > 1 else ''}"
    if isinstance(plan, TrainingPlan):
        price = (
            f"no price under these terms is known for {plan.chip}"
            if plan.usd is None
            else f"the chips cost ${value_of(plan.usd)} ({_sure(plan.usd)})"
        )
        days = f"{value_of(plan.days)} days ({_sure(plan.days)})"
        return f"{chips} as {split(plan)} train it in {days}; {price}."
    replicas = "one replica" if plan.replicas == 1 else f"{plan.replicas} replicas"
    if plan.usd_million_tokens is None:
        price = f"no price under these terms is known for {plan.chip}"
    else:
        usd = plan.usd_million_tokens
        price = f"${value_of(usd)} per million output tokens ({_sure(usd)})"
    return f"{chips}, {replicas} of {split(plan)}: {price}."


def _sure(estimate: Estimate) -> str:
    return f"80\N{NO-BREAK SPACE}% interval {interval(estimate)}"


def runner_up(quote: Quote) -> str:
    """How far the best plan is ahead of the best one on another chip."""
    best, objective = quote.plans[0], quote.job.objective
    other = next((plan for plan in quote.plans if plan.chip != best.chip), None)
    if other is None:
        return "No other chip that was asked about has a plan within the limits."
    unit, mine = ranking(best, objective)
    _, theirs = ranking(other, objective)
    if mine is None or theirs is None or mine.value <= 0:
        return f"Next is {other.chip} as {split(other)}."
    factor = theirs.value / mine.value
    next_best = f"Next is {other.chip} as {split(other)}: {amount(theirs, unit)}"
    if objective is Objective.CHIPS:
        return f"{next_best}."
    sure = (
        "the intervals overlap, so the order may be the other way round"
        if theirs.low <= mine.high
        else "the intervals don't overlap"
    )
    return f"{next_best}, {number(factor)} times the best; {sure}."


def _tiles(plan: Plan, chip: Chip | None) -> list[Markup]:
    used = memory_used(plan, chip)
    if isinstance(plan, TrainingPlan):
        return [
            _tile("Step", plan.step_s, "s"),
            _tile("MFU", plan.mfu.scaled(100), "%"),
            _tile("Wall-clock", plan.days, "days"),
            _tile("$ in all", plan.usd, ""),
            _tile("Energy", plan.mwh, "MWh"),
            _tile("Power", plan.power_kw, "kW"),
            _plain("Memory used", used, "of each chip"),
            _plain(
                "Failures",
                f"{number(plan.failures_day)} a day",
                f"goodput {100 * plan.goodput:.1f} %, checkpoint every "
                f"{duration(plan.checkpoint_interval_s)}",
            ),
        ]
    return [
        _tile("TTFT", plan.ttft_ms, "ms"),
        _tile("ITL", plan.itl_ms, "ms"),
        _tile("Throughput", plan.tokens_s, "tokens/s"),
        _tile("$ per M tokens", plan.usd_million_tokens, ""),
        _tile("Energy", plan.joules_token, "J per token"),
        _tile("Power", plan.power_kw, "kW"),
        _plain("Memory used", used, "of each chip"),
        _plain("Batch", number(plan.batch), "requests a replica"),
    ]


def _tile(name: str, estimate: Estimate | None, unit: str) -> Markup:
    if estimate is None:
        return _plain(name, UNKNOWN, "not known")
    return _plain(name, f"{value_of(estimate)} {unit}".strip(), interval(estimate))


def _plain(name: str, value: str, below: str) -> Markup:
    return tag(
        "div",
        tag("span", name, class_="tile-name"),
        tag("strong", value),
        tag("span", below, class_="interval"),
        class_="tile",
    )


def plans(quote: Quote, chips: dict[str, Chip]) -> Markup:
    """Every plan with its intervals, best first."""
    if not quote.plans:
        return NOTHING
    rows: list[tuple[str, ...]] = []
    heads: tuple[str, ...] = ()
    for rank, plan in enumerate(quote.plans, 1):
        used = memory_used(plan, chips.get(plan.chip))
        if isinstance(plan, ServingPlan):
            heads, row = _SERVING_HEADS, _serving_row(plan, used)
        else:
            heads, row = _TRAINING_HEADS, _training_row(plan, used)
        rows.append((f"{rank}. {plan.chip}", *row))
    numeric = frozenset(range(2, len(heads) - 1))
    return table(heads, rows, caption="Plans, best first", numeric=numeric)


_SERVING_HEADS = (
    "Chip",
    "Split of a replica",
    "Replicas",
    "Chips",
    "Batch",
    "TTFT ms",
    "ITL ms",
    "Tokens/s",
    "$/M tokens",
    "J/token",
    "kW",
    "Memory used",
    "Price, rests on",
)


def _serving_row(plan: ServingPlan, used: str) -> tuple[str, ...]:
    return (
        split(plan),
        str(plan.replicas),
        str(plan.chips),
        number(plan.batch),
        _cell(plan.ttft_ms),
        _cell(plan.itl_ms),
        _cell(plan.tokens_s),
        _cell(plan.usd_million_tokens),
        _cell(plan.joules_token),
        _cell(plan.power_kw),
        used,
        _two(plan.price_kind or UNKNOWN, provenance(plan)),
    )


_TRAINING_HEADS = (
    "Chip",
    "Split",
    "Chips",
    "Micro-batch, recompute, sharding",
    "Step s",
    "MFU %",
    "Days",
    "$",
    "MWh",
    "kW",
    "Memory used",
    "Failures a day, checkpoint every",
    "Price, rests on",
)


def _training_row(plan: TrainingPlan, used: str) -> tuple[str, ...]:
    return (
        split(plan),
        str(plan.chips),
        _two(f"{plan.micro_batch}, {plan.recompute}", plan.sharding),
        _cell(plan.step_s),
        _cell(plan.mfu.scaled(100)),
        _cell(plan.days),
        _cell(plan.usd),
        _cell(plan.mwh),
        _cell(plan.power_kw),
        used,
        _two(number(plan.failures_day), duration(plan.checkpoint_interval_s)),
        _two(plan.price_kind or UNKNOWN, provenance(plan)),
    )


def _cell(estimate: Estimate | None) -> Markup:
    if estimate is None:
        return join(UNKNOWN)
    return _two(value_of(estimate), interval(estimate))


def _two(upper: str, lower: str) -> Markup:
    return join(upper, tag("span", lower, class_="interval"))
