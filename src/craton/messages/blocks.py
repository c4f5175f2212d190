"""What a message is made of.

Every content block, system block and source of the current Converse model has a place here, and so
has what OpenAI and Anthropic carry. Having a place doesn't mean that an engine can serve it: an
engine refuses a block it can't read with `Unsupported`, naming the block.

`extra` on a part holds what one wire carries and this model doesn't know, under the dialect's name,
so that it survives to the same wire on the far side: `{"anthropic": {"some_new_field": 1}}`.
"""

from enum import StrEnum
from typing import Any

import msgspec

Extra = dict[str, dict[str, Any]]


class Role(StrEnum):
    """Who speaks.

    `system` is for instructions that come in mid-conversation, which all three wires have;
    those before the first turn are the request's `system`.
    """

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all parts share."""

    extra: Extra | None = None


class InlineSource(Part, frozen=True, tag="inline"):
    """Media that came inside the request."""

    data: bytes


class S3Source(Part, frozen=True, tag="s3"):
    """Media in an object store."""

    uri: str
    bucket_owner: str | None = None


class UrlSource(Part, frozen=True, tag="url"):
    """Media behind an address (OpenAI, Anthropic)."""

    url: str


class FileSource(Part, frozen=True, tag="file"):
    """Media uploaded before, by its id (OpenAI, Anthropic)."""

    file_id: str


class TextSource(Part, frozen=True, tag="text"):
    """A document that is plain text."""

    text: str


class PassagesSource(Part, frozen=True, tag="passages"):
    """A document that is a list of passages, each citable."""

    passages: list[str]


MediaSource = InlineSource | S3Source | UrlSource | FileSource
DocumentSource = InlineSource | S3Source | UrlSource | FileSource | TextSource | PassagesSource


class Text(Part, frozen=True, tag="text"):
    """Plain text. `logprobs`, in an answer: each token's, where the request asked for them."""

    text: str
    logprobs: list[Any] | None = None


class Image(Part, frozen=True, tag="image"):
    """A picture. `format` is png, jpeg, gif or webp; None where a wire leaves it to the bytes."""

    source: MediaSource | None
    format: str | None = None
    detail: str | None = None
    error: str | None = None


class Document(Part, frozen=True, tag="document"):
    """A document; `name` is how the model may cite it. `format` is pdf, csv, docx, txt, md, …."""

    source: DocumentSource
    name: str | None = None
    format: str | None = None
    context: str | None = None
    citations: bool | None = None


class Video(Part, frozen=True, tag="video"):
    """A moving picture."""

    source: MediaSource
    format: str | None = None


class Audio(Part, frozen=True, tag="audio"):
    """Sound."""

    source: MediaSource | None
    format: str | None = None
    error: str | None = None


class SearchResult(Part, frozen=True, tag="search_result"):
    """A passage found by retrieval, citable."""

    source: str
    title: str
    passages: list[str]
    citations: bool | None = None


class ToolUse(Part, frozen=True, tag="tool_use"):
    """The model asks for a tool. `input` is a JSON value; `server`: the server runs it itself."""

    id: str
    name: str
    input: Any
    server: bool = False


class Json(Part, frozen=True, tag="json"):
    """A JSON value as the result of a tool."""

    value: Any


ToolResultPart = Text | Json | Image | Document | Video | SearchResult


class ToolResult(Part, frozen=True, tag="tool_result"):
    """What a tool answered. `status` is success or error; `kind` names results of server tools."""

    tool_use_id: str
    content: list[ToolResultPart]
    status: str | None = None
    kind: str | None = None


class GuardContent(Part, frozen=True, tag="guard_content"):
    """Content that only the guardrail judges, or judges in a special way."""

    text: str | None = None
    qualifiers: list[str] | None = None
    image: Image | None = None


class CachePoint(Part, frozen=True, tag="cache_point"):
    """Everything before this point may be cached. `ttl` is 5m or 1h."""

    ttl: str | None = None


class Reasoning(Part, frozen=True, tag="reasoning"):
    """What the model thought. Either `text` (with its `signature`) or `redacted` bytes."""

    text: str | None = None
    signature: str | None = None
    redacted: bytes | None = None


class CitationLocation(Part, frozen=True):
    """Where a citation points.

    `kind` is web, document_char, document_page, document_chunk or search_result.
    """

    kind: str
    index: int | None = None
    start: int | None = None
    end: int | None = None
    url: str | None = None
    domain: str | None = None


class Citation(Part, frozen=True):
    """One citation under generated text."""

    title: str | None = None
    source: str | None = None
    source_content: list[str] | None = None
    location: CitationLocation | None = None


class CitedText(Part, frozen=True, tag="cited_text"):
    """Generated text together with what it rests on."""

    passages: list[str]
    citations: list[Citation]


class Refusal(Part, frozen=True, tag="refusal"):
    """The model's own refusal, which OpenAI keeps apart from text."""

    text: str
    logprobs: list[Any] | None = None


class ToolReference(Part, frozen=True):
    """A tool that a conversation names without defining it; `server` is where it lives."""

    kind: str | None = None
    name: str | None = None
    server: str | None = None


class ToolAddition(Part, frozen=True, tag="tool_addition"):
    """From here on the model may call this tool too."""

    tool: ToolReference


class ToolRemoval(Part, frozen=True, tag="tool_removal"):
    """From here on the model may no longer call this tool."""

    tool: ToolReference


class Opaque(Part, frozen=True, tag="opaque"):
    """A block this model has no place for, as it came on one wire: only that wire carries it on."""

    dialect: str
    kind: str
    value: Any


Block = (
    Text
    | Image
    | Document
    | Video
    | Audio
    | SearchResult
    | ToolUse
    | ToolResult
    | GuardContent
    | CachePoint
    | Reasoning
    | CitedText
    | Refusal
    | ToolAddition
    | ToolRemoval
    | Opaque
)
SystemBlock = Text | GuardContent | CachePoint | Opaque


class Message(Part, frozen=True):
    """One turn of a conversation."""

    role: Role
    content: list[Block]
