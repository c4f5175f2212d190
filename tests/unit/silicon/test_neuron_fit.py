import numpy as np
import pytest

from benchmarks.silicon.fit_neuron import PRIORS, factors, fit, held_out, measured
from benchmarks.silicon.neuron_rows import SPLITS, Row, read_rows
from craton.silicon.neuron import estimate_neuron, load_neuron_fit


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows()


def test_each_published_set_up_stands_once(rows: list[Row]) -> None:
    assert len(rows) == 50
    assert len({repr(row) for row in rows}) == 50


def test_the_stored_factors_are_what_the_stored_rows_give(rows: list[Row]) -> None:
    stored = load_neuron_fit()
    assert factors(rows, "decode") == stored.decode
    assert factors(rows, "prefill") == stored.prefill


@pytest.mark.parametrize(("phase", "goal"), [("decode", 0.09), ("prefill", 0.25)])
def test_models_left_out_are_met_within_the_goal(rows: list[Row], phase: str, goal: float) -> None:
    for split in SPLITS:
        errors = np.abs(held_out(rows, phase, split) / measured(rows, phase) - 1.0)
        assert errors.mean() <= goal


def test_intervals_hold_about_eighty_in_a_hundred_rows(rows: list[Row]) -> None:
    found = [(row, estimate_neuron(row.case)) for row in rows]
    decode = [each.tpot_ms.low <= row.tpot_ms <= each.tpot_ms.high for row, each in found]
    first = [each.ttft_ms.low <= row.ttft_ms <= each.ttft_ms.high for row, each in found]
    # These rows were fitted, so a few more may lie inside than of rows never seen.
    assert 0.75 <= np.mean(decode) <= 0.95
    assert 0.75 <= np.mean(first) <= 0.95


def test_fitting_finds_the_factors_that_made_the_times() -> None:
    random = np.random.default_rng(1)
    table = random.uniform(0.5, 20.0, size=(200, len(PRIORS["decode"])))
    true = np.array([1.2, 0.1, 1.6, 1.7])
    assert fit(table, table @ true, "decode") == pytest.approx(true, abs=0.02)
