"""Converse's content blocks, both ways: its documents to `messages` parts, and back."""

from collections.abc import Callable
from typing import Any

from craton.dialects.converse_media import (
    read_audio,
    read_document,
    read_image,
    read_passages,
    read_video,
    write_audio,
    write_document,
    write_image_block,
    write_video,
)
from craton.dialects.converse_members import (
    DIALECT,
    Members,
    only_member,
    optional,
    read_blob,
    rest,
    with_rest,
)
from craton.kernel.errors import Unsupported
from craton.messages.blocks import (
    Audio,
    Block,
    CachePoint,
    Citation,
    CitationLocation,
    CitedText,
    Document,
    GuardContent,
    Image,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    SearchResult,
    SystemBlock,
    Text,
    ToolAddition,
    ToolReference,
    ToolRemoval,
    ToolResult,
    ToolResultPart,
    ToolUse,
    Video,
)


def read_block(document: Members) -> Block:
    """Read a ContentBlock."""
    kind, value = only_member(document)
    reader = _READERS.get(kind)
    return Opaque(dialect=DIALECT, kind=kind, value=value) if reader is None else reader(value)


def write_block(block: Block) -> Members:
    """Write a ContentBlock."""
    if isinstance(block, Opaque):
        return write_opaque(block)
    kind, writer = _WRITERS[type(block)]
    return {kind: writer(block)}


def read_system_block(document: Members) -> SystemBlock:
    """Read a SystemContentBlock."""
    kind, _ = only_member(document)
    # The service model doesn't know these here, so nothing has checked what they hold.
    if kind in _READERS and kind not in _SYSTEM_KINDS:
        raise Unsupported(f"A system block can't be a {kind!r}.")
    block = read_block(document)
    assert isinstance(block, Text | GuardContent | CachePoint | Opaque)
    return block


def write_opaque(block: Opaque) -> Members:
    """Write a block that came on this wire as it came."""
    if block.dialect != DIALECT:
        raise Unsupported(
            f"The {block.dialect} block {block.kind!r} has no form in Converse. Leave it out, or "
            f"use a model that is reached through {block.dialect}."
        )
    return {block.kind: block.value}


# --- tools -------------------------------------------------------------------------------------

SERVER_TOOL_USE = "server_tool_use"


def _read_tool_use(document: Members) -> ToolUse:
    server = document.get("type") == SERVER_TOOL_USE
    return ToolUse(
        id=document["toolUseId"],
        name=document["name"],
        input=document["input"],
        server=server,
        extra=rest(document, "toolUseId", "name", "input", *(("type",) if server else ())),
    )


def _write_tool_use(block: ToolUse) -> Members:
    document: Members = {"toolUseId": block.id, "name": block.name, "input": block.input}
    if block.server:
        document["type"] = SERVER_TOOL_USE
    return with_rest(document, block.extra)


def _read_tool_result(document: Members) -> ToolResult:
    return ToolResult(
        tool_use_id=document["toolUseId"],
        content=[read_tool_result_part(part) for part in document["content"]],
        status=document.get("status"),
        kind=document.get("type"),
        extra=rest(document, "toolUseId", "content", "status", "type"),
    )


def _write_tool_result(block: ToolResult) -> Members:
    return with_rest(
        optional(
            toolUseId=block.tool_use_id,
            content=[write_tool_result_part(part) for part in block.content],
            status=block.status,
            type=block.kind,
        ),
        block.extra,
    )


def read_tool_result_part(document: Members) -> ToolResultPart:
    """Read a ToolResultContentBlock."""
    kind, value = only_member(document)
    if kind == "json":
        return Json(value=value)
    if kind not in _RESULT_KINDS:  # before it is read: nothing has checked what it holds
        raise Unsupported(f"The result of a tool can't hold a {kind!r} block here.")
    part = read_block(document)
    assert isinstance(part, Text | Image | Document | Video | SearchResult)
    return part


def write_tool_result_part(part: ToolResultPart) -> Members:
    """Write a ToolResultContentBlock."""
    return {"json": part.value} if isinstance(part, Json) else write_block(part)


