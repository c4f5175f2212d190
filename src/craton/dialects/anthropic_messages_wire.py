"""The objects of Anthropic's messages, as they stand on the wire.

Source: the Anthropic API reference, messages (https://platform.claude.com/docs/en/api/messages),
and the types of the anthropic Python library 2.12.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from craton.dialects.members import UnknownKind, Wire

Named = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Json = dict[str, Any]


class CacheControl(Wire):
    """All up to here may be cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class CitationsConfig(Wire):
    """Whether the model may cite."""

    enabled: bool | None = None


class CharLocation(Wire, tag="char_location"):
    """Characters of a text document."""

    cited_text: str
    document_index: int
    start_char_index: int
    end_char_index: int
    document_title: str | None = None


class PageLocation(Wire, tag="page_location"):
    """Pages of a document."""

    cited_text: str
    document_index: int
    start_page_number: int
    end_page_number: int
    document_title: str | None = None


class ContentBlockLocation(Wire, tag="content_block_location"):
    """Passages of a document."""

    cited_text: str
    document_index: int
    start_block_index: int
    end_block_index: int
    document_title: str | None = None


class SearchResultLocation(Wire, tag="search_result_location"):
    """Passages of a search result."""

    cited_text: str
    search_result_index: int
    start_block_index: int
    end_block_index: int
    source: str
    title: str | None = None


class WebSearchLocation(Wire, tag="web_search_result_location"):
    """A web page."""

    cited_text: str
    url: str
    encrypted_index: str
    title: str | None = None


CitationBody = (
    CharLocation
    | PageLocation
    | ContentBlockLocation
    | SearchResultLocation
    | WebSearchLocation
    | UnknownKind
)


class TextBlock(Wire, tag="text"):
    """Text, and what it rests on."""

    text: str
    citations: list[CitationBody] | None = None
    cache_control: CacheControl | None = None


class Base64Source(Wire, tag="base64"):
    """Media inside the body."""

    data: str
    media_type: Named


class UrlSource(Wire, tag="url"):
    """Media behind an address."""

    url: str


class FileSource(Wire, tag="file"):
    """Media uploaded before."""

    file_id: str


class PlainTextSource(Wire, tag="text"):
    """A document of plain text."""

    data: str
    media_type: Literal["text/plain"]


class ContentSource(Wire, tag="content"):
    """A document of blocks."""

    content: str | list[TextBlock | UnknownKind]


class ImageBlock(Wire, tag="image"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class DocumentBlock(Wire, tag="document"):
    """A document."""

    source: Base64Source | UrlSource | FileSource | PlainTextSource | ContentSource
    title: str | None = None
    context: str | None = None
    citations: CitationsConfig | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(Wire, tag="search_result"):
    """A passage found by retrieval."""

    source: str
    title: str
    content: list[TextBlock]
    citations: CitationsConfig | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Wire, tag="thinking"):
    """What the model thought, signed."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Wire, tag="redacted_thinking"):
    """What the model thought, encrypted."""

    data: str


class ToolUseBlock(Wire, tag="tool_use"):
    """A call of a tool that the caller runs."""

    id: str
    name: str
    input: Json
    cache_control: CacheControl | None = None


class ServerToolUseBlock(Wire, tag="server_tool_use"):
    """A call of a tool that the server runs."""

    id: str
    name: str
    input: Json
    cache_control: CacheControl | None = None


class ToolResultBlock(Wire, tag="tool_result"):
    """What a tool answered."""

    tool_use_id: str
    content: (
        str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | UnknownKind] | None
    ) = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


ContentBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ServerToolUseBlock
    | ToolResultBlock
    | UnknownKind
)


class UserMessage(Wire, tag_field="role", tag="user"):
    """What the user says."""

    content: str | Annotated[list[ContentBlock], Meta(min_length=1)]


class AssistantMessage(Wire, tag_field="role", tag="assistant"):
    """What the model said before."""

    content: str | list[ContentBlock]


class SystemMessage(Wire, tag_field="role", tag="system"):
    """Instructions in mid-conversation."""

    content: str | Annotated[list[TextBlock | UnknownKind], Meta(min_length=1)]


class ToolBody(Wire):
    """A tool. One whose `type` is neither absent nor `custom` is Anthropic's own."""

    name: str | None = None
    type: str | None = None
    input_schema: Json | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class AutoChoice(Wire, tag="auto"):
    """The model decides."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Wire, tag="any"):
    """Some tool must be called."""

    disable_parallel_tool_use: bool | None = None


class ToolByName(Wire, tag="tool"):
    """This tool must be called."""

    name: Named
    disable_parallel_tool_use: bool | None = None


class NoneChoice(Wire, tag="none"):
    """No tool may be called."""


class ThinkingEnabled(Wire, tag="enabled"):
    """Think, within a budget of tokens."""

    budget_tokens: Annotated[int, Meta(ge=1024)]


class ThinkingDisabled(Wire, tag="disabled"):
    """Don't think."""


