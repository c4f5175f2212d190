"""OpenAI chat completions: reading and writing are each other's inverse."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat import CLIENT, SERVER
from craton.messages import Answer, Fold, Message, Request, Role, Text, unfold
from craton.messages.blocks import Reasoning, Refusal, ToolUse
from craton.messages.events import (
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    ReasoningDelta,
    StopReason,
    TextDelta,
    ToolInputDelta,
)
from craton.messages.usage import Usage

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
ANSWER_ID = "chatcmpl-01928d6e5b1c700080000123456789ab"

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


def obj(*, optional: dict[str, Any] | None = None, **required: Any) -> st.SearchStrategy[Any]:
    """An object with these members, some of those, and now and then one nobody knows."""
    fixed = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in required.items()}
    known = st.fixed_dictionaries(fixed, optional=optional or {})
    return st.tuples(known, st.just({}) | st.just({}) | news).map(lambda two: {**two[0], **two[1]})


text_part = obj(type="text", text=texts)
base64s = st.sampled_from(["", "QUJD", "QQ=="])
image_urls = base64s.map(lambda data: f"data:image/png;base64,{data}") | st.just("https://a/b.png")
image_part = obj(
    type="image_url",
    image_url=obj(url=image_urls, optional={"detail": st.sampled_from(["low", "high"])}),
)
audio_part = obj(type="input_audio", input_audio=obj(data=base64s, format=st.just("wav")))
file_part = obj(
    type="file",
    file=st.one_of(
        obj(file_id=names, optional={"filename": names}),
        obj(file_data=base64s | base64s.map(lambda data: f"data:application/pdf;base64,{data}")),
    ),
)
new_part = obj(type=st.just("video_url"), video_url=objects)
user_parts = st.lists(
    text_part | image_part | audio_part | file_part | new_part, min_size=1, max_size=3
)
text_parts = st.lists(text_part, min_size=1, max_size=2)
refusal_part = obj(type="refusal", refusal=texts)
arguments = st.one_of(
    objects.map(json.dumps), values.map(json.dumps), texts, st.just(""), st.just('{"a":')
)
call = st.one_of(
    obj(id=names, type="function", function=obj(name=names, arguments=arguments)),
    obj(id=names, type="custom", custom=obj(name=names, input=texts)),
)
name_or_not = {"name": names}
messages = st.one_of(
    obj(role="system", content=texts | text_parts, optional=name_or_not),
    obj(role="developer", content=texts | text_parts, optional=name_or_not),
    obj(role="user", content=texts, optional=name_or_not),
    obj(role="user", content=user_parts, optional=name_or_not),
    obj(
        role="assistant",
        content=texts | st.none() | st.lists(text_part | refusal_part, min_size=1, max_size=2),
        optional={
            **name_or_not,
            "refusal": texts,
            "tool_calls": st.lists(call, min_size=1, max_size=2),
            "reasoning_content": texts,
            "audio": obj(id=names),
        },
    ),
    obj(role="assistant", content=texts, optional={"reasoning": texts}),
    obj(role="tool", tool_call_id=names, content=texts | text_parts),
)
tool = st.one_of(
    obj(
        type="function",
        function=obj(
            name=names,
            optional={"description": texts, "parameters": objects, "strict": st.booleans()},
        ),
    ),
    obj(type="custom", custom=objects),
)
tool_choice = st.one_of(
    st.sampled_from(["none", "auto", "required"]),
    obj(type="function", function=st.fixed_dictionaries({"name": names})),
    obj(type="custom", custom=st.fixed_dictionaries({"name": names})),
    obj(
        type="allowed_tools",
        allowed_tools=obj(mode=st.sampled_from(["auto", "required"]), tools=st.lists(objects)),
    ),
)
response_format = st.one_of(
    obj(type="text"),
    obj(type="json_object"),
    obj(
        type="json_schema",
        json_schema=obj(
            name=names,
            optional={"schema": objects, "description": texts, "strict": st.booleans()},
        ),
    ),
)
requests = obj(
    model=names,
    messages=st.lists(messages, min_size=1, max_size=4),
    optional={
        "max_tokens": st.integers(1, 9999),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(-1, 99),
        "n": st.integers(1, 128),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": names | st.lists(names, min_size=1, max_size=4),
        "frequency_penalty": st.floats(-2, 2),
        "presence_penalty": st.floats(-2, 2),
        "tools": st.lists(tool, min_size=1, max_size=2),
        "tool_choice": tool_choice,
        "parallel_tool_calls": st.booleans(),
        "response_format": response_format,
        "reasoning_effort": st.sampled_from(["none", "low", "max"]),
        "user": texts,
        "service_tier": names,
        "metadata": st.dictionaries(names, texts, min_size=1, max_size=2),
        "logit_bias": st.dictionaries(names, st.integers(-100, 100)),
        "modalities": st.lists(names),
        "audio": objects,
        "prediction": objects,
        "prompt_cache_key": texts,
        "prompt_cache_options": objects,
        "prompt_cache_retention": names,
        "safety_identifier": texts,
        "store": st.booleans(),
        "verbosity": names,
        "moderation": objects,
        "web_search_options": objects,
    },
)
streaming = st.one_of(
    st.just({}),
    st.just({"stream": True}),
    obj(stream=True, stream_options=obj(include_usage=st.booleans())),
)
logging = st.sampled_from([{}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}])


@given(requests, streaming, logging, st.booleans())
@settings(max_examples=120, deadline=None)
def test_a_body_read_and_written_says_the_same(
    body: Any, stream: Any, logprobs: Any, is_new_limit: bool
) -> None:
    body = {**body, **stream, **logprobs}
    if is_new_limit and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
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


logprobs_lists = st.none() | st.lists(objects, min_size=1, max_size=2)
written_texts = st.builds(Text, text=texts.filter(bool), logprobs=logprobs_lists)
reasons = st.sampled_from(
    [
        StopReason.END_TURN,
        StopReason.TOOL_USE,
        StopReason.MAX_TOKENS,
        StopReason.CONTENT_FILTERED,
    ]
)
counts = st.integers(0, 10**6)
answers = st.builds(
    lambda reasoning, text, refusal, calls, reason, usage, tier, start, stop: Answer(
        start=start,
        content=[*reasoning, *text, *refusal, *calls],
        stop=MessageStop(stop_reason=reason, extra={"openai": stop} if stop else None),
        metadata=Metadata(usage=usage, service_tier=tier),
    ),
    st.lists(st.builds(Reasoning, text=texts.filter(bool)), max_size=1),
    st.lists(written_texts, max_size=1),
    st.lists(st.builds(Refusal, text=texts.filter(bool), logprobs=logprobs_lists), max_size=1),
    st.lists(st.builds(ToolUse, id=names, name=names, input=objects), max_size=3),
    reasons,
    st.builds(
        Usage,
        input_tokens=counts,
        output_tokens=counts,
        cache_read_tokens=counts,
        cache_write_tokens=counts,
        reasoning_tokens=counts,
    ),
    st.none() | names,
    news.map(
        lambda new: MessageStart(id=ANSWER_ID, model="m", extra={"openai": new} if new else None)
    ),
    st.just({}) | news,
)


def in_pieces(answer: Answer) -> list[Event]:
    """The events of an answer, as an engine would yield them: a letter or two at a time."""
    events: list[Event] = []
    for event in unfold(answer):
        match event:
            case TextDelta(logprobs=None) if len(event.text) > 2:
                pieces = [event.text[at : at + 2] for at in range(0, len(event.text), 2)]
                events += [TextDelta(index=event.index, text=piece) for piece in pieces]
            case ToolInputDelta() if len(event.json) > 2:
                half = len(event.json) // 2
                for piece in (event.json[:half], event.json[half:]):
                    events.append(ToolInputDelta(index=event.index, json=piece))
            case ReasoningDelta(text=str(text)) if len(text) > 1:
                for piece in (text[:1], text[1:]):
                    events.append(ReasoningDelta(index=event.index, text=piece))
            case _:
                events.append(event)
    return events


def folded(events: list[Event]) -> Answer:
    fold = Fold()
    for event in events:
        fold.add(event)
    return fold.answer()


@given(answers)
@settings(max_examples=60, deadline=None)
def test_a_whole_answer_written_and_read_is_the_same(answer: Answer) -> None:
    request = Request(model="m", messages=[])
    written = SERVER.write_answer(answer, request, STAMP)
    assert json.loads(written)["usage"]["total_tokens"] == answer.metadata.usage.total_tokens
    assert CLIENT.read_answer(written) == answer


@given(answers, st.lists(st.integers(1, 60), min_size=1, max_size=8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_stream_cut_anywhere_gives_the_same_events(
    answer: Answer, cuts: list[int], is_crlf: bool
) -> None:
    events = in_pieces(answer)
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    stream = b"".join(writer.write(event) for event in events)
    assert stream.endswith(b"data: [DONE]\n\n")
    if is_crlf:
        stream = b": comment\r\n\r\n" + stream.replace(b"\n", b"\r\n")
    reader = CLIENT.stream_reader()
    came: list[Event] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        came += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    came += reader.close()
    assert came == events
    assert folded(came) == answer


upstream_bodies = st.builds(
    lambda body, message, choice, details: {
        "id": ANSWER_ID,
        "object": "chat.completion",
        "created": STAMP.created_s,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a", "refusal": None, **message},
                "logprobs": None,
                "finish_reason": "stop",
                **choice,
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 2, **details},
            "completion_tokens_details": {"reasoning_tokens": 1, **details},
            **details,
        },
        **body,
    },
    obj(
        optional={"system_fingerprint": names, "service_tier": names, "kv_transfer_params": objects}
    ),
    obj(optional={"reasoning": texts, "annotations": st.lists(objects, min_size=1)}),
    obj(optional={"token_ids": st.lists(counts), "finish_reason": st.just("something_new")}),
    news,
)


@given(upstream_bodies)
@settings(max_examples=50, deadline=None)
def test_what_an_upstream_says_besides_survives_to_the_same_wire(body: Any) -> None:
    answer = CLIENT.read_answer(json.dumps(body).encode())
    written = SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP)
    expected = msgspec.json.decode(json.dumps(body))
    assert msgspec.json.decode(written) == expected
