"""Rows of the ML.ENERGY leaderboard, as cases; and how they are split, fixed before any fit.

The rows carry no licence, so none stands here. They are read from where the leaderboard keeps
them: `git clone https://github.com/ml-energy/leaderboard`, then point `--data` at its folder
`public/data/tasks`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from craton.silicon.case import ServingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.energy_terms import Prompt, Prompts
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision

SOURCE = (
    "github.com/ml-energy/leaderboard @0cd52dab, public/data/tasks (ML.ENERGY Benchmark 3.0, vLLM"
    " 0.11.1, GPU energy measured by Zeus); coefficients only, the rows are not licensed"
)

# The models that take part in the fit, and the cards they stand for.
MODELS = {
    "Qwen/Qwen3-14B": "qwen3-14b",
    "Qwen/Qwen3-235B-A22B-Instruct-2507": "qwen3-235b-a22b",
    "Qwen/Qwen3-235B-A22B-Thinking-2507": "qwen3-235b-a22b",
    "Qwen/Qwen3-30B-A3B-Thinking-2507": "qwen3-30b-a3b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "Qwen/Qwen3-8B": "qwen3-8b",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": "qwen3-coder-30b-a3b",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": "qwen3-coder-480b-a35b",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3-vl-8b",
    "deepseek-ai/DeepSeek-V3.1": "deepseek-v3",
    "google/gemma-3-12b-it": "gemma-3-12b",
    "google/gemma-3-27b-it": "gemma-3-27b",
    "meta-llama/Llama-3.1-405B-Instruct-FP8": "llama-3.1-405b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.3-70B-Instruct": "llama-3.3-70b",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": "llama-4-maverick",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "llama-4-scout",
    "nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16": "nemotron-nano-12b-v2",
    "openai/gpt-oss-120b": "gpt-oss-120b",
}

# The leaderboard doesn't say how long prompts are. These lengths are assumed, of the order of the
# data sets' own (LMArena chats, GPQA diamond, Sourcegraph fill-in-the-middle, frames of short
# videos); the fit corrects the cost of each. An image of 1000 x 800 pixels is assumed: 256 tokens
# for Gemma 3 whatever its size, tiles of 336 pixels and 144 tokens and one more for Llama 4,
# 32 x 32 pixels a token for Qwen3-VL, tiles of 512 pixels and 256 tokens for Nemotron.
PROMPTS = Prompts(
    datasets={
        "lm-arena-chat": Prompt(tokens=190.0, cost=1.0),
        "gpqa": Prompt(tokens=280.0, cost=1.0),
        "sourcegraph-fim": Prompt(tokens=3000.0, cost=1.0),
        "image-chat": Prompt(tokens=120.0, cost=1.0, pictures=True),
        "video-chat": Prompt(tokens=1500.0, cost=1.0, pictures=True),
    },
    image_tokens={"": 800.0, "gemma": 256.0, "llama-4": 1440.0, "qwen": 780.0, "nemotron": 1800.0},
    image_cost=1.0,
)

_FORMATS = {
    "bfloat16": Formats(),
    "fp8": Formats(weights=Precision.FP8, experts=Precision.FP8),
    "mxfp4": Formats(experts=Precision.MXFP4),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measured set-up."""

    model: str
    case: ServingCase
    joules_token: float
    tokens_s: float
    watts_chip: float

    @property
    def group(self) -> str:
        return f"{self.case.dataset} {self.case.chip.name} x {self.case.chips}"


SPLITS: dict[str, Callable[[Row], str]] = {
    # The goal's split.
    "model": lambda row: row.model,
    # Harder: models of one architecture, thinking or instructed, with eyes or without, together.
    "architecture": lambda row: row.case.architecture.name.replace("-vl-", "-").replace(
        "-coder-30b", "-30b"
    ),
    "chip": lambda row: row.case.chip.name,
}


def read_rows(data: Path) -> list[Row]:
    """Rows of the models above, from a folder of task files or one file of rows."""
    paths = sorted(data.glob("*.json")) if data.is_dir() else [data]
    raw = [row for path in paths for row in _raw(json.loads(path.read_text()))]
    catalogue = load_catalogue()
    chips = {name: catalogue.chip(name.lower()) for name in {row["gpu_model"] for row in raw}}
    return [_row(row, chips[row["gpu_model"]]) for row in raw]


def _raw(found: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON of several shapes
    if isinstance(found, dict):
        task = found.get("task")
        rows = [{"task": task, **row} for row in found.get("configurations", [])]
    else:
        rows = found
    wanted = ("model_id", "energy_per_token_joules", "max_num_seqs")
    return [row for row in rows if all(key in row for key in wanted) and row["model_id"] in MODELS]


def _row(row: dict[str, Any], chip) -> Row:  # noqa: ANN001 - the chip the row names
    chips, expert = row["num_gpus"], row["expert_parallel"]
    # The leaderboard counts expert parallelism instead of tensor parallelism where vLLM does both:
    # attention is always split over all GPUs.
    layout = Layout(tensor=chips, expert=expert, expert_tensor=chips // expert)
    case = ServingCase(
        architecture=find_model(MODELS[row["model_id"]]),
        chip=chip,
        layout=layout,
        formats=_FORMATS[row["weight_precision"]],
        input_tokens=PROMPTS.datasets[row["task"]].tokens,
        output_tokens=row["avg_output_len"],
        concurrency=float(row["max_num_seqs"]),
        chips=chips,
        framework="vllm",
        dataset=row["task"],
    )
    return Row(
        model=row["model_id"],
        case=case,
        joules_token=row["energy_per_token_joules"],
        tokens_s=row["output_throughput_tokens_per_sec"],
        watts_chip=row["avg_power_watts"] / chips,
    )
