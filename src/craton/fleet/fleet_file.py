"""What an operator writes of their sites: one TOML file, read whole or refused with the line.

    [[site]]
    name = "north"
    driver = "simulated"            # or "local", for this machine
    power_kw = 40_000               # what the site may draw; none: no cap
    [[site.row]]
    name = "a"
    count = 4                       # rows a1 to a4, alike; without it one row of that name
    power_kw = 9_000
    [[site.row.rack]]
    name = "t"
    count = 40                      # racks t1 to t40 in each of them
    type = "trn2u.48xlarge"
    ultraserver = "u-trn2x64"       # a rack is one UltraServer; or hosts = N for loose servers
    spares = 2                      # of these racks (or of these hosts), held back for repairs
    [[site.row.rack]]
    name = "d"
    type = "p5en.48xlarge"
    hosts = 8
    divided = true                  # leased in parts of chips, and not promised ahead
    [this_machine]
    divided = true                  # the machine that Craton runs on, too

Names of hosts are paths: `north/a1/t7/2`.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from craton.fleet.file_lines import FileLines
from craton.fleet.instance_types import InstanceType, InstanceTypes
from craton.kernel.errors import BadRequest, NotFound

HOSTS_MAX = 4_000_000
COUNT_MAX = 100_000
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class DriverKind(StrEnum):
    """Who starts and stops what runs on a host."""

    LOCAL = "local"
    SIMULATED = "simulated"


class RackEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`count` racks alike, each one UltraServer or `hosts` loose servers."""

    name: str
    type: str
    count: int = 1
    ultraserver: str | None = None
    hosts: int | None = None
    spares: int = 0
    """UltraServers, or loose hosts, of all these racks together, that aren't sold."""
    draw_w: int | None = None
    """What a host draws at full load; by default what the instance type says."""
    divided: bool = False
    """Whether its hosts are leased in parts. They aren't promised ahead then."""


class RowEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`count` rows alike."""

    name: str
    rack: tuple[RackEntry, ...]
    count: int = 1
    power_kw: int | None = None
    oversubscribed: bool = False
    """Whether its racks may be able to draw more than its power: then less of them is leased."""


class SiteEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One site: what customers call an availability zone."""

    name: str
    driver: DriverKind
    row: tuple[RowEntry, ...]
    power_kw: int | None = None
    oversubscribed: bool = False
    exclusive_to: str | None = None
    """The account that alone may use it."""


class ThisMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine that Craton runs on, which is a site by itself."""

    divided: bool = False
    """As that of a rack."""


class FleetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    site: tuple[SiteEntry, ...] = ()
    this_machine: ThisMachine | None = None


def read_fleet_file(text: str, types: InstanceTypes, taken: Sequence[str] = ()) -> FleetFile:
    """Read and check a fleet file. BadRequest says the line, what is wrong there, and what fits.

    `taken`: names of sites that are there already.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"The fleet file is not TOML: {error}.") from None
    lines = FileLines(text, "The fleet file was not applied.")
    try:
        file = msgspec.convert(data, FleetFile)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise lines.refusal(path.rstrip("`"), f"{what}.") from None
    _Check(lines, types).file(file, taken)
    return file


