"""What is kept of promises and leases, and the states they pass through.

Moments are seconds or milliseconds UTC, as the name says; money is nano-units of `currency`.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from craton.kernel.errors import Conflict
from craton.store.kind import Kind

WHOLE_MILLI = 1000
"""A whole chip, in thousandths."""
HOST_CHIPS_MAX = 32
"""What a mask of one host's chips holds."""


def chips_in(mask: int) -> Iterator[int]:
    """The numbers of the chips of a mask, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def mask_of(chips: Iterable[int]) -> int:
    """The mask of some chips of a host; each of them once."""
    return sum(1 << chip for chip in chips)


class ReservationKind(StrEnum):
    """How capacity was reserved."""

    BLOCK = "capacity-block"
    """Ahead of time, for days, paid up front."""
    OPEN = "default"
    """From now until given back or a date, paid by the second, as EC2's on-demand reservations."""


class ReservationState(StrEnum):
    """Where a reservation stands, in EC2's words."""

    PAYMENT_PENDING = "payment-pending"
    PAYMENT_FAILED = "payment-failed"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


_S = ReservationState
RESERVATION_TRANSITIONS: Mapping[ReservationState, frozenset[ReservationState]] = {
    _S.PAYMENT_PENDING: frozenset((_S.SCHEDULED, _S.PAYMENT_FAILED, _S.CANCELLED)),
    _S.SCHEDULED: frozenset((_S.ACTIVE, _S.CANCELLED, _S.FAILED, _S.UNAVAILABLE)),
    _S.ACTIVE: frozenset((_S.EXPIRED, _S.CANCELLED, _S.FAILED, _S.UNAVAILABLE)),
    _S.UNAVAILABLE: frozenset((_S.ACTIVE, _S.SCHEDULED, _S.EXPIRED, _S.CANCELLED, _S.FAILED)),
    _S.PAYMENT_FAILED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.FAILED: frozenset(),
}
"""Unavailable: fewer units work than were promised; it comes back when they are repaired."""
PROMISING = frozenset((_S.PAYMENT_PENDING, _S.SCHEDULED, _S.ACTIVE, _S.UNAVAILABLE))
"""The states in which units are kept for it."""


class Extension(msgspec.Struct, frozen=True):
    """A block was made longer: from its old end to a new one, for a fee."""

    offer: str
    purchased_ms: int
    start_s: int
    end_s: int
    amount_nanos: int


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one pool, kept for an account from one moment to another."""

    id: str
    """`cr-` and 17 hexadecimal digits, as EC2's."""
    kind: ReservationKind
    account: str
    project: str
    principal: str
    pool: str
    units: int
    hosts_per_unit: int
    chips_per_host: int
    start_s: int
    end_s: int | None
    """None: until it is given back."""
    state: ReservationState
    created_ms: int
    currency: str
    amount_nanos: int = 0
    """What was paid up front, extensions included."""
    block: str | None = None
    """`cb-…`, for capacity blocks."""
    client_token: str | None = None
    hosts: tuple[int, ...] = ()
    """The hosts it is bound to, from its start on."""
    billed_s: int = 0
    """Until when use was posted, for what is paid by the second."""
    offer: str | None = None
    extensions: tuple[Extension, ...] = ()
    platform: str = "Linux/UNIX"
    is_targeted: bool = True
    tags: dict[str, str] = {}
    used_host_s: int = 0
    """Host-seconds of leases inside it that ended."""
    short_s: int = 0
    """Unit-seconds that were promised and couldn't be given; credited at the end."""
    short_since_s: int = 0
    short_units: int = 0
    retry_s: int = 0
    """When hosts are looked for again, where some are missing."""
    is_room_made: bool = False
    """Whether what was in the way of its start has been told."""
    is_end_told: bool = False
    """Whether what runs in it has been told of its end."""
    commitment: str | None = None
    fleet: str | None = None
    """The fleet of reservations that it is part of."""
    moves: tuple[str, ...] = ()
    """The client's tokens of the latest moves of hosts into it, each with a digest of the move."""
    digest: str | None = None
    """Of what was asked with the client's token."""

    @property
    def total_hosts(self) -> int:
        """Hosts of all its units."""
        return self.units * self.hosts_per_unit

    def to(self, state: ReservationState) -> "Reservation":
        """The reservation in another state; Conflict where the table has no such step."""
        if state not in RESERVATION_TRANSITIONS[self.state]:
            raise Conflict(f"{self.id} is {self.state}, and so can't become {state}.")
        return msgspec.structs.replace(self, state=state)


