"""Measures this machine and writes chip files of it: what `craton chips calibrate` does."""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from craton.cli.calibrate_engine import probe_model
from craton.cli.output import console, print_json, print_lines, print_table
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import NotFound, Unavailable
from craton.models import weights
from craton.silicon import calibrate_numpy, calibrate_torch
from craton.silicon.calibrate import DeviceSamples, measure
from craton.silicon.calibrate_file import (
    SOURCE,
    Loopback,
    Machine,
    accelerator_chip,
    check_absent,
    check_name,
    processor_chip,
    write_chip,
)
from craton.silicon.calibrate_machine import describe_processor, measure_loopback
from craton.silicon.chip import Chip
from craton.silicon.chip_file import figures_of
from craton.silicon.processor_fit import fit
from craton.silicon.processor_rates import EngineRates

WEIGHTS = "smollm2-135m-instruct"
MEASURED_SUFFIX = "-measured"
SCATTER_MOST = 1.5
"""Above it something else than the load decided how long it took."""


def calibrate_machine(
    data: Path,
    folder: Path,
    *,
    name: str,
    model: Path | None,
    is_probed: bool,
    repetitions: int,
    is_replacing: bool,
    as_json: bool,
) -> None:
    """Measure the processor, its engine and NVIDIA chips, write a file of each, and print them.

    `data` may hold a model in its `weights`; the files go into `folder`.

    Conflict, BadRequest or NotFound before anything is measured where a file couldn't be written.
    """
    torch = calibrate_torch.load()
    accelerators = {} if torch is None else accelerator_names(torch)
    check_name(name)
    for each in (name, *accelerators):
        check_absent(folder, each, is_replacing=is_replacing)
    probed = _model_file(data, model) if is_probed else None
    clock = SystemClock()
    today = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).date()
    if is_probed and probed is None:
        _say(
            "The engine is not probed: there is no model in the data folder. `craton up` fetches"
            " one, or name a GGUF file with --model."
        )
    with _connected() as (near, far):
        loopback = measure_loopback(clock, near, far, repetitions=repetitions)
    by_threads = _by_threads(repetitions)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = describe_processor(Path("/"), cores=_cores(), memory_bytes=memory_bytes)
    chips = [
        processor_chip(
            name,
            machine,
            by_threads=by_threads,
            loopback=loopback,
            engine=None if probed is None else _engine(probed, clock, by_threads, today),
            read=today,
        )
    ]
    if torch is not None:
        _say(f"Measuring {', '.join(accelerators)} …")
        chips += measure_accelerators(
            torch, clock, machine=machine, loopback=loopback, repetitions=repetitions, read=today
        )
    paths = [write_chip(chip, folder, is_replacing=is_replacing) for chip in chips]
    if as_json:
        print_json({"files": [str(path) for path in paths], "chips": chips})
    else:
        for chip, path in zip(chips, paths, strict=True):
            _show(chip, path)


def _say(line: str) -> None:
    console(to_errors=True).print(line, style="dim")


def _show(chip: Chip, path: Path) -> None:
    print_lines(f"{chip.name}: {chip.title}")
    rows = [
        (member, f"{figure.value:,.5g}", figure.note or figure.source)
        for member, figure in figures_of(chip)
    ]
    print_table(("MEMBER", "VALUE", "HOW"), rows, empty="Nothing was measured.", right=("VALUE",))
    print_lines(f"Written to {path}. Use it as --chip {chip.name}.", "")


def _cores() -> int:
    """Cores this process may use, which in a container are fewer than there are."""
    return len(os.sched_getaffinity(0))


def _model_file(data: Path, model: Path | None) -> Path | None:
    """The model to probe the engine with; None where none was named and none is there."""
    if model is not None:
        if not model.is_file():
            raise NotFound(f"There is no file {model}. Name a GGUF file with --model.")
        return model.expanduser()
    fetched = data / "weights" / weights.find(WEIGHTS).file
    return fetched if fetched.is_file() else None


