"""What a training step multiplies and moves, by part: counted by hand, and against the whole."""

import pytest

from craton.silicon.architecture import Architecture
from craton.silicon.case import Recompute, Sharding
from craton.silicon.layout import Layout
from craton.silicon.training import estimate_training
from craton.silicon.training_flops import model_flops_token
from craton.silicon.training_work import work_of
from tests.fakes.training_cases import DENSE, EXPERTS, case


def test_a_step_multiplies_each_parameter_six_times_a_token() -> None:
    work = work_of(case())
    tokens = 8 * 2048  # of one rank
    parameters = 4 * (4 * 1024 * 1024 + 3 * 1024 * 4096)
    assert work["gemm"].flops == pytest.approx(6 * parameters * tokens)
    assert work["logits"].flops == pytest.approx(6 * 1024 * 32_000 * tokens)
    assert work["experts"] == (0, 0)


def test_attention_moves_queries_keys_values_and_results_once_a_pass() -> None:
    tokens = 8 * 2048
    once = 4 * 4 * 1024 * 2 * tokens  # four layers, four rows of 1,024 elements of two bytes
    assert work_of(case())["attention"].data_bytes == pytest.approx(3 * once)


@pytest.mark.parametrize("architecture", [DENSE, EXPERTS], ids=["dense", "experts"])
@pytest.mark.parametrize(
    "layout",
    [
        Layout(data=8),
        Layout(tensor=2, data=4),
        Layout(pipeline=2, data=4),
        Layout(data=4, context=2),
    ],
    ids=["dp", "tp", "pp", "cp"],
)
def test_all_ranks_together_do_what_the_model_asks_for(
    architecture: Architecture, layout: Layout
) -> None:
    made = case(architecture, layout=layout, global_batch=64)
    work = work_of(made)
    # Fused attention computes its scores again: 3.5 of a forward pass where the model counts 3.
    done = sum(each.flops for name, each in work.items() if name != "attention")
    done += work["attention"].flops * 3 / 3.5
    asked = model_flops_token(made) * made.global_batch * made.sequence
    assert done * 8 == pytest.approx(asked, rel=0.01)


def test_what_is_computed_again_is_a_third_more_of_the_layers() -> None:
    plain, again = work_of(case()), work_of(case(recompute=Recompute.FULL))
    layers = plain["gemm"].flops / 3 + plain["attention"].flops / 3.5
    assert plain["recompute"] == (0, 0)
    assert again["recompute"].flops == pytest.approx(layers)
    assert again["gemm"] == plain["gemm"]


def test_the_optimizer_moves_its_states_once_a_step() -> None:
    alone = case(sharding=Sharding.NONE)
    parameters = 4 * (4 * 1024 * 1024 + 3 * 1024 * 4096) + 2 * 1024 * 32_000
    moved = work_of(alone)["optimizer"].data_bytes
    assert moved == pytest.approx(30 * parameters, rel=0.01)
    assert work_of(alone)["optimizer"].flops == 0


def test_no_part_is_faster_than_the_chip() -> None:
    made = case(EXPERTS)
    seconds, work = estimate_training(made).parts_s, work_of(made)
    assert set(work) <= set(seconds)
    for name, each in work.items():
        if seconds[name]:
            assert each.flops / seconds[name] < 989e12
            assert each.data_bytes / seconds[name] < 3.35e12
