"""Craton beside NVIDIA's aiconfigurator: errors on the same rows, seconds of a search.

    python3.11 -m venv peer && peer/bin/pip install aiconfigurator==0.12.0
    python -m benchmarks.silicon.peers --aiconfigurator-python peer/bin/python

Rows are the aggregated ones of the serving benchmark (`data_serving`), with the same corrections
and filters for both. Craton's figures come from fits that never saw the row's model. aiconfigurator
looks into its tables of measured kernels, and has seen the models. It is given every benefit of
doubt:

- the tables it takes by default for the chip and framework (for most rows it has none of their very
  version), in its SILICON mode, and in its HYBRID mode, which fills gaps, where a table is missing;
- the formats its model card implies, and those the sample states: of these, in each group of rows
  (model, chip, framework, format), the ones that come closest to the measured times per token;
- a budget of prompt tokens a step of one prompt, its default, and of 8,192 (SGLang: 16,384), as the
  servers ran: one line each.

Rows that it refuses under either budget are left out for both, and counted.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.data_serving import Fields, Measured, measured, obtain, read
from benchmarks.silicon.fit_serving import CACHE, Unseen, blank, fit_figures, table_of, unseen
from benchmarks.silicon.search import CHIP, CHIPS, hold_to_one_core, job_of
from benchmarks.silicon.serving_figures import space
from benchmarks.silicon.serving_residuals import features_of
from benchmarks.silicon.serving_table import Table
from benchmarks.silicon.splits import SEEN

Numbers = NDArray[np.float64]
Attempt = dict[str, object]
Answer = dict[str, float | str]

SEED = 20261122
GROUP_ROWS = 16
"""Of a model, chip, framework and format in the sample; all where there are fewer."""
CAPPED = 1.0
"""What a row's error of time to first token counts at most: curves jump where memory fills."""

SYSTEMS = {"h100": "h100_sxm", "h200": "h200_sxm", "b200": "b200_sxm", "b300": "b300_sxm"}
"""aiconfigurator's names of chips; the others go by the same name."""

CARDS: Mapping[tuple[str, str], str] = {
    ("llama-3.1-8b", ""): "meta-llama/Meta-Llama-3.1-8B",
    ("qwen3-32b", ""): "Qwen/Qwen3-32B",
    ("deepseek-v3", "fp8"): "deepseek-ai/DeepSeek-V3",
    ("deepseek-v3", "fp4"): "nvidia/DeepSeek-V3.1-NVFP4",
    ("minimax-m2.5", "fp8"): "MiniMaxAI/MiniMax-M2.5",
    ("minimax-m2.5", "fp4"): "nvidia/MiniMax-M2.5-NVFP4",
    ("qwen3.5-397b-a17b", "bf16"): "Qwen/Qwen3.5-397B-A17B",
    ("qwen3.5-397b-a17b", "fp4"): "nvidia/Qwen3.5-397B-A17B-NVFP4",
    ("glm-5", "fp8"): "zai-org/GLM-5-FP8",
    ("glm-5", "fp4"): "nvidia/GLM-5-NVFP4",
    ("gpt-oss-120b", "fp4"): "openai/gpt-oss-120b",
}
"""Cards bundled with aiconfigurator in the format of the rows: it infers the rest from them."""

SHAPES = {
    "llama-3.1-8b": "meta-llama/Meta-Llama-3.1-8B",
    "qwen3-32b": "Qwen/Qwen3-32B",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
    "minimax-m2.5": "MiniMaxAI/MiniMax-M2.5",
    "qwen3.5-397b-a17b": "Qwen/Qwen3.5-397B-A17B",
    "glm-5": "zai-org/GLM-5",
    "gpt-oss-120b": "openai/gpt-oss-120b",
}
"""Cards that give the shape where the format is as stated."""

BLACKWELL_EXPERTS = ("w4a8_mxfp4_mxfp8", "w4a8_mxfp4_mxfp8_trtllm", "w4a16_mxfp4_cutlass")
"""How its tables name kernels for gpt-oss's experts there, besides what its card implies."""

