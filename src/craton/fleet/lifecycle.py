"""What happens by itself: promises start and end, notice is given, time is billed, hosts are lost.

`advance` is a command like any other: it decides and posts in one commit. It may come late, twice,
or after a restart; each thing is done once, since doing it changes the state that made it due.
"""

import heapq
from collections.abc import Iterable
from typing import Protocol

import msgspec

from craton.fleet import terms
from craton.fleet.binding import choose_hosts
from craton.fleet.charges import Charges
from craton.fleet.contract import Advance, Advanced, Due
from craton.fleet.fleet import Fleet
from craton.fleet.leases import BILL_EVERY_S, LeaseDesk
from craton.fleet.losses import Losses
from craton.fleet.offers import NOTICE_S
from craton.fleet.past import retire
from craton.fleet.records import (
    EndReason,
    Lease,
    LeaseState,
    Reservation,
    ReservationState,
)
from craton.fleet.reservations import Promises
from craton.fleet.room import Room
from craton.fleet.shares import Shares
from craton.kernel.clock import Clock
from craton.store.documents import Transaction

LATE_S = 60
"""A promise that starts so late is credited for the time before."""
VOID_MAX = 10_000
"""Entries of the agenda that may be void; each is some 200 bytes."""
_Due = tuple[int, bool, str]
"""When, whether it begins something, and what: of one moment, what ends comes first."""


class Dated(Protocol):
    """What has days of its own on which something is to be done."""

    def advance(self, transaction: Transaction) -> list[str]:
        """Do all that is due by now; what was done."""
        ...

    def next_s(self) -> int | None:
        """When something is due next; None: not by time."""
        ...


class Windows(Protocol):
    """What begins and ends between the starts and ends of promises and leases."""

    def step(self, transaction: Transaction) -> str:
        """Do what is due first, which is by now; what was done."""
        ...

    def next_s(self) -> int | None:
        """When something is due next; None: not by time."""
        ...


def due_s(record: Reservation | Lease) -> int | None:
    """When something is to be done about a promise or lease next; None: not by time."""
    return _lease_due(record) if isinstance(record, Lease) else _reservation_due(record)


def _lease_due(lease: Lease) -> int | None:
    if lease.state is LeaseState.ENDING:
        return lease.ends_s
    if lease.state is not LeaseState.ACTIVE:
        return None
    bill_s = lease.billed_s + BILL_EVERY_S
    return bill_s if lease.until_s is None else min(bill_s, lease.until_s)


def _reservation_due(reservation: Reservation) -> int | None:
    state, end_s = reservation.state, reservation.end_s
    if state is ReservationState.PAYMENT_PENDING:
        paid_by_s = reservation.created_ms // 1000 + terms.PAYMENT_WITHIN_S
        return min(paid_by_s, _room_s(reservation))
    if state is ReservationState.SCHEDULED:
        return reservation.start_s if reservation.is_room_made else _room_s(reservation)
    if state not in (ReservationState.ACTIVE, ReservationState.UNAVAILABLE):
        return None
    if reservation.block is None:
        next_s = reservation.billed_s + BILL_EVERY_S
        next_s = next_s if end_s is None else min(next_s, end_s)
    else:
        assert end_s is not None, "a block has an end"
        next_s = end_s if reservation.is_end_told else end_s - terms.NOTICE_S
    return min(next_s, reservation.retry_s) if state is ReservationState.UNAVAILABLE else next_s


def _why_over(lease: Lease) -> EndReason:
    """Why a lease is over by itself: only maintenance lets one end before its time."""
    is_own = lease.seconds is not None and lease.until_s == lease.started_s + lease.seconds
    return EndReason.EXPIRED if is_own else EndReason.MAINTENANCE


def _is_begun(record: Reservation | Lease) -> bool:
    """Whether what is due of it next takes something, rather than giving it back."""
    return isinstance(record, Reservation) and record.state is ReservationState.SCHEDULED


def _room_s(reservation: Reservation) -> int:
    return reservation.start_s - NOTICE_S


