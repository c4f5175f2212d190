"""What OpenAI chat completions refuse, and how an upstream's nonsense is met."""

import json
from typing import Any

import pytest

from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat import CLIENT, SERVER
from craton.kernel.errors import BadRequest, ContextOverflow, EngineFailed, Fault, Unsupported
from craton.messages import Fold, Message, Metadata, Request, Role, StopReason, Text
from craton.messages.blocks import CachePoint, Reasoning, S3Source, ToolUse, Video
from craton.messages.events import BlockKind, BlockStart, MessageStart, TextDelta

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
USER = {"role": "user", "content": "x"}


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [USER], **members}).encode()


def message(**members: Any) -> dict[str, Any]:
    return {"messages": [USER, members]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "`messages`:"),
    ({"messages": None}, "`messages`:"),
    ({"model": ""}, "`model`:"),
    ({"model": 5}, "`model`: expected `string`, got `integer`"),
    ({"temperature": 2.5}, "`temperature`:"),
    ({"temperature": "hot"}, "`temperature`:"),
    ({"top_p": -0.1}, "`top_p`:"),
    ({"n": 0}, "`n`:"),
    ({"max_tokens": 0}, "`max_tokens`:"),
    ({"max_tokens": 1.5}, "`max_tokens`:"),
    ({"max_tokens": True}, "`max_tokens`:"),
    ({"max_tokens": 1, "max_completion_tokens": 1}, "`max_tokens`: can't stand beside"),
    ({"seed": 2**63}, "`seed`:"),
    ({"top_k": -2}, "`top_k`:"),
    ({"frequency_penalty": 2.1}, "`frequency_penalty`:"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "`stop`:"),
    ({"stop": [""]}, r"`stop\[0\]`:"),
    ({"stop": ""}, "`stop`:"),
    ({"top_logprobs": 3}, "`top_logprobs`:"),
    ({"top_logprobs": 21, "logprobs": True}, "`top_logprobs`:"),
    ({"stream_options": {}}, "`stream_options`:"),
    ({"tool_choice": "maybe"}, "`tool_choice`:"),
    ({"tool_choice": {"type": "maybe"}}, "`tool_choice.type`:"),
    ({"tools": [{"type": "function"}]}, r"`tools\[0\].function`: is required and missing"),
    ({"tools": [{}]}, r"`tools\[0\].type`: is required and missing"),
    ({"response_format": {"type": "yaml"}}, "`response_format.type`:"),
    ({"response_format": {"type": "json_schema"}}, "`response_format.json_schema`:"),
    ({"store": "yes"}, "`store`:"),
    ({"logit_bias": {"5": 101}}, "`logit_bias"),
    (message(content="x"), r"`messages\[1\].role`: is required and missing"),
    (message(role="bot", content="x"), r"`messages\[1\].role`: invalid value 'bot'"),
    (message(role="tool", content="x"), r"`messages\[1\].tool_call_id`:"),
    (message(role="user"), r"`messages\[1\].content`: is required and missing"),
    (message(role="user", content=[]), r"`messages\[1\].content`:"),
    (message(role="user", content=[{"text": "x"}]), r"`messages\[1\].content\[0\].type`:"),
    (message(role="user", content=[{"type": 5}]), r"`messages\[1\].content\[0\].type`:"),
    (message(role="user", content=[{"type": "text"}]), r"`messages\[1\].content\[0\].text`:"),
    (message(role="assistant"), r"`messages\[1\].content`: is required"),
    (
        message(role="assistant", tool_calls=[{"id": "a", "type": "function"}]),
        r"`messages\[1\].tool_calls\[0\].function`:",
    ),
    (
        message(
            role="user",
            content=[{"type": "image_url", "image_url": {"url": "data:image/png,raw"}}],
        ),
        r"`messages\[1\].content\[0\].image_url.url`: expected a data URL",
    ),
    (
        message(
            role="user",
            content=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}],
        ),
        r"`messages\[1\].content\[0\].image_url.url`: expected base64",
    ),
    (
        message(
            role="user",
            content=[{"type": "input_audio", "input_audio": {"data": "a", "format": "wav"}}],
        ),
        r"`messages\[1\].content\[0\].input_audio.data`: expected base64",
    ),
    (
        message(role="user", content=[{"type": "file", "file": {}}]),
        r"`messages\[1\].content\[0\].file`: expected exactly one",
    ),
]


