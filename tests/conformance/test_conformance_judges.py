"""Every way in which an answer can break its model is seen; one that fits is not complained of."""

import copy
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from craton.dialects.eventstream import write_event, write_exception
from tests.conformance.aws_answers import operation_model
from tests.conformance.judging import is_worth_keeping, row_of
from tests.conformance.operations import RAW, asked, client_of
from tests.conformance.recording import Record
from tests.conformance.rows import Row
from tests.conformance.shapes import breaches, document_of

ID = (b"x-amzn-requestid", b"1")
USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "a"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 1},
}
CONVERSE = ("POST", b"/model/a.b/converse")


def record(
    method: str,
    path: bytes,
    answer: Any,
    *,
    status: int = 200,
    answer_headers: tuple[tuple[bytes, bytes], ...] = (ID,),
    headers: tuple[tuple[bytes, bytes], ...] = (),
    form: bytes = b"",
    is_stream: bool = False,
) -> Record:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Record(
        method, path, b"", list(headers), form, status, list(answer_headers), body, is_stream
    )


def judged(made: Record) -> tuple[str, list[str]]:
    found = row_of(made)
    assert found is not None
    return found[0].outcome, found[1]


def changed(*path: Any, to: Any = None) -> Any:
    """`CONVERSED` with one value set, or without it."""
    document = copy.deepcopy(CONVERSED)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return document


def test_an_answer_that_fits_is_answered() -> None:
    assert judged(record(*CONVERSE, CONVERSED)) == ("answered", [])


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (changed("usage"), "$.usage: required"),
        (changed("usage", "totalTokens"), "$.usage.totalTokens: required"),
        (changed("metrics", to={}), "$.metrics.latencyMs: required"),
        (changed("stopReason", to="tired"), "'tired' is none of"),
        (changed("stopReason", to=5), "expected string"),
        (changed("usage", "inputTokens", to=-1), "is below 0"),
        (changed("usage", "inputTokens", to="1"), "expected integer"),
        (changed("usage", "inputTokens", to=True), "expected integer"),
        (changed("mood", to="good"), "$.mood: no member of"),
        (changed("output", "message", "content", to={"text": "a"}), "expected list"),
        (changed("output", "message", "content", to=[{}]), "a union with 0 members"),
        (changed("output", "message", "role", to="assistants"), "is none of"),
    ],
)
def test_an_answer_that_breaks_its_model_is_seen(document: Any, fault: str) -> None:
    outcome, faults = judged(record(*CONVERSE, document))
    assert outcome == "answered"
    assert any(fault in text for text in faults), faults


def test_an_answer_without_its_id_or_with_another_status_is_seen() -> None:
    assert judged(record(*CONVERSE, CONVERSED, answer_headers=()))[1]
    assert judged(record(*CONVERSE, CONVERSED, status=201))[1]


def test_a_required_header_that_is_missing_is_seen() -> None:
    invoke = ("POST", b"/model/a.b/invoke")
    assert judged(record(*invoke, {}))[1]
    typed = (ID, (b"content-type", b"application/json"))
    assert judged(record(*invoke, {}, answer_headers=typed)) == ("answered", [])


@pytest.mark.parametrize(
    ("method", "path", "answer", "is_stream"),
    [
        (*CONVERSE, b"{", False),
        (*CONVERSE, b"[1]", False),
        ("POST", b"/model/a.b/converse-stream", b"x" * 40, True),
        ("POST", b"/v1/embeddings", b"{}", False),
        ("GET", b"/v1/models", b"5", False),
        ("POST", b"/v1/messages", b"data: {", True),
    ],
)
def test_an_answer_that_can_not_even_be_read_is_seen(
    method: str, path: bytes, answer: bytes, is_stream: bool
) -> None:
    assert judged(record(method, path, answer, is_stream=is_stream))[1]


def error(code: str, status: int, body: Any) -> Record:
    headers = (ID, (b"x-amzn-errortype", code.encode()))
    return record(*CONVERSE, body, status=status, answer_headers=headers)


