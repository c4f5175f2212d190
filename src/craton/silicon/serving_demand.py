"""What a serving pass asks of a chip, in seconds at the specified rates, before any efficiency.

One array element for each operation of a layer group and each case walked at once (a batch size
each). `efficiency` turns it into time. The split in two lets a fit walk the operations once and try
many efficiencies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture
from craton.silicon.chip import Chip, LinkLevel
from craton.silicon.layout import Layout
from craton.silicon.links import collective_seconds, spans
from craton.silicon.operations import Formats, Kind, Operation, Pass, Quantity, forward
from craton.silicon.precision import Precision

Numbers = NDArray[np.float64]

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

WIDTHS = (16, 8, 4)
"""Bits of the formats a chip multiplies in; wider ones count as 16."""

KERNELS = {"index": 8.0}
"""Launches of operations that stand for several: the indexer projects, norms, turns and quantises
keys and queries, scores, and takes the best."""

_EXCHANGED = (Kind.EXPERTS, Kind.ALL_TO_ALL, Kind.ALL_GATHER, Kind.REDUCE_SCATTER)


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
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    step: Pass,
    chip: Chip,
    *,
    levels: Sequence[LinkLevel] | None = None,
    gemm: Precision | None = None,
    busy_groups: Quantity | None = None,
) -> Demand:
    """Walk one pass. `levels` are the server's links where they aren't the chip's own.

    `busy_groups` of the attention groups have tokens (all, by default): the experts then see the
    tokens of those only.
    """
    operations = forward(architecture, layout, formats, step)
    if busy_groups is not None and np.any(layout.data > np.asarray(busy_groups)):
        operations = _partly_busy(architecture, layout, formats, step, busy_groups)
    links = _Links(tuple(levels or chip.links), layout)
    busy = 1.0 if busy_groups is None else busy_groups
    cases = np.broadcast(step.tokens, step.sequences, step.cached, step.logits, busy).size
    return _collect([_measure(each, chip, layout, links, gemm) for each in operations], cases)


def _partly_busy(
    architecture: Architecture, layout: Layout, formats: Formats, step: Pass, busy: Quantity
) -> Iterable[Operation]:
    share = busy / layout.data
    part = Pass(step.tokens * share, step.sequences * share, step.cached, step.logits * share)
    whole = forward(architecture, layout, formats, step)
    for one, other in zip(whole, forward(architecture, layout, formats, part), strict=True):
        yield other if one.kind in _EXCHANGED else one


@dataclass(frozen=True, slots=True)
class _Links:
    levels: tuple[LinkLevel, ...]
    layout: Layout

    def seconds(self, each: Operation) -> tuple[Numbers | float, Numbers | float]:
        """Time of the bytes, and of the messages in a row."""
        ranks = self.layout.ranks_per_chip
        members = -(-each.group // ranks)
        # Stages lie outside the ranks of a layer; everything else fills the nearest chips.
        first = max(self.layout.tensor * self.layout.data // ranks, 1)
        path = spans(self.levels, members, first=first if each.kind is Kind.SEND else 1)
        if not path:
            return 0.0, 0.0
        data = np.asarray(each.data_bytes, dtype=np.float64)
        sending = collective_seconds(each.kind, data, path, latency=0.0)
        # Next to nothing: a zero has no product with the infinite cost of a way there isn't.
        waiting = collective_seconds(each.kind, np.full_like(data, 1e-9), path)
        return sending, waiting


@dataclass(frozen=True, slots=True)
class _Measured:
    operation: Operation
    width: int
    row: tuple[Numbers | float, ...]


def _measure(
    each: Operation, chip: Chip, layout: Layout, links: _Links, gemm: Precision | None
) -> _Measured:
    if each.kind in COLLECTIVES:
        sending, waiting = links.seconds(each)
        return _Measured(each, 0, (0.0, 0.0, 0.0, sending, waiting, 0.0, each.data_bytes))
    precision = each.precision
    if gemm is not None and each.kind in (Kind.GEMM, Kind.EXPERTS):
        precision = gemm
    peak = chip.peak_tflops(precision) * 1e12 / layout.ranks_per_chip
    if peak <= 0.0:
        raise BadRequest(
            f"{chip.name} multiplies in no format that holds {precision}; use another precision"
        )
    rate = chip.memory_tb_s.value * 1e12 / layout.ranks_per_chip
    computed = chip.computes_in(precision) or precision
    width = 2 if computed.bytes < 1 else 1 if computed.bytes < 2 else 0
    return _Measured(
        each,
        width,
        (
            each.flops / peak,
            each.weight_bytes / rate,
            each.data_bytes / rate,
            0.0,
            0.0,
            each.flops,
            each.weight_bytes + each.data_bytes,
        ),
    )


def _launches(each: _Measured) -> float:
    """Kernels of one repetition; a narrow multiplication quantises its input in one more."""
    narrow = each.width > 0 and each.operation.kind in (Kind.GEMM, Kind.EXPERTS)
    return KERNELS.get(each.operation.name, each.operation.kernels) + narrow


def _collect(found: Sequence[_Measured], cases: int) -> Demand:
    table = np.empty((7, len(found), cases))
    for index, each in enumerate(found):
        for member, value in enumerate(each.row):
            table[member, index] = value
    return Demand(
        tuple(each.operation.name for each in found),
        np.array([KINDS.index(each.operation.kind) for each in found], dtype=np.intp),
        np.array([each.width for each in found], dtype=np.intp),
        np.array([each.operation.count for each in found]),
        np.array([_launches(each) for each in found]),
        *table,
    )
