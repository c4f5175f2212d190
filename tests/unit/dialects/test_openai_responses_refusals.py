"""What OpenAI's Responses refuse, each by its name."""

import json
from typing import Any

import pytest

from craton.dialects.dialect import Stamp
from craton.dialects.openai_responses import SERVER
from craton.kernel.errors import BadRequest, NotFound, Unsupported
from craton.messages import (
    Answer,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    StopReason,
    Text,
    Usage,
    unfold,
)

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
USER = {"role": "user", "content": "x"}


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x", **members}).encode()


def item(**members: Any) -> dict[str, Any]:
    return {"input": [USER, members]}


def part(**members: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [members]}]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "`model`:"),
    ({"input": None}, "`input`: is required"),
    ({"input": []}, "`input`: is required"),
    ({"input": 5}, "`input`:"),
    ({"input": ["x"]}, r"`input\[0\]`: expected an object"),
    ({"max_output_tokens": 0}, "`max_output_tokens`:"),
    ({"temperature": 3}, "`temperature`:"),
    ({"top_logprobs": 21}, "`top_logprobs`:"),
    ({"metadata": {"a": 1}}, "`metadata"),
    ({"messages": []}, "`messages`: is no member"),
    ({"max_tokens": 5}, "`max_tokens`: is no member"),
    ({"text": {"color": 1}}, "`text.color`: is no member"),
    ({"text": {"format": {"type": "yaml"}}}, "`text.format.type`:"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "`text.format.schema`:"),
    ({"include": ["everything"]}, "`include`: 'everything'"),
    ({"stream_options": {}}, "`stream_options`:"),
    ({"tool_choice": "maybe"}, "`tool_choice`:"),
    ({"tool_choice": {"type": "function"}}, "`tool_choice.name`:"),
    ({"tools": [{"type": "function"}]}, r"`tools\[0\].name`:"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "maybe", "tools": [{}]}},
        "`tool_choice.mode`:",
    ),
    (item(type="message", content="x"), r"`input\[1\].role`: is required"),
    (item(role="bot", content="x"), r"`input\[1\].role`:"),
    (item(role="user"), r"`input\[1\].content`: is required"),
    (item(role="user", content=["x"]), r"`input\[1\].content\[0\]`: expected"),
    (item(type="function_call", call_id="c", name="f"), r"`input\[1\].arguments`:"),
    (item(type="function_call_output", output="x"), r"`input\[1\].call_id`:"),
    (
        item(type="function_call_output", call_id="c", output="x"),
        r"`input\[1\].call_id`: no call 'c' comes before its output",
    ),
    (item(type="item_reference"), r"`input\[1\].id`:"),
    (item(type=5), r"`input\[1\].type`:"),
    (item(role="system", content=[{"type": "refusal", "refusal": "x"}]), "text alone"),
    (part(type="input_text"), r"`input\[0\].content\[0\].text`:"),
    (part(type="input_image"), r"`input\[0\].content\[0\]`: expected exactly one"),
    (part(type="input_image", image_url="data:x"), r"`input\[0\].content\[0\].image_url.url`:"),
    (part(type="input_file", file_url="u", file_id="i"), r"`input\[0\].content\[0\]`: expected"),
]

NOT_BUILT: list[tuple[dict[str, Any], str]] = [
    ({"background": True}, "`background`:.*not built"),
    ({"conversation": "conv_1"}, "`conversation`:.*not built"),
    ({"prompt": {"id": "p"}}, "`prompt`:.*not built"),
    ({"context_management": [{"type": "compaction"}]}, "`context_management`:.*compaction"),
    ({"moderation": {"model": "m"}}, "`moderation`:"),
    ({"truncation": "auto"}, "`truncation`: 'auto'"),
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "include_obfuscation"),
    ({"tools": [{"type": "web_search"}]}, r"`tools\[0\].type`: 'web_search'"),
    ({"tools": [{"type": "custom", "name": "x"}]}, r"`tools\[0\].type`: 'custom'"),
    ({"tool_choice": {"type": "file_search"}}, "`tool_choice.type`: 'file_search'"),
    ({"reasoning": {"mode": "pro"}}, "`reasoning.mode`:"),
    (item(type="web_search_call", id="w"), r"`input\[1\].type`: 'web_search_call'"),
    (item(type="compaction", id="c", encrypted_content="x"), "'compaction'"),
    (part(type="input_video", video_url="u"), r"`input\[0\].content\[0\].type`: 'input_video'"),
    ({"previous_response_id": "resp_1"}, "`previous_response_id`:"),
    ({"input": [{"id": "msg_1"}]}, "references to items"),
]


