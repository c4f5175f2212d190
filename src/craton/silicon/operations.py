"""What one forward pass multiplies, reads and sends, on one rank: the input of every estimate.

`forward` walks the layer groups of an architecture under a layout and yields operations. Numbers
may be NumPy arrays (a batch size each), so one walk serves a whole search. Nothing here knows a
chip: how long an operation takes is `serving` and `training`'s business.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    Recurrent,
)
from craton.silicon.layout import Layout
from craton.silicon.precision import Precision

Quantity: TypeAlias = float | NDArray[np.float64]
"""A number, or one for each case that is walked at once."""


class Kind(StrEnum):
    """What sort of work an operation is; efficiency and overhead are fitted by kind."""

    GEMM = "gemm"
    EXPERTS = "experts"
    """Grouped multiplication: tokens go to the experts they chose."""
    ATTENTION = "attention"
    RECURRENCE = "recurrence"
    ELEMENTWISE = "elementwise"
    ALL_REDUCE = "all-reduce"
    ALL_GATHER = "all-gather"
    REDUCE_SCATTER = "reduce-scatter"
    ALL_TO_ALL = "all-to-all"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of work of one layer, repeated `count` times in a pass on one rank."""

    name: str
    kind: Kind
    count: float
    """Times in one pass of this rank's pipeline stage (a mean where stages differ)."""
    flops: Quantity = 0.0
    """Floating-point operations, a multiply-add as two, one repetition."""
    weight_bytes: Quantity = 0.0
    """Read from memory whatever the number of tokens."""
    data_bytes: Quantity = 0.0
    """Activations and cache read and written; for collectives: the whole buffer of one rank."""
    rows: Quantity = 0.0
    """Tokens that share the weights: the M of a multiplication."""
    columns: float = 0.0
    inner: float = 0.0
    precision: Precision = Precision.BF16
    """What it multiplies in, as stored."""
    group: int = 1
    """Ranks that take part in a collective."""
    kernels: float = 1.0
    """Launches one repetition needs."""


@dataclass(frozen=True, slots=True)
class Formats:
    """In which format each part of a model is stored."""

    weights: Precision = Precision.BF16
    """Of attention and dense feed-forward blocks."""
    experts: Precision = Precision.BF16
    cache: Precision = Precision.BF16
    output: Precision = Precision.BF16
    """Of the embedding and the output matrix: hardly ever quantised."""
    activations: Precision = Precision.BF16


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass, seen by one attention group (a data-parallel rank sees only its own)."""

    tokens: Quantity
    """New tokens in it."""
    sequences: Quantity
    """Sequences they belong to."""
    cached: Quantity
    """Mean tokens a sequence has in the cache before the pass."""
    logits: Quantity
    """Tokens the output matrix is applied to."""

    @property
    def new_a_sequence(self) -> Quantity:
        """Mean new tokens of one sequence."""
        return self.tokens / np.maximum(self.sequences, 1e-9)


def prefill(sequences: Quantity, tokens: Quantity, *, cached: Quantity = 0.0) -> Pass:
    """A pass over whole prompts of `tokens` each."""
    return Pass(sequences * tokens, sequences, cached, sequences)


def decode(sequences: Quantity, context: Quantity) -> Pass:
    """A pass that adds one token to each sequence, `context` tokens long on the mean."""
    return Pass(sequences, sequences, context, sequences)


def seen_tokens(step: Pass, window: int | None) -> Quantity:
    """Mean tokens a new token attends to: the cache, and half of its own prompt."""
    seen = step.cached + (step.new_a_sequence + 1.0) / 2.0
    return seen if window is None else np.minimum(seen, float(window))


def read_tokens(step: Pass, window: int | None) -> Quantity:
    """Tokens of cache one sequence's attention reads in a pass."""
    read = step.cached + step.new_a_sequence
    if window is None:
        return read
    return np.minimum(read, window + step.new_a_sequence)


_EXPAND_ABOVE = 16
"""New tokens a sequence from which expanded keys and values cost less than absorbed queries."""


