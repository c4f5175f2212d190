"""Pages of what a worker holds in memory, in the order of names."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def page(
    entries: Mapping[str, Entry], *, after: str | None, limit: int
) -> tuple[list[Entry], str | None]:
    """The entries after a name, and the name to continue after; None at the end."""
    names = sorted(entries)
    start = bisect_right(names, after) if after is not None else 0
    chosen = names[start : start + limit]
    more = start + limit < len(names)
    return [entries[name] for name in chosen], chosen[-1] if more else None
