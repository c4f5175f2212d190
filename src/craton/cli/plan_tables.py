"""How plans look in a terminal: a row each, its intervals under its figures, and what lost."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

from craton.cli.output import console, print_lines, print_table
from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate
from craton.silicon.quote import Quote, ServingPlan, TrainingPlan
from craton.silicon.report_text import (
    UNKNOWN,
    count,
    duration,
    interval,
    losses,
    memory_used,
    number,
    provenance,
    question,
    ranking,
    split,
    tried_in_short,
    value_of,
)

LOST_MAX = 20
"""Lines about what lost; `--json` and `--html` have all."""

_SERVING = (
    "",
    "CHIP",
    "SPLIT",
    "REPLICAS",
    "CHIPS",
    "BATCH",
    "TTFT ms",
    "ITL ms",
    "TOKENS/s",
    "$/M TOKENS",
    "J/TOKEN",
    "kW",
    "MEMORY",
    "PRICE",
    "RESTS ON",
)
_TRAINING = (
    "",
    "CHIP",
    "SPLIT",
    "CHIPS",
    "MICRO-BATCH",
    "RECOMPUTE",
    "SHARDING",
    "STEP s",
    "MFU %",
    "MEMORY",
    "DAYS",
    "$",
    "MWh",
    "FAILURES/DAY",
    "CHECKPOINT",
    "PRICE",
    "RESTS ON",
)
_WORDS = frozenset({"", "CHIP", "SPLIT", "RECOMPUTE", "SHARDING", "PRICE", "RESTS ON"})


_STAYS = "\N{NO-BREAK SPACE}"


def print_quote(quote: Quote, chips: Mapping[str, Chip], *, top: int) -> None:
    """The `top` best plans, what follows them, what lost and why, and what to be wary of."""
    print_lines(f"{quote.job.architecture.name}: {question(quote.job)}.", "")
    rows: list[tuple[str, ...]] = []
    columns: tuple[str, ...] = _SERVING
    for rank, plan in enumerate(quote.plans[:top], 1):
        used = memory_used(plan, chips.get(plan.chip))
        if isinstance(plan, ServingPlan):
            row = serving_row(plan, used)
        else:
            columns, row = _TRAINING, training_row(plan, used)
        rows.append((str(rank), *row))
    width = console().width
    if _width(columns, rows) <= width:
        right = [column for column in columns if column not in _WORDS]
        print_table(columns, rows, empty="Nothing that was tried meets these limits.", right=right)
    else:
        print_lines(*blocks(columns, rows, width))
    if rows:
        print_lines(
            "", "With each figure comes the interval that holds the truth in 80 % of cases."
        )
    if len(quote.plans) > top:
        print_lines("", further_down(quote, top))
    _print_losses(quote)
    if quote.warnings:
        print_lines("", *(f"Take note: {warning}" for warning in quote.warnings))
    print_lines("", f"Quote {quote.id}.")


def further_down(quote: Quote, top: int) -> str:
    """The best plan of each chip that isn't among the first, by what plans are ranked by."""
    shown = {plan.chip for plan in quote.plans[:top]}
    best: dict[str, str] = {}
    for plan in quote.plans[top:]:
        if plan.chip not in shown:
            best.setdefault(plan.chip, value_of(ranking(plan, quote.job.objective)[1]))
    unit, _ = ranking(quote.plans[0], quote.job.objective)
    others = f" ({unit}): {', '.join(f'{chip} {value}' for chip, value in best.items())}"
    rest = len(quote.plans) - top
    return f"Below these, {rest} more{others if best else ''}. --top {len(quote.plans)} shows all."


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The same rows for a terminal too narrow for the table: a few lines each."""
    found: list[str] = []
    for rank, chip, split_up, *cells in rows:
        figures = (
            # A figure and its interval stay on one line.
            f"{column} {cell}".replace("\n", " (") + (")" if "\n" in cell else "")
            for column, cell in zip(columns[3:], cells, strict=True)
        )
        told = "; ".join(figure.replace(" ", _STAYS) for figure in figures)
        indent = "   "
        lines = wrap(told, max(width, 40), initial_indent=indent, subsequent_indent=indent)
        found += [f"{rank}. {chip}  {split_up}", *(line.replace(_STAYS, " ") for line in lines)]
    return found


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """What the table needs, two blanks between columns."""
    widest = (
        max(len(line) for cell in cells for line in cell.split("\n"))
        for cells in zip(columns, *rows, strict=True)
    )
    return sum(widest) + 2 * (len(columns) - 1)


def serving_row(plan: ServingPlan, used: str) -> tuple[str, ...]:
    """One way to serve."""
    return (
        plan.chip,
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
        plan.price_kind or UNKNOWN,
        provenance(plan),
    )


def training_row(plan: TrainingPlan, used: str) -> tuple[str, ...]:
    """One way to train."""
    return (
        plan.chip,
        split(plan),
        str(plan.chips),
        str(plan.micro_batch),
        plan.recompute,
        plan.sharding,
        _cell(plan.step_s),
        _cell(plan.mfu.scaled(100)),
        used,
        _cell(plan.days),
        _cell(plan.usd),
        _cell(plan.mwh),
        number(plan.failures_day),
        f"every {duration(plan.checkpoint_interval_s)}",
        plan.price_kind or UNKNOWN,
        provenance(plan),
    )


def _cell(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else f"{value_of(estimate)}\n{interval(estimate)}"


def _print_losses(quote: Quote) -> None:
    found = losses(quote)
    if not found:
        return
    print_lines("", "What lost, and why:")
    rows = [(loss.chip, tried_in_short(loss), loss.reason) for loss in found[:LOST_MAX]]
    print_table(("CHIP", "TRIED", "WHY"), rows, empty="")
    if len(found) > LOST_MAX:
        print_lines(f"and {len(found) - LOST_MAX} more; --json or --html FILE has all.")


def print_known(models: Mapping[str, tuple[int, int, int]], chips: Mapping[str, Chip]) -> None:
    """The models and chips that can be named: layers, parameters, parameters of a token."""
    rows = [
        (name, str(layers), count(parameters), count(active))
        for name, (layers, parameters, active) in models.items()
    ]
    columns = ("MODEL", "LAYERS", "PARAMETERS", "OF A TOKEN")
    print_table(columns, rows, empty="No models are bundled.", right=columns[1:])
    print_lines("", f"Chips: {', '.join(chips)}.")
