"""Where there is room now, and who would have to go so that there is.

What is told to end is as good as gone: nobody else is told while that makes the room. Whoever is
told is one of as few as can be.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import combinations, islice

import msgspec
import numpy as np

from craton.fleet.binding import choose_hosts
from craton.fleet.fleet import Fleet
from craton.fleet.kept_room import KeptRoom, could_hold, stays_until_s
from craton.fleet.lease_demand import asked_by
from craton.fleet.offers import NOTICE_S
from craton.fleet.part_book import PartBook
from craton.fleet.placement import place
from craton.fleet.placement_demand import Demand, Placement, Refusal
from craton.fleet.placement_most import most_hosts
from craton.fleet.placement_parts import can_open
from craton.fleet.placement_victims import TRIALS_MAX, Held, victims
from craton.fleet.pool_book import PoolBook, chips_of
from craton.fleet.records import Lease, LeaseKind, LeaseState, Part, mask_of
from craton.fleet.shares import Shares
from craton.kernel.errors import BadRequest
from craton.store.undo import Undo, take_back

ANY_PRIORITY = 1 << 40
"""Above every lease that may be interrupted: what is paid for in full takes its place."""


class Room:
    """Finds places that break no promise."""

    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self._fleet = fleet
        self._shares = shares
        self._kept = KeptRoom(fleet, shares)

    @staticmethod
    def queued(lease: Lease, demands: Sequence[tuple[PoolBook, Demand]]) -> Lease:
        """A lease that waits, for those pools that could ever hold it; BadRequest if none could.

        Of pools whose hosts are unlike it waits for those alike, unless it asked for chips in all.
        """
        could = [(book, asked) for book, asked in demands if could_hold(book, lease, asked)]
        if not could:
            raise BadRequest(_never(lease, demands))
        wanted = could[0][1]
        pools = tuple(
            book.plan.key
            for book, asked in could
            if lease.is_by_chips or asked.chips_per_host == wanted.chips_per_host
        )
        return msgspec.structs.replace(
            lease,
            wanted_hosts=wanted.hosts,
            wanted_chips=wanted.chips_per_host,
            rest_chips=wanted.rest_chips,
            pool=pools[0],
            pools=pools,
        )

    def find(self, book: PoolBook, lease: Lease, asked: Demand, now_s: int) -> Placement | str:
        """A place in a pool for what a lease that begins now asks of it, or why there is none.

        What is kept for who has waited long is used where that isn't delayed.
        """
        head = self._kept.head(book, lease, now_s)
        if head is None:
            return self._find(book, lease, asked, now_s)
        if book.parts is not None:
            return (
                f"What is free is for whoever waits since {head.created_ms // 1000} (seconds UTC) "
                "first."
            )
        with self._kept.hidden(book, head, now_s):
            found = self._find(book, lease, asked, now_s)
        if isinstance(found, Placement):
            return found
        until_s = self._kept.until_s(book, head, now_s)
        if lease.seconds is not None and now_s + lease.seconds <= until_s:
            return self._find(book, lease, asked, now_s)
        return (
            f"What else is free is kept for {head.wanted} chips that are waited for since "
            f"{head.created_ms // 1000} (seconds UTC). Ask for {max(1, until_s - now_s)} s or "
            "less, or for what may be interrupted."
        )

    def _find(self, book: PoolBook, lease: Lease, asked: Demand, now_s: int) -> Placement | str:
        with book.avoiding(now_s, stays_until_s(lease, now_s)):
            if book.parts is not None:
                return _part_of(book, book.parts, asked.chips, lease.part)
            found = place(book.pool, asked)
        if isinstance(found, Refusal):
            return found.message
        until_s = None if lease.seconds is None else now_s + lease.seconds
        if lease.kind is LeaseKind.ON_DEMAND and not book.fits(found.hosts, now_s, until_s):
            return "What is free now is promised for later; ask for a shorter time."
        if self._is_kept(book, found):
            return "What is free now is promised from the next minutes on; ask again then."
        return found

    @staticmethod
    def closed(book: PoolBook, hosts: Sequence[int], now_s: int) -> set[int]:
        """Of some hosts those where nothing begins: set aside, or to be so within a notice."""
        with book.avoiding(now_s, now_s + NOTICE_S + 1):
            return {host for host in hosts if host in book.marked or not book.pool.usable[host]}

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
        take_back(undo)
        return is_kept

    def rivals(self, book: PoolBook, lease: Lease, now_s: int) -> Sequence[str] | None:
        """The leases that must be told so that a lease has room; None where that wouldn't help.

        None of them where the room is on its way. It doesn't help who comes after somebody that has
        waited long: what came free would be kept for that one.
        """
        if self._kept.head(book, lease, now_s) is not None:
            return None
        asked = asked_by(lease, book)

        def helps(gone: Iterable[Lease]) -> bool:
            with self._without(book, gone, now_s):
                return isinstance(self._find(book, lease, asked, now_s), Placement)

        ending = [each for each in self._of(book) if each.state is LeaseState.ENDING]
        with self._without(book, ending, now_s):
            if helps(()):
                return ()
            for held in self._tiers(book, lease):
                if book.parts is not None:
                    told = _fewest_of_one_host(held, helps)
                else:
                    told = self._victims(book, asked, held)
                if told is not None and helps(told):
                    return [each.id for each in told]
        return None

    def _victims(self, book: PoolBook, asked: Demand, held: Sequence[Lease]) -> list[Lease] | None:
        """Who must go of those who hold chips; None where that wouldn't make the room."""
        chosen = victims(book.pool, asked, [_held(each) for each in held], priority=ANY_PRIORITY)
        if isinstance(chosen, Refusal):
            return None
        return [self._fleet.leases[each.lease] for each in chosen]

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
            chosen = self._victims(book, Demand(units, book.plan.type.chips), held)
        return [each.id for each in chosen or ()]

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
        rank = {each.id: _matters(each) for each in held}

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
                book.let_go(each, now_s, undo)
            yield
        finally:
            take_back(undo)


