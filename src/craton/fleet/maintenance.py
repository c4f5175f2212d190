"""Maintenance windows: hosts that are taken out of use for a while, and said so beforehand.

From when it is scheduled on, nothing is promised on those hosts for that time. At its start they
are set aside: what runs there was told two minutes before, and promises get other hosts. At its end
they are taken back into use, unless they were set aside for another reason, or another window has
them.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from craton.fleet.contract import Marked, MarkHosts
from craton.fleet.fleet import Fleet
from craton.fleet.inventory import Hosts
from craton.fleet.leases import LeaseDesk
from craton.fleet.losses import Losses
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    MaintenanceState,
    MaintenanceView,
    MaintenanceViews,
    ScheduleMaintenance,
)
from craton.fleet.offers import NOTICE_S
from craton.fleet.records import EndReason, HostState, Lease, LeaseKind
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.kernel.ids import Ids
from craton.store.database import Connection
from craton.store.documents import Transaction, everything
from craton.store.kind import Kind
from craton.store.undo import Undo

DAYS_AHEAD_MAX = 400
OPEN_MAX = 128
TOLD_MAX = 1000
"""So many windows are told at most, the latest."""


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """One window."""

    id: str
    path: str
    start_s: int
    end_s: int
    note: str
    state: MaintenanceState
    created_ms: int
    is_told: bool = False
    """Whether what runs there was told."""


MAINTENANCE = Kind("maintenance", "maintenance window", Maintenance)
_OPEN = (MaintenanceState.SCHEDULED, MaintenanceState.UNDER_WAY)


class MaintenanceDesk:
    """The commands on windows, and what happens to them by themselves."""

    def __init__(self, fleet: Fleet, desk: LeaseDesk, losses: Losses, ids: Ids) -> None:
        self._fleet = fleet
        self._desk = desk
        self._losses = losses
        self._ids = ids
        self._windows: dict[str, Maintenance] = {}
        fleet.on_restored = self._enter_all

    def load(self, connection: Connection) -> None:
        """Read what was kept; the fleet's books are filled after this."""
        for change in everything(connection, MAINTENANCE.name):
            if change.body is not None:
                window = MAINTENANCE.decode(change.body)
                self._windows[window.id] = window

    def _enter_all(self, now_s: int) -> None:
        for window in self._open():
            self._plan(window, now_s, [])

    def _open(self) -> list[Maintenance]:
        return [each for each in self._windows.values() if each.state in _OPEN]

    def schedule(self, transaction: Transaction, command: ScheduleMaintenance) -> MaintenanceView:
        """Plan a window; Conflict says which pool would lack units, and when."""
        now_s = transaction.now_ms // 1000
        ahead_max_s = now_s + DAYS_AHEAD_MAX * 86_400
        if not now_s <= command.start_s < command.end_s <= ahead_max_s:
            raise BadRequest(
                "Maintenance begins now or later, ends after that, and within "
                f"{DAYS_AHEAD_MAX} days; this is from {command.start_s} to {command.end_s} "
                f"(seconds UTC), and now is {now_s}."
            )
        open_ones = self._open()
        if len(open_ones) >= OPEN_MAX:
            raise Conflict(
                f"{len(open_ones)} maintenance windows are scheduled or under way, which is the "
                "most there may be. Give some up, or take more hosts with fewer windows."
            )
        pools = {hosts.pool.key for hosts in self._fleet.inventory.find(command.path)}
        window = Maintenance(
            id=self._ids.resource_id("maintenance-"),
            path=command.path.strip("/"),
            start_s=command.start_s,
            end_s=command.end_s,
            note=command.note,
            state=MaintenanceState.SCHEDULED,
            created_ms=transaction.now_ms,
        )
        was_short = {key: self._short(key, window) for key in pools}
        self._plan(window, now_s, transaction.undo)
        self._shorten_leases(transaction, window)
        for key in sorted(pools):
            # What is short already isn't made short by this.
            for start_s, end_s, missing in self._short(key, window):
                if missing > _missing(was_short[key], start_s, end_s):
                    raise Conflict(
                        f"{key} would have {missing} fewer units than are promised from {start_s} "
                        f"to {end_s} (seconds UTC). Choose another time, or fewer hosts."
                    )
        transaction.add(MAINTENANCE, window.id, window, account="", name=window.id)
        self._set(window, transaction.undo)
        if _due_s(window) <= now_s:
            window = self._tell(transaction, window)
        return self._view(window)

    def _short(self, pool: str, window: Maintenance) -> list[tuple[int, int, int]]:
        return self._fleet.book(pool).calendar.short(window.start_s, window.end_s)

    def _shorten_leases(self, transaction: Transaction, window: Maintenance) -> None:
        """What is leased there on demand ends when the window begins."""
        now_s = transaction.now_ms // 1000
        for hosts in self._hosts(window):
            book = self._fleet.book(hosts.pool.key)
            for lease in self._fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last)):
                is_over = lease.until_s is not None and lease.until_s <= window.start_s
                if lease.kind is not LeaseKind.ON_DEMAND or is_over:
                    continue
                held = np.array(lease.hosts, np.int32)
                book.rise(lease.id, held, now_s, transaction.undo)
                book.sit(lease.id, held, now_s, window.start_s, transaction.undo)
                shorter = msgspec.structs.replace(lease, until_s=window.start_s)
                self._fleet.put(transaction, shorter)

    def _lengthen_leases(self, transaction: Transaction, window: Maintenance) -> None:
        """What was to end when a window begins that is given up ends as it would have without it.

        Where that would break what was promised since, it keeps its end. So does what was to end
        before now, and goes on only because nobody was there to end it.
        """
        now_s = transaction.now_ms // 1000
        if window.start_s <= now_s:
            return
        for hosts in self._hosts(window):
            book = self._fleet.book(hosts.pool.key)
            for lease in self._fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last)):
                until_s = self._end_without(lease, hosts.pool.key)
                is_cut = lease.until_s == window.start_s != until_s
                if lease.kind is not LeaseKind.ON_DEMAND or not is_cut:
                    continue
                held = np.array(lease.hosts, np.int32)
                book.rise(lease.id, held, now_s, transaction.undo)
                if not book.fits(held, now_s, until_s):
                    until_s = lease.until_s
                book.sit(lease.id, held, now_s, until_s, transaction.undo)
                self._fleet.put(transaction, msgspec.structs.replace(lease, until_s=until_s))

    def _end_without(self, lease: Lease, pool: str) -> int | None:
        """When a lease ends by itself, or for one of the windows that are left; None: never."""
        ends = [] if lease.seconds is None else [lease.started_s + lease.seconds]
        ends += [
            other.start_s
            for other in self._open()
            for hosts in self._hosts(other)
            if hosts.pool.key == pool
            and not set(lease.hosts).isdisjoint(range(hosts.first, hosts.last))
        ]
        return min(ends, default=None)

    def cancel(self, transaction: Transaction, command: CancelMaintenance) -> MaintenanceView:
        """Give a window up; one that is under way ends now. Done twice it is done once."""
        window = self._windows.get(command.id)
        if window is None:
            raise NotFound(
                f"There is no maintenance {command.id[:60]!r}. `craton fleet maintenance` lists "
                "what is scheduled."
            )
        if window.state in _OPEN:
            window = self._close(transaction, window, MaintenanceState.CANCELLED)
            self._lengthen_leases(transaction, window)
        return self._view(window)

    def mark(self, transaction: Transaction, command: MarkHosts) -> Marked:
        """Set hosts aside or take them back; those in maintenance stay so until its end."""
        if command.state is None and not command.chips and self._under_way():
            self._check_repair(command.path)
        told = self._losses.mark(transaction, command)
        return msgspec.structs.replace(told, hosts=told.hosts - self.settle(transaction))

    def _check_repair(self, path: str) -> None:
        """Conflict where all hosts under a path are in maintenance."""
        marks = [
            self._fleet.marks.get(hosts.pool.host_name(host))
            for hosts in self._fleet.inventory.find(path)
            for host in range(hosts.first, hosts.last)
        ]
        window = next((mark.note for mark in marks if mark is not None), "")
        if all(mark is not None and mark.state is HostState.MAINTENANCE for mark in marks):
            raise Conflict(
                f"{path} is in maintenance. End that: `craton fleet maintenance --cancel {window}`."
            )

    def settle(self, transaction: Transaction) -> int:
        """Set aside what isn't and is to be in maintenance now; how many hosts that was."""
        return sum(self._set_aside(transaction, each) for each in self._under_way())

    def _under_way(self) -> list[Maintenance]:
        return [each for each in self._open() if each.state is MaintenanceState.UNDER_WAY]

    def read(self, query: MaintenanceQuery) -> MaintenanceViews:
        """The windows, by their start."""
        found = list(self._windows.values()) if query.is_all else self._open()
        ordered = sorted(found, key=lambda each: (each.start_s, each.id))
        return MaintenanceViews([self._view(each) for each in ordered[-TOLD_MAX:]])

    def next_s(self) -> int | None:
        """When something is due next; None: not by time."""
        return min((_due_s(each) for each in self._open()), default=None)

    def step(self, transaction: Transaction) -> str:
        """Do what is due first, which is by now; what was done."""
        now_s = transaction.now_ms // 1000
        window = min(self._open(), key=lambda each: (_due_s(each), each.id))
        assert _due_s(window) <= now_s, "something is due"
        if now_s >= window.end_s:
            self._close(transaction, window, MaintenanceState.OVER)
            return f"{window.id} is over: {window.path}"
        if now_s >= window.start_s:
            self._begin(transaction, window)
            return f"{window.id} begins: {window.path}"
        self._tell(transaction, window)
        return f"{window.id} begins soon: {window.path}"

    def _tell(self, transaction: Transaction, window: Maintenance) -> Maintenance:
        for hosts in self._hosts(window):
            for lease in self._fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last)):
                if lease.until_s is None or lease.until_s >= window.start_s:
                    ends_s = max(window.start_s, transaction.now_ms // 1000)
                    self._desk.give_notice(transaction, lease, EndReason.MAINTENANCE, ends_s)
        return self._put(transaction, msgspec.structs.replace(window, is_told=True))

    def _begin(self, transaction: Transaction, window: Maintenance) -> None:
        """Set the hosts aside; what is set aside already stays as it is."""
        self._set_aside(transaction, window)
        for hosts in self._hosts(window):
            self._losses.vacate(transaction, hosts, EndReason.MAINTENANCE)
        self._put(
            transaction,
            msgspec.structs.replace(window, state=MaintenanceState.UNDER_WAY, is_told=True),
        )

    def _set_aside(self, transaction: Transaction, window: Maintenance) -> int:
        count = 0
        for hosts in self._hosts(window):
            marked = self._fleet.book(hosts.pool.key).marked
            for host in range(hosts.first, hosts.last):
                if host not in marked:
                    one = Hosts(hosts.pool, host, host + 1)
                    self._fleet.mark(transaction, one, HostState.MAINTENANCE, window.id)
                    count += 1
        return count

    def _close(
        self, transaction: Transaction, window: Maintenance, state: MaintenanceState
    ) -> Maintenance:
        now_s = transaction.now_ms // 1000
        for hosts in self._hosts(window):
            book = self._fleet.book(hosts.pool.key)
            for host in sorted(book.marked.keys() & set(range(hosts.first, hosts.last))):
                mark = self._fleet.marks[hosts.pool.host_name(host)]
                if mark.state is HostState.MAINTENANCE and mark.note == window.id:
                    self._fleet.mark(transaction, Hosts(hosts.pool, host, host + 1), None)
        for book in self._fleet.books.values():
            book.no_longer_away(window.id, now_s, transaction.undo)
        closed = self._put(transaction, msgspec.structs.replace(window, state=state))
        # Another window may have some of its hosts for longer.
        self.settle(transaction)
        return closed

    def _plan(self, window: Maintenance, now_s: int, undo: Undo) -> None:
        for hosts in self._hosts(window):
            book = self._fleet.book(hosts.pool.key)
            span = (window.start_s, window.end_s)
            book.away(window.id, range(hosts.first, hosts.last), span, now_s, undo)

    def _hosts(self, window: Maintenance) -> Iterator[Hosts]:
        """Its hosts; another fleet file may have fewer of them."""
        try:
            yield from self._fleet.inventory.find(window.path)
        except NotFound:
            return

    def _put(self, transaction: Transaction, window: Maintenance) -> Maintenance:
        transaction.put(MAINTENANCE, window.id, window)
        self._set(window, transaction.undo)
        return window

    def _set(self, window: Maintenance, undo: Undo) -> None:
        before = self._windows.get(window.id)
        self._windows[window.id] = window

        def back() -> None:
            if before is None:
                del self._windows[window.id]
            else:
                self._windows[window.id] = before

        undo.append(back)

    def _view(self, window: Maintenance) -> MaintenanceView:
        hosts = sum(each.last - each.first for each in self._hosts(window))
        return MaintenanceView(
            window.id,
            window.path,
            window.start_s,
            window.end_s,
            window.state,
            window.note,
            hosts,
            window.created_ms,
        )


def _due_s(window: Maintenance) -> int:
    """When something is to be done about a window next."""
    if window.state is MaintenanceState.UNDER_WAY:
        return window.end_s
    return window.start_s if window.is_told else window.start_s - NOTICE_S


def _missing(short: Sequence[tuple[int, int, int]], start_s: int, end_s: int) -> int:
    """How many units are missing during all of a time."""
    found = (missing for first, last, missing in short if first <= start_s and end_s <= last)
    return max(found, default=0)
