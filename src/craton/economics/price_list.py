"""What is charged now: the tariffs of the price book that are in effect, to read."""

import msgspec

from craton.economics.prices import ANY_RESOURCE, PriceBook, Tariff
from craton.kernel.clock import Clock


class PricesQuery(msgspec.Struct, frozen=True):
    """Every tariff that is in effect."""


class TariffInEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a price file says of one resource.

    `per_million` is nano-units of `currency` for a million of what each meter counts, `per_hour`
    nano-units for an hour of what each counts the seconds of. `effective` is a day (UTC).
    """

    resource: str
    """A model's id, an instance type, or `*` for whatever has no tariff of its own."""
    effective: str
    currency: str
    per_million: dict[str, int]
    per_hour: dict[str, int]
    source: str
    payee: str | None
    share_permille: int


class Tariffs(msgspec.Struct, frozen=True):
    """Tariffs by resource."""

    tariffs: list[TariffInEffect]

    def of(self, resource: str) -> TariffInEffect | None:
        """The tariff by which a resource is charged; None if it is free."""
        found = {tariff.resource: tariff for tariff in self.tariffs}
        return found.get(resource) or found.get(ANY_RESOURCE)


class PriceList:
    """Reads the price book as of now."""

    def __init__(self, prices: PriceBook, clock: Clock) -> None:
        self._prices = prices
        self._clock = clock

    def read(self, _: PricesQuery) -> Tariffs:
        """The tariffs in effect."""
        now_ms = self._clock.now_ns() // 1_000_000
        return Tariffs([_shown(tariff) for tariff in self._prices.in_effect(now_ms)])


def _shown(tariff: Tariff) -> TariffInEffect:
    return TariffInEffect(
        resource=tariff.resource,
        effective=tariff.effective.isoformat(),
        currency=tariff.currency,
        per_million={str(meter): price for meter, price in tariff.prices.items()},
        per_hour={str(meter): price for meter, price in tariff.hourly.items()},
        source=tariff.source,
        payee=tariff.payee,
        share_permille=tariff.share_permille,
    )
