"""What a host is called, what it holds and what it draws: EC2's instance types, and Craton's own.

One table (`instance_types.toml`) ties a type to a server of the chip catalogue. An operator's own
folder of such files adds types, and a type of the same name there takes the place of ours.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import msgspec

from craton.fleet.records import HOST_CHIPS_MAX
from craton.kernel.errors import BadRequest, NotFound
from craton.kernel.units import NANOS_PER_UNIT
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import PriceKind, Server
from craton.silicon.power import PowerCurve, Site, power_curve, wall_power
from craton.silicon.prices import chip_hour

BUNDLED = Path(__file__).with_name("instance_types.toml")
LOCAL = "craton.local"
"""The type of the machine that Craton runs on, whatever that is."""


class InstanceType(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of host. Power is watts at the wall with every chip at full load."""

    name: str
    chip: str
    """Its chip's name in the catalogue."""
    chips: int
    server: str
    draw_w: int | None = None
    """None where nobody publishes what its chip draws."""
    is_draw_estimated: bool = False
    owned_nanos_hour: int | None = None
    """What a chip-hour costs who owns the host, in nano-dollars: capital and energy."""
    energy_nanos_hour: int | None = None
    """Its energy alone, at the wall and at the site's mean load."""
    sides: tuple[int, ...] = ()
    """Sides of the torus that its chips form; none where any chip reaches any other alike."""
    ultraservers: Mapping[str, int] = {}
    """UltraServers it comes in, and how many hosts each has."""
    vcpus: int | None = None
    memory_gib: int | None = None
    is_own: bool = False
    """Whether the name is Craton's and not EC2's."""
    chip_title: str = ""
    vendor: str = ""
    chip_memory_mib: int = 0
    """Of one chip; 0 where it isn't known."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    server: str
    chips: int
    sides: tuple[int, ...] = ()
    ultraservers: dict[str, int] = {}
    vcpus: int | None = None
    memory_gib: int | None = None
    own: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class InstanceTypes:
    """Every type by name."""

    by_name: Mapping[str, InstanceType]

    def get(self, name: str) -> InstanceType:
        """The type of that name; NotFound says which are near."""
        found = self.by_name.get(name)
        if found is None:
            near = get_close_matches(name, self.by_name, n=3, cutoff=0.5)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise NotFound(f"There is no instance type {name!r}.{hint}")
        return found

    def of_ultraserver(self, name: str) -> InstanceType:
        """The type that an UltraServer is made of; NotFound lists the UltraServers there are."""
        known: dict[str, InstanceType] = {
            ultra: each for each in self.by_name.values() for ultra in each.ultraservers
        }
        if name not in known:
            raise NotFound(f"There is no UltraServer {name!r}; there are {', '.join(known)}.")
        return known[name]


def load_instance_types(
    catalogue: Catalogue, site: Site, files: Iterable[Path] = ()
) -> InstanceTypes:
    """Read the bundled table, then other files. BadRequest names the file and the entry."""
    found: dict[str, InstanceType] = {}
    for path in (BUNDLED, *files):
        for entry in _read(path):
            found[entry.name] = _type(entry, catalogue, site, path.name)
    return InstanceTypes(found)


def _read(path: Path) -> tuple[_Entry, ...]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(data, _File).type
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"Instance types in {path.name}: {error}.") from None


def _type(entry: _Entry, catalogue: Catalogue, site: Site, file: str) -> InstanceType:
    where = f"Instance types in {file}: {entry.name}"
    try:
        server = catalogue.server(entry.server)
        chip = catalogue.chip(server.chip)
    except NotFound as error:
        raise BadRequest(f"{where}: {error.message}") from None
    size = 1
    for side in entry.sides:
        size *= side
    if entry.sides and size != entry.chips:
        raise BadRequest(f"{where} has {entry.chips} chips and sides that make {size}.")
    if not 1 <= entry.chips <= HOST_CHIPS_MAX:
        raise BadRequest(f"{where} has {entry.chips} chips; a host has 1 to {HOST_CHIPS_MAX}.")
    for ultra, hosts in entry.ultraservers.items():
        if hosts < 1:
            raise BadRequest(f"{where}: the UltraServer {ultra} has {hosts} hosts.")
    curve = power_curve(chip, site) if chip.power_w is not None else None
    owned = chip_hour(chip, (server,), site, (PriceKind.OWNED,))
    return InstanceType(
        name=entry.name,
        chip=chip.name,
        chips=entry.chips,
        server=server.name,
        draw_w=_draw_w(curve, site, server, entry.chips) if curve is not None else None,
        is_draw_estimated=curve is not None and curve.estimate,
        owned_nanos_hour=None if owned is None else round(owned.usd * NANOS_PER_UNIT),
        energy_nanos_hour=_energy_nanos(curve, site, server) if curve is not None else None,
        sides=entry.sides,
        ultraservers=entry.ultraservers,
        vcpus=entry.vcpus,
        memory_gib=entry.memory_gib,
        is_own=entry.own,
        chip_title=chip.title,
        vendor=chip.vendor,
        chip_memory_mib=round(chip.memory_gib.value * 1024),
    )


def _energy_nanos(curve: PowerCurve, site: Site, server: Server) -> int:
    kwh = float(wall_power(curve, site.load.value, site, server).kwh(1))
    return round(kwh * site.usd_kwh.value * NANOS_PER_UNIT)


def _draw_w(curve: PowerCurve, site: Site, server: Server, chips: int) -> int:
    return round(float(wall_power(curve, 1.0, site, server).total_w) * chips)
