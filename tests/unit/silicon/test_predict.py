"""`craton plan predict`: a line for each row, whatever the row holds."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.silicon.catalogue import load_catalogue
from craton.silicon.predict import Prediction, predict

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
    "id": 7,
    "kind": "train",
    "model": "llama-3.1-70b",
    "chip": "h100",
    "chips": 64,
    "tp": 8,
    "pp": 4,
    "global_batch": 128,
    "sequence": 8192,
}
SERVING = ("ttft_ms", "tpot_ms", "tokens_s", "tokens_s_chip", "memory_gib", "watts_chip")
TRAINING = ("step_s", "tokens_s", "tflops_chip", "mfu", "memory_gib", "memory_states_gib")


def _one(row: dict[str, object]) -> Prediction:
    (made,) = predict([msgspec.json.encode(row)], CATALOGUE)
    return made


@pytest.mark.parametrize(
    ("row", "figures"),
    [(SERVE, (*SERVING, "joules_token")), (TRAIN, (*TRAINING, "memory_activations_gib"))],
)
def test_every_figure_lies_in_its_interval(
    row: dict[str, object], figures: tuple[str, ...]
) -> None:
    made = _one(row)
    assert made["id"] == row["id"]
    for name in figures:
        low, value, high = made[f"{name}_low"], made[name], made[f"{name}_high"]
        assert isinstance(low, float)
        assert isinstance(value, float)
        assert isinstance(high, float)
        assert 0 < low <= value <= high
        assert low < high
    assert made["provenance"] in ("measured", "fitted", "spec-extrapolated")


def test_rows_are_answered_in_order_and_a_bad_one_stops_nothing() -> None:
    lines = [
        msgspec.json.encode(SERVE),
        b"not json",
        b"",
        msgspec.json.encode(SERVE | {"id": "b", "model": "nobody's"}),
        msgspec.json.encode(SERVE | {"id": "c", "chip": "h1"}),
        msgspec.json.encode(TRAIN),
    ]
    made = list(predict(lines, CATALOGUE))
    assert [each["id"] for each in made] == ["a", None, "b", "c", 7]
    assert ["error" in each for each in made] == [False, True, True, True, False]
    assert "nobody's" in str(made[2]["error"])


def test_energy_is_none_where_nobody_publishes_the_power() -> None:
    made = _one(SERVE | {"chip": "inferentia2", "tp": 8})
    assert made["joules_token"] is None
    assert isinstance(made["tpot_ms"], float)


@pytest.mark.parametrize(
    "chip",
    ["trainium1", "trainium2", "trainium3", "mi300x", "mi355x", "tpu-v6e", "tpu-v7", "gaudi3"],
)
def test_chips_that_were_never_fitted_are_answered_and_say_so(chip: str) -> None:
    made = _one(SERVE | {"chip": chip})
    assert isinstance(made["tpot_ms"], float)
    known = chip == "trainium1"
    assert made["provenance"] == ("fitted" if known else "spec-extrapolated")


def test_a_load_with_limits_is_given_the_split_that_serves_most() -> None:
    asked = {"tp": None, "concurrency": None, "chips": 8, "load": "server", "itl_limit_ms": 50}
    limited = _one(SERVE | asked)
    assert isinstance(limited["tpot_ms"], float)
    assert limited["tpot_ms"] <= 50
    offline = _one(SERVE | asked | {"load": "offline", "itl_limit_ms": None})
    assert isinstance(offline["tokens_s"], float)
    assert isinstance(limited["tokens_s"], float)
    assert offline["tokens_s"] >= limited["tokens_s"]
    none = _one(SERVE | asked | {"itl_limit_ms": 0.01})
    assert "itl_limit_ms 0.01 binds" in str(none["error"])


def test_more_bandwidth_decodes_faster_and_a_longer_prompt_starts_later() -> None:
    assert _one(SERVE | {"chip": "h200"})["tpot_ms"] < _one(SERVE)["tpot_ms"]  # pyright: ignore[reportOperatorIssue] - figures
    assert _one(SERVE | {"input_tokens": 8000})["ttft_ms"] > _one(SERVE)["ttft_ms"]  # pyright: ignore[reportOperatorIssue] - figures


NUMBERS = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([1e308, 5e-324, 2**62, -0.0, 1e9, 0.5]),
    st.integers(1, 300),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([SERVE, TRAIN]),
    st.dictionaries(st.sampled_from(sorted(SERVE | TRAIN | {"dp": 1, "ep": 1, "vp": 1})), NUMBERS),
)
def test_no_numbers_in_a_row_are_a_fault_of_the_planner(
    row: dict[str, object], changes: dict[str, object]
) -> None:
    made = _one(row | changes)
    assert "fault" not in str(made.get("error"))
    assert msgspec.json.decode(msgspec.json.encode(made))["id"] == made["id"]
