"""The passes a serving estimate rests on: decode steps, and prefill alone and at its fullest.

How they are made up follows what servers do: prompts go through in passes of at most
`chunk_tokens`; short prompts that wait together share one; attention groups that run side by side
(data parallelism) each work on prompts of their own, in step.
"""

from dataclasses import dataclass

import numpy as np

from craton.silicon.operations import decode, prefill
from craton.silicon.serving_demand import Demand, Numbers
from craton.silicon.serving_time import Clockwork


@dataclass(frozen=True, slots=True)
class Decoding:
    """Decode steps of one replica."""

    one: Demand
    """With one sequence."""
    all: Demand
    """With all that run, or a stage's share of them."""
    in_pass: Numbers
    """Sequences in that pass."""


@dataclass(frozen=True, slots=True)
class Prefilling:
    """Prefill passes of one replica."""

    one: Demand
    """Of one prompt, alone."""
    passes_one: float
    """Such passes a prompt needs."""
    full: Demand
    """As full as passes get."""
    prompts_full: Numbers
    """Prompts (or parts of one) in it, and in those under way in other pipeline stages."""


def decoding(work: Clockwork, sequences: Numbers, context: float) -> Decoding:
    """Steps with `sequences` in a replica, `context` tokens long on the mean.

    Each pipeline stage has a share of the sequences under way, so a pass holds that share.
    """
    groups, stages = work.layout.data, work.layout.pipeline
    one = work.demand(decode(1.0, context), busy_groups=1.0)
    in_pass = np.maximum(sequences / stages, 1.0)
    step = decode(np.maximum(in_pass / groups, 1.0), context)
    return Decoding(one, work.demand(step, busy_groups=np.minimum(in_pass, groups)), in_pass)


def prefilling(work: Clockwork, waiting: Numbers, tokens: float, cached: float) -> Prefilling:
    """Passes over prompts of `tokens` new tokens after `cached` ones, `waiting` of them at most."""
    groups, chunk_tokens = work.layout.data, work.chunk_tokens
    stages = work.layout.pipeline
    if tokens > chunk_tokens:
        passes = tokens / chunk_tokens
        before = cached + (tokens - chunk_tokens) / 2.0
        step = prefill(1.0, float(chunk_tokens), cached=before)
        one = work.demand(step, busy_groups=1.0)
        return Prefilling(one, passes, work.demand(step), np.asarray(stages * groups / passes))
    step = prefill(1.0, tokens, cached=cached)
    most = np.clip(waiting / groups, 1.0, max(chunk_tokens / tokens, 1.0))
    full = prefill(most, tokens, cached=cached)
    one = work.demand(step, busy_groups=1.0)
    return Prefilling(one, 1.0, work.demand(full), stages * most * groups)
