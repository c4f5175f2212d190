"""What capacity costs, and its entries in the ledger: fees, seconds held, credits.

A resource is the instance type; the replica of its usage record is the promise or lease it is for.
"""

from collections.abc import Mapping
from typing import Protocol

from craton.economics.budgets import Budgets
from craton.economics.contract import Hold
from craton.economics.ledger import Ledger
from craton.economics.meters import Meter, Outcome, UsageRecord
from craton.economics.prices import PriceBook, Rated, Tariff
from craton.fleet.records import WHOLE_MILLI, Lease, LeaseKind, Reservation
from craton.kernel.errors import BadRequest
from craton.kernel.ids import Ids
from craton.kernel.units import Nanos, hourly_cost
from craton.store.documents import Transaction

LEASE_METERS: Mapping[LeaseKind, Meter] = {
    LeaseKind.ON_DEMAND: Meter.ON_DEMAND_CHIP_S,
    LeaseKind.INTERRUPTIBLE: Meter.INTERRUPTIBLE_CHIP_S,
    LeaseKind.RESERVED: Meter.RESERVED_CHIP_S,
}

Payer = Reservation | Lease


class Coverage(Protocol):
    """Who knows what use is paid by a commitment over years."""

    def cover(
        self, transaction: Transaction, payer: Payer, chips: int, from_s: int, until_s: int
    ) -> int:
        """Count use of so many chips; for how many of the seconds it costs nothing by itself."""
        ...

    def is_refused(self, account: str, pool: str) -> bool:
        """Whether an account has no right to more of a pool than it is committed to."""
        ...


