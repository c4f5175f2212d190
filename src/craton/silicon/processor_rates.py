"""What the embedded engine reaches on one machine, as `craton chips calibrate` found it there.

A product of two large matrices doesn't tell it: the engine multiplies weights of 4 or 8 bits with
kernels of its own. These are the engine's rates, not the processor's.
"""

import msgspec

from craton.silicon.figure import Figure
from craton.silicon.precision import Precision


class EngineRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates and fixed times of an engine on all its threads; None where too small to be told."""

    software: str
    model: str
    """What it was measured with."""
    weights: Precision
    """The format of that model's layers."""
    threads: int
    step_tokens: int
    """Tokens of prompts and answers that one step takes at most."""
    slots: int
    """Answers it grows at once."""
    pool_tokens: int
    """Tokens its cache holds over all slots."""
    stored: Figure
    """Bytes of the weights, as a multiple of what their formats' names say."""
    multiply_tflops: Figure
    """10^12 operations a second on weights."""
    read_tb_s: Figure
    """10^12 bytes a second, reading weights."""
    prefill_attention_tflops: Figure
    decode_attention_tflops: Figure
    layer_us: Figure | None = None
    """Fixed, each layer of a step."""
    sequence_us: Figure | None = None
    """Each token that is chosen: sampling it, and sending it."""
    cell_ns: Figure | None = None
    """A token of a prompt passing over another request's cell of the cache, a head and layer."""
    request_ms: Figure | None = None
    """Each request: its template, its tokens, its way there and back."""
    spread: float = 0.0
    """80 % of what it was fitted to lies within this natural logarithm of the fit, either way."""


def seconds_of(figure: Figure | None, unit: float) -> float:
    """A fixed time in seconds, 0 where it was too small to be told."""
    return 0.0 if figure is None else figure.value * unit
