"""One request to a model, as every wire reads it and every engine takes it."""

from typing import Any

from craton.messages.blocks import Message, Part, SystemBlock
from craton.messages.tools import ToolChoice, ToolEntry


class JsonFormat(Part, frozen=True, tag="json"):
    """The answer must be some JSON object."""


class JsonSchemaFormat(Part, frozen=True, tag="json_schema"):
    """The answer must be JSON that fits a schema."""

    schema: Any
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


OutputFormat = JsonFormat | JsonSchemaFormat


class Guardrail(Part, frozen=True):
    """Which guardrail to apply. `trace` is enabled, disabled or enabled_full."""

    identifier: str | None = None
    version: str | None = None
    trace: str | None = None
    stream_mode: str | None = None


class Thinking(Part, frozen=True):
    """Whether and how much the model should reason before it answers.

    `mode` is enabled, disabled or adaptive (Anthropic); `effort` is OpenAI's reasoning effort.
    """

    mode: str | None = None
    budget_tokens: int | None = None
    effort: str | None = None


class Request(Part, frozen=True):
    """A conversation to continue. Only `model` and `messages` are always there.

    Sampling settings that a wire left out are None, so that the engine's card decides. `extra`
    holds what one wire carried and this model doesn't know.
    """

    model: str
    messages: list[Message]
    system: list[SystemBlock] = []
    stream: bool = False
    stream_usage: bool = True
    """OpenAI sends usage in a stream only when asked (`stream_options.include_usage`)."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop_sequences: list[str] = []
    tools: list[ToolEntry] = []
    tool_choice: ToolChoice | None = None
    parallel_tool_use: bool | None = None
    output_format: OutputFormat | None = None
    thinking: Thinking | None = None
    choices: int | None = None
    """How many answers (OpenAI's `n`); None is one. An engine is asked for one at a time."""
    logprobs: int | None = None
    """How many alternatives to report for each token; 0 is only the token's own."""
    guardrail: Guardrail | None = None
    additional_fields: Any = None
    """Converse's `additionalModelRequestFields`: a JSON value for the model itself."""
    response_fields: list[str] = []
    """Converse's `additionalModelResponseFieldPaths`."""
    prompt_variables: dict[str, str] = {}
    metadata: dict[str, str] = {}
    service_tier: str | None = None
    latency: str | None = None
    """Converse's `performanceConfig.latency`: standard or optimized."""
    user: str | None = None
    """Who the caller's own end user is, as OpenAI's `user` and Anthropic's `metadata.user_id`."""
