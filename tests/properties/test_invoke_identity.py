"""InvokeModel's formats: what is written is read again unchanged, whole as streamed."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects import llama, nova, titan
from craton.dialects.dialect import Stamp
from craton.dialects.eventstream import FrameReader
from craton.dialects.invoke import EMBEDDING_CODECS, TEXT_CODECS
from craton.dialects.invoke_format import BodyFormat, choose, read_members
from craton.dialects.invoke_stream import METRICS, ChunkWriter
from craton.kernel.errors import BadRequest
from craton.messages import (
    Answer,
    Message,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    Usage,
    unfold,
)

SETTINGS = settings(max_examples=100, deadline=None)
STAMP = Stamp("0190a0b0-0000-7000-8000-000000000000", "m", 0)

# No marks of a template, no blanks at the ends: a template may drop those.
WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1
).filter(lambda text: not any(mark in text for mark in ("<|", "[INST]", "<s>", "User:", "Bot:")))


@st.composite
def requests(draw: Any, *, system: bool, stops: bool) -> Request:
    turns = draw(st.integers(0, 2))
    messages: list[Message] = []
    for number in range(2 * turns + 1):
        role = Role.ASSISTANT if number % 2 else Role.USER
        messages.append(Message(role=role, content=[Text(text=draw(WORDS))]))
    told = system and draw(st.booleans())
    return Request(
        model="m",
        messages=messages,
        system=[Text(text=draw(WORDS))] if told else [],
        stream=draw(st.booleans()),
        max_tokens=draw(st.none() | st.integers(1, 10**6)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        stop_sequences=draw(st.lists(WORDS, max_size=2)) if stops else [],
    )


@st.composite
def answers(draw: Any, reasons: list[StopReason]) -> Answer:
    return Answer(
        start=MessageStart(),
        content=[Text(text=draw(st.text(st.characters(exclude_categories=["Cs"]))))],
        stop=MessageStop(stop_reason=draw(st.sampled_from(reasons))),
        metadata=Metadata(
            usage=Usage(
                input_tokens=draw(st.integers(0, 10**9)), output_tokens=draw(st.integers(0, 10**9))
            )
        ),
    )


FORMATS: dict[BodyFormat, Any] = {
    BodyFormat.LLAMA: llama,
    BodyFormat.TITAN_TEXT: titan,
    BodyFormat.NOVA_MESSAGES: nova,
}
REASONS = {
    BodyFormat.LLAMA: [StopReason.END_TURN, StopReason.MAX_TOKENS],
    BodyFormat.TITAN_TEXT: [
        StopReason.END_TURN,
        StopReason.MAX_TOKENS,
        StopReason.STOP_SEQUENCE,
        StopReason.CONTENT_FILTERED,
    ],
    BodyFormat.NOVA_MESSAGES: list(StopReason),
}
EVERY = pytest.mark.parametrize("name", FORMATS)


@EVERY
@SETTINGS
@given(data=st.data())
def test_a_request_is_read_as_it_was_written(name: BodyFormat, data: st.DataObject) -> None:
    is_titan, is_llama = name is BodyFormat.TITAN_TEXT, name is BodyFormat.LLAMA
    request = data.draw(requests(system=not is_titan, stops=not is_llama))
    members = read_members(FORMATS[name].write_request(request))
    assert choose(members) is name
    read = TEXT_CODECS[name].read_request(members, "m", stream=request.stream)
    assert read == request


@EVERY
@SETTINGS
@given(data=st.data())
def test_an_answer_is_read_as_it_was_written(name: BodyFormat, data: st.DataObject) -> None:
    answer = data.draw(answers(REASONS[name]))
    request = Request(model="m", messages=[])
    assert FORMATS[name].read_answer(FORMATS[name].write_answer(answer, request, STAMP)) == answer


def text_of(name: BodyFormat, part: dict[str, Any]) -> str:
    match name:
        case BodyFormat.ANTHROPIC_MESSAGES:
            return part.get("delta", {}).get("text", "")
        case BodyFormat.OPENAI_CHAT:
            return part["choices"][0]["delta"].get("content") or "" if part["choices"] else ""
        case BodyFormat.NOVA_MESSAGES:
            return part.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        case BodyFormat.LLAMA:
            return part["generation"]
        case _:
            return part["outputText"]


@pytest.mark.parametrize("name", TEXT_CODECS)
@SETTINGS
@given(data=st.data())
def test_a_streams_chunks_say_what_the_answer_says(name: BodyFormat, data: st.DataObject) -> None:
    answer = data.draw(answers([StopReason.END_TURN, StopReason.MAX_TOKENS]))
    request = Request(model="m", messages=[], stream=True, stream_usage=data.draw(st.booleans()))
    writer = ChunkWriter(TEXT_CODECS[name].part_writer(request, STAMP), lambda: 5)
    frames = b"".join(writer.write(event) for event in unfold(answer))
    parts = [
        msgspec.json.decode(base64.b64decode(msgspec.json.decode(frame.payload)["bytes"]))
        for frame in FrameReader().feed(frames)
    ]
    assert "".join(text_of(name, part) for part in parts) == answer.content[0].text
    assert [METRICS in part for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1][METRICS]["outputTokenCount"] == answer.metadata.usage.output_tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        *("anthropic_version", "max_tokens", "messages", "system", "stream", "model", "prompt"),
        *("inputText", "textGenerationConfig", "dimensions", "embeddingTypes", "texts", "inputs"),
        *("input_type", "embedding_types", "inferenceConfig", "schemaVersion", "toolConfig"),
    ]
)
BLOCKS = st.dictionaries(
    st.sampled_from(["text", "image", "toolUse", "toolResult", "cachePoint", "type", "new"]),
    JSON,
    max_size=2,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"])},
        optional={"content": st.lists(BLOCKS, max_size=2) | st.text(max_size=3) | JSON},
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(NAMES, JSON | st.text(max_size=9), max_size=4),
    st.none() | MESSAGES,
    st.sampled_from([None, *BodyFormat]),
    st.booleans(),
)
def test_no_body_makes_a_format_raise_anything_but_a_refusal(
    body: dict[str, Any], messages: Any, only: BodyFormat | None, embeds: bool
) -> None:
    if messages is not None:
        body = {**body, "messages": messages}
    try:
        members = read_members(msgspec.json.encode(body))
        chosen = choose(members, () if only is None else (only,), embeds=embeds)
        if chosen in EMBEDDING_CODECS:
            EMBEDDING_CODECS[chosen].read_embedding_request(members, "m")
        else:
            TEXT_CODECS[chosen].read_count_request(members, "m")
            TEXT_CODECS[chosen].read_request(members, "m", stream=True)
    except BadRequest as error:
        assert error.message  # noqa: PT017 - any refusal will do, so long as it says something
