"""The body formats of Bedrock's InvokeModel, and how a body tells which it is.

InvokeModel carries whatever its model speaks. Here a model has no format of its own: code that was
written for another model sends that model's body and gets that model's answer. So the body decides,
by members that only one format has:

    anthropic_version               Anthropic messages
    messages                        Nova, if content is a list of `{"text": …}` and the like, or
                                    there is an `inferenceConfig`, `schemaVersion` or `toolConfig`;
                                    else OpenAI chat
    prompt                          Meta Llama
    inputText                       Titan text, or with `dimensions`, `normalize` or
                                    `embeddingTypes` Titan embeddings; with neither these nor a
                                    `textGenerationConfig` it is whichever the model can do
    input_type, texts               Cohere embeddings

A card may name the formats that its model answers to; then others are refused.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from craton.dialects.members import check_nesting, invalid, malformed, wrong
from craton.kernel.errors import BadRequest

Members = dict[str, Raw]
"""A body's members by name, each still as it came."""

Body = TypeVar("Body")


class BodyFormat(StrEnum):
    """Whose request and answer bodies."""

    ANTHROPIC_MESSAGES = "anthropic-messages"
    OPENAI_CHAT = "openai-chat"
    NOVA_MESSAGES = "nova-messages"
    LLAMA = "llama"
    TITAN_TEXT = "titan-text"
    TITAN_EMBEDDING = "titan-embedding"
    COHERE_EMBEDDING = "cohere-embedding"


SHAPES = {
    BodyFormat.ANTHROPIC_MESSAGES: "`anthropic_version` and `messages`",
    BodyFormat.OPENAI_CHAT: "`messages` whose content is a string or has typed parts",
    BodyFormat.NOVA_MESSAGES: '`messages` whose content is a list such as [{"text": "…"}]',
    BodyFormat.LLAMA: "`prompt`",
    BodyFormat.TITAN_TEXT: "`inputText` and `textGenerationConfig`",
    BodyFormat.TITAN_EMBEDDING: "`inputText`, and perhaps `dimensions`",
    BodyFormat.COHERE_EMBEDDING: "`texts` and `input_type`",
}
"""What a body of each format is known by, for whoever sent something else."""

_decode = msgspec.json.Decoder(Members).decode
_NOVA = ("inferenceConfig", "schemaVersion", "toolConfig")
_TITAN_EMBEDDING = ("dimensions", "normalize", "embeddingTypes")
_COHERE = ("texts", "input_type", "embedding_types")


def read_members(body: bytes) -> Members:
    """The members of a body; BadRequest if it isn't a JSON object."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(body, error) from None


def choose(
    members: Members, formats: Sequence[BodyFormat] = (), *, embeds: bool = False
) -> BodyFormat:
    """The format of a body, among those that its model answers to; none named is all of them.

    `embeds` tells that the model gives vectors, which decides where the body doesn't. BadRequest
    lists the shapes that would be read.
    """
    possible = candidates(members, embeds=embeds)
    if not formats:
        if possible:
            return possible[0]
        raise BadRequest(f"The body has the shape of no format known here. {_accepted(SHAPES)}")
    for found in possible:
        if found in formats:
            return found
    if len(formats) == 1 and not possible:
        return formats[0]  # its reader knows better what is missing
    is_like = f"of {possible[0]}" if possible else "of no format known here"
    raise BadRequest(
        f"The body has the shape {is_like}, which this model doesn't answer to. "
        f"{_accepted(formats)}"
    )


def _accepted(formats: Sequence[BodyFormat] | dict[BodyFormat, str]) -> str:
    return "Send one of: " + "; ".join(f"{name} ({SHAPES[name]})" for name in formats) + "."


def candidates(members: Members, *, embeds: bool) -> tuple[BodyFormat, ...]:
    """The formats that a body may be of, likeliest first; empty if it is like none."""
    if "anthropic_version" in members:
        return (BodyFormat.ANTHROPIC_MESSAGES,)
    if "messages" in members:
        return (_of_messages(members),)
    if "inputText" in members:
        if "textGenerationConfig" in members:
            return (BodyFormat.TITAN_TEXT,)
        if any(name in members for name in _TITAN_EMBEDDING):
            return (BodyFormat.TITAN_EMBEDDING,)
        both = (BodyFormat.TITAN_TEXT, BodyFormat.TITAN_EMBEDDING)
        return both[::-1] if embeds else both
    if "prompt" in members:
        return (BodyFormat.LLAMA,)
    if any(name in members for name in _COHERE):
        return (BodyFormat.COHERE_EMBEDDING,)
    return ()


class _Spoken(msgspec.Struct, gc=False):
    content: Raw | UnsetType = UNSET


class _Typed(msgspec.Struct, gc=False):
    type: Raw | UnsetType = UNSET


_decode_messages = msgspec.json.Decoder(list[_Spoken]).decode
_decode_parts = msgspec.json.Decoder(list[_Typed]).decode


def _of_messages(members: Members) -> BodyFormat:
    if any(name in members for name in _NOVA):
        return BodyFormat.NOVA_MESSAGES
    try:
        system = members.get("system")
        if system is not None:
            # OpenAI has no such member. Anthropic's is text or typed blocks; its reader will miss
            # the version and say so.
            parts = None if _is_string(system) else _decode_parts(system)
            is_nova = bool(parts) and parts[0].type is UNSET
            return BodyFormat.NOVA_MESSAGES if is_nova else BodyFormat.ANTHROPIC_MESSAGES
        for message in _decode_messages(members["messages"]):
            content = message.content
            if isinstance(content, UnsetType):
                continue
            if _is_string(content):
                return BodyFormat.OPENAI_CHAT
            parts = _decode_parts(content)
            if parts:
                is_nova = parts[0].type is UNSET
                return BodyFormat.NOVA_MESSAGES if is_nova else BodyFormat.OPENAI_CHAT
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # not what any of them looks like: OpenAI's reader names the member
    return BodyFormat.OPENAI_CHAT


def _is_string(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b'"'


class MembersReader(Generic[Body]):
    """Fills a struct from a body's members; one that the format doesn't have is refused by name."""

    def __init__(self, kind: type[Body], name: str) -> None:
        fields = msgspec.structs.fields(cast("Any", kind))
        self._known = frozenset(field.encode_name for field in fields)
        self._name = name
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, members: Members) -> Body:
        """The struct; BadRequest names the member that is wrong."""
        for name in members:
            if name not in self._known:
                raise wrong(
                    name[:100],
                    f"is not a member of {self._name}; there are {', '.join(sorted(self._known))}",
                )
        body = msgspec.json.encode(members)
        check_nesting(body)
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise invalid(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(body, error) from None
