"""Fits the coefficients of training to the measured runs, and writes them with their residuals.

    python -m benchmarks.silicon.fit_training        # needs SciPy, a tool of development only

Every coefficient is a logarithm with a prior: common values around what is known of such systems,
corrections around 0. So a correction that few rows ask for stays small, and one that none asks for
isn't made. The loss is robust (soft l1), and a model of many rows weighs as much as ten.
"""

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.silicon.data_training import Run, load
from craton.silicon.case import TrainingCase
from craton.silicon.precision import Precision
from craton.silicon.training_coefficients import (
    FITS,
    RATE_NAMES,
    UNSEEN,
    Coefficients,
    power_density,
    rates_of,
    release_age,
)
from craton.silicon.training_demand import Demand, demand_of
from craton.silicon.training_family import release_year
from craton.silicon.training_intervals import Residuals, kind_of, residuals_of
from craton.silicon.training_time import timeline_of

Array = NDArray[np.float64]

# Prior of each common coefficient: its value, and the standard deviation of its logarithm.
COMMON = {
    "gemm_efficiency": (0.85, 0.10),
    "expert_efficiency": (0.80, 0.10),
    "expert_rows": (300.0, 0.50),
    "gemm_passes": (1.3, 0.40),
    "expert_passes": (2.5, 0.30),
    "wide_efficiency": (0.85, 0.10),
    "attention_efficiency": (0.70, 0.20),
    "memory_efficiency": (0.80, 0.10),
    "norm_passes": (1.5, 0.30),
    "activation_passes": (1.5, 0.30),
    "permute_passes": (1.0, 0.50),
    "quantize_passes": (1.0, 0.50),
    "score_passes": (6.0, 0.40),
    "recurrence_passes": (3.0, 0.60),
    "launch_us": (8.0, 0.50),
    "expert_launch_us": (200.0, 0.50),
    "local_expert_us": (40.0, 0.60),
    "tensor_exposed": (1.0, 0.30),
    "tensor_latency": (3.0, 0.50),
    "context_exposed": (0.5, 0.60),
    "expert_near_exposed": (1.3, 0.50),
    "expert_far_exposed": (1.3, 0.50),
    "expert_far_interleaved": (0.5, 0.50),
    "send_exposed": (0.3, 0.60),
    "data_near": (1.3, 0.30),
    "data_far": (1.2, 0.10),
    "data_exposed": (0.08, 0.30),
    "data_window": (0.6, 0.30),
    "ends_imbalance": (0.3, 0.60),
    "optimizer_passes": (1.2, 0.40),
}
POWER_EXPONENT = (0.30, 0.30)
RELEASE_RATE = (0.40, 0.20)  # a plain number: its value and standard deviation
POWER_UNKNOWN = 0.6
RELEASE_YEAR = 2026.3

GENERATIONS = {
    "a100": "ampere", "a100-40g": "ampere",
    "h100": "hopper", "h200": "hopper", "h800": "hopper",
    "b200": "blackwell", "b300": "blackwell", "gb200": "blackwell", "gb300": "blackwell",
    "trainium1": "trainium1",
}  # fmt: skip

