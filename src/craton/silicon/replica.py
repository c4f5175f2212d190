"""One replica at every batch: what the search compares, all batches of a split at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.case import ServingCase
from craton.silicon.intervals import Correction
from craton.silicon.layout import Layout
from craton.silicon.neuron import estimate_neuron
from craton.silicon.processor import estimate_processor
from craton.silicon.serving import (
    NEURON,
    is_known,
    put_together,
    room_of,
    servers_of,
    set_up_features,
    take_apart,
)
from craton.silicon.serving_fit import load_serving_fit
from craton.silicon.walks import Walks

Numbers = NDArray[np.float64]

GROUP_BATCHES: Numbers = np.exp2(np.arange(12, dtype=np.float64))
"""Requests in flight that one attention group is tried with: 1 to 2,048."""

PREFILL_BUSY_MOST = 0.85
"""Share of its time a prefill worker is kept busy at most: above it waits grow without bound."""


@dataclass(frozen=True, slots=True)
class Table:
    """One split of a replica: a row a batch."""

    layout: Layout
    batches: Numbers
    """Requests in flight in the replica."""
    fits: NDArray[np.bool_]
    ttft_ms: Numbers
    itl_ms: Numbers
    tokens_s: Numbers
    """Output tokens of the replica."""
    ttft_held_ms: Numbers
    """What a limit is held against: the time, or the high end of its interval."""
    itl_held_ms: Numbers
    reason: str = ""
    """Why nothing fits, where nothing does."""


@dataclass(frozen=True, slots=True)
class Phases:
    """One split of a worker that does one phase only: a row a batch."""

    layout: Layout
    batches: Numbers
    fits: NDArray[np.bool_]
    prompt_s: float
    """One prompt alone, from its arrival to its first token."""
    prompts_s: float
    """Prompts a second in full passes."""
    itl_ms: Numbers
    tokens_s: Numbers

    def prefill_workers(self, rate: float, limit_ms: float | None) -> int | None:
        """Workers that answer `rate` prompts a second in time; None where none can."""
        alone_ms = self.prompt_s * 1000.0
        if limit_ms is not None and alone_ms >= limit_ms:
            return None
        # Prompts that come at random wait for those before them (Pollaczek and Khinchin, equal
        # service times): busy / (2 (1 - busy)) of a prompt's own time.
        busy = PREFILL_BUSY_MOST
        if limit_ms is not None:
            ratio = 2.0 * (limit_ms / alone_ms - 1.0)
            busy = min(busy, ratio / (1.0 + ratio))
        return max(1, math.ceil(rate / (self.prompts_s * busy)))

    def decode_workers(self, tokens_s: float, limit_ms: float | None) -> tuple[int, int] | None:
        """The fewest workers for a load within a limit, and the index of their batch."""
        within = self.fits if limit_ms is None else self.fits & (self.itl_ms <= limit_ms)
        if not within.any():
            return None
        workers = max(1, math.ceil(tokens_s / float(self.tokens_s[within].max())))
        enough = within & (self.tokens_s >= tokens_s / workers * (1.0 - 1e-9))
        return workers, int(np.flatnonzero(enough)[0])


def tabulate(
    case: ServingCase, walks: Walks | None = None, *, confident: bool = False
) -> tuple[Table, Phases | None]:
    """All batches of one replica of a case, both phases together, and each alone.

    The case's own `concurrency` and `chips` don't count. The phases are None for chips whose model
    doesn't tell them apart. `walks` may be shared by all cases of an architecture. With
    `confident`, limits are to be held against the high ends of intervals.
    """
    layout = case.layout
    case = msgspec.structs.replace(case, chips=layout.chips, concurrency=None)
    batches = GROUP_BATCHES * layout.data
    if case.chip.vendor == NEURON or case.chip.engine is not None:
        return _tabulate_each(case, batches, walks, confident=confident), None
    fit = load_serving_fit()
    try:
        parts = take_apart(case, fit, batches, walks=walks, crowded=True)
    except BadRequest as error:
        return _nothing(layout, batches, error.message), None
    server, _ = servers_of(parts)
    flow = put_together(parts, server, server)
    named = set_up_features(parts, flow, fit)
    first_s = flow.ttft_s * fit.ttft.factor(named)
    token_s = flow.tpot_s * fit.tpot.factor(named)
    known = is_known(case, fit)
    fits = batches <= parts.room
    steps = max(case.output_tokens - 1.0, 0.0)
    table = Table(
        layout,
        batches,
        fits,
        first_s * 1000.0,
        token_s * 1000.0,
        batches * case.output_tokens / (first_s + steps * token_s),
        first_s * 1000.0 * (_high(fit.ttft, named, known=known) if confident else 1.0),
        token_s * 1000.0 * (_high(fit.tpot, named, known=known) if confident else 1.0),
    )
    fullest = float((server.prompts_full / server.prefill_full_s)[fits].max(initial=0.0))
    alone = Phases(
        layout,
        batches,
        fits,
        float(server.prefill_one_s[0] + server.request_s[0]),
        fullest,
        server.decode_s * 1000.0,
        batches / server.decode_s,
    )
    return table, alone


def _nothing(layout: Layout, batches: Numbers, reason: str) -> Table:
    none = np.full_like(batches, np.inf)
    fits = np.zeros(len(batches), bool)
    return Table(layout, batches, fits, none, none, 0.0 * batches, none, none, reason)


def _high(correction: Correction, named: Mapping[str, Numbers], *, known: bool) -> Numbers:
    """The high end of an interval over its middle."""
    return np.exp(correction.widths(named, known=known)[1])


def _tabulate_each(
    case: ServingCase, batches: Numbers, walks: Walks | None, *, confident: bool
) -> Table:
    """Batch by batch, up to the first that doesn't fit or is too slow."""
    first = np.full_like(batches, np.inf)
    token, rate = first.copy(), np.zeros_like(batches)
    first_high, token_high = first.copy(), first.copy()
    try:
        room = room_of(case, load_serving_fit())
    except BadRequest as error:
        return _nothing(case.layout, batches, error.message)
    steps = max(case.output_tokens - 1.0, 0.0)
    for index, batch in enumerate(batches[batches <= room]):
        one = msgspec.structs.replace(case, concurrency=float(batch))
        if case.chip.engine is None:
            found = estimate_neuron(one, walks=walks)
        else:
            found = estimate_processor(one)
        first[index], token[index] = found.ttft_ms.value, found.tpot_ms.value
        first_high[index], token_high[index] = found.ttft_ms.high, found.tpot_ms.high
        rate[index] = batch * case.output_tokens * 1e3 / (first[index] + steps * token[index])
        if case.itl_limit_ms is not None and token[index] > case.itl_limit_ms:
            break
    fits = np.isfinite(first)
    held = (first_high, token_high) if confident else (first, token)
    return Table(case.layout, batches, fits, first, token, rate, *held)
