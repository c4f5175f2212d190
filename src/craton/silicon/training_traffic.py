"""What the ranks of a training step send each other, in ideal seconds on the links they use.

A rank's neighbours are, in this order, those of its tensor group, its context group, its copies and
its stages, as Megatron-Core lays them out; experts are spread over the first three. Near is the
innermost level of links (a server, an NVLink domain), far is all beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from craton.silicon.architecture import Experts, GroupedQuery, Latent, LayerGroup
from craton.silicon.case import TrainingCase
from craton.silicon.chip import LinkLevel
from craton.silicon.links import collective_seconds, spans
from craton.silicon.operations import Kind, distinct_experts
from craton.silicon.training_family import Family, family_of
from craton.silicon.training_memory import expert_parameters, shared_parameters

_BFLOAT = 2.0
"""Bytes of an activation, a gradient on the wire or a gathered weight."""


def tokens_of(case: TrainingCase) -> float:
    """Tokens of one micro-batch on one context-parallel rank."""
    return case.micro_batch * case.sequence / case.layout.context


def stream_share(case: TrainingCase) -> float:
    """What one tensor-parallel rank holds of the residual stream."""
    return 1.0 / case.layout.tensor if case.sequence_parallel else 1.0


def layers_of_stage(case: TrainingCase) -> list[tuple[float, LayerGroup]]:
    """How many layers of each group the mean stage has."""
    return [(group.count / case.layout.pipeline, group) for group in case.architecture.groups]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one rank of a case sends."""

    case: TrainingCase

    @property
    def levels(self) -> Sequence[LinkLevel]:
        """The server's own links where it has any, else the chip's."""
        server = self.case.server
        return server.links if server is not None and server.links else self.case.chip.links

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
        """A forward pass's gathers and scatters in `layers` layers, and their latency."""
        tensor = self.case.layout.tensor
        if tensor == 1:
            return 0.0, 0.0
        row = self.case.architecture.hidden * _BFLOAT
        once = sum(self.collective(Kind.ALL_GATHER, tokens_of(self.case) * row, tensor, first=1))
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
        """Passing every rank's keys and values to the others of its context group."""
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
        data = tokens_of(self.case) * layout.context * width * _BFLOAT
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
            own = tokens_of(self.case) / layout.tensor * row
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
        """A micro-batch's activations to the next stage, once for each chunk of a stage."""
        layout = self.case.layout
        if layout.pipeline == 1:
            return 0.0
        first = layout.tensor * layout.context * layout.data
        row = self.case.architecture.hidden * _BFLOAT
        data = tokens_of(self.case) * stream_share(self.case) * row
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
