"""Content blocks of Anthropic's messages: wire to conversation model, and back.

A block's `cache_control` is a `CachePoint` after it. Under `extra["anthropic"]` stand the members
this model doesn't know. A member it does know stands there only to tell in which of its forms it
came: `{"content": "blocks"}` for a list of one text. A block whose kind, or whose inside, has no
place in the model is `Opaque`, whole and as it came.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
from msgspec import UNSET

from craton.dialects import media
from craton.dialects.anthropic_messages_citations import (
    DIALECT,
    extra_of,
    own,
    read_citation,
    write_citation,
)
from craton.dialects.anthropic_messages_wire import (
    Base64Source,
    CacheControl,
    ContentBlock,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    PlainTextSource,
    RedactedThinkingBlock,
    SearchResultBlock,
    ServerToolUseBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from craton.dialects.anthropic_messages_wire import (
    FileSource as FileSourceBody,
)
from craton.dialects.anthropic_messages_wire import (
    UrlSource as UrlSourceBody,
)
from craton.dialects.members import Json, UnknownKind, members, plain, wrong
from craton.kernel.errors import Unsupported
from craton.messages.blocks import (
    Block,
    CachePoint,
    CitedText,
    Document,
    DocumentSource,
    FileSource,
    GuardContent,
    Image,
    InlineSource,
    MediaSource,
    Opaque,
    PassagesSource,
    Reasoning,
    Refusal,
    SearchResult,
    Text,
    TextSource,
    ToolResult,
    ToolResultPart,
    ToolUse,
    UrlSource,
)
from craton.messages.blocks import (
    Json as JsonValue,
)

BLOCKS = {"content": "blocks"}
_TEXT_FORMATS = ("txt", "md", "csv", "html")


def read_blocks(content: list[ContentBlock], path: str) -> list[Block]:
    """The blocks of a message; `path` is where they stand, for errors."""
    blocks: list[Block] = []
    for index, block in enumerate(content):
        blocks.append(read_block(block, f"{path}[{index}]"))
        control: CacheControl | None = getattr(block, "cache_control", None)
        if control is not None and not isinstance(blocks[-1], Opaque):
            blocks.append(cache_point(control))
    return blocks


def cache_point(control: CacheControl) -> CachePoint:
    """The cache point that a `cache_control` stands for."""
    return CachePoint(ttl=control.ttl, extra=extra_of(members(control)))


def is_one_text(blocks: list[Any]) -> bool:
    """Whether a list of blocks would be written as a string."""
    return len(blocks) == 1 and type(blocks[0]) is Text and blocks[0].extra is None


def read_block(block: ContentBlock, path: str) -> Block:
    """One block, without its cache control."""
    match block:
        case TextBlock():
            extra = None if block.rest is UNSET else extra_of(members(block))
            if not block.citations:
                return Text(text=block.text, extra=extra)
            citations = [read_citation(citation) for citation in block.citations]
            return CitedText(passages=[block.text], citations=citations, extra=extra)
        case ImageBlock():
            return _read_image(block, path)
        case DocumentBlock():
            return _read_document(block, path)
        case SearchResultBlock():
            return _read_search_result(block)
        case ThinkingBlock():
            signature = block.signature or None
            extra = extra_of(members(block))
            return Reasoning(text=block.thinking, signature=signature, extra=extra)
        case RedactedThinkingBlock():
            return Reasoning(redacted=block.data.encode(), extra=extra_of(members(block)))
        case ToolUseBlock() | ServerToolUseBlock():
            return ToolUse(
                id=block.id,
                name=block.name,
                input=block.input,
                server=type(block) is ServerToolUseBlock,
                extra=extra_of(members(block)),
            )
        case ToolResultBlock():
            return _read_tool_result(block, path)
        case _:
            return opaque(block)


def opaque(block: ContentBlock) -> Opaque:
    """A block as it came."""
    value = plain(block)
    return Opaque(dialect=DIALECT, kind=value["type"], value=value)


def _bytes(source: Base64Source, path: str) -> bytes:
    data = media.from_base64(source.data)
    if data is None:
        raise wrong(f"{path}.source.data", "expected base64")
    return data


def _read_image(block: ImageBlock, path: str) -> Image:
    source, kind = _read_media(block.source, path)
    return Image(source=source, format=kind, extra=extra_of(members(block)))


def _read_media(
    source: Base64Source | UrlSourceBody | FileSourceBody, path: str
) -> tuple[MediaSource, str | None]:
    extra = extra_of(members(source))
    match source:
        case Base64Source():
            inline = InlineSource(data=_bytes(source, path), extra=extra)
            return inline, media.format_of(source.media_type)
        case UrlSourceBody():
            return UrlSource(url=source.url, extra=extra), None
        case FileSourceBody():
            return FileSource(file_id=source.file_id, extra=extra), None


def _read_document(block: DocumentBlock, path: str) -> Document | Opaque:
    body = block.source
    kind = None
    form: Json | None
    source: DocumentSource
    match body:
        case PlainTextSource():
            source, kind = TextSource(text=body.data, extra=extra_of(members(body))), "txt"
        case ContentSource():
            passages = _passages(body.content)
            if passages is None:
                return opaque(block)
            form = {"content": "text"} if isinstance(body.content, str) else None
            source = PassagesSource(passages=passages, extra=extra_of(members(body), form))
        case _:
            source, kind = _read_media(body, path)
    rides: Json = {}
    if block.citations is not None and block.citations.rest is not UNSET:
        rides["citations"] = members(block.citations)
    return Document(
        source=source,
        name=block.title,
        format=kind,
        context=block.context,
        citations=block.citations.enabled if block.citations is not None else None,
        extra=extra_of(members(block), rides),
    )


def _passages(content: str | Iterable[TextBlock | UnknownKind]) -> list[str] | None:
    """Passages of plain text, or None where a block says more than its text."""
    if isinstance(content, str):
        return [content]
    passages: list[str] = []
    for block in content:
        if (
            not isinstance(block, TextBlock)
            or block.citations
            or block.cache_control is not None
            or block.rest is not UNSET
        ):
            return None
        passages.append(block.text)
    return passages


def _read_search_result(block: SearchResultBlock) -> SearchResult | Opaque:
    passages = _passages(block.content)
    if passages is None:
        return opaque(block)
    form: Json = {}
    if block.citations is not None and block.citations.rest is not UNSET:
        form["citations"] = members(block.citations)
    return SearchResult(
        source=block.source,
        title=block.title,
        passages=passages,
        citations=block.citations.enabled if block.citations is not None else None,
        extra=extra_of(members(block), form),
    )


def _read_tool_result(block: ToolResultBlock, path: str) -> ToolResult | Opaque:
    form: Json = {}
    content: list[ToolResultPart] = []
    if isinstance(block.content, str):
        content = [Text(text=block.content)]
    elif block.content is not None:
        for index, part in enumerate(block.content):
            read = _read_result_part(part, f"{path}.content[{index}]")
            if read is None:
                return opaque(block)
            content.append(read)
        form = BLOCKS if is_one_text(content) else {}
    status = None
    if block.is_error is not None:
        status = "error" if block.is_error else "success"
    return ToolResult(
        tool_use_id=block.tool_use_id,
        content=content,
        status=status,
        extra=extra_of(members(block), form),
    )


def _read_result_part(part: ContentBlock, path: str) -> ToolResultPart | None:
    if isinstance(part, TextBlock):
        # A part of a result can't have a cache point or a citation after it: both ride.
        rides = {k: v for k, v in plain(part).items() if k not in ("type", "text")}
        return Text(text=part.text, extra=extra_of(rides or None))
    block = read_block(part, path)
    if not isinstance(block, Image | Document | SearchResult):
        return None
    control: CacheControl | None = getattr(part, "cache_control", None)
    if control is None:
        return block
    rides = {**own(block.extra), "cache_control": plain(control)}
    return msgspec.structs.replace(block, extra={**(block.extra or {}), DIALECT: rides})


def write_blocks(blocks: Iterable[Block]) -> list[Json]:
    """The blocks of a message, each cache point as the cache control of the block before it."""
    out: list[Json] = []
    for block in blocks:
        if not isinstance(block, CachePoint):
            out.append(write_block(block))
        elif out:  # before all others there is nothing to cache
            out[-1] = {**out[-1], "cache_control": write_cache_point(block)}
    return out


def write_cache_point(point: CachePoint) -> Json:
    """The `cache_control` of a cache point."""
    control: Json = {"type": "ephemeral"}
    if point.ttl is not None:
        control["ttl"] = point.ttl
    return control | own(point.extra)


def content_of(written: list[Json], form: Json) -> str | list[Json]:
    """One plain text is a string, unless it came as a list."""
    if (
        len(written) == 1
        and form.get("content") != "blocks"
        and written[0].keys() == {"type", "text"}
        and written[0]["type"] == "text"
    ):
        return written[0]["text"]
    return written


def write_block(block: Block) -> Json:
    """One block; Unsupported names one that this wire has no form for."""
    write = _WRITERS.get(type(block))
    if write is None:
        raise unsupported(type(block).__struct_config__.tag)
    written = write(block)
    if block.extra is not None and type(block) is not ToolResult:
        written = _with_rides(written, own(block.extra))
    return written


def _with_rides(written: Json, rides: Json) -> Json:
    for name, value in rides.items():
        if name not in written:
            written[name] = value
        elif isinstance(value, dict) and isinstance(written[name], dict):
            written[name] = {**cast("Json", value), **cast("Json", written[name])}
    return written


def unsupported(what: object) -> Unsupported:
    """The refusal to write a block that this wire has no form for."""
    return Unsupported(f"Anthropic messages can't carry a {what} block. Leave it out.")


def _write_cited_text(block: CitedText) -> Json:
    citations = [write_citation(citation) for citation in block.citations]
    return {"type": "text", "text": "".join(block.passages), "citations": citations}


def _write_guard_content(block: GuardContent) -> Json:
    if block.text is not None:
        return {"type": "text", "text": block.text}
    if block.image is not None:
        return _write_image(block.image)
    raise unsupported("guard_content")


def _write_reasoning(block: Reasoning) -> Json:
    if block.redacted is not None:
        return {"type": "redacted_thinking", "data": redacted_text(block.redacted)}
    return {
        "type": "thinking",
        "thinking": block.text or "",
        "signature": block.signature or "",
    }


def redacted_text(data: bytes) -> str:
    """Redacted reasoning as text: this wire's own is text already, another's may be any bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return media.to_base64(data)


