"""What may be asked of the fleet, and what is told; free of NumPy and of any database library.

Moments are seconds UTC unless the name says `_ms`; money is nano-units of `currency`. Every answer
about capacity that is only imagined says `is_simulated`.
"""

import msgspec

from craton.fleet.records import (
    WHOLE_MILLI,
    EndReason,
    Extension,
    HostState,
    LeaseKind,
    LeaseState,
    Part,
    ReservationKind,
    ReservationState,
)


class Owner(msgspec.Struct, frozen=True):
    """On whose behalf something is asked, and who pays."""

    account: str
    project: str
    principal: str


class ApplyFleet(msgspec.Struct, frozen=True):
    """Put a fleet file in force. Refused whole if it is wrong, or would break what is promised."""

    text: str


class FleetQuery(msgspec.Struct, frozen=True):
    """Describe the fleet, or what is under a path (`site/row/rack`)."""

    path: str = ""
    with_racks: bool = True
    """Whether to count rows and racks: the longest part, of a large fleet."""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One pool as it is now. Units are UltraServers, or else hosts."""

    key: str
    zone: str
    instance_type: str
    chip: str
    chips_per_host: int
    ultraserver: str | None
    hosts_per_unit: int
    driver: str
    is_simulated: bool
    exclusive_to: str | None
    hosts: int
    units: int
    """What may be promised."""
    offered_units: int
    """What is promised at most now: fewer where more broke than there are spares for."""
    free_units_now: int
    chips: int
    chips_taken: int
    hosts_unusable: int
    hosts_spare: int
    draw_w: int | None
    """Of one host at full load."""
    leaves: int
    rows: int
    is_divided: bool = False
    """Whether its hosts are leased in parts, and not promised ahead."""
    free_milli: int | None = None
    """Of divided hosts: thousandths of chips that nobody holds."""
    is_draw_estimated: bool = False
    """Whether nobody measured or published that draw."""
    chips_broken: int = 0
    """Of hosts that work otherwise, too."""
    gang_hosts_max: int = 0
    """Whole hosts of the largest gang that has a place now, power and promises aside."""
    whole_free_permille: int = 0
    """Of the free hosts, how many are in leaves that are free from end to end."""
    below_cost: str | None = None
    """Where a block is sold for less than its chips cost the operator: by how much."""


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what it has, and how much of its power is taken."""

    site: str
    name: str
    racks: list["RackView"]
    power_w: int | None
    taken_w: int


class RackView(msgspec.Struct, frozen=True, kw_only=True):
    """One rack: its chips and how many are taken, and hosts that aren't as they should be."""

    name: str
    pool: str
    hosts: int
    chips: int
    chips_taken: int
    hosts_unusable: int
    hosts_spare: int


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """One site: power in watts, drawn by what is leased now and promised for now."""

    name: str
    driver: str
    is_simulated: bool
    power_w: int | None
    taken_w: int


