"""The fitted coefficients of training, read from their file, and which of them a case gets.

A coefficient is a common value times corrections for the software's family, the chip's generation
and the number format, each shrunk towards 1 by the fit. What a file doesn't correct stays at the
common value: that is how an unknown chip, format or framework is estimated.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Experts
from craton.silicon.case import TrainingCase
from craton.silicon.operations import Quantity
from craton.silicon.precision import Precision
from craton.silicon.training_family import release_year
from craton.silicon.training_intervals import Residuals, kind_of, widened
from craton.silicon.training_time import EFFICIENCY_MAX, Rates

FITS = Path(__file__).parent / "fits"

RATE_NAMES = tuple(field.name for field in fields(Rates))


_AGING = (
    "permute_passes",
    "expert_launch_us",
    "local_expert_us",
    "expert_near_exposed",
    "expert_far_exposed",
)
"""What of experts, beside their multiplications, gets cheaper from release to release."""


UNSEEN = "-unseen"


class Coefficients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fitted file."""

    source: str
    fitted: str
    """The day of the fit."""
    power_exponent: float
    """Of watts for each operation, relative to an A100's in bf16."""
    power_reference: float
    """Watts a TFLOP/s of an A100 in bf16."""
    power_unknown: float
    """Watts a TFLOP/s in 16 bits of a chip whose power isn't published."""
    release_year: float
    """The release cases are priced at that don't name one."""
    release_rate: float
    """How fast what experts cost falls, a year, as a logarithm."""
    common: dict[str, float]
    family: dict[str, dict[str, float]]
    generation: dict[str, dict[str, float]]
    chip: dict[str, dict[str, float]]
    precision: dict[str, dict[str, float]]
    chips: dict[str, str]
    """The generation of each chip that was measured."""
    models: tuple[str, ...]
    """The models that were measured, whatever they were measured on."""
    residuals: dict[str, Residuals]
    """By kind (`training_intervals.kind_of`): of runs left out of the fit one by one, and, under
    the kind's name with `-unseen`, of runs whose whole model was left out."""
    unknown_factor: float
    """How much wider the interval is of a chip whose generation wasn't measured."""

    def rates(self, case: TrainingCase) -> Rates:
        """The coefficients of one case."""
        return rates_of(
            {name: self._value(name, case) for name in RATE_NAMES},
            narrow=self.power(case, case.precision),
            wide=self.power(case, Precision.BF16),
            aged=self.release(case),
        )

    def knows(self, case: TrainingCase) -> bool:
        """Whether chips of this case's generation were measured."""
        return case.chip.name in self.chips

    def interval(self, case: TrainingCase) -> Residuals:
        """How far the estimate of a case may be off: quantiles of ln(measured / predicted)."""
        kind = kind_of(case)
        if case.architecture.name not in self.models or not self.knows(case):
            kind += UNSEEN
        found = self.residuals[kind]
        return found if self.knows(case) else widened(found, self.unknown_factor)

    def _value(self, name: str, case: TrainingCase) -> float:
        value = self.common[name]
        for table, key in self.corrections(case):
            value *= table.get(key, {}).get(name, 1.0)
        return value

    def corrections(
        self, case: TrainingCase
    ) -> tuple[tuple[Mapping[str, Mapping[str, float]], str], ...]:
        """The tables of corrections, and which entry of each a case gets."""
        return (
            (self.family, kind_of(case)),
            (self.generation, self.chips.get(case.chip.name, "")),
            (self.chip, case.chip.name),
            (self.precision, case.precision),
        )

    def power(self, case: TrainingCase, precision: Precision) -> float:
        """What the chip's power leaves of a multiplication's rate, relative to an A100."""
        return (power_density(case, precision, self.power_unknown) / self.power_reference) ** (
            self.power_exponent
        )

    def release(self, case: TrainingCase) -> float:
        """What experts cost in a release, relative to the reference release."""
        year = release_year(case.framework_version)
        if year is None or not _has_experts(case):
            return 1.0
        return float(np.exp(-self.release_rate * release_age(year, self.release_year)))


def rates_of(
    values: Mapping[str, Quantity], *, narrow: Quantity, wide: Quantity, aged: Quantity
) -> Rates:
    """Rates from corrected coefficients, and what power and the release make of them.

    `narrow` and `wide` are what power leaves of the rate in the case's format and in 16 bits,
    relative to an A100; `aged` is what experts cost relative to the reference release.
    """
    found = dict(values)
    found["gemm_efficiency"] = found["gemm_efficiency"] * narrow
    found["expert_efficiency"] = found["expert_efficiency"] * found["gemm_efficiency"] / aged
    found["wide_efficiency"] = found["wide_efficiency"] * wide
    found["attention_efficiency"] = found["attention_efficiency"] * wide
    for name in _AGING:
        found[name] = found[name] * aged
    capped = {
        name: np.minimum(value, EFFICIENCY_MAX) if name.endswith("_efficiency") else value
        for name, value in found.items()
    }
    return Rates(**capped)


def power_density(case: TrainingCase, precision: Precision, unknown: float) -> float:
    """Watts a chip has for each TFLOP/s of a format."""
    chip = case.chip
    wide = chip.peak_tflops(Precision.BF16) or chip.peak_tflops(Precision.FP32)
    watts = chip.power_w.value if chip.power_w is not None else unknown * wide
    return watts / (chip.peak_tflops(precision) or wide)


FIRST_RELEASE = 2026.0
"""Releases before it are priced like it: those measured dropped tokens, and so had less to do."""


def release_age(year: float, reference: float) -> float:
    """Years a release is after the reference one."""
    return max(year, FIRST_RELEASE) - reference


def _has_experts(case: TrainingCase) -> bool:
    return any(isinstance(group.feed_forward, Experts) for group in case.architecture.groups)


def read_coefficients(path: Path) -> Coefficients:
    """A file of coefficients; BadRequest says what is wrong with it."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Coefficients)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"{path.name} can't be read: {error}; fit it again") from error
    missing = [name for name in RATE_NAMES if name not in found.common]
    if missing:
        raise BadRequest(f"{path.name} lacks {', '.join(missing)} in [common]; fit it again")
    return found


@cache
def bundled_coefficients() -> Coefficients:
    """The coefficients that come with Craton."""
    return read_coefficients(FITS / "training.toml")
