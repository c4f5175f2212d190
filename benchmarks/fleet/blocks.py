"""Blocks that customers ask for, one after the other (blocks.toml, seed and all)."""

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCKS = Path(__file__).with_name("blocks.toml")


@dataclass(frozen=True)
class Block:
    """So many units for so many days, from day `first` to `last` on at the latest."""

    units: int
    days: int
    first: int
    last: int


def read_blocks() -> dict[str, Any]:
    return tomllib.loads(BLOCKS.read_text(encoding="utf-8"))


def blocks(mix: dict[str, Any], start_days: int) -> Iterator[Block]:
    """Blocks that ask to start within so many days, without end."""
    rng = random.Random(mix["seed"])
    kinds, weights = mix["block"], [kind["weight"] for kind in mix["block"]]
    while True:
        kind = rng.choices(kinds, weights)[0]
        step = kind["step_days"]
        days = step * rng.randint(kind["days"][0] // step, kind["days"][1] // step)
        first = rng.randrange(start_days)
        last = min(first + rng.randint(*kind["patience_days"]), start_days - 1)
        yield Block(rng.randint(*kind["units"]), days, first, last)
