"""Capacity reservations, what is used of them, their fleets, tags and topology, by boto3."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from craton.kernel.errors import Conflict
from tests.fakes.capacity import (
    craton_with_fleet,
    ec2_client,
    native,
    new_key,
    refused,
    tags_of,
)
from tests.fakes.craton import Craton

LINUX = "Linux/UNIX"
H200 = "p5en.48xlarge"
NONE = "cr-" + "0" * 17
MISSING = ("InvalidCapacityReservationId.NotFound", 400)
TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


@pytest.fixture(scope="module")
def craton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    running = craton_with_fleet(tmp_path_factory.mktemp("reservations"))
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


@pytest.fixture(scope="module")
def alice(craton: Craton) -> NewKey:
    return new_key(craton, "alice")


@pytest.fixture(scope="module")
def ec2(craton: Craton, alice: NewKey) -> Iterator[Any]:
    client = ec2_client(craton, alice)
    yield client
    client.close()


@pytest.fixture(scope="module")
def stranger(craton: Craton) -> Iterator[Any]:
    client = ec2_client(craton, new_key(craton, "stranger"))
    yield client
    client.close()


@pytest.fixture
def leases(craton: Craton, alice: NewKey) -> Connection:
    return Connection(craton.url, alice.api_key, timeout_s=30)


def created(client: Any, count: int = 1, **params: Any) -> dict[str, Any]:
    wanted = {"InstanceType": H200, "InstancePlatform": LINUX, **params}
    return client.create_capacity_reservation(InstanceCount=count, **wanted)["CapacityReservation"]


def read(client: Any, id: str) -> dict[str, Any]:
    (found,) = client.describe_capacity_reservations(CapacityReservationIds=[id])[
        "CapacityReservations"
    ]
    return found


def cancelled(client: Any, *ids: str) -> None:
    for id in ids:
        assert client.cancel_capacity_reservation(CapacityReservationId=id)["Return"]


# --- one reservation ----------------------------------------------------------------------------


def test_a_reservation_is_made_changed_and_cancelled(ec2: Any) -> None:
    made = created(ec2, 2, AvailabilityZone="south")
    id = made["CapacityReservationId"]
    assert (made["State"], made["ReservationType"]) == ("active", "default")
    assert (made["TotalInstanceCount"], made["AvailableInstanceCount"]) == (2, 2)
    assert (made["EndDateType"], made["InstanceMatchCriteria"]) == ("unlimited", "open")
    assert (made["AvailabilityZone"], made["AvailabilityZoneId"]) == ("south", "use1-south")
    assert "EndDate" not in made
    change = ec2.modify_capacity_reservation
    assert change(CapacityReservationId=id, InstanceCount=3)["Return"]
    assert change(CapacityReservationId=id, EndDateType="limited", EndDate=TOMORROW)["Return"]
    assert change(CapacityReservationId=id, InstanceMatchCriteria="targeted")["Return"]
    changed = read(ec2, id)
    assert (changed["TotalInstanceCount"], changed["EndDate"]) == (3, TOMORROW)
    assert (changed["EndDateType"], changed["InstanceMatchCriteria"]) == ("limited", "targeted")
    assert change(CapacityReservationId=id, EndDateType="unlimited")["Return"]
    assert "EndDate" not in read(ec2, id)
    cancelled(ec2, id)
    assert read(ec2, id)["State"] == "cancelled"
    code = refused(change, CapacityReservationId=id, InstanceCount=1)[0]
    assert code == "IncorrectState"


def test_a_client_token_makes_one_reservation(ec2: Any) -> None:
    made = created(ec2, ClientToken="once")
    id = made["CapacityReservationId"]
    assert created(ec2, ClientToken="once") == made
    # EC2 leaves the zone out of what it compares.
    assert created(ec2, ClientToken="once", AvailabilityZone="south") == made
    ec2.modify_capacity_reservation(CapacityReservationId=id, InstanceCount=2)
    assert created(ec2, ClientToken="once")["CapacityReservationId"] == id
    tagged = {"ResourceType": "capacity-reservation", "Tags": [{"Key": "a", "Value": "b"}]}
    for other in (
        {"InstanceCount": 2},
        {"InstancePlatform": "Windows"},
        {"InstanceMatchCriteria": "targeted"},
        {"EndDate": TOMORROW},
        {"TagSpecifications": [tagged]},
    ):
        params = {"InstanceType": H200, "InstancePlatform": LINUX, "InstanceCount": 1, **other}
        told = refused(ec2.create_capacity_reservation, ClientToken="once", **params)
        assert told[:2] == ("IdempotentParameterMismatch", 400), other
    cancelled(ec2, id)


def test_a_client_token_is_of_one_request_of_any_kind(ec2: Any, leases: Connection) -> None:
    mismatch = ("IdempotentParameterMismatch", 400)
    source = created(ec2, 4, ClientToken="source")["CapacityReservationId"]
    split = {"SourceCapacityReservationId": source, "InstanceCount": 1, "ClientToken": "split"}
    call = ec2.create_capacity_reservation_by_splitting
    part = call(**split)["DestinationCapacityReservation"]["CapacityReservationId"]
    assert refused(call, **{**split, "InstanceCount": 2})[:2] == mismatch
    assert refused(call, **{**split, "ClientToken": "source"})[:2] == mismatch
    third = created(ec2)["CapacityReservationId"]
    move = {
        "SourceCapacityReservationId": source,
        "DestinationCapacityReservationId": part,
        "InstanceCount": 1,
        "ClientToken": "moved",
    }
    call = ec2.move_capacity_reservation_instances
    assert call(**move)["InstanceCount"] == 1
    for other in ({"InstanceCount": 2}, {"DestinationCapacityReservationId": third}):
        assert refused(call, **{**move, **other})[:2] == mismatch
    assert read(ec2, source)["TotalInstanceCount"] == 2
    fleet = {
        "InstanceTypeSpecifications": [specification(H200, Priority=1)],
        "TotalTargetCapacity": 1,
        "ClientToken": "fleet",
    }
    call = ec2.create_capacity_reservation_fleet
    made = call(**fleet)["CapacityReservationFleetId"]
    assert call(**fleet)["CapacityReservationFleetId"] == made
    zone = {
        "InstanceTypeSpecifications": [specification(H200, Priority=1, AvailabilityZone="south")]
    }
    assert call(**{**fleet, **zone})["CapacityReservationFleetId"] == made
    for other in (
        {"TotalTargetCapacity": 2},
        {"InstanceTypeSpecifications": [specification(H200, Priority=2)]},
        {"EndDate": TOMORROW},
    ):
        assert refused(call, **{**fleet, **other})[:2] == mismatch
    ec2.cancel_capacity_reservation_fleets(CapacityReservationFleetIds=[made])
    wish = {"reservation": source, "hosts": 1, "client_token": "lease"}
    lease = leases.post("/leases", dict[str, Any], wish)
    assert leases.post("/leases", dict[str, Any], wish)["id"] == lease["id"]
    with pytest.raises(Conflict, match="was used with other parameters"):
        leases.post("/leases", dict[str, Any], {**wish, "purpose": "other"})
    leases.delete(f"/leases/{lease['id']}", dict[str, Any])
    cancelled(ec2, source, part, third)


def test_a_zone_may_be_named_by_its_id(ec2: Any) -> None:
    made = created(ec2, AvailabilityZoneId="use1-south")
    assert made["AvailabilityZone"] == "south"
    cancelled(ec2, made["CapacityReservationId"])


@pytest.mark.parametrize(
    ("params", "code", "status"),
    [
        ({"InstanceCount": 0}, "InvalidParameterValue", 400),
        ({"InstanceCount": 100_000}, "InsufficientInstanceCapacity", 500),
        ({"InstanceType": "p9.made-up"}, "InvalidParameterValue", 400),
        ({"AvailabilityZone": "west"}, "InvalidParameterValue", 400),
        ({"AvailabilityZoneId": "use2-az1"}, "InvalidAvailabilityZone", 400),
        ({"InstancePlatform": "Plan 9"}, "InvalidParameterValue", 400),
        ({"EndDateType": "limited"}, "MissingParameter", 400),
        (
            {"EndDateType": "unlimited", "EndDate": TOMORROW},
            "InvalidParameterCombination",
            400,
        ),
        ({"EndDate": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue", 400),
        ({"StartDate": TOMORROW}, "Unsupported", 400),
        ({"Tenancy": "dedicated"}, "Unsupported", 400),
        ({"EbsOptimized": True}, "Unsupported", 400),
        (
            {"TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a"}]}]},
            "InvalidParameterValue",
            400,
        ),
        (
            {
                "TagSpecifications": [
                    {"ResourceType": "capacity-reservation", "Tags": [{"Key": "craton:simulated"}]}
                ]
            },
            "InvalidParameterValue",
            400,
        ),
        (
            {
                "TagSpecifications": [
                    {
                        "ResourceType": "capacity-reservation",
                        "Tags": [{"Key": f"k{number}"} for number in range(51)],
                    }
                ]
            },
            "TagLimitExceeded",
            400,
        ),
    ],
)
def test_what_cannot_be_reserved_is_refused_in_ec2s_words(
    ec2: Any, params: dict[str, Any], code: str, status: int
) -> None:
    wanted = {"InstanceType": H200, "InstancePlatform": LINUX, "InstanceCount": 1, **params}
    assert refused(ec2.create_capacity_reservation, **wanted)[:2] == (code, status)


def test_a_change_that_changes_nothing_or_has_two_ends_is_refused(ec2: Any) -> None:
    made = created(ec2)
    id = made["CapacityReservationId"]
    for params, code in [
        ({}, "MissingParameter"),
        ({"EndDateType": "limited"}, "MissingParameter"),
        ({"EndDateType": "unlimited", "EndDate": TOMORROW}, "InvalidParameterCombination"),
        ({"InstanceCount": 0}, "InvalidParameterValue"),
        ({"QuoteId": "q"}, "Unsupported"),
    ]:
        call = ec2.modify_capacity_reservation
        assert refused(call, CapacityReservationId=id, **params)[0] == code, params
    assert read(ec2, id) == made
    cancelled(ec2, id)


def test_reservations_are_found_by_id_filter_and_page(ec2: Any) -> None:
    tag = {"Key": "team", "Value": "speech"}
    specification = {"ResourceType": "capacity-reservation", "Tags": [tag]}
    ids = sorted(
        created(ec2, TagSpecifications=[specification])["CapacityReservationId"] for _ in range(3)
    )

    def found(**filters: str) -> list[str]:
        pages = ec2.get_paginator("describe_capacity_reservations").paginate(
            Filters=[
                {"Name": name.replace("_", "-"), "Values": [value]}
                for name, value in filters.items()
            ],
            PaginationConfig={"PageSize": 2},
        )
        return [
            each["CapacityReservationId"] for page in pages for each in page["CapacityReservations"]
        ]

    assert found(**{"tag:team": "speech"}) == ids
    assert set(ids) <= set(found(instance_type="p5*", state="active"))
    assert found(state="expired") == []
    assert found(tag_key="colour") == []
    assert refused(ec2.describe_capacity_reservations, CapacityReservationIds=[NONE])[:2] == MISSING
    code, _, _ = refused(ec2.describe_capacity_reservations, CapacityReservationIds=["cr-1"])
    assert code == "InvalidCapacityReservationId.Malformed"
    cancelled(ec2, *ids)


def test_what_runs_inside_is_used_and_keeps_it_from_being_cancelled(
    ec2: Any, leases: Connection
) -> None:
    id = created(ec2, 3)["CapacityReservationId"]
    idle = ec2.get_capacity_reservation_usage(CapacityReservationId=id)
    assert idle["InstanceUsages"] == []
    lease = leases.post("/leases", dict[str, Any], {"reservation": id, "hosts": 2})
    usage = ec2.get_capacity_reservation_usage(CapacityReservationId=id)
    assert (usage["TotalInstanceCount"], usage["AvailableInstanceCount"]) == (3, 1)
    owner = read(ec2, id)["OwnerId"]
    assert usage["InstanceUsages"] == [{"AccountId": owner, "UsedInstanceCount": 2}]
    assert read(ec2, id)["CapacityAllocations"] == [{"AllocationType": "used", "Count": 2}]
    call = ec2.cancel_capacity_reservation
    assert refused(call, CapacityReservationId=id)[:2] == ("IncorrectState", 400)
    call = ec2.modify_capacity_reservation
    assert refused(call, CapacityReservationId=id, InstanceCount=1)[0] == "IncorrectState"
    leases.delete(f"/leases/{lease['id']}", dict[str, Any])
    cancelled(ec2, id)


def test_no_account_sees_or_touches_reservations_of_another(ec2: Any, stranger: Any) -> None:
    id = created(ec2)["CapacityReservationId"]
    assert stranger.describe_capacity_reservations()["CapacityReservations"] == []
    assert stranger.describe_capacity_reservation_topology()["CapacityReservations"] == []
    assert stranger.describe_tags()["Tags"] == []
    for call, params in [
        (stranger.cancel_capacity_reservation, {}),
        (stranger.modify_capacity_reservation, {"InstanceCount": 2}),
        (stranger.get_capacity_reservation_usage, {}),
        (stranger.get_groups_for_capacity_reservation, {}),
    ]:
        assert refused(call, CapacityReservationId=id, **params)[:2] == MISSING
    split = {"SourceCapacityReservationId": id, "InstanceCount": 1}
    assert refused(stranger.create_capacity_reservation_by_splitting, **split)[:2] == MISSING
    cancelled(ec2, id)


def test_there_are_no_resource_groups(ec2: Any) -> None:
    id = created(ec2)["CapacityReservationId"]
    pages = ec2.get_paginator("get_groups_for_capacity_reservation").paginate(
        CapacityReservationId=id
    )
    assert [each for page in pages for each in page["CapacityReservationGroups"]] == []
    cancelled(ec2, id)


# --- parts --------------------------------------------------------------------------------------


def test_unused_hosts_are_split_off_and_moved_back(ec2: Any, leases: Connection) -> None:
    source = created(ec2, 4, EndDate=TOMORROW)["CapacityReservationId"]
    lease = leases.post("/leases", dict[str, Any], {"reservation": source, "hosts": 1})
    order = {"SourceCapacityReservationId": source, "InstanceCount": 2, "ClientToken": "part"}
    split = ec2.create_capacity_reservation_by_splitting(**order)
    part = split["DestinationCapacityReservation"]
    assert split["InstanceCount"] == part["TotalInstanceCount"] == 2
    assert split["SourceCapacityReservation"]["TotalInstanceCount"] == 2
    assert part["EndDate"] == TOMORROW
    again = ec2.create_capacity_reservation_by_splitting(**order)
    assert again["DestinationCapacityReservation"] == part
    id = part["CapacityReservationId"]
    move = {
        "SourceCapacityReservationId": id,
        "DestinationCapacityReservationId": source,
        "InstanceCount": 1,
        "ClientToken": "move",
    }
    for _ in range(2):
        moved = ec2.move_capacity_reservation_instances(**move)
        assert moved["DestinationCapacityReservation"]["TotalInstanceCount"] == 3
    rest = ec2.move_capacity_reservation_instances(**{**move, "ClientToken": "rest"})
    assert rest["SourceCapacityReservation"]["State"] == "cancelled"
    assert rest["DestinationCapacityReservation"]["TotalInstanceCount"] == 4
    too_many = {"SourceCapacityReservationId": source, "InstanceCount": 4}
    call = ec2.create_capacity_reservation_by_splitting
    assert refused(call, **too_many)[0] == "InvalidParameterValue"
    other = created(ec2)["CapacityReservationId"]
    unlike = {**move, "SourceCapacityReservationId": source, "ClientToken": "unlike"}
    code, _, message = refused(
        ec2.move_capacity_reservation_instances,
        **{**unlike, "DestinationCapacityReservationId": other},
    )
    assert code == "InvalidParameterValue"
    assert "differ in their end" in message
    leases.delete(f"/leases/{lease['id']}", dict[str, Any])
    cancelled(ec2, source, other)


def test_hosts_that_are_used_are_not_split_off(ec2: Any, leases: Connection) -> None:
    id = created(ec2, 3)["CapacityReservationId"]
    lease = leases.post("/leases", dict[str, Any], {"reservation": id, "hosts": 2})
    split = {"SourceCapacityReservationId": id, "InstanceCount": 2}
    call = ec2.create_capacity_reservation_by_splitting
    assert refused(call, **split)[:2] == ("ReservationCapacityExceeded", 400)
    assert read(ec2, id)["TotalInstanceCount"] == 3
    leases.delete(f"/leases/{lease['id']}", dict[str, Any])
    cancelled(ec2, id)


# --- fleets -------------------------------------------------------------------------------------


def specification(instance_type: str, **params: Any) -> dict[str, Any]:
    return {"InstanceType": instance_type, "InstancePlatform": LINUX, **params}


def fleet_of(client: Any, id: str) -> dict[str, Any]:
    pages = client.get_paginator("describe_capacity_reservation_fleets").paginate(
        CapacityReservationFleetIds=[id]
    )
    (found,) = [each for page in pages for each in page["CapacityReservationFleets"]]
    return found


def test_a_fleet_takes_the_preferred_type_and_then_the_next(ec2: Any) -> None:
    made = ec2.create_capacity_reservation_fleet(
        InstanceTypeSpecifications=[
            specification(H200, Weight=2.0, Priority=2),
            specification("p6-b300.48xlarge", Weight=4.0, Priority=1),
        ],
        TotalTargetCapacity=5,
        AllocationStrategy="prioritized",
        TagSpecifications=[
            {
                "ResourceType": "capacity-reservation-fleet",
                "Tags": [{"Key": "team", "Value": "vision"}],
            }
        ],
    )
    id = made["CapacityReservationFleetId"]
    assert (made["State"], made["TotalFulfilledCapacity"]) == ("active", 6.0)
    (part,) = made["FleetCapacityReservations"]
    assert (part["InstanceType"], part["TotalInstanceCount"]) == (H200, 3)
    member = read(ec2, part["CapacityReservationId"])
    assert member["CapacityReservationFleetId"] == id
    assert tags_of(member) == {"team": "vision", "craton:simulated": "true"}
    change = ec2.modify_capacity_reservation_fleet
    assert change(CapacityReservationFleetId=id, TotalTargetCapacity=8)["Return"]
    assert fleet_of(ec2, id)["TotalFulfilledCapacity"] == 8.0
    change(CapacityReservationFleetId=id, TotalTargetCapacity=2, EndDate=TOMORROW)
    assert (fleet_of(ec2, id)["State"], fleet_of(ec2, id)["EndDate"]) == ("active", TOMORROW)
    smaller = read(ec2, part["CapacityReservationId"])
    assert (smaller["TotalInstanceCount"], smaller["EndDate"]) == (1, TOMORROW)
    change(CapacityReservationFleetId=id, RemoveEndDate=True)
    assert "EndDate" not in fleet_of(ec2, id)
    done = ec2.cancel_capacity_reservation_fleets(CapacityReservationFleetIds=[id])
    assert done["FailedFleetCancellations"] == []
    (one,) = done["SuccessfulFleetCancellations"]
    assert (one["PreviousFleetState"], one["CurrentFleetState"]) == ("active", "cancelled")
    assert read(ec2, part["CapacityReservationId"])["State"] == "cancelled"


def test_a_fleet_says_how_much_of_it_could_not_be_had(ec2: Any) -> None:
    most = ec2.create_capacity_reservation_fleet(
        InstanceTypeSpecifications=[specification(H200)], TotalTargetCapacity=100_000
    )
    assert most["State"] == "partially_fulfilled"
    assert 0 < most["TotalFulfilledCapacity"] < 100_000
    none = ec2.create_capacity_reservation_fleet(
        InstanceTypeSpecifications=[specification("p6-b300.48xlarge")], TotalTargetCapacity=1
    )
    assert (none["State"], none["FleetCapacityReservations"]) == ("failed", [])
    filters = [{"Name": "state", "Values": ["partially*"]}]
    (found,) = ec2.describe_capacity_reservation_fleets(Filters=filters)[
        "CapacityReservationFleets"
    ]
    assert found["CapacityReservationFleetId"] == most["CapacityReservationFleetId"]
    ec2.cancel_capacity_reservation_fleets(
        CapacityReservationFleetIds=[most["CapacityReservationFleetId"]]
    )


def test_a_fleet_in_use_is_not_cancelled_nor_is_one_that_is_not_there(
    ec2: Any, stranger: Any, leases: Connection
) -> None:
    made = ec2.create_capacity_reservation_fleet(
        InstanceTypeSpecifications=[specification(H200)], TotalTargetCapacity=1
    )
    id = made["CapacityReservationFleetId"]
    inside = made["FleetCapacityReservations"][0]["CapacityReservationId"]
    lease = leases.post("/leases", dict[str, Any], {"reservation": inside, "hosts": 1})
    unknown = "crf-" + "0" * 17
    done = ec2.cancel_capacity_reservation_fleets(CapacityReservationFleetIds=[id, unknown])
    assert done["SuccessfulFleetCancellations"] == []
    codes = {
        each["CapacityReservationFleetId"]: each["CancelCapacityReservationFleetError"]["Code"]
        for each in done["FailedFleetCancellations"]
    }
    missing = "InvalidCapacityReservationFleetId.NotFound"
    assert codes == {id: "IncorrectState", unknown: missing}
    assert fleet_of(ec2, id)["State"] == "active"
    call = stranger.describe_capacity_reservation_fleets
    assert call()["CapacityReservationFleets"] == []
    assert refused(call, CapacityReservationFleetIds=[id])[0] == missing
    change = {"CapacityReservationFleetId": id, "TotalTargetCapacity": 2}
    assert refused(stranger.modify_capacity_reservation_fleet, **change)[0] == missing
    leases.delete(f"/leases/{lease['id']}", dict[str, Any])
    ec2.cancel_capacity_reservation_fleets(CapacityReservationFleetIds=[id])


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"TotalTargetCapacity": 0}, "InvalidParameterValue"),
        ({"InstanceTypeSpecifications": []}, "InvalidParameterValue"),
        ({"InstanceTypeSpecifications": [{"Weight": 1.0}]}, "MissingParameter"),
        ({"AllocationStrategy": "cheapest"}, "InvalidParameterValue"),
        ({"EndDate": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        ({"AvailabilityZone": "north"}, "Unsupported"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(ec2: Any, params: dict[str, Any], code: str) -> None:
    wanted = {
        "InstanceTypeSpecifications": [specification(H200)],
        "TotalTargetCapacity": 1,
        **params,
    }
    assert refused(ec2.create_capacity_reservation_fleet, **wanted)[0] == code


# --- tags, topology, types ----------------------------------------------------------------------


def test_tags_are_put_listed_and_removed(ec2: Any) -> None:
    id = created(ec2)["CapacityReservationId"]
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    assert tags_of(read(ec2, id)) == {"a": "1", "b": "2", "craton:simulated": "true"}

    def listed(**filters: str) -> dict[str, str]:
        pages = ec2.get_paginator("describe_tags").paginate(
            Filters=[
                {"Name": "resource-id", "Values": [id]},
                *({"Name": name, "Values": [value]} for name, value in filters.items()),
            ],
            PaginationConfig={"PageSize": 1},
        )
        return {each["Key"]: each["Value"] for page in pages for each in page["Tags"]}

    assert listed() == {"a": "1", "b": "2", "craton:simulated": "true"}
    assert listed(key="a") == {"a": "1"}
    assert listed(**{"tag:b": "2"}) == {"b": "2"}
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "a", "Value": "other"}, {"Key": "b"}])
    assert listed() == {"a": "1", "craton:simulated": "true"}
    ec2.delete_tags(Resources=[id])
    assert listed() == {"craton:simulated": "true"}
    for params, code in [
        ({"Resources": ["vol-1"], "Tags": [{"Key": "a"}]}, "InvalidID"),
        ({"Resources": ["cr-1"], "Tags": [{"Key": "a"}]}, "InvalidCapacityReservationId.Malformed"),
        ({"Resources": [NONE], "Tags": [{"Key": "a"}]}, MISSING[0]),
        ({"Resources": [id], "Tags": [{"Key": "aws:a"}]}, "InvalidParameterValue"),
        ({"Resources": [id], "Tags": [{"Key": "x" * 129}]}, "InvalidParameterValue"),
        ({"Resources": [id], "Tags": [{"Key": "a"}, {"Key": "a"}]}, "InvalidParameterValue"),
    ]:
        assert refused(ec2.create_tags, **params)[0] == code, params
    cancelled(ec2, id)


def test_reservations_in_one_rack_lie_under_the_same_nodes(ec2: Any) -> None:
    ids = [created(ec2)["CapacityReservationId"] for _ in range(2)]
    wide = created(ec2, 30)["CapacityReservationId"]
    found = {
        each["CapacityReservationId"]: each
        for each in ec2.describe_capacity_reservation_topology(CapacityReservationIds=[*ids, wide])[
            "CapacityReservations"
        ]
    }
    one, other = (found[id]["NetworkNodes"] for id in ids)
    assert len(one) == 3
    assert all(node.startswith("nn-") for node in one)
    assert one == other
    # 30 hosts don't fit into a rack of four; the site is above all of them.
    spread = found[wide]["NetworkNodes"]
    assert 1 <= len(spread) < 3
    assert spread[0] == one[0]
    many = [NONE[:-2] + f"{number:02}" for number in range(11)]
    call = ec2.describe_capacity_reservation_topology
    assert refused(call, CapacityReservationIds=many)[0] == "InvalidParameterValue"
    cancelled(ec2, *ids, wide)


def test_types_of_the_fleet_are_described_by_what_is_known_of_them(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_instance_types").paginate()
    found = {each["InstanceType"]: each for page in pages for each in page["InstanceTypes"]}
    assert found.keys() == {"trn2u.48xlarge", H200, "p6e-gb200.36xlarge"}
    trainium = found["trn2u.48xlarge"]
    assert trainium["VCpuInfo"] == {"DefaultVCpus": 192}
    assert trainium["MemoryInfo"] == {"SizeInMiB": 2048 * 1024}
    (device,) = trainium["NeuronInfo"]["NeuronDevices"]
    assert device == {"Name": "Trainium2", "Count": 16, "MemoryInfo": {"SizeInMiB": 96 * 1024}}
    assert found[H200]["GpuInfo"]["Gpus"][0]["Manufacturer"] == "NVIDIA"
    every = ec2.describe_instance_types(IncludeUnsupportedInRegion=True)["InstanceTypes"]
    assert {each["InstanceType"]: each["SupportedInRegion"] for each in every}[
        "trn1.32xlarge"
    ] is False
    (one,) = ec2.describe_instance_types(InstanceTypes=[H200])["InstanceTypes"]
    assert one == found[H200]
    few = ec2.describe_instance_types(
        Filters=[{"Name": "vcpu-info.default-vcpus", "Values": ["144"]}]
    )
    assert [each["InstanceType"] for each in few["InstanceTypes"]] == ["p6e-gb200.36xlarge"]
    code = refused(ec2.describe_instance_types, InstanceTypes=["t3.micro"])[0]
    assert code == "InvalidInstanceType"


def test_types_are_offered_where_their_hosts_are(ec2: Any) -> None:
    def places(kind: str, *filters: dict[str, Any]) -> dict[str, str]:
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType=kind, Filters=list(filters)
        )
        return {
            each["InstanceType"]: each["Location"]
            for page in pages
            for each in page["InstanceTypeOfferings"]
        }

    assert set(places("region").values()) == {"us-east-1"}
    assert places("availability-zone")["trn2u.48xlarge"] == "north"
    south = {"Name": "location", "Values": ["use1-south"]}
    assert places("availability-zone-id", south).keys() == {H200, "p6e-gb200.36xlarge"}
    assert refused(ec2.describe_instance_type_offerings, LocationType="outpost")[0] == "Unsupported"


def test_zones_are_the_sites_and_say_which_are_simulated(ec2: Any) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    told = {zone["ZoneName"]: [each["Message"] for each in zone["Messages"]] for zone in zones}
    assert told.keys() == {"local", "north", "south"}
    assert told["local"] == []
    assert "simulated" in told["north"][0]


# --- what there isn't, and who may --------------------------------------------------------------


def test_operations_on_instances_are_refused_and_name_what_to_use(ec2: Any) -> None:
    code, _, message = refused(ec2.run_instances, MinCount=1, MaxCount=1, InstanceType=H200)
    assert code == "Unsupported"
    assert "craton leases request" in message
    code, _, message = refused(
        ec2.modify_instance_capacity_reservation_attributes,
        InstanceId="i-0123456789abcdef0",
        CapacityReservationSpecification={"CapacityReservationPreference": "open"},
    )
    assert code == "InvalidInstanceID.NotFound"
    assert "/craton/v1/leases" in message


def test_a_forged_secret_is_refused(craton: Craton, alice: NewKey) -> None:
    forged = msgspec.structs.replace(alice, secret_access_key="x" * 40)
    client = ec2_client(craton, forged)
    assert refused(client.describe_capacity_reservations)[:2] == ("SignatureDoesNotMatch", 403)
    client.close()


def test_a_policy_allows_one_reservation_and_no_other(craton: Craton, alice: NewKey) -> None:
    owner = ec2_client(craton, alice)
    mine, other = (created(owner)["CapacityReservationId"] for _ in range(2))
    bound = new_key(craton, "bound", alice.account)
    arn = f"arn:aws:ec2:us-east-1:{alice.account}:capacity-reservation/{mine}"
    statements = [
        {"Effect": "Allow", "Action": "ec2:*CapacityReservation*", "Resource": arn},
        {"Effect": "Allow", "Action": "ec2:CreateCapacityReservation", "Resource": "*"},
    ]
    native(craton).put(
        f"/keys/{bound.api_key_id}/policies/one",
        dict[str, Any],
        json.dumps({"Version": "2012-10-17", "Statement": statements}).encode(),
    )
    client = ec2_client(craton, bound)
    usage = client.get_capacity_reservation_usage
    assert usage(CapacityReservationId=mine)["TotalInstanceCount"] == 1
    denied = ("UnauthorizedOperation", 403)
    assert refused(usage, CapacityReservationId=other)[:2] == denied
    assert refused(client.cancel_capacity_reservation, CapacityReservationId=other)[:2] == denied
    assert refused(client.describe_capacity_reservations)[:2] == denied
    tagged = {"ResourceType": "capacity-reservation", "Tags": [{"Key": "a"}]}
    order = {"InstanceType": H200, "InstancePlatform": LINUX, "InstanceCount": 1}
    call = client.create_capacity_reservation
    assert refused(call, **order, TagSpecifications=[tagged])[:2] == denied
    assert refused(call, **order, DryRun=True)[:2] == ("DryRunOperation", 412)
    cancelled(owner, mine, other)
    client.close()
    owner.close()