# Corrections that may be made: (table, entry, coefficient) and the deviation of its logarithm.
CORRECTIONS = {
    ("family", "fsdp", "gemm_efficiency"): 0.10,
    ("family", "fsdp", "attention_efficiency"): 0.30,
    ("family", "fsdp", "norm_passes"): 0.70,
    ("family", "fsdp", "activation_passes"): 0.70,
    ("family", "fsdp", "data_exposed"): 0.50,
    ("family", "fsdp", "data_far"): 0.70,
    ("family", "megatron", "tensor_exposed"): 0.40,
    ("family", "megatron-experts", "data_exposed"): 0.70,
    ("family", "megatron-2022", "tensor_exposed"): 0.30,
    ("family", "megatron-2022", "norm_passes"): 0.30,
    ("family", "neuronx", "gemm_efficiency"): 0.40,
    ("family", "neuronx", "memory_efficiency"): 0.30,
    ("family", "neuronx", "attention_efficiency"): 0.50,
    ("family", "neuronx", "tensor_exposed"): 0.50,
    ("family", "neuronx", "data_exposed"): 0.50,
    ("generation", "ampere", "gemm_efficiency"): 0.08,
    ("generation", "hopper", "gemm_efficiency"): 0.08,
    ("generation", "blackwell", "gemm_efficiency"): 0.08,
    ("generation", "ampere", "attention_efficiency"): 0.20,
    ("generation", "hopper", "attention_efficiency"): 0.20,
    ("generation", "blackwell", "attention_efficiency"): 0.20,
    ("chip", "b200", "gemm_efficiency"): 0.08,
    ("chip", "b300", "gemm_efficiency"): 0.08,
    ("chip", "gb200", "gemm_efficiency"): 0.08,
    ("chip", "gb300", "gemm_efficiency"): 0.08,
    ("chip", "h100", "gemm_efficiency"): 0.08,
    ("chip", "h200", "gemm_efficiency"): 0.08,
    ("precision", "fp8", "gemm_efficiency"): 0.10,
    ("precision", "mxfp8", "gemm_efficiency"): 0.10,
    ("precision", "nvfp4", "gemm_efficiency"): 0.15,
    ("precision", "fp32", "gemm_efficiency"): 0.15,
    ("precision", "mxfp8", "quantize_passes"): 0.30,
    ("precision", "nvfp4", "quantize_passes"): 0.50,
}

SPREAD = 0.07
"""Of the logarithm of a measured run that the model describes rightly."""

ROWS_OF_A_MODEL = 10.0
"""A model of more rows weighs as much as this many."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Many cases at once: arrays instead of numbers."""

    demand: Demand
    members: dict[tuple[str, str, str], Array]
    """1 where a case gets a correction."""
    narrow: Array
    """Logarithm of the power density of the case's format over an A100's in bf16."""
    wide: Array
    age: Array
    """Years since the reference release, 0 without experts."""
    step_s: Array


def stack(runs: Sequence[Run]) -> Stack:
    demands = [demand_of(run.case) for run in runs]
    columns = {
        field.name: np.array([getattr(each, field.name) for each in demands], dtype=np.float64)
        for field in fields(Demand)
    }
    entries = [
        {
            "family": kind_of(run.case),
            "generation": GENERATIONS.get(run.case.chip.name, ""),
            "chip": run.case.chip.name,
            "precision": str(run.case.precision),
        }
        for run in runs
    ]
    members = {
        key: np.array([float(entry[key[0]] == key[1]) for entry in entries]) for key in CORRECTIONS
    }
    return Stack(
        demand=Demand(**columns),
        members=members,
        narrow=np.log([_density(run.case, run.case.precision) for run in runs]),
        wide=np.log([_density(run.case, Precision.BF16) for run in runs]),
        age=np.array([_age(run.case, demand) for run, demand in zip(runs, demands, strict=True)]),
        step_s=np.array([run.step_s for run in runs]),
    )


REFERENCE = 400 / 312


def _density(case: TrainingCase, precision: Precision) -> float:
    return power_density(case, precision, POWER_UNKNOWN) / REFERENCE


def _age(case: TrainingCase, demand: Demand) -> float:
    year = release_year(case.framework_version)
    return 0.0 if year is None or not demand.expert else release_age(year, RELEASE_YEAR)


class Problem:
    """The parameters as one vector: common logarithms, the exponent, the rate, corrections."""

    @staticmethod
    def start() -> Array:
        common = [np.log(COMMON[name][0]) for name in RATE_NAMES]
        return np.array(
            [*common, np.log(POWER_EXPONENT[0]), RELEASE_RATE[0], *[0.0] * len(CORRECTIONS)]
        )

    @staticmethod
    def deviations() -> Array:
        common = [COMMON[name][1] for name in RATE_NAMES]
        return np.array([*common, POWER_EXPONENT[1], RELEASE_RATE[1], *CORRECTIONS.values()])


