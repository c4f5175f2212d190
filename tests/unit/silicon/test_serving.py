import msgspec
import numpy as np
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.case import Batching, Pool, ServingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.estimate import Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.neuron import estimate_neuron
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision
from craton.silicon.serving import (
    estimate_serving,
    flow_of,
    is_known,
    set_up_features,
    take_apart,
)
from craton.silicon.serving_fit import load_serving_fit
from craton.silicon.serving_time import clockwork, step_seconds

CATALOGUE = load_catalogue()
FP8 = Formats(weights=Precision.FP8, experts=Precision.FP8)


def split(tensor: int = 1, **more: int) -> Layout:
    ranks = tensor * more.get("data", 1)
    expert = more.get("expert", 1)
    return Layout(tensor=tensor, expert_tensor=ranks // expert, **more)


def set_up(model: str = "llama-3.1-8b", chip: str = "h100", **changes: object) -> ServingCase:
    case = ServingCase(
        architecture=find_model(model),
        chip=CATALOGUE.chip(chip),
        layout=split(),
        formats=FP8,
        input_tokens=1024.0,
        output_tokens=256.0,
        concurrency=16.0,
        chips=1,
        framework="vllm",
    )
    case = msgspec.structs.replace(case, **changes)
    return msgspec.structs.replace(case, chips=changes.get("chips", case.layout.chips))


def tpot(**changes: object) -> float:
    return estimate_serving(set_up(**changes)).tpot_ms.value


def test_a_small_model_on_an_h100_is_as_fast_as_measured_ones() -> None:
    # trtllm 1.0.0rc3, Llama-3.1-8B in 16 bits, 1,024 in, 512 out, 16 in flight: 8.35 ms measured.
    found = estimate_serving(
        set_up(formats=Formats(), output_tokens=512.0, framework="trtllm", concurrency=16.0)
    )
    assert found.tpot_ms.value == pytest.approx(8.35, rel=0.15)
    assert found.tpot_ms.provenance is Provenance.FITTED


def test_every_figure_lies_in_its_interval() -> None:
    found = estimate_serving(set_up())
    for name in ("ttft_ms", "tpot_ms", "tokens_s", "tokens_s_chip", "memory_gib"):
        figure = getattr(found, name)
        assert figure.low < figure.value < figure.high, name


@pytest.mark.parametrize("name", ["ttft", "tpot"])
def test_the_stored_intervals_hold_their_estimate_however_far_out_a_set_up_lies(name: str) -> None:
    correction = getattr(load_serving_fit(), name)
    draw = np.random.default_rng(20261123)
    out = np.exp2(draw.uniform(-40.0, 40.0, 1000)) * draw.choice([-1.0, 1.0], 1000)
    values = {each: draw.permutation(out) for each in correction.features}
    for known in (True, False):
        low, high = correction.widths(values, known=known)
        assert np.all(low < 0.0)
        assert np.all(high > 0.0)
        assert np.all(np.isfinite(high - low))


def test_features_of_any_load_are_finite() -> None:
    fit, loads = load_serving_fit(), np.array([1.0, 1e3, 1e9])
    for changes in ({}, {"output_tokens": 1.0}, {"input_tokens": 1.0}, {"input_tokens": 120_000.0}):
        parts = take_apart(set_up(**changes), fit, loads)
        for name, values in set_up_features(parts, flow_of(parts), fit).items():
            assert np.all(np.isfinite(values)), name


def first_token_spread(**changes: object) -> float:
    found = estimate_serving(set_up(**changes)).ttft_ms
    return found.high / found.low


def test_the_first_token_of_a_server_near_saturation_is_less_sure_than_of_an_idle_one() -> None:
    case = set_up(layout=split(1), formats=Formats())
    room = take_apart(case, load_serving_fit(), np.array([1.0])).room
    idle, half, full = (
        first_token_spread(formats=Formats(), concurrency=share * room)
        for share in (1.0 / room, 0.5, 1.5)
    )
    assert 1.2 * idle < half < full


def test_throughput_is_the_tokens_of_a_request_over_its_life() -> None:
    found = estimate_serving(set_up())
    life_s = (found.ttft_ms.value + 255 * found.tpot_ms.value) / 1e3
    assert found.tokens_s.value == pytest.approx(16 * 256 / life_s)


def test_two_replicas_with_twice_the_load_do_twice_the_work() -> None:
    one = estimate_serving(set_up())
    two = estimate_serving(set_up(chips=2, concurrency=32.0))
    assert two.tokens_s.value == pytest.approx(2 * one.tokens_s.value)
    assert two.tokens_s_chip.value == pytest.approx(one.tokens_s_chip.value)
    assert two.batch == one.batch == 16.0


def test_tokens_come_slower_with_more_requests_longer_prompts_and_wider_weights() -> None:
    assert tpot(concurrency=64.0) > tpot(concurrency=16.0) > tpot(concurrency=1.0)
    assert tpot(input_tokens=8192.0) > tpot(input_tokens=1024.0)
    assert tpot(formats=Formats()) > tpot()


def test_tensor_parallelism_speeds_a_large_model_up() -> None:
    two = tpot(model="llama-3.1-70b", layout=split(2))
    assert tpot(model="llama-3.1-70b", layout=split(4)) < two


def test_prompts_from_the_prefix_cache_are_not_computed() -> None:
    warm = estimate_serving(set_up(input_tokens=8000.0, cached_fraction=0.9))
    cold = estimate_serving(set_up(input_tokens=8000.0))
    assert warm.ttft_ms.value < 0.5 * cold.ttft_ms.value
    assert warm.tpot_ms.value < cold.tpot_ms.value


def test_what_does_not_fit_waits() -> None:
    case = set_up(input_tokens=16000.0, formats=Formats(), concurrency=200.0)
    found = estimate_serving(case)
    assert found.batch < 40
    assert found.ttft_ms.value > 60_000
    assert found.memory_gib.value < CATALOGUE.chip("h100").memory_gib.value


def test_a_model_too_large_is_refused_with_both_sizes() -> None:
    with pytest.raises(BadRequest, match=r"does not fit: it needs \d+ GiB a chip .* h100 has 80"):
        estimate_serving(set_up(model="llama-3.1-405b", layout=split(4)))


def test_a_precision_the_chip_has_no_format_for_is_refused() -> None:
    chip = msgspec.structs.replace(CATALOGUE.chip("h100"), tflops={})
    with pytest.raises(BadRequest, match="h100 multiplies in no format"):
        estimate_serving(msgspec.structs.replace(set_up(), chip=chip))


def test_a_set_up_without_a_load_is_refused() -> None:
    with pytest.raises(BadRequest, match="concurrency"):
        estimate_serving(set_up(concurrency=None))


@pytest.mark.parametrize("chip", ["mi300x", "mi355x", "tpu-v6e", "gaudi3", "a100"])
def test_a_chip_nobody_measured_is_extrapolated_with_a_wider_interval(chip: str) -> None:
    layout = split(4)
    far = estimate_serving(set_up(chip=chip, layout=layout)).tpot_ms
    near = estimate_serving(set_up(chip="h100", layout=layout)).tpot_ms
    assert far.provenance is Provenance.SPEC_EXTRAPOLATED
    assert far.high / far.low > 1.2 * near.high / near.low


def test_a_framework_nobody_measured_is_extrapolated_too() -> None:
    found = estimate_serving(set_up(framework="a-new-one"))
    assert found.tpot_ms.provenance is Provenance.SPEC_EXTRAPOLATED
    assert found.tpot_ms.value == pytest.approx(tpot(), rel=0.5)


def test_frameworks_are_known_by_their_usual_names() -> None:
    for name in ("TensorRT-LLM", "trtllm", "dynamo-trt", "vLLM V1", "SGLang 0.5"):
        assert is_known(set_up(framework=name), load_serving_fit())


def test_a_neuron_chip_is_estimated_by_its_own_model() -> None:
    case = set_up(chip="trainium1", formats=Formats(), layout=split(8, ranks_per_chip=2))
    found = estimate_serving(case)
    assert found.tpot_ms == estimate_neuron(case).tpot_ms
    assert found.ttft_ms == estimate_neuron(case).ttft_ms


def test_a_static_batch_is_prefilled_as_one() -> None:
    continuous, static = (
        set_up(concurrency=32.0),
        set_up(concurrency=32.0, batching=Batching.STATIC),
    )
    assert estimate_serving(static).tpot_ms.value < estimate_serving(continuous).tpot_ms.value
    assert estimate_serving(static).ttft_ms.value > estimate_serving(continuous).ttft_ms.value


def test_decode_workers_of_their_own_are_not_held_up_by_prompts() -> None:
    together = set_up(input_tokens=8000.0, concurrency=64.0, chips=2)
    pools = {"prefill": Pool(6, split()), "decode": Pool(2, split())}
    apart = msgspec.structs.replace(together, chips=8, **pools)
    assert estimate_serving(apart).tpot_ms.value < estimate_serving(together).tpot_ms.value
    busy = msgspec.structs.replace(apart, prefill=Pool(1, split()))
    assert estimate_serving(busy).ttft_ms.value > estimate_serving(apart).ttft_ms.value


def test_speculative_decoding_is_faster_as_long_as_batches_are_small() -> None:
    plain = set_up("deepseek-v3", "b200", layout=split(8), concurrency=4.0)
    fast = msgspec.structs.replace(plain, speculative=True)
    gain = estimate_serving(plain).tpot_ms.value / estimate_serving(fast).tpot_ms.value
    assert 1.2 < gain < load_serving_fit().speculation.accepted


def test_the_terms_name_what_time_goes_into() -> None:
    found = estimate_serving(set_up("gpt-oss-120b", "b200", layout=split(2)))
    names = {(term.phase, term.name) for term in found.terms}
    assert {("decode", "experts"), ("prefill", "attention"), ("decode", "software")} <= names
    assert all(term.seconds >= 0 for term in found.terms)
    decode_s = sum(term.seconds for term in found.terms if term.phase == "decode")
    assert decode_s * 1e3 < found.tpot_ms.value


def test_pipeline_stages_share_the_weights_and_take_a_token_one_after_the_other() -> None:
    one = tpot(model="llama-3.1-70b", layout=split(4), concurrency=1.0)
    staged = tpot(model="llama-3.1-70b", layout=split(1, pipeline=4), concurrency=1.0)
    assert staged > 2 * one


def test_a_sweep_is_the_same_as_its_loads_one_by_one() -> None:
    fit, loads = load_serving_fit(), np.array([1.0, 8.0, 64.0])
    case = set_up("deepseek-v3", "b200", layout=split(1, data=8, expert=8))
    together = flow_of(take_apart(case, fit, loads)).tpot_s
    alone = [flow_of(take_apart(case, fit, np.array([load]))).tpot_s[0] for load in loads]
    assert together == pytest.approx(alone)


def test_all_batches_of_a_split_are_timed_at_once() -> None:
    model = find_model("deepseek-v3")
    work = clockwork(model, split(8), FP8, CATALOGUE.chip("b200"))
    batches = np.exp2(np.arange(12.0))
    seconds = step_seconds(work, batches, 4096.0)
    assert np.all(np.diff(seconds) > 0)
