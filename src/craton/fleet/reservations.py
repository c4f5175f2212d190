"""Promises of capacity: bought, started, moved when hosts break, made longer, ended.

Each command decides and posts in one commit. A promise is kept in the calendar by number; at its
start it is bound to hosts, whole units close together, and what may be interrupted there makes way.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from craton.economics.meters import Meter
from craton.economics.prices import Rated
from craton.fleet import terms
from craton.fleet.binding import choose_hosts, choose_staying
from craton.fleet.charges import Charges
from craton.fleet.client_tokens import check_same, digest_of, digest_under
from craton.fleet.contract import (
    BuyOffer,
    CancelReservation,
    ConfirmPayment,
    CreateReservation,
    ModifyReservation,
)
from craton.fleet.fleet import Fleet
from craton.fleet.offers import OfferDesk, Sealed, extendable
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import (
    WHOLE_MILLI,
    Extension,
    Reservation,
    ReservationKind,
    ReservationState,
)
from craton.kernel.errors import BadRequest, BudgetExceeded, Conflict, CratonError, NotFound
from craton.kernel.ids import Ids
from craton.kernel.units import Nanos
from craton.store.documents import Transaction

DRY_RUN = "DryRunOperation"


class Promises:
    """The commands on reservations."""

    def __init__(
        self,
        fleet: Fleet,
        desk: OfferDesk,
        charges: Charges,
        ids: Ids,
        *,
        is_payment_manual: bool = False,
    ) -> None:
        self.fleet = fleet
        self._desk = desk
        self._charges = charges
        self._ids = ids
        self._is_payment_manual = is_payment_manual

    def buy(self, transaction: Transaction, command: BuyOffer) -> Reservation:
        """Buy a block. The same offer bought again by its account is the same block."""
        owner = command.owner
        sealed = self._desk.open(command.offer, owner.account)
        again = self.known(owner.account, command.offer, command)
        if again is not None:
            return again
        if sealed.extends is not None:
            raise BadRequest(
                f"{command.offer[:40]} makes {sealed.extends} longer; buy it with "
                "PurchaseCapacityBlockExtension.",
                code=terms.INVALID,
            )
        self._check_fresh(sealed, command.offer)
        book = self.fleet.book(sealed.pool)
        if book.plan.exclusive_to not in (None, owner.account):
            raise Conflict(
                f"{sealed.pool} was given to another account alone meanwhile. Search again.",
                code="InsufficientInstanceCapacity",
            )
        hosts = sealed.units * book.plan.hosts_per_unit
        if book.plan.ultraserver is None:
            terms.check_total(hosts, self.fleet.in_use(owner.account))
        if command.is_dry_run:
            raise dry_run()
        reservation = Reservation(
            id=self.new_id("cr-"),
            kind=ReservationKind.BLOCK,
            account=owner.account,
            project=owner.project,
            principal=owner.principal,
            pool=sealed.pool,
            units=sealed.units,
            hosts_per_unit=book.plan.hosts_per_unit,
            chips_per_host=book.plan.type.chips,
            start_s=sealed.start_s,
            end_s=sealed.end_s,
            state=ReservationState.PAYMENT_PENDING,
            created_ms=transaction.now_ms,
            currency=sealed.currency,
            amount_nanos=sealed.amount_nanos,
            block=self.new_id("cb-"),
            client_token=command.offer,
            digest=digest_of(command),
            offer=command.offer,
            platform=command.platform,
            tags=command.tags,
        )
        self._promise(book, reservation, transaction)
        self.fleet.add(transaction, reservation)
        if self._is_payment_manual:
            return reservation
        return self._pay(transaction, reservation)

    def known(self, account: str, token: str | None, command: msgspec.Struct) -> Reservation | None:
        """What this command made when it came before; Conflict if another had its client token."""
        id = None if token is None else self.fleet.by_token.get((account, token))
        found = self.fleet.reservations.get(id) if id is not None else None
        if found is not None and token is not None:
            check_same(found.digest, command, token)
        return found

    def _check_fresh(self, sealed: Sealed, offer: str) -> None:
        if self._desk.is_stale(sealed):
            raise BadRequest(
                f"The offering {offer[:40]} has expired. Search for offerings again, and buy one "
                "within ten minutes.",
                code="InvalidCapacityBlockOfferingIdExpired",
            )

    def _promise(self, book: PoolBook, reservation: Reservation, transaction: Transaction) -> None:
        try:
            book.promise(
                reservation.start_s, reservation.end_s, reservation.units, transaction.undo
            )
        except Conflict as error:
            raise Conflict(error.message, code="InsufficientInstanceCapacity") from None

    def _pay(self, transaction: Transaction, reservation: Reservation) -> Reservation:
        """Post the fee, or keep the block unpaid where no budget has room for it."""
        book = self.fleet.book(reservation.pool)
        resource = book.plan.type.name
        rated = Rated(Nanos(reservation.amount_nanos), reservation.currency, None, Nanos(0))
        try:
            self._charges.judge(reservation, resource, rated, transaction.now_ms)
        except BudgetExceeded:
            return self.not_paid(transaction, reservation)
        chip_s = _chip_seconds(reservation, reservation.start_s, reservation.end_s or 0)
        quantities = {Meter.BLOCK_CHIP_S: chip_s}
        self._charges.enter(transaction, reservation, resource, quantities, rated)
        return self.fleet.put(transaction, reservation.to(ReservationState.SCHEDULED))

    def not_paid(self, transaction: Transaction, reservation: Reservation) -> Reservation:
        """Let go of what was kept for a block that nobody paid."""
        self._withdraw(reservation, reservation.start_s, transaction)
        return self.fleet.put(transaction, reservation.to(ReservationState.PAYMENT_FAILED))

    def _withdraw(self, reservation: Reservation, from_s: int, transaction: Transaction) -> None:
        book = self.fleet.book(reservation.pool)
        book.withdraw(from_s, reservation.end_s, reservation.units, transaction.undo)

    def confirm(self, transaction: Transaction, command: ConfirmPayment) -> Reservation:
        """The operator's word on a payment that isn't made by this machine."""
        reservation = self.find(command.id)
        if reservation.state is not ReservationState.PAYMENT_PENDING:
            raise Conflict(f"{reservation.id} is {reservation.state}, and waits for no payment.")
        if command.is_paid:
            return self._pay(transaction, reservation)
        return self.not_paid(transaction, reservation)

    def extend(self, transaction: Transaction, command: BuyOffer) -> Reservation:
        """Make a block longer, for the fee that was offered."""
        owner = command.owner
        sealed = self._desk.open(command.offer, owner.account)
        if sealed.extends is None or command.extends not in (None, sealed.extends):
            raise BadRequest(
                f"{command.offer[:40]} does not make {command.extends} longer. Search with "
                "DescribeCapacityBlockExtensionOfferings.",
                code=terms.INVALID,
            )
        reservation = self.find(sealed.extends, owner.account)
        if any(each.offer == command.offer for each in reservation.extensions):
            return reservation
        self._check_fresh(sealed, command.offer)
        hours = (sealed.end_s - sealed.start_s) // terms.HOUR_S
        end_s = extendable(reservation, hours, transaction.now_ms // 1000)
        if end_s != sealed.start_s:
            raise Conflict(f"{reservation.id} was made longer meanwhile. Search again.")
        if command.is_dry_run:
            raise dry_run()
        book = self.fleet.book(reservation.pool)
        rated = Rated(Nanos(sealed.amount_nanos), sealed.currency, None, Nanos(0))
        self._charges.judge(reservation, book.plan.type.name, rated, transaction.now_ms)
        longer_s = msgspec.structs.replace(reservation, start_s=end_s, end_s=sealed.end_s)
        self._promise(book, longer_s, transaction)
        quantities = {Meter.BLOCK_CHIP_S: _chip_seconds(reservation, end_s, sealed.end_s)}
        self._charges.enter(transaction, reservation, book.plan.type.name, quantities, rated)
        extension = Extension(
            offer=command.offer,
            purchased_ms=transaction.now_ms,
            start_s=end_s,
            end_s=sealed.end_s,
            amount_nanos=sealed.amount_nanos,
        )
        longer = msgspec.structs.replace(
            reservation,
            end_s=sealed.end_s,
            amount_nanos=reservation.amount_nanos + sealed.amount_nanos,
            extensions=(*reservation.extensions, extension),
        )
        return self.fleet.put(transaction, longer)

    def create(self, transaction: Transaction, command: CreateReservation) -> Reservation:
        """Keep hosts from now on. The same client token makes the same reservation."""
        owner = command.owner
        again = self.known(owner.account, command.client_token, command)
        if again is not None:
            return again
        book, hosts = self._room(command, transaction)
        rated = self._charges.hour(
            book.plan.type.name,
            Meter.ON_DEMAND_CHIP_S,
            command.hosts * book.plan.type.chips * WHOLE_MILLI,
            transaction.now_ms,
        )
        now_s = transaction.now_ms // 1000
        reservation = Reservation(
            id=self.new_id("cr-"),
            kind=ReservationKind.OPEN,
            account=owner.account,
            project=owner.project,
            principal=owner.principal,
            pool=book.plan.key,
            units=command.hosts // book.plan.hosts_per_unit,
            hosts_per_unit=book.plan.hosts_per_unit,
            chips_per_host=book.plan.type.chips,
            start_s=now_s,
            end_s=command.end_s,
            state=ReservationState.ACTIVE,
            created_ms=transaction.now_ms,
            currency=rated.currency,
            client_token=command.client_token,
            digest=digest_under(command.client_token, command),
            platform=command.platform,
            is_targeted=command.is_targeted,
            tags=command.tags,
            hosts=tuple(hosts.tolist()),
            billed_s=now_s,
        )
        self._charges.judge(reservation, book.plan.type.name, rated, transaction.now_ms)
        if command.is_dry_run:
            raise dry_run()
        self._promise(book, reservation, transaction)
        book.bind(hosts, transaction.undo)
        return self.fleet.add(transaction, reservation)

    def _room(
        self, command: CreateReservation, transaction: Transaction
    ) -> tuple[PoolBook, np.ndarray[tuple[int], np.dtype[np.int32]]]:
        """The pool that has room now, and the hosts; InsufficientInstanceCapacity otherwise."""
        if command.hosts < 1:
            raise BadRequest(
                f"InstanceCount is {command.hosts}; ask for one or more.", code=terms.INVALID
            )
        now_s = transaction.now_ms // 1000
        if command.end_s is not None and command.end_s <= now_s:
            raise BadRequest("EndDate is in the past.", code=terms.INVALID)
        books = [
            book
            for book in self.fleet.books.values()
            if book.plan.type.name == command.instance_type
            and command.zone in (None, book.plan.zone)
            and book.plan.exclusive_to in (None, command.owner.account)
        ]
        if not books:
            kinds = sorted({book.plan.type.name for book in self.fleet.books.values()})
            raise BadRequest(
                f"Nothing here is a {command.instance_type}"
                f"{f' in {command.zone}' if command.zone else ''}. The fleet has "
                f"{', '.join(kinds) or 'nothing'}.",
                code=terms.INVALID,
            )
        for book in books:
            if self._charges.is_refused(command.owner.account, book.plan.key):
                continue
            units, rest = divmod(command.hosts, book.plan.hosts_per_unit)
            end_s = command.end_s if command.end_s is not None else terms.DAY_S << 24
            if rest or book.free(now_s, end_s) < units:
                continue
            hosts = choose_staying(book, units, now_s, command.end_s)
            if hosts is None:
                hosts = choose_hosts(book, units)
            if hosts is not None:
                return book, hosts
        raise Conflict(
            f"{command.hosts} {command.instance_type} aren't free from now on. Ask for fewer or "
            "until an earlier end, or buy a capacity block.",
            code="InsufficientInstanceCapacity",
        )

    def modify(self, transaction: Transaction, command: ModifyReservation) -> Reservation:
        """Change how many hosts, or until when."""
        reservation = self.find(command.id, command.account)
        if reservation.block is not None:
            raise BadRequest(
                f"{reservation.id} is a capacity block, which can't be changed; it can be made "
                "longer with PurchaseCapacityBlockExtension.",
                code="Unsupported",
            )
        if reservation.state is not ReservationState.ACTIVE:
            raise Conflict(f"{reservation.id} is {reservation.state}.", code="IncorrectState")
        now_s = transaction.now_ms // 1000
        if command.end_s is not None and command.end_s <= now_s:
            raise BadRequest("EndDate is in the past.", code=terms.INVALID)
        if command.is_dry_run:
            raise dry_run()
        reservation = self.bill(transaction, reservation, now_s)
        end_s = reservation.end_s if command.end_s is None else command.end_s
        if command.is_endless:
            end_s = None
        hosts = reservation.total_hosts if command.hosts is None else command.hosts
        changed = self._resized(transaction, reservation, hosts, end_s, now_s)
        if command.is_targeted is not None:
            changed = msgspec.structs.replace(changed, is_targeted=command.is_targeted)
        return self.fleet.put(transaction, changed)

    def _resized(
        self,
        transaction: Transaction,
        reservation: Reservation,
        hosts: int,
        end_s: int | None,
        now_s: int,
    ) -> Reservation:
        book = self.fleet.book(reservation.pool)
        units, rest = divmod(hosts, reservation.hosts_per_unit)
        if rest or units < 1:
            raise BadRequest(
                f"InstanceCount is {hosts}; {reservation.pool} is counted in units of "
                f"{reservation.hosts_per_unit}. Cancel it to give all of it back.",
                code=terms.INVALID,
            )
        used = self.used(reservation)
        if hosts < len(used):
            raise Conflict(
                f"{len(used)} hosts of {reservation.id} are in use. End what runs there first.",
                code="IncorrectState",
            )
        undo = transaction.undo
        book.withdraw(now_s, reservation.end_s, reservation.units, undo)
        held = np.array(reservation.hosts, np.int32)
        if units < reservation.units:
            back = unused_units(book, held, used, reservation.units - units)
            book.unbind(back, now_s, undo)
            held = np.setdiff1d(held, back)
        changed = msgspec.structs.replace(reservation, units=units, end_s=end_s)
        self._promise(book, msgspec.structs.replace(changed, start_s=now_s), transaction)
        if units > reservation.units:
            more = choose_hosts(book, units - reservation.units)
            if more is None:
                raise Conflict(
                    "Those hosts are held by what may be interrupted, and makes way only for a "
                    "block or a lease on demand. Try again later.",
                    code="InsufficientInstanceCapacity",
                )
            book.bind(more, undo)
            held = np.union1d(held, more)
        return msgspec.structs.replace(changed, hosts=tuple(held.tolist()))

    def used(self, reservation: Reservation) -> set[int]:
        """The hosts of a reservation on which something runs."""
        leases = self.fleet.leases_in(reservation.id)
        return {host for lease in leases for host in lease.hosts}

    def cancel(self, transaction: Transaction, command: CancelReservation) -> Reservation:
        """Give a reservation back. A block that was paid can't be."""
        reservation = self.find(command.id, command.account)
        if reservation.block is not None:
            raise BadRequest(
                f"{reservation.id} is a capacity block: it can't be cancelled or given back once "
                "bought.",
                code="OperationNotPermitted",
            )
        if reservation.state is ReservationState.CANCELLED:
            return reservation
        if reservation.state not in (ReservationState.ACTIVE, ReservationState.UNAVAILABLE):
            raise Conflict(f"{reservation.id} is {reservation.state}.", code="IncorrectState")
        if command.is_dry_run:
            raise dry_run()
        if self.used(reservation):
            raise Conflict(
                f"Leases run in {reservation.id}. End them first.", code="IncorrectState"
            )
        return self.close(transaction, reservation, ReservationState.CANCELLED)

    def close(
        self, transaction: Transaction, reservation: Reservation, state: ReservationState
    ) -> Reservation:
        """Let go of what a reservation holds and bill what is left; its leases are ended by now."""
        now_s = transaction.now_ms // 1000
        reservation = self.bill(transaction, reservation, now_s)
        book = self.fleet.book(reservation.pool)
        if reservation.end_s is None or now_s < reservation.end_s:
            self._withdraw(reservation, max(now_s, reservation.start_s), transaction)
        if reservation.hosts:
            book.unbind(np.array(reservation.hosts, np.int32), now_s, transaction.undo)
        closed = msgspec.structs.replace(reservation.to(state), hosts=())
        if reservation.end_s is None:
            closed = msgspec.structs.replace(closed, end_s=now_s)
        return self.fleet.put(transaction, closed)

    def bill(self, transaction: Transaction, reservation: Reservation, now_s: int) -> Reservation:
        """Post the seconds since the last time, of what is paid by the second."""
        until_s = min(now_s, reservation.end_s) if reservation.end_s is not None else now_s
        if reservation.block is not None or until_s <= reservation.billed_s:
            return reservation
        book = self.fleet.book(reservation.pool)
        rated = self._charges.bill(
            transaction,
            reservation,
            book.plan.type.name,
            Meter.ON_DEMAND_CHIP_S,
            chips=len(reservation.hosts) * reservation.chips_per_host,
            from_s=reservation.billed_s,
            until_s=until_s,
        )
        billed = msgspec.structs.replace(
            reservation,
            billed_s=until_s,
            amount_nanos=reservation.amount_nanos + rated.amount,
        )
        return self.fleet.put(transaction, billed)

    def find(self, id: str, account: str | None = None) -> Reservation:
        """The reservation of an id; NotFound if there is none, or it is somebody else's."""
        found = self.fleet.reservations.get(id)
        if found is None or account not in (None, found.account):
            raise NotFound(
                f"The capacity reservation {id[:60]!r} does not exist. List yours with "
                "DescribeCapacityReservations.",
                code="InvalidCapacityReservationId.NotFound",
            )
        return found

    def new_id(self, prefix: str) -> str:
        """An id in EC2's form."""
        return self._ids.resource_id(prefix)


def _chip_seconds(reservation: Reservation, start_s: int, end_s: int) -> int:
    return reservation.total_hosts * reservation.chips_per_host * (end_s - start_s)


def unused_units(
    book: PoolBook,
    held: np.ndarray[tuple[int], np.dtype[np.int32]],
    used: set[int],
    units: int,
) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The hosts of so many held units that nothing runs on, the highest numbers first."""
    by_unit: dict[int, list[int]] = {}
    for host in held.tolist():
        by_unit.setdefault(book.unit_of(host), []).append(host)
    free = [hosts for hosts in by_unit.values() if used.isdisjoint(hosts)]
    if len(free) < units:
        raise Conflict(
            "What runs there is spread over units that would be given back. End some of it first.",
            code="IncorrectState",
        )
    chosen: Sequence[list[int]] = free[-units:]
    return np.array(sorted(host for hosts in chosen for host in hosts), np.int32)


def dry_run() -> CratonError:
    """What a request gets that would have succeeded, and only asked whether."""
    return Conflict("Request would have succeeded, but DryRun flag is set.", code=DRY_RUN)
