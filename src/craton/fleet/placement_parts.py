"""Places on parts of hosts.

One part of one host: of the partly free hosts the one from which the chips are cut out of the
fewest links, then the one with the fewest free chips, then the lowest; a free host is opened only
if no partly free one has the chips.

The same part of several hosts: leaves are chosen by how many hosts of theirs have the chips, partly
free or not, in the order of `placement`; in each leaf partly free hosts go first, fewest links cut,
then fewest free chips. Where a row's power, or the site's, can't feed that many more hosts, those
are looked at that already draw, and of the others as many as are fed.

The rest beside whole hosts: on a partly free host that already draws; in the leaf of the whole
hosts if there is one, else in their rows.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from craton.fleet.placement_choice import Leaves
from craton.fleet.placement_demand import Demand, Placement
from craton.fleet.placement_leaves import Counts, Field, capped, held_at_most
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Numbers
from craton.fleet.subsets import IMPOSSIBLE

Choose = Callable[[Field, Pool, Demand, int], Leaves | None]

_BLOCK_HOSTS = 16_384
_COMPARED_MAX = 64


def place_on_one(pool: Pool, chips: int) -> Placement | None:
    """`chips` of the best partly free host, if one has them."""
    if not pool.partly[chips:].any():
        return None
    for host in _partly_free(pool, chips):
        if pool.taken[host] == 0 and not can_open(pool)[_row_of(pool.layout, host)]:
            continue
        return _masked(pool, np.array([host], np.int32), chips, leaves=1, rows=1)
    return None


def _partly_free(pool: Pool, chips: int) -> Iterator[int]:
    """Partly free hosts that have the chips, the best first."""
    if not len(pool.partly_by_mask):
        yield from _partly_free_without_tables(pool, chips)
        return
    masks = pool.partly_by_mask.nonzero()[0]
    cuts = pool.layout.chips.least_cuts(chips)[masks]
    enough = cuts != IMPOSSIBLE
    masks, cuts = masks[enough], cuts[enough]
    order = (cuts.astype(np.int32) << 8 | np.bitwise_count(masks)).argsort(kind="stable")
    for mask in masks[order].tolist():
        for first in range(0, pool.layout.hosts, _BLOCK_HOSTS):
            same = pool.offered[first : first + _BLOCK_HOSTS] == mask
            if same.any():
                yield from (first + same.nonzero()[0]).tolist()


def _partly_free_without_tables(pool: Pool, chips: int) -> Iterator[int]:
    """By fewest free chips; of the first `_COMPARED_MAX` alike, the fewest links cut first."""
    offered = np.bitwise_count(pool.offered)
    for count in range(chips, pool.layout.chips_per_host):
        if not pool.partly[count].any():
            continue
        hosts = (offered == count).nonzero()[0].tolist()
        first = hosts[:_COMPARED_MAX]
        yield from sorted(first, key=lambda host: (_best(pool, host, chips)[1], host))
        yield from hosts[_COMPARED_MAX:]


def _best(pool: Pool, host: int, chips: int) -> tuple[int, int]:
    best = pool.layout.chips.best(int(pool.offered[host]), chips)
    assert best is not None, f"host {host} hasn't {chips} chips"
    return best


def _row_of(layout: Layout, host: int) -> int:
    return int(layout.row_of_leaf[layout.leaf_of_host[host]])


def can_open(pool: Pool) -> NDArray[np.bool_]:
    """By row: whether power feeds one more host."""
    layout = pool.layout
    rows = pool.power.row_hosts(layout.power_rows, layout.draw_w) >= 1
    return rows & (pool.power.site_hosts(layout.draw_w) >= 1)


def _masked(pool: Pool, hosts: Numbers, chips: int, *, leaves: int, rows: int) -> Placement:
    """The best `chips` of each host."""
    bests = [_best(pool, host, chips) for host in hosts.tolist()]
    masks = np.array([mask for mask, _ in bests], np.uint32)
    return Placement(hosts, masks, rows, leaves, sum(cut for _, cut in bests))


def fitting(pool: Pool, chips: int, hosts: int) -> NDArray[np.bool_]:
    """By host: whether it has the chips, and is fed, if so many are opened that don't draw yet.

    Of hosts that don't, each row has as many as its power feeds, the lowest, and the site as well.
    """
    layout = pool.layout
    fits = np.bitwise_count(pool.offered) >= chips
    fed = pool.power.row_hosts(layout.power_rows, layout.draw_w)
    site = pool.power.site_hosts(layout.draw_w)
    if site >= hosts and (fed >= hosts).all():
        return fits
    draws = pool.taken != 0
    idle = fits & ~draws
    counted = np.concatenate(([0], idle.cumsum()))
    rows = layout.row_of_leaf[layout.leaf_of_host]
    first = layout.leaf_start[layout.row_start[:-1]]
    idle &= counted[1:] - counted[first][rows] <= fed[rows]
    idle &= idle.cumsum() <= site
    return fits & draws | idle


def place_parts(pool: Pool, demand: Demand, choose: Choose) -> Placement | None:
    """The same number of chips of several hosts."""
    layout, chips = pool.layout, demand.chips_per_host
    fits = fitting(pool, chips, demand.hosts)
    field = _parts_field(pool, demand, fits)
    chosen = choose(field, pool, demand, demand.hosts)
    if chosen is None:
        return None
    is_chosen = np.zeros(layout.leaves, np.bool_)
    is_chosen[chosen.leaves] = True
    hosts = (fits & is_chosen[layout.leaf_of_host]).nonzero()[0].astype(np.int32)
    offered = pool.offered[hosts]
    cuts = layout.chips.least_cuts(chips)[offered] if layout.chips.has_tables else 0 * offered
    leaves = layout.leaf_of_host[hosts]
    order = np.lexsort((hosts, np.bitwise_count(offered), cuts, offered == pool.full, leaves))
    counts = np.bincount(leaves, minlength=layout.leaves)[chosen.leaves]
    rank = np.arange(len(hosts)) - np.repeat(counts.cumsum() - counts, counts)
    hosts = np.sort(hosts[order][rank < np.repeat(chosen.hosts, counts)])
    rows = len(np.unique(layout.row_of_leaf[chosen.leaves]))
    return _masked(pool, hosts, chips, leaves=len(chosen.leaves), rows=rows)


def _parts_field(pool: Pool, demand: Demand, fits: NDArray[np.bool_]) -> Field:
    """Leaves by how many hosts fit. The whole leaves are a class of their own, above all others."""
    layout = pool.layout
    size = layout.leaf_hosts_max
    fit = np.add.reduceat(fits, layout.leaf_start[:-1], dtype=np.int32)
    is_whole = (pool.leaf_free == size) & (fit == size)
    leaf_class = fit + is_whole
    each = layout.row_of_leaf * np.int64(size + 2) + leaf_class
    counts = np.bincount(each, minlength=layout.rows * (size + 2)).reshape(layout.rows, -1).T
    all_leaves = _upwards(counts)
    per_leaf = min(demand.hosts_per_leaf_max or size, size)
    leaves, hosts = capped(all_leaves, _upwards(counts * np.arange(size + 2)[:, None]), per_leaf)
    room = hosts[1].astype(np.int64)
    if demand.hosts_per_row_max is not None:
        np.minimum(room, demand.hosts_per_row_max, out=room)
    return Field(
        leaf_class=leaf_class,
        all_leaves=all_leaves,
        leaves=leaves,
        hosts=hosts,
        held=held_at_most(_largest_first(layout, leaf_class), per_leaf),
        whole=all_leaves[size + 1],
        room=room,
        free=pool.hosts_with[1],
        top=size + 1,
        per_leaf=per_leaf,
    )


def _largest_first(layout: Layout, leaf_class: Counts) -> Counts:
    """By row: the classes of its leaves from the largest down, and zeros."""
    starts = np.array(layout.row_start)
    longest = int(np.diff(starts).max())
    by_row = np.zeros((layout.rows, longest), np.int32)
    by_row[layout.row_of_leaf, np.arange(layout.leaves) - starts[layout.row_of_leaf]] = leaf_class
    by_row.sort(axis=1)
    return by_row[:, ::-1]


def _upwards(counts: NDArray[np.int64]) -> Counts:
    """Sums from each class up, and a row of zeros last."""
    sums = np.zeros((len(counts) + 1, counts.shape[1]), np.int32)
    sums[:-1] = counts[::-1].cumsum(axis=0)[::-1]
    return sums


def rest_hosts(pool: Pool, chips: int) -> Numbers:
    """Partly free hosts that already draw and have the chips of a rest."""
    if not pool.partly[chips:].any():
        return np.zeros(0, np.int32)
    fits = (np.bitwise_count(pool.offered) >= chips) & (pool.taken != 0)
    return fits.nonzero()[0].astype(np.int32)


def leaf_beside(field: Field, layout: Layout, rests: Numbers, wanted: int) -> Leaves | None:
    """The tightest leaf that has both so many free hosts and one of `rests`."""
    leaves = np.unique(layout.leaf_of_host[rests])
    rows = layout.row_of_leaf[leaves]
    fits = (field.leaf_class[leaves] >= wanted) & (field.room[rows] >= wanted)
    if not fits.any():
        return None
    leaves, rows = leaves[fits], rows[fits]
    leaf = int(leaves[np.lexsort((field.free[rows], field.leaf_class[leaves]))[0]])
    return Leaves(np.array([leaf], np.intp), np.array([wanted], np.int32))


def with_rest(pool: Pool, whole: Numbers, rests: Numbers, chips: int) -> Placement:
    """Whole hosts, and the chips of the best of `rests`: in their leaves, else in their rows."""
    layout = pool.layout
    leaves, rests_in = layout.leaf_of_host[whole], layout.leaf_of_host[rests]
    near = np.isin(rests_in, leaves)
    if not near.any():
        near = np.isin(layout.row_of_leaf[rests_in], layout.row_of_leaf[leaves])
    if near.any():
        rests = rests[near]
    host = min(
        rests[:_COMPARED_MAX].tolist(),
        key=lambda host: (_best(pool, host, chips)[1], int(pool.offered[host]).bit_count(), host),
    )
    mask, cut = _best(pool, host, chips)
    hosts = np.sort(np.concatenate((whole, np.array([host], np.int32))))
    masks = np.where(hosts == host, np.uint32(mask), pool.full)
    touched = np.unique(layout.leaf_of_host[hosts])
    return Placement(hosts, masks, len(np.unique(layout.row_of_leaf[touched])), len(touched), cut)