def predict(theta: Array, cases: Stack) -> Array:
    """Seconds of a step."""
    size = len(RATE_NAMES)
    logs = {name: theta[i] + np.zeros(len(cases.step_s)) for i, name in enumerate(RATE_NAMES)}
    for value, (key, member) in zip(theta[size + 2 :], cases.members.items(), strict=True):
        logs[key[2]] = logs[key[2]] + value * member
    exponent, rate = np.exp(theta[size]), theta[size + 1]
    rates = rates_of(
        {name: np.exp(value) for name, value in logs.items()},
        narrow=np.exp(exponent * cases.narrow),
        wide=np.exp(exponent * cases.wide),
        aged=np.exp(-rate * cases.age),
    )
    return np.asarray(timeline_of(cases.demand, rates).step, dtype=np.float64)


def weights(runs: Sequence[Run]) -> Array:
    groups = Counter((run.table, run.model) for run in runs)
    return np.array([min(1.0, ROWS_OF_A_MODEL / groups[run.table, run.model]) for run in runs])


def fit(runs: Sequence[Run]) -> Array:
    """The most probable parameters."""
    cases, start, deviations = stack(runs), Problem.start(), Problem.deviations()
    scale = np.sqrt(weights(runs)) / SPREAD

    def errors(theta: Array) -> Array:
        misses = scale * np.log(predict(theta, cases) / cases.step_s)
        # soft l1, written out so that the priors stay quadratic
        robust = np.sign(misses) * np.sqrt(2 * (np.sqrt(1 + misses**2) - 1))
        return np.concatenate([robust, (theta - start) / deviations])

    return np.asarray(least_squares(errors, start, max_nfev=60).x)


def to_coefficients(
    theta: Array,
    *,
    source: str,
    fitted: str,
    models: tuple[str, ...],
    residuals: dict[str, Residuals],
    unknown_factor: float,
) -> Coefficients:
    size = len(RATE_NAMES)
    tables: dict[str, dict[str, dict[str, float]]] = {
        "family": {}, "generation": {}, "chip": {}, "precision": {},
    }  # fmt: skip
    for value, (table, entry, name) in zip(theta[size + 2 :], CORRECTIONS, strict=True):
        tables[table].setdefault(entry, {})[name] = round(float(np.exp(value)), 5)
    return Coefficients(
        source=source,
        fitted=fitted,
        power_exponent=round(float(np.exp(theta[size])), 5),
        power_reference=round(REFERENCE, 5),
        power_unknown=POWER_UNKNOWN,
        release_year=RELEASE_YEAR,
        release_rate=round(float(theta[size + 1]), 5),
        common={name: round(float(np.exp(theta[i])), 5) for i, name in enumerate(RATE_NAMES)},
        family=tables["family"],
        generation=tables["generation"],
        chip=tables["chip"],
        precision=tables["precision"],
        chips=GENERATIONS,
        models=models,
        residuals=residuals,
        unknown_factor=unknown_factor,
    )


def held_out(
    runs: Sequence[Run], of: Callable[[Run], str], tested: Iterable[str]
) -> dict[int, float]:
    """Logarithms of measured over predicted where what `of` names was left out of the fit."""
    found: dict[int, float] = {}
    for name in tested:
        kept = [run for run in runs if of(run) != name]
        out = [i for i, run in enumerate(runs) if of(run) == name]
        cases = stack([runs[i] for i in out])
        logs = np.log(cases.step_s / predict(fit(kept), cases))
        found.update(zip(out, map(float, logs), strict=True))
    return found


def today() -> str:
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


