"""How measured serving rows are split, fixed before any fit.

A model is judged by a fit that never saw it. `model` is the strictest of these: weights that share
an architecture (DeepSeek-R1 and V3) are one. `held_out` models and systems take part in nothing
here: rows of theirs that the sample's package carries are left alone, to be predicted unseen.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.data_serving import Measured
from benchmarks.silicon.serving_figures import FAMILIES

SEEN = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3",
    "nvidia/DeepSeek-R1-NVFP4",
    "nvidia/DeepSeek-V3.1-NVFP4",
    "MiniMaxAI/MiniMax-M2.5",
    "openai/gpt-oss-120b",
    "Qwen/Qwen3-32B",
    "nvidia/Qwen3-32B-NVFP4",
    "Qwen/Qwen3.5-397B-A17B",
    "meta-llama/Llama-3.1-8B-Instruct",
    "nvidia/Llama-3.1-8B-Instruct-FP8",
    "zhipuai/GLM-5",
)
"""Models of the sample that fits may see, as it names them."""

SPLITS: dict[str, Callable[[Measured], str]] = {
    "model": lambda each: each.model,
    "name": lambda each: each.published,
    "system": lambda each: each.system,
    "family": lambda each: next(name for name, chips in FAMILIES.items() if each.system in chips),
    "framework": lambda each: each.framework,
}


def folds(rows: Sequence[Measured], split: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each group of a split, and which rows are in it: those a fit for them must not see."""
    groups = np.array([SPLITS[split](each) for each in rows])
    for group in sorted(set(groups)):
        yield str(group), groups == group