def _read_tool_reference(document: Members) -> ToolReference:
    tool = document["tool"]
    return ToolReference(
        kind=tool.get("type"),
        name=tool.get("name"),
        server=tool.get("serverName"),
        extra=rest(tool, "type", "name", "serverName"),
    )


def _write_tool_reference(block: ToolAddition | ToolRemoval) -> Members:
    tool = block.tool
    reference = optional(type=tool.kind, name=tool.name, serverName=tool.server)
    return with_rest({"tool": with_rest(reference, tool.extra)}, block.extra)


# --- guardrails, caches, reasoning, citations --------------------------------------------------


def _read_guard_content(document: Members) -> GuardContent:
    kind, value = only_member(document)
    if kind == "image" and "bytes" in value["source"]:
        return GuardContent(image=read_image(value))
    if kind == "text":
        return GuardContent(
            text=value["text"],
            qualifiers=value.get("qualifiers"),
            extra=rest(value, "text", "qualifiers"),
        )
    return GuardContent(extra={DIALECT: document})


def _write_guard_content(block: GuardContent) -> Members:
    if block.image is not None:
        return {"image": write_image_block(block.image)}
    if block.text is None:
        return with_rest({}, block.extra)
    text = optional(text=block.text, qualifiers=block.qualifiers)
    return {"text": with_rest(text, block.extra)}


def read_cache_point(document: Members) -> CachePoint:
    """Read a CachePointBlock."""
    is_default = document.get("type") == "default"
    known = ("type", "ttl") if is_default else ("ttl",)
    return CachePoint(ttl=document.get("ttl"), extra=rest(document, *known))


def write_cache_point(block: CachePoint) -> Members:
    """Write a CachePointBlock."""
    document = with_rest(optional(ttl=block.ttl), block.extra)
    document.setdefault("type", "default")
    return document


def _read_reasoning(document: Members) -> Reasoning:
    kind, value = only_member(document)
    if kind == "reasoningText":
        return Reasoning(
            text=value["text"],
            signature=value.get("signature"),
            extra=rest(value, "text", "signature"),
        )
    if kind == "redactedContent":
        return Reasoning(redacted=read_blob(value))
    return Reasoning(extra={DIALECT: document})


def _write_reasoning(block: Reasoning) -> Members:
    if block.redacted is not None:
        return {"redactedContent": block.redacted}
    if block.text is None:
        document = with_rest({}, block.extra)
        return document or {"reasoningText": optional(text="", signature=block.signature)}
    text = optional(text=block.text, signature=block.signature)
    return {"reasoningText": with_rest(text, block.extra)}


_LOCATIONS = {
    "web": "web",
    "documentChar": "document_char",
    "documentPage": "document_page",
    "documentChunk": "document_chunk",
    "searchResultLocation": "search_result",
}
_LOCATION_NAMES = {kind: name for name, kind in _LOCATIONS.items()}


def read_citation(document: Members) -> Citation:
    """Read a Citation, or a CitationsDelta."""
    location = document.get("location")
    content = document.get("sourceContent")
    # A location of an unknown kind is left to `extra`, so that it comes back as it was.
    known_location = location is not None and only_member(location)[0] in _LOCATIONS
    return Citation(
        title=document.get("title"),
        source=document.get("source"),
        source_content=None if content is None else [piece.get("text", "") for piece in content],
        location=_read_location(location) if location is not None and known_location else None,
        extra=rest(
            document, "title", "source", "sourceContent", *(("location",) if known_location else ())
        ),
    )


def write_citation(citation: Citation) -> Members:
    """Write a Citation, or a CitationsDelta."""
    content, location = citation.source_content, citation.location
    return with_rest(
        optional(
            title=citation.title,
            source=citation.source,
            sourceContent=None if content is None else [{"text": piece} for piece in content],
            location=None if location is None else _write_location(location),
        ),
        citation.extra,
    )


