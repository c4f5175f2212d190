"""What servers that speak OpenAI's chat completions send besides what OpenAI itself does."""

import json
from typing import Any

import pytest

from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat import CLIENT, SERVER
from craton.kernel.errors import CratonError, EngineFailed, Fault
from craton.messages import Answer, Request, StopReason, Text, fold
from craton.messages.blocks import Block, Reasoning, Refusal, ToolUse
from craton.messages.events import Event

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
REQUEST = Request(model="m", messages=[])
COUNTS = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
LOGPROBS = {"content": [{"token": "x", "logprob": -0.5}], "refusal": None}
HEARD = {"type": "thinking", "thinking": [{"type": "text", "text": "moon"}], "closed": True}
CALL = {"id": "c1", "function": {"name": "tides", "arguments": '{"days":2}'}}


def read(*, usage: Any = COUNTS, choice: Any = None, **message: Any) -> Answer:
    """A whole answer with these members of the message and the choice."""
    inner = {"index": 0, "finish_reason": "stop", "message": message, **(choice or {})}
    return CLIENT.read_answer(json.dumps({"choices": [inner], "usage": usage}).encode())


def chunk(usage: Any = None, **choice: Any) -> bytes:
    inner = {"index": 0, "finish_reason": None, **choice}
    return b"data: " + json.dumps({"choices": [inner], "usage": usage}).encode() + b"\n\n"


def streamed(*chunks: bytes, reason: str = "stop") -> Answer:
    """What these chunks and one that ends the answer make."""
    reader = CLIENT.stream_reader()
    events: list[Event] = []
    for each in (*chunks, chunk(COUNTS, delta={}, finish_reason=reason)):
        events += reader.feed(each)
    return fold([*events, *reader.feed(b"data: [DONE]\n\n")])


def written(answer: Answer) -> Any:
    return json.loads(SERVER.write_answer(answer, REQUEST, STAMP))


def test_logprobs_beside_a_call_are_no_text() -> None:
    def piece(**call: Any) -> bytes:
        return chunk(delta={"tool_calls": [{"index": 0, **call}]}, logprobs=LOGPROBS)

    answer = streamed(
        chunk(delta={"content": "Look: "}),
        piece(id="c1", function={"name": "tides", "arguments": '{"da'}),
        piece(function={"arguments": 'ys":2}'}),
        reason="tool_calls",
    )
    assert answer.content == [
        Text(text="Look: "),
        ToolUse(id="c1", name="tides", input={"days": 2}),
    ]


def test_logprobs_beside_reasoning_are_no_text() -> None:
    answer = streamed(
        chunk(delta={"reasoning_content": "mo"}, logprobs=LOGPROBS),
        chunk(delta={"reasoning_content": "on"}, logprobs=LOGPROBS),
        chunk(delta={"content": "x"}, logprobs=LOGPROBS),
    )
    said = Text(text="x", logprobs=LOGPROBS["content"])
    assert answer.content == [Reasoning(text="moon"), said]


def test_a_call_without_a_type_is_a_functions() -> None:
    [call] = read(tool_calls=[CALL], choice={"finish_reason": "tool_calls"}).content
    assert call == ToolUse(id="c1", name="tides", input={"days": 2})


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}], ids=["missing", "null"])
def test_a_call_without_arguments_has_none_and_is_told_on_as_an_empty_object(
    arguments: dict[str, Any],
) -> None:
    answer = read(tool_calls=[{"id": "c1", "function": {"name": "now", **arguments}}])
    assert answer.content == [ToolUse(id="c1", name="now", input={})]
    [call] = written(answer)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1"},
        {"id": "c1", "type": "custom"},
        {"id": "c1", "type": "custom", "function": {"name": "now"}},
        {"id": "c1", "type": "rune", "function": {"name": "now"}},
    ],
)
def test_a_call_that_says_nothing_to_call_is_an_engine_failure(call: Any) -> None:
    with pytest.raises(EngineFailed, match="tool call of type"):
        read(tool_calls=[call])


def test_a_calls_arguments_that_are_nested_too_deep_are_the_upstreams_fault() -> None:
    function = {"name": "now", "arguments": "[" * 300 + "]" * 300}
    with pytest.raises(EngineFailed, match="nested"):
        read(tool_calls=[{"id": "c1", "function": function}])


def test_an_answer_that_was_filtered_away_is_empty() -> None:
    inner = {"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": 1}}
    body = json.dumps({"choices": [inner], "usage": COUNTS}).encode()
    answer = CLIENT.read_answer(body)
    assert answer.content == []
    assert answer.stop.stop_reason is StopReason.CONTENT_FILTERED
    assert written(answer)["choices"][0]["content_filter_results"] == {"hate": 1}


