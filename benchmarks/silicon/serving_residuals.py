"""What the physics leaves: corrections learned from it, and the intervals around estimates.

Residuals are logarithms of measured over estimated times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.serving_table import Table
from craton.silicon.intervals import AWAY_LIMIT, Correction, Feature
from craton.silicon.serving import flow_of, set_up_features
from craton.silicon.serving_fit import ServingFit

Numbers = NDArray[np.float64]

LOAD = ("log_running", "log_input", "log_output", "busy")
FRAMEWORK = ("framework_trtllm", "framework_sglang", "framework_vllm")
SHARES = ("share_attention", "share_experts", "share_links")
TTFT_FEATURES = (
    *LOAD, "log_tensor", "log_data", "log_expert", "log_active", "log_sparsity", "bits", "experts",
    "latent", "recurrent", "disaggregated", *SHARES,
)  # fmt: skip
"""Inputs of the correction of times to first token. Times per output token are not corrected: every
set of features tried made models that the fit hadn't seen worse."""
SPREAD_FEATURES = (*FRAMEWORK, *SHARES)

SHRINKAGE = 0.5
"""Of the ridge, times the rows; features are scaled to a deviation of 1."""
SPREAD_SHRINKAGE = 0.15
LEAST_SCALE = 0.15
"""A feature that hardly varies in the sample isn't stretched."""
KNEE = 0.3
"""Residuals beyond count in proportion, not squared."""
LEAST_SPREAD = 0.03
"""Added to residuals before their logarithm is taken."""
TTFT_OFFSET = -0.1
"""Relative errors punish an overestimate more than an underestimate of the same ratio; with the
spread of times to first token their mean is least at about this much below the median."""
LIMIT = 0.7


def features_of(table: Table, fit: ServingFit) -> dict[str, Numbers]:
    """A column for each feature."""
    rows = [dict(set_up_features(each, flow_of(each), fit)) for each in table.parts]
    return {
        name: np.array([float(np.ravel(row.get(name, 0.0))[0]) for row in rows])
        for name in {name for row in rows for name in row}
    }


@dataclass(frozen=True, slots=True)
class Line:
    """A ridge regression."""

    names: tuple[str, ...]
    mean: Numbers
    scale: Numbers
    weights: Numbers
    offset: float

    def at(self, columns: Mapping[str, Numbers]) -> Numbers:
        """Its values, the offset left out."""
        values = np.stack([columns[name] for name in self.names], axis=1)
        return np.clip((values - self.mean) / self.scale, -AWAY_LIMIT, AWAY_LIMIT) @ self.weights


def ridge(
    columns: Mapping[str, Numbers],
    names: Sequence[str],
    target: Numbers,
    weight: Numbers,
    shrinkage: float,
) -> Line:
    """Fit `target`, robustly."""
    values = np.stack([columns[name] for name in names], axis=1)
    mean = np.average(values, axis=0, weights=weight)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
    scale = np.maximum(scale, LEAST_SCALE)
    inputs = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    penalty = np.diag([shrinkage] * len(names) + [1e-9]) * len(values)
    now = weight
    for _ in range(6):
        found = np.linalg.solve((inputs.T * now) @ inputs + penalty, (inputs.T * now) @ target)
        now = weight / np.maximum(1.0, np.abs(target - inputs @ found) / KNEE)
    return Line(tuple(names), mean, scale, found[:-1], float(found[-1]))


def corrected(
    columns: Mapping[str, Numbers], residual: Numbers, weight: Numbers
) -> tuple[Line, float]:
    """The correction of times to first token, and its offset."""
    line = ridge(columns, TTFT_FEATURES, residual, weight, SHRINKAGE)
    return line, line.offset + TTFT_OFFSET


def spread(columns: Mapping[str, Numbers], unseen: Numbers) -> tuple[Line, float, float]:
    """How residuals of unseen models scale with the features, and their scaled quantiles."""
    ones = np.ones_like(unseen)
    line = ridge(
        columns,
        SPREAD_FEATURES,
        np.log(np.abs(unseen) + LEAST_SPREAD),
        ones,
        SPREAD_SHRINKAGE,
    )
    scaled = unseen / np.exp(np.clip(line.at(columns), -1.0, 1.0))
    low, high = np.quantile(scaled, [0.1, 0.9])
    return line, float(low), float(high)


def correction(
    weight: Line | None, offset: float, width: tuple[Line, float, float], unknown: float
) -> Correction:
    """As the package reads it."""
    line, low, high = width
    names = dict.fromkeys([*(weight.names if weight else ()), *line.names])

    def feature(name: str) -> Feature:
        source = weight if weight and name in weight.names else line
        assert source is not None
        at = source.names.index(name)
        scale = float(source.scale[at])
        spread = 0.0
        if name in line.names:
            # Both lines were fitted to the same rows, weighted differently: scales differ a little.
            mine = line.names.index(name)
            spread = float(line.weights[mine]) * scale / float(line.scale[mine])
        return Feature(
            mean=_short(float(source.mean[at])),
            scale=_short(scale),
            weight=_short(float(weight.weights[at])) if source is weight else 0.0,
            spread=_short(spread),
        )

    return Correction(
        features={name: feature(name) for name in names},
        offset=_short(offset),
        low=_short(low),
        high=_short(high),
        unknown=_short(unknown),
        limit=LIMIT,
    )


def _short(number: float) -> float:
    return float(f"{number:.4g}")
