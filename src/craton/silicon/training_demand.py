"""What one training step asks of a rank: multiplications, bytes and messages, in ideal seconds.

Every figure is the time the chip's specification alone would allow (peak rate, peak bandwidth), so
that `training_time` only has to say what share of the specification is reached. Numbers are of one
micro-batch's forward pass on the mean pipeline stage, unless a member says otherwise. Members may
be arrays, one element a case, so that a fit can price hundreds of cases at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from craton.kernel.errors import BadRequest, Unsupported
from craton.silicon.architecture import (
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)
from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.layout import Layout
from craton.silicon.operations import (
    Formats,
    Kind,
    Operation,
    Pass,
    Quantity,
    forward,
)
from craton.silicon.precision import Precision
from craton.silicon.training_family import Family, family_of
from craton.silicon.training_flops import logits_passes, trained
from craton.silicon.training_memory import expert_parameters, shared_parameters
from craton.silicon.training_traffic import Traffic, layers_of_stage, stream_share, tokens_of

_BFLOAT = 2.0
"""Bytes of an activation."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One step's needs, in seconds at the chip's specification."""

    micro_batches: Quantity
    """Of one copy, a step."""
    stages: Quantity
    virtual: Quantity
    """Chunks a stage is cut into."""
    recompute: Quantity
    """1 where the whole forward pass is done again, else 0."""
    gemm: Quantity
    """Dense multiplications in the case's format."""
    gemm_memory: Quantity
    expert: Quantity
    """Multiplications of routed experts."""
    expert_memory: Quantity
    """Moving what goes into experts and comes out."""
    expert_weights: Quantity
    """Reading the experts' weights once."""
    expert_rows: Quantity
    """Tokens that share an expert's weights in one multiplication; 1 without experts."""
    wide: Quantity
    """Multiplications left in 16 bits (router, latent projections' index)."""
    logits: Quantity
    """The output matrix, on the last stage alone."""
    logits_memory: Quantity
    attention: Quantity
    """Scores and values of a causal mask."""
    attention_memory: Quantity
    """Moving queries, keys, values and results once; it takes no time beside the multiplications.
    """
    recurrence: Quantity
    recurrence_memory: Quantity
    norm: Quantity
    """One reading and writing of the residual stream a half layer."""
    activation: Quantity
    """Reading and writing what lies inside a block once: its nonlinearity, rotary positions."""
    permute: Quantity
    """Sorting tokens to experts and back."""
    quantize: Quantity
    """Casting the inputs of narrow multiplications."""
    scores: Quantity
    """One writing of the scores of attention, where no kernel keeps them inside; else 0."""
    scores_again: Quantity
    """1 where the inside of attention alone is computed again, else 0."""
    kernels: Quantity
    """Launches."""
    expert_kernels: Quantity
    """Layers with experts: each waits once to know how many tokens each expert got."""
    local_experts: Quantity
    """Experts of a rank, over its layers."""
    tensor: Quantity
    """Gathering and scattering among tensor-parallel ranks, as far as it can't be hidden."""
    tensor_latency: Quantity
    context: Quantity
    """Keys and values passed around among context-parallel ranks."""
    expert_near: Quantity
    """Tokens sent to experts and back inside the first level of links."""
    expert_far: Quantity
    expert_latency: Quantity
    send: Quantity
    """Activations sent to the next stage, once."""
    reduce_near: Quantity
    """Gradients, a step."""
    reduce_far: Quantity
    gather_near: Quantity
    """Weights, a step (a pass where they are sharded)."""
    gather_far: Quantity
    sharded: Quantity
    """1 where weights are gathered for each pass, else 0."""
    optimizer: Quantity
    """Reading and writing the optimizer's states, a step."""


@dataclass(frozen=True, slots=True)
class Specification:
    """What one rank could do at the most: what the seconds of a demand are measured in."""

    flops_s: float
    """In the case's format."""
    wide_flops_s: float
    """In the format of what isn't narrowed: 16 bits, or 32 where all is."""
    bytes_s: float


def specification_of(case: TrainingCase) -> Specification:
    """The chip's specification, shared out over its ranks."""
    ranks = case.layout.ranks_per_chip
    wide = Precision.FP32 if case.precision is Precision.FP32 else Precision.BF16

    def rate(precision: Precision) -> float:
        peak = case.chip.peak_tflops(precision) or case.chip.peak_tflops(Precision.FP32)
        return peak * 1e12 / ranks

    bytes_s = case.chip.memory_tb_s.value * 1e12 / ranks
    return Specification(rate(case.precision), rate(wide), bytes_s)


def demand_of(case: TrainingCase) -> Demand:
    """The needs of a case; BadRequest where its split can't be, Unsupported without a peak rate."""
    _check(case)
    architecture = trained(case.architecture)
    return _Counting(msgspec.structs.replace(case, architecture=architecture)).demand()


