"""A chip file of what was measured: the chip, and its text."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

import msgspec

from craton.kernel.errors import BadRequest, Conflict
from craton.silicon.calibrate import DeviceSamples, Samples
from craton.silicon.catalogue import load_catalogue
from craton.silicon.chip import Chip, LinkLevel, Topology
from craton.silicon.chip_file import read_chip_file
from craton.silicon.figure import Figure
from craton.silicon.precision import Precision
from craton.silicon.processor_rates import EngineRates

SOURCE = "measured on this machine by craton chips calibrate"
REPORTED = "reported by this machine's operating system to craton chips calibrate"
_KEYS = {SOURCE: "measured", REPORTED: "reported"}
PROCESSOR = "cpu"
PROCESSOR_ALIASES = ("cpu-generic", "generic-cpu")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the operating system, or a driver, says of a device and of its machine."""

    title: str
    memory_bytes: int
    power_w: float | None = None
    network_gb_s: float | None = None
    """GB/s of the fastest network port that is up, one way; None where it isn't told."""


@dataclass(frozen=True, slots=True)
class Loopback:
    """What a message within this machine takes, through its network software."""

    gb_s: Samples
    latency_us: Samples


def processor_chip(
    name: str,
    machine: Machine,
    *,
    by_threads: Mapping[int, DeviceSamples],
    loopback: Loopback,
    engine: EngineRates | None,
    read: date,
) -> Chip:
    """This machine's processor; `by_threads` holds what was measured on so many threads."""
    most = max(by_threads)
    # Beyond some count of threads memory gives no more, and may give less.
    copying = max(by_threads, key=lambda threads: by_threads[threads].copy_tb_s.median)
    scaling = ", ".join(
        f"{samples.tflops[Precision.FP32].median:.3g} on {threads}"
        for threads, samples in sorted(by_threads.items())
    )
    whole = by_threads[most]
    return Chip(
        name=name,
        title=machine.title,
        vendor="any",
        tflops={
            precision: _measured(samples, "TFLOPS", read, _on(most))
            for precision, samples in whole.tflops.items()
        },
        memory_gib=_reported(machine.memory_bytes / 2**30, read, "all of the machine's"),
        memory_tb_s=_measured(
            by_threads[copying].copy_tb_s,
            "TB/s",
            read,
            f"copying, {_on(copying)}, bytes read and bytes written",
        ),
        links=(_network(machine, loopback, read),),
        power_w=None if machine.power_w is None else _reported(machine.power_w, read, "its limit"),
        fixed_us=_measured(whole.least_us, "us", read, "a product of single numbers"),
        engine=engine,
        notes=f"Figures are what was reached, not a specification. fp32 TFLOPS by threads: "
        f"{scaling}.",
        aliases=PROCESSOR_ALIASES if name == PROCESSOR else (),
    )


def accelerator_chip(
    name: str,
    machine: Machine,
    *,
    samples: DeviceSamples,
    between: tuple[int, Samples, Samples] | None,
    loopback: Loopback,
    read: date,
) -> Chip:
    """An NVIDIA chip; `between` are how many there are, GB/s one sends, and us of a message."""
    links: list[LinkLevel] = []
    if between is not None:
        chips, gb_s, latency_us = between
        links.append(
            LinkLevel(
                name="within the machine",
                topology=Topology.ALL_TO_ALL,
                chips=chips,
                gb_s=_measured(gb_s, "GB/s", read, f"all-reduce over {chips} chips, as a ring"),
                latency_us=_measured(latency_us, "us", read, "smallest all-reduce, as a ring"),
            )
        )
    return Chip(
        name=name,
        title=machine.title,
        vendor="NVIDIA",
        tflops={
            precision: _measured(found, "TFLOPS", read, "a product through PyTorch")
            for precision, found in samples.tflops.items()
        },
        memory_gib=_reported(machine.memory_bytes / 2**30, read, "through PyTorch"),
        memory_tb_s=_measured(
            samples.copy_tb_s, "TB/s", read, "copying, bytes read and bytes written"
        ),
        links=(*links, _network(machine, loopback, read)),
        power_w=None if machine.power_w is None else _reported(machine.power_w, read, "its limit"),
        fixed_us=_measured(samples.least_us, "us", read, "a launch through PyTorch"),
        notes="Figures are what was reached, not a specification. Estimates that expect a part of "
        "a specification are lower with them than with the bundled chip.",
    )


