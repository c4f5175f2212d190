"""The names of Anthropic's betas: to which servers they go on, and in which form."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from craton.apis.anthropic.endpoints import MESSAGES, anthropic_endpoints
from craton.apis.bedrock.settings import settled
from craton.dialects import anthropic_messages, converse_request, invoke
from craton.dialects.anthropic_messages_betas import betas_of, read_header, with_betas
from craton.dialects.invoke_format import BodyFormat, read_members
from craton.http import Headers, HttpClient, HttpRequest
from craton.kernel.errors import BadRequest
from craton.messages import Message, Request, Role, Text
from craton.models.card import EchoSource, EmbeddedSource, ModelCard, RemoteSource, RemoteWire
from craton.models.engines.upstream.wires import AnthropicWire

BODY = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
BETAS = ["context-1m-2025-08-07", "files-api-2025-04-14"]
REQUEST = Request(
    model="m", messages=[Message(role=Role.USER, content=[Text(text="x")])], max_tokens=5
)


def card(wire: RemoteWire | None) -> ModelCard:
    source = EchoSource() if wire is None else RemoteSource("http://h", "far", wire=wire)
    return ModelCard("m", "M", "Lab", source, 1000, 100)


async def asked_by_header(wire: RemoteWire | None, *values: bytes) -> Request:
    """The request that the endpoint makes of a body and this header."""
    ran: list[Request] = []

    async def run(exchange: Any, wire: Any, request: Request) -> None:
        ran.append(request)

    services: Any = SimpleNamespace(
        inference=SimpleNamespace(run=run), router=SimpleNamespace(card=lambda _: card(wire))
    )
    headers = Headers([(b"anthropic-beta", value) for value in values])
    request = HttpRequest("POST", MESSAGES, b"", headers, json.dumps(BODY).encode(), "")
    exchange: Any = SimpleNamespace(request=request)
    await anthropic_endpoints(services)["POST", MESSAGES].run(exchange)
    return ran[0]


@pytest.mark.parametrize("wire", [RemoteWire.ANTHROPIC, RemoteWire.BEDROCK])
async def test_the_header_goes_on_to_servers_that_know_betas(wire: RemoteWire) -> None:
    request = await asked_by_header(wire, f"{BETAS[0]}, {BETAS[1]}".encode())
    assert betas_of(request) == BETAS
    assert betas_of(await asked_by_header(wire, *(beta.encode() for beta in BETAS))) == BETAS


@pytest.mark.parametrize("wire", [None, RemoteWire.OPENAI])
async def test_no_other_engine_is_told(wire: RemoteWire | None) -> None:
    request = await asked_by_header(wire, BETAS[0].encode())
    assert request.additional_fields is None


async def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="`anthropic_beta`: 'a b' is not the name"):
        await asked_by_header(RemoteWire.ANTHROPIC, b"a b")


def test_a_server_of_anthropics_gets_them_in_its_header_and_not_in_the_body() -> None:
    source = card(RemoteWire.ANTHROPIC).source
    assert isinstance(source, RemoteSource)
    wire = AnthropicWire(source, None)
    request = with_betas(REQUEST, BETAS)
    body = wire.codec.write_request(request)
    assert b"beta" not in body

    async def targets() -> list[bytes]:
        client = HttpClient()
        made = [
            wire.target(client, request, body),
            wire.count_target(client, request)[0],
            wire.target(client, REQUEST, body),
        ]
        client.close()
        return [target.head for target in made]

    told, counted, plain = asyncio.run(targets())
    value = ",".join(BETAS).encode()
    assert b"anthropic-beta: " + value in told
    assert b"anthropic-beta: " + value in counted
    assert b"anthropic-beta" not in plain


def test_bedrock_gets_them_among_the_fields_for_the_model() -> None:
    document = converse_request.write_request(with_betas(REQUEST, BETAS))
    assert document["additionalModelRequestFields"] == {"anthropic_beta": BETAS}


def invoked(**members: Any) -> Request:
    body = {"anthropic_version": "bedrock-2023-05-31", **BODY, **members}
    del body["model"]
    codec = invoke.TEXT_CODECS[BodyFormat.ANTHROPIC_MESSAGES]
    return codec.read_request(read_members(json.dumps(body).encode()), "m", stream=False)


def test_a_body_of_bedrocks_carries_them_to_whom_they_concern() -> None:
    request = invoked(anthropic_beta=BETAS)
    assert betas_of(request) == BETAS
    for wire in (RemoteWire.ANTHROPIC, RemoteWire.BEDROCK):
        assert betas_of(settled(request, card(wire))) == BETAS
    assert settled(request, card(RemoteWire.OPENAI)).additional_fields is None
    embedded = ModelCard("m", "M", "Lab", EmbeddedSource(gguf="a.gguf"), 1000, 100)
    assert settled(request, embedded).additional_fields is None
    assert invoked(anthropic_beta=[]).additional_fields is None


@pytest.mark.parametrize("betas", ["one", [5], ["a\nb"], ["x"] * 101, {"a": 1}, [""]])
def test_what_is_no_list_of_names_is_refused(betas: Any) -> None:
    with pytest.raises(BadRequest, match="`anthropic_beta`"):
        invoked(anthropic_beta=betas)
    broken = REQUEST.__class__(
        model="m", messages=REQUEST.messages, additional_fields={"anthropic_beta": betas}
    )
    with pytest.raises(BadRequest, match="`anthropic_beta`"):
        betas_of(broken)


def test_other_fields_for_the_model_stay_beside_them() -> None:
    request = Request(model="m", messages=[], additional_fields={"top_k": 5}, max_tokens=1)
    assert with_betas(request, ["b"]).additional_fields == {"top_k": 5, "anthropic_beta": ["b"]}
    written = anthropic_messages.CLIENT.write_request(with_betas(request, ["b"]))
    assert json.loads(written)["top_k"] == 5


def test_empty_values_of_the_header_name_nothing() -> None:
    assert read_header([b"", b" a ,, b", b","]) == ["a", "b"]
