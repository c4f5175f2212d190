"""The search for ways to serve a job on one chip: every split, every batch, both phases."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from craton.kernel.errors import Unsupported
from craton.silicon.case import Pool, ServingCase
from craton.silicon.chip import Chip
from craton.silicon.energy import estimate_energy
from craton.silicon.estimate import Estimate
from craton.silicon.layout import Layout
from craton.silicon.memory import GIB, weight_bytes
from craton.silicon.offer import Offer
from craton.silicon.quote import Objective, Point, Refusal, ServingJob, ServingPlan, Share
from craton.silicon.replica import Phases, Table, tabulate
from craton.silicon.serving import ServingEstimate, estimate_serving
from craton.silicon.splits import replica_sizes, serving_layouts
from craton.silicon.walks import Walks

CHIPS_MAX = 32
"""Of one replica, unless the job says otherwise or no smaller replica holds the model."""
DOMAIN_MAX = 144
BOUND_SLACK = 2.0
"""Fitted rates may lie above a specification; no bound is drawn closer than this factor."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A split, its best batch under the limits, and how many replicas the load takes."""

    layout: Layout
    table: Table
    index: int
    """Of the batch in the table that each replica runs at this load."""
    replicas: int

    @property
    def chips(self) -> int:
        """In all."""
        return self.replicas * self.layout.chips


@dataclass(frozen=True, slots=True)
class Apart:
    """Prefill and decode on workers of their own."""

    prefill: Phases
    prefill_workers: int
    decode: Phases
    decode_workers: int
    index: int

    @property
    def chips(self) -> int:
        """In all."""
        return (
            self.prefill_workers * self.prefill.layout.chips
            + self.decode_workers * self.decode.layout.chips
        )


def plan_serving(
    job: ServingJob, offer: Offer, *, pruned: bool = True, walks: Walks | None = None
) -> tuple[list[ServingPlan], list[Refusal], list[Point]]:
    """The best plan of each kind on one chip, what lost, and the front of cost against speed.

    Unpruned, every split is looked at in full; the best plan is the same. `walks` may be shared by
    all chips a job is planned on.
    """
    search = _Search(job, offer, walks or Walks(job.architecture), pruned=pruned)
    for layout in _layouts(job, offer):
        search.look(layout)
    plans = [_plan(job, offer, search.best)] if search.best is not None else []
    if job.disaggregated:
        apart = _best_apart(job, search.phases)
        if apart is not None and job.confident:
            # The search knows the middle alone: limits are drawn in as far as the interval reaches.
            apart = _best_apart(_drawn_in(job, _described_apart(job, offer, apart)), search.phases)
        made = None if apart is None else _plan_apart(job, offer, apart)
        if isinstance(made, ServingPlan):
            plans.append(made)
        elif made is not None or search.phases:
            reason = "prefill and decode apart don't meet the limits either"
            search.lost["apart"] = made or Refusal(
                offer.chip.name, "prefill and decode apart", reason
            )
    return plans, list(search.lost.values()), _front(job, offer, search.tables)


def _layouts(job: ServingJob, offer: Offer) -> Iterator[Layout]:
    """Splits of growing replicas; past 32 chips only while nothing smaller holds the model."""
    if job.chips_limit is not None:
        sizes = replica_sizes(job.chips_limit)
    else:
        needed = _chips_needed(job, offer.chip)
        sizes = replica_sizes(max(CHIPS_MAX, min(needed * 2, DOMAIN_MAX)))
    for size in sizes:
        yield from serving_layouts(job.architecture, offer.chip, size)


def _chips_needed(job: ServingJob, chip: Chip) -> int:
    whole = weight_bytes(job.architecture, Layout(), job.formats)
    return max(1, math.ceil(whole / (chip.memory_gib.value * GIB)))


