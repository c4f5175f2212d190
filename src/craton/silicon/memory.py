"""What a serving rank keeps in memory: weights, cache, recurrent state, and room to work.

Bytes a rank. Training's states and activations are in `training_memory`.
"""

import math

from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats

GIB = 1024.0**3


def weight_bytes(architecture: Architecture, layout: Layout, formats: Formats) -> float:
    """Weights of one rank, the fullest pipeline stage's."""
    body = sum(_group_bytes(architecture, group, layout, formats) for group in architecture.groups)
    ends = (1 if architecture.tied and layout.pipeline == 1 else 2) * (
        architecture.vocabulary * architecture.hidden * formats.output.bytes / layout.tensor
    )
    # With stages, the first and the last hold one of the two matrices each.
    return body / layout.pipeline + (ends if layout.pipeline == 1 else ends / 2)


def _group_bytes(
    architecture: Architecture, group: LayerGroup, layout: Layout, formats: Formats
) -> float:
    mixer = architecture.mixer_parameters(group.mixer) / layout.tensor * formats.weights.bytes
    match group.feed_forward:
        case None:
            block = 0.0
        case Dense():
            block = architecture.feed_forward_parameters(group) / layout.tensor
            block *= formats.weights.bytes
        case Experts() as experts:
            matrices = 3 if experts.gated else 2
            inner = experts.latent or architecture.hidden
            routed = matrices * inner * experts.width * experts.count
            rest = architecture.feed_forward_parameters(group) - routed
            block = routed / (layout.expert * layout.expert_tensor) * formats.experts.bytes
            block += rest / layout.tensor * formats.weights.bytes
    return group.count * (mixer + block)


def cache_bytes_a_token(architecture: Architecture, layout: Layout, formats: Formats) -> float:
    """Key-value cache of one token of one sequence on one rank, windows ignored."""
    return (
        sum(group.count * _row_bytes(group, layout, formats) for group in architecture.groups)
        / layout.pipeline
    )


def sequence_bytes(
    architecture: Architecture, layout: Layout, formats: Formats, tokens: float
) -> float:
    """Cache and recurrent state of one sequence of `tokens` on one rank, windows counted."""
    total = 0.0
    for group in architecture.groups:
        match group.mixer:
            case GroupedQuery(window=int(window)):
                kept = min(tokens, float(window))
            case _:
                kept = tokens
        total += group.count * (kept * _row_bytes(group, layout, formats) + _state(group, layout))
    return total / layout.pipeline


def _row_bytes(group: LayerGroup, layout: Layout, formats: Formats) -> float:
    match group.mixer:
        case GroupedQuery(kv_heads=kv_heads, head_size=size):
            return 2.0 * math.ceil(kv_heads / layout.tensor) * size * formats.cache.bytes
        case Latent() as mixer:
            # Every rank of a tensor group keeps the whole compressed vector.
            index = mixer.index_size if mixer.index_heads else 0
            return (mixer.kv_rank + mixer.rope_size) * formats.cache.bytes + index
        case _:
            return 0.0


def _state(group: LayerGroup, layout: Layout) -> float:
    match group.mixer:
        case Recurrent() as mixer:
            state = mixer.value_heads * mixer.key_size * mixer.value_size
            tail = mixer.convolution * (
                2 * mixer.key_heads * mixer.key_size + mixer.value_heads * mixer.value_size
            )
            return (4.0 * state + 2.0 * tail) / layout.tensor
        case _:
            return 0.0
