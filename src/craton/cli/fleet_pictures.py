"""The fleet in characters: a cell for each rack, and a bar for each day of its calendar.

Nothing is told by colour: how full a rack is, is how dark its character is, and what is wrong with
it is a mark beside that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from craton.fleet.contract import (
    CalendarView,
    FleetView,
    MarkView,
    PoolView,
    RackView,
    RowView,
    SiteView,
)
from craton.fleet.records import WHOLE_MILLI

DAY_S = 86_400
WEEK_S = 7 * DAY_S
BY_DAY_WEEKS_MAX = 2
"""A calendar of more weeks has a line a week."""
ROWS_SHOWN_MAX = 48
"""More rows than this are for a path of their own, or for `--html`."""
BAR_COLUMNS = 32

SHADES = "·░▒▓█"
"""Of a rack's chips nothing, up to a quarter, a half, less than all, and all are taken."""
BROKEN, SPARE, SIMULATED = "!", "+", "~"
LEGEND = (
    "A cell is a rack. Of its chips are taken: "
    f"{SHADES[0]} none, {SHADES[1]} up to 1/4, {SHADES[2]} up to 1/2, {SHADES[3]} more, "
    f"{SHADES[4]} all.\n"
    f"Beside that: {BROKEN} a host is set aside or broken, {SPARE} spares, {SIMULATED} simulated."
)


TOO_MANY = "There are too many racks to tell of at once. Name a site or a row: SITE or SITE/ROW."


def shade(taken: int, chips: int) -> int:
    """How dark: 0 (nothing is taken) to 4 (everything is)."""
    if taken <= 0 or chips <= 0:
        return 0
    if taken >= chips:
        return 4
    return 1 if taken * 4 <= chips else 2 if taken * 2 <= chips else 3


def mark(rack: RackView, *, is_simulated: bool) -> str:
    """What else there is to know of a rack, in one character."""
    if rack.hosts_unusable:
        return BROKEN
    if rack.hosts_spare:
        return SPARE
    return SIMULATED if is_simulated else " "


def simulated_sites(view: FleetView) -> frozenset[str]:
    """The sites that are only imagined."""
    return frozenset(site.name for site in view.sites if site.is_simulated)


