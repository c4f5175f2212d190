"""What Anthropic messages refuse, and how an upstream's nonsense is met."""

import json
from typing import Any

import pytest

from craton.dialects.anthropic_messages import CLIENT, SERVER
from craton.dialects.dialect import Stamp
from craton.kernel.errors import BadRequest, EngineFailed, Fault, Unsupported
from craton.messages import Fold, Message, Request, Role, StopReason, Text
from craton.messages.blocks import CachePoint, Opaque, S3Source, ToolUse, Video
from craton.messages.request import JsonFormat

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
USER = {"role": "user", "content": "x"}


def body(**members: Any) -> bytes:
    whole = {"model": "m", "max_tokens": 9, "messages": [USER], **members}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def content(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


AT = r"`messages\[0\].content\[0\]"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": ...}, "`max_tokens`: is required and missing"),
    ({"max_tokens": None}, "`max_tokens`: is required and missing"),
    ({"max_tokens": -1}, "`max_tokens`:"),
    ({"max_tokens": 0}, "`max_tokens`: 0"),
    ({"model": ...}, "`model`: is required and missing"),
    ({"messages": []}, "`messages`:"),
    ({"messages": [{"role": "tool", "content": "x"}]}, r"`messages\[0\].role`: invalid value"),
    ({"messages": [{"content": "x"}]}, r"`messages\[0\].role`: is required and missing"),
    ({"messages": [{"role": "user"}]}, r"`messages\[0\].content`: is required and missing"),
    (content(), r"`messages\[0\].content`:"),
    (content({"text": "x"}), AT + ".type`: is required and missing"),
    (content({"type": 5}), AT + ".type`: expected `string`"),
    (content({"type": "text"}), AT + ".text`: is required and missing"),
    (content({"type": "text", "text": 5}), AT + ".text`: expected `string`, got `integer`"),
    (content({"type": "tool_use", "id": "a", "name": "f", "input": "x"}), AT + ".input`:"),
    (content({"type": "tool_result"}), AT + ".tool_use_id`: is required and missing"),
    (content({"type": "thinking", "thinking": "x"}), AT + ".signature`:"),
    (content({"type": "image", "source": {"type": "carved"}}), AT + ".source.type`:"),
    (
        content(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}}
        ),
        AT + ".source.data`: expected base64",
    ),
    (
        content({"type": "text", "text": "x", "cache_control": {"type": "eternal"}}),
        AT + ".cache_control.type`:",
    ),
    (
        content({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}}),
        AT + ".cache_control.ttl`:",
    ),
    ({"system": 5}, "`system`:"),
    ({"temperature": 1.5}, "`temperature`:"),
    ({"top_p": 2}, "`top_p`:"),
    ({"top_k": -1}, "`top_k`:"),
    ({"stop_sequences": "x"}, "`stop_sequences`:"),
    ({"tools": [{"input_schema": {}}]}, r"`tools\[0\].name`: is required and missing"),
    ({"tools": [{"name": "f"}]}, r"`tools\[0\].input_schema`: is required and missing"),
    ({"tool_choice": {"type": "required"}}, "`tool_choice.type`:"),
    ({"tool_choice": "auto"}, "`tool_choice`:"),
    ({"thinking": {"type": "enabled"}}, "`thinking.budget_tokens`: is required and missing"),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "`thinking.budget_tokens`:"),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024},
        "`thinking.budget_tokens`: .* less than `max_tokens`",
    ),
    ({"metadata": "me"}, "`metadata`:"),
    ({"output_config": {"format": {"type": "yaml"}}}, "`output_config.format.type`:"),
]


@pytest.mark.parametrize(("members", "match"), WRONG, ids=[match for _, match in WRONG])
@pytest.mark.parametrize("news", [{}, {"x_new": 1}], ids=["known", "new"])
def test_a_wrong_member_is_named_by_its_path(
    members: dict[str, Any], match: str, news: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest, match=match):
        SERVER.read_request(body(**members, **news))


def calling(value: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "a", "name": "f", "input": value}


DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (b"{", "not valid JSON"),
        (body()[:-1] + b',"temperature":NaN}', "not valid JSON"),
        (b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"\xff"}]}', "UTF-8"),
        (
            body(**content({"type": "tool_use", "id": "a", "name": "f", "input": {"a": DEEP}})),
            "deep",
        ),
        (
            body(**content({"type": "tool_use", "id": "a", "name": "f", "input": {"a": 2**64}})),
            "64",
        ),
        (body(tools=[{"name": "f", "input_schema": {"a": DEEP}}]), "deeper than 200"),
        (body(tools=[{"name": "f", "input_schema": {"a": -(2**63) - 1}}]), "64 bits"),
        (body(x_new=2**64), "64 bits"),
        (body(x_new=DEEP), "deeper than 200"),
    ],
)
def test_a_body_that_no_program_should_send_is_a_bad_request(broken: bytes, match: str) -> None:
    with pytest.raises(BadRequest, match=match):
        SERVER.read_request(broken)


def test_a_block_of_an_unknown_kind_is_kept_whole() -> None:
    block = {"type": "x_hologram", "depth": 3}
    request = SERVER.read_request(body(**content(block)))
    assert request.messages[0].content == [
        Opaque(dialect="anthropic", kind="x_hologram", value=block)
    ]


