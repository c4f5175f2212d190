"""OpenAI's Responses against the real openai library, without a network."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from craton.dialects.dialect import Stamp
from craton.dialects.openai_responses import SERVER
from craton.kernel.errors import CratonError, EngineFailed
from craton.messages import (
    Answer,
    BlockStart,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    Usage,
    unfold,
)
from craton.messages.blocks import (
    Citation,
    CitationLocation,
    CitedText,
    Document,
    Image,
    InlineSource,
    Reasoning,
    Refusal,
    ToolResult,
    ToolUse,
    UrlSource,
)
from craton.messages.request import JsonSchemaFormat
from craton.messages.tools import ToolChoiceByName

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
HEX = "01928d6e5b1c700080000123456789ab"
TOKEN = {"token": "☀", "logprob": -0.5, "bytes": None, "top_logprobs": []}
ANSWER = Answer(
    start=MessageStart(),
    content=[
        Reasoning(text="hm", signature="sig"),
        Text(text="It is sunny in Kraków ☀", logprobs=[TOKEN]),
        CitedText(
            passages=["as ", "they say"],
            citations=[
                Citation(title="t", location=CitationLocation(kind="web", url="https://a/b")),
                Citation(title="not of the web", location=CitationLocation(kind="document_page")),
            ],
        ),
        Refusal(text="no"),
        ToolUse(id="call_1", name="weather", input={"city": "Kraków"}),
        ToolUse(id="call_2", name="time", input={}),
    ],
    stop=MessageStop(stop_reason=StopReason.TOOL_USE),
    metadata=Metadata(
        usage=Usage(input_tokens=5, output_tokens=7, cache_read_tokens=3, reasoning_tokens=2),
        latency_ms=2500,
    ),
)
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Wire:
    """A server of one answer, behind the library's own HTTP client; keeps what it was sent."""

    def __init__(self, *, answer: Answer = ANSWER, error: CratonError | None = None) -> None:
        self._answer = answer
        self._error = error
        self.requests: list[Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        read = SERVER.read_request(request.content)
        self.requests.append(read)
        if not read.stream:
            return httpx2.Response(200, content=SERVER.write_answer(self._answer, read, STAMP))
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=self._stream(read)
        )

    def _stream(self, request: Request) -> Iterator[bytes]:
        writer = SERVER.stream_writer(request, STAMP)
        for event in unfold(self._answer):
            if self._error is not None and type(event) is TextDelta:
                yield writer.write_error(self._error)
                return
            yield writer.write(event)

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(
            api_key="k",
            base_url="http://craton/v1",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self)),
        )


def test_a_plain_answer_has_all_its_parts() -> None:
    with Wire().client() as client:
        answer = client.responses.create(
            model="m",
            input="weather?",
            instructions="Be brief.",
            max_output_tokens=99,
            metadata={"a": "b"},
        )
    Response.model_validate(answer.model_dump(exclude_none=True, warnings=False))
    reasoning, message, call, second = answer.output
    assert answer.id == "resp_" + HEX
    assert (answer.created_at, answer.completed_at) == (1_800_000_000, 1_800_000_002)
    assert (answer.instructions, answer.max_output_tokens) == ("Be brief.", 99)
    assert answer.metadata == {"a": "b"}
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert [part.text for part in reasoning.content] == ["hm"]
    assert message.type == "message"
    assert [part.type for part in message.content] == ["output_text", "output_text", "refusal"]
    assert answer.output_text == "It is sunny in Kraków ☀as they say"
    text, cited, _ = message.content
    assert text.type == cited.type == "output_text"
    assert text.logprobs is not None
    assert text.logprobs[0].bytes == list("☀".encode())
    (citation,) = cited.annotations
    assert citation.type == "url_citation"
    assert (citation.url, citation.start_index, citation.end_index) == ("https://a/b", 0, 11)
    assert call.type == second.type == "function_call"
    assert (call.call_id, call.name, json.loads(call.arguments)) == (
        "call_1",
        "weather",
        {"city": "Kraków"},
    )
    assert second.arguments == "{}"
    usage = answer.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (8, 7, 15)
    assert usage.input_tokens_details.cached_tokens == 3
    assert usage.output_tokens_details.reasoning_tokens == 2


def test_a_stream_tells_each_step_in_order_and_ends_with_the_same_document() -> None:
    with Wire().client() as client:
        whole = client.responses.create(model="m", input="weather?")
        events = list(client.responses.create(model="m", input="weather?", stream=True))
    for event in events:
        EVENTS.validate_python(event.model_dump(exclude_none=True, warnings=False))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert (first.response.status, first.response.output) == ("in_progress", [])
    assert last.type == "response.completed"
    assert last.response == whole


