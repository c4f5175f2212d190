"""The objects of OpenAI's chat completions, as they stand on the wire.

Source: the OpenAI API reference, chat completions (https://platform.openai.com/docs/api-reference/chat),
and the types of the openai Python library 3.54. Members that vLLM, SGLang and DeepSeek add are
declared where nearly every answer of theirs has them.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from craton.dialects.members import UnknownKind, Wire

Named = Annotated[str, Meta(min_length=1)]
Tokens = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Integer64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Bias = Annotated[int, Meta(ge=-100, le=100)] | Annotated[float, Meta(ge=-100, le=100)]
Document = dict[str, Any]


class TextPart(Wire, tag="text"):
    """Text of a message."""

    text: str


class RefusalPart(Wire, tag="refusal"):
    """A refusal the model gave before."""

    refusal: str


class ImageUrl(Wire):
    """Where a picture is: an address or a `data:` URL."""

    url: str
    detail: str | None = None


class ImagePart(Wire, tag="image_url"):
    """A picture."""

    image_url: ImageUrl


class InputAudio(Wire):
    """Sound, base64."""

    data: str
    format: str


class AudioPart(Wire, tag="input_audio"):
    """A sound."""

    input_audio: InputAudio


class FileBody(Wire):
    """A file: its data or the id it was uploaded under."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Wire, tag="file"):
    """A document."""

    file: FileBody


UserPart = TextPart | ImagePart | AudioPart | FilePart | UnknownKind
UserParts = Annotated[list[UserPart], Meta(min_length=1)]
TextParts = Annotated[list[TextPart], Meta(min_length=1)]
AssistantParts = Annotated[list[TextPart | RefusalPart | UnknownKind], Meta(min_length=1)]


class SystemMessage(Wire, tag_field="role", tag="system"):
    """Instructions."""

    content: str | TextParts
    name: str | None = None


class DeveloperMessage(Wire, tag_field="role", tag="developer"):
    """Instructions, as newer models call them."""

    content: str | TextParts
    name: str | None = None


class UserMessage(Wire, tag_field="role", tag="user"):
    """What the user says."""

    content: str | UserParts
    name: str | None = None


class FunctionCall(Wire):
    """A call's name, and its arguments as JSON text."""

    name: str
    arguments: str


class FunctionToolCall(Wire, tag="function"):
    """A call of a function."""

    id: str
    function: FunctionCall


class CustomCall(Wire):
    """A call's name, and its input as free text."""

    name: str
    input: str


class CustomToolCall(Wire, tag="custom"):
    """A call of a custom tool."""

    id: str
    custom: CustomCall


ToolCall = FunctionToolCall | CustomToolCall


class AssistantMessage(Wire, tag_field="role", tag="assistant"):
    """What the model said before. DeepSeek and vLLM take its reasoning back as well."""

    content: str | AssistantParts | UnsetType | None = UNSET
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None
    audio: Document | None = None
    function_call: Document | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class ToolMessage(Wire, tag_field="role", tag="tool"):
    """What a tool answered."""

    content: str | TextParts
    tool_call_id: str


class FunctionMessage(Wire, tag_field="role", tag="function"):
    """What a function answered (deprecated by OpenAI)."""

    content: str | None
    name: str


ChatMessage = (
    SystemMessage
    | DeveloperMessage
    | UserMessage
    | AssistantMessage
    | ToolMessage
    | FunctionMessage
)


class FunctionDefinition(Wire):
    """A function the model may call."""

    name: Named
    description: str | None = None
    parameters: Document | None = None
    strict: bool | None = None


class FunctionTool(Wire, tag="function"):
    """A tool that is a function."""

    function: FunctionDefinition


class ToolName(Wire):
    """A tool, by name."""

    name: Named


class FunctionChoice(Wire, tag="function"):
    """This function must be called."""

    function: ToolName


class CustomChoice(Wire, tag="custom"):
    """This custom tool must be called."""

    custom: ToolName


class AllowedTools(Wire):
    """A subset of the tools, and how to choose in it."""

    mode: str
    tools: list[Document]


