"""OpenAI chat completions against the real openai library, without a network."""

from collections.abc import Iterator

import httpx2
import openai
import pytest

from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat import CLIENT, SERVER
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
from craton.messages.blocks import Image, InlineSource, Reasoning, ToolResult, ToolUse
from craton.messages.tools import AnyChoice

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
USAGE = Usage(input_tokens=5, output_tokens=7, cache_read_tokens=3, reasoning_tokens=2)
ANSWER = Answer(
    start=MessageStart(),
    content=[
        Reasoning(text="hm"),
        Text(text="It is sunny in Kraków ☀"),
        ToolUse(id="call_1", name="weather", input={"city": "Kraków"}),
        ToolUse(id="call_2", name="time", input={}),
    ],
    stop=MessageStop(stop_reason=StopReason.TOOL_USE),
    metadata=Metadata(usage=USAGE, service_tier="default"),
)


class Wire:
    """A server of one answer, behind the library's own HTTP client; keeps what it was sent."""

    def __init__(self, *, answer: Answer = ANSWER, error: CratonError | None = None) -> None:
        self._answer = answer
        self._error = error
        self.requests: list[Request] = []
        self.calls = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        if self._error is not None and not self.requests:
            status, body = SERVER.write_error(self._error, "r1")
            return httpx2.Response(status, content=body)
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
            yield writer.write(event)

    def client(self, *, retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(
            api_key="k",
            base_url="http://craton/v1",
            max_retries=retries,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self)),
        )


def test_a_plain_answer_has_all_its_parts() -> None:
    with Wire().client() as client:
        answer = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "weather?"}]
        )
    assert answer.id == "chatcmpl-01928d6e5b1c700080000123456789ab"
    assert answer.object == "chat.completion"
    assert answer.service_tier == "default"
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "It is sunny in Kraków ☀"
    assert choice.message.to_dict()["reasoning_content"] == "hm"
    assert choice.message.tool_calls is not None
    first, second = choice.message.tool_calls
    assert first.type == second.type == "function"
    assert (first.id, first.function.name) == ("call_1", "weather")
    assert first.function.arguments == '{"city":"Kraków"}'
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 8
    assert answer.usage.total_tokens == 15
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2


def test_the_library_accumulates_a_stream_into_the_same_answer() -> None:
    with (
        Wire().client() as client,
        client.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "weather?"}],
            stream_options={"include_usage": True},
        ) as stream,
    ):
        answer = stream.get_final_completion()
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "It is sunny in Kraków ☀"
    assert choice.message.tool_calls is not None
    assert [call.function.name for call in choice.message.tool_calls] == ["weather", "time"]
    assert choice.message.tool_calls[0].function.arguments == '{"city":"Kraków"}'
    assert answer.usage is not None
    assert answer.usage.total_tokens == 15


def test_usage_comes_in_a_stream_only_when_asked_for() -> None:
    with Wire().client() as client:
        chunks = list(
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
        )
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        asked = list(
            client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert len(asked) == len(chunks) + 1
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 7


def test_what_tells_that_the_answer_is_complete_waits_for_the_metadata() -> None:
    request = SERVER.read_request(
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,'
        b'"stream_options":{"include_usage":true}}'
    )
    writer = SERVER.stream_writer(request, STAMP)
    events = list(unfold(ANSWER))
    before = b"".join(writer.write(event) for event in events[:-1])
    last = writer.write(events[-1])
    assert b'"finish_reason":"' not in before
    assert b"[DONE]" not in before
    assert b'"prompt_tokens"' not in before
    assert b'"finish_reason":"tool_calls"' in last
    assert last.endswith(b"data: [DONE]\n\n")


def test_a_conversation_of_all_roles_is_read() -> None:
    wire = Wire()
    with wire.client() as client:
        first = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}]
        )
        client.chat.completions.create(
            model="m",
            messages=[
                {"role": "developer", "content": "be brief"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD"}},
                    ],
                },
                first.choices[0].message,  # type: ignore[list-item] - the library dumps its own
                {"role": "tool", "tool_call_id": "call_1", "content": "21 °C"},
            ],
            tools=[
                {
                    "type": "function",
                    "function": {"name": "weather", "parameters": {"type": "object"}},
                }
            ],
            tool_choice="required",
            temperature=0.5,
            max_completion_tokens=9,
            stop="END",
        )
    request = wire.requests[-1]
    assert request.tool_choice == AnyChoice()
    assert (request.temperature, request.max_tokens, request.stop_sequences) == (0.5, 9, ["END"])
    user, assistant, tool = request.messages
    assert user.content[1] == Image(source=InlineSource(data=b"ABC"), format="jpeg")
    assert [type(block).__name__ for block in assistant.content] == [
        "Reasoning",
        "Text",
        "ToolUse",
        "ToolUse",
    ]
    assert tool.content == [ToolResult(tool_use_id="call_1", content=[Text(text="21 °C")])]
    again = CLIENT.write_request(request)
    assert SERVER.read_request(again) == request


