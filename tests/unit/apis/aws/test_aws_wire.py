"""The AWS wire against botocore's own serializers and parsers: what one writes the other reads."""

import gzip
import json
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.apis.aws.errors import unknown_operation
from craton.apis.aws.operations import Entry, entries
from craton.apis.aws.render import check
from craton.apis.aws.wire import AwsWire
from craton.kernel.errors import (
    BadRequest,
    BudgetExceeded,
    CratonError,
    EngineFailed,
    EngineNotReady,
    EngineTimeout,
    Fault,
    NotBuilt,
    NotFound,
    Throttled,
    Unauthenticated,
    raised,
)

WIRE = AwsWire()
REQUEST_ID = "01999999-0000-7000-8000-000000000000"


def service_model(service: str) -> ServiceModel:
    folder = files("botocore") / "data" / service
    (version,) = [entry for entry in folder.iterdir() if entry.is_dir()]
    packed = (version / "service-2.json.gz").read_bytes()
    return ServiceModel(json.loads(gzip.decompress(packed)), service)


MODELS = {name: service_model(name) for name in ("bedrock-runtime", "bedrock", "sts")}


def sent(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """What botocore would send: method, path, query, headers and body."""
    model = MODELS[service]
    serializer = create_serializer(model.metadata["protocol"], include_validation=False)
    request = serializer.serialize_to_request(params, model.operation_model(operation))
    body, query = request["body"], request["query_string"]
    if isinstance(body, dict):
        body = urlencode(body)
    return {
        "method": request["method"],
        "raw_path": request["url_path"].encode(),
        "raw_query": urlencode(query, doseq=True).encode() if query else b"",
        "headers": {name.lower(): value for name, value in request["headers"].items()},
        "body": body if isinstance(body, bytes) else body.encode(),
    }


def received(wire: AwsWire, request: dict[str, Any]) -> tuple[Entry, dict[str, Any]]:
    match = wire.find(**request)
    assert match is not None
    rest = {name: request[name] for name in ("raw_query", "headers", "body")}
    return match.entry, wire.parse(match, **rest)


def read_reply(service: str, operation: str, reply: Any) -> dict[str, Any]:
    """What botocore makes of an answer."""
    model = MODELS[service]
    status, headers, body = reply
    response = {
        "status_code": status,
        "headers": {name.decode().title(): value.decode() for name, value in headers},
        "body": body,
        "context": {"operation_name": operation},
    }
    response["headers"] |= {name.lower(): v for name, v in response["headers"].items()}
    shape = model.operation_model(operation).output_shape
    return create_parser(model.metadata["protocol"]).parse(response, shape)


# --- requests -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    model=st.text(st.sampled_from("abz019-.:"), min_size=1, max_size=30).map("a".__add__),
    text=st.text(max_size=20),
    data=st.binary(min_size=1, max_size=20),
    temperature=st.floats(0, 1),
)
def test_what_botocore_sends_for_converse_is_read_back(
    model: str, text: str, data: bytes, temperature: float
) -> None:
    params = {
        "modelId": model,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": text},
                    {"image": {"format": "png", "source": {"bytes": data}}},
                ],
            }
        ],
        "inferenceConfig": {"temperature": temperature, "stopSequences": ["a"]},
        "additionalModelRequestFields": {"k": [1, None, "x"]},
    }
    entry, document = received(WIRE, sent("bedrock-runtime", "Converse", params))
    assert entry.key == ("bedrock-runtime", "Converse")
    assert document == params


def test_an_arn_arrives_percent_encoded_and_is_decoded() -> None:
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
    request = sent("bedrock-runtime", "ConverseStream", {"modelId": arn})
    assert b"%2F" in request["raw_path"]
    entry, document = received(WIRE, request)
    assert entry.name == "ConverseStream"
    assert document["modelId"] == arn


def test_query_parameters_are_read() -> None:
    params = {"byProvider": "Meta and co", "byOutputModality": "TEXT"}
    entry, document = received(WIRE, sent("bedrock", "ListFoundationModels", params))
    assert entry.name == "ListFoundationModels"
    assert document == params