class _Search:
    """What has been seen so far on one chip."""

    def __init__(self, job: ServingJob, offer: Offer, walks: Walks, *, pruned: bool) -> None:
        self.job, self.offer, self.walks, self.pruned = job, offer, walks, pruned
        self.best: Candidate | None = None
        self.tables: list[Table] = []
        self.phases: list[Phases] = []
        self.lost: dict[str, Refusal] = {}
        self._nearest: dict[str, float] = {}

    def look(self, layout: Layout) -> None:
        """Try one split."""
        if self.pruned and (self._cannot_fit(layout) or self._cannot_win(layout)):
            return
        case = case_of(self.job, self.offer, layout, replicas=1)
        table, alone = tabulate(case, self.walks, confident=self.job.confident)
        if not table.fits.any():
            self._lose(layout, table.reason, math.inf)
            return
        self.tables.append(table)
        if self.job.disaggregated and alone is not None:
            self.phases.append(alone)
        candidate = choose(self.job, table)
        if isinstance(candidate, Miss):
            self._lose(layout, candidate.reason, candidate.times)
        elif self.best is None or self._key(candidate) < self._key(self.best):
            self.best = candidate

    def _key(self, candidate: Candidate) -> tuple[float, ...]:
        itl = float(candidate.table.itl_ms[candidate.index])
        if self.job.objective is Objective.LATENCY:
            return (itl, candidate.chips)
        return (candidate.chips, itl)

    def _lose(self, layout: Layout, reason: str, times: float) -> None:
        """Remember one reason a size: that of the split that came nearest."""
        size = f"{layout.chips} chips a replica"
        if times <= self._nearest.get(size, math.inf):
            self._nearest[size] = times
            self.lost[size] = Refusal(self.offer.chip.name, size, reason)

    def _cannot_fit(self, layout: Layout) -> bool:
        """Whether the weights alone are more than the memory; the refusal is made once a size."""
        needed = weight_bytes(self.job.architecture, layout, self.job.formats)
        rank = self.offer.chip.memory_gib.value * GIB / layout.ranks_per_chip
        if needed <= rank:
            return False
        gib = needed / GIB * layout.ranks_per_chip
        have = self.offer.chip.memory_gib.value
        reason = f"does not fit: {gib:,.0f} GiB of weights a chip, it has {have:,.0f}"
        self._lose(layout, reason, math.inf)
        return True

    def _cannot_win(self, layout: Layout) -> bool:
        """Whether even at the specification's rates the split needs more chips than the best."""
        if self.best is None or self.job.objective is Objective.LATENCY:
            return False
        if self.job.disaggregated:
            # A split that loses with both phases on it may be the best for one.
            return False
        fastest = tokens_bound(self.job, self.offer.chip, layout)
        replicas = math.ceil(self.job.rate * self.job.output_tokens / fastest)
        return replicas * layout.chips > self.best.chips


def tokens_bound(job: ServingJob, chip: Chip, layout: Layout) -> float:
    """Output tokens a second that one replica can't exceed: multiplying alone, at the peak."""
    uncached = job.input_tokens * (1.0 - job.cached_fraction)
    flops = 2.0 * job.architecture.active_parameters() * (1.0 + uncached / job.output_tokens)
    embedding = 2.0 * job.architecture.vocabulary * job.architecture.hidden
    flops -= embedding * uncached / job.output_tokens
    peak = chip.peak_tflops(job.formats.experts) or chip.peak_tflops(job.formats.weights)
    peak = max(peak, chip.peak_tflops(job.formats.weights))
    return BOUND_SLACK * peak * 1e12 * layout.chips / flops


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a split can't: the limit that binds, and by how much it is missed."""

    reason: str
    times: float
    """What is reached, over the limit."""


def exceeds(job: ServingJob, found: Estimate, limit: float | None) -> bool:
    """Whether an estimate breaks a limit as the job holds it."""
    return limit is not None and (found.high if job.confident else found.value) > limit


def choose(job: ServingJob, table: Table) -> Candidate | Miss:
    """The fewest replicas of this split that carry the load within the limits, or why none do."""
    within = table.fits.copy()
    for name, limit, values in (
        ("ITL", job.itl_limit_ms, table.itl_held_ms),
        ("TTFT", job.ttft_limit_ms, table.ttft_held_ms),
    ):
        if limit is None:
            continue
        if not (within & (values <= limit)).any():
            least = float(values[within].min())
            best = "at best, by the interval's high end" if job.confident else "at best"
            reason = f"{name} {least:,.0f} ms {best}, the limit is {limit:,.0f}"
            return Miss(reason, least / limit)
        within &= values <= limit
    load = job.rate * job.output_tokens
    most = float(table.tokens_s[within].max())
    if job.objective is Objective.LATENCY:
        # Replicas enough that each runs the smallest batch: the least any load can wait.
        most = float(table.tokens_s[within][0])
    replicas = max(1, math.ceil(load / most))
    enough = within & (table.tokens_s >= load / replicas * (1.0 - 1e-9))
    index = int(np.flatnonzero(enough)[0])
    return Candidate(table.layout, table, index, replicas)


