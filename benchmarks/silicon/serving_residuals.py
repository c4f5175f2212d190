"""What the physics leaves: corrections learned from it, and the intervals around estimates.

Residuals are logarithms of measured over estimated times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.serving_table import Table
from craton.silicon.intervals import AWAY_LIMIT, SPREAD_LIMIT, Correction, Feature
from craton.silicon.serving import flow_of, set_up_features, take_apart
from craton.silicon.serving_fit import ServingFit

Numbers = NDArray[np.float64]

TTFT_FEATURES = (
    "log_running", "log_active", "bits", "share_attention", "log_filled", "log_wait",
)  # fmt: skip
"""Inputs of the correction of times to first token: of 23 that tell set-ups apart those without
which models, chips and names that the fit hadn't seen came out worse. Times per output token are
not corrected: every set of features tried made models that the fit hadn't seen worse."""
TTFT_SPREAD = ("log_wait", "log_slack", "near_full", "share_prompt", "bits")
TPOT_SPREAD = ("log_slack", "log_input", "share_prompt", "log_tensor")
"""What the spread differs with, chosen by the scores of models, names and chips kept out. All three
frameworks together made models that the fit hadn't seen score worse; vLLM alone, a little better,
by intervals narrower for it and wider for more than half of the rows."""

SHRINKAGE = 0.1
"""Of the ridge, times the rows; features are scaled to a deviation of 1."""
SPREAD_SHRINKAGE = 0.002
LEAST_SCALE = 0.15
"""A feature that hardly varies in the sample isn't stretched."""
KNEE = 0.3
"""Residuals beyond count in proportion, not squared."""
BELOW, ABOVE = 0.07, 0.13
"""Of measured times, those an interval leaves below and above it. Far misses are slow ones (runs
warm up, servers take fewer requests at once than memory holds), so an interval that leaves more of
them out holds as many and is shorter than one that leaves a tenth on either side."""
LEAST_SPREAD = 0.03
"""A quantile isn't sought nearer to the estimate, as a logarithm."""
SHARPNESS = 0.004
"""Distances within which the pinball loss is rounded off."""
LIMIT = 0.7


def features_of(table: Table, fit: ServingFit) -> dict[str, Numbers]:
    """A column for each feature, as the package finds it with this fit."""
    # The table's own parts are timed with the figures that the fit began with.
    parts = [
        take_apart(each.case, fit, np.array([each.case.concurrency or 1.0]))
        for each in table.measured
    ]
    rows = [dict(set_up_features(each, flow_of(each), fit)) for each in parts]
    return {
        name: np.array([float(np.ravel(row.get(name, 0.0))[0]) for row in rows])
        for name in {name for row in rows for name in row}
    }


@dataclass(frozen=True, slots=True)
class Line:
    """A regression with a ridge."""

    names: tuple[str, ...]
    mean: Numbers
    scale: Numbers
    weights: Numbers
    offset: float

    def at(self, columns: Mapping[str, Numbers]) -> Numbers:
        """Its values, the offset left out."""
        values = np.stack([columns[name] for name in self.names], axis=1)
        return np.clip((values - self.mean) / self.scale, -AWAY_LIMIT, AWAY_LIMIT) @ self.weights


@dataclass(frozen=True, slots=True)
class Spread:
    """How far measured times lie from the estimate, on either side."""

    low: Line
    high: Line

    def ends(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Numbers]:
        """Logarithms of the intervals' ends over the estimate."""
        low, high = (
            np.exp(each.offset + np.clip(each.at(columns), -SPREAD_LIMIT, SPREAD_LIMIT))
            for each in (self.low, self.high)
        )
        return -low, high


def _scaled(
    columns: Mapping[str, Numbers], names: Sequence[str]
) -> tuple[Numbers, Numbers, Numbers]:
    """Features with their means and scales taken out, and a column of ones; the means, the scales.

    All lines over the same rows scale a feature alike.
    """
    values = np.stack([columns[name] for name in names], axis=1)
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), LEAST_SCALE)
    near = np.clip((values - mean) / scale, -AWAY_LIMIT, AWAY_LIMIT)
    return np.column_stack([near, np.ones(len(values))]), mean, scale


def ridge(
    columns: Mapping[str, Numbers],
    names: Sequence[str],
    target: Numbers,
    weight: Numbers,
    shrinkage: float,
) -> Line:
    """Fit `target`, robustly."""
    inputs, mean, scale = _scaled(columns, names)
    penalty = np.diag([shrinkage] * len(names) + [1e-9]) * len(target)
    now = weight
    for _ in range(6):
        found = np.linalg.solve((inputs.T * now) @ inputs + penalty, (inputs.T * now) @ target)
        now = weight / np.maximum(1.0, np.abs(target - inputs @ found) / KNEE)
    return Line(tuple(names), mean, scale, found[:-1], float(found[-1]))


def corrected(columns: Mapping[str, Numbers], residual: Numbers, weight: Numbers) -> Line:
    """The correction of times to first token."""
    return ridge(columns, TTFT_FEATURES, residual, weight, SHRINKAGE)


def distance(
    columns: Mapping[str, Numbers], names: Sequence[str], target: Numbers, share: float
) -> Line:
    """The logarithm of what a `share` of `target` lies below, by the set-up's features.

    Quantile regression (Koenker and Bassett 1978) on an exponential, with a ridge; the pinball loss
    is bounded by parabolas in turn (Hunter and Lange 2000).
    """
    inputs, mean, scale = _scaled(columns, names)
    found = np.zeros(inputs.shape[1])
    found[-1] = np.log(max(float(np.quantile(target, share)), LEAST_SPREAD))
    unit = np.exp(found[-1])
    penalty = np.array([SPREAD_SHRINKAGE] * len(names) + [0.0]) * len(target) * unit
    for _ in range(60):
        reached = np.exp(inputs @ found)
        left = target - reached
        near = 0.5 / (np.abs(left) + SHARPNESS)
        uphill = inputs.T @ (reached * (share - 0.5 + near * left)) - penalty * found
        curved = (inputs.T * (near * reached**2)) @ inputs + np.diag(penalty)
        found = found + 0.7 * np.clip(np.linalg.solve(curved, uphill), -0.5, 0.5)
    return Line(tuple(names), mean, scale, found[:-1], float(found[-1]))


def spread(columns: Mapping[str, Numbers], names: Sequence[str], unseen: Numbers) -> Spread:
    """The 80 % intervals that residuals of unseen models ask for."""
    return Spread(
        distance(columns, names, -unseen, 1.0 - BELOW),
        distance(columns, names, unseen, 1.0 - ABOVE),
    )


def correction(line: Line | None, width: Spread, unknown: float) -> Correction:
    """As the package reads it."""
    lines = {"weight": line, "low": width.low, "high": width.high}
    features: dict[str, dict[str, float]] = {}
    for member, each in lines.items():
        if each is None:
            continue
        for at, name in enumerate(each.names):
            feature = features.setdefault(
                name, {"mean": float(each.mean[at]), "scale": float(each.scale[at])}
            )
            feature[member] = float(each.weights[at])
    return Correction(
        features={
            name: Feature(**{member: _short(value) for member, value in each.items()})
            for name, each in features.items()
        },
        offset=_short(line.offset if line else 0.0),
        low=_short(-np.exp(width.low.offset)),
        high=_short(np.exp(width.high.offset)),
        unknown=_short(unknown),
        limit=LIMIT,
    )


def _short(number: float) -> float:
    return float(f"{number:.4g}")
