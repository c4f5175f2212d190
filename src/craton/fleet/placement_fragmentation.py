"""How scattered the free hosts of a pool are, for reports."""

from dataclasses import dataclass

import numpy as np

from craton.fleet.pool import Pool


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """What of a pool is free, and what it is good for.

    `whole_leaf_hosts` are the free hosts in leaves that have as many as the pool's largest leaf;
    `partly_free_chips` the free chips of hosts that aren't wholly free; the largest gangs are of
    whole hosts that power can feed now.
    """

    free_hosts: int
    whole_leaf_hosts: int
    partly_free_chips: int
    gang_hosts_max_in_leaf: int
    gang_hosts_max_in_row: int
    gang_hosts_max: int

    @property
    def whole_share(self) -> float:
        """Free hosts in whole leaves, of all free ones: 1 where nothing is scattered or free."""
        return self.whole_leaf_hosts / self.free_hosts if self.free_hosts else 1.0


def fragmentation(pool: Pool) -> Fragmentation:
    """Count it, from what the pool keeps."""
    layout = pool.layout
    free = pool.hosts_with[1]
    site = pool.power.site_hosts(layout.draw_w)
    fed = np.minimum(pool.power.row_hosts(layout.power_rows, layout.draw_w), site)
    # The largest number of free hosts that some leaf of a row has.
    in_leaf = (pool.leaves_with[1:] > 0).sum(axis=0)
    chips = pool.partly.sum(axis=1) @ np.arange(layout.chips_per_host)
    return Fragmentation(
        free_hosts=int(free.sum()),
        whole_leaf_hosts=int(pool.hosts_with[layout.leaf_hosts_max].sum()),
        partly_free_chips=int(chips),
        gang_hosts_max_in_leaf=int(np.minimum(in_leaf, fed).max()),
        gang_hosts_max_in_row=int(np.minimum(free, fed).max()),
        gang_hosts_max=min(int(np.minimum(free, fed).sum()), site),
    )
