"""Rows of fixed set-ups: what they may leave out, and what they may not say."""

import msgspec
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.case import Batching, Recompute, Sharding
from craton.silicon.catalogue import load_catalogue
from craton.silicon.precision import Precision
from craton.silicon.rows import (
    architecture_of,
    read_row,
    row_id,
    serving_case,
    training_case,
)

CATALOGUE = load_catalogue()
SERVE = {
    "id": "a",
    "kind": "serve",
    "model": "llama-3.1-8b",
    "chip": "h100",
    "tp": 2,
    "input_tokens": 1000,
    "output_tokens": 100,
    "concurrency": 8,
}
TRAIN = {
    "id": "b",
    "kind": "train",
    "model": "llama-3.1-70b",
    "chip": "h100",
    "chips": 64,
    "tp": 8,
    "pp": 4,
    "global_batch": 128,
    "sequence": 8192,
}


def _serve(**members: object):  # noqa: ANN202 - the case, typed by its maker
    row = read_row(msgspec.json.encode(SERVE | members))
    return serving_case(row, architecture_of(row), CATALOGUE)


def _train(**members: object):  # noqa: ANN202 - the case, typed by its maker
    row = read_row(msgspec.json.encode(TRAIN | members))
    return training_case(row, architecture_of(row), CATALOGUE)


def test_chips_follow_from_the_split_and_replicas_from_the_chips() -> None:
    assert _serve().chips == 2
    eight = _serve(chips=8)
    assert (eight.chips, eight.layout.chips) == (8, 2)


def test_a_split_that_is_left_out_takes_all_ranks_of_the_chips() -> None:
    assert _serve(tp=None, chips=8).layout.tensor == 8
    assert _serve(tp=None, chips=8, chip="trainium1").layout.tensor == 16


def test_a_neuron_core_is_a_rank() -> None:
    case = _serve(chip="inferentia2", tp=24)
    assert (case.layout.ranks, case.chips) == (24, 12)


def test_experts_take_the_ranks_that_hold_the_layer() -> None:
    assert _serve(model="deepseek-v3", tp=8).layout.expert_tensor == 8
    spread = _serve(model="deepseek-v3", tp=1, dp=8, ep=8).layout
    assert (spread.expert, spread.expert_tensor) == (8, 1)


def test_precisions_are_read_by_any_name_and_apart() -> None:
    formats = _serve(precision="fp4", kv_precision="fp8", weight_precision="fp8_block").formats
    assert (formats.weights, formats.experts) == (Precision.FP8, Precision.FP8)
    assert (formats.cache, formats.output) == (Precision.FP8, Precision.BF16)
    assert _serve().formats.cache == Precision.BF16


def test_a_model_of_mixed_formats_keeps_them_unless_a_part_is_named() -> None:
    mixed = _serve(model="gpt-oss-120b", precision="fp4").formats
    assert (mixed.weights, mixed.experts) == (Precision.BF16, Precision.MXFP4)
    assert _serve(model="gpt-oss-120b", moe_precision="bf16").formats.experts == Precision.BF16


def test_a_cache_is_what_servers_usually_set() -> None:
    assert _serve(precision="fp8", framework="trtllm").formats.cache == Precision.FP8
    assert _serve(precision="fp8", framework="vllm").formats.cache == Precision.BF16
    assert _serve(precision="fp8", framework="vllm", kv_precision="fp8").formats.cache == "fp8"


def test_disaggregated_workers_are_read_with_their_own_splits() -> None:
    case = _serve(
        tp=None,
        mode="disagg",
        prefill={"workers": 3, "tp": 2},
        decode={"workers": 1, "tp": 1, "dp": 8, "ep": 8, "batch": 64},
        model="deepseek-v3",
    )
    assert case.prefill is not None
    assert case.decode is not None
    assert (case.prefill.workers, case.decode.batch, case.chips) == (3, 64, 14)


def test_what_a_row_leaves_out_has_stated_defaults() -> None:
    case = _train()
    assert (case.layout.data, case.micro_batch) == (2, 1)
    assert (case.recompute, case.sharding) == (Recompute.NONE, Sharding.ZERO1)
    assert case.sequence_parallel
    assert _serve().batching is Batching.CONTINUOUS


def test_members_nobody_knows_are_ignored() -> None:
    assert _serve(weather="fine") == _serve()


@pytest.mark.parametrize("flag", [None, False, "none", ""])
def test_speculation_is_off_unless_it_is_named(flag: object) -> None:
    assert not _serve(speculative=flag).speculative
    assert _serve(speculative="mtp").speculative


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"tp": 3}, "32 attention heads"),
        ({"model": "deepseek-v3", "tp": 4, "ep": 3, "moe_tp": 1}, "must equal"),
        ({"precision": "fp3"}, "is not a precision"),
        ({"input_tokens": None}, "input_tokens"),
        ({"input_tokens": -5}, "above 0"),
        ({"batching": "sometimes"}, "static, continuous"),
        ({"mode": "disagg"}, "'prefill' and 'decode'"),
        ({"chips": 1}, "needs 2 chips"),
        ({"model": None}, "neither 'model' nor 'arch'"),
        ({"tp": None}, "neither 'chips' nor 'tp'"),
        ({"pp": 64}, "32 layers"),
    ],
)
def test_a_row_that_cannot_be_says_which_rule(members: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        _serve(**members)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"global_batch": 3}, "not a multiple"),
        ({"dp": 4}, "not the 64 ranks"),
        ({"recompute": "some"}, "none, selective, full"),
        ({"global_batch": None}, "global_batch"),
    ],
)
def test_a_training_row_that_cannot_be_says_which_rule(
    members: dict[str, object], words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        _train(**members)


def test_the_id_of_an_unreadable_row_is_still_found() -> None:
    assert row_id(b'{"id": "x", "kind": 5}') == "x"
    assert row_id(b"not json") is None
    with pytest.raises(BadRequest, match="can't be read"):
        read_row(b'{"id": "x", "kind": 5}')
