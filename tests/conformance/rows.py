"""What tests made clients do, as rows: which module, operation and client, and what came of it.

`record.json` beside this holds those of the last recorded run, sorted and without any time or
count, so that it changes only when what is exercised does.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

FILE = Path(__file__).with_name("record.json")
Rows = dict[str, set["Row"]]
"""By the path of the test module."""


class Row(NamedTuple):
    """One thing that a test module has seen."""

    wire: str
    operation: str
    client: str
    outcome: str


def read(file: Path = FILE) -> Rows:
    """The recorded rows; none where there is no file."""
    if not file.exists():
        return {}
    kept = msgspec.json.decode(file.read_bytes(), type=dict[str, list[str]])
    return {module: {_parsed(line) for line in lines} for module, lines in kept.items()}


def write(rows: Mapping[str, Iterable[Row]], file: Path = FILE) -> None:
    """Keep rows; a module with none isn't kept."""
    lines = {
        module: [" | ".join(row) for row in sorted(rows[module])]
        for module in sorted(rows)
        if rows[module]
    }
    file.write_bytes(msgspec.json.format(msgspec.json.encode(lines), indent=1) + b"\n")


def _parsed(line: str) -> Row:
    wire, operation, client, outcome = line.split(" | ")
    return Row(wire, operation, client, outcome)