@pytest.mark.parametrize(
    "request_",
    [
        Request(model="m", messages=[], max_tokens=1, choices=2),
        Request(model="m", messages=[], max_tokens=1, logprobs=0),
        Request(model="m", messages=[], max_tokens=1, output_format=JsonFormat()),
        Request(model="m", messages=[], max_tokens=1, prompt_variables={"a": "b"}),
        Request(
            model="m",
            messages=[
                Message(role=Role.USER, content=[Video(source=S3Source(uri="s3://a/b"))]),
            ],
            max_tokens=1,
        ),
    ],
    ids=["choices", "logprobs", "json", "variables", "video"],
)
def test_what_this_wire_has_no_word_for_is_refused(request_: Request) -> None:
    with pytest.raises(Unsupported, match="Leave it out"):
        CLIENT.write_request(request_)


def test_a_request_without_a_limit_cannot_be_written() -> None:
    with pytest.raises(BadRequest, match="`max_tokens`"):
        CLIENT.write_request(Request(model="m", messages=[]))


def test_a_cache_point_before_all_blocks_is_left_out() -> None:
    message = Message(role=Role.USER, content=[CachePoint(), Text(text="x")])
    written = json.loads(CLIENT.write_request(Request(model="m", messages=[message], max_tokens=1)))
    assert written["messages"] == [USER]


def frame(**members: Any) -> bytes:
    return f"event: {members['type']}\ndata: {json.dumps(members)}\n\n".encode()


START = frame(
    type="message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1, "inference_geo": "eu"},
    },
)
TEXT = frame(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
STOP = frame(type="content_block_stop", index=0)
END = frame(
    type="message_delta", delta={"stop_reason": "pause_turn"}, usage={"output_tokens": 5}
) + frame(type="message_stop")


def test_frames_of_new_kinds_and_pings_are_passed_over() -> None:
    reader = CLIENT.stream_reader()
    events = reader.feed(START + frame(type="ping") + frame(type="x_new", a=1) + END)
    assert reader.close() == []
    fold = Fold()
    for event in events:
        fold.add(event)
    answer = fold.answer()
    assert answer.metadata.usage.input_tokens == 3
    assert answer.metadata.usage.output_tokens == 5
    assert answer.stop.stop_reason is StopReason.END_TURN
    written = json.loads(SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP))
    assert written["stop_reason"] == "pause_turn"
    assert written["usage"]["inference_geo"] == "eu"


def test_a_block_of_a_new_kind_streams_through_and_folds() -> None:
    start = {"type": "x_call", "id": "a", "input": {}}
    stream = (
        START
        + frame(type="content_block_start", index=0, content_block=start)
        + frame(
            type="content_block_delta",
            index=0,
            delta={"type": "input_json_delta", "partial_json": '{"a":1}'},
        )
        + frame(type="content_block_delta", index=0, delta={"type": "x_delta", "b": 2})
        + STOP
        + END
    )
    events = CLIENT.stream_reader().feed(stream)
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    written = b"".join(writer.write(event) for event in events)
    assert b'"delta":{"type":"x_delta","b":2}' in written
    fold = Fold()
    for event in events:
        fold.add(event)
    answer = json.loads(SERVER.write_answer(fold.answer(), Request(model="m", messages=[]), STAMP))
    assert answer["content"] == [{"type": "x_call", "id": "a", "input": {"a": 1}}]


BROKEN_STREAMS = {
    "not JSON": b"data: {\n\n",
    "two beginnings": START + START,
    "a block before the answer": TEXT,
    "two blocks at once": START + TEXT + TEXT,
    "a delta outside a block": START
    + frame(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "x"}),
    "an end inside a block": START + TEXT + END,
    "no stop reason": START + frame(type="message_stop"),
    "cut short": START + TEXT,
}


@pytest.mark.parametrize("stream", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
def test_a_broken_stream_is_an_engine_failure(stream: bytes) -> None:
    reader = CLIENT.stream_reader()

    def read() -> None:
        reader.feed(stream)
        reader.close()  # what came before the failure is handed over first

    with pytest.raises(EngineFailed):
        read()


@pytest.mark.parametrize(
    "wrong", [b"<html>", b"{}", b'{"type":"message","content":5}', b"[" * 100_000]
)
def test_an_answer_that_is_none_is_an_engine_failure(wrong: bytes) -> None:
    with pytest.raises(EngineFailed, match="can't be read"):
        CLIENT.read_answer(wrong)


@pytest.mark.parametrize(
    ("status", "text", "fault"),
    [
        (500, b"oops \xff", Fault.ENGINE_FAILED),
        (418, b"[]", Fault.BAD_REQUEST),
        (400, b'{"error":{"message":5}}', Fault.BAD_REQUEST),
        (529, b'{"type":"error","error":{"type":"overloaded_error"}}', Fault.ENGINE_NOT_READY),
    ],
)
def test_other_servers_errors_are_read_by_what_they_have(
    status: int, text: bytes, fault: Fault
) -> None:
    assert CLIENT.read_error(status, text).fault is fault


def test_a_call_whose_input_is_no_object_loses_nothing() -> None:
    call = ToolUse(id="a", name="f", input='{"a": "b')
    message = Message(role=Role.ASSISTANT, content=[call])
    written = json.loads(CLIENT.write_request(Request(model="m", messages=[message], max_tokens=1)))
    assert written["messages"][0]["content"][0]["input"] == {"partial_json": '{"a": "b'}