@pytest.mark.parametrize(("members", "match"), WRONG, ids=[match for _, match in WRONG])
@pytest.mark.parametrize("news", [{}, {"x_new": 1}], ids=["known", "new"])
def test_a_wrong_member_is_named_by_its_path(
    members: dict[str, Any], match: str, news: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest, match=match):
        SERVER.read_request(body(**members, **news))


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"functions": [{"name": "f"}]}, "`functions`: .* `tools`"),
        ({"function_call": "auto"}, "`function_call`: .* `tool_choice`"),
        (message(role="function", name="f", content="x"), r"`messages\[1\].role`"),
        (
            message(role="assistant", function_call={"name": "f", "arguments": ""}),
            r"`messages\[1\].function_call`",
        ),
    ],
)
def test_what_is_deprecated_is_refused_and_its_successor_named(
    members: dict[str, Any], match: str
) -> None:
    with pytest.raises(Unsupported, match=match):
        SERVER.read_request(body(**members))


def function(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def calling(arguments: str) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}


DEEP = '{"a":' * 300 + "1" + "}" * 300


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (b"", r"not valid JSON.*byte 0"),
        (b"{", r"not valid JSON.*byte 1"),
        (b'{"model": x}', r"not valid JSON: invalid character \(byte 10\)"),
        (body() + b"x", r"not valid JSON.*trailing"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', r"not UTF-8.*byte 51"),
        (b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', "not valid JSON"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}', "not UTF-8"),
        (body(x_new="\ud800x"), "not valid JSON"),
        (body()[:-1] + b',"temperature":NaN}', "not valid JSON"),
        (body()[:-1] + b',"temperature":1e999}', "body"),
        (body()[:-1] + b',"x_new":' + b"9" * 5000 + b"}", "body"),
        (body()[:-1] + b',"x_new":' + b"9" * 30 + b"}", "integer outside 64 bits"),
        (body()[:-1] + b',"x_new":' + DEEP.encode() + b"}", "nested deeper than 200"),
        (body()[:-1] + b',"x_new":' + b"[" * 200_000, "nested deeper"),
        (b"[" * 200_000, "nested deeper|expected"),
        (b"[]", "`body`: expected"),
        (b"null", "`body`: expected"),
        (
            body(tools=[function({"a": 2**70})]),
            "integer outside 64 bits",
        ),
        (
            body(tools=[function(json.loads(DEEP))]),
            "nested deeper than 200",
        ),
        (
            body(messages=[calling(DEEP)]),
            "nested",
        ),
        (
            body(messages=[calling('{"a":' + "9" * 40 + "}")]),
            "integer outside 64 bits",
        ),
    ],
)
def test_a_body_that_no_program_should_send_is_a_bad_request(broken: bytes, match: str) -> None:
    with pytest.raises(BadRequest, match=match):
        SERVER.read_request(broken)


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = '[{\\"' * 999
    request = SERVER.read_request(body(messages=[{"role": "user", "content": text}], x_new=1))
    assert request.messages[0].content == [Text(text=text)]


def test_a_block_this_wire_has_no_form_for_is_refused_by_name() -> None:
    video = Video(source=S3Source(uri="s3://a/b"), format="mp4")
    request = Request(model="m", messages=[Message(role=Role.USER, content=[video])])
    with pytest.raises(Unsupported, match="video"):
        CLIENT.write_request(request)


def test_a_cache_point_is_only_a_hint_and_left_out() -> None:
    content = [Text(text="x"), CachePoint()]
    written = CLIENT.write_request(
        Request(model="m", messages=[Message(role=Role.USER, content=[*content])])
    )
    assert json.loads(written)["messages"] == [USER]


def test_several_tool_results_and_text_become_messages_of_their_own() -> None:
    read = SERVER.read_request(
        body(
            messages=[
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                USER,
            ]
        )
    )
    merged = Message(role=Role.USER, content=[b for m in read.messages for b in m.content])
    written = CLIENT.write_request(Request(model="m", messages=[merged]))
    assert SERVER.read_request(written).messages == read.messages


def chunk(**choice: Any) -> bytes:
    inner = {"index": 0, "delta": {}, "finish_reason": None, **choice}
    return b"data: " + json.dumps({"id": "c", "choices": [inner]}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_reasoning_is_read_under_either_name() -> None:
    for name in ("reasoning_content", "reasoning"):
        reader = CLIENT.stream_reader()
        events = reader.feed(
            chunk(delta={"role": "assistant", name: "h"})
            + chunk(delta={name: "m"})
            + chunk(delta={"content": "x"})
            + chunk(finish_reason="stop", stop_reason="END")
            + USAGE
            + DONE
        )
        fold = Fold()
        for event in [*events, *reader.close()]:
            fold.add(event)
        answer = fold.answer()
        reasoning, text = answer.content
        assert isinstance(reasoning, Reasoning)
        assert reasoning.text == "hm"
        assert text == Text(text="x")
        assert answer.stop.stop_reason is StopReason.STOP_SEQUENCE
        assert answer.stop.stop_sequence == "END"
        written = SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP)
        assert json.loads(written)["choices"][0]["message"][name] == "hm"


