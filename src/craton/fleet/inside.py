"""A place inside a reservation: the same rules as in a pool, on the reservation's hosts alone."""

from collections.abc import Container, Iterable, Sequence

import numpy as np

from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Layout, Power
from craton.fleet.records import Lease


def place_inside(
    layout: Layout,
    hosts: Sequence[int],
    leases: Iterable[Lease],
    demand: Demand,
    *,
    set_aside: Container[int] = (),
) -> Placement | Refusal:
    """The best place on these hosts of a pool beside the leases that are there already.

    Nothing new starts on those that are set aside.

    The hosts' power was counted when they were bound, so nothing caps it here.
    """
    held = np.array(hosts, np.int32)
    leaves, leaf_at = np.unique(layout.leaf_of_host[held], return_inverse=True)
    rows, row_of_leaf = np.unique(layout.row_of_leaf[leaves], return_inverse=True)
    starts = np.searchsorted(leaf_at, np.arange(len(leaves) + 1)).astype(np.int32)
    inner = Layout(
        chips_per_host=layout.chips_per_host,
        leaf_start=starts,
        row_of_leaf=row_of_leaf.astype(np.int32),
        power_rows=np.arange(len(rows), dtype=np.int32),
        sides=layout.sides,
    )
    pool = Pool(inner, Power([None] * len(rows), None))
    for lease in leases:
        at = np.searchsorted(held, np.array(lease.hosts, np.int32)).astype(np.int32)
        pool.take(at, np.array(lease.masks, np.uint32))
    for number, host in enumerate(held.tolist()):
        if host in set_aside:
            pool.set_usable(number, False)
    found = place(pool, demand)
    if isinstance(found, Refusal):
        return found
    return Placement(held[found.hosts], found.masks, found.rows, found.leaves, found.cut)
