"""Anthropic messages against the real anthropic library, without a network."""

from collections.abc import Iterator

import anthropic
import httpx2
import pytest

from craton.dialects.anthropic_messages import CLIENT, SERVER
from craton.dialects.dialect import Stamp
from craton.kernel.errors import CratonError, Fault, raised
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
from craton.messages.blocks import (
    CachePoint,
    Citation,
    CitationLocation,
    CitedText,
    Document,
    InlineSource,
    Reasoning,
    ToolResult,
    ToolUse,
)
from craton.messages.request import Thinking
from craton.messages.tools import Tool, ToolChoiceByName

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
ANSWER = Answer(
    start=MessageStart(usage=Usage(input_tokens=5, cache_read_tokens=3)),
    content=[
        Reasoning(text="hm", signature="c2ln"),
        Reasoning(redacted=b"secret"),
        CitedText(
            passages=["It is sunny in Kraków ☀"],
            citations=[
                Citation(
                    title="report",
                    source_content=["sunny"],
                    location=CitationLocation(kind="document_page", index=0, start=1, end=2),
                )
            ],
        ),
        ToolUse(id="toolu_1", name="weather", input={"city": "Kraków"}),
    ],
    stop=MessageStop(stop_reason=StopReason.TOOL_USE),
    metadata=Metadata(usage=Usage(input_tokens=5, output_tokens=7, cache_read_tokens=3)),
)


class Wire:
    """A server of one answer, behind the library's own HTTP client; keeps what it was sent."""

    def __init__(self, *, error: CratonError | None = None) -> None:
        self._error = error
        self.requests: list[Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self._error is not None:
            status, body = SERVER.write_error(self._error, "r1")
            return httpx2.Response(status, content=body)
        read = SERVER.read_request(request.content)
        self.requests.append(read)
        if not read.stream:
            return httpx2.Response(200, content=SERVER.write_answer(ANSWER, read, STAMP))
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=self._stream(read)
        )

    def _stream(self, request: Request) -> Iterator[bytes]:
        writer = SERVER.stream_writer(request, STAMP)
        for event in unfold(ANSWER):
            yield writer.write(event)

    def client(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(
            api_key="k",
            base_url="http://craton",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self)),
        )


def check(message: anthropic.types.Message) -> None:
    """The library's message is the answer, whichever way it came."""
    assert message.id == "msg_01928d6e5b1c700080000123456789ab"
    assert (message.role, message.model) == ("assistant", "m")
    assert message.stop_reason == "tool_use"
    thinking, redacted, text, tool_use = message.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, thinking.signature) == ("hm", "c2ln")
    assert redacted.type == "redacted_thinking"
    assert redacted.data == "secret"
    assert text.type == "text"
    assert text.text == "It is sunny in Kraków ☀"
    assert text.citations is not None
    [citation] = text.citations
    assert citation.type == "page_location"
    assert (citation.start_page_number, citation.document_title) == (1, "report")
    assert tool_use.type == "tool_use"
    assert tool_use.input == {"city": "Kraków"}
    assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 7)
    assert message.usage.cache_read_input_tokens == 3


def test_a_plain_answer_has_all_its_parts() -> None:
    with Wire().client() as client:
        check(
            client.messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "weather?"}]
            )
        )


def test_the_library_accumulates_a_stream_into_the_same_answer() -> None:
    with (
        Wire().client() as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "weather?"}]
        ) as stream,
    ):
        check(stream.get_final_message())


def test_a_conversation_of_all_blocks_is_read() -> None:
    wire = Wire()
    with wire.client() as client:
        answer = client.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
        client.messages.create(
            model="m",
            max_tokens=2048,
            system=[
                {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}},
            ],
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {
                                "type": "base64",
                                "media_type": "application/pdf",
                                "data": "QUJD",
                            },
                            "title": "report",
                            "citations": {"enabled": True},
                            "cache_control": {"type": "ephemeral", "ttl": "1h"},
                        }
                    ],
                },
                answer.to_param(),
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 °C"}
                    ],
                },
            ],
            tools=[{"name": "weather", "input_schema": {"type": "object"}}],
            tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
            output_config={"effort": "high"},
            metadata={"user_id": "u1"},
            extra_body={"top_k": 4},
        )
    request = wire.requests[-1]
    assert request.system == [Text(text="be brief"), CachePoint()]
    document, point = request.messages[0].content
    assert document == Document(
        source=InlineSource(data=b"ABC"), name="report", format="pdf", citations=True
    )
    assert point == CachePoint(ttl="1h")
    assert [type(block).__name__ for block in request.messages[1].content] == [
        "Reasoning",
        "Reasoning",
        "CitedText",
        "ToolUse",
    ]
    assert request.messages[2].content == [
        ToolResult(tool_use_id="toolu_1", content=[Text(text="21 °C")])
    ]
    assert request.tools == [Tool(name="weather", schema={"type": "object"})]
    assert request.tool_choice == ToolChoiceByName(name="weather")
    assert request.parallel_tool_use is False
    assert request.thinking == Thinking(mode="enabled", budget_tokens=1024, effort="high")
    assert (request.user, request.top_k, request.max_tokens) == ("u1", 4, 2048)


