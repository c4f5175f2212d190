"""Whole answers of OpenAI's Responses: `Answer` to the response's document.

Text and refusals that follow each other are parts of one message; every other block is an item.
What this wire has no word for (a server tool's steps, a generated picture) is left out, as in chat
completions.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from craton.dialects.dialect import Stamp
from craton.dialects.members import Json
from craton.dialects.openai_chat_messages import write_arguments
from craton.dialects.openai_chat_parts import own
from craton.dialects.openai_responses_items import (
    CALL,
    MESSAGE,
    REASONING,
    item_id,
    response_id,
    sealed_reasoning,
)
from craton.dialects.openai_responses_request import DIALECT
from craton.kernel.errors import CratonError, Fault
from craton.messages.blocks import (
    Block,
    Citation,
    CitedText,
    Reasoning,
    Refusal,
    Text,
    ToolUse,
)
from craton.messages.events import Answer, Metadata, StopReason
from craton.messages.request import Request

_encode = msgspec.json.encode

_INCOMPLETE = {
    StopReason.MAX_TOKENS: "max_output_tokens",
    StopReason.CONTEXT_WINDOW_EXCEEDED: "max_output_tokens",
    StopReason.CONTENT_FILTERED: "content_filter",
    StopReason.GUARDRAIL_INTERVENED: "content_filter",
}
"""Why an answer is incomplete, in the wire's words."""
_CUT = {StopReason.MAX_TOKENS, StopReason.CONTEXT_WINDOW_EXCEEDED}
"""Where the last item itself stopped in the middle."""

DEFAULTS: Json = {"temperature": 1.0, "top_p": 1.0}
"""The wire's own defaults: what an upstream that is told nothing samples with."""

_FAILED = {
    Fault.THROTTLED: "rate_limit_exceeded",
    Fault.BUDGET_EXCEEDED: "rate_limit_exceeded",
    Fault.BAD_REQUEST: "invalid_prompt",
    Fault.UNSUPPORTED: "invalid_prompt",
    Fault.CONTEXT_OVERFLOW: "invalid_prompt",
    Fault.TOO_LARGE: "invalid_prompt",
}

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""What a document may say of its tier. A request may name another one, which engines judge."""


class Frame:
    """What all forms of one response's document have in common."""

    def __init__(self, request: Request, stamp: Stamp) -> None:
        self.id = response_id(stamp.request_id)
        self._stamp = stamp
        self._echo: Json = request.extra.get(DIALECT, {}) if request.extra else {}
        self._tier = request.service_tier

    def document(
        self,
        status: str,
        output: Sequence[Json],
        *,
        metadata: Metadata | None = None,
        stop_reason: StopReason | None = None,
        error: CratonError | None = None,
    ) -> Json:
        """The response's document, as it is at some moment of its making."""
        created_s = self._stamp.created_s
        reason = _INCOMPLETE.get(stop_reason) if stop_reason is not None else None
        completed_s = None
        if status == "completed" and metadata is not None:
            completed_s = created_s + metadata.latency_ms // 1000
        tier = metadata.service_tier if metadata is not None else self._tier
        return {
            **_BARE,
            **self._echo,
            "id": self.id,
            "object": "response",
            "created_at": created_s,
            "completed_at": completed_s,
            "status": status,
            "error": None if error is None else _write_failure(error),
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": self._stamp.model,
            "output": output,
            "usage": None if metadata is None else write_usage(metadata),
            "service_tier": tier if tier in _TIERS else "default",
        }

    def finished(
        self,
        output: Sequence[Json],
        stop_reason: StopReason,
        metadata: Metadata,
        *,
        document_bytes_max: int | None,
    ) -> tuple[str, bytes]:
        """The status and the document of an answer that has ended.

        A document over the limit can't be kept, and says so in its `store`.
        """
        status = "incomplete" if stop_reason in _INCOMPLETE else "completed"
        document = self.document(status, output, metadata=metadata, stop_reason=stop_reason)
        body = _encode(document)
        if document_bytes_max is not None and len(body) > document_bytes_max:
            body = _encode({**document, "store": False})
        return status, body