def test_an_answer_is_whole_without_the_last_marker_but_not_without_usage() -> None:
    reader = CLIENT.stream_reader()
    events = reader.feed(chunk(delta={"content": "x"}) + chunk(finish_reason="stop") + USAGE)
    assert not any(isinstance(event, Metadata) for event in events)
    [last] = reader.close()
    assert isinstance(last, Metadata)
    reader = CLIENT.stream_reader()
    reader.feed(chunk(delta={"content": "x"}) + chunk(finish_reason="stop"))
    with pytest.raises(EngineFailed, match="before the answer was whole"):
        reader.close()
    reader = CLIENT.stream_reader()
    reader.feed(chunk(delta={"content": "x"}) + chunk(finish_reason="stop"))
    with pytest.raises(EngineFailed, match="without usage"):
        reader.feed(DONE)


BROKEN_STREAMS = {
    "not JSON": b"data: {\n\n",
    "a second choice": chunk(index=1, delta={"content": "x"}),
    "gave up": chunk(finish_reason="abort"),
    "went back": chunk(delta={"tool_calls": [{"index": 1, "id": "b"}]})
    + chunk(delta={"tool_calls": [{"index": 0, "id": "a"}]}),
    "without a finish_reason": chunk(delta={"content": "x"}) + DONE,
}


@pytest.mark.parametrize("stream", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
def test_a_broken_stream_is_an_engine_failure(stream: bytes) -> None:
    reader = CLIENT.stream_reader()

    def read() -> None:
        reader.feed(stream)
        reader.feed(b"")  # what came before the failure is handed over first

    with pytest.raises(EngineFailed):
        read()


def test_an_error_inside_a_stream_comes_after_the_events_before_it() -> None:
    reader = CLIENT.stream_reader()
    error = b'data: {"error":{"message":"too long","code":"context_length_exceeded"}}\n\n'
    events = reader.feed(chunk(delta={"content": "x"}) + error)
    assert [type(event) for event in events] == [MessageStart, BlockStart, TextDelta]
    with pytest.raises(ContextOverflow, match="too long"):
        reader.feed(b"")
    with pytest.raises(ContextOverflow, match="too long"):
        reader.close()


def test_what_is_new_in_a_delta_rides_in_a_block_of_its_own() -> None:
    reader = CLIENT.stream_reader()
    events = reader.feed(
        chunk(delta={"role": "assistant"})
        + chunk(delta={"audio": {"data": "QQ=="}})
        + chunk(finish_reason="stop")
        + USAGE
        + DONE
    )
    assert BlockStart(index=0, kind=BlockKind.OPAQUE, format="openai", name="delta") in events
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    written = b"".join(writer.write(event) for event in events)
    assert b'"delta":{"audio":{"data":"QQ=="}}' in written


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (b"<html>", "can't be read"),
        (b'{"choices":[]}', "0 choices"),
        (b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}', "without usage"),
        (b'{"choices":[{"message":{"content":5}}]}', r"choices\[0\].message.content"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_an_answer_that_is_none_is_an_engine_failure(wrong: bytes, match: str) -> None:
    with pytest.raises(EngineFailed, match=match):
        CLIENT.read_answer(wrong)


@pytest.mark.parametrize(
    ("status", "text", "fault"),
    [
        (
            400,
            b'{"object":"error","message":"the maximum context length is 9","code":400}',
            Fault.CONTEXT_OVERFLOW,
        ),
        (400, b'{"error":"bad"}', Fault.BAD_REQUEST),
        (404, b'{"detail":"Not Found"}', Fault.NOT_FOUND),
        (500, b"oops \xff", Fault.ENGINE_FAILED),
        (503, b"", Fault.ENGINE_NOT_READY),
        (418, b"[]", Fault.BAD_REQUEST),
        (429, b'{"error":{"message":5,"code":"insufficient_quota"}}', Fault.BUDGET_EXCEEDED),
    ],
)
def test_other_servers_errors_are_read_by_what_they_have(
    status: int, text: bytes, fault: Fault
) -> None:
    assert CLIENT.read_error(status, text).fault is fault


def test_a_call_cut_off_by_the_limit_keeps_its_text() -> None:
    cut = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": "b'}}
    request = SERVER.read_request(body(messages=[{"role": "assistant", "tool_calls": [cut]}]))
    assert request.messages[0].content == [ToolUse(id="a", name="f", input='{"a": "b')]
