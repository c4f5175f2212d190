"""Every message between the state process and the processes that use it.

    user                          state
    Call{0, name} …  ───────────►  (what the user said before and says again, such as open holds)
    Hello            ───────────►
                     ◄───────────  Changed … (the whole snapshot), Synced{version}
    Call{seq, name}  ───────────►
                     ◄───────────  Returned{seq} or Refused{seq}
                     ◄───────────  Changed{version} (after a commit that touched published kinds)
    Beat{version}    ───────────►  (every BEAT_S: I live, and hold the snapshot of this version)
                     ◄───────────  Beaten{sent_ns} (a worker's lease runs LEASE_S from `sent_ns`)

A revocation is acknowledged once every live worker has said that it holds that version, or that
worker's lease has run out, whichever comes first.
"""

import msgspec

from craton.kernel.errors import Fault
from craton.store.kind import Change

UNANSWERED = "unanswered"
"""The code of the error for a call that was given up: it may yet be done."""
BEAT_S = 0.2
LEASE_S = 1.0


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """A user of the state process introduces itself, when it has said again all that it holds.

    Only gateway workers hold leases.
    """

    process: str
    leased: bool


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """Run a command; `body` is the command's own struct, as `body.py` writes it.

    A memory command of number 0 wants no answer.
    """

    seq: int
    name: str
    body: bytes


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """A sign of life, with the snapshot version the worker holds and its counters."""

    version: int
    sent_ns: int
    metrics: bytes = b""


class Returned(msgspec.Struct, frozen=True, array_like=True, tag="returned"):
    """A command was done, and is durable if it wrote."""

    seq: int
    body: bytes


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """A command was refused and changed nothing."""

    seq: int
    fault: Fault
    message: str
    code: str | None = None
    retry_after_s: int | None = None


class Changed(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    """Documents of published kinds changed."""

    version: int
    changes: list[Change]


class Synced(msgspec.Struct, frozen=True, array_like=True, tag="synced"):
    """The snapshot is whole as of this version."""

    version: int


class Beaten(msgspec.Struct, frozen=True, array_like=True, tag="beaten"):
    """The lease is renewed, counted from when its beat was sent."""

    sent_ns: int


class ReadMetrics(msgspec.Struct, frozen=True):
    """The body of the `metrics` command, which the pipeline itself answers."""


class ProcessMetrics(msgspec.Struct, frozen=True):
    """What one process counted, as of its last sign of life."""

    process: str
    snapshot: bytes


class AllMetrics(msgspec.Struct, frozen=True):
    """What every connected process counted, and the state process itself."""

    processes: list[ProcessMetrics]


ToState = Hello | Call | Beat
FromState = Returned | Refused | Changed | Synced | Beaten
