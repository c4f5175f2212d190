"""One chip file: how a chip, or the servers of a family, read in TOML, and what is refused.

A file describes one chip, or servers under headings `[[server]]`. A figure is written
`{ value = 96, source = "…" }`, or `source = "@key"` for one of the file's own `[sources]`; a figure
without a source is refused.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, TypeVar, cast

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.chip import Chip, LinkLevel, Server, Topology
from craton.silicon.figure import Figure

# Words that say nothing of what the source is; only an estimate may rest on them.
UNSOURCED = ("recalled", "not verified", "not found")

MAY_BE_ZERO = ("latency_us", "host_share", "idle_w", "usd_kwh", "capital_overhead", "idle_fraction")

Converted = TypeVar("Converted")
Record = TypeVar("Record", bound=msgspec.Struct)


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source that several figures of a file share."""

    text: str
    read: date | None = None


class Unmeasured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chip whose figures only a measurement can give: the CPU of this machine."""

    name: str
    title: str
    vendor: str
    measured: tuple[str, ...]
    """The members of its chip file that a measurement fills."""
    notes: str = ""
    aliases: tuple[str, ...] = ()


def read_chip_file(name: str, text: str) -> list[Chip | Server | Unmeasured]:
    """The chip, or the servers, that one file describes; BadRequest says what is wrong with it."""
    data = _table(name, text)
    if "server" in data:
        if set(data) != {"server"} or not isinstance(data["server"], list):
            raise BadRequest(
                f"Chip file {name}: write each server under a heading [[server]], and nothing else."
            )
        entries = cast("list[Any]", data["server"])
        return [_server(name, entry, f"server[{at}]") for at, entry in enumerate(entries)]
    if "measured" in data:
        return [_converted(name, data, Unmeasured, "")]
    chip = _converted(name, data, Chip, "")
    _check_chip(name, chip)
    return [chip]


def read_figures(name: str, text: str, type: type[Record]) -> Record:
    """A record of figures under the same rules, such as a site; BadRequest says what is wrong."""
    record = _converted(name, _table(name, text), type, "")
    for member, figure in figures_of(record):
        _check_figure(name, member, figure)
    return record


def _table(name: str, text: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"Chip file {name} is not TOML: {error}.") from None
    sources = _sources(name, data.pop("sources", {}))
    return cast("dict[str, Any]", _with_sources(name, data, sources, ""))


def figures_of(item: msgspec.Struct, path: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure of a chip or server, with the path of the member that holds it."""
    for field in item.__struct_fields__:
        yield from _figures(getattr(item, field), f"{path}{field}")


def _figures(value: object, path: str) -> Iterator[tuple[str, Figure]]:
    match value:
        case Figure():
            yield path, value
        case msgspec.Struct():
            yield from figures_of(value, f"{path}.")
        case dict():
            for key, inner in cast("dict[str, object]", value).items():
                yield from _figures(inner, f"{path}.{key}")
        case tuple():
            for at, inner in enumerate(cast("tuple[object, ...]", value)):
                yield from _figures(inner, f"{path}[{at}]")
        case _:
            pass


def _server(name: str, entry: object, path: str) -> Server:
    server = _converted(name, entry, Server, path)
    if server.chips < 1:
        raise BadRequest(f"Chip file {name}: {path}.chips is {server.chips}; it is at least 1.")
    if server.links:
        _check_links(name, f"{path}.links", server.links)
    for member, figure in figures_of(server, f"{path}."):
        _check_figure(name, member, figure)
    return server


def _check_chip(name: str, chip: Chip) -> None:
    for member, figure in figures_of(chip):
        _check_figure(name, member, figure)
    if not chip.tflops:
        raise BadRequest(
            f"Chip file {name}: tflops is empty; give the rate of one format at least."
        )
    if chip.ranks < 1:
        raise BadRequest(f"Chip file {name}: ranks is {chip.ranks}; it is at least 1.")
    _check_links(name, "links", chip.links)


def _check_figure(name: str, member: str, figure: Figure) -> None:
    may_be_zero = member.endswith(MAY_BE_ZERO)
    if not math.isfinite(figure.value) or figure.value < 0 or not (figure.value or may_be_zero):
        raise BadRequest(f"Chip file {name}: {member} is {figure.value}; it must be above 0.")
    if not figure.source.strip():
        raise BadRequest(
            f"Chip file {name}: {member} has no source. Say where {figure.value} was read; if"
            ' nobody states it, write source = "not verified" and estimate = true.'
        )
    unsourced = any(word in figure.source.casefold() for word in UNSOURCED)
    if unsourced and not figure.estimate:
        raise BadRequest(
            f"Chip file {name}: {member} rests on {figure.source!r}, which is no source. Name one,"
            " or mark the figure with estimate = true."
        )


def _check_links(name: str, path: str, links: tuple[LinkLevel, ...]) -> None:
    """Levels reach farther and farther; only the last, the network, reaches everything."""
    if not links:
        raise BadRequest(f"Chip file {name}: {path} is empty; give the network at least.")
    reach = 1
    for at, level in enumerate(links):
        is_last = at == len(links) - 1
        if (level.topology is Topology.NETWORK) != is_last or (level.chips == 0) != is_last:
            raise BadRequest(
                f"Chip file {name}: {path}[{at}] is {level.topology} of {level.chips} chips. The"
                " last level, and no other, is a network of 0 chips (which means without limit)."
            )
        if not is_last and level.chips <= reach:
            raise BadRequest(
                f"Chip file {name}: {path}[{at}].chips is {level.chips}; a level must reach more"
                f" chips than the {reach} inside it."
            )
        reach = level.chips


def _sources(name: str, table: object) -> dict[str, _Source]:
    try:
        sources = msgspec.convert(table, dict[str, _Source])
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"Chip file {name}: [sources]: {error}. Write each source under a heading"
            " [sources.KEY] with `text` (a title or address) and, where known, `read` (a date)."
        ) from None
    for key, source in sources.items():
        if not source.text.strip():
            raise BadRequest(f"Chip file {name}: sources.{key}.text is empty; say what it is.")
    return sources


def _with_sources(name: str, node: object, sources: Mapping[str, _Source], path: str) -> object:
    """The same tree with each `@key` put out as the source it stands for, and its date."""
    if isinstance(node, list):
        items = cast("list[object]", node)
        return [
            _with_sources(name, inner, sources, f"{path}[{at}]") for at, inner in enumerate(items)
        ]
    if not isinstance(node, dict):
        return node
    table = {
        key: _with_sources(name, inner, sources, f"{path}.{key}".lstrip("."))
        for key, inner in cast("dict[str, object]", node).items()
    }
    source = table.get("source")
    if isinstance(source, str) and source.startswith("@"):
        if source[1:] not in sources:
            raise BadRequest(
                f"Chip file {name}: {path} names the source {source!r}; add a heading"
                f" [sources.{source[1:]}] with `text`, or write the source out."
            )
        found = sources[source[1:]]
        table = {"read": found.read, **table, "source": found.text}
    return table


def _converted(name: str, data: object, type: type[Converted], path: str) -> Converted:
    try:
        return msgspec.convert(data, type)
    except msgspec.ValidationError as error:
        where = f" in {path}" if path else ""
        raise BadRequest(
            f"Chip file {name}{where}: {error}. A figure is written"
            ' { value = 96, source = "where it was read" }; `craton chips show` prints whole ones.'
        ) from None