class AllowedChoice(Wire, tag="allowed_tools"):
    """Only these tools may be called."""

    allowed_tools: AllowedTools


class TextFormat(Wire, tag="text"):
    """Plain text."""


class JsonObjectFormat(Wire, tag="json_object"):
    """Some JSON object."""


class SchemaBody(Wire):
    """A schema the answer must fit."""

    name: Named
    description: str | None = None
    schema: Document | None = None
    strict: bool | None = None


class SchemaFormat(Wire, tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: SchemaBody


class StreamOptions(Wire):
    """How to stream."""

    include_usage: bool | None = None


MetadataKey = Annotated[str, Meta(max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]


class ChatRequest(Wire):
    """The body of a request: its common members."""

    model: Named
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Integer64 | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: Integer64 | None = None
    stop: str | Annotated[list[Named], Meta(max_length=4)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    tools: list[FunctionTool | UnknownKind] | None = None
    tool_choice: str | FunctionChoice | CustomChoice | AllowedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | JsonObjectFormat | SchemaFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    user: str | None = None
    service_tier: str | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] | None = None


class FullChatRequest(ChatRequest):
    """The body of a request with the members that the conversation model has no place for.

    They ride in `Request.extra["openai"]`.
    """

    audio: Document | None = None
    function_call: str | Document | None = None
    functions: list[Document] | None = None
    logit_bias: dict[str, Bias] | None = None
    modalities: list[str] | None = None
    moderation: Document | None = None
    prediction: Document | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Document | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    verbosity: str | None = None
    web_search_options: Document | None = None


class Logprobs(Wire):
    """What each token's probability was."""

    content: list[Any] | None = None
    refusal: list[Any] | None = None


class PromptDetails(Wire):
    """A breakdown of the prompt's tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionDetails(Wire):
    """A breakdown of the generated tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class UsageBody(Wire):
    """What an answer used; `prompt_tokens` includes tokens read from and written to a cache."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ThinkingPart(Wire, tag="thinking"):
    """Reasoning, as Mistral's models have it in their content."""

    thinking: list[TextPart | UnknownKind]


AnswerParts = list[TextPart | ThinkingPart | UnknownKind]


class AnsweredFunction(Wire):
    """A call as it is answered: some servers leave out the arguments where there are none."""

    name: str
    arguments: str | None = None


class AnsweredCall(Wire):
    """A tool call as it is answered: Mistral's don't say their type, and are functions."""

    id: str
    type: str | None = None
    function: AnsweredFunction | None = None
    custom: CustomCall | None = None


class AnswerMessage(Wire):
    """The message of an answer.

    `reasoning` is vLLM's and OpenRouter's word, `reasoning_content` DeepSeek's and SGLang's. The
    content is a list where a model of Mistral's thinks.
    """

    role: str | None = None
    content: str | AnswerParts | None = None
    refusal: str | None = None
    tool_calls: list[AnsweredCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: list[Any] | None = None
    audio: Document | None = None
    function_call: Document | None = None


class AnswerChoice(Wire):
    """One of an answer's alternatives. `stop_reason` and `token_ids` are vLLM's.

    Azure leaves out the message where its filter took it away.
    """

    message: AnswerMessage | None = None
    index: int = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None
    token_ids: Any = None


class AnswerBody(Wire):
    """The body of a whole answer. The last three members are vLLM's."""

    choices: list[AnswerChoice]
    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    prompt_logprobs: Any = None
    prompt_token_ids: Any = None
    kv_transfer_params: Any = None


class FunctionDelta(Wire):
    """More of a call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Wire):
    """More of one of the calls."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None


class Delta(Wire):
    """More of the message."""

    role: str | None = None
    content: str | AnswerParts | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: Any = None


class ChunkChoice(Wire):
    """More of one of the alternatives. Azure leaves out the delta where only its filter speaks."""

    delta: Delta = field(default_factory=Delta)
    index: int = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None
    token_ids: Any = None


class Chunk(Wire):
    """One chunk of a stream. `obfuscation` is padding that hides lengths from eavesdroppers."""

    choices: list[ChunkChoice]
    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    obfuscation: str | None = None
    prompt_token_ids: Any = None
