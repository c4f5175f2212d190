"""The objects of OpenAI's Responses, as they stand on the wire.

Sources: the OpenAI API reference, responses (https://platform.openai.com/docs/api-reference/responses),
the types of the openai Python library 3.54, and Open Responses 2026-04-24
(https://www.openresponses.org/specification), which adds the penalties.

The body and its settings refuse members they don't know. Items and their parts are read with what
is known of them and kept as they came, since programs send back what newer servers gave them.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from craton.dialects.members import Wire
from craton.dialects.openai_chat_wire import MetadataKey, MetadataValue, Named, Penalty

Document = dict[str, Any]
CallId = Annotated[str, Meta(min_length=1)]


class ReasoningSettings(Wire):
    """How much to reason, and what to tell of it. `generate_summary` is the old `summary`."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class PlainFormat(Wire, tag="text"):
    """Plain text."""


class ObjectFormat(Wire, tag="json_object"):
    """Some JSON object."""


class SchemaFormat(Wire, tag="json_schema"):
    """JSON that fits a schema."""

    name: Named
    schema: Document
    description: str | None = None
    strict: bool | None = None


class TextSettings(Wire):
    """The form of the answer's text."""

    format: PlainFormat | ObjectFormat | SchemaFormat | None = None
    verbosity: str | None = None


class StreamOptions(Wire):
    """How to stream."""

    include_obfuscation: bool | None = None


class CreateBody(Wire):
    """The body of a request.

    The members from `background` on are declared so that each can be refused by its name.
    """

    model: Named
    input: str | list[Any] | None = None
    instructions: str | None = None
    previous_response_id: Named | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    include: list[str] | None = None
    tools: list[Document] | None = None
    tool_choice: str | Document | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    truncation: str | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Document | None = None
    background: bool | None = None
    background_options: Document | None = None
    conversation: str | Document | None = None
    context_management: list[Document] | None = None
    prompt: Document | None = None
    moderation: Document | None = None
    image: Document | None = None
    access_programs: Document | None = None


class FunctionTool(Wire, tag="function"):
    """A function the model may call."""

    name: Named
    description: str | None = None
    parameters: Document | None = None
    strict: bool | None = None


class FunctionChoice(Wire, tag="function"):
    """This function must be called."""

    name: Named


class AllowedChoice(Wire, tag="allowed_tools"):
    """Only these tools may be called."""

    tools: Annotated[list[Document], Meta(min_length=1)]
    mode: str = "auto"


class Loose(msgspec.Struct, kw_only=True, gc=False):
    """An object of a conversation: members it doesn't declare are passed over."""


class InputTextPart(Loose):
    """Text, whoever said it."""

    text: str


class RefusalPart(Loose):
    """A refusal the model gave before."""

    refusal: str


class InputImagePart(Loose):
    """A picture: an address, a `data:` URL, or the id of a file."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class InputFilePart(Loose):
    """A file: its data, an address, or the id it was uploaded under."""

    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputAudio(Loose):
    """Sound, base64."""

    data: str
    format: str


class InputAudioPart(Loose):
    """A sound."""

    input_audio: InputAudio


class MessageItem(Loose):
    """What someone says."""

    role: str
    content: str | list[Document]


class FunctionCallItem(Loose):
    """A call the model made; `arguments` is JSON text."""

    call_id: CallId
    name: Named
    arguments: str


class FunctionCallOutputItem(Loose):
    """What the function answered."""

    call_id: CallId
    output: str | list[Document]


class ReasoningItem(Loose):
    """What the model thought before."""

    summary: list[Document] = []
    content: list[Document] | None = None
    encrypted_content: str | None = None


class ReferenceItem(Loose):
    """An item of a response that is kept, by its id."""

    id: Named
