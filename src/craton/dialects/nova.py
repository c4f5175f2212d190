"""Amazon Nova's body: schema `messages-v1`.

Source: Amazon Nova User Guide, "Complete request schema". Conversation, tools and blocks are
Converse's, with bytes as base64; the settings and the counts have names of their own.
"""

import binascii
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from craton.dialects import converse_answer, converse_request
from craton.dialects.converse_members import NOT_CONVERSE, optional
from craton.dialects.converse_stream import ConverseStreamWriter
from craton.dialects.dialect import Stamp
from craton.dialects.eventstream import FrameReader
from craton.dialects.invoke_format import Members, MembersReader
from craton.dialects.members import check_portable, invalid, wrong
from craton.kernel.errors import BadRequest, EngineFailed
from craton.messages import Answer, Event, Metadata, Request, TextDelta
from craton.messages.blocks import Audio, Image
from craton.messages.request import Thinking

NAME = "Nova's body"
SCHEMA = "messages-v1"
Document = dict[str, Any]
Tokens = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class ReasoningConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether to reason, and how much (Nova 2)."""

    type: Literal["enabled", "disabled"] = "disabled"
    maxReasoningEffort: str | None = None  # noqa: N815 - the wire's name


class InferenceConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to generate. The first schema's names in small letters are still in use."""

    maxTokens: Tokens | None = None  # noqa: N815 - the wire's name
    max_new_tokens: Tokens | None = None
    temperature: Share | None = None
    topP: Share | None = None  # noqa: N815 - the wire's name
    top_p: Share | None = None
    topK: Count | None = None  # noqa: N815 - the wire's name
    top_k: Count | None = None
    stopSequences: list[str] | None = None  # noqa: N815 - the wire's name
    reasoningConfig: ReasoningConfig | None = None  # noqa: N815 - the wire's name


class NovaMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One turn; its blocks are Converse's."""

    role: Literal["user", "assistant"]
    content: Annotated[list[Document], Meta(min_length=1)]


class NovaBody(msgspec.Struct, kw_only=True):
    """The body of a request."""

    messages: Annotated[list[NovaMessage], Meta(min_length=1)]
    schemaVersion: Literal["messages-v1"] = SCHEMA  # noqa: N815 - the wire's name
    system: list[Document] | None = None
    inferenceConfig: InferenceConfig | None = None  # noqa: N815 - the wire's name
    toolConfig: Document | None = None  # noqa: N815 - the wire's name


_REQUESTS = MembersReader(NovaBody, NAME)
_CHECK = msgspec.msgpack.Decoder(Request)
_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode


def read_request(members: Members, model: str, *, stream: bool) -> Request:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    body = _REQUESTS.read(members)
    config = body.inferenceConfig or InferenceConfig()
    document: Document = {
        "modelId": model,
        "messages": [{"role": m.role, "content": m.content} for m in body.messages],
        "system": body.system or [],
        "inferenceConfig": optional(
            maxTokens=_one_of(config, "maxTokens", "max_new_tokens"),
            temperature=config.temperature,
            topP=_one_of(config, "topP", "top_p"),
            stopSequences=config.stopSequences,
        ),
    }
    if body.toolConfig is not None:
        document["toolConfig"] = body.toolConfig
    try:
        request = converse_request.read_request(document, stream=stream)
    except (*NOT_CONVERSE, binascii.Error) as error:
        raise BadRequest(
            f"The messages, system prompt or tools don't fit Nova's {SCHEMA}: {_told(error)}."
        ) from error
    _check_sources(request)
    request = msgspec.structs.replace(
        request, top_k=_one_of(config, "topK", "top_k") or None, thinking=_thinking(config)
    )
    check_portable(request)
    try:
        return _CHECK.decode(_pack(request))
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def _check_sources(request: Request) -> None:
    """Refuse a picture or sound without a source, which only an answer may have."""
    for number, message in enumerate(request.messages):
        for place, block in enumerate(message.content):
            if isinstance(block, Image | Audio) and block.source is None:
                raise wrong(
                    f"messages[{number}].content[{place}].source", "is required and missing"
                )


def _one_of(config: InferenceConfig, name: str, older: str) -> Any:  # noqa: ANN401 - of either's type
    value, other = getattr(config, name), getattr(config, older)
    if value is not None and other is not None:
        raise wrong(f"inferenceConfig.{older}", f"can't stand beside `{name}`: send one of them")
    return other if value is None else value


def _thinking(config: InferenceConfig) -> Thinking | None:
    asked = config.reasoningConfig
    return None if asked is None else Thinking(mode=asked.type, effort=asked.maxReasoningEffort)


def _told(error: BaseException) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def write_request(request: Request) -> bytes:
    """The body of a request; Unsupported names what it has no form for."""
    config = optional(topK=request.top_k)
    thinking = request.thinking
    if thinking is not None and thinking.mode is not None:
        reasoning = {"type": thinking.mode, "maxReasoningEffort": thinking.effort}
        config["reasoningConfig"] = optional(**reasoning)
    plain = msgspec.structs.replace(request, top_k=None, thinking=None)
    document = converse_request.write_request(plain)
    config |= document.pop("inferenceConfig", {})
    if config:
        document["inferenceConfig"] = config
    return _encode({"schemaVersion": SCHEMA, **document})


def write_answer(answer: Answer, request: Request, stamp: Stamp) -> bytes:  # noqa: ARG001 - the seam's signature
    """The body of a whole answer."""
    document = converse_answer.write_answer(answer)
    return _encode(
        {
            "output": document["output"],
            "stopReason": document["stopReason"],
            "usage": _write_usage(answer.metadata),
        }
    )


def read_answer(body: bytes) -> Answer:
    """Read the body of a whole answer; EngineFailed where it isn't one."""
    try:
        document = msgspec.json.decode(body, type=Document)
        usage = document["usage"]
        for name in ("Read", "Write"):
            if f"cache{name}InputTokenCount" in usage:
                usage[f"cache{name}InputTokens"] = usage.pop(f"cache{name}InputTokenCount")
        return converse_answer.checked(
            converse_answer.read_answer({**document, "metrics": {"latencyMs": 0}})
        )
    except NOT_CONVERSE as error:
        raise EngineFailed(
            f"The model's server sent an answer that is not Nova's: {error}"
        ) from error


def _write_usage(metadata: Metadata) -> Document:
    usage = metadata.usage
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokenCount": usage.cache_read_tokens,
        "cacheWriteInputTokenCount": usage.cache_write_tokens,
    }


class NovaParts:
    """Writes a streamed answer as parts: Converse's events, each under its name."""

    def __init__(self, request: Request, stamp: Stamp) -> None:
        del request, stamp
        self._writer = ConverseStreamWriter()
        self._frames = FrameReader()

    def write(self, event: Event) -> list[bytes]:
        """The parts of one event; may be none."""
        if type(event) is TextDelta and event.extra is None:
            return [
                b'{"contentBlockDelta":{"delta":{"text":%b},"contentBlockIndex":%d}}'
                % (_encode(event.text), event.index)
            ]
        if isinstance(event, Metadata):
            body = {"usage": _write_usage(event), "metrics": {}, "trace": {}}
            return [_encode({"metadata": body})]
        return [
            b'{"%b":%b}' % (str(frame.headers[":event-type"]).encode(), frame.payload)
            for frame in self._frames.feed(self._writer.write(event))
        ]
