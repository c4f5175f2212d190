"""Predicted against measured, on the machine this runs on, through the embedded engine.

    python benchmarks/silicon/this_machine.py [--model MODEL.gguf] [--runs 5] [--threads 2]

Calibrates (the loads that `craton chips calibrate` probes), then predicts loads that were not
probed, and measures them through the engine: prompts of other lengths, 1 to 8 answers at once, with
short and with long prompts. Probes and measured loads take turns, so that what else the machine
does disturbs both alike; medians over the runs are compared, and the scatter of the runs is
printed beside the error; then, since other work only ever slows an engine down, the same with the
fastest of the runs. All that was measured is printed before as a line of JSON.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from craton.cli.calibrate_engine import LOADS, Asker, describe, started
from craton.kernel.clock import SystemClock
from craton.models import weights
from craton.models.engines.embedded.specification import Specification
from craton.silicon.calibrate_numpy import COPY_BYTES, command, read
from craton.silicon.processor import costs_of, worth_of
from craton.silicon.processor_fit import Load, Observed, Probe, Probed, fit, predict_load

WEIGHTS = "smollm2-135m-instruct"
GOAL = 0.20
MEASURED = (
    *(Load(prompt, 1, 1) for prompt in (32, 128, 320, 1000)),
    *(Load(40, 40, concurrency) for concurrency in (1, 2, 4, 8)),
    *(Load(400, 24, concurrency) for concurrency in (1, 2, 4, 8)),
)


def rate(load: Load, seen: Observed) -> float:
    """Tokens a second: of the prompt where only it is measured, of the answers elsewhere."""
    if load.output == 1:
        return load.prompt / seen.first_s
    return load.concurrency * load.output / (seen.first_s + seen.growing_s)


def step_ms(load: Load, seen: Observed) -> float:
    return 1e3 * seen.growing_s / max(load.output - 1, 1)


async def watch(specification: Specification, runs: int) -> list[Probe]:
    """Run probes and measured loads in turn."""
    loads = (*LOADS, *MEASURED)
    order = np.random.default_rng(0)
    found: list[list[tuple[Load, Observed]]] = [[] for _ in loads]
    async with started(specification) as engine:
        asker = Asker(engine, SystemClock())
        await asker.prepare()
        for run in range(runs):
            for number in order.permutation(len(loads)):
                found[number].append(await asker.ask(loads[number]))
            print(
                f"# run {run + 1} of {runs}; load average {Path('/proc/loadavg').read_text()[:14]}"
            )
    return [Probe(each[0][0], tuple(seen for _, seen in each)) for each in found]


def copying_rate(threads: int) -> float:
    """Bytes a second."""
    asked = command(threads, matrix=256, copy_bytes=COPY_BYTES, repetitions=9)
    samples = read(subprocess.run(asked, capture_output=True, check=True).stdout)
    return samples.copy_tb_s.median * 1e12


def fastest(probe: Probe) -> Probe:
    """As if only the fastest of each time had been seen: what other work disturbs least."""
    first = min(run.first_s for run in probe.runs)
    growing = min(run.growing_s for run in probe.runs)
    return Probe(probe.load, (Observed(first, growing),))


def report(probes: list[Probe], probed: Probed, read_bytes_s: float) -> None:
    today = datetime.now(UTC).date()
    own, others = probes[: len(LOADS)], probes[len(LOADS) :]
    rates = fit(own, probed, read_bytes_s=read_bytes_s, source="this run", read=today)
    costs, stored, worth = costs_of(rates), rates.stored.value, worth_of(rates)
    for member in rates.__struct_fields__:
        value = getattr(rates, member)
        print(f"  {member:26} {getattr(value, 'value', value)}")
    print("             load   predicted   measured            ttft ms            step ms")
    print(
        " prompt output  n     tokens/s   tokens/s   error   pred.   meas.   pred.   meas.  scatter"
    )
    errors: dict[str, list[float]] = {"probed": [], "others": []}
    for probe in (*own, *others):
        load, seen = probe.load, probe.median
        expected = predict_load(load, probed, costs, stored=stored, worth=worth)
        error = rate(load, expected) / rate(load, seen) - 1.0
        errors["probed" if probe in own else "others"].append(error)
        print(
            f"{load.prompt:7}{load.output:7}{load.concurrency:3}{rate(load, expected):13.1f}"
            f"{rate(load, seen):11.1f}{error:+8.1%}{expected.first_s * 1e3:8.0f}"
            f"{seen.first_s * 1e3:8.0f}{step_ms(load, expected):8.1f}{step_ms(load, seen):8.1f}"
            f"{probe.scatter:9.2f}{'  probed' if probe in own else ''}"
        )
    for name, found in errors.items():
        sizes = [abs(each) for each in found]
        print(
            f"{name}: mean {statistics.mean(sizes):.1%}, worst {max(sizes):.1%},"
            f" {sum(each <= GOAL for each in sizes)} of {len(sizes)} within {GOAL:.0%}"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, help="default: the bundled weights, fetched once")
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or weights.fetch(weights.find(WEIGHTS), Path(folder) / "weights")
        specification = Specification(
            name="bench", model=model, socket=Path(folder) / "e.sock", threads=chosen.threads
        )
        read_bytes_s = copying_rate(chosen.threads)
        probes = asyncio.run(watch(specification, chosen.runs))
        probed = describe(model, specification)
        print(json.dumps({"read_bytes_s": read_bytes_s, "probes": msgspec.to_builtins(probes)}))
        print("Medians of the runs")
        report(probes, probed, read_bytes_s)
        print("The fastest of the runs")
        report([fastest(probe) for probe in probes], probed, read_bytes_s)


if __name__ == "__main__":
    main()
