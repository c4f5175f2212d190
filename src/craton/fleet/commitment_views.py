"""Commitments as they are told: sums over their months, and what the fleet keeps for them."""

from collections.abc import Iterable, Sequence

from craton.fleet.commitment_capacity import wanted, weight
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    CommitmentView,
    DeliveryView,
    SignCommitment,
    StatementQuery,
    StatementView,
    YearView,
)
from craton.fleet.commitment_records import (
    RUNNING,
    Commitment,
    CommitmentMonth,
    Part,
)
from craton.fleet.commitment_terms import W_PER_MW, Delivery, Unit, month_start
from craton.fleet.commitments import CommitmentDesk, Schedule
from craton.kernel.errors import NotFound
from craton.kernel.units import SECONDS_PER_HOUR, money


def decimal(amount: int) -> str:
    """Nano-units as an exact decimal."""
    return money(amount, "").rstrip()


class CommitmentViews:
    """Reads commitments; changes nothing."""

    def __init__(self, desk: CommitmentDesk) -> None:
        self._desk = desk

    def list(self, query: CommitmentsQuery, now_ms: int) -> Commitments:
        """The commitments of an account, oldest first."""
        found = [
            each
            for each in self._desk.records.values()
            if query.account in (None, each.account) and query.id in (None, each.id, each.name)
        ]
        found.sort(key=lambda each: (each.signed_ms, each.id))
        return Commitments([self.view(each, now_ms) for each in found])

    def sketch(self, command: SignCommitment, now_ms: int) -> CommitmentView:
        """What signing a contract would make."""
        commitment, schedule = self._desk.sketch(command, now_ms)
        return self._view(commitment, schedule, (), now_ms, is_dry_run=True)

    def view(self, commitment: Commitment, now_ms: int) -> CommitmentView:
        """One commitment."""
        months = self._desk.months.get(commitment.id, ())
        return self._view(commitment, self._desk.schedule(commitment.id), months, now_ms)

    def _view(
        self,
        commitment: Commitment,
        schedule: Schedule,
        months: Sequence[CommitmentMonth],
        now_ms: int,
        *,
        is_dry_run: bool = False,
    ) -> CommitmentView:
        terms = schedule.terms
        is_running = commitment.state in RUNNING
        contracted = sum(schedule.amounts)
        recognised = sum(month.recognised for month in months)
        backlog = sum(schedule.amounts[commitment.posted :]) if is_running else 0
        deliveries = [
            self._delivery(commitment, schedule, at, each, now_ms // 1000)
            for at, each in enumerate(terms.deliveries)
        ]
        return CommitmentView(
            id=commitment.id,
            name=terms.name,
            account=commitment.account,
            state=commitment.state,
            unit=terms.unit,
            measure=measure(terms.unit),
            currency=terms.currency,
            start_s=terms.start_s,
            end_s=terms.end_s,
            signed_ms=commitment.signed_ms,
            ended_s=commitment.ended_s,
            take_or_pay_permille=terms.take_or_pay_permille,
            rolls_over=terms.rolls_over,
            above=terms.above,
            exclusive=list(terms.exclusive),
            source=terms.source,
            contracted=decimal(contracted),
            recognised=decimal(recognised),
            credited=decimal(sum(month.credit for month in months)),
            lapsed=decimal(contracted - recognised - backlog),
            backlog=decimal(backlog),
            above_amount=decimal(sum(month.above.get(terms.currency, 0) for month in months)),
            fee=decimal(sum(commitment.fees_nanos)),
            banked=commitment.banked,
            deliveries=deliveries,
            years=_years(schedule, months, commitment.ended_s),
            next_post_s=schedule.months[commitment.posted].end_s if is_running else None,
            is_simulated=_is_simulated(commitment.parts),
            is_dry_run=is_dry_run,
        )

    def _delivery(
        self, commitment: Commitment, schedule: Schedule, at: int, delivery: Delivery, now_s: int
    ) -> DeliveryView:
        terms, capacity = schedule.terms, self._desk.capacity
        parts = [part for part in commitment.parts if part.delivery == at]
        is_on = commitment.state in RUNNING
        all_parts, account = commitment.parts, commitment.account
        lacking = capacity.missing(terms, account, all_parts, now_s).get(at) if is_on else None
        missing = lacking.amount if lacking is not None else 0
        pools: dict[str, int] = {}
        for part in parts:
            pools[part.pool] = pools.get(part.pool, 0) + part.units
        held = sum(part.units * weight(terms.unit, part) for part in parts)
        return DeliveryView(
            start_s=delivery.start_s,
            end_s=delivery.end_s,
            of=list(delivery.of),
            amount=_in_unit(terms.unit, delivery.amount),
            held=_of_need(terms.unit, min(held, wanted(terms.unit, delivery)), delivery),
            missing=_of_need(terms.unit, missing, delivery),
            reason=lacking.reason if lacking is not None else "",
            chips=sum(part.units * part.unit_chips for part in parts),
            pools=pools,
            reservations=[part.reservation for part in parts if part.reservation],
            broken_units=capacity.broken_units(parts, at),
        )

    def statement(self, query: StatementQuery) -> StatementView:
        """One month that was posted; NotFound says which are."""
        commitment = self._desk.find(query.id, query.account)
        terms = self._desk.schedule(commitment.id).terms
        months = self._desk.months.get(commitment.id, ())
        month = next((each for each in months if each.month == query.month), None)
        if month is None:
            told = f"{months[0].month} to {months[-1].month}" if months else "none yet"
            raise NotFound(
                f"{commitment.name} has no statement of {query.month[:20]!r}. Posted: {told}. A "
                "month is posted when it is over."
            )
        return StatementView(
            id=commitment.id,
            name=commitment.name,
            account=commitment.account,
            month=month.month,
            start_s=month.start_s,
            end_s=month.end_s,
            posted_ms=month.posted_ms,
            measure=measure(terms.unit),
            currency=terms.currency,
            amount=decimal(month.amount),
            due=decimal(month.due),
            credit=decimal(month.credit),
            extra=decimal(month.extra),
            total=decimal(month.recognised),
            above={currency: decimal(amount) for currency, amount in month.above.items()},
            committed=month.committed,
            delivered=month.delivered,
            used=month.used,
            drawn=month.drawn,
            over=month.over,
            banked=month.banked,
            is_simulated=_is_simulated(commitment.parts),
        )


def measure(unit: Unit) -> str:
    """What quantities of a commitment are counted in."""
    return "watt_s" if unit is Unit.MEGAWATTS else "chip_s"


def _is_simulated(parts: Iterable[Part]) -> bool:
    return any(part.is_simulated for part in parts)


def _in_unit(unit: Unit, amount: int) -> str:
    """An amount of a delivery in the contract's unit, rounded down to six decimals."""
    if unit is Unit.MEGAWATTS:
        return _decimal(amount, W_PER_MW)
    return _decimal(amount, SECONDS_PER_HOUR) if unit is Unit.CHIP_HOURS else str(amount)


def _of_need(unit: Unit, need: int, delivery: Delivery) -> str:
    """Chips, or watts, that are needed all the time, in the contract's unit."""
    if unit is Unit.CHIP_HOURS:
        seconds = delivery.end_s - delivery.start_s
        return _decimal(min(need * seconds, delivery.amount), SECONDS_PER_HOUR)
    return _in_unit(unit, need)


def _decimal(amount: int, scale: int) -> str:
    whole, rest = divmod(amount, scale)
    decimals = f"{rest * 10**6 // scale:06}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def _years(
    schedule: Schedule, months: Sequence[CommitmentMonth], ended_s: int | None
) -> list[YearView]:
    """The calendar years of the term; amounts and quantities promised are of all their months."""
    last_year = None if ended_s is None else month_start(ended_s).year
    found: list[YearView] = []
    left = sum(schedule.amounts)
    for year in sorted({month.year for month in schedule.months}):
        at = [i for i, month in enumerate(schedule.months) if month.year == year]
        posted = [month for month in months if month.month.startswith(f"{year}-")]
        amount = sum(schedule.amounts[i] for i in at)
        left = 0 if last_year is not None and year >= last_year else left - amount
        found.append(
            YearView(
                year=year,
                months_posted=len(posted),
                amount=decimal(amount),
                due=decimal(sum(month.due for month in posted)),
                credited=decimal(sum(month.credit for month in posted)),
                extra=decimal(sum(month.extra for month in posted)),
                recognised=decimal(sum(month.recognised for month in posted)),
                above=decimal(sum(month.above.get(schedule.terms.currency, 0) for month in posted)),
                backlog=decimal(left),
                committed=sum(schedule.quantities[i] for i in at),
                delivered=sum(month.delivered for month in posted),
                used=sum(month.used for month in posted),
                over=sum(month.over for month in posted),
            )
        )
    return found