def heat_map(view: FleetView, columns: int) -> Iterator[str]:
    """Lines of racks, row by row, no wider than `columns`."""
    if not view.rows:
        yield TOO_MANY
    imagined = simulated_sites(view)
    per_line = max(1, (columns - 2) // 2)
    for row in view.rows[:ROWS_SHOWN_MAX]:
        is_simulated = row.site in imagined
        yield row_title(row, is_simulated=is_simulated)
        cells = [
            SHADES[shade(rack.chips_taken, rack.chips)] + mark(rack, is_simulated=is_simulated)
            for rack in row.racks
        ]
        for first in range(0, len(cells), per_line):
            yield "  " + "".join(cells[first : first + per_line]).rstrip()
    more = len(view.rows) - ROWS_SHOWN_MAX
    if more > 0:
        row = view.rows[ROWS_SHOWN_MAX]
        yield (
            f"{more} more rows, such as {row.site}/{row.name}: `craton fleet show SITE/ROW` draws "
            "one, and --html FILE draws all."
        )


def row_title(row: RowView, *, is_simulated: bool) -> str:
    """A row's name, what is taken of its chips, and of its power."""
    chips = sum(rack.chips for rack in row.racks)
    taken = sum(rack.chips_taken for rack in row.racks)
    told = f"{row.site}/{row.name}: {taken:,} of {chips:,} chips, {power(row.taken_w, row.power_w)}"
    return told + (" (simulated)" if is_simulated else "")


def power(taken_w: int, cap_w: int | None) -> str:
    """Power taken, of a cap where there is one."""
    if cap_w is None:
        return f"{kilowatts(taken_w)}, no cap"
    return f"{kilowatts(taken_w)} of {kilowatts(cap_w)} ({percent(taken_w, cap_w)})"


def kilowatts(watts: int) -> str:
    """Watts as kW: whole ones from ten on, else to a tenth."""
    is_whole = watts == 0 or abs(watts) >= 10_000
    return f"{watts / 1000:,.0f} kW" if is_whole else f"{watts / 1000:.1f} kW"


def percent(part: float, whole: float) -> str:
    """A share, rounded; 100 % is said only of all, and 0 % only of nothing."""
    if whole <= 0:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 1:
        return "<1 %"
    if 99 < share < 100:
        return ">99 %"
    return f"{share:.0f} %"


def short_words(pool: PoolView) -> str:
    """That a pool has fewer units to promise than it is meant to have."""
    missing = unit_words(pool.units - pool.offered_units)
    return f"{pool.key} has {missing} less to promise: hosts are broken or set aside."


def free_now(pool: PoolView) -> str:
    """Units, or of divided hosts chips, since parts of them aren't counted in units."""
    if pool.free_milli is None:
        return f"{pool.free_units_now:,}"
    chips = pool.free_milli / WHOLE_MILLI
    return f"{chips:g} {'chip' if chips == 1 else 'chips'}"


def marked_name(mark: MarkView) -> str:
    """The host that was set aside, or which of its chips don't work."""
    chips = ", ".join(map(str, mark.chips))
    return (
        f"{mark.host} {'chip' if len(mark.chips) == 1 else 'chips'} {chips}" if chips else mark.host
    )


def driver(site: SiteView) -> str:
    """Who runs what is on a site's hosts; what is imagined says so."""
    return f"{site.driver} (not real)" if site.is_simulated else site.driver


@dataclass(frozen=True, slots=True)
class Stretch:
    """A day or a week of a pool: how many units are free in it."""

    start_s: int
    end_s: int
    free_throughout: int
    """The fewest at any moment; below 0 where more is promised than works."""
    taken_mean: float
    """Units taken, on average over its seconds."""


def stretches(view: CalendarView, end_s: int, step_s: int) -> list[Stretch]:
    """A calendar from its first moment to `end_s`, cut at each whole `step_s` after a midnight."""
    start_s = view.times_s[0]
    midnight = start_s - start_s % DAY_S
    cuts = [start_s, *range(midnight + step_s, end_s, step_s), end_s]
    ends = [*view.times_s[1:], end_s]
    pieces = list(zip(view.times_s, ends, view.free, strict=True))
    found: list[Stretch] = []
    at = 0
    for first, last in pairwise(cuts):
        while pieces[at][1] <= first:
            at += 1
        taken, least = 0, view.units
        for begin, until, free in pieces[at:]:
            if begin >= last:
                break
            seconds = min(until, last) - max(begin, first)
            taken += (view.units - max(free, 0)) * seconds
            least = min(least, free)
        found.append(Stretch(first, last, least, taken / (last - first)))
    return found


def step_of(weeks: int) -> int:
    """A line a day for a few weeks, else a line a week."""
    return DAY_S if weeks <= BY_DAY_WEEKS_MAX else WEEK_S


def calendar_lines(view: CalendarView, end_s: int, step_s: int) -> Iterator[str]:
    """A title, headings, and a line for each day or week."""
    told = " (simulated)" if view.is_simulated else ""
    yield f"{view.pool}{told}: {unit_words(view.units)} to promise"
    head, period = ("FROM (UTC)", "DAY") if step_s == DAY_S else ("WEEK FROM", "WEEK")
    free = f"FREE ALL {period}"
    yield f"  {head:<14}  {'TAKEN ON AVERAGE':<{BAR_COLUMNS + 7}}  {free:>15}"
    for each in stretches(view, end_s, step_s):
        taken = f"{bar(each.taken_mean, view.units)}  {percent(each.taken_mean, view.units):>5}"
        yield f"  {day(each.start_s):<14}  {taken}  {free_words(each):>15}"


def bar(part: float, whole: float, columns: int = BAR_COLUMNS) -> str:
    """A bar of which the taken part is dark."""
    filled = round(columns * min(part / whole, 1)) if whole > 0 else 0
    return SHADES[4] * filled + SHADES[1] * (columns - filled)


def free_words(each: Stretch) -> str:
    """How many units are free throughout, or how many are missing."""
    free = each.free_throughout
    return f"{free:,}" if free >= 0 else f"{-free:,} too few"


def unit_words(count: int) -> str:
    """So many units, in words."""
    return f"{count:,} {'unit' if count == 1 else 'units'}"


def day(at_s: int) -> str:
    """A day, with its name."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %a")


def total_taken(rows: Sequence[RowView]) -> tuple[int, int]:
    """Chips taken and chips in all, of some rows."""
    racks = [rack for row in rows for rack in row.racks]
    return sum(rack.chips_taken for rack in racks), sum(rack.chips for rack in racks)
