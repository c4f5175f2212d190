"""Rows that name a load and limits instead of a split and a concurrency: MLPerf's way of asking.

The system's chips are given; what serves most tokens a second within the limits is chosen, as a
submitter would choose it.
"""

import math

import msgspec
import numpy as np

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture
from craton.silicon.case import Load, ServingCase
from craton.silicon.catalogue import Catalogue
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.replica import Table, tabulate
from craton.silicon.rows import Row, chip_of, serving_case
from craton.silicon.splits import replica_sizes, serving_layouts

REPLICA_CHIPS_MAX = 72


def within_limits(row: Row, architecture: Architecture, catalogue: Catalogue) -> ServingCase:
    """The case of a row, with the split and the concurrency it leaves out filled in.

    BadRequest where nothing meets the limits, saying which binds.
    """
    chips = row.chips
    if chips is None and row.tp is None:
        raise BadRequest("the row has neither 'chips' nor 'tp'; give one of them")
    reasons: list[str] = []
    best: tuple[float, ServingCase] | None = None
    for case in _cases(row, architecture, catalogue):
        table, _ = tabulate(case)
        index, reason = _fastest(case, table)
        if index is None:
            reasons.append(reason)
            continue
        replicas = case.chips // case.layout.chips
        rate = float(table.tokens_s[index]) * replicas
        if best is None or rate > best[0]:
            found = msgspec.structs.replace(
                case, concurrency=float(table.batches[index]) * replicas
            )
            best = rate, found
    if best is None:
        raise BadRequest(reasons[-1] if reasons else "no split of the row's chips keeps the rules")
    return best[1]


TUNED = {"NVIDIA": 1.22, "AMD": 1.07}
"""Throughput of a submission over the estimate, by vendor: the geometric mean over models of the
median over rows (MLPerf Inference 5.1 closed, 302 rows; mlcommons/inference_results_v5.1).
Submitters tune each model by hand; the rows the estimate is fitted to are served as they come."""
TUNED_SPREAD = math.log(1.35)
"""Half an interval, as a logarithm: of models left out, 80 % lie within it."""


def as_submitted(tokens_s: Estimate, vendor: str) -> Estimate:
    """A throughput as submitters reach it, with the doubt of that added in squares."""
    factor = TUNED.get(vendor, 1.0)
    value = tokens_s.value * factor
    down = math.hypot(math.log(tokens_s.value / tokens_s.low), TUNED_SPREAD)
    up = math.hypot(math.log(tokens_s.high / tokens_s.value), TUNED_SPREAD)
    return Estimate(
        value, value * math.exp(-down), value * math.exp(up), Provenance.SPEC_EXTRAPOLATED
    )


def _cases(row: Row, architecture: Architecture, catalogue: Catalogue) -> list[ServingCase]:
    if row.tp is not None or row.mode == "disagg":
        return [serving_case(row, architecture, catalogue)]
    chip, ranks = chip_of(row, catalogue)
    whole = row.chips or 1
    base = serving_case(_any_split(row), architecture, catalogue)
    sizes = [size for size in replica_sizes(min(whole, REPLICA_CHIPS_MAX)) if whole % size == 0]
    seen = msgspec.structs.replace(chip, ranks=ranks)
    layouts = (each for size in sizes for each in serving_layouts(architecture, seen, size))
    return [
        msgspec.structs.replace(base, layout=layout, chips=whole)
        for layout in layouts
        if layout.pipeline == (row.pp or 1)
    ]


def _any_split(row: Row) -> Row:
    """The row with a split that always keeps the rules, to read the rest of it with."""
    return msgspec.structs.replace(row, tp=1, dp=1, pp=1, ep=None, moe_tp=None, chips=None)


def _fastest(case: ServingCase, table: Table) -> tuple[int | None, str]:
    within = table.fits.copy()
    if not within.any():
        return None, table.reason or "not even one request fits"
    if case.load is not Load.OFFLINE:
        for name, limit, values in (
            ("itl_limit_ms", case.itl_limit_ms, table.itl_ms),
            ("ttft_limit_ms", case.ttft_limit_ms, table.ttft_ms),
        ):
            if limit is None:
                continue
            if not (within & (values <= limit)).any():
                least = float(values[within].min())
                return None, f"{name} {limit:g} binds: {least:.0f} ms is the least that can be"
            within &= values <= limit
    rates = np.where(within, table.tokens_s, -1.0)
    return int(rates.argmax()), ""
