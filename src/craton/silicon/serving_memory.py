"""Which batches fit: weights, cache and room to work against a chip's memory."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture
from craton.silicon.chip import Chip
from craton.silicon.layout import Layout
from craton.silicon.memory import GIB, sequence_bytes, weight_bytes
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision

USABLE = 0.9
"""Of a chip's memory, what vLLM gives itself by default (`gpu_memory_utilization`, engine
arguments, vLLM 0.19); SGLang and TensorRT-LLM come to about the same."""

FRAGMENTATION = 0.04
"""Of the cache: half a block a sequence, and blocks held for what was just let go."""

CONTEXT_GIB = 1.0
"""Of a chip: the driver's context, communication buffers, graphs. An estimate."""


class Memory(msgspec.Struct, frozen=True):
    """What a rank's chip holds, in GiB of the whole chip."""

    weights_gib: float
    cache_gib: float
    """All sequences that run at once, at their mean length when they end."""
    work_gib: float
    """Activations of the largest pass, and the context."""

    @property
    def total_gib(self) -> float:
        """All of it."""
        return self.weights_gib + self.cache_gib + self.work_gib


def usual_cache(framework: str | None, weights: Precision, chip: Chip) -> Precision:
    """The cache's format where nobody says: what servers are usually set to.

    8 bits where weights have 8 or fewer and TensorRT-LLM serves them (its quantised checkpoints say
    so) or the chip has a 4-bit format (InferenceX sets it on every such chip); 16 otherwise.
    """
    narrow = weights.bytes < Precision.BF16.bytes
    from_checkpoint = "tensorrt" in (framework or "").casefold() or "trt" in (framework or "")
    if narrow and (from_checkpoint or Precision.NVFP4 in chip.tflops):
        return Precision.FP8
    return Precision.BF16


def batch_limit(
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    chip: Chip,
    *,
    tokens: float,
    held: float,
    chunk_tokens: int,
) -> float:
    """Sequences of one replica that fit at once, each holding `held` of its `tokens` on the mean.

    A server admits more sequences than fit at their full length, because they don't all reach it
    together; 0 where the weights alone don't fit.
    """
    free = chip.memory_gib.value * USABLE * GIB / layout.ranks_per_chip
    free -= weight_bytes(architecture, layout, formats)
    free -= work_bytes(architecture, layout, formats, chunk_tokens)
    one = sequence_bytes(architecture, layout, formats, held) * (1.0 + FRAGMENTATION)
    whole = sequence_bytes(architecture, layout, formats, tokens)
    if free < whole:
        return 0.0
    if one <= 0.0:
        return np.inf
    return max(float(np.floor(free / one)), 1.0) * layout.data


def work_bytes(
    architecture: Architecture, layout: Layout, formats: Formats, chunk_tokens: int
) -> float:
    """Activations of a pass over `chunk_tokens`, logits of its sequences left out; context."""
    widest = 6.0 * architecture.hidden
    activations = chunk_tokens * widest * formats.activations.bytes
    return activations + CONTEXT_GIB * GIB / layout.ranks_per_chip


def memory_of(
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    *,
    sequences: float,
    tokens: float,
    chunk_tokens: int,
) -> Memory:
    """What a chip holds with `sequences` in one replica, `tokens` long on the mean."""
    ranks = layout.ranks_per_chip / GIB
    cache = sequence_bytes(architecture, layout, formats, tokens) * (1.0 + FRAGMENTATION)
    return Memory(
        weights_gib=weight_bytes(architecture, layout, formats) * ranks,
        cache_gib=sequences / layout.data * cache * ranks,
        work_gib=work_bytes(architecture, layout, formats, chunk_tokens) * ranks,
    )


def fits_in_memory(
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    chip: Chip,
    *,
    sequences: NDArray[np.float64] | float,
    tokens: float,
    chunk_tokens: int = 8192,
) -> NDArray[np.bool_]:
    """Whether that many sequences of a replica, `tokens` long when they end, fit at once."""
    free = chip.memory_gib.value * USABLE * GIB / layout.ranks_per_chip
    free -= weight_bytes(architecture, layout, formats)
    free -= work_bytes(architecture, layout, formats, chunk_tokens)
    one = sequence_bytes(architecture, layout, formats, tokens) * (1.0 + FRAGMENTATION)
    each_group = np.ceil(np.asarray(sequences, dtype=np.float64) / layout.data)
    return np.asarray(each_group * one <= free)


def refuse(
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    chip: Chip,
    *,
    tokens: float,
    chunk_tokens: int,
) -> BadRequest:
    """The error for a set-up in which not one sequence fits."""
    needed = memory_of(
        architecture,
        layout,
        formats,
        sequences=layout.data,
        tokens=tokens,
        chunk_tokens=chunk_tokens,
    )
    return BadRequest(
        f"{architecture.name} on {layout.chips} {chip.name} does not fit: it needs"
        f" {needed.total_gib / USABLE:.0f} GiB a chip ({needed.weights_gib:.0f} of weights), and"
        f" {chip.name} has {chip.memory_gib.value:.0f}; use more chips a replica or a narrower"
        " precision"
    )
