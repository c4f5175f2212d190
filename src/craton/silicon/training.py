"""What a training set-up takes a step: time, model FLOPs, memory, energy, and their intervals.

`estimate_training` counts what a rank has to do (`training_demand`), prices it with coefficients
fitted to public measurements (`training_time`, `training_coefficients`, `fits/training.toml`), and
says how far such prices were off where they could be checked (`training_intervals`).
"""

import math
from collections.abc import Callable

import msgspec

from craton.silicon.case import TrainingCase
from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.training_coefficients import Coefficients, bundled_coefficients
from craton.silicon.training_demand import demand_of
from craton.silicon.training_family import Family, family_of
from craton.silicon.training_flops import model_flops_token
from craton.silicon.training_memory import (
    activation_bytes,
    end_bytes,
    state_bytes,
    working_bytes,
)
from craton.silicon.training_time import timeline_of

GIB = 1024.0**3

PowerModel = Callable[[Chip, float], Estimate | None]
"""Watts one chip draws at a share of its peak rate; None where its power isn't known."""


class TrainingEstimate(msgspec.Struct, frozen=True):
    """One step of a training set-up."""

    step_s: Estimate
    tokens_s: Estimate
    """Over all chips."""
    tflops_chip: Estimate
    """Model FLOPs, 10^12 a second and chip: nothing that is computed again counts."""
    mfu: Estimate
    """Of the chip's dense peak in the case's format."""
    memory_gib: Estimate
    """Of the fullest rank."""
    memory_activations_gib: Estimate
    """Kept for the backward pass by the first pipeline stage."""
    memory_states_gib: Estimate
    """Weights, gradients and optimizer states of the mean rank."""
    joules_token: Estimate | None
    """Accelerators only; None where the chip's power isn't known."""
    parts_s: dict[str, float]
    """Where the seconds of a step go (`training_time.Timeline`)."""


def estimate_training(
    case: TrainingCase,
    *,
    power: PowerModel | None = None,
    coefficients: Coefficients | None = None,
) -> TrainingEstimate:
    """The estimate of one case.

    Without `power` a chip is taken to draw its published peak. BadRequest where the split can't be,
    Unsupported where the chip has no rate for the format.
    """
    coefficients = coefficients or bundled_coefficients()
    parts = timeline_of(demand_of(case), coefficients.rates(case)).parts()
    seconds = {name: float(value) for name, value in parts.items()}
    residuals = coefficients.interval(case)
    known = coefficients.knows(case)
    step = interval_of(
        sum(seconds.values()),
        residuals.low,
        residuals.high,
        Provenance.FITTED if known else Provenance.SPEC_EXTRAPOLATED,
    )
    tokens = float(case.global_batch * case.sequence)
    flops = tokens * model_flops_token(case) / case.chips
    rate = step.inverse(flops / 1e12)
    peak = case.chip.peak_tflops(case.precision)
    states, activations, fullest = _memory(case)
    return TrainingEstimate(
        step_s=step,
        tokens_s=step.inverse(tokens),
        tflops_chip=rate,
        mfu=rate.scaled(1.0 / peak),
        memory_gib=fullest,
        memory_activations_gib=activations,
        memory_states_gib=states,
        joules_token=_energy(case, step, rate.value / peak, power or published_power),
        parts_s=seconds,
    )


def published_power(chip: Chip, _: float) -> Estimate | None:
    """The chip's published peak: dense training holds it near there; the lower end is a guess."""
    if chip.power_w is None:
        return None
    watts = chip.power_w.value
    return Estimate(watts, _POWER_LOW * watts, watts, Provenance.SPEC_EXTRAPOLATED)


_POWER_LOW = 0.6
"""An assumption, where no power model is given: no training is known to draw less of the peak."""


def interval_of(value: float, low: float, high: float, provenance: Provenance) -> Estimate:
    """An estimate from a value and the quantiles of ln(measured / value)."""
    return Estimate(
        value, value * min(math.exp(low), 1.0), value * max(math.exp(high), 1.0), provenance
    )


_PAPER = 0.02
"""How far the sums lie from the memory that Korthikanti et al. state for their four models."""
_MEMORY_LOW, _MEMORY_HIGH = 0.10, 0.25
"""An assumption where nothing public was measured: frameworks keep a little more than they must."""


def _memory(case: TrainingCase) -> tuple[Estimate, Estimate, Estimate]:
    """States, activations, and the sum on the fullest rank, in GiB."""
    checked = family_of(case) is Family.MEGATRON_2022
    low, high = (_PAPER, _PAPER) if checked else (_MEMORY_LOW, _MEMORY_HIGH)
    provenance = Provenance.FITTED if checked else Provenance.SPEC_EXTRAPOLATED

    def estimate(in_bytes: float, more: float) -> Estimate:
        gib = in_bytes / GIB
        return Estimate(gib, gib * (1 - low), gib * (1 + more), provenance)

    states, activations = state_bytes(case), activation_bytes(case)
    fullest = states + end_bytes(case) + activations + working_bytes(case)
    # What the allocator loses and libraries keep comes on top of every sum.
    return estimate(states, high), estimate(activations, high), estimate(fullest, _MEMORY_HIGH)


def _energy(case: TrainingCase, step: Estimate, load: float, power: PowerModel) -> Estimate | None:
    watts = power(case.chip, load)
    if watts is None:
        return None
    tokens = case.global_batch * case.sequence
    scale = case.chips / tokens
    value = watts.value * step.value * scale
    # Independent errors: the spans add as logarithms do in squares.
    return Estimate(
        value,
        value * _joined(watts.low / watts.value, step.low / step.value, below=True),
        value * _joined(watts.high / watts.value, step.high / step.value, below=False),
        watts.provenance,
    )


def _joined(first: float, second: float, *, below: bool) -> float:
    span = math.hypot(math.log(first), math.log(second))
    return math.exp(-span if below else span)
