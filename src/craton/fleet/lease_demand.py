"""What a lease asks of a pool: of a request as it comes, and of a lease that waits.

Who asks for chips in all asks each pool for as few hosts as they take there, and divided hosts for
a part of one.
"""

from collections.abc import Sequence

import msgspec

from craton.fleet.contract import RequestLease
from craton.fleet.placement_demand import Demand, demand_for
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import Lease
from craton.kernel.errors import BadRequest


def gang_demand(command: RequestLease, chips_per_host: int) -> Demand:
    """What is asked of a pool whose hosts have so many chips."""
    if command.hosts is not None:
        asked = Demand(command.hosts, command.chips_per_host or chips_per_host)
    elif command.chips is not None:
        asked = demand_for(command.chips, chips_per_host)
    else:
        raise BadRequest("Say how much to hold: chips in all, or hosts.")
    return _together(asked, command)


def part_demand(command: RequestLease, chips_per_host: int) -> Demand:
    """What is asked of divided hosts: of one of them."""
    chips = _chips_of_one(command, chips_per_host)
    if chips > chips_per_host:
        raise BadRequest(f"{chips} chips of one divided host; these have {chips_per_host}.")
    return Demand(1, chips)


def _chips_of_one(command: RequestLease, chips_per_host: int) -> int:
    """How many chips are asked of one divided host, which may be more than it has."""
    if command.hosts not in (None, 1):
        raise BadRequest(
            f"{command.hosts} hosts were asked for, and divided hosts are leased one by one."
        )
    if command.chips is not None:
        return command.chips
    if command.hosts is not None:
        return command.chips_per_host or chips_per_host
    if command.part is None:
        raise BadRequest("Say how much to hold: chips, or a part of one host.")
    return 0 if command.chip_milli is None else 1


def expect(command: RequestLease, books: Sequence[PoolBook]) -> None:
    """Let pools of divided hosts learn what is asked for, also where it is more than a host has."""
    for book in books:
        if book.parts is None:
            continue
        try:
            chips = _chips_of_one(command, book.plan.type.chips)
        except BadRequest:
            continue  # it can't be asked of such hosts at all
        book.parts.expect(chips, command.part)


def demands_of(command: RequestLease, books: Sequence[PoolBook]) -> list[tuple[PoolBook, Demand]]:
    """What is asked of each pool; BadRequest if the hosts of none are such that it could be."""
    found: list[tuple[PoolBook, Demand]] = []
    wrong: BadRequest | None = None
    for book in books:
        chips = book.plan.type.chips
        try:
            if book.parts is not None:
                asked = part_demand(command, chips)
                book.parts.resolved(asked.chips, command.part)
            else:
                asked = gang_demand(command, chips)
                asked.check(chips)
        except BadRequest as error:
            wrong = error
        else:
            found.append((book, asked))
    if not found and wrong is not None:
        raise wrong
    return found


def asked_by(lease: Lease, book: PoolBook) -> Demand:
    """What a lease asks of a pool."""
    asked = Demand(lease.wanted_hosts, lease.wanted_chips, lease.rest_chips)
    if book.parts is not None:
        asked = Demand(1, lease.wanted)
    elif lease.is_by_chips:
        asked = demand_for(lease.wanted, book.plan.type.chips)
    return _together(asked, lease)


def _together(asked: Demand, said: RequestLease | Lease) -> Demand:
    """The same, as near together or far apart as was said."""
    return msgspec.structs.replace(
        asked,
        hosts_per_leaf_max=said.hosts_per_leaf_max,
        is_one_leaf=said.is_one_leaf,
        is_one_row=said.is_one_row,
    )
