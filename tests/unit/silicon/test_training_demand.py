"""What a training step asks of a rank, counted by hand for small cases."""

import pytest

from craton.silicon.case import Recompute, Sharding
from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from craton.silicon.training_demand import demand_of, exchange_layout
from craton.silicon.training_family import Family, family_of, release_year
from craton.silicon.training_flops import model_flops_token, trained
from tests.fakes.training_cases import DENSE, EXPERTS, case

PEAK = 989e12


def test_multiplications_of_a_dense_model_are_two_a_parameter_and_token() -> None:
    demand = demand_of(case())
    parameters = 4 * (4 * 1024 * 1024 + 3 * 1024 * 4096)
    assert demand.gemm == pytest.approx(2 * parameters * 2 * 2048 / PEAK)
    assert demand.logits == pytest.approx(2 * 1024 * 32_000 * 2 * 2048 / PEAK)
    assert demand.micro_batches == 4
    assert demand.expert == demand.tensor == demand.send == demand.scores == 0


def test_tensor_ranks_share_multiplications_and_pay_in_traffic() -> None:
    alone, shared = demand_of(case()), demand_of(case(layout=Layout(tensor=4, data=2)))
    assert shared.gemm == pytest.approx(alone.gemm / 4)
    # Four collectives a layer of 3/4 of the buffer, of which one chunk in four is in the open.
    once = 2 * 2048 * 1024 * 2 * (3 / 4) / 450e9
    assert shared.tensor == pytest.approx(4 * 4 * once / 4)
    plain = demand_of(case(layout=Layout(tensor=4, data=2), sequence_parallel=False))
    assert plain.tensor == pytest.approx(4 * 4 * once)


def test_experts_are_visited_by_the_tokens_of_all_who_share_them() -> None:
    alone = demand_of(case(EXPERTS))
    spread = demand_of(case(EXPERTS, layout=Layout(data=8, expert=8)))
    # Each rank multiplies as much as before, for eight times the tokens an expert.
    assert spread.expert == pytest.approx(alone.expert)
    assert spread.expert_rows == pytest.approx(8 * alone.expert_rows, rel=0.01)
    assert spread.expert_weights == pytest.approx(alone.expert_weights / 8, rel=0.01)
    assert alone.expert_near == 0 < spread.expert_near
    assert spread.expert_far == 0


def test_experts_split_like_attention_work_as_much_as_apart() -> None:
    apart = demand_of(case(EXPERTS, layout=Layout(tensor=2, data=4, expert=8)))
    together = demand_of(case(EXPERTS, layout=Layout(tensor=2, data=4, expert_tensor=2)))
    assert apart.expert == pytest.approx(together.expert)


def test_the_walk_counts_groups_that_share_experts() -> None:
    assert exchange_layout(Layout(tensor=2, data=32, expert=64)) == (
        Layout(tensor=2, data=32, expert=64),
        1.0,
    )
    walked, scale = exchange_layout(Layout(tensor=8, data=2))
    assert (walked.data, scale) == (1, 1 / 8)


def test_attention_of_context_ranks_adds_up_to_the_whole() -> None:
    alone = demand_of(case(layout=Layout(data=8)))
    split = demand_of(case(layout=Layout(data=4, context=2)))
    assert split.attention == pytest.approx(alone.attention / 2, rel=1e-3)
    assert split.gemm == pytest.approx(alone.gemm / 2)
    assert split.context > 0 == alone.context


def test_stages_hold_equal_parts_and_send_between_them() -> None:
    alone = demand_of(case())
    staged = demand_of(case(layout=Layout(pipeline=4, data=2, virtual=1)))
    assert staged.gemm == pytest.approx(alone.gemm / 4)
    assert staged.logits == pytest.approx(alone.logits)
    assert staged.send > 0


def test_gradients_cross_the_network_when_copies_are_on_several_servers() -> None:
    inside = demand_of(case())
    across = demand_of(case(layout=Layout(data=16), chips=16))
    assert inside.reduce_far == 0 < inside.reduce_near
    assert across.reduce_far > 0


def test_scores_are_only_written_out_where_no_kernel_is_fused() -> None:
    old = case(
        chip=load_catalogue().chip("a100"), precision=Precision.FP16, recompute=Recompute.SELECTIVE
    )
    assert family_of(old) is Family.MEGATRON_2022
    demand = demand_of(old)
    a100 = 2.039e12
    assert demand.scores == pytest.approx(4 * 8 * 2 * 2048 * 2048 * 2 / a100)
    assert demand.scores_again == 1
    assert demand_of(case(recompute=Recompute.SELECTIVE)).scores_again == 0


def test_families_are_told_by_name_or_by_recipe() -> None:
    a100 = load_catalogue().chip("a100")
    trainium = load_catalogue().chip("trainium1")
    assert family_of(case(framework="llm-foundry")) is Family.FSDP
    assert family_of(case(framework="NeMo")) is Family.MEGATRON
    assert family_of(case(framework=None)) is Family.MEGATRON
    assert family_of(case(framework=None, chip=trainium)) is Family.NEURONX
    assert family_of(case(framework=None, chip=a100, sharding=Sharding.ZERO3)) is Family.FSDP
    assert family_of(case(framework=None, chip=a100, precision=Precision.FP16)) is (
        Family.MEGATRON_2022
    )


def test_releases_are_dated() -> None:
    assert release_year("26.04 NeMo Container") == pytest.approx(2026.25)
    assert release_year("26.04.01") == pytest.approx(2026.25 + 1 / 24)
    assert release_year("nightly") is None
    assert release_year(None) is None


@pytest.mark.parametrize(
    ("model", "sequence", "tflops", "tokens"),
    [
        # Megatron-Bridge docs/performance-summary-archive.md: TFLOP/s and tokens/s a GPU
        ("llama-3-70b", 8192, 727, 1619),
        ("llama-3-8b", 8192, 725, 14079),
        ("deepseek-v3", 4096, 1276, 4912),
        ("qwen3-30b-a3b", 4096, 1029, 44544),
        ("kimi-k2", 4096, 1099, 5372),
    ],
)
def test_model_flops_are_what_megatron_bridge_counts(
    model: str, sequence: int, tflops: float, tokens: float
) -> None:
    counted = model_flops_token(case(find_model(model), sequence=sequence))
    assert counted == pytest.approx(tflops * 1e12 / tokens, rel=0.01)


def test_layers_of_multi_token_prediction_are_trained() -> None:
    model = find_model("deepseek-v3")
    assert trained(model).layers == model.layers + 1
    assert trained(DENSE) is DENSE
    hybrid = find_model("nemotron-3-super")
    assert trained(hybrid).layers == hybrid.layers + 2 * hybrid.draft_layers
