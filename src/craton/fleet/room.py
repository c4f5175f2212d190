"""Where there is room now, and who would have to go so that there is.

What is told to end is as good as gone: nobody else is told while that makes the room. Whoever is
told is one of as few as can be.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

import numpy as np

from craton.fleet.binding import choose_hosts
from craton.fleet.calendar import FOREVER_S
from craton.fleet.fleet import Fleet
from craton.fleet.occupancy import Undo
from craton.fleet.offers import NOTICE_S
from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.placement_victims import Held, victims
from craton.fleet.pool import Masks
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import Lease, LeaseKind, LeaseState
from craton.fleet.shares import Shares

ANY_PRIORITY = 1 << 40
"""Above every lease that may be interrupted: what is paid for in full takes its place."""


class Room:
    """Finds places that break no promise."""

    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self._fleet = fleet
        self._shares = shares

    def find(
        self, book: PoolBook, asked: Demand, kind: LeaseKind, seconds: int | None, now_s: int
    ) -> Placement | str:
        """A place in a pool, or why there is none."""
        until_s = None if seconds is None else now_s + seconds
        # Who may be interrupted has to reckon with an end at any time, but with notice of it.
        staying_s = now_s + NOTICE_S if kind is LeaseKind.INTERRUPTIBLE else until_s
        undo: Undo = []
        book.avoid(now_s, FOREVER_S if staying_s is None else staying_s, undo)
        found = place(book.pool, asked)
        _take_back(undo)
        if isinstance(found, Refusal):
            return found.message
        if kind is LeaseKind.ON_DEMAND and not book.fits(found.hosts, now_s, until_s):
            return "What is free now is promised for later; ask for a shorter time."
        if self._is_kept(book, found):
            return "What is free now is promised from the next minutes on; ask again then."
        return found

    def _is_kept(self, book: PoolBook, found: Placement) -> bool:
        """Whether somebody's block, about to start, would lack these hosts.

        Notice can't be given in time any more to who takes them now.
        """
        starting = self._fleet.starting.values()
        units = sum(each.units for each in starting if each.pool == book.plan.key)
        if not units:
            return False
        undo: Undo = []
        book.take(found.hosts, found.masks, undo)
        is_kept = choose_hosts(book, units) is None
        _take_back(undo)
        return is_kept

    def rivals(
        self, book: PoolBook, asked: Demand, lease: Lease, now_s: int
    ) -> Sequence[str] | None:
        """The leases that must be told so that a lease has room; None where that wouldn't help.

        None of them where the room is on its way.
        """
        ending = [each for each in self._of(book) if each.state is LeaseState.ENDING]
        with self._without(book, ending, now_s):
            if isinstance(self.find(book, asked, lease.kind, lease.seconds, now_s), Placement):
                return ()
            for held in self._tiers(book, lease):
                chosen = victims(
                    book.pool, asked, [_held(each) for each in held], priority=ANY_PRIORITY
                )
                if isinstance(chosen, Refusal):
                    continue
                told = [self._fleet.leases[each.lease] for each in chosen]
                with self._without(book, told, now_s):
                    found = self.find(book, asked, lease.kind, lease.seconds, now_s)
                if isinstance(found, Placement):
                    return [each.id for each in told]
        return None

    def _tiers(self, book: PoolBook, lease: Lease) -> Iterable[list[Lease]]:
        """Whom a lease may take the place of: at first who must always reckon with it."""
        active = [each for each in self._of(book) if each.state is LeaseState.ACTIVE]
        borrowed = self._shares.borrowed_by_others(lease)
        is_paid_in_full = lease.kind is LeaseKind.ON_DEMAND
        interruptible = [
            each
            for each in active
            if each.kind is LeaseKind.INTERRUPTIBLE
            and (is_paid_in_full or each.priority < lease.priority or each.id in borrowed)
        ]
        yield interruptible
        if is_paid_in_full:
            on_demand = [
                each for each in active if each.kind is LeaseKind.ON_DEMAND and each.id in borrowed
            ]
            if on_demand:
                yield interruptible + on_demand

    def in_the_way(self, book: PoolBook, units: int, at_s: int) -> list[str]:
        """The interruptible leases that must go so that so many units are free at a moment.

        Empty where they are free then, and where that wouldn't help.
        """
        going: list[Lease] = []
        held: list[Lease] = []
        for each in self._of(book):
            if each.state is LeaseState.ENDING and (each.ends_s or 0) <= at_s:
                going.append(each)
            elif each.kind is LeaseKind.INTERRUPTIBLE:
                held.append(each)
        with self._without(book, going, at_s):
            if choose_hosts(book, units) is not None:
                return []
            if book.plan.ultraserver is not None:
                return self._whole_leaves(book, units, held, at_s)
            demand = Demand(units, book.plan.type.chips)
            chosen = victims(
                book.pool, demand, [_held(each) for each in held], priority=ANY_PRIORITY
            )
        return [] if isinstance(chosen, Refusal) else [each.lease for each in chosen]

    def _whole_leaves(
        self, book: PoolBook, units: int, held: Sequence[Lease], now_s: int
    ) -> list[str]:
        """The leases of the leaves that the fewest must leave so that they are whole."""
        pool, leaf_of = book.pool, book.pool.layout.leaf_of_host
        sizes = np.diff(pool.layout.leaf_start)
        on: dict[int, set[str]] = {}
        for each in held:
            for leaf in set(leaf_of[np.array(each.hosts, np.int32)].tolist()):
                on.setdefault(leaf, set()).add(each.id)
        with self._without(book, held, now_s):
            if choose_hosts(book, units) is None:
                return []
            left = {leaf for leaf in on if pool.leaf_free[leaf] == sizes[leaf]}
        rank = {each.id: (each.priority, -each.started_s, each.id) for each in held}

        def cost(more: set[str]) -> tuple[int, tuple[int, int, str]]:
            return len(more), max((rank[id] for id in more), default=(0, 0, ""))

        chosen: set[str] = set()
        while left and not self._suffices(book, units, chosen, now_s):
            best = min(left, key=lambda leaf: cost(on[leaf] - chosen))
            chosen |= on[best]
            left.discard(best)
        for id in sorted(chosen, key=lambda each: rank[each], reverse=True):
            if self._suffices(book, units, chosen - {id}, now_s):
                chosen.discard(id)
        return sorted(chosen, key=lambda each: rank[each])

    def _suffices(self, book: PoolBook, units: int, gone: Iterable[str], now_s: int) -> bool:
        leases = [self._fleet.leases[id] for id in sorted(gone)]
        with self._without(book, leases, now_s):
            return choose_hosts(book, units) is not None

    def _of(self, book: PoolBook) -> list[Lease]:
        """The leases that hold chips of a pool, but those inside reservations."""
        key = book.plan.key
        return [
            each
            for each in self._fleet.leases.values()
            if each.pool == key and each.reservation is None and each.hosts
        ]

    @staticmethod
    @contextmanager
    def _without(book: PoolBook, gone: Iterable[Lease], now_s: int) -> Generator[None]:
        """The pool and its calendar as if these leases had ended."""
        undo: Undo = []
        try:
            for each in gone:
                hosts, masks = chips_of(each)
                book.release(hosts, masks, undo)
                if each.kind is LeaseKind.ON_DEMAND:
                    book.rise(each.id, hosts, now_s, undo)
            yield
        finally:
            _take_back(undo)


def _take_back(undo: Undo) -> None:
    while undo:
        undo.pop()()


def _held(lease: Lease) -> Held:
    return Held(lease.id, lease.priority, lease.started_s, *chips_of(lease))


def chips_of(lease: Lease) -> tuple[Numbers, Masks]:
    """The hosts of a lease, and which chips of each."""
    return np.array(lease.hosts, np.int32), np.array(lease.masks, np.uint32)