class FleetView(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet as it is now."""

    sites: list[SiteView]
    pools: list[PoolView]
    rows: list[RowView]
    marks: list["MarkView"]
    chips: int
    applied_ms: int


class MarkView(msgspec.Struct, frozen=True):
    """A host that was set aside, or has chips that don't work."""

    host: str
    state: HostState
    since_ms: int
    note: str
    chips: tuple[int, ...] = ()
    """Of the host only these; none: all of it."""


class MarkHosts(msgspec.Struct, frozen=True):
    """Set aside all hosts under a path, or with None take them into use again.

    `failed` ends what runs there at once and moves what was promised; `draining` gives notice.
    `chips`: of the one host there only the chips of these numbers, which are failed or work again.
    """

    path: str
    state: HostState | None
    note: str = ""
    chips: tuple[int, ...] = ()


class Marked(msgspec.Struct, frozen=True):
    """How many hosts it was, and what that did."""

    hosts: int
    reservations_moved: list[str]
    leases_ended: list[str]
    """Or given notice."""
    reservations_short: list[str]
    """They have fewer hosts than were promised, or will have when what runs there has ended."""
    reservations_moving: list[str] = []
    """They get other hosts when what runs there has ended."""


class CalendarQuery(msgspec.Struct, frozen=True):
    """How much of a pool is free from one moment to another."""

    pool: str
    start_s: int
    end_s: int


class CalendarView(msgspec.Struct, frozen=True):
    """From each moment on, how many units are free; the first moment is the one asked for."""

    pool: str
    units: int
    times_s: list[int]
    free: list[int]
    is_simulated: bool


class SearchOffers(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks that could be bought: `units` of a type for so many hours.

    `instance_type` or `ultraserver`: what it is counted in. `start_s` to `end_s`: when it may lie.
    """

    owner: Owner
    instance_type: str | None
    ultraserver: str | None
    units: int
    hours: int
    start_s: int | None = None
    end_s: int | None = None
    zone: str | None = None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A block that can be bought as long as nobody else did. `id` says all of it, sealed."""

    id: str
    pool: str
    zone: str
    instance_type: str
    ultraserver: str | None
    units: int
    hosts: int
    start_s: int
    end_s: int
    amount_nanos: int
    currency: str
    is_simulated: bool
    extends: str | None = None
    """The reservation that it makes longer."""


class Offers(msgspec.Struct, frozen=True):
    """What could be bought, the earliest first."""

    offers: list[Offer]


class BuyOffer(msgspec.Struct, frozen=True, kw_only=True):
    """Buy an offer. Buying it again gives the same block."""

    owner: Owner
    offer: str
    platform: str = "Linux/UNIX"
    tags: dict[str, str] = {}
    extends: str | None = None
    """For an extension: the reservation, which must be the one that was offered."""
    is_dry_run: bool = False


class SearchExtensions(msgspec.Struct, frozen=True):
    """What a block could be made longer by."""

    owner: Owner
    reservation: str
    hours: int


class CreateReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Keep hosts from now on, paid by the second, until given back or until `end_s`."""

    owner: Owner
    instance_type: str
    hosts: int
    zone: str | None
    end_s: int | None
    is_targeted: bool
    platform: str
    client_token: str | None = None
    tags: dict[str, str] = {}
    is_dry_run: bool = False


class ModifyReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Change how many hosts, or until when; None leaves it as it is."""

    account: str
    id: str
    hosts: int | None = None
    end_s: int | None = None
    is_endless: bool = False
    is_targeted: bool | None = None
    is_dry_run: bool = False


class CancelReservation(msgspec.Struct, frozen=True):
    """Give a reservation back."""

    account: str
    id: str
    is_dry_run: bool = False


class ConfirmPayment(msgspec.Struct, frozen=True):
    """The operator says that a block was paid, or wasn't."""

    id: str
    is_paid: bool


class ReservationsQuery(msgspec.Struct, frozen=True):
    """The reservations of an account (of all if None), or the one of an id."""

    account: str | None = None
    id: str | None = None


class ReservationView(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation and what is used of it now. `idle_nanos` is what was paid for hosts unused."""

    id: str
    block: str | None
    kind: ReservationKind
    account: str
    project: str
    pool: str
    zone: str
    instance_type: str
    ultraserver: str | None
    units: int
    total_hosts: int
    used_hosts: int
    broken_hosts: int
    """Of its hosts, those that don't work and couldn't be replaced."""
    start_s: int
    end_s: int | None
    state: ReservationState
    created_ms: int
    currency: str
    amount_nanos: int
    platform: str
    is_targeted: bool
    tags: dict[str, str]
    extensions: list[Extension]
    hosts: list[str]
    is_simulated: bool
    offer: str | None
    idle_host_s: int
    idle_nanos: int
    fleet: str | None = None
    """The fleet of reservations that it is part of."""


class Reservations(msgspec.Struct, frozen=True):
    """Reservations, oldest first."""

    reservations: list[ReservationView]


class RequestLease(msgspec.Struct, frozen=True, kw_only=True):
    """Hold chips: inside a reservation, or of what is free now.

    Either `hosts` with `chips_per_host`, or `chips` in all. `wait` puts it into the queue where
    nothing is free. `seconds`: for how long; None: until released.

    Of a divided host: `chip_milli` thousandths of one chip, and of its processors and memory so
    much; None: as much as the chips are of the host. Processors or memory alone are no chip.
    """

    owner: Owner
    kind: LeaseKind
    chip: str | None = None
    instance_type: str | None = None
    zone: str | None = None
    pool: str | None = None
    chips: int | None = None
    hosts: int | None = None
    chips_per_host: int | None = None
    reservation: str | None = None
    seconds: int | None = None
    priority: int = 0
    purpose: str = ""
    client_token: str | None = None
    is_one_row: bool = False
    is_one_leaf: bool = False
    hosts_per_leaf_max: int | None = None
    wait: bool = False
    chip_milli: int | None = None
    cpu_milli: int | None = None
    memory_mib: int | None = None

    @property
    def part(self) -> Part | None:
        """What is asked for beside chips, which only divided hosts have."""
        if self.chip_milli is self.cpu_milli is self.memory_mib is None:
            return None
        milli = WHOLE_MILLI if self.chip_milli is None else self.chip_milli
        return Part(chip_milli=milli, cpu_milli=self.cpu_milli, memory_mib=self.memory_mib)


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A lease. `hosts` are names; `masks` say which chips of each."""

    id: str
    kind: LeaseKind
    account: str
    pool: str
    instance_type: str
    chip: str
    driver: str
    is_simulated: bool
    state: LeaseState
    token: int
    chips: int
    hosts: list[str]
    masks: list[int]
    priority: int
    purpose: str
    reservation: str | None
    created_ms: int
    started_s: int
    until_s: int | None
    ends_s: int | None
    reason: EndReason | None
    spent_nanos: int
    currency: str
    outcome: str
    queue_position: int | None = None
    part: Part | None = None
    """What it is of a divided host."""


class EndLease(msgspec.Struct, frozen=True):
    """Give chips back. `token` is the lease's own; None where the operator or owner asks."""

    id: str
    token: int | None
    account: str | None
    outcome: str = ""
    reason: EndReason = EndReason.RELEASED


class LeasesQuery(msgspec.Struct, frozen=True):
    """Leases of an account (of all if None) that wait or run, or the one of an id, ended or not."""

    account: str | None = None
    id: str | None = None


class Leases(msgspec.Struct, frozen=True):
    """Leases, oldest first."""

    leases: list[LeaseView]


class Advance(msgspec.Struct, frozen=True):
    """Do what is due: start and end promises and leases, give notice, bill, let the queue in."""


class Advanced(msgspec.Struct, frozen=True):
    """What was done, and when something is due next."""

    events: list[str]
    due_s: int | None


class DueQuery(msgspec.Struct, frozen=True):
    """Ask whether `advance` has anything to do."""


class Due(msgspec.Struct, frozen=True):
    """Whether it has now, and when it will have; None: not by time."""

    is_due: bool
    due_s: int | None


class Alive(msgspec.Struct, frozen=True):
    """Signs of life of hosts and of whoever runs leases: by lease id, its fencing token.

    A host, and who runs a lease, is watched from its first sign on: a host for `HOST_LOST_S`, a
    lease for `HOLDER_LOST_S` without one is taken for lost.
    """

    hosts: list[str]
    leases: dict[str, int]


class AliveAnswer(msgspec.Struct, frozen=True):
    """The leases that whoever said so doesn't hold any more: stop at once."""

    fenced: list[str]
    ending: dict[str, int]
    """Leases that were given notice, and when they end."""
    reasons: dict[str, EndReason] = {}
    """Why those end."""
