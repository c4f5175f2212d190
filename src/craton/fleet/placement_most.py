"""The largest gang that a pool could ever hold: what it was built for, whoever has it now."""

import numpy as np

from craton.fleet.placement_demand import Demand
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import LeaseKind


def most_hosts(book: PoolBook, asked: Demand, kind: LeaseKind) -> int:
    """How many hosts a gang could have at the most that is as narrow or spread as the one asked.

    Counted are hosts that are broken or set aside, since they come back; not spares, which are for
    what was promised, nor what rows and the site could never feed. What is leased on demand counts
    as whole units, of which no more are held than could be promised.
    """
    layout, power = book.pool.layout, book.pool.power
    leaves = built_by_leaf(book, asked)
    fed = np.full(layout.rows, layout.hosts, np.int64)
    site = layout.hosts
    if layout.draw_w:
        fed = np.minimum(fed, power.row_cap_w[layout.power_rows] // layout.draw_w)
        site = min(site, power.site_cap_w // layout.draw_w)
    if kind is LeaseKind.ON_DEMAND:
        site = min(site, _promised(book, leaves))
    if asked.is_one_leaf:
        return min(site, int(np.minimum(leaves, fed[layout.row_of_leaf]).max()))
    rows = np.minimum(np.add.reduceat(leaves, layout.row_start[:-1]), fed)
    return min(site, int(rows.max() if asked.is_one_row else rows.sum()))


def built_by_leaf(book: PoolBook, asked: Demand) -> Numbers:
    """By leaf: the hosts that a gang could have of it, spares aside."""
    layout = book.pool.layout
    built = np.add.reduceat(~book.plan.spare, layout.leaf_start[:-1], dtype=np.int32)
    return np.minimum(built, asked.hosts_per_leaf_max or layout.leaf_hosts_max)


def _promised(book: PoolBook, leaves: Numbers) -> int:
    """Hosts of as many units as could be promised: of UltraServers, those that give the most."""
    plan, units = book.plan, book.units
    if plan.draw_w:
        units = min(units, book.pool.power.site_cap_w // (plan.draw_w * plan.hosts_per_unit))
    if plan.ultraserver is None:
        return units
    return int(np.sort(leaves)[::-1][:units].sum())
