import math
from datetime import date

import msgspec
import pytest

from craton.kernel.errors import BadRequest, Unsupported
from craton.silicon.case import Pool, ServingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.energy import (
    blend,
    estimate_energy,
    load_energy_fit,
    power_share,
    step_energy_ms,
    training_watts,
    uncertainty,
)
from craton.silicon.energy_terms import sequences_in_flight, step_terms
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision


def case(
    model: str = "llama-3.1-8b",
    chip: str = "h100",
    *,
    chips: int = 1,
    expert: int = 1,
    concurrency: float | None = 32.0,
    formats: Formats | None = None,
    dataset: str | None = None,
) -> ServingCase:
    layout = Layout(tensor=chips, expert=expert, expert_tensor=chips // expert)
    return ServingCase(
        architecture=find_model(model),
        chip=load_catalogue().chip(chip),
        layout=layout,
        formats=formats or Formats(),
        input_tokens=200.0,
        output_tokens=400.0,
        concurrency=concurrency,
        chips=chips,
        framework="vllm",
        dataset=dataset,
    )


def measured(value: float) -> Estimate:
    return Estimate(value, value, value, Provenance.MEASURED)


PROMPTS = load_energy_fit().prompts


def test_the_stored_fit_says_where_it_is_from_and_what_it_leaves_unexplained() -> None:
    fit = load_energy_fit()
    assert "ml-energy" in fit.source
    assert fit.fitted >= date(2026, 11, 22)
    assert fit.rows > 400
    assert 0.0 < fit.error <= 0.12


def test_weights_are_read_once_a_step_at_the_specified_rate() -> None:
    terms = step_terms(case(), PROMPTS)
    # All parameters but the embedding, two bytes each, at 3.35 TB/s.
    assert terms.dense_ms == pytest.approx(7_504_658_432 * 2 / 3.35e9)
    assert terms.eight_bit_ms == 0.0
    half = step_terms(case(formats=Formats(weights=Precision.FP8)), PROMPTS)
    assert half.dense_ms < 0.6 * terms.dense_ms
    assert half.eight_bit_ms == half.dense_ms


def test_experts_count_where_they_lie() -> None:
    model = "qwen3-30b-a3b"
    shared = step_terms(case(model, chips=2), PROMPTS)
    spread = step_terms(case(model, chips=2, expert=2), PROMPTS)
    packed = step_terms(case(model, formats=Formats(experts=Precision.MXFP4)), PROMPTS)
    assert shared.experts_ms > 0.0 == shared.spread_experts_ms == shared.imbalance_ms
    assert spread.spread_experts_ms > 0.0 == spread.experts_ms
    assert packed.packed_experts_ms > 0.0 == packed.experts_ms


def test_the_fullest_rank_lies_farther_above_the_mean_with_fewer_experts_visited() -> None:
    few, many = (
        step_terms(case("qwen3-235b-a22b", chips=8, expert=8, concurrency=n), PROMPTS)
        for n in (8.0, 256.0)
    )
    assert few.imbalance_ms / few.spread_experts_ms > many.imbalance_ms / many.spread_experts_ms


def test_no_more_sequences_are_in_flight_than_memory_holds() -> None:
    few = sequences_in_flight(case("llama-3.3-70b", "h100", chips=2, concurrency=512.0), 200.0)
    assert 1.0 <= few < 512.0
    assert sequences_in_flight(case(concurrency=64.0), 200.0) == 64.0


def test_a_known_benchmark_brings_its_own_prompts() -> None:
    code = step_terms(case(dataset="sourcegraph-fim"), PROMPTS)
    chat = step_terms(case(dataset="lm-arena-chat"), PROMPTS)
    seen = step_terms(case(dataset="image-chat"), PROMPTS)
    assert code.prompt_ms > 5 * chat.prompt_ms
    assert seen.images == seen.requests > 0.0 == chat.images


def test_prompt_tokens_found_in_the_prefix_cache_cost_nothing() -> None:
    whole = step_terms(case(), PROMPTS)
    cached = step_terms(msgspec.structs.replace(case(), cached_fraction=0.5), PROMPTS)
    assert cached.prompt_ms == pytest.approx(whole.prompt_ms / 2, rel=0.05)


def test_a_larger_batch_burns_less_a_token_and_draws_more_power() -> None:
    small, large = (estimate_energy(case(concurrency=n)) for n in (8.0, 128.0))
    assert large.joules_token.value < small.joules_token.value / 3
    assert large.watts_chip.value > small.watts_chip.value


def test_the_estimate_of_a_plain_set_up_is_of_the_measured_order() -> None:
    # Llama 3.1 8B on one H100 answers about 3,400 tokens/s at 32 in flight; boards draw 450-650 W.
    found = estimate_energy(case(), measured(3400.0))
    assert 450.0 < found.watts_chip.value < 650.0
    assert found.joules_token.value == pytest.approx(found.watts_chip.value / 3400.0, rel=0.01)
    assert found.joules_token.provenance is Provenance.FITTED


def test_a_measured_rate_narrows_the_interval() -> None:
    alone = estimate_energy(case()).joules_token
    known = estimate_energy(case(), measured(3400.0)).joules_token
    assert known.high / known.low < alone.high / alone.low


def test_an_estimated_rate_moves_watts_and_leaves_energy_alone() -> None:
    alone = estimate_energy(case())
    slow = estimate_energy(case(), Estimate(1000.0, 900.0, 1111.0, Provenance.FITTED))
    assert slow.joules_token == alone.joules_token
    assert slow.watts_chip.value < alone.watts_chip.value


def test_no_chip_draws_more_than_its_board_allows() -> None:
    found = estimate_energy(case(), measured(100_000.0))
    assert found.watts_chip.value <= found.watts_chip.high <= 700.0


def test_without_a_rate_the_step_lasts_as_long_as_energy_and_power_imply() -> None:
    found = estimate_energy(case())
    step_s = 32.0 * found.joules_token.value / found.watts_chip.value
    assert 0.005 < step_s < 0.02


def test_energy_a_token_does_not_change_with_the_number_of_replicas() -> None:
    one = case(concurrency=32.0)
    two = msgspec.structs.replace(one, chips=2, concurrency=64.0)
    assert estimate_energy(two).joules_token == estimate_energy(one).joules_token
    assert estimate_energy(two, measured(6800.0)) == estimate_energy(one, measured(3400.0))


def test_chips_that_only_prefill_add_what_they_draw_at_rest() -> None:
    own = case()
    apart = msgspec.structs.replace(
        own, chips=2, prefill=Pool(1, own.layout), decode=Pool(1, own.layout)
    )
    with_idle, without = (estimate_energy(each).joules_token.value for each in (apart, own))
    assert without < with_idle < 2 * without


def test_a_chip_of_measured_silicon_uses_its_coefficients_and_says_so() -> None:
    fit = load_energy_fit()
    terms = step_terms(case(chip="h200"), PROMPTS)
    assert step_energy_ms(terms, "h200", fit) == step_energy_ms(terms, "h100", fit)
    assert step_energy_ms(terms, "mi300x", fit) != step_energy_ms(terms, "h100", fit)
    own = estimate_energy(case()).joules_token
    kin = estimate_energy(case(chip="h200")).joules_token
    other = estimate_energy(case(chip="mi300x")).joules_token
    assert kin.provenance is other.provenance is Provenance.SPEC_EXTRAPOLATED
    assert kin.high / kin.low == pytest.approx(own.high / own.low)
    assert other.high / other.low > own.high / own.low


def test_mixtures_are_less_certain_than_dense_models() -> None:
    assert uncertainty(find_model("gpt-oss-120b")) > uncertainty(find_model("llama-3.1-8b"))


def test_two_estimates_meet_nearer_to_the_surer_one() -> None:
    value, doubt = blend((1.0, 0.1), (2.0, 0.2))
    assert 1.0 < value < math.sqrt(2.0)
    assert 1.0 / math.hypot(1 / 0.1, 1 / 0.2) < doubt < 0.1


def test_power_rises_with_either_utilisation_and_stays_under_the_board_s_limit() -> None:
    fit = load_energy_fit()
    rest, reading, busy = (
        power_share(fit, "h100", memory=memory, compute=compute, several=False)
        for memory, compute in ((0.0, 0.0), (0.7, 0.0), (1.0, 1.0))
    )
    assert 0.0 < rest < 0.2 < reading < busy <= 1.0


def test_training_draws_more_at_a_higher_utilisation() -> None:
    chip = load_catalogue().chip("h100")
    low, high = training_watts(chip, 0.1), training_watts(chip, 0.4)
    assert low.value < high.value <= high.high <= 700.0
    assert high.provenance is Provenance.SPEC_EXTRAPOLATED
    with pytest.raises(BadRequest, match="mfu"):
        training_watts(chip, 40.0)


def test_what_cannot_be_estimated_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="concurrency"):
        estimate_energy(case(concurrency=None))
    with pytest.raises(Unsupported, match="inferentia2"):
        estimate_energy(case(chip="inferentia2"))
