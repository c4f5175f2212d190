"""Blocks that could be bought, searched in the calendars, and the ids that carry them.

An offer isn't kept: its id holds all of it, sealed with a key of the state process, so any number
can be made, and one that was made before a restart is still good. Buying looks at the calendar
again; what was sold meanwhile is refused then.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from craton.economics.meters import Meter
from craton.fleet import terms
from craton.fleet.charges import Charges
from craton.fleet.contract import Offer, Offers, SearchExtensions, SearchOffers
from craton.fleet.fleet import Fleet
from craton.fleet.fleet_file import DriverKind
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import Reservation, ReservationState
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest, NotFound
from craton.store.body import packed, unpacked

PER_POOL_MAX = 3
START_DELAY_S = 300
"""A block that starts at once starts so much later: time to buy it, and then for `NOTICE_S`."""
NOTICE_S = 120
"""How long what may be interrupted has to save its work."""
GOOD_FOR_S = 600
"""How long an offer's price holds."""
_PREFIX = "cbo-"
_SEAL_BYTES = 12


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What an offer's id holds."""

    account: str
    pool: str
    units: int
    start_s: int
    end_s: int
    amount_nanos: int
    currency: str
    made_s: int
    extends: str | None = None
    number: int = 0
    """Of no other offer: who searches twice and buys twice gets two blocks."""


class OfferDesk:
    """Searches the calendars of a fleet."""

    def __init__(self, fleet: Fleet, charges: Charges, clock: Clock, key: bytes) -> None:
        self.fleet = fleet
        self._charges = charges
        self._clock = clock
        self._key = key
        # Searching takes longer than a nanosecond: no number is used again after a restart.
        self._last_number = clock.now_ns()

    def search(self, query: SearchOffers) -> Offers:
        """The earliest blocks of a size, up to three a pool; InvalidParameterValue explains."""
        terms.check_duration(query.hours)
        books = self._books(query)
        now_s = self._now_s()
        found: list[Offer] = []
        for book in books:
            hosts = query.units * book.plan.hosts_per_unit
            if query.ultraserver is None:
                terms.check_count(hosts, "InstanceCount")
            elif query.units < 1:
                raise BadRequest(
                    f"UltraserverCount is {query.units}; ask for one or more.", code=terms.INVALID
                )
            account = query.owner.account
            found += [
                self._sealed(book, account, query.units, span, now_s, None)
                for span in self._spans(book, query, now_s)
            ]
        return Offers(sorted(found, key=lambda offer: (offer.start_s, offer.zone)))

    def search_extensions(self, query: SearchExtensions, reservation: Reservation) -> Offers:
        """What a block could be made longer by, from where it ends now."""
        terms.check_duration(query.hours, "CapacityBlockExtensionDurationHours")
        now_s = self._now_s()
        end_s = extendable(reservation, query.hours, now_s)
        book = self.fleet.book(reservation.pool)
        until_s = end_s + query.hours * terms.HOUR_S
        if book.free(end_s, until_s) < reservation.units:
            return Offers([])
        span = terms.Span(end_s, until_s)
        account = reservation.account
        return Offers([self._sealed(book, account, reservation.units, span, now_s, reservation.id)])

    def open(self, id: str, account: str) -> Sealed:
        """What an id holds; NotFound for one that wasn't made here, for this account, or is old."""
        sealed = self._unseal(id)
        if sealed is None or sealed.account != account:
            raise NotFound(
                f"The offering {id[:60]!r} does not exist. Search for offerings again.",
                code="InvalidCapacityBlockOfferingIdNotFound",
            )
        return sealed

    def is_stale(self, sealed: Sealed) -> bool:
        """Whether an offer's price holds no more, or notice can't be given before its start."""
        now_s = self._now_s()
        start_s = sealed.start_s - (NOTICE_S if sealed.extends is None else 0)
        return now_s > min(sealed.made_s + GOOD_FOR_S, start_s)

    def _now_s(self) -> int:
        return self._clock.now_ns() // 1_000_000_000

    def _books(self, query: SearchOffers) -> list[PoolBook]:
        if (query.instance_type is None) == (query.ultraserver is None):
            raise BadRequest(
                "Ask for InstanceType and InstanceCount, or for UltraserverType and "
                "UltraserverCount.",
                code="MissingParameter",
            )
        wanted = query.ultraserver or query.instance_type
        found = [
            book
            for book in self.fleet.books.values()
            if wanted == (book.plan.ultraserver or book.plan.type.name)
            and query.zone in (None, book.plan.zone)
            and book.plan.exclusive_to in (None, query.owner.account)
        ]
        if not found:
            sold = sorted(
                {b.plan.ultraserver or b.plan.type.name for b in self.fleet.books.values()}
            )
            raise BadRequest(
                f"Nothing here is a {wanted}{f' in {query.zone}' if query.zone else ''}. The fleet "
                f"has {', '.join(sold) or 'nothing'}.",
                code=terms.INVALID,
            )
        return found

    def _spans(self, book: PoolBook, query: SearchOffers, now_s: int) -> Iterator[terms.Span]:
        """When a pool could give it: at once, and at the next ends of a day."""
        earliest = max(now_s + START_DELAY_S, query.start_s or 0)
        latest_start = now_s + terms.AHEAD_MAX_S
        if earliest > latest_start:
            raise BadRequest(
                "StartDateRange begins more than eight weeks ahead; blocks start within eight.",
                code=terms.INVALID,
            )
        duration_s = query.hours * terms.HOUR_S
        last_end = latest_start + duration_s + terms.DAY_S
        end_s = min(query.end_s or last_end, last_end)
        if query.end_s is not None and query.end_s < earliest + duration_s:
            raise BadRequest(
                f"EndDateRange leaves less than {query.hours} hours after the earliest start. "
                "Give a later end, or a shorter duration.",
                code=terms.INVALID,
            )
        if query.units > book.units:
            return
        at_once = -(-earliest // 60) * 60
        most = PER_POOL_MAX
        if query.start_s is None or query.start_s <= now_s + START_DELAY_S:
            now = terms.Span(at_once, terms.end_after(at_once, query.hours))
            is_day_end = at_once % terms.DAY_S == terms.END_OF_DAY_S
            fits = now.end_s <= end_s and book.free(at_once, now.end_s) >= query.units
            if fits and not is_day_end:
                most -= 1
                yield now
        runs = book.runs(query.units, earliest, end_s)
        starts = runs.starts(
            duration_s, phase_s=terms.END_OF_DAY_S, period_s=terms.DAY_S, most=most
        )
        for start in starts:
            if start <= latest_start:
                yield terms.Span(start, start + duration_s)

    def _sealed(  # noqa: PLR0917 - all of it is the offer
        self,
        book: PoolBook,
        account: str,
        units: int,
        span: terms.Span,
        now_s: int,
        extends: str | None,
    ) -> Offer:
        plan = book.plan
        hosts = units * plan.hosts_per_unit
        chip_s = hosts * plan.type.chips * span.seconds
        rated = self._charges.rate(plan.type.name, Meter.BLOCK_CHIP_S, chip_s, now_s * 1000)
        self._last_number += 1
        sealed = Sealed(
            account=account,
            pool=plan.key,
            units=units,
            start_s=span.start_s,
            end_s=span.end_s,
            amount_nanos=rated.amount,
            currency=rated.currency,
            made_s=now_s,
            extends=extends,
            number=self._last_number,
        )
        return Offer(
            id=self._seal(sealed),
            pool=plan.key,
            zone=plan.zone,
            instance_type=plan.type.name,
            ultraserver=plan.ultraserver,
            units=units,
            hosts=hosts,
            start_s=span.start_s,
            end_s=span.end_s,
            amount_nanos=rated.amount,
            currency=rated.currency,
            is_simulated=plan.driver is DriverKind.SIMULATED,
            extends=extends,
        )

    def _seal(self, sealed: Sealed) -> str:
        body = packed(sealed)
        return _PREFIX + urlsafe_b64encode(self._mac(body) + body).decode().rstrip("=")

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, sha256).digest()[:_SEAL_BYTES]

    def _unseal(self, id: str) -> Sealed | None:
        text = id.removeprefix(_PREFIX)
        if text == id or not text.isascii():
            return None
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            seal, body = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
            if not hmac.compare_digest(seal, self._mac(body)):
                return None
            return unpacked(body, Sealed)
        except (ValueError, msgspec.DecodeError):
            return None


