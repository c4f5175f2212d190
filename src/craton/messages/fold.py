"""A whole answer from its events, and the events of a whole answer: each the other's inverse."""

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

import msgspec

from craton.messages.blocks import (
    Block,
    Citation,
    CitedText,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolResult,
    ToolResultPart,
    ToolUse,
)
from craton.messages.events import (
    Answer,
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


class Fold:
    """Collects events; `answer` is whole once `Metadata` came."""

    def __init__(self) -> None:
        self._start: MessageStart = MessageStart()
        self._open: _OpenBlock | None = None
        self._stop: MessageStop | None = None
        self._metadata: Metadata | None = None
        self._content: list[Block] = []

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        match event:
            case (
                TextDelta()
                | ToolInputDelta()
                | ReasoningDelta()
                | CitationDelta()
                | (ToolResultDelta() | ImageDelta() | OpaqueDelta())
            ):
                assert self._open is not None, "a delta came outside a block"
                self._open.deltas.append(event)
            case BlockStart():
                self._open = _OpenBlock(event)
            case BlockStop():
                assert self._open is not None, "a block ended that had not begun"
                self._content.append(self._open.close())
                self._open = None
            case MessageStart():
                self._start = event
            case MessageStop():
                self._stop = event
            case Metadata():
                self._metadata = event
            case _:
                assert_never(event)

    @property
    def is_whole(self) -> bool:
        """Whether the stream has ended in good order."""
        return self._stop is not None and self._metadata is not None

    def answer(self) -> Answer:
        """The whole answer."""
        assert self._stop is not None, "the stream did not end"
        assert self._metadata is not None, "the stream ended without its usage"
        return Answer(
            start=self._start, content=self._content, stop=self._stop, metadata=self._metadata
        )


class _OpenBlock:
    def __init__(self, start: BlockStart) -> None:
        self.start = start
        self.deltas: list[Event] = []

    def close(self) -> Block:
        start = self.start
        extra = start.extra
        match start.kind:
            case BlockKind.TEXT:
                text = self._text()
                citations = self._citations()
                if citations:
                    return CitedText(passages=[text], citations=citations, extra=extra)
                return Text(text=text, logprobs=self._logprobs(), extra=extra)
            case BlockKind.REFUSAL:
                return Refusal(text=self._text(), logprobs=self._logprobs(), extra=extra)
            case BlockKind.TOOL_USE:
                text = "".join(d.json for d in self.deltas if isinstance(d, ToolInputDelta))
                return ToolUse(
                    id=start.tool_use_id or "",
                    name=start.name or "",
                    input=parse_tool_input(text),
                    server=start.server,
                    extra=extra,
                )
            case BlockKind.TOOL_RESULT:
                parts: list[ToolResultPart] = []
                for delta in self.deltas:
                    if isinstance(delta, ToolResultDelta):
                        parts += delta.content
                return ToolResult(
                    tool_use_id=start.tool_use_id or "",
                    content=parts,
                    status=start.status,
                    kind=start.name,
                    extra=extra,
                )
            case BlockKind.REASONING:
                return self._reasoning()
            case BlockKind.IMAGE:
                images = [d.image for d in self.deltas if isinstance(d, ImageDelta)]
                return images[-1] if images else Image(source=None, format=start.format)
            case BlockKind.OPAQUE:
                deltas = [d.value for d in self.deltas if isinstance(d, OpaqueDelta)]
                return Opaque(
                    dialect=start.format or "",
                    kind=start.name or "",
                    value={"start": start.value, "deltas": deltas} if deltas else start.value,
                    extra=extra,
                )
            case _:
                assert_never(start.kind)

    def _text(self) -> str:
        return "".join(d.text for d in self.deltas if isinstance(d, TextDelta))

    def _logprobs(self) -> list[Any] | None:
        came = [d.logprobs for d in self.deltas if isinstance(d, TextDelta) and d.logprobs]
        return [token for tokens in came for token in tokens] if came else None

    def _citations(self) -> list[Citation]:
        return [d.citation for d in self.deltas if isinstance(d, CitationDelta)]

    def _reasoning(self) -> Reasoning:
        pieces = [d for d in self.deltas if isinstance(d, ReasoningDelta)]
        redacted = b"".join(d.redacted for d in pieces if d.redacted is not None)
        if redacted:
            return Reasoning(redacted=redacted, extra=self.start.extra)
        return Reasoning(
            text="".join(d.text for d in pieces if d.text is not None),
            signature="".join(d.signature for d in pieces if d.signature is not None) or None,
            extra=self.start.extra,
        )


def parse_tool_input(text: str) -> object:
    """The JSON value of a tool call's input; no text at all is an empty object.

    Text that is not JSON (a call cut off by `max_tokens`) is kept as a string: the caller sees
    what the model wrote, and the stop reason says why it is broken.
    """
    if not text:
        return {}
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def fold(events: Iterable[Event]) -> Answer:
    """The whole answer of a finished stream."""
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.answer()


def unfold(answer: Answer) -> Iterator[Event]:
    """The events of a whole answer: how a reader of whole answers yields a stream."""
    yield answer.start
    for index, block in enumerate(answer.content):
        yield from _events_of(index, block)
        yield BlockStop(index=index)
    yield answer.stop
    yield answer.metadata


def _events_of(index: int, block: Block) -> Iterator[Event]:
    extra = block.extra
    match block:
        case Text(text=text, logprobs=logprobs):
            yield BlockStart(index=index, extra=extra)
            if text or logprobs:
                yield TextDelta(index=index, text=text, logprobs=logprobs)
        case CitedText(passages=passages, citations=citations):
            yield BlockStart(index=index, extra=extra)
            yield TextDelta(index=index, text="".join(passages))
            for citation in citations:
                yield CitationDelta(index=index, citation=citation)
        case Refusal(text=text, logprobs=logprobs):
            yield BlockStart(index=index, kind=BlockKind.REFUSAL, extra=extra)
            yield TextDelta(index=index, text=text, logprobs=logprobs)
        case ToolUse():
            yield BlockStart(
                index=index,
                kind=BlockKind.TOOL_USE,
                tool_use_id=block.id,
                name=block.name,
                server=block.server,
                extra=extra,
            )
            # Text that was not JSON goes on as it was; a JSON value is written out.
            text = block.input if isinstance(block.input, str) else None
            yield ToolInputDelta(
                index=index, json=text or msgspec.json.encode(block.input).decode()
            )
        case ToolResult():
            yield BlockStart(
                index=index,
                kind=BlockKind.TOOL_RESULT,
                tool_use_id=block.tool_use_id,
                status=block.status,
                name=block.kind,
                extra=extra,
            )
            yield ToolResultDelta(index=index, content=block.content)
        case Reasoning():
            yield BlockStart(index=index, kind=BlockKind.REASONING, extra=extra)
            if block.text is not None:
                yield ReasoningDelta(index=index, text=block.text)
            if block.signature is not None:
                yield ReasoningDelta(index=index, signature=block.signature)
            if block.redacted is not None:
                yield ReasoningDelta(index=index, redacted=block.redacted)
        case Image():
            yield BlockStart(index=index, kind=BlockKind.IMAGE, format=block.format, extra=extra)
            yield ImageDelta(index=index, image=block)
        case Opaque():
            yield BlockStart(
                index=index,
                kind=BlockKind.OPAQUE,
                format=block.dialect,
                name=block.kind,
                value=block.value,
                extra=extra,
            )
        case _:
            raise TypeError(f"an answer can't hold a {type(block).__name__} block")
