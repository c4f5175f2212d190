"""How long a model takes on NeuronCores: Inferentia2 and Trainium.

A NeuronCore runs programs compiled for fixed shapes. Prompts and caches are padded to the next
power of two; heads are padded until the cores divide them; the cache is read as if every query
head had keys and values of its own. A step's time is a sum: a fixed time a pass and a layer, and
what the specification says for each kind of work, times the factor by which the chip was measured
to be slower. The factors are fitted (`benchmarks/silicon/fit_neuron.py`) and stand, with what
they leave unexplained, in `fits/neuron.toml`.
"""

import math
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture, GroupedQuery, Latent
from craton.silicon.case import Batching, ServingCase
from craton.silicon.chip import Chip
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats, Kind, decode, prefill
from craton.silicon.precision import Precision
from craton.silicon.walks import Numbers, Walk, Walks


class DecodeTerms(msgspec.Struct, frozen=True):
    """What one decode step is made of, before any factor."""

    tokens: float
    """Of the pass, padding included; it takes no part in the sum."""
    step: float
    """One: the fixed time of a step is the factor itself, in ms."""
    layers: float
    """Layers of the model, one after the other."""
    weights_ms: float
    """Reading the weights at the specified rate."""
    cache_ms: float
    """Reading the padded cache at the specified rate."""


class PrefillTerms(msgspec.Struct, frozen=True):
    """What one prefill pass is made of, before any factor."""

    tokens: float
    step: float
    layers: float
    multiply_ms: float
    """Multiplying at the specified peak."""
    scores_ms: float
    """Moving each attention score once, in 32 bits, at the memory's specified rate."""
    cache_ms: float
    """Writing the whole cache, as long as it will ever be, at the memory's specified rate."""
    links_ms: float
    """All-reduces at the chip's specified link rate."""


class Factors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fitted factors of one phase, and how far measured times lie from what they predict."""

    terms: dict[str, float]
    spread: float
    """80 % of measured times lie within this natural logarithm of the prediction, either way, times
    the `doubt` of the pass."""
    rows: int
    error: float
    """Mean absolute relative error, leave one model out."""


class NeuronFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored fit."""

    source: str
    fitted: date
    chips: tuple[str, ...]
    """Chips the rows were measured on; any other is extrapolated from its specification."""
    decode: Factors
    prefill: Factors


class NeuronEstimate(msgspec.Struct, frozen=True):
    """Times of one request on NeuronCores."""

    ttft_ms: Estimate
    tpot_ms: Estimate


@cache
def load_neuron_fit() -> NeuronFit:
    """The fit that comes with Craton."""
    text = files("craton.silicon").joinpath("fits", "neuron.toml").read_bytes()
    return msgspec.toml.decode(text, type=NeuronFit)


def estimate_neuron(
    case: ServingCase, fit: NeuronFit | None = None, *, walks: Walks | None = None
) -> NeuronEstimate:
    """Time to first token and time per output token of a set-up on an AWS chip.

    `walks` may be shared by all cases of an architecture. Raises BadRequest where the case has no
    concurrency.
    """
    fit = fit or load_neuron_fit()
    walks = walks or Walks(case.architecture)
    known = case.chip.name in fit.chips and not _is_served(case)
    step = _estimate(decode_terms(case, walks), fit.decode, known=known)
    sequences = _sequences(case)
    if not _is_continuous(case) or sequences <= 1.0:
        first = _estimate(prefill_terms(case, walks), fit.prefill, known=known)
        return NeuronEstimate(ttft_ms=first, tpot_ms=step)
    # Prompts are prefilled one at a time, and decoding stands still meanwhile: a new prompt waits
    # for half a step, and between two of its tokens a request sits through its share of the others'
    # prefills.
    first = _estimate(prefill_terms(case, walks, sequences=1.0), fit.prefill, known=known)
    share = 0.0 if case.prefill else (sequences - 1.0) / max(case.output_tokens, 1.0)
    return NeuronEstimate(ttft_ms=_sum(first, step, 0.5), tpot_ms=_sum(step, first, share))


