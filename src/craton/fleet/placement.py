"""Where a gang goes: the best place in a pool, decided from counts and not by looking at hosts.

One place is better than another by the first of these in which they differ:

1. it touches fewer rows;
2. it touches fewer leaves;
3. it breaks fewer whole leaves (those with as many free hosts as the pool's largest leaf has);
4. it leaves fewer free hosts in the leaves it touches, so that large free leaves stay;
5. it leaves fewer free hosts in the rows it touches;
6. its rows, then its leaves of one size, then its hosts have lower numbers.

Exact, up to 5, for gangs of whole hosts in one leaf or one row; over several rows as
`placement_rows` says. A gang that takes a part of each host, and the rest of one that isn't a
number of whole hosts, are placed as `placement_parts` says. Nothing here changes the pool, draws a
random number or looks at a clock: the same pool gives the same place.
"""

import msgspec
import numpy as np

from craton.fleet.placement_choice import Leaves, choose_leaf, choose_row
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.placement_leaves import Field, capped, held_at_most
from craton.fleet.placement_parts import (
    leaf_beside,
    place_on_one,
    place_parts,
    rest_hosts,
    with_rest,
)
from craton.fleet.placement_refusal import refusal
from craton.fleet.placement_rows import choose_rows
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Numbers


def place(pool: Pool, demand: Demand) -> Placement | Refusal:
    """The best place for a gang, or why there is none.

    BadRequest if no pool of such hosts could ever have one. The place holds until the pool changes.
    """
    layout = pool.layout
    demand.check(layout.chips_per_host)
    if demand.rest_chips:
        found = _with_rest(pool, demand)
    elif demand.chips_per_host == layout.chips_per_host:
        found = _whole(pool, demand, demand.hosts)
    elif demand.hosts == 1:
        found = place_on_one(pool, demand.chips_per_host) or _opened(pool, demand.chips_per_host)
    else:
        found = place_parts(pool, demand, choose)
    return found or refusal(pool, demand)


def choose(field: Field, pool: Pool, demand: Demand, wanted: int) -> Leaves | None:
    """The leaves for `wanted` hosts: one leaf, else one row, else several."""
    row_start = pool.layout.row_start
    found = choose_leaf(field, row_start, wanted)
    if found is None and not demand.is_one_leaf:
        found = choose_row(field, row_start, wanted)
        if found is None and not demand.is_one_row:
            found = choose_rows(field, row_start, wanted)
    return found


def whole_field(pool: Pool, demand: Demand) -> Field:
    """What the pool's free hosts offer to a gang."""
    top = pool.layout.leaf_hosts_max
    per_leaf = min(demand.hosts_per_leaf_max or top, top)
    leaves, hosts = capped(pool.leaves_with, pool.hosts_with, per_leaf)
    held = pool.held if per_leaf == top else held_at_most(np.diff(pool.held), per_leaf)
    room = hosts[1]
    if pool.power.caps_rows and pool.layout.draw_w:
        fed = pool.power.row_hosts(pool.layout.power_rows, pool.layout.draw_w)
        room = np.minimum(fed, room, out=fed)
    if demand.hosts_per_row_max is not None:
        room = np.minimum(room, demand.hosts_per_row_max)
    return Field(
        leaf_class=pool.leaf_free,
        all_leaves=pool.leaves_with,
        leaves=leaves,
        hosts=hosts,
        held=held,
        whole=pool.leaves_with[top],
        room=room,
        free=pool.hosts_with[1],
        top=top,
        per_leaf=per_leaf,
    )


def _whole(pool: Pool, demand: Demand, wanted: int) -> Placement | None:
    """A place on whole hosts."""
    if wanted > pool.power.site_hosts(pool.layout.draw_w):
        return None
    leaves = choose(whole_field(pool, demand), pool, demand, wanted)
    if leaves is None:
        return None
    hosts = _free_hosts(pool, leaves, wanted)
    rows = pool.layout.row_of_leaf.take(leaves.leaves)
    touched = 1 if rows[0] == rows[-1] else 1 + int(np.count_nonzero(rows[1:] != rows[:-1]))
    return Placement(hosts, np.full(wanted, pool.full), touched, len(rows))


def _free_hosts(pool: Pool, chosen: Leaves, wanted: int) -> Numbers:
    """The lowest free hosts of each leaf, as many as it gives: `wanted` in all."""
    leaves, gives = chosen
    starts = pool.layout.leaf_start.take(leaves)
    sizes = pool.layout.leaf_start.take(leaves + 1) - starts
    free = pool.leaf_free.take(leaves)
    # Of a leaf that is free as a whole the first hosts; of others, those that are free.
    is_whole = free == sizes
    hosts = _ranges(starts, np.where(is_whole, gives, sizes))
    if len(hosts) == wanted:
        return hosts
    hosts = hosts[pool.offered.take(hosts) == pool.full]
    if len(hosts) > wanted:
        left = np.where(is_whole, gives, free)
        hosts = hosts[_ranges(left.cumsum() - left, gives)]
    return hosts


def _ranges(starts: Numbers, sizes: Numbers) -> Numbers:
    """The numbers of some ranges, one after the other."""
    ends = sizes.cumsum()
    numbers = (starts - ends + sizes).astype(np.int32).repeat(sizes)
    numbers += np.arange(ends[-1], dtype=np.int32)
    return numbers


def _opened(pool: Pool, chips: int) -> Placement | None:
    """Chips of a free host, where no partly free one has them."""
    found = _whole(pool, Demand(1, pool.layout.chips_per_host), 1)
    if found is None:
        return None
    best = pool.layout.chips.best(pool.layout.chips.full, chips)
    assert best is not None
    return Placement(found.hosts, np.array([best.mask], np.uint32), 1, 1, best.cut)


def _with_rest(pool: Pool, demand: Demand) -> Placement | None:
    """Whole hosts and a part of one more: beside a partly free host, or with one more free host.

    The one that touches fewer rows and leaves is taken; alike, the one that opens no host.
    """
    rests = rest_hosts(pool, demand.rest_chips)
    beside = _beside(pool, demand, rests) if len(rests) else None
    opened = _whole(pool, demand, demand.hosts + 1)
    if opened is not None:
        opened = with_rest(pool, opened.hosts[:-1], opened.hosts[-1:], demand.rest_chips)
    if beside is None or opened is None:
        return beside or opened
    is_better = (opened.rows, opened.leaves) < (beside.rows, beside.leaves)
    return opened if is_better else beside


def _beside(pool: Pool, demand: Demand, rests: Numbers) -> Placement | None:
    """Whole hosts where a partly free host has the rest: in the leaf, else the row, else apart."""
    if demand.hosts > pool.power.site_hosts(pool.layout.draw_w):
        return None
    layout, field = pool.layout, whole_field(pool, demand)
    found = leaf_beside(field, layout, rests, demand.hosts)
    if found is None and not demand.is_one_leaf:
        rows = np.zeros(layout.rows, np.bool_)
        rows[layout.row_of_leaf[layout.leaf_of_host[rests]]] = True
        with_rests = msgspec.structs.replace(field, room=field.room * rows)
        found = choose_row(with_rests, layout.row_start, demand.hosts)
        if found is None and not demand.is_one_row:
            found = choose(field, pool, demand, demand.hosts)
    if found is None:
        return None
    return with_rest(pool, _free_hosts(pool, found, demand.hosts), rests, demand.rest_chips)