class Lifecycle:
    """Does what is due, in the order of its time."""

    def __init__(
        self,
        fleet: Fleet,
        promises: Promises,
        desk: LeaseDesk,
        charges: Charges,
        *,
        losses: Losses,
        commitments: Dated,
        maintenance: Windows,
        room: Room,
        shares: Shares,
        clock: Clock,
    ) -> None:
        self.fleet = fleet
        self._room = room
        self._shares = shares
        self._commitments = commitments
        self._maintenance = maintenance
        self._losses = losses
        self._clock = clock
        self._promises = promises
        self._desk = desk
        self._charges = charges
        self._agenda: list[_Due] = []
        fleet.on_entered = self.note

    @property
    def entries(self) -> int:
        """How many entries the agenda has, void ones too."""
        return len(self._agenda)

    def note_all(self) -> None:
        """Write everything into the agenda: at the start."""
        for record in (*self.fleet.reservations.values(), *self.fleet.leases.values()):
            self.note(record)

    def note(self, record: Reservation | Lease) -> None:
        """Write into the agenda when a record wants attention; older entries of it are void."""
        due = due_s(record)
        if due is not None:
            heapq.heappush(self._agenda, (due, _is_begun(record), record.id))

    def advance(self, transaction: Transaction, _: Advance) -> Advanced:
        """Do all that is due by now."""
        now_s = transaction.now_ms // 1000
        # First of all, since their months are counted as things stood when they were over.
        events = self._commitments.advance(transaction)
        done: list[_Due] = []
        transaction.undo.append(lambda: self._again(done))
        window_s = self._maintenance.next_s()
        while self._is_due(now_s) or (window_s is not None and window_s <= now_s):
            if window_s is not None and self._is_first(window_s):
                events.append(self._maintenance.step(transaction))
                window_s = self._maintenance.next_s()
                continue
            entry = heapq.heappop(self._agenda)
            done.append(entry)
            record = self._record(entry[2])
            if record is None or due_s(record) != entry[0]:
                continue
            events.append(self._act(transaction, record, now_s))
        events += self._losses.bury(transaction)
        events += self._losses.move_drained(transaction)
        events += self._let_in(transaction)
        retire(self.fleet, transaction)
        # Once it is kept, nothing that ran before now can be taken back any more.
        transaction.after_commit.append(lambda: self.fleet.forget(now_s))
        return Advanced([event for event in events if event], self._next_s())

    def _is_due(self, now_s: int) -> bool:
        return bool(self._agenda) and self._agenda[0][0] <= now_s

    def _is_first(self, window_s: int) -> bool:
        """Whether maintenance comes before all else: before what begins, after what ends."""
        return not self._agenda or (window_s, True) <= self._agenda[0][:2]

    def due(self) -> Due:
        """Whether `advance` would do anything now."""
        self._thin()
        next_s = self._next_s()
        is_due = next_s is not None and next_s <= self._clock.now_ns() // 1_000_000_000
        is_due = is_due or bool(self.fleet.freed and self.fleet.waiting())
        return Due(is_due or self._losses.is_any(), next_s)

    def _thin(self) -> None:
        """Write the agenda anew where most of it is void: what ended long before it was due.

        Between groups only: a command that is taken back makes entries valid again.
        """
        records = len(self.fleet.reservations) + len(self.fleet.leases)
        if len(self._agenda) > 2 * records + VOID_MAX:
            self._agenda.clear()
            self.note_all()

    def _again(self, done: Iterable[_Due]) -> None:
        """Nothing was kept of it: all of that is due again."""
        for entry in done:
            heapq.heappush(self._agenda, entry)

    def _next_s(self) -> int | None:
        dated = (self._commitments.next_s(), self._maintenance.next_s(), self._noted_s())
        return min((each for each in dated if each is not None), default=None)

    def _noted_s(self) -> int | None:
        while self._agenda:
            due, _, id = self._agenda[0]
            record = self._record(id)
            if record is not None and due_s(record) == due:
                return due
            heapq.heappop(self._agenda)
        return None

    def _record(self, id: str) -> Reservation | Lease | None:
        return self.fleet.reservations.get(id) or self.fleet.leases.get(id)

    def _act(self, transaction: Transaction, record: Reservation | Lease, now_s: int) -> str:
        if isinstance(record, Lease):
            return self._lease(transaction, record, now_s)
        state = record.state
        if state is ReservationState.PAYMENT_PENDING:
            return self._unpaid(transaction, record)
        if state is ReservationState.SCHEDULED:
            if now_s < record.start_s:
                return self._make_room(transaction, record)
            return self._start(transaction, record, now_s)
        if record.end_s is not None and now_s >= record.end_s:
            return self._expire(transaction, record)
        if state is ReservationState.UNAVAILABLE and now_s >= record.retry_s:
            return self._repair(transaction, record, now_s)
        if record.block is None:
            self._promises.bill(transaction, record, now_s)
            return f"{record.id} billed"
        return self._tell_end(transaction, record)

    def _lease(self, transaction: Transaction, lease: Lease, now_s: int) -> str:
        if lease.state is LeaseState.ENDING:
            ended = self._desk.close(transaction, lease, lease.reason or EndReason.PREEMPTED)
        elif lease.until_s is not None and now_s >= lease.until_s:
            ended = self._desk.close(transaction, lease, _why_over(lease))
        else:
            lease = self._desk.bill(transaction, lease, now_s)
            if self._desk.can_pay(lease, transaction.now_ms):
                return f"{lease.id} billed"
            ends_s = now_s + NOTICE_S
            self._desk.give_notice(transaction, lease, EndReason.OUT_OF_BUDGET, ends_s)
            return f"{lease.id} was given notice: {EndReason.OUT_OF_BUDGET}"
        return f"{ended.id} ended: {ended.reason}"

    def _unpaid(self, transaction: Transaction, reservation: Reservation) -> str:
        failed = self._promises.not_paid(transaction, reservation)
        return f"{failed.id} was not paid in time"

    def _make_room(self, transaction: Transaction, reservation: Reservation) -> str:
        """Before a start: give notice to what is in its way and may be interrupted."""
        book = self.fleet.book(reservation.pool)
        ready = msgspec.structs.replace(reservation, is_room_made=True)
        self.fleet.put(transaction, ready)
        rivals = self._room.in_the_way(book, reservation.units, reservation.start_s)
        told = [
            self._desk.give_notice(
                transaction, self.fleet.leases[id], EndReason.PREEMPTED, reservation.start_s
            ).id
            for id in rivals
        ]
        return f"{reservation.id} starts soon: notice to {', '.join(told)}" if told else ""

    def _start(self, transaction: Transaction, reservation: Reservation, now_s: int) -> str:
        """Bind a promise to hosts; what may be interrupted there ends now."""
        if reservation.end_s is not None and now_s >= reservation.end_s:
            return self._missed(transaction, reservation, reservation.end_s)
        book = self.fleet.book(reservation.pool)
        if choose_hosts(book, reservation.units) is None:
            self._losses.displace(transaction, book, reservation.units)
        hosts = self._losses.give(transaction, book, reservation.units, reservation.end_s)
        missing = reservation.units - len(hosts) // reservation.hosts_per_unit
        late_s = now_s - reservation.start_s
        started = msgspec.structs.replace(
            reservation,
            hosts=tuple(hosts.tolist()),
            short_s=late_s * reservation.units if late_s >= LATE_S else 0,
        )
        if missing:
            short = self._losses.short(started.to(ReservationState.UNAVAILABLE), missing, now_s)
            self.fleet.put(transaction, short)
            return f"{short.id} lacks {missing} of {short.units} units"
        self.fleet.put(transaction, started.to(ReservationState.ACTIVE))
        return f"{started.id} started on {len(hosts)} hosts"

    def _missed(self, transaction: Transaction, reservation: Reservation, end_s: int) -> str:
        """Nobody was there to start it before it was over: all of it is credited."""
        missed = msgspec.structs.replace(
            reservation.to(ReservationState.UNAVAILABLE),
            short_units=reservation.units,
            short_since_s=reservation.start_s,
            retry_s=end_s,
        )
        self.fleet.put(transaction, missed)
        return f"{missed.id} was over before it could start"

    def _repair(self, transaction: Transaction, reservation: Reservation, now_s: int) -> str:
        """Look for hosts in the place of those that are missing."""
        book = self.fleet.book(reservation.pool)
        # What it had until now is paid until now.
        reservation = self._promises.bill(transaction, reservation, now_s)
        found = self._losses.give(transaction, book, reservation.short_units, reservation.end_s)
        missing = reservation.short_units - len(found) // reservation.hosts_per_unit
        hosts = tuple(sorted((*reservation.hosts, *found.tolist())))
        counted = self._losses.short(
            msgspec.structs.replace(reservation, hosts=hosts), missing, now_s
        )
        if missing:
            self.fleet.put(transaction, counted)
            return f"{counted.id} lacks {missing} of {counted.units} units" if len(found) else ""
        whole = msgspec.structs.replace(counted.to(ReservationState.ACTIVE), short_since_s=0)
        self.fleet.put(transaction, whole)
        return f"{whole.id} is whole again"

    def _tell_end(self, transaction: Transaction, reservation: Reservation) -> str:
        """40 minutes before its end: what runs in a block gets notice of when it is taken down."""
        assert reservation.end_s is not None, "a block has an end"
        told = msgspec.structs.replace(reservation, is_end_told=True)
        self.fleet.put(transaction, told)
        is_ultra = self.fleet.book(reservation.pool).plan.ultraserver is not None
        clear_s = terms.clear_at(reservation.end_s, is_ultraserver=is_ultra)
        now_s = transaction.now_ms // 1000
        for lease in self.fleet.leases_in(reservation.id):
            self._desk.give_notice(
                transaction, lease, EndReason.RESERVATION_ENDED, max(now_s, clear_s)
            )
        return f"{reservation.id} ends at {reservation.end_s}: its leases were given notice"

    def _expire(self, transaction: Transaction, reservation: Reservation) -> str:
        for lease in self.fleet.leases_in(reservation.id):
            self._desk.close(transaction, lease, EndReason.RESERVATION_ENDED)
        # Closing them counted what they used into the reservation.
        reservation = self.fleet.reservations[reservation.id]
        if reservation.short_units:
            assert reservation.end_s is not None, "it has come to its end"
            missed = reservation.short_units * (reservation.end_s - reservation.short_since_s)
            reservation = msgspec.structs.replace(
                reservation, short_s=reservation.short_s + missed, short_units=0
            )
            self.fleet.put(transaction, reservation)
        self._credit(transaction, reservation)
        closed = self._promises.close(transaction, reservation, ReservationState.EXPIRED)
        return f"{closed.id} expired"

    def _credit(self, transaction: Transaction, reservation: Reservation) -> None:
        """Give back what was paid for units that couldn't be given: that part of what was paid."""
        if not reservation.short_s or reservation.block is None or reservation.commitment:
            return
        book = self.fleet.book(reservation.pool)
        resource = book.plan.type.name
        assert reservation.end_s is not None, "a block has an end"
        promised_s = reservation.units * (reservation.end_s - reservation.start_s)
        amount = reservation.amount_nanos * min(reservation.short_s, promised_s) // promised_s
        self._charges.credit(transaction, reservation, resource, amount, reservation.currency)

    def _let_in(self, transaction: Transaction) -> list[str]:
        """Let those who wait have what became free, and make room for who comes first."""
        waiting = self.fleet.waiting()
        if self.fleet.freed:
            transaction.undo.append(self._still_freed)
        self.fleet.freed = False
        if not waiting:
            return []
        events: list[str] = []
        for lease in self._shares.queue(waiting):
            granted = self._desk.admit(transaction, lease)
            if granted is None:
                self._desk.make_room(transaction, lease)
            elif granted.state is LeaseState.ENDED:
                events.append(f"{granted.id} ended: {granted.reason}")
            else:
                events.append(f"{granted.id} started on {len(granted.hosts)} hosts")
        return events

    def _still_freed(self) -> None:
        self.fleet.freed = True
