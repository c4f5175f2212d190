"""What one serving step keeps an accelerator busy with: the terms its energy is a sum of.

A step adds a token to every sequence in flight, and does its share of their prompts' prefill. Each
term is a time at the chip's specification, or a count; `energy` knows what each costs.
"""

import math

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Experts
from craton.silicon.case import ServingCase
from craton.silicon.layout import Layout
from craton.silicon.memory import GIB, sequence_bytes, weight_bytes
from craton.silicon.operations import (
    Formats,
    Kind,
    Operation,
    decode,
    distinct_experts,
    forward,
    prefill,
)
from craton.silicon.precision import Precision

_USABLE = 0.88
"""Share of memory that weights and cache may fill; servers set about 0.9 aside for themselves."""
_COLLECTIVES = (Kind.ALL_REDUCE, Kind.ALL_GATHER, Kind.REDUCE_SCATTER, Kind.ALL_TO_ALL)


class StepTerms(msgspec.Struct, frozen=True):
    """One step on one rank, before any factor; milliseconds at the specified rates."""

    step: float
    """One."""
    layers: float
    dense_ms: float
    """Reading all weights but the experts'."""
    experts_ms: float
    """Reading experts that every rank holds a part of."""
    spread_experts_ms: float
    """Reading experts that are spread over ranks, each whole on one."""
    packed_experts_ms: float
    """Reading experts stored in four bits."""
    eight_bit_ms: float
    """Of `dense_ms`, what is stored in eight bits."""
    imbalance_ms: float
    """Waiting for the rank that holds more of the visited experts than the mean."""
    cache_ms: float
    activations_ms: float
    links_ms: float
    collectives: float
    multiply_ms: float
    prompt_ms: float
    """Multiplying prompts' tokens: those of the requests that start in a step."""
    requests: float
    """Requests that start, and end, in a step."""
    images: float
    """Of them, those with an image or a video."""
    sequences_root: float
    """Square root of the sequences in flight, for what the host does with each."""


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the requests of a known benchmark are like; the row seldom says."""

    tokens: float
    """Of text."""
    cost: float
    """Energy of its prefill against the `multiply_ms` of as many tokens, in shares of TDP."""
    pictures: bool = False
    """True where each request brings an image or a video besides."""


class Prompts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prompt lengths by benchmark, and what an image adds to them by model."""

    datasets: dict[str, Prompt]
    image_tokens: dict[str, float]
    """By how a model's name begins; "" is any other."""
    image_cost: float
    """As `Prompt.cost`, the image's encoder included."""


