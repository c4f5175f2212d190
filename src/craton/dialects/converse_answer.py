"""Converse answers, both ways: the whole body, and the pieces that a stream shares with it."""

from typing import Any

import msgspec

from craton.dialects.converse_blocks import read_block, write_block
from craton.dialects.converse_members import (
    DIALECT,
    Members,
    optional,
    rest,
    with_rest,
)
from craton.messages.blocks import Block, Role
from craton.messages.events import Answer, MessageStart, MessageStop, Metadata, StopReason
from craton.messages.usage import Usage

_ROLES = {role.value: role for role in Role}
_STOP_REASONS = {reason.value: reason for reason in StopReason}
_ANSWER_KNOWN = (
    "output",
    "stopReason",
    "usage",
    "metrics",
    "additionalModelResponseFields",
    "trace",
    "performanceConfig",
    "serviceTier",
)


def read_answer(document: Members) -> Answer:
    """Read the output of Converse; blobs may be base64 text."""
    message = document["output"]["message"]
    content: list[Block] = [read_block(block) for block in message["content"]]
    return Answer(
        start=MessageStart(
            role=_ROLES[message["role"]],
            extra=rest(message, "role", "content"),
        ),
        content=content,
        stop=MessageStop(
            stop_reason=read_stop_reason(document["stopReason"]),
            additional_fields=document.get("additionalModelResponseFields"),
        ),
        metadata=read_metadata(
            {
                name: document[name]
                for name in ("usage", "metrics", "trace", "performanceConfig", "serviceTier")
                if name in document
            }
        ),
        extra=rest(document, *_ANSWER_KNOWN),
    )


def write_answer(answer: Answer) -> Members:
    """The output of Converse; blobs are bytes."""
    message = {
        "role": answer.start.role.value,
        "content": [write_block(block) for block in answer.content],
    }
    document = {
        "output": {"message": with_rest(message, answer.start.extra)},
        "stopReason": answer.stop.stop_reason.value,
        **write_metadata(answer.metadata),
    }
    if answer.stop.additional_fields is not None:
        document["additionalModelResponseFields"] = answer.stop.additional_fields
    return with_rest(document, answer.extra)


def read_stop_reason(text: str) -> StopReason:
    """A stop reason; ValueError for one that isn't known."""
    reason = _STOP_REASONS.get(text)
    if reason is None:
        raise ValueError(f"unknown stop reason {text!r}")
    return reason


def read_role(text: str) -> Role:
    """Who speaks; KeyError for a role that isn't known."""
    return _ROLES[text]


def read_metadata(document: Members) -> Metadata:
    """Read a ConverseStreamMetadataEvent, whose members a whole answer has too."""
    unknown: Members = {
        name: value
        for name, value in document.items()
        if name not in ("usage", "metrics", "trace", "performanceConfig", "serviceTier")
    }
    usage, metrics = document["usage"], document["metrics"]
    latency, tier = document.get("performanceConfig"), document.get("serviceTier")
    left = {
        "usage": rest(usage, *_USAGE_KNOWN),
        "metrics": rest(metrics, "latencyMs"),
        "performanceConfig": None if latency is None else rest(latency, "latency"),
        "serviceTier": None if tier is None else rest(tier, "type"),
    }
    unknown |= {name: extra[DIALECT] for name, extra in left.items() if extra is not None}
    return Metadata(
        usage=_read_usage(usage),
        latency_ms=metrics["latencyMs"],
        service_tier=None if tier is None else tier["type"],
        latency=None if latency is None else latency.get("latency"),
        trace=document.get("trace"),
        extra={DIALECT: unknown} if unknown else None,
    )


def write_metadata(metadata: Metadata) -> Members:
    """Write a ConverseStreamMetadataEvent."""
    document: dict[str, Any] = {
        "usage": _write_usage(metadata.usage),
        "metrics": {"latencyMs": metadata.latency_ms},
    }
    document |= optional(
        trace=metadata.trace,
        performanceConfig=None if metadata.latency is None else {"latency": metadata.latency},
        serviceTier=None if metadata.service_tier is None else {"type": metadata.service_tier},
    )
    return with_rest(document, metadata.extra)


_USAGE_KNOWN = (
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheDetails",
)


def _read_usage(document: Members) -> Usage:
    # Converse counts as `messages` does: its input tokens exclude those of the cache.
    details = document.get("cacheDetails")
    by_ttl: dict[str, int] | None = None
    if details is not None:
        by_ttl = {}
        for detail in details:
            by_ttl[detail["ttl"]] = by_ttl.get(detail["ttl"], 0) + detail["inputTokens"]
    return Usage(
        input_tokens=document["inputTokens"],
        output_tokens=document["outputTokens"],
        cache_read_tokens=document.get("cacheReadInputTokens", 0),
        cache_write_tokens=document.get("cacheWriteInputTokens", 0),
        cache_write_by_ttl=by_ttl,
    )


def _write_usage(usage: Usage) -> Members:
    document: Members = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
    }
    if usage.cache_read_tokens:
        document["cacheReadInputTokens"] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        document["cacheWriteInputTokens"] = usage.cache_write_tokens
    if usage.cache_write_by_ttl is not None:
        document["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": tokens} for ttl, tokens in usage.cache_write_by_ttl.items()
        ]
    return document


class _Checked(msgspec.Struct):
    """What a whole answer must be made of; `Answer.content` itself is open."""

    answer: Answer
    content: list[Block]


_CHECK = msgspec.msgpack.Decoder(_Checked)
_ENCODE = msgspec.msgpack.Encoder()


def checked(answer: Answer) -> Answer:
    """The answer, each member seen to be of its type; msgspec.ValidationError otherwise.

    The readers take members as they come; what another server sent must not carry a number where
    a text is due into the rest of the program.
    """
    _CHECK.decode(_ENCODE.encode(_Checked(answer=answer, content=answer.content)))
    return answer
