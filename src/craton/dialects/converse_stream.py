"""ConverseStream's events, both ways: `messages` events to event-stream frames, and back.

Text and reasoning blocks have no `contentBlockStart` on this wire: their first delta opens them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from craton.dialects.converse_answer import (
    read_metadata,
    read_role,
    read_stop_reason,
    write_metadata,
)
from craton.dialects.converse_blocks import (
    SERVER_TOOL_USE,
    read_citation,
    read_tool_result_part,
    write_citation,
    write_tool_result_part,
)
from craton.dialects.converse_errors import read_stream_error, stream_error
from craton.dialects.converse_media import read_image, write_image
from craton.dialects.converse_members import (
    DIALECT,
    NOT_CONVERSE,
    Members,
    only_member,
    optional,
    read_blob,
    rest,
    with_rest,
)
from craton.dialects.eventstream import Frame, FrameReader, write_event, write_exception
from craton.kernel.errors import CratonError, EngineFailed, Unsupported
from craton.messages.events import (
    BlockKind,
    BlockStart,
    BlockStop,
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

_encode = msgspec.json.Encoder().encode
_DELTA = "contentBlockDelta"


class ConverseStreamWriter:
    """Writes one answer's events as frames; `metadata`, the last, comes from `Metadata` alone."""

    def write(self, event: Event) -> bytes:
        """The frames of one event; none for the start of a text or reasoning block."""
        if type(event) is TextDelta and event.extra is None:
            # Nearly every event is this one.
            text = _encode(event.text)
            return write_event(
                _DELTA, b'{"delta":{"text":%b},"contentBlockIndex":%d}' % (text, event.index)
            )
        return _WRITERS[type(event)](event)

    def write_error(self, error: CratonError) -> bytes:
        """The exception frame that ends a stream which had begun and then failed."""
        exception_type, document = stream_error(error)
        return write_exception(exception_type, _encode(document))


def _frame(event_type: str, document: Members, event: Event) -> bytes:
    return write_event(event_type, _encode(with_rest(document, event.extra)))


def _delta(event: Any, delta: Members) -> bytes:  # noqa: ANN401 - any delta: each has an index
    return _frame(_DELTA, {"delta": delta, "contentBlockIndex": event.index}, event)


def _write_start(event: BlockStart) -> bytes:
    match event.kind:
        case BlockKind.TEXT | BlockKind.REASONING | BlockKind.REFUSAL:
            return b""
        case BlockKind.TOOL_USE:
            start: Members = {
                "toolUse": optional(
                    toolUseId=event.tool_use_id or "",
                    name=event.name or "",
                    type=SERVER_TOOL_USE if event.server else None,
                )
            }
        case BlockKind.TOOL_RESULT:
            result = optional(toolUseId=event.tool_use_id, type=event.name, status=event.status)
            start = {"toolResult": result}
        case BlockKind.IMAGE:
            start = {"image": optional(format=event.format)}
        case BlockKind.OPAQUE:
            if event.format != DIALECT:
                raise Unsupported(
                    f"The {event.format} block {event.name!r} has no form in Converse."
                )
            if event.value is None:
                return b""
            start = {event.name or "": event.value}
    return _frame("contentBlockStart", {"start": start, "contentBlockIndex": event.index}, event)


def _write_reasoning(event: ReasoningDelta) -> bytes:
    # The members of this delta exclude each other on the wire: one frame each.
    frames: list[bytes] = []
    if event.text is not None:
        frames.append(_delta(event, {"reasoningContent": {"text": event.text}}))
    if event.signature is not None:
        frames.append(_delta(event, {"reasoningContent": {"signature": event.signature}}))
    if event.redacted is not None:
        frames.append(_delta(event, {"reasoningContent": {"redactedContent": event.redacted}}))
    return b"".join(frames)


def _write_message_start(event: MessageStart) -> bytes:
    return _frame("messageStart", {"role": event.role.value}, event)


