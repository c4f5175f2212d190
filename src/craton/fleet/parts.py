"""Unused hosts of a reservation become another's: a new one's, or one's that is alike.

Nothing is promised or bound anew: the calendar counts the same units until the same end, and the
hosts stay bound. Only whose they are changes, and so what each reservation is billed.
"""

import msgspec
import numpy as np

from craton.fleet import terms
from craton.fleet.client_tokens import check_same, digest_of, digest_under
from craton.fleet.fleet import Fleet
from craton.fleet.records import Reservation, ReservationKind, ReservationState
from craton.fleet.reservation_contract import MoveHosts, SplitReservation
from craton.fleet.reservations import Promises, unused_units
from craton.kernel.errors import BadRequest, Conflict, Unsupported
from craton.store.documents import Transaction

MOVES_KEPT_MAX = 32
"""How many moves into a reservation are known by their clients' tokens."""
TOO_MANY = "ReservationCapacityExceeded"
_Both = tuple[Reservation, Reservation]


class Parts:
    """The commands that divide reservations."""

    def __init__(self, fleet: Fleet, promises: Promises) -> None:
        self._fleet = fleet
        self._promises = promises

    def split(self, transaction: Transaction, command: SplitReservation) -> _Both:
        """Make a new reservation of unused hosts; the same client token makes the same one."""
        owner = command.owner
        source = self._promises.find(command.source, owner.account)
        again = self._promises.known(owner.account, command.client_token, command)
        if again is not None:
            return source, again
        if command.hosts >= source.total_hosts:
            raise BadRequest(
                f"InstanceCount is {command.hosts}, and {source.id} has {source.total_hosts}: one "
                "or more must stay. Use the reservation itself.",
                code=terms.INVALID,
            )
        left, hosts = self._give(transaction, source, command.hosts)
        now_s = transaction.now_ms // 1000
        part = Reservation(
            id=self._promises.new_id("cr-"),
            kind=ReservationKind.OPEN,
            account=source.account,
            project=owner.project,
            principal=owner.principal,
            pool=source.pool,
            units=source.units - left.units,
            hosts_per_unit=source.hosts_per_unit,
            chips_per_host=source.chips_per_host,
            start_s=now_s,
            end_s=source.end_s,
            state=ReservationState.ACTIVE,
            created_ms=transaction.now_ms,
            currency=source.currency,
            client_token=command.client_token,
            digest=digest_under(command.client_token, command),
            hosts=hosts,
            billed_s=now_s,
            platform=source.platform,
            is_targeted=source.is_targeted,
            tags=command.tags,
        )
        return self._fleet.put(transaction, left), self._fleet.add(transaction, part)

    def move(self, transaction: Transaction, command: MoveHosts) -> _Both:
        """Move unused hosts into a reservation that is alike. All moved: the source is cancelled.

        The same client token moves them once.
        """
        source = self._promises.find(command.source, command.account)
        destination = self._promises.find(command.destination, command.account)
        if self._is_moved(command):
            return source, destination
        if source.id == destination.id:
            raise BadRequest(
                f"{source.id} is both source and destination. Name another destination.",
                code=terms.INVALID,
            )
        self._check(destination)
        for what, of_source, of_destination in (
            ("instance type and zone", source.pool, destination.pool),
            ("platform", source.platform, destination.platform),
            ("end", source.end_s, destination.end_s),
        ):
            if of_source != of_destination:
                raise BadRequest(
                    f"{source.id} and {destination.id} differ in their {what}; hosts move only "
                    "between reservations that are alike.",
                    code=terms.INVALID,
                )
        left, hosts = self._give(transaction, source, command.hosts)
        destination = self._promises.bill(transaction, destination, transaction.now_ms // 1000)
        larger = msgspec.structs.replace(
            destination,
            units=destination.units + source.units - left.units,
            hosts=tuple(sorted((*destination.hosts, *hosts))),
            moves=(*destination.moves, *_moves(command))[-MOVES_KEPT_MAX:],
        )
        if not left.units:
            end_s = transaction.now_ms // 1000 if left.end_s is None else left.end_s
            left = msgspec.structs.replace(left.to(ReservationState.CANCELLED), end_s=end_s)
        return self._fleet.put(transaction, left), self._fleet.put(transaction, larger)

    def _is_moved(self, command: MoveHosts) -> bool:
        """Whether a client's token moved these hosts before; Conflict if it moved others."""
        token = command.client_token
        if token is None:
            return False
        mine = (each for each in self._fleet.reservations.values() if each.moves)
        for each in mine:
            if each.account != command.account:
                continue
            for move in each.moves:
                name, digest = _parsed(move)
                if name == token:
                    check_same(digest, command, token)
                    return True
        return False

    def _give(
        self, transaction: Transaction, source: Reservation, hosts: int
    ) -> tuple[Reservation, tuple[int, ...]]:
        """What is left of a reservation without some unused hosts, and those hosts."""
        self._check(source)
        units, rest = divmod(hosts, source.hosts_per_unit)
        if rest or units < 1:
            raise BadRequest(
                f"InstanceCount is {hosts}; {source.pool} is counted in units of "
                f"{source.hosts_per_unit}, one or more of them.",
                code=terms.INVALID,
            )
        source = self._promises.bill(transaction, source, transaction.now_ms // 1000)
        book = self._fleet.book(source.pool)
        held = np.array(source.hosts, np.int32)
        try:
            given = unused_units(book, held, self._promises.used(source), units)
        except Conflict:
            raise BadRequest(
                f"{source.id} has fewer than {hosts} hosts in whole units on which nothing runs. "
                "Ask for fewer, or end leases first.",
                code=TOO_MANY,
            ) from None
        left = msgspec.structs.replace(
            source,
            units=source.units - units,
            hosts=tuple(np.setdiff1d(held, given).tolist()),
        )
        return left, tuple(given.tolist())

    @staticmethod
    def _check(reservation: Reservation) -> None:
        """Refuse what can't be divided."""
        if reservation.block is not None:
            raise Unsupported(f"{reservation.id} is a capacity block, which can't be divided.")
        if reservation.fleet is not None:
            raise Unsupported(
                f"{reservation.id} is part of {reservation.fleet}. Change that with "
                "ModifyCapacityReservationFleet."
            )
        if reservation.state is not ReservationState.ACTIVE:
            raise Conflict(f"{reservation.id} is {reservation.state}.", code="IncorrectState")


def _moves(command: MoveHosts) -> list[str]:
    """What is kept of a move's token."""
    token = command.client_token
    return [] if token is None else [f"{token} {digest_of(command)}"]


def _parsed(move: str) -> tuple[str, str | None]:
    """A token and its digest; of a version of before, which kept none, the token alone."""
    token, _, digest = move.rpartition(" ")
    return (token, digest) if token else (digest, None)
