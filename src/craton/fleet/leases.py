"""Chips held now: found, taken, billed, given back, and taken away for who has the better right.

A lease inside a reservation sits on that reservation's hosts. One on demand sits on free hosts and
keeps them from being promised. An interruptible one takes what is free until somebody pays for it.
"""

from collections.abc import Sequence

import msgspec

from craton.fleet import terms
from craton.fleet.charges import LEASE_METERS, Charges
from craton.fleet.client_tokens import check_same, digest_under
from craton.fleet.contract import EndLease, RequestLease
from craton.fleet.fleet import Fleet, find_lease_by_token
from craton.fleet.inside import place_inside
from craton.fleet.lease_demand import asked_by, demands_of, expect, gang_demand
from craton.fleet.offers import NOTICE_S
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import (
    ENDED_LEASES,
    EndReason,
    Lease,
    LeaseKind,
    LeaseState,
    Reservation,
    ReservationState,
)
from craton.fleet.room import Room
from craton.kernel.errors import AccessDenied, BadRequest, BudgetExceeded, Conflict, NotFound
from craton.kernel.ids import Ids
from craton.store.documents import Transaction

BILL_EVERY_S = 3600
NO_ROOM = "InsufficientInstanceCapacity"


class LeaseDesk:
    """The commands on leases."""

    def __init__(self, fleet: Fleet, room: Room, charges: Charges, ids: Ids) -> None:
        self.fleet = fleet
        self._room = room
        self._charges = charges
        self._ids = ids

    def request(self, transaction: Transaction, command: RequestLease) -> Lease:
        """Take chips, or a place in the queue. The same client token gets the same lease."""
        owner = command.owner
        if command.client_token is not None:
            made = find_lease_by_token(transaction, owner.account, command.client_token)
            if made is not None:
                check_same(made.digest, command, command.client_token)
                return made
        if command.reservation is not None:
            return self._inside(transaction, command)
        if command.kind is LeaseKind.RESERVED:
            raise BadRequest("A reserved lease is inside a reservation: say which.")
        found = self._books(command)
        demands = demands_of(command, found)
        books = [book for book, _ in demands]
        wanted = self._new(transaction, command, books, demands[0][1])
        self._judge(wanted, books[0], transaction)
        expect(command, found)
        refusals: list[str] = []
        place = self._first(wanted, demands, transaction.now_ms // 1000, refusals)
        if place is not None:
            return self.fleet.add(transaction, self._granted(wanted, *place, transaction))
        if not command.wait:
            raise Conflict(
                f"There is no room now. {' '.join(refusals)} Wait for it, or ask for less.",
                code=NO_ROOM,
            )
        waiting = self.fleet.add(transaction, self._room.queued(wanted, demands))
        self.make_room(transaction, waiting)
        return waiting

    def _first(
        self,
        lease: Lease,
        demands: Sequence[tuple[PoolBook, Demand]],
        now_s: int,
        refusals: list[str],
    ) -> tuple[PoolBook, Demand, Placement] | None:
        """The first pool with a place; of pools of divided hosts where the least is made useless.

        `refusals` gets why others have none.
        """
        best: tuple[PoolBook, Demand, Placement] | None = None
        for book, asked in demands:
            if best is not None and book.parts is None:
                continue
            found = self._room.find(book, lease, asked, now_s)
            if isinstance(found, str):
                refusals.append(f"{book.plan.key}: {found}")
            elif book.parts is None:
                return book, asked, found
            elif best is None or found.cost < best[2].cost:
                best = book, asked, found
        return best

    def _new(
        self,
        transaction: Transaction,
        command: RequestLease,
        books: Sequence[PoolBook],
        asked: Demand,
    ) -> Lease:
        """A lease that waits, for the first of the books; inside a reservation for its only one."""
        now_s = transaction.now_ms // 1000
        if command.seconds is not None and command.seconds < 1:
            raise BadRequest(f"A lease of {command.seconds} s; ask for one second or more.")
        part, parts = command.part, books[0].parts
        if part is not None and parts is not None:
            milli = parts.resolved(asked.chips, part).milli
            part = msgspec.structs.replace(part, milli=milli)
        return Lease(
            id=self._ids.resource_id("lease-"),
            kind=command.kind if command.reservation is None else LeaseKind.RESERVED,
            account=command.owner.account,
            project=command.owner.project,
            principal=command.owner.principal,
            pool=books[0].plan.key,
            state=LeaseState.WAITING,
            token=self.fleet.next_token(transaction),
            wanted_hosts=asked.hosts,
            wanted_chips=asked.chips_per_host,
            rest_chips=asked.rest_chips,
            created_ms=transaction.now_ms,
            priority=command.priority,
            purpose=command.purpose,
            reservation=command.reservation,
            client_token=command.client_token,
            until_s=None if command.seconds is None else now_s + command.seconds,
            seconds=command.seconds,
            is_by_chips=command.hosts is None,
            digest=digest_under(command.client_token, command),
            is_one_row=command.is_one_row,
            is_one_leaf=command.is_one_leaf,
            hosts_per_leaf_max=command.hosts_per_leaf_max,
            part=part,
            pools=tuple(each.plan.key for each in books) if command.reservation is None else (),
        )

    def _judge(self, lease: Lease, book: PoolBook, transaction: Transaction) -> None:
        """BudgetExceeded if nobody could pay the first hour."""
        meter = LEASE_METERS[lease.kind]
        hour = self._charges.hour(
            book.plan.type.name, meter, lease.wanted_milli, transaction.now_ms
        )
        self._charges.judge(lease, book.plan.type.name, hour, transaction.now_ms)

    def _books(self, command: RequestLease) -> list[PoolBook]:
        """The pools that could have it."""
        named = (command.pool, command.instance_type, command.chip)
        if not any(named):
            raise BadRequest("Say what to hold: a chip, an instance type, or a pool.")
        found = [
            book
            for book in self.fleet.books.values()
            if command.pool in (None, book.plan.key)
            and command.instance_type in (None, book.plan.type.name)
            and command.chip in (None, book.plan.type.chip)
            and command.zone in (None, book.plan.zone)
            and book.plan.exclusive_to in (None, command.owner.account)
        ]
        if found and command.part is not None:
            found = [book for book in found if book.parts is not None]
            if not found:
                raise BadRequest(
                    "No such hosts are divided, so they are leased in whole chips. Ask for chips, "
                    "or have the operator write divided = true into the fleet file."
                )
        if not found:
            has = sorted({book.plan.type.chip for book in self.fleet.books.values()})
            what = " ".join(each for each in named if each is not None)
            raise NotFound(f"Nothing in the fleet is {what}. It has {', '.join(has) or 'nothing'}.")
        account = command.owner.account
        allowed = [each for each in found if not self._charges.is_refused(account, each.plan.key)]
        if not allowed:
            raise Conflict(
                "Your commitment gives you no more of that than it says. Name one of its "
                "reservations; `craton capacity list` shows them.",
                code=NO_ROOM,
            )
        return allowed

    def _granted(
        self,
        lease: Lease,
        book: PoolBook,
        asked: Demand,
        found: Placement,
        transaction: Transaction,
    ) -> Lease:
        """Take the chips that were found."""
        now_s = transaction.now_ms // 1000
        until_s = None if lease.seconds is None else now_s + lease.seconds
        parts = book.parts
        granted = msgspec.structs.replace(
            lease.to(LeaseState.ACTIVE),
            pool=book.plan.key,
            wanted_hosts=asked.hosts,
            wanted_chips=asked.chips_per_host,
            rest_chips=asked.rest_chips,
            hosts=tuple(found.hosts.tolist()),
            masks=tuple(found.masks.tolist()),
            started_s=now_s,
            billed_s=now_s,
            until_s=until_s,
            part=None if parts is None else parts.resolved(asked.chips, lease.part),
        )
        book.hold(granted, now_s, transaction.undo)
        return granted

    def _inside(self, transaction: Transaction, command: RequestLease) -> Lease:
        """Take chips of a reservation's hosts."""
        assert command.reservation is not None, "the caller looked"
        if command.part is not None:
            raise BadRequest("A reservation is of whole hosts; ask for whole chips inside it.")
        reservation = self._reservation(command.reservation, command.owner.account)
        book = self.fleet.book(reservation.pool)
        now_s = transaction.now_ms // 1000
        clear_s = _clear_s(reservation, book)
        if clear_s is not None and now_s >= clear_s:
            raise Conflict(
                f"{reservation.id} ends at {reservation.end_s} (seconds UTC), and is being taken "
                "down for who has its hosts next.",
                code="IncorrectState",
            )
        asked = gang_demand(command, reservation.chips_per_host)
        if not reservation.hosts:
            raise Conflict(
                f"{reservation.id} has no host that works now, and there were no others for it. "
                "They are looked for every minute; ask again then.",
                code=NO_ROOM,
            )
        lease = self._new(transaction, command, [book], asked)
        found = place_inside(
            book.pool.layout,
            reservation.hosts,
            self.fleet.leases_in(reservation.id),
            asked,
            set_aside=self._room.closed(book, reservation.hosts, now_s),
        )
        if isinstance(found, Refusal):
            raise Conflict(f"{reservation.id}: {found.message}", code=NO_ROOM)
        granted = msgspec.structs.replace(
            lease.to(LeaseState.ACTIVE),
            hosts=tuple(found.hosts.tolist()),
            masks=tuple(found.masks.tolist()),
            started_s=now_s,
            billed_s=now_s,
        )
        self.fleet.add(transaction, granted)
        if reservation.is_end_told and clear_s is not None:
            return self.give_notice(transaction, granted, EndReason.RESERVATION_ENDED, clear_s)
        return granted

    def _reservation(self, id: str, account: str) -> Reservation:
        found = self.fleet.reservations.get(id)
        if found is None:
            found = next((r for r in self.fleet.reservations.values() if r.block == id), None)
        if found is None or found.account != account:
            raise NotFound(
                f"The capacity reservation {id[:60]!r} does not exist.",
                code="InvalidCapacityReservationId.NotFound",
            )
        if found.state not in (ReservationState.ACTIVE, ReservationState.UNAVAILABLE):
            raise Conflict(
                f"{found.id} is {found.state}; work can run in it while it is active.",
                code="IncorrectState",
            )
        return found

    def end(self, transaction: Transaction, command: EndLease) -> Lease:
        """Give chips back. Ending twice is ending once; a stale token is turned away."""
        lease = self.fleet.leases.get(command.id)
        if lease is None:
            return self._ended(transaction, command)
        if command.account not in (None, lease.account):
            raise _unknown(command.id)
        if command.token is not None and command.token != lease.token:
            raise AccessDenied(
                f"The token {command.token} is not that of {lease.id}: somebody else holds it now."
            )
        reason = EndReason.CANCELLED if lease.state is LeaseState.WAITING else command.reason
        return self.close(transaction, lease, reason, command.outcome)

    def _ended(self, transaction: Transaction, command: EndLease) -> Lease:
        """The lease that ended before; NotFound for one that never was, or is somebody else's."""
        lease = transaction.find(ENDED_LEASES, command.id)
        if lease is None or command.account not in (None, lease.account):
            raise _unknown(command.id)
        return lease

    def close(
        self, transaction: Transaction, lease: Lease, reason: EndReason, outcome: str = ""
    ) -> Lease:
        """Take back what a lease holds, and bill it to the second: until its end, come when may."""
        now_s = over_s = transaction.now_ms // 1000
        if lease.state is not LeaseState.WAITING:
            lease = self._billed(transaction, lease, now_s)
            over_s = end_of(lease, now_s)
            inside = self.fleet.reservations.get(lease.reservation or "")
            if inside is not None:
                used_s = len(lease.hosts) * (over_s - lease.started_s)
                total_s = inside.used_host_s + used_s
                self.fleet.put(transaction, msgspec.structs.replace(inside, used_host_s=total_s))
            elif lease.reservation is None:
                self._give_back(transaction, lease, now_s)
        ended = msgspec.structs.replace(
            lease.to(LeaseState.ENDED),
            reason=reason,
            ends_s=over_s,
            outcome=outcome[:500],
            names=tuple(self.fleet.book(lease.pool).names(lease.hosts)) if lease.hosts else (),
        )
        return self.fleet.put(transaction, ended)

    def give_notice(
        self, transaction: Transaction, lease: Lease, reason: EndReason, ends_s: int
    ) -> Lease:
        """Say to whoever runs it that it ends then; one that has had notice keeps to that.

        None ends later for it than it would have by itself.
        """
        if lease.state is not LeaseState.ACTIVE:
            return lease
        if lease.until_s is not None:
            ends_s = min(ends_s, lease.until_s)
        told = msgspec.structs.replace(lease.to(LeaseState.ENDING), reason=reason, ends_s=ends_s)
        return self.fleet.put(transaction, told)

    def bill(self, transaction: Transaction, lease: Lease, now_s: int) -> Lease:
        """Post the chip-seconds since the last time."""
        billed = self._billed(transaction, lease, now_s)
        return lease if billed is lease else self.fleet.put(transaction, billed)

    def _billed(self, transaction: Transaction, lease: Lease, now_s: int) -> Lease:
        """The same, and the lease as it is to be kept."""
        over_s = end_of(lease, now_s)
        seconds = over_s - lease.billed_s
        if seconds <= 0:
            return lease
        resource, meter = self.fleet.book(lease.pool).plan.type.name, LEASE_METERS[lease.kind]
        span = {"from_s": lease.billed_s, "until_s": over_s}
        if lease.part is not None:
            rated = self._charges.bill_part(transaction, lease, resource, meter, **span)
        else:
            rated = self._charges.bill(
                transaction, lease, resource, meter, chips=lease.chips, **span
            )
        return msgspec.structs.replace(
            lease,
            billed_s=over_s,
            spent_nanos=lease.spent_nanos + rated.amount,
            currency=rated.currency,
        )

    def can_pay(self, lease: Lease, now_ms: int) -> bool:
        """Whether the next hour of a lease fits the budgets of who pays."""
        resource = self.fleet.book(lease.pool).plan.type.name
        milli, meter = lease.milli if lease.hosts else lease.wanted_milli, LEASE_METERS[lease.kind]
        if not self._charges.is_priced(resource, meter, now_ms):
            return True
        hour = self._charges.hour(resource, meter, milli, now_ms)
        try:
            self._charges.judge(lease, resource, hour, now_ms)
        except BudgetExceeded:
            return False
        return True

    def admit(self, transaction: Transaction, lease: Lease) -> Lease | None:
        """Let a lease that waits have what is free now; None where it has to go on waiting.

        One whose first hour nobody could pay any more ends.
        """
        now_s = transaction.now_ms // 1000
        demands = [(book, asked_by(lease, book)) for book in self._open_to(lease)]
        found = self._first(lease, demands, now_s, [])
        if found is None:
            return None
        granted = self._granted(lease, *found, transaction)
        if not self.can_pay(granted, transaction.now_ms):
            self._give_back(transaction, granted, now_s)
            return self.close(transaction, lease, EndReason.OUT_OF_BUDGET)
        return self.fleet.put(transaction, granted)

    def _open_to(self, lease: Lease) -> list[PoolBook]:
        """The pools that a lease waits for and may have: neither gone nor somebody else's alone."""
        found = (self.fleet.books.get(key) for key in lease.pools)
        return [
            book
            for book in found
            if book is not None
            and book.plan.exclusive_to in (None, lease.account)
            and (lease.part is None or book.parts is not None)
            and not self._charges.is_refused(lease.account, book.plan.key)
        ]

    def _give_back(self, transaction: Transaction, lease: Lease, now_s: int) -> None:
        self.fleet.book(lease.pool).let_go(lease, now_s, transaction.undo)

    def make_room(self, transaction: Transaction, lease: Lease) -> list[Lease]:
        """Give notice to as few leases as can be that stand in a waiting lease's way."""
        now_s = transaction.now_ms // 1000
        for book in self._open_to(lease):
            rivals = self._room.rivals(book, lease, now_s)
            if rivals is not None:
                return [
                    self.give_notice(
                        transaction,
                        self.fleet.leases[id],
                        EndReason.PREEMPTED,
                        now_s + NOTICE_S,
                    )
                    for id in rivals
                ]
        return []


def end_of(lease: Lease, now_s: int) -> int:
    """Now, or when a lease was over before anybody looked."""
    end_s = now_s
    if lease.until_s is not None:
        end_s = min(end_s, lease.until_s)
    if lease.state is LeaseState.ENDING and lease.ends_s is not None:
        end_s = min(end_s, lease.ends_s)
    return max(end_s, lease.billed_s)


def _clear_s(reservation: Reservation, book: PoolBook) -> int | None:
    """When what runs in a block is taken down; None for other reservations."""
    if reservation.block is None or reservation.end_s is None:
        return None
    is_ultraserver = book.plan.ultraserver is not None
    return terms.clear_at(reservation.end_s, is_ultraserver=is_ultraserver)


def _unknown(id: str) -> NotFound:
    return NotFound(f"There is no lease {id[:60]!r} here. `craton leases` lists yours.")
