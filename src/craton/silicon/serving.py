"""How long serving takes: time to first token, time per output token, throughput, with intervals.

A set-up's passes are walked (`operations`), timed by a roofline with fitted efficiencies
(`serving_time`), and put together by the arithmetic of continuous batching (`queueing`). What that
leaves unexplained in measured runs corrects it, shrunk, and gives the interval (`intervals`). The
figures come from `fits/serving.toml`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from craton.kernel.errors import BadRequest
from craton.silicon.case import Batching, ServingCase
from craton.silicon.efficiency import OTHER
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.intervals import Correction, estimate
from craton.silicon.layout import Layout
from craton.silicon.memory import sequence_bytes
from craton.silicon.neuron import estimate_neuron
from craton.silicon.processor import estimate_processor
from craton.silicon.queueing import Flow, Server, closed_loop, disaggregated
from craton.silicon.quote import Term
from craton.silicon.serving_demand import Numbers
from craton.silicon.serving_features import features
from craton.silicon.serving_fit import ServingFit, framework_name, load_serving_fit
from craton.silicon.serving_memory import Memory, batch_limit, memory_of, refuse
from craton.silicon.serving_passes import Decoding, Prefilling, decoding, prefilling
from craton.silicon.serving_time import Clockwork, clockwork
from craton.silicon.walks import Walks

NEURON = "AWS"
"""The vendor whose chips have a model of their own."""

MEMORY_SPREAD = 0.1
"""Half an interval of memory, as a logarithm: what servers reserve differs by about as much."""


class ServingEstimate(msgspec.Struct, frozen=True):
    """What a set-up does, each figure with its interval."""

    ttft_ms: Estimate
    """Mean, from a request's arrival."""
    tpot_ms: Estimate
    """Mean time between two tokens of a request."""
    tokens_s: Estimate
    """Output tokens a second, all chips."""
    tokens_s_chip: Estimate
    memory_gib: Estimate
    """Of a rank's chip, at this load."""
    batch: float
    """Requests in one replica (or decode worker) at once; the others wait for memory."""
    memory: Memory
    terms: tuple[Term, ...]
    """One decode step and one prompt's prefill, by operation."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A set-up taken apart: everything an estimate is put together from."""

    case: ServingCase
    work: Clockwork
    """Of decoding."""
    prefill_work: Clockwork
    in_flight: Numbers
    """A replica; in all decode workers where the phases are apart."""
    running: Numbers
    """Of these, at once."""
    room: float
    """Requests that memory holds at once."""
    decode: Decoding
    prefill: Prefilling


def estimate_serving(case: ServingCase, fit: ServingFit | None = None) -> ServingEstimate:
    """Estimate one set-up.

    Raises BadRequest where it can't be: not even one sequence fits in memory, or no concurrency is
    given.
    """
    fit = fit or load_serving_fit()
    if case.concurrency is None:
        raise BadRequest("the set-up has no concurrency: say how many requests are in flight")
    parts = take_apart(case, fit, np.array([case.concurrency]))
    flow = flow_of(parts)
    ttft, tpot = _times(case, parts, flow, fit)
    memory = memory_of(
        case.architecture,
        parts.work.layout,
        case.formats,
        sequences=float(parts.running[0]) / _decode_workers(case),
        tokens=_held(case),
        chunk_tokens=parts.work.chunk_tokens,
    )
    tokens_s = _throughput(case, ttft, tpot)
    spread = MEMORY_SPREAD
    return ServingEstimate(
        ttft_ms=ttft,
        tpot_ms=tpot,
        tokens_s=tokens_s,
        tokens_s_chip=tokens_s.scaled(1.0 / case.chips),
        memory_gib=estimate(memory.total_gib, -spread, spread, tpot.provenance),
        batch=float(parts.running[0]) / _decode_workers(case),
        memory=memory,
        terms=tuple(_terms(parts)),
    )


def take_apart(
    case: ServingCase,
    fit: ServingFit,
    concurrency: Numbers,
    *,
    walks: Walks | None = None,
    crowded: bool = False,
) -> Parts:
    """Find the batches and the passes of a set-up at each concurrency.

    `crowded` lets all requests run, also those beyond the room there is for them: then the passes
    are the same on every chip, and a search that shares `walks` walks them once.
    """
    walks = walks or Walks(case.architecture)
    pools = (case.prefill, case.decode) if case.prefill and case.decode else None
    layout = pools[1].layout if pools else case.layout
    work = _clockwork(case, layout, fit, walks)
    before = _clockwork(case, pools[0].layout, fit, walks) if pools else work
    most = _room(case, work)
    cached = case.input_tokens * case.cached_fraction
    prompt = max(case.input_tokens - cached, 1.0)
    workers = _decode_workers(case)
    share = concurrency if pools else concurrency / _replicas(case)
    if pools and pools[1].batch is not None:
        most = min(most, float(pools[1].batch) * layout.data)
    running = np.clip(share, 1.0, np.inf if crowded else most * workers)
    waiting = concurrency / pools[0].workers if pools else running
    return Parts(
        case,
        work,
        before,
        np.maximum(share, 1.0),
        running,
        most * workers,
        decoding(work, np.maximum(running / workers, 1.0), _held(case)),
        prefilling(before, waiting, prompt, cached),
    )


