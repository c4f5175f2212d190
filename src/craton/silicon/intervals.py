"""Corrections of estimates and their 80 % intervals, from what a fit left unexplained.

A physical model leaves residuals. Part of them is systematic: a ridge regression on a few features
of the set-up takes that part, shrunk so that it can't reach far. The rest is spread: how far
measured values lie from corrected ones, in natural logarithms, where the model in question was kept
out of the fit. Below and above, the spread differs with features of the set-up, each in its own
way; logarithms of both ends are a common one times an exponential, so that an estimate always lies
in its interval.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.silicon.estimate import Estimate, Provenance

Numbers = NDArray[np.float64]


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of a correction: how it is scaled, and what it weighs."""

    mean: float
    scale: float
    weight: float = 0.0
    """Of the logarithm, for each `scale` away from the mean."""
    low: float = 0.0
    """Likewise, of the logarithm of the distance to the interval's lower end."""
    high: float = 0.0
    """To its upper end."""


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a figure is multiplied with, and the interval around it."""

    features: dict[str, Feature]
    offset: float
    low: float
    """Logarithm of the lower end over the estimate, where all features are at their means; below
    0."""
    high: float
    """Of the upper end; above 0."""
    unknown: float
    """Factor on both where chip or framework is extrapolated."""
    limit: float
    """The correction's logarithm stays within it."""

    def factor(self, values: Mapping[str, Numbers]) -> Numbers:
        """The factor for set-ups with these feature values."""
        return np.exp(np.clip(self._sum(values, "weight") + self.offset, -self.limit, self.limit))

    def widths(self, values: Mapping[str, Numbers], *, known: bool) -> tuple[Numbers, Numbers]:
        """Logarithms of the interval's ends over the estimate: one below 0, the other above."""
        wider = 1.0 if known else self.unknown
        low, high = (
            np.exp(np.clip(self._sum(values, side), -SPREAD_LIMIT, SPREAD_LIMIT))
            for side in ("low", "high")
        )
        return self.low * low * wider, self.high * high * wider

    def _sum(self, values: Mapping[str, Numbers], member: str) -> Numbers:
        total: Numbers = np.zeros(())
        for name, feature in self.features.items():
            weight = getattr(feature, member)
            if not weight:
                continue
            away = (values[name] - feature.mean) / feature.scale
            # Not np.clip: it takes three times as long on short arrays.
            near = np.minimum(np.maximum(away, -AWAY_LIMIT), AWAY_LIMIT)
            total = total + weight * near
        return total


AWAY_LIMIT = 3.0
"""Scales from the mean; farther set-ups are corrected like those at this distance."""

SPREAD_LIMIT = 0.7
"""Of the logarithm by which an end of a set-up's interval differs from the common one: a factor of
two."""


def estimate(value: float, low: float, high: float, provenance: Provenance) -> Estimate:
    """An estimate from a value and the logarithms of its interval's ends over it."""
    return Estimate(value, value * float(np.exp(low)), value * float(np.exp(high)), provenance)


def interval_score(low: Numbers, high: Numbers, truth: Numbers, *, share: float = 0.8) -> Numbers:
    """Winkler's score of intervals meant to hold `share` of truths: width, and what lies outside.

    In the unit of its arguments; the lower the better. Winkler 1972; Gneiting and Raftery 2007.
    """
    penalty = 2.0 / (1.0 - share)
    below = np.maximum(low - truth, 0.0)
    above = np.maximum(truth - high, 0.0)
    return high - low + penalty * (below + above)
