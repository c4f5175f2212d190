"""What this engine serves, checked in the gateway: a request becomes a plan, or an error.

llama.cpp accepts nonsense in silence (a negative temperature, `top_p` of 7, an empty stop
sequence, no tokens at all), so every limit is checked here, and what can't be served is refused by
name.
"""

import math
from typing import Any, assert_never

import msgspec

from craton.kernel.errors import BadRequest, TooLarge, Unsupported
from craton.messages import Block, Request, Role, SystemBlock, Text
from craton.messages.blocks import (
    Audio,
    CachePoint,
    CitedText,
    Document,
    GuardContent,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    SearchResult,
    ToolAddition,
    ToolRemoval,
    ToolResult,
    ToolUse,
    Video,
)

ANSWER_TOKENS = 512
"""`max_tokens` where the caller left it out."""
TEMPERATURE = 0.7
TOP_P = 0.95
TOP_K = 40
"""Sampling where the caller left it out; common defaults, milder than llama.cpp's own 0.8."""
TOKENS_MAX = 2**31 - 1
"""More than any context; a caller's larger number means the same and still fits a message."""
CHARACTERS_MAX = 2_000_000
"""Most characters of a conversation: a context of 400,000 tokens, and 8 MB at the very most."""
STOP_SEQUENCES_MAX = 64
STOP_SEQUENCE_CHARACTERS_MAX = 1024
SEED_MODULUS = 2**32 - 1
"""llama.cpp reads the last 32-bit value as "choose one at random"."""
_TIERS = {"default", "auto", "standard", "standard_only"}


class Turn(msgspec.Struct, frozen=True):
    """One turn as a chat template sees it."""

    role: str
    content: str


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is chosen. `seed` is None for a random one."""

    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    frequency_penalty: float
    presence_penalty: float


class Plan(msgspec.Struct, frozen=True):
    """A request that this engine can serve."""

    turns: list[Turn]
    sampling: Sampling
    stop_sequences: list[str]
    max_tokens: int


def plan(request: Request) -> Plan:
    """Check the request; Unsupported or BadRequest names the member."""
    _refuse_members(request)
    max_tokens = request.max_tokens
    if max_tokens is not None and max_tokens < 1:
        raise BadRequest(f"max_tokens is {max_tokens}; it must be at least 1.")
    return Plan(
        turns=turns(request),
        sampling=_sampling(request),
        stop_sequences=_stop_sequences(request.stop_sequences),
        max_tokens=ANSWER_TOKENS if max_tokens is None else min(max_tokens, TOKENS_MAX),
    )


def turns(request: Request) -> list[Turn]:
    """The conversation as text turns.

    System blocks become one system turn. A last turn by the assistant is continued, as templates
    that have a generation prompt allow. Cache points are only permission and are passed over;
    guarded content is text to the model, whoever else judges it.
    """
    if not request.messages:
        raise BadRequest("The conversation is empty; send at least one message.")
    found: list[Turn] = []
    system = [text for block in request.system if (text := _text(block)) is not None]
    if system:
        found.append(Turn("system", "\n\n".join(system)))
    for number, message in enumerate(request.messages):
        texts = [text for block in message.content if (text := _text(block)) is not None]
        if not texts:
            raise BadRequest(f"Message {number} has no text; each message needs some.")
        # Blocks of one turn are paragraphs of it, except where a block only carries on.
        found.append(Turn(str(message.role), "\n".join(texts)))
    if not any(turn.role == Role.USER for turn in found):
        raise BadRequest("The conversation has no user message; send at least one.")
    characters = sum(len(turn.content) for turn in found)
    if characters > CHARACTERS_MAX:
        raise TooLarge(
            f"The conversation has {characters} characters; at most {CHARACTERS_MAX} are read. "
            "Shorten it."
        )
    for turn in found:
        _refuse_half_characters(turn.content, "A message")
    return found


def _refuse_half_characters(text: str, name: str) -> None:
    """Half a surrogate pair has no UTF-8 and can't leave this process."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"{name} holds half a surrogate pair at character {error.start}. Send whole characters."
        ) from error


