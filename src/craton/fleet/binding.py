"""Which hosts a promise gets at its start: whole units, in as few rows as can be."""

import numpy as np

from craton.fleet.calendar import FOREVER_S
from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement
from craton.fleet.pool import Pool
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers


def choose_hosts(book: PoolBook, units: int) -> Numbers | None:
    """Free hosts of so many units; None where so many units aren't free now."""
    if book.plan.ultraserver is not None:
        return _whole_leaves(book.pool, units)
    found = place(book.pool, Demand(units, book.plan.type.chips))
    return found.hosts if isinstance(found, Placement) else None


def choose_staying(book: PoolBook, units: int, now_s: int, end_s: int | None) -> Numbers | None:
    """The same, on none that will be away before the end (None: ever)."""
    with book.avoiding(now_s, FOREVER_S if end_s is None else end_s):
        return choose_hosts(book, units)


def _whole_leaves(pool: Pool, units: int) -> Numbers | None:
    """The hosts of so many leaves that are free from end to end: the fullest rows first."""
    layout = pool.layout
    sizes = np.diff(layout.leaf_start)
    whole = np.flatnonzero(pool.leaf_free == sizes)
    room = pool.power.row_hosts(layout.power_rows, layout.draw_w)
    if len(whole) < units or pool.power.site_hosts(layout.draw_w) < units * layout.leaf_hosts_max:
        return None
    rows = layout.row_of_leaf[whole]
    by_row = np.bincount(rows, minlength=layout.rows)
    by_row = np.minimum(by_row, room // layout.leaf_hosts_max)
    # One row that just holds it, else the rows with the most: as few as can be.
    fits = np.flatnonzero(by_row >= units)
    order = (
        [int(fits[np.argmin(by_row[fits])])] if len(fits) else np.argsort(-by_row, kind="stable")
    )
    chosen: list[int] = []
    for row in map(int, order):
        here = whole[rows == row][: min(int(by_row[row]), units - len(chosen))]
        chosen += here.tolist()
    if len(chosen) < units:
        return None
    chosen.sort()
    return np.concatenate(
        [
            np.arange(layout.leaf_start[at], layout.leaf_start[at + 1], dtype=np.int32)
            for at in chosen
        ]
    )
