"""Which kind of software trains: what a case says of it, and what is read between its lines.

Training software differs in what it overlaps, fuses and keeps far more than in what it computes,
so coefficients are fitted by family. A case that names no framework is put in a family by rules
that are stated here, once.
"""

import re
from enum import StrEnum

from craton.silicon.case import Sharding, TrainingCase
from craton.silicon.precision import Precision


class Family(StrEnum):
    """Software with the same habits."""

    MEGATRON = "megatron"
    """Megatron-Core and what is built on it: fused kernels, overlapped communication."""
    MEGATRON_2022 = "megatron-2022"
    """Megatron-LM before fused attention: fp16, the scores of attention written out."""
    FSDP = "fsdp"
    """PyTorch's fully sharded data parallelism of 2023 (llm-foundry): eager kernels."""
    NEURONX = "neuronx"
    """NeuronX Distributed and Nemo-Megatron for Neuron: compiled graphs."""


_FIRST_FUSED = 2023
"""Chips from this year on have only been trained on with fused attention."""

_RELEASE = re.compile(r"(\d{2})\.(\d{2})(?:\.(\d{1,2}))?")


def family_of(case: TrainingCase) -> Family:
    """The family a case belongs to: by its framework's name, else by its chip and its recipe.

    Without a name: AWS chips mean NeuronX; fp16 on a chip of 2022 or before means the Megatron of
    that time; full sharding without a pipeline on such a chip means FSDP; else Megatron.
    """
    name = (case.framework or "").lower()
    if "neuron" in name:
        return Family.NEURONX
    if any(word in name for word in ("foundry", "mosaic", "composer", "pytorch", "torchtitan")):
        return Family.FSDP
    fp16 = case.precision is Precision.FP16
    if any(word in name for word in ("megatron", "nemo", "bridge", "deepspeed")):
        return Family.MEGATRON_2022 if fp16 else Family.MEGATRON
    if case.chip.vendor == "AWS":
        return Family.NEURONX
    early = case.chip.launch is not None and case.chip.launch.value < _FIRST_FUSED
    if early and fp16:
        return Family.MEGATRON_2022
    if early and case.sharding is Sharding.ZERO3 and case.layout.pipeline == 1:
        return Family.FSDP
    return Family.MEGATRON


def release_year(version: str | None) -> float | None:
    """The date of a release as NVIDIA numbers them ("26.04.01": April 2026), in years."""
    found = _RELEASE.search(version or "")
    if found is None:
        return None
    patch = int(found.group(3) or 0) / 2
    return 2000 + int(found.group(1)) + (int(found.group(2)) - 1 + patch) / 12
