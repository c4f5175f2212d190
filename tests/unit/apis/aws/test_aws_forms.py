"""Forms and XML against botocore's own serializers and parsers, over inputs made by the models."""

import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from craton.apis.aws import model as ours
from craton.apis.aws.errors import render_error
from craton.apis.aws.forms import FORM_BYTES_MAX, PARAMETERS_MAX, read_form
from craton.apis.aws.operations import entries
from craton.apis.aws.parse import parse
from craton.apis.aws.render import check, render
from craton.apis.aws.xml import xml_text
from craton.kernel.errors import BadRequest, CratonError, Fault, TooLarge, raised

REQUEST_ID = "01999999-0000-7000-8000-000000000000"
HEADERS = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
VERSION = {"Version": "2016-11-15"}


def source_of(service: str) -> dict[str, Any]:
    folder = files("botocore") / "data" / service
    version = max((each for each in folder.iterdir() if each.is_dir()), key=lambda each: each.name)
    source = json.loads(gzip.decompress((version / "service-2.json.gz").read_bytes()))
    for shape in source["shapes"].values():
        # Texts that fit a pattern are slow to make up; test_aws_validate has the patterns.
        shape.pop("pattern", None)
    return source


SOURCES = {name: source_of(name) for name in ("ec2", "sts", "sns", "ses", "iam", "sdb")}
THEIRS = {name: ServiceModel(source, name) for name, source in SOURCES.items()}


def ours_of(service: str, source: dict[str, Any]) -> ours.ServiceModel:
    return ours.ServiceModel(service, msgspec.convert(source, ours.Source))


OURS = {name: ours_of(name, source) for name, source in SOURCES.items()}

EC2 = sorted(entry.name for entry in entries() if entry.service == "ec2")
"""The capacity operations, which the table has whether they are built or not, and the regions."""
QUERY = (
    [("sts", name) for name in SOURCES["sts"]["operations"]]
    # Maps; lists of structures; lists and blobs of structures.
    + [("sns", name) for name in ("CreateTopic", "Publish", "PublishBatch", "TagResource")]
    + [("ses", name) for name in ("SendEmail", "SendRawEmail", "SendBulkTemplatedEmail")]
    # Flattened lists.
    + [("sdb", name) for name in ("PutAttributes", "BatchPutAttributes", "Select")]
    + [("iam", name) for name in ("CreateRole", "SimulateCustomPolicy", "GetAccountSummary")]
)
ALL = [("ec2", name) for name in EC2] + QUERY

# --- documents of a model -----------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
XML_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\r\n<&>\"' "),
    max_size=12,
)
DAYS = st.integers(10**15, 7 * 10**15).map(
    lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
)


class Maker:
    """Draws documents that fit botocore's shapes.

    A form can't hold an empty structure or map, nor EC2's an empty list; XML can't hold an empty
    flattened list. So none is drawn there.
    """

    def __init__(self, draw: Any, *, in_form: bool, is_ec2: bool) -> None:
        self._draw = draw
        self._in_form = in_form
        self._is_ec2 = is_ec2

    def structure(self, shape: Any, *, is_top: bool = False) -> dict[str, Any]:
        names = sorted(shape.members)
        if not names:
            return {}
        least = 1 if self._in_form and not is_top else 0
        some = self._draw(st.lists(st.sampled_from(names), unique=True, min_size=least, max_size=3))
        chosen = {*shape.required_members, *some}
        return {name: self.value(shape.members[name]) for name in sorted(chosen)}

    def value(self, shape: Any) -> Any:
        metadata = shape.metadata
        low, high = metadata.get("min"), metadata.get("max")
        match shape.type_name:
            case "structure":
                return self.structure(shape)
            case "list":
                is_lost = self._in_form and self._is_ec2
                is_lost = is_lost or (not self._in_form and shape.serialization.get("flattened"))
                least = max(low or 0, 1 if is_lost else 0)
                count = self._draw(st.integers(least, max(least, min(high or 3, 3))))
                return [self.value(shape.member) for _ in range(count)]
            case "map":
                count = self._draw(st.integers(1 if self._in_form else 0, 2))
                keys = {self._text(shape.key) for _ in range(count)}
                return {key: self.value(shape.value) for key in sorted(keys)}
            case "string" | "character":
                return self._text(shape)
            case "integer" | "long":
                bits = 31 if shape.type_name == "integer" else 63
                bounds = (-(2**bits) if low is None else low, 2**bits - 1 if high is None else high)
                return self._draw(st.integers(*bounds))
            case "float" | "double":
                return self._draw(st.floats(min_value=low, max_value=high, allow_nan=False))
            case "boolean":
                return self._draw(st.booleans())
            case "blob":
                return self._draw(st.binary(min_size=low or 0, max_size=16))
            case "timestamp":
                moment = self._draw(DAYS)
                return moment if self._in_form else moment.replace(microsecond=5000)
            case kind:
                raise AssertionError(kind)

    def _text(self, shape: Any) -> str:
        if shape.enum:
            return self._draw(st.sampled_from(shape.enum))
        metadata = shape.metadata
        low = metadata.get("min", 0)
        texts = TEXTS if self._in_form else XML_TEXTS
        text = self._draw(texts)[: metadata.get("max")]
        return text + "x" * (low - len(text))


