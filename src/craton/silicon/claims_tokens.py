"""The part of the page of claims that compares dollars a million tokens, chip by chip."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import PriceKind
from craton.silicon.estimate import Estimate
from craton.silicon.models import find_model
from craton.silicon.power import Site
from craton.silicon.predict import serve
from craton.silicon.prices import ChipHour, chip_hour
from craton.silicon.rows import Row
from craton.silicon.splits import has_experts
from craton.silicon.token_costs import (
    FRAMEWORK,
    LOADS,
    NEURON_CHIPS,
    NVIDIA,
    TokenCost,
    TokenLoad,
    whole_servers,
)

COMPARED = PriceKind.CAPACITY_BLOCK
"""The only terms under which both sides have a price with a source."""
OTHER_TERMS = (PriceKind.ON_DEMAND, PriceKind.RESERVED)
HALF = 0.5
"""What is left of a price that is 50 % cheaper."""


class Sign(StrEnum):
    """How one cost stands to another."""

    CHEAPER = "cheaper"
    DEARER = "dearer"
    OPEN = "can't tell"
    UNMEASURED = "not measured"


class Versus(NamedTuple):
    """One chip's cost beside the cheapest NVIDIA chip's."""

    usd: Estimate
    gpu: Estimate
    sign: Sign

    def told(self) -> str:
        """In a table's cell."""
        factor = self.usd.value / self.gpu.value
        saved = f"{abs(1 - factor):.0%} {'less' if factor < 1 else 'more'}"
        apart = saved if factor < 2 else f"{factor:.1f}x"
        told = f"{_figure(self.usd)}: {apart}"
        return told if self.sign in (Sign.CHEAPER, Sign.DEARER) else f"{told}, {self.sign}"


class Case(NamedTuple):
    """One model under one load, on every chip."""

    model: str
    load: str
    costs: dict[tuple[str, bool], Estimate]
    """Chip-hours of a million tokens, by chip and by whether its software is taken to be alike."""


def token_blocks(catalogue: Catalogue, site: Site, costs: Sequence[TokenCost]) -> Iterator[str]:
    """Tables and prose; nothing where there are no costs."""
    if not costs:
        return
    whole = whole_servers(catalogue)
    prices = _prices(whole, site, COMPARED)
    cases = _cases(costs)
    yield "### In dollars a million output tokens"
    yield _setting()
    yield from _findings(cases, prices)
    yield (
        "In brackets is the interval that holds the truth in 80% of cases. Where two overlap,"
        ' nobody can tell which chip is cheaper. "Alike" is a supposition: a chip planned as if its'
        " software reached the part of its specification that servers reach on GPUs."
    )
    yield "\n".join((_HEADS, _RULE, *(case_row(case, prices) for case in cases)))
    yield _HOW_SURE
    yield "\n".join(_checks(catalogue))
    yield (
        "Trainium3 has no price. It would be as cheap as the cheapest NVIDIA chip, and 50% cheaper,"
        " at these dollars a chip-hour:"
    )
    yield "\n".join(_levels(cases, prices))
    yield _other_terms(whole, site)


def case_row(case: Case, prices: dict[str, ChipHour]) -> str:
    """One model under one load, as a row of the table."""
    best = _cheapest(case, prices)
    cells = [case.model, case.load]
    if best is None:
        return "| " + " | ".join([*cells, "none meets the limits", "", "", ""]) + " |"
    name, gpu = best
    cells.append(f"{name} {_figure(gpu)}")
    for _, chip, alike in _COLUMNS:
        found = _versus(case, prices, chip, alike=alike)
        cells.append("doesn't meet the limits" if found is None else found.told())
    return "| " + " | ".join(cells) + " |"


_HEADS = "| model | load | cheapest NVIDIA chip | Trainium1 | Trainium2 | Trainium2, alike |"
_RULE = "|---|---|---|---|---|---|"

_HOW_SURE = (
    "How sure is that? AWS's published tables of Neuron, from which the planner's coefficients are"
    " fitted, are of Trainium1 and Inferentia2, dense models, static batches. Trainium2 is"
    " extrapolated from its specification; of batches as large as these tables need, nothing public"
    " was measured on it, and of mixtures of experts nothing on any Neuron chip (so these are"
    f' "{Sign.UNMEASURED}", whatever their interval says). What can be checked are AWS\'s own'
    " tutorials, one request at a time on 16 Trainium2:"
)


