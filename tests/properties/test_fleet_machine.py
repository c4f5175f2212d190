"""All the fleet's commands in any order, with crashes, failing commits, lost hosts and clock jumps.

Whatever happens: no chip is held twice, no power is below zero or above a cap, the ledger balances,
no block is shortened, and a state process that starts anew knows the same as the one before it.
"""

import os
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from craton.fleet.contract import (
    Advance,
    Alive,
    ApplyFleet,
    BuyOffer,
    CancelReservation,
    CreateReservation,
    EndLease,
    MarkHosts,
    ModifyReservation,
    Owner,
    RequestLease,
    SearchExtensions,
    SearchOffers,
)
from craton.fleet.fleet import Fleet
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    ScheduleMaintenance,
)
from craton.fleet.records import (
    PROMISING,
    HostState,
    Lease,
    LeaseKind,
    LeaseState,
    ReservationState,
    chips_in,
)
from craton.fleet.share_contract import SetShare, SharesQuery
from craton.kernel.errors import CratonError
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

FLEET = """\
[[site]]
name = "north"
driver = "simulated"
power_kw = 330
oversubscribed = true
[[site.row]]
name = "a"
count = 2
power_kw = 150
oversubscribed = true
[[site.row.rack]]
name = "t"
count = 3
type = "trn2u.48xlarge"
ultraserver = "u-trn2x64"
spares = 1
[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 4
spares = 1
[[site.row.rack]]
name = "d"
type = "p5en.48xlarge"
hosts = 1
divided = true
"""
LARGER = FLEET.replace("count = 3", "count = 4")
DAY_S = 86_400
KINDS = ["p5en.48xlarge", "trn2u.48xlarge"]

seldom = st.integers(0, 7).map(lambda number: number == 7)
CAROL = Owner("carol", "proj-c", "key-c")
owners = st.sampled_from([ALICE, BOB, CAROL])
STEPS = int(os.environ.get("CRATON_FLEET_STEPS", "800"))


