"""`craton chips`: what chips and servers are made of, side by side, each figure with its source."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from craton.cli.calibrate import FOLDER, calibrate
from craton.cli.groups import group
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import console, print_json, print_lines, print_table
from craton.kernel.clock import SystemClock
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import Chip, LinkLevel, Server, Topology
from craton.silicon.chip_file import figures_of
from craton.silicon.comparison import EIGHT_BIT, FOUR_BIT, Row, compare, item, native_rate
from craton.silicon.figure import Figure
from craton.silicon.power import Site, load_own_site
from craton.silicon.precision import Precision
from craton.silicon.prices import RENTED, ChipHour, chip_hour, stale

NONE = "-"
MARK = "~"
"""Before a figure that rests on an estimate."""

app = group("Show and compare chips, servers and UltraServers; works offline.", "craton chips")

Name = Annotated[str, typer.Argument(help="A chip or server, such as h100 or trn2-ultraserver.")]
Names = Annotated[list[str], typer.Argument(help="Chips and servers; ratios are to the first.")]


@app.callback()
def chips(context: typer.Context, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show and compare chips, servers and UltraServers.

    Works offline. A chip file of your own goes into the folder `chips` of the data folder: it adds
    a chip, or takes the place of ours of the same name. "~" marks what rests on an estimate.
    Compute is dense; links and network are one way, of one chip.
    """
    if context.invoked_subcommand is None:
        list_chips(data, as_json)