def distinct_experts(count: float, active: float, tokens: Quantity) -> Quantity:
    """Experts that at least one of `tokens` visits, when each picks `active` of `count` at random.

    Real routers are uneven, so this is an upper bound; fits carry the difference.
    """
    return count * (1.0 - (1.0 - active / count) ** np.asarray(tokens, dtype=np.float64))


def forward(
    architecture: Architecture, layout: Layout, formats: Formats, step: Pass
) -> Iterator[Operation]:
    """The operations of one pass on one rank of one pipeline stage (the mean stage)."""
    return _Walk(architecture, layout, formats, step).operations()


@dataclass(frozen=True, slots=True)
class _Walk:
    """What every part of the walk needs to know."""

    architecture: Architecture
    layout: Layout
    formats: Formats
    step: Pass

    def operations(self) -> Iterator[Operation]:
        # Groups often share a mixer or a block (dense layers first, windows in turn): each kind is
        # walked once, for all layers that have it.
        mixers: Counter[GroupedQuery | Latent | Recurrent] = Counter()
        blocks: Counter[Dense | Experts] = Counter()
        for group in self.architecture.groups:
            if group.mixer is not None:
                mixers[group.mixer] += group.count
            if group.feed_forward is not None:
                blocks[group.feed_forward] += group.count
        stages = self.layout.pipeline
        for mixer, count in mixers.items():
            yield from self.mixer(mixer, count / stages)
        for block, count in blocks.items():
            yield from self.feed_forward(block, count / stages)
        yield self.elementwise((mixers.total() + blocks.total()) / stages)
        yield from self.ends()
        if self.layout.pipeline > 1:
            yield Operation(
                "stage",
                Kind.SEND,
                1.0,
                data_bytes=self.step.tokens
                * self.architecture.hidden
                * self.formats.activations.bytes,
                group=2,
            )

    def gemm(
        self,
        name: str,
        columns: float,
        inner: float,
        count: float,
        *,
        precision: Precision | None = None,
    ) -> Operation:
        rows = self.step.tokens
        precision = precision or self.formats.weights
        return Operation(
            name,
            Kind.GEMM,
            count,
            flops=2.0 * rows * columns * inner,
            weight_bytes=columns * inner * precision.bytes,
            data_bytes=rows * (columns + inner) * self.formats.activations.bytes,
            rows=rows,
            columns=columns,
            inner=inner,
            precision=precision,
        )

    def all_reduce(self, name: str, count: float) -> Operation:
        row = self.architecture.hidden * self.formats.activations.bytes
        return Operation(
            name,
            Kind.ALL_REDUCE,
            count,
            data_bytes=self.step.tokens * row,
            group=self.layout.tensor,
        )

    def mixer(self, mixer: GroupedQuery | Latent | Recurrent, count: float) -> Iterator[Operation]:
        match mixer:
            case GroupedQuery():
                yield from self.grouped_query(mixer, count)
            case Latent():
                yield from self.latent(mixer, count)
            case Recurrent():
                yield from self.recurrent(mixer, count)
        if self.layout.tensor > 1:
            yield self.all_reduce("mix", count)

    def grouped_query(self, mixer: GroupedQuery, count: float) -> Iterator[Operation]:
        # Heads are whole: what doesn't divide is padded, and key-value heads are copied where tp is
        # more than there are.
        heads = math.ceil(mixer.heads / self.layout.tensor)
        kv_heads = math.ceil(mixer.kv_heads / self.layout.tensor)
        queries = heads * mixer.head_size
        gate = queries if mixer.gated else 0.0
        width = queries + gate + 2 * kv_heads * mixer.head_size
        yield self.gemm("qkv", width, self.architecture.hidden, count)
        cache_row = 2 * kv_heads * mixer.head_size * self.formats.cache.bytes
        moved = 2 * self.step.tokens * queries * self.formats.activations.bytes
        yield Operation(
            "attention",
            Kind.ATTENTION,
            count,
            flops=4.0 * self.step.tokens * queries * seen_tokens(self.step, mixer.window),
            data_bytes=moved
            + self.step.sequences * read_tokens(self.step, mixer.window) * cache_row,
            rows=self.step.tokens,
            columns=mixer.head_size,
            inner=heads,
            precision=self.formats.activations,
        )
        yield self.gemm("out", self.architecture.hidden, queries, count)

    def latent(self, mixer: Latent, count: float) -> Iterator[Operation]:
        hidden = self.architecture.hidden
        heads = math.ceil(mixer.heads / self.layout.tensor)
        down = (mixer.query_rank or 0) + mixer.kv_rank + mixer.rope_size + mixer.index_size
        yield self.gemm("down", down, hidden, count)
        query_inner = mixer.query_rank or hidden
        query_width = heads * (mixer.nope_size + mixer.rope_size)
        yield self.gemm("query", query_width, query_inner, count)
        # Keys and values are never written out: queries move into the compressed space (absorbed)
        # and all heads read the one compressed vector; in a long pass they are expanded instead.
        up = heads * (mixer.nope_size + mixer.value_size)
        yield self.gemm("absorb", up, mixer.kv_rank, count)
        row = mixer.kv_rank + mixer.rope_size
        long = np.asarray(self.step.new_a_sequence) > _EXPAND_ABOVE
        size = np.where(
            long,
            mixer.nope_size + mixer.rope_size + mixer.value_size,
            row + mixer.kv_rank,
        )
        window = mixer.index_tokens or None
        yield Operation(
            "attention",
            Kind.ATTENTION,
            count,
            flops=2.0 * self.step.tokens * heads * size * seen_tokens(self.step, window),
            data_bytes=2 * self.step.tokens * heads * row * self.formats.activations.bytes
            + self.step.sequences * read_tokens(self.step, window) * row * self.formats.cache.bytes,
            rows=self.step.tokens,
            columns=float(row),
            inner=heads,
            precision=self.formats.activations,
        )
        if mixer.index_heads:
            seen = seen_tokens(self.step, None)
            yield Operation(
                "index",
                Kind.ATTENTION,
                count,
                flops=2.0 * self.step.tokens * mixer.index_heads * mixer.index_size * seen,
                data_bytes=self.step.sequences * read_tokens(self.step, None) * mixer.index_size,
                rows=self.step.tokens,
                columns=mixer.index_size,
                inner=mixer.index_heads,
                precision=Precision.FP8,
                # It projects, norms, turns and quantises keys and queries, scores, and takes the
                # best.
                kernels=8.0,
            )
        yield self.gemm("out", hidden, heads * mixer.value_size, count)

    def recurrent(self, mixer: Recurrent, count: float) -> Iterator[Operation]:
        keys = mixer.key_heads * mixer.key_size / self.layout.tensor
        values = mixer.value_heads * mixer.value_size / self.layout.tensor
        heads = mixer.value_heads / self.layout.tensor
        width = 2 * keys + 2 * values + 2 * heads
        yield self.gemm("in", width, self.architecture.hidden, count)
        state = heads * mixer.key_size * mixer.value_size
        yield Operation(
            "recurrence",
            Kind.RECURRENCE,
            count,
            # decay, correct, add and read the state once a token
            flops=8.0 * self.step.tokens * state,
            # the state is read and written once a pass, in 32 bits
            data_bytes=2 * 4.0 * self.step.sequences * state
            + self.step.tokens * width * self.formats.activations.bytes,
            rows=self.step.tokens,
            columns=mixer.value_size,
            inner=heads,
            precision=self.formats.activations,
        )
        yield self.gemm("out", self.architecture.hidden, values, count)

    def feed_forward(self, block: Dense | Experts, count: float) -> Iterator[Operation]:
        match block:
            case Dense():
                yield from self.dense(block.width, block.gated, count)
                if self.layout.tensor > 1:
                    yield self.all_reduce("feed-forward", count)
            case Experts():
                yield from self.experts(block, count)

    def dense(self, width: float, gated: bool, count: float) -> Iterator[Operation]:
        share = width / self.layout.tensor
        up = (2 if gated else 1) * share
        yield self.gemm("up", up, self.architecture.hidden, count)
        yield self.gemm("down", self.architecture.hidden, share, count)

    def experts(self, experts: Experts, count: float) -> Iterator[Operation]:
        hidden = self.architecture.hidden
        inner = experts.latent or hidden
        # Ranks that hold the layer see each other's tokens: attention groups times their own.
        tokens = self.step.tokens * self.layout.data
        local = experts.count / self.layout.expert
        width = experts.width / self.layout.expert_tensor
        matrices = 3 if experts.gated else 2
        touched = distinct_experts(experts.count, experts.active, tokens) / self.layout.expert
        visits = tokens * experts.active / self.layout.expert
        if self.layout.data > 1:
            yield self.exchange("dispatch", experts, inner, count)
        yield self.gemm("router", experts.count, hidden, count, precision=Precision.BF16)
        if experts.latent is not None:
            yield self.gemm("narrow", inner / self.layout.tensor, hidden, count)
            yield self.gemm("widen", hidden, inner / self.layout.tensor, count)
        yield Operation(
            "experts",
            Kind.EXPERTS,
            count,
            flops=2.0 * visits * matrices * width * inner,
            weight_bytes=touched * matrices * width * inner * self.formats.experts.bytes,
            data_bytes=visits * (2 * inner + matrices * width) * self.formats.activations.bytes,
            rows=visits / np.maximum(touched, 1e-9),
            columns=width,
            inner=float(inner),
            precision=self.formats.experts,
            kernels=2.0 + (local > 1),
        )
        if experts.shared_width:
            yield from self.dense(experts.shared_width, experts.gated, count)
        if self.layout.data > 1:
            yield self.exchange("combine", experts, inner, count)
        elif self.layout.tensor > 1:
            yield self.all_reduce("feed-forward", count)

    def exchange(self, name: str, experts: Experts, inner: int, count: float) -> Operation:
        """Tokens go to the ranks of their experts, or come back, between attention groups."""
        own = self.step.tokens / self.layout.tensor * inner * self.formats.activations.bytes
        ranks = self.layout.data * self.layout.tensor
        if self.layout.expert > 1:
            copies = min(experts.active, self.layout.expert)
            return Operation(name, Kind.ALL_TO_ALL, count, data_bytes=own * copies, group=ranks)
        kind = Kind.ALL_GATHER if name == "dispatch" else Kind.REDUCE_SCATTER
        return Operation(name, kind, count, data_bytes=own * ranks, group=ranks)

    def elementwise(self, halves: float) -> Operation:
        # Each half of a layer: a norm with its residual (read twice, written twice), and what is
        # between the multiplications (rotary positions, the activation function).
        row = self.architecture.hidden * self.formats.activations.bytes
        return Operation(
            "elementwise",
            Kind.ELEMENTWISE,
            halves,
            data_bytes=6.0 * self.step.tokens * row,
            rows=self.step.tokens,
            kernels=3.0,
        )

    def ends(self) -> Iterator[Operation]:
        # The first stage looks up, the last multiplies: a pass meets each once, a stage 1/pp of it.
        share = 1.0 / self.layout.pipeline
        columns = self.architecture.vocabulary / self.layout.tensor
        yield Operation(
            "logits",
            Kind.GEMM,
            share,
            flops=2.0 * self.step.logits * columns * self.architecture.hidden,
            weight_bytes=columns * self.architecture.hidden * self.formats.output.bytes,
            data_bytes=self.step.logits * (columns * 4.0 + self.architecture.hidden * 2.0),
            rows=self.step.logits,
            columns=columns,
            inner=float(self.architecture.hidden),
            precision=self.formats.output,
        )
        if self.layout.tensor > 1:
            yield Operation(
                "gather-logits",
                Kind.ALL_GATHER,
                share,
                data_bytes=self.step.logits * columns * 2.0,
                group=self.layout.tensor,
            )
