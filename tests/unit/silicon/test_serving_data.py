import numpy as np
import pytest

from benchmarks.silicon.data_serving import Measured, measured
from benchmarks.silicon.fit_serving import least_squares, toml_lines
from benchmarks.silicon.serving_residuals import ridge
from benchmarks.silicon.splits import SEEN, folds
from craton.silicon.precision import Precision

BLANK = dict.fromkeys(
    (
        "prefill_batch_size", "prefill_num_workers", "prefill_tp_size", "prefill_attention_dp_size",
        "prefill_moe_tp_size", "prefill_moe_ep_size", "decode_batch_size", "decode_num_workers",
        "decode_tp_size", "decode_attention_dp_size", "decode_moe_tp_size", "decode_moe_ep_size",
    ),
    "",
)  # fmt: skip


def row(identifier: str = "one", **changes: str) -> dict[str, str]:
    plain = {
        "id": identifier,
        "silicon_data_source": "source_file=a.csv; silicon_concurrency=16",
        "backend": "vllm",
        "backend_version": "0.19.0",
        "model_path": "MiniMaxAI/MiniMax-M2.5",
        "system": "b200_sxm",
        "precision": "fp8",
        "mode": "agg",
        "isl": "1024",
        "osl": "1024",
        "batch_size": "16",
        "tp_size": "4",
        "attention_dp_size": "1",
        "moe_tp_size": "4",
        "moe_ep_size": "1",
        "silicon_ttft_ms": "100.0",
        "silicon_tpot_ms": "10.0",
    }
    return BLANK | plain | changes


def read(*rows: dict[str, str], speculative: bool = False) -> tuple[list[Measured], dict[str, int]]:
    found, left = measured(rows, known=SEEN, speculative=speculative)
    return found, {reason: count for reason, count in left.items() if count}


def test_a_row_becomes_a_set_up() -> None:
    (one,), left = read(row())
    assert left == {}
    assert one.case.layout.tensor == one.case.layout.expert_tensor == 4
    assert one.case.concurrency == 16
    assert one.case.formats.cache is Precision.FP8
    assert (one.model, one.system, one.is_dense) == ("minimax-m2.5", "b200", False)


def test_ranks_that_were_multiplied_twice_are_put_right() -> None:
    squared = row(tp_size="16", moe_tp_size="4", moe_ep_size="4")
    (one,), _ = read(squared)
    assert (one.case.layout.tensor, one.case.layout.expert, one.case.chips) == (4, 4, 4)
    groups = row(tp_size="1", attention_dp_size="16", moe_tp_size="4", moe_ep_size="4")
    (one,), _ = read(groups)
    assert (one.case.layout.tensor, one.case.layout.data, one.case.layout.expert) == (1, 4, 4)
    vllm = row(tp_size="4", attention_dp_size="4", moe_tp_size="1", moe_ep_size="16")
    (one,), _ = read(vllm)
    assert (one.case.layout.tensor, one.case.layout.data, one.case.layout.expert) == (4, 1, 4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_path": "someone/else"}, "of a model that is held out"),
        (
            {"silicon_data_source": "source_file=b.csv; gtl_job_id=1; silicon_concurrency=16"},
            "several workers behind a router, their number not told",
        ),
        ({"mode": "disagg"}, "prefill and decode apart, the number of workers not told"),
        (
            {"system": "gb200", "tp_size": "72", "moe_tp_size": "72"},
            "prefill and decode apart, of which only the chips are told",
        ),
        ({"tp_size": "5", "moe_tp_size": "5"}, "a split that cannot be"),
        (
            {"model_path": "deepseek-ai/DeepSeek-R1"},
            "a model with a draft head, in a set-up that is not listed",
        ),
    ],
)
def test_a_row_that_cannot_be_used_says_why(changes: dict[str, str], reason: str) -> None:
    assert read(row(**changes)) == ([], {reason: 1})


