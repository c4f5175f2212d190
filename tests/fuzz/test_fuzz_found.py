"""Inputs that once did harm, each against a real Craton."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from craton.apis.aws.wire import AwsWire
from craton.kernel.errors import BadRequest
from tests.conformance.judging import row_of
from tests.conformance.recording import Record
from tests.fakes.craton import ECHO, Craton
from tests.fuzz.answers import Answer
from tests.fuzz.request import Expected, Request, Sent, head_of
from tests.fuzz.signing import bearer
from tests.fuzz.trial import connect, exchange


async def ask(craton: Craton, request: Request) -> Answer:
    address = urlsplit(craton.url)
    assert address.hostname is not None
    assert address.port is not None
    head = head_of(request, [bearer(craton.keys.api_key)])
    sent = Sent(
        request.wire, request.method, request.path, head, request.body, Expected.ANY,
        is_anthropic=False,
    )  # fmt: skip
    stream = await connect(address.hostname, address.port)
    try:
        answer, faults = await exchange(stream, sent)
    finally:
        stream[1].transport.abort()
    assert faults == []
    assert answer is not None
    return answer


def chat(text: str, **settings: Any) -> Request:
    document = {"model": ECHO, "messages": [{"role": "user", "content": text}], **settings}
    body = json.dumps(document).encode()
    return Request("openai chat", "POST", "/v1/chat/completions", body=body)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/model/%FF/converse"), ("GET", "/foundation-models/%FF"), ("GET", "/agents/%E9/")],
)
async def test_a_path_that_is_not_utf_8_is_refused_and_not_dropped(
    echo: Craton, method: str, path: str
) -> None:
    """The finder raised where no error was caught: no answer came and no error was counted."""
    answer = await ask(echo, Request("aws", method, path))
    assert answer.status == 400
    assert b"not UTF-8" in answer.body


async def test_a_form_that_is_not_utf_8_is_refused_and_not_dropped(echo: Craton) -> None:
    form = Request("sts", "POST", "/", body=b"Action=%FF")
    form.content_type = "application/x-www-form-urlencoded"
    assert (await ask(echo, form)).status == 400


async def test_a_long_text_of_blanks_is_answered_at_once(echo: Craton) -> None:
    """The echo engine's expression looked ahead from each blank: 8 KB took 1.5 s, 1 MB a day."""
    started_s = time.monotonic()
    answer = await ask(echo, chat(" " * 200_000))
    assert answer.status == 200
    assert time.monotonic() - started_s < 2


async def test_many_words_with_a_stop_sequence_are_answered_at_once(echo: Craton) -> None:
    """The echo engine searched all that it had said again at every word: 60 s for 99,000 words."""
    started_s = time.monotonic()
    answer = await ask(echo, chat("abcd " * 40_000, max_tokens=100_000, stop=["zz"]))
    assert answer.status == 200
    assert time.monotonic() - started_s < 4


@pytest.mark.parametrize("tier", ["auto\x00", "otua", "assistant"])
async def test_a_document_of_a_response_repeats_no_tier_that_openai_has_not(
    echo: Craton, tier: str
) -> None:
    """`response.created` said what the request had named, and OpenAI's types know seven tiers."""
    document = {"model": ECHO, "input": "one", "stream": True, "service_tier": tier}
    body = json.dumps(document).encode()
    answer = await ask(echo, Request("openai responses", "POST", "/v1/responses", body=body))
    assert answer.status == 200
    assert answer.body.count(b'"service_tier":"default"') == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/memories/m/memoryRecords/batchDelete"),
        ("DELETE", b"/code-interpreters/c/"),
        ("POST", b"/model/a.b/converse"),
    ],
)
def test_an_error_says_all_that_its_shape_requires(method: str, path: bytes) -> None:
    """The ValidationException of bedrock-agentcore must give a reason, and gave none."""
    wire = AwsWire()
    match = wire.find(method, path, b"", {}, b"")
    assert match is not None
    status, headers, body = wire.error(BadRequest("m"), match, "id")
    found = row_of(Record(method, path, b"", [], b"", status, list(headers), body, False))
    assert found is not None
    assert found[0].outcome == "refused: ValidationException"
    assert found[1] == []
