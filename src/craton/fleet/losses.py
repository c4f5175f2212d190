"""Hosts and chips that break, and hosts set aside: what ran there, and what was promised there.

What runs on a host or chip that is lost ends, and its token is worth nothing from then on. What was
promised on it is promised on another: a spare, one that is free, or one of what may be
interrupted. The same happens to a host that is drained, once what runs there has ended, which is
given notice.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import numpy as np

from craton.fleet.binding import choose_hosts, choose_staying
from craton.fleet.contract import Marked, MarkHosts
from craton.fleet.fleet import Fleet
from craton.fleet.inventory import Hosts
from craton.fleet.leases import LeaseDesk
from craton.fleet.offers import NOTICE_S
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import (
    EndReason,
    HostState,
    Reservation,
    ReservationState,
    chips_in,
    mask_of,
)
from craton.fleet.reservations import Promises
from craton.fleet.room import Room
from craton.fleet.watch import Watch
from craton.kernel.errors import BadRequest, NotFound
from craton.store.documents import Transaction
from craton.store.undo import Undo, take_back

RETRY_S = 60
"""How soon hosts are looked for again, for a promise that lacks some."""


class Losses:
    """Sees to hosts that aren't as they should be."""

    def __init__(
        self, fleet: Fleet, promises: Promises, desk: LeaseDesk, room: Room, watch: Watch
    ) -> None:
        self.fleet = fleet
        self._promises = promises
        self._desk = desk
        self._room = room
        self._watch = watch

    def is_any(self) -> bool:
        """Whether somebody isn't heard of any more, or something drained is empty by now."""
        if self._watch.lost_hosts() or self._watch.lost_leases():
            return True
        return any(self._drained(each)[0] for each in self._draining())

    def bury(self, transaction: Transaction) -> list[str]:
        """See to hosts and holders that aren't heard of any more."""
        events: list[str] = []
        for name in self._watch.lost_hosts():
            transaction.after_commit.append(partial(self._watch.forget, name))
            if not self._is_host(name):
                continue
            lost = MarkHosts(name, HostState.FAILED, "not heard of any more")
            done = self.mark(transaction, lost)
            events.append(
                f"{name} is lost: {len(done.leases_ended)} leases ended, "
                f"{len(done.reservations_moved)} promises moved, "
                f"{len(done.reservations_short)} short"
            )
        for id in self._watch.lost_leases():
            lease = self.fleet.leases.get(id)
            if lease is not None:
                self._desk.close(transaction, lease, EndReason.HOLDER_LOST)
                events.append(f"{id} ended: {EndReason.HOLDER_LOST}")
            transaction.after_commit.append(partial(self._watch.forget, id))
        return events

    def _is_host(self, name: str) -> bool:
        """Whether it is one host of the fleet: another fleet file may have it no more."""
        try:
            (found,) = self.fleet.inventory.find(name)
        except (NotFound, ValueError):
            return False
        return found.pool.host_name(found.first) == name

    def mark(self, transaction: Transaction, command: MarkHosts) -> Marked:
        """Set hosts aside or take them back, and see to what was there."""
        if command.state is HostState.MAINTENANCE:
            raise BadRequest(
                "Maintenance has a beginning and an end: `craton fleet maintenance PATH --from "
                "--to`. Or cordon, drain or fail the hosts."
            )
        found = self.fleet.inventory.find(command.path)
        told = Marked(sum(hosts.last - hosts.first for hosts in found), [], [], [])
        if command.chips:
            self._mark_chips(transaction, found, command, told)
            return told
        for hosts in found:
            self.fleet.mark(transaction, hosts, command.state, command.note)
            if command.state is None:
                self._mend_chips(transaction, hosts)
        for hosts in found:
            if command.state is HostState.FAILED:
                self._lost(transaction, hosts, told, EndReason.HOST_LOST)
        if command.state is HostState.DRAINING:
            pools: dict[str, set[int]] = {}
            for hosts in found:
                pools.setdefault(hosts.pool.key, set()).update(range(hosts.first, hosts.last))
            for pool, drained in pools.items():
                self._drain(transaction, pool, drained, told)
        return told

    def _mend_chips(self, transaction: Transaction, hosts: Hosts) -> None:
        """All chips of some hosts work."""
        broken = self.fleet.book(hosts.pool.key).pool.broken[hosts.first : hosts.last]
        for host in (hosts.first + np.flatnonzero(broken)).tolist():
            self.fleet.break_chips(transaction, Hosts(hosts.pool, host, host + 1), ())

    def _mark_chips(
        self, transaction: Transaction, found: Sequence[Hosts], command: MarkHosts, told: Marked
    ) -> None:
        """Some chips of one host fail, or work again.

        What runs on one that fails ends. A promise is of whole hosts, and gets another for this.
        """
        hosts, chips = _one_host(found, command), frozenset(command.chips)
        book = self.fleet.book(hosts.pool.key)
        before = set(chips_in(int(book.pool.broken[hosts.first])))
        if command.state is None:
            self.fleet.break_chips(transaction, hosts, before - chips, command.note)
            return
        self.fleet.break_chips(transaction, hosts, before | chips, command.note)
        for lease in self.fleet.leases_on(hosts.pool.key, (hosts.first,)):
            if lease.masks[lease.hosts.index(hosts.first)] & mask_of(chips):
                self._desk.close(transaction, lease, EndReason.CHIP_LOST)
                told.leases_ended.append(lease.id)
        self._replace(transaction, hosts, told, EndReason.CHIP_LOST)

    def _drain(self, transaction: Transaction, pool: str, drained: set[int], told: Marked) -> None:
        """Give notice to what runs there; what is promised there moves at once, or after that."""
        book = self.fleet.book(pool)
        moving: list[Reservation] = []
        leases = {each.id: each for each in self.fleet.leases_on(pool, drained)}
        for each in self.fleet.active_reservations():
            if each.pool != pool or drained.isdisjoint(each.hosts):
                continue
            moving.append(each)
            # A unit is moved whole.
            units = {book.unit_of(host) for host in drained.intersection(each.hosts)}
            for lease in self.fleet.leases_in(each.id):
                if not units.isdisjoint(book.unit_of(host) for host in lease.hosts):
                    leases[lease.id] = lease
        ends_s = transaction.now_ms // 1000 + NOTICE_S
        for lease in leases.values():
            self._desk.give_notice(transaction, lease, EndReason.DRAINED, ends_s)
            told.leases_ended.append(lease.id)
        for each in moving:
            is_whole = self._move(transaction, each)
            busy = self._drained(self.fleet.reservations[each.id])[1]
            if not is_whole or (busy and not self._could_give(book, busy, ends_s)):
                told.reservations_short.append(each.id)
            elif busy:
                told.reservations_moving.append(each.id)
            else:
                told.reservations_moved.append(each.id)

    def move_drained(self, transaction: Transaction) -> list[str]:
        """Give promises other hosts for those that are drained and empty by now."""
        events: list[str] = []
        for each in self._draining():
            if self._drained(each)[0]:
                is_whole = self._move(transaction, each)
                events.append(
                    f"{each.id} left hosts that are drained"
                    + ("" if is_whole else ", and has fewer than were promised")
                )
        return events

    def _draining(self) -> list[Reservation]:
        """The promises on hosts of which some are drained."""
        pools = {
            key
            for key, book in self.fleet.books.items()
            if HostState.DRAINING in book.marked.values()
        }
        if not pools:
            return []
        return [each for each in self.fleet.active_reservations() if each.pool in pools]

    def _drained(self, reservation: Reservation) -> tuple[set[int], int]:
        """Its hosts that are drained, in units where nothing runs; and how many units are busy."""
        book = self.fleet.book(reservation.pool)
        marked = book.marked
        drained = {host for host in reservation.hosts if marked.get(host) is HostState.DRAINING}
        if not drained:
            return drained, 0
        running = self.fleet.leases_in(reservation.id)
        busy = {book.unit_of(host) for lease in running for host in lease.hosts}
        idle = {host for host in drained if book.unit_of(host) not in busy}
        return idle, len({book.unit_of(host) for host in drained - idle})

    def _move(self, transaction: Transaction, reservation: Reservation) -> bool:
        """Give a promise others for its drained hosts where nothing runs; False if too few."""
        idle, _ = self._drained(reservation)
        if not idle:
            return True
        return self._rebind(transaction, reservation, idle, [], EndReason.DRAINED)

    def _could_give(self, book: PoolBook, units: int, at_s: int) -> bool:
        """Whether so many units could be had now, if a promise wanted them."""
        return _is_there(book, units) or bool(self._room.in_the_way(book, units, at_s))

    def vacate(self, transaction: Transaction, hosts: Hosts, reason: EndReason) -> Marked:
        """End what runs on hosts that were set aside, and give promises others."""
        told = Marked(hosts.last - hosts.first, [], [], [])
        self._lost(transaction, hosts, told, reason)
        return told

    def _lost(
        self, transaction: Transaction, hosts: Hosts, told: Marked, reason: EndReason
    ) -> None:
        """Hosts are gone: what ran there ends, and promises get others in their place."""
        for lease in self.fleet.leases_on(hosts.pool.key, range(hosts.first, hosts.last)):
            self._desk.close(transaction, lease, reason)
            told.leases_ended.append(lease.id)
        self._replace(transaction, hosts, told, reason)

    def _replace(
        self, transaction: Transaction, hosts: Hosts, told: Marked, reason: EndReason
    ) -> None:
        """Give promises others for these hosts."""
        lost = set(range(hosts.first, hosts.last))
        for reservation in self.fleet.active_reservations():
            if reservation.pool != hosts.pool.key or lost.isdisjoint(reservation.hosts):
                continue
            if self._rebind(transaction, reservation, lost, told.leases_ended, reason):
                told.reservations_moved.append(reservation.id)
            else:
                told.reservations_short.append(reservation.id)

    def _rebind(
        self,
        transaction: Transaction,
        reservation: Reservation,
        lost: set[int],
        ended: list[str],
        reason: EndReason,
    ) -> bool:
        """Give a promise other hosts for those it lost; False where there are too few."""
        now_s = transaction.now_ms // 1000
        book = self.fleet.book(reservation.pool)
        # What it had until now is paid until now.
        reservation = self._promises.bill(transaction, reservation, now_s)
        held = np.array(reservation.hosts, np.int32)
        gone = held[np.isin(held, np.array(sorted(lost), np.int32))]
        units = set(book.units_of(gone))
        back = np.array([h for h in held.tolist() if book.unit_of(h) in units], np.int32)
        for lease in self.fleet.leases_in(reservation.id):
            if not set(back.tolist()).isdisjoint(lease.hosts):
                self._desk.close(transaction, lease, reason)
                ended.append(lease.id)
        reservation = self.fleet.reservations[reservation.id]
        book.unbind(back, now_s, transaction.undo)
        found = self.give(transaction, book, len(units), reservation.end_s)
        left = np.setdiff1d(held, back)
        missing = len(units) - len(found) // reservation.hosts_per_unit
        changed = msgspec.structs.replace(
            reservation, hosts=tuple(np.union1d(left, found).tolist())
        )
        if missing:
            changed = self.short(changed, reservation.short_units + missing, now_s)
        self.fleet.put(transaction, changed)
        return not missing

    @staticmethod
    def short(reservation: Reservation, units: int, now_s: int) -> Reservation:
        """A promise that lacks so many units from now on; what it lacked until now is counted."""
        was_short = reservation.state is ReservationState.UNAVAILABLE
        state = reservation if was_short else reservation.to(ReservationState.UNAVAILABLE)
        missed_s = reservation.short_units * (now_s - reservation.short_since_s)
        return msgspec.structs.replace(
            state,
            short_units=units,
            short_s=reservation.short_s + missed_s,
            short_since_s=now_s,
            retry_s=retry_s(reservation, now_s),
        )

    def give(
        self, transaction: Transaction, book: PoolBook, units: int, end_s: int | None
    ) -> Numbers:
        """Bind as many of so many units as can be had now: free, spare, then interruptible ones.

        Those that stay until the end go before those that will be away meanwhile.
        """
        now_s = transaction.now_ms // 1000
        staying = choose_staying(book, units, now_s, end_s)
        if staying is not None:
            book.bind(staying, transaction.undo)
            return staying
        most = _most(units, lambda count: _is_there(book, count))
        found = np.empty(0, np.int32)
        if most:
            chosen = choose_with_spares(transaction, book, most)
            assert chosen is not None, "so many were there"
            book.bind(chosen, transaction.undo)
            found = chosen
        rest = units - most
        more = _most(rest, lambda count: bool(self._room.in_the_way(book, count, now_s)))
        if more:
            self.displace(transaction, book, more)
            chosen = choose_hosts(book, more)
            assert chosen is not None, "what stood in the way is gone"
            book.bind(chosen, transaction.undo)
            found = np.union1d(found, chosen)
        return found

    def displace(self, transaction: Transaction, book: PoolBook, units: int) -> None:
        """End at once the interruptible leases that stand in the way of so many units."""
        for id in self._room.in_the_way(book, units, transaction.now_ms // 1000):
            self._desk.close(transaction, self.fleet.leases[id], EndReason.PREEMPTED)


def _one_host(found: Sequence[Hosts], command: MarkHosts) -> Hosts:
    """The host whose chips a command is about; BadRequest where that isn't one, or hasn't those."""
    hosts = found[0]
    if len(found) > 1 or hosts.last - hosts.first > 1:
        raise BadRequest(
            f"{command.path} is more than one host, and chips are those of one. Name it: "
            f"{hosts.pool.host_name(hosts.first)}."
        )
    if command.state not in (None, HostState.FAILED):
        raise BadRequest(f"Chips fail or are repaired; only hosts are {command.state}.")
    most = hosts.pool.type.chips - 1
    wrong = [chip for chip in command.chips if not 0 <= chip <= most]
    if wrong:
        raise BadRequest(f"{command.path} has no chip {wrong[0]}; it has 0 to {most}.")
    return hosts


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


def _is_there(book: PoolBook, units: int) -> bool:
    """Whether so many units are free, with the spares."""
    undo: Undo = []
    for host in book.spare():
        book.set_in_use(host, True, undo)
    found = choose_hosts(book, units)
    take_back(undo)
    return found is not None


def _most(most: int, can: Callable[[int], bool]) -> int:
    """The largest number up to `most` that can be; all below it can be too."""
    if most <= 0 or can(most):
        return max(most, 0)
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if can(middle) else (low, middle)
    return low