def _setting() -> str:
    loads = "; ".join(_load(load) for load in LOADS)
    return (
        f"What the planner finds at {LOADS[0].rate:g} requests/s, prefill and decode on the same"
        f" chips: {loads}. The software is {FRAMEWORK}, the weights are FP8 where the chip"
        " multiplies in it, else BF16 (A100); gpt-oss keeps its MXFP4. Prices are of capacity"
        " blocks, the days they were read stand above; chips are counted whole, servers aren't."
        " `craton plan serve MODEL --input … --output … --rate … --framework vllm --precision fp8"
        " --price capacity-block --no-disaggregation` has each in full."
    )


def _load(load: TokenLoad) -> str:
    limits = [
        f"{name} at most {limit:,.0f} ms"
        for name, limit in (("TTFT", load.ttft_limit_ms), ("ITL", load.itl_limit_ms))
        if limit is not None
    ]
    told = ", ".join(limits) or "no limits"
    return (
        f"*{load.name}* is {load.input_tokens:,.0f} tokens in, {load.output_tokens:,.0f} out,"
        f" {told}"
    )


def _cases(costs: Sequence[TokenCost]) -> list[Case]:
    found: dict[tuple[str, str], Case] = {}
    for cost in costs:
        case = found.setdefault((cost.model, cost.load), Case(cost.model, cost.load, {}))
        case.costs[cost.chip, cost.alike] = cost.chip_hours
    return list(found.values())


def _prices(catalogue: Catalogue, site: Site, kind: PriceKind) -> dict[str, ChipHour]:
    found: dict[str, ChipHour] = {}
    for chip in map(catalogue.chip, (*NVIDIA, *NEURON_CHIPS, "inferentia2")):
        price = chip_hour(chip, catalogue.servers_of(chip), site, (kind,))
        if price is not None:
            found[chip.name] = price
    return found


def _cheapest(case: Case, prices: dict[str, ChipHour]) -> tuple[str, Estimate] | None:
    priced = [
        (name, case.costs[name, False].scaled(prices[name].usd))
        for name in NVIDIA
        if name in prices and (name, False) in case.costs
    ]
    return min(priced, key=lambda each: each[1].value, default=None)


def _versus(case: Case, prices: dict[str, ChipHour], chip: str, *, alike: bool) -> Versus | None:
    best, hours = _cheapest(case, prices), case.costs.get((chip, alike))
    if best is None or hours is None:
        return None
    usd, gpu = hours.scaled(prices[chip].usd), best[1]
    if not alike and has_experts(find_model(case.model)):
        sign = Sign.UNMEASURED
    elif usd.high < gpu.low:
        sign = Sign.CHEAPER
    else:
        sign = Sign.DEARER if usd.low > gpu.high else Sign.OPEN
    return Versus(usd, gpu, sign)


_COLUMNS = (
    ("Trainium1", "trainium1", False),
    ("Trainium2", "trainium2", False),
    ("Trainium2, alike", "trainium2", True),
)


class Tally(NamedTuple):
    """How often a chip is cheaper than the cheapest NVIDIA chip, and how often nobody knows."""

    signs: Counter[Sign]
    halves: int
    """Cheaper by 50 % or more, intervals apart."""


def _tally(cases: Sequence[Case], prices: dict[str, ChipHour], chip: str, *, alike: bool) -> Tally:
    found = [each for case in cases if (each := _versus(case, prices, chip, alike=alike))]
    halves = sum(
        each.sign is Sign.CHEAPER and each.usd.value <= HALF * each.gpu.value for each in found
    )
    return Tally(Counter(each.sign for each in found), halves)


def _findings(cases: Sequence[Case], prices: dict[str, ChipHour]) -> Iterator[str]:
    """What follows, in numbers and in words."""
    tallies = {name: _tally(cases, prices, chip, alike=alike) for name, chip, alike in _COLUMNS}
    rows = [
        f"| {name} | {signs.total()} | {signs[Sign.CHEAPER]} | {halves} | {signs[Sign.DEARER]}"
        f" | {signs[Sign.OPEN]} | {signs[Sign.UNMEASURED]} |"
        for name, (signs, halves) in tallies.items()
    ]
    head = "| against the cheapest NVIDIA chip | cases | cheaper | by 50% | dearer | can't tell |"
    yield "\n".join((f"{head} not measured |", "|---|---:|---:|---:|---:|---:|---:|", *rows))
    served = [tally for name, tally in tallies.items() if "alike" not in name]
    cheaper = sum(tally.signs[Sign.CHEAPER] for tally in served)
    known = cheaper + sum(tally.signs[Sign.DEARER] + tally.signs[Sign.OPEN] for tally in served)
    alike = tallies[_COLUMNS[-1][0]].signs
    yield (
        f"So with Neuron's software as it was measured, a Trainium is the cheaper chip in {cheaper}"
        f" of the {known} cases that rest on anything measured. With software as good as a GPU's,"
        f" Trainium2 would be in {alike[Sign.CHEAPER]} of {alike.total()}, and in"
        f" {alike[Sign.OPEN]} nobody can tell. Between the two lies what the planner knows of"
        " Neuron: shapes padded to powers of two, a cache read as if each query head had its own,"
        " prompts one at a time, fixed time a layer."
    )


