"""Whole answers of OpenAI's chat completions: `Answer` to bytes, and back.

What the conversation model doesn't know rides in `extra`: of the answer's start those of the body
(`openai`) and of the message (`openai.message`), of its stop those of the choice, of its metadata
those of the usage.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET

from craton.dialects.dialect import Stamp
from craton.dialects.members import BodyReader, Json, Wire, check_nesting, members, plain
from craton.dialects.openai_chat_errors import told_error, told_error_in
from craton.dialects.openai_chat_messages import (
    MESSAGE,
    read_tool_call,
    reasoning_block,
    write_tool_call,
)
from craton.dialects.openai_chat_parts import DIALECT, extra_of, own
from craton.dialects.openai_chat_wire import (
    AnswerBody,
    AnswerChoice,
    AnsweredCall,
    AnswerMessage,
    AnswerParts,
    Chunk,
    ChunkChoice,
    CustomToolCall,
    FunctionCall,
    FunctionToolCall,
    Logprobs,
    TextPart,
    ThinkingPart,
    ToolCall,
    UsageBody,
)
from craton.kernel.errors import BadRequest, EngineFailed
from craton.messages.blocks import (
    Block,
    CitedText,
    Extra,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolUse,
)
from craton.messages.events import (
    Answer,
    BlockKind,
    Choices,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
)
from craton.messages.usage import Usage

_ANSWERS: BodyReader[AnswerBody] = BodyReader(AnswerBody)
_encode = msgspec.json.Encoder().encode

FINISH_REASONS = {
    StopReason.END_TURN: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.TOOL_USE: "tool_calls",
    StopReason.MAX_TOKENS: "length",
    StopReason.CONTEXT_WINDOW_EXCEEDED: "length",
    StopReason.CONTENT_FILTERED: "content_filter",
    StopReason.GUARDRAIL_INTERVENED: "content_filter",
    StopReason.MALFORMED_MODEL_OUTPUT: "stop",
    StopReason.MALFORMED_TOOL_USE: "stop",
}
_STOP_REASONS = {
    "stop": StopReason.END_TURN,
    "length": StopReason.MAX_TOKENS,
    "tool_calls": StopReason.TOOL_USE,
    "function_call": StopReason.TOOL_USE,
    "content_filter": StopReason.CONTENT_FILTERED,
}
_BROKEN = ("abort", "error", "insufficient_system_resource")
"""Finish reasons of vLLM, SGLang and DeepSeek that say that the engine gave up."""


def answer_id(stamp: Stamp) -> str:
    """The wire's id of an answer, from Craton's id of the request."""
    return "chatcmpl-" + stamp.request_id.replace("-", "")


def finish_reason(stop: MessageStop) -> str:
    """Why it stopped, in the wire's words; one that this model doesn't know goes on as it came."""
    if stop.extra is not None and (came := own(stop.extra).get("finish_reason")):
        return came
    return FINISH_REASONS[stop.stop_reason]


def read_stop(choice: AnswerChoice | ChunkChoice) -> MessageStop:
    """Why an answer stopped; the upstream's own error where it says that it broke."""
    reason = choice.finish_reason or "stop"
    known = _STOP_REASONS.get(reason)
    if (
        known is not None
        and choice.rest is UNSET
        and choice.stop_reason is None
        and choice.token_ids is None
        and reason != "function_call"
    ):
        return MessageStop(stop_reason=known)
    if choice.rest is not UNSET and (error := told_error(members(choice))) is not None:
        raise error
    if reason in _BROKEN:
        raise EngineFailed(f"The upstream gave up on the answer: its finish_reason is {reason!r}.")
    rides: Json = dict(members(choice) or {})
    if known is None or reason == "function_call":
        rides["finish_reason"] = reason
    stop_reason = known or StopReason.END_TURN
    stop_sequence = None
    if choice.stop_reason is not None:
        rides["stop_reason"] = choice.stop_reason
        if isinstance(choice.stop_reason, str) and reason == "stop":
            stop_reason, stop_sequence = StopReason.STOP_SEQUENCE, choice.stop_reason
    if choice.token_ids is not None:
        rides["token_ids"] = choice.token_ids
    return MessageStop(
        stop_reason=stop_reason, stop_sequence=stop_sequence, extra=extra_of(rides or None)
    )


