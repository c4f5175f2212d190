"""python -m benchmarks.fleet.state: the state process with 1.44 million chips, asked for gangs.

Fills a database with a fleet of 92 % load (placement_mix.toml, seed and all; every third lease may
be interrupted), starts the state process of `craton up` over it in a process of its own, and times
how long that takes and what memory it has then. Then asks over its socket for gangs of 64 hosts,
one caller and 64 at once, and gives them back: every answer comes after its commit (SQLite, WAL,
`synchronous=FULL`). Each gang is checked: 64 hosts, and none of them held by another.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleet.fleets import FLEETS, FleetOf, churned, fill, fleet_text, leases
from benchmarks.fleet.placement import MIX
from craton.bootstrap.settings import Settings, to_argument
from craton.fleet.contract import EndLease, LeaseView, Owner, RequestLease
from craton.fleet.records import LeaseKind, LeaseState
from craton.kernel.clock import SystemClock
from craton.kernel.log import Log
from craton.store.client import StateClient

HOSTS = 64
CALLERS = 64


@dataclass(frozen=True)
class Started:
    """A state process that answers. Times in seconds, memory in MB."""

    process: subprocess.Popen[bytes]
    settings: Settings
    elapsed_s: float
    cpu_s: float
    memory_mb: float
    peak_mb: float


def cpu_s(pid: int) -> float:
    """How long a process's main thread, which does all of this, has run so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def memory_mb(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"the state process {pid} is gone")


async def start(folder: Path) -> Started:
    """Start a state process over a data folder, and wait until it has answered."""
    settings = Settings(data=folder, run=folder, engine="echo", workers=1)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "craton.bootstrap.state_process", to_argument(settings)],
        stdin=subprocess.PIPE,
        stdout=(folder / "state.log").open("ab"),
        stderr=subprocess.STDOUT,
    )
    client = await connect(settings)
    elapsed = time.perf_counter() - began
    await client.close()
    pid = process.pid
    memory = memory_mb(pid, "VmRSS"), memory_mb(pid, "VmHWM")
    return Started(process, settings, elapsed, cpu_s(pid), *memory)


async def connect(settings: Settings) -> StateClient:
    client = StateClient(
        settings.state_socket,
        process="benchmark",
        leased=False,
        clock=SystemClock(),
        log=Log("benchmark"),
    )
    await client.open(120)
    return client


def stop(started: Started) -> None:
    started.process.terminate()
    started.process.wait(30)
    if started.process.stdin is not None:
        started.process.stdin.close()
    Path(started.settings.state_socket).unlink(missing_ok=True)


@dataclass
class Asked:
    """What callers saw: seconds from a call to its answer, and how long all of them took."""

    callers: int
    request_s: list[float]
    end_s: list[float]
    requests_elapsed_s: float = 0.0
    ends_elapsed_s: float = 0.0
    request_cpu_us: list[float] = field(default_factory=list)
    """Of each round, the state process's time a gang."""
    end_cpu_us: list[float] = field(default_factory=list)


class Callers:
    """Ask for gangs and give them back; every host is held once at a time."""

    def __init__(self, client: StateClient, of: FleetOf, kind: LeaseKind) -> None:
        self._client = client
        self._of = of
        self._kind = kind
        self._held: set[str] = set()

    async def request(self, number: int, times: list[float]) -> LeaseView:
        owner = Owner(f"account-{number % 100}", "default", "key-1")
        command = RequestLease(owner=owner, kind=self._kind, pool=self._of.key, hosts=HOSTS)
        began = time.perf_counter()
        lease = await self._client.call("request_lease", command, LeaseView)
        times.append(time.perf_counter() - began)
        assert lease.state is LeaseState.ACTIVE, lease
        assert len(set(lease.hosts)) == HOSTS, "a gang without its hosts"
        assert self._held.isdisjoint(lease.hosts), "a host was given twice"
        self._held.update(lease.hosts)
        return lease

    async def end(self, lease: LeaseView, times: list[float]) -> None:
        self._held.difference_update(lease.hosts)
        command = EndLease(lease.id, lease.token, lease.account)
        began = time.perf_counter()
        ended = await self._client.call("end_lease", command, LeaseView)
        times.append(time.perf_counter() - began)
        assert ended.state is LeaseState.ENDED, ended

    async def rounds(self, callers: int, rounds: int, pid: int) -> Asked:
        """So often: every caller asks for a gang at once; then all give theirs back."""
        asked = Asked(callers, [], [])
        for _ in range(rounds):
            before = cpu_s(pid)
            began = time.perf_counter()
            held = await asyncio.gather(
                *(self.request(at, asked.request_s) for at in range(callers))
            )
            middle, middle_cpu = time.perf_counter(), cpu_s(pid)
            await asyncio.gather(*(self.end(lease, asked.end_s) for lease in held))
            asked.requests_elapsed_s += middle - began
            asked.ends_elapsed_s += time.perf_counter() - middle
            asked.request_cpu_us.append((middle_cpu - before) / callers * 1e6)
            asked.end_cpu_us.append((cpu_s(pid) - middle_cpu) / callers * 1e6)
        return asked


