"""What a commitment says, and its arithmetic: months, quantities, amounts. All of it integers.

A *quantity* is chip-seconds, or for megawatts watt-seconds. An *amount* is nano-units of currency.
Both are counted over calendar months UTC, the first and last cut at the term's ends; a day has
86,400 seconds and a month the days it has. Amounts of parts are differences of one rounded running
sum, so that they add up to the whole whatever the parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from craton.kernel.units import SECONDS_PER_HOUR

W_PER_MW = 1_000_000
PERMILLE = 1000


class Unit(StrEnum):
    """What is promised: a number of chips, work to be done in a time, or electrical power."""

    CHIPS = "chips"
    CHIP_HOURS = "chip-hours"
    MEGAWATTS = "megawatts"


class RollsOver(StrEnum):
    """How long what was paid and not used can still be used."""

    NONE = "none"
    MONTH = "month"
    """Until the end of the next month."""
    YEAR = "year"
    """Until the end of the calendar year."""


class Above(StrEnum):
    """What becomes of use above what is committed."""

    ON_DEMAND = "on-demand"
    REFUSED = "refused"


class Rate(StrEnum):
    """How the price is written."""

    PER_CHIP_HOUR = "per_chip_hour"
    PER_MEGAWATT_MONTH = "per_megawatt_month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Price:
    """An amount, of a chip-hour, of a megawatt for a calendar month, or of everything.

    `by_year`: for a total, what falls on each calendar year; none: by quantity alone.
    """

    rate: Rate
    amount: int
    by_year: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Capacity of some kinds, promised from one moment to another.

    `amount`: chips; chip-seconds in all; or watts. `of`: chips, instance types or UltraServers by
    name, any of which will do.
    """

    start_s: int
    end_s: int
    of: tuple[str, ...]
    amount: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract that was checked."""

    name: str
    account: str
    currency: str
    unit: Unit
    start_s: int
    end_s: int
    price: Price
    deliveries: tuple[Delivery, ...]
    take_or_pay_permille: int
    """The share of each month's amount that is due whether used or not."""
    rolls_over: RollsOver
    above: Above
    exclusive: tuple[str, ...]
    """Zones and pools that nobody else may use meanwhile."""
    termination_permille: int
    """The share of what would still be due that is due when it is terminated."""
    source: str


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar month, or what of it lies in the term; `month_s` is how long all of it is."""

    key: str
    start_s: int
    end_s: int
    month_s: int

    @property
    def year(self) -> int:
        """The calendar year."""
        return int(self.key[:4])


def month_start(at_s: int) -> datetime:
    """When the calendar month of a moment began."""
    at = datetime.fromtimestamp(at_s, UTC)
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(first: datetime) -> datetime:
    """The month after one that is given by its first moment."""
    if first.month == 12:
        return first.replace(year=first.year + 1, month=1)
    return first.replace(month=first.month + 1)


def periods(start_s: int, end_s: int) -> tuple[Period, ...]:
    """The months of a term, in order."""
    found: list[Period] = []
    first = month_start(start_s)
    while (begin := int(first.timestamp())) < end_s:
        following = next_month(first)
        end = int(following.timestamp())
        key = f"{first.year}-{first.month:02}"
        found.append(Period(key, max(begin, start_s), min(end, end_s), end - begin))
        first = following
    return tuple(found)


def delivered_by(unit: Unit, delivery: Delivery, at_s: int) -> int:
    """The quantity that a delivery promises from its start to a moment."""
    seconds = min(max(at_s, delivery.start_s), delivery.end_s) - delivery.start_s
    if unit is Unit.CHIP_HOURS:
        return delivery.amount * seconds // (delivery.end_s - delivery.start_s)
    return delivery.amount * seconds


def quantity(unit: Unit, delivery: Delivery, start_s: int, end_s: int) -> int:
    """The quantity that a delivery promises between two moments."""
    return delivered_by(unit, delivery, end_s) - delivered_by(unit, delivery, start_s)


def quantities(terms: Terms, months: Sequence[Period]) -> list[int]:
    """The quantity that is promised in each month, by all deliveries."""
    return [
        sum(quantity(terms.unit, each, month.start_s, month.end_s) for each in terms.deliveries)
        for month in months
    ]


def amounts(terms: Terms, months: Sequence[Period]) -> list[int]:
    """What each month's promised quantity costs; they add up to the total where one is agreed."""
    promised = quantities(terms, months)
    price = terms.price
    if price.rate is Rate.PER_CHIP_HOUR:
        sums = _running(promised)
        return _steps([each * price.amount // SECONDS_PER_HOUR for each in sums])
    if price.rate is Rate.PER_MEGAWATT_MONTH:
        return [
            each * price.amount // (W_PER_MW * month.month_s)
            for each, month in zip(promised, months, strict=True)
        ]
    if not price.by_year:
        return share(price.amount, promised)
    found: list[int] = []
    for year, amount in price.by_year:
        mine = [each for each, month in zip(promised, months, strict=True) if month.year == year]
        found += share(amount, mine)
    return found


def share(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount in parts by weight, which add up to it exactly.

    Some weight must be above zero, unless there is nothing to share.
    """
    sums = _running(weights)
    return _steps([amount * each // (sums[-1] or 1) for each in sums])


def _running(values: Sequence[int]) -> list[int]:
    sums: list[int] = []
    total = 0
    for value in values:
        total += value
        sums.append(total)
    return sums


def _steps(sums: Sequence[int]) -> list[int]:
    return [after - before for before, after in zip([0, *sums], sums, strict=False)]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of one month, as quantities, and the amount it was worth if all is given."""

    amount: int
    committed: int
    delivered: int
    """Of what was committed; less where the operator couldn't give it."""
    used: int
    banked: int
    """Paid and not used before, and still good."""


@dataclass(frozen=True, slots=True)
class Bill:
    """One month's bill. Amounts: `due`, `credit`, `extra`; quantities: the rest.

    Use is met first by what take-or-pay pays for, then by what rolled over, then up to what is
    committed at the commitment's price (`extra`); what is left is above the commitment (`over`).
    """

    due: int
    """What take-or-pay asks for a month in which all was delivered."""
    credit: int
    """The part of it that is given back, for what wasn't."""
    extra: int
    drawn: int
    """Of what rolled over."""
    over: int
    unused: int
    """Paid for and not used: what rolls over, if anything does."""

    @property
    def recognised(self) -> int:
        """What the month brought, without what is above the commitment."""
        return self.due - self.credit + self.extra


def bill(counted: Counted, take_or_pay_permille: int) -> Bill:
    """What a month costs, all of it in whole units; what doesn't come out is left to the customer.

    A month without a promise costs nothing, and all use of it is above the commitment.
    """
    committed, used = counted.committed, counted.used
    due = counted.amount * take_or_pay_permille // PERMILLE
    paid = counted.delivered * take_or_pay_permille // PERMILLE
    credit = -(-due * (committed - counted.delivered) // committed) if committed else 0
    inside = min(used, paid)
    drawn = min(used - inside, counted.banked)
    within = min(used - inside - drawn, committed - paid)
    extra = counted.amount * within // committed if committed else 0
    return Bill(
        due=due,
        credit=credit,
        # What a share of whole units is rounded by must not cost more than the whole.
        extra=min(extra, counted.amount - due + credit),
        drawn=drawn,
        over=used - inside - drawn - within,
        unused=paid - inside,
    )


def banked_after(
    counted: Counted, made: Bill, rolls_over: RollsOver, month: Period, following: Period | None
) -> int:
    """What the next month may use of what is paid already."""
    if following is None or rolls_over is RollsOver.NONE:
        return 0
    if rolls_over is RollsOver.MONTH:
        return made.unused
    if following.year != month.year:
        return 0
    return counted.banked - made.drawn + made.unused


def watt_seconds(chip_s: int, host_w: int, host_chips: int) -> int:
    """What so many chip-seconds draw, if each chip draws its share of a host's full load."""
    return chip_s * host_w // host_chips
