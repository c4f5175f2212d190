"""Tags: what an account writes on its reservations, blocks, and fleets of reservations."""

import msgspec

from craton.fleet.fleet import Fleet
from craton.fleet.records import Reservation, ReservationFleet
from craton.fleet.reservation_contract import Tagged, TagReservation
from craton.fleet.reservation_fleets import ReservationFleets
from craton.kernel.errors import BadRequest, NotFound
from craton.store.documents import Transaction

TAGS_MAX = 50


class Tags:
    """The command on tags."""

    def __init__(self, fleet: Fleet, fleets: ReservationFleets) -> None:
        self._fleet = fleet
        self._fleets = fleets

    def tag(self, transaction: Transaction, command: TagReservation) -> Tagged:
        """Put and remove tags. A block's tags are those of its reservation."""
        found = self._find(command)
        tags = {} if command.is_emptied else {**found.tags, **command.put}
        for key, value in command.removed.items():
            if value is None or tags.get(key) == value:
                tags.pop(key, None)
        if len(tags) > TAGS_MAX:
            raise BadRequest(
                f"{command.id} would have {len(tags)} tags; {TAGS_MAX} is the most.",
                code="TagLimitExceeded",
            )
        if isinstance(found, Reservation):
            self._fleet.put(transaction, msgspec.structs.replace(found, tags=tags))
        else:
            self._fleets.put(transaction, msgspec.structs.replace(found, tags=tags))
        return Tagged(command.id, tags)

    def _find(self, command: TagReservation) -> Reservation | ReservationFleet:
        if command.id.startswith("crf-"):
            return self._fleets.find(command.id, command.account)
        for each in self._fleet.reservations.values():
            if command.id in (each.id, each.block) and each.account == command.account:
                return each
        raise NotFound(
            f"The capacity reservation {command.id[:60]!r} does not exist. List yours with "
            "DescribeCapacityReservations.",
            code="InvalidCapacityReservationId.NotFound",
        )