def _write_block_stop(event: BlockStop) -> bytes:
    return _frame("contentBlockStop", {"contentBlockIndex": event.index}, event)


def _write_message_stop(event: MessageStop) -> bytes:
    document = optional(
        stopReason=event.stop_reason.value,
        additionalModelResponseFields=event.additional_fields,
    )
    return _frame("messageStop", document, event)


def _write_metadata(event: Metadata) -> bytes:
    return write_event("metadata", _encode(write_metadata(event)))


def _write_tool_result(event: ToolResultDelta) -> bytes:
    parts = [write_tool_result_part(part) for part in event.content]
    for part in parts:
        if part.keys() - {"text", "json"}:
            raise Unsupported(
                f"ConverseStream can't carry a {only_member(part)[0]!r} in a tool's result. "
                "Ask without streaming."
            )
    return _delta(event, {"toolResult": parts})


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    MessageStart: _write_message_start,
    BlockStart: _write_start,
    TextDelta: lambda event: _delta(event, {"text": event.text}),
    ToolInputDelta: lambda event: _delta(event, {"toolUse": {"input": event.json}}),
    ReasoningDelta: _write_reasoning,
    CitationDelta: lambda event: _delta(event, {"citation": write_citation(event.citation)}),
    ToolResultDelta: _write_tool_result,
    ImageDelta: lambda event: _delta(event, {"image": write_image(event.image)}),
    OpaqueDelta: lambda event: _delta(event, event.value),
    BlockStop: _write_block_stop,
    MessageStop: _write_message_stop,
    Metadata: _write_metadata,
}


# --- reading ------------------------------------------------------------------------------------

_PADDING = "p"
"""Bedrock pads events against traffic analysis with a member of this name."""


class ConverseStreamReader:
    """Reads frames as they come and yields events; raises EngineFailed for what isn't Converse."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._open: int | None = None
        self._complete = False
        self._pending: CratonError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes.

        An error is raised by the call after the one that returned the events before it, which may
        be `close`.
        """
        if self._pending is not None:
            raise self._pending
        events: list[Event] = []
        try:
            for frame in self._frames.feed(data):
                events += self._read(frame)
        except CratonError as error:
            if not events:
                raise
            self._pending = error
        return events

    def close(self) -> list[Event]:
        """The connection ended; EngineFailed if the answer isn't whole."""
        if self._pending is not None:
            raise self._pending
        if not self._complete or not self._frames.is_between_frames:
            raise EngineFailed("The model's server ended the stream before the answer was whole.")
        return []

    def _read(self, frame: Frame) -> list[Event]:
        message_type = frame.headers.get(":message-type")
        if message_type == "error":
            raise read_stream_error(
                str(frame.headers.get(":error-code", "")),
                {"message": str(frame.headers.get(":error-message", ""))},
            )
        try:
            document = msgspec.json.decode(frame.payload, type=dict[str, Any])
            if message_type == "exception":
                raise read_stream_error(str(frame.headers.get(":exception-type", "")), document)
            document.pop(_PADDING, None)
            events = self._events(str(frame.headers.get(":event-type", "")), document)
            _CHECK.decode(_ENCODE.encode(events))
        except NOT_CONVERSE as error:
            raise _not_converse(error) from error
        return events

    def _events(self, event_type: str, document: Members) -> list[Event]:
        if self._complete:
            raise ValueError("an event came after the metadata")
        match event_type:
            case "contentBlockDelta":
                return self._read_delta(document)
            case "contentBlockStart":
                index = document["contentBlockIndex"]
                self._open = index
                return [_read_start(index, document)]
            case "contentBlockStop":
                index = document["contentBlockIndex"]
                events: list[Event] = []
                if self._open != index:  # a block of text without any text
                    events.append(BlockStart(index=index))
                self._open = None
                events.append(BlockStop(index=index, extra=rest(document, "contentBlockIndex")))
                return events
            case "messageStart":
                return [
                    MessageStart(role=read_role(document["role"]), extra=rest(document, "role"))
                ]
            case "messageStop":
                return [_read_message_stop(document)]
            case "metadata":
                self._complete = True
                return [read_metadata(document)]
            case _:
                return []  # an event of a newer model; SDKs pass over it too

    def _read_delta(self, document: Members) -> list[Event]:
        index = document["contentBlockIndex"]
        kind, value = only_member(document["delta"])
        extra = rest(document, "contentBlockIndex", "delta")
        events: list[Event] = []
        if self._open != index:
            self._open = index
            events.append(_implied_start(index, kind))
        match kind:
            case "text":
                events.append(TextDelta(index=index, text=value, extra=extra))
            case "toolUse":
                events.append(ToolInputDelta(index=index, json=value["input"], extra=extra))
            case "reasoningContent":
                events.append(_read_reasoning(index, value, document))
            case "citation":
                citation = read_citation(value)
                events.append(CitationDelta(index=index, citation=citation, extra=extra))
            case "toolResult":
                content = [read_tool_result_part(part) for part in value]
                events.append(ToolResultDelta(index=index, content=content, extra=extra))
            case "image":
                events.append(ImageDelta(index=index, image=read_image(value), extra=extra))
            case _:
                events.append(OpaqueDelta(index=index, value={kind: value}, extra=extra))
        return events


