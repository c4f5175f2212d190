"""What the fleet keeps for a commitment: units of pools, for years, each promised as a block is.

A delivery's capacity is kept in blocks that cost nothing themselves: they start, get their hosts,
are moved when hosts break and count what is missing, as bought ones do. What the fleet can't hold
isn't promised to anybody: it is shown as missing, and looked for again each month.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from craton.fleet.commitment_records import Commitment, Part
from craton.fleet.commitment_terms import Delivery, Period, Terms, Unit, quantity
from craton.fleet.fleet import Fleet
from craton.fleet.fleet_file import DriverKind
from craton.fleet.inventory import PoolPlan
from craton.fleet.leases import LeaseDesk
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import (
    PROMISING,
    EndReason,
    Reservation,
    ReservationKind,
    ReservationState,
)
from craton.fleet.reservations import Promises
from craton.kernel.errors import Conflict, NotFound
from craton.store.documents import Transaction
from craton.store.undo import Undo

HOSTS_PER_BLOCK_MAX = 4096
"""More are kept as several blocks, so that no record of one grows without bound."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What of a delivery isn't kept: chips, or watts; and why."""

    amount: int
    reason: str


def wanted(unit: Unit, delivery: Delivery) -> int:
    """The chips, or the watts, that a delivery needs all of its time."""
    if unit is Unit.CHIP_HOURS:
        return -(-delivery.amount // (delivery.end_s - delivery.start_s))
    return delivery.amount


def weight(unit: Unit, part: Part) -> int:
    """The chips, or the watts, of one of a part's units."""
    return part.unit_w if unit is Unit.MEGAWATTS else part.unit_chips


class Capacity:
    """Keeps units for commitments, and lets them go."""

    def __init__(self, fleet: Fleet, promises: Promises, desk: LeaseDesk) -> None:
        self._fleet = fleet
        self._promises = promises
        self._desk = desk

    def pools(self, delivery: Delivery, account: str) -> list[PoolBook]:
        """The pools that a delivery may come from: an account's own first, then as named."""
        found: list[tuple[bool, int, str]] = []
        for key, book in self._fleet.books.items():
            plan = book.plan
            names = (plan.type.chip, plan.type.name, plan.ultraserver)
            ranks = [at for at, name in enumerate(delivery.of) if name in names]
            if ranks and plan.exclusive_to in (None, account):
                found.append((plan.exclusive_to is None, ranks[0], key))
        return [self._fleet.books[key] for _, _, key in sorted(found)]

    def search(
        self, terms: Terms, account: str, parts: Iterable[Part], now_s: int, undo: Undo
    ) -> list[Part]:
        """Promise in the calendars what is missing of each delivery, as far as they have room."""
        found: list[Part] = []
        for at, delivery in enumerate(terms.deliveries):
            if delivery.end_s <= now_s:
                continue
            missing = wanted(terms.unit, delivery) - self._kept(terms, parts, at)
            start_s = max(now_s, delivery.start_s)
            for book in self.pools(delivery, account):
                whole = self._part(book, at, start_s, delivery.end_s)
                each = weight(terms.unit, whole)
                if missing <= 0 or not each:
                    continue
                units = min(-(-missing // each), book.free(start_s, delivery.end_s))
                missing -= units * each
                most = max(1, HOSTS_PER_BLOCK_MAX // book.plan.hosts_per_unit)
                for first in range(0, units, most):
                    part = msgspec.structs.replace(whole, units=min(most, units - first))
                    book.promise(start_s, delivery.end_s, part.units, undo)
                    found.append(part)
        return found

    @staticmethod
    def _part(book: PoolBook, delivery: int, start_s: int, end_s: int) -> Part:
        plan = book.plan
        return Part(
            delivery=delivery,
            reservation="",
            pool=plan.key,
            instance_type=plan.type.name,
            units=0,
            start_s=start_s,
            end_s=end_s,
            unit_chips=plan.hosts_per_unit * plan.type.chips,
            host_chips=plan.type.chips,
            host_w=plan.draw_w or 0,
            is_simulated=plan.driver is DriverKind.SIMULATED,
        )

    def keep(
        self, transaction: Transaction, commitment: Commitment, found: list[Part], currency: str
    ) -> Commitment:
        """Make a block of each part whose units are promised."""
        parts = [
            msgspec.structs.replace(
                part, reservation=self._block(transaction, commitment, part, currency)
            )
            for part in found
        ]
        return msgspec.structs.replace(commitment, parts=(*commitment.parts, *parts))

    def _block(
        self, transaction: Transaction, commitment: Commitment, part: Part, currency: str
    ) -> str:
        reservation = Reservation(
            id=self._promises.new_id("cr-"),
            kind=ReservationKind.BLOCK,
            account=commitment.account,
            project=commitment.project,
            principal=commitment.principal,
            pool=part.pool,
            units=part.units,
            hosts_per_unit=part.unit_chips // part.host_chips,
            chips_per_host=part.host_chips,
            start_s=part.start_s,
            end_s=part.end_s,
            state=ReservationState.SCHEDULED,
            created_ms=transaction.now_ms,
            currency=currency,
            block=self._promises.new_id("cb-"),
            commitment=commitment.id,
        )
        return self._fleet.add(transaction, reservation).id

    def _kept(self, terms: Terms, parts: Iterable[Part], delivery: int) -> int:
        return sum(
            part.units * weight(terms.unit, part)
            for part in parts
            if part.delivery == delivery and self._is_promised(part)
        )

    def _is_promised(self, part: Part) -> bool:
        if not part.reservation:
            return True
        found = self._fleet.reservations.get(part.reservation)
        return found is not None and found.state in PROMISING

    def missing(
        self, terms: Terms, account: str, parts: Iterable[Part], now_s: int
    ) -> dict[int, Missing]:
        """What isn't kept of the deliveries that aren't over, by delivery."""
        found: dict[int, Missing] = {}
        for at, delivery in enumerate(terms.deliveries):
            rest = wanted(terms.unit, delivery) - self._kept(terms, parts, at)
            if rest > 0 and delivery.end_s > now_s:
                found[at] = Missing(rest, self._why(terms.unit, delivery, account))
        return found

    def _why(self, unit: Unit, delivery: Delivery, account: str) -> str:
        books = self.pools(delivery, account)
        named = " or ".join(delivery.of)
        if not books:
            return f"no pool that the account may use has {named}"
        silent = [book.plan.key for book in books if not book.plan.draw_w]
        if unit is Unit.MEGAWATTS and silent:
            return f"nobody says what {', '.join(silent)} draws: write draw_w in the fleet file"
        keys = ", ".join(book.plan.key for book in books)
        return f"{keys} has no more units free for all of that time"

    def release(self, transaction: Transaction, commitment: Commitment) -> None:
        """Let go of everything that is kept from now on; what runs there ends."""
        now_s = transaction.now_ms // 1000
        for part in commitment.parts:
            found = self._fleet.reservations.get(part.reservation)
            if found is None or found.state not in PROMISING:
                continue
            for lease in self._fleet.leases_in(found.id):
                self._desk.close(transaction, lease, EndReason.RESERVATION_ENDED)
            found = self._fleet.reservations[found.id]
            if found.state is ReservationState.SCHEDULED:
                self._promises.close(transaction, found, ReservationState.CANCELLED)
                continue
            over = self._promises.close(transaction, found, ReservationState.EXPIRED)
            self._fleet.put(transaction, msgspec.structs.replace(over, end_s=now_s))

    def broken_units(self, parts: Iterable[Part], delivery: int) -> int:
        """Units that are kept for a delivery and can't be given now."""
        return sum(
            self._fleet.reservations[part.reservation].short_units
            for part in parts
            if part.delivery == delivery and part.reservation in self._fleet.reservations
        )

    def counted(self, terms: Terms, parts: tuple[Part, ...], month: Period) -> "Delivered":
        """The quantity that was given in a month, and the parts with what was missing noted."""
        given = [0] * len(terms.deliveries)
        noted: list[Part] = []
        for part in parts:
            short_s = self._short_s(part, month.end_s)
            overlap_s = max(0, min(part.end_s, month.end_s) - max(part.start_s, month.start_s))
            unit_s = max(0, part.units * overlap_s - (short_s - part.short_s))
            given[part.delivery] += unit_s * weight(terms.unit, part)
            noted.append(msgspec.structs.replace(part, short_s=short_s))
        total = sum(
            min(held, quantity(terms.unit, delivery, month.start_s, month.end_s))
            for held, delivery in zip(given, terms.deliveries, strict=True)
        )
        return Delivered(total, tuple(noted))

    def _short_s(self, part: Part, until_s: int) -> int:
        """Unit-seconds of a part that couldn't be given until a moment."""
        found = self._fleet.reservations.get(part.reservation)
        if found is None:
            return part.units * max(0, min(until_s, part.end_s) - part.start_s)
        if found.state is ReservationState.SCHEDULED:  # nobody was there to begin it
            return part.units * max(0, min(until_s, part.end_s) - part.start_s)
        if not found.short_units:
            return found.short_s
        since_s = max(0, min(until_s, part.end_s) - found.short_since_s)
        return found.short_s + found.short_units * since_s


@dataclass(frozen=True, slots=True)
class Delivered:
    """The quantity that was given in a month, and the parts as they are after it."""

    quantity: int
    parts: tuple[Part, ...]


def exclusive_pools(fleet: Fleet, names: Iterable[str]) -> list[str]:
    """The pools of some zones, or of some names; NotFound for one that isn't there."""
    found: list[str] = []
    for name in names:
        keys = [key for key, book in fleet.books.items() if name in (key, book.plan.zone)]
        if not keys:
            raise NotFound(
                f"The contract is exclusive in {name!r}, which is no site or pool of the fleet. "
                f"There are {', '.join(fleet.books)}."
            )
        found += keys
    return found


def check_exclusive(fleet: Fleet, names: Iterable[str], account: str) -> None:
    """Conflict if somebody else holds something, or is promised it, where nobody else may."""
    for key in exclusive_pools(fleet, names):
        owner = fleet.books[key].plan.exclusive_to
        if owner not in (None, account):
            raise Conflict(f"{key} is kept for {owner} alone. Leave it out of `exclusive`.")
        holders = [
            each.id
            for each in (*fleet.reservations.values(), *fleet.leases.values())
            if each.pool == key
            and each.account != account
            and (not isinstance(each, Reservation) or each.state in PROMISING)
        ]
        if holders:
            more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
            raise Conflict(
                f"{key} can't be kept for {account} alone: {', '.join(holders[:3])}{more} of other "
                "accounts are there. Wait for them to end, or leave it out of `exclusive`."
            )


def enforce(fleet: Fleet, owners: Mapping[str, str], undo: Undo) -> None:
    """Let each pool be used by the account that `owners` names, or else as the fleet file says."""
    for key, book in fleet.books.items():
        plan, before = fleet.inventory.by_key[key], book.plan
        after = replace(plan, exclusive_to=owners.get(key, plan.exclusive_to))
        if after.exclusive_to != before.exclusive_to:
            book.plan = after
            undo.append(_planned(book, before))


def _planned(book: PoolBook, plan: PoolPlan) -> Callable[[], None]:
    def back() -> None:
        book.plan = plan

    return back
