"""What a chip is offered as: its best server, its price an hour, and its power at the wall."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from craton.kernel.errors import BadRequest
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import Chip, LinkLevel, PriceKind, Server
from craton.silicon.power import PowerCurve, Site, power_curve, wall_power
from craton.silicon.prices import RENTED, ChipHour, chip_hour, stale


@dataclass(frozen=True, slots=True)
class Offer:
    """One chip under one price, in the server with the longest reach."""

    chip: Chip
    server: Server | None
    price: ChipHour | None
    warning: str | None
    """What is to be known of the price: that it is old."""
    site: Site
    curve: PowerCurve | None

    @property
    def levels(self) -> tuple[LinkLevel, ...]:
        """Links, innermost first."""
        return (
            self.server.links if self.server is not None and self.server.links else self.chip.links
        )

    @property
    def domain(self) -> int:
        """Chips that reach each other without the scale-out network."""
        inner = self.levels[:-1]
        return max((level.chips for level in inner), default=1)

    def power_kw(self, chips: float, load: float) -> float | None:
        """At the wall, for some chips at a load of 0 to 1; None where no power is published."""
        if self.curve is None:
            return None
        power = wall_power(self.curve, min(load, 1.0), self.site, self.server)
        return float(power.total_w) * chips / 1000


def offers(
    catalogue: Catalogue,
    names: Sequence[str] | None,
    kind: PriceKind | None,
    site: Site,
    today: date,
) -> list[Offer]:
    """An offer for each chip named, or for all; NotFound for a name nobody knows."""
    chips = {chip.name: chip for chip in map(catalogue.chip, names or catalogue.chips)}
    return [_offer(catalogue, chip, kind, site, today) for chip in chips.values()]


def _offer(
    catalogue: Catalogue, chip: Chip, kind: PriceKind | None, site: Site, today: date
) -> Offer:
    servers = catalogue.servers_of(chip)
    kinds = (kind,) if kind is not None else RENTED
    price = chip_hour(chip, servers, site, kinds)
    priced = [each for each in servers if price is not None and each.name == price.server]
    server = max(priced or servers, key=lambda each: each.chips, default=None)
    try:
        curve = power_curve(chip, site)
    except BadRequest:
        curve = None
    warning = stale(price, today) if price is not None else None
    return Offer(chip, server, price, warning, site, curve)
