"""What is to be done for a request, once it was checked: what crosses to the engine process."""

import msgspec

from craton.models.engines.embedded.tools import Prompt
from craton.models.engines.embedded.tools_grammar import Constraint


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is chosen. `seed` is None for a random one."""

    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    frequency_penalty: float
    presence_penalty: float


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request that this engine can serve."""

    prompt: Prompt
    sampling: Sampling
    stop_sequences: list[str]
    max_tokens: int
    constraint: Constraint | None = None
    logprobs: int | None = None
    """How many alternatives to tell for each token; None is nothing at all."""