EXCEPTIONS: dict[Fault, type[openai.APIStatusError]] = {
    Fault.BAD_REQUEST: openai.BadRequestError,
    Fault.UNSUPPORTED: openai.BadRequestError,
    Fault.CONTEXT_OVERFLOW: openai.BadRequestError,
    Fault.TOO_LARGE: openai.APIStatusError,
    Fault.UNAUTHENTICATED: openai.AuthenticationError,
    Fault.ACCESS_DENIED: openai.PermissionDeniedError,
    Fault.NOT_FOUND: openai.NotFoundError,
    Fault.CONFLICT: openai.ConflictError,
    Fault.NOT_BUILT: openai.NotFoundError,
    Fault.THROTTLED: openai.RateLimitError,
    Fault.BUDGET_EXCEEDED: openai.RateLimitError,
    Fault.ENGINE_FAILED: openai.InternalServerError,
    Fault.ENGINE_TIMEOUT: openai.InternalServerError,
    Fault.ENGINE_NOT_READY: openai.InternalServerError,
    Fault.UNAVAILABLE: openai.InternalServerError,
    Fault.INTERNAL: openai.InternalServerError,
}


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_is_the_librarys_typed_exception(fault: Fault) -> None:
    with (
        Wire(error=raised(fault, "`messages[0].role`: what, which, what next.")).client() as client,
        pytest.raises(EXCEPTIONS[fault]) as caught,
    ):
        client.chat.completions.create(model="m", messages=[])
    assert "what, which, what next." in caught.value.message
    assert caught.value.param == "messages[0].role"


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_comes_back_from_its_own_error(fault: Fault) -> None:
    read = CLIENT.read_error(*SERVER.write_error(raised(fault, "what"), "r1"))
    # An upstream's own fault is to us an engine that failed.
    assert read.fault == (Fault.ENGINE_FAILED if fault is Fault.INTERNAL else fault)
    assert read.message == "what"


def test_a_stream_that_fails_raises_in_the_library() -> None:
    request = Request(model="m", messages=[], stream=True)
    writer = SERVER.stream_writer(request, STAMP)
    events = list(unfold(ANSWER))
    failed = raised(Fault.ENGINE_FAILED, "The engine died.")
    frames = b"".join(writer.write(event) for event in events[:5]) + writer.write_error(failed)

    def serve(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=frames)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    with (
        openai.OpenAI(api_key="k", base_url="http://craton/v1", http_client=http) as client,
        pytest.raises(openai.APIError, match="The engine died"),
    ):
        list(client.chat.completions.create(model="m", messages=[], stream=True))


def test_a_failure_that_waiting_mends_is_sent_again() -> None:
    def statuses(fault: Fault) -> int:
        return SERVER.write_error(raised(fault, "x"), "r1")[0]

    for fault in (Fault.ENGINE_NOT_READY, Fault.UNAVAILABLE, Fault.ENGINE_FAILED, Fault.THROTTLED):
        assert statuses(fault) >= 500 or statuses(fault) == 429
    for fault in (Fault.NOT_BUILT, Fault.UNSUPPORTED, Fault.TOO_LARGE, Fault.CONTEXT_OVERFLOW):
        assert statuses(fault) < 500
        assert statuses(fault) not in (408, 409, 429)