def _best_apart(job: ServingJob, found: list[Phases]) -> Apart | None:
    """The fewest chips for prefill, and for decode, each within its limit."""
    prefill, decode = None, None
    for each in found:
        workers = each.prefill_workers(job.rate, job.ttft_limit_ms)
        if workers is not None:
            chips = workers * each.layout.chips
            if prefill is None or chips < prefill[0]:
                prefill = (chips, workers, each)
        batch = each.decode_workers(job.rate * job.output_tokens, job.itl_limit_ms)
        if batch is not None:
            chips = batch[0] * each.layout.chips
            if decode is None or chips < decode[0]:
                decode = (chips, *batch, each)
    if prefill is None or decode is None:
        return None
    return Apart(prefill[2], prefill[1], decode[3], decode[1], decode[2])


def _drawn_in(job: ServingJob, plan: ServingPlan) -> ServingJob:
    """The job with limits below the asked ones by the upper parts of a plan's intervals."""

    def below(limit: float | None, found: Estimate) -> float | None:
        return None if limit is None else limit * found.value / found.high

    return msgspec.structs.replace(
        job,
        ttft_limit_ms=below(job.ttft_limit_ms, plan.ttft_ms),
        itl_limit_ms=below(job.itl_limit_ms, plan.itl_ms),
    )


def case_of(job: ServingJob, offer: Offer, layout: Layout, *, replicas: int) -> ServingCase:
    """The fixed set-up of some replicas of a split, with nothing in flight yet."""
    return ServingCase(
        architecture=job.architecture,
        chip=offer.chip,
        layout=layout,
        formats=job.formats,
        input_tokens=job.input_tokens,
        output_tokens=job.output_tokens,
        concurrency=None,
        chips=replicas * layout.chips,
        server=offer.server,
        framework=job.framework,
        cached_fraction=job.cached_fraction,
        ttft_limit_ms=job.ttft_limit_ms,
        itl_limit_ms=job.itl_limit_ms,
    )


def _plan(job: ServingJob, offer: Offer, found: Candidate) -> ServingPlan:
    batch = float(found.table.batches[found.index])
    case = case_of(job, offer, found.layout, replicas=found.replicas)
    case = msgspec.structs.replace(case, concurrency=batch * found.replicas)
    plan = described(job, offer, case, batch)
    return msgspec.structs.replace(plan, replicas=found.replicas)