def sequences_in_flight(case: ServingCase, input_tokens: float) -> float:
    """Sequences of one attention group that are decoded at once: those that fit in memory."""
    if case.concurrency is None:
        raise BadRequest("an estimate of energy needs 'concurrency'; give the requests in flight")
    layout = case.decode.layout if case.decode else case.layout
    chips = case.decode.workers * layout.chips if case.decode else case.chips
    wanted = case.concurrency / (max(chips // layout.chips, 1) * layout.data)
    room = _USABLE * case.chip.memory_gib.value * GIB / layout.ranks_per_chip
    room -= weight_bytes(case.architecture, layout, case.formats)
    length = input_tokens + case.output_tokens / 2
    each = sequence_bytes(case.architecture, layout, case.formats, length)
    fitting = room / each if each > 0.0 else math.inf
    return max(min(wanted, fitting), 1.0)


def step_terms(case: ServingCase, prompts: Prompts) -> StepTerms:
    """The terms of the mean step of a set-up; BadRequest without a concurrency."""
    prompt = prompts.datasets.get(case.dataset or "")
    text = prompt.tokens if prompt else case.input_tokens * (1.0 - case.cached_fraction)
    pictures = prompt is not None and prompt.pictures
    image = _image_tokens(case.architecture.name, prompts) if pictures else 0.0
    length = text + image
    layout = case.decode.layout if case.decode else case.layout
    sequences = sequences_in_flight(case, length)
    requests = sequences / max(case.output_tokens, 1.0)
    step = decode(sequences, length + case.output_tokens / 2)
    found = _Sums(case, layout)
    for operation in forward(case.architecture, layout, case.formats, step):
        found.add(operation)
    # Prefill is linear in tokens but for attention, a small part at these lengths.
    sample = max(length, 1.0)
    first = prefill(1.0, sample)
    passed = _Sums(case, layout)
    for operation in forward(case.architecture, layout, case.formats, first):
        passed.add(operation)
    token_ms = passed.multiply_ms / sample
    cost = prompt.cost if prompt else 1.0
    return StepTerms(
        step=1.0,
        layers=float(case.architecture.layers),
        dense_ms=found.dense_ms,
        experts_ms=0.0 if found.packed or layout.expert > 1 else found.experts_ms,
        spread_experts_ms=found.experts_ms if layout.expert > 1 and not found.packed else 0.0,
        packed_experts_ms=found.experts_ms if found.packed else 0.0,
        eight_bit_ms=found.dense_ms if case.formats.weights.bytes == 1.0 else 0.0,
        imbalance_ms=found.experts_ms * _imbalance(case, layout, sequences),
        cache_ms=found.cache_ms,
        activations_ms=found.activations_ms,
        links_ms=found.links_ms,
        collectives=found.collectives,
        multiply_ms=found.multiply_ms,
        prompt_ms=requests * token_ms * (cost * text + prompts.image_cost * image),
        requests=requests,
        images=requests if pictures else 0.0,
        sequences_root=math.sqrt(sequences),
    )


class _Sums:
    """Times at specification, added up over the operations of a pass."""

    def __init__(self, case: ServingCase, layout: Layout) -> None:
        self._case = case
        self._memory = case.chip.memory_tb_s.value * 1e9 / layout.ranks_per_chip
        self._link = case.chip.links[0].gb_s.value * 1e6 if case.chip.links else math.inf
        self._ranks_per_chip = layout.ranks_per_chip
        self.packed = case.formats.experts.bytes < 1.0
        self.dense_ms = 0.0
        self.experts_ms = 0.0
        self.cache_ms = 0.0
        self.activations_ms = 0.0
        self.links_ms = 0.0
        self.collectives = 0.0
        self.multiply_ms = 0.0

    def add(self, operation: Operation) -> None:
        weights = operation.count * float(operation.weight_bytes) / self._memory
        data = operation.count * float(operation.data_bytes)
        match operation.kind:
            case Kind.EXPERTS:
                self.experts_ms += weights
                self.activations_ms += data / self._memory
            case Kind.ATTENTION | Kind.RECURRENCE:
                self.cache_ms += data / self._memory
            case kind if kind in _COLLECTIVES:
                self.links_ms += data / self._link
                self.collectives += operation.count
            case Kind.SEND:
                self.links_ms += data / self._link
            case _:
                self.dense_ms += weights
                self.activations_ms += data / self._memory
        flops = operation.count * float(operation.flops)
        if flops > 0.0:
            self.multiply_ms += flops * self._ranks_per_chip / _rate(self._case, operation)


def _rate(case: ServingCase, operation: Operation) -> float:
    """Operations a millisecond of the whole chip, in the format it really multiplies in."""
    formats: Formats = case.formats
    if operation.kind in (Kind.GEMM, Kind.EXPERTS) and operation.precision.bytes >= 1.0:
        used = case.gemm or operation.precision
    else:
        # Weights of four bits are widened on the way; attention works in the activations' format.
        used = case.gemm or formats.activations
    peak = case.chip.peak_tflops(used) or case.chip.peak_tflops(Precision.BF16)
    if peak <= 0.0:
        raise BadRequest(f"{case.chip.name} has no rate for {used}, nor for a wider format")
    return peak * 1e9


def _imbalance(case: ServingCase, layout: Layout, sequences: float) -> float:
    """How far the fullest of the ranks lies above the mean, in visited experts.

    Of balls thrown into n urns, m to each on the mean, the fullest holds about
    m (1 + sqrt(2 ln n / m)).
    """
    experts = [
        group.feed_forward
        for group in case.architecture.groups
        if isinstance(group.feed_forward, Experts)
    ]
    if not experts or layout.expert <= 1:
        return 0.0
    tokens = sequences * layout.data
    visited = float(distinct_experts(experts[0].count, experts[0].active, tokens))
    return math.sqrt(2.0 * math.log(layout.expert) * layout.expert / visited)


def _image_tokens(name: str, prompts: Prompts) -> float:
    fitting = [start for start in prompts.image_tokens if name.startswith(start)]
    return prompts.image_tokens[max(fitting, key=len)] if fitting else 0.0
