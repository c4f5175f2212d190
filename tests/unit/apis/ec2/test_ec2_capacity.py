"""The fleet's answers in EC2's words, where a running fleet would have to be waited for."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from craton.access.records import AccountId, KeyId, Principal, ProjectId, Role
from craton.apis.aws.model import Models
from craton.apis.aws.render import check
from craton.apis.ec2.capacity_words import check_id, fee
from craton.apis.ec2.operation import Asked, Document, Place
from craton.apis.ec2.table import operations
from craton.apis.ec2.tags import given_tags
from craton.fleet.contract import Offers, Reservations, ReservationsQuery, ReservationView
from craton.fleet.records import (
    Extension,
    FleetState,
    ReservationKind,
    ReservationState,
    TypeChoice,
)
from craton.fleet.reservation_contract import (
    FleetMember,
    FleetOfReservations,
    FleetsOfReservations,
    InstanceTypeView,
    Offered,
)
from craton.kernel.errors import BadRequest
from tests.fakes.fleet_views import ACCOUNT, DAY_S, MIDNIGHT_S, offer, reservation

PRINCIPAL = Principal(AccountId(ACCOUNT), ProjectId("p"), KeyId("k"), Role.MEMBER)
ASKED = Asked(PRINCIPAL, Place("eu-central-1"), "", MIDNIGHT_S * 1000)


class Answering:
    """A state process that gives each command one answer."""

    def __init__(self, **answers: msgspec.Struct) -> None:
        self._answers = answers
        self.asked: list[msgspec.Struct] = []

    async def call(self, name: str, body: msgspec.Struct, reads: type[Any]) -> Any:
        self.asked.append(body)
        found = self._answers[name]
        assert isinstance(found, reads)
        return found


async def answer(name: str, state: Answering, **params: Any) -> Document:
    """An operation's output, which must be as the model says."""
    document = await operations(state)[name].run(ASKED, params)
    shape = Models().operation("ec2", name).output
    assert shape is not None
    assert check(shape, document) == []
    return document


async def described(**changed: Any) -> Document:
    state = Answering(reservations=Reservations([reservation(**changed)]))
    (found,) = (await answer("DescribeCapacityReservations", state))["CapacityReservations"]
    return found


async def status(**changed: Any) -> Document:
    state = Answering(reservations=Reservations([reservation(**changed)]))
    (found,) = (await answer("DescribeCapacityBlockStatus", state))["CapacityBlockStatuses"]
    return found


@pytest.mark.parametrize("state", ReservationState)
async def test_every_state_of_a_reservation_is_one_of_ec2s(state: ReservationState) -> None:
    found = await described(state=state)
    assert found["State"] == state.value
    is_held = state in (ReservationState.ACTIVE, ReservationState.UNAVAILABLE)
    assert found["AvailableInstanceCount"] == (5 if is_held else 0)


async def test_the_state_process_is_asked_of_the_callers_account_alone() -> None:
    one = reservation()
    state = Answering(reservations=Reservations([one]))
    for name, params in [
        ("GetCapacityReservationUsage", {"CapacityReservationId": one.id}),
        ("DescribeCapacityReservations", {}),
        ("DescribeCapacityBlocks", {}),
    ]:
        await answer(name, state, **params)
    assert state.asked == [
        ReservationsQuery(ACCOUNT, one.id),
        ReservationsQuery(ACCOUNT),
        ReservationsQuery(ACCOUNT),
    ]


async def test_hosts_that_broke_are_not_available_and_impair_the_block() -> None:
    broken = {"broken_hosts": 4, "state": ReservationState.UNAVAILABLE}
    assert (await described(**broken))["AvailableInstanceCount"] == 1
    found = await status(**broken)
    assert found["InterconnectStatus"] == "impaired"
    assert (found["TotalCapacity"], found["TotalUnavailableCapacity"]) == (8, 4)
    assert (await status())["InterconnectStatus"] == "insufficient-data"


async def test_what_is_over_has_no_status_unless_it_is_named() -> None:
    over = reservation(state=ReservationState.EXPIRED)
    state = Answering(reservations=Reservations([over]))
    found = await answer("DescribeCapacityBlockStatus", state)
    assert found["CapacityBlockStatuses"] == []
    found = await answer("DescribeCapacityBlockStatus", state, CapacityBlockIds=[over.block])
    assert len(found["CapacityBlockStatuses"]) == 1


async def test_only_what_is_simulated_is_tagged_so() -> None:
    for is_simulated, tags in [(True, ["craton:simulated", "job"]), (False, ["job"])]:
        found = await described(is_simulated=is_simulated, tags={"job": "x"})
        assert [tag["Key"] for tag in found["Tags"]] == tags