WORKER = """
import json, sys
from aiconfigurator.cli.api import cli_estimate
from aiconfigurator_core.sdk.perf_database import get_latest_database_version

versions = {}

def one(attempt):
    key = attempt["system_name"], attempt["backend_name"]
    if key not in versions:
        versions[key] = get_latest_database_version(system=key[0], backend=key[1])
    for mode in ("SILICON", "HYBRID"):
        try:
            found = cli_estimate(backend_version=versions[key], database_mode=mode, **attempt)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        return {"ttft_ms": found.ttft, "tpot_ms": found.tpot, "mode": mode}
    return {"error": reason[:200]}

with open(sys.argv[1]) as asked, open(sys.argv[2], "w") as answers:
    for line in asked:
        answers.write(json.dumps([one(each) for each in json.loads(line)]) + "\\n")
"""
"""Runs under aiconfigurator's own Python, which has no Craton."""

SEARCHES = (
    ("llama-3.1-70b", "meta-llama/Meta-Llama-3.1-70B"),
    ("deepseek-v3", "deepseek-ai/DeepSeek-V3"),
)
"""One dense, one of experts, under both tools' names."""
SEARCH_REPETITIONS = 3


@dataclass(frozen=True, slots=True)
class Times:
    """What one tool says of every row; NaN where it refuses."""

    ttft_ms: Numbers
    tpot_ms: Numbers
    modes: Counter[str]


def unseen_models(rows: list[Measured]) -> tuple[Table, Mapping[str, Numbers], Unseen]:
    """Craton's residuals of every row, under fits that never saw its model."""
    of = space()
    table = table_of(rows, of)
    unknowns = fit_figures(table, of, rounds=40)
    columns = features_of(table, blank(of, unknowns, len(rows)))
    return table, columns, unseen(table, of, unknowns, columns, "model")


def group_of(each: Measured) -> tuple[str, ...]:
    """Rows that aiconfigurator's tables treat alike."""
    split = "experts split" if each.case.layout.expert > 1 else "experts whole"
    formats = each.case.formats
    return (each.model, each.system, each.framework, formats.weights, formats.experts, split)


def sample_of(rows: Sequence[Measured]) -> list[int]:
    """Indices of the sample: of each group as many as `GROUP_ROWS`, drawn by a fixed seed."""
    groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in sorted(range(len(rows)), key=lambda index: rows[index].id):
        if rows[index].case.decode is None:
            groups[group_of(rows[index])].append(index)
    draw = random.Random(SEED)
    picked = [
        draw.sample(groups[name], min(GROUP_ROWS, len(groups[name]))) for name in sorted(groups)
    ]
    return sorted(index for each in picked for index in each)


def attempts(each: Measured, row: Fields, *, as_served: bool) -> list[Attempt]:
    """What aiconfigurator is asked of a row: the same set-up in each of the formats it may mean."""
    case, layout = each.case, each.case.layout
    chunk = 16384 if each.framework == "sglang" else 8192
    base: Attempt = {
        "system_name": SYSTEMS.get(each.system, each.system),
        "backend_name": each.framework,
        "isl": int(case.input_tokens),
        "osl": int(case.output_tokens),
        # Its batch is one attention group's.
        "batch_size": max(1, round((case.concurrency or 1.0) / layout.data)),
        "ctx_tokens": chunk if as_served else int(case.input_tokens),
        "tp_size": layout.tensor,
        "pp_size": layout.pipeline,
        "attention_dp_size": layout.data,
        "moe_tp_size": layout.expert_tensor,
        "moe_ep_size": layout.expert,
    }
    found: list[Attempt] = []
    card = CARDS.get((each.model, row["precision"]))
    if card is not None:
        found.append(base | {"model_path": card})
    if row["gemm_quant_mode"]:
        stated = {"gemm_quant_mode": row["gemm_quant_mode"]}
        if not each.is_dense:
            stated["moe_quant_mode"] = row["moe_quant_mode"]
        found.append(base | {"model_path": SHAPES[each.model], **stated})
    if each.model == "gpt-oss-120b" and each.system not in ("h100", "h200"):
        path = {"model_path": SHAPES[each.model]}
        found += [base | path | {"moe_quant_mode": name} for name in BLACKWELL_EXPERTS]
    return found