def documents(shape: Any, *, in_form: bool, is_ec2: bool) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def document(draw: Any) -> dict[str, Any]:
        made = Maker(draw, in_form=in_form, is_ec2=is_ec2)
        return made.structure(shape, is_top=True) if shape is not None else {}

    return document()


def form_of(service: str, operation: str, params: dict[str, Any]) -> bytes:
    """What botocore sends: the body of its POST."""
    theirs = THEIRS[service]
    serializer = create_serializer(theirs.metadata["protocol"], include_validation=True)
    request = serializer.serialize_to_request(params, theirs.operation_model(operation))
    return urlencode(request["body"]).encode()


def read(service: str, operation: str, body: bytes) -> dict[str, Any]:
    found = OURS[service].operation(operation)
    return parse(found, labels={}, raw_query=b"", headers=HEADERS, body=body)


SETTINGS = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_what_botocore_sends_as_a_form_is_read_back(service: str, operation: str) -> None:
    shape: Any = THEIRS[service].operation_model(operation).input_shape

    @SETTINGS
    @given(documents(shape, in_form=True, is_ec2=service == "ec2"))
    def same(params: dict[str, Any]) -> None:
        assert read(service, operation, form_of(service, operation, params)) == params

    same()


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_botocore_reads_back_what_is_written_as_xml(service: str, operation: str) -> None:
    theirs = THEIRS[service]
    shape: Any = theirs.operation_model(operation).output_shape
    found = OURS[service].operation(operation)

    @SETTINGS
    @given(documents(shape, in_form=False, is_ec2=service == "ec2"))
    def same(document: dict[str, Any]) -> None:
        status, headers, body = render(found, document | {"notInTheModel": 1}, REQUEST_ID)
        texts = {name.decode(): value.decode() for name, value in headers}
        answer = {"status_code": status, "headers": texts, "body": body}
        parser = create_parser(theirs.metadata["protocol"])
        told = parser.parse(answer, shape)
        assert told.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
        assert told == document

    same()


def test_a_fitting_document_of_the_maker_passes_our_own_check_too() -> None:
    theirs = THEIRS["ec2"].operation_model("DescribeRegions").output_shape
    ours_shape = OURS["ec2"].operation("DescribeRegions").output
    assert ours_shape is not None

    @SETTINGS
    @given(documents(theirs, in_form=False, is_ec2=True))
    def fits(document: dict[str, Any]) -> None:
        assert check(ours_shape, document) == []

    fits()