SOURCE = (
    "benchmarks/silicon/fit_training.py on megatron_bridge, llm_foundry, mlperf_training_v5_0,"
    " korthikanti_2022 and neuron_training in benchmarks/silicon/data"
)


def write(coefficients: Coefficients, path: Path) -> None:
    """The file the library reads, one table after the other."""
    values = msgspec.to_builtins(coefficients)
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [_HEAD, *(f"{name} = {_toml(value)}" for name, value in plain.items())]
    for name in ("common", "chips"):
        lines += ["", f"[{name}]", *(f"{k} = {_toml(v)}" for k, v in values[name].items())]
    for name in ("family", "generation", "chip", "precision", "residuals"):
        for entry, members in values[name].items():
            lines += ["", f"[{name}.{entry}]", *(f"{k} = {_toml(v)}" for k, v in members.items())]
    path.write_text("\n".join(lines) + "\n", "utf-8")


_HEAD = """\
# Coefficients of training, made by `python -m benchmarks.silicon.fit_training`: don't edit by hand.
# What each means stands in silicon/training_time.py; the data's sources, commits and licences stand
# at the head of each table in benchmarks/silicon/data.
"""


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def unseen(runs: Sequence[Run]) -> dict[int, float]:
    """Residuals of every run where its whole model, in every table, was left out of the fit."""
    return held_out(runs, lambda run: run.model, sorted({run.model for run in runs}))


FOLDS = 10


def one_by_one(runs: Sequence[Run]) -> dict[int, float]:
    """Residuals of every run where a tenth of all runs was left out of the fit.

    The releases of one set-up are nearly one run measured again: they are left out together.
    """
    names = sorted({set_up(run) for run in runs})
    order = np.random.default_rng(2026).permutation(len(names))
    fold = {name: str(order[i] % FOLDS) for i, name in enumerate(names)}
    return held_out(runs, lambda run: fold[set_up(run)], [str(i) for i in range(FOLDS)])


def set_up(run: Run) -> str:
    """What two runs share that differ in nothing but the software's release and the batch."""
    case = run.case
    return (
        f"{run.model} {case.chip.name} {case.chips} {case.precision} {case.sequence} {case.layout}"
    )


def by_kind(runs: Sequence[Run], logarithms: dict[int, float], end: str) -> dict[str, Residuals]:
    kinds: dict[str, list[float]] = {}
    for i, value in sorted(logarithms.items()):
        kinds.setdefault(kind_of(runs[i].case) + end, []).append(value)
    return {kind: residuals_of(values) for kind, values in kinds.items()}


def unknown_factor(runs: Sequence[Run], logarithms: dict[int, float]) -> float:
    """How much wider residuals are where a whole generation of NVIDIA chips was left out."""
    names = ("ampere", "hopper", "blackwell")
    out = held_out(runs, lambda run: GENERATIONS[run.case.chip.name], names)
    spread = np.std(list(out.values()))
    return round(float(max(spread / np.std([logarithms[i] for i in out]), 1.0)), 3)


def pretraining() -> list[Run]:
    return [run for table in FITTED_TABLES for run in load(table) if run.task == "pretrain"]


FITTED_TABLES = (
    "megatron_bridge",
    "llm_foundry",
    "mlperf_training_v5_0",
    "korthikanti_2022",
    "neuron_training",
)


def main() -> None:
    runs = pretraining()
    alone, whole = one_by_one(runs), unseen(runs)
    coefficients = to_coefficients(
        fit(runs),
        source=SOURCE,
        fitted=today(),
        models=tuple(sorted({run.model for run in runs})),
        residuals={**by_kind(runs, alone, ""), **by_kind(runs, whole, UNSEEN)},
        unknown_factor=unknown_factor(runs, whole),
    )
    write(coefficients, FITS / "training.toml")
    print(f"{FITS / 'training.toml'}: {len(runs)} runs")


if __name__ == "__main__":
    main()
