"""The small form of `python -m tests.fuzz`, and proof that its verdicts can be bad ones."""

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from craton.dialects.eventstream import write_event
from tests.fakes.craton import Craton, Keys
from tests.fuzz import documents, signing
from tests.fuzz.answers import Answer, Cut, Malformed, faults_of, protocol_of, read_answer
from tests.fuzz.invoke_templates import PLAIN_TEXTS, PLAIN_VECTORS
from tests.fuzz.request import Expected, Sent
from tests.fuzz.requests import KINDS as REQUESTS
from tests.fuzz.scripts import KINDS, script
from tests.fuzz.trial import Outcome, Plan, maker_for, run_trial

INPUTS = 2000
KEYS = Keys("111111111111", "AKIATEST", "secret", "sk-craton-test")


@pytest.fixture(scope="module")
def craton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    """One of its own: the trial leaves accounts and keys behind."""
    running = Craton(tmp_path_factory.mktemp("fuzz"), engine="echo")
    yield running
    assert running.close() == 0


def described(outcome: Outcome) -> str:
    faults = [f"input {f.number}, {f.wire}: {f.text}\n{f.data[:2000]!r}" for f in outcome.faults]
    return "\n".join([*faults, *outcome.after])


async def test_no_input_is_answered_wrongly_late_or_not_at_all(craton: Craton) -> None:
    outcome = await run_trial(craton, Plan(inputs=INPUTS, seed=7))
    assert outcome.is_clean, described(outcome)
    assert outcome.sent == INPUTS
    assert outcome.billed_at_least > 100
    statuses = Counter[str]()
    for (_, status), times in outcome.counts.items():
        statuses[status] += times
    # Neither everything refused nor everything let through: the inputs reach all depths.
    assert min(statuses["200"], statuses["400"], statuses["403"], statuses["404"]) > 30
    wires = {wire for wire, _ in outcome.counts}
    assert {"openai chat", "anthropic messages", "converse", "converse stream", "sts"} <= wires
    assert {"openai responses", "openai embeddings", "count tokens", "ec2"} <= wires
    formats = {*PLAIN_TEXTS, *PLAIN_VECTORS}
    assert {f"invoke {verb}{name}" for name in formats for verb in ("", "stream ")} <= wires
    assert {f"native {name}" for name in ("policies", "budgets", "limits", "aliases")} <= wires
    assert {f"http {kind.__name__.replace('_', '-')}" for kind, _ in KINDS if kind.__name__ in (
        "split", "slow", "pipelined", "chunked", "flipped", "misframed", "half_closed"
    )} <= wires  # fmt: skip


def test_the_same_seed_makes_the_same_inputs(craton: Craton) -> None:
    maker = maker_for(craton)

    def made(seed: int) -> list[bytes]:
        found: list[bytes] = []
        for number in range(60):
            dice = random.Random(f"{seed} {number}")
            found.append(maker.make(dice, at_s=1e9).whole)
            found.append(script(lambda dice=dice: maker.make(dice, at_s=1e9), dice).whole)
        return found

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize("kind", REQUESTS)
def test_one_kind_of_requests_can_be_had_alone(craton: Craton, kind: str) -> None:
    maker = maker_for(craton, [kind])
    wires = {maker.make(random.Random(number), at_s=1e9).wire for number in range(60)}
    other = maker_for(craton, [one for one in REQUESTS if one != kind])
    assert wires.isdisjoint(other.make(random.Random(n), at_s=1e9).wire for n in range(300))


@pytest.mark.parametrize("path", ["/model/a.b/converse", "/model/arn%3Aaws%3Abedrock/converse"])
def test_requests_are_signed_as_botocore_signs_them(path: str) -> None:
    target = signing.Target("POST", path, "b=2&a=1", b"{}", "bedrock")
    at_s = 1_800_000_000
    (date, authorization) = signing.signed(target, KEYS, at_s=at_s)
    request = AWSRequest("POST", f"https://{signing.HOST}{path}?b=2&a=1", data=b"{}")
    request.context["timestamp"] = date[1].decode()
    request.headers["host"] = signing.HOST
    request.headers["x-amz-date"] = date[1].decode()
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key)
    auth = SigV4Auth(credentials, "bedrock", "us-east-1")
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    assert authorization[1].decode().endswith(f"Signature={signature}")


# --- the verdicts bite --------------------------------------------------------------------------

HEAD = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
ERROR = {"error": {"message": "m", "type": "t", "param": None, "code": None}}


async def read(data: bytes) -> Answer | None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read_answer(reader)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        HEAD + b"\r\n",
        HEAD + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"content-length: 0\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"bad name: x\r\n\r\n",
        HEAD + b"x: a\x00b\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nabc",
    ],
)
async def test_an_answer_that_is_no_http_is_seen(data: bytes) -> None:
    with pytest.raises(Malformed):
        await read(data)