def listed(image: str, day: str, conc: str) -> dict[str, str]:
    source = f"source_file=c.csv; silicon_concurrency={conc}; measured={day}T00:00; image={image}"
    return row(
        model_path="deepseek-ai/DeepSeek-R1",
        backend="trtllm",
        precision="fp4",
        batch_size=conc,
        silicon_data_source=source,
    )


def test_a_set_up_that_was_only_listed_with_a_draft_head_is_speculative() -> None:
    plain = listed("nvcr.io#nvidia/tensorrt-llm/release:1.2.0rc6.post2", "2026-02-03", "16")
    fast = listed("nvcr.io#nvidia/tensorrt-llm/release:1.2.0rc6.post3", "2026-02-06", "8")
    (one,), left = read(plain, fast)
    assert one.case.concurrency == 16
    assert left == {"listed with speculative decoding": 1}
    (other,), _ = read(plain, fast, speculative=True)
    assert other.case.concurrency == 8
    assert other.case.speculative


def test_the_same_measurement_counts_once() -> None:
    found, left = read(row("one"), row("two", silicon_tpot_ms="10.0004"))
    assert len(found) == 1
    assert left == {"the same measurement again": 1}


def test_a_row_that_a_lower_load_contradicts_is_left_out() -> None:
    low = row("low", batch_size="4", silicon_data_source="f=a; silicon_concurrency=4")
    found, left = read(low, row("high", silicon_tpot_ms="5.0"))
    assert [each.id for each in found] == ["low"]
    assert left == {"contradicted by a lower load of the same set-up": 1}


def test_a_file_whose_prompts_cannot_have_been_computed_is_left_out() -> None:
    dense = {"model_path": "Qwen/Qwen3-32B", "tp_size": "1", "moe_tp_size": "1", "isl": "15000"}
    source = "source_file=d.csv; silicon_concurrency=448"
    impossible = row(**dense, silicon_data_source=source, silicon_tpot_ms="13")
    honest = row("two", silicon_data_source="source_file=e.csv; silicon_concurrency=16")
    found, left = read(impossible, honest)
    assert [each.id for each in found] == ["two"]
    assert left == {"of a file with prompts from a cache": 1}


def test_no_split_shows_a_fit_the_rows_it_is_judged_by() -> None:
    found, _ = read(row("one"), row("two", model_path="openai/gpt-oss-120b", precision="fp4"))
    groups = dict(folds(found, "model"))
    assert sorted(groups) == ["gpt-oss-120b", "minimax-m2.5"]
    assert sum(mine.sum() for mine in groups.values()) == 2
    for group, mine in groups.items():
        assert {each.model for each, out in zip(found, mine, strict=True) if out} == {group}


def test_least_squares_finds_a_curve() -> None:
    at = np.linspace(0.0, 2.0, 30)
    truth = 3.0 * np.exp(-1.5 * at)
    found = least_squares(lambda u: u[0] * np.exp(u[1] * at) - truth, np.array([1.0, 0.0]), 50)
    assert found == pytest.approx([3.0, -1.5], rel=1e-3)


def test_a_ridge_gives_back_a_line_and_shrinks_noise() -> None:
    at = np.linspace(-1.0, 1.0, 50)
    columns = {"a": at, "b": np.cos(40 * at)}
    line = ridge(columns, ("a", "b"), 0.2 * at + 0.1, np.ones(50), 1e-6)
    assert line.at(columns) + line.offset == pytest.approx(0.2 * at + 0.1, abs=1e-3)
    held = ridge(columns, ("a", "b"), 0.2 * at + 0.1, np.ones(50), 9.0)
    assert abs(held.weights[0]) < 0.2 * abs(line.weights[0])


def test_a_fit_is_written_as_toml() -> None:
    assert list(toml_lines({"b": {"c": 1.0}, "a": "x"})) == ['a = "x"', "\n[b]", "c = 1.0"]
