"""Chips and servers side by side: totals of what each is made of, and ratios to the first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import Chip, Server, Topology
from craton.silicon.figure import Figure
from craton.silicon.power import Site
from craton.silicon.precision import Precision
from craton.silicon.prices import chip_hour

# A chip has at most one of each line at a full rate; plain FP8 and NVFP4 go first.
EIGHT_BIT = (Precision.FP8, Precision.MXFP8)
FOUR_BIT = (Precision.NVFP4, Precision.MXFP4)


class Cell(msgspec.Struct, frozen=True):
    """One total, and whether it rests on an estimate."""

    value: float
    estimate: bool = False


class Row(msgspec.Struct, frozen=True):
    """One measure of every item compared; None where an item has none."""

    name: str
    unit: str
    cells: tuple[Cell | None, ...]
    ratios: tuple[float | None, ...]
    """To the first item that has the measure."""


@dataclass(frozen=True, slots=True)
class Item:
    """A chip (then `server` is None) or a server, with the chip in it."""

    name: str
    chip: Chip
    server: Server | None

    @property
    def chips(self) -> int:
        """How many chips it has."""
        return self.server.chips if self.server is not None else 1


def item(catalogue: Catalogue, name: str) -> Item:
    """The chip or server of that name; NotFound tells the nearest names."""
    found = catalogue.find(name)
    if isinstance(found, Server):
        return Item(found.name, catalogue.chip(found.chip), found)
    return Item(found.name, found, None)


def compare(catalogue: Catalogue, items: Sequence[Item], site: Site) -> tuple[Row, ...]:
    """Every measure of every item; BadRequest unless there is one."""
    if not items:
        raise BadRequest("Name the chips or servers to compare; `craton chips` lists them.")
    measures: tuple[tuple[str, str, Callable[[Item], Cell | None]], ...] = (
        ("chips", "", lambda it: Cell(it.chips)),
        ("dense FP32", "TFLOPS", lambda it: _rate(it, (Precision.FP32,))),
        ("dense BF16", "TFLOPS", lambda it: _rate(it, (Precision.BF16,))),
        ("dense FP8", "TFLOPS", lambda it: _rate(it, EIGHT_BIT)),
        ("dense FP4", "TFLOPS", lambda it: _rate(it, FOUR_BIT)),
        ("memory", "GiB", lambda it: _total(it, it.chip.memory_gib)),
        ("memory bandwidth", "TB/s", lambda it: _total(it, it.chip.memory_tb_s)),
        ("chips within links", "", _reach),
        ("links, innermost", "GB/s a chip, one way", lambda it: _link(it, 0)),
        ("network", "GB/s a chip, one way", lambda it: _link(it, -1)),
        ("chips' power", "kW", lambda it: _total(it, it.chip.power_w, 1e-3)),
        ("power with host", "kW", lambda it: _server_power(it, site)),
        ("dense FP8 over chips' power", "TFLOPS/W", _efficiency),
        ("price", "$/hour", lambda it: _price(it, catalogue, site)),
        ("price of dense FP8", "$/PFLOP-hour", lambda it: _flops_price(it, catalogue, site)),
    )
    rows = ((name, unit, tuple(of(it) for it in items)) for name, unit, of in measures)
    return tuple(Row(name, unit, cells, _ratios(cells)) for name, unit, cells in rows if any(cells))


def native_rate(chip: Chip, formats: Sequence[Precision]) -> Figure | None:
    """The dense peak in the first of these formats that the chip itself multiplies in."""
    return next((chip.tflops[format] for format in formats if format in chip.tflops), None)


def _ratios(cells: Sequence[Cell | None]) -> tuple[float | None, ...]:
    first = next(cell for cell in cells if cell is not None)
    return tuple(cell.value / first.value if cell is not None else None for cell in cells)


def _total(item: Item, figure: Figure | None, scale: float = 1.0) -> Cell | None:
    if figure is None:
        return None
    return Cell(figure.value * item.chips * scale, figure.estimate)


def _rate(item: Item, formats: Sequence[Precision]) -> Cell | None:
    return _total(item, native_rate(item.chip, formats))


def _reach(item: Item) -> Cell | None:
    links = item.server.links if item.server is not None else item.chip.links
    inner = [level.chips for level in links if level.topology is not Topology.NETWORK]
    return Cell(max(inner)) if inner else None


def _link(item: Item, at: int) -> Cell | None:
    links = item.server.links if item.server is not None else item.chip.links
    figure = links[at].gb_s
    return Cell(figure.value, figure.estimate)


def _server_power(item: Item, site: Site) -> Cell | None:
    """What a server's file says, or the chips' power and the host's share of it."""
    server = item.server
    if server is None:
        return None
    if server.power_kw is not None:
        return Cell(server.power_kw.value, server.power_kw.estimate)
    chips = _total(item, item.chip.power_w, 1e-3)
    share = server.host_share or site.host_share
    return Cell(chips.value * (1 + share.value), estimate=True) if chips is not None else None


def _efficiency(item: Item) -> Cell | None:
    rate, power = native_rate(item.chip, EIGHT_BIT), item.chip.power_w
    if rate is None or power is None:
        return None
    return Cell(rate.value / power.value, rate.estimate or power.estimate)


def _price(item: Item, catalogue: Catalogue, site: Site) -> Cell | None:
    """The item's own price; of a server without one, what its chips cost elsewhere: an estimate."""
    own = chip_hour(item.chip, (item.server,), site) if item.server is not None else None
    offer = own or chip_hour(item.chip, catalogue.servers_of(item.chip), site)
    if offer is None:
        return None
    is_elsewhere = item.server is not None and own is None
    return Cell(offer.usd * item.chips, offer.estimate or is_elsewhere)


def _flops_price(item: Item, catalogue: Catalogue, site: Site) -> Cell | None:
    price, rate = _price(item, catalogue, site), _rate(item, EIGHT_BIT)
    if price is None or rate is None:
        return None
    return Cell(price.value / rate.value * 1000, price.estimate or rate.estimate)
