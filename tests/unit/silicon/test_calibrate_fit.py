"""From times to rates and back: an engine whose rates are known, and what is found of it."""

from datetime import date

import msgspec
import numpy as np
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.calibrate import DeviceSamples, Samples
from craton.silicon.calibrate_file import Loopback, Machine, processor_chip
from craton.silicon.case import ServingCase
from craton.silicon.estimate import Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision
from craton.silicon.processor import (
    OTHER_SPREAD,
    Costs,
    costs_of,
    estimate_processor,
    terms_of,
    worth_of,
)
from craton.silicon.processor_fit import (
    Load,
    Observed,
    Probe,
    Probed,
    fit,
    non_negative,
    predict_load,
)
from craton.silicon.processor_rates import EngineRates
from craton.silicon.processor_schedule import Limits, schedule

MODEL = find_model("smollm2-135m")
PARAMETERS = MODEL.parameters()
FORMATS = Formats(weights=Precision.INT4, output=Precision.INT8, cache=Precision.FP16)
LIMITS = Limits(step_tokens=64, slots=32, pool_tokens=20_480)
PROBED = Probed("an engine", "a model", MODEL, FORMATS, 96.5e6, 2, LIMITS)
STORED = 96.5e6 / 83.857e6
READ_BYTES_S = 12e9
TRUTH = Costs(
    multiply=1 / 50e9,
    read=1 / READ_BYTES_S,
    prefill_attention=1 / 30e9,
    decode_attention=1 / 8e9,
    layer=40e-6,
    chosen=1e-3,
    passed=5e-9,
    request=5e-3,
)
LOADS = (Load(48, 32, 1), Load(48, 24, 4), Load(800, 16, 1), Load(250, 12, 6))
UNSEEN = (Load(16, 1, 1), Load(1500, 1, 1), Load(40, 60, 8), Load(400, 24, 8), Load(2000, 32, 2))
DAY = date(2026, 3, 4)


def engine(load: Load, *, stretch: float = 1.0) -> Observed:
    """What the engine whose rates are known takes."""
    worth = 1 / (TRUTH.multiply * READ_BYTES_S)
    seen = predict_load(load, PROBED, TRUTH, stored=STORED, worth=worth)
    return Observed(seen.first_s * stretch, seen.growing_s * stretch)


def fitted(probes: list[Probe], *, read_bytes_s: float = READ_BYTES_S) -> EngineRates:
    return fit(probes, PROBED, read_bytes_s=read_bytes_s, source="a test", read=DAY)


RATES = fitted([Probe(load, (engine(load),)) for load in LOADS])


def test_the_rates_of_a_known_engine_are_found() -> None:
    found, true = costs_of(RATES), TRUTH
    for member in ("multiply", "prefill_attention", "decode_attention", "layer", "request"):
        assert getattr(found, member) == pytest.approx(getattr(true, member), rel=0.05), member
    assert found.chosen == pytest.approx(true.chosen, rel=0.05)
    assert found.passed == pytest.approx(true.passed, rel=0.05)
    assert RATES.stored.value == pytest.approx(STORED, rel=1e-3)
    assert RATES.spread < 0.01


@pytest.mark.parametrize("load", UNSEEN)
def test_loads_that_werent_probed_are_predicted(load: Load) -> None:
    found = predict_load(
        load, PROBED, costs_of(RATES), stored=RATES.stored.value, worth=worth_of(RATES)
    )
    assert found.first_s == pytest.approx(engine(load).first_s, rel=0.02)
    assert found.growing_s == pytest.approx(engine(load).growing_s, rel=0.02)


def test_a_disturbed_run_among_three_changes_nothing_but_the_spread() -> None:
    probes = [
        Probe(load, (engine(load), engine(load, stretch=4.0), engine(load))) for load in LOADS
    ]
    found = fitted(probes)
    assert found.multiply_tflops.value == pytest.approx(RATES.multiply_tflops.value, rel=1e-6)
    assert found.spread > 0.5
    assert "up to 4.00 times its fastest" in found.multiply_tflops.note


def test_runs_that_scatter_give_an_interval_that_holds_most_of_them() -> None:
    random = np.random.default_rng(7)
    probes = [
        Probe(load, tuple(engine(load, stretch=s) for s in random.lognormal(0, 0.1, 25)))
        for load in LOADS
    ]
    assert fitted(probes).spread == pytest.approx(1.2816 * 0.1, rel=0.35)


def test_attention_never_comes_out_cheaper_than_the_multiplication_of_weights() -> None:
    probes: list[Probe] = []
    for load in LOADS:
        seen = engine(load)
        if load.prompt > 100:
            seen = Observed(seen.first_s * 0.7, seen.growing_s * 0.5)
        probes.append(Probe(load, (seen,)))
    found = fitted(probes)
    assert found.prefill_attention_tflops.value <= found.multiply_tflops.value * (1 + 1e-9)
    assert found.decode_attention_tflops.value <= found.prefill_attention_tflops.value * (1 + 1e-9)


def test_an_engine_seen_to_read_faster_than_copying_is_believed() -> None:
    probes = [Probe(load, (engine(load),)) for load in LOADS]
    slow = fitted(probes, read_bytes_s=1e9)
    step_s = engine(LOADS[0]).growing_s / 31
    assert slow.read_tb_s.value == pytest.approx(96.5e6 / step_s / 1e12)
    # Prompts still tell how fast it multiplies.
    assert slow.multiply_tflops.value == pytest.approx(RATES.multiply_tflops.value, rel=0.15)