def bucket(tokens: float) -> float:
    """The compiled length that holds `tokens`: a power of two, 128 or more."""
    return float(2 ** math.ceil(math.log2(max(tokens, 128.0))))


def decode_terms(case: ServingCase, walks: Walks | None = None) -> DecodeTerms:
    """The terms of the median decode step: half of the output is in the cache."""
    layout = case.decode.layout if case.decode else case.layout
    context = bucket(case.input_tokens + case.output_tokens / 2 + 1)
    step = decode(_sequences(case), context)
    walk = (walks or Walks(case.architecture)).walk(layout, case.formats, step)
    weights = float((walk.count * walk.weight_bytes[:, 0]).sum())
    stages = layout.pipeline
    cached = _sequences(case) * _cache_bytes(case.architecture, layout, case.formats, context)
    state = _sum_of(walk, walk.data_bytes, Kind.RECURRENCE)
    return DecodeTerms(
        tokens=_sequences(case),
        step=1.0,
        layers=float(case.architecture.layers),
        weights_ms=stages * weights / _memory_rate(case.chip, layout),
        cache_ms=(cached + stages * state) / _memory_rate(case.chip, layout),
    )


def prefill_terms(
    case: ServingCase, walks: Walks | None = None, *, sequences: float | None = None
) -> PrefillTerms:
    """The terms of prefilling `sequences` prompts at once (by default, a whole static batch)."""
    layout = case.prefill.layout if case.prefill else case.layout
    batch = _sequences(case) if sequences is None else sequences
    prompt = bucket(case.input_tokens * (1.0 - case.cached_fraction))
    step = prefill(batch, prompt)
    memory, stages = _memory_rate(case.chip, layout), layout.pipeline
    walk = (walks or Walks(case.architecture)).walk(layout, case.formats, step)
    multiply = _sum_of(walk, walk.flops, Kind.GEMM, Kind.EXPERTS)
    peak = case.chip.peak_tflops(case.gemm or Precision.BF16) * 1e9 / layout.ranks_per_chip
    if peak <= 0.0:
        raise BadRequest(f"{case.chip.name} has no rate for {case.gemm or Precision.BF16}")
    length = case.input_tokens + case.output_tokens
    sent = _sum_of(walk, walk.data_bytes, Kind.ALL_REDUCE)
    chips = max(layout.tensor / layout.ranks_per_chip, 1.0)
    around = 2.0 * (chips - 1.0) / chips
    link = case.chip.links[0].gb_s.value * 1e6 if case.chip.links else math.inf
    scores = batch * _score_bytes(case.architecture, layout, prompt) / memory
    return PrefillTerms(
        tokens=batch * prompt,
        step=1.0,
        layers=float(case.architecture.layers),
        multiply_ms=stages * multiply / peak * (SERVED_MULTIPLY if _is_served(case) else 1.0),
        # NeuronX Distributed keeps the scores on the chip (its flash-attention kernel).
        scores_ms=0.0 if _is_served(case) else scores,
        cache_ms=batch * _cache_bytes(case.architecture, layout, case.formats, length) / memory,
        links_ms=stages * around * sent / link,
    )


def doubt(terms: DecodeTerms | PrefillTerms, factors: Factors) -> float:
    """How uncertain one pass is against another of its phase.

    A decode step is the less certain the more of it is fixed time; a prefill, the longer it is.
    """
    match terms:
        case DecodeTerms():
            fixed = factors.terms["step"] + factors.terms["layers"] * terms.layers
            return 0.3 + fixed / _weigh(terms, factors)
        case PrefillTerms():
            return terms.tokens**0.1


def _estimate(terms: DecodeTerms | PrefillTerms, factors: Factors, *, known: bool) -> Estimate:
    value = _weigh(terms, factors)
    apart = math.exp(factors.spread * doubt(terms, factors))
    if known:
        return Estimate(value, value / apart, value * apart, Provenance.FITTED)
    return Estimate(
        value,
        _weigh(terms, factors, -1.0) / apart,
        _weigh(terms, factors, 1.0) * apart,
        Provenance.SPEC_EXTRAPOLATED,
    )


