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
from craton.silicon.chip import LinkLevel
from craton.silicon.layout import Layout
from craton.silicon.links import collective_seconds, spans
from craton.silicon.operations import (
    Formats,
    Kind,
    Operation,
    Pass,
    Quantity,
    distinct_experts,
    forward,
)
from craton.silicon.precision import Precision
from craton.silicon.training_family import Family, family_of
from craton.silicon.training_flops import logits_passes, trained
from craton.silicon.training_memory import expert_parameters, shared_parameters

_BFLOAT = 2.0
"""Bytes of an activation, a gradient on the wire or a gathered weight."""


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
    recurrence: Quantity
    recurrence_memory: Quantity
    norm: Quantity
    """One reading and writing of the residual stream a half layer."""
    activation: Quantity
    """Reading and writing what lies inside a block once: its nonlinearity, rotary positions."""
    permute: Quantity
    """Sorting tokens to experts and back."""
    visit: Quantity
    """Moving one element for each token and expert it visits."""
    quantize: Quantity
    """Casting the inputs of narrow multiplications."""
    scores: Quantity
    """One writing of the scores of attention, where no kernel keeps them inside; else 0."""
    scores_again: Quantity
    """1 where the inside of attention alone is computed again, else 0."""
    kernels: Quantity
    """Launches."""
    expert_kernels: Quantity
    """Launches of routing and experts, some waiting for the counts of tokens."""
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
    def levels(self) -> Sequence[LinkLevel]:
        server = self.case.server
        return server.links if server is not None and server.links else self.case.chip.links

    @property
    def tokens(self) -> float:
        """Of one micro-batch on one context-parallel rank."""
        return self.case.micro_batch * self.case.sequence / self.case.layout.context

    @property
    def own_share(self) -> float:
        """Of the residual stream, held by one tensor-parallel rank."""
        return 1.0 / self.case.layout.tensor if self.case.sequence_parallel else 1.0

    def rate(self, precision: Precision) -> float:
        """Operations a second of one rank."""
        peak = self.case.chip.peak_tflops(precision) or self.case.chip.peak_tflops(Precision.FP32)
        return peak * 1e12 / self.case.layout.ranks_per_chip

    @property
    def bandwidth(self) -> float:
        return self.case.chip.memory_tb_s.value * 1e12 / self.case.layout.ranks_per_chip

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
        wide = Precision.FP32 if case.precision is Precision.FP32 else Precision.BF16
        wide_rate, rate, bytes_s = self.rate(wide), self.rate(case.precision), self.bandwidth
        total = _Totals(operations, narrow=case.precision)
        layers = self.layers_of_stage()
        experts = sum(count for count, group in layers if isinstance(group.feed_forward, Experts))
        hybrid = sum(count for count, group in layers if isinstance(group.mixer, Recurrent))
        every = sum(count for count, _ in layers)
        unfused = family_of(case) is Family.MEGATRON_2022
        outputs = logits_passes(case.architecture)
        near, far, latency = self.exchanges(layers)
        reduce_near, reduce_far = self.data_parallel(Kind.REDUCE_SCATTER)
        gather_near, gather_far = self.data_parallel(Kind.ALL_GATHER)
        tensor, tensor_latency = self.tensor_parallel(every)
        return Demand(
            micro_batches=float(case.global_batch // (case.micro_batch * layout.data)),
            stages=float(layout.pipeline),
            virtual=float(layout.virtual),
            recompute=float(case.recompute is Recompute.FULL),
            gemm=total.gemm_flops / rate,
            gemm_memory=total.gemm_bytes / bytes_s,
            expert=total.expert_flops * scale / rate,
            expert_memory=total.expert_bytes / bytes_s,
            expert_weights=total.expert_weights / bytes_s,
            expert_rows=total.expert_rows,
            wide=total.wide_flops / wide_rate,
            logits=total.logits_flops * layout.pipeline * outputs / wide_rate,
            logits_memory=outputs * 3 * 4.0 * self.tokens * self.vocabulary_share / bytes_s,
            attention=total.attention_flops / wide_rate * (2.0 if unfused else 1.0),
            recurrence=total.recurrence_flops / wide_rate,
            recurrence_memory=total.recurrence_bytes / bytes_s,
            norm=self.norm_bytes(layers) / bytes_s,
            activation=self.activation_bytes(layers) / bytes_s,
            permute=self.permute_bytes(layers) / bytes_s,
            visit=self.visit_bytes(layers) / bytes_s,
            quantize=total.narrow_inputs / bytes_s,
            scores=self.score_bytes(layers) / bytes_s if unfused else 0.0,
            scores_again=float(unfused and case.recompute is Recompute.SELECTIVE),
            kernels=10.0 * every + 8.0 * hybrid,
            expert_kernels=experts,
            tensor=tensor,
            tensor_latency=tensor_latency,
            context=self.context_parallel(layers),
            expert_near=near,
            expert_far=far,
            expert_latency=latency,
            send=self.send(),
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

    def layers_of_stage(self) -> list[tuple[float, LayerGroup]]:
        return [
            (group.count / self.case.layout.pipeline, group)
            for group in self.case.architecture.groups
        ]

    # --- memory traffic between multiplications ---

    def norm_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        halves = sum(
            count * ((group.mixer is not None) + (group.feed_forward is not None))
            for count, group in layers
        )
        row = 2 * self.case.architecture.hidden * _BFLOAT
        return halves * self.tokens * self.own_share * row

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

    def visit_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        visits = sum(
            count * group.feed_forward.active
            for count, group in layers
            if isinstance(group.feed_forward, Experts)
        )
        return visits * self.tokens / self.case.layout.tensor * _BFLOAT

    def score_bytes(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        heads = sum(
            count * group.mixer.heads
            for count, group in layers
            if isinstance(group.mixer, GroupedQuery | Latent)
        )
        return heads / self.case.layout.tensor * self.tokens * self.case.sequence * _BFLOAT

    # --- communication ---

    def collective(self, kind: Kind, data_bytes: float, ranks: float, *, first: int) -> list[float]:
        """Ideal seconds of one collective at each level of links it crosses, innermost first."""
        per_chip = self.case.layout.ranks_per_chip
        chips = max(int(ranks) // per_chip, 1) if first == 1 else int(ranks)
        path = spans(self.levels, chips, first=max(first // per_chip, 1))
        found = [0.0, 0.0]
        share = data_bytes
        inner = self.levels[0]
        for span in path:
            seconds = float(collective_seconds(kind, share, [span], latency=0.0))
            found[0 if span.level is inner else 1] += seconds
            if kind is not Kind.ALL_TO_ALL:
                share /= span.members
        return found

    def latency(self, ranks: float) -> float:
        """Seconds the first byte takes within a group of neighbours."""
        chips = max(int(ranks) // self.case.layout.ranks_per_chip, 1)
        path = spans(self.levels, chips)
        return sum(span.level.latency_us.value for span in path) * 1e-6

    def tensor_parallel(self, layers: float) -> tuple[float, float]:
        tensor = self.case.layout.tensor
        if tensor == 1:
            return 0.0, 0.0
        row = self.case.architecture.hidden * _BFLOAT
        once = sum(self.collective(Kind.ALL_GATHER, self.tokens * row, tensor, first=1))
        if self.overlaps_tensor:
            # Cut into a chunk a rank; each but the first is on its way while one is multiplied.
            once /= tensor
        # Forward, each half layer gathers its input and scatters its output (or reduces it, which
        # is the same traffic).
        return 4 * layers * once, 4 * layers * self.latency(tensor)

    @property
    def overlaps_tensor(self) -> bool:
        """Whether tensor-parallel traffic runs beside multiplications.

        Megatron-Core does it (tp_comm_overlap) with sequence parallelism, not with experts.
        """
        mixed = any(
            isinstance(group.feed_forward, Experts) for group in self.case.architecture.groups
        )
        return family_of(self.case) is Family.MEGATRON and self.case.sequence_parallel and not mixed

    def context_parallel(self, layers: Sequence[tuple[float, LayerGroup]]) -> float:
        layout = self.case.layout
        if layout.context == 1:
            return 0.0
        width = 0.0
        for count, group in layers:
            match group.mixer:
                case GroupedQuery() as mixer:
                    heads = max(mixer.kv_heads / layout.tensor, 1.0)
                    width += count * 2 * heads * mixer.head_size
                case Latent() as mixer:
                    size = mixer.nope_size + mixer.rope_size + mixer.value_size
                    width += count * mixer.heads / layout.tensor * size
                case _:
                    pass
        data = self.tokens * layout.context * width * _BFLOAT
        found = self.collective(Kind.ALL_GATHER, data, layout.context, first=layout.tensor)
        return sum(found)

    def exchanges(self, layers: Sequence[tuple[float, LayerGroup]]) -> tuple[float, float, float]:
        """Sending tokens to their experts and back, near and far, and the latency of it."""
        layout = self.case.layout
        ranks = layout.expert * layout.expert_tensor
        if layout.expert == 1:
            return 0.0, 0.0, 0.0
        per_chip = layout.ranks_per_chip
        path = spans(self.levels, max(ranks // per_chip, 1))
        near = far = count_all = 0.0
        for count, group in layers:
            if not isinstance(group.feed_forward, Experts):
                continue
            experts = group.feed_forward
            row = (experts.latent or self.case.architecture.hidden) * _BFLOAT
            own = self.tokens / layout.tensor * row
            count_all += count
            for span in path:
                # A token is sent once to each member that has one of its experts.
                distinct = distinct_experts(span.members, 1, experts.active)
                seconds = float(
                    collective_seconds(Kind.ALL_TO_ALL, own * float(distinct), [span], latency=0)
                )
                if span.level is self.levels[0]:
                    near += 2 * count * seconds
                else:
                    far += 2 * count * seconds
        return near, far, 2 * count_all * self.latency(ranks)

    def send(self) -> float:
        layout = self.case.layout
        if layout.pipeline == 1:
            return 0.0
        first = layout.tensor * layout.context * layout.data
        row = self.case.architecture.hidden * _BFLOAT
        data = self.tokens * self.own_share * row
        return sum(self.collective(Kind.SEND, data, 2, first=first)) * layout.virtual

    def data_parallel(self, kind: Kind) -> tuple[float, float]:
        """Reducing all gradients of a rank, or gathering its weights, near and far."""
        case, layout = self.case, self.case.layout
        copies = layout.data * layout.context
        if copies == 1:
            return 0.0, 0.0
        dense = shared_parameters(case.architecture, layout) * _BFLOAT
        near, far = self.collective(kind, dense, copies, first=layout.tensor)
        routed = expert_parameters(case.architecture, layout) * _BFLOAT
        apart = layout.expert * layout.expert_tensor
        sharers = copies * layout.tensor // apart
        if routed and sharers > 1:
            more = self.collective(kind, routed, sharers, first=apart)
            near, far = near + more[0], far + more[1]
        return near, far

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
        self.wide_flops = self.logits_flops = self.attention_flops = 0.0
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
            elif operation.kind is Kind.RECURRENCE:
                self.recurrence_flops += flops
                self.recurrence_bytes += moved
