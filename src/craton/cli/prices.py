"""`craton prices`: what each model and each instance type costs now."""

from collections.abc import Sequence
from typing import Annotated

import typer

from craton.apis.native.prices_contract import PricePage, PriceView
from craton.cli.connection import segment
from craton.cli.groups import connect, pages
from craton.cli.options import DATA, AsJson, Data
from craton.cli.output import print_json, print_lines, print_table, printable
from craton.kernel.units import decimal

_METERS_HIDDEN = "_tokens"
_SECONDS = "_chip_s"


def prices(
    name: Annotated[
        str | None, typer.Argument(help="Only this: a model's id or alias, or an instance type.")
    ] = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show what each model and instance type costs, by which price file, and since when."""
    connection = connect(data)
    if name is not None:
        found = [connection.get("/prices/" + segment(name), PriceView)]
    else:
        found = [price for page in pages(connection, "/prices", PricePage) for price in page.prices]
    if as_json:
        print_json({"prices": found})
    else:
        _print(found)


def _print(found: Sequence[PriceView]) -> None:
    rows = [
        (
            view.resource,
            view.kind,
            price_of(view),
            view.effective or "",
            "" if view.tariff in (None, view.resource) else str(view.tariff),
        )
        for view in found
    ]
    print_table(("RESOURCE", "KIND", "PRICE", "SINCE", "BY"), rows, empty="There are no prices.")
    sources = sorted({view.source for view in found if view.source})
    if sources:
        print_lines("", *(printable(f"Source: {source}") for source in sources))


def price_of(view: PriceView) -> str:
    """A price in one line, exact."""
    if view.currency is None:
        return "free: no price file says"
    parts: list[str] = []
    if view.per_million_nanos:
        each = _each(view.per_million_nanos, _METERS_HIDDEN)
        parts.append(f"{each} {view.currency} a million")
    if view.per_hour_nanos:
        each = _each(view.per_hour_nanos, _SECONDS)
        parts.append(f"{each} {view.currency} a chip-hour")
    return printable("; ".join(parts)) or f"free ({view.currency})"


def _each(prices: dict[str, int], hidden: str) -> str:
    """`input 0.02, output 0.08`: each meter without the unit that all of them have."""
    return ", ".join(
        f"{meter.removesuffix(hidden).replace('_', ' ')} {decimal(price)}"
        for meter, price in prices.items()
    )
