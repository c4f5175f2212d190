"""What may be asked about reservations besides buying them: tags, parts, fleets; and what is sold.

As `contract.py`: free of NumPy and of any database library, moments in seconds UTC unless the name
says `_ms`.
"""

import msgspec

from craton.fleet.contract import Owner, ReservationView
from craton.fleet.records import FleetState, TypeChoice


class OfferedQuery(msgspec.Struct, frozen=True):
    """Ask what an account may use: zones, and the types of hosts in each."""

    account: str


class ZoneView(msgspec.Struct, frozen=True):
    """One zone."""

    name: str
    is_simulated: bool


class InstanceTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """One type of host: what is known of it, and where it is. None and 0: nobody says."""

    name: str
    is_own: bool
    """Whether the name is Craton's and not EC2's."""
    chip: str
    chip_title: str
    vendor: str
    chips: int
    chip_memory_mib: int
    """Of one chip."""
    vcpus: int | None
    memory_gib: int | None
    zones: list[str]
    """Empty: known, and not in this fleet, or not for this account."""


class Offered(msgspec.Struct, frozen=True):
    """What an account may use, and the other types there are."""

    zones: list[ZoneView]
    types: list[InstanceTypeView]


class TagReservations(msgspec.Struct, frozen=True, kw_only=True):
    """Change tags, of all that is named or of none: `put`, then without `removed`.

    A tag of `removed` with a value goes only if that is its value; `is_emptied`: all go.
    """

    account: str
    ids: list[str]
    put: dict[str, str] = {}
    removed: dict[str, str | None] = {}
    is_emptied: bool = False


class Tagged(msgspec.Struct, frozen=True):
    """How many things have other tags now."""

    things: int


class SplitReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Make another reservation of some unused hosts of one."""

    owner: Owner
    source: str
    hosts: int
    client_token: str | None = None
    tags: dict[str, str] = {}


class MoveHosts(msgspec.Struct, frozen=True, kw_only=True):
    """Move unused hosts from one reservation to another that is alike."""

    account: str
    source: str
    destination: str
    hosts: int
    client_token: str | None = None


class SourceAndDestination(msgspec.Struct, frozen=True):
    """Both reservations as they are after a split or a move."""

    source: ReservationView
    destination: ReservationView


class CreateFleet(msgspec.Struct, frozen=True, kw_only=True):
    """Keep `target` units of capacity, of what types there is room for, the preferred ones first.

    A host counts as many units as the `weight` of its type.
    """

    owner: Owner
    choices: list[TypeChoice]
    target: int
    end_s: int | None = None
    client_token: str | None = None
    tags: dict[str, str] = {}


class ModifyFleet(msgspec.Struct, frozen=True, kw_only=True):
    """Change how many units, or until when; None leaves it as it is."""

    account: str
    id: str
    target: int | None = None
    end_s: int | None = None
    is_endless: bool = False


class CancelFleet(msgspec.Struct, frozen=True):
    """Give all reservations of a fleet back."""

    account: str
    id: str


class FleetsQuery(msgspec.Struct, frozen=True):
    """The fleets of reservations of an account."""

    account: str


class FleetMember(msgspec.Struct, frozen=True, kw_only=True):
    """One type of a fleet, and the reservation that it has of it, if any."""

    choice: TypeChoice
    reservation: str | None
    zone: str | None
    hosts: int
    created_ms: int | None


class FleetOfReservations(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet of reservations as it is now."""

    id: str
    state: FleetState
    before: FleetState
    """What it was before the command that answers with it."""
    target: int
    fulfilled: float
    end_s: int | None
    created_ms: int
    tags: dict[str, str]
    members: list[FleetMember]


class FleetsOfReservations(msgspec.Struct, frozen=True):
    """Fleets of reservations, oldest first."""

    fleets: list[FleetOfReservations]
