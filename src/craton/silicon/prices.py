"""What a chip costs an hour, under which terms, and how old that is.

Rented: a server's price over its chips. Owned: capital over its life, and the energy at the wall.
These are figures to plan with; what a customer is charged is in `economics`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from craton.kernel.errors import NotFound
from craton.silicon.chip import Chip, PriceKind, Server, ServerPrice
from craton.silicon.power import HOURS_PER_YEAR, PowerCurve, Site, power_curve, wall_power

STALE_DAYS = 180
"""Capacity blocks are repriced each quarter; after two repricings a price is called old."""

RENTED = (PriceKind.CAPACITY_BLOCK, PriceKind.ON_DEMAND, PriceKind.RESERVED)
"""The terms of renting, those that most chips are offered under first."""


@dataclass(frozen=True, slots=True)
class ChipHour:
    """What one chip costs an hour."""

    usd: float
    kind: PriceKind
    source: str
    read: date | None
    """The day the price was read; of an owned chip, that of its capital."""
    estimate: bool
    server: str | None = None
    """The server it is a share of."""
    energy_usd: float = 0.0
    """The part of an owned chip's price that is energy."""


def rented_chip_hour(server: Server, kind: PriceKind) -> ChipHour:
    """The price of a server's chips under some terms; NotFound names those it is offered under."""
    price = _price(server, kind)
    if price is None:
        known = ", ".join(price.kind for price in server.prices) or "none"
        raise NotFound(f"{server.name} has no {kind} price; it has {known}.")
    figure = price.usd_hour
    return ChipHour(
        figure.value / server.chips, kind, figure.source, figure.read, figure.estimate, server.name
    )


def owned_chip_hour(
    chip: Chip,
    site: Site,
    *,
    server: Server | None = None,
    curve: PowerCurve | None = None,
    load: float | None = None,
) -> ChipHour:
    """Capital over the life, and energy at the wall at a mean load (the site's, unless given).

    The capital is the server's own where its file says so, else the chip's and the site's overhead.
    NotFound where no capital is known; BadRequest where no power is.
    """
    if server is not None and server.capex_usd is not None:
        capital, source = server.capex_usd.value / server.chips, server.capex_usd
    elif chip.capex_usd is not None:
        source = chip.capex_usd
        capital = source.value * (1 + site.capital_overhead.value)
    else:
        raise NotFound(
            f"No purchase price is known for {chip.name}, so owning it has no price. Write"
            f" capex_usd into a chip file of your own, {chip.name}.toml."
        )
    curve = curve if curve is not None else power_curve(chip, site)
    power = wall_power(curve, site.load.value if load is None else load, site, server)
    energy = float(power.kwh(1)) * site.usd_kwh.value
    return ChipHour(
        usd=capital / (site.life_years.value * HOURS_PER_YEAR) + energy,
        kind=PriceKind.OWNED,
        source=source.source,
        read=source.read,
        estimate=source.estimate or curve.estimate or site.life_years.estimate,
        server=server.name if server is not None else None,
        energy_usd=energy,
    )


def chip_hour(
    chip: Chip,
    servers: Iterable[Server],
    site: Site,
    kinds: Sequence[PriceKind] = RENTED,
) -> ChipHour | None:
    """The lowest price of a chip under the first of these terms that it is offered under.

    A price with a source goes before an estimate, and a server's own price as owned before one
    worked out; of equal prices, that of the server with the most chips. None where there is no
    price at all.
    """
    holders = [server for server in servers if server.chip == chip.name]
    holders.sort(key=lambda server: -server.chips)
    by_kind = [_offers(chip, holders, site, kind) for kind in kinds]
    for has_source in (True, False):
        for offers in by_kind:
            sound = [offer for offer in offers if offer.estimate is not has_source]
            if sound:
                # Prices of servers are rounded, so those of one chip differ in the last digits.
                return min(sound, key=lambda offer: round(offer.usd, 3))
    return None


def _offers(chip: Chip, servers: Sequence[Server], site: Site, kind: PriceKind) -> list[ChipHour]:
    offers = [
        rented_chip_hour(server, kind) for server in servers if _price(server, kind) is not None
    ]
    return _owned_offers(chip, servers, site) if kind is PriceKind.OWNED and not offers else offers


def stale(price: ChipHour, today: date, days: int = STALE_DAYS) -> str | None:
    """A warning where a price was read more than `days` ago, or on no day at all."""
    what = f"The {price.kind} price of {price.server or 'the chip'}, {price.usd:.3f} $/chip-hour,"
    if price.read is None:
        return f"{what} has no date: {price.source}."
    age = (today - price.read).days
    if age <= days:
        return None
    return f"{what} was read {age} days ago, on {price.read}; look it up again: {price.source}."


def _price(server: Server, kind: PriceKind) -> ServerPrice | None:
    return next((price for price in server.prices if price.kind is kind), None)


def _owned_offers(chip: Chip, servers: Sequence[Server], site: Site) -> list[ChipHour]:
    has_capital = chip.capex_usd is not None
    if chip.power_w is None:
        return []
    return [
        owned_chip_hour(chip, site, server=server)
        for server in (servers or (None,))
        if has_capital or (server is not None and server.capex_usd is not None)
    ]
