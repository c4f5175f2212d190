"""What this engine serves, checked in the gateway: a request becomes a plan, or an error.

llama.cpp accepts nonsense in silence (a negative temperature, `top_p` of 7, an empty stop
sequence, no tokens at all), so every limit is checked here, and what can't be served is refused by
name.
"""

import math
from typing import Any

import msgspec

from craton.dialects.openai_chat_settings import without_own
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages import Request
from craton.models.engines.embedded.planned import Plan, Sampling
from craton.models.engines.embedded.prompt_turns import (
    prompt,
    refuse_half_characters,
    unsupported,
)
from craton.models.engines.embedded.tools_choice import constraint_of

TEMPERATURE = 0.7
TOP_P = 0.95
TOP_K = 40
"""Sampling where the caller left it out; common defaults, milder than llama.cpp's own 0.8."""
TOKENS_MAX = 2**31 - 1
"""More than any context; a caller's larger number means the same and still fits a message. So does
none: whoever answers a caller says the card's `output_tokens_default`, and who counts asks for no
answer."""
STOP_SEQUENCES_MAX = 64
STOP_SEQUENCE_CHARACTERS_MAX = 1024
SEED_MODULUS = 2**32 - 1
"""llama.cpp reads the last 32-bit value as "choose one at random"."""
LOGPROBS_MAX = 20
"""Most alternatives told for each token, as OpenAI's own limit is."""
_UNSERVED = ("container", "context_management", "mcp_servers")
"""Members of Anthropic's that ride along and would make another answer; others of its own change
none. What rides along from OpenAI's wire is judged by that dialect's `without_own`."""
_TIERS = {"default", "auto", "standard", "standard_only"}


def plan(request: Request, *, must_help: bool = False) -> Plan:
    """Check the request; Unsupported or BadRequest names the member.

    `must_help`: the model was never taught to call tools, so where it may decide and its user asks
    for a tool by name, that is decided for it. Left alone such a model answers in words.
    """
    request = without_own(request)
    _refuse_members(request)
    max_tokens = request.max_tokens
    if max_tokens is not None and max_tokens < 1:
        raise BadRequest(f"max_tokens is {max_tokens}; it must be at least 1.")
    held = constraint_of(request, must_help=must_help)
    return Plan(
        prompt=prompt(request, opening="" if held is None else held.opening),
        sampling=_sampling(request),
        stop_sequences=_stop_sequences(request.stop_sequences),
        max_tokens=TOKENS_MAX if max_tokens is None else min(max_tokens, TOKENS_MAX),
        constraint=held,
        logprobs=request.logprobs,
    )


def may_need_help(planned: Plan) -> bool:
    """Whether a plan leaves the decision to call to the model."""
    return (
        planned.constraint is not None
        and planned.constraint.has_calls
        and (not planned.constraint.opening)
    )


def _refuse_members(request: Request) -> None:
    thinking = request.thinking
    refused: list[tuple[str, bool]] = [
        ("guardrail", request.guardrail is not None),
        ("prompt variables", bool(request.prompt_variables)),
        # A model told to think as it sees fit may think nothing; one told to think can't.
        (
            "reasoning",
            thinking is not None
            and thinking.mode not in {"adaptive", "disabled"}
            and (thinking.mode is not None or thinking.effort not in {None, "none"}),
        ),
        ("latency optimization", request.latency not in {None, "standard"}),
        (
            f"service tier {request.service_tier!r}",
            request.service_tier is not None and request.service_tier not in _TIERS,
        ),
    ]
    for name, is_asked in refused:
        if is_asked:
            raise unsupported(name)
    if request.logprobs is not None and not 0 <= request.logprobs <= LOGPROBS_MAX:
        raise BadRequest(
            f"top_logprobs is {request.logprobs}; it must be from 0 to {LOGPROBS_MAX}."
        )
    if request.extra is not None:
        riding = request.extra.get("anthropic", {})
        for name in _UNSERVED:
            if riding.get(name):
                raise unsupported(f"`{name}`")


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
        refuse_half_characters(sequence, f"Stop sequence {number}")
    return list(sequences)