async def test_a_cancelled_reservation_had_no_end_of_its_own() -> None:
    found = await described(kind=ReservationKind.OPEN, state=ReservationState.CANCELLED, block=None)
    assert found["EndDateType"] == "unlimited"
    assert "CapacityBlockId" not in found
    assert (await described())["EndDateType"] == "limited"
    assert "EndDate" not in await described(end_s=None)


async def test_a_reservation_lies_under_the_nodes_that_all_its_hosts_share() -> None:
    async def nodes(*hosts: str, **changed: Any) -> list[str]:
        view = reservation(hosts=list(hosts), **changed)
        state = Answering(reservations=Reservations([view]))
        found = await answer("DescribeCapacityReservationTopology", state)
        (one,) = found["CapacityReservations"]
        return one["NetworkNodes"]

    rack = await nodes("north/a/t1/1", "north/a/t1/2")
    row = await nodes("north/a/t1/1", "north/a/t2/1")
    site = await nodes("north/a/t1/1", "north/b/t1/1")
    assert (len(rack), len(row), len(site)) == (3, 2, 1)
    assert rack[:2] == row
    assert row[:1] == site
    assert await nodes() == []
    view = reservation(state=ReservationState.SCHEDULED)
    state = Answering(reservations=Reservations([view]))
    found = await answer("DescribeCapacityReservationTopology", state)
    assert found["CapacityReservations"] == []


async def test_an_extension_is_told_with_its_fee_and_moments() -> None:
    extension = Extension("cbo-x", 1_000, MIDNIGHT_S, MIDNIGHT_S + 86_400, 1_234_500_000)
    view: ReservationView = reservation(extensions=[extension])
    state = Answering(reservations=Reservations([view]))
    (found,) = (await answer("DescribeCapacityBlockExtensionHistory", state))[
        "CapacityBlockExtensions"
    ]
    assert (found["UpfrontFee"], found["CapacityBlockExtensionDurationHours"]) == ("1.2345", 24)


async def test_types_with_names_of_our_own_have_no_place_in_ec2s_shapes() -> None:
    def view(name: str, **changed: Any) -> InstanceTypeView:
        values = {
            "is_own": name.startswith("craton."),
            "chip": "c",
            "chip_title": "AMD C",
            "vendor": "AMD",
            "chips": 2,
            "chip_memory_mib": 0,
            "vcpus": None,
            "memory_gib": None,
            "zones": ["north"],
        }
        return InstanceTypeView(name=name, **{**values, **changed})

    types = [view("craton.mi300x"), view("p5.48xlarge"), view("inf2.xlarge", zones=[])]
    state = Answering(offered=Offered([], types))
    found = await answer("DescribeInstanceTypes", state)
    # Nothing is known of its chips, its memory or its processors, and nothing is made up.
    assert found["InstanceTypes"] == [
        {
            "InstanceType": "p5.48xlarge",
            "SupportedInRegion": True,
            "SupportedUsageClasses": ["on-demand", "capacity-block"],
        }
    ]
    places = await answer(
        "DescribeInstanceTypeOfferings", state, LocationType="availability-zone-id"
    )
    assert places["InstanceTypeOfferings"] == [
        {
            "InstanceType": "p5.48xlarge",
            "LocationType": "availability-zone-id",
            "Location": "euc1-north",
        }
    ]


MORNING = MIDNIGHT_S + 4 * 3600 + 55 * 60
HALF_PAST_ELEVEN = MIDNIGHT_S + 11 * 3600 + 30 * 60
WHERE = {
    "InstanceType": "trn2u.48xlarge",
    "InstanceCount": 8,
    "AvailabilityZone": "north",
    "ZoneType": "availability-zone",
}
PLACE = {**WHERE, "AvailabilityZoneId": "euc1-north"}
FEE = {"UpfrontFee": "40320.00", "CurrencyCode": "USD"}


async def test_an_offering_is_told_whole_its_length_in_hours_and_minutes() -> None:
    state = Answering(search_offers=Offers([offer(start_s=MORNING, end_s=HALF_PAST_ELEVEN)]))
    wanted = {"UltraserverType": "u-trn2x64", "UltraserverCount": 2, "CapacityDurationHours": 24}
    (found,) = (await answer("DescribeCapacityBlockOfferings", state, **wanted))[
        "CapacityBlockOfferings"
    ]
    # The example of the service model: from 04:55 to 11:30 are 6 hours and 35 minutes.
    times = {
        "StartDate": at(MORNING),
        "EndDate": at(HALF_PAST_ELEVEN),
        "CapacityBlockDurationHours": 6,
        "CapacityBlockDurationMinutes": 35,
    }
    assert found == {
        **WHERE,
        **times,
        **FEE,
        "CapacityBlockOfferingId": "cbo-first",
        "Tenancy": "default",
        "UltraserverType": "u-trn2x64",
        "UltraserverCount": 2,
        "CapacityBlockOfferingSegments": [{**PLACE, **times, **FEE}],
    }
    whole = Answering(search_offers=Offers([offer()]))
    (found,) = (await answer("DescribeCapacityBlockOfferings", whole, **wanted))[
        "CapacityBlockOfferings"
    ]
    assert found["CapacityBlockDurationHours"] == 7 * 24
    assert found["CapacityBlockDurationMinutes"] == 0


