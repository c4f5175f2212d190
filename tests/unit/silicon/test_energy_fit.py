import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.silicon.energy_rows import PROMPTS, read_rows
from benchmarks.silicon.fit_energy import PRIORS, Table, fit, fit_power, predicted, write
from craton.silicon.energy import EnergyFit, load_energy_fit

RAW = {
    "task": "lm-arena-chat",
    "model_id": "Qwen/Qwen3-8B",
    "gpu_model": "H100",
    "num_gpus": 2,
    "tensor_parallel": 1,
    "expert_parallel": 2,
    "weight_precision": "fp8",
    "max_num_seqs": 64,
    "avg_output_len": 500.0,
    "avg_power_watts": 900.0,
    "energy_per_token_joules": 0.3,
    "output_throughput_tokens_per_sec": 3000.0,
}


def test_rows_are_read_from_a_list_and_from_task_files(tmp_path: Path) -> None:
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([RAW]))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    inner = {key: value for key, value in RAW.items() if key != "task"}
    (tasks / "chat.json").write_text(
        json.dumps({"task": "lm-arena-chat", "configurations": [inner]})
    )
    assert read_rows(listed) == read_rows(tasks)
    (row,) = read_rows(listed)
    assert row.watts_chip == 450.0
    assert row.case.layout.tensor == row.case.layout.expert == 2


def test_models_that_are_not_listed_take_no_part(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{**RAW, "model_id": "somebody/else"}]))
    assert read_rows(path) == []


def test_fitting_finds_the_energies_of_rows_made_up() -> None:
    random = np.random.default_rng(2)
    columns = len(PRIORS) + len(PROMPTS.datasets) + 1
    terms = random.uniform(0.0, 5.0, size=(300, columns))
    true = np.array([prior[0] for prior in PRIORS.values()] + [1.0] * (columns - len(PRIORS)))
    chip = np.where(np.arange(300) % 2, "h100", "b200")
    # One chip costs a tenth more throughout.
    energy = terms @ (1.3 * true) * np.where(chip == "b200", 1.1, 1.0)
    one = np.ones(300)
    data = Table(terms, energy, one, one, one, one, chip)
    found = predicted(data, fit(data, np.ones(300, dtype=bool)))
    assert np.abs(found / energy - 1.0).mean() < 0.03


def test_power_s_shares_are_found_from_rows_made_up() -> None:
    random = np.random.default_rng(3)
    columns = random.uniform(0.0, 0.7, size=(4000, 5))
    columns[:, 0] = 1.0
    true = np.array([0.08, 0.1, 0.05, 0.6, 0.4])
    found = fit_power(columns, columns @ true, np.ones(4000, dtype=bool))
    assert found == pytest.approx(true, abs=0.02)


def test_a_fit_written_is_the_fit_read(tmp_path: Path) -> None:
    stored = load_energy_fit()
    write(stored, tmp_path / "energy.toml")
    read = msgspec.toml.decode((tmp_path / "energy.toml").read_bytes(), type=EnergyFit)
    assert read == stored