def percentiles_ms(times: Sequence[float]) -> str:
    return " / ".join(f"{each * 1000:.2f}" for each in np.percentile(times, [50, 99]))


def report(of: FleetOf, kind: LeaseKind, asked: Asked) -> None:
    gangs = len(asked.request_s)
    cells = (
        of.name,
        str(kind),
        str(asked.callers),
        percentiles_ms(asked.request_s),
        percentiles_ms(asked.end_s),
        f"{gangs / asked.requests_elapsed_s:,.0f}",
        f"{gangs / (asked.requests_elapsed_s + asked.ends_elapsed_s):,.0f}",
        *(
            f"{np.mean(each):,.0f}, {min(each):,.0f}"
            for each in (asked.request_cpu_us, asked.end_cpu_us)
        ),
        f"{1e6 / min(asked.request_cpu_us):,.0f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


HEAD = (
    "fleet",
    "leases",
    "callers",
    "taken and committed, ms p50 / p99",
    "given back and committed, ms p50 / p99",
    "taken a second",
    "taken and given back a second",
    "CPU us to take one, mean and least of the rounds",
    "to give one back",
    "taken a second of CPU, by the least",
)


async def measure(of: FleetOf, folder: Path, arguments: argparse.Namespace, empty: Started) -> None:
    started = await start(folder)
    try:
        print(
            f"\n{of.name}: cold start {started.elapsed_s:.2f} s ({started.cpu_s:.2f} s CPU; empty: "
            f"{empty.elapsed_s:.2f} s, {empty.cpu_s:.2f} s CPU), memory {started.memory_mb:.0f} MB "
            f"(peak {started.peak_mb:.0f}; empty: {empty.memory_mb:.0f})\n"
        )
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
        client = await connect(started.settings)
        for kind in (LeaseKind.INTERRUPTIBLE, LeaseKind.ON_DEMAND):
            callers = Callers(client, of, kind)
            await callers.rounds(1, 20, started.process.pid)
            for number in (1, CALLERS):
                rounds = arguments.gangs // number
                report(of, kind, await callers.rounds(number, rounds, started.process.pid))
        await client.close()
        print(f"\nmemory afterwards {memory_mb(started.process.pid, 'VmRSS'):.0f} MB")
    finally:
        stop(started)


async def main_async(arguments: argparse.Namespace, root: Path) -> None:
    mix: dict[str, Any] = tomllib.loads(MIX.read_text(encoding="utf-8"))
    (root / "empty").mkdir()
    empty = await start(root / "empty")
    stop(empty)
    for name in arguments.fleet or FLEETS:
        of = FLEETS[name]
        fleet = mix["fleet"][of.mix_fleet]
        fleet["hosts"] = int(fleet["hosts"] * arguments.scale)
        run = churned(mix, fleet, arguments.turnovers)
        folder = root / name
        folder.mkdir()
        count = fill(folder / "craton.db", fleet_text(of, fleet), leases(of, run))
        hosts = fleet["hosts"] - run.pool.free_hosts
        print(f"\n{of.name}: {count:,} leases hold {hosts:,} hosts of {fleet['hosts']:,}")
        del run
        await measure(of, folder, arguments, empty)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fleet", action="append", choices=list(FLEETS))
    parser.add_argument("--gangs", type=int, default=2048, help="for each row of the table")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the fleet only")
    parser.add_argument(
        "--turnovers", type=float, default=0.3, help="how often gangs came and went"
    )
    parser.add_argument("--work-dir", type=Path, help="on a disk; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work_dir) as folder:
        asyncio.run(main_async(arguments, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
