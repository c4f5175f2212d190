"""OpenAI's Responses: what is written can be read back, whole and in pieces."""

import itertools
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects import openai_chat
from craton.dialects.dialect import Stamp
from craton.dialects.openai_responses import SERVER
from craton.dialects.openai_responses_items import Conversation, given_items, response_of
from craton.kernel.errors import BadRequest
from craton.messages import (
    Answer,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    unfold,
)
from craton.messages.blocks import Reasoning, Refusal, ToolUse
from craton.messages.events import Event, ReasoningDelta, TextDelta, ToolInputDelta
from craton.messages.usage import Usage

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
RESPONSE = "resp_01928d6e5b1c700080000123456789ab"
ASKED = Request(model="m", messages=[])

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abc_XYZ-09", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=3,
)
blocks = st.one_of(
    st.builds(Text, text=texts),
    st.builds(Refusal, text=texts),
    st.builds(ToolUse, id=names, name=names, input=st.dictionaries(names, values, max_size=2)),
    st.builds(Reasoning, text=texts, signature=st.none() | names),
    st.builds(Reasoning, redacted=st.binary(min_size=1, max_size=8)),
)
counts = st.integers(0, 10**6)
answers = st.builds(
    lambda content, reason, usage, tier: Answer(
        start=MessageStart(),
        content=content,
        stop=MessageStop(stop_reason=reason),
        metadata=Metadata(usage=usage, service_tier=tier, latency_ms=1500),
    ),
    st.lists(blocks, max_size=5),
    st.sampled_from(list(StopReason)),
    st.builds(
        Usage,
        input_tokens=counts,
        output_tokens=counts,
        cache_read_tokens=counts,
        cache_write_tokens=counts,
        reasoning_tokens=counts,
    ),
    st.none() | names,
)


def two(text: str) -> list[str]:
    return [piece for piece in (text[:1], text[1:]) if piece]


def in_pieces(answer: Answer) -> list[Event]:
    """The events of an answer, as an engine would yield them: a letter or two at a time."""
    events: list[Event] = []
    for event in unfold(answer):
        match event:
            case TextDelta():
                events += [TextDelta(index=event.index, text=piece) for piece in two(event.text)]
            case ToolInputDelta():
                events += [
                    ToolInputDelta(index=event.index, json=piece) for piece in two(event.json)
                ]
            case ReasoningDelta(text=str(text)):
                events += [ReasoningDelta(index=event.index, text=piece) for piece in two(text)]
            case _:
                events.append(event)
    return events


def streamed(answer: Answer) -> tuple[list[dict[str, Any]], bytes]:
    """The wire's events of an answer, checked as frames; and the document it ended with."""
    writer = SERVER.stream_writer(ASKED, STAMP)
    told: list[dict[str, Any]] = []
    for event in in_pieces(answer):
        frames = writer.write(event).decode()
        for frame in frames.split("\n\n")[:-1]:
            if frame == "data: [DONE]":
                assert type(event) is Metadata
                continue
            name, data = frame.split("\n")
            told.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {told[-1]['type']}"
            is_last = told[-1]["type"] in ("response.completed", "response.incomplete")
            assert is_last is (type(event) is Metadata)
    return told, writer.document


@given(answers)
@settings(max_examples=100, deadline=None)
def test_an_answer_given_back_as_input_is_what_the_model_said(answer: Answer) -> None:
    output = json.loads(SERVER.write_answer(answer, ASKED, STAMP))["output"]
    assert all(response_of(item["id"]) == RESPONSE for item in output)
    assert len({item["id"] for item in output}) == len(output)
    conversation = Conversation()
    for item in given_items(output, "resp_" + "0" * 32):
        conversation.add(item, "input")
    conversation.close()
    said = [block for message in conversation.messages for block in message.content]
    assert said == answer.content
    assert {m.role for m in conversation.messages} <= {Role.ASSISTANT}


@given(answers)
@settings(max_examples=100, deadline=None)
def test_a_stream_ends_with_the_document_of_the_whole_answer(answer: Answer) -> None:
    told, document = streamed(answer)
    assert document == SERVER.write_answer(answer, ASKED, STAMP)
    assert told[-1]["response"] == json.loads(document)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