def test_a_flattened_map_is_written_and_read_without_a_step_between() -> None:
    source = {
        "metadata": {"protocol": "query", "xmlNamespace": "urn:x", "apiVersion": "2020-01-01"},
        "operations": {
            "Put": {
                "name": "Put",
                "http": {"method": "POST", "requestUri": "/"},
                "input": {"shape": "Holder"},
                "output": {"shape": "Holder", "resultWrapper": "PutResult"},
            }
        },
        "shapes": {
            "Holder": {
                "type": "structure",
                "members": {"Counts": {"shape": "Counts", "locationName": "Count"}},
            },
            "Counts": {
                "type": "map",
                "key": {"shape": "Text", "locationName": "Name"},
                "value": {"shape": "Number", "locationName": "Amount"},
                "flattened": True,
            },
            "Text": {"type": "string"},
            "Number": {"type": "integer"},
        },
    }
    document = {"Counts": {"a": 1, "b": 2}}
    theirs, found = ServiceModel(source, "x"), ours_of("x", source).operation("Put")
    serializer = create_serializer("query")
    request = serializer.serialize_to_request(document, theirs.operation_model("Put"))
    assert request["body"]["Count.2.Name"] == "b"
    body = urlencode(request["body"]).encode()
    assert parse(found, labels={}, raw_query=b"", headers=HEADERS, body=body) == document
    _, _, answer = render(found, document, REQUEST_ID)
    assert b"<Count><Name>a</Name><Amount>1</Amount></Count><Count>" in answer
    told = create_parser("query").parse(
        {"status_code": 200, "headers": {}, "body": answer},
        theirs.operation_model("Put").output_shape,
    )
    assert told["Counts"] == document["Counts"]


def test_query_name_goes_before_the_capitalised_location_name() -> None:
    members = OURS["ec2"].shape("InstanceNetworkInterfaceSpecification").members
    assert members["Ipv6Addresses"].form_name == "Ipv6Addresses"
    assert members["Ipv6Addresses"].xml_name == "ipv6AddressesSet"
    assert members["SubnetId"].form_name == "SubnetId"
    assert members["SubnetId"].xml_name == "subnetId"


# --- answers ------------------------------------------------------------------------------------


def test_an_answer_of_ec2_has_its_shape() -> None:
    zone = {"ZoneName": "a<b>\r\x00", "Messages": [], "State": "available"}
    found = OURS["ec2"].operation("DescribeAvailabilityZones")
    status, headers, body = render(found, {"AvailabilityZones": [zone]}, REQUEST_ID)
    assert status == 200
    assert (b"content-type", b"text/xml;charset=UTF-8") in headers
    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<DescribeAvailabilityZonesResponse "
        'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{REQUEST_ID}</requestId><availabilityZoneInfo><item><messageSet/>"
        "<zoneName>a&lt;b&gt;&#13;?</zoneName><zoneState>available</zoneState></item>"
        "</availabilityZoneInfo></DescribeAvailabilityZonesResponse>"
    )


def test_a_time_has_milliseconds_and_a_z() -> None:
    found = OURS["ec2"].operation("DescribeCapacityBlockOfferings")
    moment = datetime.fromisoformat("2026-11-23T14:00:00.123999+02:00")
    document = {"CapacityBlockOfferings": [{"StartDate": moment}]}
    assert b">2026-11-23T12:00:00.123Z</startDate>" in render(found, document, REQUEST_ID)[2]


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_every_text_becomes_xml_that_can_be_read(text: str) -> None:
    from xml.etree import ElementTree

    told = ElementTree.fromstring(f"<a>{xml_text(text)}</a>".encode()).text or ""
    assert len(told) == len(text)
    assert all(mine in (one, "?") for mine, one in zip(told, text, strict=True))


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_an_error_that_botocore_reads_from_ec2(fault: Fault) -> None:
    (entry,) = [one for one in entries() if one.key == ("ec2", "DescribeRegions")]
    status, headers, body = render_error(raised(fault, "what & <which>\x01"), entry, REQUEST_ID)
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>')
    texts = {name.decode(): value.decode() for name, value in headers}
    shape = THEIRS["ec2"].operation_model("DescribeRegions").output_shape
    told = create_parser("ec2").parse(
        {"status_code": status, "headers": texts, "body": body}, shape
    )
    assert told["Error"]["Message"] == "what & <which>?"
    assert told["ResponseMetadata"]["RequestId"] == REQUEST_ID
    assert told["Error"]["Code"]
    assert status >= 400


# --- forms that no client makes -----------------------------------------------------------------


def refused(service: str, operation: str, form: dict[str, str]) -> CratonError:
    with pytest.raises(CratonError) as caught:
        read(service, operation, urlencode(form).encode())
    return caught.value


