"""What is kept of commitments: the contract, what the fleet keeps for it, its use, its months.

Moments are seconds or milliseconds UTC, as the name says; amounts are nano-units of the contract's
currency; quantities are chip-seconds, or for megawatts watt-seconds.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from craton.kernel.errors import Conflict
from craton.store.kind import Kind


class CommitmentState(StrEnum):
    """Where a commitment stands."""

    SIGNED = "signed"
    """Its term hasn't begun."""
    ACTIVE = "active"
    COMPLETED = "completed"
    """Its last month is posted."""
    TERMINATED = "terminated"


COMMITMENT_TRANSITIONS: Mapping[CommitmentState, frozenset[CommitmentState]] = {
    CommitmentState.SIGNED: frozenset((CommitmentState.ACTIVE, CommitmentState.TERMINATED)),
    CommitmentState.ACTIVE: frozenset((CommitmentState.COMPLETED, CommitmentState.TERMINATED)),
    CommitmentState.COMPLETED: frozenset(),
    CommitmentState.TERMINATED: frozenset(),
}
RUNNING = frozenset((CommitmentState.SIGNED, CommitmentState.ACTIVE))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one pool that are kept for one delivery, by one reservation."""

    delivery: int
    """Which of the contract's deliveries, from 0."""
    reservation: str
    pool: str
    instance_type: str
    units: int
    start_s: int
    end_s: int
    unit_chips: int
    host_chips: int
    host_w: int
    """What one host draws at full load; 0 where nobody says and nobody needs it."""
    is_simulated: bool
    short_s: int = 0
    """Unit-seconds that couldn't be given, in the months that are posted."""

    @property
    def unit_w(self) -> int:
        """What one unit draws at full load."""
        return self.host_w * (self.unit_chips // self.host_chips)


class Commitment(msgspec.Struct, frozen=True, kw_only=True):
    """One contract. What it says is in `text`, as it was signed."""

    id: str
    """`cmt-` and 17 hexadecimal digits."""
    account: str
    project: str
    principal: str
    """Who signed it, for the records of its bills."""
    name: str
    text: str
    state: CommitmentState
    signed_ms: int
    ended_s: int | None = None
    """When it was terminated."""
    fees_nanos: tuple[int, ...] = ()
    """What was due for that, in as many postings."""
    parts: tuple[Part, ...] = ()
    posted: int = 0
    """How many months are posted."""
    banked: int = 0
    """The quantity that was paid, not used, and is still good."""

    def to(self, state: CommitmentState) -> "Commitment":
        """The commitment in another state; Conflict where the table has no such step."""
        if state not in COMMITMENT_TRANSITIONS[self.state]:
            raise Conflict(
                f"The commitment {self.id} is {self.state}, and so can't become {state}."
            )
        return msgspec.structs.replace(self, state=state)


class CommitmentUse(msgspec.Struct, frozen=True):
    """Chip-seconds used in months that aren't posted: by month (`2027-01`), then by pool."""

    months: dict[str, dict[str, int]] = {}


class CommitmentMonth(msgspec.Struct, frozen=True, kw_only=True):
    """One month as it was posted; what there is of it can't be posted again."""

    commitment: str
    month: str
    start_s: int
    end_s: int
    posted_ms: int
    amount: int
    """What the month's promise was worth."""
    due: int
    credit: int
    extra: int
    above: dict[str, int]
    """The price of what was used above the commitment, by currency."""
    committed: int
    delivered: int
    used: int
    drawn: int
    over: int
    banked: int
    """What the next month may use of what was paid."""

    @property
    def recognised(self) -> int:
        """What the month brought, without what is above the commitment."""
        return self.due - self.credit + self.extra


COMMITMENTS = Kind("commitment", "commitment", Commitment)
COMMITMENT_USES = Kind("commitment_use", "use of a commitment", CommitmentUse)
COMMITMENT_MONTHS = Kind("commitment_month", "month of a commitment", CommitmentMonth)
