"""`craton fleet`: what the operator has, how much of it is taken, and what is set aside."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from craton.apis.native.fleet_contract import Calendars
from craton.cli.connection import Connection
from craton.cli.fleet_pictures import (
    LEGEND,
    WEEK_S,
    calendar_lines,
    driver,
    free_now,
    heat_map,
    marked_name,
    power,
    short_words,
    step_of,
)
from craton.cli.fleet_pictures_page import page
from craton.cli.groups import connect, group
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import (
    console,
    day_and_time,
    print_json,
    print_lines,
    print_table,
    printable,
)
from craton.fleet.contract import FleetView, Marked, PoolView
from craton.fleet.records import HostState
from craton.kernel.clock import SystemClock
from craton.kernel.errors import BadRequest, NotFound

WEEKS = 8
NAMED_MAX = 20
"""More leases or hosts than this are counted, not named."""
_SUMMARY = "Show and change what the operator has: sites, rows, racks, hosts and their power."

app = group(_SUMMARY, "craton fleet")

Under = Annotated[
    str, typer.Argument(help="What: a site, site/row, site/row/rack or site/row/rack/host.")
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write it as a picture, one HTML page, here.")
]
Chips = Annotated[
    str,
    typer.Option(help="Only these chips of one host, as `craton leases show` numbers them: 0,3."),
]
Note = Annotated[str, typer.Option(help="Why, for whoever looks later.")]
Weeks = Annotated[int, typer.Option(min=1, max=52, help="How many weeks of the calendar.")]


@app.callback()
def fleet(context: typer.Context, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show and change what the operator has: sites, rows, racks, hosts and their power."""
    if context.invoked_subcommand is None:
        show(data=data, as_json=as_json)


