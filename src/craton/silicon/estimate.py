"""An estimate as Craton prints it: never a bare number."""

from enum import StrEnum

import msgspec


class Provenance(StrEnum):
    """What an estimate rests on, best first."""

    MEASURED = "measured"
    """This very set-up was measured."""
    FITTED = "fitted"
    """This chip's and software's coefficients were fitted to measurements."""
    SPEC_EXTRAPOLATED = "spec-extrapolated"
    """From the chip's specification, with coefficients of other chips."""


class Estimate(msgspec.Struct, frozen=True):
    """A value and the interval that holds the truth in 80 % of cases.

    The unit is in the name of the member that holds it.
    """

    value: float
    low: float
    high: float
    provenance: Provenance

    def scaled(self, factor: float) -> "Estimate":
        """The same estimate in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.provenance)

    def inverse(self, numerator: float = 1.0) -> "Estimate":
        """`numerator` divided by it: a rate from a time."""
        return Estimate(
            numerator / self.value, numerator / self.high, numerator / self.low, self.provenance
        )
