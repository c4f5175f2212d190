"""From how long a few short loads took in the engine to its rates: least squares without negatives.

The steps of each load are known, so each time measured is a sum: what its steps asked for, times
what each of it costs. Costs can't be negative; attention isn't cheaper an operation than the
multiplication of weights, nor attention of one token at a time cheaper than that of many. That
keeps the rates sensible where a short run can't tell two of them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture
from craton.silicon.figure import Figure
from craton.silicon.operations import Formats
from craton.silicon.processor import Costs, terms_of, times_of
from craton.silicon.processor_rates import EngineRates
from craton.silicon.processor_schedule import Limits, Schedule, schedule

ROUNDS_MAX = 50
"""The rate decides where reading takes longer than multiplying, which decides the rate."""
SETTLED = 1e-6
NORMAL_80 = 1.2816
"""Half the width of the interval that holds 80 % of a normal distribution, in deviations."""


class Load(msgspec.Struct, frozen=True):
    """Requests that are asked at once, all alike. Tokens."""

    prompt: int
    output: int
    concurrency: int


class Observed(msgspec.Struct, frozen=True):
    """How long the requests of a load took, one run of it. Means over the requests, in seconds."""

    first_s: float
    """To the first token."""
    growing_s: float
    """From the first token to the last."""


class Probe(msgspec.Struct, frozen=True):
    """A load and its runs."""

    load: Load
    runs: tuple[Observed, ...]

    @property
    def median(self) -> Observed:
        """The middle of each time."""
        return Observed(
            float(np.median([run.first_s for run in self.runs])),
            float(np.median([run.growing_s for run in self.runs])),
        )

    @property
    def scatter(self) -> float:
        """How many times as long as the fastest run the slowest took, to its end."""
        whole = [run.first_s + run.growing_s for run in self.runs]
        return max(whole) / min(whole)


@dataclass(frozen=True, slots=True)
class Probed:
    """What was run where: the model and the engine that the probes are of."""

    software: str
    model: str
    architecture: Architecture
    formats: Formats
    weight_bytes: float
    """Of all weights, as stored."""
    threads: int
    limits: Limits


def steps_of(load: Load, limits: Limits) -> Schedule:
    """The steps of a load whose requests all come at once."""
    return schedule([(load.prompt, load.output)] * load.concurrency, load.concurrency, limits)


def predict_load(
    load: Load, probed: Probed, costs: Costs, *, stored: float, worth: float
) -> Observed:
    """How long a load should take."""
    steps = steps_of(load, probed.limits)
    terms = terms_of(probed.architecture, probed.formats, steps, stored=stored, worth=worth)
    times = times_of(steps, terms, costs)
    growing = times.whole_s - times.first_s
    return Observed(float(times.first_s.mean()), float(growing.mean()))


def fit(
    probes: Sequence[Probe], probed: Probed, *, read_bytes_s: float, source: str, read: date
) -> EngineRates:
    """The engine's rates; `read_bytes_s` is the rate at which this machine copies memory.

    Where the engine is seen to read its weights faster than that, it is believed. BadRequest where
    the probes can't tell how fast it multiplies.
    """
    stored = probed.weight_bytes / _named_bytes(probed)
    read_bytes_s = max(read_bytes_s, probed.weight_bytes / _shortest_step_s(probes))
    multiply = 0.0  # the first round takes reading to be free
    worth = 0.0
    costs = _solve(probes, probed, stored=stored, worth=worth, read=1.0 / read_bytes_s)
    for _ in range(ROUNDS_MAX):
        if costs.multiply <= 0.0 or not math.isfinite(costs.multiply):
            raise BadRequest(
                "The probes of the engine don't tell how fast it multiplies: longer prompts took no"
                " longer. Run the calibration again when the machine has less else to do."
            )
        if multiply and abs(costs.multiply / multiply - 1.0) < SETTLED:
            break
        # Half-way in ratio, since a whole step may swing between two rates for ever.
        multiply = math.sqrt(multiply * costs.multiply) if multiply else costs.multiply
        worth = 1.0 / (multiply * read_bytes_s)
        costs = _solve(probes, probed, stored=stored, worth=worth, read=1.0 / read_bytes_s)
    worth = 1.0 / (costs.multiply * read_bytes_s)
    spread = _spread(probes, probed, costs, stored=stored, worth=worth)
    return _rates(
        costs,
        probed,
        _told(probes, source, read),
        stored=stored,
        read_bytes_s=read_bytes_s,
        spread=spread,
    )


def _shortest_step_s(probes: Sequence[Probe]) -> float:
    """Each step reads all weights; infinite where no answer grew."""
    steps = (
        probe.median.growing_s / (probe.load.output - 1)
        for probe in probes
        if probe.load.output > 1
    )
    return min((step for step in steps if step > 0.0), default=math.inf)


def _named_bytes(probed: Probed) -> float:
    """Bytes of the weights if each took what its format's name says."""
    architecture, formats = probed.architecture, probed.formats
    ends = architecture.vocabulary * architecture.hidden * (1 if architecture.tied else 2)
    body = architecture.parameters() - ends
    return body * formats.weights.bytes + ends * formats.output.bytes


