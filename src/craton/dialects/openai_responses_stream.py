"""Streamed answers of OpenAI's Responses.

    response.created, response.in_progress,
    for each item: output_item.added, for each part: content_part.added, delta…, done,
    content_part.done; output_item.done
    response.completed or response.incomplete, [DONE]

An item ends when the next begins, or the answer: only then is it known whether it is whole. The
last line is written when `Metadata` comes, and at no other time. An error is an `error` event,
which SDKs raise, and then `response.failed`, as Open Responses asks.
"""

from typing import Any, assert_never

import msgspec

from craton.dialects.dialect import Stamp
from craton.dialects.members import Json
from craton.dialects.openai_chat_errors import error_body
from craton.dialects.openai_responses_answer import (
    Frame,
    close_reasoning,
    open_call,
    open_message,
    open_reasoning,
    settle_item,
    write_citation,
    write_logprobs,
    write_text,
)
from craton.dialects.openai_responses_items import sealed_reasoning
from craton.kernel.errors import CratonError
from craton.messages.blocks import ToolUse
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
    StopReason,
    TextDelta,
    ToolInputDelta,
    ToolResultDelta,
)
from craton.messages.request import Request

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"


class EventWriter:
    """Writes one answer's events as the wire's."""

    def __init__(
        self, request: Request, stamp: Stamp, *, document_bytes_max: int | None = None
    ) -> None:
        self._frame = Frame(request, stamp)
        self._document_bytes_max = document_bytes_max
        self._sequence = -1
        self._output: list[Json] = []
        self._item: Json | None = None  # the one that is open, last of the output
        self._kind: BlockKind | None = None  # of the open block
        self._pieces: list[str] = []  # of its text
        self._logprobs: list[Any] = []
        self._annotations: list[Json] = []
        self._signature: list[str] = []
        self._redacted: list[bytes] = []
        self._delta_head = b""  # of text deltas of the open part, up to their number
        self._delta_middle = b""
        self._stop_reason: StopReason | None = None
        self.document = b""
        """The document that the stream ended with; empty until then."""

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        if type(event) is TextDelta:
            return self._write_text(event)
        match event:
            case MessageStart():
                document = self._frame.document("in_progress", [])
                return self._event("response.created", response=document) + self._event(
                    "response.in_progress", response=document
                )
            case BlockStart():
                return self._begin_block(event)
            case BlockStop():
                return self._end_block()
            case MessageStop():
                self._stop_reason = event.stop_reason
                return self._end_item(event.stop_reason)
            case Metadata():
                return self._end(event)
            case ToolInputDelta():
                is_ours = self._kind is BlockKind.TOOL_USE
                return self._write_arguments(event.json) if is_ours else b""
            case ReasoningDelta():
                return self._write_reasoning(event)
            case CitationDelta():
                return self._write_citation(event)
            case ToolResultDelta() | ImageDelta() | OpaqueDelta() | TextDelta():
                return b""  # what this wire has no word for
            case _:
                assert_never(event)

    def write_error(self, error: CratonError) -> bytes:
        """The frames that end a stream which had begun and then failed."""
        told: Json = error_body(error)["error"]
        failed = self._frame.document("failed", self._output, error=error)
        return b"".join(
            (
                self._event(
                    "error",
                    code=told["code"],
                    message=told["message"],
                    param=told["param"],
                    error=told,
                ),
                self._event("response.failed", response=failed),
                _DONE,
            )
        )

    def _event(self, kind: str, **values: object) -> bytes:
        self._sequence += 1
        body = {"type": kind, "sequence_number": self._sequence, **values}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(body))

    def _place(self) -> Json:
        assert self._item is not None, "a part came outside an item"
        return {"item_id": self._item["id"], "output_index": len(self._output) - 1}

    def _part_place(self) -> Json:
        assert self._item is not None, "a part came outside an item"
        parts: list[Json] = self._item.get("content", [])
        return {**self._place(), "content_index": len(parts)}

    def _begin_block(self, start: BlockStart) -> bytes:
        self._kind = start.kind
        self._pieces, self._logprobs, self._annotations = [], [], []
        self._signature, self._redacted = [], []
        match start.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                frames = b""
                if self._item is None or self._item["type"] != "message":
                    frames = self._begin_item(open_message(self._frame.id, self._next()))
                part = self._part(start.kind)
                place = self._part_place()
                self._set_delta(start.kind, place)
                return frames + self._event("response.content_part.added", **place, part=part)
            case BlockKind.TOOL_USE if not start.server:
                call = ToolUse(id=start.tool_use_id or "", name=start.name or "", input=None)
                return self._begin_item(open_call(call, self._frame.id, self._next()))
            case BlockKind.REASONING:
                return self._begin_item(open_reasoning(self._frame.id, self._next()))
            case _:
                self._kind = None
                return b""

    def _next(self) -> int:
        return len(self._output)

    def _begin_item(self, item: Json) -> bytes:
        frames = self._end_item(None)
        self._item = item
        self._output.append(item)
        index = len(self._output) - 1
        return frames + self._event("response.output_item.added", output_index=index, item=item)

    def _set_delta(self, kind: BlockKind, place: Json) -> None:
        name = b"output_text" if kind is BlockKind.TEXT else b"refusal"
        self._delta_head = (
            b"event: response.%b.delta\n"
            b'data: {"type":"response.%b.delta","sequence_number":' % (name, name)
        )
        self._delta_middle = b"," + _encode(place)[1:-1] + b',"delta":'

    def _write_text(self, delta: TextDelta) -> bytes:
        self._pieces.append(delta.text)
        self._sequence += 1
        tail = b"}\n\n"
        if self._kind is BlockKind.TEXT:
            tail = b',"logprobs":[]}\n\n'
            if delta.logprobs:
                came = write_logprobs(delta.logprobs)
                self._logprobs += came
                tail = b',"logprobs":' + _encode(came) + b"}\n\n"
        return b"".join(
            (
                self._delta_head,
                b"%d" % self._sequence,
                self._delta_middle,
                _encode(delta.text),
                tail,
            )
        )

    def _write_arguments(self, text: str) -> bytes:
        self._pieces.append(text)
        return self._event("response.function_call_arguments.delta", **self._place(), delta=text)

    def _write_reasoning(self, delta: ReasoningDelta) -> bytes:
        if delta.signature is not None:
            self._signature.append(delta.signature)
        if delta.redacted is not None:
            self._redacted.append(delta.redacted)
        if not delta.text:
            return b""
        frames = b""
        if not self._pieces:
            part = {"type": "reasoning_text", "text": ""}
            frames = self._event("response.content_part.added", **self._part_place(), part=part)
        self._pieces.append(delta.text)
        return frames + self._event(
            "response.reasoning_text.delta", **self._part_place(), delta=delta.text
        )

    def _write_citation(self, delta: CitationDelta) -> bytes:
        annotation = write_citation(delta.citation, sum(map(len, self._pieces)))
        if annotation is None:
            return b""
        self._annotations.append(annotation)
        return self._event(
            "response.output_text.annotation.added",
            **self._part_place(),
            annotation_index=len(self._annotations) - 1,
            annotation=annotation,
        )

    def _part(self, kind: BlockKind) -> Json:
        text = "".join(self._pieces)
        if kind is BlockKind.REFUSAL:
            return {"type": "refusal", "refusal": text}
        return write_text(text, self._logprobs, self._annotations)

    def _end_block(self) -> bytes:
        kind, self._kind = self._kind, None
        text = "".join(self._pieces)
        match kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                part, place = self._part(kind), self._part_place()
                if kind is BlockKind.TEXT:
                    done = self._event(
                        "response.output_text.done",
                        **place,
                        text=text,
                        logprobs=part["logprobs"],
                    )
                else:
                    done = self._event("response.refusal.done", **place, refusal=text)
                assert self._item is not None, "a part ended outside a message"
                self._item["content"].append(part)
                return done + self._event("response.content_part.done", **place, part=part)
            case BlockKind.TOOL_USE:
                return self._end_call(text)
            case BlockKind.REASONING:
                return self._end_reasoning(text)
            case _:
                return b""

    def _end_call(self, text: str) -> bytes:
        assert self._item is not None, "a call ended that had not begun"
        frames = b""
        if not text:  # no input is an empty object: programs parse what they get
            text = "{}"
            frames = self._write_arguments(text)
        self._item["arguments"] = text
        return frames + self._event(
            "response.function_call_arguments.done",
            **self._place(),
            name=self._item["name"],
            arguments=text,
        )

    def _end_reasoning(self, text: str) -> bytes:
        assert self._item is not None, "reasoning ended that had not begun"
        frames = b""
        if text:
            place = self._part_place()
            part = {"type": "reasoning_text", "text": text}
            frames = self._event("response.reasoning_text.done", **place, text=text)
            frames += self._event("response.content_part.done", **place, part=part)
        redacted = b"".join(self._redacted) or None
        sealed = sealed_reasoning("".join(self._signature) or None, redacted)
        close_reasoning(self._item, text, sealed)
        return frames

    def _end_item(self, stop_reason: StopReason | None) -> bytes:
        item, self._item = self._item, None
        if item is None:
            return b""
        settle_item(item, stop_reason)
        index = len(self._output) - 1
        return self._event("response.output_item.done", output_index=index, item=item)

    def _end(self, metadata: Metadata) -> bytes:
        assert self._stop_reason is not None, "Metadata came before MessageStop"
        status, self.document = self._frame.finished(
            self._output,
            self._stop_reason,
            metadata,
            document_bytes_max=self._document_bytes_max,
        )
        return self._event(f"response.{status}", response=msgspec.Raw(self.document)) + _DONE