def test_an_answer_without_a_message_that_nothing_filtered_is_an_engine_failure() -> None:
    body = json.dumps({"choices": [{"finish_reason": "stop"}], "usage": COUNTS}).encode()
    with pytest.raises(EngineFailed, match=r"`choices\[0\].message`: is required"):
        CLIENT.read_answer(body)


def test_a_chunk_in_which_only_the_filter_speaks_says_nothing() -> None:
    answer = streamed(
        chunk(delta={"content": "Low"}),
        chunk(content_filter_offsets={"start_offset": 0}),
        chunk(delta={"content": " tide"}),
    )
    assert answer.content == [Text(text="Low tide")]


PARTS: list[tuple[list[Any], list[Block]]] = [
    ([HEARD, HEARD], [Reasoning(text="moonmoon")]),
    (
        [HEARD, {"type": "text", "text": "Twice"}, {"type": "text", "text": " a day."}],
        [Reasoning(text="moon"), Text(text="Twice a day.")],
    ),
    (
        [{"type": "text", "text": "a"}, HEARD, {"type": "text", "text": "b"}],
        [Text(text="a"), Reasoning(text="moon"), Text(text="b")],
    ),
    (
        [
            {"type": "text", "text": "see "},
            {"type": "reference", "reference_ids": [1]},
            {"type": "text", "text": "there"},
        ],
        [Text(text="see there")],
    ),
    (
        [
            {"type": "text", "text": ""},
            {"type": "thinking", "thinking": [{"type": "reference", "reference_ids": [1]}]},
        ],
        [],
    ),
]


@pytest.mark.parametrize(("parts", "blocks"), PARTS)
def test_content_that_is_a_list_is_text_and_reasoning_in_order(
    parts: list[Any], blocks: list[Block]
) -> None:
    assert read(content=parts).content == blocks
    assert streamed(chunk(delta={"content": parts})).content == blocks
    each = [chunk(delta={"content": [part]}) for part in parts]
    assert streamed(*each).content == blocks


def test_a_list_goes_on_where_text_was_and_text_where_a_list_was() -> None:
    answer = streamed(
        chunk(delta={"content": "a"}),
        chunk(delta={"content": [{"type": "text", "text": "b"}]}),
        chunk(delta={"content": "c"}),
        chunk(delta={"refusal": "no"}),
    )
    assert answer.content == [Text(text="abc"), Refusal(text="no")]


USAGES = [
    # as it should be, and without a total
    ({"total_tokens": 47}, (35, 12)),
    ({}, (35, 12)),
    # Gemini's compatible API: thinking stands in the total alone
    ({"total_tokens": 109}, (35, 74)),
    # xAI: it stands in the details, too
    ({"total_tokens": 109, "completion_tokens_details": {"reasoning_tokens": 62}}, (35, 74)),
    # Mistral: what was heard stands in the total alone
    ({"total_tokens": 422, "prompt_audio_seconds": 3}, (410, 12)),
    ({"total_tokens": 109, "prompt_audio_seconds": 0}, (35, 74)),
    ({"total_tokens": 109, "prompt_audio_seconds": {}}, (35, 74)),
    # a total that is less than its parts takes nothing from them
    ({"total_tokens": 40}, (35, 12)),
]


@pytest.mark.parametrize(("said", "counts"), USAGES)
def test_what_the_total_counts_beyond_its_parts_is_billed(
    said: dict[str, Any], counts: tuple[int, int]
) -> None:
    usage = {"prompt_tokens": 35, "completion_tokens": 12, **said}
    answer = read(content="x", usage=usage)
    counted = answer.metadata.usage
    assert (counted.prompt_tokens, counted.output_tokens) == counts
    again = CLIENT.read_answer(SERVER.write_answer(answer, REQUEST, STAMP))
    assert again.metadata == answer.metadata
    assert written(answer)["usage"]["total_tokens"] == sum(counts)


def test_what_a_cache_served_is_part_of_a_prompt_that_was_heard() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 388,
        "prompt_audio_seconds": 3,
        "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 375},
    }
    counted = read(content="x", usage=usage).metadata.usage
    assert (counted.input_tokens, counted.cache_read_tokens) == (284, 100)


