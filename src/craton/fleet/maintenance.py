"""Maintenance windows: hosts that are taken out of use for a while, and said so beforehand.

From when it is scheduled on, nothing is promised on those hosts for that time. At its start they
are set aside: what runs there was told two minutes before, and promises get other hosts. At its end
they are taken back into use, unless they were set aside for another reason.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

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
from craton.fleet.occupancy import Undo
from craton.fleet.offers import NOTICE_S
from craton.fleet.records import EndReason, HostState, LeaseKind
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.kernel.ids import Ids
from craton.store.database import Connection
from craton.store.documents import Transaction, everything
from craton.store.kind import Kind

DAYS_AHEAD_MAX = 400


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
        self._fleet.inventory.find(command.path)
        window = Maintenance(
            id=self._ids.resource_id("maintenance-"),
            path=command.path.strip("/"),
            start_s=command.start_s,
            end_s=command.end_s,
            note=command.note,
            state=MaintenanceState.SCHEDULED,
            created_ms=transaction.now_ms,
        )
        self._plan(window, now_s, transaction.undo)
        self._shorten_leases(transaction, window)
        for hosts in self._hosts(window):
            short = self._fleet.book(hosts.pool.key).calendar.short(window.start_s, window.end_s)
            if short:
                start_s, end_s, missing = short[0]
                raise Conflict(
                    f"{hosts.pool.key} would have {missing} fewer units than are promised from "
                    f"{start_s} to {end_s} (seconds UTC). Choose another time, or fewer hosts."
                )
        transaction.add(MAINTENANCE, window.id, window, account="", name=window.id)
        self._set(window, transaction.undo)
        return self._view(window)

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
        return self._view(window)

    def read(self, query: MaintenanceQuery) -> MaintenanceViews:
        """The windows, by their start."""
        found = list(self._windows.values()) if query.is_all else self._open()
        return MaintenanceViews(
            [self._view(each) for each in sorted(found, key=lambda each: (each.start_s, each.id))]
        )

    def next_s(self) -> int | None:
        """When something is due next; None: not by time."""
        return min((_due_s(each) for each in self._open()), default=None)

    def advance(self, transaction: Transaction) -> list[str]:
        """Do all that is due by now; what was done."""
        now_s = transaction.now_ms // 1000
        events: list[str] = []
        for window in sorted(self._open(), key=_due_s):
            if now_s >= window.end_s:
                self._close(transaction, window, MaintenanceState.OVER)
                events.append(f"{window.id} is over: {window.path}")
            elif window.state is MaintenanceState.SCHEDULED and now_s >= window.start_s:
                self._begin(transaction, window)
                events.append(f"{window.id} begins: {window.path}")
            elif _due_s(window) <= now_s:
                self._tell(transaction, window)
                events.append(f"{window.id} begins soon: {window.path}")
        return events

    def _tell(self, transaction: Transaction, window: Maintenance) -> None:
        for hosts in self._hosts(window):
            for lease in self._fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last)):
                if lease.until_s is None or lease.until_s >= window.start_s:
                    ends_s = max(window.start_s, transaction.now_ms // 1000)
                    self._desk.give_notice(transaction, lease, EndReason.MAINTENANCE, ends_s)
        self._put(transaction, msgspec.structs.replace(window, is_told=True))

    def _begin(self, transaction: Transaction, window: Maintenance) -> None:
        """Set the hosts aside; what is set aside already stays as it is."""
        for hosts in self._hosts(window):
            marked = self._fleet.book(hosts.pool.key).marked
            for host in range(hosts.first, hosts.last):
                if host not in marked:
                    one = Hosts(hosts.pool, host, host + 1)
                    self._fleet.mark(transaction, one, HostState.MAINTENANCE, window.id)
            self._losses.vacate(transaction, hosts, EndReason.MAINTENANCE)
        self._put(
            transaction,
            msgspec.structs.replace(window, state=MaintenanceState.UNDER_WAY, is_told=True),
        )

    def _close(
        self, transaction: Transaction, window: Maintenance, state: MaintenanceState
    ) -> Maintenance:
        now_s = transaction.now_ms // 1000
        for hosts in self._hosts(window):
            book = self._fleet.book(hosts.pool.key)
            for host in sorted(book.marked.keys() & set(range(hosts.first, hosts.last))):
                mark = self._fleet.marks[hosts.pool.host_name(host)]
                if mark.note == window.id:
                    self._fleet.mark(transaction, Hosts(hosts.pool, host, host + 1), None)
        for book in self._fleet.books.values():
            book.no_longer_away(window.id, now_s, transaction.undo)
        return self._put(transaction, msgspec.structs.replace(window, state=state))

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