@app.command("list", epilog=example("craton chips list --json"))
def list_chips(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the chips: dense TFLOPS, memory, links, power and the lowest price."""
    catalogue, site = _load(data)
    offers = {
        chip.name: chip_hour(chip, catalogue.servers_of(chip), site)
        for chip in catalogue.chips.values()
    }
    if as_json:
        print_json(
            {
                "chips": [catalogue.chips[name] for name in sorted(catalogue.chips)],
                "servers": [catalogue.servers[name] for name in sorted(catalogue.servers)],
                "unmeasured": list(catalogue.unmeasured.values()),
                "prices": offers,
            }
        )
        return
    by_vendor = sorted(catalogue.chips.values(), key=lambda chip: (chip.vendor, chip.name))
    rows = [_line(chip, offers[chip.name]) for chip in by_vendor]
    rows += [
        (chip.name, chip.vendor, *(NONE,) * 8, "measure it: craton chips calibrate")
        for chip in catalogue.unmeasured.values()
    ]
    columns = ("CHIP", "VENDOR", "BF16", "FP8", "FP4", "GIB", "TB/S")
    columns += ("LINKS GB/S", "NETWORK", "WATTS", "$/CHIP-HOUR")
    numbers = ("BF16", "FP8", "FP4", "GIB", "TB/S", "NETWORK", "WATTS")
    print_table(columns, rows, empty="There are no chips.", right=numbers)
    print_lines(
        "",
        f"{len(catalogue.servers)} servers: {', '.join(sorted(catalogue.servers))}.",
        'Dense TFLOPS; links and network one way of one chip; "~" rests on an estimate.',
    )
    _tell_stale(offer for offer in offers.values() if offer is not None)


@app.command("show", epilog=example("craton chips show trainium3"))
def show(name: Name, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show every figure of a chip or server with its source, the day it was read, and notes."""
    catalogue, site = _load(data)
    found = catalogue.find(name)
    if as_json:
        print_json({"server" if isinstance(found, Server) else "chip": found})
        return
    print_lines(f"{found.name}: {found.title}", *_about(found, catalogue))
    rows = [_figure_line(found, member, figure) for member, figure in figures_of(found)]
    columns = ("MEMBER", "VALUE", "SOURCE", "READ", "NOTE")
    print_table(columns, rows, empty="It has no figures.", right=("VALUE",))
    _tell_stale(_own_prices(found, catalogue, site))


@app.command("compare", epilog=example("craton chips compare trn2-ultraserver gb200-nvl72"))
def compare_chips(names: Names, data: Data = DATA, as_json: AsJson = False) -> None:
    """Compare chips and servers side by side: totals, and ratios to the first."""
    catalogue, site = _load(data)
    items = [item(catalogue, name) for name in names]
    rows = compare(catalogue, items, site)
    if as_json:
        print_json({"items": [it.name for it in items], "rows": rows})
        return
    headings = tuple(f"{it.name.upper()}{' ' * at}" for at, it in enumerate(items))
    lines = [_comparison_line(row) for row in rows]
    print_table(("", "UNIT", *headings), lines, empty="Nothing to compare.", right=headings)
    offers = (chip_hour(it.chip, catalogue.servers_of(it.chip), site) for it in items)
    _tell_stale(offer for offer in offers if offer is not None)


app.command("calibrate", epilog=example("craton chips calibrate --data ./craton-data"))(calibrate)


def _load(data: Path) -> tuple[Catalogue, Site]:
    return load_catalogue(data.expanduser() / FOLDER), load_own_site(data)


def _line(chip: Chip, offer: ChipHour | None) -> tuple[str, ...]:
    inner = [level for level in chip.links if level.topology is not Topology.NETWORK]
    return (
        chip.name,
        chip.vendor,
        _cell(native_rate(chip, (Precision.BF16,))),
        _cell(native_rate(chip, EIGHT_BIT)),
        _cell(native_rate(chip, FOUR_BIT)),
        _cell(chip.memory_gib),
        _cell(chip.memory_tb_s),
        ", ".join(_level(level) for level in inner) or NONE,
        _cell(chip.links[-1].gb_s),
        _cell(chip.power_w),
        _offer(offer),
    )


def _level(level: LinkLevel) -> str:
    return f"{_cell(level.gb_s)} to {level.chips:,}"


def _cell(figure: Figure | None) -> str:
    return NONE if figure is None else _number(figure.value, is_estimate=figure.estimate)


def _number(value: float, *, is_estimate: bool) -> str:
    told = f"{value:,.0f}" if value >= 10_000 else f"{value:,.5g}"
    return MARK + told if is_estimate else told


def _offer(offer: ChipHour | None) -> str:
    if offer is None:
        return NONE
    return (
        f"{MARK if offer.estimate else ''}{offer.usd:.3f} {offer.kind} ({offer.read or 'undated'})"
    )


def _about(found: Chip | Server, catalogue: Catalogue) -> list[str]:
    lines = [found.notes] if found.notes else []
    if isinstance(found, Server):
        lines.append(
            f"{found.chips} x {found.chip}; `craton chips show {found.chip}` has the chip."
        )
    else:
        held = ", ".join(server.name for server in catalogue.servers_of(found)) or "no server"
        lines.append(f"Programs see it as {found.ranks} rank(s). Comes in: {held}.")
    levels = (f"{level.name} ({level.topology}, {_reach(level)})" for level in found.links)
    lines.append(f"Links, innermost first: {'; '.join(levels) or 'unknown'}.")
    if found.aliases:
        lines.append(f"Also called {', '.join(found.aliases)}.")
    return [*lines, ""]


def _reach(level: LinkLevel) -> str:
    return f"{level.chips:,} chips" if level.chips else "any number of chips"


def _figure_line(found: Chip | Server, member: str, figure: Figure) -> tuple[str, ...]:
    if isinstance(found, Server) and member.startswith("prices["):
        at = int(member.removeprefix("prices[").partition("]")[0])
        member = f"{member} ({found.prices[at].kind})"
    value = _number(figure.value, is_estimate=figure.estimate)
    read = "" if figure.read is None else figure.read.isoformat()
    return (member, value, figure.source, read, figure.note)


def _comparison_line(row: Row) -> tuple[str, ...]:
    cells: list[str] = []
    for cell, ratio in zip(row.cells, row.ratios, strict=True):
        if cell is None or ratio is None:
            cells.append(NONE)
            continue
        told = _number(cell.value, is_estimate=cell.estimate)
        is_first = not any(other is not None for other in row.cells[: len(cells)])
        cells.append(told if is_first else f"{told} ({ratio:.2f}x)")
    return (row.name, row.unit, *cells)


def _own_prices(found: Chip | Server, catalogue: Catalogue, site: Site) -> list[ChipHour]:
    if isinstance(found, Chip):
        chip, holders = found, catalogue.servers_of(found)
    elif found.chip in catalogue.chips:
        chip, holders = catalogue.chips[found.chip], (found,)
    else:
        return []
    offers = (chip_hour(chip, holders, site, (kind,)) for kind in RENTED)
    return [offer for offer in offers if offer is not None]


def _tell_stale(offers: Iterable[ChipHour]) -> None:
    """Warn on standard error of prices that are old: one line each, without repeats."""
    today = _today()
    warnings: Sequence[str] = sorted({told for offer in offers if (told := stale(offer, today))})
    told = console(to_errors=True)
    for warning in warnings:
        told.print(f"warning: {warning}", style="yellow")


def _today() -> date:
    return datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC).date()