def test_a_query_parameter_may_come_once() -> None:
    request = sent("bedrock", "ListFoundationModels", {})
    request["raw_query"] = b"byProvider=a&byProvider=b"
    with pytest.raises(BadRequest, match="Name it once"):
        received(WIRE, request)


def test_get_caller_identity_is_found_by_its_action() -> None:
    entry, document = received(WIRE, sent("sts", "GetCallerIdentity", {}))
    assert entry.key == ("sts", "GetCallerIdentity")
    assert document == {}


def test_get_caller_identity_may_be_presigned() -> None:
    match = WIRE.find("GET", b"/", b"Action=GetCallerIdentity&Version=2011-06-15", {}, b"")
    assert match is not None
    assert match.entry.name == "GetCallerIdentity"


ALL_BEDROCK = AwsWire(
    built=frozenset(entry.key for entry in entries() if entry.service in MODELS),
)


def test_every_location_is_read() -> None:
    params = {
        "body": b"\x00\xff",
        "contentType": "application/json",
        "accept": "*/*",
        "modelId": "m.n",
        "trace": "ENABLED",
        "guardrailIdentifier": "abc",
    }
    entry, document = received(ALL_BEDROCK, sent("bedrock-runtime", "InvokeModel", params))
    assert entry.name == "InvokeModel"
    assert document == params


def test_times_and_numbers_are_read_from_the_query() -> None:
    request = sent("bedrock", "ListCustomModels", {"maxResults": 7, "isOwned": True})
    request["raw_query"] += b"&creationTimeAfter=2026-01-02T03%3A04%3A05Z"
    _, document = received(ALL_BEDROCK, request)
    assert document["maxResults"] == 7
    assert document["isOwned"] is True
    assert document["creationTimeAfter"].isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    "query", [b"maxResults=x", b"maxResults=1_0", b"isOwned=yes", b"creationTimeAfter=soon"]
)
def test_a_malformed_query_parameter_is_refused(query: bytes) -> None:
    request = sent("bedrock", "ListCustomModels", {}) | {"raw_query": query}
    with pytest.raises(BadRequest) as caught:
        received(ALL_BEDROCK, request)
    assert caught.value.code == "SerializationException"


# --- answers ------------------------------------------------------------------------------------


def test_botocore_reads_an_answer_of_converse() -> None:
    document = {
        "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        "metrics": {"latencyMs": 4},
    }
    match = WIRE.find(**sent("bedrock-runtime", "Converse", {"modelId": "m"}))
    assert match is not None
    reply = WIRE.render(match, document | {"notInTheModel": 1}, REQUEST_ID)
    assert b"notInTheModel" not in reply[2]
    read = read_reply("bedrock-runtime", "Converse", reply)
    assert read.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
    assert read == document


def test_botocore_reads_the_xml_of_get_caller_identity() -> None:
    match = WIRE.find(**sent("sts", "GetCallerIdentity", {}))
    assert match is not None
    document = {"UserId": "AIDA<&>", "Account": "123456789012", "Arn": "arn:aws:iam::1:user/a"}
    read = read_reply("sts", "GetCallerIdentity", WIRE.render(match, document, REQUEST_ID))
    assert read.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
    assert read == document


def test_our_own_answers_can_be_held_to_the_model() -> None:
    shape = ALL_BEDROCK._models.operation("bedrock", "GetFoundationModel").output
    assert shape is not None
    good = {
        "modelDetails": {
            "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/a.b",
            "modelId": "a.b-c",
        }
    }
    problems = check(shape, {"modelDetails": {"modelId": 5, "inputModalities": ["SMELL"]}})
    assert [problem for problem in check(shape, good) if "modelId" in problem] == []
    assert any("modelArn" in p and "null" in p for p in problems)
    assert any("modelId" in p and "type string" in p for p in problems)
    assert any("SMELL" in p for p in problems)


# --- errors -------------------------------------------------------------------------------------


