"""What an engine yields: the one stream that every answer is made of.

Order, for one answer:

    MessageStart, (BlockStart, delta…, BlockStop)…, MessageStop, Metadata

Blocks don't overlap; indices count from 0. `Metadata` comes last and once: it ends the stream. A
non-streamed answer is the fold of this stream (`fold.py`), never made another way. An engine that
fails raises; there is no error event.
"""

from enum import StrEnum
from typing import Any

import msgspec

from craton.messages.blocks import Citation, Image, Part, Role, ToolResultPart
from craton.messages.usage import Usage


class StopReason(StrEnum):
    """Why the model stopped; Converse's own set."""

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    GUARDRAIL_INTERVENED = "guardrail_intervened"
    CONTENT_FILTERED = "content_filtered"
    MALFORMED_MODEL_OUTPUT = "malformed_model_output"
    MALFORMED_TOOL_USE = "malformed_tool_use"
    CONTEXT_WINDOW_EXCEEDED = "model_context_window_exceeded"


class BlockKind(StrEnum):
    """The kinds of block an engine can generate."""

    TEXT = "text"
    TOOL_USE = "tool_use"
    TOOL_RESULT = "tool_result"
    REASONING = "reasoning"
    IMAGE = "image"
    REFUSAL = "refusal"
    OPAQUE = "opaque"


class MessageStart(Part, frozen=True, tag="message_start"):
    """The answer begins. `id` and `model` are an upstream's own, where there is one.

    `usage` is what is known at the start (the prompt), where the engine knows it: Anthropic's
    stream tells it first. `Metadata` has the final word.
    """

    role: Role = Role.ASSISTANT
    id: str | None = None
    model: str | None = None
    usage: Usage | None = None


class BlockStart(Part, frozen=True, tag="block_start"):
    """A block begins; `tool_use_id` and `name` belong to tool_use and tool_result."""

    index: int
    kind: BlockKind = BlockKind.TEXT
    tool_use_id: str | None = None
    name: str | None = None
    server: bool = False
    status: str | None = None
    format: str | None = None
    value: Any = None
    """For an opaque block: its start as it came on the wire."""


class TextDelta(Part, frozen=True, tag="text"):
    """More text of a text or refusal block."""

    index: int
    text: str
    logprobs: list[Any] | None = None


class ToolInputDelta(Part, frozen=True, tag="tool_input"):
    """More of a tool call's input, as a piece of JSON text."""

    index: int
    json: str


class ReasoningDelta(Part, frozen=True, tag="reasoning"):
    """More reasoning: text, or the signature, or redacted bytes."""

    index: int
    text: str | None = None
    signature: str | None = None
    redacted: bytes | None = None


class CitationDelta(Part, frozen=True, tag="citation"):
    """A citation under the text of this block."""

    index: int
    citation: Citation


class ToolResultDelta(Part, frozen=True, tag="tool_result"):
    """More of a server tool's result."""

    index: int
    content: list[ToolResultPart]


class ImageDelta(Part, frozen=True, tag="image"):
    """A generated picture."""

    index: int
    image: Image


class OpaqueDelta(Part, frozen=True, tag="opaque"):
    """A delta this model has no place for, as it came on one wire."""

    index: int
    value: Any


class BlockStop(Part, frozen=True, tag="block_stop"):
    """The block is complete."""

    index: int


class MessageStop(Part, frozen=True, tag="message_stop"):
    """The answer is complete. `stop_sequence` is the one that was met, where the engine knows."""

    stop_reason: StopReason
    stop_sequence: str | None = None
    additional_fields: Any = None


class Metadata(Part, frozen=True, tag="metadata"):
    """What the answer used. `chip_us` is this request's share of its replica's busy time."""

    usage: Usage
    latency_ms: int = 0
    chip_us: int = 0
    service_tier: str | None = None
    latency: str | None = None
    """Converse's `performanceConfig.latency` as it was served: standard or optimized."""
    trace: Any = None
    """Converse's `trace`: what a guardrail or a prompt router reports of itself, as a document."""


Delta = (
    TextDelta
    | ToolInputDelta
    | ReasoningDelta
    | CitationDelta
    | ToolResultDelta
    | ImageDelta
    | OpaqueDelta
)
Event = MessageStart | BlockStart | Delta | BlockStop | MessageStop | Metadata


class ChoiceEvent(msgspec.Struct, frozen=True):
    """An event of one of several answers to the same request; the answers count from 0."""

    choice: int
    event: Event


class Answer(Part, frozen=True):
    """A whole answer: the fold of its events.

    `start` and `stop` keep what the stream said about itself; `content` is the message's blocks.
    """

    start: MessageStart
    content: list[Any]
    stop: MessageStop
    metadata: Metadata


class Choices(msgspec.Struct, frozen=True):
    """Several answers to the same request, and what they used together."""

    answers: list[Answer]
    metadata: Metadata
