"""`quote(job, …)`: ranked plans for a job, what lost and why, and the id of all it rests on."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from pathlib import Path

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import PriceKind
from craton.silicon.estimate import Estimate
from craton.silicon.offer import offers
from craton.silicon.planner_serving import plan_serving
from craton.silicon.planner_training import batch_sequences, plan_training
from craton.silicon.power import Site, load_site
from craton.silicon.quote import (
    Objective,
    Point,
    Quote,
    Refusal,
    ServingJob,
    ServingPlan,
    TrainingJob,
    TrainingPlan,
)
from craton.silicon.walks import Walks

_DATA = Path(__file__).parent
_DATA_FOLDERS = ("chip_files", "server_files", "fits")


def quote(
    job: ServingJob | TrainingJob,
    chips: Sequence[str] | None,
    prices: PriceKind | None,
    catalogue: Catalogue,
    *,
    today: date,
    site: Site | None = None,
) -> Quote:
    """Plan a job on some chips, or on all, under some terms, or the best known of each chip.

    NotFound for a chip nobody knows; BadRequest for a job that can't be, or limits that no chip
    can meet together (it says which one binds).
    """
    found: list[ServingPlan | TrainingPlan] = []
    refusals: list[Refusal] = []
    front: list[Point] = []
    warnings: list[str] = []
    check(job)
    unpriced: list[str] = []
    walks = Walks(job.architecture)
    for offer in offers(catalogue, chips, prices, site or load_site(), today):
        if offer.price is None:
            unpriced.append(offer.chip.name)
        elif offer.warning is not None:
            warnings.append(offer.warning)
        match job:
            case ServingJob():
                plans, lost, points = plan_serving(job, offer, walks=walks)
                front.extend(points)
            case TrainingJob():
                plans, lost = plan_training(job, offer)
        found.extend(plans)
        refusals.extend(lost)
    if unpriced:
        terms = prices or "rented"
        names = ", ".join(unpriced)
        warnings.append(f"No {terms} price is known of {names}: by cost they are ranked last.")
    if isinstance(job, TrainingJob):
        warnings.extend(_rounding(job))
    kept, over = _within_power(job, found)
    return Quote(
        id=_digest(job, chips, prices, catalogue),
        job=job,
        plans=tuple(sorted(kept, key=lambda plan: _rank(plan, job.objective))),
        refusals=(*refusals, *over),
        front=tuple(front),
        warnings=tuple(warnings),
    )


def _rounding(job: TrainingJob) -> list[str]:
    sequences = batch_sequences(job)
    tokens = sequences * job.sequence
    if abs(tokens - job.global_batch_tokens) < job.sequence:
        return []
    asked = job.global_batch_tokens
    warning = (
        f"A step takes {sequences:,} sequences, {tokens:,} tokens and not the {asked:,.0f} asked"
        " for, so that copies of the model share them evenly."
    )
    return [warning]


def check(job: ServingJob | TrainingJob) -> None:
    """Refuse a job that no chip could do; BadRequest names the member."""
    match job:
        case ServingJob():
            sizes = {
                "--input": job.input_tokens,
                "--output": job.output_tokens,
                "--rate": job.rate,
                "--ttft-ms": job.ttft_limit_ms,
                "--itl-ms": job.itl_limit_ms,
            }
            longest = job.input_tokens + job.output_tokens
            context = job.architecture.context
            if context is not None and longest > context:
                raise BadRequest(
                    f"{longest:g} tokens are more than the {context} that"
                    f" {job.architecture.name} was made for; shorten --input or --output"
                )
        case TrainingJob():
            sizes = {
                "--tokens": job.tokens,
                "--sequence": job.sequence,
                "--batch": job.global_batch_tokens,
                "--deadline": job.deadline_days,
            }
    for option, value in (sizes | {"--power-kw": job.power_limit_kw}).items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise BadRequest(f"{option} is {value}; it must be above 0")


def _within_power(
    job: ServingJob | TrainingJob, plans: Iterable[ServingPlan | TrainingPlan]
) -> tuple[list[ServingPlan | TrainingPlan], list[Refusal]]:
    kept: list[ServingPlan | TrainingPlan] = []
    over: list[Refusal] = []
    for plan in plans:
        limit, drawn = job.power_limit_kw, plan.power_kw
        if limit is None:
            kept.append(plan)
        elif drawn is None:
            over.append(Refusal(plan.chip, f"{plan.chips} chips", "its power is not published"))
        elif drawn.value > limit:
            reason = f"draws {drawn.value:,.1f} kW, the limit is {limit:,.1f}"
            over.append(Refusal(plan.chip, f"{plan.chips} chips", reason))
        else:
            kept.append(plan)
    return kept, over


def _rank(plan: ServingPlan | TrainingPlan, objective: Objective) -> tuple[float, float]:
    """Less is better; what isn't known comes last; ties go to fewer chips."""
    match objective:
        case Objective.COST:
            cost = plan.usd_million_tokens if isinstance(plan, ServingPlan) else plan.usd
        case Objective.ENERGY:
            cost = plan.joules_token if isinstance(plan, ServingPlan) else plan.mwh
        case Objective.LATENCY:
            cost = plan.itl_ms if isinstance(plan, ServingPlan) else plan.days
        case Objective.POWER:
            cost = plan.power_kw
        case Objective.CHIPS:
            return float(plan.chips), _known(plan.power_kw)
    return _known(cost), float(plan.chips)


def _known(estimate: Estimate | None) -> float:
    return math.inf if estimate is None else estimate.value


def _digest(
    job: ServingJob | TrainingJob,
    chips: Sequence[str] | None,
    prices: PriceKind | None,
    catalogue: Catalogue,
) -> str:
    """The same inputs give the same id; a changed figure, price or fit gives another."""
    parts = (
        msgspec.json.encode(job),
        msgspec.json.encode((chips, prices)),
        msgspec.json.encode([catalogue.chips, catalogue.servers], order="sorted"),
        _fits_digest(),
    )
    return "quote-" + hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


@cache
def _fits_digest() -> bytes:
    digest = hashlib.sha256()
    for folder in _DATA_FOLDERS:
        for path in sorted((_DATA / folder).rglob("*.*")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.digest()
