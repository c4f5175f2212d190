"""Citations of Anthropic's messages: wire to conversation model, and back."""

from typing import Any

from craton.dialects.anthropic_messages_wire import (
    CharLocation,
    CitationBody,
    ContentBlockLocation,
    PageLocation,
    SearchResultLocation,
    WebSearchLocation,
)
from craton.dialects.members import Json, members, plain
from craton.messages.blocks import Citation, CitationLocation, Extra

DIALECT = "anthropic"

_RANGES = {
    "document_char": ("char_location", "start_char_index", "end_char_index"),
    "document_page": ("page_location", "start_page_number", "end_page_number"),
    "document_chunk": ("content_block_location", "start_block_index", "end_block_index"),
}


def extra_of(unknown: Json | None, form: Json | None = None) -> Extra | None:
    """The `extra` of a part: unknown members, and the forms that known ones came in."""
    if unknown is None and not form:
        return None
    return {DIALECT: {**(unknown or {}), **(form or {})}}


def own(extra: Extra | None) -> Json:
    """What this wire kept in a part's `extra`."""
    return extra.get(DIALECT, {}) if extra else {}


def read_citation(body: CitationBody) -> Citation:
    """One citation; one of a kind this model doesn't know is kept as it came."""
    match body:
        case CharLocation():
            kind, start, end = "document_char", body.start_char_index, body.end_char_index
        case PageLocation():
            kind, start, end = "document_page", body.start_page_number, body.end_page_number
        case ContentBlockLocation():
            kind, start, end = "document_chunk", body.start_block_index, body.end_block_index
        case SearchResultLocation():
            return Citation(
                title=body.title,
                source=body.source,
                source_content=[body.cited_text],
                location=CitationLocation(
                    kind="search_result",
                    index=body.search_result_index,
                    start=body.start_block_index,
                    end=body.end_block_index,
                ),
                extra=extra_of(members(body)),
            )
        case WebSearchLocation():
            return Citation(
                title=body.title,
                source_content=[body.cited_text],
                location=CitationLocation(kind="web", url=body.url),
                extra=extra_of(members(body), {"encrypted_index": body.encrypted_index}),
            )
        case _:
            return Citation(extra=extra_of(plain(body)))
    return Citation(
        title=body.document_title,
        source_content=[body.cited_text],
        location=CitationLocation(kind=kind, index=body.document_index, start=start, end=end),
        extra=extra_of(members(body)),
    )


def write_citation(citation: Citation) -> Json:
    """One citation."""
    location = citation.location
    rides = own(citation.extra)
    if location is None:
        return dict(rides)
    out: dict[str, Any] = {"cited_text": "".join(citation.source_content or [])}
    match location.kind:
        case "web":
            out |= {
                "type": "web_search_result_location",
                "url": location.url or "",
                "encrypted_index": "",
                "title": citation.title,
            }
        case "search_result":
            out |= {
                "type": "search_result_location",
                "search_result_index": location.index or 0,
                "start_block_index": location.start or 0,
                "end_block_index": location.end or 0,
                "source": citation.source or "",
                "title": citation.title,
            }
        case kind:
            tag, start, end = _RANGES[kind]
            out |= {
                "type": tag,
                "document_index": location.index or 0,
                "document_title": citation.title,
                start: location.start or 0,
                end: location.end or 0,
            }
    return out | rides
