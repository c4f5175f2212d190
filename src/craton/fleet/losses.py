"""Hosts that break, and hosts that are set aside: what ran there, and what was promised there.

What runs on a host that is lost ends, and its token is worth nothing from then on. A promise that
was bound to it is bound to another: a spare, one that is free, or one of what may be interrupted.
"""

from functools import partial

import msgspec
import numpy as np

from craton.fleet.binding import choose_hosts
from craton.fleet.contract import Marked, MarkHosts
from craton.fleet.fleet import Fleet
from craton.fleet.inventory import Hosts
from craton.fleet.leases import ANY_PRIORITY, NOTICE_S, LeaseDesk
from craton.fleet.placement_demand import Demand, Refusal
from craton.fleet.placement_victims import victims
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import (
    EndReason,
    HostState,
    Reservation,
    ReservationState,
)
from craton.fleet.watch import Watch
from craton.store.documents import Transaction

RETRY_S = 60
"""How soon hosts are looked for again, for a promise that lacks some."""


class Losses:
    """Sees to hosts that aren't as they should be."""

    def __init__(self, fleet: Fleet, desk: LeaseDesk, watch: Watch) -> None:
        self.fleet = fleet
        self._desk = desk
        self._watch = watch

    def is_any(self) -> bool:
        """Whether somebody isn't heard of any more."""
        return bool(self._watch.lost_hosts() or self._watch.lost_leases())

    def bury(self, transaction: Transaction) -> list[str]:
        """See to hosts and holders that aren't heard of any more."""
        events: list[str] = []
        for name in self._watch.lost_hosts():
            lost = MarkHosts(name, HostState.FAILED, "not heard of any more")
            done = self.mark(transaction, lost)
            events.append(
                f"{name} is lost: {len(done.leases_ended)} leases ended, "
                f"{len(done.reservations_moved)} promises moved, "
                f"{len(done.reservations_short)} short"
            )
            transaction.after_commit.append(partial(self._watch.forget, name))
        for id in self._watch.lost_leases():
            lease = self.fleet.leases.get(id)
            if lease is not None:
                self._desk.close(transaction, lease, EndReason.HOLDER_LOST)
                events.append(f"{id} ended: {EndReason.HOLDER_LOST}")
            transaction.after_commit.append(partial(self._watch.forget, id))
        return events

    def mark(self, transaction: Transaction, command: MarkHosts) -> Marked:
        """Set hosts aside or take them back, and see to what was there."""
        found = self.fleet.inventory.find(command.path)
        moved: list[str] = []
        ended: list[str] = []
        short: list[str] = []
        for hosts in found:
            self.fleet.mark(transaction, hosts, command.state, command.note)
            if command.state is HostState.FAILED:
                self._lost(transaction, hosts, moved, ended, short)
            elif command.state is HostState.DRAINING:
                ended += self._drain(transaction, hosts)
        count = sum(hosts.last - hosts.first for hosts in found)
        return Marked(count, moved, ended, short)

    def _drain(self, transaction: Transaction, hosts: Hosts) -> list[str]:
        ends_s = transaction.now_ms // 1000 + NOTICE_S
        leases = self.fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last))
        return [
            self._desk.give_notice(transaction, lease, EndReason.PREEMPTED, ends_s).id
            for lease in leases
            if lease.reservation is None
        ]

    def _lost(
        self,
        transaction: Transaction,
        hosts: Hosts,
        moved: list[str],
        ended: list[str],
        short: list[str],
    ) -> None:
        """Hosts are gone: what ran there ends, and promises get others in their place."""
        now_s = transaction.now_ms // 1000
        lost = set(range(hosts.first, hosts.last))
        for lease in self.fleet.leases_on(hosts.pool.key, lost):
            self._desk.close(transaction, lease, EndReason.HOST_LOST)
            ended.append(lease.id)
        for reservation in self.fleet.active_reservations():
            if reservation.pool != hosts.pool.key or lost.isdisjoint(reservation.hosts):
                continue
            if self._rebind(transaction, reservation, lost, now_s):
                moved.append(reservation.id)
            else:
                short.append(reservation.id)

    def _rebind(
        self, transaction: Transaction, reservation: Reservation, lost: set[int], now_s: int
    ) -> bool:
        """Give a promise other hosts for those it lost; False where there are too few."""
        book = self.fleet.book(reservation.pool)
        held = np.array(reservation.hosts, np.int32)
        gone = held[np.isin(held, np.array(sorted(lost), np.int32))]
        units = set(book.units_of(gone))
        back = np.array([h for h in held.tolist() if book.unit_of(h) in units], np.int32)
        for lease in self.fleet.leases_in(reservation.id):
            if not set(back.tolist()).isdisjoint(lease.hosts):
                self._desk.close(transaction, lease, EndReason.HOST_LOST)
        reservation = self.fleet.reservations[reservation.id]
        book.unbind(back, now_s, transaction.undo)
        left = np.setdiff1d(held, back)
        found = choose_with_spares(transaction, book, len(units))
        if found is None:
            found = self._displace(transaction, book, reservation, len(units))
        if found is not None:
            book.bind(found, transaction.undo)
            hosts = tuple(np.union1d(left, found).tolist())
            self.fleet.put(transaction, msgspec.structs.replace(reservation, hosts=hosts))
            return True
        missed_s = reservation.short_units * (now_s - reservation.short_since_s)
        was_short = reservation.state is ReservationState.UNAVAILABLE
        short = reservation if was_short else reservation.to(ReservationState.UNAVAILABLE)
        self.fleet.put(
            transaction,
            msgspec.structs.replace(
                short,
                hosts=tuple(left.tolist()),
                short_units=reservation.short_units + len(units),
                short_s=reservation.short_s + missed_s,
                short_since_s=now_s,
                retry_s=retry_s(reservation, now_s),
            ),
        )
        return False

    def _displace(
        self, transaction: Transaction, book: PoolBook, reservation: Reservation, units: int
    ) -> Numbers | None:
        """Hosts of interruptible leases, which end at once."""
        wanted = msgspec.structs.replace(reservation, units=units)
        for id in in_the_way(self._desk, book, wanted):
            self._desk.close(transaction, self.fleet.leases[id], EndReason.PREEMPTED)
            found = choose_hosts(book, units)
            if found is not None:
                return found
        return None


