"""What a serving pass asks of a chip, in seconds at the specified rates, before any efficiency.

One array element for each operation of a layer group and each case walked at once (a batch size
each). `efficiency` turns it into time. The split in two lets a fit walk the operations once and try
many efficiencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.chip import Chip, LinkLevel
from craton.silicon.layout import Layout
from craton.silicon.links import collective_seconds, spans
from craton.silicon.operations import Kind
from craton.silicon.precision import Precision
from craton.silicon.walks import Numbers, Walk

WORK = (Kind.GEMM, Kind.EXPERTS, Kind.ATTENTION, Kind.RECURRENCE, Kind.ELEMENTWISE)
"""Kinds that multiply and read memory."""

COLLECTIVES = (
    Kind.ALL_REDUCE,
    Kind.ALL_GATHER,
    Kind.REDUCE_SCATTER,
    Kind.ALL_TO_ALL,
    Kind.SEND,
)

KINDS = WORK + COLLECTIVES
KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}

WIDTHS = (16, 8, 4)
"""Bits of the formats a chip multiplies in; wider ones count as 16."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Operations of a pass: `kind` and `width` hold one element each, the rest a row each."""

    names: tuple[str, ...]
    kind: NDArray[np.intp]
    """Index in KINDS."""
    width: NDArray[np.intp]
    """Index in WIDTHS."""
    count: Numbers
    kernels: Numbers
    multiply_s: Numbers
    """At the chip's dense peak, one repetition."""
    weights_s: Numbers
    """Reading the weights at the memory's specified rate."""
    data_s: Numbers
    """Activations and cache, at the memory's specified rate."""
    sending_s: Numbers
    """At the links' specified rate."""
    latency_s: Numbers
    """Messages that wait for one another."""
    flops: Numbers
    bytes: Numbers


def demand(
    walk: Walk,
    layout: Layout,
    chip: Chip,
    *,
    levels: Sequence[LinkLevel] | None = None,
    gemm: Precision | None = None,
) -> Demand:
    """What a walked pass asks of a chip; `levels` are the server's links where they aren't its own.

    BadRequest where the chip multiplies in no format that holds one of the pass's.
    """
    peaks, width = _multipliers(walk, chip, gemm)
    ranks = layout.ranks_per_chip
    rate = chip.memory_tb_s.value * 1e12 / ranks
    sends = [index for index, kind in enumerate(walk.kinds) if kind in COLLECTIVES]
    data_s = walk.data_bytes / rate
    sending_s, latency_s = np.zeros_like(data_s), np.zeros_like(data_s)
    for index in sends:
        kind, members = walk.kinds[index], -(-walk.groups[index] // ranks)
        # Stages lie outside the ranks of a layer; everything else fills the nearest chips.
        first = max(layout.tensor * layout.data // ranks, 1) if kind is Kind.SEND else 1
        byte_s, wait_s = _link_seconds(kind, tuple(levels or chip.links), members, first)
        data_s[index] = 0.0
        sending_s[index] = byte_s * walk.data_bytes[index]
        latency_s[index] = wait_s
    # A narrow multiplication quantises its input in one kernel more.
    narrow = [
        kind in (Kind.GEMM, Kind.EXPERTS) and narrow > 0
        for kind, narrow in zip(walk.kinds, width, strict=True)
    ]
    return Demand(
        names=walk.names,
        kind=np.array([KIND_INDEX[kind] for kind in walk.kinds], dtype=np.intp),
        width=np.array(width, dtype=np.intp),
        count=walk.count,
        kernels=walk.kernels + narrow,
        multiply_s=walk.flops / (np.array(peaks) / ranks)[:, None],
        weights_s=walk.weight_bytes / rate,
        data_s=data_s,
        sending_s=sending_s,
        latency_s=latency_s,
        flops=walk.flops,
        bytes=walk.weight_bytes + walk.data_bytes,
    )


def _multipliers(walk: Walk, chip: Chip, gemm: Precision | None) -> tuple[list[float], list[int]]:
    """Operations a second at the chip's peak, and the index in WIDTHS, of each operation."""
    known: dict[Precision, tuple[float, int]] = {}
    peaks: list[float] = []
    widths: list[int] = []
    for kind, stored in zip(walk.kinds, walk.precisions, strict=True):
        if kind in COLLECTIVES:
            peaks.append(1.0)
            widths.append(0)
            continue
        precision = gemm if gemm is not None and kind in (Kind.GEMM, Kind.EXPERTS) else stored
        if precision not in known:
            known[precision] = _multiplier(chip, precision)
        peak, width = known[precision]
        peaks.append(peak)
        widths.append(width)
    return peaks, widths


def _multiplier(chip: Chip, precision: Precision) -> tuple[float, int]:
    peak = chip.peak_tflops(precision) * 1e12
    if peak <= 0.0:
        raise BadRequest(
            f"{chip.name} multiplies in no format that holds {precision}; use another precision"
        )
    computed = chip.computes_in(precision) or precision
    return peak, 2 if computed.bytes < 1 else 1 if computed.bytes < 2 else 0


@lru_cache(maxsize=4096)
def _link_seconds(
    kind: Kind, levels: tuple[LinkLevel, ...], members: int, first: int
) -> tuple[float, float]:
    """Of one collective: the time of a byte, and of the messages that wait for one another."""
    path = spans(levels, members, first=first)
    if not path:
        return 0.0, 0.0
    # Next to nothing: a zero has no product with the infinite cost of a way there isn't.
    waiting = collective_seconds(kind, 1e-9, path)
    return float(collective_seconds(kind, 1.0, path, latency=0.0)), float(waiting)
