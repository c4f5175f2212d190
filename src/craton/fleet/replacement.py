"""Another fleet file comes into force while capacity is promised and work runs.

Hosts are numbers in a pool, and another file may number them otherwise; what holds hosts is
carried over by their names. A file under which something promised or running has no place is
refused whole.
"""

from collections.abc import Sequence

import msgspec

from craton.fleet.calendar import FOREVER_S
from craton.fleet.fleet import Fleet
from craton.fleet.inventory import Inventory
from craton.fleet.records import PROMISING, Lease, LeaseState, Reservation
from craton.kernel.errors import Conflict, NotFound
from craton.store.documents import Transaction


def replace_inventory(fleet: Fleet, transaction: Transaction, inventory: Inventory) -> None:
    """Put an inventory in force, or raise Conflict and say what would be lost."""
    now_s = transaction.now_ms // 1000
    reservations, leases = _moved_reservations(fleet, inventory), _moved_leases(fleet, inventory)
    # First noted, so last undone: then the records are the old ones again, as the old books are.
    transaction.undo.append(fleet.remembered())
    for reservation in reservations:
        fleet.put(transaction, reservation)
    for lease in leases:
        fleet.put(transaction, lease)
    for host in [host for host in {*fleet.marks, *fleet.broken} if not _is_there(inventory, host)]:
        fleet.drop_marks(transaction, host)
    fleet.replace(inventory)
    fleet.restore(now_s)
    for site, watts in fleet.watts.items():
        if watts.short(now_s, FOREVER_S):
            raise Conflict(
                f"{site} would have less power than what is promised and runs there draws. Leave "
                "it as it is until those promises end."
            )
    for book in fleet.books.values():
        power = book.pool.power
        if (power.row_used_w > power.row_cap_w).any():
            raise Conflict(
                f"What runs on {book.plan.key} draws more than a row's share of power would be. "
                "End some of it first, or give the row more."
            )
        short = book.calendar.short(now_s, FOREVER_S)
        if short:
            start_s, _, missing = short[0]
            raise Conflict(
                f"{book.plan.key} would have {missing} fewer units than are promised from "
                f"{start_s} (seconds UTC) on. Keep them in the file until those promises end."
            )


def _moved_reservations(fleet: Fleet, inventory: Inventory) -> list[Reservation]:
    """The promises whose hosts have other numbers in the new inventory, with those."""
    found: list[Reservation] = []
    for each in fleet.reservations.values():
        if each.state in PROMISING:
            hosts = _hosts(fleet, inventory, each.pool, each.hosts, each.id)
            if hosts != each.hosts:
                found.append(msgspec.structs.replace(each, hosts=tuple(sorted(hosts))))
    return found


def _moved_leases(fleet: Fleet, inventory: Inventory) -> list[Lease]:
    """The leases whose hosts have other numbers in the new inventory, with those."""
    found: list[Lease] = []
    for each in fleet.leases.values():
        if each.state is not LeaseState.WAITING:
            new = inventory.by_key.get(each.pool)
            if each.part is not None and new is not None and not new.is_divided:
                raise Conflict(
                    f"{each.id} holds a part of a host of {each.pool}, which would be divided no "
                    "more. End it first."
                )
            hosts = _hosts(fleet, inventory, each.pool, each.hosts, each.id)
            if hosts != each.hosts:
                pairs = sorted(zip(hosts, each.masks, strict=True))
                found.append(
                    msgspec.structs.replace(
                        each,
                        hosts=tuple(host for host, _ in pairs),
                        masks=tuple(mask for _, mask in pairs),
                    )
                )
    return found


def _hosts(
    fleet: Fleet, inventory: Inventory, pool: str, hosts: Sequence[int], holder: str
) -> tuple[int, ...]:
    """The same hosts by their new numbers; Conflict names one that isn't there any more."""
    old, new = fleet.book(pool).plan, inventory.by_key.get(pool)
    if new is None or new.type.chips != old.type.chips or new.hosts_per_unit != old.hosts_per_unit:
        raise Conflict(f"{holder} holds {pool}, which the file has no more. End it first.")
    found: list[int] = []
    for host in hosts:
        name = old.host_name(host)
        try:
            (place,) = inventory.find(name)
        except NotFound:
            raise Conflict(
                f"{holder} holds {name}, which the file has no more. End it first."
            ) from None
        if place.pool.key != pool:
            raise Conflict(f"{holder} holds {name}, which would be of {place.pool.key}.")
        found.append(place.first)
    return tuple(found)


def _is_there(inventory: Inventory, name: str) -> bool:
    try:
        return bool(inventory.find(name))
    except NotFound:
        return False