def test_a_refusal_in_the_modelled_way_is_one() -> None:
    said = {"message": "m"}
    known = judged(error("ValidationException", 400, said))
    assert known == ("refused: ValidationException", [])
    assert judged(error("InvalidSignatureException", 403, said))[1] == []
    assert judged(error("UnsupportedOperationException", 501, said)) == ("not built", [])


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        ("ValidationException", 422, {"message": "m"}),
        ("OopsException", 400, {"message": "m"}),
        ("ValidationException", 400, {}),
        ("ValidationException", 400, {"message": "m", "more": 1}),
        ("ModelErrorException", 424, {"message": "m", "originalStatusCode": 9}),
    ],
)
def test_a_refusal_in_other_words_is_seen(code: str, status: int, body: Any) -> None:
    assert judged(error(code, status, body))[1]


def streamed(*frames: bytes) -> tuple[str, list[str]]:
    path = b"/model/a.b/converse-stream"
    return judged(record("POST", path, b"".join(frames), is_stream=True))


def test_each_frame_of_a_stream_is_held_to_its_shape() -> None:
    start = write_event("messageStart", b'{"role":"assistant"}')
    broke = write_exception("throttlingException", b'{"message":"m"}')
    assert streamed(start, broke) == ("streamed", [])
    assert "required" in streamed(write_event("messageStart", b"{}"))[1][0]
    assert "is none of" in streamed(write_event("messageBegin", b"{}"))[1][0]
    assert "as exception" in streamed(write_exception("messageStart", b'{"role":"user"}'))[1][0]
    assert "is none of" in streamed(write_exception("oopsException", b'{"message":"m"}'))[1][0]


