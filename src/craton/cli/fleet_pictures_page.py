"""The fleet as one HTML page that holds everything it shows and fetches nothing.

A rack is a box that fills with the chips taken of it, so that the page can be read without colours
and on paper; what is broken, spare or imagined has a mark of its own shape.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from craton.cli.fleet_pictures import (
    TOO_MANY,
    free_now,
    kilowatts,
    marked_name,
    percent,
    power,
    row_title,
    short_words,
    simulated_sites,
    total_taken,
)
from craton.cli.fleet_pictures_sales import sales
from craton.cli.output import day_and_time
from craton.fleet.contract import CalendarView, FleetView, PoolView, RackView, RowView
from craton.silicon.report_charts import WIDTH, drawing
from craton.silicon.report_markup import NOTHING, Markup, join, table, tag

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_BOX, _STEP = 14.0, 17.0
_LINE, _TITLE = 19.0, 22.0
_PER_LINE = int((WIDTH - 2) // _STEP)


def page(
    view: FleetView, calendars: Sequence[CalendarView], *, path: str, end_s: int, at_ms: int
) -> str:
    """The page of a fleet, or of what is under a path, as it was at a moment."""
    title = f"The fleet: {path}" if path else "The fleet"
    taken, chips = _taken(view)
    body = tag(
        "main",
        tag(
            "header",
            tag("h1", title),
            tag("p", f"As it was on {day_and_time(at_ms)} UTC.", class_="question"),
        ),
        tag("p", f"{taken:,} of {chips:,} chips are taken.", class_="answer"),
        _tiles(view),
        _warnings(view),
        _racks(view),
        _pools(view.pools),
        sales(calendars, end_s),
        _marks(view),
        tag("footer", f"Made by Craton on {day_and_time(at_ms)} UTC."),
    )
    return "<!doctype html>\n" + tag("html", _head(title), tag("body", body), lang="en")


def _head(title: str) -> Markup:
    # The style is that of the planner's report; what only this page draws is added to it.
    shared = files("craton.silicon").joinpath("report_files", "report.css")
    own = Path(__file__).with_name("fleet_pictures.css")
    style = shared.read_text(encoding="utf-8") + own.read_text(encoding="utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )


def _taken(view: FleetView) -> tuple[int, int]:
    """Chips taken, and all; of whole pools where there were too many racks to tell of."""
    if view.rows:
        return total_taken(view.rows)
    return sum(pool.chips_taken for pool in view.pools), sum(pool.chips for pool in view.pools)


def _tiles(view: FleetView) -> Markup:
    sites = [
        _tile(f"Power of {site.name}", kilowatts(site.taken_w), power(site.taken_w, site.power_w))
        for site in view.sites
    ]
    broken = sum(pool.hosts_unusable for pool in view.pools)
    spare = sum(pool.hosts_spare for pool in view.pools)
    hosts = sum(pool.hosts for pool in view.pools)
    return tag(
        "div",
        *sites,
        _tile("Hosts", f"{hosts:,}", f"{spare:,} held back as spares"),
        _tile("Hosts not in use", f"{broken:,}", "set aside or broken"),
        class_="tiles",
    )


def _tile(name: str, value: str, more: str) -> Markup:
    return tag(
        "div",
        tag("span", name, class_="tile-name"),
        tag("strong", value),
        tag("span", more, class_="interval"),
        class_="tile",
    )


def _warnings(view: FleetView) -> Markup:
    imagined = sorted(simulated_sites(view))
    short = [pool for pool in view.pools if pool.offered_units < pool.units]
    told = [
        f"{name} is simulated: nothing there exists, and what is sold of it is only imagined."
        for name in imagined
    ]
    told += [short_words(pool) for pool in short]
    if not told:
        return NOTHING
    listed = tag("ul", *(tag("li", line) for line in told))
    return tag("section", tag("h2", "To know first"), listed, class_="warnings")


def _racks(view: FleetView) -> Markup:
    if not view.rows:
        return tag("section", tag("h2", "Racks"), tag("p", TOO_MANY))
    imagined = simulated_sites(view)
    drawings = [
        _site([row for row in view.rows if row.site == site.name], is_simulated=site.is_simulated)
        for site in view.sites
    ]
    rows: list[tuple[str, ...]] = [_row(row, imagined) for row in view.rows]
    heads = ("Row", "Racks", "Chips taken", "Chips", "Hosts broken", "Spares", "Power")
    numbers = frozenset({1, 2, 3, 4, 5})
    return tag(
        "section",
        tag("h2", "Racks"),
        tag("p", "A box is a rack; it fills from below with the chips that are taken of it."),
        _key(),
        *drawings,
        tag(
            "details",
            tag("summary", "The same in figures"),
            table(heads, rows, caption="Rows", numeric=numbers),
        ),
        id="racks",
    )


def _site(rows: Sequence[RowView], *, is_simulated: bool) -> Markup:
    """The rows of one site, one under another."""
    if not rows:
        return NOTHING
    parts: list[Markup] = []
    y = 2.0
    for row in rows:
        title = row_title(row, is_simulated=is_simulated)
        parts.append(tag("text", title, x=1.0, y=y + 13, class_="name"))
        y += _TITLE
        for number, rack in enumerate(row.racks):
            line, place = divmod(number, _PER_LINE)
            parts.append(
                _rack(rack, 1 + place * _STEP, y + line * _LINE, is_simulated=is_simulated)
            )
        y += -(-len(row.racks) // _PER_LINE) * _LINE + 6
    taken, chips = total_taken(rows)
    return drawing(
        *parts,
        height=y,
        title=f"Racks of {rows[0].site}",
        description=f"{taken:,} of {chips:,} chips taken in {len(rows)} rows.",
    )


def _rack(rack: RackView, x: float, y: float, *, is_simulated: bool) -> Markup:
    told = f"{rack.name}: {rack.chips_taken} of {rack.chips} chips taken"
    if rack.hosts_unusable:
        told += f", {rack.hosts_unusable} of {rack.hosts} hosts set aside or broken"
    if rack.hosts_spare:
        told += f", {rack.hosts_spare} hosts spare"
    if is_simulated:
        told += " (simulated)"
    kind = "rack imagined" if is_simulated else "rack"
    box = tag("rect", tag("title", told), x=x, y=y, width=_BOX, height=_BOX, class_=kind)
    return join(
        box,
        _level(rack.chips_taken, rack.chips, x, y),
        _cross(x, y) if rack.hosts_unusable else NOTHING,
        _dot(x, y) if rack.hosts_spare else NOTHING,
    )


def _level(taken: int, chips: int, x: float, y: float) -> Markup:
    if taken <= 0 or chips <= 0:
        return NOTHING
    inside = _BOX - 2
    height = max(1.0, inside * min(taken / chips, 1))
    top = y + 1 + inside - height
    return tag("rect", x=x + 1, y=top, width=inside, height=height, class_="taken")


def _cross(x: float, y: float) -> Markup:
    low, high = 2.0, _BOX - 2
    path = f"M{x + low:.1f},{y + low:.1f}L{x + high:.1f},{y + high:.1f}"
    path += f"M{x + high:.1f},{y + low:.1f}L{x + low:.1f},{y + high:.1f}"
    # Once wider in the ground's colour, so that it shows on a full rack, too.
    return join(tag("path", d=path, class_="halo"), tag("path", d=path, class_="broken"))


def _dot(x: float, y: float) -> Markup:
    return tag("circle", cx=x + _BOX - 3.5, cy=y + 3.5, r=2.8, class_="spare")


def _key() -> Markup:
    """What the boxes mean."""

    def item(name: str, *parts: str, kind: str = "rack") -> Markup:
        box = tag("rect", x=2.0, y=2.0, width=_BOX, height=_BOX, class_=kind)
        sign = tag("svg", box, *parts, viewBox="0 0 18 18", aria_hidden="true")
        return tag("li", sign, name)

    return tag(
        "ul",
        item("nothing taken"),
        item("half taken", _level(1, 2, 2, 2)),
        item("all taken", _level(1, 1, 2, 2)),
        item("a host set aside or broken", _cross(2, 2)),
        item("holds spares", _dot(2, 2)),
        item("simulated", kind="rack imagined"),
        class_="key",
    )


def _row(row: RowView, imagined: frozenset[str]) -> tuple[str, ...]:
    taken, chips = total_taken([row])
    told = " (simulated)" if row.site in imagined else ""
    return (
        f"{row.site}/{row.name}{told}",
        f"{len(row.racks):,}",
        f"{taken:,} ({percent(taken, chips)})",
        f"{chips:,}",
        f"{sum(rack.hosts_unusable for rack in row.racks):,}",
        f"{sum(rack.hosts_spare for rack in row.racks):,}",
        power(row.taken_w, row.power_w),
    )


def _pools(pools: Sequence[PoolView]) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            pool.key + ("" if pool.exclusive_to is None else f" (only {pool.exclusive_to})"),
            f"{pool.chips_per_host} {pool.chip}",
            "simulated" if pool.is_simulated else pool.driver,
            f"{pool.hosts:,}",
            f"{pool.units:,}",
            free_now(pool),
            f"{pool.chips_taken:,} ({percent(pool.chips_taken, pool.chips)})",
            f"{pool.hosts_spare:,}",
            f"{pool.hosts_unusable:,}",
            "not known" if pool.draw_w is None else f"{pool.draw_w:,} W",
        )
        for pool in pools
    ]
    heads = ("Pool", "A host has", "Driver", "Hosts", "Units to promise", "Free now")
    heads += ("Chips taken", "Spares", "Broken", "A host draws")
    numeric = frozenset(range(3, len(heads)))
    return tag(
        "section",
        tag("h2", "Pools"),
        tag("p", "A unit is what is sold as one: an UltraServer, or else a host."),
        table(heads, rows, caption="Pools", numeric=numeric),
        id="pools",
    )


def _marks(view: FleetView) -> Markup:
    if not view.marks:
        return NOTHING
    rows: list[tuple[str, ...]] = [
        (marked_name(mark), mark.state, day_and_time(mark.since_ms), mark.note)
        for mark in view.marks
    ]
    heads = ("Host", "State", "Since (UTC)", "Why")
    return tag(
        "section",
        tag("h2", "Set aside"),
        table(heads, rows, caption="Hosts that were set aside"),
        id="marks",
    )
