"""The search for ways to train a job: every split at growing sizes, until the deadline is met."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.faults import Goodput, Saving, goodput
from craton.silicon.layout import Layout
from craton.silicon.offer import Offer
from craton.silicon.precision import Precision
from craton.silicon.quote import Refusal, Share, Term, TrainingJob, TrainingPlan
from craton.silicon.splits import divisors, has_experts
from craton.silicon.training import GIB, TrainingEstimate, estimate_training
from craton.silicon.training_memory import (
    activation_bytes,
    end_bytes,
    state_bytes,
    working_bytes,
)
from craton.silicon.training_work import Work, work_of

MFU_MAX = 0.75
"""No published step of a whole model is above it; what needs more can be left out unseen."""
CHIPS_MAX = 131_072
SIZES_MOST = 6
"""Doublings of the smallest size that fits, where there is no deadline to choose by."""
DAY_S = 86_400.0
MICRO_BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class TrainingFound:
    """A split that fits, and what it is estimated to take."""

    case: TrainingCase
    estimate: TrainingEstimate
    days: float
    """What failures take included."""


def plan_training(job: TrainingJob, offer: Offer) -> tuple[list[TrainingPlan], list[Refusal]]:
    """Plans of one chip, with price, power and faults."""
    found, refusals = search_training(job, offer.chip, domain=offer.domain)
    return [_plan(job, offer, each) for each in found], refusals


def _plan(job: TrainingJob, offer: Offer, found: TrainingFound) -> TrainingPlan:
    case, estimate = found.case, found.estimate
    faults = _faults(case.chips, estimate)
    steps = job.tokens / (case.global_batch * case.sequence)
    days = estimate.step_s.scaled(steps / DAY_S / faults.fraction)
    load = min(estimate.mfu.value / MFU_MAX, 1.0)
    kw = offer.power_kw(case.chips, load)
    power = None if kw is None else Estimate(kw, kw * 0.8, kw * 1.1, Provenance.SPEC_EXTRAPOLATED)
    price, ranks = offer.price, case.chip.ranks
    return TrainingPlan(
        chip=offer.chip.name,
        server=offer.server.name if offer.server is not None else None,
        layout=case.layout,
        chips=case.chips,
        micro_batch=case.micro_batch,
        recompute=case.recompute,
        sharding=case.sharding,
        step_s=estimate.step_s,
        mfu=estimate.mfu,
        tflops_chip=estimate.tflops_chip,
        tokens_s=estimate.tokens_s,
        days=days,
        goodput=faults.fraction,
        failures_day=faults.failures_day,
        checkpoint_interval_s=faults.save_every_s,
        usd=days.scaled(24 * case.chips * price.usd) if price is not None else None,
        mwh=None if kw is None else days.scaled(24 * kw / 1000),
        power_kw=power,
        memory=(
            Share("states", estimate.memory_states_gib.value * ranks),
            Share("activations", estimate.memory_activations_gib.value * ranks),
            Share("rest", _rest_gib(estimate) * ranks),
        ),
        terms=tuple(_terms(case, estimate)),
        price_kind=price.kind if price is not None else None,
    )


def _terms(case: TrainingCase, estimate: TrainingEstimate) -> Iterator[Term]:
    work = work_of(case)
    for name, seconds in estimate.parts_s.items():
        yield Term("step", name, seconds, *work.get(name, Work()))


def _rest_gib(estimate: TrainingEstimate) -> float:
    kept = estimate.memory_states_gib.value + estimate.memory_activations_gib.value
    return max(estimate.memory_gib.value - kept, 0.0)


SAVE_GIB_S = 1.0
"""GiB a second one chip's states are saved at: an assumption, of staging to the host's memory."""
RESTART_S = 600.0
"""From an interruption to the next step: an assumption."""


def _faults(chips: int, estimate: TrainingEstimate) -> Goodput:
    saved_s = max(estimate.memory_states_gib.value / SAVE_GIB_S, 1.0)
    return goodput(chips, Saving(save_s=saved_s, restart_s=RESTART_S))


def search_training(
    job: TrainingJob, chip: Chip, *, domain: int
) -> tuple[list[TrainingFound], list[Refusal]]:
    """The best split of the fewest chips that meet the deadline; without one, of six sizes.

    `domain` is how many chips a server or UltraServer joins: tensor groups stay inside it.
    Refusals say why smaller numbers, or all, lost.
    """
    found: list[TrainingFound] = []
    refusals: list[Refusal] = []
    limit = min(job.chips_limit or CHIPS_MAX, CHIPS_MAX)
    sequences = batch_sequences(job)
    peak = chip.peak_tflops(Precision(job.precision)) * 1e12
    needed = 6 * job.architecture.active_parameters() * job.tokens
    chips, sizes = 1, 0
    while chips <= limit and sizes < SIZES_MOST:
        days_least = needed / (peak * MFU_MAX * chips) / DAY_S
        if job.deadline_days is None or days_least <= job.deadline_days:
            best, reason = best_split(job, chip, chips, sequences, domain=domain)
            if best is None:
                refusals.append(Refusal(chip.name, f"{chips} chips", reason))
            elif job.deadline_days is None:
                found.append(best)
                sizes += 1
            elif best.days <= job.deadline_days:
                return [best], refusals
            else:
                late = f"takes {best.days:,.0f} days, the deadline is {job.deadline_days:g}"
                refusals.append(Refusal(chip.name, f"{chips} chips", late))
        chips *= 2
    if not found and not refusals:
        rate = f"{MFU_MAX * 100:.0f} % of their peak"
        reason = f"even {limit:,} chips at {rate} take longer than the deadline"
        refusals.append(Refusal(chip.name, f"up to {limit:,} chips", reason))
    return found, refusals


ROUNDED_MOST = 0.05
"""How far a batch may be moved so that more copies of a model can share it evenly."""


def batch_sequences(job: TrainingJob) -> int:
    """Sequences of a step, moved by at most 5 % to the multiple of the highest power of two.

    A batch of 4,000,000 tokens is 488.3 sequences of 8,192; copies share 488 = 8 x 61 badly, and
    512 well. BadRequest for less than one sequence.
    """
    exact = job.global_batch_tokens / job.sequence
    if exact < 1:
        raise BadRequest(
            f"a batch of {job.global_batch_tokens:g} tokens is less than one sequence of"
            f" {job.sequence}; make --batch larger or --sequence shorter"
        )
    unit = 1 << int(exact).bit_length()
    while unit > 1:
        rounded = round(exact / unit) * unit
        if rounded and abs(rounded - exact) <= ROUNDED_MOST * exact:
            return rounded
        unit //= 2
    return round(exact)


def best_split(
    job: TrainingJob, chip: Chip, chips: int, sequences: int, *, domain: int
) -> tuple[TrainingFound | None, str]:
    """The fastest split of exactly `chips`, or why there is none."""
    best: TrainingFound | None = None
    reason = "no split keeps the rules"
    steps = job.tokens / (sequences * job.sequence)
    room = chip.memory_gib.value / chip.ranks * GIB
    for case in training_cases(job, chip, chips, sequences, domain=domain):
        # The least that is computed again and still fits is the fastest.
        kept = (msgspec.structs.replace(case, recompute=each) for each in Recompute)
        fitting = next((each for each in kept if rank_bytes(each) <= room), None)
        if fitting is None:
            reason = f"does not fit {room / GIB:.0f} GiB a rank, however it is split"
            continue
        estimate = estimate_training(fitting)
        days = steps * estimate.step_s.value / DAY_S
        days /= _faults(chips, estimate).fraction
        if best is None or days < best.days:
            best = TrainingFound(fitting, estimate, days)
    return best, reason


def rank_bytes(case: TrainingCase) -> float:
    """Bytes of the fullest rank."""
    return state_bytes(case) + end_bytes(case) + activation_bytes(case) + working_bytes(case)


def training_cases(
    job: TrainingJob, chip: Chip, chips: int, sequences: int, *, domain: int
) -> Iterator[TrainingCase]:
    """Every split of `chips` that keeps the rules, small tensor groups first."""
    ranks = chips * chip.ranks
    for layout in _layouts(job, chip, ranks, domain=domain * chip.ranks):
        for micro_batch in MICRO_BATCHES:
            if sequences % (micro_batch * layout.data) == 0:
                yield TrainingCase(
                    architecture=job.architecture,
                    chip=chip,
                    layout=layout,
                    chips=chips,
                    micro_batch=micro_batch,
                    global_batch=sequences,
                    sequence=job.sequence,
                    precision=Precision(job.precision),
                    sequence_parallel=layout.tensor > 1,
                    sharding=Sharding.ZERO1
                    if layout.tensor * layout.pipeline > 1
                    else Sharding.ZERO3,
                )


def _layouts(job: TrainingJob, chip: Chip, ranks: int, *, domain: int) -> Iterator[Layout]:
    architecture = job.architecture
    contexts = [size for size in (1, 2, 4, 8) if job.sequence // size >= _CONTEXT_TOKENS_LEAST]
    for tensor in (size for size in divisors(min(domain, ranks)) if size & (size - 1) == 0):
        for pipeline in (size for size in divisors(architecture.layers) if size <= _STAGES_MOST):
            for context in contexts or [1]:
                copies, over = divmod(ranks, tensor * pipeline * context)
                if over or copies < 1:
                    continue
                for expert in _expert_sizes(job, copies * context * tensor):
                    layout = Layout(
                        tensor=tensor,
                        pipeline=pipeline,
                        data=copies,
                        expert=expert,
                        context=context,
                        virtual=_virtual(architecture.layers, pipeline),
                        ranks_per_chip=chip.ranks,
                    )
                    try:
                        layout.check_training(architecture)
                    except BadRequest:
                        continue
                    yield layout


_CONTEXT_TOKENS_LEAST = 4096
_STAGES_MOST = 64


def _expert_sizes(job: TrainingJob, ranks: int) -> list[int]:
    if not has_experts(job.architecture):
        return [1]
    return [size for size in (1, 2, 4, 8, 16, 32, 64) if ranks % size == 0]


def _virtual(layers: int, pipeline: int) -> int:
    """Chunks a stage is cut into: as many as leave two layers each, at most four."""
    if pipeline == 1:
        return 1
    own = layers // pipeline
    return max((size for size in (1, 2, 4) if own % size == 0 and own // size >= 2), default=1)
