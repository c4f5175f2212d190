"""Bodies and queries of the native API about the fleet, capacity and leases.

Answers are the fleet's own (`fleet/contract.py`), in pages where they are lists. Moments end in
`_s` or `_ms`, UTC; power in `_w`; money in `_nanos`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from craton.apis.native.contract import Id, Limit, OfAccount, Taken
from craton.fleet.contract import CalendarView, LeaseView, ReservationView
from craton.fleet.records import HOST_CHIPS_MAX, HostState, LeaseKind

SECONDS_MAX = 2**40
UNITS_MAX = 1_000_000
CHIPS_MAX = 10_000_000
TAGS_MAX = 50

Moment = Annotated[int, Meta(ge=0, le=SECONDS_MAX, description="Seconds since the epoch.")]
Units = Annotated[
    int, Meta(ge=1, le=UNITS_MAX, description="UltraServers, if `ultraserver` is named; or hosts.")
]
Count = Annotated[int, Meta(ge=1, le=UNITS_MAX)]
Chips = Annotated[int, Meta(ge=1, le=CHIPS_MAX)]
Hours = Annotated[
    int, Meta(ge=1, le=4368, description="24, 48, … 336; from then on whole weeks, 4368 at most.")
]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Path = Annotated[
    str, Meta(max_length=256, description="A site, `site/row`, `site/row/rack` or a host.")
]
ClientToken = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="The same again is answered by the first one."),
]
Tags = Annotated[dict[str, str], Meta(max_length=TAGS_MAX)]
Platform = Annotated[str, Meta(min_length=1, max_length=64)]
AfterEntry = Annotated[
    str, Meta(max_length=256, description="Continue after this: a page's `next`.")
]


class AskFleet(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for the fleet, or for what is under a path."""

    path: Path = ""


class NewFleet(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fleet file to put in force, as the text it is."""

    text: str


class NewMark(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hosts to set aside (`state`), or with null to take into use again."""

    path: Annotated[str, Meta(min_length=1, max_length=256, description="As in a host's name.")]
    state: HostState | None
    note: Annotated[str, Meta(max_length=1024)] = ""
    chips: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...],
        Meta(
            max_length=HOST_CHIPS_MAX, description="Only these chips of the host, numbered from 0."
        ),
    ] = ()


class AskCalendar(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks how much is free and when; of every pool, if none is named."""

    pool: Name | None = None
    start_s: (
        Annotated[int, Meta(ge=0, le=SECONDS_MAX, description="Seconds since the epoch; else now.")]
        | None
    ) = None
    end_s: (
        Annotated[
            int,
            Meta(ge=0, le=SECONDS_MAX, description="Seconds since the epoch; else 8 weeks later."),
        ]
        | None
    ) = None


class Calendars(msgspec.Struct, frozen=True):
    """The calendar of each pool that was asked for."""

    calendars: list[CalendarView]


class AskPools(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks what kinds of capacity there are."""


class CapacityPool(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of capacity in one zone. Units are UltraServers, or else hosts."""

    key: str
    zone: str
    instance_type: str
    ultraserver: str | None
    chip: str
    chips_per_host: int
    hosts_per_unit: int
    units: int
    free_units_now: int
    is_simulated: bool


class CapacityPools(msgspec.Struct, frozen=True):
    """What may be bought here, if it is free."""

    pools: list[CapacityPool]


class FindOffers(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for blocks of so many units for so many hours. Name an instance type or UltraServer."""

    units: Units
    hours: Hours
    instance_type: Name | None = None
    ultraserver: Name | None = None
    start_s: Moment | None = None
    """Not before this."""
    end_s: Moment | None = None
    """Over by then."""
    zone: Name | None = None


class FindExtensions(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks what a block could be made longer by."""

    id: Id
    hours: Hours


class NewPurchase(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Buys an offer; the same offer again is answered by the block it became."""

    offer: Annotated[str, Meta(min_length=1, max_length=1024, description="An offer's id.")]
    platform: Platform = "Linux/UNIX"
    tags: Tags = {}


class NewExtension(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Buys an offer that makes a block longer."""

    id: Id
    offer: Annotated[str, Meta(min_length=1, max_length=1024, description="An offer's id.")]


class NewReservation(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps hosts from now on, paid by the second, until given back or until `end_s`."""

    instance_type: Name
    hosts: Count
    zone: Name | None = None
    end_s: Moment | None = None
    is_targeted: Annotated[
        bool, Meta(description="Used only by who names it; else by whatever fits.")
    ] = False
    platform: Platform = "Linux/UNIX"
    client_token: ClientToken | None = None
    tags: Tags = {}


class ReservationChange(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a reservation; what is left out stays. `end_s` null: until given back."""

    id: Id
    hosts: Count | None = None
    end_s: Moment | msgspec.UnsetType | None = msgspec.UNSET
    is_targeted: bool | None = None


class NewPayment(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says that a block was paid, or that it wasn't and won't be."""

    id: Id
    is_paid: bool


class AskOwned(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a page of what an account owns, oldest first."""

    account: OfAccount | None = None
    limit: Limit = 100
    after: AfterEntry | None = None


class ReservationPage(msgspec.Struct, frozen=True):
    """Reservations, oldest first."""

    reservations: list[ReservationView]
    next: str | None


class NewLease(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chips to hold: inside a `reservation`, or of what is free now.

    Either `chips` in all, or `hosts`, whole ones unless `chips_per_host` says less. Of which kind:
    `chip`, `instance_type` or `pool`; or the reservation's. Of divided hosts also parts: of a chip,
    of the processors, of the memory.
    """

    kind: LeaseKind | None = None
    """Else `reserved` inside a reservation, and `on-demand` outside."""
    chip: Name | None = None
    instance_type: Name | None = None
    zone: Name | None = None
    pool: Name | None = None
    chips: Chips | None = None
    hosts: Count | None = None
    chips_per_host: Annotated[int, Meta(ge=1, le=32)] | None = None
    reservation: Id | None = None
    seconds: (
        Annotated[
            int, Meta(ge=1, le=SECONDS_MAX, description="For how long; null: until released.")
        ]
        | None
    ) = None
    priority: Annotated[int, Meta(ge=-1000, le=1000, description="Above 0 for operators only.")] = 0
    purpose: Annotated[str, Meta(max_length=256)] = ""
    client_token: ClientToken | None = None
    is_one_row: Annotated[bool, Meta(description="All in one row.")] = False
    is_one_leaf: Annotated[bool, Meta(description="All in one UltraServer or rack.")] = False
    hosts_per_leaf_max: Count | None = None
    chip_milli: (
        Annotated[int, Meta(ge=1, le=1000, description="Of one chip only so many thousandths.")]
        | None
    ) = None
    cpu_milli: (
        Annotated[
            int,
            Meta(ge=0, le=UNITS_MAX, description="Thousandths of a processor of a divided host."),
        ]
        | None
    ) = None
    memory_mib: (
        Annotated[int, Meta(ge=0, le=UNITS_MAX * 64, description="Memory of a divided host, MiB.")]
        | None
    ) = None
    wait: Annotated[bool, Meta(description="Wait in the queue where nothing is free.")] = False


class LeaseEnd(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gives a lease back. Whoever acts for it, and not for its account, shows its `token`."""

    id: Id
    token: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    outcome: Annotated[str, Meta(max_length=256)] = ""


class LeasePage(msgspec.Struct, frozen=True):
    """Leases, oldest first."""

    leases: list[LeaseView]
    next: str | None