@pytest.mark.parametrize(
    ("form", "code", "named"),
    [
        ({"Filter.1.Name": "a", "Filter.3.Name": "b"}, "InvalidQueryParameter", "Filter.2 "),
        ({"Filter.1000000000.Name": "a"}, "InvalidQueryParameter", "Filter.1000000000"),
        ({"Filter.0.Name": "a"}, "InvalidQueryParameter", "Filter.0"),
        ({"Filter.01.Name": "a"}, "InvalidQueryParameter", "Filter.01"),
        ({"Filter.-1.Name": "a"}, "InvalidQueryParameter", "Filter.-1"),
        ({"Filter.\u0661.Name": "a"}, "InvalidQueryParameter", "Filter"),
        ({"Filter.Name": "a"}, "InvalidQueryParameter", "Filter.Name"),
        ({"Filter": "a"}, "InvalidParameterValue", "Filter.1"),
        ({"Filter.1": "a"}, "InvalidParameterValue", "parts"),
        ({"Filter.1": "a", "Filter.1.Name": "b"}, "InvalidQueryParameter", "value"),
        ({"Filter.1.Name": "b", "Filter.1": "a"}, "InvalidQueryParameter", "value"),
        ({"Filter.1.Name.Deep": "a"}, "InvalidQueryParameter", "Filter.1.Name.Deep"),
        ({"Filter.1.Colour": "a"}, "UnknownParameter", "Filter.1.Colour"),
        ({"filter.1.Name": "a"}, "UnknownParameter", "filter"),
        ({"": "a"}, "UnknownParameter", ""),
        ({"..": "a"}, "UnknownParameter", ""),
        ({"RegionName.member.1": "a"}, "InvalidQueryParameter", "RegionName.member"),
        ({"DryRun": "True"}, "InvalidParameterValue", "( True ) for parameter DryRun"),
        ({"DryRun": ""}, "InvalidParameterValue", "DryRun"),
        ({"DryRun.1": "true"}, "InvalidQueryParameter", "DryRun.1"),
        ({"A." * 40 + "B": "x"}, "InvalidQueryParameter", "steps"),
        ({"A" * 600: "x"}, "InvalidQueryParameter", "characters"),
    ],
)
def test_a_form_that_ec2_could_not_take_is_refused_by_name(
    form: dict[str, str], code: str, named: str
) -> None:
    error = refused("ec2", "DescribeRegions", form)
    assert isinstance(error, BadRequest)
    assert error.code == code
    assert named in error.message


@pytest.mark.parametrize(
    ("operation", "form", "code", "named"),
    [
        ("DescribeCapacityBlockOfferings", {}, "MissingParameter", "CapacityDurationHours"),
        (
            "DescribeCapacityBlockOfferings",
            {"CapacityDurationHours": "1.5"},
            "InvalidParameterValue",
            "( 1.5 ) for parameter CapacityDurationHours is invalid. Expected an integer",
        ),
        (
            "DescribeCapacityBlockOfferings",
            {"CapacityDurationHours": "99999999999"},
            "InvalidParameterValue",
            "CapacityDurationHours",
        ),
        (
            "DescribeCapacityBlockOfferings",
            {"CapacityDurationHours": "24", "StartDateRange": "0001-01-01T00:00:00+23:59"},
            "InvalidParameterValue",
            "StartDateRange is invalid. Expected a time",
        ),
        (
            "DescribeCapacityBlockOfferings",
            {"CapacityDurationHours": "24", "MaxResults": "0"},
            "InvalidParameterValue",
            "parameter MaxResults",
        ),
        (
            "PurchaseCapacityBlock",
            {
                "CapacityBlockOfferingId": "x",
                "InstancePlatform": "Linux/UNIX",
                "TagSpecification.1.ResourceType": "teapot",
            },
            "InvalidParameterValue",
            "( teapot ) for parameter TagSpecification.1.ResourceType",
        ),
    ],
)
def test_the_constraints_of_the_model_are_told_in_ec2s_words(
    operation: str, form: dict[str, str], code: str, named: str
) -> None:
    error = refused("ec2", operation, form)
    assert error.code == code
    assert named in error.message