def _clockwork(case: ServingCase, layout: Layout, fit: ServingFit, walks: Walks) -> Clockwork:
    levels = case.server.links if case.server and case.server.links else None
    return clockwork(
        case.architecture,
        layout,
        case.formats,
        case.chip,
        levels,
        case.framework,
        gemm=case.gemm,
        fit=fit,
        walks=walks,
    )


def room_of(case: ServingCase, fit: ServingFit) -> float:
    """Sequences of a replica that fit in memory; BadRequest where none does."""
    return _room(case, _clockwork(case, case.layout, fit, Walks(case.architecture)))


def _room(case: ServingCase, work: Clockwork) -> float:
    tokens = case.input_tokens + case.output_tokens
    most = batch_limit(
        case.architecture,
        work.layout,
        case.formats,
        case.chip,
        tokens=tokens,
        held=_held(case),
        chunk_tokens=work.chunk_tokens,
    )
    if most < 1.0:
        raise refuse(
            case.architecture,
            work.layout,
            case.formats,
            case.chip,
            tokens=tokens,
            chunk_tokens=work.chunk_tokens,
        )
    return most


def _held(case: ServingCase) -> float:
    """Tokens a running sequence has in the cache on the mean."""
    return case.input_tokens + case.output_tokens / 2.0


def _replicas(case: ServingCase) -> float:
    return float(max(case.chips // case.layout.chips, 1))


def _decode_workers(case: ServingCase) -> float:
    return float(case.decode.workers) if case.decode else 1.0


def _server(
    work: Clockwork, decode: tuple[Numbers, Numbers], prefill: tuple[Numbers, Numbers], parts: Parts
) -> Server:
    """Seconds of operations (`decode` and `prefill`: one, all) with the software's own time."""
    stages = work.layout.pipeline
    one, every = (seconds * stages for seconds in decode)
    first, full = (seconds * stages for seconds in prefill)
    in_group = np.maximum(parts.decode.in_pass / work.layout.data, 1.0)
    ones = np.ones_like(parts.running)
    return Server(
        decode_one_s=ones * (one + work.overhead_s(1.0)),
        decode_s=every + work.overhead_s(in_group),
        prefill_one_s=ones * (first + work.overhead_s(1.0)) * parts.prefill.passes_one,
        prefill_full_s=ones * (full + work.overhead_s(1.0)),
        prompts_full=ones * parts.prefill.prompts_full,
        fused=ones * work.fused,
        first_wave=ones * work.first_wave,
        request_s=ones * work.request_s(parts.case.input_tokens),
        wait_steps=ones * work.software.wait_steps,
        host_s=ones * work.host_s(parts.case.input_tokens, parts.case.output_tokens),
    )


def flow_of(parts: Parts) -> Flow:
    """What a request sees, before any correction."""
    return put_together(parts, *servers_of(parts))


def servers_of(parts: Parts) -> tuple[Server, Server]:
    """The server that decodes, and the one that prefills: the same where phases are together."""
    work, before = parts.work, parts.prefill_work
    decode = (work.graphed(parts.decode.one), work.graphed(parts.decode.all))
    prefill = (before.launched(parts.prefill.one), before.launched(parts.prefill.full))
    server = _server(work, decode, prefill, parts)
    return server, server if work is before else _server(before, decode, prefill, parts)


def put_together(parts: Parts, server: Server, prefiller: Server) -> Flow:
    """The flow through servers whose times are known."""
    case = parts.case
    output = np.full_like(parts.running, case.output_tokens)
    if case.prefill and case.decode:
        return disaggregated(
            prefiller,
            server,
            parts.in_flight,
            parts.running,
            output,
            prefill_workers=float(case.prefill.workers),
            decode_workers=float(case.decode.workers),
            transfer_s=np.full_like(parts.running, transfer_s(case)),
        )
    if case.batching is Batching.STATIC:
        return _static(server, parts.running, parts.in_flight, output)
    return closed_loop(server, parts.in_flight, parts.running, output)


def transfer_s(case: ServingCase) -> float:
    """A prompt's cache on its way to the decode worker, over the outermost links; 0 without one."""
    if case.prefill is None:
        return 0.0
    layout = case.prefill.layout
    sent = sequence_bytes(case.architecture, layout, case.formats, case.input_tokens)
    return sent / (case.chip.links[-1].gb_s.value * 1e9)


def _static(server: Server, running: Numbers, in_flight: Numbers, output: Numbers) -> Flow:
    """All requests of a batch start and end together; later batches wait for it."""
    passes = np.maximum(running / np.maximum(server.prompts_full, 1e-9), 1.0)
    prompts = np.maximum(passes * server.prefill_full_s, server.prefill_one_s)
    steps = np.maximum(output - 1.0, 1.0)
    cycle = server.request_s + prompts + steps * server.decode_s
    queued = np.maximum(in_flight / running - 1.0, 0.0) / 2.0 * cycle
    busy = prompts / cycle
    first = server.request_s + prompts + queued
    return Flow(first, server.decode_s, cycle, running, server.decode_s, prompts / running, busy)


def _times(
    case: ServingCase, parts: Parts, flow: Flow, fit: ServingFit
) -> tuple[Estimate, Estimate]:
    if case.chip.vendor == NEURON:
        found = estimate_neuron(case)
        return found.ttft_ms, found.tpot_ms
    if case.chip.engine is not None:
        own = estimate_processor(case)
        return own.ttft_ms, own.tpot_ms
    named = set_up_features(parts, flow, fit)
    known = is_known(case, fit)
    token_s = flow.tpot_s / _speedup(case, parts, fit)
    return (
        _corrected(flow.ttft_s, fit.ttft, named, known=known),
        _corrected(token_s, fit.tpot, named, known=known),
    )


def is_known(case: ServingCase, fit: ServingFit) -> bool:
    """Whether coefficients of this chip's family and this framework were fitted."""
    fitted = case.chip.name in {name for each in fit.families.values() for name in each.chips}
    return fitted and framework_name(case.framework, fit.software) != OTHER


def set_up_features(parts: Parts, flow: Flow, fit: ServingFit) -> Mapping[str, Numbers]:
    """The features the corrections take."""
    case = parts.case
    family = next((n for n, each in fit.families.items() if case.chip.name in each.chips), OTHER)
    asked = parts.decode.all
    work = parts.prefill_work
    alone_s = work.launched(parts.prefill.one) * work.layout.pipeline * parts.prefill.passes_one
    crowd = parts.in_flight / case.prefill.workers if case.prefill else parts.running
    return features(
        case,
        framework=framework_name(case.framework, fit.software),
        family=family,
        flow=flow,
        running=parts.running / _decode_workers(case),
        crowd=crowd,
        filled=parts.in_flight / parts.room,
        alone_s=alone_s,
        asked=asked,
        seconds=parts.work.operations(asked),
    )


def _corrected(
    seconds: Numbers, correction: Correction, named: Mapping[str, Numbers], *, known: bool
) -> Estimate:
    value = float((seconds * correction.factor(named) * 1e3)[0])
    low, high = (float(np.ravel(end)[0]) for end in correction.widths(named, known=known))
    provenance = Provenance.FITTED if known else Provenance.SPEC_EXTRAPOLATED
    return estimate(value, low, high, provenance)


def _speedup(case: ServingCase, parts: Parts, fit: ServingFit) -> Numbers | float:
    """How many times faster tokens come with speculative decoding."""
    if not case.speculative:
        return 1.0
    # Checking guesses is a decode step with more tokens a sequence.
    checked = 1.0 + fit.speculation.drafted
    running = parts.running / _decode_workers(case)
    more = decoding(parts.work, running * checked, _held(case))
    whole = parts.work.graphed(more.all) + parts.work.overhead_s(1.0)
    plain = parts.work.graphed(parts.decode.all) + parts.work.overhead_s(1.0)
    return fit.speculation.accepted * plain / whole


def _throughput(case: ServingCase, ttft: Estimate, tpot: Estimate) -> Estimate:
    """Output tokens a second of all chips: Little's law over a request's life."""
    in_flight = case.concurrency or 1.0
    steps = max(case.output_tokens - 1.0, 0.0)

    def rate(first_ms: float, token_ms: float) -> float:
        return in_flight * case.output_tokens / ((first_ms + steps * token_ms) / 1e3)

    # The two times are parts of one cycle: what the one takes more, the other often takes less, so
    # the ends of both intervals hardly ever meet. Each alone at its end, added in squares.
    middle = rate(ttft.value, tpot.value)
    down = np.hypot(
        np.log(middle / rate(ttft.high, tpot.value)), np.log(middle / rate(ttft.value, tpot.high))
    )
    up = np.hypot(
        np.log(rate(ttft.low, tpot.value) / middle), np.log(rate(ttft.value, tpot.low) / middle)
    )
    return estimate(middle, -float(down), float(up), tpot.provenance)


def _terms(parts: Parts) -> Iterator[Term]:
    prefill = (parts.prefill_work, "prefill", parts.prefill.one, parts.prefill.passes_one)
    for work, phase, asked, times in (prefill, (parts.work, "decode", parts.decode.all, 1.0)):
        seconds = work.operations(asked)[:, 0] * times * work.layout.pipeline
        repeated = asked.count * times * work.layout.pipeline
        total: dict[str, list[float]] = {}
        for index, name in enumerate(asked.names):
            found = total.setdefault(name, [0.0, 0.0, 0.0])
            found[0] += float(seconds[index])
            found[1] += float(asked.flops[index, 0] * repeated[index])
            found[2] += float(asked.bytes[index, 0] * repeated[index])
        for name, (time, flops, moved) in total.items():
            yield Term(phase, name, time, flops, moved)
        yield Term(phase, "software", float(work.overhead_s(1.0)) * times)
