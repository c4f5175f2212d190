import msgspec
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.case import Batching, Pool, ServingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.estimate import Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.neuron import (
    bucket,
    decode_terms,
    doubt,
    estimate_neuron,
    load_neuron_fit,
    prefill_terms,
)
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision


def case(
    model: str = "llama-2-7b",
    chip: str = "trainium1",
    *,
    tensor: int = 32,
    batch: float | None = 1.0,
    input_tokens: float = 128.0,
    output_tokens: float = 128.0,
) -> ServingCase:
    found = load_catalogue().chip(chip)
    layout = Layout(tensor=tensor, expert_tensor=tensor, ranks_per_chip=found.ranks)
    return ServingCase(
        architecture=find_model(model),
        chip=found,
        layout=layout,
        formats=Formats(),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=batch,
        chips=layout.chips,
        batching=Batching.STATIC,
    )


def test_a_length_is_padded_to_the_next_power_of_two_from_128() -> None:
    assert [bucket(n) for n in (1, 128, 129, 3072, 4096)] == [128, 128, 256, 4096, 4096]


def test_the_weights_are_read_once_a_step_at_the_rate_of_one_core() -> None:
    terms = decode_terms(case())
    # 32 layers of 4 x 4096^2 + 3 x 4096 x 11008 and the output matrix, two bytes each, over 32
    # cores of 0.41 TB/s.
    parameters = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    assert terms.weights_ms == pytest.approx(2 * parameters / 32 / 0.41e9)
    assert terms.layers == 32


def test_eight_bit_weights_halve_what_is_read_but_the_output_matrix() -> None:
    whole = case()
    stored = msgspec.structs.replace(whole, formats=Formats(weights=Precision.INT8))
    output = 32000 * 4096 * 2 / 32 / 0.41e9
    assert decode_terms(stored).weights_ms - output == pytest.approx(
        (decode_terms(whole).weights_ms - output) / 2
    )


def test_the_cache_is_read_for_each_padded_query_head() -> None:
    # 32 heads on 24 cores: two on the fullest. Keys and values of 256 tokens, of 128 numbers each.
    terms = decode_terms(case("llama-3-8b", "inferentia2", tensor=24))
    assert terms.cache_ms == pytest.approx(32 * 2 * 2 * 128 * 2 * 256 / 0.41e9)


def test_the_median_step_reads_the_bucket_that_half_of_the_output_needs() -> None:
    short = decode_terms(case(input_tokens=128, output_tokens=1024)).cache_ms
    long = decode_terms(case(input_tokens=1024, output_tokens=1024)).cache_ms
    assert long == pytest.approx(2 * short)


def test_prefill_pads_the_prompt_and_skips_what_the_prefix_cache_holds() -> None:
    whole = case(input_tokens=1000)
    assert prefill_terms(whole).tokens == 1024
    assert prefill_terms(msgspec.structs.replace(whole, cached_fraction=0.6)).tokens == 512


def test_a_prompt_twice_as_long_moves_four_times_the_scores() -> None:
    short, long = (prefill_terms(case(input_tokens=n)) for n in (1024, 2048))
    assert long.scores_ms == pytest.approx(4 * short.scores_ms)
    assert long.multiply_ms == pytest.approx(2 * short.multiply_ms, rel=0.01)


def test_the_estimate_is_near_a_published_row_and_its_interval_holds_it() -> None:
    # Llama-2-70B on inf2.48xlarge, batch 1, 1024 + 1024 tokens, Neuron 2.18: 33.73 ms a token.
    found = estimate_neuron(
        case("llama-2-70b", "inferentia2", tensor=24, input_tokens=1024, output_tokens=1024)
    )
    assert found.tpot_ms.low < 33.73 < found.tpot_ms.high
    assert found.tpot_ms.value == pytest.approx(33.73, rel=0.09)
    assert found.tpot_ms.provenance is Provenance.FITTED


def test_silicon_without_measured_rows_is_extrapolated_with_a_wider_interval() -> None:
    known = estimate_neuron(case()).tpot_ms
    other = estimate_neuron(case(chip="trainium3")).tpot_ms
    assert other.provenance is Provenance.SPEC_EXTRAPOLATED
    assert other.value < known.value
    assert other.high / other.low > known.high / known.low


def test_a_batch_is_spread_over_replicas_and_attention_groups() -> None:
    one = case(batch=4.0)
    two = msgspec.structs.replace(one, concurrency=8.0, chips=32)
    assert decode_terms(two) == decode_terms(one)


def test_a_continuous_server_prefills_one_prompt_and_makes_the_others_wait() -> None:
    static = case(batch=8.0, input_tokens=1024, output_tokens=256)
    served = msgspec.structs.replace(static, batching=Batching.CONTINUOUS, framework="vllm-neuron")
    still, moving = estimate_neuron(static), estimate_neuron(served)
    assert moving.ttft_ms.value < still.ttft_ms.value
    assert moving.tpot_ms.value > still.tpot_ms.value


def test_transformers_neuronx_batches_statically_whatever_the_case_says() -> None:
    static = case(batch=8.0)
    said = msgspec.structs.replace(
        static, batching=Batching.CONTINUOUS, framework="transformers-neuronx"
    )
    assert estimate_neuron(said) == estimate_neuron(static)


def test_phases_apart_use_their_own_splits_and_decoding_never_waits() -> None:
    own = case(batch=8.0)
    half = Layout(tensor=16, expert_tensor=16, ranks_per_chip=2)
    apart = msgspec.structs.replace(
        own,
        batching=Batching.CONTINUOUS,
        framework="vllm-neuron",
        prefill=Pool(1, half),
        decode=Pool(1, own.layout),
    )
    assert estimate_neuron(apart).tpot_ms.value == estimate_neuron(own).tpot_ms.value
    same = msgspec.structs.replace(own, framework="vllm-neuron")
    assert prefill_terms(apart).multiply_ms == pytest.approx(2 * prefill_terms(same).multiply_ms)


def test_newer_software_keeps_scores_on_the_chip_and_is_not_called_fitted() -> None:
    newer = msgspec.structs.replace(case(batch=1.0), framework="nxd-inference")
    assert prefill_terms(newer).scores_ms == 0.0 < prefill_terms(case(batch=1.0)).scores_ms
    assert estimate_neuron(newer).ttft_ms.provenance is Provenance.SPEC_EXTRAPOLATED


def test_a_mixture_of_latent_attention_is_estimated_too() -> None:
    found = estimate_neuron(case("deepseek-v3", "trainium2", tensor=64, batch=4.0))
    assert 0.0 < found.tpot_ms.low < found.tpot_ms.value < found.tpot_ms.high


def test_a_step_of_fixed_time_is_less_certain_than_one_of_reading() -> None:
    factors = load_neuron_fit().decode
    small, large = (decode_terms(case(n)) for n in ("llama-2-7b", "llama-2-70b"))
    assert doubt(small, factors) > doubt(large, factors)


def test_a_case_without_concurrency_is_refused() -> None:
    with pytest.raises(BadRequest, match="concurrency"):
        estimate_neuron(case(batch=None))


def test_trainium2_is_taken_to_be_served_where_nobody_says_otherwise() -> None:
    plain = case("llama-3-8b", "trainium2", tensor=4, batch=4.0)
    served = msgspec.structs.replace(plain, framework="nxd-inference")
    older = msgspec.structs.replace(plain, framework="transformers-neuronx")
    assert prefill_terms(plain) == prefill_terms(served) != prefill_terms(older)
