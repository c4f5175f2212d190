"""Between what an estimate of training lies in 80 % of cases, by how far such estimates were off.

Residuals are kept by kind: the software's family, and whether the model has experts. A model that
was measured, in whatever set-up, is judged by set-ups that were left out of the fit; a model that
wasn't, by runs whose whole model was left out. A chip of a generation that was never measured
widens the interval by what leaving out a whole generation was seen to cost.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.silicon.architecture import Experts
from craton.silicon.case import TrainingCase
from craton.silicon.training_family import Family, family_of

FEW = 20
"""Residuals below which a quantile is taken from their spread, not from their order."""

_NORMAL = 1.2816
"""Standard deviations from the middle to the 90 % quantile of a normal distribution."""


class Residuals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quantiles of ln(measured / predicted) over unseen cases of a kind."""

    low: float
    """The 10 % quantile."""
    high: float
    """The 90 % quantile."""
    rows: int


def kind_of(case: TrainingCase) -> str:
    """Which residuals a case is judged by."""
    family = family_of(case)
    if family is not Family.MEGATRON:
        return str(family)
    experts = any(isinstance(group.feed_forward, Experts) for group in case.architecture.groups)
    return f"{family}-experts" if experts else str(family)


def residuals_of(logarithms: Sequence[float] | NDArray[np.float64]) -> Residuals:
    """The residuals of a kind; of few, as if they were normal, and wider the fewer they are."""
    values = np.asarray(logarithms, dtype=np.float64)
    if len(values) >= FEW:
        low, high = np.quantile(values, (0.1, 0.9))
    else:
        spread = float(np.sqrt(np.mean(values**2))) * (1.0 + 1.0 / len(values))
        low, high = -_NORMAL * spread, _NORMAL * spread
    return Residuals(round(float(low), 4), round(float(high), 4), len(values))


def widened(residuals: Residuals, factor: float) -> Residuals:
    """The same around its middle, `factor` times as wide."""
    middle = (residuals.low + residuals.high) / 2
    half = (residuals.high - residuals.low) / 2 * factor
    return Residuals(middle - half, middle + half, residuals.rows)