def ask(python: Path, asked: Sequence[list[Attempt]]) -> list[list[Answer]]:
    """aiconfigurator's answers to every attempt of every row."""
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "asked.jsonl", Path(folder) / "answered.jsonl"
        questions.write_text("".join(json.dumps(each) + "\n" for each in asked))
        command = [str(python), "-W", "ignore", "-c", WORKER, str(questions), str(answers)]
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=quiet, stderr=quiet)
        return [json.loads(line) for line in answers.read_text().splitlines()]


def closest(rows: Sequence[Measured], answers: Sequence[list[Answer]]) -> Times:
    """The formats of each group that come closest to the measured times per token."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for index, each in enumerate(rows):
        groups[group_of(each), len(answers[index])].append(index)
    ttft, tpot = np.full((2, len(rows)), np.nan)
    modes: Counter[str] = Counter()
    for (_, choices), members in groups.items():
        errors = [
            [
                abs(float(answers[index][choice]["tpot_ms"]) / rows[index].tpot_ms - 1.0)
                for index in members
                if "error" not in answers[index][choice]
            ]
            for choice in range(choices)
        ]
        most = max(map(len, errors))
        if not most:
            continue
        # Of those that answer for the most rows.
        best = min(
            (choice for choice in range(choices) if len(errors[choice]) == most),
            key=lambda choice: sum(errors[choice]),
        )
        for index in members:
            answer = answers[index][best]
            if "error" not in answer:
                ttft[index], tpot[index] = float(answer["ttft_ms"]), float(answer["tpot_ms"])
                modes[str(answer["mode"])] += 1
    return Times(ttft, tpot, modes)


def errors_of(found: Numbers, true: Numbers, *, cap: float = np.inf) -> Numbers:
    """Absolute relative error of each row."""
    return np.minimum(np.abs(found / true - 1.0), cap)


def compare(rows: Sequence[Measured], told: Mapping[str, Times]) -> Iterator[str]:
    """Lines of a table: mean errors of each tool by group of rows."""
    heads = {"all": np.ones(len(rows), bool), "dense": np.array([each.is_dense for each in rows])}
    heads["experts"] = ~heads["dense"]
    models = np.array([each.model for each in rows])
    heads |= {f"  {name}": models == name for name in sorted(set(models))}
    true = {
        "TPOT": np.array([each.tpot_ms for each in rows]),
        "TTFT": np.array([each.ttft_ms for each in rows]),
    }
    for figure, cap in (("TPOT", np.inf), ("TTFT", CAPPED)):
        capped = "" if cap == np.inf else ", row errors capped at 100 %"
        yield f"\n{figure}, mean absolute percentage error (median){capped}"
        yield f"  {'':20} {'rows':>5}  " + "  ".join(f"{name:>20}" for name in told)
        for head, mine in heads.items():
            cells: list[str] = []
            for each in told.values():
                times = each.tpot_ms if figure == "TPOT" else each.ttft_ms
                error = errors_of(times, true[figure], cap=cap)[mine]
                cells.append(f"{error.mean():11.1%} ({np.median(error):6.1%})")
            yield f"  {head:20} {mine.sum():5d}  " + "  ".join(cells)


def search_commands(python: Path, ours: str, theirs: str) -> dict[str, list[str]]:
    """One search each: 32 chips of one type, the same load and limits, phases as one and apart."""
    job = job_of(ours)
    load = (f"{job.input_tokens:g}", f"{job.output_tokens:g}")
    limits = (f"{job.ttft_limit_ms:g}", f"{job.itl_limit_ms:g}")
    return {
        "craton plan serve": [
            sys.executable, "-c", "from craton.cli.main import run; run()", "plan", "serve", ours,
            "--input", load[0], "--output", load[1], "--rate", f"{job.rate:g}",
            "--ttft-ms", limits[0], "--itl-ms", limits[1], "--chip", CHIP,
            "--max-chips-per-replica", str(CHIPS), "--precision", "fp8",
        ],
        "aiconfigurator cli default": [
            str(python), "-W", "ignore", "-m", "aiconfigurator.main", "cli", "default",
            "--model-path", theirs, "--system", SYSTEMS[CHIP], "--total-gpus", str(CHIPS),
            "--isl", load[0], "--osl", load[1], "--ttft", limits[0], "--tpot", limits[1],
        ],
    }  # fmt: skip


def search_times(python: Path) -> Iterator[str]:
    """Lines of a table: whole commands, from start to answer."""
    times = f"least of {SEARCH_REPETITIONS}"
    yield f"\nOne search of {CHIPS} {CHIP}, the whole command on one core, {times}"
    for ours, theirs in SEARCHES:
        for name, command in search_commands(python, ours, theirs).items():
            cpu, wall = zip(*(_run(command) for _ in range(SEARCH_REPETITIONS)), strict=True)
            yield f"  {ours:16} {name:28} {min(cpu):6.2f} s of CPU, {min(wall):6.2f} s in all"


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds of processor time and of waiting."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, env=environment)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def accuracy(python: Path, sample: list[Fields], *, every: bool) -> Iterator[str]:
    """Lines of the tables of errors."""
    rows, _ = measured(sample, known=SEEN)
    fields = {row["id"]: row for row in sample}
    picked = [i for i, each in enumerate(rows) if each.case.decode is None]
    if not every:
        picked = sample_of(rows)
    chosen = [rows[index] for index in picked]
    told: dict[str, Times] = {}
    for name, as_served in (("aiconfigurator", False), ("budget as served", True)):
        asked = [attempts(each, fields[each.id], as_served=as_served) for each in chosen]
        told[name] = closest(chosen, ask(python, asked))
    _, _, found = unseen_models(rows)
    told = {
        "craton, model unseen": Times(
            np.array([each.ttft_ms for each in chosen]) / np.exp(found.ttft[picked]),
            np.array([each.tpot_ms for each in chosen]) / np.exp(found.tpot[picked]),
            Counter(),
        )
    } | told
    answered = ~np.any([np.isnan(each.tpot_ms) for each in told.values()], axis=0)
    yield (
        f"{len(chosen)} of {len(rows)} rows"
        f" ({'all' if every else f'at most {GROUP_ROWS} a group'}, aggregated),"
        f" {int((~answered).sum())} of them refused by aiconfigurator and left out"
    )
    for name, each in told.items():
        if each.modes:
            yield f"  {name}: " + ", ".join(f"{n} rows {mode}" for mode, n in each.modes.items())
    kept = [each for each, good in zip(chosen, answered, strict=True) if good]
    yield from compare(
        kept,
        {
            name: Times(each.ttft_ms[answered], each.tpot_ms[answered], each.modes)
            for name, each in told.items()
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aiconfigurator-python", type=Path, required=True)
    parser.add_argument("--sample", type=Path, help="silicon_sample.csv, where it is at hand")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where its wheel is kept")
    parser.add_argument("--all", action="store_true", help="every row, not the sample")
    parser.add_argument("--only", choices=("accuracy", "search"))
    options = parser.parse_args()
    # The environment's own Python is a link to the system's, which has no aiconfigurator.
    python = Path(os.path.abspath(options.aiconfigurator_python))  # noqa: PTH100
    if options.only != "search":
        sample = read(options.sample or obtain(options.cache))
        for line in accuracy(python, sample, every=options.all):
            print(line, flush=True)
    if options.only != "accuracy":
        hold_to_one_core()
        for line in search_times(python):
            print(line, flush=True)


if __name__ == "__main__":
    main()