def test_probes_that_say_nothing_of_multiplying_are_refused() -> None:
    probes = [Probe(Load(prompt, 1, 1), (Observed(1.0, 0.0),)) for prompt in (8, 16)]
    with pytest.raises(BadRequest, match="how fast it multiplies"):
        fitted(probes)


def test_least_squares_without_negatives_is_the_best_of_all_subsets() -> None:
    random = np.random.default_rng(3)
    for _ in range(40):
        table = random.normal(size=(9, 4))
        target = random.normal(size=9)
        found = non_negative(table, target)
        assert (found >= 0).all()
        best = np.inf
        for mask in range(16):
            chosen = [at for at in range(4) if mask >> at & 1]
            answer = np.zeros(4)
            if chosen:
                answer[chosen] = np.linalg.lstsq(table[:, chosen], target, rcond=None)[0]
            if (answer >= 0).all():
                best = min(best, float(((table @ answer - target) ** 2).sum()))
        assert float(((table @ found - target) ** 2).sum()) == pytest.approx(best, rel=1e-9)


def test_a_lone_token_takes_as_long_as_reading_the_weights_where_that_is_longer() -> None:
    steps = schedule([(1, 2)], 1, LIMITS)
    free = terms_of(MODEL, FORMATS, steps, stored=1.0, worth=0.0)
    # The layers' weights and the output matrix, two operations each.
    assert free.multiplied[1] == pytest.approx(2.0 * PARAMETERS)
    assert free.read_bytes[1] == 0.0
    slow = terms_of(MODEL, FORMATS, steps, stored=2.0, worth=1000.0)
    ends = MODEL.vocabulary * MODEL.hidden
    weights = (PARAMETERS - ends) * Precision.INT4.bytes + ends * Precision.INT8.bytes
    assert slow.read_bytes[1] == pytest.approx(2.0 * weights)
    assert slow.multiplied[1] == 0.0


def test_a_step_that_chooses_no_token_doesnt_touch_the_output_matrix() -> None:
    steps = schedule([(100, 1)], 1, LIMITS)
    terms = terms_of(MODEL, FORMATS, steps, stored=1.0, worth=4.0)
    body = PARAMETERS - MODEL.vocabulary * MODEL.hidden
    assert terms.multiplied[0] == pytest.approx(2.0 * 64 * body)
    assert terms.read_bytes[0] == 0.0
    assert terms.read_bytes[1] > 0.0  # for one token it is read longer than multiplied


def case(
    concurrency: float | None = 1.0, *, layout: Layout | None = None, chips: int = 1
) -> ServingCase:
    measured = DeviceSamples({Precision.FP32: Samples((0.1,))}, Samples((0.02,)), Samples((1.0,)))
    chip = processor_chip(
        "cpu",
        Machine("A CPU", 1 << 34),
        by_threads={2: measured},
        loopback=Loopback(Samples((1.0,)), Samples((1.0,))),
        engine=RATES,
        read=DAY,
    )
    return ServingCase(
        architecture=MODEL,
        chip=chip,
        layout=layout or Layout(),
        formats=FORMATS,
        input_tokens=200.0,
        output_tokens=50.0,
        concurrency=concurrency,
        chips=chips,
    )


def test_a_request_alone_takes_what_the_engine_was_seen_to_take() -> None:
    found = estimate_processor(case())
    seen = engine(Load(200, 50, 1))
    assert found.ttft_ms.value == pytest.approx(seen.first_s * 1e3, rel=0.02)
    assert found.tpot_ms.value == pytest.approx(seen.growing_s / 49 * 1e3, rel=0.02)
    assert found.tokens_s.value == pytest.approx(50 / (seen.first_s + seen.growing_s), rel=0.02)
    assert found.tpot_ms.low < found.tpot_ms.value < found.tpot_ms.high
    assert found.tpot_ms.provenance is Provenance.FITTED


def test_more_at_once_are_slower_each_and_faster_together() -> None:
    found = [estimate_processor(case(concurrency)) for concurrency in (1, 2, 4, 8)]
    tpot = [each.tpot_ms.value for each in found]
    assert tpot == sorted(tpot)
    ttft = [each.ttft_ms.value for each in found]
    assert ttft == sorted(ttft)
    assert found[1].tokens_s.value > 1.1 * found[0].tokens_s.value


def test_more_than_the_slots_wait_for_their_first_token_only() -> None:
    full, over = estimate_processor(case(32)), estimate_processor(case(64))
    assert over.ttft_ms.value > 2 * full.ttft_ms.value
    assert over.tokens_s.value == pytest.approx(full.tokens_s.value, rel=0.1)


def test_another_format_than_the_one_measured_is_less_certain() -> None:
    own = estimate_processor(case())
    other = estimate_processor(
        msgspec.structs.replace(case(), formats=Formats(weights=Precision.INT8))
    )
    assert other.tpot_ms.provenance is Provenance.SPEC_EXTRAPOLATED
    assert other.tpot_ms.high / other.tpot_ms.value == pytest.approx(
        own.tpot_ms.high / own.tpot_ms.value * np.exp(OTHER_SPREAD)
    )


def test_what_one_measured_machine_cant_be_is_refused() -> None:
    with pytest.raises(BadRequest, match="one machine"):
        estimate_processor(case(layout=Layout(tensor=3)))
    with pytest.raises(BadRequest, match="one machine"):
        estimate_processor(case(chips=2))
    with pytest.raises(BadRequest, match="concurrency"):
        estimate_processor(case(None))
    unprobed = msgspec.structs.replace(case().chip, engine=None)
    with pytest.raises(BadRequest, match="craton chips calibrate"):
        estimate_processor(msgspec.structs.replace(case(), chip=unprobed))