_BARE: Json = {
    **DEFAULTS,
    "instructions": None,
    "previous_response_id": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "truncation": "disabled",
    "background": False,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
"""What a document says of a request that came in another dialect."""


def _write_failure(error: CratonError) -> Json:
    return {"code": _FAILED.get(error.fault, "server_error"), "message": error.message}


def write_usage(metadata: Metadata) -> Json:
    """What an answer used, in the wire's counts: the input's include what a cache served."""
    usage = metadata.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def write_answer(
    answer: Answer, request: Request, stamp: Stamp, *, document_bytes_max: int | None = None
) -> bytes:
    """The document of a whole answer."""
    frame = Frame(request, stamp)
    stop_reason = answer.stop.stop_reason
    output = write_output(answer.content, frame.id, stop_reason)
    _, body = frame.finished(
        output, stop_reason, answer.metadata, document_bytes_max=document_bytes_max
    )
    return body


def write_output(content: Sequence[Block], response: str, stop_reason: StopReason) -> list[Json]:
    """The output items of a whole answer."""
    output: list[Json] = []
    message: Json | None = None
    for block in content:
        part = write_part(block)
        if part is not None:
            if message is None:
                message = open_message(response, len(output))
                output.append(message)
            message["content"].append(part)
            continue
        item = _write_item(block, response, len(output))
        if item is not None:
            output.append(item)
            message = None
    for index, item in enumerate(output):
        settle_item(item, stop_reason if index == len(output) - 1 else None)
    return output


def settle_item(item: Json, stop_reason: StopReason | None) -> None:
    """Say that an item is done; `stop_reason` only where it was the answer's last."""
    if item["type"] != "reasoning":
        item["status"] = "incomplete" if stop_reason in _CUT else "completed"


def open_message(response: str, index: int) -> Json:
    """A message of which nothing was said yet."""
    return {
        "type": "message",
        "id": item_id(MESSAGE, response, index),
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }


def open_call(block: ToolUse, response: str, index: int) -> Json:
    """A function call without its arguments."""
    return {
        "type": "function_call",
        "id": item_id(CALL, response, index),
        "call_id": block.id,
        "name": block.name,
        "arguments": "",
        "status": "in_progress",
    }


def open_reasoning(response: str, index: int) -> Json:
    """Reasoning of which nothing was said yet."""
    return {"type": "reasoning", "id": item_id(REASONING, response, index), "summary": []}


def close_reasoning(item: Json, text: str, sealed: str | None) -> None:
    """Put into an item of reasoning what was thought."""
    if text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    if sealed is not None:
        item["encrypted_content"] = sealed


def write_part(block: Block) -> Json | None:
    """A part of a message; None for what is an item of its own, or nothing."""
    match block:
        case Text():
            return write_text(block.text, block.logprobs, [])
        case CitedText():
            text = "".join(block.passages)
            cited = [write_citation(one, len(text)) for one in block.citations]
            return write_text(text, None, [one for one in cited if one is not None])
        case Refusal():
            return {"type": "refusal", "refusal": block.text}
        case _:
            return None


def write_text(text: str, logprobs: Sequence[Any] | None, annotations: Sequence[Json]) -> Json:
    """A part with text."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations,
        "logprobs": write_logprobs(logprobs),
    }


def write_logprobs(logprobs: Sequence[Any] | None) -> list[Any]:
    """Tokens with their probabilities; `bytes` is null where chat completions let it be."""
    return [_write_token(token) for token in logprobs or ()]


def _write_token(token: Any) -> Any:  # noqa: ANN401 - JSON, as the upstream sent it
    if not isinstance(token, dict):
        return token
    entry: Json = {"top_logprobs": [], **token}
    if entry.get("bytes") is None:
        entry["bytes"] = list(str(entry.get("token", "")).encode(errors="replace"))
    top: Any = entry["top_logprobs"]
    if isinstance(top, list):
        entry["top_logprobs"] = [_write_top(one) for one in top]  # pyright: ignore[reportUnknownVariableType] - JSON
    return entry


def _write_top(token: Any) -> Any:  # noqa: ANN401 - JSON, as the upstream sent it
    if isinstance(token, dict) and token.get("bytes") is None:  # pyright: ignore[reportUnknownMemberType] - JSON
        return {**token, "bytes": list(str(token.get("token", "")).encode(errors="replace"))}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownArgumentType] - JSON
    return token  # pyright: ignore[reportUnknownVariableType] - JSON


def write_citation(citation: Citation, end: int) -> Json | None:
    """An annotation of the text up to here; this wire has one for citations of web pages."""
    location = citation.location
    if location is None or location.url is None:
        return None
    return {
        "type": "url_citation",
        "url": location.url,
        "title": citation.title or "",
        "start_index": 0,
        "end_index": end,
    }


def _write_item(block: Block, response: str, index: int) -> Json | None:
    match block:
        case ToolUse(server=False):
            item = open_call(block, response, index)
            item["arguments"] = write_arguments(block, own(block.extra))
            return item
        case Reasoning():
            item = open_reasoning(response, index)
            sealed = sealed_reasoning(block.signature, block.redacted)
            close_reasoning(item, block.text or "", sealed)
            return item
        case _:
            return None
