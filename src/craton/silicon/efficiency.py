"""How far chips and software stay behind their specifications, and what a launch costs.

An operation takes what it multiplies and what it moves, each at its own fraction of the specified
rate, and a fixed time a kernel. Small operations are slow because of the fixed time, large ones
reach the fractions; multiplying and moving overlap in part. The fractions differ by the kind of
operation, the width of the format and the family of the chip; they are fitted to measured serving
(`benchmarks/silicon/fit_serving.py`) and stand in `fits/serving.toml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.silicon.operations import Kind
from craton.silicon.serving_demand import COLLECTIVES, KINDS, WIDTHS, Demand, Numbers

OTHER = "other"
"""The family of chips, and the framework, that nothing was fitted for."""


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a family of chips reaches, as a fraction of its specification."""

    chips: tuple[str, ...]
    multiply: dict[str, float]
    """By kind and width: `gemm-16`, `experts-8`, `attention-16` …"""
    memory: dict[str, float]
    """By kind."""
    links: float
    """Of the specified rate."""
    latency: float
    """Times the specified latency."""
    kernel: float
    """Times what a framework's kernels take."""


class Software(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a serving framework adds."""

    kernel_us: dict[str, float]
    """A kernel of each kind; collectives under `collective`."""
    launch_us: float
    """The host launches a kernel outside of a CUDA graph, as in prefill; beside the chips."""
    step_ms: float
    """A pass: scheduling, launching, sampling."""
    sequence_us: float
    """A pass, for each sequence in it."""
    request_ms: float
    """A request waits on its way in and out, whatever the load."""
    input_us: float
    """A request waits for each token of its prompt: reading and tokenising."""
    wait_steps: float
    """Decode steps a new prompt waits before the scheduler sees it."""
    prompt_us: float
    """The host works on each token of a prompt, beside the chips."""
    token_us: float
    """Likewise, on each token of an answer."""
    fused: float
    """Of what a decode step spends on weights and launches, the part that a prefill running with
    it saves (1: chunks of prompts ride in decode steps; 0: they take turns)."""
    first_wave: float
    """Of the time the prompts of all requests in flight take, the part a request waits on the
    mean because requests start, or end, together."""
    chunk_tokens: int
    """Prompt tokens a pass takes, at most."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A family's and a framework's figures, laid out by index in KINDS and WIDTHS."""

    multiply: NDArray[np.float64]
    memory: NDArray[np.float64]
    kernel_s: NDArray[np.float64]
    links: float
    latency: float


def rates(family: Family, software: Software) -> Rates:
    """Lay the named figures out."""
    multiply = np.ones((len(KINDS), len(WIDTHS)))
    memory = np.ones(len(KINDS))
    kernel = np.empty(len(KINDS))
    for index, kind in enumerate(KINDS):
        if kind in COLLECTIVES:
            kernel[index] = software.kernel_us["collective"] * 1e-6 * family.kernel
            continue
        kernel[index] = software.kernel_us[kind] * 1e-6 * family.kernel
        memory[index] = family.memory[kind]
        for column, width in enumerate(WIDTHS):
            multiply[index, column] = _multiply(family.multiply, kind, width)
    return Rates(multiply, memory, kernel, family.links, family.latency)


def _multiply(named: Mapping[str, float], kind: Kind, width: int) -> float:
    return named.get(f"{kind}-{width}", named[f"{kind}-16"])


def operation_seconds(demand: Demand, rates: Rates) -> Numbers:
    """Seconds of each operation over a whole pass: one row an operation, one column a case."""
    return demand.count[:, None] * one_operation(
        demand.multiply_s,
        demand.weights_s + demand.data_s,
        demand.sending_s,
        demand.latency_s,
        multiply=rates.multiply[demand.kind, demand.width][:, None],
        memory=rates.memory[demand.kind][:, None],
        fixed_s=(demand.kernels * rates.kernel_s[demand.kind])[:, None],
        links=rates.links,
        latency=rates.latency,
    )


def one_operation(
    multiply_s: Numbers,
    moved_s: Numbers,
    sending_s: Numbers,
    latency_s: Numbers,
    *,
    multiply: Numbers,
    memory: Numbers,
    fixed_s: Numbers,
    links: Numbers | float,
    latency: Numbers | float,
) -> Numbers:
    """Seconds of one repetition; everything may be an array.

    Multiplying and moving overlap in part: the time is the root of the sum of their squares.
    """
    work = np.hypot(multiply_s / multiply, moved_s / memory)
    return work + fixed_s + sending_s / links + latency_s * latency