def read_start(body: AnswerBody | Chunk, message: Json) -> MessageStart:
    """How an answer begins, with what its body says beside it."""
    rides: Json = {} if body.rest is UNSET else dict(members(body) or {})
    if body.system_fingerprint is not None:
        rides["system_fingerprint"] = body.system_fingerprint
    if body.prompt_token_ids is not None:
        rides["prompt_token_ids"] = body.prompt_token_ids
    if type(body) is AnswerBody:
        if body.prompt_logprobs is not None:
            rides["prompt_logprobs"] = body.prompt_logprobs
        if body.kv_transfer_params is not None:
            rides["kv_transfer_params"] = body.kv_transfer_params
    if not rides and not message:
        return MessageStart(id=body.id, model=body.model)
    extra: Extra = {}
    if rides:
        extra[DIALECT] = rides
    if message:
        extra[MESSAGE] = message
    return MessageStart(id=body.id, model=body.model, extra=extra or None)


def read_metadata(usage: UsageBody | None, service_tier: str | None) -> Metadata:
    """What an answer used. An upstream that doesn't say can't be billed exactly: EngineFailed."""
    if usage is None:
        raise EngineFailed(
            "The upstream's answer came without usage. It has to send it, in a stream where "
            "stream_options.include_usage asks for it."
        )
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    prompt_tokens, output_tokens = usage.prompt_tokens, usage.completion_tokens
    if usage.total_tokens > prompt_tokens + output_tokens:
        prompt_tokens, output_tokens = _shares_of_total(usage)
    rides: Json = {} if usage.rest is UNSET else dict(members(usage) or {})
    read = written = reasoning = 0
    if prompt is not None:
        # An upstream that counts more cached tokens than it had would make a count negative.
        if prompt.cached_tokens:
            read = min(prompt.cached_tokens, prompt_tokens)
        if prompt.cache_write_tokens:
            written = min(prompt.cache_write_tokens, prompt_tokens - read)
        if prompt.rest is not UNSET or prompt.audio_tokens:
            _ride(rides, "prompt_tokens_details", prompt, ("cached_tokens", "cache_write_tokens"))
    if completion is not None:
        reasoning = completion.reasoning_tokens or 0
        if (
            completion.rest is not UNSET
            or completion.audio_tokens
            or completion.accepted_prediction_tokens
            or completion.rejected_prediction_tokens
        ):
            _ride(rides, "completion_tokens_details", completion, ("reasoning_tokens",))
    return Metadata(
        usage=Usage(
            input_tokens=prompt_tokens - read - written,
            output_tokens=output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
        ),
        service_tier=service_tier,
        extra=extra_of(rides) if rides else None,
    )


def _shares_of_total(usage: UsageBody) -> tuple[int, int]:
    """Prompt and generated tokens, where the total is more than the two together.

    The total is what the upstream bills. xAI and Gemini's compatible API leave out of
    `completion_tokens` what the model thought, so the rest was generated; how much of it was
    reasoning is only what the upstream itself says. Mistral leaves out of `prompt_tokens` what
    was sound: where it says how long that lasted, the rest was prompt.
    Sources: https://docs.x.ai/docs/key-information/consumption-and-rate-limits, and the recordings
    under tests/unit/models/recorded.
    """
    heard_s = (members(usage) or {}).get("prompt_audio_seconds")
    if isinstance(heard_s, int | float) and heard_s > 0:
        return usage.total_tokens - usage.completion_tokens, usage.completion_tokens
    return usage.prompt_tokens, usage.total_tokens - usage.prompt_tokens


def _ride(rides: Json, name: str, details: Wire, known: tuple[str, ...]) -> None:
    left = {
        key: value
        for key, value in plain(details).items()
        if key not in known and (value != 0 or key not in details.__struct_fields__)
    }
    if left:
        rides[name] = left