def _solve(
    probes: Sequence[Probe], probed: Probed, *, stored: float, worth: float, read: float
) -> Costs:
    """The costs that fit best; `read` is known, seconds a byte, and so is what is read."""
    rows: list[NDArray[np.float64]] = []
    seconds: list[float] = []
    for probe in probes:
        steps = steps_of(probe.load, probed.limits)
        terms = terms_of(probed.architecture, probed.formats, steps, stored=stored, worth=worth)
        columns = terms.columns()
        sums = np.vstack((np.zeros(columns.shape[1]), np.cumsum(columns, axis=0)))
        first = (sums[steps.first] - sums[steps.asked]).mean(axis=0)
        growing = (sums[steps.last] - sums[steps.first]).mean(axis=0)
        rows.append(np.append(first, 1.0))
        rows.append(np.append(growing, 0.0))
        seconds.extend((probe.median.first_s, probe.median.growing_s))
    table, taken = np.array(rows), np.array(seconds)
    kept = taken > 0.0
    reading = table[:, 1] * read
    table = np.delete(table, 1, axis=1)
    # Each column of attention holds what it costs more than the one before it.
    table[:, 1] += table[:, 2]
    table[:, 0] += table[:, 1]
    target = np.maximum(taken - reading, 0.0)
    found = non_negative(table[kept] / taken[kept, None], target[kept] / taken[kept])
    multiply, prefill, decode, layer, chosen, passed, request = (float(each) for each in found)
    return Costs(
        multiply=multiply,
        read=read,
        prefill_attention=multiply + prefill,
        decode_attention=multiply + prefill + decode,
        layer=layer,
        chosen=chosen,
        passed=passed,
        request=request,
    )


def non_negative(table: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least squares among answers without negative members (Lawson and Hanson 1974)."""
    scale = np.sqrt((table**2).sum(axis=0))
    scale[scale == 0.0] = 1.0
    scaled = table / scale
    answer = np.zeros(table.shape[1])
    chosen = np.zeros(table.shape[1], dtype=bool)
    for _ in range(3 * table.shape[1]):
        pull = scaled.T @ (target - scaled @ answer)
        pull[chosen] = 0.0
        if pull.max() <= 1e-10:
            break
        chosen[int(pull.argmax())] = True
        while True:
            trial = np.zeros_like(answer)
            trial[chosen] = np.linalg.lstsq(scaled[:, chosen], target, rcond=None)[0]
            if (trial[chosen] > 0.0).all():
                break
            # As far towards it as no member turns negative; those that reach 0 are let go.
            falling = chosen & (trial <= 0.0)
            share = (answer[falling] / (answer[falling] - trial[falling])).min()
            answer += share * (trial - answer)
            chosen &= answer > 1e-12
            answer[~chosen] = 0.0
        answer = trial
    return answer / scale


def _spread(
    probes: Sequence[Probe], probed: Probed, costs: Costs, *, stored: float, worth: float
) -> float:
    """Half the width of 80 % of the runs around the fit, in natural logarithm."""
    apart: list[float] = []
    for probe in probes:
        expected = predict_load(probe.load, probed, costs, stored=stored, worth=worth)
        for run in probe.runs:
            apart.append(math.log(run.first_s / expected.first_s))
            if run.growing_s > 0.0 and expected.growing_s > 0.0:
                apart.append(math.log(run.growing_s / expected.growing_s))
    return NORMAL_80 * float(np.sqrt(np.mean(np.square(apart))))


def _told(probes: Sequence[Probe], source: str, read: date) -> Figure:
    """A figure without its value: where it is from, and how far the runs were apart."""
    scatter = max(probe.scatter for probe in probes)
    runs = max(len(probe.runs) for probe in probes)
    note = (
        f"fitted to the medians of {runs} runs of {len(probes)} loads; the slowest run of a load"
        f" took up to {scatter:.2f} times its fastest"
    )
    return Figure(0.0, source, read, note=note)


def _rates(
    costs: Costs,
    probed: Probed,
    figure: Figure,
    *,
    stored: float,
    read_bytes_s: float,
    spread: float,
) -> EngineRates:
    def found(value: float) -> Figure:
        return msgspec.structs.replace(figure, value=value)

    def fixed(value: float) -> Figure | None:
        return found(value) if value > 0.0 else None

    return EngineRates(
        software=probed.software,
        model=probed.model,
        weights=probed.formats.weights,
        threads=probed.threads,
        step_tokens=probed.limits.step_tokens,
        slots=probed.limits.slots,
        pool_tokens=probed.limits.pool_tokens,
        stored=msgspec.structs.replace(figure, value=stored, note="of the model file's tensors"),
        multiply_tflops=found(1e-12 / costs.multiply),
        read_tb_s=msgspec.structs.replace(
            figure,
            value=read_bytes_s / 1e12,
            note="the faster of copying memory and of what the engine was seen to read",
        ),
        prefill_attention_tflops=found(1e-12 / costs.prefill_attention),
        decode_attention_tflops=found(1e-12 / costs.decode_attention),
        layer_us=fixed(costs.layer * 1e6),
        sequence_us=fixed(costs.chosen * 1e6),
        cell_ns=fixed(costs.passed * 1e9),
        request_ms=fixed(costs.request * 1e3),
        spread=spread,
    )
