"""Streamed answers of Anthropic's messages: events to frames, and back.

The stream is `message_start`, each block's start, deltas and stop, `message_delta` with the stop
reason and the usage, and `message_stop`. The last two tell a client that the answer is complete:
they are written only when `Metadata` comes.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from craton.dialects import anthropic_messages_wire as wire
from craton.dialects.anthropic_messages_answer import (
    answer_id,
    read_metadata,
    read_start,
    read_stop,
    read_usage,
    stop_reason,
    write_metadata,
    write_usage,
)
from craton.dialects.anthropic_messages_blocks import opaque, redacted_text
from craton.dialects.anthropic_messages_citations import (
    DIALECT,
    extra_of,
    own,
    read_citation,
    write_citation,
)
from craton.dialects.anthropic_messages_errors import error_body, error_of
from craton.dialects.dialect import Stamp
from craton.dialects.members import BodyReader, Json, UnknownKind, check_nesting, members, plain
from craton.dialects.sse import FrameParser
from craton.kernel.errors import BadRequest, CratonError, EngineFailed
from craton.messages.blocks import Extra
from craton.messages.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    CitationDelta,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    OpaqueDelta,
    ReasoningDelta,
    TextDelta,
    ToolInputDelta,
)
from craton.messages.usage import Usage

_FRAMES: BodyReader[Any] = BodyReader(wire.StreamFrame)
_encode = msgspec.json.encode


def _frame(name: str, body: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode({"type": name, **body}))


class FrameWriter:
    """Writes one answer's events as frames.

    Blocks are numbered anew, since a block that this wire has no word for is left out.
    """

    __slots__ = ("_index", "_open", "_stamp", "_stop", "_text_head", "_waiting")

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._index = -1
        self._open = False  # whether the block that events speak of is one this wire has
        self._waiting: BlockStart | None = None  # reasoning whose first delta tells its form
        self._stop: MessageStop | None = None
        self._text_head = b""

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        if type(event) is TextDelta and event.extra is None:
            return b"".join((self._text_head, _encode(event.text), b"}}\n\n"))
        match event:
            case BlockStart():
                return self._begin_block(event)
            case BlockStop():
                return self._end_block()
            case MessageStart():
                return self._begin(event)
            case MessageStop():
                self._stop = event
                return b""
            case Metadata():
                return self._end(event)
            case _:
                return self._write_delta(event) if self._open else b""

    def _begin(self, event: MessageStart) -> bytes:
        message: Json = {
            "id": answer_id(self._stamp),
            "type": "message",
            "role": "assistant",
            "model": self._stamp.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage or Usage()),
        }
        for name, value in own(event.extra).items():
            message.setdefault(name, value)
        return _frame("message_start", {"message": message})

    def _begin_block(self, event: BlockStart) -> bytes:
        self._open = True
        match event.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                block: Json = {"type": "text", "text": ""}
            case BlockKind.TOOL_USE:
                kind = "server_tool_use" if event.server else "tool_use"
                block = {"type": kind, "id": event.tool_use_id, "name": event.name, "input": {}}
            case BlockKind.REASONING:
                self._waiting = event
                return b""
            case BlockKind.OPAQUE if event.format == DIALECT:
                block = event.value
            case _:
                self._open = False
                return b""
        return self._start(block, event.extra)

    def _start(self, block: Json, extra: Extra | None) -> bytes:
        self._index += 1
        self._text_head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":' % self._index
        )
        block = {**own(extra), **block}
        return _frame("content_block_start", {"index": self._index, "content_block": block})

    def _end_block(self) -> bytes:
        if not self._open:
            return b""
        began = self._begin_reasoning() if self._waiting is not None else b""
        self._open = False
        return began + _frame("content_block_stop", {"index": self._index})

    def _begin_reasoning(self, redacted: bytes | None = None) -> bytes:
        assert self._waiting is not None
        extra, self._waiting = self._waiting.extra, None
        if redacted is not None:
            return self._start(
                {"type": "redacted_thinking", "data": redacted_text(redacted)}, extra
            )
        return self._start({"type": "thinking", "thinking": "", "signature": ""}, extra)

    def _write_delta(self, event: Event) -> bytes:
        began = b""
        match event:
            case TextDelta():
                delta: Json = {"type": "text_delta", "text": event.text}
            case ToolInputDelta():
                delta = {"type": "input_json_delta", "partial_json": event.json}
            case ReasoningDelta():
                if self._waiting is not None:
                    began = self._begin_reasoning(event.redacted)
                if event.redacted is not None:
                    return began
                if event.text is not None:
                    delta = {"type": "thinking_delta", "thinking": event.text}
                else:
                    delta = {"type": "signature_delta", "signature": event.signature or ""}
            case CitationDelta():
                delta = {"type": "citations_delta", "citation": write_citation(event.citation)}
            case OpaqueDelta():
                delta = event.value
            case _:
                return b""
        delta = {**own(event.extra), **delta}
        return began + _frame("content_block_delta", {"index": self._index, "delta": delta})

    def _end(self, event: Metadata) -> bytes:
        assert self._stop is not None, "Metadata came before MessageStop"
        delta: Json = {
            "stop_reason": stop_reason(self._stop),
            "stop_sequence": self._stop.stop_sequence,
        }
        delta = {**own(self._stop.extra), **delta}
        body = {"delta": delta, "usage": write_metadata(event)}
        return _frame("message_delta", body) + _frame("message_stop", {})

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        return b"event: error\ndata: %b\n\n" % _encode(error_body(error, self._stamp.request_id))


class FrameReader:
    """Reads frames as they come and yields events."""

    __slots__ = ("_done", "_error", "_index", "_kind", "_parser", "_stop", "_usage")

    def __init__(self) -> None:
        self._parser = FrameParser()
        self._error: CratonError | None = None
        self._index = -1
        self._kind: BlockKind | None = None  # of the open block
        self._usage: wire.UsageBody | None = None  # None until the answer began
        self._stop = False
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes."""
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        try:
            for _, body in self._parser.feed(data):
                if not self._done:
                    self._read(body, events)
        except CratonError as error:
            # What came before the failure is handed over first; the next call raises.
            if not events:
                raise
            self._error = error
        return events

    def close(self) -> list[Event]:
        """The connection ended: nothing is due after a whole answer, else EngineFailed."""
        if self._error is not None:
            raise self._error
        if not self._done:
            raise EngineFailed("The upstream's stream ended before the answer was whole.")
        return []

    def _read(self, body: bytes, events: list[Event]) -> None:
        try:
            frame = _FRAMES.read(body)
            check_nesting(body)
        except BadRequest as error:
            raise EngineFailed(f"The upstream's stream can't be read: {error.message}") from None
        match frame:
            case wire.BlockDeltaFrame():
                self._read_delta(frame, events)
            case wire.BlockStartFrame():
                self._begin_block(frame, events)
            case wire.BlockStopFrame():
                self._need_open()
                self._kind = None
                events.append(BlockStop(index=self._index))
            case wire.MessageStartFrame():
                self._begin(frame.message, events)
            case wire.MessageDeltaFrame():
                self._read_stop(frame, events)
            case wire.MessageStopFrame():
                self._end(events)
            case wire.ErrorFrame():
                raise error_of(200, frame.error.type, frame.error.message)
            case _:
                pass  # a ping, or a frame of a kind that is new

    def _begin(self, message: wire.AnswerBody, events: list[Event]) -> None:
        if self._usage is not None:
            raise EngineFailed("The upstream began its answer twice.")
        self._usage = message.usage
        counts = message.usage
        known = counts.input_tokens is not None and counts.output_tokens is not None
        events.append(read_start(message, read_usage(counts) if known else None))

    def _begin_block(self, frame: wire.BlockStartFrame, events: list[Event]) -> None:
        if self._usage is None or self._kind is not None:
            raise EngineFailed("The upstream began a block out of turn.")
        self._index += 1
        index, block = self._index, frame.content_block
        match block:
            case wire.TextBlock():
                self._kind = BlockKind.TEXT
                events.append(BlockStart(index=index, extra=extra_of(members(block))))
                if block.text:
                    events.append(TextDelta(index=index, text=block.text))
                events += [
                    CitationDelta(index=index, citation=read_citation(citation))
                    for citation in block.citations or ()
                ]
            case wire.ThinkingBlock():
                self._begin_reasoning(block, events)
                if block.thinking:
                    events.append(ReasoningDelta(index=index, text=block.thinking))
                if block.signature:
                    events.append(ReasoningDelta(index=index, signature=block.signature))
            case wire.RedactedThinkingBlock():
                self._begin_reasoning(block, events)
                events.append(ReasoningDelta(index=index, redacted=block.data.encode()))
            case wire.ToolUseBlock() | wire.ServerToolUseBlock():
                self._begin_tool_use(block, events)
            case _:
                self._kind = BlockKind.OPAQUE
                came = opaque(block)
                events.append(
                    BlockStart(
                        index=index,
                        kind=BlockKind.OPAQUE,
                        format=DIALECT,
                        name=came.kind,
                        value=came.value,
                    )
                )

    def _begin_reasoning(
        self, block: wire.ThinkingBlock | wire.RedactedThinkingBlock, events: list[Event]
    ) -> None:
        self._kind = BlockKind.REASONING
        extra = extra_of(members(block))
        events.append(BlockStart(index=self._index, kind=BlockKind.REASONING, extra=extra))

    def _begin_tool_use(
        self, block: wire.ToolUseBlock | wire.ServerToolUseBlock, events: list[Event]
    ) -> None:
        self._kind = BlockKind.TOOL_USE
        events.append(
            BlockStart(
                index=self._index,
                kind=BlockKind.TOOL_USE,
                tool_use_id=block.id,
                name=block.name,
                server=isinstance(block, wire.ServerToolUseBlock),
                extra=extra_of(members(block)),
            )
        )
        if block.input:
            events.append(ToolInputDelta(index=self._index, json=_encode(block.input).decode()))

    def _need_open(self) -> None:
        if self._kind is None:
            raise EngineFailed("The upstream sent more of a block that was not open.")

    def _read_delta(self, frame: wire.BlockDeltaFrame, events: list[Event]) -> None:
        delta = frame.delta
        index = self._index
        if type(delta) is wire.TextDelta and self._kind is BlockKind.TEXT and delta.rest is UNSET:
            events.append(TextDelta(index=index, text=delta.text))
            return
        self._need_open()
        kind = self._kind
        extra = None if isinstance(delta, UnknownKind) else extra_of(members(delta))
        match delta:
            case wire.TextDelta() if kind is BlockKind.TEXT:
                events.append(TextDelta(index=index, text=delta.text, extra=extra))
            case wire.InputJsonDelta() if kind is BlockKind.TOOL_USE:
                if delta.partial_json or extra:
                    events.append(ToolInputDelta(index=index, json=delta.partial_json, extra=extra))
            case wire.ThinkingDelta() if kind is BlockKind.REASONING:
                events.append(ReasoningDelta(index=index, text=delta.thinking, extra=extra))
            case wire.SignatureDelta() if kind is BlockKind.REASONING:
                events.append(ReasoningDelta(index=index, signature=delta.signature, extra=extra))
            case wire.CitationsDelta() if kind is BlockKind.TEXT:
                citation = read_citation(delta.citation)
                events.append(CitationDelta(index=index, citation=citation, extra=extra))
            case _:
                events.append(OpaqueDelta(index=index, value=plain(delta)))

    def _read_stop(self, frame: wire.MessageDeltaFrame, events: list[Event]) -> None:
        if self._usage is None or self._kind is not None:
            raise EngineFailed("The upstream ended its answer out of turn.")
        if frame.usage is not None:
            self._usage = _merged(self._usage, frame.usage)
        if frame.delta.stop_reason is not None and not self._stop:
            self._stop = True
            events.append(read_stop(frame.delta))

    def _end(self, events: list[Event]) -> None:
        if self._usage is None or not self._stop:
            raise EngineFailed("The upstream's stream ended without a stop_reason.")
        self._done = True
        events.append(read_metadata(self._usage))


def _merged(start: wire.UsageBody, end: wire.UsageBody) -> wire.UsageBody:
    """The usage at the end: its counts are cumulative, and what it leaves out stands as it was."""
    for name in end.__struct_fields__:
        value = getattr(end, name)
        if value is not None and value is not UNSET:
            setattr(start, name, value)
    return start
