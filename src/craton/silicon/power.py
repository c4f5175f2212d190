"""What chips draw at the wall: affine in their load, with their host and the building around them.

    wall = (idle + slope * load + host) * PUE

A chip's coefficients are its idle and its peak power; coefficients fitted to measurements take
their place. The host (processors, fans, network) draws its share of the chips' peak at any load:
it is not what the load of the chips depends on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from craton.kernel.errors import BadRequest
from craton.silicon.chip import Chip, Server
from craton.silicon.chip_file import read_figures
from craton.silicon.figure import Figure
from craton.silicon.operations import Quantity

SITE_FILE = Path(__file__).with_name("site.toml")
HOURS_PER_YEAR = 8766
"""365.25 days."""
SECONDS_PER_HOUR = 3600


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where chips stand, and what owning them takes."""

    pue: Figure
    """Power of the building over power of its computers."""
    usd_kwh: Figure
    host_share: Figure
    """As `Server.host_share`, for servers that don't say."""
    idle_fraction: Figure
    """Idle power over peak power, for chips that don't say."""
    load: Figure
    """Mean load of an owned chip, 0 to 1."""
    life_years: Figure
    capital_overhead: Figure
    """Cost of everything but the chips, as a fraction of the chips' own."""


class PowerCurve(msgspec.Struct, frozen=True):
    """Power of one chip: `idle_w` and, at full load, `slope_w` more."""

    idle_w: float
    slope_w: float
    estimate: bool = False
    """True where either rests on an estimate."""

    def watts(self, load: Quantity) -> Quantity:
        """Power at a load of 0 to 1."""
        if np.any(np.less(load, 0)) or np.any(np.greater(load, 1)):
            raise BadRequest(f"A load is {load}; it is a fraction, from 0 to 1.")
        return self.idle_w + self.slope_w * load


@dataclass(frozen=True, slots=True)
class WallPower:
    """Watts that one chip answers for, by where they go."""

    chip_w: Quantity
    host_w: float
    overhead_w: Quantity
    """Cooling and conversion: what the PUE adds."""

    @property
    def total_w(self) -> Quantity:
        """At the wall."""
        return self.chip_w + self.host_w + self.overhead_w

    def joules(self, seconds: float) -> Quantity:
        """Energy over a time."""
        return self.total_w * seconds

    def kwh(self, hours: float) -> Quantity:
        """Energy over a time, as it is billed."""
        return self.total_w * hours / 1000


def load_site(path: Path = SITE_FILE) -> Site:
    """The site of a file, or the bundled one; BadRequest says what is wrong with it."""
    site = read_figures(path.name, path.read_text(encoding="utf-8"), Site)
    if site.pue.value < 1:
        raise BadRequest(f"Chip file {path.name}: pue is {site.pue.value}; it is at least 1.")
    for member in ("load", "idle_fraction"):
        figure: Figure = getattr(site, member)
        if figure.value > 1:
            raise BadRequest(f"Chip file {path.name}: {member} is a fraction, at most 1.")
    return site


def load_own_site(folder: Path) -> Site:
    """The `site.toml` of an operator's folder, or the bundled one where there is none."""
    own = folder.expanduser() / SITE_FILE.name
    return load_site(own if own.is_file() else SITE_FILE)


def power_curve(
    chip: Chip, site: Site, fitted: Mapping[str, PowerCurve] | None = None
) -> PowerCurve:
    """The curve of a chip: the fitted one if there is one, else from its idle and peak power.

    BadRequest for a chip whose peak power nobody publishes.
    """
    if fitted is not None and chip.name in fitted:
        return fitted[chip.name]
    peak = chip.power_w
    if peak is None:
        raise BadRequest(
            f"No power is published for {chip.name}, so its energy can't be told. Write power_w"
            f" into a chip file of your own, {chip.name}.toml."
        )
    if chip.idle_w is not None:
        idle, is_estimate = chip.idle_w.value, peak.estimate or chip.idle_w.estimate
    else:
        idle, is_estimate = peak.value * site.idle_fraction.value, True
    if idle > peak.value:
        raise BadRequest(f"{chip.name} draws {idle} W idle and {peak.value} W at most: swapped?")
    return PowerCurve(idle, peak.value - idle, is_estimate)


def wall_power(
    curve: PowerCurve, load: Quantity, site: Site, server: Server | None = None
) -> WallPower:
    """What one chip of a server draws at the wall at a load of 0 to 1."""
    own = server.host_share if server is not None else None
    share = (own or site.host_share).value
    chip_w = curve.watts(load)
    host_w = share * (curve.idle_w + curve.slope_w)
    return WallPower(chip_w, host_w, (chip_w + host_w) * (site.pue.value - 1))