@app.command("show", epilog=example("craton fleet show north --html fleet.html"))
def show(
    *,
    path: Annotated[str, typer.Argument(help="Only this: a site, site/row or site/row/rack.")] = "",
    html: Html = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show sites, pools and racks: power, what is taken, spares, and what is broken."""
    connection = connect(data)
    view = connection.get("/fleet", FleetView, {"path": path or None})
    if html is not None:
        _write_page(connection, view, path, html)
    if as_json:
        print_json(view)
        return
    print_fleet(view)
    if html is not None:
        print_lines("", f"The picture is in {html}.")


@app.command("apply", epilog=example("craton fleet apply fleet.toml"))
def apply(
    file: Annotated[str, typer.Argument(help="The fleet file (TOML); - reads stdin.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Put a fleet file in force; what would break a promise is refused, and changes nothing."""
    view = connect(data).put("/fleet", FleetView, _read(file))
    if as_json:
        print_json(view)
        return
    print_lines(
        f"The fleet has {view.chips:,} chips in {len(view.sites)} "
        f"{'site' if len(view.sites) == 1 else 'sites'}.",
        "",
    )
    _print_pools(view.pools)


@app.command("cordon", epilog=example("craton fleet cordon north/a1/t7 --note 'new cables'"))
def cordon(path: Under, note: Note = "", data: Data = DATA, as_json: AsJson = False) -> None:
    """Start nothing new on hosts; what runs there goes on."""
    _mark(path, HostState.CORDONED, note, data, as_json=as_json)


@app.command("drain", epilog=example("craton fleet drain north/a1/t7/2"))
def drain(path: Under, note: Note = "", data: Data = DATA, as_json: AsJson = False) -> None:
    """Start nothing new on hosts, give notice to what runs there, move what was promised."""
    _mark(path, HostState.DRAINING, note, data, as_json=as_json)


@app.command("fail", epilog=example("craton fleet fail north/a1/t7/2 --chips 3 --note 'no link'"))
def fail(
    *,
    path: Under,
    chips: Chips = "",
    note: Note = "",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Say that hosts, or chips of one, don't work: what runs there ends now, promises move."""
    _mark(path, HostState.FAILED, note, data, chips=_numbers(chips), as_json=as_json)


@app.command("repair", epilog=example("craton fleet repair north/a1/t7/2"))
def repair(*, path: Under, chips: Chips = "", data: Data = DATA, as_json: AsJson = False) -> None:
    """Take hosts that were cordoned, drained or failed into use again, with all of their chips."""
    _mark(path, None, "", data, chips=_numbers(chips), as_json=as_json)


@app.command("calendar", epilog=example("craton fleet calendar --pool north/u-trn2x64 --weeks 2"))
def calendar(
    *,
    pool: Annotated[
        str | None, typer.Option(help="Only this pool, as `craton fleet` names it.")
    ] = None,
    weeks: Weeks = WEEKS,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show how much of each pool is sold and when: a line a day for two weeks, else a week."""
    end_s = _end_s(weeks)
    found = connect(data).get("/fleet/calendar", Calendars, {"pool": pool, "end_s": end_s})
    if as_json:
        print_json(found)
        return
    for number, each in enumerate(found.calendars):
        print_lines(*([""] if number else []), *calendar_lines(each, end_s, step_of(weeks)))


def print_fleet(view: FleetView) -> None:
    """The fleet for people."""
    rows = [(site.name, driver(site), power(site.taken_w, site.power_w)) for site in view.sites]
    print_table(("SITE", "DRIVER", "POWER TAKEN"), rows, empty="")
    print_lines("")
    _print_pools(view.pools)
    print_lines("", *heat_map(view, console().width), "", LEGEND)
    if view.marks:
        print_lines("")
        _print_marks(view)
    if any(site.is_simulated for site in view.sites):
        print_lines("", "What is simulated is only imagined: nothing runs there.")
    elif len(view.pools) == 1:
        print_lines("", "Describe what else you have in a fleet file, and `craton fleet apply` it.")


def _print_pools(pools: Sequence[PoolView]) -> None:
    rows = [
        (
            pool.key + ("" if pool.exclusive_to is None else f" (only {pool.exclusive_to})"),
            f"{pool.chips_per_host} x {pool.chip}",
            "simulated" if pool.is_simulated else pool.driver,
            f"{pool.hosts:,}",
            f"{pool.units:,}",
            free_now(pool),
            f"{pool.chips_taken:,} of {pool.chips:,}",
            str(pool.hosts_spare),
            _broken(pool),
            "not known"
            if pool.draw_w is None
            else _draw(pool.draw_w, is_estimated=pool.is_draw_estimated),
        )
        for pool in pools
    ]
    columns = ("POOL", "A HOST HAS", "DRIVER", "HOSTS", "UNITS", "FREE NOW", "CHIPS TAKEN")
    columns += ("SPARE", "BROKEN", "A HOST DRAWS")
    numbers = ("HOSTS", "UNITS", "FREE NOW", "CHIPS TAKEN", "SPARE", "BROKEN", "A HOST DRAWS")
    print_table(columns, rows, empty="There are no pools.", right=numbers)
    for pool in pools:
        if pool.offered_units < pool.units:
            print_lines(f"{short_words(pool)} `craton fleet repair` takes them into use again.")
    for pool in pools:
        if pool.below_cost is not None:
            print_lines(printable(f"{pool.key} is sold below cost: {pool.below_cost}."))


def _broken(pool: PoolView) -> str:
    hosts = str(pool.hosts_unusable)
    return f"{hosts}, {_chips(pool.chips_broken)}" if pool.chips_broken else hosts


def _chips(count: int) -> str:
    return f"{count:,} {'chip' if count == 1 else 'chips'}"


def _draw(watts: int, *, is_estimated: bool) -> str:
    return f"{watts:,} W (estimated)" if is_estimated else f"{watts:,} W"


def _print_marks(view: FleetView) -> None:
    rows = [
        (marked_name(mark), mark.state, day_and_time(mark.since_ms), mark.note)
        for mark in view.marks[:NAMED_MAX]
    ]
    print_table(("SET ASIDE", "STATE", "SINCE (UTC)", "WHY"), rows, empty="")
    more = len(view.marks) - NAMED_MAX
    if more > 0:
        print_lines(f"{more:,} more: --json lists all.")


_NOW = {
    HostState.CORDONED: "cordoned: nothing new starts there",
    HostState.DRAINING: "draining: what runs there got notice",
    HostState.FAILED: "failed: what ran there has ended",
    None: "in use again",
}


def _numbers(chips: str) -> list[int]:
    """Numbers of chips, from text such as 0,3."""
    try:
        return [int(each) for each in chips.split(",")] if chips else []
    except ValueError:
        raise BadRequest(
            f"--chips {chips}: give numbers with commas between, such as 0,3."
        ) from None


def _mark(
    path: str,
    state: HostState | None,
    note: str,
    data: Path,
    *,
    chips: Sequence[int] = (),
    as_json: bool,
) -> None:
    body = {"path": path, "state": state, "note": note, "chips": chips}
    told = connect(data).post("/fleet/marks", Marked, body)
    if as_json:
        print_json(told)
        return
    what, are = f"{told.hosts:,} {'host' if told.hosts == 1 else 'hosts'} under {path}", told.hosts
    if chips:
        what, are = f"{_chips(len(chips))} of {path}", len(chips)
    print_lines(printable(f"{what} {'is' if are == 1 else 'are'} {_NOW[state]}."))
    for words, ids in (
        ("Got other hosts", told.reservations_moved),
        ("Get other hosts when what runs there has ended", told.reservations_moving),
        ("Ended, or will", told.leases_ended),
        ("Have fewer hosts than were promised, or will", told.reservations_short),
    ):
        if ids:
            print_lines(f"{words}: {_named(ids)}.")


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED_MAX
    told = ", ".join(ids[:NAMED_MAX])
    return f"{told} and {more:,} more" if more > 0 else told


def _write_page(connection: Connection, view: FleetView, path: str, file: Path) -> None:
    end_s = _end_s(WEEKS)
    calendars = connection.get("/fleet/calendar", Calendars, {"end_s": end_s}).calendars
    site = path.partition("/")[0]
    shown = [each for each in calendars if site in ("", each.pool.partition("/")[0])]
    text = page(view, shown, path=path, end_s=end_s, at_ms=_now_ms())
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            f"The picture can't be written to {file}: {error.strerror}. Give --html a file in a "
            "folder that exists."
        ) from error


def _now_ms() -> int:
    return SystemClock().now_ns() // 1_000_000


def _end_s(weeks: int) -> int:
    """So many weeks after the last midnight."""
    now_s = _now_ms() // 1000
    return now_s - now_s % 86_400 + weeks * WEEK_S


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"The file {file} can't be read: {error.strerror}.") from None
