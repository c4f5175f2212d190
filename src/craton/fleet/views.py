"""The fleet as it is told: names in the place of numbers, and whether it is simulated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from craton.economics.meters import Meter
from craton.fleet.charges import Charges
from craton.fleet.contract import (
    CalendarQuery,
    CalendarView,
    FleetQuery,
    FleetView,
    LeaseView,
    MarkView,
    PoolView,
    RackView,
    ReservationView,
    RowView,
    SiteView,
)
from craton.fleet.fleet import Fleet
from craton.fleet.fleet_file import DriverKind
from craton.fleet.instance_types import InstanceType, InstanceTypes
from craton.fleet.inventory import Hosts
from craton.fleet.past import over_s
from craton.fleet.placement_fragmentation import fragmentation
from craton.fleet.pool_book import PoolBook
from craton.fleet.records import HostState, Lease, LeaseState, Reservation
from craton.fleet.shares import Shares
from craton.kernel.errors import BadRequest
from craton.kernel.units import NANOS_PER_UNIT

RACKS_MAX = 20_000
STEPS_MAX = 20_000
_COST_CURRENCY = "USD"
"""In which the chip catalogue has what chips cost."""


@dataclass(frozen=True, slots=True)
class _PoolWords:
    """What is said of a pool wherever something of it is told."""

    zone: str
    type: InstanceType
    ultraserver: str | None
    driver: DriverKind


class Views:
    """Reads the fleet; changes nothing."""

    def __init__(
        self, fleet: Fleet, types: InstanceTypes, charges: Charges, shares: Shares
    ) -> None:
        self._fleet = fleet
        self._types = types
        self._charges = charges
        self._shares = shares

    def fleet(self, query: FleetQuery, now_s: int, applied_ms: int) -> FleetView:
        """All of it, or what is under a path. Rows and racks are told where there aren't too many.

        NotFound for a path that leads nowhere.
        """
        fleet = self._fleet
        inventory = fleet.inventory
        found = inventory.find(query.path) if query.path else None
        keys = {hosts.pool.key for hosts in found} if found is not None else set(fleet.books)
        zones = {fleet.books[key].plan.zone for key in keys}
        return FleetView(
            sites=[self._site(site.name, now_s) for site in inventory.sites if site.name in zones],
            pools=[self._pool(fleet.books[key], now_s) for key in fleet.books if key in keys],
            rows=self._rows(found, keys) if query.with_racks else [],
            marks=self._marks(keys),
            chips=sum(
                fleet.books[key].plan.hosts * fleet.books[key].plan.type.chips for key in keys
            ),
            applied_ms=applied_ms,
        )

    def _site(self, name: str, now_s: int) -> SiteView:
        (site,) = (each for each in self._fleet.inventory.sites if each.name == name)
        books = [book for book in self._fleet.books.values() if book.plan.zone == name]
        watts = self._fleet.watts.get(name)
        if watts is not None and site.power_w is not None:
            taken_w = site.power_w - watts.free(now_s, now_s + 1)
        else:
            taken_w = sum(
                int(book.pool.drawing_hosts().sum()) * (book.plan.draw_w or 0) for book in books
            )
        return SiteView(
            name=name,
            driver=site.driver,
            is_simulated=site.driver is DriverKind.SIMULATED,
            power_w=site.power_w,
            taken_w=taken_w,
        )

    def _pool(self, book: PoolBook, now_s: int) -> PoolView:
        plan, pool = book.plan, book.pool
        scattered = fragmentation(pool)
        return PoolView(
            key=plan.key,
            zone=plan.zone,
            instance_type=plan.type.name,
            chip=plan.type.chip,
            chips_per_host=plan.type.chips,
            ultraserver=plan.ultraserver,
            hosts_per_unit=plan.hosts_per_unit,
            driver=plan.driver,
            is_simulated=plan.driver is DriverKind.SIMULATED,
            exclusive_to=plan.exclusive_to,
            hosts=plan.hosts,
            units=book.units,
            offered_units=book.offered(now_s),
            free_units_now=book.free(now_s, now_s + 1),
            chips=plan.hosts * plan.type.chips,
            chips_taken=pool.chips_taken,
            hosts_unusable=len(book.marked),
            hosts_spare=len(book.spare()),
            draw_w=plan.draw_w,
            leaves=pool.layout.leaves,
            rows=pool.layout.rows,
            gang_hosts_max=scattered.gang_hosts_max,
            whole_free_permille=round(scattered.whole_share * 1000),
            # What the fleet file says of a rack is the operator's own figure.
            is_draw_estimated=plan.type.is_draw_estimated and plan.draw_w == plan.type.draw_w,
            is_divided=plan.is_divided,
            free_milli=None if book.parts is None else book.parts.free_milli(),
            chips_broken=int(np.bitwise_count(pool.broken).sum()),
            below_cost=self._below_cost(plan.type, now_s),
        )

    def _below_cost(self, kind: InstanceType, now_s: int) -> str | None:
        """Whether blocks are sold for less than their energy, or than owning their chips."""
        price = self._charges.price(kind.name, Meter.BLOCK_CHIP_S, now_s * 1000)
        if price is None or price[1] != _COST_CURRENCY:
            return None
        for cost, what in (
            (kind.energy_nanos_hour, "the energy for it alone costs"),
            (kind.owned_nanos_hour, "owning the chip costs"),
        ):
            if cost is not None and price[0] < cost:
                return f"a chip-hour in a block is {_cents(price[0])}, and {what} {_cents(cost)}"
        return None

    def _rows(self, found: list[Hosts] | None, keys: set[str]) -> list[RowView]:
        """Rows with their racks, of all pools that stand in them."""
        inventory = self._fleet.inventory
        racks: dict[int, list[RackView]] = {}
        taken_w: dict[int, int] = {}
        ranges = found or [
            Hosts(book.plan, 0, book.plan.hosts)
            for key, book in self._fleet.books.items()
            if key in keys
        ]
        if sum(len(hosts.pool.row_of_leaf) for hosts in ranges) > RACKS_MAX:
            return []
        for hosts in ranges:
            book = self._fleet.books[hosts.pool.key]
            rows = hosts.pool.rows
            drawing = book.pool.drawing_hosts() * (hosts.pool.draw_w or 0)
            for row, watts in zip(rows.tolist(), drawing.tolist(), strict=True):
                taken_w[row] = taken_w.get(row, 0) + watts
            for leaf, rack in self._racks(book, hosts):
                row = int(rows[hosts.pool.row_of_leaf[leaf]])
                racks.setdefault(row, []).append(rack)
        return [
            RowView(
                site=inventory.rows[row].site,
                name=inventory.rows[row].name,
                racks=racks[row],
                power_w=inventory.rows[row].power_w,
                taken_w=taken_w[row],
            )
            for row in sorted(racks)
        ]

    @staticmethod
    def _racks(book: PoolBook, hosts: Hosts) -> Iterable[tuple[int, RackView]]:
        plan, layout = book.plan, book.pool.layout
        taken = np.bitwise_count(book.pool.taken)
        by_leaf = np.add.reduceat(taken, layout.leaf_start[:-1], dtype=np.int64)
        marked: dict[int, int] = {}
        for host in book.marked:
            leaf = int(layout.leaf_of_host[host])
            marked[leaf] = marked.get(leaf, 0) + 1
        spare = np.add.reduceat(plan.spare.astype(np.int64), layout.leaf_start[:-1])
        for leaf in range(plan.leaf_of(hosts.first), plan.leaf_of(hosts.last - 1) + 1):
            count = int(layout.leaf_start[leaf + 1] - layout.leaf_start[leaf])
            yield (
                leaf,
                RackView(
                    name=plan.leaf_name(leaf),
                    pool=plan.key,
                    hosts=count,
                    chips=count * plan.type.chips,
                    chips_taken=int(by_leaf[leaf]),
                    hosts_unusable=marked.get(leaf, 0),
                    hosts_spare=int(spare[leaf]),
                ),
            )

    def _marks(self, keys: set[str]) -> list[MarkView]:
        found: list[MarkView] = []
        for key in (key for key in self._fleet.books if key in keys):
            found += [
                MarkView(mark.host, mark.state, mark.since_ms, mark.note)
                for mark in self._fleet.marks_of(key)
            ]
            found += [
                MarkView(mark.host, HostState.FAILED, mark.since_ms, mark.note, mark.chips)
                for mark in self._fleet.broken_in(key)
            ]
        return found

    def calendar(self, query: CalendarQuery) -> CalendarView:
        """What is free of a pool from each moment on; BadRequest where that is too long to tell."""
        book = self._fleet.book(query.pool)
        if query.start_s >= query.end_s:
            raise BadRequest("The calendar was asked for no time: end_s lies before start_s.")
        times, free = book.calendar.skyline(query.start_s, query.end_s)
        if len(times) > STEPS_MAX:
            raise BadRequest(f"{len(times)} changes in that time; ask for a shorter one.")
        return CalendarView(
            pool=query.pool,
            units=book.units,
            times_s=times.tolist(),
            free=free.tolist(),
            is_simulated=self._fleet.is_simulated(query.pool),
        )

    def reservation(self, reservation: Reservation, now_ms: int) -> ReservationView:
        """A reservation with what is used of it, and what its idle hosts cost until now."""
        pool = self._words(reservation.pool)
        leases = self._fleet.leases_in(reservation.id)
        used = {host for lease in leases for host in lease.hosts}
        now_s = now_ms // 1000
        # What runs now is counted to this second; what ran before, when it ended.
        used_s = reservation.used_host_s + sum(
            len(lease.hosts) * (now_s - lease.started_s) for lease in leases
        )
        # What was given back before its end was held until then.
        ended_s = over_s(reservation) or reservation.end_s
        until_s = now_s if ended_s is None else min(now_s, ended_s)
        held_s = max(0, until_s - reservation.start_s) * reservation.total_hosts
        idle_s = max(0, held_s - used_s - reservation.short_s * reservation.hosts_per_unit)
        return ReservationView(
            id=reservation.id,
            block=reservation.block,
            kind=reservation.kind,
            account=reservation.account,
            project=reservation.project,
            pool=reservation.pool,
            zone=pool.zone,
            instance_type=pool.type.name,
            ultraserver=pool.ultraserver,
            units=reservation.units,
            total_hosts=reservation.total_hosts,
            used_hosts=len(used),
            broken_hosts=reservation.short_units * reservation.hosts_per_unit,
            start_s=reservation.start_s,
            end_s=reservation.end_s,
            state=reservation.state,
            created_ms=reservation.created_ms,
            currency=reservation.currency,
            amount_nanos=reservation.amount_nanos,
            platform=reservation.platform,
            is_targeted=reservation.is_targeted,
            tags=reservation.tags,
            extensions=list(reservation.extensions),
            hosts=self._names(reservation.pool, reservation.hosts),
            is_simulated=pool.driver is DriverKind.SIMULATED,
            offer=reservation.offer,
            idle_host_s=idle_s,
            idle_nanos=self._idle(reservation, pool.type.name, idle_s),
            fleet=reservation.fleet,
        )

    def _idle(self, reservation: Reservation, resource: str, idle_s: int) -> int:
        is_block = reservation.block is not None
        meter = Meter.BLOCK_CHIP_S if is_block else Meter.ON_DEMAND_CHIP_S
        if reservation.commitment:
            return 0
        if not idle_s or not self._charges.has_price(resource, meter, reservation.created_ms):
            return 0
        chip_s = idle_s * reservation.chips_per_host
        return self._charges.part(resource, meter, chip_s, reservation.created_ms)

    def _words(self, key: str) -> "_PoolWords":
        """What a pool is; worked out of its name where the fleet has it no more."""
        book = self._fleet.books.get(key)
        if book is not None:
            plan = book.plan
            return _PoolWords(plan.zone, plan.type, plan.ultraserver, plan.driver)
        zone, _, name = key.partition("/")
        kind = self._types.by_name.get(name)
        # This machine never leaves the fleet; only sites of a file do, which are simulated.
        if kind is not None:
            return _PoolWords(zone, kind, None, DriverKind.SIMULATED)
        return _PoolWords(zone, self._types.of_ultraserver(name), name, DriverKind.SIMULATED)

    def _names(self, key: str, hosts: Sequence[int]) -> list[str]:
        book = self._fleet.books.get(key)
        return book.names(hosts) if book is not None and hosts else []

    def lease(self, lease: Lease) -> LeaseView:
        """A lease with the names of its hosts, and its place in the queue if it waits."""
        (view,) = self.leases([lease])
        return view

    def leases(self, leases: Sequence[Lease]) -> list[LeaseView]:
        """The same of several."""
        positions: dict[str, int] = {}
        if any(lease.state is LeaseState.WAITING for lease in leases):
            queue = self._shares.queue(self._fleet.waiting())
            positions = {each.id: at for at, each in enumerate(queue, 1)}
        return [self._lease(lease, positions.get(lease.id)) for lease in leases]

    def _lease(self, lease: Lease, position: int | None) -> LeaseView:
        pool = self._words(lease.pool)
        return LeaseView(
            id=lease.id,
            kind=lease.kind,
            account=lease.account,
            pool=lease.pool,
            instance_type=pool.type.name,
            chip=pool.type.chip,
            driver=pool.driver,
            is_simulated=pool.driver is DriverKind.SIMULATED,
            state=lease.state,
            token=lease.token,
            chips=lease.chips,
            hosts=list(lease.names) or self._names(lease.pool, lease.hosts),
            masks=list(lease.masks),
            priority=lease.priority,
            purpose=lease.purpose,
            reservation=lease.reservation,
            created_ms=lease.created_ms,
            started_s=lease.started_s,
            until_s=lease.until_s,
            ends_s=lease.ends_s,
            reason=lease.reason,
            spent_nanos=lease.spent_nanos,
            currency=lease.currency,
            outcome=lease.outcome,
            queue_position=position,
            part=lease.part,
        )


def _cents(amount: int) -> str:
    return f"{amount / NANOS_PER_UNIT:.3f} {_COST_CURRENCY}"
