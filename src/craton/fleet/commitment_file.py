"""A contract as the operator writes it: one TOML file, read whole or refused with the line.

name = "trainium"
account = "acme"                # who is committed, by id or name
currency = "USD"
unit = "megawatts"              # or "chips", "chip-hours"
start = 2027-01-01              # the first day
end = 2035-01-01                # the day after the last; days begin at 00:00 UTC
take_or_pay_permille = 1000     # of each month's amount: due whether used or not
rolls_over = "none"             # or "month", "year": until when what was paid can be used
above = "on-demand"             # or "refused": use above what is committed
exclusive = ["north"]           # zones and pools that nobody else may use meanwhile
source = "contract 12 of 2026-11-20"

[price]
total = "138000000000"          # or per_chip_hour, or per_megawatt_month

[[delivery]]
from = 2027-04-01
to = 2035-01-01                 # else: the end of the term
of = "trainium3"                # a chip, an instance type, an UltraServer; or a list of them
amount = 250                    # megawatts, chips, or chip-hours in all; a decimal as a string
"""

import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation

import msgspec

from craton.fleet.commitment_terms import (
    PERMILLE,
    W_PER_MW,
    Above,
    Delivery,
    Price,
    Rate,
    RollsOver,
    Terms,
    Unit,
    amounts,
    periods,
    quantities,
)
from craton.fleet.file_lines import FileLines
from craton.fleet.instance_types import InstanceTypes
from craton.kernel.errors import BadRequest
from craton.kernel.units import SECONDS_PER_HOUR, money, nanos

TERM_MONTHS_MAX = 600
DELIVERIES_MAX = 1000
MONTH_NANOS_MAX = 9 * 10**18
"""Nine thousand million of a currency: what one posting holds, with room for what is above."""
QUANTITY_MAX = 2**62
REFUSED = "The contract was not signed."

_SCALES = {Unit.CHIPS: 1, Unit.CHIP_HOURS: SECONDS_PER_HOUR, Unit.MEGAWATTS: W_PER_MW}
_RATES = {
    Rate.PER_CHIP_HOUR: (Unit.CHIPS, Unit.CHIP_HOURS),
    Rate.PER_MEGAWATT_MONTH: (Unit.MEGAWATTS,),
    Rate.TOTAL: tuple(Unit),
}
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


class PriceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the three ways to write the price, as decimals."""

    per_chip_hour: str | None = None
    per_megawatt_month: str | None = None
    total: str | None = None
    by_year: dict[str, str] = {}


class DeliveryEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is delivered from one day to another."""

    from_: date = msgspec.field(name="from")
    to: date | None = None
    of: str | tuple[str, ...]
    amount: int | str


class ContractFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    name: str
    account: str
    currency: str
    unit: Unit
    start: date
    end: date
    price: PriceEntry
    delivery: tuple[DeliveryEntry, ...]
    take_or_pay_permille: int = PERMILLE
    rolls_over: RollsOver = RollsOver.NONE
    above: Above = Above.ON_DEMAND
    exclusive: tuple[str, ...] = ()
    termination_permille: int = 0
    source: str = ""