def _plan_apart(job: ServingJob, offer: Offer, found: Apart) -> ServingPlan | Refusal:
    """The plan, with as many workers of each phase as the estimate of both together takes."""
    load = job.rate * job.output_tokens
    for _ in range(ADJUSTMENTS_MOST):
        plan = _described_apart(job, offer, found)
        prefills, decodes, index = found.prefill_workers, found.decode_workers, found.index
        if exceeds(job, plan.ttft_ms, job.ttft_limit_ms):
            prefills += max(1, prefills // 4)
        elif exceeds(job, plan.itl_ms, job.itl_limit_ms):
            if index == 0:
                break
            index -= 1
            decodes = max(1, math.ceil(load / float(found.decode.tokens_s[index])))
        elif plan.tokens_s.value < load * CARRIES:
            decodes += max(1, decodes // 4)
        else:
            return plan
        found = replace(found, prefill_workers=prefills, decode_workers=decodes, index=index)
    reason = f"{found.chips:,} chips don't carry the load within the limits"
    return Refusal(offer.chip.name, "prefill and decode apart", reason)


def _described_apart(job: ServingJob, offer: Offer, found: Apart) -> ServingPlan:
    batch = float(found.decode.batches[found.index])
    case = msgspec.structs.replace(
        case_of(job, offer, found.decode.layout, replicas=1),
        concurrency=batch * found.decode_workers,
        chips=found.chips,
        prefill=Pool(found.prefill_workers, found.prefill.layout),
        decode=Pool(found.decode_workers, found.decode.layout),
    )
    return msgspec.structs.replace(
        described(job, offer, case, batch),
        prefill_layout=found.prefill.layout,
        prefill_workers=found.prefill_workers,
        decode_workers=found.decode_workers,
    )


CARRIES = 0.98
"""Of the load, what a plan must carry: the search and the estimate round differently."""
ADJUSTMENTS_MOST = 12
"""Times workers are added before the phases are said not to work apart."""


def described(job: ServingJob, offer: Offer, case: ServingCase, batch: float) -> ServingPlan:
    """Everything about a plan but how many replicas it has."""
    found = estimate_serving(case)
    load = job.rate * job.output_tokens
    energy = _energy(case, found)
    price = offer.price
    usd_hour = None if price is None else price.usd * case.chips
    return ServingPlan(
        chip=offer.chip.name,
        server=offer.server.name if offer.server is not None else None,
        layout=case.layout,
        replicas=1,
        chips=case.chips,
        batch=batch,
        ttft_ms=found.ttft_ms,
        itl_ms=found.tpot_ms,
        tokens_s=found.tokens_s,
        tokens_s_chip=found.tokens_s_chip,
        usd_hour=usd_hour,
        usd_million_tokens=None if usd_hour is None else _usd_million(usd_hour, load, found),
        joules_token=energy[0],
        power_kw=_wall_kw(offer, case, energy[1]),
        memory=(
            Share("weights", found.memory.weights_gib),
            Share("cache", found.memory.cache_gib),
            Share("work", found.memory.work_gib),
        ),
        terms=found.terms,
        price_kind=None if price is None else price.kind,
    )


def _usd_million(usd_hour: float, load: float, found: ServingEstimate) -> Estimate:
    """Dollars for a million tokens of the load asked for; as unsure as the throughput is."""
    value = usd_hour / 3600 / load * 1e6
    rate = found.tokens_s
    return Estimate(
        value, value * rate.value / rate.high, value * rate.value / rate.low, rate.provenance
    )


def _energy(case: ServingCase, found: ServingEstimate) -> tuple[Estimate | None, Estimate | None]:
    """Joules a token and watts a chip; None where nobody publishes the chip's power."""
    try:
        energy = estimate_energy(case, found.tokens_s)
    except Unsupported:
        return None, None
    return energy.joules_token, energy.watts_chip


def _wall_kw(offer: Offer, case: ServingCase, watts: Estimate | None) -> Estimate | None:
    """What the chips draw, with their hosts and the building around them."""
    if watts is None or offer.curve is None:
        return None

    def wall(chip_w: float) -> float:
        span = offer.curve.slope_w if offer.curve is not None else 0.0
        idle = offer.curve.idle_w if offer.curve is not None else 0.0
        load = min(max((chip_w - idle) / span, 0.0), 1.0) if span else 1.0
        return offer.power_kw(case.chips, load) or 0.0

    return Estimate(wall(watts.value), wall(watts.low), wall(watts.high), watts.provenance)


def _front(job: ServingJob, offer: Offer, tables: list[Table]) -> list[Point]:
    """Points no other point of the chip beats in both speed for a user and tokens a chip."""
    points: list[Point] = []
    for table in tables:
        for index in np.flatnonzero(table.fits):
            if job.ttft_limit_ms is not None and table.ttft_held_ms[index] > job.ttft_limit_ms:
                continue
            a_chip = float(table.tokens_s[index]) / table.layout.chips
            price = None
            if offer.price is not None and a_chip > 0:
                price = offer.price.usd / 3600 / a_chip * 1e6
            speed = 1000.0 / float(table.itl_ms[index])
            batch = float(table.batches[index])
            points.append(Point(offer.chip.name, speed, a_chip, price, table.layout, batch))
    points.sort(key=lambda point: (-point.tokens_s_user, -point.tokens_s_chip))
    kept: list[Point] = []
    for point in points:
        if not kept or point.tokens_s_chip > kept[-1].tokens_s_chip:
            kept.append(point)
    return kept
