"""What doesn't change about a pool: its hosts in topological order, and the power they draw."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craton.fleet.subsets import HostChips, host_chips
from craton.kernel.errors import Internal

Numbers = NDArray[np.int32]
Watts = NDArray[np.int64]

UNLIMITED = 1 << 40
"""More watts, or hosts, than anybody has: where nothing is capped."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The hosts of one instance type in one zone, numbered row by row and leaf by leaf.

    Leaf `i` is the hosts `leaf_start[i]` to `leaf_start[i + 1] - 1` and stands in row
    `row_of_leaf[i]` of the pool; `power_rows` says which row of the site's `Power` each row of the
    pool is. `sides` are those of the torus that a host's chips form, none where any chip reaches
    any other alike. `draw_w` is what a host draws at full load, its share of cooling and of the
    network included; 0 where nobody counts.
    """

    chips_per_host: int
    leaf_start: Numbers
    row_of_leaf: Numbers
    power_rows: Numbers
    sides: tuple[int, ...] = ()
    draw_w: int = 0
    hosts: int = field(init=False)
    leaves: int = field(init=False)
    rows: int = field(init=False)
    leaf_hosts_max: int = field(init=False)
    """Hosts of the largest leaf. A leaf with that many free ones is whole."""
    leaf_of_host: Numbers = field(init=False, repr=False)
    row_start: list[int] = field(init=False, repr=False)
    """The first leaf of each row, and the number of leaves."""
    chips: HostChips = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = np.diff(self.leaf_start)
        steps = np.diff(self.row_of_leaf)
        assert len(sizes) == len(self.row_of_leaf) > 0, "a pool without leaves"
        assert self.leaf_start[0] == 0, "hosts are numbered from 0"
        assert (sizes > 0).all(), "a leaf without hosts"
        assert self.row_of_leaf[0] == 0, "rows are numbered from 0"
        assert ((steps == 0) | (steps == 1)).all(), "rows out of order, or one without leaves"
        rows = int(self.row_of_leaf[-1]) + 1
        assert len(set(self.power_rows.tolist())) == len(self.power_rows) == rows, "power rows"
        starts = np.searchsorted(self.row_of_leaf, np.arange(rows + 1)).tolist()
        for name, value in (
            ("hosts", int(self.leaf_start[-1])),
            ("leaves", len(sizes)),
            ("rows", rows),
            ("leaf_hosts_max", int(sizes.max())),
            ("leaf_of_host", np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)),
            ("row_start", starts),
            # Of the type that NumPy indexes with: it would be made of any other each time.
            ("power_rows", self.power_rows.astype(np.intp)),
            ("chips", host_chips(self.chips_per_host, self.sides)),
        ):
            object.__setattr__(self, name, value)

    def place_of(self, hosts: Numbers) -> tuple[Numbers, Numbers]:
        """The leaf and the row of each host."""
        leaves = self.leaf_of_host.take(hosts)
        return leaves, self.row_of_leaf.take(leaves)


class Power:
    """What the rows of one site, and the site, may draw and do: shared by the site's pools.

    A host counts with its full draw from the first of its chips that is taken until the last is
    given back: a job may use what it holds. What idle hosts draw isn't counted; whoever caps a row
    takes it off first. None caps nothing.
    """

    def __init__(self, row_caps_w: list[int | None], site_cap_w: int | None) -> None:
        caps = [UNLIMITED if cap is None else cap for cap in row_caps_w]
        self.row_cap_w: Watts = np.array(caps, np.int64)
        self.caps_rows = any(cap is not None for cap in row_caps_w)
        self.row_used_w: Watts = np.zeros(len(caps), np.int64)
        self.site_cap_w = UNLIMITED if site_cap_w is None else site_cap_w
        self.site_used_w = 0

    def row_hosts(self, rows: Numbers, draw_w: int) -> NDArray[np.int64]:
        """How many more hosts of that draw each of these rows can feed; never negative."""
        if draw_w == 0 or not self.caps_rows:
            return np.full(len(rows), UNLIMITED, np.int64)
        left = self.row_cap_w.take(rows)
        left -= self.row_used_w.take(rows)
        left //= draw_w
        return np.maximum(left, 0, out=left)

    def site_hosts(self, draw_w: int) -> int:
        """How many more hosts of that draw the site can feed; never negative."""
        return max(self.site_cap_w - self.site_used_w, 0) // draw_w if draw_w else UNLIMITED

    def add(self, rows: Sequence[tuple[int, int]], draw_w: int) -> None:
        """So many hosts of each of these rows begin to draw, or with a negative draw end.

        A cap isn't asked here: what was promised before a cap was lowered still holds.
        """
        used = [int(self.row_used_w[row]) + hosts * draw_w for row, hosts in rows]
        site = self.site_used_w + sum(hosts for _, hosts in rows) * draw_w
        if min(site, *used) < 0:
            raise Internal("More power was given back than was drawn; the fleet's books are wrong.")
        for (row, _), used_w in zip(rows, used, strict=True):
            self.row_used_w[row] = used_w
        self.site_used_w = site
