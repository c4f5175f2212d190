"""Tags: what an account writes on its reservations, blocks, and fleets of reservations."""

import msgspec

from craton.fleet.fleet import Fleet
from craton.fleet.records import Reservation, ReservationFleet
from craton.fleet.reservation_contract import Tagged, TagReservations
from craton.fleet.reservation_fleets import ReservationFleets
from craton.kernel.errors import BadRequest, NotFound
from craton.store.documents import Transaction

TAGS_MAX = 50


class Tags:
    """The command on tags."""

    def __init__(self, fleet: Fleet, fleets: ReservationFleets) -> None:
        self._fleet = fleet
        self._fleets = fleets

    def tag(self, transaction: Transaction, command: TagReservations) -> Tagged:
        """Put and remove tags. A block's tags are those of its reservation."""
        changed = 0
        for found in self._find(command):
            tags = {} if command.is_emptied else {**found.tags, **command.put}
            for key, value in command.removed.items():
                if value is None or tags.get(key) == value:
                    tags.pop(key, None)
            if len(tags) > TAGS_MAX:
                raise BadRequest(
                    f"{found.id} would have {len(tags)} tags; {TAGS_MAX} is the most.",
                    code="TagLimitExceeded",
                )
            if tags == found.tags:
                continue
            changed += 1
            if isinstance(found, Reservation):
                self._fleet.put(transaction, msgspec.structs.replace(found, tags=tags))
            else:
                self._fleets.put(transaction, msgspec.structs.replace(found, tags=tags))
        return Tagged(changed)

    def _find(self, command: TagReservations) -> list[Reservation | ReservationFleet]:
        """What is named, each once; NotFound for the first that isn't there."""
        mine: dict[str, Reservation | ReservationFleet] = {}
        for each in self._fleet.reservations.values():
            if each.account == command.account:
                mine[each.id] = each
                if each.block is not None:
                    mine[each.block] = each
        found: dict[str, Reservation | ReservationFleet] = {}
        for id in command.ids:
            one = self._fleets.find(id, command.account) if id.startswith("crf-") else mine.get(id)
            if one is None:
                is_block = id.startswith("cb-")
                raise NotFound(
                    f"The capacity {'block' if is_block else 'reservation'} {id[:60]!r} does not "
                    "exist. List yours with DescribeCapacityReservations.",
                    code=f"InvalidCapacity{'Block' if is_block else 'Reservation'}Id.NotFound",
                )
            found[one.id] = one
        return list(found.values())
