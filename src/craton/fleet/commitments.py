"""Commitments: contracts over years, with deliveries, take-or-pay, and a bill each month.

Signing keeps the fleet's units for each delivery. Use burns a commitment down as it is counted: it
costs nothing then. When a calendar month is over one command posts what it was worth: what is due
whether used or not, what was used besides, what is given back since it couldn't be delivered.
"""

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from craton.economics.ledger import Ledger
from craton.fleet.calendar import FOREVER_S
from craton.fleet.charges import Charges, Payer
from craton.fleet.commitment_capacity import Capacity, check_exclusive, enforce
from craton.fleet.commitment_contract import FindCapacity, SignCommitment, TerminateCommitment
from craton.fleet.commitment_file import read_contract
from craton.fleet.commitment_postings import Postings, measured
from craton.fleet.commitment_records import (
    COMMITMENT_MONTHS,
    COMMITMENT_USES,
    COMMITMENTS,
    RUNNING,
    Commitment,
    CommitmentMonth,
    CommitmentState,
    CommitmentUse,
    Part,
)
from craton.fleet.commitment_terms import (
    PERMILLE,
    Above,
    Bill,
    Counted,
    Period,
    Terms,
    Unit,
    amounts,
    banked_after,
    bill,
    periods,
    quantities,
)
from craton.fleet.fleet import Fleet
from craton.fleet.instance_types import InstanceTypes
from craton.fleet.leases import LeaseDesk
from craton.fleet.records import Lease, LeaseKind, LeaseState
from craton.fleet.reservations import Promises
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.store.database import Connection
from craton.store.documents import Transaction, everything
from craton.store.kind import Kind
from craton.store.undo import Undo, take_back

NOTHING = CommitmentUse()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A contract's months, and what each promises and is worth."""

    terms: Terms
    months: tuple[Period, ...]
    quantities: tuple[int, ...]
    amounts: tuple[int, ...]


def schedule_of(terms: Terms) -> Schedule:
    """Lay a contract out in months."""
    months = periods(terms.start_s, terms.end_s)
    return Schedule(terms, months, tuple(quantities(terms, months)), tuple(amounts(terms, months)))


