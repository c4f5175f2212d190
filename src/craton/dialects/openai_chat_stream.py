"""Streamed answers of OpenAI's chat completions: events to chunks, and back.

The stream is a chunk with the role, chunks with more of the message, a chunk with the finish
reason, one with the usage where the request asked for it, and `[DONE]`. The last three tell a
client that the answer is complete: they are written only when `Metadata` comes.
"""

from typing import Any, cast

import msgspec
from msgspec import UNSET

from craton.dialects.dialect import Stamp
from craton.dialects.members import BodyReader, Json, check_nesting, members
from craton.dialects.openai_chat_answer import (
    answer_id,
    finish_reason,
    pieces_of,
    read_metadata,
    read_start,
    read_stop,
    write_usage,
)
from craton.dialects.openai_chat_errors import error_body, told_error, told_error_in
from craton.dialects.openai_chat_messages import MESSAGE
from craton.dialects.openai_chat_parts import DIALECT, extra_of, own
from craton.dialects.openai_chat_wire import (
    AnswerParts,
    Chunk,
    ChunkChoice,
    Delta,
    Logprobs,
    ToolCallDelta,
    UsageBody,
)
from craton.dialects.sse import FrameParser
from craton.kernel.errors import BadRequest, CratonError, EngineFailed
from craton.messages.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    ChoiceEvent,
    CitationDelta,
    Event,
    ImageDelta,
    MessageStart,
    MessageStop,
    Metadata,
    OpaqueDelta,
    ReasoningDelta,
    TextDelta,
    ToolInputDelta,
    ToolResultDelta,
)
from craton.messages.request import Request

_CHUNKS: BodyReader[Chunk] = BodyReader(Chunk)
_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"
_UNFRAMED_BYTES_MAX = 64 * 1024
"""What is kept of an answer that hasn't begun as a stream; an error's body is far smaller."""