def _text(block: Block | SystemBlock) -> str | None:
    match block:
        case Text(text=text) | Refusal(text=text):
            return text
        case CitedText(passages=passages):
            return "".join(passages)
        case CachePoint():
            return None
        case GuardContent(text=str() as text):
            return text
        case GuardContent():
            raise _unsupported("guarded image block")
        case Image():
            raise _unsupported("image block")
        case Document():
            raise _unsupported("document block")
        case Video():
            raise _unsupported("video block")
        case Audio():
            raise _unsupported("audio block")
        case SearchResult():
            raise _unsupported("search result block")
        case ToolUse():
            raise _unsupported("tool use block")
        case ToolResult():
            raise _unsupported("tool result block")
        case ToolAddition():
            raise _unsupported("tool addition block")
        case ToolRemoval():
            raise _unsupported("tool removal block")
        case Reasoning():
            raise _unsupported("reasoning block")
        case Opaque(kind=kind):
            raise _unsupported(f"{kind} block")
        case _:
            assert_never(block)


def _refuse_members(request: Request) -> None:
    thinking = request.thinking
    refused: list[tuple[str, bool]] = [
        ("tools", bool(request.tools)),
        ("tool choice", request.tool_choice is not None),
        ("output format", request.output_format is not None),
        ("logprobs", request.logprobs is not None),
        ("more than one choice", request.choices is not None and request.choices != 1),
        ("guardrail", request.guardrail is not None),
        ("prompt variables", bool(request.prompt_variables)),
        (
            "reasoning",
            thinking is not None
            and (thinking.mode not in {None, "disabled"} or thinking.effort not in {None, "none"}),
        ),
        ("latency optimization", request.latency not in {None, "standard"}),
        (
            f"service tier {request.service_tier!r}",
            request.service_tier is not None and request.service_tier not in _TIERS,
        ),
    ]
    for name, is_asked in refused:
        if is_asked:
            raise _unsupported(name)


def _unsupported(name: str) -> Unsupported:
    return Unsupported(
        f"This model can't serve the request's {name}: it reads and writes text only. "
        "Leave it out or choose another model."
    )


def _sampling(request: Request) -> Sampling:
    more = _additional(request.additional_fields)
    top_k = request.top_k if request.top_k is not None else more.top_k
    seed = request.seed if request.seed is not None else more.seed
    if top_k is not None and not 0 <= top_k <= 1_000_000:
        raise BadRequest(f"top_k is {top_k}; it must be from 0 (no limit) to 1000000.")
    return Sampling(
        temperature=_within("temperature", request.temperature, 0.0, 2.0, TEMPERATURE),
        top_p=_within("top_p", request.top_p, 0.0, 1.0, TOP_P),
        top_k=TOP_K if top_k is None else top_k,
        seed=None if seed is None else seed % SEED_MODULUS,
        frequency_penalty=_within("frequency_penalty", request.frequency_penalty, -2.0, 2.0, 0.0),
        presence_penalty=_within("presence_penalty", request.presence_penalty, -2.0, 2.0, 0.0),
    )


class _Additional(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that Converse has no member for and its callers send as additional fields."""

    top_k: int | None = None
    seed: int | None = None


def _additional(fields: Any) -> _Additional:  # noqa: ANN401 - a JSON value, as the caller sent it
    if fields is None:
        return _Additional()
    try:
        return msgspec.convert(fields, _Additional)
    except msgspec.ValidationError as error:
        raise Unsupported(
            f"The additional model fields can't be served: {error}. This model knows top_k and "
            "seed, both whole numbers."
        ) from error


def _within(name: str, value: float | None, low: float, high: float, default: float) -> float:
    if value is None:
        return default
    # Comparisons with NaN are false, so a plain range check would let it pass in one form.
    if not math.isfinite(value) or not low <= value <= high:
        raise BadRequest(f"{name} is {value}; it must be from {low:g} to {high:g}.")
    return float(value)


def _stop_sequences(sequences: list[str]) -> list[str]:
    if len(sequences) > STOP_SEQUENCES_MAX:
        raise BadRequest(
            f"There are {len(sequences)} stop sequences; at most {STOP_SEQUENCES_MAX} are allowed."
        )
    for number, sequence in enumerate(sequences):
        if not 1 <= len(sequence) <= STOP_SEQUENCE_CHARACTERS_MAX:
            raise BadRequest(
                f"Stop sequence {number} has {len(sequence)} characters; it must have from 1 to "
                f"{STOP_SEQUENCE_CHARACTERS_MAX}."
            )
        _refuse_half_characters(sequence, f"Stop sequence {number}")
    return list(sequences)