MEASURED = (
    ("llama-3.1-70b", "trn2-llama3.3-70b-tutorial", 1500, 814.28, 19.66),
    ("llama-3.1-405b", "trn2-llama3.1-405b-speculative-tutorial", 1500, 2441.96, 37.93),
)
"""Medians of vLLM over NeuronX Distributed, BF16, TP64, 10,000 tokens in, one request at a time:
model, tutorial, tokens out, TTFT and time between tokens in ms. Read on 2026-11-22 in
github.com/aws-neuron/aws-neuron-sdk @81ce03ae, libraries/nxd-inference/tutorials."""


def _checks(catalogue: Catalogue) -> Iterator[str]:
    yield "| model and tutorial | TTFT ms, measured | planned | ITL ms, measured | planned |"
    yield "|---|---:|---|---:|---|"
    for model, tutorial, output_tokens, ttft_ms, itl_ms in MEASURED:
        row = Row(
            id=0,
            kind="serve",
            chip="trainium2",
            model=model,
            tp=64,
            input_tokens=10_000,
            output_tokens=output_tokens,
            concurrency=1,
            framework=FRAMEWORK,
        )
        planned = serve(row, catalogue)
        first, token = planned["ttft_ms"], planned["tpot_ms"]
        assert first is not None, "every row has times"
        assert token is not None, "every row has times"
        yield (
            f"| {model}, {tutorial} | {ttft_ms:,.0f} | {_figure(first)} | {itl_ms:.1f}"
            f" | {_figure(token)} |"
        )


def _levels(cases: Sequence[Case], prices: dict[str, ChipHour]) -> Iterator[str]:
    """What an hour of Trainium3 may cost at most."""
    yield "| model | load | level | half | level, alike | half, alike |"
    yield "|---|---|---|---|---|---|"
    for case in cases:
        best = _cheapest(case, prices)
        cells: list[str] = []
        for alike in (False, True):
            hours = case.costs.get(("trainium3", alike))
            if best is None or hours is None:
                cells += ["doesn't meet the limits", ""]
                continue
            level = _over(best[1], hours)
            cells += [_figure(level), _figure(level.scaled(HALF))]
        mark = f", {Sign.UNMEASURED}" if has_experts(find_model(case.model)) else ""
        cells[0] += mark
        yield f"| {case.model} | {case.load} | " + " | ".join(cells) + " |"


def _over(one: Estimate, other: Estimate) -> Estimate:
    """A quotient of two estimates whose errors have nothing to do with each other."""
    value = one.value / other.value
    down = math.hypot(math.log(one.value / one.low), math.log(other.high / other.value))
    up = math.hypot(math.log(one.high / one.value), math.log(other.value / other.low))
    return Estimate(value, value * math.exp(-down), value * math.exp(up), other.provenance)


def _other_terms(catalogue: Catalogue, site: Site) -> str:
    told: list[str] = []
    for kind in OTHER_TERMS:
        found = _prices(catalogue, site, kind)
        nvidia = [name for name in NVIDIA if name in found]
        listed = ", ".join(
            f"{name} at {'~' if price.estimate else ''}{price.usd:.3f} ({price.read or 'no date'})"
            for name, price in found.items()
            if name not in nvidia
        )
        rest = f"of NVIDIA's chips {', '.join(nvidia)}" if nvidia else "none of NVIDIA's chips"
        told.append(f"{kind} there are prices of {listed or 'no AWS chip'}, and of {rest}")
    blocks = _prices(catalogue, site, COMPARED)
    missing = "" if "inferentia2" in blocks else " Inferentia2 isn't offered as a capacity block."
    return (
        f"Other terms: {'; '.join(told)} ($/chip-hour). So under these the claim can't be checked"
        f" here at all, and prices of different terms aren't compared.{missing}"
    )


def _figure(estimate: Estimate) -> str:
    return f"{_short(estimate.value)} ({_short(estimate.low)} to {_short(estimate.high)})"


def _short(value: float) -> str:
    """Three significant digits, and no exponent."""
    digits = max(2 - math.floor(math.log10(value)), 0)
    return f"{value:,.{digits}f}"