class ChunkWriter:
    """Writes one answer's events as chunks.

    What all chunks of a stream share is encoded once; a chunk of text is that, its text and a tail.
    """

    __slots__ = (
        "_choice",
        "_head",
        "_kinds",
        "_opening",
        "_stamp",
        "_stop",
        "_tail",
        "_tools",
    )
    _stop: MessageStop | None

    def __init__(self, request: Request, stamp: Stamp, choice: int = 0) -> None:
        self._stamp = stamp
        self._choice = choice
        self._opening = b'{"index":%d,"delta":{"' % choice
        self._head = b""
        self._tail = b"}\n\n"
        self._kinds: dict[int, BlockStart] = {}
        self._tools = -1
        self._stop = None
        self._frame({}, b',"usage":null}\n\n' if request.stream_usage else b"}\n\n")

    def _frame(self, shared: Json, tail: bytes) -> None:
        body: Json = {
            "id": answer_id(self._stamp),
            "object": "chat.completion.chunk",
            "created": self._stamp.created_s,
            "model": self._stamp.model,
        }
        for name, value in shared.items():
            body.setdefault(name, value)
        self._head = b"data: " + _encode(body)[:-1] + b',"choices":['
        self._tail = tail

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        if type(event) is TextDelta and event.extra is None and event.logprobs is None:
            kind = self._kinds[event.index].kind
            name = b"refusal" if kind is BlockKind.REFUSAL else b"content"
            return b"".join(
                (
                    self._head,
                    self._opening,
                    name,
                    b'":',
                    _encode(event.text),
                    b'},"logprobs":null,"finish_reason":null}]',
                    self._tail,
                )
            )
        match event:
            case MessageStart():
                return self._begin(event)
            case BlockStart():
                self._kinds[event.index] = event
                return self._begin_block(event)
            case BlockStop():
                return b""
            case MessageStop():
                self._stop = event
                return b""
            case Metadata():
                return self._end(event)
            case _:
                return self._write_delta(event)

    def _begin(self, event: MessageStart) -> bytes:
        message: Json = {}
        if event.extra is not None:
            self._frame(own(event.extra), self._tail)
            message = event.extra.get(MESSAGE, {})
        return self._chunk({"role": "assistant", "content": "", "refusal": None, **message})

    def _begin_block(self, event: BlockStart) -> bytes:
        if event.kind is BlockKind.OPAQUE and event.format == DIALECT:
            value: Any = event.value
            return self._chunk(cast("Json", value)) if isinstance(value, dict) else b""
        if event.kind is not BlockKind.TOOL_USE or event.server:
            return b""
        self._tools += 1
        form = own(event.extra)
        call: Json = {
            "index": self._tools,
            "id": event.tool_use_id,
            "type": "function",
            "function": {"name": event.name, "arguments": "", **form.get("function", {})},
        }
        for name, value in form.items():
            if name not in ("function", "arguments", "type", "custom"):
                call[name] = value
        return self._chunk({"tool_calls": [call]})

    def _write_delta(self, event: Event) -> bytes:
        delta: Json
        match event:
            case TextDelta():
                is_refusal = self._kinds[event.index].kind is BlockKind.REFUSAL
                kind = "refusal" if is_refusal else "content"
                delta = {kind: event.text}
                if event.logprobs is not None:
                    logprobs = {"content": None, "refusal": None, kind: event.logprobs}
                    return self._chunk({**own(event.extra), **delta}, logprobs)
            case ToolInputDelta():
                if self._kinds[event.index].server:
                    return b""
                call = {"index": self._tools, "function": {"arguments": event.json}}
                delta = {"tool_calls": [call]}
            case ReasoningDelta():
                if event.text is None:  # this wire has no word for signatures
                    return b""
                is_short = own(self._kinds[event.index].extra).get("reasoning")
                delta = {"reasoning" if is_short else "reasoning_content": event.text}
            case OpaqueDelta():
                if self._kinds[event.index].format != DIALECT:
                    return b""
                delta = event.value
            case CitationDelta() | ToolResultDelta() | ImageDelta():
                return b""
            case _:
                raise AssertionError(f"an event of type {type(event).__name__}")
        return self._chunk({**own(event.extra), **delta})

    def _chunk(self, delta: Json, logprobs: Json | None = None) -> bytes:
        choice = {
            "index": self._choice,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": None,
        }
        return self._head + _encode(choice) + b"]" + self._tail

    def _end(self, event: Metadata) -> bytes:
        return self.end_choice(event) + self.end_stream(event)

    def end_choice(self, event: Metadata) -> bytes:
        """The chunk that says why this answer stopped."""
        assert self._stop is not None, "Metadata came before MessageStop"
        choice: Json = {
            "index": self._choice,
            "delta": {},
            "logprobs": None,
            "finish_reason": finish_reason(self._stop),
        }
        choice = {**own(self._stop.extra), **choice}
        return b"".join((self._head, _encode(choice), b"]", _tier(event), self._tail))

    def end_stream(self, event: Metadata) -> bytes:
        """The chunk that says what was used, if it was asked for, and the end."""
        if not self._tail.startswith(b',"usage"'):
            return _DONE
        usage = _encode(write_usage(event))
        return b"".join((self._head, b"]", _tier(event), b',"usage":', usage, b"}\n\n", _DONE))

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        return b"data: " + _encode(error_body(error)) + b"\n\n"


def _tier(event: Metadata) -> bytes:
    return b"" if event.service_tier is None else b',"service_tier":' + _encode(event.service_tier)


class ChoicesWriter:
    """Writes the events of several answers as chunks, each with its answer's index."""

    def __init__(self, request: Request, stamp: Stamp) -> None:
        count = request.choices or 1
        self._writers = [ChunkWriter(request, stamp, choice) for choice in range(count)]
        self._ended: list[Metadata | None] = [None] * count

    def write(self, event: ChoiceEvent | Metadata) -> bytes:
        """The frames of one event; what tells that answers are complete comes from `Metadata`."""
        if type(event) is ChoiceEvent:
            if type(event.event) is Metadata:
                self._ended[event.choice] = event.event
                return b""
            return self._writers[event.choice].write(event.event)
        assert type(event) is Metadata, "the answers are over"
        frames = [
            writer.end_choice(metadata)
            for writer, metadata in zip(self._writers, self._ended, strict=True)
            if metadata is not None
        ]
        return b"".join([*frames, self._writers[0].end_stream(event)])

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        return self._writers[0].write_error(error)