async def test_a_block_is_told_whole() -> None:
    one = reservation(
        is_simulated=False, tags={"b": "2", "a": "1"}, created_ms=MIDNIGHT_S * 1000 - 500
    )
    state = Answering(reservations=Reservations([one]))
    (found,) = (await answer("DescribeCapacityBlocks", state))["CapacityBlocks"]
    assert found == {
        "CapacityBlockId": one.block,
        "UltraserverType": "u-trn2x64",
        "AvailabilityZone": "north",
        "AvailabilityZoneId": "euc1-north",
        "CapacityReservationIds": [one.id],
        "StartDate": at(MIDNIGHT_S),
        "EndDate": at(MIDNIGHT_S + 7 * DAY_S),
        "CreateDate": at(MIDNIGHT_S - 0.5),
        "State": "active",
        "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}],
    }
    loose = Answering(reservations=Reservations([reservation(ultraserver=None)]))
    (found,) = (await answer("DescribeCapacityBlocks", loose))["CapacityBlocks"]
    assert "UltraserverType" not in found


async def test_a_reservation_is_told_whole() -> None:
    found = await described(is_simulated=False, fleet="crf-0123456789abcdef0")
    assert found == {
        "CapacityReservationId": "cr-0123456789abcdef0",
        "OwnerId": ACCOUNT,
        "CapacityReservationArn": (
            f"arn:aws:ec2:eu-central-1:{ACCOUNT}:capacity-reservation/cr-0123456789abcdef0"
        ),
        "AvailabilityZone": "north",
        "AvailabilityZoneId": "euc1-north",
        "InstanceType": "trn2u.48xlarge",
        "InstancePlatform": "Linux/UNIX",
        "Tenancy": "default",
        "TotalInstanceCount": 8,
        "AvailableInstanceCount": 5,
        "EbsOptimized": False,
        "EphemeralStorage": False,
        "State": "active",
        "StartDate": at(MIDNIGHT_S),
        "EndDate": at(MIDNIGHT_S + 7 * DAY_S),
        "EndDateType": "limited",
        "InstanceMatchCriteria": "targeted",
        "CreateDate": at(MIDNIGHT_S),
        "Tags": [],
        "ReservationType": "capacity-block",
        "CapacityBlockId": "cb-0123456789abcdef0",
        "CapacityReservationFleetId": "crf-0123456789abcdef0",
        "CapacityAllocations": [{"AllocationType": "used", "Count": 3}],
    }
    assert "CapacityAllocations" not in await described(used_hosts=0)


async def test_the_status_of_a_block_and_of_its_reservation_are_told_whole() -> None:
    capacity = {
        "TotalCapacity": 8,
        "TotalAvailableCapacity": 4,
        "TotalUnavailableCapacity": 1,
    }
    assert await status(broken_hosts=1) == {
        "CapacityBlockId": "cb-0123456789abcdef0",
        "InterconnectStatus": "impaired",
        **capacity,
        "CapacityReservationStatuses": [
            {"CapacityReservationId": "cr-0123456789abcdef0", **capacity}
        ],
    }


async def test_an_extension_is_told_whole_when_it_is_offered_and_when_it_is_bought() -> None:
    begin, end = MIDNIGHT_S + 7 * DAY_S, MIDNIGHT_S + 8 * DAY_S
    one = reservation(extensions=[Extension("cbo-x", begin * 1000 - 250, begin, end, 5 * 10**9)])
    longer = offer(id="cbo-x", start_s=begin, end_s=end, amount_nanos=5 * 10**9)
    state = Answering(
        reservations=Reservations([one]),
        search_extensions=Offers([longer]),
        buy_extension=one,
    )
    shared = {
        **PLACE,
        "CapacityBlockExtensionOfferingId": "cbo-x",
        "CapacityBlockExtensionDurationHours": 24,
        "CapacityBlockExtensionStartDate": at(begin),
        "CapacityBlockExtensionEndDate": at(end),
        "UpfrontFee": "5.00",
        "CurrencyCode": "USD",
    }
    offered = await answer(
        "DescribeCapacityBlockExtensionOfferings",
        state,
        CapacityReservationId=one.id,
        CapacityBlockExtensionDurationHours=24,
    )
    assert offered["CapacityBlockExtensionOfferings"] == [
        {**shared, "StartDate": at(MIDNIGHT_S), "Tenancy": "default"}
    ]
    made = {
        **shared,
        "CapacityReservationId": one.id,
        "CapacityBlockExtensionStatus": "payment-succeeded",
        "CapacityBlockExtensionPurchaseDate": at(begin - 0.25),
    }
    bought = await answer(
        "PurchaseCapacityBlockExtension",
        state,
        CapacityReservationId=one.id,
        CapacityBlockExtensionOfferingId="cbo-x",
    )
    assert bought["CapacityBlockExtensions"] == [made]
    history = await answer("DescribeCapacityBlockExtensionHistory", state)
    assert history["CapacityBlockExtensions"] == [made]


