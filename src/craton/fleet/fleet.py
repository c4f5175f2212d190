"""All that the state process knows of the fleet: pools and their books, promises, leases.

Everything here is memory, rebuilt from the database at the start. It changes only inside a command
of the state process, and each change notes in the transaction how to take it back.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import numpy as np

from craton.fleet.calendar import Calendar
from craton.fleet.fleet_file import DriverKind
from craton.fleet.inventory import Hosts, Inventory, PoolPlan
from craton.fleet.pool import Pool
from craton.fleet.pool_book import PoolBook
from craton.fleet.pool_layout import Layout, Power
from craton.fleet.records import (
    CHIP_MARKS,
    ENDED_LEASES,
    FENCING,
    HOST_MARKS,
    LEASES,
    PAST_RESERVATIONS,
    PROMISING,
    RESERVATIONS,
    ChipMark,
    Fencing,
    HostMark,
    HostState,
    Lease,
    LeaseState,
    Reservation,
    ReservationState,
)
from craton.kernel.errors import Conflict, NotFound
from craton.store.database import Connection
from craton.store.documents import Transaction, everything
from craton.store.kind import Kind
from craton.store.undo import Undo

Record = TypeVar("Record", Reservation, Lease)

TOKENS_AHEAD = 1000
"""So many fencing tokens may be passed over at a restart; so many leases are one write."""
_FENCING_ID = "leases"


class Fleet:
    """The fleet at this moment."""

    def __init__(self, inventory: Inventory) -> None:
        self.reservations: dict[str, Reservation] = {}
        self.leases: dict[str, Lease] = {}
        """Those that wait or run."""
        self._waiting: dict[str, Lease] = {}
        self._inside: dict[str, dict[str, Lease]] = {}
        """By reservation: the leases inside it."""
        self.marks: dict[str, HostMark] = {}
        """What was set aside, by the host's name."""
        self.broken: dict[str, ChipMark] = {}
        """Which chips don't work, by the name of their host."""
        self.by_token: dict[tuple[str, str], str] = {}
        """What a client's token made: account and token to the id of a reservation."""
        self.starting: dict[str, Reservation] = {}
        """Promises that start within minutes: what is free is kept for them."""
        self.token = 0
        """The highest fencing token given out."""
        self._tokens_end = 0
        """Up to which token is written down that it may be given out."""
        self.retired_s = 0
        """When reservations were last looked for that are over for long."""
        self.freed = False
        """Whether something changed by which who waits may get a place."""
        self.on_entered: Callable[[Reservation | Lease], None] = lambda _: None
        """Called with every promise or lease that is new or changed."""
        self.on_restored: Callable[[int], None] = lambda _: None
        """Called with the moment when books that were empty have been filled."""
        self.replace(inventory)

    def replace(self, inventory: Inventory) -> None:
        """Begin with empty books of another inventory; `restore` enters what is held in them."""
        # There may be more now than there was.
        self.freed = True
        self.inventory = inventory
        self.books: dict[str, PoolBook] = {}
        self.watts: dict[str, Calendar] = {}
        for site in self.inventory.sites:
            if site.power_w is not None:
                # What divided hosts draw isn't promised ahead, so it is left to them.
                drawn_w = sum(
                    plan.hosts * (plan.draw_w or 0)
                    for plan in self.inventory.pools
                    if plan.is_divided and plan.zone == site.name
                )
                left_w = max(0, site.power_w - drawn_w)
                self.watts[site.name] = Calendar(f"power of {site.name} (W)", left_w)
        quotas = _quotas(self.inventory)
        powers = {
            site.name: Power([cap for key, _, cap in quotas if key[0] == site.name], site.power_w)
            for site in self.inventory.sites
        }
        for plan in self.inventory.pools:
            mine = [at for at, key in enumerate(_of_site(quotas, plan.zone)) if key == plan.key]
            layout = Layout(
                chips_per_host=plan.type.chips,
                leaf_start=plan.leaf_start,
                row_of_leaf=plan.row_of_leaf,
                power_rows=np.array(mine, np.int32),
                sides=plan.type.sides,
                draw_w=plan.draw_w or 0,
            )
            book = PoolBook(
                plan,
                Pool(layout, powers[plan.zone]),
                min(plan.units, _fed(plan, [cap for key, _, cap in quotas if key[1] == plan.key])),
                self.watts.get(plan.zone),
            )
            self.books[plan.key] = book

    def remembered(self) -> Callable[[], None]:
        """What puts the books back that are in force now."""
        inventory, books, watts = self.inventory, self.books, self.watts

        def back() -> None:
            self.inventory, self.books, self.watts = inventory, books, watts

        return back

    def book(self, key: str) -> PoolBook:
        """The book of a pool; NotFound lists the pools."""
        found = self.books.get(key)
        if found is None:
            known = ", ".join(self.books) or "none"
            raise NotFound(f"There is no pool {key!r} in the fleet. There are: {known}.")
        return found

    def chip_of(self, pool: str) -> str:
        """The kind of chip that a pool has; none where there is no such pool any more."""
        found = self.books.get(pool)
        return found.plan.type.chip if found is not None else ""

    def load(self, connection: Connection, now_s: int) -> None:
        """Read what was kept: promises, leases, and what is wrong with hosts."""
        for reservation in _read(connection, RESERVATIONS):
            self.reservations[reservation.id] = reservation
            if is_starting(reservation):
                self.starting[reservation.id] = reservation
            if reservation.client_token is not None:
                self.by_token[reservation.account, reservation.client_token] = reservation.id
        for lease in _read(connection, LEASES):
            self.token = max(self.token, lease.token)
            self._replace_lease(None, lease)
        for fencing in _read(connection, FENCING):
            self.token = max(self.token, fencing.token)
            self._tokens_end = fencing.token
        for mark in _read(connection, HOST_MARKS):
            self.marks[mark.host] = mark
        for broken in _read(connection, CHIP_MARKS):
            self.broken[broken.host] = broken
        self.restore(now_s)

    def restore(self, now_s: int) -> None:
        """Enter what is promised, held and set aside into books that are empty."""
        for reservation in self.reservations.values():
            if reservation.state in PROMISING:
                self._restore_reservation(reservation, now_s)
        for key, leases in self._placed().items():
            self.book(key).restore(leases, now_s)
        for mark in self.marks.values():
            for hosts in self.inventory.find(mark.host):
                self._mark(hosts, mark.state, now_s, [])
        for broken in self.broken.values():
            for hosts in self.inventory.find(broken.host):
                self._break(hosts, broken.chips, now_s, [])
        self.on_restored(now_s)

    def _restore_reservation(self, reservation: Reservation, now_s: int) -> None:
        book = self.book(reservation.pool)
        start_s = max(reservation.start_s, now_s)
        if reservation.end_s is None or start_s < reservation.end_s:
            book.promised_before(start_s, reservation.end_s, reservation.units)
        if reservation.hosts:
            book.restore_bound(np.array(reservation.hosts, np.int32))

    def _placed(self) -> dict[str, list[Lease]]:
        """By pool: the leases that hold chips of it, and not of a reservation's hosts."""
        placed: dict[str, list[Lease]] = {}
        for lease in self.leases.values():
            if lease.state is not LeaseState.WAITING and lease.reservation is None:
                placed.setdefault(lease.pool, []).append(lease)
        return placed

    def add(self, transaction: Transaction, record: Record) -> Record:
        """Keep a new promise or lease."""
        kind, name = _kind(record), _name(record)
        transaction.add(kind, record.id, record, account=record.account, name=name)
        self._enter(record, transaction.undo)
        if isinstance(record, Reservation) and record.client_token is not None:
            key = (record.account, record.client_token)
            _set(self.by_token, key, record.id, transaction.undo)
        return record

    def put(self, transaction: Transaction, record: Record) -> Record:
        """Keep a promise or lease as it is now; a lease that is over among those that are."""
        if record.state is LeaseState.ENDED:
            transaction.move(LEASES, ENDED_LEASES, record.id, record, name=_name(record))
        else:
            transaction.put(_kind(record), record.id, record)
        self._enter(record, transaction.undo)
        return record

    def retire(self, transaction: Transaction, over: Reservation) -> None:
        """Know of a reservation no more, nor of its client token; its id goes on to find it."""
        transaction.move(RESERVATIONS, PAST_RESERVATIONS, over.id, over, name=over.id)
        _set(self.reservations, over.id, None, transaction.undo)
        if over.client_token is not None:
            _set(self.by_token, (over.account, over.client_token), None, transaction.undo)

    def _enter(self, record: Reservation | Lease, undo: Undo) -> None:
        self.freed = True
        before = self.reservations.get(record.id) or self.leases.get(record.id)
        if before is not None:
            # What was due of it is due again, once it is as it was.
            undo.append(lambda: self.on_entered(before))
        if isinstance(record, Reservation):
            _set(self.reservations, record.id, record, undo)
            starting = record if is_starting(record) else None
            if starting is not None or record.id in self.starting:
                _set(self.starting, record.id, starting, undo)
        else:
            was = self.leases.get(record.id)
            now = None if record.state is LeaseState.ENDED else record
            self._replace_lease(was, now)
            undo.append(lambda: self._replace_lease(now, was))
        self.on_entered(record)

    def _replace_lease(self, before: Lease | None, after: Lease | None) -> None:
        """Have a lease as it is now wherever it was found as it was; None: it isn't there."""
        if before is not None and after is None:
            del self.leases[before.id]
        if before is not None and before.state is LeaseState.WAITING:
            del self._waiting[before.id]
        if before is not None and before.reservation is not None:
            inside = self._inside[before.reservation]
            del inside[before.id]
            if not inside:
                del self._inside[before.reservation]
        if after is None:
            return
        self.leases[after.id] = after
        if after.state is LeaseState.WAITING:
            self._waiting[after.id] = after
        if after.reservation is not None:
            self._inside.setdefault(after.reservation, {})[after.id] = after

    def next_token(self, transaction: Transaction) -> int:
        """A fencing token, higher than every one before it.

        Which were given out to leases that are over isn't read at a start. So it is written down
        ahead, for many at once, and a new state process goes on after all of those.
        """
        before, end_before = self.token, self._tokens_end

        def back() -> None:
            self.token, self._tokens_end = before, end_before

        transaction.undo.append(back)
        self.token += 1
        if self.token > end_before:
            self._tokens_end = self.token + TOKENS_AHEAD
            fencing = Fencing(self._tokens_end)
            if end_before:
                transaction.put(FENCING, _FENCING_ID, fencing)
            else:
                transaction.add(FENCING, _FENCING_ID, fencing, account="", name=_FENCING_ID)
        return self.token

    def mark(
        self, transaction: Transaction, hosts: Hosts, state: HostState | None, note: str = ""
    ) -> None:
        """Set hosts aside, or with None take them into use again."""
        for host in range(hosts.first, hosts.last):
            name = hosts.pool.host_name(host)
            mark = None if state is None else HostMark(name, state, transaction.now_ms, note)
            _keep(transaction, HOST_MARKS, self.marks, name, mark)
        self._mark(hosts, state, transaction.now_ms // 1000, transaction.undo)

    def drop_marks(self, transaction: Transaction, host: str) -> None:
        """Forget about a host that isn't in the fleet any more."""
        _keep(transaction, HOST_MARKS, self.marks, host, None)
        _keep(transaction, CHIP_MARKS, self.broken, host, None)

    def break_chips(
        self, transaction: Transaction, hosts: Hosts, chips: Iterable[int], note: str = ""
    ) -> None:
        """Say which chips of one host don't work; the others do. None: all of them work."""
        host, numbers = hosts.pool.host_name(hosts.first), tuple(sorted(chips))
        mark = ChipMark(host, numbers, transaction.now_ms, note) if numbers else None
        _keep(transaction, CHIP_MARKS, self.broken, host, mark)
        self._break(hosts, numbers, transaction.now_ms // 1000, transaction.undo)

    def _break(self, hosts: Hosts, chips: tuple[int, ...], now_s: int, undo: Undo) -> None:
        self.freed = True
        self.book(hosts.pool.key).break_chips(hosts.first, chips, now_s, undo)

    def _mark(self, hosts: Hosts, state: HostState | None, now_s: int, undo: Undo) -> None:
        self.freed = True
        book = self.book(hosts.pool.key)
        for host in range(hosts.first, hosts.last):
            book.mark(host, state, now_s, undo)

    def marks_of(self, pool: str) -> list[HostMark]:
        """The hosts of a pool that were set aside."""
        book = self.book(pool)
        return [self.marks[book.plan.host_name(host)] for host in sorted(book.marked)]

    def broken_in(self, pool: str) -> list[ChipMark]:
        """The hosts of a pool of which some chips don't work."""
        book = self.book(pool)
        hosts = np.flatnonzero(book.pool.broken).tolist()
        return [self.broken[book.plan.host_name(host)] for host in hosts]

    def in_use(self, account: str) -> int:
        """Instances of an account's capacity blocks that aren't over: what EC2 limits."""
        return sum(
            each.total_hosts
            for each in self.reservations.values()
            if each.account == account
            and each.block is not None
            and each.commitment is None
            and each.state in PROMISING
        )

    def is_simulated(self, pool: str) -> bool:
        """Whether what a pool holds is only imagined."""
        return self.book(pool).plan.driver is DriverKind.SIMULATED

    def leases_on(self, pool: str, hosts: Iterable[int]) -> list[Lease]:
        """The leases that hold some chip of these hosts, oldest first."""
        wanted = set(hosts)
        found = [
            lease
            for lease in self.leases.values()
            if lease.pool == pool and not wanted.isdisjoint(lease.hosts)
        ]
        return sorted(found, key=lambda lease: lease.token)

    def leases_in(self, reservation: str) -> list[Lease]:
        """The leases inside a reservation, oldest first."""
        inside = self._inside.get(reservation, {})
        return sorted(inside.values(), key=lambda lease: lease.token)

    def waiting(self) -> list[Lease]:
        """The leases that wait for room."""
        return list(self._waiting.values())

    def forget(self, before_s: int) -> None:
        """Drop from the calendars what changed before a moment, when nothing can be undone."""
        for calendar in (*(book.calendar for book in self.books.values()), *self.watts.values()):
            calendar.forget(before_s)

    def active_reservations(self) -> list[Reservation]:
        """The reservations that hold hosts now."""
        held = (ReservationState.ACTIVE, ReservationState.UNAVAILABLE)
        return [each for each in self.reservations.values() if each.state in held]


_Quota = tuple[tuple[str, str], int, int | None]


def _quotas(inventory: Inventory) -> list[_Quota]:
    """(site and pool, row, watts) for each row of each pool: its share of what feeds the row.

    A row that can't feed all of its racks at once is shared among its pools by what each could
    draw, so that no pool can use up what another one promised.
    """
    needs: dict[int, dict[str, int]] = {}
    for plan in inventory.pools:
        sizes = np.diff(plan.leaf_start)
        hosts = np.bincount(plan.row_of_leaf, sizes, minlength=len(plan.rows))
        for row, count in zip(plan.rows.tolist(), hosts.tolist(), strict=True):
            needs.setdefault(row, {})[plan.key] = int(count) * (plan.draw_w or 0)
    found: list[_Quota] = []
    for plan in inventory.pools:
        for row in map(int, plan.rows):
            cap: int | None = inventory.rows[row].power_w
            need, mine = sum(needs[row].values()), needs[row][plan.key]
            share = None if cap is None or need <= cap else cap * mine // need
            found.append(((plan.zone, plan.key), row, share))
    return found


def _of_site(quotas: list[_Quota], site: str) -> list[str]:
    return [key[1] for key, _, _ in quotas if key[0] == site]


def _fed(plan: PoolPlan, caps: list[int | None]) -> int:
    """How many units of a pool its rows can feed at once."""
    sizes = np.diff(plan.leaf_start)
    units = 0
    for row, cap in enumerate(caps):
        here = sizes[plan.row_of_leaf == row]
        whole = len(here) if plan.ultraserver else int(here.sum())
        unit_w = (plan.draw_w or 0) * plan.hosts_per_unit
        units += whole if cap is None or not unit_w else min(whole, cap // unit_w)
    return units


def find_lease(transaction: Transaction, id: str) -> Lease | None:
    """A lease that was kept, over or not."""
    found = transaction.find(LEASES, id)
    # In this order: one that ends between the two is found among those that are over.
    return found if found is not None else transaction.find(ENDED_LEASES, id)


def find_lease_by_token(transaction: Transaction, account: str, token: str) -> Lease | None:
    """The lease that a client's token made, over or not; Conflict if it names another's id."""
    for kind in (LEASES, ENDED_LEASES):
        found = transaction.find_named(kind, account, token)
        if found is not None and found.client_token != token:
            raise Conflict(f"{token[:60]!r} is the id of a lease. Choose another client token.")
        if found is not None:
            return found
    return None


def is_starting(reservation: Reservation) -> bool:
    """Whether a promise starts so soon that what stood in its way has been told."""
    return reservation.state is ReservationState.SCHEDULED and reservation.is_room_made


def _kind(record: Reservation | Lease) -> "Kind[Reservation] | Kind[Lease]":
    return RESERVATIONS if isinstance(record, Reservation) else LEASES


def _name(record: Reservation | Lease) -> str:
    """Under what a promise or lease is kept: its client's token makes it once."""
    return record.client_token or record.id


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _set(table: dict[_Key, _Value], key: _Key, value: _Value | None, undo: Undo) -> None:
    before = table.get(key)
    _put(table, key, value)
    undo.append(lambda: _put(table, key, before))


def _put(table: dict[_Key, _Value], key: _Key, value: _Value | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


_Body = TypeVar("_Body", bound=msgspec.Struct)


def _keep(
    transaction: Transaction,
    kind: Kind[_Body],
    table: dict[str, _Body],
    host: str,
    mark: _Body | None,
) -> None:
    """Keep what is said of a host, or with None nothing any more."""
    if mark is not None:
        if host in table:
            transaction.put(kind, host, mark)
        else:
            transaction.add(kind, host, mark, account="", name=host)
    elif host in table:
        transaction.remove(kind, host)
    else:
        return
    _set(table, host, mark, transaction.undo)


def _read(connection: Connection, kind: Kind[_Body]) -> Iterable[_Body]:
    for change in everything(connection, kind.name):
        if change.body is not None:
            yield kind.decode(change.body)
