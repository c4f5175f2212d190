"""The page that says which operations are built: `python -m craton.apis.aws.coverage`."""

import sys
from collections.abc import Iterable
from typing import TextIO

from craton.apis.aws.operations import BUILT, Entry, entries

_PRIORITIES = ("must", "should", "rare")

_HEAD = """\
# Which AWS operations are built

Made by `python -m craton.apis.aws.coverage > docs/coverage.md` from the service models of botocore
and the table of operations; a test keeps it true.

An operation that stands here and isn't built answers 501 `UnsupportedOperationException`, which no
SDK retries. One that stands nowhere answers 404 `UnknownOperationException`, as AWS does. The
priority is a judgement of how much an operation is used: must, should or rare.
"""


def page(table: Iterable[Entry] | None = None, built: frozenset[tuple[str, str]] = BUILT) -> str:
    """The text of the page."""
    services: dict[str, list[Entry]] = {}
    for entry in entries() if table is None else table:
        services.setdefault(entry.service, []).append(entry)
    parts = [_HEAD, _summary(services, built)]
    for service, operations in services.items():
        rows = [
            f"| {entry.name} | {entry.family} | {entry.priority} | "
            f"{'yes' if entry.key in built else ''} |"
            for entry in sorted(operations, key=_order)
        ]
        head = f"## {service}\n\n| operation | family | priority | built |\n|---|---|---|---|"
        parts.append("\n".join([head, *rows, ""]))
    return "\n".join(parts)


def _order(entry: Entry) -> tuple[int, str, str]:
    return _PRIORITIES.index(entry.priority), entry.family, entry.name


def _summary(services: dict[str, list[Entry]], built: frozenset[tuple[str, str]]) -> str:
    rows = ["| service | built | must | should | rare |", "|---|---|---|---|---|"]
    for service, operations in services.items():
        counts = [
            f"{sum(entry.key in built for entry in some)} of {len(some)}"
            for some in (
                operations,
                *([e for e in operations if e.priority == priority] for priority in _PRIORITIES),
            )
        ]
        rows.append(f"| {service} | {' | '.join(counts)} |")
    return "\n".join([*rows, ""])


def write(stream: TextIO) -> None:
    """Write the page."""
    stream.write(page())


if __name__ == "__main__":
    write(sys.stdout)