def retry_s(reservation: Reservation, now_s: int) -> int:
    """When hosts are looked for again; not after the end."""
    soon = now_s + RETRY_S
    return soon if reservation.end_s is None else min(soon, reservation.end_s)


def choose_with_spares(transaction: Transaction, book: PoolBook, units: int) -> Numbers | None:
    """Hosts of so many units, spares among them where others aren't enough; None if all aren't.

    A spare is in use as long as a promise is bound to it, and set aside again otherwise.
    """
    found = choose_hosts(book, units)
    if found is not None:
        return found
    spares = book.spare()
    for host in spares:
        book.set_in_use(host, True, transaction.undo)
    found = choose_hosts(book, units)
    chosen: set[int] = set() if found is None else set(map(int, found))
    for host in spares:
        if host not in chosen:
            book.set_in_use(host, False, transaction.undo)
    return found


def in_the_way(desk: LeaseDesk, book: PoolBook, reservation: Reservation) -> list[str]:
    """The leases that end so that a promise has its hosts."""
    held = desk.interruptible(reservation.pool, None)
    if book.plan.ultraserver is None:
        demand = Demand(reservation.units, reservation.chips_per_host)
        chosen = victims(book.pool, demand, held, priority=ANY_PRIORITY)
        return [] if isinstance(chosen, Refusal) else [each.lease for each in chosen]
    # Whole UltraServers are wanted: what may go goes, youngest first, until enough are free.
    order = sorted(held, key=lambda each: (each.priority, -each.started_s))
    return [each.lease for each in order]
