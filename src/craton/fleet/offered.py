"""What an account may use of the fleet: zones, and types of hosts; and which other types exist."""

from craton.fleet.fleet import Fleet
from craton.fleet.fleet_file import DriverKind
from craton.fleet.instance_types import InstanceType, InstanceTypes
from craton.fleet.reservation_contract import InstanceTypeView, Offered, OfferedQuery, ZoneView


def offered(fleet: Fleet, types: InstanceTypes, query: OfferedQuery) -> Offered:
    """The zones and types of an account; what is kept for another account isn't told."""
    zones: set[str] = set()
    zones_of: dict[str, set[str]] = {}
    for book in fleet.books.values():
        if book.plan.exclusive_to in (None, query.account):
            zones.add(book.plan.zone)
            zones_of.setdefault(book.plan.type.name, set()).add(book.plan.zone)
    return Offered(
        zones=[
            ZoneView(site.name, site.driver is DriverKind.SIMULATED)
            for site in fleet.inventory.sites
            if site.name in zones
        ],
        types=[_view(each, zones_of.get(name, set())) for name, each in types.by_name.items()],
    )


def _view(kind: InstanceType, zones: set[str]) -> InstanceTypeView:
    return InstanceTypeView(
        name=kind.name,
        is_own=kind.is_own,
        chip=kind.chip,
        chip_title=kind.chip_title or kind.chip,
        vendor=kind.vendor,
        chips=kind.chips,
        chip_memory_mib=kind.chip_memory_mib,
        vcpus=kind.vcpus,
        memory_gib=kind.memory_gib,
        zones=sorted(zones),
    )
