"""What every operation of EC2 has done for it, and where this cloud says it is."""

from typing import Any

import msgspec
import pytest

from craton.access.records import AccountId, KeyId, Principal, ProjectId, Role
from craton.apis.aws.ec2_errors import CODES, ec2_error, name_ec2_error
from craton.apis.ec2.endpoints import Ec2
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged, Place
from craton.apis.ec2.regions import SIMULATED, Zones, describe_regions, zone_id, zone_of
from craton.fleet.reservation_contract import OfferedQuery, ZoneView
from craton.kernel.clock import ManualClock
from craton.kernel.errors import (
    AccessDenied,
    BadRequest,
    Conflict,
    CratonError,
    NotFound,
    Throttled,
    Unauthenticated,
)

PLACE = Place("us-gov-west-1")
PRINCIPAL = Principal(AccountId("123456789012"), ProjectId("p"), KeyId("k"), Role.MEMBER)
BLOCK = "arn:aws:ec2:us-gov-west-1:123456789012:capacity-reservation/cr-"
ASKED = Asked(PRINCIPAL, PLACE, "craton.local:8000", 0)


class Permit:
    """Allows everything but one resource, and keeps what it was asked."""

    def __init__(self, denied: str | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self._denied = denied

    def admit(self, action: str, resource: str) -> None:
        self.asked.append((action, resource))
        if resource == self._denied:
            raise AccessDenied(f"not {resource}")


class Request:
    headers = {b"host": b"craton.local:8000"}


class Exchange:
    """As much of an exchange as operations read."""

    def __init__(self, permit: Permit) -> None:
        self.allowed = permit
        self.principal = PRINCIPAL
        self.request = Request()


class Answers:
    def __init__(self) -> None:
        self.documents: list[Document] = []

    def respond(self, exchange: Any, document: Document) -> None:
        self.documents.append(document)


class Blocks:
    """Operations about blocks, for a table of their own."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, int]] = []

    async def cancel(self, asked: Asked, params: Document) -> Document:
        self.cancelled.append((params["CapacityReservationId"], asked.now_ms))
        return {"Return": True}

    def resources(self, asked: Asked, params: Document) -> list[str]:
        return [BLOCK + params["CapacityReservationId"]]

    async def call(self, permit: Permit, **params: Any) -> Answers:
        row = Ec2Operation(self.cancel, self.resources)
        ec2 = Ec2(ManualClock(5_000_000), PLACE, {"CancelCapacityReservation": row})
        key = ("ec2", "CancelCapacityReservation")
        assert ec2.about_resources == {key}
        answers, exchange = Answers(), Exchange(permit)
        await ec2.handlers[key](exchange, answers, params)  # type: ignore[arg-type]
        return answers


async def test_an_operation_runs_once_it_may_do_what_it_is_about() -> None:
    blocks, permit = Blocks(), Permit()
    answers = await blocks.call(permit, CapacityReservationId="1")
    assert permit.asked == [("ec2:CancelCapacityReservation", BLOCK + "1")]
    assert blocks.cancelled == [("1", 5)]
    assert answers.documents == [{"Return": True}]


async def test_whoever_tags_what_it_creates_must_be_allowed_to_tag() -> None:
    blocks, permit = Blocks(), Permit()
    await blocks.call(permit, CapacityReservationId="1", TagSpecifications=[{}])
    assert permit.asked == [
        ("ec2:CancelCapacityReservation", BLOCK + "1"),
        ("ec2:CreateTags", BLOCK + "1"),
    ]


async def test_an_operation_about_a_forbidden_thing_does_not_run() -> None:
    blocks = Blocks()
    for dry_run in (False, True):
        with pytest.raises(AccessDenied) as caught:
            await blocks.call(Permit(BLOCK + "1"), CapacityReservationId="1", DryRun=dry_run)
        assert name_ec2_error(caught.value) == ("UnauthorizedOperation", 403)
    assert blocks.cancelled == []


async def test_a_dry_run_changes_nothing_and_says_that_it_may() -> None:
    blocks, permit = Blocks(), Permit()
    with pytest.raises(CratonError, match="would have succeeded") as caught:
        await blocks.call(permit, CapacityReservationId="1", DryRun=True)
    assert name_ec2_error(caught.value) == ("DryRunOperation", 412)
    assert permit.asked
    assert blocks.cancelled == []


async def test_a_paged_operation_gives_a_page_and_the_token_of_the_next() -> None:
    async def describe(asked: Asked, params: Document) -> Document:
        return {"CapacityReservations": [{"Id": id} for id in ("c", "a", "b")], "Extra": 1}

    row = Ec2Operation(describe, paged=Paged("CapacityReservations", ("Id",), results_max=2))
    ec2 = Ec2(ManualClock(), PLACE, {"DescribeCapacityReservations": row})
    handle = ec2.handlers["ec2", "DescribeCapacityReservations"]
    answers, exchange = Answers(), Exchange(Permit())
    await handle(exchange, answers, {})  # type: ignore[arg-type]
    token = answers.documents[0]["NextToken"]
    await handle(exchange, answers, {"NextToken": token})  # type: ignore[arg-type]
    assert answers.documents == [
        {"CapacityReservations": [{"Id": "a"}, {"Id": "b"}], "Extra": 1, "NextToken": token},
        {"CapacityReservations": [{"Id": "c"}], "Extra": 1, "NextToken": None},
    ]
    assert ec2.about_resources == frozenset()


async def test_things_that_share_a_key_are_told_apart_by_the_next() -> None:
    async def describe(asked: Asked, params: Document) -> Document:
        return {"Tags": [{"Id": id, "Key": key} for id in "ba" for key in "yx"]}

    row = Ec2Operation(describe, paged=Paged("Tags", ("Id", "Key"), results_max=1))
    handle = Ec2(ManualClock(), PLACE, {"DescribeTags": row}).handlers["ec2", "DescribeTags"]
    answers, exchange = Answers(), Exchange(Permit())
    token: str | None = ""
    while token is not None:
        params = {"NextToken": token} if token else {}
        await handle(exchange, answers, params)  # type: ignore[arg-type]
        token = answers.documents[-1]["NextToken"]
    found = [tag for document in answers.documents for tag in document["Tags"]]
    assert [tag["Id"] + tag["Key"] for tag in found] == ["ax", "ay", "bx", "by"]


# --- where this cloud is ------------------------------------------------------------------------


class Sites:
    """A state process that knows of two sites, the second of them simulated."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def call(self, name: str, body: msgspec.Struct, reads: type[Any]) -> Any:
        assert name == "offered"
        self.asked.append(body)
        return reads([ZoneView("local", False), ZoneView("north", True)], [])


async def test_a_region_has_the_sites_of_the_fleet_for_zones() -> None:
    sites = Sites()
    zones = (await Zones(sites).describe(ASKED, {}))["AvailabilityZones"]
    assert sites.asked == [OfferedQuery(PRINCIPAL.account)]
    assert [zone["ZoneName"] for zone in zones] == ["local", "north"]
    assert [zone["ZoneId"] for zone in zones] == ["usgw1-local", "usgw1-north"]


async def test_a_zone_that_is_simulated_says_so() -> None:
    real, imagined = (await Zones(Sites()).describe(ASKED, {}))["AvailabilityZones"]
    assert real["Messages"] == []
    assert imagined["Messages"] == [{"Message": SIMULATED}]


async def test_zones_are_chosen_by_name_id_and_filter() -> None:
    async def names(**params: Any) -> list[str]:
        found = await Zones(Sites()).describe(ASKED, params)
        return [zone["ZoneName"] for zone in found["AvailabilityZones"]]

    assert await names(ZoneNames=["north"]) == ["north"]
    assert await names(ZoneIds=["usgw1-local"]) == ["local"]
    assert await names(ZoneNames=["north"], ZoneIds=["usgw1-local"]) == []
    assert await names(Filters=[{"Name": "zone-name", "Values": ["n*"]}]) == ["north"]
    assert await names(Filters=[{"Name": "message", "Values": ["*simulated*"]}]) == ["north"]
    assert await names(Filters=[{"Name": "parent-zone-name", "Values": ["*"]}]) == []
    with pytest.raises(BadRequest, match="east"):
        await names(ZoneNames=["north", "east"])


def test_a_request_names_a_zone_by_its_name_or_its_id() -> None:
    assert zone_of(PLACE, {}) is None
    assert zone_of(PLACE, {"AvailabilityZone": "north"}) == "north"
    assert zone_of(PLACE, {"AvailabilityZoneId": "usgw1-north"}) == "north"
    both = {"AvailabilityZone": "north", "AvailabilityZoneId": "usgw1-north"}
    assert zone_of(PLACE, both) == "north"
    for params, code in [
        ({"AvailabilityZoneId": "use1-north"}, "InvalidAvailabilityZone"),
        ({**both, "AvailabilityZone": "south"}, "InvalidParameterCombination"),
    ]:
        with pytest.raises(BadRequest) as caught:
            zone_of(PLACE, params)
        assert caught.value.code == code


async def test_a_region_is_known_by_where_it_answers() -> None:
    filters = [{"Name": "endpoint", "Values": ["craton.local*"]}]
    found = await describe_regions(ASKED, {"Filters": filters, "RegionNames": ["us-gov-west-1"]})
    assert [region["Endpoint"] for region in found["Regions"]] == ["craton.local:8000"]
    elsewhere = msgspec.structs.replace(ASKED, host="other")
    assert await describe_regions(elsewhere, {"Filters": filters}) == {"Regions": []}


@pytest.mark.parametrize(
    ("region", "id"),
    [
        ("us-east-1", "use1-north"),
        ("ap-southeast-2", "apse2-north"),
        ("eu-central-1", "euc1-north"),
        ("us-gov-west-1", "usgw1-north"),
        ("our-cellar", "our-cellar-north"),
        ("us-eastern-1", "us-eastern-1-north"),
    ],
)
def test_a_zone_has_an_id_with_the_prefix_that_aws_makes_of_a_region(region: str, id: str) -> None:
    assert zone_id(region, "north") == id


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_ec2_leaves_as_it_is(code: str) -> None:
    assert name_ec2_error(ec2_error(code, "m")) == (code, CODES[code])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidCapacityReservationId.NotFound", NotFound),
        ("InvalidCapacityReservationId.Malformed", BadRequest),
        ("IncorrectState", Conflict),
        ("RequestLimitExceeded", Throttled),
    ],
)
def test_a_code_says_what_fault_it_is(code: str, kind: type[CratonError]) -> None:
    assert type(ec2_error(code, "m")) is kind


def test_a_code_of_one_kind_of_thing_leaves_with_400() -> None:
    code = "InvalidCapacityReservationId.NotFound"
    assert name_ec2_error(ec2_error(code, "m")) == (code, 400)


@pytest.mark.parametrize("code", ["ValidationException", "InvalidSomethingException", "x", ""])
def test_what_is_no_code_of_ec2s_does_not_leave(code: str) -> None:
    assert name_ec2_error(BadRequest("m", code=code)) == ("InvalidParameterValue", 400)
    with pytest.raises(AssertionError):
        ec2_error(code, "m")


@pytest.mark.parametrize(
    ("code", "told", "status"),
    [
        ("UnrecognizedClientException", "AuthFailure", 401),
        ("InvalidSignatureException", "SignatureDoesNotMatch", 403),
        ("IncompleteSignatureException", "IncompleteSignature", 400),
        ("MissingAuthenticationTokenException", "MissingParameter", 400),
        ("ExpiredTokenException", "RequestExpired", 400),
    ],
)
def test_a_bad_signature_is_told_as_ec2_tells_it(code: str, told: str, status: int) -> None:
    assert name_ec2_error(Unauthenticated("m", code=code)) == (told, status)
