"""Fleets of reservations: so many units of capacity, of several types of hosts.

Types are taken in the order of preference: of the first as many hosts as there is room for, then of
the next, until the target is met. A fleet lives as long as its reservations do, each of which is
billed by itself. What couldn't be had at first is tried again when the fleet is modified, and not
before.
"""

import math
from collections.abc import Mapping

import msgspec

from craton.fleet import terms
from craton.fleet.calendar import FOREVER_S
from craton.fleet.client_tokens import check_same, digest_under
from craton.fleet.contract import CancelReservation, CreateReservation, ModifyReservation, Owner
from craton.fleet.fleet import Fleet
from craton.fleet.records import (
    RESERVATION_FLEETS,
    FleetState,
    Reservation,
    ReservationFleet,
    ReservationState,
    TypeChoice,
)
from craton.fleet.reservation_contract import (
    CancelFleet,
    CreateFleet,
    FleetMember,
    FleetOfReservations,
    FleetsOfReservations,
    FleetsQuery,
    ModifyFleet,
)
from craton.fleet.reservations import Promises
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.store.database import Connection
from craton.store.documents import Transaction, everything

CHOICES_MAX = 50
NO_ROOM = "InsufficientInstanceCapacity"
_HOLDING = (ReservationState.ACTIVE, ReservationState.UNAVAILABLE)


