"""python -m benchmarks.fleet.openb: a real cluster's pods, placed by Craton and two others.

The trace is Alibaba's `openb` (8,152 pods; 1,213 servers with 6,212 GPUs), as published with Weng
et al., "Beware of Fragmentation" (USENIX ATC 2023). It is fetched from where its authors keep it,
at one commit and with the digests below, or read from a folder (--trace). Pods want processors,
memory, and GPUs: none, a part of one, or several whole ones.

*Full*: pods drawn from the trace at random (with a seed) come until they want 130 % of all GPUs,
and nothing goes; what finds no place is turned away. *Waiting*: on every eighth server, the pods
come in the trace's own order, several times each, and with their own lifetimes (up to six hours),
but so fast that all together want 120 % of the GPU time there is. Who finds no place waits, and
whatever fits is let in, the longest waiting first. (The real arrivals fill 65 GPUs at the most, so
that nobody would ever wait.)

*Craton* is the placer of divided hosts, told the mix of all pods beforehand, as the paper's is. In
*Craton, leases* each pod is a lease that the state process grants or refuses, in a commit of its
own: the servers are fifteen pools, since those of one pool are alike, and what usually comes is
learned from the pods that came.
"""

import argparse
import csv
import hashlib
import heapq
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.fleet.world import World
from craton.fleet.contract import ApplyFleet, LeaseView, Owner, RequestLease
from craton.fleet.instance_types import InstanceType, InstanceTypes
from craton.fleet.placement_divided import (
    DividedHosts,
    Mix,
    PartDemand,
    PartPlacement,
)
from craton.fleet.records import WHOLE_MILLI, LeaseKind, chips_in
from craton.kernel.errors import BadRequest, Conflict

COMMIT = "8f3d6417353c5083c6d56617f255fadd8dc306bc"
SOURCE = (
    "https://raw.githubusercontent.com/hkust-adsl/kubernetes-scheduler-simulator/"
    f"{COMMIT}/data/csv/"
)
NODES, PODS = "openb_node_list_gpu_node.csv", "openb_pod_list_default.csv"
DIGESTS = {
    NODES: "2beca64b4d3dfa342036a34b56a495c6cef9225db836c81f541282cb1df320b5",
    PODS: "1ee7ed79c27a3b0861cda8ddba86a004c6aba904caafa329a76ae93ca63834a8",
}
WANTED = 1.3
OFFERED = 1.2
EVERY = 8
"""Of so many servers one, where pods wait."""
LIFETIME_MAX_S = 6 * 3600


@dataclass(frozen=True)
class Pod:
    """What comes, when, and for how long, in seconds."""

    demand: PartDemand
    at_s: float
    stays_s: int

    @property
    def gpu_milli(self) -> int:
        return self.demand.chips * self.demand.chip_milli


