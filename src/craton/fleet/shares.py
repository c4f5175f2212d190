"""Who is meant to have how many chips of a kind: the order of the queue, and what is borrowed.

Counted are leases on demand and interruptible ones; what is reserved was paid for and is nobody's
share. Once somebody has a share of a kind of chip, everybody else's share of it is none.

Of what an account holds beyond its share, the youngest leases are borrowed, as many as can go
without leaving it less than its share. A lease is never cut: one that reaches over the edge of the
share stays.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from craton.fleet.fleet import Fleet
from craton.fleet.records import WHOLE_MILLI, Lease, LeaseKind, LeaseState
from craton.fleet.share_contract import SetShare, SharesQuery, ShareView
from craton.fleet.share_contract import Shares as SharesView
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest
from craton.store.database import Connection
from craton.store.documents import Transaction, everything
from craton.store.kind import Kind

_Key = tuple[str, str]
_Order = tuple[int, bool, bool, float, int]
PATIENCE_S = 900
"""Who has waited so long goes by its age: others of its right who hold less pass it no more."""


class Share(msgspec.Struct, frozen=True):
    """How many chips of a kind an account is meant to have."""

    account: str
    chip: str
    chips: int


SHARES = Kind("fleet_share", "share of the fleet", Share)


class Shares:
    """The shares, and what follows from them."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._chips: dict[_Key, int] = {}

    def load(self, connection: Connection) -> None:
        """Read what was kept."""
        for change in everything(connection, SHARES.name):
            if change.body is not None:
                share = SHARES.decode(change.body)
                self._chips[share.account, share.chip] = share.chips

    def set(self, transaction: Transaction, command: SetShare) -> ShareView:
        """Change a share; BadRequest for a chip that the fleet hasn't."""
        key = (command.account, command.chip)
        known = sorted({book.plan.type.chip for book in self._fleet.books.values()})
        if command.chip not in known and key not in self._chips:
            raise BadRequest(
                f"The fleet has no chip {command.chip!r}. It has {', '.join(known) or 'none'}."
            )
        if command.chips is not None and command.chips < 0:
            raise BadRequest(f"A share of {command.chips} chips; give 0 or more.")
        before = self._chips.get(key)
        id = f"{command.account}/{command.chip}"
        if command.chips is None:
            if before is not None:
                transaction.remove(SHARES, id)
        elif before is None:
            share = Share(command.account, command.chip, command.chips)
            transaction.add(SHARES, id, share, account=command.account, name=command.chip)
        else:
            transaction.put(SHARES, id, Share(command.account, command.chip, command.chips))
        self._put(key, command.chips)
        transaction.undo.append(lambda: self._put(key, before))
        # Who waits may have the better right now.
        self._fleet.freed = True
        return self._view(key, self._held())

    def _put(self, key: _Key, chips: int | None) -> None:
        if chips is None:
            self._chips.pop(key, None)
        else:
            self._chips[key] = chips

    def read(self, query: SharesQuery) -> SharesView:
        """The shares and how much of them is used; who only borrows is told too."""
        held = self._held()
        shared = {chip for _, chip in self._chips}
        keys = {*self._chips, *(key for key in held if key[1] in shared and held[key])}
        return SharesView(
            [self._view(key, held) for key in sorted(keys) if query.account in (None, key[0])]
        )

    def _view(self, key: _Key, held: Counter[_Key]) -> ShareView:
        share, chips = self.of(*key), -(-held[key] // WHOLE_MILLI)
        beyond = 0 if share is None else max(0, chips - share)
        return ShareView(*key, self._chips.get(key), chips, beyond)

    def of(self, account: str, chip: str) -> int | None:
        """An account's share of a kind of chip; None where nobody has one."""
        mine = self._chips.get((account, chip))
        if mine is None and any(kind == chip for _, kind in self._chips):
            return 0
        return mine

    def borrowed_by_others(self, lease: Lease) -> frozenset[str]:
        """The leases that make way for one that stays within its account's share.

        None where it doesn't. What was given notice counts as gone.
        """
        chip = self._chip(lease)
        share = self.of(lease.account, chip)
        if share is None:
            return frozenset()
        by_account: dict[str, list[Lease]] = {}
        for each in self._counted():
            if each.state is LeaseState.ACTIVE and self._chip(each) == chip:
                by_account.setdefault(each.account, []).append(each)
        own = sum(each.milli for each in by_account.pop(lease.account, ()))
        if own + lease.wanted_milli > share * WHOLE_MILLI:
            return frozenset()
        found: set[str] = set()
        for account, leases in by_account.items():
            held = sum(each.milli for each in leases)
            most = (self.of(account, chip) or 0) * WHOLE_MILLI
            for each in sorted(leases, key=lambda lease: -lease.token):
                if held - each.milli >= most:
                    held -= each.milli
                    found.add(each.id)
        return frozenset(found)

    def queue(self, waiting: Iterable[Lease]) -> Iterator[Lease]:
        """Who waits, in the order of their right to what is free.

        The highest priority first; then who stays below a share; then who has waited long, by age;
        then who has borrowed the least, or holds the least of its share, or the fewest chips where
        nobody has a share; then who came first. What was given meanwhile to those before counts for
        those after.
        """
        now_s = self._clock.now_ns() // 1_000_000_000
        held = self._held()
        by_id = {each.id: each for each in waiting}
        heap = [(self._order(each, held, now_s), each.id) for each in by_id.values()]
        heapq.heapify(heap)
        while heap:
            order, id = heapq.heappop(heap)
            lease = by_id[id]
            now = self._order(lease, held, now_s)
            if now > order:
                heapq.heappush(heap, (now, id))
                continue
            yield lease
            granted = self._fleet.leases.get(id)
            if granted is not None and granted.hosts:
                held[granted.account, self._chip(granted)] += granted.milli

    def _order(self, lease: Lease, held: Counter[_Key], now_s: int) -> _Order:
        chip = self._chip(lease)
        share, has = self.of(lease.account, chip), held[lease.account, chip]
        if share is not None:
            share *= WHOLE_MILLI
        is_above = share is not None and has + lease.wanted_milli > share
        if has_waited_long(lease, now_s):
            return -lease.priority, is_above, False, 0.0, lease.token
        rank = float(has)
        if share is not None:
            rank = float(max(0, has - share)) if is_above else has / max(1, share)
        return -lease.priority, is_above, True, rank, lease.token

    def first_before(self, aged: Sequence[Lease], lease: Lease, now_s: int) -> Lease | None:
        """Of leases that have waited long the one with the best right; None if not before another.

        That other one may have come just now.
        """
        if not aged:
            return None
        # Where nobody has a share, what anybody holds decides nothing about who has waited long.
        held: Counter[_Key] = Counter()
        if self._chips:
            held = self._held({each.account for each in (*aged, lease)})
        order, first = min(((self._order(each, held, now_s), each) for each in aged), key=_order_of)
        return first if order < self._order(lease, held, now_s) else None

    def _held(self, accounts: Collection[str] | None = None) -> Counter[_Key]:
        """Thousandths of chips that some accounts hold of each kind; None: all accounts."""
        held: Counter[_Key] = Counter()
        for lease in self._counted():
            if accounts is None or lease.account in accounts:
                held[lease.account, self._chip(lease)] += lease.milli
        return held

    def _counted(self) -> Iterator[Lease]:
        for lease in self._fleet.leases.values():
            if lease.kind is not LeaseKind.RESERVED and lease.hosts:
                yield lease

    def _chip(self, lease: Lease) -> str:
        return self._fleet.chip_of(lease.pool)


def has_waited_long(lease: Lease, now_s: int) -> bool:
    """Whether a lease that waits goes by its age."""
    return now_s - lease.created_ms // 1000 >= PATIENCE_S


def _order_of(entry: tuple[_Order, Lease]) -> _Order:
    return entry[0]
