"""What puts a load on a port: loadgen over HTTP/1.1, h2load over HTTP/2.

Both tell the same figures, in the form of loadgen's line of JSON (see the top of loadgen.c). h2load
is sent with as many requests as should fill the time, and not for a time: at the end of a time it
would drop what is under way, and the bill could not be held against what was answered.
"""

import json
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes
from targets import Http
from wires import Load, WireRequest

H2LOAD = "h2load"
PROBE_REQUESTS = 256
"""How many requests tell how many fill the time."""
DRAIN_S = 90
"""How long requests under way are waited for: the slowest rival needs a minute for 256 streams."""
DATA_BYTES = re.compile(r"\((\d+)\) data$", re.MULTILINE)
"""Ends h2load's line on traffic: the bytes of all bodies."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and which core is whose."""

    loadgen: Path
    work: Path
    upstream_port: int
    gateway_core: int
    load_core: int
    other_core: int
    nice: int
    speed_up: float
    """Divides all measured times; 1 for figures to publish."""


@dataclass(frozen=True, slots=True)
class Drive:
    """One load on one port."""

    bench: Bench
    port: int
    load: Load
    asked: WireRequest
    mark: str
    stretch: float
    """Multiplies the load's times."""
    answer_bytes: int
    """What the body of one streamed answer has, where the load asks for streams."""

    @property
    def measure_s(self) -> float:
        """How long answers are measured."""
        return self.load.measure_s * self.stretch

    @property
    def warm_s(self) -> float:
        """How long they are asked for before that."""
        return self.load.warm_s * self.stretch


@dataclass(frozen=True, slots=True)
class Finished:
    """A line of h2load's log: a request that is over."""

    begun_us: int
    status: int
    """-1 if its stream failed."""
    took_us: int

    @property
    def ended_us(self) -> int:
        """When it was over."""
        return self.begun_us + self.took_us


def missing(http: Http, *, h2load: str = H2LOAD) -> str:
    """Why loads over a version of HTTP can't be made here; "" if they can."""
    if http is Http.TWO and shutil.which(h2load) is None:
        return "h2load is not installed; Debian has it in nghttp2-client"
    return ""


def put(http: Http, drive: Drive) -> dict[str, Any]:
    """Put a load on a port, and wait until every request has its answer."""
    body = drive.bench.work / "body.json"
    body.write_bytes(drive.asked.body)
    return _by_h2load(drive, body) if http is Http.TWO else _by_loadgen(drive, body)


def _run(bench: Bench, command: Sequence[str]) -> bytes:
    driver = subprocess.Popen(
        processes.pinned(bench.load_core, bench.nice, command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    processes.prioritize([driver.pid], bench.nice)
    return driver.communicate()[0]


def _by_loadgen(drive: Drive, body: Path) -> dict[str, Any]:
    bench, load, asked = drive.bench, drive.load, drive.asked
    command = [
        *(str(bench.loadgen), "-a", f"127.0.0.1:{drive.port}", "-p", asked.path),
        *("-b", str(body), "-c", str(load.connections), "-m", drive.mark if load.chunks else ""),
        *("-d", f"{drive.measure_s:.2f}", "-w", f"{drive.warm_s:.2f}", "-g", str(DRAIN_S)),
        *(part for header in asked.headers for part in ("-H", header)),
    ]
    output = _run(bench, command)
    if not output.startswith(b"{"):
        raise RuntimeError(f"loadgen failed: {output!r}")
    return json.loads(output)


def _by_h2load(drive: Drive, body: Path) -> dict[str, Any]:
    """First a few requests, then as many as should fill the time; the figures are the second's."""
    probe = _h2load(drive, body, PROBE_REQUESTS, warm_s=0)
    seconds = drive.warm_s + drive.measure_s
    requests = max(drive.load.connections, int(probe["requests_per_s"] * seconds))
    result = _h2load(drive, body, requests, warm_s=drive.warm_s)
    for counted in ("answered", "marks_answered", "failed"):
        result[counted] += probe[counted]
    result["first_error"] = probe["first_error"] or result["first_error"]
    return result


def _h2load(drive: Drive, body: Path, requests: int, *, warm_s: float) -> dict[str, Any]:
    log = drive.bench.work / "h2load.log"
    log.unlink(missing_ok=True)
    # One connection, as HTTP/2 is for; what would be connections of HTTP/1.1 are its streams.
    command = [
        *(H2LOAD, "-n", str(requests), "-c", "1", "-m", str(drive.load.connections), "-t", "1"),
        *("-d", str(body), "-N", f"{DRAIN_S}s", f"--log-file={log}"),
        *("-H", "Content-Type: application/json"),
        *(part for header in drive.asked.headers for part in ("-H", header)),
        f"http://127.0.0.1:{drive.port}{drive.asked.path}",
    ]
    output = _run(drive.bench, command).decode(errors="replace")
    if not log.exists():
        raise RuntimeError(f"h2load failed: {output!r}")
    finished = read_log(log.read_text(encoding="ascii"))
    result = figures(finished, requests, warm_s=warm_s)
    if drive.load.chunks:
        is_whole = is_all_data(output, result["answered"] * drive.answer_bytes)
        result["marks_answered"] = result["answered"] * drive.load.chunks if is_whole else 0
        result["marks_per_s"] = result["requests_per_s"] * drive.load.chunks
    return result


def is_all_data(output: str, expected_bytes: int) -> bool:
    """Whether all bodies together were as long as they should be: h2load itself sees no chunks."""
    told = DATA_BYTES.search(output)
    return told is not None and int(told[1]) == expected_bytes


def read_log(text: str) -> list[Finished]:
    """The lines of h2load's log."""
    return [Finished(*map(int, line.split("\t")[:3])) for line in text.splitlines()]


def figures(finished: Sequence[Finished], requests: int, *, warm_s: float) -> dict[str, Any]:
    """What loadgen would tell of these requests.

    Measured is from the end of the warm-up until the last request is sent: then no more is asked
    of the target than it has already.
    """
    good = [each for each in finished if each.status == 200]
    result: dict[str, Any] = {
        "answered": len(good),
        "marks_answered": 0,
        "failed": requests - len(good),
        "unfinished": 0,
        "measured": 0,
        "requests_per_s": 0.0,
        "marks_per_s": 0.0,
        "latency": None,
        "first_mark": None,
        "first_error": "",
    }
    if len(good) < requests:
        statuses = sorted({each.status for each in finished if each.status != 200})
        result["first_error"] = f"h2load's statuses: {statuses} (-1 is a failed stream)"
    if not good:
        return result
    from_us = min(each.begun_us for each in good) + round(warm_s * 1e6)
    until_us = max(each.begun_us for each in good)
    took_us = sorted(each.took_us for each in good if from_us <= each.ended_us <= until_us)
    if took_us and until_us > from_us:
        count = len(took_us)
        result["measured"] = count
        result["requests_per_s"] = count / ((until_us - from_us) / 1e6)
        result["latency"] = {
            "count": count,
            "mean": round(statistics.fmean(took_us)),
            "p50": took_us[count // 2],
            "p90": took_us[count * 9 // 10],
            "p99": took_us[count * 99 // 100],
            "max": took_us[-1],
        }
    return result
