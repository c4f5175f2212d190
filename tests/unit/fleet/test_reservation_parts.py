"""Reservations divided and joined, fleets of them, and their tags: the commands themselves."""

import pytest

from craton.fleet.contract import (
    ApplyFleet,
    CancelReservation,
    CreateReservation,
    RequestLease,
    ReservationsQuery,
    ReservationView,
)
from craton.fleet.records import FleetState, LeaseKind, ReservationState, TypeChoice
from craton.fleet.reservation_contract import (
    CancelFleet,
    CreateFleet,
    FleetOfReservations,
    FleetsQuery,
    ModifyFleet,
    MoveHosts,
    OfferedQuery,
    SplitReservation,
    TagReservations,
)
from craton.kernel.errors import BadRequest, Conflict, CratonError, NotFound, Unsupported
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld, north, rack

H200, TRN = "p5en.48xlarge", "trn2u.48xlarge"
FLEET = north(rack("h", H200, hosts=8), rack("t", TRN, count=2, ultraserver="u-trn2x64"))
BOBS = (
    FLEET
    + """\
[[site]]
name = "south"
driver = "simulated"
exclusive_to = "bob"
[[site.row]]
name = "b"
[[site.row.rack]]
name = "h"
type = "trn2.48xlarge"
hosts = 2
"""
)


@pytest.fixture
def world() -> FleetWorld:
    return FleetWorld(FLEET)


def reserved(world: FleetWorld, hosts: int, kind: str = H200) -> ReservationView:
    command = CreateReservation(
        owner=ALICE,
        instance_type=kind,
        hosts=hosts,
        zone=None,
        end_s=None,
        is_targeted=False,
        platform="Linux/UNIX",
    )
    return world.call("create_reservation", command)


def read(world: FleetWorld, id: str) -> ReservationView:
    (found,) = world.read("reservations", ReservationsQuery(None, id)).reservations
    return found


def code_of(world: FleetWorld, name: str, command: object) -> str | None:
    with pytest.raises(CratonError) as caught:
        world.call(name, command)  # type: ignore[arg-type]
    return caught.value.code


# --- parts --------------------------------------------------------------------------------------


def test_a_split_takes_hosts_from_one_and_promises_none_anew(world: FleetWorld) -> None:
    source = reserved(world, 6)
    book = world.office.fleet.book(source.pool)
    free = book.free(world.now_s, world.now_s + 60)
    split = SplitReservation(owner=ALICE, source=source.id, hosts=2, client_token="one")
    done = world.call("split_reservation", split)
    assert (done.source.total_hosts, done.destination.total_hosts) == (4, 2)
    assert sorted(done.source.hosts + done.destination.hosts) == sorted(source.hosts)
    assert book.free(world.now_s, world.now_s + 60) == free
    assert world.call("split_reservation", split).destination.id == done.destination.id
    world.restart()
    assert world.call("split_reservation", split).destination.id == done.destination.id
    assert read(world, source.id).total_hosts == 4
    assert world.office.fleet.book(source.pool).free(world.now_s, world.now_s + 60) == free


def test_each_part_is_billed_for_the_hosts_it_had(world: FleetWorld) -> None:
    source = reserved(world, 4)
    # Between two hours, so that nothing else bills at that moment.
    world.advance(1800)
    split = SplitReservation(owner=ALICE, source=source.id, hosts=1)
    part = world.call("split_reservation", split).destination
    world.advance(1800)
    for id in (source.id, part.id):
        world.call("cancel_reservation", CancelReservation(ALICE.account, id))
    # 8 chips a host, 3 an hour and chip: four hosts half an hour, then three and one.
    half_an_hour = 8 * 3_000_000_000 // 2
    assert read(world, source.id).amount_nanos == (4 + 3) * half_an_hour
    assert read(world, part.id).amount_nanos == half_an_hour
    assert world.faults() == []


def test_a_split_that_is_not_kept_leaves_no_trace(world: FleetWorld) -> None:
    source = reserved(world, 4)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.call("split_reservation", SplitReservation(owner=ALICE, source=source.id, hosts=1))
    world.failing = False
    assert read(world, source.id).hosts == source.hosts
    assert len(world.office.fleet.reservations) == 1