FORM = ((b"content-type", b"application/x-www-form-urlencoded"),)
IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Account>1</Account><Arn>arn:aws:iam::1:user/me</Arn>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"""
REGIONS = b"""<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>1</requestId><regionInfo><item><regionName>a</regionName></item></regionInfo>
</DescribeRegionsResponse>"""


def by_form(action: str, version: str, body: bytes) -> tuple[str, list[str]]:
    form = f"Action={action}&Version={version}".encode()
    return judged(record("POST", b"/", body, form=form, headers=FORM))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"arn:aws:iam::1:user/me", b"a"),
        (b"Account>", b"Acount>"),
        (b"ResponseMetadata", b"Metadata"),
        (b"GetCallerIdentityResult>", b"Result>"),
        (b"IdentityResponse", b"IdentityReply"),
    ],
)
def test_a_query_answer_that_breaks_its_model_is_seen(old: bytes, new: bytes) -> None:
    call = ("GetCallerIdentity", "2011-06-15")
    assert by_form(*call, IDENTITY) == ("answered", [])
    assert by_form(*call, IDENTITY.replace(old, new))[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"regionInfo", b"regions"),
        (b"regionName", b"RegionName"),
        (b"requestId", b"id"),
        (b"<regionName>a</regionName>", b"a<geography>x</geography>"),
    ],
)
def test_an_ec2_answer_that_breaks_its_model_is_seen(old: bytes, new: bytes) -> None:
    call = ("DescribeRegions", "2016-11-15")
    assert by_form(*call, REGIONS) == ("answered", [])
    assert by_form(*call, REGIONS.replace(old, new))[1]


def test_values_in_xml_are_of_their_types() -> None:
    shape = operation_model("ec2", "DescribeCapacityBlockOfferings").output_shape
    body = """<r><capacityBlockOfferingSet><item><instanceCount>{}</instanceCount>
    <startDate>{}</startDate></item></capacityBlockOfferingSet></r>"""
    good = ElementTree.fromstring(body.format("1", "2026-01-01T00:00:00.000Z"))
    assert list(breaches(shape, document_of(shape, good))) == []
    for wrong in (body.format("one", "2026-01-01T00:00:00Z"), body.format("1", "soon")):
        root = ElementTree.fromstring(wrong)
        assert len(list(breaches(shape, document_of(shape, root)))) == 1


MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "a", "citations": None}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def test_anthropics_answers_are_held_to_its_sdks_types() -> None:
    assert judged(record("POST", b"/v1/messages", MESSAGE)) == ("answered", [])
    lacking = {name: value for name, value in MESSAGE.items() if name != "usage"}
    assert "usage: Field required" in judged(record("POST", b"/v1/messages", lacking))[1][0]
    events = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert judged(record("POST", b"/v1/messages", events, is_stream=True)) == ("streamed", [])
    wrong = b'event: ping\ndata: {"type":"content_block_stop"}\n\n'
    assert "index" in judged(record("POST", b"/v1/messages", wrong, is_stream=True))[1][0]
    unknown = b'data: {"type":"block_stop"}\n\n'
    (fault,) = judged(record("POST", b"/v1/messages", unknown, is_stream=True))[1]
    assert "no type block_stop" in fault


def test_an_embedding_in_base64_is_judged_as_the_sdk_reads_it() -> None:
    page = {
        "object": "list",
        "model": "x",
        "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    assert judged(record("POST", b"/v1/embeddings", page)) == ("answered", [])
    page["data"] = [{"object": "embedding", "index": "0", "embedding": "AACAPw=="}]
    assert judged(record("POST", b"/v1/embeddings", page))[1]


def test_a_refusal_without_words_is_seen() -> None:
    path = b"/v1/chat/completions"
    told = {"error": {"message": "m", "type": "t"}}
    assert judged(record("POST", path, told, status=400)) == ("refused: 400 t", [])
    assert judged(record("POST", path, {"error": {"type": "t"}}, status=400))[1]


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", b"/v1/responses/input_tokens", "openai responses.input_tokens.count"),
        ("GET", b"/openai/v1/responses/resp_1", "openai responses.retrieve"),
        ("GET", b"/v1/responses/resp_1/input_items", "openai responses.input_items.list"),
        ("GET", b"/v1/models/lab%2Fmodel/x", "openai models.retrieve"),
        ("GET", b"/anthropic/v1/models/x", "anthropic models.retrieve"),
        ("POST", b"/anthropic/v1/messages", "anthropic messages.create"),
        ("POST", b"/model/a.b/invoke", "bedrock-runtime InvokeModel"),
        ("GET", b"/v1/responses/resp_1/nothing", None),
        ("GET", b"/craton/v1/keys", None),
        ("GET", b"/healthz", None),
        ("GET", b"/nothing", None),
        ("POST", b"/model/%FF/converse", None),
    ],
)
def test_a_request_is_for_the_operation_of_its_path(
    method: str, path: bytes, operation: str | None
) -> None:
    found = asked(record(method, path, b""))
    assert (found and f"{found.wire} {found.operation}") == operation


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        (b"Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux", "boto3"),
        (b"AsyncOpenAI/Python 3.54.0", "openai"),
        (b"OpenAI/Python 3.54.0", "openai"),
        (b"Anthropic/Python 2.12.0", "anthropic"),
        (b"AnthropicBedrock/Python 2.12.0", "anthropic (Bedrock)"),
        (b"ai/5.0 ai-sdk/amazon-bedrock/3.0", "Vercel AI SDK"),
        (b"Python-urllib/3.11", RAW),
        (b"", RAW),
    ],
)
def test_a_client_is_known_by_its_own_word(agent: bytes, client: str) -> None:
    assert client_of(record("GET", b"/", b"", headers=((b"user-agent", agent),))) == client


@pytest.mark.parametrize(
    ("client", "outcome", "status", "kept"),
    [
        ("boto3", "answered", 200, True),
        ("boto3", "refused: ValidationException", 400, True),
        ("boto3", "not built", 501, True),
        ("boto3", "refused: ServiceUnavailableException", 503, False),
        (RAW, "streamed", 200, True),
        (RAW, "refused: ValidationException", 400, False),
    ],
)
def test_what_a_race_or_a_bare_request_was_refused_with_is_not_kept(
    client: str, outcome: str, status: int, kept: bool
) -> None:
    assert is_worth_keeping(Row("w", "One", client, outcome), status) is kept
