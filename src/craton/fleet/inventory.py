"""What a fleet file means: pools of hosts in topological order, and the rows that feed them.

No Python object is made for a host: a fleet of 1.4 million chips is a few arrays. A host is a
number in its pool; its name is worked out when somebody wants to read it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craton.fleet.fleet_file import (
    DriverKind,
    FleetFile,
    RackEntry,
    RowEntry,
    SiteEntry,
    draw_w,
    hosts_each,
    names,
)
from craton.fleet.instance_types import InstanceType, InstanceTypes
from craton.kernel.errors import NotFound

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segment:
    """Racks alike in one row: leaves `first_leaf` and on."""

    first_leaf: int
    row: str
    rack: str
    racks: int

    def rack_name(self, number: int) -> str:
        """The name of the rack `number` places after the first."""
        return f"{self.rack}{number + 1}" if self.racks > 1 else self.rack


@dataclass(frozen=True, slots=True)
class Hosts:
    """Some hosts of a pool that lie together: `first` to `last - 1`."""

    pool: "PoolPlan"
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The hosts of one type in one zone, in topological order: row by row, leaf by leaf.

    A leaf is an UltraServer, or a rack of loose servers. `rows` says which row of the inventory
    each of the pool's rows is.
    """

    key: str
    zone: str
    type: InstanceType
    ultraserver: str | None
    driver: DriverKind
    exclusive_to: str | None
    is_divided: bool
    """Whether its hosts are leased in parts, and not promised ahead."""
    draw_w: int | None
    leaf_start: Numbers
    row_of_leaf: Numbers
    rows: Numbers
    spare: NDArray[np.bool_]
    segments: tuple[Segment, ...]

    @property
    def hosts(self) -> int:
        """How many hosts there are, spares included."""
        return int(self.leaf_start[-1])

    @property
    def hosts_per_unit(self) -> int:
        """What is sold as one: an UltraServer's hosts, or one."""
        return self.type.ultraservers[self.ultraserver] if self.ultraserver else 1

    @property
    def units(self) -> int:
        """How many of those there are to sell: all but the spares; of divided hosts none."""
        return 0 if self.is_divided else (self.hosts - int(self.spare.sum())) // self.hosts_per_unit

    def leaf_of(self, host: int) -> int:
        """The leaf a host is in."""
        return int(np.searchsorted(self.leaf_start, host, side="right")) - 1

    def leaf_name(self, leaf: int) -> str:
        """`site/row/rack`."""
        at = bisect_right(self.segments, leaf, key=lambda each: each.first_leaf) - 1
        segment = self.segments[at]
        return f"{self.zone}/{segment.row}/{segment.rack_name(leaf - segment.first_leaf)}"

    def host_name(self, host: int) -> str:
        """`site/row/rack/number`, numbers from 1."""
        leaf = self.leaf_of(host)
        return f"{self.leaf_name(leaf)}/{host - int(self.leaf_start[leaf]) + 1}"


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One row; `power_w` is None where nothing caps it."""

    site: str
    name: str
    power_w: int | None


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One site; `power_w` is None where nothing caps it."""

    name: str
    driver: DriverKind
    power_w: int | None
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything the operator has."""

    sites: tuple[SitePlan, ...]
    rows: tuple[RowPlan, ...]
    pools: tuple[PoolPlan, ...]
    by_key: dict[str, PoolPlan] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_key", {pool.key: pool for pool in self.pools})

    @property
    def chips(self) -> int:
        """All chips, spares included."""
        return sum(pool.hosts * pool.type.chips for pool in self.pools)

    def find(self, name: str) -> list[Hosts]:
        """The hosts under a path: a site, `site/row`, `site/row/rack` or a host. NotFound else."""
        parts = name.strip("/").split("/")
        found = [
            hosts
            for pool in self.pools
            if pool.zone == parts[0]
            for hosts in _under(pool, parts[1:])
        ]
        if not found:
            if not self.pools:
                raise NotFound(f"There is nothing called {name!r}: the fleet is empty.")
            raise NotFound(
                f"There is nothing called {name!r} in the fleet. Names are site/row/rack/host, "
                f"such as {self.pools[0].host_name(0)!r}; `craton fleet show` lists them."
            )
        return found


def _under(pool: PoolPlan, parts: list[str]) -> Iterator[Hosts]:
    """The hosts of a pool whose path begins so."""
    if not parts:
        yield Hosts(pool, 0, pool.hosts)
        return
    ends = [*(segment.first_leaf for segment in pool.segments[1:]), len(pool.row_of_leaf)]
    for segment, end in zip(pool.segments, ends, strict=True):
        if segment.row != parts[0]:
            continue
        leaves = _leaves(segment, end, parts[1]) if len(parts) > 1 else (segment.first_leaf, end)
        if leaves is None:
            continue
        first, last = int(pool.leaf_start[leaves[0]]), int(pool.leaf_start[leaves[1]])
        if len(parts) == 3:
            number = int(parts[2]) if parts[2].isdecimal() and len(parts[2]) < 9 else 0
            if not 1 <= number <= last - first:
                continue
            first, last = first + number - 1, first + number
        if len(parts) <= 3:
            yield Hosts(pool, first, last)


def _leaves(segment: Segment, end: int, rack: str) -> tuple[int, int] | None:
    """The one leaf of that name among the segment's."""
    if segment.racks == 1:
        return (segment.first_leaf, end) if rack == segment.rack else None
    number = rack.removeprefix(segment.rack)
    if number == rack or not number.isdecimal() or number.startswith("0") or len(number) > 8:
        return None
    leaf = segment.first_leaf + int(number) - 1
    return (leaf, leaf + 1) if leaf < end else None