class ChunkReader:
    """Reads chunks as they come and yields events.

    vLLM and SGLang repeat the usage so far in every chunk when asked to: the last one counts.
    """

    __slots__ = (
        "_error",
        "_index",
        "_kind",
        "_parser",
        "_state",
        "_stop",
        "_tier",
        "_tool",
        "_unframed",
        "_usage",
    )

    def __init__(self) -> None:
        self._parser = FrameParser()
        self._error: CratonError | None = None
        self._state = "new"  # then open, and done
        self._index = -1
        self._kind: BlockKind | None = None  # of the open block
        self._tool = -1
        self._stop: MessageStop | None = None
        self._usage: UsageBody | None = None
        self._tier: str | None = None
        self._unframed = b""  # what came before the first chunk: the error instead of a stream

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes."""
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        try:
            for name, body in self._parser.feed(data):
                if self._state != "done":
                    self._read(name, body, events)
        except CratonError as error:
            # What came before the failure is handed over first; the next call raises.
            if not events:
                raise
            self._error = error
        if not events and self._state == "new" and len(self._unframed) < _UNFRAMED_BYTES_MAX:
            self._unframed += data
        return events

    def close(self) -> list[Event]:
        """The connection ended: the events still due, or EngineFailed if the answer isn't whole."""
        if self._error is not None:
            raise self._error
        if self._state == "done":
            return []
        if self._state == "new" and (told := told_error_in(self._unframed)) is not None:
            raise told
        if self._stop is None or self._usage is None:
            raise EngineFailed("The upstream's stream ended before the answer was whole.")
        events: list[Event] = []  # whole, though the upstream left out [DONE]
        self._finish(events)
        return events

    def _read(self, name: bytes, body: bytes, events: list[Event]) -> None:
        if body == b"[DONE]":
            self._finish(events)
            return
        try:
            chunk = _CHUNKS.read(body)
            choices = chunk.choices
            if self._kind is BlockKind.TEXT and len(choices) == 1 and chunk.usage is None:
                choice = choices[0]
                delta = choice.delta
                content = delta.content
                if (
                    content
                    and type(content) is str
                    and choice.finish_reason is None
                    and choice.logprobs is None
                    and delta.rest is UNSET
                    and chunk.rest is UNSET
                    and not delta.tool_calls
                    and delta.reasoning_content is None
                    and delta.reasoning is None
                    and delta.refusal is None
                    and delta.function_call is None
                    and choice.index == 0
                ):
                    # What nearly every chunk is; the general way gives the same.
                    events.append(TextDelta(index=self._index, text=content))
                    return
            check_nesting(body)
        except BadRequest as unreadable:
            raise told_error_in(body) or EngineFailed(
                f"The upstream's stream can't be read: {unreadable.message}"
            ) from None
        told = None if chunk.rest is UNSET else told_error(members(chunk))
        if told is not None or name == b"error":
            raise told or EngineFailed("The upstream's stream failed.")
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.service_tier is not None:
            self._tier = chunk.service_tier
        if self._state == "new":
            self._state = "open"
            delta = chunk.choices[0].delta if chunk.choices else None
            start = read_start(chunk, {})
            first = (members(delta) if delta is not None else None) or {}
            if first and delta is not None:
                start = msgspec.structs.replace(
                    start, extra={**(start.extra or {}), MESSAGE: first}
                )
                delta.rest = UNSET
            events.append(start)
        for choice in chunk.choices:
            if choice.index != 0:
                raise EngineFailed("The upstream sent a second choice where one was asked for.")
            self._read_choice(choice, events)

    def _read_choice(self, choice: ChunkChoice, events: list[Event]) -> None:
        delta = choice.delta
        logprobs = choice.logprobs
        rides = members(delta)
        content = delta.content
        thinks = delta.reasoning_content or delta.reasoning
        if isinstance(content, list):
            self._read_parts(content, events)
        # vLLM tells logprobs of calls and of reasoning as well, which aren't text.
        elif content or (
            logprobs is not None and logprobs.content and not (delta.tool_calls or thinks)
        ):
            self._open(BlockKind.TEXT, events)
            events.append(_text(self._index, content, logprobs, "content"))
        if thinks:
            self._read_reasoning(delta, events)
        if delta.refusal or (logprobs is not None and logprobs.refusal):
            self._open(BlockKind.REFUSAL, events)
            events.append(_text(self._index, delta.refusal, logprobs, "refusal"))
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._read_tool_call(call, events)
        if delta.function_call is not None:
            rides = {**(rides or {}), "function_call": delta.function_call}
        if rides is not None:
            self._ride(rides, events)
        if choice.finish_reason is not None and self._stop is None:
            self._close_block(events)
            self._stop = read_stop(choice)
            events.append(self._stop)

    def _ride(self, rides: Json, events: list[Event]) -> None:
        """Members that aren't known: on the event of their chunk, or in a block of their own."""
        last = events[-1] if events else None
        if isinstance(last, TextDelta) and last.extra is None:
            events[-1] = msgspec.structs.replace(last, extra=extra_of(rides))
            return
        self._open(BlockKind.OPAQUE, events)
        events.append(OpaqueDelta(index=self._index, value=rides))

    def _read_parts(self, parts: AnswerParts, events: list[Event]) -> None:
        for kind, text in pieces_of(parts):
            self._open(kind, events)
            delta = TextDelta if kind is BlockKind.TEXT else ReasoningDelta
            events.append(delta(index=self._index, text=text))

    def _read_reasoning(self, delta: Delta, events: list[Event]) -> None:
        text = delta.reasoning_content or delta.reasoning
        is_short = delta.reasoning_content is None
        self._open(BlockKind.REASONING, events, {"reasoning": True} if is_short else None)
        events.append(ReasoningDelta(index=self._index, text=text))

    def _read_tool_call(self, call: ToolCallDelta, events: list[Event]) -> None:
        function = call.function
        if call.index != self._tool or self._kind is not BlockKind.TOOL_USE:
            if call.index <= self._tool:
                raise EngineFailed("The upstream went back to a tool call that it had ended.")
            self._close_block(events)
            self._tool = call.index
            self._index += 1
            self._kind = BlockKind.TOOL_USE
            inner = members(function) if function is not None else None
            events.append(
                BlockStart(
                    index=self._index,
                    kind=BlockKind.TOOL_USE,
                    tool_use_id=call.id,
                    name=function.name if function is not None else None,
                    extra=extra_of(members(call), {"function": inner} if inner else None),
                )
            )
        if function is not None and function.arguments:
            events.append(ToolInputDelta(index=self._index, json=function.arguments))

    def _open(self, kind: BlockKind, events: list[Event], form: Json | None = None) -> None:
        if self._kind is kind:
            return
        self._close_block(events)
        self._index += 1
        self._kind = kind
        if kind is BlockKind.OPAQUE:
            start = BlockStart(index=self._index, kind=kind, format=DIALECT, name="delta")
        else:
            start = BlockStart(index=self._index, kind=kind, extra=extra_of(None, form))
        events.append(start)

    def _close_block(self, events: list[Event]) -> None:
        if self._kind is not None:
            self._kind = None
            events.append(BlockStop(index=self._index))

    def _finish(self, events: list[Event]) -> None:
        if self._stop is None:
            raise EngineFailed("The upstream's stream ended without a finish_reason.")
        events.append(read_metadata(self._usage, self._tier))
        self._state = "done"


def _text(index: int, text: str | None, logprobs: Logprobs | None, kind: str) -> TextDelta:
    if logprobs is None:
        return TextDelta(index=index, text=text or "")
    came: list[Any] | None = logprobs.content if kind == "content" else logprobs.refusal
    return TextDelta(index=index, text=text or "", logprobs=came or None)
