"""Whole answers of Anthropic's messages: `Answer` to bytes, and back.

What the conversation model doesn't know rides in `extra["anthropic"]`: of the answer's start that
of the message, of its stop the stop's details, of its metadata that of the usage.
"""

from typing import Any

import msgspec

from craton.dialects.anthropic_messages_blocks import read_blocks, write_block
from craton.dialects.anthropic_messages_citations import DIALECT, extra_of, own
from craton.dialects.anthropic_messages_wire import AnswerBody, StopBody, UsageBody
from craton.dialects.dialect import Stamp
from craton.dialects.members import BodyReader, Json, check_nesting, members
from craton.kernel.errors import BadRequest, EngineFailed
from craton.messages.blocks import Block, Image, Opaque, Text, ToolResult
from craton.messages.events import Answer, MessageStart, MessageStop, Metadata, StopReason
from craton.messages.usage import Usage

_ANSWERS: BodyReader[AnswerBody] = BodyReader(AnswerBody)
_encode = msgspec.json.encode

STOP_REASONS = {
    StopReason.END_TURN: "end_turn",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.TOOL_USE: "tool_use",
    StopReason.MAX_TOKENS: "max_tokens",
    StopReason.CONTEXT_WINDOW_EXCEEDED: "model_context_window_exceeded",
    StopReason.CONTENT_FILTERED: "refusal",
    StopReason.GUARDRAIL_INTERVENED: "refusal",
    StopReason.MALFORMED_MODEL_OUTPUT: "end_turn",
    StopReason.MALFORMED_TOOL_USE: "end_turn",
}
_READ_STOP_REASONS = {
    "end_turn": StopReason.END_TURN,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": StopReason.TOOL_USE,
    "max_tokens": StopReason.MAX_TOKENS,
    "model_context_window_exceeded": StopReason.CONTEXT_WINDOW_EXCEEDED,
    "refusal": StopReason.CONTENT_FILTERED,
}


def answer_id(stamp: Stamp) -> str:
    """The wire's id of an answer, from Craton's id of the request."""
    return "msg_" + stamp.request_id.replace("-", "")


def stop_reason(stop: MessageStop) -> str:
    """Why it stopped, in the wire's words; one that this model doesn't know goes on as it came."""
    return own(stop.extra).get("stop_reason") or STOP_REASONS[stop.stop_reason]


def read_stop(body: AnswerBody | StopBody) -> MessageStop:
    """Why an answer stopped. `pause_turn`, and what is new, end the turn and keep their name."""
    reason = body.stop_reason or "end_turn"
    known = _READ_STOP_REASONS.get(reason)
    rides: Json = {}
    if known is None:
        rides["stop_reason"] = reason
    if body.stop_details is not None:
        rides["stop_details"] = body.stop_details
    if isinstance(body, StopBody):
        if body.container is not None:
            rides["container"] = body.container
        rides |= members(body) or {}
    return MessageStop(
        stop_reason=known or StopReason.END_TURN,
        stop_sequence=body.stop_sequence,
        extra=extra_of(rides or None),
    )


def read_start(body: AnswerBody, usage: Usage | None = None) -> MessageStart:
    """How an answer begins."""
    rides: Json = dict(members(body) or {})
    if body.container is not None:
        rides["container"] = body.container
    if body.diagnostics is not None:
        rides["diagnostics"] = body.diagnostics
    return MessageStart(id=body.id, model=body.model, usage=usage, extra=extra_of(rides or None))


def read_usage(body: UsageBody) -> Usage:
    """The counts of an answer, which this wire keeps disjoint as the conversation model does."""
    if body.input_tokens is None or body.output_tokens is None:
        raise EngineFailed("The upstream's answer came without its counts of tokens.")
    by_ttl: dict[str, int] | None = None
    creation = body.cache_creation
    if creation is not None:
        counts = {
            "5m": creation.ephemeral_5m_input_tokens,
            "1h": creation.ephemeral_1h_input_tokens,
        }
        by_ttl = {ttl: count for ttl, count in counts.items() if count} or None
    details = body.output_tokens_details
    return Usage(
        input_tokens=body.input_tokens,
        output_tokens=body.output_tokens,
        cache_read_tokens=body.cache_read_input_tokens or 0,
        cache_write_tokens=body.cache_creation_input_tokens or 0,
        reasoning_tokens=details.thinking_tokens if details is not None else 0,
        cache_write_by_ttl=by_ttl,
    )


def read_metadata(body: UsageBody) -> Metadata:
    """What an answer used."""
    rides: Json = dict(members(body) or {})
    if body.server_tool_use is not None:
        rides["server_tool_use"] = body.server_tool_use
    if body.inference_geo is not None:
        rides["inference_geo"] = body.inference_geo
    return Metadata(
        usage=read_usage(body), service_tier=body.service_tier, extra=extra_of(rides or None)
    )


def write_usage(usage: Usage) -> Json:
    """The counts of an answer."""
    body: Json = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.cache_write_by_ttl is not None:
        body["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_by_ttl.get("5m", 0),
            "ephemeral_1h_input_tokens": usage.cache_write_by_ttl.get("1h", 0),
        }
    if usage.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return body


def write_metadata(metadata: Metadata) -> Json:
    """What an answer used, with what the wire says of it besides."""
    body = write_usage(metadata.usage)
    if metadata.service_tier is not None:
        body["service_tier"] = metadata.service_tier
    if metadata.extra is not None:
        body = {**own(metadata.extra), **body}
    return body


def has_form(block: Block) -> bool:
    """Whether an answer of this wire can carry a block; it has no word for the others."""
    if isinstance(block, Opaque):
        return block.dialect == DIALECT
    return not isinstance(block, Image | ToolResult)


def write_answer(answer: Answer, stamp: Stamp) -> bytes:
    """The body of a whole answer."""
    content: list[Json] = []
    for block in answer.content:
        if type(block) is Text and block.extra is None:
            content.append({"type": "text", "text": block.text})
        elif has_form(block):
            content.append(write_block(block))
    body: dict[str, Any] = {
        "id": answer_id(stamp),
        "type": "message",
        "role": "assistant",
        "model": stamp.model,
        "content": content,
        "stop_reason": stop_reason(answer.stop),
        "stop_sequence": answer.stop.stop_sequence,
        "usage": write_metadata(answer.metadata),
    }
    for extra in (answer.start.extra, answer.stop.extra):
        if extra is not None:
            for name, value in own(extra).items():
                body.setdefault(name, value)
    return _encode(body)


def read_answer(body: bytes) -> Answer:
    """Read the body of a whole answer; EngineFailed where it isn't one."""
    try:
        wire = _ANSWERS.read(body)
        check_nesting(body)
        content = read_blocks(wire.content, "content")
    except BadRequest as error:
        raise EngineFailed(f"The upstream's answer can't be read: {error.message}") from None
    return Answer(
        start=read_start(wire),
        content=content,
        stop=read_stop(wire),
        metadata=read_metadata(wire.usage),
    )