class _Check:
    """What the shape of the file doesn't say: names, numbers, types, power."""

    def __init__(self, lines: FileLines, types: InstanceTypes) -> None:
        self._lines = lines
        self._types = types
        self._hosts = 0

    def file(self, file: FleetFile, taken: Sequence[str]) -> None:
        if not file.site and file.this_machine is None:
            raise self._lines.refusal("$", "there is no site. Write at least one [[site]].")
        self._names("$.site", [(site.name, 0) for site in file.site])
        for at, site in enumerate(file.site):
            if site.name in taken:
                raise self._lines.refusal(
                    f"$.site[{at}].name", f"{site.name} is this machine's own site."
                )
            self._site(f"$.site[{at}]", site)

    def _site(self, path: str, site: SiteEntry) -> None:
        self._power(f"{path}.power_kw", site.power_kw)
        if site.driver is DriverKind.LOCAL:
            raise self._lines.refusal(
                f"{path}.driver",
                "this machine is a site by itself, discovered when Craton starts; a file has "
                'sites of other machines, with driver = "simulated".',
            )
        self._names(f"{path}.row", [(row.name, row.count) for row in site.row])
        for at, row in enumerate(site.row):
            self._row(f"{path}.row[{at}]", row)
        if site.power_kw is not None and not site.oversubscribed:
            rows_kw = [(row.power_kw or self._row_w(row) // 1000) * row.count for row in site.row]
            if sum(rows_kw) > site.power_kw:
                raise self._lines.refusal(
                    f"{path}.power_kw",
                    f"{site.name} may draw {site.power_kw} kW, and its rows {sum(rows_kw)} kW "
                    "together. Correct one of them, or write oversubscribed = true: then no more "
                    "is leased at a time than the site can feed.",
                )

    def _row(self, path: str, row: RowEntry) -> None:
        self._positive(f"{path}.count", row.count)
        self._power(f"{path}.power_kw", row.power_kw)
        self._names(f"{path}.rack", [(rack.name, rack.count) for rack in row.rack])
        for at, rack in enumerate(row.rack):
            self._rack(f"{path}.rack[{at}]", rack, row.count)
            if row.power_kw is not None and draw_w(rack, self._type(path, rack)) is None:
                raise self._lines.refusal(
                    f"{path}.rack[{at}].type",
                    f"nobody publishes what the {self._type(path, rack).chip} draws. Write draw_w, "
                    "the watts of one host at full load.",
                )
        if row.power_kw is None or row.oversubscribed:
            return
        needed_w = self._row_w(row)
        if needed_w > row.power_kw * 1000:
            raise self._lines.refusal(
                f"{path}.power_kw",
                f"the row {row.name} may draw {row.power_kw} kW, and its racks need "
                f"{needed_w / 1000:.0f} kW at full load. Correct one of them, or write "
                "oversubscribed = true: then no more is leased at a time than the row can feed.",
            )

    def _row_w(self, row: RowEntry) -> int:
        return sum(
            (draw_w(rack, self._types.get(rack.type)) or 0) * hosts_of(rack, self._types)
            for rack in row.rack
        )

    def _rack(self, path: str, rack: RackEntry, rows: int) -> None:
        self._positive(f"{path}.count", rack.count)
        kind = self._type(path, rack)
        if rack.ultraserver is not None and rack.ultraserver not in kind.ultraservers:
            known = ", ".join(kind.ultraservers) or "no UltraServer"
            raise self._lines.refusal(
                f"{path}.ultraserver",
                f"{rack.type} doesn't come in {rack.ultraserver!r}; it comes in {known}.",
            )
        if (rack.ultraserver is None) == (rack.hosts is None):
            raise self._lines.refusal(
                f"{path}.hosts",
                "a rack is one UltraServer (ultraserver = …) or some loose servers (hosts = …): "
                "write one of the two.",
            )
        if rack.hosts is not None:
            self._positive(f"{path}.hosts", rack.hosts)
        if rack.divided and (rack.ultraserver is not None or rack.spares):
            raise self._lines.refusal(
                f"{path}.divided",
                "hosts that are leased in parts are loose servers (hosts = …) without spares: they "
                "aren't promised ahead.",
            )
        if rack.draw_w is not None:
            self._positive(f"{path}.draw_w", rack.draw_w)
        units = rack.count * (rack.hosts or 1)
        if not 0 <= rack.spares < units:
            raise self._lines.refusal(
                f"{path}.spares", f"{rack.spares} spares of {units}: some must be left to lease."
            )
        self._hosts += hosts_of(rack, self._types) * rows
        if self._hosts > HOSTS_MAX:
            raise self._lines.refusal(
                f"{path}.count", f"more than {HOSTS_MAX} hosts by here: is a count mistaken?"
            )

    def _type(self, path: str, rack: RackEntry) -> InstanceType:
        try:
            return self._types.get(rack.type)
        except NotFound as error:
            raise self._lines.refusal(f"{path}.type", error.message) from None

    def _names(self, path: str, named: list[tuple[str, int]]) -> None:
        """Refuse names that can't be one, and places that would be two things."""
        seen: dict[str, int] = {}
        for at, (name, count) in enumerate(named):
            where = f"{path}[{at}].name"
            if not _NAME.fullmatch(name if count <= 1 else f"{name}1"):
                raise self._lines.refusal(
                    where,
                    f"{name!r} is no name: write small letters, digits and hyphens, 32 at most.",
                )
            if count > COUNT_MAX:
                raise self._lines.refusal(
                    f"{path}[{at}].count", f"{count} alike is more than {COUNT_MAX}: mistaken?"
                )
            for each in _expanded(name, count):
                if each in seen:
                    raise self._lines.refusal(
                        where,
                        f"{each} is there already (entry {seen[each] + 1}): one thing can't be "
                        "in two places, nor two things in one.",
                    )
                seen[each] = at

    def _positive(self, path: str, number: int) -> None:
        if number < 1:
            raise self._lines.refusal(path, f"{number} is less than one.")

    def _power(self, path: str, power_kw: int | None) -> None:
        if power_kw is not None:
            self._positive(path, power_kw)


def draw_w(rack: RackEntry, kind: InstanceType) -> int | None:
    """What one host of a rack draws at full load, in watts; None where nobody says."""
    return rack.draw_w if rack.draw_w is not None else kind.draw_w


def hosts_of(rack: RackEntry, types: InstanceTypes) -> int:
    """How many hosts an entry stands for, in one row."""
    return rack.count * hosts_each(rack, types)


def hosts_each(rack: RackEntry, types: InstanceTypes) -> int:
    """How many hosts one rack of an entry has."""
    if rack.ultraserver is not None:
        return types.get(rack.type).ultraservers.get(rack.ultraserver, 1)
    return rack.hosts or 1


def names(name: str, count: int) -> list[str]:
    """The names of `count` things alike: numbered from 1, unless there is only one."""
    return list(_expanded(name, count))


def _expanded(name: str, count: int) -> Iterator[str]:
    if count <= 1:
        yield name
    else:
        yield from (f"{name}{number}" for number in range(1, count + 1))
