"""A request that is sent again is one request; another one under its token is refused."""

from typing import Any

import msgspec
import pytest

from craton.fleet.client_tokens import MISMATCH, check_same, digest_of
from craton.fleet.contract import BuyOffer, CreateReservation, Owner, RequestLease
from craton.fleet.records import LEASES, LeaseKind, TypeChoice
from craton.fleet.reservation_contract import CreateFleet, MoveHosts, SplitReservation
from craton.kernel.errors import Conflict
from tests.fakes.fleet_sales import FLEET, P5EN, end, lease, now, offers, reserve
from tests.fakes.fleets import ALICE, BOB, FleetWorld

LEASE = RequestLease(
    owner=ALICE, kind=LeaseKind.ON_DEMAND, instance_type=P5EN, hosts=1, client_token="t"
)
RESERVE = CreateReservation(
    owner=ALICE,
    instance_type=P5EN,
    hosts=2,
    zone=None,
    end_s=None,
    is_targeted=True,
    platform="Linux/UNIX",
    client_token="t",
)
TEAM = CreateFleet(
    owner=ALICE,
    choices=[TypeChoice(instance_type=P5EN, platform="Linux/UNIX")],
    target=1,
    client_token="t",
)


def other(command: msgspec.Struct, **changed: Any) -> Any:
    return msgspec.structs.replace(command, **changed)


def refused(world: FleetWorld, name: str, command: msgspec.Struct) -> None:
    with pytest.raises(Conflict) as caught:
        world.call(name, command)
    assert caught.value.code == MISMATCH


@pytest.mark.parametrize(
    ("name", "command", "changes"),
    [
        ("request_lease", LEASE, [{"hosts": 2}, {"seconds": 9}, {"purpose": "x"}, {"wait": True}]),
        ("create_reservation", RESERVE, [{"hosts": 1}, {"tags": {"a": "b"}}, {"end_s": 1 << 40}]),
        ("create_reservation_fleet", TEAM, [{"target": 2}, {"choices": TEAM.choices * 2}]),
    ],
)
def test_a_token_is_good_for_the_same_request_by_its_account_alone(
    name: str, command: Any, changes: list[dict[str, Any]]
) -> None:
    world = FleetWorld(FLEET)
    made = world.call(name, command)
    world.restart()
    colleague = Owner(ALICE.account, "another project", "another key")
    assert world.call(name, other(command, owner=colleague)).id == made.id
    for change in changes:
        refused(world, name, other(command, **change))
    assert world.call(name, other(command, owner=BOB)).id != made.id


def test_a_lease_that_is_over_still_knows_what_was_asked() -> None:
    world = FleetWorld(FLEET)
    held = world.call("request_lease", LEASE)
    end(world, held)
    world.restart()
    assert world.call("request_lease", LEASE).state == "ended"
    refused(world, "request_lease", other(LEASE, hosts=2))


def test_a_reservation_that_was_changed_is_still_what_was_asked_for_then() -> None:
    world = FleetWorld(FLEET)
    made = world.call("create_reservation", RESERVE)
    part = SplitReservation(owner=ALICE, source=made.id, hosts=1, client_token="part")
    split = world.call("split_reservation", part)
    again = world.call("create_reservation", RESERVE)
    assert (again.id, again.total_hosts) == (made.id, 1)
    assert world.call("split_reservation", part).destination.id == split.destination.id
    refused(world, "split_reservation", other(part, client_token="t"))
    refused(world, "create_reservation", other(RESERVE, client_token="part"))


def test_hosts_are_moved_once_and_other_hosts_under_another_token() -> None:
    world = FleetWorld(FLEET)
    first, second, third = (reserve(world, hosts=2) for _ in range(3))
    move = MoveHosts(
        account="alice", source=first.id, destination=second.id, hosts=1, client_token="a move"
    )
    for _ in range(2):
        assert world.call("move_hosts", move).destination.total_hosts == 3
        world.restart()
    refused(world, "move_hosts", other(move, hosts=2))
    refused(world, "move_hosts", other(move, destination=third.id))
    assert now(world, third).total_hosts == 2


def test_an_offer_is_bought_once_with_one_set_of_terms() -> None:
    world = FleetWorld(FLEET)
    order = BuyOffer(owner=ALICE, offer=offers(world)[0].id)
    made = world.call("buy_offer", order)
    assert world.call("buy_offer", order).id == made.id
    refused(world, "buy_offer", other(order, tags={"a": "b"}))
    refused(world, "create_reservation", other(RESERVE, client_token=order.offer))


def test_the_zone_is_no_part_of_what_is_compared() -> None:
    assert digest_of(RESERVE) == digest_of(other(RESERVE, zone="south", is_dry_run=True))
    elsewhere = [other(TEAM.choices[0], zone="south")]
    assert digest_of(TEAM) == digest_of(other(TEAM, choices=elsewhere))


def test_what_was_made_before_there_were_digests_is_taken_for_the_same() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, hosts=1, client_token="t")
    kept = world.office.fleet.leases[held.id]
    world.group(
        lambda writing: writing.put(LEASES, held.id, msgspec.structs.replace(kept, digest=None))
    )
    world.restart()
    assert world.call("request_lease", other(LEASE, hosts=2)).id == held.id
    check_same(None, LEASE, "t")


def test_a_parameter_that_is_new_changes_no_digest() -> None:
    class RequestMore(RequestLease, frozen=True, kw_only=True):
        is_newer: bool = False

    RequestMore.__name__ = "RequestLease"
    values = {name: getattr(LEASE, name) for name in LEASE.__struct_fields__}
    assert digest_of(RequestMore(**values)) == digest_of(LEASE)
    assert digest_of(RequestMore(**values, is_newer=True)) != digest_of(LEASE)
