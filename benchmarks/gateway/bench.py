"""Measure Craton's gateway beside its rivals: one core for the gateway, one run.

    benchmarks/gateway/peers/install.sh
    python benchmarks/gateway/bench.py

All of a target's processes are pinned to one core; the load and the upstream have another. Every
target is started afresh in every round, and the rounds go over all targets in turn, so that what
else the machine does hits all alike. Reported are medians and, in brackets, the least and the most.
A round in which a request failed, a chunk was lost, or Craton's ledger is not exactly what was
answered is void: it is named below the tables and counts nowhere. HTTP/2 needs h2load (Debian:
nghttp2-client); where it is missing, the row says so.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import processes
import report
from craton_target import check_disk, craton_targets
from drivers import Bench
from measure import Measurement, measure
from targets import Target, direct, peers

PEERS = Path.home() / ".cache/craton-bench"
"""Where peers/install.sh installs if it is told nothing else."""
FSYNCS = 50


def main() -> None:
    """Run the rounds and print the tables; exits 1 if a round is void or a target did not start."""
    options = _options()
    # Debian keeps nginx where only root's PATH looks.
    os.environ["PATH"] += ":/usr/sbin"
    work = Path(tempfile.mkdtemp(prefix="gateway-bench-", dir=options.work_dir))
    check_disk(work)
    bench = Bench(
        loadgen=options.peers_dir / "loadgen",
        work=work,
        upstream_port=options.upstream_port,
        gateway_core=options.gateway_core,
        load_core=options.load_core,
        other_core=options.load_core if options.other_core is None else options.other_core,
        nice=options.nice,
        speed_up=20 if options.smoke else 1,
    )
    targets = _chosen(options)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}  {' '.join(sys.argv)}", flush=True)
    print(f"{_machine()}; load average {os.getloadavg()[0]:.1f} at the start", flush=True)
    measurements: list[Measurement] = []
    with _upstream(options.peers_dir / "mock_upstream", bench):
        for number in range(1 if options.smoke else options.rounds):
            print(f"round {number + 1}: one fsync takes {_fsync_ms(work):.2f} ms", flush=True)
            for target in targets:
                found = _attempt(bench, target)
                measurements.append(found)
                print(f"round {number + 1}: {_line(found)}", flush=True)
                report.write_json(work / "results.json", measurements)
    rounds = report.by_target(measurements)
    tables = (report.throughput_table, report.stream_table, report.goal_table)
    if not options.smoke:
        print("\n" + "\n\n".join(table(rounds) for table in tables))
    print("\n" + "\n".join([*report.notes(measurements), f"all figures: {work / 'results.json'}"]))
    if not options.keep:
        for folder in work.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    sys.exit(any(measurement.wrong for measurement in measurements))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure Craton's gateway beside its rivals. HTTP/2 needs h2load (Debian: "
        "nghttp2-client); where it is missing, the row says so."
    )
    parser.add_argument(
        "--peers-dir", type=Path, default=PEERS, help=f"made by peers/install.sh; else {PEERS}"
    )
    parser.add_argument("--work-dir", type=Path, help="a folder on a disk; else the system's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        help="targets by how their names begin, or what follows a comma in them: nginx,http",
    )
    parser.add_argument("--smoke", action="store_true", help="one short round; no figures to keep")
    parser.add_argument("--keep", action="store_true", help="keep the targets' folders and logs")
    parser.add_argument("--gateway-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument(
        "--other-core", type=int, help="where Craton's state process may go; else the load's core"
    )
    parser.add_argument("--upstream-port", type=int, default=8500)
    parser.add_argument(
        "--nice",
        type=int,
        default=-15 if os.geteuid() == 0 else 0,
        help="priority of load and targets; below 0 needs root",
    )
    options = parser.parse_args()
    options.peers_dir = options.peers_dir.resolve()
    if not (options.peers_dir / "loadgen").is_file():
        raise SystemExit(
            f"The rivals and the load driver are not in {options.peers_dir}. Run "
            "benchmarks/gateway/peers/install.sh first, or name their folder with --peers-dir."
        )
    return options


def _chosen(options: argparse.Namespace) -> list[Target]:
    port = options.upstream_port
    # Craton in the middle: the machine's slow drifts then favour neither end of a round.
    found = [direct(port), *peers(options.peers_dir, port)]
    found[3:3] = craton_targets(port)
    if options.only is None:
        return found
    names = tuple(name.strip() for name in options.only.lower().split(","))
    return [
        target
        for target in found
        if any(part.startswith(names) for part in target.name.lower().split(", "))
    ]


def _attempt(bench: Bench, target: Target) -> Measurement:
    """Measure; a target that can't be measured is a void round, and the others go on."""
    try:
        return measure(bench, target)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Measurement(target.name, wrong=[str(error)])


@contextmanager
def _upstream(program: Path, bench: Bench) -> Generator[None]:
    """Run the upstream on the load's core."""
    command = processes.pinned(
        bench.load_core, bench.nice, [str(program), str(bench.upstream_port)]
    )
    with processes.started(command, folder=bench.work, environment={}) as process:
        deadline = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < deadline:
            processes.prioritize([process.pid], bench.nice)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{bench.upstream_port}/").close()
            except urllib.error.URLError:
                time.sleep(0.02)
                continue
            yield
            return
        raise SystemExit(f"The upstream did not start; see {bench.work / 'output.log'}.")


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {versions}"


def _fsync_ms(folder: Path) -> float:
    """Median time to have 4 KiB more on disk: what each of Craton's commits waits for."""
    times: list[float] = []
    with (folder / "fsync").open("ab", buffering=0) as file:
        for _ in range(FSYNCS):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def _line(found: Measurement) -> str:
    if found.unmeasured:
        return f"{found.target}: not measured: {found.unmeasured}"
    if not found.loads:
        return f"{found.target}: VOID: {'; '.join(found.wrong)}"
    one: Sequence[Measurement] = [found]
    return (
        f"{found.target}: {report.spread(one, report.REQUESTS_PER_S)} requests/s, "
        f"first chunk {report.spread(one, report.FIRST_P50_MS, 2)} ms, "
        f"{report.spread(one, report.of_load('burst_16', 'marks_per_s'))} and "
        f"{report.spread(one, report.of_load('paced_256', 'marks_per_s'))} chunks/s, "
        f"started in {found.cold_start_s:.1f} s"
        + (f"; VOID: {'; '.join(found.wrong)}" if found.wrong else "")
    )


if __name__ == "__main__":
    main()