def test_ultraservers_are_split_whole(world: FleetWorld) -> None:
    source = reserved(world, 8, TRN)
    split = SplitReservation(owner=ALICE, source=source.id, hosts=2)
    assert code_of(world, "split_reservation", split) == "InvalidParameterValue"
    split = SplitReservation(owner=ALICE, source=source.id, hosts=4)
    part = world.call("split_reservation", split).destination
    assert len({name.rpartition("/")[0] for name in part.hosts}) == 1


def test_hosts_move_once_for_a_token_also_after_a_restart(world: FleetWorld) -> None:
    source, destination = reserved(world, 3), reserved(world, 2)
    move = MoveHosts(
        account=ALICE.account,
        source=source.id,
        destination=destination.id,
        hosts=1,
        client_token="once",
    )
    for _ in range(2):
        done = world.call("move_hosts", move)
        assert (done.source.total_hosts, done.destination.total_hosts) == (2, 3)
        world.restart()
    again = MoveHosts(account=ALICE.account, source=source.id, destination=destination.id, hosts=2)
    done = world.call("move_hosts", again)
    assert done.source.state is ReservationState.CANCELLED
    assert sorted(done.destination.hosts) == sorted(source.hosts + destination.hosts)


def test_what_is_used_or_unlike_or_anothers_does_not_move(world: FleetWorld) -> None:
    source, other = reserved(world, 2), reserved(world, 4, TRN)
    alike = reserved(world, 1)
    lease = RequestLease(owner=ALICE, kind=LeaseKind.RESERVED, reservation=source.id, hosts=2)
    world.call("request_lease", lease)

    def refused(**changed: object) -> str | None:
        values = {
            "account": ALICE.account,
            "source": source.id,
            "destination": alike.id,
            "hosts": 1,
            **changed,
        }
        return code_of(world, "move_hosts", MoveHosts(**values))  # type: ignore[arg-type]

    assert refused() == "ReservationCapacityExceeded"
    assert refused(destination=other.id) == "InvalidParameterValue"
    assert refused(destination=source.id) == "InvalidParameterValue"
    assert refused(account=BOB.account) == "InvalidCapacityReservationId.NotFound"


# --- fleets -------------------------------------------------------------------------------------


def fleet(world: FleetWorld, target: int, **changed: object) -> FleetOfReservations:
    choices = [
        TypeChoice(instance_type=H200, platform="Linux/UNIX", weight=1.0, priority=2),
        TypeChoice(instance_type=TRN, platform="Linux/UNIX", weight=0.5, priority=1),
    ]
    values = {"owner": ALICE, "choices": choices, "target": target, **changed}
    return world.call("create_reservation_fleet", CreateFleet(**values))  # type: ignore[arg-type]


def hosts_of(made: FleetOfReservations) -> dict[str, int]:
    return {each.choice.instance_type: each.hosts for each in made.members}


def test_a_fleet_is_filled_in_the_order_of_preference(world: FleetWorld) -> None:
    made = fleet(world, 6)
    # All eight hosts of the preferred type make four units; two more come of the other.
    assert hosts_of(made) == {TRN: 8, H200: 2}
    assert (made.state, made.fulfilled) == (FleetState.ACTIVE, 6.0)


def test_a_fleet_shrinks_by_the_least_preferred_and_grows_again(world: FleetWorld) -> None:
    made = fleet(world, 6)

    def modified(target: int) -> dict[str, int]:
        command = ModifyFleet(account=ALICE.account, id=made.id, target=target)
        return hosts_of(world.call("modify_reservation_fleet", command))

    assert modified(4) == {TRN: 8, H200: 0}
    assert modified(7) == {TRN: 8, H200: 3}
    assert modified(9) == {TRN: 8, H200: 5}


def test_a_fleet_ends_with_its_reservations(world: FleetWorld) -> None:
    made = fleet(world, 2, end_s=world.now_s + 7200)
    world.advance(7300)
    (found,) = world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets
    assert (found.id, found.state, found.fulfilled) == (made.id, FleetState.EXPIRED, 0)
    assert code_of(world, "cancel_reservation_fleet", CancelFleet(ALICE.account, made.id)) == (
        "IncorrectState"
    )


