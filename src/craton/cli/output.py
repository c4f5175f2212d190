"""How commands print: JSON of a stable shape for programs, tables and plain lines for people."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craton.kernel.units import money

WIDTH_PIPED = 240
"""Columns when nobody looks: wide enough that no id is cut."""

# Escape sequences in a model's answer or in a name must not steer the terminal.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


Value = TypeVar("Value")


def console(*, to_errors: bool = False) -> Console:
    """Where people read."""
    stream = sys.stderr if to_errors else sys.stdout
    width = None if stream.isatty() else WIDTH_PIPED
    return Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_value(value: Value, people: Callable[[Value], None], *, as_json: bool) -> None:
    """Print a value as one JSON document, or the way that people read it."""
    if as_json:
        print_json(value)
    else:
        people(value)


def print_list(
    name: str, values: list[Value], people: Callable[[list[Value]], None], *, as_json: bool
) -> None:
    """Print a list as one JSON document with this member, or the way that people read it."""
    if as_json:
        print_json({name: values})
    else:
        people(values)


def print_lines(*lines: str) -> None:
    """Print lines as they are."""
    sys.stdout.write("".join(line + "\n" for line in lines))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str, right: Sequence[str] = ()
) -> None:
    """Print rows under headings; `right` are the headings of numbers."""
    if not rows:
        print_lines(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def printable(text: str) -> str:
    """Text without characters that would steer a terminal."""
    return text.translate(_CONTROLS)


def day_and_time(at_ms: int) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def price(amount_nanos: int, currency: str) -> str:
    """An exact amount of money."""
    return money(amount_nanos, currency)