class ReservationFleets:
    """The commands on fleets of reservations."""

    def __init__(self, fleet: Fleet, promises: Promises) -> None:
        self._fleet = fleet
        self._promises = promises
        self._known: dict[str, ReservationFleet] = {}

    @property
    def known(self) -> Mapping[str, ReservationFleet]:
        """Every fleet by its id."""
        return self._known

    def load(self, connection: Connection) -> None:
        """Read what was kept."""
        for change in everything(connection, RESERVATION_FLEETS.name):
            if change.body is not None:
                found = RESERVATION_FLEETS.decode(change.body)
                self._known[found.id] = found

    def find(self, id: str, account: str) -> ReservationFleet:
        """The fleet of an id; NotFound if there is none, or it is somebody else's."""
        found = self._known.get(id)
        if found is None or found.account != account:
            raise NotFound(
                f"The capacity reservation fleet {id[:60]!r} does not exist. List yours with "
                "DescribeCapacityReservationFleets.",
                code="InvalidCapacityReservationFleetId.NotFound",
            )
        return found

    def create(self, transaction: Transaction, command: CreateFleet) -> FleetOfReservations:
        """Keep as much of the target as there is room for; the same client token makes it once."""
        owner, token = command.owner, command.client_token
        for known in self._known.values():
            if token is not None and (known.account, known.client_token) == (owner.account, token):
                check_same(known.digest, command, token)
                return self.view(known)
        _check(command.target, command.choices)
        order = sorted(
            command.choices,
            key=lambda each: math.inf if each.priority is None else each.priority,
        )
        made = ReservationFleet(
            id=self._promises.new_id("crf-"),
            account=owner.account,
            project=owner.project,
            principal=owner.principal,
            choices=tuple(order),
            members=(None,) * len(order),
            target=command.target,
            end_s=command.end_s,
            created_ms=transaction.now_ms,
            client_token=token,
            digest=digest_under(token, command),
            tags=command.tags,
        )
        grown = self._grow(transaction, made)
        name = token or made.id
        transaction.add(RESERVATION_FLEETS, made.id, grown, account=owner.account, name=name)
        return self.view(self._enter(transaction, grown))

    def modify(self, transaction: Transaction, command: ModifyFleet) -> FleetOfReservations:
        """Change the target or the end, of all reservations it has."""
        fleet = self.find(command.id, command.account)
        before = self._state(fleet)
        if before not in (FleetState.ACTIVE, FleetState.PARTIALLY_FULFILLED, FleetState.FAILED):
            raise Conflict(f"{fleet.id} is {before}.", code="IncorrectState")
        if command.target is not None:
            _check(command.target, fleet.choices)
            fleet = msgspec.structs.replace(fleet, target=command.target)
        if command.end_s is not None or command.is_endless:
            fleet = msgspec.structs.replace(fleet, end_s=command.end_s)
            for held in self._held(fleet):
                self._promises.modify(
                    transaction,
                    ModifyReservation(
                        account=fleet.account,
                        id=held.id,
                        end_s=command.end_s,
                        is_endless=command.is_endless,
                    ),
                )
        fleet = self._grow(transaction, self._shrink(transaction, fleet))
        return self.view(self.put(transaction, fleet), before)

    def cancel(self, transaction: Transaction, command: CancelFleet) -> FleetOfReservations:
        """Give all of it back; Conflict while leases run inside."""
        fleet = self.find(command.id, command.account)
        before = self._state(fleet)
        if before in (FleetState.CANCELLED, FleetState.EXPIRED):
            raise Conflict(f"{fleet.id} is {before}.", code="IncorrectState")
        for held in self._held(fleet):
            self._promises.cancel(transaction, CancelReservation(fleet.account, held.id))
        cancelled = msgspec.structs.replace(fleet, is_cancelled=True)
        return self.view(self.put(transaction, cancelled), before)

    def read(self, query: FleetsQuery) -> FleetsOfReservations:
        """The fleets of an account, over or not."""
        return FleetsOfReservations(
            [self.view(each) for each in self._known.values() if each.account == query.account]
        )

    def put(self, transaction: Transaction, fleet: ReservationFleet) -> ReservationFleet:
        """Keep a fleet as it is now."""
        transaction.put(RESERVATION_FLEETS, fleet.id, fleet)
        return self._enter(transaction, fleet)

    def _enter(self, transaction: Transaction, fleet: ReservationFleet) -> ReservationFleet:
        before = self._known.get(fleet.id)

        def back() -> None:
            if before is None:
                self._known.pop(fleet.id, None)
            else:
                self._known[fleet.id] = before

        self._known[fleet.id] = fleet
        transaction.undo.append(back)
        return fleet

    def _held(self, fleet: ReservationFleet) -> list[Reservation]:
        """Its reservations that hold hosts."""
        found = [self._fleet.reservations[id] for id in fleet.members if id is not None]
        return [each for each in found if each.state in _HOLDING]

    def _fulfilled(self, fleet: ReservationFleet) -> float:
        return sum(
            self._hosts(id) * choice.weight
            for choice, id in zip(fleet.choices, fleet.members, strict=True)
        )

    def _hosts(self, id: str | None) -> int:
        held = self._fleet.reservations.get(id) if id is not None else None
        return held.total_hosts if held is not None and held.state in _HOLDING else 0

    def _grow(self, transaction: Transaction, fleet: ReservationFleet) -> ReservationFleet:
        """Add hosts in the order of preference, until the target is met or nothing is left."""
        members = list(fleet.members)
        for at, choice in enumerate(fleet.choices):
            missing = fleet.target - self._fulfilled(
                msgspec.structs.replace(fleet, members=tuple(members))
            )
            if missing <= 0:
                break
            hosts = min(math.ceil(missing / choice.weight), self._room(fleet, choice, transaction))
            if hosts > 0:
                members[at] = self._add(transaction, fleet, members[at], choice, hosts)
        return msgspec.structs.replace(fleet, members=tuple(members))

    def _room(self, fleet: ReservationFleet, choice: TypeChoice, transaction: Transaction) -> int:
        """How many hosts of a type could be promised in one pool from now on."""
        now_s = transaction.now_ms // 1000
        end_s = FOREVER_S if fleet.end_s is None else fleet.end_s
        if end_s <= now_s:
            raise BadRequest("EndDate is in the past.", code=terms.INVALID)
        return max(
            (
                book.free(now_s, end_s) * book.plan.hosts_per_unit
                for book in self._fleet.books.values()
                if book.plan.type.name == choice.instance_type
                and choice.zone in (None, book.plan.zone)
                and book.plan.exclusive_to in (None, fleet.account)
            ),
            default=0,
        )

    def _add(
        self,
        transaction: Transaction,
        fleet: ReservationFleet,
        id: str | None,
        choice: TypeChoice,
        hosts: int,
    ) -> str | None:
        """A reservation with so many hosts more; the same as before where there is no room."""
        has = self._hosts(id)
        # What found no room may have changed something by then: such a command is refused whole.
        before = len(transaction.undo)
        try:
            if id is not None and has:
                more = ModifyReservation(account=fleet.account, id=id, hosts=has + hosts)
                self._promises.modify(transaction, more)
                return id
            made = self._promises.create(
                transaction,
                CreateReservation(
                    owner=Owner(fleet.account, fleet.project, fleet.principal),
                    instance_type=choice.instance_type,
                    hosts=hosts,
                    zone=choice.zone,
                    end_s=fleet.end_s,
                    is_targeted=False,
                    platform=choice.platform,
                    tags=fleet.tags,
                ),
            )
        except Conflict as error:
            if error.code != NO_ROOM or len(transaction.undo) > before:
                raise
            return id
        part = msgspec.structs.replace(made, fleet=fleet.id)
        return self._fleet.put(transaction, part).id

    def _shrink(self, transaction: Transaction, fleet: ReservationFleet) -> ReservationFleet:
        """Give hosts back that are above the target, of the least preferred types first."""
        for at in reversed(range(len(fleet.choices))):
            over = self._fulfilled(fleet) - fleet.target
            id, weight = fleet.members[at], fleet.choices[at].weight
            has = self._hosts(id)
            given = min(has, math.floor(over / weight)) if over > 0 else 0
            if id is None or given < 1:
                continue
            if given == has:
                self._promises.cancel(transaction, CancelReservation(fleet.account, id))
            else:
                fewer = ModifyReservation(account=fleet.account, id=id, hosts=has - given)
                self._promises.modify(transaction, fewer)
        return fleet

    def _state(self, fleet: ReservationFleet) -> FleetState:
        if fleet.is_cancelled:
            return FleetState.CANCELLED
        found = [self._fleet.reservations[id] for id in fleet.members if id is not None]
        if not found:
            return FleetState.FAILED
        if not self._held(fleet):
            is_over = any(each.state is ReservationState.EXPIRED for each in found)
            return FleetState.EXPIRED if is_over else FleetState.CANCELLED
        is_whole = self._fulfilled(fleet) >= fleet.target
        return FleetState.ACTIVE if is_whole else FleetState.PARTIALLY_FULFILLED

    def view(
        self, fleet: ReservationFleet, before: FleetState | None = None
    ) -> FleetOfReservations:
        """A fleet with what it has now."""
        state = self._state(fleet)
        return FleetOfReservations(
            id=fleet.id,
            state=state,
            before=before or state,
            target=fleet.target,
            fulfilled=self._fulfilled(fleet),
            end_s=fleet.end_s,
            created_ms=fleet.created_ms,
            tags=fleet.tags,
            members=[
                self._member(choice, id)
                for choice, id in zip(fleet.choices, fleet.members, strict=True)
            ],
        )

    def _member(self, choice: TypeChoice, id: str | None) -> FleetMember:
        held = self._fleet.reservations.get(id) if id is not None else None
        return FleetMember(
            choice=choice,
            reservation=id,
            # What is over may be of a pool that is gone; its key still says which zone it was in.
            zone=choice.zone if held is None else held.pool.partition("/")[0],
            hosts=self._hosts(id),
            created_ms=None if held is None else held.created_ms,
        )


def _check(target: int, choices: "list[TypeChoice] | tuple[TypeChoice, ...]") -> None:
    if target < 1:
        raise BadRequest(
            f"TotalTargetCapacity is {target}; ask for one or more.", code=terms.INVALID
        )
    if not 1 <= len(choices) <= CHOICES_MAX:
        raise BadRequest(
            f"A fleet has 1 to {CHOICES_MAX} types, and {len(choices)} are given.",
            code=terms.INVALID,
        )
