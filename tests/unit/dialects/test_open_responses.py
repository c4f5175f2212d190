"""What Open Responses 2026-04-24 requires of a document and of each event of a stream.

Source: the specification's OpenAPI document (https://www.openresponses.org/openapi/openapi.json):
the members each schema requires, with the JSON types it gives them.
"""

import json
from collections.abc import Mapping
from types import NoneType
from typing import Any

import pytest

from craton.dialects.dialect import Stamp
from craton.dialects.openai_responses import SERVER
from craton.kernel.errors import EngineFailed
from craton.messages import (
    Answer,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    Text,
    Usage,
    unfold,
)
from craton.messages.blocks import Reasoning, Refusal, ToolUse

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
Shape = Mapping[str, tuple[type, ...]]

NUMBER = (int, float)
TEXT, WHOLE, FLAG, LIST, OBJECT = (str,), (int,), (bool,), (list,), (dict,)
MAYBE_TEXT, MAYBE_WHOLE, MAYBE_OBJECT = (str, NoneType), (int, NoneType), (dict, NoneType)

DOCUMENT: Shape = {
    "id": TEXT,
    "object": TEXT,
    "created_at": WHOLE,
    "completed_at": MAYBE_WHOLE,
    "status": TEXT,
    "incomplete_details": MAYBE_OBJECT,
    "model": TEXT,
    "previous_response_id": MAYBE_TEXT,
    "instructions": MAYBE_TEXT,
    "output": LIST,
    "error": MAYBE_OBJECT,
    "tools": LIST,
    "tool_choice": (str, dict),
    "truncation": TEXT,
    "parallel_tool_calls": FLAG,
    "text": OBJECT,
    "top_p": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "top_logprobs": WHOLE,
    "temperature": NUMBER,
    "reasoning": MAYBE_OBJECT,
    "usage": MAYBE_OBJECT,
    "max_output_tokens": MAYBE_WHOLE,
    "max_tool_calls": MAYBE_WHOLE,
    "store": FLAG,
    "background": FLAG,
    "service_tier": TEXT,
    "metadata": OBJECT,
    "safety_identifier": MAYBE_TEXT,
    "prompt_cache_key": MAYBE_TEXT,
}
USAGE: Shape = {
    "input_tokens": WHOLE,
    "output_tokens": WHOLE,
    "total_tokens": WHOLE,
    "input_tokens_details": OBJECT,
    "output_tokens_details": OBJECT,
}
TOOL: Shape = {
    "type": TEXT,
    "name": TEXT,
    "description": MAYBE_TEXT,
    "parameters": MAYBE_OBJECT,
    "strict": (bool, NoneType),
}
ITEMS: Mapping[str, Shape] = {
    "message": {"id": TEXT, "status": TEXT, "role": TEXT, "content": LIST},
    "function_call": {
        "id": TEXT,
        "call_id": TEXT,
        "name": TEXT,
        "arguments": TEXT,
        "status": TEXT,
    },
    "reasoning": {"id": TEXT, "summary": LIST},
}
PARTS: Mapping[str, Shape] = {
    "output_text": {"text": TEXT, "annotations": LIST},
    "refusal": {"refusal": TEXT},
    "reasoning_text": {"text": TEXT},
}
PLACE: Shape = {"item_id": TEXT, "output_index": WHOLE, "content_index": WHOLE}
CALL: Shape = {"item_id": TEXT, "output_index": WHOLE}
EVENTS: Mapping[str, Shape] = {
    "response.created": {"response": OBJECT},
    "response.in_progress": {"response": OBJECT},
    "response.completed": {"response": OBJECT},
    "response.incomplete": {"response": OBJECT},
    "response.failed": {"response": OBJECT},
    "response.output_item.added": {"output_index": WHOLE, "item": OBJECT},
    "response.output_item.done": {"output_index": WHOLE, "item": OBJECT},
    "response.content_part.added": {**PLACE, "part": OBJECT},
    "response.content_part.done": {**PLACE, "part": OBJECT},
    "response.output_text.delta": {**PLACE, "delta": TEXT},
    "response.output_text.done": {**PLACE, "text": TEXT},
    "response.refusal.delta": {**PLACE, "delta": TEXT},
    "response.refusal.done": {**PLACE, "refusal": TEXT},
    "response.function_call_arguments.delta": {**CALL, "delta": TEXT},
    "response.function_call_arguments.done": {**CALL, "arguments": TEXT},
    # By OpenAI's own names; the specification has them without `_text`.
    "response.reasoning_text.delta": {**PLACE, "delta": TEXT},
    "response.reasoning_text.done": {**PLACE, "text": TEXT},
    "error": {"error": OBJECT},
}
ERROR: Shape = {"type": TEXT, "code": MAYBE_TEXT, "message": TEXT, "param": MAYBE_TEXT}