def _write_tool_use(block: ToolUse) -> Json:
    return {
        "type": "server_tool_use" if block.server else "tool_use",
        "id": block.id,
        "name": block.name,
        "input": object_of(block.input),
    }


def object_of(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """A tool's input as the object this wire asks for.

    A call cut off by the token limit is text that isn't JSON yet: nothing of it is thrown away.
    """
    if isinstance(value, dict):
        return cast("Json", value)
    return {"partial_json": value} if isinstance(value, str) else {"value": value}


def _write_tool_result(block: ToolResult) -> Json:
    if block.kind is not None:
        raise unsupported(f"{block.kind} tool_result")
    rides = own(block.extra)
    out: Json = {"type": "tool_result", "tool_use_id": block.tool_use_id}
    if block.content:
        written = [_write_result_part(part) for part in block.content]
        out["content"] = content_of(written, rides)
    if block.status is not None:
        out["is_error"] = block.status == "error"
    for name, value in rides.items():
        out.setdefault(name, value)
    return out


def _write_result_part(part: ToolResultPart) -> Json:
    if isinstance(part, JsonValue):
        return {"type": "text", "text": msgspec.json.encode(part.value).decode()}
    if isinstance(part, Text | Image | Document | SearchResult):
        return write_block(part)
    raise unsupported(type(part).__struct_config__.tag)


def _write_source(source: object, short: str | None, what: str) -> Json:
    match source:
        case InlineSource():
            default = "png" if what == "image" else "pdf"
            out: Json = {
                "type": "base64",
                "media_type": media.media_type_of(short or default),
                "data": media.to_base64(source.data),
            }
        case UrlSource():
            out = {"type": "url", "url": source.url}
        case FileSource():
            out = {"type": "file", "file_id": source.file_id}
        case _:
            raise unsupported(f"{what} (with this kind of source)")
    return out | own(source.extra)


def _write_image(block: Image) -> Json:
    return {"type": "image", "source": _write_source(block.source, block.format, "image")}


def _write_document(block: Document) -> Json:
    source = block.source
    match source:
        case TextSource():
            body: Json = {"type": "text", "media_type": "text/plain", "data": source.text}
            body |= own(source.extra)
        case PassagesSource():
            rides = own(source.extra)
            is_text = rides.get("content") == "text" and len(source.passages) == 1
            content = (
                source.passages[0]
                if is_text
                else [{"type": "text", "text": passage} for passage in source.passages]
            )
            rides = {name: value for name, value in rides.items() if name != "content"}
            body = {"type": "content", "content": content, **rides}
        case InlineSource(data=data) if block.format in _TEXT_FORMATS:
            # Base64 is for PDF alone here; text goes as text.
            text = data.decode(errors="replace")
            body = {"type": "text", "media_type": "text/plain", "data": text}
        case _:
            body = _write_source(source, block.format, "document")
    out: Json = {"type": "document", "source": body}
    if block.name is not None:
        out["title"] = block.name
    if block.context is not None:
        out["context"] = block.context
    if block.citations is not None:
        out["citations"] = {"enabled": block.citations}
    return out


def _write_search_result(block: SearchResult) -> Json:
    out: Json = {
        "type": "search_result",
        "source": block.source,
        "title": block.title,
        "content": [{"type": "text", "text": passage} for passage in block.passages],
    }
    if block.citations is not None:
        out["citations"] = {"enabled": block.citations}
    return out


def _write_opaque(block: Opaque) -> Json:
    came: Any = block.value
    if block.dialect != DIALECT or not isinstance(came, dict):
        raise unsupported(f"{block.dialect} {block.kind}")
    value = cast("Json", came)
    if value.keys() == {"start", "deltas"}:
        return _joined(value["start"], value["deltas"])
    return value


def _joined(start: Json, deltas: list[Any]) -> Json:
    """A streamed block of an unknown kind, whole: its input and its text are what can grow."""
    out = dict(start)
    pieces = [cast("Json", delta) for delta in deltas if isinstance(delta, dict)]
    text = "".join(str(p["text"]) for p in pieces if p.get("type") == "text_delta")
    if text:
        out["text"] = str(out.get("text", "")) + text
    written = "".join(str(p["partial_json"]) for p in pieces if p.get("type") == "input_json_delta")
    if written:
        try:
            out["input"] = msgspec.json.decode(written)
        except (msgspec.DecodeError, RecursionError):
            out["input"] = object_of(written)
    return out


_WRITERS: dict[type[Any], Callable[[Any], Json]] = {
    Text: lambda block: {"type": "text", "text": block.text},
    Refusal: lambda block: {"type": "text", "text": block.text},
    CitedText: _write_cited_text,
    GuardContent: _write_guard_content,
    Image: _write_image,
    Document: _write_document,
    SearchResult: _write_search_result,
    Reasoning: _write_reasoning,
    ToolUse: _write_tool_use,
    ToolResult: _write_tool_result,
    Opaque: _write_opaque,
}