def test_a_fleet_that_is_over_is_told_of_when_its_hosts_are_gone(world: FleetWorld) -> None:
    made = fleet(world, 2)
    world.call("cancel_reservation_fleet", CancelFleet(ALICE.account, made.id))
    elsewhere = FLEET.replace('name = "north"', 'name = "south"')
    world.call("apply_fleet", ApplyFleet(elsewhere))
    (found,) = world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets
    assert (found.state, found.members[0].zone) == (FleetState.CANCELLED, "north")


def test_a_fleet_is_made_once_for_a_token_and_known_after_a_restart(world: FleetWorld) -> None:
    made = fleet(world, 2, client_token="one")
    assert fleet(world, 2, client_token="one").id == made.id
    world.restart()
    assert fleet(world, 2, client_token="one") == made
    assert fleet(world, 2, client_token="two").id != made.id


def test_a_fleet_that_is_not_kept_leaves_no_trace(world: FleetWorld) -> None:
    world.failing = True
    with pytest.raises(FailedCommitError):
        fleet(world, 6)
    world.failing = False
    assert world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets == []
    assert hosts_of(fleet(world, 6)) == {TRN: 8, H200: 2}


def test_a_fleet_in_use_is_cancelled_whole_or_not_at_all(world: FleetWorld) -> None:
    made = fleet(world, 6)
    inside = made.members[-1].reservation
    lease = RequestLease(owner=ALICE, kind=LeaseKind.RESERVED, reservation=inside, hosts=1)
    world.call("request_lease", lease)
    with pytest.raises(Conflict, match="Leases run"):
        world.call("cancel_reservation_fleet", CancelFleet(ALICE.account, made.id))
    (found,) = world.read("reservation_fleets", FleetsQuery(ALICE.account)).fleets
    assert (found.state, found.fulfilled) == (FleetState.ACTIVE, 6.0)


def test_parts_of_a_fleet_stay_in_it(world: FleetWorld) -> None:
    member = fleet(world, 6).members[-1].reservation
    assert member is not None
    with pytest.raises(Unsupported, match="ModifyCapacityReservationFleet"):
        world.call("split_reservation", SplitReservation(owner=ALICE, source=member, hosts=1))


# --- tags, and what is offered ------------------------------------------------------------------


def test_tags_are_changed_on_all_that_is_named_or_on_none(world: FleetWorld) -> None:
    one, other = reserved(world, 1), reserved(world, 1)

    def tag(*ids: str, **changed: object) -> None:
        command = TagReservations(account=ALICE.account, ids=list(ids), **changed)  # type: ignore[arg-type]
        world.call("tag_reservations", command)

    tag(one.id, other.id, put={"a": "1", "b": "2"})
    with pytest.raises(NotFound):
        tag(one.id, "cr-" + "0" * 17, put={"a": "9"})
    with pytest.raises(BadRequest, match="50 is the most"):
        tag(other.id, put={f"k{number}": "" for number in range(49)})
    assert read(world, one.id).tags == {"a": "1", "b": "2"}
    tag(one.id, removed={"a": "2", "b": None})
    assert read(world, one.id).tags == {"a": "1"}
    tag(other.id, is_emptied=True)
    assert read(world, other.id).tags == {}
    world.restart()
    assert (read(world, one.id).tags, read(world, other.id).tags) == ({"a": "1"}, {})


def test_what_is_kept_for_one_account_is_offered_to_no_other() -> None:
    world = FleetWorld()
    world.call("apply_fleet", ApplyFleet(BOBS))
    for account, zones in [("alice", ["local", "north"]), ("bob", ["local", "north", "south"])]:
        found = world.read("offered", OfferedQuery(account))
        assert [zone.name for zone in found.zones] == zones
        (trainium,) = [each for each in found.types if each.name == "trn2.48xlarge"]
        assert trainium.zones == zones[2:]
        assert (trainium.vendor, trainium.chips, trainium.chip_memory_mib) == ("AWS", 16, 98_304)