async def test_a_fleet_of_reservations_is_told_whole() -> None:
    choice = TypeChoice(
        instance_type="p5en.48xlarge", platform="Linux/UNIX", weight=2.0, priority=3
    )
    member = FleetMember(
        choice=choice,
        reservation="cr-0123456789abcdef0",
        zone="north",
        hosts=3,
        created_ms=MIDNIGHT_S * 1000,
    )
    view = FleetOfReservations(
        id="crf-0123456789abcdef0",
        state=FleetState.ACTIVE,
        before=FleetState.ACTIVE,
        target=5,
        fulfilled=6.0,
        end_s=MIDNIGHT_S + DAY_S,
        created_ms=MIDNIGHT_S * 1000,
        tags={"a": "1"},
        members=[member],
    )
    state = Answering(reservation_fleets=FleetsOfReservations([view]))
    (found,) = (await answer("DescribeCapacityReservationFleets", state))[
        "CapacityReservationFleets"
    ]
    assert found == {
        "CapacityReservationFleetId": view.id,
        "CapacityReservationFleetArn": (
            f"arn:aws:ec2:eu-central-1:{ACCOUNT}:capacity-reservation-fleet/{view.id}"
        ),
        "State": "active",
        "TotalTargetCapacity": 5,
        "TotalFulfilledCapacity": 6.0,
        "Tenancy": "default",
        "EndDate": at(MIDNIGHT_S + DAY_S),
        "CreateTime": at(MIDNIGHT_S),
        "InstanceMatchCriteria": "open",
        "AllocationStrategy": "prioritized",
        "Tags": [{"Key": "a", "Value": "1"}],
        "InstanceTypeSpecifications": [
            {
                "CapacityReservationId": "cr-0123456789abcdef0",
                "InstanceType": "p5en.48xlarge",
                "InstancePlatform": "Linux/UNIX",
                "AvailabilityZone": "north",
                "AvailabilityZoneId": "euc1-north",
                "TotalInstanceCount": 3,
                "FulfilledCapacity": 6.0,
                "EbsOptimized": False,
                "CreateDate": at(MIDNIGHT_S),
                "Weight": 2.0,
                "Priority": 3,
            }
        ],
    }


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (1_500_000_000, "1.50"),
        (998_690_000_000, "998.69"),
        (45_000 * 10**9, "45000.00"),
        (72_093_772_800_000, "72093.7728"),
    ],
)
def test_a_fee_is_printed_exactly_with_two_places_or_more(nanos: int, text: str) -> None:
    assert fee(nanos) == text


@pytest.mark.parametrize(
    "id", ["", "cr-", "cr-0123456789abcdef", "cr-0123456789ABCDEF0", "cb-0123456789abcdef0", "x"]
)
def test_an_id_of_another_form_is_malformed(id: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_id("cr", id)
    assert caught.value.code == "InvalidCapacityReservationId.Malformed"
    assert check_id("cr", "cr-0123456789abcdef0")


def test_tags_that_would_be_lost_or_are_not_the_callers_to_give_are_refused() -> None:
    def given(*tags: tuple[str | None, str | None], kind: str = "capacity-reservation") -> Any:
        pairs = [
            {name: text for name, text in (("Key", key), ("Value", value)) if text is not None}
            for key, value in tags
        ]
        specification = {"ResourceType": kind, "Tags": pairs}
        return given_tags({"TagSpecifications": [specification]}, ("capacity-reservation",))

    assert given(("a", "1"), ("b", None)) == {"a": "1", "b": ""}
    for tags, code in [
        ([("a", "1"), ("a", "2")], "InvalidParameterValue"),
        ([(None, "1")], "InvalidParameterValue"),
        ([("", "1")], "InvalidParameterValue"),
        ([("AWS:x", "1")], "InvalidParameterValue"),
        ([("craton:simulated", "false")], "InvalidParameterValue"),
        ([("a", "v" * 257)], "InvalidParameterValue"),
        ([(f"k{number}", "") for number in range(51)], "TagLimitExceeded"),
    ]:
        with pytest.raises(BadRequest) as caught:
            given(*tags)
        assert caught.value.code == code
    with pytest.raises(BadRequest, match="taggable"):
        given(("a", "1"), kind="volume")
