"""Divided hosts: which parts of them leases hold, and where a part goes.

What the pool knows of such hosts are their chips: one is taken from the first part of it that is
held until the last is given back.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.fleet.inventory import PoolPlan
from craton.fleet.placement_divided import DividedHosts, PartDemand, PartPlacement
from craton.fleet.pool import Masks, Pool
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import WHOLE_MILLI, Lease, Part, chips_in
from craton.kernel.errors import BadRequest
from craton.store.undo import Undo

UNCOUNTED = 1 << 40
"""So many thousandths of processors, or MiB, has a host of which nobody says how many it has."""

_Move = Callable[[PartDemand, PartPlacement], None]


class PartBook:
    """The parts of one pool's hosts."""

    def __init__(self, plan: PoolPlan, pool: Pool) -> None:
        self._pool = pool
        self._chips = plan.type.chips
        self._cpu_milli = (plan.type.vcpus or 0) * 1000
        self._memory_mib = (plan.type.memory_gib or 0) * 1024
        self._name = plan.type.name
        hosts = plan.hosts
        self._hosts = DividedHosts(
            [self._cpu_milli or UNCOUNTED] * hosts,
            [self._memory_mib or UNCOUNTED] * hosts,
            [self._chips] * hosts,
        )

    def resolved(self, chips: int, part: Part | None) -> Part:
        """What exactly is asked for with so many chips; BadRequest where that is no part of one."""
        part = part or Part()
        asked = chips * part.chip_milli
        for what, amount, has in (
            ("processors", part.cpu_milli, self._cpu_milli),
            ("memory", part.memory_mib, self._memory_mib),
        ):
            if amount is not None and not has:
                raise BadRequest(
                    f"Nobody says how much {what} a {self._name} has. Leave it out, or have the "
                    "operator write it into an instance types file."
                )
        whole = self._chips * WHOLE_MILLI
        cpu, memory = self._amounts(asked, part)
        found = msgspec.structs.replace(part, cpu_milli=cpu, memory_mib=memory)
        demand = self._demand(chips, found)
        demand.check()
        if not (asked or cpu or memory):
            raise BadRequest("Nothing was asked for: say how many chips, processors, or memory.")
        milli = max(
            asked,
            -(-cpu * whole // self._cpu_milli) if self._cpu_milli else 0,
            -(-memory * whole // self._memory_mib) if self._memory_mib else 0,
        )
        return msgspec.structs.replace(found, milli=milli)

    def _amounts(self, asked: int, part: Part) -> tuple[int, int]:
        """Thousandths of processors and MiB: what is said, or as much as the chips are."""
        whole = self._chips * WHOLE_MILLI
        cpu, memory = part.cpu_milli, part.memory_mib
        return (
            self._cpu_milli * asked // whole if cpu is None else cpu,
            self._memory_mib * asked // whole if memory is None else memory,
        )

    @staticmethod
    def _demand(chips: int, part: Part) -> PartDemand:
        assert part.cpu_milli is not None, "it was resolved"
        assert part.memory_mib is not None, "it was resolved"
        return PartDemand(part.cpu_milli, part.memory_mib, chips, part.chip_milli)

    def could_hold(self, chips: int, part: Part | None) -> bool:
        """Whether a host has so much, whoever holds it now."""
        return self._hosts.could_hold(self._demand(chips, self.resolved(chips, part)))

    def expect(self, chips: int, part: Part | None) -> None:
        """Learn what is asked for, also where no host here has so much.

        What only others have room for is why this one's place is worth less.
        """
        part = part or Part()
        cpu, memory = self._amounts(chips * part.chip_milli, part)
        self._hosts.expect(PartDemand(cpu, memory, chips, part.chip_milli))

    def place(self, chips: int, part: Part | None, fed: NDArray[np.bool_]) -> PartPlacement | None:
        """A place for so much, on hosts that are used or could be `fed`, by row."""
        pool, layout = self._pool, self._pool.layout
        allowed = pool.usable & ((pool.taken != 0) | fed[layout.row_of_leaf[layout.leaf_of_host]])
        return self._hosts.place(self._demand(chips, self.resolved(chips, part)), allowed)

    def take(self, lease: Lease, undo: Undo) -> tuple[Numbers, Masks]:
        """Give a lease its part; which chips nobody held a part of before."""
        return self._move(lease, self._hosts.take, self._hosts.release, undo)

    def release(self, lease: Lease, undo: Undo) -> tuple[Numbers, Masks]:
        """Take a lease's part back; which chips nobody holds a part of any more."""
        return self._move(lease, self._hosts.release, self._hosts.take, undo)

    def _move(self, lease: Lease, move: _Move, back: _Move, undo: Undo) -> tuple[Numbers, Masks]:
        """Which chips somebody holds a part of only before, or only after it."""
        demand, placement = self._held(lease)
        host = slice(placement.host, placement.host + 1)
        before = self._open(host)
        move(demand, placement)
        undo.append(lambda: back(demand, placement))
        return _some(placement.host, before ^ self._open(host))

    def restore(self, leases: Sequence[Lease]) -> tuple[Numbers, Masks]:
        """Enter leases of before; which chips they hold parts of."""
        for lease in leases:
            demand, placement = self._held(lease)
            self._hosts.expect(demand)
            self._hosts.take(demand, placement)
        return _some(0, self._open(slice(None)))

    def set_works(self, host: int, chip: int, works: bool) -> None:
        """Give a chip to nobody from now on, or to anybody again."""
        self._hosts.set_works(host, chip, works)

    def free_milli(self) -> int:
        """Thousandths of chips that nobody holds, on hosts that can be used."""
        free = self._hosts.chip_free * self._hosts.works
        return int(free[self._pool.usable].sum())

    def _held(self, lease: Lease) -> tuple[PartDemand, PartPlacement]:
        part = self.resolved(lease.chips, lease.part)
        chips = tuple(chips_in(lease.masks[0]))
        return self._demand(len(chips), part), PartPlacement(lease.hosts[0], chips, 0.0)

    def _open(self, hosts: slice) -> Masks:
        """By host: the chips of which somebody holds a part."""
        held = self._hosts.chip_free[hosts] < WHOLE_MILLI
        masks: Masks = np.dot(held, np.left_shift(1, np.arange(self._chips), dtype=np.int64))
        return masks.astype(np.uint32)


def _some(first: int, masks: Masks) -> tuple[Numbers, Masks]:
    """Of hosts from the first on those with any chip, and which, as the pool is told."""
    at = masks.nonzero()[0]
    return (first + at).astype(np.int32), masks[at]