@pytest.mark.parametrize(("members", "message"), WRONG)
def test_what_is_wrong_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        SERVER.read_request(body(**members))


@pytest.mark.parametrize(("members", "message"), NOT_BUILT)
def test_what_is_not_built_is_refused_by_name(members: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        SERVER.read_request(body(**members))


def test_what_means_nothing_may_be_said() -> None:
    """Members that SDKs and agents send with the value that asks for nothing."""
    SERVER.read_request(
        body(
            background=False,
            conversation=None,
            context_management=[],
            truncation="disabled",
            reasoning={"effort": None, "summary": "auto"},
            text={"verbosity": "medium"},
            include=["reasoning.encrypted_content"],
            stream=True,
            stream_options={"include_obfuscation": False},
            max_tool_calls=3,
        )
    )


def test_a_reference_to_an_item_that_is_not_kept_is_refused() -> None:
    creation = SERVER.read_creation(body(input=[{"id": "msg_1"}, {"id": "msg_2"}]))
    assert creation.references() == ["msg_1", "msg_2"]
    with pytest.raises(BadRequest, match=r"`input\[1\].id`: there is no item 'msg_2'"):
        creation.given("resp_1", {"msg_1": {**USER, "type": "message", "id": "msg_1"}})


def test_a_compaction_is_read_as_far_as_its_model() -> None:
    assert SERVER.read_compaction(b'{"model":"m","input":"x","anything":[1]}') == "m"
    for wrong in (b'{"input":"x"}', b'{"model":5}', b"[]", b"{"):
        with pytest.raises(BadRequest):
            SERVER.read_compaction(wrong)


def test_an_answer_too_long_to_keep_says_that_it_is_not_stored() -> None:
    request = SERVER.read_request(body())
    answer = Answer(
        start=MessageStart(),
        content=[Text(text="x" * 2000)],
        stop=MessageStop(stop_reason=StopReason.END_TURN),
        metadata=Metadata(usage=Usage()),
    )
    short = json.loads(SERVER.write_answer(answer, request, STAMP, document_bytes_max=9000))
    long = json.loads(SERVER.write_answer(answer, request, STAMP, document_bytes_max=2000))
    assert (short["store"], long["store"]) == (True, False)
    writer = SERVER.stream_writer(request, STAMP, document_bytes_max=2000)
    for event in unfold(answer):
        writer.write(event)
    assert json.loads(writer.document) == long


def test_a_request_of_another_dialect_can_be_answered() -> None:
    answer = Answer(
        start=MessageStart(),
        content=[],
        stop=MessageStop(stop_reason=StopReason.END_TURN),
        metadata=Metadata(usage=Usage()),
    )
    told = json.loads(SERVER.write_answer(answer, Request(model="m", messages=[]), STAMP))
    assert (told["output"], told["tools"], told["store"]) == ([], [], False)


def test_errors_have_openais_codes() -> None:
    missing = BadRequest("`previous_response_id`: gone.", code="previous_response_not_found")
    status, written = SERVER.write_error(missing, "r")
    error = json.loads(written)["error"]
    assert (status, error["code"], error["param"]) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )
    status, written = SERVER.write_error(NotFound("No.", code="response_not_found"), "r")
    assert (status, json.loads(written)["error"]["code"]) == (404, None)
    _, written = SERVER.write_error(NotFound("No.", code="SomeAwsException"), "r")
    assert json.loads(written)["error"]["code"] == "model_not_found"
