"""Converse's codecs: what the identity tests can't say."""

import json
from typing import Any

import pytest

from craton.dialects.converse import ConverseClient, ConverseServer
from craton.dialects.eventstream import FrameReader, write_event, write_exception
from craton.kernel.errors import (
    BadRequest,
    ContextOverflow,
    CratonError,
    EngineFailed,
    Fault,
    Unavailable,
    Unsupported,
    raised,
)
from craton.messages import (
    BlockKind,
    BlockStart,
    BlockStop,
    Message,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    Usage,
)
from craton.messages.blocks import (
    Document,
    FileSource,
    Image,
    Opaque,
    Refusal,
    TextSource,
    UrlSource,
)
from craton.messages.events import OpaqueDelta, ReasoningDelta, ToolInputDelta, ToolResultDelta
from craton.messages.request import JsonFormat, Thinking
from craton.messages.tools import NoneChoice, Tool

SERVER, CLIENT = ConverseServer(), ConverseClient()


def frames(data: bytes) -> list[tuple[str, Any]]:
    return [
        (
            str(f.headers.get(":event-type") or f.headers.get(":exception-type")),
            json.loads(f.payload),
        )
        for f in FrameReader().feed(data)
    ]


def written(*events: Any) -> list[tuple[str, Any]]:
    writer = SERVER.stream_writer()
    return frames(b"".join(writer.write(event) for event in events))


def read(*pairs: tuple[str, Any]) -> list[Any]:
    reader = CLIENT.stream_reader()
    return reader.feed(b"".join(write_event(name, json.dumps(d).encode()) for name, d in pairs))


def user(text: str = "hi", **members: Any) -> Request:
    return Request(
        model="m", messages=[Message(role=Role.USER, content=[Text(text=text)])], **members
    )


# --- streams ------------------------------------------------------------------------------------


def test_a_text_answer_has_the_frames_that_bedrock_sends() -> None:
    assert written(
        MessageStart(),
        BlockStart(index=0),
        TextDelta(index=0, text='Gr"ü\n'),
        BlockStop(index=0),
        MessageStop(stop_reason=StopReason.END_TURN),
        Metadata(usage=Usage(input_tokens=3, output_tokens=1), latency_ms=7),
    ) == [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"delta": {"text": 'Gr"ü\n'}, "contentBlockIndex": 0}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        (
            "metadata",
            {
                "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
                "metrics": {"latencyMs": 7},
            },
        ),
    ]


def test_reasoning_and_its_signature_are_frames_of_their_own() -> None:
    delta = ReasoningDelta(index=0, text="hm", signature="s")
    assert [pair[1]["delta"] for pair in written(delta)] == [
        {"reasoningContent": {"text": "hm"}},
        {"reasoningContent": {"signature": "s"}},
    ]


def test_a_block_without_a_start_on_the_wire_gets_one() -> None:
    events = read(
        (
            "contentBlockDelta",
            {"delta": {"reasoningContent": {"text": "a"}}, "contentBlockIndex": 0},
        ),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"delta": {"text": "b"}, "contentBlockIndex": 1}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
    )
    starts = [event for event in events if isinstance(event, BlockStart)]
    assert [(start.index, start.kind) for start in starts] == [
        (0, BlockKind.REASONING),
        (1, BlockKind.TEXT),
        (2, BlockKind.TEXT),
    ]


def test_a_kind_of_delta_from_tomorrow_survives() -> None:
    pair = ("contentBlockDelta", {"delta": {"smell": {"of": "rain"}}, "contentBlockIndex": 0})
    events = read(pair)
    assert events[-1] == OpaqueDelta(index=0, value={"smell": {"of": "rain"}})
    assert written(*events) == [pair]


def test_members_from_tomorrow_survive_and_padding_does_not() -> None:
    delta = {"delta": {"text": "a"}, "contentBlockIndex": 0, "new": 1}
    events = read(("contentBlockDelta", delta | {"p": "abcdef"}))
    assert written(*events) == [("contentBlockDelta", delta)]


def test_an_event_from_tomorrow_is_passed_over() -> None:
    assert read(("news", {"a": 1})) == []