def _by_threads(repetitions: int) -> dict[int, DeviceSamples]:
    """The processor on 1, 2, 4 … and all cores."""
    cores = _cores()
    counts = {cores, *(1 << power for power in range(cores.bit_length()) if 1 << power <= cores)}
    found: dict[int, DeviceSamples] = {}
    for threads in sorted(counts):
        _say(f"Measuring products and memory on {threads} of {cores} cores …")
        command = calibrate_numpy.command(
            threads,
            matrix=calibrate_numpy.MATRIX,
            copy_bytes=calibrate_numpy.COPY_BYTES,
            repetitions=repetitions,
        )
        ended = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise Unavailable(
                f"The processor can't be measured on {threads} threads: {' '.join(said)}. It takes"
                f" {2 * calibrate_numpy.COPY_BYTES >> 20} MiB of free memory; free some, try again."
            )
        found[threads] = calibrate_numpy.read(ended.stdout)
    return found


def _engine(
    model: Path,
    clock: Clock,
    by_threads: Mapping[int, DeviceSamples],
    read: date,
) -> EngineRates:
    """The rates of the embedded engine."""

    def progress(done: int, total: int) -> None:
        _say(f"Probing the engine with {model.name}: {done} of {total} loads …")

    probed, probes = asyncio.run(probe_model(model, clock, progress=progress))
    scatter = max(probe.scatter for probe in probes)
    if scatter > SCATTER_MOST:
        console(to_errors=True).print(
            f"warning: the same load took up to {scatter:.1f} times as long as at its fastest, so"
            " the engine's rates are rough. Run this again, with --force, when the machine has"
            " nothing else to do.",
            style="yellow",
        )
    copied = max(samples.copy_tb_s.median for samples in by_threads.values())
    return fit(probes, probed, read_bytes_s=copied * 1e12, source=SOURCE, read=read)


@contextmanager
def _connected() -> Generator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection through this machine's network software."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    with near, far:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield near, far


def accelerator_names(torch: calibrate_torch.Torch) -> dict[str, int]:
    """NVIDIA chips by the names of their files, with the number of the first of each kind."""
    found: dict[str, int] = {}
    for index in range(torch.cuda.device_count()):
        title = str(torch.cuda.get_device_properties(index).name)
        plain = re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")
        found.setdefault(plain + MEASURED_SUFFIX, index)
    return found


def measure_accelerators(
    torch: calibrate_torch.Torch,
    clock: Clock,
    *,
    machine: Machine,
    loopback: Loopback,
    repetitions: int,
    read: date,
) -> list[Chip]:
    """One chip of each kind of NVIDIA chip here; `machine` tells of the network they share."""
    between = calibrate_torch.all_reduce_gb_s(torch, clock, repetitions=repetitions)
    chips: list[Chip] = []
    for name, index in accelerator_names(torch).items():
        properties = torch.cuda.get_device_properties(index)
        samples = measure(
            clock,
            calibrate_torch.TorchDevice(torch, index),
            matrix=calibrate_torch.MATRIX,
            copy_bytes=calibrate_torch.COPY_BYTES,
            repetitions=repetitions,
        )
        own = Machine(
            title=str(properties.name),
            memory_bytes=int(properties.total_memory),
            power_w=_accelerator_power_w(index),
            network_gb_s=machine.network_gb_s,
        )
        chips.append(
            accelerator_chip(
                name, own, samples=samples, between=between, loopback=loopback, read=read
            )
        )
    return chips


def _accelerator_power_w(index: int) -> float | None:
    """The power limit that NVIDIA's driver tells; None without its tool."""
    query = [
        "nvidia-smi",
        f"--id={index}",
        "--query-gpu=power.limit",
        "--format=csv,noheader,nounits",
    ]
    try:
        ended = subprocess.run(query, capture_output=True, check=True, text=True)  # noqa: S603 - fixed
        return float(ended.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
