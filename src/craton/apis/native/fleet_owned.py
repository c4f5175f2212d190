"""Whose capacity a request is about, and pages of what an account has."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from craton.apis.native.operation import Caller
from craton.fleet.contract import Owner
from craton.kernel.errors import BadRequest


class _Entry(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created_ms(self) -> int: ...


Entry = TypeVar("Entry", bound=_Entry)


def owner(caller: Caller) -> Owner:
    """Who asks, and pays."""
    who = caller.principal
    return Owner(who.account, who.project, who.key)


def oldest_first(
    entries: Sequence[Entry], *, after: str | None, limit: int
) -> tuple[list[Entry], str | None]:
    """A page in the order of making, and where to continue; None at the end.

    It continues by moment and id, so that what is gone meanwhile makes no page begin anew.
    """
    ordered = sorted(entries, key=_place)
    if after is not None:
        begin = _read(after)
        ordered = [entry for entry in ordered if _place(entry) > begin]
    chosen = ordered[:limit]
    more = len(ordered) > limit
    return chosen, f"{chosen[-1].created_ms}/{chosen[-1].id}" if more else None


def _place(entry: _Entry) -> tuple[int, str]:
    return entry.created_ms, entry.id


def _read(after: str) -> tuple[int, str]:
    created, slash, id = after.partition("/")
    if not slash or not created.isdecimal() or len(created) > 16:
        raise BadRequest(f"after is {after!r}. Send a page's `next` as it came.")
    return int(created), id
