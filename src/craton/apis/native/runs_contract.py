"""What is told of runs, and what is taken."""

from typing import Annotated

import msgspec
from msgspec import Meta

from craton.apis.native.contract import After, Id, Limit, OfAccount, Taken
from craton.fleet.records import EndReason, Part
from craton.fleet.run_records import RunState


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run: a command on the chips of a lease."""

    id: str
    name: str
    account: str
    command: tuple[str, ...]
    state: RunState
    lease: str
    queue_position: int | None
    """While it waits for its lease."""
    is_simulated: bool
    is_rehearsal: bool
    chip: str
    chips: int
    part: Part | None
    """What it has of a divided host."""
    hosts: list[str]
    ranks: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    ends_s: int | None
    """When its lease ends, where that is known."""
    status: int | None
    """Its exit status; null while it has none, and where nobody was there to see it."""
    reason: EndReason | None
    """Why its lease ended, or is about to."""
    outcome: str
    spent_nanos: int
    currency: str
    log_bytes: int


class StartRun(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Starts a run whose order lies in the data folder. No command is taken over the network."""

    id: Id


class AskRuns(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a page of runs, oldest first."""

    account: OfAccount | None = None
    limit: Limit = 100
    after: After | None = None


class StopRun(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ends a run: SIGTERM, and SIGKILL after the grace; null: the run's own grace."""

    id: Id
    grace_s: Annotated[int, Meta(ge=0, le=3600)] | None = None


class AskRunLog(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a part of a run's log, from a position in bytes since its start."""

    id: Id
    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class RunPage(msgspec.Struct, frozen=True):
    """Runs, oldest first."""

    runs: list[RunView]
    next: str | None


class RunLog(msgspec.Struct, frozen=True):
    """A part of a log; `start` is later than asked for if what was before is gone."""

    text: str
    start: int
    next: int
    is_over: bool
    """Whether nothing will follow."""
