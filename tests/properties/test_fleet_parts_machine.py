"""Reservations divided, joined, tagged, and kept in fleets, among all else that happens."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from craton.fleet.contract import Owner
from craton.fleet.records import ReservationState, TypeChoice
from craton.fleet.reservation_contract import (
    CancelFleet,
    CreateFleet,
    FleetsQuery,
    ModifyFleet,
    MoveHosts,
    SplitReservation,
    TagReservations,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld
from tests.properties.test_fleet_machine import KINDS, FleetMachine

STEPS = int(os.environ.get("CRATON_FLEET_STEPS", "400"))
picks = st.integers(0, 20)
seldom = st.sampled_from([False, False, False, True])


class PartsMachine(FleetMachine):
    """What customers do to reservations beside using them; all other rules and checks are there."""

    @rule(
        pick=picks,
        units=st.integers(1, 2),
        is_alone=st.booleans(),
        token=st.none() | picks,
        fails=seldom,
    )
    def split(
        self, pick: int, units: int, token: int | None, *, is_alone: bool, fails: bool
    ) -> None:
        if is_alone:
            # Free hosts are few where everything else happens, too: one to divide comes first.
            self.reserve(ALICE, KINDS[pick % 2], 4 if pick % 2 == 0 else 8, None, fails=False)
        found = list(self.fleet.reservations.values())
        if found:
            source = found[-1] if is_alone else found[pick % len(found)]
            owner = Owner(source.account, source.project, source.principal)
            command = SplitReservation(
                owner=owner,
                source=source.id,
                hosts=units * source.hosts_per_unit,
                client_token=None if token is None else f"split-{token}",
            )
            self.attempt("split_reservation", command, fails=fails)

    @rule(pick=picks, into=picks, units=st.integers(1, 2), token=picks, fails=seldom)
    def move(self, pick: int, into: int, units: int, token: int, *, fails: bool) -> None:
        held = [
            each
            for each in self.fleet.reservations.values()
            if each.state is ReservationState.ACTIVE
        ]
        if not held:
            return
        destination = held[into % len(held)]
        alike = [
            each
            for each in held
            if each.id != destination.id
            and (each.account, each.pool, each.end_s)
            == (destination.account, destination.pool, destination.end_s)
        ]
        source = (alike or held)[pick % len(alike or held)]
        command = MoveHosts(
            account=source.account,
            source=source.id,
            destination=destination.id,
            hosts=units * source.hosts_per_unit,
            client_token=f"move-{token}",
        )
        self.attempt("move_hosts", command, fails=fails)

    @rule(
        units=st.integers(1, 12),
        weights=st.tuples(st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([1.0, 2.0])),
        hours=st.sampled_from([None, 40]),
        fails=seldom,
    )
    def keep_fleet(
        self, units: int, weights: tuple[float, float], hours: int | None, *, fails: bool
    ) -> None:
        choices = [
            TypeChoice(instance_type=kind, platform="Linux/UNIX", weight=weight, priority=at)
            for at, (kind, weight) in enumerate(zip(KINDS, weights, strict=True))
        ]
        end_s = None if hours is None else self.world.now_s + hours * 3600
        command = CreateFleet(owner=ALICE, choices=choices, target=units, end_s=end_s)
        self.attempt("create_reservation_fleet", command, fails=fails)

    @rule(pick=picks, units=st.sampled_from([None, 1, 3, 9]), fails=seldom)
    def change_fleet(self, pick: int, units: int | None, *, fails: bool) -> None:
        found = self.world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets
        if found:
            id = found[pick % len(found)].id
            command = ModifyFleet(
                account=ALICE.account, id=id, target=units, is_endless=units is None
            )
            self.attempt("modify_reservation_fleet", command, fails=fails)

    @rule(pick=picks, fails=seldom)
    def cancel_fleet(self, pick: int, *, fails: bool) -> None:
        found = self.world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets
        if found:
            id = found[pick % len(found)].id
            self.attempt("cancel_reservation_fleet", CancelFleet(ALICE.account, id), fails=fails)

    @rule(pick=picks, owner=st.sampled_from([ALICE, BOB]), fails=seldom)
    def tag(self, pick: int, owner: Owner, *, fails: bool) -> None:
        found = list(self.fleet.reservations)
        if found:
            ids = [found[pick % len(found)], found[0]]
            command = TagReservations(account=owner.account, ids=ids, put={"a": str(pick)})
            self.attempt("tag_reservations", command, fails=fails)

    @invariant()
    def fleets_are_what_their_reservations_are(self) -> None:
        for account in (ALICE.account, BOB.account):
            known = self.world.read("reservation_fleets", FleetsQuery(account)).fleets
            for fleet in known:
                units = sum(each.hosts * each.choice.weight for each in fleet.members)
                assert units == fleet.fulfilled
            again = FleetWorld.__new__(FleetWorld)
            again.__dict__.update(self.world.__dict__)
            again._open()
            after = again.read("reservation_fleets", FleetsQuery(account)).fleets
            assert sorted(after, key=str) == sorted(known, key=str)


@pytest.mark.timeout(600)
def test_reservations_are_divided_and_kept_in_fleets_in_any_order() -> None:
    steps = 40
    run_state_machine_as_test(
        PartsMachine,
        settings=settings(
            max_examples=max(1, STEPS // steps),
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