def write_usage(metadata: Metadata) -> Json:
    """What an answer used, in the wire's counts: the prompt's include what a cache served."""
    usage = metadata.usage
    prompt: Json = {"cached_tokens": usage.cache_read_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    completion: Json = {"reasoning_tokens": usage.reasoning_tokens}
    body: Json = {
        "prompt_tokens": (prompt_tokens := usage.prompt_tokens),
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
    if metadata.extra is not None:
        rides = own(metadata.extra)
        prompt |= rides.get("prompt_tokens_details", {})
        completion |= rides.get("completion_tokens_details", {})
        body = {**rides, **body}
    return body


def write_answer(answer: Answer, stamp: Stamp) -> bytes:
    """The body of a whole answer."""
    return _write([answer], answer.metadata, stamp)


def write_choices(choices: Choices, stamp: Stamp) -> bytes:
    """The body of several answers to one request."""
    return _write(choices.answers, choices.metadata, stamp)


def _write(answers: Sequence[Answer], metadata: Metadata, stamp: Stamp) -> bytes:
    body: Json = {
        "id": answer_id(stamp),
        "object": "chat.completion",
        "created": stamp.created_s,
        "model": stamp.model,
        "choices": [_write_choice(index, answer) for index, answer in enumerate(answers)],
        "usage": write_usage(metadata),
    }
    if metadata.service_tier is not None:
        body["service_tier"] = metadata.service_tier
    if (extra := answers[0].start.extra) is not None:
        _add(body, own(extra))
    return _encode(body)


def _write_choice(index: int, answer: Answer) -> Json:
    message, logprobs = _write_message(answer.content)
    choice: Json = {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": finish_reason(answer.stop),
    }
    if answer.stop.extra is not None:
        _add(choice, own(answer.stop.extra))
    if (extra := answer.start.extra) is not None and MESSAGE in extra:
        _add(message, extra[MESSAGE])
    return choice


def _add(document: Json, rides: Json) -> None:
    for name, value in rides.items():
        if document.get(name) is None:
            document[name] = value


def _write_message(content: Sequence[Block]) -> tuple[Json, Json | None]:
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    if len(content) == 1 and type(block := content[0]) is Text and not block.logprobs:
        message["content"] = block.text  # what nearly every answer is
        return message, None
    text: str | None = None
    calls: list[Json] = []
    logprobs: Json | None = None
    for block in content:
        match block:
            case Text():
                text = block.text if text is None else text + block.text
            case ToolUse() if not block.server:
                calls.append(write_tool_call(block))
            case Reasoning():
                name = "reasoning" if own(block.extra).get("reasoning") else "reasoning_content"
                message[name] = message.get(name, "") + (block.text or "")
            case CitedText():
                text = (text or "") + "".join(block.passages)
            case Refusal():
                message["refusal"] = (message["refusal"] or "") + block.text
            case Opaque(dialect="openai", kind="delta"):
                _add_deltas(message, block.value)
            case _:
                continue  # what this wire has no word for, such as a server tool's steps
        if isinstance(block, Text | Refusal) and block.logprobs:
            logprobs = {"content": None, "refusal": None} if logprobs is None else logprobs
            kind = "refusal" if isinstance(block, Refusal) else "content"
            logprobs[kind] = (logprobs[kind] or []) + block.logprobs
    message["content"] = text
    if calls:
        message["tool_calls"] = calls
    return message, logprobs


def _add_deltas(message: Json, value: Any) -> None:  # noqa: ANN401 - an opaque block's value
    deltas = value.get("deltas", []) if isinstance(value, dict) else []  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    for delta in deltas:  # pyright: ignore[reportUnknownVariableType] - JSON
        _add(message, delta)  # pyright: ignore[reportUnknownArgumentType] - JSON


def read_answer(body: bytes) -> Answer:
    """Read the body of a whole answer.

    EngineFailed where it isn't one; the upstream's own error where that is what the body tells.
    """
    try:
        wire = _ANSWERS.read(body)
        check_nesting(body)
    except BadRequest as error:
        raise told_error_in(body) or _unreadable(error.message) from None
    if wire.rest is not UNSET and (told := told_error(members(wire))) is not None:
        raise told
    if len(wire.choices) != 1:
        raise EngineFailed(f"The upstream sent {len(wire.choices)} choices where one was due.")
    choice = wire.choices[0]
    stop = read_stop(choice)
    rides: Json = {}
    if choice.message is not None:
        content = _read_content(choice.message, choice.logprobs, rides)
    elif stop.stop_reason is StopReason.CONTENT_FILTERED:
        content: list[Block] = []
    else:
        raise _unreadable("`choices[0].message`: is required and missing.")
    return Answer(
        start=read_start(wire, rides),
        content=content,
        stop=stop,
        metadata=read_metadata(wire.usage, wire.service_tier),
    )


def _unreadable(what: str) -> EngineFailed:
    return EngineFailed(f"The upstream's answer can't be read: {what}")


def _read_content(message: AnswerMessage, logprobs: Logprobs | None, rides: Json) -> list[Block]:
    content: list[Block] = []
    if message.reasoning_content is not None or message.reasoning is not None:
        block = reasoning_block(message.reasoning_content, message.reasoning)
        content += [] if block is None else [block]
    said = message.content
    if type(said) is str:
        came = logprobs.content if logprobs is not None else None
        content.append(Text(text=said, logprobs=came or None))
    elif isinstance(said, list):
        content += _read_parts(said)
    if message.refusal is not None:
        came = logprobs.refusal if logprobs is not None else None
        content.append(Refusal(text=message.refusal, logprobs=came or None))
    if message.tool_calls:
        content += [_read_call(call) for call in message.tool_calls]
    if (
        message.annotations
        or message.audio is not None
        or message.function_call is not None
        or message.rest is not UNSET
    ):
        _read_rides(message, rides)
    return content


def pieces_of(parts: AnswerParts) -> Iterator[tuple[BlockKind, str]]:
    """The text and the reasoning of a content that is a list, in order.

    Parts of other kinds are passed over: Mistral's references to documents are the only ones that
    its API has in an answer, and the conversation model has no place for them.
    """
    for part in parts:
        match part:
            case TextPart(text=text) if text:
                yield BlockKind.TEXT, text
            case ThinkingPart(thinking=thinking):
                thought = [each.text for each in thinking if isinstance(each, TextPart)]
                if text := "".join(thought):
                    yield BlockKind.REASONING, text
            case _:
                pass


def _read_parts(parts: AnswerParts) -> list[Block]:
    blocks: list[Block] = []
    for kind, pieces in groupby(pieces_of(parts), key=itemgetter(0)):
        text = "".join(piece for _, piece in pieces)
        blocks.append(Text(text=text) if kind is BlockKind.TEXT else Reasoning(text=text))
    return blocks


def _read_call(call: AnsweredCall) -> ToolUse:
    """A tool call; without arguments it has none, which are `{}` to whoever reads them as JSON."""
    whole: ToolCall
    if call.type == "custom" and call.custom is not None:
        whole = CustomToolCall(id=call.id, custom=call.custom, rest=call.rest)
    elif call.type in (None, "function") and (function := call.function) is not None:
        arguments = "{}" if function.arguments is None else function.arguments
        inner = FunctionCall(name=function.name, arguments=arguments, rest=function.rest)
        whole = FunctionToolCall(id=call.id, function=inner, rest=call.rest)
    else:
        raise _unreadable(f"a tool call of type {call.type!r} doesn't hold what that has to.")
    try:
        return read_tool_call(whole)
    except BadRequest as error:
        raise _unreadable(error.message) from None


def _read_rides(message: AnswerMessage, rides: Json) -> None:
    if message.annotations:
        rides["annotations"] = message.annotations
    if message.audio is not None:
        rides["audio"] = message.audio
    if message.function_call is not None:
        rides["function_call"] = message.function_call
    if message.rest is not UNSET:
        rides |= members(message) or {}