@pytest.mark.parametrize(
    ("fault", "exception"),
    [
        (Fault.BAD_REQUEST, "validationException"),
        (Fault.THROTTLED, "throttlingException"),
        (Fault.ENGINE_FAILED, "modelStreamErrorException"),
        (Fault.ENGINE_TIMEOUT, "modelStreamErrorException"),
        (Fault.UNAVAILABLE, "serviceUnavailableException"),
        (Fault.INTERNAL, "internalServerException"),
    ],
)
def test_an_error_in_a_stream_comes_back_as_itself(fault: Fault, exception: str) -> None:
    frame = SERVER.stream_writer().write_error(raised(fault, "what happened"))
    assert frames(frame)[0][0] == exception
    with pytest.raises(CratonError, match="what happened") as caught:
        CLIENT.stream_reader().feed(frame)
    assert caught.value.fault is fault


@pytest.mark.parametrize("fault", list(Fault))
def test_every_error_can_end_a_stream(fault: Fault) -> None:
    ((name, document),) = frames(SERVER.stream_writer().write_error(raised(fault, "m")))
    assert name.endswith("Exception")
    assert document["message"] == "m"


def test_events_before_an_error_in_one_piece_are_not_lost() -> None:
    reader = CLIENT.stream_reader()
    data = write_event("messageStart", b'{"role":"assistant"}')
    data += write_exception("throttlingException", b'{"message":"slow"}')
    assert reader.feed(data) == [MessageStart()]
    with pytest.raises(CratonError, match="slow"):
        reader.close()


def test_a_stream_that_ends_early_is_a_failed_engine() -> None:
    reader = CLIENT.stream_reader()
    reader.feed(write_event("messageStart", b'{"role":"assistant"}'))
    with pytest.raises(EngineFailed, match="before the answer was whole"):
        reader.close()


METADATA = {
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


def test_a_stream_that_ends_with_metadata_is_whole() -> None:
    reader = CLIENT.stream_reader()
    reader.feed(write_event("metadata", json.dumps(METADATA).encode()))
    assert reader.close() == []
    with pytest.raises(EngineFailed, match="after the metadata"):
        reader.feed(write_event("contentBlockStop", b'{"contentBlockIndex":0}'))


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("messageStart", {"role": "boss"}),
        ("messageStart", {}),
        ("contentBlockDelta", {"delta": {"text": 5}, "contentBlockIndex": 0}),
        ("contentBlockDelta", {"delta": {"text": "a"}, "contentBlockIndex": "0"}),
        ("contentBlockDelta", {"delta": {}, "contentBlockIndex": 0}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 0}),
        ("contentBlockStart", {"start": {"toolUse": {"name": "a"}}, "contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "bored"}),
        ("metadata", {"usage": {"inputTokens": 1}, "metrics": {"latencyMs": 1}}),
        ("metadata", METADATA | {"usage": METADATA["usage"] | {"inputTokens": "1"}}),
        ("metadata", METADATA | {"trace": 2**70}),
        ("metadata", []),
    ],
)
def test_what_is_not_converse_is_a_failed_engine(name: str, document: Any) -> None:
    with pytest.raises(EngineFailed, match="not Converse's"):
        read((name, document))


def test_a_tools_picture_cannot_be_streamed() -> None:
    image = Image(source=None, format="png", error="lost")
    with pytest.raises(Unsupported, match="image"):
        written(ToolResultDelta(index=0, content=[image]))


def test_a_tool_call_streams_as_it_came() -> None:
    events = [
        BlockStart(index=0, kind=BlockKind.TOOL_USE, tool_use_id="t", name="f"),
        ToolInputDelta(index=0, json='{"a":'),
        ToolInputDelta(index=0, json="1}"),
    ]
    pairs = written(*events)
    assert pairs[0][1] == {
        "start": {"toolUse": {"toolUseId": "t", "name": "f"}},
        "contentBlockIndex": 0,
    }
    assert read(*pairs) == events


# --- whole answers and errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"output":{"message":{"role":"assistant","content":[{}]}}}',
        json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": 1}]}},
                "stopReason": "end_turn",
                **METADATA,
            }
        ).encode(),
    ],
)
def test_an_answer_that_is_none_is_a_failed_engine(body: bytes) -> None:
    with pytest.raises(EngineFailed, match="not Converse's"):
        CLIENT.read_answer(body)


