"""How long a model takes in the embedded engine on this machine's processor.

A step multiplies all its tokens with the weights (or reads the weights, if that takes longer),
attends, chooses tokens, and pays a fixed time a layer. The rates are the machine's own
(`craton chips calibrate`); the steps of a load are known (`processor_schedule`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture, GroupedQuery, Latent, Recurrent
from craton.silicon.case import ServingCase
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats, Kind, Pass, forward, seen_tokens
from craton.silicon.processor_rates import EngineRates, seconds_of
from craton.silicon.processor_schedule import Limits, Numbers, Schedule, schedule

WAVES = 3
"""Times every place in a closed loop is filled."""
OTHER_SPREAD = 0.25
"""Added to the spread for a format that the rates weren't measured in. An assumption."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What each step asks for: the quantities that `Costs` has prices for, one element a step."""

    multiplied: Numbers
    """Operations on weights, where multiplying takes longer than reading them."""
    read_bytes: Numbers
    """Bytes of weights, where reading them takes longer."""
    prefill_attention: Numbers
    """Operations."""
    decode_attention: Numbers
    """Operations."""
    layers: Numbers
    chosen: Numbers
    """Tokens chosen."""
    passed: Numbers
    """Cells of other requests passed over by tokens of prompts, in each head of each layer."""

    def columns(self) -> NDArray[np.float64]:
        """One column a term, one row a step."""
        return np.column_stack(
            (
                self.multiplied,
                self.read_bytes,
                self.prefill_attention,
                self.decode_attention,
                self.layers,
                self.chosen,
                self.passed,
            )
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one of each term, in the order of `Terms.columns`; and of one request."""

    multiply: float
    read: float
    prefill_attention: float
    decode_attention: float
    layer: float
    chosen: float
    passed: float
    request: float

    def steps(self, terms: Terms) -> Numbers:
        """Seconds of each step."""
        prices = (
            self.multiply,
            self.read,
            self.prefill_attention,
            self.decode_attention,
            self.layer,
            self.chosen,
            self.passed,
        )
        return terms.columns() @ np.array(prices)


@dataclass(frozen=True, slots=True)
class ProcessorEstimate:
    """Times of one request in a closed loop, and what the engine gives in all."""

    ttft_ms: Estimate
    tpot_ms: Estimate
    tokens_s: Estimate
    """Output tokens."""


def costs_of(rates: EngineRates) -> Costs:
    """The engine's rates as seconds."""
    return Costs(
        multiply=1e-12 / rates.multiply_tflops.value,
        read=1e-12 / rates.read_tb_s.value,
        prefill_attention=1e-12 / rates.prefill_attention_tflops.value,
        decode_attention=1e-12 / rates.decode_attention_tflops.value,
        layer=seconds_of(rates.layer_us, 1e-6),
        chosen=seconds_of(rates.sequence_us, 1e-6),
        passed=seconds_of(rates.cell_ns, 1e-9),
        request=seconds_of(rates.request_ms, 1e-3),
    )


def terms_of(
    architecture: Architecture, formats: Formats, steps: Schedule, *, stored: float, worth: float
) -> Terms:
    """What the steps ask for.

    `stored` is how many bytes the weights take for each that their format's name says; `worth`, the
    operations done in the time in which a byte is read: it decides which of the two takes longer.
    """
    growing = Pass(steps.decoding, steps.decoding, steps.decode_context, steps.decoding)
    read = Pass(steps.prompt_tokens, steps.prompts, steps.prompt_context, steps.prompts)
    both = Pass(
        steps.decoding + steps.prompt_tokens,
        steps.decoding + steps.prompts,
        (steps.decode_context * steps.decoding + steps.prompt_context * steps.prompts)
        / np.maximum(steps.decoding + steps.prompts, 1.0),
        steps.chosen,
    )
    multiplied = np.zeros_like(steps.decoding)
    read_bytes = np.zeros_like(steps.decoding)
    for each in forward(architecture, Layout(), formats, both):
        if each.kind in (Kind.GEMM, Kind.EXPERTS):
            stored_bytes = np.asarray(each.weight_bytes) * stored
            if each.name == "logits":
                stored_bytes = np.where(steps.chosen > 0, stored_bytes, 0.0)
            is_read_bound = stored_bytes * worth > each.flops
            multiplied += each.count * np.where(is_read_bound, 0.0, each.flops)
            read_bytes += each.count * np.where(is_read_bound, stored_bytes, 0.0)
    # Tokens of prompts attend in blocks, which hold what others left in the shared cache; a token
    # that is alone skips that. (Measured: the second costs nothing that could be told.)
    others = steps.prompt_tokens * np.maximum(steps.cells - seen_tokens(read, None), 0.0)
    return Terms(
        multiplied=multiplied,
        read_bytes=read_bytes,
        prefill_attention=_attention(architecture, formats, read),
        decode_attention=_attention(architecture, formats, growing),
        layers=np.full_like(multiplied, float(architecture.layers)),
        chosen=steps.chosen,
        passed=others * _heads(architecture),
    )


def _attention(architecture: Architecture, formats: Formats, step: Pass) -> Numbers:
    total = np.zeros_like(np.asarray(step.tokens, dtype=np.float64))
    for each in forward(architecture, Layout(), formats, step):
        if each.kind in (Kind.ATTENTION, Kind.RECURRENCE):
            total += each.count * np.asarray(each.flops)
    return total


def _heads(architecture: Architecture) -> float:
    """Heads that look through the cache, over all layers."""
    total = 0
    for group in architecture.groups:
        match group.mixer:
            case GroupedQuery(heads=heads) | Latent(heads=heads):
                total += group.count * heads
            case Recurrent() | None:
                pass
    return float(total)


def worth_of(rates: EngineRates) -> float:
    """Operations done in the time in which a byte of weights is read."""
    return rates.multiply_tflops.value / rates.read_tb_s.value


def estimate_processor(case: ServingCase) -> ProcessorEstimate:
    """Times of a set-up on the one machine that was measured.

    BadRequest where the chip has no measured engine, or the set-up is more than one machine.
    """
    rates = case.chip.engine
    if rates is None:
        raise BadRequest(
            f"The chip {case.chip.name} has no rates of an engine; run `craton chips calibrate`"
            " on that machine, with a model there."
        )
    if case.layout.ranks > 1 or case.chips > 1:
        raise BadRequest(
            f"The embedded engine runs on one machine; this set-up splits over {case.layout.ranks}"
            f" ranks and {case.chips} chips."
        )
    if case.concurrency is None:
        raise BadRequest("an estimate for a processor needs 'concurrency'; give the requests")
    in_flight = max(round(case.concurrency), 1)
    running = min(in_flight, rates.slots)
    load = (_tokens(case.input_tokens * (1.0 - case.cached_fraction)), _tokens(case.output_tokens))
    limits = Limits(rates.step_tokens, rates.slots, rates.pool_tokens)
    steps = schedule([load] * (WAVES * running), running, limits)
    terms = terms_of(
        case.architecture,
        case.formats,
        steps,
        stored=rates.stored.value,
        worth=worth_of(rates),
    )
    times = times_of(steps, terms, costs_of(rates))
    # The first of each place start together, which those of a running loop don't.
    first, token = float(times.first_s[running:].mean()), float(times.token_s[running:].mean())
    # Who finds no slot waits until those before it were served (Little's law).
    served_s = (first + token * max(case.output_tokens - 1.0, 0.0)) / running
    return _estimate(case, rates, first + (in_flight - running) * served_s, token, in_flight)


def _tokens(mean: float) -> int:
    return max(round(mean), 1)


@dataclass(frozen=True, slots=True)
class Times:
    """Of each request, in seconds."""

    first_s: Numbers
    """From its coming to its first token."""
    token_s: Numbers
    """Between two tokens, on the mean; 0 where there is only one."""
    whole_s: Numbers
    """From its coming to its last token."""


def times_of(steps: Schedule, terms: Terms, costs: Costs) -> Times:
    """When the tokens of each request come."""
    ends = np.concatenate(([0.0], np.cumsum(costs.steps(terms))))
    first = ends[steps.first] - ends[steps.asked] + costs.request
    growing = ends[steps.last] - ends[steps.first]
    return Times(first, growing / np.maximum(steps.outputs - 1.0, 1.0), first + growing)


def _estimate(
    case: ServingCase, rates: EngineRates, first: float, token: float, in_flight: int
) -> ProcessorEstimate:
    whole = first + token * max(case.output_tokens - 1.0, 0.0)
    measured = case.formats.weights == rates.weights
    spread = rates.spread + (0.0 if measured else OTHER_SPREAD)
    provenance = Provenance.FITTED if measured else Provenance.SPEC_EXTRAPOLATED

    def between(value: float) -> Estimate:
        apart = math.exp(spread)
        return Estimate(value, value / apart, value * apart, provenance)

    return ProcessorEstimate(
        ttft_ms=between(first * 1e3),
        tpot_ms=between(token * 1e3),
        tokens_s=between(in_flight * case.output_tokens / whole),
    )
