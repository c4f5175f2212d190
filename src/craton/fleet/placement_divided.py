"""Where a part of a host goes: processors, memory, and chips that are divided in thousandths.

Each place leaves something of a host free, and what is free is worth something only if somebody who
comes later can use it. So the place is taken by which the least becomes useless: the free
thousandths of chips that a demand drawn from those that usually come couldn't have, in expectation
over that mix. Hosts equal in that: the one with the least left of its chips, then the lowest.

The measure is that of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent" (USENIX ATC 2023). For one demand everything free on a host is
useless if it can't start there, or wants no chip; otherwise what is free of chips that have less
left than it wants of one.

Which demands usually come is told (`Mix`), or learned from those that did. Until anything is known
of that, every place is as good, and the fullest host is taken.

Here for hosts of any sizes together, up to some thousands. Nothing draws a random number or looks
at a clock. What a place costs on a host is remembered by kind of demand until the host changes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craton.fleet.pool_layout import Numbers
from craton.fleet.records import WHOLE_MILLI
from craton.kernel.errors import BadRequest, Internal

KINDS_MAX = 1024
"""Kinds of demands of which costs are remembered."""
LEARNED_KINDS_MAX = 64
"""Kinds that a learned mix has at most: the most frequent ones."""
LEARNED_MAX = 4096
"""Demands that a learned mix is made of; then each counts for half, so that old ones fade."""
_LEARN_EVERY = 8
"""A mix is learned anew when an eighth more demands have come than it was made of."""
_BLOCK = 4096
_Amounts = NDArray[np.int64]
_Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PartDemand:
    """So much of one host: `chips` chips, of each `chip_milli` thousandths.

    A part of a chip is of one chip; several, or none, are whole.
    """

    cpu_milli: int
    memory_mib: int
    chips: int = 0
    chip_milli: int = WHOLE_MILLI

    def check(self) -> None:
        """BadRequest for what no host could ever be asked for."""
        if self.cpu_milli < 0 or self.memory_mib < 0 or self.chips < 0:
            raise BadRequest("Less than nothing of a host was asked for; ask for 0 or more.")
        if not 1 <= self.chip_milli <= WHOLE_MILLI:
            raise BadRequest(
                f"{self.chip_milli} thousandths of a chip; ask for 1 to {WHOLE_MILLI}, or for "
                "several whole chips."
            )
        if self.chip_milli != WHOLE_MILLI and self.chips != 1:
            raise BadRequest(
                f"{self.chip_milli} thousandths of each of {self.chips} chips; a part is of one "
                "chip. Ask for one, or for whole chips."
            )


@dataclass(frozen=True, slots=True)
class PartPlacement:
    """A host, and the chips of it.

    `growth`: how many thousandths become useless, expected. `left`: how many the host had free. The
    better of two places is that of less growth, then of less left.
    """

    host: int
    chips: tuple[int, ...]
    growth: float
    left: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """The demands that usually come, and how often: weights are of their sum."""

    demands: Sequence[PartDemand]
    weights: Sequence[float]
    cpu: _Amounts = field(init=False, repr=False)
    memory: _Amounts = field(init=False, repr=False)
    chips: _Amounts = field(init=False, repr=False)
    sizes: _Amounts = field(init=False, repr=False)
    """Thousandths of a chip that some demand wants, ascending."""
    size_of: NDArray[np.intp] = field(init=False, repr=False)
    share: _Costs = field(init=False, repr=False)

    def __post_init__(self) -> None:
        assert len(self.demands) == len(self.weights) > 0, "a mix of nothing"
        sizes, size_of = np.unique([d.chip_milli for d in self.demands], return_inverse=True)
        weights = np.array(self.weights, np.float64)
        for name, value in (
            ("cpu", np.array([d.cpu_milli for d in self.demands], np.int64)),
            ("memory", np.array([d.memory_mib for d in self.demands], np.int64)),
            ("chips", np.array([d.chips for d in self.demands], np.int64)),
            ("sizes", sizes.astype(np.int64)),
            ("size_of", size_of),
            ("share", weights / weights.sum()),
        ):
            object.__setattr__(self, name, value)


class _Known:
    """What a place for one kind of demand costs on each host, as of some number of changes."""

    def __init__(self, hosts: int) -> None:
        self.growth: _Costs = np.full(hosts, np.inf)
        self.chip: Numbers = np.full(hosts, -1, np.int32)
        self.changes = -1


class DividedHosts:
    """Hosts whose processors, memory and chips are given away in parts.

    `cpu_free`, `memory_free`: by host. `chip_free[host, chip]`: thousandths that nobody holds; 0
    for chips that a smaller host doesn't have. `works[host, chip]`: false for chips that are given
    to nobody. Only the methods change them; `take` and `release` are each the other's inverse.
    """

    def __init__(
        self,
        cpu_milli: Sequence[int],
        memory_mib: Sequence[int],
        chips: Sequence[int],
        mix: Mix | None = None,
        *,
        changes_max: int = 65_536,
    ) -> None:
        self.cpu_free: _Amounts = np.array(cpu_milli, np.int64)
        self.memory_free: _Amounts = np.array(memory_mib, np.int64)
        has = np.array(chips, np.int64)
        self._has_chip = np.arange(max(1, int(has.max(initial=0)))) < has[:, None]
        self.chip_free: _Amounts = self._has_chip * np.int64(WHOLE_MILLI)
        self.works: NDArray[np.bool_] = self._has_chip.copy()
        self._cpu, self._memory = self.cpu_free.copy(), self.memory_free.copy()
        self._mix = mix
        self._came: Counter[PartDemand] = Counter()
        self._learned = 0
        self.useless: _Costs = self._useless(self.cpu_free, self.memory_free, self.chip_free)
        """By host: the thousandths of its chips that are free and useless, expected."""
        self._known: dict[PartDemand, _Known] = {}
        self._changed: list[int] = []
        self._changes_max = changes_max

    @property
    def fragmentation(self) -> float:
        """Thousandths of chips that are free and useless, expected over the mix."""
        return float(self.useless.sum())

    def expect(self, demand: PartDemand) -> None:
        """Learn that such a demand came, whether it got a place or not."""
        self._came[demand] += 1
        if self._came.total() > LEARNED_MAX:
            self._came = Counter({kind: left for kind, n in self._came.items() if (left := n // 2)})
            self._learned //= 2
        if self._came.total() >= self._learned + max(1, self._learned // _LEARN_EVERY):
            self._learned = self._came.total()
            kinds = self._came.most_common(LEARNED_KINDS_MAX)
            self._mix = Mix([kind for kind, _ in kinds], [count for _, count in kinds])
            self._know_nothing()

    def _know_nothing(self) -> None:
        self.useless = self._useless(self.cpu_free, self.memory_free, self.chip_free * self.works)
        self._known.clear()
        self._changed.clear()

    def could_hold(self, demand: PartDemand) -> bool:
        """Whether a host has so much, whoever holds it now."""
        fits = (self._cpu >= demand.cpu_milli) & (self._memory >= demand.memory_mib)
        return bool((fits & (self._has_chip.sum(axis=1) >= demand.chips)).any())

    def place(
        self, demand: PartDemand, allowed: NDArray[np.bool_] | None = None
    ) -> PartPlacement | None:
        """The best place, or None; BadRequest for a demand that makes no sense.

        `allowed`: by host, whether it may be used; None: all may.
        """
        demand.check()
        known = self._costs(demand)
        growth = known.growth if allowed is None else np.where(allowed, known.growth, np.inf)
        least = float(growth.min())
        if not np.isfinite(least):
            return None
        best = (growth == least).nonzero()[0]
        left = (self.chip_free[best] * self.works[best]).sum(axis=1)
        first = int(left.argmin())
        host = int(best[first])
        if demand.chip_milli < WHOLE_MILLI:
            chips = (int(known.chip[host]),)
        else:
            whole = (self.chip_free[host] * self.works[host] == WHOLE_MILLI).nonzero()[0]
            chips = tuple(whole[: demand.chips].tolist())
        return PartPlacement(host, chips, least, int(left[first]))

    def set_works(self, host: int, chip: int, works: bool) -> None:
        """Give a chip to nobody from now on, or to anybody again; who holds it keeps it."""
        self.works[host, chip] = works and self._has_chip[host, chip]
        self._note(host)

    def take(self, demand: PartDemand, placement: PartPlacement) -> None:
        """Give it away. What isn't free is a fault of ours: Internal, and nothing is taken."""
        self._move(demand, placement, -1)

    def release(self, demand: PartDemand, placement: PartPlacement) -> None:
        """Take it back. What nobody holds is a fault of ours: Internal, and nothing comes back."""
        self._move(demand, placement, 1)

    def _move(self, demand: PartDemand, placement: PartPlacement, step: int) -> None:
        host, chips = placement.host, list(placement.chips)
        cpu = int(self.cpu_free[host]) + step * demand.cpu_milli
        memory = int(self.memory_free[host]) + step * demand.memory_mib
        after = self.chip_free[host, chips] + step * demand.chip_milli
        most = self._has_chip[host, chips] * WHOLE_MILLI
        if (
            len(set(chips)) != demand.chips
            or not 0 <= cpu <= self._cpu[host]
            or not 0 <= memory <= self._memory[host]
            or ((after < 0) | (after > most)).any()
        ):
            raise Internal(
                f"Parts of host {host} that aren't free were taken, or came back that nobody held: "
                f"{demand}, chips {chips}."
            )
        self.cpu_free[host], self.memory_free[host] = cpu, memory
        self.chip_free[host, chips] = after
        self._note(host)

    def _note(self, host: int) -> None:
        at = slice(host, host + 1)
        self.useless[at] = self._useless(
            self.cpu_free[at], self.memory_free[at], self.chip_free[at] * self.works[at]
        )
        self._changed.append(host)

    def _costs(self, demand: PartDemand) -> _Known:
        """What a place costs on each host, brought up to date with what changed."""
        if len(self._changed) > self._changes_max or len(self._known) > KINDS_MAX:
            self._known.clear()
            self._changed.clear()
        known = self._known.get(demand)
        if known is None:
            known = self._known[demand] = _Known(len(self.cpu_free))
            hosts = np.arange(len(self.cpu_free))
        else:
            hosts = np.unique(np.array(self._changed[known.changes :], np.intp))
        known.changes = len(self._changed)
        for first in range(0, len(hosts), _BLOCK):
            self._update(known, demand, hosts[first : first + _BLOCK])
        return known

    def _update(self, known: _Known, demand: PartDemand, hosts: NDArray[np.intp]) -> None:
        known.growth[hosts] = np.inf
        free = self.chip_free[hosts] * self.works[hosts]
        room = free >= demand.chip_milli
        fits = (self.cpu_free[hosts] >= demand.cpu_milli) & (
            self.memory_free[hosts] >= demand.memory_mib
        )
        fits &= room.sum(axis=1) >= demand.chips
        hosts, room, free = hosts[fits], room[fits], free[fits]
        if demand.chip_milli < WHOLE_MILLI:
            at, chip = room.nonzero()
        else:
            at, chip = np.arange(len(hosts)), np.full(len(hosts), -1)
        after = free[at]
        if demand.chip_milli < WHOLE_MILLI:
            after[np.arange(len(at)), chip] -= demand.chip_milli
        else:
            # Whole chips are alike: the first ones.
            after[room & (room.cumsum(axis=1) <= demand.chips)] = 0
        growth = self._useless(
            self.cpu_free[hosts[at]] - demand.cpu_milli,
            self.memory_free[hosts[at]] - demand.memory_mib,
            after,
        )
        # Sums of shares differ in their last bits by how they were come to; those aren't better.
        growth = np.round(growth - self.useless[hosts[at]], 6)
        # Of one host's chips the one that costs least, then the one with the least left.
        left = free[at, chip] if demand.chip_milli < WHOLE_MILLI else growth * 0
        order = np.lexsort((chip, left, growth, at))
        is_first = np.ones(len(order), np.bool_)
        np.not_equal(at[order][1:], at[order][:-1], out=is_first[1:])
        best = order[is_first]
        known.growth[hosts[at[best]]] = growth[best]
        known.chip[hosts[at[best]]] = chip[best]

    def _useless(self, cpu: _Amounts, memory: _Amounts, chips: _Amounts) -> _Costs:
        """By host so left: the free thousandths that a demand of the mix couldn't use, expected."""
        mix = self._mix
        if mix is None:
            return np.zeros(len(cpu), np.float64)
        enough = chips[:, None, :] >= mix.sizes[:, None]
        number = enough.sum(axis=2)
        total = chips.sum(axis=1)
        below = total[:, None] - (chips[:, None, :] * enough).sum(axis=2)
        fits = (cpu[:, None] >= mix.cpu) & (memory[:, None] >= mix.memory)
        fits &= (number[:, mix.size_of] >= mix.chips) & (mix.chips > 0)
        useless: _Amounts = total[:, None] - fits * (total[:, None] - below[:, mix.size_of])
        expected: _Costs = np.dot(useless.astype(np.float64), mix.share)
        return expected