def error_read(error: CratonError, service: str, operation: str) -> dict[str, Any]:
    match = WIRE.find(**sent(service, operation, {"modelId": "m"} if "Conv" in operation else {}))
    reply = WIRE.error(error, match, REQUEST_ID)
    read = read_reply(service, operation, reply)
    assert read["ResponseMetadata"]["RequestId"] == REQUEST_ID
    assert read["Error"]["Message"] == error.message
    return {"code": read["Error"]["Code"], "status": reply[0]}


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BadRequest("m"), "ValidationException", 400),
        (BadRequest("m", code="SerializationException"), "SerializationException", 400),
        (Unauthenticated("m"), "UnrecognizedClientException", 403),
        (Unauthenticated("m", code="ExpiredTokenException"), "ExpiredTokenException", 403),
        (NotFound("m"), "ResourceNotFoundException", 404),
        (Throttled("m"), "ThrottlingException", 429),
        (BudgetExceeded("m"), "ServiceQuotaExceededException", 400),
        (EngineFailed("m"), "ModelErrorException", 424),
        (EngineTimeout("m"), "ModelTimeoutException", 408),
        (EngineNotReady("m"), "ModelNotReadyException", 429),
        (EngineFailed("m", code="invalid_api_key"), "ModelErrorException", 424),
        (NotBuilt("m"), "UnsupportedOperationException", 501),
    ],
)
def test_botocore_reads_the_modelled_error_of_converse(
    error: CratonError, code: str, status: int
) -> None:
    read = error_read(error, "bedrock-runtime", "Converse")
    assert read == {"code": code, "status": status}


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_a_modelled_error_in_every_protocol(fault: Fault) -> None:
    error = raised(fault, "what & <which>")
    converse = error_read(error, "bedrock-runtime", "Converse")
    listing = error_read(error, "bedrock", "ListFoundationModels")
    identity = error_read(error, "sts", "GetCallerIdentity")
    for read in (converse, listing, identity):
        assert 400 <= read["status"] < 600
    common = {"UnrecognizedClientException", "UnsupportedOperationException"}
    modelled = {shape.error_code for shape in MODELS["bedrock-runtime"].error_shapes}
    assert converse["code"] in modelled | common


def test_an_engine_that_fails_under_a_control_operation_is_an_internal_error() -> None:
    read = error_read(EngineFailed("m"), "bedrock", "ListFoundationModels")
    assert read == {"code": "InternalServerException", "status": 500}


def test_sts_has_its_own_words_for_bad_credentials() -> None:
    error = Unauthenticated("m", code="InvalidSignatureException")
    assert error_read(error, "sts", "GetCallerIdentity")["code"] == "SignatureDoesNotMatch"
    read = error_read(Unauthenticated("m"), "sts", "GetCallerIdentity")
    assert read["code"] == "InvalidClientTokenId"


def test_an_operation_that_is_not_built_says_so_and_where_to_look() -> None:
    request = sent("bedrock", "ListGuardrails", {})
    with pytest.raises(NotBuilt, match=r"bedrock\.ListGuardrails .*docs/coverage\.md"):
        received(WIRE, request)


def test_no_sdk_retries_an_operation_that_is_not_built() -> None:
    from botocore.retries import standard

    reply = WIRE.error(NotBuilt("m"), WIRE.find("GET", b"/guardrails", b"", {}, b""), REQUEST_ID)
    assert reply[0] == 501
    assert 501 not in standard.TransientRetryableChecker._TRANSIENT_STATUS_CODES


def test_ec2_and_sagemaker_are_refused_in_their_own_protocols() -> None:
    blocks = WIRE.find(
        "GET", b"/", b"Action=DescribeCapacityBlockOfferings&Version=2016-11-15", {}, b""
    )
    target = {"x-amz-target": "SageMaker.CreateTrainingPlan"}
    sagemaker = WIRE.find("POST", b"/", b"", target, b"{}")
    assert blocks is not None
    assert sagemaker is not None
    assert b"<Response><Errors>" in WIRE.error(NotBuilt("m"), blocks, "id")[2]
    assert b"__type" in WIRE.error(NotBuilt("m"), sagemaker, "id")[2]


def test_a_path_that_no_service_has_is_an_unknown_operation() -> None:
    assert WIRE.find("GET", b"/nothing/here", b"", {}, b"") is None
    error = unknown_operation("GET", b"/nothing/here")
    status, headers, body = WIRE.error(error, None, REQUEST_ID)
    assert status == 404
    assert (b"x-amzn-errortype", b"UnknownOperationException") in headers
    assert b"/nothing/here" in body