class FleetState(StrEnum):
    """Where a fleet of reservations stands, in EC2's words."""

    ACTIVE = "active"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class TypeChoice(msgspec.Struct, frozen=True, kw_only=True):
    """One type that a fleet of reservations may take hosts of."""

    instance_type: str
    platform: str
    weight: float = 1.0
    """Units that one host counts."""
    zone: str | None = None
    priority: int | None = None
    """Lower goes first; those without one last, in the order they are written."""


class ReservationFleet(msgspec.Struct, frozen=True, kw_only=True):
    """Reservations of several types that together make up so many units."""

    id: str
    """`crf-` and 17 hexadecimal digits, as EC2's."""
    account: str
    project: str
    principal: str
    choices: tuple[TypeChoice, ...]
    """The preferred ones first."""
    members: tuple[str | None, ...]
    """The reservation of each choice."""
    target: int
    end_s: int | None
    created_ms: int
    client_token: str | None = None
    tags: dict[str, str] = {}
    is_cancelled: bool = False
    digest: str | None = None
    """Of what was asked with the client's token."""


class LeaseKind(StrEnum):
    """Under what terms chips are held."""

    ON_DEMAND = "on-demand"
    INTERRUPTIBLE = "interruptible"
    """What is free now: taken back, with notice, when somebody pays for it."""
    RESERVED = "reserved"
    """Inside a reservation."""


class LeaseState(StrEnum):
    """Where a lease stands."""

    WAITING = "waiting"
    """Nothing is free; it is in the queue."""
    ACTIVE = "active"
    ENDING = "ending"
    """Notice was given: it ends at `ends_s`."""
    ENDED = "ended"


class EndReason(StrEnum):
    """Why a lease ended, or is about to."""

    RELEASED = "released"
    """By its holder."""
    EXPIRED = "expired"
    """It was for so long."""
    PREEMPTED = "preempted"
    """Somebody with the better right needed its chips."""
    RESERVATION_ENDED = "reservation-ended"
    MAINTENANCE = "maintenance"
    """Its hosts are taken out of use for a while."""
    HOST_LOST = "host-lost"
    CHIP_LOST = "chip-lost"
    """One of its chips doesn't work any more, or one of the host that it was promised with."""
    HOLDER_LOST = "holder-lost"
    """Whoever held it wasn't heard of any more."""
    CANCELLED = "cancelled"
    """Given up while waiting."""
    OUT_OF_BUDGET = "out-of-budget"
    """Its next hour would have overdrawn a budget."""
    DRAINED = "drained"
    """Its hosts are being emptied by the operator."""