@pytest.mark.parametrize(
    "data",
    [
        HEAD[:30],
        HEAD,
        HEAD + b"content-length: 5\r\n\r\nabc",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
async def test_an_answer_that_ends_too_soon_is_seen(data: bytes) -> None:
    with pytest.raises(Cut):
        await read(data)


async def test_no_answer_at_all_is_told_apart() -> None:
    assert await read(b"") is None


def sent(path: str = "/v1/chat/completions", *, expected: Expected = Expected.ANY) -> Sent:
    return Sent("openai chat", "POST", path, b"", b"{}", expected, is_anthropic=False)


def answer(status: int, document: object, **headers: bytes) -> Answer:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, {b"content-type": b"application/json", **named}, body)


REFUSAL = answer(400, ERROR, x_request_id=b"1")
EVENTS = b"text/event-stream"
FRAMES = b"application/vnd.amazon.eventstream"


def test_a_refusal_in_the_right_words_is_no_fault() -> None:
    assert faults_of(REFUSAL, sent()) == []
    assert faults_of(REFUSAL, None) == []


@pytest.mark.parametrize(
    ("found", "to", "fault"),
    [
        (answer(500, ERROR, x_request_id=b"1"), sent(), "status 500"),
        (answer(502, ERROR, x_request_id=b"1"), sent(), "status 502"),
        (answer(302, {}), sent(), "status 302"),
        (answer(400, ERROR), sent(), "not an error of openai"),
        (answer(400, b"<html>", x_request_id=b"1"), sent(), "not an error of openai"),
        (answer(400, b"no", content_type=b"text/xml"), sent("/"), "not an error of aws"),
        (REFUSAL, sent("/v1/messages"), "not an error of anthropic"),
        (REFUSAL, sent("/model/x/converse"), "not an error of aws"),
        (REFUSAL, sent("/craton/v1/keys"), "not an error of native"),
        (answer(400, {"oops": 1}), None, "not an error of any protocol"),
        (answer(200, b"{"), sent(), "no JSON"),
        (answer(200, b"x", content_type=b"image/png"), sent(), "a success of the type"),
        (answer(200, b"data: {}", content_type=EVENTS), sent(), "isn't whole"),
        (answer(200, b"data: {}\n\n", content_type=EVENTS), sent(), "without its terminal"),
        (answer(200, b"", content_type=FRAMES), sent(), "0 bytes after the last"),
        (answer(200, {}), sent(expected=Expected.REFUSED), "a bad credential was answered"),
        (REFUSAL, sent(expected=Expected.GOOD), "a valid request was refused"),
        (answer(200, {"a": "b"}), sent(expected=Expected.GOOD), "isn't the echo"),
        (answer(200, b'"Traceback (most recent call last)"'), sent(), "the body holds"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_seen(found: Answer, to: Sent | None, fault: str) -> None:
    assert any(fault in text for text in faults_of(found, to)), faults_of(found, to)


@pytest.mark.parametrize(
    ("method", "path", "is_anthropic", "protocol"),
    [
        ("POST", "/openai/v1/chat/completions", False, "openai"),
        ("GET", "/openai/v1/messages", True, "openai"),
        ("POST", "/anthropic/v1/messages", False, "anthropic"),
        ("GET", "/anthropic/nothing", False, "anthropic"),
        ("POST", "/v1/embeddings", True, "openai"),
        ("POST", "/v1/responses", False, "openai"),
        ("GET", "/v1/responses/x", True, "anthropic"),
        ("POST", "/model/x/invoke", False, "aws"),
        ("GET", "/openai", False, "aws"),
        ("GET", "/v1/models/\xe9", False, None),
    ],
)
def test_a_path_is_told_of_in_its_own_protocol(
    method: str, path: str, is_anthropic: bool, protocol: str | None
) -> None:
    told = Sent("w", method, path, b"", b"", Expected.ANY, is_anthropic=is_anthropic)
    assert protocol_of(told) == protocol


CHUNK = b'{"generation":"a","prompt_token_count":1,"generation_token_count":1,"stop_reason":"stop"}'
METRICS = b'{"generation":"","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}'


def chunk(part: bytes) -> bytes:
    return write_event("chunk", json.dumps({"bytes": base64.b64encode(part).decode()}).encode())


def test_a_stream_of_invoke_model_ends_with_what_was_counted() -> None:
    asked = sent("/model/x/invoke-with-response-stream")
    whole = answer(200, chunk(CHUNK) + chunk(METRICS), content_type=FRAMES, x_amzn_requestid=b"1")
    assert faults_of(whole, asked) == []
    cut = answer(200, chunk(CHUNK), content_type=FRAMES, x_amzn_requestid=b"1")
    assert "the last frame is" in faults_of(cut, asked)[0]


def test_an_answer_that_breaks_its_model_is_seen() -> None:
    asked = sent("/model/x/count-tokens")
    assert faults_of(answer(200, {"inputTokens": 1}, x_amzn_requestid=b"1"), asked) == []
    wrong = faults_of(answer(200, {"inputToken": 1}, x_amzn_requestid=b"1"), asked)
    assert any("$.inputTokens: required" in text for text in wrong)
    refused = answer(418, {"message": "m"}, x_amzn_errortype=b"Oops", x_amzn_requestid=b"1")
    assert faults_of(refused, asked)


def test_hostile_documents_can_hold_what_json_can_not() -> None:
    pairs = documents.Pairs([("a", 1), ("a", documents.Token(b"NaN"))])
    assert documents.write({"x": [pairs, None]}) == b'{"x":[{"a":1,"a":NaN},null]}'


def test_a_bent_document_leaves_its_source_alone() -> None:
    source = {"a": [1, {"b": "c"}]}
    written = {documents.write(documents.bent(source, random.Random(n))) for n in range(200)}
    assert source == {"a": [1, {"b": "c"}]}
    assert len(written) > 120


def test_every_broken_credential_differs_from_the_good_one() -> None:
    target = signing.Target("POST", "/v1/chat/completions", "", b"{}", "bedrock")
    good = signing.signed(target, KEYS, at_s=1e9)
    for number in range(300):
        assert signing.broken(target, KEYS, random.Random(number), at_s=1e9) != good