def extendable(reservation: Reservation, hours: int, now_s: int) -> int:
    """Where a block ends now, from where it can be made longer; BadRequest says why it can't be."""
    if reservation.block is None or reservation.end_s is None:
        raise BadRequest(
            f"{reservation.id} is not a capacity block; change its end with "
            "ModifyCapacityReservation.",
            code=terms.INVALID,
        )
    if reservation.commitment is not None:
        raise BadRequest(
            f"{reservation.id} is kept for the commitment {reservation.commitment}, which says "
            "until when. Buy another block.",
            code=terms.INVALID,
        )
    states = (ReservationState.SCHEDULED, ReservationState.ACTIVE, ReservationState.UNAVAILABLE)
    if reservation.state not in states:
        raise BadRequest(
            f"{reservation.id} is {reservation.state}; only scheduled and active blocks can be "
            "made longer.",
            code="IncorrectState",
        )
    if now_s > reservation.end_s - terms.EXTEND_BEFORE_S:
        raise BadRequest(
            f"{reservation.id} ends within the hour; a block can be made longer until one hour "
            "before its end. Buy another block.",
            code="IncorrectState",
        )
    total_s = reservation.end_s - reservation.start_s + hours * terms.HOUR_S
    if total_s > (terms.DAYS_MAX + 1) * terms.DAY_S:
        raise BadRequest(
            f"{reservation.id} would last {total_s // terms.DAY_S} days; a block with its "
            f"extensions lasts at most {terms.DAYS_MAX}.",
            code=terms.INVALID,
        )
    return reservation.end_s