def _not_converse(error: BaseException) -> EngineFailed:
    return EngineFailed(f"The model's server sent an event that is not Converse's: {error}")


def _implied_start(index: int, kind: str) -> BlockStart:
    if kind == "reasoningContent":
        return BlockStart(index=index, kind=BlockKind.REASONING)
    if kind in ("text", "citation"):
        return BlockStart(index=index)
    if kind in ("toolUse", "toolResult", "image"):
        raise ValueError(f"a {kind} delta came before its block's start")
    return BlockStart(index=index, kind=BlockKind.OPAQUE, format=DIALECT, name=kind)


def _read_start(index: int, document: Members) -> BlockStart:
    kind, value = only_member(document["start"])
    extra = rest(document, "contentBlockIndex", "start")
    match kind:
        case "toolUse":
            return BlockStart(
                index=index,
                kind=BlockKind.TOOL_USE,
                tool_use_id=value["toolUseId"],
                name=value["name"],
                server=value.get("type") == SERVER_TOOL_USE,
                extra=extra,
            )
        case "toolResult":
            return BlockStart(
                index=index,
                kind=BlockKind.TOOL_RESULT,
                tool_use_id=value["toolUseId"],
                name=value.get("type"),
                status=value.get("status"),
                extra=extra,
            )
        case "image":
            return BlockStart(
                index=index, kind=BlockKind.IMAGE, format=value["format"], extra=extra
            )
        case _:
            return BlockStart(
                index=index,
                kind=BlockKind.OPAQUE,
                format=DIALECT,
                name=kind,
                value=value,
                extra=extra,
            )


def _read_reasoning(index: int, delta: Members, document: Members) -> ReasoningDelta:
    kind, value = only_member(delta)
    extra = rest(document, "contentBlockIndex", "delta")
    match kind:
        case "text":
            return ReasoningDelta(index=index, text=value, extra=extra)
        case "signature":
            return ReasoningDelta(index=index, signature=value, extra=extra)
        case "redactedContent":
            return ReasoningDelta(index=index, redacted=read_blob(value), extra=extra)
        case _:
            raise ValueError(f"unknown reasoning delta {kind!r}")


def _read_message_stop(document: Members) -> MessageStop:
    return MessageStop(
        stop_reason=read_stop_reason(document["stopReason"]),
        additional_fields=document.get("additionalModelResponseFields"),
        extra=rest(document, "stopReason", "additionalModelResponseFields"),
    )


# What another server sent must not carry a number where a text is due into the rest of the
# program: every event is seen to be of its type. About 1 µs an event.
_CHECK = msgspec.msgpack.Decoder(list[Event])
_ENCODE = msgspec.msgpack.Encoder()