def read(name: str, folder: Path) -> list[dict[str, str]]:
    """A file of the trace; fetched into the folder if it isn't there."""
    path = folder / name
    if not path.exists():
        try:
            with urllib.request.urlopen(SOURCE + name, timeout=60) as answer:
                data = answer.read()
        except (urllib.error.URLError, OSError) as error:
            raise SystemExit(
                f"{SOURCE}{name} can't be read: {error}. Fetch it where there is a network, and "
                "name its folder with --trace."
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != DIGESTS[name]:
        raise SystemExit(f"{path} isn't the trace of {COMMIT[:8]}: its SHA-256 is {digest}.")
    return list(csv.DictReader(data.decode().splitlines()))


def read_pods(folder: Path) -> list[Pod]:
    found = []
    for line in read(PODS, folder):
        gpus = int(line["num_gpu"])
        demand = PartDemand(
            int(line["cpu_milli"]),
            int(line["memory_mib"]),
            gpus,
            int(line["gpu_milli"]) if gpus == 1 else WHOLE_MILLI,
        )
        stays = int(line["deletion_time"]) - int(line["creation_time"])
        found.append(Pod(demand, int(line["creation_time"]), min(max(stays, 1), LIFETIME_MAX_S)))
    return sorted(found, key=lambda pod: pod.at_s)


Placer = Callable[[DividedHosts, PartDemand], PartPlacement | None]


def craton(hosts: DividedHosts, demand: PartDemand) -> PartPlacement | None:
    return hosts.place(demand)


def fitting(hosts: DividedHosts, demand: PartDemand) -> tuple[np.ndarray, np.ndarray]:
    """The hosts that have it, and which of their chips do."""
    room = hosts.chip_free >= demand.chip_milli
    fits = (hosts.cpu_free >= demand.cpu_milli) & (hosts.memory_free >= demand.memory_mib)
    fits &= room.sum(axis=1) >= demand.chips
    return fits.nonzero()[0], room


def first_fit(hosts: DividedHosts, demand: PartDemand) -> PartPlacement | None:
    """The first host, there the first chips."""
    fits, room = fitting(hosts, demand)
    if not len(fits):
        return None
    host = int(fits[0])
    return PartPlacement(host, tuple(room[host].nonzero()[0][: demand.chips].tolist()), 0.0)


@dataclass
class BestFit:
    """The host with the least left of processors, memory and chips together, there the fullest
    chip that has room; each counts as a share of the most that any host has."""

    most: tuple[float, float, float]

    def __call__(self, hosts: DividedHosts, demand: PartDemand) -> PartPlacement | None:
        fits, room = fitting(hosts, demand)
        if not len(fits):
            return None
        cpu, memory, chips = self.most
        left = hosts.cpu_free[fits] / cpu + hosts.memory_free[fits] / memory
        left += hosts.chip_free[fits].sum(axis=1) / chips
        host = int(fits[left.argmin()])
        able = room[host].nonzero()[0]
        able = able[hosts.chip_free[host, able].argsort(kind="stable")]
        return PartPlacement(host, tuple(sorted(able[: demand.chips].tolist())), 0.0)


@dataclass
class Cluster:
    """The trace's servers, empty; the mix of its pods."""

    nodes: list[dict[str, str]]
    mix: Mix

    def hosts(self) -> DividedHosts:
        return DividedHosts(
            [int(node["cpu_milli"]) for node in self.nodes],
            [int(node["memory_mib"]) for node in self.nodes],
            [int(node["gpu"]) for node in self.nodes],
            self.mix,
        )

    @property
    def gpu_milli(self) -> int:
        return sum(int(node["gpu"]) for node in self.nodes) * WHOLE_MILLI

    def placers(self) -> dict[str, Placer]:
        most = (
            float(max(int(node["cpu_milli"]) for node in self.nodes)),
            float(max(int(node["memory_mib"]) for node in self.nodes)),
            8.0 * WHOLE_MILLI,
        )
        return {"Craton": craton, "first fit": first_fit, "best fit": BestFit(most)}


PRICES = """\
effective = 2020-01-01
currency = "USD"
source = "the benchmark's own"
"""
PRICE = '[[price]]\nresource = "{}"\nper_hour = {{ on_demand_chip_s = "1.00" }}\n'
RACK = '[[site.row.rack]]\nname = "r{}"\ntype = "{}"\nhosts = {}\ndivided = true\n'


class Leases:
    """The trace's servers as a fleet of Craton's, where each pod is a lease."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """`folder`: an empty one, for its database and prices."""
        kinds: dict[tuple[str, ...], list[int]] = {}
        for at, node in enumerate(cluster.nodes):
            kind = tuple(node[each] for each in ("gpu", "cpu_milli", "memory_mib"))
            kinds.setdefault(kind, []).append(at)
        types = [_type(f"openb.{n}", *map(int, kind)) for n, kind in enumerate(kinds)]
        (folder / "prices").mkdir()
        (folder / "prices" / "openb.toml").write_text(
            PRICES + "".join(PRICE.format(each.name) for each in types)
        )
        by_name = InstanceTypes({each.name: each for each in types})
        self._world = World(folder / "craton.db", 1_790_000_000, by_name)
        racks = (RACK.format(n, types[n].name, len(at)) for n, at in enumerate(kinds.values()))
        head = '[[site]]\nname = "openb"\ndriver = "simulated"\n[[site.row]]\nname = "a"\n'
        self._world.call("apply_fleet", ApplyFleet(head + "".join(racks)))
        self._node = {
            f"openb/a/r{n}/{place + 1}": node
            for n, nodes in enumerate(kinds.values())
            for place, node in enumerate(nodes)
        }

    def __call__(self, hosts: DividedHosts, demand: PartDemand) -> PartPlacement | None:
        """Lease it. The trace's own servers only count along what is left."""
        is_part = demand.chip_milli < WHOLE_MILLI
        wish = RequestLease(
            owner=Owner("pods", "", "pods"),
            kind=LeaseKind.ON_DEMAND,
            chip="gpu",
            chips=demand.chips or None,
            chip_milli=demand.chip_milli if is_part else None,
            cpu_milli=demand.cpu_milli,
            memory_mib=demand.memory_mib,
        )
        try:
            lease: LeaseView = self._world.call("request_lease", wish)
        except Conflict:
            return None
        except BadRequest:
            assert not hosts.could_hold(demand), "a lease that some server could have was refused"
            return None
        (name,), (mask,) = lease.hosts, lease.masks
        return PartPlacement(self._node[name], tuple(chips_in(mask)), 0.0)


def _type(name: str, chips: int, cpu_milli: int, memory_mib: int) -> InstanceType:
    assert not cpu_milli % 1000, "whole processors"
    assert not memory_mib % 1024, "whole GiB"
    return InstanceType(
        name=name,
        chip="gpu",
        chips=chips,
        server="",
        vcpus=cpu_milli // 1000,
        memory_gib=memory_mib // 1024,
    )


def mix_of(pods: list[Pod]) -> Mix:
    counts = Counter(pod.demand for pod in pods)
    return Mix(list(counts), list(counts.values()))


def drawn(pods: list[Pod], gpu_milli: float, seed: int) -> Iterator[Pod]:
    rng, wanted = random.Random(seed), 0
    while wanted < gpu_milli:
        pod = rng.choice(pods)
        wanted += pod.gpu_milli
        yield pod


@dataclass
class Full:
    """What a cluster holds when more was asked of it than it has; sums over the seeds."""

    allocated: list[float] = field(default_factory=list)
    at_capacity: list[float] = field(default_factory=list)
    """When 100 % had been asked for."""
    useless: list[float] = field(default_factory=list)
    turned_away: list[float] = field(default_factory=list)
    place_us: list[float] = field(default_factory=list)


def fill(cluster: Cluster, placer: Placer, pods: list[Pod], seed: int, full: Full) -> None:
    hosts, capacity = cluster.hosts(), cluster.gpu_milli
    held = wanted = turned = number = 0
    at_capacity: float | None = None
    for pod in drawn(pods, WANTED * capacity, seed):
        if at_capacity is None and wanted >= capacity:
            at_capacity = held / capacity
        began = time.thread_time_ns()
        found = placer(hosts, pod.demand)
        full.place_us.append((time.thread_time_ns() - began) / 1000)
        wanted, number = wanted + pod.gpu_milli, number + 1
        if found is None:
            turned += 1
            continue
        hosts.take(pod.demand, found)
        held += pod.gpu_milli
    assert held == capacity - int(hosts.chip_free.sum()), "the books disagree"
    assert at_capacity is not None
    full.allocated.append(held / capacity)
    full.at_capacity.append(at_capacity)
    full.useless.append(hosts.fragmentation / capacity)
    full.turned_away.append(turned / number)


@dataclass
class Waiting:
    """How long pods waited, in seconds, and until when the last had run."""

    waits_s: list[float] = field(default_factory=list)
    ended_s: float = 0.0
    used: float = 0.0


def kinds_for(hosts: DividedHosts, mix: Mix, some: list[int]) -> Iterator[PartDemand]:
    """The kinds of demands that one of these hosts has room for."""
    enough = (hosts.chip_free[some][:, None, :] >= mix.sizes[:, None]).sum(axis=2)
    fits = enough[:, mix.size_of] >= mix.chips
    fits &= hosts.cpu_free[some][:, None] >= mix.cpu
    fits &= hosts.memory_free[some][:, None] >= mix.memory
    for at in fits.any(axis=0).nonzero()[0].tolist():
        yield mix.demands[at]


def wait(cluster: Cluster, placer: Placer, pods: list[Pod]) -> Waiting:
    """Let pods come and go. A kind that finds no place isn't tried again until something goes."""
    hosts, result = cluster.hosts(), Waiting()
    queues: dict[PartDemand, deque[Pod]] = {}
    running: list[tuple[float, int, PartDemand, PartPlacement]] = []
    number = 0

    def start(pod: Pod, now_s: float) -> bool:
        nonlocal number
        found = placer(hosts, pod.demand)
        if found is None:
            return False
        hosts.take(pod.demand, found)
        number += 1
        heapq.heappush(running, (now_s + pod.stays_s, number, pod.demand, found))
        result.waits_s.append(now_s - pod.at_s)
        return True

    def let_in(now_s: float, changed: set[int]) -> None:
        """Who waits had no place before, so it can only be on the hosts that changed."""
        able = kinds_for(hosts, cluster.mix, sorted(changed))
        order = [(queues[kind][0].at_s, id(kind), kind) for kind in able if kind in queues]
        heapq.heapify(order)
        while order:
            _, tie, kind = heapq.heappop(order)
            queue = queues[kind]
            if not start(queue[0], now_s):
                continue
            queue.popleft()
            if queue:
                heapq.heappush(order, (queue[0].at_s, tie, kind))
            else:
                del queues[kind]

    def leave(until_s: float) -> None:
        while running and running[0][0] <= until_s:
            now_s = running[0][0]
            changed: set[int] = set()
            while running and running[0][0] == now_s:
                _, _, demand, found = heapq.heappop(running)
                hosts.release(demand, found)
                changed.add(found.host)
            if queues:
                let_in(now_s, changed)
            result.ended_s = now_s

    for pod in pods:
        leave(pod.at_s)
        if pod.demand in queues or not start(pod, pod.at_s):
            queues.setdefault(pod.demand, deque()).append(pod)
    leave(float("inf"))
    assert not queues, "pods that never ran"
    assert len(result.waits_s) == len(pods), "pods that ran twice, or never"
    assert int(hosts.chip_free.sum()) == cluster.gpu_milli, "chips that never came back"
    work = sum(pod.gpu_milli * pod.stays_s for pod in pods)
    result.used = work / (cluster.gpu_milli * result.ended_s)
    return result


def faster(cluster: Cluster, pods: list[Pod], times: int, seed: int) -> list[Pod]:
    """The pods so often, in the trace's order, so fast that they want 120 % of the GPU time."""
    work = times * sum(pod.gpu_milli * pod.stays_s for pod in pods)
    window_s = work / (OFFERED * cluster.gpu_milli)
    rng = random.Random(seed)
    every = [pod for pod in pods for _ in range(times)]
    gap = window_s / len(every)
    return [Pod(pod.demand, (at + rng.random()) * gap, pod.stays_s) for at, pod in enumerate(every)]


def mean(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.2f} %"


def spread(values: list[float]) -> str:
    return f"({100 * min(values):.2f} to {100 * max(values):.2f})"


def report_full(fulls: dict[str, Full]) -> None:
    head = (
        "placer", "GPUs in use, 130 % asked for (least and most)", "when 100 % had been asked for",
        "free and useless, of all GPUs", "pods turned away", "CPU us a place, p50 / p99",
    )  # fmt: skip
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, full in fulls.items():
        us = np.percentile(full.place_us, [50, 99])
        cells = (
            name,
            f"{mean(full.allocated)} {spread(full.allocated)}",
            mean(full.at_capacity),
            mean(full.useless),
            mean(full.turned_away),
            f"{us[0]:.0f} / {us[1]:.0f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--trace", type=Path, default=Path.home() / ".cache" / "craton-bench" / "openb"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=20261125, help="the first")
    parser.add_argument(
        "--times", type=int, default=5, help="how often each pod comes to wait; 0: none does"
    )
    arguments = parser.parse_args()
    pods = read_pods(arguments.trace)
    cluster = Cluster(read(NODES, arguments.trace), mix_of(pods))
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    print(
        f"{len(cluster.nodes):,} servers, {cluster.gpu_milli // 1000:,} GPUs; {len(pods):,} pods "
        f"of {len(cluster.mix.demands)} kinds; seeds {seeds[0]} to {seeds[-1]}\n"
    )
    fulls = {name: Full() for name in cluster.placers()}
    for name, placer in cluster.placers().items():
        for seed in seeds:
            fill(cluster, placer, pods, seed, fulls[name])
    fulls["Craton, leases"] = Full()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            leases = Leases(cluster, Path(folder))
            fill(cluster, leases, pods, seed, fulls["Craton, leases"])
    report_full(fulls)
    if arguments.times:
        report_waiting(Cluster(cluster.nodes[::EVERY], cluster.mix), pods, arguments)
    return 0


def report_waiting(cluster: Cluster, pods: list[Pod], arguments: argparse.Namespace) -> None:
    waiting = faster(cluster, pods, arguments.times, arguments.seed)
    print(
        f"\n{len(waiting):,} pods within {waiting[-1].at_s / 3600:.1f} hours on "
        f"{len(cluster.nodes):,} servers with {cluster.gpu_milli // 1000:,} GPUs\n"
    )
    head = (
        "placer", "waited, mean s", "p50 / p90 / p99 s", "waited at all", "all done after",
        "GPU time used",
    )  # fmt: skip
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, placer in cluster.placers().items():
        result = wait(cluster, placer, waiting)
        waits = np.array(result.waits_s)
        cells = (
            name,
            f"{waits.mean():,.0f}",
            " / ".join(f"{each:,.0f}" for each in np.percentile(waits, [50, 90, 99])),
            f"{100 * (waits > 0).mean():.0f} %",
            f"{result.ended_s / 3600:.2f} h",
            f"{100 * result.used:.1f} %",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
