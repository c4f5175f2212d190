"""What is kept of a run: a command that works on the chips of a lease, from order to end.

Each record is a file of the run's folder below the data folder, written once, by one process. What
is to be run never crosses the network: who may write an order here could run it anyway.
"""

from enum import StrEnum

import msgspec

from craton.fleet.contract import LeaseView, Owner
from craton.fleet.records import EndReason

HERE = "local/craton.local"
"""The pool of the machine that Craton runs on."""
PROCESSOR = "cpu"
"""Its chip, where it has no accelerator: a processor, which what runs on it shares."""
NOTHING_RAN = 69
"""The exit status of a run on simulated capacity: EX_UNAVAILABLE of sysexits.h, never success."""
NOTICE_BEFORE_S = 120
"""How long before a known end of its lease a workload is told."""
MARGIN_S = 2
"""A workload is gone so long before its lease ends: the next holder finds the chips free."""
GRACE_S_MAX = 90
RANKS_MAX = 64


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, written by who orders it. `lease` is a request for a lease, in the API's words.

    `environment` holds the variables of the shell that ordered it, until the command has started.
    """

    command: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    lease: dict[str, str | int | bool | None]
    name: str = ""
    ranks_per_host: int = 1
    grace_s: int = 30
    """Between SIGTERM and SIGKILL."""
    notice_signal: int | None = None
    """A signal to send with the notice; None sends none, since most programs die of one."""
    is_rehearsal: bool = False
    """On simulated capacity: run the command here once, marked as simulated."""


class Claim(msgspec.Struct, frozen=True):
    """An order was taken, on behalf of somebody: a lease is being asked for."""

    owner: Owner
    at_ms: int


class Held(msgspec.Struct, frozen=True):
    """The lease a run has, waiting or not."""

    lease: str
    token: int


class StopAsked(msgspec.Struct, frozen=True):
    """Somebody wants the run to end; None leaves the grace to the order."""

    grace_s: int | None = None


class Started(msgspec.Struct, frozen=True):
    """The workload was started, once and for all: it is never started again."""

    pid: int
    at_ms: int


class Result(msgspec.Struct, frozen=True):
    """The workload is over, and no process of it is left.

    `status` as shells count: 128 and the signal's number for one that a signal ended.
    """

    status: int
    outcome: str
    at_ms: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The run is over: its lease was given back, or was taken away."""

    at_ms: int
    status: int | None
    """None where nobody was there to see how it ended."""
    outcome: str
    reason: EndReason
    lease: LeaseView


class RunState(StrEnum):
    """Where a run stands."""

    WAITING = "waiting"
    """For its lease."""
    STARTING = "starting"
    RUNNING = "running"
    SIMULATED = "simulated"
    """Its lease is held on simulated capacity, and nothing runs."""
    ENDED = "ended"
