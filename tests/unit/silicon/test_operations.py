"""What a pass is said to multiply, read and send, against sums made by hand."""

import numpy as np
import pytest

from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)
from craton.silicon.layout import Layout
from craton.silicon.memory import cache_bytes_a_token, sequence_bytes, weight_bytes
from craton.silicon.operations import (
    Formats,
    Kind,
    Pass,
    decode,
    distinct_experts,
    forward,
    prefill,
    seen_tokens,
)
from craton.silicon.precision import Precision

LLAMA_8B = Architecture(
    "llama-3.1-8b", 4096, 128256, (LayerGroup(32, GroupedQuery(32, 8, 128), Dense(14336)),)
)
DEEPSEEK = Architecture(
    "deepseek-v3",
    7168,
    129280,
    (
        LayerGroup(3, Latent(128, 1536, 512, 64, 128, 128), Dense(18432)),
        LayerGroup(58, Latent(128, 1536, 512, 64, 128, 128), Experts(256, 8, 2048, True, 2048)),
    ),
)


def _flops(architecture: Architecture, layout: Layout, step: Pass) -> float:
    return float(
        sum(each.count * each.flops for each in forward(architecture, layout, Formats(), step))
    )


def test_the_sizes_of_public_models_come_out() -> None:
    assert LLAMA_8B.parameters() == pytest.approx(8.03e9, rel=0.002)
    assert DEEPSEEK.parameters() == pytest.approx(671e9, rel=0.01)
    assert DEEPSEEK.active_parameters() == pytest.approx(37e9, rel=0.02)


def test_a_token_costs_two_operations_a_parameter_and_its_attention() -> None:
    context = 1000.0
    attention = 4 * 32 * 128 * context * 32
    expected = 2 * LLAMA_8B.active_parameters() + attention
    assert _flops(LLAMA_8B, Layout(), decode(1.0, context)) == pytest.approx(expected, rel=0.002)


def test_experts_a_token_does_not_visit_are_not_multiplied() -> None:
    flops = _flops(DEEPSEEK, Layout(), decode(1.0, 0.0))
    assert flops == pytest.approx(2 * DEEPSEEK.active_parameters(), rel=0.01)


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_a_tensor_split_shares_the_work_evenly(tensor: int) -> None:
    whole = _flops(LLAMA_8B, Layout(), prefill(4.0, 512.0))
    split = Layout(tensor=tensor, expert_tensor=tensor)
    assert _flops(LLAMA_8B, split, prefill(4.0, 512.0)) * tensor == pytest.approx(whole, rel=1e-9)


def test_a_batch_of_cases_gives_what_each_case_gives_alone() -> None:
    batches = np.array([1.0, 8.0, 64.0])
    together = _arrays(decode(batches, 700.0))
    for index, batch in enumerate(batches):
        alone = _arrays(decode(float(batch), 700.0))
        assert together[:, index] == pytest.approx(alone[:, 0])


def _arrays(step: Pass) -> np.ndarray:
    rows = [
        np.atleast_1d(np.asarray(each.flops + each.weight_bytes + each.data_bytes, dtype=float))
        for each in forward(DEEPSEEK, Layout(), Formats(), step)
    ]
    width = max(len(row) for row in rows)
    return np.array([np.broadcast_to(row, (width,)) for row in rows])


def test_key_value_heads_are_copied_where_there_are_fewer_than_ranks() -> None:
    sixteen = cache_bytes_a_token(LLAMA_8B, Layout(tensor=16), Formats())
    eight = cache_bytes_a_token(LLAMA_8B, Layout(tensor=8), Formats())
    assert sixteen == eight == 32 * 2 * 128 * 2


def test_a_latent_cache_is_whole_on_every_rank() -> None:
    one = cache_bytes_a_token(DEEPSEEK, Layout(), Formats())
    eight = cache_bytes_a_token(DEEPSEEK, Layout(tensor=8), Formats())
    assert one == eight == 61 * (512 + 64) * 2


def test_a_window_bounds_what_a_sequence_keeps_and_sees() -> None:
    sliding = Architecture("w", 64, 100, (LayerGroup(2, GroupedQuery(4, 4, 16, 128), Dense(64)),))
    full = sequence_bytes(sliding, Layout(), Formats(), 128)
    assert sequence_bytes(sliding, Layout(), Formats(), 100_000) == full
    assert seen_tokens(decode(1.0, 5000.0), 128) == 128


def test_a_recurrent_state_does_not_grow_with_the_sequence() -> None:
    model = Architecture("r", 64, 100, (LayerGroup(2, Recurrent(2, 4, 16, 16), Dense(64)),))
    short = sequence_bytes(model, Layout(), Formats(), 10)
    assert sequence_bytes(model, Layout(), Formats(), 1_000_000) == short > 0


def test_weights_take_the_bytes_of_their_format() -> None:
    eight = Formats(weights=Precision.FP8, experts=Precision.FP8)
    assert weight_bytes(LLAMA_8B, Layout(), Formats()) == pytest.approx(16.06e9, rel=0.002)
    body = LLAMA_8B.parameters() - 2 * 4096 * 128256
    expected = body + 2 * 2 * 4096 * 128256
    assert weight_bytes(LLAMA_8B, Layout(), eight) == pytest.approx(expected)


def test_expert_ranks_hold_their_share_of_experts() -> None:
    whole = weight_bytes(DEEPSEEK, Layout(), Formats())
    split = weight_bytes(
        DEEPSEEK, Layout(tensor=1, data=8, expert=8), Formats(weights=Precision.BF16)
    )
    routed = 58 * 256 * 3 * 7168 * 2048 * 2
    assert whole - split == pytest.approx(routed * 7 / 8)


def test_few_tokens_touch_few_experts_and_many_touch_all() -> None:
    assert distinct_experts(256, 8, 1.0) == pytest.approx(8)
    assert distinct_experts(256, 8, 10_000.0) == pytest.approx(256)


def test_ranks_that_share_tokens_reduce_and_attention_groups_exchange() -> None:
    tensor = forward(DEEPSEEK, Layout(tensor=8, expert_tensor=8), Formats(), decode(8.0, 10.0))
    assert {each.kind for each in tensor if each.group > 1} == {Kind.ALL_REDUCE, Kind.ALL_GATHER}
    spread = forward(DEEPSEEK, Layout(data=8, expert=8), Formats(), decode(8.0, 10.0))
    assert {each.kind for each in spread if each.group > 1} == {Kind.ALL_TO_ALL}