class Charges:
    """Rates capacity with the price book, and enters it in the same commit as the decision."""

    def __init__(self, prices: PriceBook, ledger: Ledger, budgets: Budgets, ids: Ids) -> None:
        self._prices = prices
        self._ledger = ledger
        self._budgets = budgets
        self._ids = ids
        self.coverage: Coverage | None = None

    def rate(self, resource: str, meter: Meter, chip_seconds: int, at_ms: int) -> Rated:
        """What so many chip-seconds cost; BadRequest where no price file has a price for them.

        What is inside a reservation was paid for with it.
        """
        if meter is Meter.RESERVED_CHIP_S:
            return Rated(Nanos(0), self._currency(resource, at_ms), None, Nanos(0))
        tariff = self._tariff(resource, meter, at_ms)
        return self._prices.rate(tariff.resource, {meter: chip_seconds}, at_ms)

    def hour(self, resource: str, meter: Meter, milli: int, at_ms: int) -> Rated:
        """What so many thousandths of chips cost an hour."""
        return self.rate(resource, meter, -(-milli * 3600 // WHOLE_MILLI), at_ms)

    def part(self, resource: str, meter: Meter, chip_seconds: int, at_ms: int) -> int:
        """The share of a fee that so many of its chip-seconds were, in nano-units."""
        tariff = self._tariff(resource, meter, at_ms)
        return hourly_cost(chip_seconds, tariff.hourly[meter])

    def price(self, resource: str, meter: Meter, at_ms: int) -> tuple[int, str] | None:
        """Nano-units an hour of one chip, and the currency; None where no price file says."""
        tariff = self._prices.tariff(resource, at_ms)
        if tariff is None or meter not in tariff.hourly:
            return None
        return tariff.hourly[meter], tariff.currency

    def is_priced(self, resource: str, meter: Meter, at_ms: int) -> bool:
        """Whether `rate` can say what it costs."""
        return meter is Meter.RESERVED_CHIP_S or self.has_price(resource, meter, at_ms)

    def has_price(self, resource: str, meter: Meter, at_ms: int) -> bool:
        """Whether a price file says what it costs."""
        return self.price(resource, meter, at_ms) is not None

    def judge(self, payer: Payer, resource: str, rated: Rated, now_ms: int) -> None:
        """BudgetExceeded if some budget of who pays has no room for it."""
        hold = Hold(
            request_id=payer.id,
            account=payer.account,
            resource=resource,
            at_ms=now_ms,
            quantities={},
            project=payer.project,
            principal=payer.principal,
        )
        self._budgets.judge(hold, rated, now_ms)

    def enter(
        self,
        transaction: Transaction,
        payer: Payer,
        resource: str,
        quantities: Mapping[Meter, int],
        rated: Rated,
    ) -> None:
        """Write a record and its postings."""
        record = UsageRecord(
            request_id=self._ids.request_id(),
            account=payer.account,
            project=payer.project,
            principal=payer.principal,
            resource=resource,
            replica=payer.id,
            outcome=Outcome.COMPLETE,
            at_ms=transaction.now_ms,
            quantities={str(meter): quantity for meter, quantity in quantities.items()},
        )
        self._ledger.enter(transaction, record, rated)

    def bill(
        self,
        transaction: Transaction,
        payer: Payer,
        resource: str,
        meter: Meter,
        *,
        chips: int,
        from_s: int,
        until_s: int,
    ) -> Rated:
        """Enter the use of so many chips; what a commitment covers costs nothing here.

        Nor does what lost its price while it ran, which its record shows: to stop everything that
        is due for the sake of one price would cost everybody more.
        """
        seconds = until_s - from_s
        covered_s = 0
        if self.coverage is not None:
            covered_s = self.coverage.cover(transaction, payer, chips, from_s, until_s)
        free_s = chips * covered_s
        return self._bill(transaction, payer, resource, meter, chips * seconds, free_s=free_s)

    def bill_part(
        self,
        transaction: Transaction,
        lease: Lease,
        resource: str,
        meter: Meter,
        *,
        from_s: int,
        until_s: int,
    ) -> Rated:
        """The same of a part of a host, which no commitment covers.

        Whole chip-seconds are counted from its start on, so that nothing is lost between two bills.
        """
        begun, ended = (at_s - lease.started_s for at_s in (from_s, until_s))
        seconds = lease.milli * ended // WHOLE_MILLI - lease.milli * begun // WHOLE_MILLI
        return self._bill(transaction, lease, resource, meter, seconds)

    def _bill(
        self,
        transaction: Transaction,
        payer: Payer,
        resource: str,
        meter: Meter,
        chip_s: int,
        *,
        free_s: int = 0,
    ) -> Rated:
        """Enter so many chip-seconds, of which some cost nothing."""
        at_ms = transaction.now_ms
        rated = Rated(Nanos(0), self._currency(resource, at_ms), None, Nanos(0))
        if chip_s > free_s and self.is_priced(resource, meter, at_ms):
            rated = self.rate(resource, meter, chip_s - free_s, at_ms)
        self.enter(transaction, payer, resource, {meter: chip_s}, rated)
        return rated

    def is_refused(self, account: str, pool: str) -> bool:
        """Whether a commitment of an account says that it gets no more of a pool."""
        return self.coverage is not None and self.coverage.is_refused(account, pool)

    def credit(
        self, transaction: Transaction, payer: Payer, resource: str, amount: int, currency: str
    ) -> None:
        """Give money back for what couldn't be given."""
        if amount:
            self.enter(
                transaction, payer, resource, {}, Rated(Nanos(-amount), currency, None, Nanos(0))
            )

    def _currency(self, resource: str, at_ms: int) -> str:
        tariff = self._prices.tariff(resource, at_ms)
        return tariff.currency if tariff is not None else "USD"

    def _tariff(self, resource: str, meter: Meter, at_ms: int) -> Tariff:
        tariff = self._prices.tariff(resource, at_ms)
        if tariff is None or meter not in tariff.hourly:
            raise BadRequest(
                f"No price file says what {resource} costs by {meter}. The operator writes one "
                "into <data>/prices/, with [[price]] and per_hour.",
                code="Unsupported",
            )
        return tariff