def read_contract(text: str, types: InstanceTypes) -> Terms:
    """Read and check a contract. BadRequest says the line, what is wrong there, and what fits."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"The contract is not TOML: {error}.") from None
    lines = FileLines(text, REFUSED)
    try:
        file = msgspec.convert(data, ContractFile)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise lines.refusal(path.rstrip("`"), f"{what}.") from None
    return _Check(lines, types).terms(file)


class _Check:
    """What the shape of the file doesn't say: dates, amounts, names."""

    def __init__(self, lines: FileLines, types: InstanceTypes) -> None:
        self._lines = lines
        self._known = {
            name
            for each in types.by_name.values()
            for name in (each.name, each.chip, *each.ultraservers)
        }

    def terms(self, file: ContractFile) -> Terms:
        self._simple(file)
        start_s, end_s = _moment(file.start), _moment(file.end)
        made = Terms(
            name=file.name,
            account=file.account,
            currency=file.currency,
            unit=file.unit,
            start_s=start_s,
            end_s=end_s,
            price=self._price(file),
            deliveries=tuple(
                self._delivery(f"$.delivery[{at}]", each, file)
                for at, each in enumerate(file.delivery)
            ),
            take_or_pay_permille=file.take_or_pay_permille,
            rolls_over=file.rolls_over,
            above=file.above,
            exclusive=file.exclusive,
            termination_permille=file.termination_permille,
            source=file.source,
        )
        self._months(made)
        return made

    def _simple(self, file: ContractFile) -> None:
        for member, text, most in (
            ("name", file.name, 128),
            ("account", file.account, 128),
            ("currency", file.currency, 8),
        ):
            if not 1 <= len(text) <= most:
                raise self._lines.refusal(
                    f"$.{member}", f"{text[:20]!r} has {len(text)} characters; write 1 to {most}."
                )
        for member, share in (
            ("take_or_pay_permille", file.take_or_pay_permille),
            ("termination_permille", file.termination_permille),
        ):
            if not 0 <= share <= PERMILLE:
                raise self._lines.refusal(
                    f"$.{member}", f"{share} is no share in thousandths; write 0 to 1000."
                )
        if file.end <= file.start:
            raise self._lines.refusal(
                "$.end", f"the term ends on {file.end} and begins on {file.start}."
            )
        if (file.end - file.start).days > TERM_MONTHS_MAX * 31:
            raise self._lines.refusal(
                "$.end", f"the term is longer than {TERM_MONTHS_MAX} months. Is a year mistaken?"
            )
        if not 1 <= len(file.delivery) <= DELIVERIES_MAX:
            raise self._lines.refusal(
                "$.delivery", f"{len(file.delivery)} deliveries; write 1 to {DELIVERIES_MAX}."
            )

    def _price(self, file: ContractFile) -> Price:
        entry = file.price
        written = {rate: text for rate in Rate if (text := getattr(entry, rate.value)) is not None}
        if len(written) != 1:
            raise self._lines.refusal(
                "$.price",
                f"{len(written)} prices are written; write one of {', '.join(Rate)}.",
            )
        ((rate, text),) = written.items()
        if file.unit not in _RATES[rate]:
            fits = ", ".join(each for each in Rate if file.unit in _RATES[each])
            raise self._lines.refusal(
                f"$.price.{rate}", f"{file.unit} aren't priced so; write one of {fits}."
            )
        amount = self._decimal(f"$.price.{rate}", text, nanos)
        by_year = self._by_year(file, rate, amount)
        return Price(rate, amount, by_year)

    def _by_year(self, file: ContractFile, rate: Rate, total: int) -> tuple[tuple[int, int], ...]:
        written = file.price.by_year
        if not written:
            return ()
        if rate is not Rate.TOTAL:
            raise self._lines.refusal("$.price.by_year", "only a total is divided by years.")
        found = {
            year: self._decimal("$.price.by_year", text, nanos) for year, text in written.items()
        }
        last = file.end - timedelta(days=1)
        years = [str(each) for each in range(file.start.year, last.year + 1)]
        if sorted(found) != years:
            raise self._lines.refusal(
                "$.price.by_year", f"write an amount for each of the years {', '.join(years)}."
            )
        if sum(found.values()) != total:
            raise self._lines.refusal(
                "$.price.by_year",
                f"the years add up to {money(sum(found.values()), file.currency)} and the total is "
                f"{money(total, file.currency)}. Correct one of them.",
            )
        return tuple((int(year), found[year]) for year in years)

    def _delivery(self, path: str, entry: DeliveryEntry, file: ContractFile) -> Delivery:
        end = file.end if entry.to is None else entry.to
        if not file.start <= entry.from_ < end <= file.end:
            raise self._lines.refusal(
                f"{path}.from",
                f"it is from {entry.from_} to {end}, and the term from {file.start} to {file.end}. "
                "A delivery begins before it ends, and lies in the term.",
            )
        of = (entry.of,) if isinstance(entry.of, str) else entry.of
        for name in of:
            if name not in self._known:
                raise self._lines.refusal(
                    f"{path}.of",
                    f"nothing is called {name!r}. Write chips, instance types or UltraServers by "
                    "name; `craton chips` and `craton capacity types` list them.",
                )
        if not of:
            raise self._lines.refusal(f"{path}.of", "write at least one chip or type.")
        scale = _SCALES[file.unit]

        def scaled(text: str) -> int:
            value = _EXACT.multiply(Decimal(text), scale)
            if value != value.to_integral_value():
                raise ValueError(f"{text} is too fine")
            return int(value)

        amount = self._decimal(f"{path}.amount", str(entry.amount), scaled)
        return Delivery(_moment(entry.from_), _moment(end), tuple(of), amount)

    def _decimal(self, path: str, text: str, read: Callable[[str], int]) -> int:
        """A decimal above zero."""
        try:
            value = read(text)
        except (ValueError, ArithmeticError):
            raise self._lines.refusal(
                path, f"{text[:40]!r} is no decimal that can be kept exactly."
            ) from None
        if not 0 < value < QUANTITY_MAX * 100:
            raise self._lines.refusal(path, f"{text[:40]} is not above zero, or far too much.")
        return value

    def _months(self, terms: Terms) -> None:
        """Refuse what no posting could hold, and years that are paid and have no delivery."""
        months = periods(terms.start_s, terms.end_s)
        promised = quantities(terms, months)
        if sum(promised) >= QUANTITY_MAX:
            raise self._lines.refusal("$.delivery", "the deliveries are far too much to be meant.")
        for year, amount in terms.price.by_year:
            weight = sum(
                each for each, month in zip(promised, months, strict=True) if month.year == year
            )
            if amount and not weight:
                raise self._lines.refusal(
                    "$.price.by_year", f"{year} has an amount and no delivery to spread it over."
                )
        most = max(amounts(terms, months))
        if most > MONTH_NANOS_MAX:
            raise self._lines.refusal(
                "$.price",
                f"a month would cost {money(most, terms.currency)}, and one posting holds "
                f"{MONTH_NANOS_MAX // 10**9:,}. Divide the contract into several.",
            )


def _moment(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