def _network(machine: Machine, loopback: Loopback, read: date) -> LinkLevel:
    if machine.network_gb_s is not None:
        gb_s = _reported(machine.network_gb_s, read, "fastest port that is up")
    else:
        gb_s = msgspec.structs.replace(
            _measured(
                loopback.gb_s,
                "GB/s",
                read,
                "within the machine, since it tells no port's rate: an upper bound",
            ),
            estimate=True,
        )
    latency = _measured(
        loopback.latency_us, "us", read, "half a round trip within the machine: a lower bound"
    )
    return LinkLevel(
        name="network",
        topology=Topology.NETWORK,
        chips=0,
        gb_s=gb_s,
        latency_us=msgspec.structs.replace(latency, estimate=True),
    )


def _measured(samples: Samples, unit: str, read: date, note: str) -> Figure:
    return Figure(samples.median, SOURCE, read, note=f"{note}; {samples.told(unit)}")


def _reported(value: float, read: date, note: str) -> Figure:
    return Figure(value, REPORTED, read, note=note)


def _on(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def check_name(name: str) -> None:
    """BadRequest for a name that can't be a file's, or that a bundled chip has."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"A chip can't be called {name!r}: use up to 64 small letters, digits, '.', '-', '_'."
        )
    if name in load_catalogue().chips:
        raise BadRequest(
            f"{name} is a bundled chip, with the figures of its maker; estimates expect those. Give"
            f" what was measured here another name, such as {name}-measured."
        )


def check_absent(folder: Path, name: str, *, is_replacing: bool) -> Path:
    """Where the chip's file goes; Conflict where there is one and none may be replaced."""
    path = folder / f"{name}.toml"
    if path.exists() and not is_replacing:
        raise Conflict(
            f"{path} is there already. Use --force to replace it, or --name for another name."
        )
    return path


def write_chip(chip: Chip, folder: Path, *, is_replacing: bool) -> Path:
    """Write `<name>.toml`, whole or not at all; Conflict where there is one and none may go."""
    path = check_absent(folder, chip.name, is_replacing=is_replacing)
    text = chip_text(chip)
    assert read_chip_file(path.name, text) == [chip], "a chip file doesn't read as it was written"
    folder.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")  # not read as a chip file, should it stay behind
    new.write_text(text, encoding="utf-8")
    new.replace(path)
    return path


def chip_text(chip: Chip) -> str:
    """The chip in TOML: a figure a line; links, engine and sources under headings of their own."""
    sources: dict[str, dict[str, object]] = {}
    data = _shortened(msgspec.to_builtins(chip, builtin_types=(date,)), sources)
    links = cast("list[dict[str, object]]", data.pop("links"))
    tables = {key: data.pop(key) for key in ("tflops", "engine") if key in data}
    lines = _lines(data)
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_lines(cast("dict[str, object]", table))]
    for link in links:
        lines += ["", "[[links]]", *_lines(link)]
    for name, table in sources.items():
        lines += ["", f"[sources.{name}]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _shortened(
    table: Mapping[str, object], sources: dict[str, dict[str, object]]
) -> dict[str, object]:
    """Without what needn't be written: members that say nothing, and sources said before."""
    kept: dict[str, object] = {}
    for key, value in table.items():
        match value:
            case dict():
                kept[key] = _shortened(cast("dict[str, object]", value), sources)
            case list():
                items = cast("list[object]", value)
                kept[key] = [
                    _shortened(cast("dict[str, object]", item), sources)
                    if isinstance(item, dict)
                    else item
                    for item in items
                ]
            case None | False | "":
                pass
            case _:
                kept[key] = value
    source = _KEYS.get(cast("str", kept.get("source", "")))
    if source is not None:
        said = {"text": kept.pop("source"), "read": kept.pop("read")}
        if sources.setdefault(source, said) == said:
            kept["source"] = f"@{source}"
        else:
            kept["source"], kept["read"] = said["text"], said["read"]
    return kept


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case date():
            return value.isoformat()
        case str():
            # JSON's escapes are TOML's, but for one character that JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case dict():
            table = cast("dict[str, object]", value)
            inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in table.items())
            return f"{{ {inner} }}"
        case list() | tuple():
            return f"[{', '.join(_value(each) for each in cast('list[object]', value))}]"
        case _:
            raise AssertionError(f"{type(value)} has no form in TOML")