@given(answers)
@settings(max_examples=100, deadline=None)
def test_a_streams_steps_add_up_to_its_document(answer: Answer) -> None:
    """Follow the events as a client does: nothing opens twice, nothing ends that had not begun."""
    told, document = streamed(answer)
    output: list[dict[str, Any]] = []
    open_item: dict[str, Any] | None = None
    open_part: dict[str, Any] | None = None
    pieces = ""
    for event in told:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert open_item is None
                assert event["output_index"] == len(output)
                open_item = event["item"]
                pieces = ""
            case "output_item.done":
                assert open_item is not None
                assert open_part is None
                assert event["item"]["id"] == open_item["id"]
                output.append(event["item"])
                open_item = None
            case "content_part.added":
                assert open_part is None
                open_part, pieces = event["part"], ""
            case "content_part.done":
                assert open_part is not None
                assert event["part"]["type"] == open_part["type"]
                open_part = None
            case kind if kind.endswith(".delta"):
                assert open_item is not None
                assert event["item_id"] == open_item["id"]
                pieces += event["delta"]
            case "output_text.done" | "reasoning_text.done":
                assert event["text"] == pieces
            case "refusal.done":
                assert event["refusal"] == pieces
            case "function_call_arguments.done":
                assert event["arguments"] == pieces
            case "created" | "in_progress" | "completed" | "incomplete":
                assert open_item is None
            case other:
                raise AssertionError(other)
    assert output == json.loads(document)["output"]


turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts}),
    min_size=1,
    max_size=5,
).filter(
    # Where the model speaks twice in a row, one dialect has two messages and the other one turn.
    lambda said: all(
        [a["role"], b["role"]] != ["assistant"] * 2 for a, b in itertools.pairwise(said)
    )
)


@given(
    turns,
    st.none() | texts,
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "stream": st.just(True),
            "service_tier": names,
            "user": texts,
            "parallel_tool_calls": st.booleans(),
            "metadata": st.dictionaries(names, texts, min_size=1, max_size=2),
        },
    ),
    st.none() | st.integers(1, 999),
)
@settings(max_examples=60, deadline=None)
def test_a_conversation_means_the_same_as_in_chat_completions(
    said: list[dict[str, str]], instructions: str | None, common: dict[str, Any], most: int | None
) -> None:
    body: dict[str, Any] = {"model": "m", "input": said, **common}
    chat: dict[str, Any] = {"model": "m", "messages": said, **common}
    if instructions is not None:
        body["instructions"] = instructions
        chat["messages"] = [{"role": "system", "content": instructions}, *said]
    if most is not None:
        body["max_output_tokens"] = chat["max_completion_tokens"] = most
    request = SERVER.read_request(json.dumps(body).encode())
    other = openai_chat.SERVER.read_request(json.dumps(chat).encode())
    assert bare(request) == bare(other)
    packed = msgspec.msgpack.encode(request)
    assert msgspec.msgpack.decode(packed, type=Request) == request


def bare(request: Request) -> Request:
    return msgspec.structs.replace(request, extra=None, stream_usage=True)


SEED: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "instructions": "i",
    "input": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "low"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "t"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"type": "item_reference", "id": "msg_1"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {}}],
    "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
    "reasoning": {"effort": "low"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
}
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, member in inner:
        found += places(member, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@given(st.sampled_from(places(SEED)), junk)
@settings(max_examples=400, deadline=None)
def test_any_body_is_read_or_refused(place: tuple[Any, ...], new: Any) -> None:
    body = json.dumps(replaced(SEED, place, new)).encode()
    referred = {"msg_1": {"type": "message", "id": "msg_1", "role": "user", "content": "y"}}
    with suppress(BadRequest):
        creation = SERVER.read_creation(body)
        creation.request([], creation.given(RESPONSE, referred), {})


def test_the_seed_itself_is_read() -> None:
    creation = SERVER.read_creation(json.dumps(SEED).encode())
    with pytest.raises(BadRequest, match="msg_1"):
        creation.given(RESPONSE, {})
