"""The price book: dated data files, keyed by resource and meter.

A file states its currency, the day it takes effect, and where its figures come from. The newest
file in effect that prices a resource wins for that resource. A price is nano-units of currency a
million counted, so `0.02` USD a million tokens is 20,000,000; chip-seconds are priced by the hour.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from craton.economics.meters import HOURLY, PROMPT_TOKENS, Meter
from craton.kernel.errors import BadRequest
from craton.kernel.units import Nanos, cost, hourly_cost, nanos

ANY_RESOURCE = "*"
_INPUT = (Meter.INPUT_TOKENS, Meter.CACHE_READ_TOKENS, Meter.CACHE_WRITE_TOKENS)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one resource from one day on; nano-units a million of each meter."""

    resource: str
    effective: date
    currency: str
    prices: Mapping[Meter, int]
    source: str
    payee: str | None = None
    """The lab that is paid a share, if any."""
    share_permille: int = 0
    """The payee's share of the price, in thousandths."""
    hourly: Mapping[Meter, int] = field(default_factory=dict[Meter, int])
    """Nano-units an hour of what a meter counts the seconds of."""


# A struct and not a dataclass: two are made for each request, and a frozen dataclass takes seven
# times as long to make (0.69 µs against 0.1).
class Rated(msgspec.Struct, frozen=True):
    """What a record costs, and who is paid."""

    amount: Nanos
    currency: str
    payee: str | None
    payee_amount: Nanos


class PriceBook:
    """Finds the tariff of a resource on a day and rates quantities with it."""

    def __init__(self, tariffs: Iterable[Tariff]) -> None:
        self._by_resource: dict[str, list[Tariff]] = {}
        # Of one day, the last read comes first: the operator's own folder is read after ours.
        newest_last = sorted(tariffs, key=lambda t: t.effective)
        for tariff in reversed(newest_last):
            self._by_resource.setdefault(tariff.resource, []).append(tariff)
        self._today: tuple[int, dict[str, Tariff]] = (-1, {})

    def tariff(self, resource: str, at_ms: int) -> Tariff | None:
        """The tariff in effect, or None: then the resource is free, and its record says so."""
        day = at_ms // 86_400_000
        if self._today[0] != day:
            self._today = (day, {})
        known = self._today[1]
        if resource not in known:
            found = self._find(resource, at_ms)
            if found is None:
                return None
            known[resource] = found
        return known[resource]

    def _find(self, resource: str, at_ms: int) -> Tariff | None:
        today = datetime.fromtimestamp(at_ms / 1000, UTC).date()
        for name in (resource, ANY_RESOURCE):
            for tariff in self._by_resource.get(name, ()):
                if tariff.effective <= today:
                    return tariff
        return None

    def in_effect(self, at_ms: int) -> list[Tariff]:
        """The tariff of each resource that a file names, where one is in effect by then."""
        found: list[Tariff] = []
        for resource in sorted(self._by_resource):
            tariff = self.tariff(resource, at_ms)
            # One named only from a later day on is charged as everything else until then.
            if tariff is not None and tariff.resource == resource:
                found.append(tariff)
        return found

    def rate(self, resource: str, quantities: Mapping[str, int], at_ms: int) -> Rated:
        """What the quantities cost. Each meter is rounded for itself, then summed."""
        tariff = self.tariff(resource, at_ms)
        if tariff is None:
            return Rated(Nanos(0), "USD", None, Nanos(0))
        amount = 0
        for meter, price in tariff.prices.items():
            quantity = quantities.get(meter)
            if quantity:
                amount += cost(quantity, price)
        if tariff.hourly:
            for meter, price in tariff.hourly.items():
                amount += hourly_cost(quantities.get(meter, 0), price)
        share = cost(amount, tariff.share_permille * 1000) if tariff.payee else 0
        return Rated(Nanos(amount), tariff.currency, tariff.payee, Nanos(share))

    def most(self, resource: str, quantities: Mapping[str, int], at_ms: int) -> Rated:
        """What the quantities can cost at most, wherever their prompt tokens will come from."""
        rated = self.rate(resource, quantities, at_ms)
        prompt = quantities.get(PROMPT_TOKENS)
        tariff = self.tariff(resource, at_ms) if prompt else None
        if not prompt or tariff is None:
            return rated
        prices = [price for meter in _INPUT if (price := tariff.prices.get(meter))]
        if not prices:
            return rated
        # Shared among several meters, each part is rounded for itself: half a nano-unit apiece.
        amount = rated.amount + cost(prompt, max(prices)) + len(prices)
        return Rated(Nanos(amount), rated.currency, rated.payee, rated.payee_amount)


