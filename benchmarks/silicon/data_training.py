"""The measured training runs that the model is fitted to and held against, as cases.

Each table is a CSV file in `data/` whose head names its source, commit and licence.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from craton.silicon.case import Recompute, Sharding, TrainingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from craton.silicon.training_flops import model_flops_token

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run."""

    table: str
    model: str
    task: str
    """pretrain, sft or lora."""
    case: TrainingCase
    step_s: float


_FRAMEWORK = {
    "megatron_bridge": "megatron-bridge",
    "llm_foundry": "llm-foundry",
    "mlperf_training_v5_0": "nemo",
    "korthikanti_2022": "megatron-lm",
    "neuron_training": "neuronx",
    "papers_training": "megatron",
}

TABLES = tuple(_FRAMEWORK)


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of a table as they are in its file."""
    lines = (DATA / f"{table}.csv").read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def load(table: str) -> list[Run]:
    """All runs of a table."""
    catalogue = load_catalogue()
    runs: list[Run] = []
    for row in rows_of(table):
        architecture = find_model(row["model"])
        chip = catalogue.chip(row["chip"])
        number = {name: int(row.get(name) or 1) for name in ("tp", "pp", "cp", "vp", "ep")}
        chips = int(row["chips"])
        ranks = chips * chip.ranks
        data = ranks // (number["tp"] * number["pp"] * number["cp"])
        tensor_given = row.get("sequence_parallel")
        layout = Layout(
            tensor=number["tp"],
            pipeline=number["pp"],
            data=data,
            expert=number["ep"],
            context=number["cp"],
            virtual=number["vp"],
            ranks_per_chip=chip.ranks,
        )
        case = TrainingCase(
            architecture=architecture,
            chip=chip,
            layout=layout,
            chips=chips,
            micro_batch=int(row["micro_batch"]),
            global_batch=int(row["global_batch"]),
            sequence=int(row["sequence"]),
            precision=Precision(row["precision"]),
            recompute=Recompute(row.get("recompute") or "none"),
            sequence_parallel=tensor_given == "true" if tensor_given else number["tp"] > 1,
            sharding=Sharding(row.get("sharding") or "zero1"),
            framework=_FRAMEWORK[table],
            framework_version=row.get("version") or None,
        )
        tokens = case.global_batch * case.sequence
        step = row.get("step_s")
        if step:
            seconds = float(step)
        elif row.get("tokens_s_chip"):
            seconds = tokens / (float(row["tokens_s_chip"]) * chips)
        else:
            flops = tokens * model_flops_token(case)
            seconds = flops / (float(row["tflops"]) * 1e12 * chips)
        runs.append(Run(table, architecture.name, row.get("task") or "pretrain", case, seconds))
    return runs