def test_counting_tokens_needs_no_limit() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    assert SERVER.read_count_request(body).max_tokens is None


def test_what_tells_that_the_answer_is_complete_waits_for_the_metadata() -> None:
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    events = list(unfold(ANSWER))
    before = b"".join(writer.write(event) for event in events[:-1])
    last = writer.write(events[-1])
    assert b"message_delta" not in before
    assert b"message_stop" not in before
    assert last.index(b"event: message_delta") < last.index(b"event: message_stop")


EXCEPTIONS: dict[Fault, type[anthropic.APIStatusError]] = {
    Fault.BAD_REQUEST: anthropic.BadRequestError,
    Fault.UNSUPPORTED: anthropic.BadRequestError,
    Fault.CONTEXT_OVERFLOW: anthropic.BadRequestError,
    Fault.TOO_LARGE: anthropic.APIStatusError,
    Fault.UNAUTHENTICATED: anthropic.AuthenticationError,
    Fault.ACCESS_DENIED: anthropic.PermissionDeniedError,
    Fault.NOT_FOUND: anthropic.NotFoundError,
    Fault.CONFLICT: anthropic.ConflictError,
    Fault.NOT_BUILT: anthropic.NotFoundError,
    Fault.THROTTLED: anthropic.RateLimitError,
    Fault.BUDGET_EXCEEDED: anthropic.APIStatusError,
    Fault.ENGINE_FAILED: anthropic.InternalServerError,
    Fault.ENGINE_TIMEOUT: anthropic.APIStatusError,
    Fault.ENGINE_NOT_READY: anthropic.APIStatusError,
    Fault.UNAVAILABLE: anthropic.APIStatusError,
    Fault.INTERNAL: anthropic.InternalServerError,
}
STATUSES = {
    Fault.TOO_LARGE: 413,
    Fault.BUDGET_EXCEEDED: 402,
    Fault.ENGINE_TIMEOUT: 504,
    Fault.ENGINE_NOT_READY: 529,
    Fault.UNAVAILABLE: 503,
}


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_is_the_librarys_typed_exception(fault: Fault) -> None:
    with (
        Wire(error=raised(fault, "what, which, what next.")).client() as client,
        pytest.raises(EXCEPTIONS[fault], match=r"what, which, what next\.") as caught,
    ):
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert caught.value.status_code == STATUSES.get(fault, caught.value.status_code)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == "r1"


SAME_STATUS = {
    Fault.UNSUPPORTED: Fault.BAD_REQUEST,
    Fault.CONTEXT_OVERFLOW: Fault.BAD_REQUEST,
    Fault.NOT_BUILT: Fault.NOT_FOUND,
    # An upstream's own fault is to us an engine that failed.
    Fault.INTERNAL: Fault.ENGINE_FAILED,
}


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_comes_back_as_far_as_the_wire_tells_them_apart(fault: Fault) -> None:
    read = CLIENT.read_error(*SERVER.write_error(raised(fault, "what"), "r1"))
    assert read.fault == SAME_STATUS.get(fault, fault)
    assert read.message == "what"


def test_a_prompt_too_long_is_known_by_its_message() -> None:
    body = (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}'
    )
    assert CLIENT.read_error(400, body).fault is Fault.CONTEXT_OVERFLOW


def test_a_stream_that_fails_raises_in_the_library() -> None:
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    failed = raised(Fault.ENGINE_NOT_READY, "The engine is loading.")
    events = list(unfold(ANSWER))
    frames = b"".join(writer.write(event) for event in events[:4]) + writer.write_error(failed)

    def serve(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=frames)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    with (
        anthropic.Anthropic(api_key="k", base_url="http://craton", http_client=http) as client,
        pytest.raises(anthropic.APIStatusError, match="The engine is loading"),
        client.messages.stream(model="m", max_tokens=1, messages=[]) as stream,
    ):
        stream.get_final_message()


def test_a_failed_stream_hands_over_its_events_before_it_raises() -> None:
    writer = SERVER.stream_writer(Request(model="m", messages=[], stream=True), STAMP)
    start, *_ = unfold(ANSWER)
    frames = writer.write(start) + writer.write_error(raised(Fault.THROTTLED, "Slow down."))
    reader = CLIENT.stream_reader()
    [came] = reader.feed(frames)
    assert isinstance(came, MessageStart)
    with pytest.raises(CratonError, match="Slow down") as caught:
        reader.feed(b"")
    assert caught.value.fault is Fault.THROTTLED