TOLD: list[tuple[dict[str, Any], Fault, str]] = [
    ({"error": {"code": 502, "message": "Provider failed"}}, Fault.ENGINE_FAILED, "Provider"),
    ({"error": {"code": 429, "message": "Slow down"}}, Fault.THROTTLED, "Slow"),
    ({"error": {"code": 503, "message": "No provider"}}, Fault.ENGINE_NOT_READY, "No provider"),
    (
        {"error": {"message": "maximum context length is 9", "code": 400}},
        Fault.CONTEXT_OVERFLOW,
        "",
    ),
    ({"error": {"message": "bad", "code": 400}, "user_id": "u"}, Fault.BAD_REQUEST, "bad"),
    ({"error": "Overloaded"}, Fault.ENGINE_FAILED, "Overloaded"),
    # between us and the upstream: no fault of the caller's
    ({"error": {"code": 401, "message": "No auth"}}, Fault.ENGINE_FAILED, "refused: No auth"),
    ({"error": {"code": 403, "message": "Flagged"}}, Fault.ENGINE_FAILED, "refused: Flagged"),
    ({"error": {"code": "insufficient_quota", "message": "Pay"}}, Fault.ENGINE_FAILED, "Pay"),
    ({"error": {"code": 404, "message": "None such"}}, Fault.ENGINE_FAILED, "None such"),
]


def raised_by_stream(*pieces: bytes) -> CratonError:
    reader = CLIENT.stream_reader()
    with pytest.raises(CratonError) as raised:  # noqa: PT012 - where it raises depends on the form
        for piece in pieces:
            reader.feed(piece)
        reader.close()
    return raised.value


@pytest.mark.parametrize(("document", "fault", "says"), TOLD)
def test_an_error_in_a_200_is_the_upstreams_own(
    document: dict[str, Any], fault: Fault, says: str
) -> None:
    told: list[CratonError] = []
    choice = {"index": 0, "finish_reason": "error", "message": {"content": ""}, **document}
    for body in (document, {**document, "choices": []}, {"choices": [choice], "usage": COUNTS}):
        with pytest.raises(CratonError) as raised:
            CLIENT.read_answer(json.dumps(body).encode())
        told.append(raised.value)
    bare = json.dumps(document).encode()
    told += [
        raised_by_stream(bare[:9], bare[9:]),  # not a stream at all
        raised_by_stream(bare + b"\n"),
        raised_by_stream(b"data: " + bare + b"\n\n"),
        raised_by_stream(b"data: " + json.dumps({**document, "choices": []}).encode() + b"\n\n"),
        raised_by_stream(chunk(delta={"content": ""}, **{**document, "finish_reason": "error"})),
    ]
    assert {error.fault for error in told} == {fault}
    assert all(says in error.message for error in told)


def test_an_error_that_is_null_is_none() -> None:
    body = {
        "choices": [{"message": {"content": "x"}, "finish_reason": "stop", "error": None}],
        "usage": COUNTS,
        "error": None,
    }
    assert CLIENT.read_answer(json.dumps(body).encode()).content == [Text(text="x")]
    piece = {"choices": [{"delta": {"content": "x"}, "error": None}], "error": None}
    frame = b"data: " + json.dumps(piece).encode() + b"\n\n"
    assert streamed(frame).content == [Text(text="x")]


def test_a_stream_that_is_none_and_no_error_either_is_an_engine_failure() -> None:
    for body in (b"", b"<html>", b'{"choices":[]}', b"{" * 70_000, b": waiting\n\n"):
        error = raised_by_stream(body)
        assert isinstance(error, EngineFailed)
        assert "before the answer was whole" in error.message


DETAILED = [
    ({"detail": "Invalid API Key"}, "Invalid API Key"),
    (
        {"detail": [{"loc": ["body", "messages", 0], "msg": "Field required", "input": "secret"}]},
        "body.messages.0: Field required",
    ),
    (
        {"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}},
        "body.seed: Extra",
    ),
    ({"error": {"detail": [{"msg": "one"}, {"msg": "two"}, 5, {"loc": []}]}}, "one; two"),
    ({"error": None, "detail": "Not Found"}, "Not Found"),
    ({"detail": {"a": 1}}, "The upstream answered 422 without a message."),
    ({"detail": []}, "The upstream answered 422 without a message."),
    ({"message": {"detail": None}}, "The upstream answered 422 without a message."),
]


@pytest.mark.parametrize(("document", "message"), DETAILED)
def test_the_words_of_an_error_under_detail_are_told(
    document: dict[str, Any], message: str
) -> None:
    error = CLIENT.read_error(422, json.dumps(document).encode())
    assert (error.fault, error.message) == (Fault.BAD_REQUEST, message)