BODY = {
    "model": "m",
    "input": "x",
    "tools": [{"type": "function", "name": "f"}],
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "reasoning": {"effort": "low"},
    "metadata": {"a": "b"},
}
CONTENT = [
    Reasoning(text="hm"),
    Text(text="a"),
    Refusal(text="b"),
    ToolUse(id="c", name="f", input={}),
]


def answer(*, reason: StopReason = StopReason.END_TURN, content: list[Any] = CONTENT) -> Answer:
    return Answer(
        start=MessageStart(),
        content=content,
        stop=MessageStop(stop_reason=reason),
        metadata=Metadata(usage=Usage(input_tokens=3, output_tokens=4)),
    )


def fits(value: Any, shape: Shape, where: str) -> None:
    for name, types in shape.items():
        assert name in value, f"{where} lacks {name}"
        assert type(value[name]) in types, f"{where}.{name} is {value[name]!r}"


def check_item(item: Any, where: str) -> None:
    fits(item, ITEMS[item["type"]], f"{where} ({item['type']})")
    for part in item.get("content", []):
        fits(part, PARTS[part["type"]], f"{where}.content ({part['type']})")
    if "status" in item:
        assert item["status"] in ("in_progress", "completed", "incomplete")


def check_document(document: Any) -> None:
    fits(document, DOCUMENT, "response")
    assert document["object"] == "response"
    for item in document["output"]:
        check_item(item, "output")
    for tool in document["tools"]:
        fits(tool, TOOL, "tools")
    if document["usage"] is not None:
        fits(document["usage"], USAGE, "usage")
        assert type(document["usage"]["input_tokens_details"]["cached_tokens"]) is int
        assert type(document["usage"]["output_tokens_details"]["reasoning_tokens"]) is int
    form = document["text"]["format"]
    if form["type"] == "json_schema":
        assert {"name", "description", "schema", "strict"} <= form.keys()
    if document["reasoning"] is not None:
        assert document["reasoning"].keys() == {"effort", "summary"}


def check_event(event: Any) -> None:
    kind = event["type"]
    fits(event, {"sequence_number": WHOLE, **EVENTS[kind]}, kind)
    if "response" in event:
        check_document(event["response"])
    if "item" in event:
        check_item(event["item"], kind)
    if "part" in event:
        fits(event["part"], PARTS[event["part"]["type"]], kind)
    if "error" in event:
        fits(event["error"], ERROR, kind)


@pytest.mark.parametrize("body", [{"model": "m", "input": "x"}, BODY])
@pytest.mark.parametrize("reason", [StopReason.END_TURN, StopReason.MAX_TOKENS])
def test_a_document_has_all_that_is_required(body: Any, reason: StopReason) -> None:
    request = SERVER.read_request(json.dumps(body).encode())
    check_document(json.loads(SERVER.write_answer(answer(reason=reason), request, STAMP)))


@pytest.mark.parametrize("body", [{"model": "m", "input": "x"}, BODY])
@pytest.mark.parametrize("content", [[], CONTENT])
def test_every_event_has_all_that_is_required(body: Any, content: list[Any]) -> None:
    request = SERVER.read_request(json.dumps({**body, "stream": True}).encode())
    for reason in (StopReason.END_TURN, StopReason.MAX_TOKENS):
        writer = SERVER.stream_writer(request, STAMP)
        events = unfold(answer(reason=reason, content=content))
        told = events_of(b"".join(writer.write(event) for event in events))
        for event in told:
            check_event(event)
        assert told[-1]["type"] in ("response.completed", "response.incomplete")


def test_an_error_is_followed_by_the_failed_document() -> None:
    request = SERVER.read_request(json.dumps({**BODY, "stream": True}).encode())
    writer = SERVER.stream_writer(request, STAMP)
    writer.write(MessageStart())
    told = events_of(writer.write_error(EngineFailed("It broke.")))
    for event in told:
        check_event(event)
    assert [event["type"] for event in told] == ["error", "response.failed"]


def test_the_check_sees_what_is_missing_or_of_another_type() -> None:
    request = SERVER.read_request(json.dumps(BODY).encode())
    document = json.loads(SERVER.write_answer(answer(), request, STAMP))
    for name in DOCUMENT:
        with pytest.raises(AssertionError, match=f"lacks {name}"):
            check_document({key: value for key, value in document.items() if key != name})
    with pytest.raises(AssertionError, match="temperature"):
        check_document({**document, "temperature": None})


def events_of(stream: bytes) -> list[Any]:
    frames = stream.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in frames[:-2]]
