"""Medians over rounds, as tables to paste into a README, with the goals beside them."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from measure import BURST_16, FIRST_1, PACED_256, PLAIN_1, PLAIN_64, Measurement

CRATON = "Craton"
GOALS = {"LiteLLM": 100.0, "Portkey": 15.0, "sglang-router": 1.5, "vllm-router": 0.6}
"""Craton's requests/s as a multiple of a rival's, at least."""
FIRST_ADDED_MS_MAX = 1.5
WORKER_MB_MAX = 100.0
OTHERS_SHARE_MAX = 0.03
"""Above this share of the gateway's core, what other programs did is worth a note."""

NOTHING = "-"
"""Stands where a target has no such figure."""

Value = Callable[[Measurement], float | None]
Rounds = Mapping[str, Sequence[Measurement]]


def by_target(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """The rounds of each target, in the order of measuring; void rounds are left out."""
    rounds: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        kept = rounds.setdefault(measurement.target, [])
        if not measurement.wrong:
            kept.append(measurement)
    return rounds


def of_load(load: str, *path: str, scale: float = 1) -> Value:
    """Reads one figure of a load's result, such as `latency` `p50`."""

    def value(measurement: Measurement) -> float | None:
        found = measurement.loads.get(load)
        for name in path:
            found = found.get(name) if found else None
        return found * scale if isinstance(found, int | float) else None

    return value


REQUESTS_PER_S = of_load(PLAIN_64.name, "requests_per_s")
CPU_US = of_load(PLAIN_64.name, "cpu_us")
FIRST_P50_MS = of_load(FIRST_1.name, "first_mark", "p50", scale=1e-3)
FIRST_P99_MS = of_load(FIRST_1.name, "first_mark", "p99", scale=1e-3)


def per_core(measurement: Measurement) -> float | None:
    """Requests a second that one core would give, by processor time: what noise spoils least."""
    spent = CPU_US(measurement)
    return 1e6 / spent if spent else None


def memory_mb(measurement: Measurement) -> float | None:
    """Memory of all processes together."""
    return sum(measurement.memory_mb.values()) or None


def values(rounds: Sequence[Measurement], value: Value) -> list[float]:
    """A figure in each round that has it."""
    return [found for found in map(value, rounds) if found is not None]


def median(rounds: Sequence[Measurement], value: Value) -> float | None:
    """The median of a figure over rounds."""
    found = values(rounds, value)
    return statistics.median(found) if found else None


def spread(rounds: Sequence[Measurement], value: Value, digits: int = 0) -> str:
    """Median (least to most), as text."""
    found = values(rounds, value)
    if not found:
        return NOTHING
    middle, low, high = (
        f"{number:,.{digits}f}" for number in (statistics.median(found), min(found), max(found))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def ratio(own: Sequence[Measurement], theirs: Sequence[Measurement], value: Value) -> str:
    """Craton's figure as a multiple of another's, as text."""
    ours, other = median(own, value), median(theirs, value)
    return f"{ours / other:,.2f}" if ours and other else NOTHING


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _named(target: str, rounds: Sequence[Measurement]) -> str:
    """A row's name, and why it has no figures, if it has none."""
    reason = next((each.unmeasured for each in rounds if each.unmeasured), "")
    return f"{target} (not measured: {reason})" if reason else target


def throughput_table(rounds: Rounds) -> str:
    """Requests, processor time, latency, memory."""
    own = rounds.get(CRATON, [])
    rows: list[list[str]] = []
    for name, kept in rounds.items():
        rows.append(
            [
                _named(name, kept),
                spread(kept, REQUESTS_PER_S),
                ratio(own, kept, REQUESTS_PER_S),
                spread(kept, CPU_US),
                ratio(own, kept, per_core),
                spread(kept, of_load(PLAIN_64.name, "cores_used"), 2),
                spread(kept, of_load(PLAIN_1.name, "latency", "p50", scale=1e-3), 2),
                spread(kept, of_load(PLAIN_1.name, "latency", "p99", scale=1e-3), 2),
                spread(kept, memory_mb),
            ]
        )
    heads = ("target", "requests/s, 64 at once", "Craton ÷ it", "CPU µs a request", "by CPU")
    more = ("cores used", "p50 ms, 1 at once", "p99 ms", "memory MB, all processes")
    return _table((*heads, *more), rows)


def stream_table(rounds: Rounds) -> str:
    """Time to the first chunk, and chunks a second."""
    direct = median(rounds.get("direct", []), FIRST_P50_MS)
    rows: list[list[str]] = []
    for name, kept in rounds.items():
        first = median(kept, FIRST_P50_MS)
        added = first - direct if first is not None and direct is not None else None
        rows.append(
            [
                _named(name, kept),
                spread(kept, FIRST_P50_MS, 2),
                f"{added:.2f}" if added is not None and name != "direct" else NOTHING,
                spread(kept, FIRST_P99_MS, 2),
                spread(kept, of_load(BURST_16.name, "marks_per_s")),
                spread(kept, of_load(PACED_256.name, "marks_per_s")),
                spread(kept, of_load(PACED_256.name, "first_mark", "p50", scale=1e-3)),
            ]
        )
    heads = ("target", "first chunk p50 ms", "added ms", "first chunk p99 ms")
    more = ("chunks/s, burst, 16 streams", "chunks/s, paced, 256 streams", "its first chunk p50 ms")
    return _table((*heads, *more), rows)


def goal_table(rounds: Rounds) -> str:
    """Each goal, what was measured, and whether it was reached."""
    own = median(rounds.get(CRATON, []), REQUESTS_PER_S)
    rows: list[list[str]] = []
    for name, goal in GOALS.items():
        theirs = median(rounds.get(name, []), REQUESTS_PER_S)
        if own and theirs:
            multiple = own / theirs
            reached = "yes" if multiple >= goal else "no"
            rows.append([f"requests/s ÷ {name}", f"≥ {goal:g}", f"{multiple:.2f}", reached])
    kept = rounds.get(CRATON, [])
    first, direct = median(kept, FIRST_P50_MS), median(rounds.get("direct", []), FIRST_P50_MS)
    if first is not None and direct is not None:
        added = first - direct
        reached = "yes" if added <= FIRST_ADDED_MS_MAX else "no"
        limit = f"≤ {FIRST_ADDED_MS_MAX:g}"
        rows.append(["added to first chunk, p50 ms", limit, f"{added:.2f}", reached])
    peak = max((m.worker_peak_mb for m in kept), default=0.0)
    if peak:
        reached = "yes" if peak <= WORKER_MB_MAX else "no"
        weight = f"{spread(kept, lambda m: m.worker_mb)}, peak {peak:.0f}"
        rows.append(["one worker, MB", f"≤ {WORKER_MB_MAX:g}", weight, reached])
    return _table(("goal", "asked", "measured", "reached"), rows)


def notes(measurements: Sequence[Measurement]) -> list[str]:
    """What a reader has to know before trusting the tables."""
    found = [f"void: {m.target}: {reason}" for m in measurements for reason in m.wrong]
    shares: dict[str, float] = {}
    for measurement in measurements:
        for result in measurement.loads.values():
            share = result.get("others_share", 0.0)
            shares[measurement.target] = max(share, shares.get(measurement.target, 0.0))
    noisy = [f"{name} {share:.0%}" for name, share in shares.items() if share > OTHERS_SHARE_MAX]
    if noisy:
        found.append(f"noisy: other programs had up to this of the core: {', '.join(noisy)}")
    return found


def write_json(path: Path, measurements: Sequence[Measurement]) -> None:
    """Keep everything that was measured."""
    path.write_text(json.dumps([asdict(m) for m in measurements], indent=1), encoding="utf-8")
