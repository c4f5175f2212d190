"""An answer to an OpenAI or Anthropic client beside the types of its SDK."""

import base64
import importlib
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import TypeAdapter, ValidationError

from tests.conformance.aws_answers import Judged
from tests.conformance.operations import ANTHROPIC, OPENAI, Asked
from tests.conformance.recording import Record

_OPENAI = "openai.types."
_RESPONSES = "openai.types.responses."
_ANTHROPIC = "anthropic.types."
WHOLE: Mapping[tuple[str, str], str] = {
    (OPENAI, "chat.completions.create"): _OPENAI + "chat.ChatCompletion",
    (OPENAI, "embeddings.create"): _OPENAI + "CreateEmbeddingResponse",
    (OPENAI, "models.retrieve"): _OPENAI + "Model",
    (OPENAI, "responses.cancel"): _RESPONSES + "Response",
    (OPENAI, "responses.create"): _RESPONSES + "Response",
    (OPENAI, "responses.retrieve"): _RESPONSES + "Response",
    (OPENAI, "responses.input_items.list"): (_RESPONSES + "response_item_list.ResponseItemList"),
    (OPENAI, "responses.input_tokens.count"): (
        _RESPONSES + "input_token_count_response.InputTokenCountResponse"
    ),
    (ANTHROPIC, "messages.create"): _ANTHROPIC + "Message",
    (ANTHROPIC, "messages.count_tokens"): _ANTHROPIC + "MessageTokensCount",
    (ANTHROPIC, "models.retrieve"): _ANTHROPIC + "ModelInfo",
}
"""The type of a whole answer. The answers of `delete` and of lists have none of their own."""
EVENTS: Mapping[tuple[str, str], str] = {
    (OPENAI, "chat.completions.create"): _OPENAI + "chat.ChatCompletionChunk",
    (OPENAI, "responses.create"): _RESPONSES + "ResponseStreamEvent",
    (OPENAI, "responses.retrieve"): _RESPONSES + "ResponseStreamEvent",
    (ANTHROPIC, "messages.create"): _ANTHROPIC + "RawMessageStreamEvent",
}
"""The type of each event of a streamed answer."""
LISTED: Mapping[tuple[str, str], str] = {
    (OPENAI, "models.list"): _OPENAI + "Model",
    (ANTHROPIC, "models.list"): _ANTHROPIC + "ModelInfo",
}
"""The type of each entry of a page."""


@lru_cache(maxsize=64)
def _adapters(name: str) -> Mapping[str | None, TypeAdapter[Any]]:
    """A type, or each type of a union by what its documents say is their `type`.

    The SDKs' types take seconds to prepare, so each waits until it is needed.
    """
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    if get_origin(found) is Annotated:
        found = get_args(found)[0]
    if get_origin(found) is not Union:
        return {None: TypeAdapter(found)}
    return {
        said: TypeAdapter(member)
        for member in get_args(found)
        for said in get_args(member.model_fields["type"].annotation)
    }


def prepare() -> None:
    """Prepare every type now, for whoever counts seconds later."""
    for name in {*WHOLE.values(), *EVENTS.values(), *LISTED.values()}:
        _adapters(name)


def judged(asked: Asked, record: Record) -> Judged:
    """The outcome of a call, and what of its answer its SDK's types don't know."""
    if record.method == "HEAD":
        return Judged("asked by HEAD", [])
    if record.status >= 300:
        document = msgspec.json.decode(record.answer)
        error = document.get("error") or {}
        wrong = [] if error.get("message") and error.get("type") else ["an error without words"]
        return Judged(f"refused: {record.status} {error.get('type')}", wrong)
    if record.is_stream:
        found = [f for event in _events(record.answer) for f in _faults(asked, event, event=True)]
        return Judged("streamed", found)
    return Judged("answered", list(_faults(asked, record.answer, event=False)))


def _events(body: bytes) -> Iterator[bytes]:
    for line in body.split(b"\n"):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            data = line.removeprefix(b"data: ")
            # An error in a stream is no event that the SDKs have a type for: they raise it.
            if b'"error":{' not in data[:200] or b'"type":"response' in data:
                yield data


def _faults(asked: Asked, document: bytes, *, event: bool) -> Iterator[str]:
    key = asked.wire, asked.operation
    if key in LISTED:
        for entry in msgspec.json.decode(document)["data"]:
            yield from _unlike(LISTED[key], msgspec.json.encode(entry))
        return
    if key == (OPENAI, "embeddings.create"):
        document = _decoded(document)
    name = (EVENTS if event else WHOLE).get(key)
    if name is not None:
        yield from _unlike(name, document)


def _decoded(document: bytes) -> bytes:
    """Embeddings whose vectors came in base64, as OpenAI's SDK has them when it has read them."""
    page = msgspec.json.decode(document)
    for entry in page["data"]:
        if isinstance(entry["embedding"], str):
            packed = base64.b64decode(entry["embedding"], validate=True)
            entry["embedding"] = struct.unpack(f"<{len(packed) // 4}f", packed)
    return msgspec.json.encode(page)


def _unlike(name: str, document: bytes) -> Iterator[str]:
    adapters = _adapters(name)
    said = None if None in adapters else str(msgspec.json.decode(document).get("type"))
    if said not in adapters:
        yield f"{name} has no type {said}"
        return
    try:
        adapters[said].validate_json(document, strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False)[:5]:
            place = ".".join(str(part) for part in (said, *one["loc"]) if part is not None)
            yield f"{place}: {one['msg']}, not {one['input']!r}"[:300]
