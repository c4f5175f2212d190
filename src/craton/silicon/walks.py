"""Walks of forward passes as tables, kept while a search lasts.

What a pass multiplies, reads and sends depends on the model and the split, and on no chip: a search
over many chips walks each pass once.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craton.silicon.architecture import Architecture
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats, Kind, Operation, Pass, Quantity, forward
from craton.silicon.precision import Precision

Numbers = NDArray[np.float64]

_EXCHANGED = (Kind.EXPERTS, Kind.ALL_TO_ALL, Kind.ALL_GATHER, Kind.REDUCE_SCATTER)


@dataclass(frozen=True, slots=True)
class Walk:
    """Operations of a pass: one element each, or a row each with a column a case (a batch size)."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    precisions: tuple[Precision, ...]
    groups: tuple[int, ...]
    """Ranks that take part in a collective."""
    count: Numbers
    kernels: Numbers
    flops: Numbers
    weight_bytes: Numbers
    data_bytes: Numbers


class Walks:
    """All passes of one architecture walked so far."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._known: dict[Hashable, Walk] = {}

    def walk(
        self, layout: Layout, formats: Formats, step: Pass, busy_groups: Quantity | None = None
    ) -> Walk:
        """Walk one pass; `busy_groups` of the attention groups have tokens (all, by default).

        The experts see the tokens of the busy groups only.
        """
        key = (
            *(layout.tensor, layout.pipeline, layout.data, layout.expert, layout.expert_tensor),
            formats,
            *map(_key, (step.tokens, step.sequences, step.cached, step.logits, busy_groups)),
        )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._walk(layout, formats, step, busy_groups)
        return found

    def _walk(
        self, layout: Layout, formats: Formats, step: Pass, busy_groups: Quantity | None
    ) -> Walk:
        operations = list(forward(self._architecture, layout, formats, step))
        if busy_groups is not None and np.any(layout.data > np.asarray(busy_groups)):
            share = busy_groups / layout.data
            part = Pass(step.tokens * share, step.sequences * share, step.cached, step.logits)
            partly = forward(self._architecture, layout, formats, part)
            operations = [
                other if one.kind in _EXCHANGED else one
                for one, other in zip(operations, partly, strict=True)
            ]
        busy = 1.0 if busy_groups is None else busy_groups
        cases = np.broadcast(step.tokens, step.sequences, step.cached, step.logits, busy).size
        return _table(operations, cases)


def _key(quantity: Quantity | None) -> Hashable:
    return quantity.tobytes() if isinstance(quantity, np.ndarray) else quantity


def _table(operations: list[Operation], cases: int) -> Walk:
    amounts = np.empty((3, len(operations), cases))
    for index, each in enumerate(operations):
        amounts[0, index] = each.flops
        amounts[1, index] = each.weight_bytes
        amounts[2, index] = each.data_bytes
    return Walk(
        tuple(each.name for each in operations),
        tuple(each.kind for each in operations),
        tuple(each.precision for each in operations),
        tuple(each.group for each in operations),
        np.array([each.count for each in operations]),
        np.array([each.kernels for each in operations]),
        *amounts,
    )
