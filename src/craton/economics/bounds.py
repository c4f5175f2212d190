"""Budgets and limits as they are kept, and what a worker must know of them.

Both bound a subject: an account, a project, or the two keys of a pair. A budget bounds money in a
calendar period, a limit bounds requests and tokens in any 60 seconds and requests at once. Whether
a request fits is the state process's to say; a worker only knows whom it must ask for.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from craton.store.kind import Change, Kind

PAGE_MAX = 1000
DAY_MS = 86_400_000
WINDOW_MS = 60_000
"""The minute of a limit slides: what was admitted counts for this long after its moment."""


class Scope(StrEnum):
    """Whose use is bounded."""

    ACCOUNT = "account"
    PROJECT = "project"
    KEY = "key"


class Period(StrEnum):
    """When a budget begins anew: at midnight UTC, at the first of a month UTC, or never."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class Budget(msgspec.Struct, frozen=True):
    """The most a subject may spend in a period, in nano-units of a currency."""

    id: str
    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    """Ids: of the account, of the project, or of both keys that were made as a pair."""
    amount_nanos: int
    currency: str
    period: Period
    created_ms: int = 0


class Limit(msgspec.Struct, frozen=True):
    """How fast a subject may use models, or one model; None is no limit."""

    id: str
    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    model: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Input and output together."""
    requests_at_once: int | None = None
    created_ms: int = 0


BUDGETS = Kind("budget", "budget", Budget)
LIMITS = Kind("limit", "limit", Limit)


def period_of(period: Period, at_ms: int) -> tuple[int, int | None]:
    """Start and end of the period that a moment lies in, in ms; a total has no end."""
    if period is Period.TOTAL:
        return 0, None
    if period is Period.DAY:
        start_ms = at_ms - at_ms % DAY_MS
        return start_ms, start_ms + DAY_MS
    first = datetime.fromtimestamp(at_ms / 1000, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()) * 1000, int(following.timestamp()) * 1000


def page(
    owners: Mapping[str, str], *, account: str | None, id: str | None, after: str | None, limit: int
) -> tuple[list[str], str | None]:
    """The ids asked for, of a table of ids and their accounts, and where to continue."""
    ids = sorted(
        found for found, owner in owners.items() if account in (None, owner) and id in (None, found)
    )
    start = bisect_right(ids, after) if after is not None else 0
    chosen = ids[start : start + max(1, min(limit, PAGE_MAX))]
    more = start + len(chosen) < len(ids)
    return chosen, chosen[-1] if more else None


class Bounded:
    """A worker's snapshot: for whom a hold must be granted before the engine may start."""

    def __init__(self) -> None:
        self.is_empty = True
        """Whether nobody is bounded, which is all that most requests need to know."""
        self._known: dict[tuple[str, str], Budget | Limit] = {}
        self._subjects: Counter[tuple[str, str | None]] = Counter()

    def apply(self, change: Change) -> None:
        """Take a change of a budget or limit; others are not this snapshot's."""
        if change.kind not in (BUDGETS.name, LIMITS.name):
            return
        key = (change.kind, change.id)
        old = self._known.pop(key, None)
        if old is not None:
            self._subjects -= Counter(_subjects(old))
        if change.body is not None:
            kind = BUDGETS if change.kind == BUDGETS.name else LIMITS
            new = self._known[key] = kind.decode(change.body)
            self._subjects += Counter(_subjects(new))
        self.is_empty = not self._known

    def has(self, account: str, project: str, principal: str, model: str) -> bool:
        """Whether anything bounds a request of these."""
        subjects = self._subjects
        return any(
            (subject, of) in subjects
            for subject in (account, project, principal)
            for of in (None, model)
        )

    def budgets(self) -> dict[str, Budget]:
        """Every budget, by id."""
        return {bound.id: bound for bound in self._known.values() if isinstance(bound, Budget)}

    def limits(self) -> dict[str, Limit]:
        """Every limit, by id."""
        return {bound.id: bound for bound in self._known.values() if isinstance(bound, Limit)}


def _subjects(bound: Budget | Limit) -> list[tuple[str, str | None]]:
    model = bound.model if isinstance(bound, Limit) else None
    return [(subject, model) for subject in bound.subjects]
