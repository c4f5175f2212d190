"""Where a part of a host goes: processors, memory, and chips that are divided in thousandths.

Each place leaves something of a host free, and what is free is worth something only if somebody who
comes later can use it. So the place is taken by which the least becomes useless: the free
thousandths of chips that a demand drawn from those that usually come couldn't have, in expectation
over that mix. Hosts equal in that: the one with the least left of its chips, then the lowest.

The measure is that of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent" (USENIX ATC 2023). For one demand everything free on a host is
useless if it can't start there, or wants no chip; otherwise what is free of chips that have less
left than it wants of one.

Here for hosts of any sizes together, up to some thousands. Nothing draws a random number or looks
at a clock. What a place costs on a host is remembered by kind of demand until the host changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craton.fleet.pool_layout import Numbers
from craton.kernel.errors import BadRequest, Internal

WHOLE_MILLI = 1000
KINDS_MAX = 1024
"""Kinds of demands of which costs are remembered."""
_BLOCK = 4096
_Amounts = NDArray[np.int64]
_Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShareDemand:
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
class SharePlacement:
    """A host, and the chips of it; `growth` is how many thousandths become useless, expected."""

    host: int
    chips: tuple[int, ...]
    growth: float


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """The demands that usually come, and how often: weights are of their sum."""

    demands: Sequence[ShareDemand]
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


class ShareHosts:
    """Hosts whose processors, memory and chips are given away in parts.

    `cpu_free`, `memory_free`: by host. `chip_free[host, chip]`: thousandths; 0 for chips that a
    smaller host doesn't have. Only `take` and `release` change them; each is the other's inverse.
    """

    def __init__(
        self,
        cpu_milli: Sequence[int],
        memory_mib: Sequence[int],
        chips: Sequence[int],
        mix: Mix,
        *,
        changes_max: int = 65_536,
    ) -> None:
        self.cpu_free: _Amounts = np.array(cpu_milli, np.int64)
        self.memory_free: _Amounts = np.array(memory_mib, np.int64)
        has = np.array(chips, np.int64)
        self._has_chip = np.arange(max(1, int(has.max(initial=0)))) < has[:, None]
        self.chip_free: _Amounts = self._has_chip * np.int64(WHOLE_MILLI)
        self._cpu, self._memory = self.cpu_free.copy(), self.memory_free.copy()
        self._mix = mix
        self.useless: _Costs = self._useless(self.cpu_free, self.memory_free, self.chip_free)
        """By host: the thousandths of its chips that are free and useless, expected."""
        self._known: dict[ShareDemand, _Known] = {}
        self._changed: list[int] = []
        self._changes_max = changes_max

    @property
    def fragmentation(self) -> float:
        """Thousandths of chips that are free and useless, expected over the mix."""
        return float(self.useless.sum())

    def place(self, demand: ShareDemand) -> SharePlacement | None:
        """The best place, or None; BadRequest for a demand that makes no sense."""
        demand.check()
        known = self._costs(demand)
        least = float(known.growth.min())
        if not np.isfinite(least):
            return None
        best = (known.growth == least).nonzero()[0]
        host = int(best[self.chip_free[best].sum(axis=1).argmin()])
        if demand.chip_milli < WHOLE_MILLI:
            chips = (int(known.chip[host]),)
        else:
            whole = (self.chip_free[host] == WHOLE_MILLI).nonzero()[0]
            chips = tuple(whole[: demand.chips].tolist())
        return SharePlacement(host, chips, least)

    def take(self, demand: ShareDemand, placement: SharePlacement) -> None:
        """Give it away. What isn't free is a fault of ours: Internal, and nothing is taken."""
        self._move(demand, placement, -1)

    def release(self, demand: ShareDemand, placement: SharePlacement) -> None:
        """Take it back. What nobody holds is a fault of ours: Internal, and nothing comes back."""
        self._move(demand, placement, 1)

    def _move(self, demand: ShareDemand, placement: SharePlacement, step: int) -> None:
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
        at = slice(host, host + 1)
        self.useless[at] = self._useless(
            self.cpu_free[at], self.memory_free[at], self.chip_free[at]
        )
        self._changed.append(host)

    def _costs(self, demand: ShareDemand) -> _Known:
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

    def _update(self, known: _Known, demand: ShareDemand, hosts: NDArray[np.intp]) -> None:
        known.growth[hosts] = np.inf
        room = self.chip_free[hosts] >= demand.chip_milli
        fits = (self.cpu_free[hosts] >= demand.cpu_milli) & (
            self.memory_free[hosts] >= demand.memory_mib
        )
        fits &= room.sum(axis=1) >= demand.chips
        hosts, room = hosts[fits], room[fits]
        if demand.chip_milli < WHOLE_MILLI:
            at, chip = room.nonzero()
        else:
            at, chip = np.arange(len(hosts)), np.full(len(hosts), -1)
        after = self.chip_free[hosts[at]]
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
        left = self.chip_free[hosts[at], chip] if demand.chip_milli < WHOLE_MILLI else growth * 0
        order = np.lexsort((chip, left, growth, at))
        is_first = np.ones(len(order), np.bool_)
        np.not_equal(at[order][1:], at[order][:-1], out=is_first[1:])
        best = order[is_first]
        known.growth[hosts[at[best]]] = growth[best]
        known.chip[hosts[at[best]]] = chip[best]

    def _useless(self, cpu: _Amounts, memory: _Amounts, chips: _Amounts) -> _Costs:
        """By host so left: the free thousandths that a demand of the mix couldn't use, expected."""
        mix = self._mix
        enough = chips[:, None, :] >= mix.sizes[:, None]
        number = enough.sum(axis=2)
        total = chips.sum(axis=1)
        below = total[:, None] - (chips[:, None, :] * enough).sum(axis=2)
        fits = (cpu[:, None] >= mix.cpu) & (memory[:, None] >= mix.memory)
        fits &= (number[:, mix.size_of] >= mix.chips) & (mix.chips > 0)
        useless: _Amounts = total[:, None] - fits * (total[:, None] - below[:, mix.size_of])
        expected: _Costs = np.dot(useless.astype(np.float64), mix.share)
        return expected
