"""The variables by which a process is shown the chips it may use, and no others."""

from collections.abc import Mapping, Sequence

from craton.fleet.records import WHOLE_MILLI, Part
from craton.fleet.run_records import PROCESSOR

NEURON_CORES: Mapping[str, int] = {
    "inferentia2": 2,
    "trainium1": 2,
    "trainium2": 4,
    "trainium3": 4,
}
"""Logical cores a chip, with two physical ones each from Trainium2 on, as is the default there
(LNC=2). Source: AWS Neuron documentation, "Logical NeuronCore configuration", read 2026-11-23."""


def chip_environment(chip: str, share: Sequence[int]) -> dict[str, str]:
    """What shows a rank its chips of a host; numbers count the host's chips from 0."""
    numbers = ",".join(str(number) for number in share)
    found = {"CRATON_CHIPS": numbers}
    if chip == PROCESSOR:
        return found
    cores = NEURON_CORES.get(chip)
    if cores is None:
        return {**found, "CUDA_VISIBLE_DEVICES": numbers}
    seen = ",".join(f"{each * cores}-{each * cores + cores - 1}" for each in share)
    return {**found, "NEURON_RT_VISIBLE_CORES": seen}


def part_environment(chip: str, part: Part | None) -> dict[str, str]:
    """What tells a workload which part it has of a divided host. Nothing holds it to that."""
    if part is None:
        return {}
    found = {
        "CRATON_CHIP_MILLI": str(part.chip_milli),
        "CRATON_CPU_MILLI": str(part.cpu_milli or 0),
        "CRATON_MEMORY_MIB": str(part.memory_mib or 0),
    }
    if chip != PROCESSOR and chip not in NEURON_CORES and part.chip_milli < WHOLE_MILLI:
        # NVIDIA's MPS, where its daemon runs, gives a process so much of the multiprocessors.
        found["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(max(1, part.chip_milli // 10))
    return found