def test_a_form_of_the_query_protocol_may_hold_what_is_not_known() -> None:
    assert read("sts", "GetCallerIdentity", b"Colour=red&Version=2011-06-15") == {}


@pytest.mark.parametrize(
    ("service", "operation", "form", "code"),
    [
        ("sns", "CreateTopic", {"Name": "a", "Tags.1.Key": "k"}, "InvalidQueryParameter"),
        ("sns", "CreateTopic", {"Name": "a", "Tags.member": "k"}, "InvalidParameterValue"),
        (
            "sns",
            "CreateTopic",
            {"Name": "a", "Attributes.entry.1.value": "v"},
            "MissingParameter",
        ),
        (
            "sns",
            "CreateTopic",
            {
                "Name": "a",
                "Attributes.entry.1.key": "k",
                "Attributes.entry.2.key": "k",
            },
            "InvalidQueryParameter",
        ),
        ("sts", "GetFederationToken", {"Name": "x"}, None),
    ],
)
def test_a_form_of_the_query_protocol_is_held_to_its_model(
    service: str, operation: str, form: dict[str, str], code: str | None
) -> None:
    if service == "sts":
        form = {**form, "DurationSeconds": "1"}
    assert refused(service, operation, form).code == code


WORDS = "Filter RegionName Tags DryRun Name Value Key member entry 1 2 3 0 x ² -1"
PIECES = st.sampled_from(["", *WORDS.split()])
NAMES = st.lists(PIECES, min_size=1, max_size=5).map(".".join)


def outcome(service: str, operation: str, body: bytes) -> object:
    """The document, or the words that refuse it; any other exception is a fault of ours."""
    try:
        return read(service, operation, body)
    except BadRequest as error:
        return error.message


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, st.sampled_from(["", "true", "1", "x", "\x00", "é"]), max_size=6))
def test_every_form_is_read_or_refused(form: dict[str, str]) -> None:
    body = urlencode(form).encode()
    assert isinstance(outcome("ec2", "DescribeRegions", body), dict | str)
    assert isinstance(outcome("sns", "CreateTopic", body), dict | str)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_every_body_is_read_or_refused(body: bytes) -> None:
    assert isinstance(outcome("ec2", "DescribeRegions", body), dict | str)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"a=1&a=2", BadRequest),
        (b"Action=A&Action=B", BadRequest),
        (b"a=%ff", BadRequest),
        (b"&" * PARAMETERS_MAX, TooLarge),
        (b"a" * (FORM_BYTES_MAX + 1), TooLarge),
    ],
)
def test_a_form_over_a_limit_or_with_a_name_twice_is_refused(
    body: bytes, error: type[CratonError]
) -> None:
    with pytest.raises(error):
        read_form(b"", HEADERS, body)


def test_a_name_may_not_come_in_the_query_and_in_the_body() -> None:
    with pytest.raises(BadRequest, match="more than once"):
        read_form(b"Action=A", HEADERS, b"Action=B")


def test_what_a_presigned_query_says_of_its_signature_is_no_parameter() -> None:
    query = b"Action=A&X-Amz-Date=x&X-Amz-Signature=y"
    assert read_form(query, {}, b"") == {"Action": "A"}


DEEP = b".".join([b"1"] * 30)
HOSTILE = {
    "one long name": b"Filter." + b"1." * 500_000 + b"=x",
    "many members": b"&".join(b"RegionName.%d=x" % n for n in range(1, PARAMETERS_MAX)),
    "many holes": b"&".join(b"RegionName.%d=x" % (n * 7 + 1) for n in range(1, PARAMETERS_MAX)),
    "many large indexes": b"&".join(b"Filter.1%0100d=x" % n for n in range(1, PARAMETERS_MAX)),
    "many deep names": b"&".join(b"A%d.%s=x" % (n, DEEP) for n in range(PARAMETERS_MAX - 1)),
    "many separators": b"&" * (FORM_BYTES_MAX - 1),
    "one long value": b"DryRun=" + b"9" * (FORM_BYTES_MAX - 100),
    "one escaped value": b"DryRun=" + b"%41" * 300_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_form_costs_little(body: bytes) -> None:
    started = time.process_time()
    assert outcome("ec2", "DescribeRegions", body)
    assert time.process_time() - started < 1.0