class FleetMachine(RuleBasedStateMachine):
    """One world; rules are what operators, customers and the weather do."""

    @initialize()
    def open(self) -> None:
        self.world = FleetWorld(FLEET)
        self.ends: dict[str, int] = {}
        self.tokens: set[int] = set()

    @property
    def fleet(self) -> Fleet:
        return self.world.office.fleet

    def attempt(self, name: str, command: object, *, fails: bool = False) -> object:
        """A refusal is an answer like any other here; what isn't one of ours fails the test."""
        self.world.failing = fails
        try:
            return self.world.call(name, command)  # type: ignore[arg-type]
        except (CratonError, FailedCommitError):
            return None
        finally:
            self.world.failing = False

    @rule(
        owner=owners,
        ultra=st.booleans(),
        units=st.integers(1, 4),
        days=st.sampled_from([1, 2, 14, 21]),
        pick=st.integers(0, 2),
        fails=seldom,
    )
    def buy(
        self, owner: Owner, *, ultra: bool, units: int, days: int, pick: int, fails: bool
    ) -> None:
        search = SearchOffers(
            owner=owner,
            instance_type=None if ultra else KINDS[0],
            ultraserver="u-trn2x64" if ultra else None,
            units=units,
            hours=days * 24,
        )
        try:
            offers = self.world.office.search(search).offers
        except CratonError:
            return
        if offers:
            offer = offers[pick % len(offers)]
            bought = self.attempt("buy_offer", BuyOffer(owner=owner, offer=offer.id), fails=fails)
            assert bought is None or bought.state == ReservationState.SCHEDULED  # type: ignore[attr-defined]

    @rule(pick=st.integers(0, 20), days=st.sampled_from([1, 7]), fails=seldom)
    def extend(self, pick: int, days: int, *, fails: bool) -> None:
        found = [r for r in self.fleet.reservations.values() if r.block and r.state in PROMISING]
        if not found:
            return
        chosen = found[pick % len(found)]
        owner = Owner(chosen.account, chosen.project, chosen.principal)
        try:
            offers = self.world.office.search_extensions(
                SearchExtensions(owner, chosen.id, days * 24)
            ).offers
        except CratonError:
            return
        for offer in offers:
            self.attempt("buy_extension", BuyOffer(owner=owner, offer=offer.id), fails=fails)

    @rule(
        owner=owners,
        kind=st.sampled_from(KINDS),
        hosts=st.sampled_from([1, 2, 4, 8]),
        hours=st.sampled_from([None, 1, 50]),
        fails=seldom,
    )
    def reserve(
        self, owner: Owner, kind: str, hosts: int, hours: int | None, *, fails: bool
    ) -> None:
        end_s = None if hours is None else self.world.now_s + hours * 3600
        command = CreateReservation(
            owner=owner,
            instance_type=kind,
            hosts=hosts,
            zone=None,
            end_s=end_s,
            is_targeted=True,
            platform="Linux/UNIX",
        )
        self.attempt("create_reservation", command, fails=fails)

    @rule(pick=st.integers(0, 20), hosts=st.sampled_from([None, 1, 4, 8]), fails=seldom)
    def modify(self, pick: int, hosts: int | None, *, fails: bool) -> None:
        found = list(self.fleet.reservations.values())
        if found:
            chosen = found[pick % len(found)]
            end_s = self.world.now_s + 7200
            command = ModifyReservation(
                account=chosen.account, id=chosen.id, hosts=hosts, end_s=end_s
            )
            self.attempt("modify_reservation", command, fails=fails)

    @rule(pick=st.integers(0, 20), fails=seldom)
    def cancel(self, pick: int, *, fails: bool) -> None:
        found = list(self.fleet.reservations.values())
        if found:
            chosen = found[pick % len(found)]
            self.attempt(
                "cancel_reservation", CancelReservation(chosen.account, chosen.id), fails=fails
            )

    @rule(
        owner=owners,
        kind=st.sampled_from([LeaseKind.ON_DEMAND, LeaseKind.INTERRUPTIBLE]),
        what=st.sampled_from(KINDS),
        chips=st.sampled_from([1, 3, 8, 16, 24, 64]),
        hours=st.sampled_from([None, 1, 30]),
        priority=st.integers(0, 2),
        wait=st.booleans(),
        shape=st.sampled_from([{}, {"is_one_row": True}, {"is_one_leaf": True}]),
        token=st.sampled_from([None, None, None, "one", "another"]),
        fails=seldom,
    )
    def lease(
        self,
        owner: Owner,
        kind: LeaseKind,
        *,
        what: str,
        chips: int,
        hours: int | None,
        priority: int,
        wait: bool,
        shape: dict[str, bool],
        token: str | None,
        fails: bool,
    ) -> None:
        command = RequestLease(
            owner=owner,
            kind=kind,
            instance_type=what,
            chips=chips,
            seconds=None if hours is None else hours * 3600,
            priority=priority,
            wait=wait,
            client_token=token,
            **shape,
        )
        made = self.attempt("request_lease", command, fails=fails)
        if made is not None and token is not None:
            again = self.attempt("request_lease", command)
            assert again.id == made.id, "one request made two leases"  # type: ignore[attr-defined]

    @rule(
        owner=owners,
        kind=st.sampled_from([LeaseKind.ON_DEMAND, LeaseKind.INTERRUPTIBLE]),
        milli=st.sampled_from([None, 100, 250, 500, 999]),
        cpu=st.sampled_from([None, None, 1000, 100_000]),
        seconds=st.sampled_from([None, 3600]),
        wait=st.booleans(),
        fails=seldom,
    )
    def lease_part(
        self,
        owner: Owner,
        kind: LeaseKind,
        milli: int | None,
        cpu: int | None,
        seconds: int | None,
        *,
        wait: bool,
        fails: bool,
    ) -> None:
        command = RequestLease(
            owner=owner,
            kind=kind,
            instance_type="p5en.48xlarge",
            chip_milli=milli,
            cpu_milli=cpu,
            seconds=seconds,
            wait=wait,
        )
        self.attempt("request_lease", command, fails=fails)

    @rule(pick=st.integers(0, 20), chips=st.sampled_from([1, 4, 8, 16, 32]), fails=seldom)
    def lease_inside(self, pick: int, chips: int, *, fails: bool) -> None:
        found = self.fleet.active_reservations()
        if found:
            chosen = found[pick % len(found)]
            owner = Owner(chosen.account, chosen.project, chosen.principal)
            command = RequestLease(
                owner=owner, kind=LeaseKind.RESERVED, reservation=chosen.id, chips=chips
            )
            self.attempt("request_lease", command, fails=fails)

    @rule(pick=st.integers(0, 20), stale=st.booleans(), fails=seldom)
    def end(self, pick: int, *, stale: bool, fails: bool) -> None:
        found = list(self.fleet.leases.values())
        if found:
            chosen = found[pick % len(found)]
            token = chosen.token - 1 if stale else chosen.token
            done = self.attempt("end_lease", EndLease(chosen.id, token, None), fails=fails)
            assert not stale or done is None, "a stale token ended a lease"

    @rule(
        host=st.sampled_from(
            ["north/a1/h/1", "north/a1/h/4", "north/a2/t1/2", "north/a2/t3", "north/a1/d/1"]
        ),
        state=st.sampled_from([None, *HostState]),
        fails=seldom,
    )
    def mark(self, host: str, state: HostState | None, *, fails: bool) -> None:
        self.attempt("mark_hosts", MarkHosts(host, state), fails=fails)

    @rule(
        host=st.sampled_from(["north/a1/h/1", "north/a2/h/4", "north/a1/t1/2", "north/a1/d/1"]),
        chips=st.sampled_from([(0,), (3, 7), tuple(range(8))]),
        state=st.sampled_from([None, HostState.FAILED]),
        fails=seldom,
    )
    def break_chips(
        self, host: str, chips: tuple[int, ...], state: HostState | None, *, fails: bool
    ) -> None:
        self.attempt("mark_hosts", MarkHosts(host, state, chips=chips), fails=fails)

    @rule(
        owner=owners,
        chip=st.sampled_from(["h200", "trainium2"]),
        chips=st.sampled_from([None, 0, 8, 64]),
        fails=seldom,
    )
    def share(self, owner: Owner, chip: str, chips: int | None, *, fails: bool) -> None:
        self.attempt("set_share", SetShare(owner.account, chip, chips), fails=fails)

    @rule(
        path=st.sampled_from(["north/a1/h", "north/a2/h/2", "north/a1/t2/1", "north/a2", "north"]),
        wait_s=st.sampled_from([0, 60, 4000, 2 * DAY_S]),
        seconds=st.sampled_from([100, 7200, 20 * DAY_S]),
        fails=seldom,
    )
    def maintain(self, path: str, wait_s: int, seconds: int, *, fails: bool) -> None:
        start_s = self.world.now_s + wait_s
        command = ScheduleMaintenance(path, start_s, start_s + seconds)
        self.attempt("schedule_maintenance", command, fails=fails)

    @rule(pick=st.integers(0, 5), fails=seldom)
    def give_up_maintenance(self, pick: int, *, fails: bool) -> None:
        found = self.world.read("maintenance", MaintenanceQuery(True)).windows
        if found:
            command = CancelMaintenance(found[pick % len(found)].id)
            self.attempt("cancel_maintenance", command, fails=fails)

    @rule(
        hosts=st.lists(
            st.sampled_from(["north/a1/h/2", "north/a2/h/3", "north/a1/t1/1", "gone"]), max_size=2
        ),
        pick=st.integers(0, 20),
    )
    def hear(self, hosts: list[str], pick: int) -> None:
        """Signs of life, after which it may well stay silent."""
        leases = list(self.fleet.leases.values())
        held = leases[pick % len(leases)] if leases else None
        tokens = {} if held is None else {held.id: held.token}
        self.world.read("alive", Alive(hosts, tokens))

    @rule(seconds=st.sampled_from([1, 130, 3600, DAY_S]))
    def cannot_be_kept(self, seconds: int) -> None:
        """What is due is done, and lost again with the commit."""
        self.world.clock.advance(seconds=seconds)
        self.attempt("advance", Advance(), fails=True)

    @rule(larger=st.booleans(), fails=seldom)
    def apply(self, *, larger: bool, fails: bool) -> None:
        self.attempt("apply_fleet", ApplyFleet(LARGER if larger else FLEET), fails=fails)

    @rule(seconds=st.sampled_from([1, 59, 119, 3600, DAY_S // 2, DAY_S, 9 * DAY_S]))
    def wait(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([3600, DAY_S, 30 * DAY_S]))
    def jump(self, seconds: int) -> None:
        """Time passes and nobody looks: what was due comes late, all at once."""
        self.world.clock.advance(seconds=seconds)
        self.world.advance()

    @rule()
    def crash(self) -> None:
        self.world.restart()

    @invariant()
    def nothing_is_held_twice(self) -> None:
        for key, book in self.fleet.books.items():
            held = np.zeros(book.plan.hosts, np.uint32)
            for reservation in self.fleet.reservations.values():
                if reservation.pool == key and reservation.hosts:
                    hosts = np.array(reservation.hosts, np.int32)
                    assert len(set(reservation.hosts)) == len(hosts)
                    assert not held[hosts].any(), f"{reservation.id} shares a host"
                    held[hosts] = book.pool.full
                    self._inside(reservation.hosts, self.fleet.leases_in(reservation.id))
            for lease in self.fleet.leases.values():
                if lease.pool == key and lease.reservation is None and lease.hosts:
                    hosts, masks = np.array(lease.hosts), np.array(lease.masks, np.uint32)
                    if book.plan.is_divided:
                        held[hosts] |= masks
                        continue
                    assert not (held[hosts] & masks).any(), f"{lease.id} shares a chip"
                    held[hosts] |= masks
            assert (held == book.pool.taken).all(), "the pool and the records differ"
            assert not (held & book.pool.broken).any(), "somebody holds a chip that doesn't work"
            book.pool.check()

    @invariant()
    def no_part_of_a_host_is_held_twice(self) -> None:
        for key, book in self.fleet.books.items():
            if book.parts is None:
                continue
            kind, used = book.plan.type, dict[tuple[int, str | int], int]()
            for lease in self.fleet.leases.values():
                if lease.pool != key or not lease.hosts:
                    continue
                (host,), (mask,), part = lease.hosts, lease.masks, lease.part
                assert part is not None
                whats: list[tuple[str | int, int | None]] = [
                    ("processors", part.cpu_milli),
                    ("memory", part.memory_mib),
                    *((chip, part.chip_milli) for chip in chips_in(mask)),
                ]
                for what, amount in whats:
                    assert amount is not None
                    used[host, what] = used.get((host, what), 0) + amount
            most = {"processors": (kind.vcpus or 0) * 1000, "memory": (kind.memory_gib or 0) * 1024}
            for (_, what), amount in used.items():
                assert amount <= (1000 if isinstance(what, int) else most[what]), what
            chips = sum(amount for (_, what), amount in used.items() if isinstance(what, int))
            whole = book.plan.hosts * kind.chips * 1000
            if not book.marked and not book.pool.broken.any():
                assert book.parts.free_milli() == whole - chips, "the book and the records differ"

    @staticmethod
    def _inside(hosts: Sequence[int], leases: Sequence[Lease]) -> None:
        chips = dict.fromkeys(hosts, 0)
        for lease in leases:
            for host, mask in zip(lease.hosts, lease.masks, strict=True):
                assert host in chips, f"{lease.id} is outside of its reservation"
                assert not chips[host] & mask, f"{lease.id} shares a chip in its reservation"
                chips[host] |= mask

    @invariant()
    def tokens_only_grow(self) -> None:
        for lease in self.fleet.leases.values():
            assert lease.token <= self.fleet.token
        held = [lease.token for lease in self.fleet.leases.values()]
        assert len(set(held)) == len(held)

    @invariant()
    def no_power_is_below_zero_or_above_a_cap(self) -> None:
        for book in self.fleet.books.values():
            power = book.pool.power
            assert (power.row_used_w >= 0).all()
            assert (power.row_used_w <= power.row_cap_w).all(), "a row draws more than its cap"
            assert 0 <= power.site_used_w <= power.site_cap_w

    @invariant()
    def no_block_is_shortened(self) -> None:
        for reservation in self.fleet.reservations.values():
            if reservation.block is None or reservation.end_s is None:
                continue
            assert reservation.end_s >= self.ends.get(reservation.id, 0)
            self.ends[reservation.id] = reservation.end_s
            if reservation.state is ReservationState.EXPIRED:
                assert self.world.now_s >= reservation.end_s, "a block ended early"

    @invariant()
    def what_a_promise_lacks_is_counted(self) -> None:
        for each in self.fleet.active_reservations():
            lacks = each.total_hosts - len(each.hosts)
            assert lacks == each.short_units * each.hosts_per_unit, each.id
            assert bool(lacks) == (each.state is ReservationState.UNAVAILABLE), each.id
            assert each.short_s >= 0, each.id

    @invariant()
    def nobody_is_set_aside_for_maintenance_that_is_over(self) -> None:
        open_ones = {each.id for each in self.world.read("maintenance", MaintenanceQuery()).windows}
        for mark in self.fleet.marks.values():
            assert mark.state is not HostState.MAINTENANCE or mark.note in open_ones

    @invariant()
    def every_promise_has_its_units_while_nothing_is_broken(self) -> None:
        for key, book in self.fleet.books.items():
            is_set_aside = not set(book.marked.values()) <= {HostState.MAINTENANCE}
            if not is_set_aside and not book.pool.broken.any():
                now_s = self.world.now_s
                assert book.calendar.short(now_s, now_s + 4000 * DAY_S) == [], key

    @invariant()
    def what_runs_has_its_right(self) -> None:
        for lease in self.fleet.leases.values():
            assert lease.state is not LeaseState.ENDED
            assert (lease.state is LeaseState.WAITING) == (not lease.hosts)

    @invariant()
    def what_waits_or_is_inside_is_found_as_by_looking_at_all(self) -> None:
        leases = self.fleet.leases.values()
        waiting = [each for each in leases if each.state is LeaseState.WAITING]
        assert sorted(each.id for each in self.fleet.waiting()) == sorted(e.id for e in waiting)
        for id in {each.reservation for each in leases} | self.fleet.reservations.keys():
            inside = [each for each in leases if each.reservation == id]
            if id is not None:
                assert self.fleet.leases_in(id) == sorted(inside, key=lambda each: each.token)

    @invariant()
    def the_ledger_balances(self) -> None:
        assert self.world.faults() == []

    @invariant()
    def a_new_state_process_knows_the_same(self) -> None:
        before = self.fleet
        memory = {
            key: (
                book.calendar.skyline(self.world.now_s, self.world.now_s + 400 * DAY_S),
                book.pool.taken.copy(),
                book.pool.offered.copy(),
                book.offered(self.world.now_s),
            )
            for key, book in before.books.items()
        }
        now_s = self.world.now_s
        again = FleetWorld.__new__(FleetWorld)
        again.__dict__.update(self.world.__dict__)
        again._open()
        after = again.office.fleet
        assert after.reservations == before.reservations
        assert after.leases == before.leases
        for name, query in (("maintenance", MaintenanceQuery(True)), ("shares", SharesQuery())):
            assert again.read(name, query) == self.world.read(name, query)
        for key, (skyline, taken, chips, offered) in memory.items():
            book = after.books[key]
            times, free = book.calendar.skyline(now_s, now_s + 400 * DAY_S)
            assert (times.tolist(), free.tolist()) == (skyline[0].tolist(), skyline[1].tolist()), (
                f"the calendar of {key} differs after a restart"
            )
            assert (book.pool.taken == taken).all()
            assert (book.pool.offered == chips).all()
            assert book.offered(now_s) == offered


@pytest.mark.timeout(max(600, STEPS // 10))
def test_the_fleet_in_any_order_of_commands_crashes_and_clock_jumps() -> None:
    steps = 40
    run_state_machine_as_test(
        FleetMachine,
        settings=settings(
            max_examples=max(1, STEPS // steps),
            stateful_step_count=steps,
            deadline=None,
            # A failing run of 40 commands reads well enough; shrinking one takes many minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
