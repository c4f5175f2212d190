"""NVIDIA chips as devices, through PyTorch where it is installed.

PyTorch is no dependency: `load` looks for it, and everything else takes it as an argument. On a
machine without it, or without such a chip, there is nothing to measure and nothing fails.
"""

import importlib
from collections.abc import Sequence
from typing import Any

from craton.kernel.clock import Clock
from craton.silicon.calibrate import REPETITIONS, Samples, Work, in_microseconds, rates, timed
from craton.silicon.precision import Precision

MATRIX = 8192
COPY_BYTES = 1 << 30
REDUCE_BYTES = 1 << 28
LEAST_REDUCE_BYTES = 1 << 10

Torch = Any
"""The module `torch`: it is not installed where this is checked, so it has no type here."""

_NAMES = {Precision.FP32: "float32", Precision.BF16: "bfloat16", Precision.FP16: "float16"}


def load() -> Torch | None:
    """PyTorch, if it is installed and sees an NVIDIA chip."""
    try:
        torch: Torch = importlib.import_module("torch")
    except ImportError:
        return None
    return torch if torch.cuda.is_available() and torch.version.cuda is not None else None


class TorchDevice:
    """One NVIDIA chip. Work is queued; `wait` ends when the queue is empty."""

    formats: Sequence[Precision] = (
        Precision.FP32,
        Precision.BF16,
        Precision.FP16,
        Precision.FP8,
    )

    def __init__(self, torch: Torch, index: int) -> None:
        self._torch = torch
        self._device = f"cuda:{index}"

    def product(self, precision: Precision, size: int) -> Work | None:
        """A product in the tensor cores; 8 bits only where this PyTorch and chip have them."""
        torch = self._torch
        if precision is Precision.FP8:
            return self._product_fp8(size)
        kind = getattr(torch, _NAMES[precision])
        left = torch.full((size, size), 0.5, dtype=kind, device=self._device)
        right = torch.full((size, size), 0.25, dtype=kind, device=self._device)
        result = torch.empty_like(left)
        return lambda: torch.matmul(left, right, out=result)

    def _product_fp8(self, size: int) -> Work | None:
        torch = self._torch
        if not hasattr(torch, "_scaled_mm") or not hasattr(torch, "float8_e4m3fn"):
            return None
        left = torch.full((size, size), 0.5, device=self._device).to(torch.float8_e4m3fn)
        right = torch.full((size, size), 0.25, device=self._device).to(torch.float8_e4m3fn).t()
        scale = torch.ones((), device=self._device)

        def work() -> object:
            return torch._scaled_mm(  # noqa: SLF001 - PyTorch's only product in 8 bits
                left, right, scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16
            )

        try:
            work()
        except RuntimeError:
            return None  # chips before Ada have no such product
        return work

    def copy(self, size: int) -> Work:
        """A copy within the chip's memory."""
        source = self._torch.ones(size, dtype=self._torch.uint8, device=self._device)
        target = self._torch.empty_like(source)
        return lambda: target.copy_(source)

    def least(self) -> Work:
        """Setting one number: what a launch costs."""
        one = self._torch.zeros(1, device=self._device)
        return one.zero_

    def wait(self) -> None:
        """Wait for the chip."""
        self._torch.cuda.synchronize(self._device)


def all_reduce_gb_s(
    torch: Torch, clock: Clock, *, repetitions: int = REPETITIONS
) -> tuple[int, Samples, Samples] | None:
    """Between all chips of the machine: how many; GB/s one sends; microseconds of a message.

    None with a single chip. A ring is assumed: of n chips each sends 2 (n - 1) messages of a n-th
    of the data, one after the other.
    """
    chips: int = torch.cuda.device_count()
    if chips < 2:
        return None

    def reduce(size: int) -> Samples:
        shares = [
            torch.ones(size, dtype=torch.uint8, device=f"cuda:{index}") for index in range(chips)
        ]

        def wait() -> None:
            for index in range(chips):
                torch.cuda.synchronize(index)

        return timed(
            clock,
            lambda: torch.cuda.nccl.all_reduce(shares, shares),
            wait,
            repetitions=repetitions,
        )

    messages = 2 * (chips - 1)
    sent = rates(reduce(REDUCE_BYTES), messages / chips * REDUCE_BYTES / 1e9)
    least = in_microseconds(reduce(LEAST_REDUCE_BYTES))
    return chips, sent, Samples(tuple(each / messages for each in least.values))