def _read_location(document: Members) -> CitationLocation:
    name, value = only_member(document)
    if name == "web":
        return CitationLocation(
            kind="web",
            url=value.get("url"),
            domain=value.get("domain"),
            extra=rest(value, "url", "domain"),
        )
    index = "searchResultIndex" if name == "searchResultLocation" else "documentIndex"
    return CitationLocation(
        kind=_LOCATIONS[name],
        index=value.get(index),
        start=value.get("start"),
        end=value.get("end"),
        extra=rest(value, index, "start", "end"),
    )


def _write_location(location: CitationLocation) -> Members:
    name = _LOCATION_NAMES.get(location.kind)
    if name is None:
        raise Unsupported(f"A citation of kind {location.kind!r} has no form in Converse.")
    if name == "web":
        document = optional(url=location.url, domain=location.domain)
    else:
        index = "searchResultIndex" if name == "searchResultLocation" else "documentIndex"
        document = optional(start=location.start, end=location.end)
        if location.index is not None:
            document[index] = location.index
    return {name: with_rest(document, location.extra)}


def _read_cited_text(document: Members) -> CitedText:
    return CitedText(
        passages=read_passages(document.get("content", [])),
        citations=[read_citation(citation) for citation in document.get("citations", [])],
        extra=rest(document, "content", "citations"),
    )


def _write_cited_text(block: CitedText) -> Members:
    document = {
        "content": [{"text": passage} for passage in block.passages],
        "citations": [write_citation(citation) for citation in block.citations],
    }
    return with_rest(document, block.extra)


def _read_search_result(document: Members) -> SearchResult:
    citations = document.get("citations")
    return SearchResult(
        source=document["source"],
        title=document["title"],
        passages=[passage["text"] for passage in document["content"]],
        citations=None if citations is None else citations["enabled"],
        extra=rest(document, "source", "title", "content", "citations"),
    )


def _write_search_result(block: SearchResult) -> Members:
    return with_rest(
        optional(
            source=block.source,
            title=block.title,
            content=[{"text": passage} for passage in block.passages],
            citations=None if block.citations is None else {"enabled": block.citations},
        ),
        block.extra,
    )


def _read_text(value: str) -> Text:
    return Text(text=value)


def _write_text(block: Text | Refusal) -> str:
    # Converse has no block for a refusal: what the model said stays text.
    return block.text


_SYSTEM_KINDS = frozenset({"text", "guardContent", "cachePoint"})
_RESULT_KINDS = frozenset({"text", "image", "document", "video", "searchResult"})
_READERS: dict[str, Callable[[Any], Block]] = {
    "text": _read_text,
    "image": read_image,
    "document": read_document,
    "video": read_video,
    "audio": read_audio,
    "toolUse": _read_tool_use,
    "toolResult": _read_tool_result,
    "guardContent": _read_guard_content,
    "cachePoint": read_cache_point,
    "reasoningContent": _read_reasoning,
    "citationsContent": _read_cited_text,
    "searchResult": _read_search_result,
    "toolAddition": lambda value: ToolAddition(
        tool=_read_tool_reference(value), extra=rest(value, "tool")
    ),
    "toolRemoval": lambda value: ToolRemoval(
        tool=_read_tool_reference(value), extra=rest(value, "tool")
    ),
}
_WRITERS: dict[type[Part], tuple[str, Callable[[Any], Any]]] = {
    Text: ("text", _write_text),
    Refusal: ("text", _write_text),
    Image: ("image", write_image_block),
    Document: ("document", write_document),
    Video: ("video", write_video),
    Audio: ("audio", write_audio),
    ToolUse: ("toolUse", _write_tool_use),
    ToolResult: ("toolResult", _write_tool_result),
    GuardContent: ("guardContent", _write_guard_content),
    CachePoint: ("cachePoint", write_cache_point),
    Reasoning: ("reasoningContent", _write_reasoning),
    CitedText: ("citationsContent", _write_cited_text),
    SearchResult: ("searchResult", _write_search_result),
    ToolAddition: ("toolAddition", _write_tool_reference),
    ToolRemoval: ("toolRemoval", _write_tool_reference),
}
