"""Paths to operations, for every operation of the table."""

import gzip
import json
import re
import time
from importlib.resources import files

import msgspec
import pytest

from craton.apis.aws.operations import BUILT, REST_JSON, Entry, entries
from craton.apis.aws.routes import Routes
from craton.kernel.errors import BadRequest

ROUTES = Routes(entries())
REST = [entry for entry in entries() if entry.protocol == REST_JSON]


def path_of(entry: Entry) -> bytes:
    return re.sub(r"\{[^}]+\}", "x%2Fy%3Az", entry.uri).encode()


def signed_for(entry: Entry) -> dict[str, str]:
    scope = f"AKIA/20260101/us-east-1/{entry.signing_name}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host"}


def test_every_operation_is_found_by_its_own_path() -> None:
    for entry in REST:
        match = ROUTES.find(entry.method, path_of(entry), b"", signed_for(entry), b"")
        assert match is not None, entry.key
        found = match.entry
        # bedrock-agent and bedrock-agent-runtime share their tagging paths and signing name.
        assert found.name == entry.name, (entry.key, found.key)
        assert found.signing_name == entry.signing_name
        assert set(match.labels.values()) <= {"x/y:z"}
        assert set(match.labels) == set(re.findall(r"\{(\w+)\}", entry.uri))


def test_the_signing_name_decides_where_services_share_a_path() -> None:
    for name in ("bedrock-agent", "bedrock-agentcore-control"):
        (entry,) = [e for e in REST if e.key == (name, "TagResource")]
        match = ROUTES.find("POST", b"/tags/arn", b"", signed_for(entry), b"")
        assert match is not None
        assert match.entry.service == name


def test_a_slash_at_the_end_tells_two_operations_apart_and_else_is_ignored() -> None:
    with_slash = ROUTES.find("POST", b"/agents/a/", b"", {}, b"")
    without = ROUTES.find("POST", b"/agents/a", b"", {}, b"")
    assert with_slash is not None
    assert without is not None
    assert (with_slash.entry.name, without.entry.name) == ("PrepareAgent", "InvokeInlineAgent")
    match = ROUTES.find("GET", b"/foundation-models/", b"", {}, b"")
    assert match is not None
    assert match.entry.name == "ListFoundationModels"


@pytest.mark.parametrize(
    "path",
    [
        b"/model//converse",
        b"/model/../converse",
        b"/model/./converse",
        b"/model/a/converse/more",
        b"/MODEL/a/converse",
        b"model/a/converse",
        b"",
        b"/" + b"a/" * 100,
        b"/%6dodel/a/converse",
    ],
)
def test_a_path_that_is_not_quite_an_operations_is_none(path: bytes) -> None:
    assert ROUTES.find("POST", path, b"", {}, b"") is None


def test_a_method_that_an_operation_does_not_have_is_none() -> None:
    assert ROUTES.find("GET", b"/model/a/converse", b"", {}, b"") is None


def test_a_literal_goes_before_a_label() -> None:
    def entry(name: str, uri: str) -> Entry:
        return Entry(name, "f", "must", "GET", uri, 200, {}, "s", REST_JSON, "s", "v")

    routes = Routes(
        [
            entry("Any", "/a/{x}/c"),
            entry("Literal", "/a/b/{y}"),
            entry("Deep", "/a/b/c/d"),
            entry("Greedy", "/g/{rest+}/end"),
        ]
    )

    def found(path: bytes) -> str | None:
        match = routes.find("GET", path, b"", {}, b"")
        return None if match is None else match.entry.name

    assert found(b"/a/b/c") == "Literal"
    assert found(b"/a/z/c") == "Any"
    assert found(b"/a/b/c/d") == "Deep"
    assert found(b"/a/z/z") is None
    match = routes.find("GET", b"/g/1/2%2F3/end", b"", {}, b"")
    assert match is not None
    assert match.labels == {"rest": "1/2/3"}


def test_a_label_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        ROUTES.find("POST", b"/model/%ff/converse", b"", {}, b"")


def test_a_form_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        ROUTES.find("GET", b"/", b"Action=%ff", {}, b"")


def test_matches_are_kept_within_a_bound() -> None:
    routes = Routes(entries())
    for number in range(3000):
        match = routes.find("POST", b"/model/m%d/converse" % number, b"", {}, b"")
        assert match is not None
        assert match.labels == {"modelId": f"m{number}"}
    assert len(routes._found) <= 1024