def test_a_block_from_tomorrow_survives_in_an_answer() -> None:
    body = {
        "output": {"message": {"role": "assistant", "content": [{"smell": {"of": "rain"}}]}},
        "stopReason": "end_turn",
        **METADATA,
        "newMember": 1,
    }
    answer = CLIENT.read_answer(json.dumps(body).encode())
    assert answer.content == [Opaque(dialect="converse", kind="smell", value={"of": "rain"})]
    assert SERVER.write_answer(answer) == body


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (400, "ValidationException", Fault.BAD_REQUEST),
        (429, "ModelNotReadyException", Fault.ENGINE_NOT_READY),
        (429, "ThrottlingException:http://internal.amazon.com/", Fault.THROTTLED),
        (424, "ModelErrorException", Fault.ENGINE_FAILED),
        (429, None, Fault.THROTTLED),
        (403, None, Fault.ACCESS_DENIED),
        (502, None, Fault.UNAVAILABLE),
        (418, "Teapot", Fault.BAD_REQUEST),
    ],
)
def test_an_upstreams_refusal_is_the_error_it_stands_for(
    status: int, code: str | None, fault: Fault
) -> None:
    error = CLIENT.read_error(status, b'{"message":"why"}', code)
    assert (error.fault, error.message) == (fault, "why")


def test_a_refusal_without_words_is_still_an_error() -> None:
    assert isinstance(CLIENT.read_error(503, b"<html>"), Unavailable)


def test_a_prompt_that_was_too_long_upstream_is_an_overflow() -> None:
    body = b'{"message":"Input is too long for requested model."}'
    assert isinstance(CLIENT.read_error(400, body, "ValidationException"), ContextOverflow)


# --- what Converse has no form for --------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (user(top_k=5), "top_k"),
        (user(seed=5), "seed"),
        (user(frequency_penalty=0.5), "frequency_penalty"),
        (user(logprobs=0), "logprobs"),
        (user(choices=2), "'n'"),
        (user(parallel_tool_use=False), "parallel_tool_use"),
        (user(thinking=Thinking(mode="enabled", budget_tokens=5)), "thinking"),
        (user(output_format=JsonFormat()), "JSON Schema"),
        (user(tools=[Tool(name="f", schema={})], tool_choice=NoneChoice()), "none"),
    ],
)
def test_a_setting_that_converse_lacks_is_named(request_: Request, named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        CLIENT.write_request(request_)


@pytest.mark.parametrize(
    ("block", "named"),
    [
        (Image(source=UrlSource(url="http://a"), format="png"), "URL"),
        (Image(source=FileSource(file_id="f"), format="png"), "file id"),
        (Image(source=None), "format of the image"),
        (Opaque(dialect="openai", kind="custom", value=1), "custom"),
    ],
)
def test_a_block_that_converse_lacks_is_named(block: Any, named: str) -> None:
    request = Request(model="m", messages=[Message(role=Role.USER, content=[block])])
    with pytest.raises(Unsupported, match=named):
        CLIENT.write_request(request)


def test_settings_that_change_nothing_are_left_out() -> None:
    body = json.loads(CLIENT.write_request(user(choices=1, parallel_tool_use=True, user="u")))
    assert body == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}


def test_a_refusal_is_text_and_a_nameless_document_gets_a_name() -> None:
    content = [Refusal(text="no"), Document(source=TextSource(text="a"))]
    request = Request(model="m", messages=[Message(role=Role.ASSISTANT, content=content)])
    (message,) = json.loads(CLIENT.write_request(request))["messages"]
    assert message["content"] == [
        {"text": "no"},
        {"document": {"name": "document", "source": {"text": "a"}}},
    ]


@pytest.mark.parametrize("schema", ["{", "[" * 5000, "9" * 30, '{"a":' * 500 + "1" + "}" * 500])
def test_a_schema_that_is_not_usable_json_is_refused(schema: str) -> None:
    output = {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}
    document = {"modelId": "m", "outputConfig": {"textFormat": output}}
    with pytest.raises(BadRequest):
        SERVER.read_request(document, stream=False)


def test_members_from_tomorrow_survive_in_a_request() -> None:
    document = {
        "messages": [
            {"role": "user", "content": [{"text": "a"}, {"newBlock": {"b": 1}}], "newInMessage": 2}
        ],
        "inferenceConfig": {"temperature": 0.5, "newSetting": 3},
        "newAtTop": [4],
    }
    request = SERVER.read_request(document | {"modelId": "m"}, stream=False)
    assert request.temperature == 0.5
    assert json.loads(CLIENT.write_request(request)) == document
