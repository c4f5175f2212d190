"""What a shim is given to run, and what it may be told while it does.

The task is a file of the run's folder. Words come through a FIFO beside it, a JSON object a line:
a write to it fails when no shim is there any more, and needs neither a process id nor a port.
"""

import msgspec

TASK = "task.json"
CONTROL = "control"
LOCK = "lock"
"""Held by the shim for as long as it lives."""
NOTICE = "notice.json"
"""Appears when the lease is about to end; its path is the workload's CRATON_NOTICE."""
WORD_BYTES_MAX = 4096
"""What a FIFO takes whole: PIPE_BUF of Linux, and more than a word ever has."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A workload. `ranks` holds each rank's own environment, over the one they share."""

    run: str
    token: int
    command: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    ranks: tuple[dict[str, str], ...]
    chips: tuple[str, ...]
    """Names of the lock files of its chips, in `locks`."""
    is_part: bool = False
    """Whether others may use those chips beside it."""
    locks: str
    grace_s: int
    notice_signal: int | None
    ends_s: int | None
    """When its lease ends, where that is known from the start."""


class Ending(msgspec.Struct, frozen=True, tag="ending"):
    """The lease ends at a moment; notice was given."""

    ends_s: int
    reason: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the workload: SIGTERM now, SIGKILL after the grace. None: the order's own grace."""

    grace_s: int | None


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """The lease is somebody else's or nobody's: end the workload at once."""


Word = Ending | Stop | Kill