LEASE_TRANSITIONS: Mapping[LeaseState, frozenset[LeaseState]] = {
    LeaseState.WAITING: frozenset((LeaseState.ACTIVE, LeaseState.ENDED)),
    LeaseState.ACTIVE: frozenset((LeaseState.ENDING, LeaseState.ENDED)),
    LeaseState.ENDING: frozenset((LeaseState.ENDED,)),
    LeaseState.ENDED: frozenset(),
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a lease has, or asks for, of one divided host beside its number of chips."""

    chip_milli: int = WHOLE_MILLI
    """Thousandths of each of its chips; less than all of them only of one chip."""
    cpu_milli: int | None = None
    """Thousandths of a processor. None: as much as its chips are of the host."""
    memory_mib: int | None = None
    """None: as much as its chips are of the host."""
    milli: int = 0
    """Thousandths of chips that it is counted and billed as: the largest of its parts of the host's
    chips, processors and memory, since nobody else can use what they leave. 0 until it has a host.
    """


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Chips of one pool, held by an account to run something."""

    id: str
    kind: LeaseKind
    account: str
    project: str
    principal: str
    pool: str
    state: LeaseState
    token: int
    """The fencing token: higher than that of every lease before it. Who acts for the lease shows
    it, and whoever shows a lower one than was seen for a host is turned away."""
    wanted_hosts: int
    wanted_chips: int
    """Of each host."""
    created_ms: int
    hosts: tuple[int, ...] = ()
    masks: tuple[int, ...] = ()
    """The chips of each host, a bit each."""
    priority: int = 0
    purpose: str = ""
    reservation: str | None = None
    client_token: str | None = None
    started_s: int = 0
    until_s: int | None = None
    """When it ends by itself; None: when its holder says so."""
    ends_s: int | None = None
    reason: EndReason | None = None
    billed_s: int = 0
    rest_chips: int = 0
    """Of one host more than those."""
    seconds: int | None = None
    """For how long, from when it starts; None: until its holder says so."""
    pools: tuple[str, ...] = ()
    """Where it may be placed while it waits."""
    is_by_chips: bool = False
    """Whether it asked for chips in all, on as few hosts as they take."""
    digest: str | None = None
    """Of what was asked with the client's token."""
    is_one_row: bool = False
    is_one_leaf: bool = False
    hosts_per_leaf_max: int | None = None
    spent_nanos: int = 0
    currency: str = "USD"
    outcome: str = ""
    part: Part | None = None
    """What it is of a divided host. None: whole chips of hosts that aren't divided."""
    names: tuple[str, ...] = ()
    """What its hosts were called, once it ended: another fleet file may number them otherwise."""

    @property
    def chips(self) -> int:
        """How many chips it holds."""
        return sum(map(int.bit_count, self.masks))

    @property
    def wanted(self) -> int:
        """How many chips it asks for."""
        return self.wanted_hosts * self.wanted_chips + self.rest_chips

    @property
    def milli(self) -> int:
        """Thousandths of chips that it holds, and pays for."""
        return self.chips * WHOLE_MILLI if self.part is None else self.part.milli

    @property
    def wanted_milli(self) -> int:
        """Thousandths of chips that it asks for, and would pay for."""
        return self.wanted * WHOLE_MILLI if self.part is None else self.part.milli

    def to(self, state: LeaseState) -> "Lease":
        """The lease in another state; Conflict where the table has no such step."""
        if state not in LEASE_TRANSITIONS[self.state]:
            raise Conflict(f"The lease {self.id} is {self.state}, and so can't become {state}.")
        return msgspec.structs.replace(self, state=state)


class HostState(StrEnum):
    """What the operator or a failure made of a host."""

    CORDONED = "cordoned"
    """Nothing new starts here; what runs goes on."""
    DRAINING = "draining"
    """The same, and what runs got notice."""
    FAILED = "failed"
    MAINTENANCE = "maintenance"
    """Out of use until a window ends, which says so in the calendar."""


class HostMark(msgspec.Struct, frozen=True):
    """A host that isn't as it should be."""

    host: str
    state: HostState
    since_ms: int
    note: str = ""


class ChipMark(msgspec.Struct, frozen=True):
    """A host of which some chips don't work; the others do."""

    host: str
    chips: tuple[int, ...]
    """Their numbers, from 0, ascending."""
    since_ms: int
    note: str = ""


class Fencing(msgspec.Struct, frozen=True):
    """No fencing token that was given out so far is above this one."""

    token: int


class FleetText(msgspec.Struct, frozen=True):
    """The fleet file that is in force."""

    text: str
    applied_ms: int


RESERVATIONS = Kind("reservation", "capacity reservation", Reservation)
"""Those that promise something, and for a while those that are over."""
PAST_RESERVATIONS = Kind("past_reservation", "capacity reservation", Reservation)
"""Those that are over for long, by their ids."""
RESERVATION_FLEETS = Kind("reservation_fleet", "capacity reservation fleet", ReservationFleet)
LEASES = Kind("lease", "lease", Lease)
"""Those that wait or run: all of them are read at each start."""
ENDED_LEASES = Kind("ended_lease", "lease", Lease)
"""Those that are over, which are read only when somebody asks for one."""
FENCING = Kind("fencing", "highest fencing token", Fencing)
HOST_MARKS = Kind("host_mark", "host", HostMark)
CHIP_MARKS = Kind("chip_mark", "host", ChipMark)
FLEET = Kind("fleet", "fleet", FleetText)
