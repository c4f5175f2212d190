"""The estimate of a training step, from a case to its intervals."""

import math

import msgspec
import pytest

from craton.kernel.errors import BadRequest, Unsupported
from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from craton.silicon.training import TrainingEstimate, estimate_training

CATALOGUE = load_catalogue()


def case(model: str = "llama-3-70b", chip: str = "h100", **changes: object) -> TrainingCase:
    whole = TrainingCase(
        architecture=find_model(model),
        chip=CATALOGUE.chip(chip),
        layout=Layout(tensor=4, pipeline=8, virtual=5, data=2),
        chips=64,
        micro_batch=1,
        global_batch=128,
        sequence=8192,
        precision=Precision.FP8,
        framework="megatron-bridge",
    )
    return msgspec.structs.replace(whole, **changes)


def test_a_measured_set_up_comes_out_within_its_interval() -> None:
    # Megatron-Bridge 25.09, docs/performance-summary-archive.md: 1619 tokens/s, 727 TFLOP/s a GPU
    found = estimate_training(case())
    assert found.tokens_s.low <= 1619 * 64 <= found.tokens_s.high
    assert found.tflops_chip.value / found.tokens_s.value * 64 == pytest.approx(
        727 / 1619, rel=0.01
    )
    assert found.step_s.provenance is Provenance.FITTED


def test_korthikantis_steps_come_out_within_five_percent() -> None:
    # arXiv:2205.05198, table 5: full recomputation, and selective with sequence parallelism
    for recompute, parallel, seconds in (
        (Recompute.FULL, False, 18.13),
        (Recompute.SELECTIVE, True, 13.75),
    ):
        found = estimate_training(
            case(
                "gpt3-175b",
                "a100",
                layout=Layout(tensor=8, pipeline=8, virtual=3),
                global_batch=64,
                sequence=2048,
                precision=Precision.FP16,
                recompute=recompute,
                sequence_parallel=parallel,
                framework=None,
            )
        )
        assert found.step_s.value == pytest.approx(seconds, rel=0.05)


def test_figures_of_one_step_agree_with_each_other() -> None:
    found = estimate_training(case())
    tokens = 128 * 8192
    assert sum(found.parts_s.values()) == pytest.approx(found.step_s.value)
    assert found.tokens_s.value == pytest.approx(tokens / found.step_s.value)
    assert found.mfu.value == pytest.approx(found.tflops_chip.value / 1978)
    assert found.joules_token is not None
    assert found.joules_token.value == pytest.approx(700 * 64 * found.step_s.value / tokens)


def intervals(found: TrainingEstimate) -> dict[str, Estimate]:
    members = {name: getattr(found, name) for name in found.__struct_fields__}
    return {name: value for name, value in members.items() if isinstance(value, Estimate)}


def test_every_figure_lies_in_its_interval() -> None:
    for name, value in intervals(estimate_training(case())).items():
        assert 0 < value.low < value.value < value.high, name


def relative_width(found: TrainingEstimate) -> float:
    return math.log(found.step_s.high / found.step_s.low)


def test_what_was_never_measured_has_wider_intervals() -> None:
    seen = estimate_training(case())
    unseen = estimate_training(case("qwen2.5-72b", layout=Layout(tensor=4, pipeline=8, data=2)))
    foreign = estimate_training(case(chip="mi300x"))
    assert relative_width(seen) < relative_width(unseen) < relative_width(foreign)
    assert foreign.step_s.provenance is Provenance.SPEC_EXTRAPOLATED


def test_a_chip_without_published_power_has_no_energy_of_its_own() -> None:
    chip = msgspec.structs.replace(CATALOGUE.chip("tpu-v5p"), power_w=None)
    tpu = msgspec.structs.replace(case(precision=Precision.BF16), chip=chip)
    assert estimate_training(tpu).joules_token is None

    def known(chip: object, load: float) -> Estimate:
        return Estimate(100 + 300 * load, 90, 410, Provenance.MEASURED)

    found = estimate_training(tpu, power=known)
    assert found.joules_token is not None
    watts = 100 + 300 * found.mfu.value
    per_token = watts * 64 / found.tokens_s.value
    assert found.joules_token.value == pytest.approx(per_token)


