"""What a training rank keeps in memory, against the figures of the paper that has the formulas."""

import msgspec
import pytest

from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from craton.silicon.training_memory import (
    activation_bytes,
    expert_parameters,
    in_flight,
    shared_parameters,
    state_bytes,
)

GIB = 1024.0**3

# arXiv:2205.05198, figure 1, as transcribed in github.com/calculon-ai/calculon
# (calculon/llm/validation.py, Apache-2.0); split and batch from its validation/seqsel/fig1.
FIGURE_1 = [
    ("megatron-22b", 1, 1, 4, 45.5625, 59.25, 9.5625),
    ("gpt3-175b", 8, 3, 1, 45.5625, 66.84375, 12.3515625),
    ("turing-530b", 35, 3, 1, 31.640625, 114.0234375, 23.076171875),
    ("megatron-1t", 64, 1, 1, 32.958984375, 131.25, 26.5625),
]


def paper_case(model: str, pipeline: int, virtual: int, batch: int) -> TrainingCase:
    return TrainingCase(
        architecture=find_model(model),
        chip=load_catalogue().chip("a100"),
        layout=Layout(tensor=8, pipeline=pipeline, virtual=virtual),
        chips=8 * pipeline,
        micro_batch=batch,
        global_batch=batch * max(pipeline, 1) * 8 if pipeline > 1 else batch,
        sequence=2048,
        precision=Precision.FP16,
        sequence_parallel=False,
    )


@pytest.mark.parametrize("row", FIGURE_1, ids=lambda row: row[0])
def test_the_papers_activations_come_out(
    row: tuple[str, int, int, int, float, float, float],
) -> None:
    model, pipeline, virtual, batch, states, whole, selective = row
    case = paper_case(model, pipeline, virtual, batch)
    assert activation_bytes(case) / GIB == pytest.approx(whole, rel=0.02)
    case = msgspec.structs.replace(case, sequence_parallel=True, recompute=Recompute.SELECTIVE)
    assert activation_bytes(case) / GIB == pytest.approx(selective, rel=0.02)
    # The paper leaves the embedding out of its states: at most 2 % of these models' ranks.
    assert state_bytes(case) / GIB == pytest.approx(states, rel=0.02)


def test_full_recomputation_keeps_the_inputs_of_layers_alone() -> None:
    case = paper_case("gpt3-175b", 8, 1, 1)
    full = msgspec.structs.replace(case, recompute=Recompute.FULL)
    # 2 s b h a layer, 96 / 8 layers, 8 micro-batches in flight (arXiv:2205.05198, section 5)
    assert activation_bytes(full) == 2 * 2048 * 12288 * 12 * 8


def test_interleaving_holds_more_micro_batches_in_flight() -> None:
    assert in_flight(Layout(pipeline=8), 64) == 8
    assert in_flight(Layout(pipeline=8, virtual=3), 64) == pytest.approx(8 * (1 + 7 / 24))
    assert in_flight(Layout(pipeline=8, virtual=3), 2) == 2


def test_sharding_divides_states_by_the_copies() -> None:
    case = msgspec.structs.replace(
        paper_case("megatron-22b", 1, 1, 4), layout=Layout(tensor=8, data=4), chips=32
    )
    none, one, three = (
        state_bytes(msgspec.structs.replace(case, sharding=sharding))
        for sharding in (Sharding.NONE, Sharding.ZERO1, Sharding.ZERO3)
    )
    # 2 bytes of weights, 4 of gradients, 12 of the optimizer
    assert one / none == pytest.approx((6 + 12 / 4) / 18)
    assert three / none == pytest.approx(1 / 4)


def test_experts_are_divided_by_their_own_split() -> None:
    model = find_model("deepseek-v3")
    layout = Layout(pipeline=4, expert=64, data=64)
    whole = expert_parameters(model, Layout()) + shared_parameters(model, Layout())
    assert whole == pytest.approx(model.parameters(), rel=1e-3)
    assert expert_parameters(model, layout) == expert_parameters(model, Layout()) / 256
    assert shared_parameters(model, layout) == shared_parameters(model, Layout()) / 4
