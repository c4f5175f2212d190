"""What a training rank keeps in memory: states (weights, gradients, optimizer) and activations.

Activations follow Korthikanti et al., "Reducing Activation Recomputation in Large Transformer
Models" (arXiv:2205.05198), section 4, term by term, so that grouped-query attention, gated blocks,
experts and state spaces come out of the same sums. Bytes a rank.
"""

from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)
from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.layout import Layout
from craton.silicon.precision import Precision
from craton.silicon.training_family import Family, family_of

_WEIGHT, _GRADIENT, _OPTIMIZER = 2.0, 4.0, 12.0
"""Bytes a parameter: 16-bit weights, 32-bit gradients, and Adam's 32-bit weights and moments
(arXiv:1910.02054, section 3.1, with gradients accumulated in 32 bits as Megatron-LM does)."""


def expert_parameters(architecture: Architecture, layout: Layout) -> float:
    """Parameters of routed experts on one rank, the mean stage's."""
    total = 0.0
    for group in architecture.groups:
        if isinstance(group.feed_forward, Experts):
            experts = group.feed_forward
            inner = experts.latent or architecture.hidden
            matrices = 3 if experts.gated else 2
            total += group.count * matrices * inner * experts.width * experts.count
    return total / (layout.expert * layout.expert_tensor * layout.pipeline)


def shared_parameters(architecture: Architecture, layout: Layout) -> float:
    """Every other parameter of one rank, the mean stage's; embeddings included."""
    routed = expert_parameters(architecture, Layout())
    # A tied matrix is kept by the first stage and by the last.
    again = architecture.tied and layout.pipeline > 1
    ends = architecture.vocabulary * architecture.hidden if again else 0
    whole = architecture.parameters() - routed + ends
    return whole / (layout.tensor * layout.pipeline)


def state_bytes(case: TrainingCase) -> float:
    """Weights, gradients and optimizer states of the mean rank."""
    architecture, layout = case.architecture, case.layout
    dense = shared_parameters(architecture, layout)
    routed = expert_parameters(architecture, layout)
    copies = layout.data * layout.context
    apart = layout.expert * layout.expert_tensor
    sharers = max(copies * layout.tensor // apart, 1)
    return dense * _bytes_a_parameter(case, copies) + routed * _bytes_a_parameter(case, sharers)


def _bytes_a_parameter(case: TrainingCase, copies: int) -> float:
    weight = 4.0 if case.precision is Precision.FP32 else _WEIGHT
    optimizer = 8.0 if case.precision is Precision.FP32 else _OPTIMIZER
    match case.sharding:
        case Sharding.NONE:
            return weight + _GRADIENT + optimizer
        case Sharding.ZERO1:
            return weight + _GRADIENT + optimizer / copies
        case Sharding.ZERO3:
            return (weight + _GRADIENT + optimizer) / copies


def end_bytes(case: TrainingCase) -> float:
    """What the first stage's states are above the mean stage's: its embedding."""
    layout = case.layout
    if layout.pipeline == 1:
        return 0.0
    copies = layout.data * layout.context
    matrix = case.architecture.vocabulary * case.architecture.hidden / layout.tensor
    return matrix * (1 - 2 / layout.pipeline) * _bytes_a_parameter(case, copies)


def activation_bytes(case: TrainingCase) -> float:
    """Activations kept for the backward pass on the first stage, the fullest."""
    layout = case.layout
    layers = sum(group.count * _layer_bytes(case, group) for group in case.architecture.groups)
    micro_batches = case.global_batch // (case.micro_batch * layout.data)
    return layers / layout.pipeline * in_flight(layout, micro_batches)


def in_flight(layout: Layout, micro_batches: int) -> float:
    """Micro-batches whose activations the first stage holds at its peak (arXiv:2205.05198, 4.2.3).

    Interleaving holds `1 + (p - 1) / (p v)` times as many as a plain pipeline.
    """
    if layout.virtual == 1:
        return float(min(layout.pipeline, micro_batches))
    warm = layout.pipeline + (layout.pipeline - 1) / layout.virtual
    return min(warm, float(micro_batches))


def working_bytes(case: TrainingCase) -> float:
    """What is needed for a moment beside states and activations: logits, or one layer laid open."""
    layout = case.layout
    tokens = case.micro_batch * case.sequence / layout.context
    # Scores in 32 bits and in 16.
    logits = 6.0 * tokens * case.architecture.vocabulary / layout.tensor
    largest = max(_layer_bytes(case, group, full=False) for group in case.architecture.groups)
    layer = largest if case.recompute is Recompute.FULL else 0.0
    if case.sharding is Sharding.ZERO3:
        layers = case.architecture.layers * layout.pipeline
        parameters = shared_parameters(case.architecture, layout)
        routed = expert_parameters(case.architecture, layout)
        # The layer in use and the one that is being gathered.
        layer += 2 * (parameters + routed) * layout.pipeline * layout.pipeline / layers * _WEIGHT
    return max(logits if layout.pipeline == 1 else 0.0, layer)


def _layer_bytes(case: TrainingCase, group: LayerGroup, *, full: bool | None = None) -> float:
    """Kept of one layer and one micro-batch (arXiv:2205.05198, equations 1 to 4)."""
    layout = case.layout
    hidden = case.architecture.hidden
    tokens = case.micro_batch * case.sequence / layout.context
    own = 1.0 / layout.tensor if case.sequence_parallel else 1.0
    wide = 4.0 if case.precision is Precision.FP32 else 2.0
    if full is None:
        full = case.recompute is Recompute.FULL
    if full:
        return wide * tokens * hidden * own
    unfused = family_of(case) is Family.MEGATRON_2022
    halves = (group.mixer is not None) + (group.feed_forward is not None)
    # Each half keeps the input of its norm and of its first multiplication; with dropout, a mask.
    outside = halves * (2 * wide + (1.0 if unfused else 0.0)) * hidden * own
    inside = wide * (_mixer_elements(group) + _block_elements(group, hidden)) / layout.tensor
    scores = 0.0
    if unfused and case.recompute is Recompute.NONE and isinstance(group.mixer, GroupedQuery):
        # The softmax, its dropout's mask and its output.
        scores = (2 * wide + 1) * group.mixer.heads * case.sequence / layout.tensor
    return tokens * (outside + inside + scores)


def _mixer_elements(group: LayerGroup) -> float:
    """Elements a token leaves inside a mixer: queries, keys, values, and the output's input."""
    match group.mixer:
        case None:
            return 0.0
        case GroupedQuery() as mixer:
            gate = mixer.heads if mixer.gated else 0
            return (2.0 * mixer.heads + 2 * mixer.kv_heads + gate) * mixer.head_size
        case Latent() as mixer:
            size = 2 * (mixer.nope_size + mixer.rope_size) + 2 * mixer.value_size
            compressed = (mixer.query_rank or 0) + mixer.kv_rank + mixer.rope_size
            return float(mixer.heads * size + compressed)
        case Recurrent() as mixer:
            keys, values = mixer.key_heads * mixer.key_size, mixer.value_heads * mixer.value_size
            return 2.0 * (2 * keys + values) + 2.0 * values


def _block_elements(group: LayerGroup, hidden: int) -> float:
    """Elements a token leaves inside a feed-forward block, summed over the experts it visits."""
    match group.feed_forward:
        case None:
            return 0.0
        case Dense(width=width, gated=gated):
            return (3.0 if gated else 2.0) * width
        case Experts() as experts:
            inner = experts.latent or hidden
            width = experts.active * experts.width + experts.shared_width
            return (3.0 if experts.gated else 2.0) * width + experts.active * inner
