"""The fitted figures of the serving model, as they stand in `fits/serving.toml`."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from craton.silicon.chip import Chip
from craton.silicon.efficiency import OTHER, Family, Software
from craton.silicon.intervals import Correction


class Speculation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decoding with a draft head, where a set-up says no more than that it is on."""

    drafted: float
    """Tokens guessed and checked in a step, besides the one that is sure."""
    accepted: float
    """Tokens a step yields on the mean, the sure one included."""


class ServingFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored fit."""

    source: str
    fitted: date
    rows: int
    families: dict[str, Family]
    """Of chips; `other` for those nothing was fitted for."""
    software: dict[str, Software]
    """Of frameworks; `other` likewise."""
    speculation: Speculation
    ttft: Correction
    tpot: Correction

    def family(self, chip: Chip) -> Family:
        """The family a chip belongs to."""
        return next(
            (each for each in self.families.values() if chip.name in each.chips),
            self.families[OTHER],
        )

    def framework(self, name: str | None) -> Software:
        """What a framework adds, by any of its usual names."""
        return self.software[framework_name(name, self.software)]


_SPELLINGS = {"trt": "trtllm", "tensorrt": "trtllm", "vllm": "vllm", "sglang": "sglang"}


def framework_name(name: str | None, known: Mapping[str, Software]) -> str:
    """The key of a framework; `other` where nothing was fitted for it."""
    plain = "".join(letter for letter in (name or "").casefold() if letter.isalnum())
    for spelling, framework in _SPELLINGS.items():
        if spelling in plain and framework in known:
            return framework
    return OTHER


@cache
def load_serving_fit() -> ServingFit:
    """The fit that comes with Craton."""
    text = files("craton.silicon").joinpath("fits", "serving.toml").read_bytes()
    return msgspec.toml.decode(text, type=ServingFit)
