"""InvokeModel's body formats, each as a codec of the same shape.

The formats of Anthropic and OpenAI are the dialects that serve their own wires; Bedrock's way with
them differs in a few members alone, which are set right here.
"""

import re
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Raw

from craton.dialects import anthropic_messages, cohere, llama, nova, openai_chat, titan
from craton.dialects.anthropic_messages_betas import BETAS, with_betas
from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings
from craton.dialects.invoke_format import BodyFormat, Members
from craton.dialects.invoke_stream import EventParts, PartWriter
from craton.dialects.members import wrong
from craton.messages import Answer, Request

ANTHROPIC_VERSION = "bedrock-2023-05-31"
_VERSION = re.compile(rb'"(?:bedrock-)?\d{4}-\d{2}-\d{2}"')
"""Bedrock's own, or any of Anthropic's API: its SDK for Bedrock (2.x) sends the newest it knows."""

_encode = msgspec.json.Encoder().encode


class TextCodec(Protocol):
    """A server's side of a format that generates."""

    def read_request(self, members: Members, model: str, *, stream: bool) -> Request:
        """Read a body; BadRequest or Unsupported names the member that is wrong."""
        ...

    def read_count_request(self, members: Members, model: str) -> Request:
        """Read a body whose prompt is only to be counted."""
        ...

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of a whole answer."""
        ...

    def part_writer(self, request: Request, stamp: Stamp) -> PartWriter:
        """A writer of a streamed answer's parts."""
        ...


class EmbeddingCodec(Protocol):
    """A server's side of a format that embeds."""

    def read_embedding_request(self, members: Members, model: str) -> EmbeddingRequest:
        """Read a body; BadRequest or Unsupported names the member that is wrong."""
        ...

    def write_embeddings(
        self, embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp
    ) -> bytes:
        """The body of the answer."""
        ...


def _joined(members: Members, model: str, *, stream: bool) -> bytes:
    """The body with what stands in the path: the model's name, and whether to stream."""
    whole: dict[str, Raw | str | bool] = {**members, "model": model}
    if stream:
        whole["stream"] = True
    return _encode(whole)


class _Anthropic:
    def read_request(self, members: Members, model: str, *, stream: bool) -> Request:
        request = anthropic_messages.SERVER.read_request(
            _joined(self._own(members), model, stream=stream)
        )
        return self._with_betas(request, members)

    def read_count_request(self, members: Members, model: str) -> Request:
        request = anthropic_messages.SERVER.read_count_request(
            _joined(self._own(members), model, stream=False)
        )
        return self._with_betas(request, members)

    def _with_betas(self, request: Request, members: Members) -> Request:
        betas = members.get(BETAS)
        return request if betas is None else with_betas(request, msgspec.json.decode(betas))

    def _own(self, members: Members) -> Members:
        own = dict(members)
        version = own.pop("anthropic_version", None)
        if version is None:
            raise wrong("anthropic_version", f'is required and missing; send "{ANTHROPIC_VERSION}"')
        if _VERSION.fullmatch(version) is None:
            raise wrong("anthropic_version", f'expected "{ANTHROPIC_VERSION}"')
        own.pop(BETAS, None)
        for name, instead in (
            ("model", "it is the operation's modelId"),
            ("stream", "call InvokeModelWithResponseStream to stream"),
        ):
            if name in own:
                raise wrong(name, f"does not stand in this body: {instead}")
        return own

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        return anthropic_messages.SERVER.write_answer(answer, request, stamp)

    def part_writer(self, request: Request, stamp: Stamp) -> PartWriter:
        return EventParts(anthropic_messages.SERVER.stream_writer(request, stamp))


class _OpenAI:
    def read_request(self, members: Members, model: str, *, stream: bool) -> Request:
        own = dict(members)
        named, streams = own.pop("model", None), own.pop("stream", None)
        if named is not None and _value(named) not in (None, model):
            raise wrong("model", f"must be the operation's modelId, {model!r}, or be left out")
        if streams is not None and _value(streams) not in (None, stream):
            raise wrong("stream", "must fit the operation, or be left out")
        return openai_chat.SERVER.read_request(_joined(own, model, stream=stream))

    def read_count_request(self, members: Members, model: str) -> Request:
        return self.read_request(members, model, stream=False)

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        return openai_chat.SERVER.write_answer(answer, request, stamp)

    def part_writer(self, request: Request, stamp: Stamp) -> PartWriter:
        return EventParts(openai_chat.SERVER.stream_writer(request, stamp))


def _value(member: Raw) -> object:
    try:
        return msgspec.json.decode(member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return member  # equal to nothing


class _Nova:
    read_request = staticmethod(nova.read_request)
    write_answer = staticmethod(nova.write_answer)
    part_writer = staticmethod(nova.NovaParts)

    def read_count_request(self, members: Members, model: str) -> Request:
        return nova.read_request(members, model, stream=False)


class _Llama:
    read_request = staticmethod(llama.read_request)
    write_answer = staticmethod(llama.write_answer)
    part_writer = staticmethod(llama.LlamaParts)

    def read_count_request(self, members: Members, model: str) -> Request:
        return llama.read_request(members, model, stream=False)


class _Titan:
    read_request = staticmethod(titan.read_request)
    write_answer = staticmethod(titan.write_answer)
    part_writer = staticmethod(titan.TitanParts)

    def read_count_request(self, members: Members, model: str) -> Request:
        return titan.read_request(members, model, stream=False)


TEXT_CODECS: Mapping[BodyFormat, TextCodec] = {
    BodyFormat.ANTHROPIC_MESSAGES: _Anthropic(),
    BodyFormat.OPENAI_CHAT: _OpenAI(),
    BodyFormat.NOVA_MESSAGES: _Nova(),
    BodyFormat.LLAMA: _Llama(),
    BodyFormat.TITAN_TEXT: _Titan(),
}
EMBEDDING_CODECS: Mapping[BodyFormat, EmbeddingCodec] = {
    BodyFormat.TITAN_EMBEDDING: titan,
    BodyFormat.COHERE_EMBEDDING: cohere,
}
assert not TEXT_CODECS.keys() & EMBEDDING_CODECS.keys()
assert TEXT_CODECS.keys() | EMBEDDING_CODECS.keys() == set(BodyFormat)
