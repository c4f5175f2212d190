import numpy as np
import pytest

from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision
from craton.silicon.serving_memory import batch_limit, fits_in_memory, memory_of, usual_cache

CATALOGUE = load_catalogue()
MODEL = find_model("llama-3.1-8b")
H100 = CATALOGUE.chip("h100")


def limit(layout: Layout, *, tokens: float = 4096.0, formats: Formats | None = None) -> float:
    return batch_limit(
        MODEL, layout, formats or Formats(), H100, tokens=tokens, held=tokens, chunk_tokens=8192
    )


def test_weights_and_cache_add_up() -> None:
    held = memory_of(MODEL, Layout(), Formats(), sequences=10.0, tokens=4096.0, chunk_tokens=8192)
    assert held.weights_gib == pytest.approx(8.03e9 * 2 / 2**30, rel=0.01)
    # 32 layers, 8 heads of 128 for keys and for values, 2 bytes, and 4 % that no one can use.
    cache = 10 * 4096 * 32 * 8 * 128 * 2 * 2 * 1.04 / 2**30
    assert held.cache_gib == pytest.approx(cache)
    assert held.total_gib == held.weights_gib + held.cache_gib + held.work_gib


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    most = limit(Layout())
    fits = fits_in_memory(
        MODEL, Layout(), Formats(), H100, sequences=np.array([most, most + 1]), tokens=4096.0
    )
    assert fits.tolist() == [True, False]


def test_more_fit_on_more_chips_with_shorter_answers_and_a_narrower_cache() -> None:
    one = limit(Layout())
    assert limit(Layout(tensor=2, expert_tensor=2)) > 2 * one
    assert limit(Layout(), tokens=2048.0) == pytest.approx(2 * one, rel=0.02)
    assert limit(Layout(), formats=Formats(cache=Precision.FP8)) == pytest.approx(2 * one, rel=0.02)


def test_nothing_fits_where_the_weights_do_not() -> None:
    large = find_model("llama-3.1-405b")
    found = batch_limit(
        large, Layout(), Formats(), H100, tokens=100.0, held=100.0, chunk_tokens=8192
    )
    assert found == 0.0


@pytest.mark.parametrize(
    ("framework", "weights", "chip", "cache"),
    [
        ("trtllm", Precision.FP8, "h100", Precision.FP8),
        ("TensorRT-LLM", Precision.NVFP4, "b200", Precision.FP8),
        ("trtllm", Precision.BF16, "h100", Precision.BF16),
        ("vllm", Precision.FP8, "h100", Precision.BF16),
        ("sglang", Precision.FP8, "b200", Precision.FP8),
        (None, Precision.FP8, "mi300x", Precision.BF16),
    ],
)
def test_a_cache_is_narrow_where_servers_usually_make_it_so(
    framework: str | None, weights: Precision, chip: str, cache: Precision
) -> None:
    assert usual_cache(framework, weights, CATALOGUE.chip(chip)) is cache
