"""The figures a serving fit looks for: what they start from, and how far data may move them.

Every figure has a mean over all families (or frameworks), and a deviation for each; both are
logarithms held by normal priors. A family with little data keeps close to the mean, and a chip or a
framework nobody measured gets the mean itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craton.silicon.efficiency import OTHER, Family, Software
from craton.silicon.operations import Kind
from craton.silicon.serving_demand import WIDTHS, WORK

Numbers = NDArray[np.float64]

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "hopper": ("h100", "h200"),
    "blackwell": ("b200", "b300", "gb200", "gb300"),
}
FRAMEWORKS = ("trtllm", "sglang", "vllm")
CHUNK_TOKENS = {"sglang": 16384, OTHER: 8192}
"""What they take at most in a pass on such chips: InferenceX's settings of SGLang; the defaults."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its usual value, how sure that is, and how far groups may differ."""

    start: float
    doubt: float
    """Standard deviation of its logarithm."""
    apart: float
    """Of a group's deviation from the mean."""
    groups: tuple[str, ...]


def figures() -> dict[str, Figure]:
    """All of them. What multiplying reaches starts from measured large GEMMs (0.50-0.61 of peak on
    H100 fp8, 0.39-0.44 on B200 fp4, 0.78-0.90 on A100 bf16); what memory reaches, from STREAM-like
    copies (0.8-0.9); launches, from a few microseconds a kernel under CUDA graphs.
    """
    families, frameworks = tuple(FAMILIES), FRAMEWORKS
    found: dict[str, Figure] = {}
    multiply = {Kind.GEMM: (0.65, 0.55, 0.45), Kind.EXPERTS: (0.45, 0.4, 0.35)}
    for kind in WORK:
        for width, start in zip(WIDTHS, multiply.get(kind, (0.4, 0.4, 0.4)), strict=True):
            found[f"multiply-{kind}-{width}"] = Figure(start, 0.3, 0.2, families)
        found[f"memory-{kind}"] = Figure(0.7, 0.25, 0.15, families)
        kernel = {Kind.GEMM: 2.5, Kind.ELEMENTWISE: 1.2}.get(kind, 5.0)
        found[f"kernel-{kind}"] = Figure(kernel, 0.4, 0.2, frameworks)
    found["kernel-collective"] = Figure(3.0, 0.4, 0.2, frameworks)
    found["links"] = Figure(0.6, 0.3, 0.15, families)
    found["latency"] = Figure(1.5, 0.4, 0.2, families)
    found["kernel"] = Figure(1.0, 0.01, 0.2, families)
    found["launch"] = Figure(50.0, 0.5, 0.4, frameworks)
    found["step"] = Figure(0.6, 0.6, 0.4, frameworks)
    found["sequence"] = Figure(4.0, 0.8, 0.5, frameworks)
    found["request"] = Figure(10.0, 0.8, 0.5, frameworks)
    found["input"] = Figure(4.0, 0.6, 0.4, frameworks)
    found["wait"] = Figure(0.7, 0.5, 0.6, frameworks)
    found["prompt"] = Figure(4.0, 0.6, 0.5, frameworks)
    found["token"] = Figure(20.0, 0.6, 0.5, frameworks)
    found["first_wave"] = Figure(0.12, 0.5, 0.5, frameworks)
    found["fused"] = Figure(0.6, 0.4, 0.3, frameworks)
    return found


@dataclass(frozen=True, slots=True)
class Space:
    """How a vector of unknowns makes figures: means first, then deviations."""

    names: tuple[str, ...]
    """`figure|group`, one for each group."""
    mean: NDArray[np.intp]
    own: NDArray[np.intp]
    start: Numbers
    doubt: Numbers
    shared: tuple[str, ...]

    def expand(self, unknowns: Numbers) -> Numbers:
        """The value of every figure in every group."""
        return np.exp(unknowns[self.mean] + unknowns[self.own])


def space() -> Space:
    """The unknowns of `figures`."""
    names: list[str] = []
    mean: list[int] = []
    start: list[float] = []
    doubt: list[float] = []
    found = figures()
    for position, (name, figure) in enumerate(found.items()):
        start.append(np.log(figure.start))
        doubt.append(figure.doubt)
        for group in figure.groups:
            names.append(f"{name}|{group}")
            mean.append(position)
    for name in names:
        start.append(0.0)
        doubt.append(found[name.split("|")[0]].apart)
    own = np.arange(len(found), len(start))
    return Space(tuple(names), np.array(mean), own, np.array(start), np.array(doubt), tuple(found))


def unpack(unknowns: Numbers, of: Space) -> tuple[dict[str, Family], dict[str, Software]]:
    """The figures as the package reads them."""
    value = dict(zip(of.names, of.expand(unknowns), strict=True))
    shared = dict(zip(of.shared, np.exp(unknowns[: len(of.shared)]), strict=True))

    def figure(name: str, group: str) -> float:
        digits = 4
        found = shared[name] if group == OTHER else value[f"{name}|{group}"]
        return float(f"{found:.{digits}g}")

    families = {
        name: Family(
            chips=FAMILIES.get(name, ()),
            multiply={
                f"{kind}-{width}": figure(f"multiply-{kind}-{width}", name)
                for kind in WORK
                for width in WIDTHS
            },
            memory={str(kind): figure(f"memory-{kind}", name) for kind in WORK},
            links=figure("links", name),
            latency=figure("latency", name),
            kernel=figure("kernel", name),
        )
        for name in (*FAMILIES, OTHER)
    }
    kernels = (*(str(kind) for kind in WORK), "collective")
    software = {
        name: Software(
            kernel_us={kind: figure(f"kernel-{kind}", name) for kind in kernels},
            launch_us=figure("launch", name),
            step_ms=figure("step", name),
            sequence_us=figure("sequence", name),
            request_ms=figure("request", name),
            input_us=figure("input", name),
            wait_steps=figure("wait", name),
            prompt_us=figure("prompt", name),
            token_us=figure("token", name),
            fused=min(figure("fused", name), 1.0),
            first_wave=min(figure("first_wave", name), 1.0),
            chunk_tokens=CHUNK_TOKENS.get(name, CHUNK_TOKENS[OTHER]),
        )
        for name in (*FRAMEWORKS, OTHER)
    }
    return families, software
