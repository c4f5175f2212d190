"""One measurement: start a target, see that it answers rightly, put each load on it, stop it."""

import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drivers
import processes
from drivers import Bench, Drive
from targets import Answered, Http, Target, write_configuration
from wires import WORD, Load, Wire

READY_TIMEOUT_S = 90
ASK_TIMEOUT_S = 10

PLAIN_64 = Load("plain_64", connections=64, measure_s=2.5, warm_s=0.5)
PLAIN_1 = Load("plain_1", connections=1, measure_s=1.5, warm_s=0.2)
FIRST_1 = Load("first_1", connections=1, measure_s=2.0, warm_s=0.2, chunks=4, pace_ms=5)
BURST_16 = Load("burst_16", connections=16, measure_s=1.5, warm_s=0.3, chunks=64)
PACED_256 = Load("paced_256", connections=256, measure_s=2.5, warm_s=1.0, chunks=64, pace_ms=5)
LOADS = {
    Http.ONE: (PLAIN_64, PLAIN_1, FIRST_1, BURST_16, PACED_256),
    # h2load doesn't see when a chunk comes.
    Http.TWO: (PLAIN_64, PLAIN_1, BURST_16),
}


@dataclass(slots=True)
class Measurement:
    """What one round found of one target."""

    target: str
    cold_start_s: float = 0
    loads: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    memory_mb: dict[str, float] = field(default_factory=dict[str, float])
    """Proportional set size of each process after all loads, by its command line."""
    worker_mb: float = 0
    worker_peak_mb: float = 0
    unmeasured: str = ""
    """Why there are no figures, where that is no fault: a program to measure with is missing."""
    wrong: list[str] = field(default_factory=list[str])
    """Why this round is void."""


@dataclass(frozen=True, slots=True)
class Session:
    """A target that runs, and what it has answered so far."""

    bench: Bench
    target: Target
    wire: Wire
    members: list[int]
    """Its processes; none for the upstream itself."""
    answered: Answered
    stream_bytes: int = 0
    """What the body of a streamed answer of the burst has."""


def measure(bench: Bench, target: Target) -> Measurement:
    """Measure a target once, from its start to its end."""
    found = Measurement(target.name, unmeasured=drivers.missing(target.http))
    if found.unmeasured:
        return found
    answered = Answered()
    folder = bench.work / f"{target.name.replace(' ', '-').replace(',', '')}-{time.time_ns()}"
    folder.mkdir(parents=True)
    if target.command is None:
        _put_loads(Session(bench, target, target.wire, [], answered), found)
        return found
    write_configuration(target, folder, bench.upstream_port)
    command = processes.pinned(bench.gateway_core, bench.nice, target.command)
    begun = time.monotonic()
    with processes.started(command, folder=folder, environment=target.environment) as process:
        wire = _wait_ready(target, process, folder, answered)
        found.cold_start_s = time.monotonic() - begun
        members = processes.tree(process.pid)
        processes.prioritize(members, bench.nice)
        for member in members:
            if target.other_core_mark and target.other_core_mark in processes.command_line(member):
                processes.move(member, bench.other_core)
        stream_bytes = _check_stream(target, wire, answered)
        _put_loads(Session(bench, target, wire, members, answered, stream_bytes), found)
        _weigh(target, processes.tree(process.pid), found)
    if target.check is not None:
        found.wrong += target.check(folder, answered)
    return found


def _wait_ready(
    target: Target, process: subprocess.Popen[bytes], folder: Path, answered: Answered
) -> Wire:
    """Wait for the first right answer; gives the wire with its keys."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    wire: Wire | None = None
    last: object = "nothing listens"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{target.name} exited ({process.returncode}); see {folder}")
        try:
            if wire is None:
                _open(target.port)
                wire = target.on_ready(folder) if target.on_ready else target.wire
            _ask(target, wire, PLAIN_1)
        except urllib.error.HTTPError as error:
            last = f"{error.code} {error.read()[:300]!r}"
        except OSError as error:
            last = error
        else:
            answered.add(1, PLAIN_1.output_tokens)
            return wire
        time.sleep(0.05)
    raise RuntimeError(f"{target.name} gave no answer in {READY_TIMEOUT_S} s: {last}; see {folder}")


def _open(port: int) -> None:
    """See that a port is open, by any answer at all."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=ASK_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        if error.code == 503:
            raise OSError("not ready yet") from None


def _ask(target: Target, wire: Wire, load: Load) -> bytes:
    asked = wire.request(load, target.port)
    headers = dict(header.split(": ", 1) for header in asked.headers)
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}{asked.path}",
        asked.body,
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=ASK_TIMEOUT_S) as response:
        return response.read()


def _check_stream(target: Target, wire: Wire, answered: Answered) -> int:
    """See that a streamed answer comes through whole, in order; returns its length in bytes."""
    body = _ask(target, wire, BURST_16)
    answered.add(1, BURST_16.output_tokens)
    text, at = wire.text(body), -1
    for number in range(BURST_16.chunks):
        at = text.find(f"{WORD}{number:02d} ".encode(), at + 1)
        if at < 0:
            raise RuntimeError(f"{target.name} lost chunk {number} of a stream: {body[:300]!r}")
    return len(body)


def _put_loads(session: Session, found: Measurement) -> None:
    warm = Load("warm", connections=8, measure_s=session.target.warm_s, warm_s=0)
    _put(session, warm)
    for load in LOADS[session.target.http]:
        result = _put(session, load)
        found.loads[load.name] = result
        if result["failed"] or result["unfinished"]:
            found.wrong.append(
                f"{load.name}: {result['failed']} failed, {result['unfinished']} unfinished "
                f"{result['first_error']}"
            )
        if load.chunks and result["marks_answered"] != result["answered"] * load.chunks:
            found.wrong.append(f"{load.name}: chunks were lost")


def _put(session: Session, load: Load) -> dict[str, Any]:
    """Put one load on a target; processor time is that of all its processes."""
    bench, target, members = session.bench, session.target, session.members
    asked = session.wire.request(load, target.port)
    stretch = target.patience / bench.speed_up
    drive = Drive(bench, target.port, load, asked, session.wire.mark, stretch, session.stream_bytes)
    before = processes.cpu_s(members), processes.user_s(members)
    core_before, begun = processes.core_user_s(bench.gateway_core), time.monotonic()
    result = drivers.put(target.http, drive)
    elapsed_s = time.monotonic() - begun
    spent_s = processes.cpu_s(members) - before[0]
    users_s = processes.user_s(members) - before[1]
    if members and result["answered"]:
        result["cpu_us"] = spent_s * 1e6 / result["answered"]
        result["cores_used"] = spent_s / elapsed_s
        others_s = processes.core_user_s(bench.gateway_core) - core_before - users_s
        result["others_share"] = max(0.0, others_s / elapsed_s)
    session.answered.add(result["answered"], result["answered"] * load.output_tokens)
    return result


def _weigh(target: Target, members: list[int], found: Measurement) -> None:
    for member in members:
        line = processes.command_line(member)
        found.memory_mb[f"{member} {line[:120]}"] = processes.memory_mb(member)
        if target.worker_mark and target.worker_mark in line:
            found.worker_mb = max(found.worker_mb, processes.memory_mb(member))
            found.worker_peak_mb = max(found.worker_peak_mb, processes.peak_mb(member))
