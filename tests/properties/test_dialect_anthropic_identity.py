"""Anthropic messages: reading and writing are each other's inverse."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects.anthropic_messages import CLIENT, SERVER
from craton.dialects.dialect import Stamp
from craton.messages import Answer, Fold, Message, Request, Role, Text, unfold
from craton.messages.blocks import Citation, CitationLocation, CitedText, Opaque, Reasoning, ToolUse
from craton.messages.events import (
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    TextDelta,
    ToolInputDelta,
)
from craton.messages.usage import Usage

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
ANSWER_ID = "msg_01928d6e5b1c700080000123456789ab"

texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text("abc_XYZ-09", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=3,
)
news = st.dictionaries(names.map(lambda name: "x_" + name), values, max_size=1)
"""Members that no struct declares."""
objects = st.dictionaries(names, values, max_size=2)
positions = st.integers(0, 99)


def obj(*, optional: dict[str, Any] | None = None, **required: Any) -> st.SearchStrategy[Any]:
    """An object with these members, some of those, and now and then one nobody knows."""
    fixed = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in required.items()}
    known = st.fixed_dictionaries(fixed, optional=optional or {})
    return st.tuples(known, st.just({}) | st.just({}) | news).map(lambda two: {**two[0], **two[1]})


cached = {"cache_control": obj(type="ephemeral", optional={"ttl": st.sampled_from(["5m", "1h"])})}


def ranged(kind: str, start: str, end: str) -> st.SearchStrategy[Any]:
    members = {start: positions, end: positions}
    return obj(
        type=kind, cited_text=texts, document_index=positions, document_title=texts, **members
    )


citation = st.one_of(
    ranged("char_location", "start_char_index", "end_char_index"),
    ranged("page_location", "start_page_number", "end_page_number"),
    ranged("content_block_location", "start_block_index", "end_block_index"),
    obj(
        type="search_result_location",
        cited_text=texts,
        search_result_index=positions,
        start_block_index=positions,
        end_block_index=positions,
        source=texts,
        title=texts,
    ),
    obj(
        type="web_search_result_location",
        cited_text=texts,
        url=texts,
        encrypted_index=texts,
        title=texts,
    ),
    obj(type="x_new_location", cited_text=texts),
)
citations = st.lists(citation, min_size=1, max_size=2)
text = obj(type="text", text=texts, optional={**cached, "citations": citations})
plain_text = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
base64s = st.sampled_from(["", "QUJD", "QQ=="])
elsewhere = obj(type="url", url=texts) | obj(type="file", file_id=names)
image = obj(
    type="image",
    source=elsewhere | obj(type="base64", media_type=st.just("image/png"), data=base64s),
    optional=cached,
)
document = obj(
    type="document",
    source=st.one_of(
        elsewhere,
        obj(type="base64", media_type=st.just("application/pdf"), data=base64s),
        obj(type="text", media_type=st.just("text/plain"), data=texts),
        obj(type="content", content=texts | st.lists(plain_text | text | image, max_size=2)),
    ),
    optional={
        **cached,
        "title": texts,
        "context": texts,
        "citations": obj(enabled=st.booleans()),
    },
)
search_result = obj(
    type="search_result",
    source=texts,
    title=texts,
    content=st.lists(plain_text | text, max_size=2),
    optional={**cached, "citations": obj(enabled=st.booleans())},
)
tool_result = obj(
    type="tool_result",
    tool_use_id=names,
    optional={
        **cached,
        "content": texts
        | st.lists(
            text | plain_text | image | document | search_result | obj(type="x_ref", a=texts),
            min_size=1,
            max_size=2,
        ),
        "is_error": st.booleans(),
    },
)
thinking = obj(type="thinking", thinking=texts, signature=texts)
redacted = obj(type="redacted_thinking", data=texts)
tool_use = obj(type="tool_use", id=names, name=names, input=objects, optional=cached)
server_tool_use = obj(type="server_tool_use", id=names, name=names, input=objects, optional=cached)
new_block = obj(type="web_search_tool_result", content=st.lists(objects), optional=cached)
blocks = st.one_of(
    text,
    plain_text,
    image,
    document,
    search_result,
    tool_result,
    thinking,
    redacted,
    tool_use,
    server_tool_use,
    new_block,
)
some_blocks = st.lists(blocks, min_size=1, max_size=3)
some_texts = st.lists(text | plain_text, min_size=1, max_size=2)
message = st.one_of(
    obj(role="user", content=texts),
    obj(role="user", content=some_blocks),
    obj(role="assistant", content=texts | some_blocks),
    obj(role="system", content=texts | some_texts),
)
tool = st.one_of(
    obj(
        name=names,
        input_schema=objects,
        optional={
            **cached,
            "description": texts,
            "strict": st.booleans(),
            "type": st.just("custom"),
            "defer_loading": st.booleans(),
        },
    ),
    obj(name=names, type="web_search_20260318", optional={**cached, "max_uses": positions}),
)
parallel = {"disable_parallel_tool_use": st.booleans()}
requests = obj(
    model=names,
    max_tokens=st.integers(2000, 9999),
    messages=st.lists(message, min_size=1, max_size=3),
    optional={
        "system": texts | st.lists(text | plain_text, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": positions,
        "stop_sequences": st.lists(names, min_size=1, max_size=3),
        "stream": st.just(True),
        "tools": st.lists(tool, min_size=1, max_size=2),
        "tool_choice": st.one_of(
            obj(type="auto", optional=parallel),
            obj(type="any", optional=parallel),
            obj(type="tool", name=names, optional=parallel),
            obj(type="none"),
        ),
        "thinking": st.one_of(
            obj(type="enabled", budget_tokens=st.integers(1024, 1999)),
            obj(type="disabled"),
            obj(type="adaptive", optional={"display": st.just("omitted")}),
            obj(type="between_tools"),
        ),
        "metadata": obj(user_id=texts),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "output_config": obj(
            effort=names, optional={"format": obj(type="json_schema", schema=objects)}
        ),
        **cached,
        "container": names | objects,
        "diagnostics": objects,
        "inference_geo": names,
        "speed": st.sampled_from(["standard", "fast"]),
        "user_profile_id": names,
    },
)


@given(requests)
@settings(max_examples=120, deadline=None)
def test_a_body_read_and_written_says_the_same(body: Any) -> None:
    request = SERVER.read_request(json.dumps(body).encode())
    written = CLIENT.write_request(request)
    assert msgspec.json.decode(written) == msgspec.json.decode(json.dumps(body))
    assert SERVER.read_request(written) == request


@given(requests)
@settings(max_examples=25, deadline=None)
def test_a_request_travels_between_processes(body: Any) -> None:
    request = SERVER.read_request(json.dumps(body).encode())
    packed = msgspec.msgpack.encode(request)
    assert msgspec.msgpack.decode(packed, type=Request) == request


@given(texts, texts)
def test_a_plain_conversation_is_plain(question: str, answer: str) -> None:
    request = Request(
        model="m",
        messages=[
            Message(role=Role.USER, content=[Text(text=question)]),
            Message(role=Role.ASSISTANT, content=[Text(text=answer)]),
        ],
        system=[Text(text=answer)],
        max_tokens=7,
    )
    assert SERVER.read_request(CLIENT.write_request(request)) == request


counts = st.integers(0, 10**6)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    cache_write_tokens=counts,
    reasoning_tokens=counts,
    cache_write_by_ttl=st.none()
    | st.dictionaries(st.sampled_from(["5m", "1h"]), st.integers(1, 99), min_size=1),
)
extras = (st.just({}) | news).map(lambda new: {"anthropic": new} if new else None)
cited = st.builds(
    CitedText,
    passages=st.lists(texts.filter(bool), min_size=1, max_size=1),
    citations=st.lists(
        st.builds(
            Citation,
            title=texts,
            source_content=st.lists(texts, min_size=1, max_size=1),
            location=st.builds(
                CitationLocation,
                kind=st.sampled_from(["document_char", "document_page", "document_chunk"]),
                index=positions,
                start=positions,
                end=positions,
            ),
            extra=extras,
        ),
        min_size=1,
        max_size=2,
    ),
)
answer_blocks = st.one_of(
    st.builds(Text, text=texts, extra=extras),
    cited,
    st.builds(Reasoning, text=texts, signature=st.none() | texts.filter(bool), extra=extras),
    st.builds(Reasoning, redacted=texts.filter(bool).map(str.encode), extra=extras),
    st.builds(ToolUse, id=names, name=names, input=objects, server=st.booleans(), extra=extras),
    objects.map(
        lambda value: Opaque(
            dialect="anthropic", kind="x_result", value={"type": "x_result", **value}
        )
    ),
)
answers = st.builds(
    lambda content, reason, sequence, usage, tier, start, stop, metadata: Answer(
        start=MessageStart(id=ANSWER_ID, model="m", extra=start),
        content=content,
        stop=MessageStop(
            stop_reason=reason,
            stop_sequence=sequence,
            extra={"anthropic": {"stop_details": stop}} if stop else None,
        ),
        metadata=Metadata(usage=usage, service_tier=tier, extra=metadata),
    ),
    st.lists(answer_blocks, max_size=4),
    st.sampled_from(
        [
            StopReason.END_TURN,
            StopReason.STOP_SEQUENCE,
            StopReason.TOOL_USE,
            StopReason.MAX_TOKENS,
            StopReason.CONTENT_FILTERED,
            StopReason.CONTEXT_WINDOW_EXCEEDED,
        ]
    ),
    st.none() | texts,
    usages,
    st.none() | names,
    extras,
    objects,
    extras,
)


@given(answers)
@settings(max_examples=80, deadline=None)
def test_a_whole_answer_written_and_read_is_the_same(answer: Answer) -> None:
    written = SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP)
    assert CLIENT.read_answer(written) == answer


def in_pieces(answer: Answer) -> list[Event]:
    """The events of an answer, as an engine would yield them: a letter or two at a time."""
    events: list[Event] = []
    for event in unfold(answer):
        match event:
            case TextDelta() if len(event.text) > 2:
                pieces = [event.text[at : at + 2] for at in range(0, len(event.text), 2)]
                events += [TextDelta(index=event.index, text=piece) for piece in pieces]
            case ToolInputDelta() if len(event.json) > 2:
                half = len(event.json) // 2
                for piece in (event.json[:half], event.json[half:]):
                    events.append(ToolInputDelta(index=event.index, json=piece))
            case MessageStart():
                usage = Usage(input_tokens=answer.metadata.usage.input_tokens)
                events.append(msgspec.structs.replace(event, usage=usage))
            case _:
                events.append(event)
    return events


@given(answers, st.lists(st.integers(1, 60), min_size=1, max_size=8), st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_stream_cut_anywhere_gives_the_same_events(
    answer: Answer, cuts: list[int], is_crlf: bool
) -> None:
    events = in_pieces(answer)
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    stream = b"".join(writer.write(event) for event in events)
    if is_crlf:
        stream = b'event: ping\r\ndata: {"type": "ping"}\r\n\r\n' + stream.replace(b"\n", b"\r\n")
    reader = CLIENT.stream_reader()
    came: list[Event] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        came += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    came += reader.close()
    assert came == events
    fold = Fold()
    for event in came:
        fold.add(event)
    assert fold.answer().content == answer.content


upstream_bodies = obj(
    id=ANSWER_ID,
    type="message",
    role="assistant",
    model="m",
    content=st.lists(
        text.map(lambda block: {k: v for k, v in block.items() if k != "cache_control"})
        | thinking
        | redacted
        | obj(type="tool_use", id=names, name=names, input=objects, caller=objects)
        | obj(type="web_search_tool_result", content=st.lists(objects)),
        max_size=3,
    ),
    stop_reason=st.sampled_from(["end_turn", "pause_turn", "refusal", "x_new", "tool_use"]),
    stop_sequence=st.none() | texts,
    usage=obj(
        input_tokens=counts,
        output_tokens=counts,
        cache_creation_input_tokens=counts,
        cache_read_input_tokens=counts,
        optional={
            "service_tier": names,
            "server_tool_use": objects,
            "inference_geo": names,
            "output_tokens_details": st.just({"thinking_tokens": 3}),
        },
    ),
    optional={"container": objects, "stop_details": objects, "diagnostics": objects},
)


@given(upstream_bodies)
@settings(max_examples=80, deadline=None)
def test_what_an_upstream_says_besides_survives_to_the_same_wire(body: Any) -> None:
    answer = CLIENT.read_answer(json.dumps(body).encode())
    written = SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP)
    assert msgspec.json.decode(written) == msgspec.json.decode(json.dumps(body))