class _Growing:
    """A pool while the file is walked."""

    def __init__(self, site: SiteEntry, kind: InstanceType, rack: RackEntry) -> None:
        self.site = site
        self.type = kind
        self.ultraserver = rack.ultraserver
        self.is_divided = rack.divided
        self.draw_w: int | None = None
        self.sizes: list[Numbers] = []
        self.row_of_leaf: list[Numbers] = []
        self.rows: list[int] = []
        self.spare: list[NDArray[np.bool_]] = []
        self.segments: list[Segment] = []
        self.leaves = 0

    def add(self, row: int, row_name: str, rack: RackEntry, types: InstanceTypes) -> None:
        """The racks of one entry, in one row."""
        each = hosts_each(rack, types)
        if not self.rows or self.rows[-1] != row:
            self.rows.append(row)
        self.segments.append(Segment(self.leaves, row_name, rack.name, rack.count))
        self.sizes.append(np.full(rack.count, each, np.int32))
        self.row_of_leaf.append(np.full(rack.count, len(self.rows) - 1, np.int32))
        spare = np.zeros(rack.count * each, np.bool_)
        held_back = rack.spares * (each if rack.ultraserver else 1)
        if held_back:
            spare[-held_back:] = True
        self.spare.append(spare)
        self.leaves += rack.count
        # Racks of one pool that draw differently are all taken for the thirstiest.
        drawn = draw_w(rack, self.type)
        self.draw_w = max(drawn or 0, self.draw_w or 0) or None

    def plan(self) -> PoolPlan:
        """The pool, now that all of it was seen."""
        sizes = np.concatenate(self.sizes)
        start = np.zeros(len(sizes) + 1, np.int32)
        np.cumsum(sizes, out=start[1:])
        return PoolPlan(
            key=self._key(),
            zone=self.site.name,
            type=self.type,
            ultraserver=self.ultraserver,
            driver=self.site.driver,
            exclusive_to=self.site.exclusive_to,
            is_divided=self.is_divided,
            draw_w=self.draw_w,
            leaf_start=start,
            row_of_leaf=np.concatenate(self.row_of_leaf),
            rows=np.array(self.rows, np.int32),
            spare=np.concatenate(self.spare),
            segments=tuple(self.segments),
        )

    def _key(self) -> str:
        """This machine's pool has one name, divided or not: what runs there goes on."""
        key = f"{self.site.name}/{self.ultraserver or self.type.name}"
        is_apart = self.is_divided and self.site.driver is not DriverKind.LOCAL
        return f"{key}.divided" if is_apart else key


def build_inventory(file: FleetFile, types: InstanceTypes) -> Inventory:
    """The inventory of a file that was checked."""
    sites: list[SitePlan] = []
    rows: list[RowPlan] = []
    pools: list[PoolPlan] = []
    for site in file.site:
        first = len(rows)
        growing: dict[tuple[str, str | None, bool], _Growing] = {}
        for entry, name in _rows(site.row):
            for rack in entry.rack:
                kind = types.get(rack.type)
                key = (rack.type, rack.ultraserver, rack.divided)
                pool = growing.setdefault(key, _Growing(site, kind, rack))
                pool.add(len(rows), name, rack, types)
            rows.append(RowPlan(site.name, name, _watts(entry.power_kw)))
        sites.append(
            SitePlan(site.name, site.driver, _watts(site.power_kw), first, len(rows) - first)
        )
        pools += [pool.plan() for pool in growing.values()]
    return Inventory(tuple(sites), tuple(rows), tuple(pools))


def _rows(entries: Iterable[RowEntry]) -> Iterator[tuple[RowEntry, str]]:
    for entry in entries:
        for name in names(entry.name, entry.count):
            yield entry, name


def _watts(power_kw: int | None) -> int | None:
    return None if power_kw is None else power_kw * 1000
