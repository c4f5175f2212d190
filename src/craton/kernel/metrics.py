"""Counters, gauges and histograms of one process, and their sum as Prometheus text.

Every process counts for itself and tells the state process with each sign of life; whoever is asked
for `/metrics` prints them all, each line labelled with its process.
"""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

DURATION_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)

Labels = tuple[tuple[str, str], ...]


class Series(msgspec.Struct):
    """One line of a counter or gauge."""

    labels: Labels
    value: float = 0

    def add(self, amount: float = 1) -> None:
        """Count."""
        self.value += amount

    def set(self, value: float) -> None:
        """Set a gauge."""
        self.value = value


class Distribution(msgspec.Struct):
    """One histogram: how many observations fell into each bucket, and their sum."""

    labels: Labels
    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Family(msgspec.Struct):
    """All lines of one name."""

    name: str
    kind: str
    help: str
    series: list[Series] = []
    distributions: list[Distribution] = []


class Metrics:
    """The families of one process."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._series: dict[tuple[str, Labels], Series] = {}
        self._distributions: dict[tuple[str, Labels], Distribution] = {}
        self._encoder = msgspec.msgpack.Encoder()

    def counter(self, name: str, help: str, **labels: str) -> Series:
        """The counter of that name and these labels; keep it, looking it up costs."""
        return self._line(name, "counter", help, labels)

    def gauge(self, name: str, help: str, **labels: str) -> Series:
        """The gauge of that name and these labels."""
        return self._line(name, "gauge", help, labels)

    def histogram(
        self,
        name: str,
        help: str,
        *,
        bounds: tuple[float, ...] = DURATION_BUCKETS_S,
        **labels: str,
    ) -> Distribution:
        """The histogram of that name and these labels."""
        key = (name, tuple(sorted(labels.items())))
        found = self._distributions.get(key)
        if found is None:
            found = Distribution(key[1], bounds, [0] * (len(bounds) + 1))
            self._distributions[key] = found
            self._family(name, "histogram", help).distributions.append(found)
        return found

    def _line(self, name: str, kind: str, help: str, labels: dict[str, str]) -> Series:
        key = (name, tuple(sorted(labels.items())))
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series(key[1])
            self._family(name, kind, help).series.append(found)
        return found

    def _family(self, name: str, kind: str, help: str) -> Family:
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = Family(name, kind, help)
        return found

    def snapshot(self) -> bytes:
        """All families, for another process to print."""
        return self._encoder.encode(list(self._families.values()))


_DECODER = msgspec.msgpack.Decoder(list[Family])


def exposition(snapshots: Iterable[tuple[str, bytes]]) -> str:
    """Prometheus text of several processes' snapshots, each under its process's name."""
    families: dict[str, tuple[Family, list[str]]] = {}
    for process, snapshot in snapshots:
        for family in _DECODER.decode(snapshot) if snapshot else []:
            _, lines = families.setdefault(family.name, (family, []))
            for series in family.series:
                labels = _labels((("process", process), *series.labels))
                lines.append(f"{family.name}{labels} {_number(series.value)}")
            for distribution in family.distributions:
                lines += _histogram(family.name, process, distribution)
    out: list[str] = []
    for family, lines in families.values():
        out += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        out += lines
    return "\n".join(out) + "\n"


def _histogram(name: str, process: str, distribution: Distribution) -> list[str]:
    base = (("process", process), *distribution.labels)
    lines: list[str] = []
    running = 0
    for bound, count in zip((*distribution.bounds, "+Inf"), distribution.counts, strict=True):
        running += count
        lines.append(f"{name}_bucket{_labels((*base, ('le', str(bound))))} {running}")
    lines.append(f"{name}_sum{_labels(base)} {_number(distribution.total)}")
    lines.append(f"{name}_count{_labels(base)} {running}")
    return lines


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + inner + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