def test_the_librarys_own_accumulator_arrives_at_the_same_answer() -> None:
    with (
        Wire().client() as client,
        client.responses.stream(model="m", input="weather?") as stream,
    ):
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == "It is sunny in Kraków ☀as they say"
    calls = [item for item in final.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Kraków"}, {}]


def test_a_failure_in_a_stream_is_raised() -> None:
    with Wire(error=EngineFailed("The engine broke.")).client() as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        with pytest.raises(openai.APIError, match="The engine broke"):
            list(stream)


def test_a_failed_stream_ends_with_the_failed_document() -> None:
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    writer.write(MessageStart())
    writer.write(BlockStart(index=0))
    lines = writer.write_error(EngineFailed("The engine broke.")).decode().split("\n\n")
    assert lines[0].startswith("event: error\n")
    assert lines[1].startswith("event: response.failed\n")
    assert lines[2:] == ["data: [DONE]", ""]
    failed = json.loads(lines[1].partition("data: ")[2])["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")


@pytest.mark.parametrize(
    ("reason", "status", "detail", "item_status"),
    [
        (StopReason.END_TURN, "completed", None, "completed"),
        (StopReason.STOP_SEQUENCE, "completed", None, "completed"),
        (StopReason.MAX_TOKENS, "incomplete", "max_output_tokens", "incomplete"),
        (StopReason.CONTENT_FILTERED, "incomplete", "content_filter", "completed"),
    ],
)
def test_why_it_stopped_is_told(
    reason: StopReason, status: str, detail: str | None, item_status: str
) -> None:
    answer = Answer(
        start=MessageStart(),
        content=[ToolUse(id="c", name="f", input={}), Text(text="x")],
        stop=MessageStop(stop_reason=reason),
        metadata=Metadata(usage=Usage()),
    )
    with Wire(answer=answer).client() as client:
        told = client.responses.create(model="m", input="x")
        (*_, last) = client.responses.create(model="m", input="x", stream=True)
    call, message = told.output
    assert call.type == "function_call"
    assert message.type == "message"
    assert (told.status, call.status, message.status) == (status, "completed", item_status)
    assert (told.incomplete_details and told.incomplete_details.reason) == detail
    assert (told.completed_at is None) == (status != "completed")
    assert last.type == f"response.{status}"
    assert last.response == told


def test_a_conversation_of_items_is_read_into_turns() -> None:
    wire = Wire()
    with wire.client() as client:
        client.responses.create(
            model="m",
            instructions="one",
            input=[
                {"role": "developer", "content": "two"},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "look"},
                        {
                            "type": "input_image",
                            "image_url": "data:image/png;base64,QUJD",
                            "detail": "low",
                        },
                        {"type": "input_file", "file_url": "https://a/b.pdf", "filename": "b"},
                    ],
                },
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "hm"}],
                    "encrypted_content": "signed:sig",
                },
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "so", "annotations": []}],
                },
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
                {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
                {"type": "function_call_output", "call_id": "c1", "output": "3"},
                {
                    "type": "function_call_output",
                    "call_id": "c2",
                    "output": [{"type": "input_text", "text": "4"}],
                },
                {"role": "system", "content": "now"},
                {"role": "user", "content": "and?"},
            ],
        )
    (request,) = wire.requests
    assert [block.text for block in request.system if isinstance(block, Text)] == ["one", "two"]
    asked, said, results, told, last = request.messages
    assert [m.role for m in request.messages] == [
        Role.USER,
        Role.ASSISTANT,
        Role.USER,
        Role.SYSTEM,
        Role.USER,
    ]
    assert asked.content == [
        Text(text="look"),
        Image(source=InlineSource(data=b"ABC"), format="png", detail="low"),
        Document(source=UrlSource(url="https://a/b.pdf"), name="b"),
    ]
    reasoning, text, call, other = said.content
    assert reasoning == Reasoning(text="hm", signature="sig")
    assert text == Text(text="so")
    assert call == ToolUse(id="c1", name="f", input={"a": 1})
    assert isinstance(other, ToolUse)
    assert other.input == {}
    assert results.content == [
        ToolResult(tool_use_id="c1", content=[Text(text="3")]),
        ToolResult(tool_use_id="c2", content=[Text(text="4")]),
    ]
    assert told.content == [Text(text="now")]
    assert last.content == [Text(text="and?")]


def test_settings_are_read_and_repeated() -> None:
    wire = Wire()
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with wire.client() as client:
        answer = client.responses.create(
            model="m",
            input="x",
            tools=[tool],
            tool_choice={"type": "function", "name": "f"},
            parallel_tool_calls=False,
            text={"format": {"type": "json_schema", "name": "n", "schema": schema}},
            reasoning={"effort": "low"},
            max_output_tokens=7,
            temperature=0.5,
            top_p=0.25,
            top_logprobs=2,
            include=["message.output_text.logprobs"],
            truncation="disabled",
            service_tier="default",
            store=False,
            prompt_cache_key="k",
        )
    (request,) = wire.requests
    assert request.tools[0].name == "f"  # type: ignore[union-attr]
    assert request.tool_choice == ToolChoiceByName(name="f")
    assert request.parallel_tool_use is False
    assert request.output_format == JsonSchemaFormat(schema=schema, name="n")
    assert request.thinking is not None
    assert request.thinking.effort == "low"
    assert (request.max_tokens, request.logprobs) == (7, 2)
    assert request.extra is not None
    assert request.extra["openai"] == {"prompt_cache_key": "k"}
    assert (answer.temperature, answer.top_p, answer.store) == (0.5, 0.25, False)
    assert answer.tools[0].to_dict() == {**tool, "description": None}
    assert answer.tool_choice.to_dict() == {"type": "function", "name": "f"}  # type: ignore[union-attr]
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "json_schema"
    assert answer.parallel_tool_calls is False