class ThinkingAdaptive(Wire, tag="adaptive"):
    """Think as much as it takes."""


class ThinkingBetweenTools(Wire, tag="between_tools"):
    """Think between the calls of tools."""


class MetadataBody(Wire):
    """Who the caller's own end user is."""

    user_id: str | None = None


class SchemaFormat(Wire, tag="json_schema"):
    """JSON that fits a schema."""

    schema: Json


class OutputConfig(Wire):
    """How much effort to take, and which form the output has."""

    effort: str | None = None
    format: SchemaFormat | None = None


class CountRequest(Wire):
    """The body of a request to count tokens: a message request may lack its limit there."""

    model: Named
    messages: Annotated[list[UserMessage | AssistantMessage | SystemMessage], Meta(min_length=1)]
    max_tokens: Count | None = None
    system: str | list[TextBlock | UnknownKind] | None = None
    stream: bool | None = None
    temperature: Fraction | None = None
    top_p: Fraction | None = None
    top_k: Count | None = None
    stop_sequences: list[Named] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: AutoChoice | AnyChoice | ToolByName | NoneChoice | None = None
    thinking: (
        ThinkingEnabled | ThinkingDisabled | ThinkingAdaptive | ThinkingBetweenTools | None
    ) = None
    metadata: MetadataBody | None = None
    service_tier: str | None = None
    output_config: OutputConfig | None = None


class FullRequest(CountRequest):
    """The body of a request with the members that the conversation model has no place for.

    They ride in `Request.extra["anthropic"]`.
    """

    cache_control: CacheControl | None = None
    container: str | Json | None = None
    diagnostics: Json | None = None
    inference_geo: str | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class CacheCreation(Wire):
    """Tokens written to a cache, by how long they are kept."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class OutputDetails(Wire):
    """A breakdown of the generated tokens."""

    thinking_tokens: int = 0


class UsageBody(Wire):
    """What an answer used. The prompt's counts are disjoint; `output_tokens` is cumulative."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None
    server_tool_use: Json | None = None
    inference_geo: str | None = None


class AnswerBody(Wire, tag="message"):
    """The body of a whole answer; in a stream, its beginning."""

    id: str
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    usage: UsageBody
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    container: Any = None
    diagnostics: Any = None


class MessageStartFrame(Wire, tag="message_start"):
    """The answer begins."""

    message: AnswerBody


class BlockStartFrame(Wire, tag="content_block_start"):
    """A block begins."""

    index: int
    content_block: ContentBlock


class TextDelta(Wire, tag="text_delta"):
    """More text."""

    text: str


class InputJsonDelta(Wire, tag="input_json_delta"):
    """More of a call's input."""

    partial_json: str


class ThinkingDelta(Wire, tag="thinking_delta"):
    """More thought."""

    thinking: str


class SignatureDelta(Wire, tag="signature_delta"):
    """The signature of what was thought."""

    signature: str


class CitationsDelta(Wire, tag="citations_delta"):
    """A citation."""

    citation: CitationBody


class BlockDeltaFrame(Wire, tag="content_block_delta"):
    """More of a block."""

    index: int
    delta: (
        TextDelta | InputJsonDelta | ThinkingDelta | SignatureDelta | CitationsDelta | UnknownKind
    )


class BlockStopFrame(Wire, tag="content_block_stop"):
    """A block is complete."""

    index: int


class StopBody(Wire):
    """Why the answer stopped."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    container: Any = None


class MessageDeltaFrame(Wire, tag="message_delta"):
    """Why the answer stopped, and what it used."""

    delta: StopBody
    usage: UsageBody | None = None


class MessageStopFrame(Wire, tag="message_stop"):
    """The answer is complete."""


class PingFrame(Wire, tag="ping"):
    """Nothing; it keeps the connection open."""


class ErrorBody(Wire):
    """What went wrong."""

    type: str | None = None
    message: str | None = None


class ErrorFrame(Wire, tag="error"):
    """The answer failed."""

    error: ErrorBody
    request_id: str | None = None


StreamFrame = (
    BlockDeltaFrame
    | MessageStartFrame
    | BlockStartFrame
    | BlockStopFrame
    | MessageDeltaFrame
    | MessageStopFrame
    | PingFrame
    | ErrorFrame
    | UnknownKind
)