def seconds(**changes: object) -> float:
    return estimate_training(case(**changes)).step_s.value


def test_recomputing_everything_takes_up_to_a_third_longer() -> None:
    ratio = seconds(recompute=Recompute.FULL) / seconds()
    assert 1.2 < ratio < 1.4


def test_interleaving_shrinks_the_bubble() -> None:
    plain = estimate_training(case(layout=Layout(tensor=4, pipeline=8, data=2)))
    cut = estimate_training(case())
    assert cut.parts_s["bubble"] == pytest.approx(plain.parts_s["bubble"] / 5, rel=0.01)


def test_more_micro_batches_take_proportionally_longer_but_for_the_bubble() -> None:
    small, large = estimate_training(case()), estimate_training(case(global_batch=256))
    assert large.parts_s["gemm"] == pytest.approx(2 * small.parts_s["gemm"])
    assert large.parts_s["bubble"] == pytest.approx(small.parts_s["bubble"])


def test_experts_over_the_network_cost_more_than_inside_a_domain() -> None:
    layout = Layout(expert=64, data=64)
    near = estimate_training(case("qwen3-235b-a22b", "gb200", layout=layout))
    far = estimate_training(case("qwen3-235b-a22b", "b200", layout=layout))
    assert far.parts_s["expert"] > 3 * near.parts_s["expert"]


def test_context_parallelism_pays_for_passing_keys_around() -> None:
    long = {"sequence": 65_536, "global_batch": 16}
    split = estimate_training(case(layout=Layout(tensor=4, pipeline=8, context=2), **long))
    whole = estimate_training(case(layout=Layout(tensor=4, pipeline=8, data=2), **long))
    assert split.parts_s["context"] > 0 == whole.parts_s["context"]
    assert split.memory_activations_gib.value < whole.memory_activations_gib.value


def test_full_sharding_gathers_weights_for_each_micro_batch() -> None:
    layout = Layout(data=64)
    two = estimate_training(case(layout=layout, sharding=Sharding.ZERO3))
    four = estimate_training(case(layout=layout, sharding=Sharding.ZERO3, global_batch=256))
    assert four.parts_s["data"] == pytest.approx(2 * two.parts_s["data"])


def test_a_step_of_every_model_on_every_chip_can_be_told() -> None:
    for chip in CATALOGUE.chips.values():
        for model in ("llama-3.1-8b", "deepseek-v3", "nemotron-3-nano", "qwen3-next-80b-a3b"):
            whole = case(
                model,
                layout=Layout(data=16 * chip.ranks, ranks_per_chip=chip.ranks),
                chips=16,
                global_batch=16 * chip.ranks,
                precision=Precision.BF16,
                framework=None,
            )
            found = estimate_training(msgspec.structs.replace(whole, chip=chip))
            assert 0 < found.mfu.value < 1, (chip.name, model)
            assert all(value >= 0 for value in found.parts_s.values()), (chip.name, model)


def test_splits_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadRequest, match="is 128 ranks, and 64 chips have 64"):
        estimate_training(case(layout=Layout(tensor=8, pipeline=8, data=2)))
    with pytest.raises(BadRequest, match="not a multiple"):
        estimate_training(case(global_batch=127))
    with pytest.raises(BadRequest, match="cp 3 doesn't divide"):
        estimate_training(case(layout=Layout(context=3), chips=3, global_batch=1))


def test_a_chip_without_any_rate_is_refused() -> None:
    bare = msgspec.structs.replace(CATALOGUE.chip("h100"), tflops={})
    with pytest.raises(Unsupported, match="has no rate for fp8"):
        estimate_training(msgspec.structs.replace(case(), chip=bare))
