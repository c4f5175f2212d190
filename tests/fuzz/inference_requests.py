"""Requests to InvokeModel in every body format, CountTokens, OpenAI's Responses and embeddings."""

import base64
import random
from urllib.parse import quote

from tests.fakes.craton import ECHO
from tests.fuzz import documents
from tests.fuzz.invoke_templates import (
    COUNT,
    EMBEDDINGS,
    INVOKE,
    PLAIN_COUNT,
    PLAIN_EMBEDDING,
    PLAIN_RESPONSE,
    PLAIN_TEXTS,
    PLAIN_VECTORS,
    RESPONSES,
)
from tests.fuzz.request import Expected, Request, with_document
from tests.fuzz.signing import Header

INVOKE_HEADERS: tuple[Header, ...] = (
    (b"accept", b"application/json"), (b"accept", b"*/*"), (b"accept", b"image/png"),
    (b"x-amzn-bedrock-accept", b"application/json"), (b"x-amzn-bedrock-accept", b"\xff"),
    (b"x-amzn-bedrock-trace", b"ENABLED"), (b"x-amzn-bedrock-trace", b"sometimes"),
    (b"x-amzn-bedrock-guardrailidentifier", b"abc123"), (b"x-amzn-bedrock-guardrailversion", b"1"),
    (b"x-amzn-bedrock-guardrailidentifier", b"\x80"),
    (b"x-amzn-bedrock-performanceconfig-latency", b"standard"),
    (b"x-amzn-bedrock-performanceconfig-latency", b"never"),
    (b"x-amzn-bedrock-service-tier", b"default"), (b"x-amzn-bedrock-service-tier", b""),
    (b"x-amzn-bedrock-request-metadata", b'{"a":"b"}'),
    (b"x-amzn-bedrock-request-metadata", b'{"a":1}'), (b"x-amzn-bedrock-request-metadata", b"{"),
    (b"x-amzn-bedrock-request-metadata", b"[" * 900),
)  # fmt: skip
IDS = ("resp_0", "x", "%FF", "resp_" + "a" * 60, "..", "%2F", "resp_0%00", "é", "input_tokens", "%")


def invocation(dice: random.Random) -> Request:
    """InvokeModel or its stream, in one of seven formats."""
    name = dice.choice(list(INVOKE))
    is_stream = dice.random() < 0.5
    verb = "invoke-with-response-stream" if is_stream else "invoke"
    wire = f"invoke {'stream ' if is_stream else ''}{name}"
    request = Request(wire, "POST", f"/model/{_model(dice)}/{verb}")
    plain = PLAIN_TEXTS.get(name) or PLAIN_VECTORS[name]
    request = with_document(request, plain, INVOKE[name], dice)
    if name in PLAIN_VECTORS and is_stream:
        request.expected = Expected.ANY  # vectors have no stream
    if request.expected is not Expected.GOOD and dice.random() < 0.15:
        request.headers += (dice.choice(INVOKE_HEADERS),)
    return _if_it_is_there(request)


def count(dice: random.Random) -> Request:
    """CountTokens of a Converse or of an InvokeModel, whose body is bent before it is packed."""
    request = Request("count tokens", "POST", f"/model/{_model(dice)}/count-tokens")
    if dice.random() < 0.4:
        name = dice.choice(list(INVOKE))
        inner = documents.write(documents.bent(dice.choice(INVOKE[name]), dice))
        body = base64.b64encode(inner).decode()
        request.body = documents.write({"input": {"invokeModel": {"body": body}}})
    else:
        request = with_document(request, PLAIN_COUNT, COUNT, dice)
    return _if_it_is_there(request)


def response(dice: random.Random) -> Request:
    """OpenAI's Responses: made, counted, and what is kept of them asked for."""
    roll = dice.random()
    if roll < 0.75:
        request = Request("openai responses", "POST", "/v1/responses")
        return with_document(request, PLAIN_RESPONSE, RESPONSES, dice)
    if roll < 0.85:
        request = Request("openai response tokens", "POST", "/v1/responses/input_tokens")
        return with_document(request, PLAIN_RESPONSE, RESPONSES[1:], dice)
    id = dice.choice(IDS)
    method, path = dice.choice(
        (
            ("GET", f"/v1/responses/{id}"),
            ("DELETE", f"/v1/responses/{id}"),
            ("GET", f"/v1/responses/{id}/input_items"),
            ("POST", f"/v1/responses/{id}/cancel"),
            ("POST", "/v1/responses/compact"),
        )
    )
    query = dice.choice(
        ("", "", "limit=0", "limit=2&order=asc", "after=x", "order=up", "stream=true", "%FF=%", "=")
    )
    return Request("openai responses kept", method, path, query)


def embedding(dice: random.Random) -> Request:
    """OpenAI's embeddings."""
    request = Request("openai embeddings", "POST", "/v1/embeddings")
    return with_document(request, PLAIN_EMBEDDING, EMBEDDINGS, dice)


def _model(dice: random.Random) -> str:
    if dice.random() < 0.06:
        return dice.choice(("x", "%FF", "..", "a%2Fb", "arn%3Aaws%3Abedrock", "é", "%00"))
    if dice.random() < 0.1:
        return quote(f"arn:aws:bedrock:us-east-1::foundation-model/{ECHO}", safe="")
    return ECHO


def _if_it_is_there(request: Request) -> Request:
    if ECHO not in request.path:
        request.expected = Expected.ANY
    return request