def _part_of(book: PoolBook, parts: PartBook, chips: int, part: Part | None) -> Placement | str:
    found = parts.place(chips, part, can_open(book.pool))
    if found is None:
        return "No host has so much left of its chips, processors and memory together."
    hosts = np.array([found.host], np.int32)
    masks = np.array([mask_of(found.chips)], np.uint32)
    return Placement(hosts, masks, rows=1, leaves=1, cost=(found.growth, found.left))


def _fewest_of_one_host(
    held: Iterable[Lease], helps: Callable[[Iterable[Lease]], bool]
) -> list[Lease] | None:
    """Who must go of one divided host so that it helps: the fewest, and who matters least."""
    by_host: dict[int, list[Lease]] = {}
    for each in held:
        by_host.setdefault(each.hosts[0], []).append(each)
    each_host = (_enough(mine, helps) for mine in by_host.values())
    found = [told for told in each_host if told is not None]
    return min(found, key=lambda told: (len(told), list(map(_matters, told))), default=None)


def _enough(held: list[Lease], helps: Callable[[Iterable[Lease]], bool]) -> list[Lease] | None:
    """Few of one host's leases that make room; None where all of them don't.

    The fewest where one or two do; of more, none that isn't needed.
    """
    order = sorted(held, key=_matters)
    if not helps(order):
        return None
    small = (chosen for number in (1, 2) for chosen in combinations(order, number))
    for chosen in islice(small, TRIALS_MAX):
        if helps(chosen):
            return list(chosen)
    told = order
    for each in reversed(order):
        rest = [other for other in told if other is not each]
        if helps(rest):
            told = rest
    return told


def _never(lease: Lease, demands: Sequence[tuple[PoolBook, Demand]]) -> str:
    """Why waiting would be in vain."""
    if all(book.parts is not None for book, _ in demands):
        return "No host of the fleet has so much. Ask for less."
    most = ", ".join(
        f"{book.plan.key} {most_hosts(book, asked, lease.kind)}" for book, asked in demands
    )
    asked = demands[0][1]
    within = " in one leaf" if asked.is_one_leaf else " in one row" if asked.is_one_row else ""
    if asked.hosts_per_leaf_max is not None:
        within += f", {asked.hosts_per_leaf_max} in a leaf at most"
    hosts = "host" if asked.hosts_touched == 1 else "hosts"
    return (
        f"{asked.hosts_touched} {hosts}{within} were asked for, and nothing could ever hold them: "
        f"of such hosts at once, with nobody else there, {most}. Ask for fewer, or allow the gang "
        "to reach further."
    )


def _matters(lease: Lease) -> tuple[int, int, str]:
    """Who goes first: the least priority, then the youngest."""
    return lease.priority, -lease.started_s, lease.id


def _held(lease: Lease) -> Held:
    return Held(lease.id, lease.priority, lease.started_s, *chips_of(lease))
