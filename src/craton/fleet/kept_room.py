"""What is kept for a gang that has waited long, so that no stream of smaller ones starves it.

Whoever waits for `PATIENCE_S` is kept room for in each pool it may have: as many hosts as it asks
for, those with the most free chips, together in one row or leaf where it asks for that. What comes
free there stays free for it, so its room only grows. Who comes after it in the order of the queue
may use those hosts meanwhile only where that delays it by nothing: until it could begin at the
earliest, or by no more than its patience where nobody knows when that is, or interruptibly where it
would be told to go.

Nothing of this is stored: it follows from who waits, and since when.
"""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from craton.fleet.calendar import FOREVER_S
from craton.fleet.fleet import Fleet
from craton.fleet.lease_demand import asked_by
from craton.fleet.offers import NOTICE_S
from craton.fleet.placement_demand import Demand
from craton.fleet.placement_most import built_by_leaf, most_hosts
from craton.fleet.pool import Pool
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Numbers
from craton.fleet.records import Lease, LeaseKind
from craton.fleet.shares import PATIENCE_S, Shares, has_waited_long


class KeptRoom:
    """Who is kept room for, where, and until when others may use it."""

    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self._fleet = fleet
        self._shares = shares

    def head(self, book: PoolBook, lease: Lease, now_s: int) -> Lease | None:
        """Who has waited long for a pool and may not be delayed by a lease; None if nobody."""
        key = book.plan.key
        aged = [
            each
            for each in self._fleet.waiting()
            if has_waited_long(each, now_s)
            and key in each.pools
            and each.id != lease.id
            and book.plan.exclusive_to in (None, each.account)
            and not _makes_way(lease, each)
            and could_hold(book, each, asked_by(each, book))
        ]
        return self._shares.first_before(aged, lease, now_s)

    @contextmanager
    def hidden(self, book: PoolBook, head: Lease, now_s: int) -> Generator[None]:
        """The pool as if who waits had taken what is kept for it."""
        pool = book.pool
        with book.avoiding(now_s, stays_until_s(head, now_s)):
            hosts = kept_hosts(book, asked_by(head, book))
            masks = pool.offered[hosts]
        pool.take(hosts, masks)
        try:
            yield
        finally:
            pool.release(hosts, masks)

    def until_s(self, book: PoolBook, head: Lease, now_s: int) -> int:
        """Until when others may use it: not after its owner could begin, were all as planned.

        Counted are the hosts that come free by then, wherever they are, which is never too few. A
        lease that has no end, or had to be moved, isn't reckoned with.
        """
        asked = asked_by(head, book)
        fits = np.bitwise_count(book.pool.offered) >= (asked.rest_chips or asked.chips_per_host)
        missing = asked.hosts_touched - int(np.count_nonzero(fits))
        for end_s, hosts in sorted(self._ends(book, now_s)):
            missing -= hosts
            if missing <= 0:
                return end_s
        return now_s + PATIENCE_S

    def _ends(self, book: PoolBook, now_s: int) -> Generator[tuple[int, int]]:
        """(when, hosts) of what is known to end in a pool."""
        key = book.plan.key
        for lease in self._fleet.leases.values():
            if lease.pool == key and lease.reservation is None and lease.hosts:
                ends = [at for at in (lease.until_s, lease.ends_s) if at is not None]
                if ends:
                    yield max(now_s, min(ends)), len(lease.hosts)
        for held in self._fleet.active_reservations():
            if held.pool == key and held.end_s is not None:
                yield max(now_s, held.end_s), len(held.hosts)


def _makes_way(lease: Lease, other: Lease) -> bool:
    """Whether a lease ends as soon as another needs its chips, or has the better right anyhow."""
    if lease.kind is not other.kind:
        return True
    return lease.kind is LeaseKind.INTERRUPTIBLE and lease.priority < other.priority


def could_hold(book: PoolBook, lease: Lease, asked: Demand) -> bool:
    """Whether a pool was built for what a lease asks of it, whoever has what of it now."""
    if book.parts is not None:
        return book.parts.could_hold(asked.chips, lease.part)
    if lease.part is not None:
        return False
    return asked.hosts_touched <= most_hosts(book, asked, lease.kind)


def stays_until_s(lease: Lease, now_s: int) -> int:
    """Until when a lease that begins now needs its hosts.

    Who may be interrupted has to reckon with an end at any time, but with notice of it; that of
    what begins after just so long was given already.
    """
    if lease.kind is LeaseKind.INTERRUPTIBLE:
        return now_s + NOTICE_S + 1
    return FOREVER_S if lease.seconds is None else now_s + lease.seconds


def kept_hosts(book: PoolBook, asked: Demand) -> Numbers:
    """The hosts with the most free chips that a gang could have together: as many as it asks for.

    Fewer where fewer have a free chip at all.
    """
    pool, layout, wanted = book.pool, book.pool.layout, asked.hosts_touched
    offering = np.flatnonzero(pool.offered).astype(np.int32)
    leaves = layout.leaf_of_host[offering]
    offering = offering[_rank(pool, offering, leaves) < (asked.hosts_per_leaf_max or wanted)]
    parts = _parts(book, asked)
    part = parts[layout.leaf_of_host[offering]]
    first = (_rank(pool, offering, part) < wanted) & _could_hold(book, asked, parts)[part]
    offering, part = offering[first], part[first]
    if not len(offering):
        return offering
    chips = np.bincount(part, np.bitwise_count(pool.offered[offering]))
    return offering[part == int(chips.argmax())]


def _parts(book: PoolBook, asked: Demand) -> Numbers:
    """By leaf: the part of the pool that a gang has to lie in."""
    layout = book.pool.layout
    if asked.is_one_leaf:
        return np.arange(layout.leaves, dtype=np.int32)
    return layout.row_of_leaf if asked.is_one_row else np.zeros(layout.leaves, np.int32)


def _could_hold(book: PoolBook, asked: Demand, parts: Numbers) -> NDArray[np.bool_]:
    return np.bincount(parts, built_by_leaf(book, asked)) >= asked.hosts_touched


def _rank(pool: Pool, hosts: Numbers, groups: Numbers) -> NDArray[np.intp]:
    """The place of each host within its group, those with the most free chips first."""
    order = np.lexsort((hosts, -np.bitwise_count(pool.offered[hosts]).astype(np.int32), groups))
    sorted_groups = groups[order]
    starts = np.searchsorted(sorted_groups, sorted_groups)
    rank = np.empty(len(hosts), np.intp)
    rank[order] = np.arange(len(hosts)) - starts
    return rank
