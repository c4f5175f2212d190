"""Capacity blocks by boto3's EC2 client, unchanged, on a simulated fleet of UltraServers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craton.access.contract import NewKey
from tests.fakes.capacity import (
    REGION,
    craton_with_fleet,
    ec2_client,
    native,
    new_key,
    refused,
    tags_of,
)
from tests.fakes.craton import Craton

LINUX = "Linux/UNIX"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def craton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    running = craton_with_fleet(tmp_path_factory.mktemp("blocks"))
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


def offerings(client: Any, **params: Any) -> list[dict[str, Any]]:
    wanted = {"CapacityDurationHours": 24, **params}
    return client.describe_capacity_block_offerings(**wanted)["CapacityBlockOfferings"]


def ultraservers(client: Any, count: int = 1, **params: Any) -> list[dict[str, Any]]:
    return offerings(client, UltraserverType="u-trn2x64", UltraserverCount=count, **params)


def bought(client: Any, count: int = 1, **params: Any) -> dict[str, Any]:
    (first, *_) = ultraservers(client, count)
    return client.purchase_capacity_block(
        CapacityBlockOfferingId=first["CapacityBlockOfferingId"], InstancePlatform=LINUX, **params
    )


def test_offerings_of_ultraservers_are_counted_in_them_with_all_their_instances(ec2: Any) -> None:
    found = ultraservers(ec2, 3, CapacityDurationHours=168)
    assert found == sorted(found, key=lambda each: each["StartDate"])
    for each in found:
        assert (each["UltraserverType"], each["UltraserverCount"]) == ("u-trn2x64", 3)
        assert (each["InstanceType"], each["InstanceCount"]) == ("trn2u.48xlarge", 12)
        assert each["AvailabilityZone"] == "north"
        assert each["EndDate"].strftime("%H:%M") == "11:30"
        assert each["EndDate"] - each["StartDate"] >= 7 * DAY
        assert each["CapacityBlockDurationHours"] in range(168, 192)
        (segment,) = each["CapacityBlockOfferingSegments"]
        assert segment["AvailabilityZoneId"] == "use1-north"
    # 12 instances of 16 chips for a week, at the price a chip and hour of capacity.toml.
    assert found[-1]["CapacityBlockDurationHours"] == 168
    assert (found[-1]["UpfrontFee"], found[-1]["CurrencyCode"]) == ("72093.7728", "USD")


def test_offerings_of_instances_are_found_by_one_type_or_by_several(ec2: Any) -> None:
    one = offerings(ec2, InstanceType="p5en.48xlarge", InstanceCount=4)
    assert {each["InstanceType"] for each in one} == {"p5en.48xlarge"}
    assert all("UltraserverType" not in each for each in one)
    several = offerings(
        ec2,
        InstanceTypePreferences=[
            {"InstanceType": "p9.made-up"},
            {"InstanceType": "p5en.48xlarge"},
            {"InstanceType": "p5en.48xlarge"},
        ],
        InstanceCount=4,
    )
    assert [each["StartDate"] for each in several] == [each["StartDate"] for each in one]


def test_dates_bound_what_is_offered(ec2: Any) -> None:
    start = datetime.now(UTC) + 10 * DAY
    found = ultraservers(ec2, StartDateRange=start, EndDateRange=start + 3 * DAY)
    assert found
    for each in found:
        assert start <= each["StartDate"]
        assert each["EndDate"] <= start + 3 * DAY


def test_a_paginator_gives_every_offering_once(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_capacity_block_offerings").paginate(
        UltraserverType="u-trn2x64",
        UltraserverCount=1,
        CapacityDurationHours=24,
        PaginationConfig={"PageSize": 1},
    )
    starts = [each["StartDate"] for page in pages for each in page["CapacityBlockOfferings"]]
    assert len(starts) >= 2
    assert starts == [each["StartDate"] for each in ultraservers(ec2)]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"CapacityDurationHours": 25}, "InvalidParameterValue"),
        ({"CapacityDurationHours": 4392}, "InvalidParameterValue"),
        ({"UltraserverCount": 0}, "InvalidParameterValue"),
        ({"UltraserverCount": None}, "MissingParameter"),
        ({"UltraserverType": None, "UltraserverCount": None}, "MissingParameter"),
        ({"UltraserverType": "u-made-up"}, "InvalidParameterValue"),
        ({"InstanceType": "p5en.48xlarge"}, "InvalidParameterCombination"),
        ({"InstanceCount": 4}, "InvalidParameterCombination"),
        ({"StartDateRange": datetime(2999, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        ({"EndDateRange": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        (
            {
                "StartDateRange": datetime(2027, 1, 2, tzinfo=UTC),
                "EndDateRange": datetime(2027, 1, 1, tzinfo=UTC),
            },
            "InvalidParameterValue",
        ),
        (
            {
                "UltraserverType": None,
                "UltraserverCount": None,
                "InstanceType": "p5en.48xlarge",
                "InstanceCount": 65,
            },
            "InvalidParameterValue",
        ),
    ],
)
def test_what_cannot_be_offered_is_refused_in_ec2s_words(
    ec2: Any, params: dict[str, Any], code: str
) -> None:
    wanted = {
        "CapacityDurationHours": 24,
        "UltraserverType": "u-trn2x64",
        "UltraserverCount": 1,
        **params,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    assert refused(ec2.describe_capacity_block_offerings, **given)[:2] == (code, 400)


def test_more_than_the_fleet_has_is_offered_to_nobody(ec2: Any) -> None:
    assert ultraservers(ec2, 10_000) == []


def test_a_block_is_bought_once_however_often_its_offering_is(ec2: Any, alice: NewKey) -> None:
    (first, *_) = ultraservers(ec2, 2)
    order = {
        "CapacityBlockOfferingId": first["CapacityBlockOfferingId"],
        "InstancePlatform": LINUX,
        "TagSpecifications": [
            {
                "ResourceType": "capacity-reservation",
                "Tags": [{"Key": "job", "Value": "pretraining"}],
            }
        ],
    }
    answer = ec2.purchase_capacity_block(**order)
    made = answer["CapacityReservation"]
    assert made["State"] == "scheduled"
    assert made["ReservationType"] == "capacity-block"
    assert (made["TotalInstanceCount"], made["AvailableInstanceCount"]) == (8, 0)
    assert (made["StartDate"], made["EndDate"]) == (first["StartDate"], first["EndDate"])
    assert (made["EndDateType"], made["InstanceMatchCriteria"]) == ("limited", "targeted")
    assert tags_of(made) == {"job": "pretraining", "craton:simulated": "true"}
    account = made["OwnerId"]
    assert made["CapacityReservationArn"] == (
        f"arn:aws:ec2:{REGION}:{account}:capacity-reservation/{made['CapacityReservationId']}"
    )
    (block,) = answer["CapacityBlocks"]
    assert block["UltraserverType"] == "u-trn2x64"
    assert block["CapacityReservationIds"] == [made["CapacityReservationId"]]
    again = ec2.purchase_capacity_block(**order)
    assert again["CapacityReservation"] == made
    for other in ({"InstancePlatform": "Windows"}, {"TagSpecifications": []}):
        told = refused(ec2.purchase_capacity_block, **{**order, **other})
        assert told[:2] == ("IdempotentParameterMismatch", 400)
    described = ec2.describe_capacity_reservations(
        CapacityReservationIds=[made["CapacityReservationId"]]
    )
    assert described["CapacityReservations"] == [made]


def test_blocks_are_described_by_id_filter_and_page(ec2: Any) -> None:
    ids = {bought(ec2)["CapacityReservation"]["CapacityBlockId"] for _ in range(2)}
    pages = ec2.get_paginator("describe_capacity_blocks").paginate(PaginationConfig={"PageSize": 1})
    every = [each for page in pages for each in page["CapacityBlocks"]]
    assert len({each["CapacityBlockId"] for each in every}) == len(every)
    assert ids <= {each["CapacityBlockId"] for each in every}
    one = min(ids)
    (found,) = ec2.describe_capacity_blocks(CapacityBlockIds=[one])["CapacityBlocks"]
    assert (found["State"], found["AvailabilityZoneId"]) == ("scheduled", "use1-north")
    for name, value, is_found in [
        ("ultraserver-type", "u-trn2x64", True),
        ("ultraserver-type", "instances", False),
        ("start-date", found["StartDate"].strftime("%Y-%m-%dT%H:%M:%S.000Z"), True),
        ("state", "active", False),
        ("tag:craton:simulated", "true", True),
    ]:
        got = ec2.describe_capacity_blocks(
            CapacityBlockIds=[one], Filters=[{"Name": name, "Values": [value]}]
        )
        assert bool(got["CapacityBlocks"]) is is_found, name


def test_the_status_of_a_block_tells_what_is_known_and_no_more(ec2: Any) -> None:
    made = bought(ec2, 2)["CapacityReservation"]
    (status,) = ec2.describe_capacity_block_status(CapacityBlockIds=[made["CapacityBlockId"]])[
        "CapacityBlockStatuses"
    ]
    assert status["InterconnectStatus"] == "insufficient-data"
    assert status["TotalCapacity"] == 8
    assert status["TotalUnavailableCapacity"] == 0
    (of_reservation,) = status["CapacityReservationStatuses"]
    assert of_reservation["CapacityReservationId"] == made["CapacityReservationId"]
    filters = [{"Name": "interconnect-status", "Values": ["impaired"]}]
    pages = ec2.get_paginator("describe_capacity_block_status").paginate(Filters=filters)
    assert [each for page in pages for each in page["CapacityBlockStatuses"]] == []


def test_a_block_is_made_longer_and_its_history_says_so(ec2: Any) -> None:
    made = bought(ec2)["CapacityReservation"]
    id = made["CapacityReservationId"]
    pages = ec2.get_paginator("describe_capacity_block_extension_offerings").paginate(
        CapacityReservationId=id, CapacityBlockExtensionDurationHours=48
    )
    (offer,) = [each for page in pages for each in page["CapacityBlockExtensionOfferings"]]
    assert offer["StartDate"] == made["StartDate"]
    assert offer["CapacityBlockExtensionStartDate"] == made["EndDate"]
    assert offer["CapacityBlockExtensionEndDate"] == made["EndDate"] + 2 * DAY
    order = {
        "CapacityReservationId": id,
        "CapacityBlockExtensionOfferingId": offer["CapacityBlockExtensionOfferingId"],
    }
    (extension,) = ec2.purchase_capacity_block_extension(**order)["CapacityBlockExtensions"]
    assert extension["CapacityBlockExtensionStatus"] == "payment-succeeded"
    assert extension["UpfrontFee"] == offer["UpfrontFee"]
    again = ec2.purchase_capacity_block_extension(**order)["CapacityBlockExtensions"]
    assert again == [extension]
    other = bought(ec2)["CapacityReservation"]["CapacityReservationId"]
    elsewhere = {**order, "CapacityReservationId": other}
    told = refused(ec2.purchase_capacity_block_extension, **elsewhere)
    assert told[:2] == ("InvalidParameterValue", 400), "its offering says of which block it is"
    (longer,) = ec2.describe_capacity_reservations(CapacityReservationIds=[id])[
        "CapacityReservations"
    ]
    assert longer["EndDate"] == made["EndDate"] + 2 * DAY
    history = ec2.get_paginator("describe_capacity_block_extension_history").paginate(
        CapacityReservationIds=[id],
        Filters=[{"Name": "capacity-block-extension-status", "Values": ["payment-*"]}],
    )
    assert [each for page in history for each in page["CapacityBlockExtensions"]] == [extension]


def test_an_extension_of_a_length_that_there_is_not_is_refused(ec2: Any) -> None:
    id = bought(ec2)["CapacityReservation"]["CapacityReservationId"]
    code, _, message = refused(
        ec2.describe_capacity_block_extension_offerings,
        CapacityReservationId=id,
        CapacityBlockExtensionDurationHours=30,
    )
    assert code == "InvalidParameterValue"
    assert "CapacityBlockExtensionDurationHours is 30" in message


def test_a_block_cannot_be_changed_cancelled_or_divided(ec2: Any) -> None:
    id = bought(ec2)["CapacityReservation"]["CapacityReservationId"]
    assert refused(ec2.cancel_capacity_reservation, CapacityReservationId=id)[:2] == (
        "OperationNotPermitted",
        400,
    )
    code, _, message = refused(
        ec2.modify_capacity_reservation, CapacityReservationId=id, InstanceCount=8
    )
    assert code == "Unsupported"
    assert "PurchaseCapacityBlockExtension" in message
    split = {"SourceCapacityReservationId": id, "InstanceCount": 1}
    assert refused(ec2.create_capacity_reservation_by_splitting, **split)[0] == "Unsupported"


def test_offerings_are_good_for_their_own_account_alone(ec2: Any, stranger: Any) -> None:
    (first, *_) = ultraservers(ec2)
    id = first["CapacityBlockOfferingId"]
    order = {"CapacityBlockOfferingId": id, "InstancePlatform": LINUX}
    for client, forged, code in [
        (stranger, id, "InvalidCapacityBlockOfferingIdNotFound"),
        (ec2, id[:-6] + "AAAAAA", "InvalidCapacityBlockOfferingIdNotFound"),
        (ec2, "cbo-0", "InvalidCapacityBlockOfferingIdNotFound"),
        (ec2, "block-1", "InvalidCapacityBlockOfferingIdMalformed"),
    ]:
        changed = {**order, "CapacityBlockOfferingId": forged}
        assert refused(client.purchase_capacity_block, **changed)[:2] == (code, 400)


def test_no_account_sees_or_touches_blocks_of_another(ec2: Any, stranger: Any) -> None:
    made = bought(ec2)["CapacityReservation"]
    id, block = made["CapacityReservationId"], made["CapacityBlockId"]
    assert stranger.describe_capacity_blocks()["CapacityBlocks"] == []
    assert stranger.describe_capacity_block_status()["CapacityBlockStatuses"] == []
    assert stranger.describe_capacity_block_extension_history()["CapacityBlockExtensions"] == []
    missing = ("InvalidCapacityReservationId.NotFound", 400)
    assert refused(stranger.describe_capacity_blocks, CapacityBlockIds=[block])[:2] == (
        "InvalidCapacityBlockId.NotFound",
        400,
    )
    search = {"CapacityReservationId": id, "CapacityBlockExtensionDurationHours": 24}
    call = stranger.describe_capacity_block_extension_offerings
    assert refused(call, **search)[:2] == missing
    assert (
        refused(stranger.create_tags, Resources=[id], Tags=[{"Key": "a", "Value": "b"}])[:2]
        == missing
    )


def test_malformed_ids_are_told_apart_from_unknown_ones(ec2: Any) -> None:
    for id, code in [
        ("cb-1", "InvalidCapacityBlockId.Malformed"),
        ("cb-" + "0" * 17, "InvalidCapacityBlockId.NotFound"),
    ]:
        assert refused(ec2.describe_capacity_blocks, CapacityBlockIds=[id])[:2] == (code, 400)


def test_a_block_that_no_budget_has_room_for_is_not_paid(craton: Craton) -> None:
    key = new_key(craton, "poor")
    client = ec2_client(craton, key)
    budget = {"name": "small", "account": key.account, "amount_nanos": 1_000_000_000}
    native(craton).post("/budgets", dict[str, Any], budget)
    before = ultraservers(client, 1)
    answer = bought(client)
    assert answer["CapacityReservation"]["State"] == "payment-failed"
    assert answer["CapacityBlocks"][0]["State"] == "payment-failed"
    # Nothing stays kept for it.
    assert len(ultraservers(client, 1)) == len(before)
    client.close()