def test_the_table_is_botocores() -> None:
    for service in {entry.service for entry in entries()}:
        folder = files("botocore") / "data" / service
        version = max(entry.name for entry in folder.iterdir() if entry.is_dir())
        model = json.loads(gzip.decompress((folder / version / "service-2.json.gz").read_bytes()))
        known = {entry.name: entry for entry in entries() if entry.service == service}
        assert known.keys() <= model["operations"].keys()
        if service not in ("ec2", "sagemaker"):  # of these, only what concerns capacity
            assert known.keys() == model["operations"].keys(), service
        for name, entry in known.items():
            operation, metadata = model["operations"][name], model["metadata"]
            assert entry.method == operation["http"]["method"]
            assert entry.uri == operation["http"]["requestUri"]
            assert entry.protocol == metadata["protocol"]
            assert entry.signing_name == metadata.get("signingName", service)
            assert entry.api_version == metadata["apiVersion"]
            if entry.protocol == REST_JSON:
                declared = {
                    error["shape"]: model["shapes"][error["shape"]]["error"]["httpStatusCode"]
                    for error in operation.get("errors", [])
                }
                assert entry.errors == declared, entry.key


def test_what_is_built_stands_in_the_table() -> None:
    assert {entry.key for entry in entries()} >= BUILT


# --- forms --------------------------------------------------------------------------------------

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
VERSION = "Version=2016-11-15"


def form_signed_for(service: str) -> dict[str, str]:
    credential = f"Credential=AKIA/20261123/us-east-1/{service}/aws4_request"
    return {**FORM, "authorization": f"AWS4-HMAC-SHA256 {credential}, Signature=x"}


def refusal_of(headers: dict[str, str], body: str, query: str = "") -> tuple[str, str | None]:
    match = ROUTES.find("POST", b"/", query.encode(), headers, body.encode())
    assert match is not None
    assert match.refusal is not None
    return match.entry.service, match.refusal.code


@pytest.mark.parametrize(
    ("headers", "body", "service", "code"),
    [
        (form_signed_for("ec2"), f"Action=RebootInstances&{VERSION}", "ec2", "InvalidAction"),
        (FORM, f"Action=RebootInstances&{VERSION}", "ec2", "InvalidAction"),
        ({**FORM, "host": "ec2.local:1"}, "Action=RebootInstances", "ec2", "InvalidAction"),
        (
            form_signed_for("ec2"),
            "Action=DescribeRegions&Version=2014-10-01",
            "ec2",
            "NoSuchVersion",
        ),
        (form_signed_for("ec2"), "Version=2016-11-15", "ec2", "MissingAction"),
        (form_signed_for("ec2"), "a=%ff", "ec2", "MalformedQueryString"),
        (form_signed_for("ec2"), "Action=A&Action=B", "ec2", "InvalidQueryParameter"),
        (form_signed_for("sts"), "Action=NoSuchThing&Version=2011-06-15", "sts", "InvalidAction"),
    ],
)
def test_a_form_for_no_operation_is_refused_by_the_service_it_is_meant_for(
    headers: dict[str, str], body: str, service: str, code: str
) -> None:
    assert refusal_of(headers, body) == (service, code)


@pytest.mark.parametrize("separator", ["/", "%2F"])
def test_a_presigned_query_says_which_service_it_is_meant_for(separator: str) -> None:
    scope = separator.join(["AKIA", "20261123", "us-east-1", "ec2", "aws4_request"])
    query = f"Action=RebootInstances&X-Amz-Credential={scope}&X-Amz-Date=x"
    assert refusal_of({}, "", query) == ("ec2", "InvalidAction")


def test_a_form_for_nobody_is_nobodys() -> None:
    assert ROUTES.find("POST", b"/", b"", FORM, b"Action=RebootInstances") is None
    assert ROUTES.find("GET", b"/", b"", form_signed_for("ec2"), b"") is None


def test_an_operation_of_ec2_is_found_in_a_body_and_in_a_query() -> None:
    wanted = f"Action=DescribeRegions&{VERSION}&RegionName.1=x".encode()
    in_body = ROUTES.find("POST", b"/", b"", FORM, wanted)
    in_query = ROUTES.find("GET", b"/", wanted, {}, b"")
    for match in (in_body, in_query):
        assert match is not None
        assert match.refusal is None
        assert match.entry.key == ("ec2", "DescribeRegions")
        assert match.form is not None
        assert match.form["RegionName.1"] == "x"


def test_a_name_that_two_services_have_is_the_one_that_was_form_signed_for() -> None:
    (one,) = [entry for entry in entries() if entry.key == ("ec2", "DescribeRegions")]
    other = msgspec.structs.replace(one, service="other", signing_name="other")
    routes = Routes([one, other])
    for name in ("ec2", "other"):
        match = routes.find("POST", b"/", b"", form_signed_for(name), b"Action=DescribeRegions")
        assert match is not None
        assert match.entry.service == name


def test_a_hostile_credential_costs_little() -> None:
    query = b"Action=X&" + b"X-Amz-Credential=" * 50_000
    started = time.process_time()
    assert ROUTES.find("POST", b"/", query, {}, b"") is None
    assert time.process_time() - started < 0.5