class CommitmentDesk:
    """The commands on commitments, and what becomes of them by themselves."""

    def __init__(
        self,
        fleet: Fleet,
        promises: Promises,
        leases: LeaseDesk,
        charges: Charges,
        *,
        ledger: Ledger,
        types: InstanceTypes,
    ) -> None:
        self._fleet = fleet
        self._promises = promises
        self._leases = leases
        self._types = types
        self._postings = Postings(ledger, charges)
        self.capacity = Capacity(fleet, promises, leases)
        self.records: dict[str, Commitment] = {}
        self.uses: dict[str, CommitmentUse] = {}
        self.months: dict[str, tuple[CommitmentMonth, ...]] = {}
        self._schedules: dict[str, Schedule] = {}
        charges.coverage = self

    def load(self, connection: Connection) -> None:
        """Read every commitment, its months and its use; after the fleet."""
        for commitment in _read(connection, COMMITMENTS):
            self.records[commitment.id] = commitment
        for month in _read(connection, COMMITMENT_MONTHS):
            before = self.months.get(month.commitment, ())
            self.months[month.commitment] = (*before, month)
        for change in everything(connection, COMMITMENT_USES.name):
            if change.body is not None:
                self.uses[change.id] = COMMITMENT_USES.decode(change.body)
        self.enforce([])

    def schedule(self, id: str) -> Schedule:
        """The months of a commitment."""
        found = self._schedules.get(id)
        if found is None:
            terms = read_contract(self.records[id].text, self._types)
            found = self._schedules[id] = schedule_of(terms)
        return found

    def find(self, id: str, account: str | None = None) -> Commitment:
        """The commitment of an id or a name; NotFound if there is none, or it is another's."""
        mine = [each for each in self.records.values() if account in (None, each.account)]
        found = next((each for each in mine if id in (each.id, each.name)), None)
        if found is None:
            raise NotFound(
                f"There is no commitment {id[:60]!r} here. `craton commitments list` shows yours."
            )
        return found

    def enforce(self, undo: Undo) -> None:
        """Let nobody else into pools that a running commitment has for itself."""
        owners: dict[str, str] = {}
        for each in self._running():
            names = self.schedule(each.id).terms.exclusive
            for key, book in self._fleet.books.items():
                if key in names or book.plan.zone in names:
                    owners[key] = each.account
        enforce(self._fleet, owners, undo)

    def sign(self, transaction: Transaction, command: SignCommitment) -> Commitment:
        """Put a contract in force. The same text for the same account is the same commitment."""
        terms = read_contract(command.text, self._types)
        for each in self.records.values():
            if (each.account, each.name) == (command.account, terms.name):
                if each.text == command.text:
                    return each
                raise Conflict(
                    f"{command.account} has a commitment {terms.name!r} already ({each.id}), with "
                    "another text. Give this one another name."
                )
        commitment = self._new(command, terms, transaction.now_ms)
        found = self._search(commitment, terms, transaction.now_ms // 1000, transaction.undo)
        commitment = self.capacity.keep(transaction, commitment, found, terms.currency)
        transaction.add(
            COMMITMENTS,
            commitment.id,
            commitment,
            account=commitment.account,
            name=commitment.name,
        )
        transaction.add(
            COMMITMENT_USES,
            commitment.id,
            NOTHING,
            account=commitment.account,
            name=commitment.id,
        )
        _keep(self.records, commitment.id, commitment, transaction.undo)
        self.enforce(transaction.undo)
        return commitment

    def sketch(self, command: SignCommitment, now_ms: int) -> tuple[Commitment, Schedule]:
        """What signing would make; nothing is kept."""
        terms = read_contract(command.text, self._types)
        commitment = self._new(command, terms, now_ms)
        undo: Undo = []
        try:
            found = self._search(commitment, terms, now_ms // 1000, undo)
        finally:
            take_back(undo)
        return msgspec.structs.replace(commitment, parts=tuple(found)), schedule_of(terms)

    def _new(self, command: SignCommitment, terms: Terms, now_ms: int) -> Commitment:
        if terms.start_s + 86_400 <= now_ms // 1000:
            raise BadRequest(
                "The term began before today. Let it begin today or later: months that are over "
                "can't be delivered any more."
            )
        return Commitment(
            id=self._promises.new_id("cmt-"),
            account=command.account,
            project="",
            principal=command.principal,
            name=terms.name,
            text=command.text,
            state=CommitmentState.SIGNED,
            signed_ms=now_ms,
        )

    def _search(self, commitment: Commitment, terms: Terms, now_s: int, undo: Undo) -> list[Part]:
        check_exclusive(self._fleet, terms.exclusive, commitment.account)
        return self.capacity.search(terms, commitment.account, (), now_s, undo)

    def find_capacity(self, transaction: Transaction, command: FindCapacity) -> Commitment:
        """Keep units for what is missing, as far as the fleet has room by now."""
        commitment = self.find(command.id)
        if commitment.state not in RUNNING:
            raise Conflict(f"{commitment.id} is {commitment.state}; nothing is delivered any more.")
        return self._find_more(transaction, commitment)

    def _find_more(self, transaction: Transaction, commitment: Commitment) -> Commitment:
        terms = self.schedule(commitment.id).terms
        now_s = transaction.now_ms // 1000
        found = self.capacity.search(
            terms, commitment.account, commitment.parts, now_s, transaction.undo
        )
        if not found:
            return commitment
        return self._put(
            transaction, self.capacity.keep(transaction, commitment, found, terms.currency)
        )

    def terminate(self, transaction: Transaction, command: TerminateCommitment) -> Commitment:
        """End a contract now: bill its last part of a month, and its fee; let go of what it has."""
        commitment = self.find(command.id)
        if commitment.state is CommitmentState.TERMINATED:
            return commitment
        now_s = transaction.now_ms // 1000
        while (due_s := self._due_s(commitment)) is not None and due_s <= now_s:
            self._step(transaction, commitment)
            commitment = self.records[commitment.id]
        ended = commitment.to(CommitmentState.TERMINATED)
        schedule = self.schedule(commitment.id)
        at = commitment.posted
        last = schedule.months[at]
        rest = sum(schedule.amounts[at:])
        if commitment.state is CommitmentState.ACTIVE and now_s > last.start_s:
            cut = Period(last.key, last.start_s, now_s, last.month_s)
            commitment = self._post(transaction, commitment, cut)
            rest -= self.months[commitment.id][-1].amount
        else:
            cut = Period(f"{last.key}/end", now_s, now_s, last.month_s)
        terms = schedule.terms
        fee = rest * terms.take_or_pay_permille * terms.termination_permille // PERMILLE**2
        fees = self._postings.fee(transaction, commitment, cut, fee, terms.currency)
        self.capacity.release(transaction, commitment)
        ended = msgspec.structs.replace(
            commitment, state=ended.state, ended_s=now_s, fees_nanos=fees, banked=0
        )
        self._put(transaction, ended)
        self.enforce(transaction.undo)
        return ended

    def cover(
        self, transaction: Transaction, payer: Payer, chips: int, from_s: int, until_s: int
    ) -> int:
        """Count use that burns a commitment down; for how many seconds one covers it."""
        found = self._covering(payer)
        if found is None:
            return 0
        commitment, windows = found
        schedule = self.schedule(commitment.id)
        first_s, last_s = windows
        begin_s = max(from_s, first_s, schedule.months[commitment.posted].start_s)
        end_s = min(until_s, last_s, schedule.terms.end_s)
        if begin_s >= end_s:
            return 0
        months = dict(self.uses.get(commitment.id, NOTHING).months)
        for month in schedule.months[commitment.posted :]:
            overlap_s = min(end_s, month.end_s) - max(begin_s, month.start_s)
            if overlap_s > 0:
                pools = dict(months.get(month.key, {}))
                pools[payer.pool] = pools.get(payer.pool, 0) + chips * overlap_s
                months[month.key] = pools
        self._put_use(transaction, commitment.id, CommitmentUse(months))
        return end_s - begin_s

    def is_refused(self, account: str, pool: str) -> bool:
        """Whether an account has no right to more of a pool than it is committed to."""
        return any(
            each.account == account
            and each.state is CommitmentState.ACTIVE
            and self.schedule(each.id).terms.above is Above.REFUSED
            and any(part.pool == pool for part in each.parts)
            for each in self._running()
        )

    def _covering(self, payer: Payer) -> tuple[Commitment, tuple[int, int]] | None:
        """The commitment that use counts for, and from when to when it may."""
        if isinstance(payer, Lease) and payer.reservation is not None:
            inside = self._fleet.reservations.get(payer.reservation)
            found = self.records.get(inside.commitment or "") if inside is not None else None
            return (found, (0, FOREVER_S)) if found is not None and found.state in RUNNING else None
        if isinstance(payer, Lease) and payer.kind is not LeaseKind.ON_DEMAND:
            return None
        for each in self._running():
            mine = [part for part in each.parts if part.pool == payer.pool]
            if each.account == payer.account and mine:
                window = min(part.start_s for part in mine), max(part.end_s for part in mine)
                return each, window
        return None

    def _running(self) -> list[Commitment]:
        return [each for each in self.records.values() if each.state in RUNNING]

    def next_s(self) -> int | None:
        """When something is due next; None: not by time."""
        found = [self._due_s(each) for each in self._running()]
        return min((each for each in found if each is not None), default=None)

    def _due_s(self, commitment: Commitment) -> int | None:
        if commitment.state not in RUNNING:
            return None
        schedule = self.schedule(commitment.id)
        if commitment.state is CommitmentState.SIGNED:
            return schedule.terms.start_s
        return schedule.months[commitment.posted].end_s

    def advance(self, transaction: Transaction) -> list[str]:
        """Begin terms, and post the months that are over, however many."""
        now_s = transaction.now_ms // 1000
        events: list[str] = []
        while True:
            due = [
                (at_s, each.id)
                for each in self._running()
                if (at_s := self._due_s(each)) is not None and at_s <= now_s
            ]
            if not due:
                return events
            events.append(self._step(transaction, self.records[min(due)[1]]))

    def _step(self, transaction: Transaction, commitment: Commitment) -> str:
        """Do the one thing that a commitment wants next."""
        if commitment.state is CommitmentState.SIGNED:
            begun = self._put(transaction, commitment.to(CommitmentState.ACTIVE))
            self._find_more(transaction, begun)
            return f"{commitment.id} began"
        schedule = self.schedule(commitment.id)
        month = schedule.months[commitment.posted]
        posted = self._post(transaction, commitment, month)
        if posted.posted < len(schedule.months):
            self._find_more(transaction, posted)
            return f"{commitment.id} posted {month.key}"
        self._put(transaction, posted.to(CommitmentState.COMPLETED))
        self.enforce(transaction.undo)
        return f"{commitment.id} posted {month.key} and is completed"

    def _post(self, transaction: Transaction, commitment: Commitment, month: Period) -> Commitment:
        """Post a month that is over, or the part of it that is."""
        self._count_running(transaction, commitment)
        commitment = self.records[commitment.id]
        schedule = self.schedule(commitment.id)
        terms, at = schedule.terms, commitment.posted
        used = self.uses.get(commitment.id, NOTHING).months.get(month.key, {})
        weights = measured(terms.unit, used, commitment.parts)
        delivered = self.capacity.counted(terms, commitment.parts, month)
        whole = schedule.months[at]
        committed, amount = schedule.quantities[at], schedule.amounts[at]
        if month.end_s < whole.end_s:
            part = quantities(terms, (month,))[0]
            committed, amount = part, amount * part // committed if committed else 0
        counted = Counted(
            amount, committed, delivered.quantity, sum(weights.values()), commitment.banked
        )
        made = bill(counted, terms.take_or_pay_permille)
        following = schedule.months[at + 1] if at + 1 < len(schedule.months) else None
        types = {each.pool: each.instance_type for each in commitment.parts}
        at_ms = month.end_s * 1000 - 1
        above = self._postings.above(used, weights, made.over, types, at_ms)
        record = _month(commitment.id, month, counted, made, transaction.now_ms)
        banked = banked_after(counted, made, terms.rolls_over, whole, following)
        record = msgspec.structs.replace(record, above=above, banked=banked)
        name = f"{commitment.id}/{month.key}"
        transaction.add(COMMITMENT_MONTHS, name, record, account=commitment.account, name=name)
        self._postings.month(
            transaction,
            commitment,
            month,
            made,
            currency=terms.currency,
            committed_chip_s=_chip_seconds(terms, commitment.parts, month, committed),
            above=above,
        )
        before = self.months.get(commitment.id, ())
        _keep(self.months, commitment.id, (*before, record), transaction.undo)
        left = {key: pools for key, pools in self._use(commitment.id) if key != month.key}
        self._put_use(transaction, commitment.id, CommitmentUse(left))
        return self._put(
            transaction,
            msgspec.structs.replace(
                commitment, parts=delivered.parts, posted=at + 1, banked=banked
            ),
        )

    def _use(self, id: str) -> list[tuple[str, dict[str, int]]]:
        return list(self.uses.get(id, NOTHING).months.items())

    def _count_running(self, transaction: Transaction, commitment: Commitment) -> None:
        """Bill what runs now, so that a month's use is complete before it is posted."""
        now_s = transaction.now_ms // 1000
        for lease in list(self._fleet.leases.values()):
            is_on = lease.state in (LeaseState.ACTIVE, LeaseState.ENDING)
            if is_on and self._is_for(lease, commitment):
                # Last undone, after the lease is as it was: then it is due when it was.
                transaction.undo.append(partial(self._fleet.on_entered, lease))
                self._leases.bill(transaction, lease, now_s)
        for reservation in self._fleet.active_reservations():
            if reservation.block is None and self._is_for(reservation, commitment):
                transaction.undo.append(partial(self._fleet.on_entered, reservation))
                self._promises.bill(transaction, reservation, now_s)

    def _is_for(self, payer: Payer, commitment: Commitment) -> bool:
        found = self._covering(payer)
        return found is not None and found[0].id == commitment.id

    def _put(self, transaction: Transaction, commitment: Commitment) -> Commitment:
        transaction.put(COMMITMENTS, commitment.id, commitment)
        _keep(self.records, commitment.id, commitment, transaction.undo)
        return commitment

    def _put_use(self, transaction: Transaction, id: str, use: CommitmentUse) -> None:
        transaction.put(COMMITMENT_USES, id, use)
        _keep(self.uses, id, use, transaction.undo)


def _month(id: str, month: Period, counted: Counted, made: Bill, now_ms: int) -> CommitmentMonth:
    return CommitmentMonth(
        commitment=id,
        month=month.key,
        start_s=month.start_s,
        end_s=month.end_s,
        posted_ms=now_ms,
        amount=counted.amount,
        due=made.due,
        credit=made.credit,
        extra=made.extra,
        above={},
        committed=counted.committed,
        delivered=counted.delivered,
        used=counted.used,
        drawn=made.drawn,
        over=made.over,
        banked=0,
    )


def _chip_seconds(terms: Terms, parts: tuple[Part, ...], month: Period, committed: int) -> int:
    """The chip-seconds that a month promised: of megawatts, those of the chips kept for them."""
    if terms.unit is not Unit.MEGAWATTS:
        return committed
    return sum(
        part.units
        * part.unit_chips
        * max(0, min(part.end_s, month.end_s) - max(part.start_s, month.start_s))
        for part in parts
    )


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Body = TypeVar("_Body", bound=msgspec.Struct)


def _keep(table: dict[_Key, _Value], key: _Key, value: _Value, undo: Undo) -> None:
    """Write into a table, and note how to take it back."""
    if key in table:
        undo.append(partial(table.__setitem__, key, table[key]))
    else:
        undo.append(partial(_drop, table, key))
    table[key] = value


def _drop(table: dict[_Key, _Value], key: _Key) -> None:
    table.pop(key, None)


def _read(connection: Connection, kind: Kind[_Body]) -> list[_Body]:
    return [
        kind.decode(change.body)
        for change in everything(connection, kind.name)
        if change.body is not None
    ]
