"""Numbers as people write them on a command line: 4M, 2e12, 1.5T tokens; 30d, 12h of time."""

import math
import re

from craton.kernel.errors import BadRequest

_QUANTITY = re.compile(r"(\d[\d_,]*(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kmgbt]?)", re.IGNORECASE)
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(h|d|w|y)", re.IGNORECASE)
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.25}


def quantity(text: str, option: str) -> float:
    """A number above zero, k, M, B (or G), T being powers of 1,000; BadRequest names the option."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise BadRequest(
            f"{option} is {text!r}, which is not a number. Write 4000, 4k, 4M, 2e12 or 1.5T."
        )
    value = float(match[1].replace(",", "").replace("_", "")) * _SIZES[match[2].lower()]
    if not math.isfinite(value) or value <= 0:
        raise BadRequest(f"{option} is {text}. It has to be above zero, and finite.")
    return value


def whole(text: str, option: str) -> int:
    """A quantity that is a whole number; BadRequest names the option."""
    value = quantity(text, option)
    if not value.is_integer():
        raise BadRequest(f"{option} is {text}. It counts something: give a whole number.")
    return int(value)


def days(text: str, option: str) -> float:
    """A length of time in days; BadRequest names the option."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise BadRequest(
            f"{option} is {text!r}. Write hours, days, weeks or years: 12h, 30d, 6w, 1y."
        )
    value = float(match[1]) * _DAYS[match[2].lower()]
    if value <= 0:
        raise BadRequest(f"{option} is {text}. It has to be above zero.")
    return value
