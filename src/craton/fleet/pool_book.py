"""One pool with everything that is known of it: hosts, promises, and who sits where.

Three views are kept in step by the methods here, each of which notes how to take it back:
`pool` (chips, now), `calendar` (units, over time) and, where the site's power is capped, `watts`.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager

import numpy as np

from craton.fleet.calendar import FOREVER_S, Calendar, Runs
from craton.fleet.inventory import PoolPlan
from craton.fleet.occupancy import Occupancy, Units
from craton.fleet.offering import Away, Offering
from craton.fleet.part_book import PartBook
from craton.fleet.pool import Masks, Pool
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import HostState, Lease, LeaseKind
from craton.kernel.errors import Conflict
from craton.store.undo import Undo, take_back

_WHOLE = (None, HostState.MAINTENANCE)


class PoolBook:
    """The book of one pool. `now_s` is always the moment of the command that runs."""

    def __init__(self, plan: PoolPlan, pool: Pool, units: int, watts: Calendar | None) -> None:
        self.plan = plan
        self.pool = pool
        self.calendar = Calendar(plan.key, units)
        self.units = units
        """What may be promised: all but spares, and no more than its rows can feed."""
        self.all_units = plan.hosts // plan.hosts_per_unit
        """With the spares, which take the place of what breaks."""
        self._offering = Offering(self.calendar, units, self.all_units)
        self.marked: dict[int, HostState] = {}
        """Hosts that the operator or a failure set aside."""
        self._missing: set[int] = set()
        self._bound: set[int] = set()
        # Spares wait until something breaks.
        for host in np.flatnonzero(plan.spare).tolist():
            pool.set_usable(host, False)
        self._unit_w = (plan.draw_w or 0) * plan.hosts_per_unit
        self.watts = watts if self._unit_w else None
        self.occupancy = Occupancy(self.all_units, self.calendar, self.watts, self._unit_w)
        self._asked: tuple[Numbers | None, Units] = None, np.zeros(0, np.int32)
        """The units of the hosts last asked for: first whether they fit, then to sit on them."""
        self.parts = PartBook(plan, pool) if plan.is_divided else None
        """Who has which part of its hosts, where they are divided."""
        self._racks: dict[int, str] = {}
        self._numbers = [str(number) for number in range(1, pool.layout.leaf_hosts_max + 1)]

    def units_of(self, hosts: Numbers) -> list[int]:
        """The units that some hosts belong to, once each."""
        return self._units(hosts).tolist()

    def _units(self, hosts: Numbers) -> Units:
        """The same as an array, of hosts that ascend."""
        if self.plan.ultraserver is None:
            return hosts
        if self._asked[0] is not hosts:
            self._asked = hosts, self._leaves(hosts)
        return self._asked[1]

    def _leaves(self, hosts: Numbers) -> Units:
        leaves = self.pool.layout.leaf_of_host.take(hosts)
        is_first = np.empty(len(leaves), np.bool_)
        is_first[:1] = True
        np.not_equal(leaves[1:], leaves[:-1], out=is_first[1:])
        return leaves[is_first]

    def unit_of(self, host: int) -> int:
        """The unit that a host belongs to."""
        return host if self.plan.ultraserver is None else int(self.pool.layout.leaf_of_host[host])

    def runs(self, units: int, start_s: int, end_s: int) -> Runs:
        """When so many units can be promised."""
        runs = self.calendar.runs(units, start_s, end_s)
        if self.watts is None:
            return runs
        return runs.within(self.watts.runs(units * self._unit_w, start_s, end_s))

    def free(self, start_s: int, end_s: int) -> int:
        """How many units can be promised for all of a time."""
        free = self.calendar.free(start_s, end_s)
        if self.watts is not None:
            free = min(free, self.watts.free(start_s, end_s) // self._unit_w)
        return max(0, free)

    def promise(self, start_s: int, end_s: int | None, units: int, undo: Undo) -> None:
        """Keep units for somebody; Conflict if so many aren't free all that time."""
        end = end_s if end_s is not None else FOREVER_S
        if self.free(start_s, end) < units:
            raise Conflict(
                f"{self.plan.key} has {self.free(start_s, end)} free for all of that time, and "
                f"{units} are asked for. Search again: what was offered may have been sold since."
            )
        self._shift(start_s, end, -units, undo)

    def withdraw(self, start_s: int, end_s: int | None, units: int, undo: Undo) -> None:
        """Keep them no longer."""
        self._shift(start_s, end_s if end_s is not None else FOREVER_S, units, undo)

    def promised_before(self, start_s: int, end_s: int | None, units: int) -> None:
        """Enter a promise that was made by a state process before this one."""
        self._shift(start_s, end_s if end_s is not None else FOREVER_S, -units, [])

    def _shift(self, start_s: int, end_s: int, units: int, undo: Undo) -> None:
        self.calendar.shift(start_s, end_s, units)
        undo.append(lambda: self.calendar.shift(start_s, end_s, -units))
        watts = self.watts
        if watts is not None:
            amount = units * self._unit_w
            watts.shift(start_s, end_s, amount)
            undo.append(lambda: watts.shift(start_s, end_s, -amount))

    def hold(self, lease: Lease, now_s: int, undo: Undo) -> None:
        """Give a lease what it has; keep that from being promised, if it is on demand."""
        hosts, masks = chips_of(lease)
        if self.parts is not None:
            hosts, masks = self.parts.take(lease, undo)
        elif lease.kind is LeaseKind.ON_DEMAND:
            self.sit(lease.id, hosts, now_s, lease.until_s, undo)
        if len(hosts):
            self.take(hosts, masks, undo)

    def let_go(self, lease: Lease, now_s: int, undo: Undo) -> None:
        """Take back what a lease had."""
        hosts, masks = chips_of(lease)
        if self.parts is not None:
            hosts, masks = self.parts.release(lease, undo)
        elif lease.kind is LeaseKind.ON_DEMAND:
            self.rise(lease.id, hosts, now_s, undo)
        if len(hosts):
            self.release(hosts, masks, undo)

    def take(self, hosts: Numbers, masks: Masks, undo: Undo) -> None:
        """Give chips away."""
        self.pool.take(hosts, masks)
        undo.append(lambda: self.pool.release(hosts, masks))

    def release(self, hosts: Numbers, masks: Masks, undo: Undo) -> None:
        """Take chips back."""
        self.pool.release(hosts, masks)
        undo.append(lambda: self.pool.restore(hosts, masks))

    def fits(self, hosts: Numbers, now_s: int, until_s: int | None) -> bool:
        """Whether hosts can be given away until then without breaking a promise."""
        end = until_s if until_s is not None else FOREVER_S
        return self.occupancy.fits(self._units(hosts), now_s, end)

    def sit(self, holder: str, hosts: Numbers, now_s: int, until_s: int | None, undo: Undo) -> None:
        """Keep the units of these hosts from being promised until then."""
        self.occupancy.hold(holder, self._units(hosts), now_s, until_s, undo)

    def rise(self, holder: str, hosts: Numbers, now_s: int, undo: Undo) -> None:
        """Let the units of these hosts be promised again."""
        self.occupancy.drop(holder, self._units(hosts), now_s, undo)

    def restore(self, leases: Sequence[Lease], now_s: int) -> None:
        """Enter leases that were granted by a state process before this one, all at once."""
        if self.parts is not None:
            self.pool.restore_all(*self.parts.restore(leases))
            return
        hosts = [np.array(lease.hosts, np.int32) for lease in leases]
        masks = [np.array(lease.masks, np.uint32) for lease in leases]
        self.pool.restore_all(np.concatenate(hosts), np.concatenate(masks))
        sitting = [at for at, lease in enumerate(leases) if lease.kind is LeaseKind.ON_DEMAND]
        self.occupancy.restore(
            [(leases[at].id, self._units(hosts[at]), leases[at].until_s) for at in sitting], now_s
        )

    def mark(self, host: int, state: HostState | None, now_s: int, undo: Undo) -> None:
        """Set a host aside, or with None take it into use again, and let the calendar know."""
        before = self.marked.get(host)
        self._put_mark(host, state)
        undo.append(lambda: self._put_mark(host, before))
        unit = self.unit_of(host)
        is_held_back = bool(self.plan.spare[host]) and unit not in self._bound
        self._set_usable(host, state is None and not is_held_back, undo)
        if state is None:
            self._mend(unit, now_s, undo)
        elif unit not in self._bound and state is not HostState.MAINTENANCE:
            self._miss(unit, now_s, undo)

    def break_chips(self, host: int, chips: Collection[int], now_s: int, undo: Undo) -> None:
        """Say which chips of a host don't work; the others do. None: all of them work.

        What is left of it can be held; its unit isn't promised, for a promise is of whole ones.
        """
        unit = self.unit_of(host)
        for chip in range(self.pool.layout.chips_per_host):
            self._set_chip(host, chip, chip not in chips, undo)
        if self._is_whole(unit):
            self._mend(unit, now_s, undo)
        elif unit not in self._bound:
            self._miss(unit, now_s, undo)

    def _set_chip(self, host: int, chip: int, works: bool, undo: Undo) -> None:
        if self._put_chip(host, chip, works):
            undo.append(lambda: self._put_back(host, chip, works))

    def _put_back(self, host: int, chip: int, works: bool) -> None:
        self._put_chip(host, chip, not works)

    def _put_chip(self, host: int, chip: int, works: bool) -> bool:
        """Whether that is new."""
        if self.parts is not None:
            self.parts.set_works(host, chip, works)
        return (self.pool.mend_chip if works else self.pool.fail_chip)(host, chip)

    def _put_mark(self, host: int, state: HostState | None) -> None:
        if state is None:
            self.marked.pop(host, None)
        else:
            self.marked[host] = state

    def _set_usable(self, host: int, usable: bool, undo: Undo) -> None:
        if self.pool.set_usable(host, usable):

            def back() -> None:
                self.pool.set_usable(host, not usable)

            undo.append(back)

    def set_in_use(self, host: int, in_use: bool, undo: Undo) -> None:
        """Take a spare into use, or set it aside again."""
        self._set_usable(host, in_use and host not in self.marked, undo)

    def spare(self) -> list[int]:
        """Spare hosts that are whole and set aside."""
        return [
            host
            for host in np.flatnonzero(self.plan.spare & ~self.pool.usable).tolist()
            if host not in self.marked and not self.pool.broken[host]
        ]

    def bind(self, hosts: Numbers, undo: Undo) -> None:
        """Give whole hosts to a reservation: its promise counts them already."""
        self.take(hosts, np.full(len(hosts), self.pool.full, np.uint32), undo)
        units = set(self.units_of(hosts))
        self._bound |= units

        def back() -> None:
            self._bound -= units

        undo.append(back)

    def restore_bound(self, hosts: Numbers) -> None:
        """Enter a binding that was made by a state process before this one."""
        self.pool.restore(hosts, np.full(len(hosts), self.pool.full, np.uint32))
        self._bound |= set(self.units_of(hosts))
        for host in hosts[self.plan.spare[hosts]].tolist():
            self.set_in_use(host, True, [])

    def unbind(self, hosts: Numbers, now_s: int, undo: Undo) -> None:
        """Take them back; what broke meanwhile is missed from now on."""
        self.release(hosts, np.full(len(hosts), self.pool.full, np.uint32), undo)
        units = set(self.units_of(hosts))
        self._bound -= units

        def back() -> None:
            self._bound |= units

        undo.append(back)
        for host in hosts[self.plan.spare[hosts]].tolist():
            self.set_in_use(host, False, undo)
        self._settle(units, now_s, undo)

    def _settle(self, units: Iterable[int], now_s: int, undo: Undo) -> None:
        """Miss those of the units that nobody may have any more."""
        for unit in units:
            if not self._is_whole(unit):
                self._miss(unit, now_s, undo)

    def _is_whole(self, unit: int) -> bool:
        """Whether all chips of a unit work, and no host of it is set aside until further notice.

        A spare is whole: it takes another's place. So is what is in maintenance: it is away, which
        is counted by the time it takes.
        """
        first, last = unit, unit + 1
        if self.plan.ultraserver is not None:
            first, last = map(int, self.pool.layout.leaf_start[unit : unit + 2])
        if self.pool.broken[first:last].any():
            return False
        return all(self.marked.get(host) in _WHOLE for host in range(first, last))

    def _miss(self, unit: int, now_s: int, undo: Undo) -> None:
        if unit not in self._missing:
            self._missing.add(unit)
            undo.append(lambda: self._missing.discard(unit))
            self.occupancy.set_apart(unit, now_s, undo)
            self._balance(now_s, undo)

    def _mend(self, unit: int, now_s: int, undo: Undo) -> None:
        if unit in self._missing and self._is_whole(unit):
            self._missing.discard(unit)
            undo.append(lambda: self._missing.add(unit))
            self.occupancy.count_again(unit, now_s, undo)
            self._balance(now_s, undo)

    def _balance(self, now_s: int, undo: Undo) -> None:
        """Offer as many units as there are, up to what may be sold."""
        self._offering.balance(self._missing, now_s, undo)

    def offered(self, at_s: int) -> int:
        """What is promised at most: fewer where more broke than there were spares for."""
        return self._offering.at(at_s)

    def away(self, name: str, hosts: range, span: tuple[int, int], now_s: int, undo: Undo) -> None:
        """Promise nothing on the units of some hosts from one moment to another."""
        units = frozenset(self.units_of(np.array(hosts, np.int32)))
        self._offering.set_away(f"{name}/{hosts.start}", Away(*span, units, hosts), undo)
        self._balance(now_s, undo)

    def no_longer_away(self, name: str, now_s: int, undo: Undo) -> None:
        """Promise them again, unless something else is wrong with them."""
        for key in self._offering.named(name):
            self._offering.set_away(key, None, undo)
        self._balance(now_s, undo)

    @contextmanager
    def avoiding(self, start_s: int, end_s: int) -> Generator[None]:
        """The pool as if hosts that will be away in that time were away already."""
        undo: Undo = []
        for away in self._offering.within(start_s, end_s):
            for host in away.hosts:
                self._set_usable(host, False, undo)
        try:
            yield
        finally:
            take_back(undo)

    def names(self, hosts: Sequence[int]) -> list[str]:
        """The names of hosts, in their order."""
        layout = self.pool.layout
        at = np.array(hosts, np.intp)
        leaves = layout.leaf_of_host.take(at)
        at -= layout.leaf_start.take(leaves)
        numbers, racks = self._numbers, self._racks
        within = leaves.tolist()
        for leaf in {*within}.difference(racks):
            racks[leaf] = f"{self.plan.leaf_name(leaf)}/"
        return [racks[leaf] + numbers[k] for leaf, k in zip(within, at.tolist(), strict=True)]


def chips_of(lease: Lease) -> tuple[Numbers, Masks]:
    """The hosts of a lease, and which chips of each."""
    return np.array(lease.hosts, np.int32), np.array(lease.masks, np.uint32)