def load_prices(folders: Iterable[Path]) -> PriceBook:
    """Read every price file of the folders; refuses a file whole if any entry is wrong."""
    tariffs: list[Tariff] = []
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            tariffs += read_price_file(path.name, path.read_text(encoding="utf-8"))
    return PriceBook(tariffs)


def read_price_file(name: str, text: str) -> list[Tariff]:
    """The tariffs of one file; BadRequest names the file and the entry."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"Price file {name} is not TOML: {error}.") from None
    effective = data.get("effective")
    currency, source = data.get("currency"), data.get("source")
    is_day = isinstance(effective, date) and not isinstance(effective, datetime)
    if not is_day or not isinstance(currency, str):
        raise BadRequest(f"Price file {name} needs `effective` (a date) and `currency` (a string).")
    if not isinstance(source, str):
        raise BadRequest(f"Price file {name} needs `source`: where its figures come from.")
    entries = data.get("price", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):  # pyright: ignore[reportUnknownVariableType] - TOML
        raise BadRequest(f"Price file {name}: write each entry under a heading [[price]].")
    return [_tariff(name, entry, effective, currency, source) for entry in entries]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportArgumentType] - TOML


def _price(text: str) -> int:
    price = nanos(text)
    if price < 0:
        raise ValueError("a price is not negative")
    return price


def _tariff(
    name: str, entry: dict[str, object], effective: date, currency: str, source: str
) -> Tariff:
    resource = entry.get("resource")
    if not isinstance(resource, str):
        raise BadRequest(f"Price file {name}: an entry has no `resource`.")
    if "per_million" not in entry and "per_hour" not in entry:
        raise BadRequest(f"Price file {name}: {resource} has no table `per_million` or `per_hour`.")
    hourly = _prices(name, resource, "per_hour", entry, HOURLY)
    prices = _prices(name, resource, "per_million", entry, frozenset(Meter) - HOURLY)
    payee, share = entry.get("payee"), entry.get("share_permille", 0)
    if not isinstance(share, int) or not 0 <= share <= 1000:
        raise BadRequest(f"Price file {name}: {resource} share_permille must be 0 to 1000.")
    return Tariff(
        resource=resource,
        effective=effective,
        currency=currency,
        prices=prices,
        source=source,
        payee=str(payee) if payee is not None else None,
        share_permille=share,
        hourly=hourly,
    )


def _prices(
    name: str, resource: str, table: str, entry: dict[str, object], meters: frozenset[Meter]
) -> dict[Meter, int]:
    """One table of an entry, in nano-units."""
    written = entry.get(table, {})
    if not isinstance(written, dict):
        raise BadRequest(f"Price file {name}: {resource} has no table `{table}`.")
    prices: dict[Meter, int] = {}
    for meter, price in written.items():  # pyright: ignore[reportUnknownVariableType] - TOML
        if meter not in meters:
            raise BadRequest(
                f"Price file {name}: {resource} prices {meter!r} in {table}; its meters are "
                f"{sorted(meters)}."
            )
        try:
            prices[Meter(str(meter))] = _price(str(price))  # pyright: ignore[reportUnknownArgumentType] - TOML
        except (ValueError, ArithmeticError):
            raise BadRequest(
                f"Price file {name}: {resource} {meter} is {price!r}; "
                "write a decimal of at most nine places as a string, such as '0.02'."
            ) from None
    return prices
