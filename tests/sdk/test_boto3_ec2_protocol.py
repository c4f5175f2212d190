"""boto3's EC2 client, unchanged, against what this cloud says of itself."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from craton.apis.aws.model import Models
from craton.apis.aws.render import check
from craton.cli.main import main
from tests.fakes.craton import Craton

REGION = "us-east-1"
VERSION = "2016-11-15"


def client(craton: Craton, **changed: str) -> Any:
    keys = craton.keys
    settings = {
        "endpoint_url": craton.url,
        "region_name": REGION,
        "aws_access_key_id": keys.access_key_id,
        "aws_secret_access_key": keys.secret_access_key,
        **changed,
    }
    return boto3.client("ec2", config=Config(retries={"max_attempts": 0}), **settings)


@pytest.fixture(scope="module")
def ec2(echo: Craton) -> Iterator[Any]:
    made = client(echo)
    yield made
    made.close()


def fits(operation: str, answer: dict[str, Any]) -> None:
    document = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    shape = Models().operation("ec2", operation).output
    assert shape is not None
    assert check(shape, document) == []


def refused(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    error = response["Error"]
    assert response["ResponseMetadata"]["RequestId"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


def posted(craton: Craton, form: dict[str, str]) -> tuple[int, str]:
    """A signed form that no SDK would make: status and body."""
    keys = craton.keys
    body = urllib.parse.urlencode(form)
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", craton.url + "/", headers=headers, data=body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    SigV4Auth(credentials, "ec2", REGION).add_auth(request)
    return sent(request, body.encode())


def sent(request: AWSRequest, body: bytes | None) -> tuple[int, str]:
    made = urllib.request.Request(
        request.url, data=body, headers=dict(request.headers), method=request.method
    )
    try:
        with urllib.request.urlopen(made, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_there_is_one_region_and_it_answers_where_the_client_found_it(
    ec2: Any, echo: Craton
) -> None:
    answer = ec2.describe_regions()
    fits("DescribeRegions", answer)
    assert answer["Regions"] == [
        {
            "RegionName": REGION,
            "Endpoint": echo.url.removeprefix("http://"),
            "OptInStatus": "opt-in-not-required",
        }
    ]


def test_there_is_one_zone_this_machine(ec2: Any) -> None:
    answer = ec2.describe_availability_zones(AllAvailabilityZones=True)
    fits("DescribeAvailabilityZones", answer)
    (zone,) = answer["AvailabilityZones"]
    assert (zone["ZoneName"], zone["ZoneId"], zone["State"]) == (
        "local",
        "use1-local",
        "available",
    )
    assert zone["Messages"] == []


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([{"Name": "region-name", "Values": ["eu-*", "us-ea?t-1"]}], 1),
        ([{"Name": "region-name", "Values": ["US-EAST-1"]}], 0),
        (
            [
                {"Name": "region-name", "Values": ["*"]},
                {"Name": "opt-in-status", "Values": ["opted-in"]},
            ],
            0,
        ),
    ],
)
def test_filters_choose(ec2: Any, filters: list[dict[str, Any]], count: int) -> None:
    assert len(ec2.describe_regions(Filters=filters)["Regions"]) == count


def test_names_choose_and_unknown_ones_are_refused(ec2: Any) -> None:
    assert ec2.describe_regions(RegionNames=[REGION])["Regions"]
    code, status, message = refused(ec2.describe_regions, RegionNames=["eu-west-1"])
    assert (code, status) == ("InvalidParameterValue", 400)
    assert "eu-west-1" in message
    zones = ec2.describe_availability_zones(ZoneNames=["local"], ZoneIds=["use1-local"])
    assert len(zones["AvailabilityZones"]) == 1
    code, _, _ = refused(ec2.describe_availability_zones, ZoneIds=["use1-az1"])
    assert code == "InvalidParameterValue"


def test_an_unknown_filter_is_refused(ec2: Any) -> None:
    code, status, message = refused(
        ec2.describe_regions, Filters=[{"Name": "colour", "Values": ["red"]}]
    )
    assert (code, status, message) == (
        "InvalidParameterValue",
        400,
        "The filter 'colour' is invalid",
    )


def test_a_dry_run_says_that_the_request_would_have_succeeded(ec2: Any) -> None:
    code, status, _ = refused(ec2.describe_regions, DryRun=True)
    assert (code, status) == ("DryRunOperation", 412)
    assert ec2.describe_regions(DryRun=False)["Regions"]


def test_an_operation_that_is_not_built_is_told_so_in_ec2s_words(ec2: Any) -> None:
    code, status, message = refused(
        ec2.describe_capacity_reservation_billing_requests, Role="odcr-owner"
    )
    assert (code, status) == ("UnsupportedOperation", 501)
    assert "DescribeCapacityReservationBillingRequests" in message


def test_an_operation_that_this_cloud_does_not_know_is_an_invalid_action(ec2: Any) -> None:
    code, status, message = refused(ec2.describe_volumes)
    assert (code, status) == ("InvalidAction", 400)
    assert message == "The action DescribeVolumes is not valid for this web service."


@pytest.mark.parametrize(
    ("changed", "code", "status"),
    [
        ({"aws_access_key_id": "AKIANOBODYKNOWSTHIS1"}, "AuthFailure", 401),
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch", 403),
        ({"aws_session_token": "none"}, "AuthFailure", 401),
    ],
)
def test_bad_credentials_are_told_in_ec2s_words(
    echo: Craton, changed: dict[str, str], code: str, status: int
) -> None:
    made = client(echo, **changed)
    assert refused(made.describe_regions)[:2] == (code, status)
    made.close()


def test_a_request_without_a_signature_is_refused(echo: Craton) -> None:
    status, body = echo.get(f"/?Action=DescribeRegions&Version={VERSION}")
    assert status == 400
    assert b"<Response><Errors><Error><Code>MissingParameter</Code>" in body


def test_a_presigned_query_is_answered(echo: Craton) -> None:
    keys = echo.keys
    url = f"{echo.url}/?Action=DescribeRegions&Version={VERSION}&RegionName.1={REGION}"
    request = AWSRequest("GET", url)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    SigV4QueryAuth(credentials, "ec2", REGION, expires=60).add_auth(request)
    status, body = sent(request, None)
    assert status == 200, body
    assert f"<regionName>{REGION}</regionName>" in body


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"Filter.1000000000.Name": "region-name"}, "InvalidQueryParameter"),
        ({"RegionName.1": REGION, "RegionName.3": REGION}, "InvalidQueryParameter"),
        ({"RegionName": REGION}, "InvalidParameterValue"),
        ({"RegionName": REGION, "RegionName.1": REGION}, "InvalidQueryParameter"),
        ({"DryRun": "perhaps"}, "InvalidParameterValue"),
        ({"Colour": "red"}, "UnknownParameter"),
        ({"A." * 5000 + "B": "1"}, "InvalidQueryParameter"),
        ({f"RegionName.{number}": REGION for number in range(1, 10_001)}, "InvalidParameterValue"),
        ({"Version": "2014-10-01"}, "NoSuchVersion"),
        ({"Action": ""}, "InvalidAction"),
    ],
    ids=["large index", "gap", "value", "both", "type", "unknown", "deep", "many", "old", "none"],
)
def test_forms_that_no_sdk_makes_get_a_modelled_error(
    echo: Craton, form: dict[str, str], code: str
) -> None:
    status, body = posted(echo, {"Action": "DescribeRegions", "Version": VERSION, **form})
    assert status == 400
    assert f"<Code>{code}</Code>" in body


def test_a_policy_that_denies_is_told_with_and_without_a_dry_run(
    echo: Craton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--data", str(echo.data)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    key = json.loads(run("keys", "create", "ec2-bound", "--json"))
    statement = {"Effect": "Allow", "Action": "ec2:DescribeRegions", "Resource": "*"}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    run("policies", "put", "rules", str(file), "--key", key["api_key_id"])
    made = client(
        echo,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
    )
    assert refused(made.describe_regions, DryRun=True)[:2] == ("DryRunOperation", 412)
    assert made.describe_regions()["Regions"]
    for dry_run in (False, True):
        code, status, message = refused(made.describe_availability_zones, DryRun=dry_run)
        assert (code, status) == ("UnauthorizedOperation", 403)
        assert "ec2:DescribeAvailabilityZones" in message
    made.close()
    run("policies", "delete", "rules", "--key", key["api_key_id"])