def _check(case: TrainingCase) -> None:
    layout = case.layout
    ranks = layout.tensor * layout.pipeline * layout.context * layout.data
    if ranks != case.chips * layout.ranks_per_chip:
        raise BadRequest(
            f"tp {layout.tensor} x pp {layout.pipeline} x cp {layout.context} x dp {layout.data}"
            f" is {ranks} ranks, and {case.chips} chips have {case.chips * layout.ranks_per_chip}"
        )
    if case.global_batch % (case.micro_batch * layout.data):
        raise BadRequest(
            f"a global batch of {case.global_batch} is not a multiple of micro-batch"
            f" {case.micro_batch} x dp {layout.data}; change one of them"
        )
    if case.sequence % layout.context:
        raise BadRequest(f"cp {layout.context} doesn't divide the sequence of {case.sequence}")
    if not case.chip.peak_tflops(case.precision):
        raise Unsupported(f"{case.chip.name} has no rate for {case.precision}; choose a wider one")


def exchange_layout(layout: Layout) -> tuple[Layout, float]:
    """The split as the forward walk wants it, and what its expert work is to be multiplied by.

    The walk counts experts over attention groups that see each other's tokens; in training those
    are the ranks that share one set of experts.
    """
    ranks = layout.expert * layout.expert_tensor
    groups = max(ranks // layout.tensor, 1)
    walked = Layout(
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        data=groups,
        expert=layout.expert,
        expert_tensor=layout.expert_tensor,
    )
    return walked, ranks / (layout.tensor * groups)


@dataclass(frozen=True, slots=True)
class _Counting:
    """A case while it is being counted."""

    case: TrainingCase

    @property
    def tokens(self) -> float:
        return tokens_of(self.case)

    def operations(self) -> tuple[list[Operation], float]:
        case = self.case
        precision = case.precision
        wide = precision if precision in (Precision.FP16, Precision.FP32) else Precision.BF16
        layout, scale = exchange_layout(case.layout)
        local = case.sequence / case.layout.context
        step = Pass(self.tokens, float(case.micro_batch), (case.sequence - local) / 2, self.tokens)
        formats = Formats(
            weights=precision, experts=precision, cache=wide, output=wide, activations=wide
        )
        return list(forward(case.architecture, layout, formats, step)), scale

    def demand(self) -> Demand:
        case, layout = self.case, self.case.layout
        operations, scale = self.operations()
        ideal = specification_of(case)
        wide_rate, rate, bytes_s = ideal.wide_flops_s, ideal.flops_s, ideal.bytes_s
        total = _Totals(operations, narrow=case.precision)
        layers = layers_of_stage(case)
        experts = sum(count for count, group in layers if isinstance(group.feed_forward, Experts))
        hybrid = sum(count for count, group in layers if isinstance(group.mixer, Recurrent))
        every = sum(count for count, _ in layers)
        unfused = family_of(case) is Family.MEGATRON_2022
        outputs = logits_passes(case.architecture)
        traffic = Traffic(case)
        near, far, latency = traffic.exchanges(layers)
        reduce_near, reduce_far = traffic.data_parallel(Kind.REDUCE_SCATTER)
        gather_near, gather_far = traffic.data_parallel(Kind.ALL_GATHER)
        tensor, tensor_latency = traffic.tensor_parallel(every)
        return Demand(
            micro_batches=float(case.global_batch // (case.micro_batch * layout.data)),
            stages=float(layout.pipeline),
            virtual=float(layout.virtual),
            recompute=float(case.recompute is Recompute.FULL),
            gemm=total.gemm_flops / rate,
            gemm_memory=total.gemm_bytes / bytes_s,
            expert=total.expert_flops * scale / rate,
            expert_memory=total.expert_bytes * scale / bytes_s,
            expert_weights=total.expert_weights / bytes_s,
            expert_rows=total.expert_rows,
            wide=total.wide_flops / wide_rate,
            logits=total.logits_flops * layout.pipeline * outputs / wide_rate,
            logits_memory=outputs * 3 * 4.0 * self.tokens * self.vocabulary_share / bytes_s,
            attention=total.attention_flops / wide_rate * (2.0 if unfused else 1.0),
            attention_memory=total.attention_bytes / bytes_s,
            recurrence=total.recurrence_flops / wide_rate,
            recurrence_memory=total.recurrence_bytes / bytes_s,
            norm=self.norm_bytes(layers) / bytes_s,
            activation=self.activation_bytes(layers) / bytes_s,
            permute=self.permute_bytes(layers) / bytes_s,
            quantize=total.narrow_inputs / bytes_s,
            scores=self.score_bytes(layers) / bytes_s if unfused else 0.0,
            scores_again=float(unfused and case.recompute is Recompute.SELECTIVE),
            kernels=10.0 * every + 8.0 * hybrid,
            expert_kernels=experts,
            local_experts=sum(
                count * group.feed_forward.count / layout.expert
                for count, group in layers
                if isinstance(group.feed_forward, Experts)
            ),
            tensor=tensor,
            tensor_latency=tensor_latency,
            context=traffic.context_parallel(layers),
            expert_near=near,
            expert_far=far,
            expert_latency=latency,
            send=traffic.send(),
            reduce_near=reduce_near,
            reduce_far=reduce_far,
            gather_near=gather_near,
            gather_far=gather_far,
            sharded=float(case.sharding is Sharding.ZERO3),
            optimizer=self.optimizer_bytes() / bytes_s,
        )

    @property
    def vocabulary_share(self) -> float:
        return self.case.architecture.vocabulary / self.case.layout.tensor

    def norm_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        halves = sum(
            count * ((group.mixer is not None) + (group.feed_forward is not None))
            for count, group in layers
        )
        row = 2 * self.case.architecture.hidden * _BFLOAT
        return halves * self.tokens * stream_share(self.case) * row

    def activation_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        tensor = self.case.layout.tensor
        total = 0.0
        for count, group in layers:
            width = _mixer_width(group)
            match group.feed_forward:
                case Dense(width=inner, gated=gated):
                    width += (3 if gated else 2) * inner
                case Experts() as experts:
                    visits = experts.active * experts.width + experts.shared_width
                    width += (3 if experts.gated else 2) * visits
                case None:
                    pass
            total += count * self.tokens * width / tensor * _BFLOAT
        return total

    def permute_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        total = 0.0
        for count, group in layers:
            if isinstance(group.feed_forward, Experts):
                inner = group.feed_forward.latent or self.case.architecture.hidden
                row = group.feed_forward.active * inner * _BFLOAT
                total += count * 4 * self.tokens / self.case.layout.tensor * row
        return total

    def score_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        heads = sum(
            count * group.mixer.heads
            for count, group in layers
            if isinstance(group.mixer, GroupedQuery | Latent)
        )
        return heads / self.case.layout.tensor * self.tokens * self.case.sequence * _BFLOAT

    def optimizer_bytes(self) -> float:
        case, layout = self.case, self.case.layout
        copies = layout.data * layout.context
        if case.sharding is Sharding.NONE:
            copies = 1
        dense = shared_parameters(case.architecture, layout) / copies
        apart = layout.expert * layout.expert_tensor
        sharers = max(copies * layout.tensor // apart, 1) if copies > 1 else 1
        routed = expert_parameters(case.architecture, layout) / sharers
        # Adam reads and writes two moments and the master weights in 32 bits, reads the gradient
        # and writes the 16-bit weights.
        return (dense + routed) * (6 * 4.0 + 4.0 + 2.0)


def _mixer_width(group: LayerGroup) -> float:
    """Elements a token has between the projections of a mixer, over all tensor ranks."""
    match group.mixer:
        case GroupedQuery() as mixer:
            return 2.0 * (mixer.heads + mixer.kv_heads) * mixer.head_size
        case Latent() as mixer:
            return 2.0 * mixer.heads * (mixer.nope_size + mixer.rope_size + mixer.value_size)
        case Recurrent() as mixer:
            return 4.0 * mixer.value_heads * mixer.value_size
        case None:
            return 0.0


class _Totals:
    """A pass's operations, added up by what limits them."""

    def __init__(self, operations: Sequence[Operation], *, narrow: Precision) -> None:
        self.gemm_flops = self.gemm_bytes = self.expert_flops = self.expert_bytes = 0.0
        self.expert_weights = 0.0
        self.wide_flops = self.logits_flops = self.attention_flops = self.attention_bytes = 0.0
        self.recurrence_flops = self.recurrence_bytes = self.narrow_inputs = 0.0
        self.expert_rows = 1.0
        is_narrow = narrow.bytes < _BFLOAT
        for operation in operations:
            flops = operation.count * float(operation.flops)
            moved = operation.count * float(operation.weight_bytes + operation.data_bytes)
            if operation.name == "logits":
                self.logits_flops += flops
            elif operation.kind is Kind.GEMM and operation.precision is narrow:
                self.gemm_flops += flops
                self.gemm_bytes += moved
                if is_narrow:
                    rows = operation.count * float(operation.rows)
                    self.narrow_inputs += rows * operation.inner * _BFLOAT
            elif operation.kind is Kind.GEMM:
                self.wide_flops += flops
                self.gemm_bytes += moved
            elif operation.kind is Kind.EXPERTS:
                self.expert_flops += flops
                self.expert_weights += operation.count * float(operation.weight_bytes)
                self.expert_bytes += operation.count * float(operation.data_bytes)
                self.expert_rows = float(operation.rows)
                if is_narrow and operation.columns:
                    self.narrow_inputs += flops / (2 * operation.columns) * _BFLOAT
            elif operation.kind is Kind.ATTENTION:
                self.attention_flops += flops
                self.attention_bytes += moved
            elif operation.kind is Kind.RECURRENCE:
                self.recurrence_flops += flops
                self.recurrence_bytes += moved
