"""Why a gang has no place: worked out only once it is known that it has none."""

import numpy as np

from craton.fleet.placement_demand import Demand, Reason, Refusal
from craton.fleet.pool import Pool
from craton.fleet.pool_layout import Numbers


def refusal(pool: Pool, demand: Demand) -> Refusal:
    """What stands in the way, the nearest thing first, and what would fit."""
    layout = pool.layout
    fits = _fitting_by_leaf(pool, demand)
    return (
        _too_large(pool, demand)
        or _not_enough(demand, fits)
        or _spread(pool, demand, fits)
        or _scattered(pool, demand, fits)
        or _power(pool, demand, fits)
        or Refusal(
            Reason.NOT_ENOUGH,
            f"{_asked(demand)} were asked for. Whole hosts are free, but no host beside them has "
            f"{demand.rest_chips} free chips; ask for whole hosts of {layout.chips_per_host}.",
        )
    )


def _asked(demand: Demand) -> str:
    rest = f" and {demand.rest_chips} chips of one more" if demand.rest_chips else ""
    hosts = "host" if demand.hosts == 1 else "hosts"
    return f"{demand.hosts} {hosts} with {demand.chips_per_host} chips each{rest}"


def _fitting_by_leaf(pool: Pool, demand: Demand) -> Numbers:
    """Hosts of each leaf that have the chips, whatever power says."""
    fits = np.bitwise_count(pool.offered) >= demand.chips_per_host
    return np.add.reduceat(fits, pool.layout.leaf_start[:-1], dtype=np.int32)


def _given(pool: Pool, demand: Demand, by_leaf: Numbers) -> Numbers:
    """By row, what leaves give under the demand's spread."""
    capped = np.minimum(by_leaf, demand.hosts_per_leaf_max or pool.layout.leaf_hosts_max)
    rows = np.add.reduceat(capped, pool.layout.row_start[:-1], dtype=np.int32)
    return np.minimum(rows, demand.hosts_per_row_max or pool.layout.hosts)


def _too_large(pool: Pool, demand: Demand) -> Refusal | None:
    """Whether the pool would have no place if nobody had anything of it."""
    layout = pool.layout
    rows = _given(pool, demand, np.diff(layout.leaf_start))
    where, most = "the pool", int(rows.sum())
    if demand.is_one_row:
        where, most = "its largest row", int(rows.max())
    if demand.is_one_leaf:
        per_leaf = demand.hosts_per_leaf_max or layout.leaf_hosts_max
        where, most = "its largest leaf", min(layout.leaf_hosts_max, per_leaf)
    if demand.hosts_touched <= most:
        return None
    return Refusal(
        Reason.TOO_LARGE,
        f"{_asked(demand)} were asked for; even empty, {where} has a place for {most} hosts. "
        "Ask for fewer, or allow the gang to reach further.",
    )


def _not_enough(demand: Demand, fits: Numbers) -> Refusal | None:
    free = int(fits.sum())
    if demand.hosts <= free:
        return None
    return Refusal(
        Reason.NOT_ENOUGH,
        f"{_asked(demand)} were asked for; {free} such hosts are free. Ask for fewer, or wait for "
        "some to be given back.",
    )


def _spread(pool: Pool, demand: Demand, fits: Numbers) -> Refusal | None:
    most = int(_given(pool, demand, fits).sum())
    if demand.hosts <= most:
        return None
    return Refusal(
        Reason.SPREAD,
        f"{_asked(demand)} were asked for, spread so that few share a leaf or row; so spread, "
        f"{most} are free. Allow more in a leaf or row.",
    )


def _scattered(pool: Pool, demand: Demand, fits: Numbers) -> Refusal | None:
    most = where = None
    if demand.is_one_row:
        most, where = int(_given(pool, demand, fits).max()), "row"
    if demand.is_one_leaf:
        per_leaf = demand.hosts_per_leaf_max or pool.layout.leaf_hosts_max
        most, where = min(int(fits.max()), per_leaf), "leaf"
    if most is None or demand.hosts <= most:
        return None
    return Refusal(
        Reason.SCATTERED,
        f"{_asked(demand)} were asked for in one {where}; {int(fits.sum())} are free, but at most "
        f"{most} in one {where}. Ask for fewer, or allow the gang to reach further.",
    )


def _power(pool: Pool, demand: Demand, fits: Numbers) -> Refusal | None:
    """The site, or the row where power keeps most from being used."""
    layout = pool.layout
    if not layout.draw_w:
        return None
    fed = pool.power.site_hosts(layout.draw_w)
    if fed < demand.hosts:
        return Refusal(
            Reason.SITE_POWER,
            f"{_asked(demand)} were asked for and are free, but the site's power feeds {fed} more "
            "hosts. Ask for fewer, raise its cap, or wait for some to be given back.",
        )
    rows = pool.power.row_hosts(layout.power_rows, layout.draw_w)
    given = _given(pool, demand, fits)
    blocked = given - np.minimum(rows, given)
    row = int(blocked.argmax())
    if not blocked[row]:
        return None
    return Refusal(
        Reason.ROW_POWER,
        f"{_asked(demand)} were asked for and are free, but power feeds too few of them: row {row} "
        f"has {int(given[row])} and power for {int(rows[row])}. Ask for fewer, or raise its cap.",
        row,
    )