def _weigh(terms: DecodeTerms | PrefillTerms, factors: Factors, away: float = 0.0) -> float:
    """The sum of all terms, each slowed by its factor.

    `away` is 0 on silicon the factors were fitted on. Elsewhere, and this is an assumption and
    no measurement, -1 and 1 stand for a rate half-way (in ratio) towards its specification, or as
    far beyond, and for fixed times shorter or longer by half.
    """
    total = 0.0
    for name, factor in factors.terms.items():
        term: float = getattr(terms, name)
        fixed = name in ("step", "layers")
        total += term * (factor * 1.5**away if fixed else factor ** (1.0 + away / 2.0))
    return total


def _sum(one: Estimate, other: Estimate, share: float) -> Estimate:
    """One time and a share of another; their errors are taken to go together."""
    return Estimate(
        one.value + share * other.value,
        one.low + share * other.low,
        one.high + share * other.high,
        one.provenance,
    )


SERVED_MULTIPLY = 0.62
"""Time of multiplying under NeuronX Distributed, against Transformers NeuronX that the factors were
fitted on. An assumption: half-way, in ratio, from the fitted 0.27 of the peak to the 0.69 that one
4,096 x 4,096 x 4,096 multiplication reaches on a NeuronCore (nki-autotune issue 25, 2.1 ms)."""


BEFORE_SERVED = ("trainium1", "inferentia2")
"""Chips whose published figures are of Transformers NeuronX; later ones are served by its successor
where nobody says otherwise."""


def _is_served(case: ServingCase) -> bool:
    """Whether the software is NeuronX Distributed or a server over it."""
    if case.framework is None:
        return case.chip.name not in BEFORE_SERVED
    framework = case.framework.lower()
    return "vllm" in framework or "nxd" in framework or "distributed" in framework


def _is_continuous(case: ServingCase) -> bool:
    # Transformers NeuronX, which most published rows come from, only forms static batches; the
    # servers over NeuronX Distributed form continuous ones.
    return case.batching is Batching.CONTINUOUS and _is_served(case)


def _sequences(case: ServingCase) -> float:
    """Sequences one attention group holds."""
    if case.concurrency is None:
        raise BadRequest("an estimate for NeuronCores needs 'concurrency'; give the batch size")
    layout, chips = case.layout, case.chips
    if case.decode:
        layout = case.decode.layout
        chips = case.decode.workers * layout.chips
    replicas = max(chips // layout.chips, 1)
    return max(case.concurrency / (replicas * layout.data), 1.0)


def _sum_of(walk: Walk, amounts: Numbers, *kinds: Kind) -> float:
    """One quantity of a pass over all its operations of some kinds."""
    return sum(
        float(walk.count[index] * amounts[index, 0])
        for index, kind in enumerate(walk.kinds)
        if kind in kinds
    )


def _memory_rate(chip: Chip, layout: Layout) -> float:
    """Bytes a millisecond of one rank."""
    return chip.memory_tb_s.value * 1e9 / layout.ranks_per_chip


def _cache_bytes(
    architecture: Architecture, layout: Layout, formats: Formats, tokens: float
) -> float:
    """Cache of one sequence on one rank: padded heads, keys and values for each query head."""
    total = 0.0
    for group in architecture.groups:
        match group.mixer:
            case GroupedQuery() as mixer:
                seen = tokens if mixer.window is None else min(tokens, float(mixer.window))
                heads = math.ceil(mixer.heads / layout.tensor)
                total += group.count * 2 * heads * mixer.head_size * seen
            case Latent() as mixer:
                total += group.count * (mixer.kv_rank + mixer.rope_size) * tokens
            case _:
                pass
    return total * formats.cache.bytes


def _score_bytes(architecture: Architecture, layout: Layout, prompt: float) -> float:
    """Attention scores of one prompt on one rank, in 32 bits."""
    total = 0.0
    for group in architecture.groups:
        match group.mixer:
            case GroupedQuery(heads=heads, window=window):
                seen = prompt if window is None else min(prompt, float(window))
                total += group.count * math.ceil(heads / layout.tensor) * prompt * seen
            case Latent(heads=heads):
                total += group.count * math.ceil(heads / layout.tensor) * prompt * prompt
            case _:
                pass
    return 4.0 * total
