"""A stand-in for PyTorch with NVIDIA chips of a known speed, on a clock of its own."""

from types import SimpleNamespace
from typing import Any

from craton.kernel.clock import ManualClock

LAUNCH_S = 4e-6


class Tensor:
    """Knows its size; its work takes time on the clock of the machine it is on."""

    def __init__(self, torch: "Torch", count: int, kind: str) -> None:
        self.torch, self.count, self.kind = torch, count, kind

    def to(self, kind: str) -> "Tensor":
        return Tensor(self.torch, self.count, kind)

    def t(self) -> "Tensor":
        return self

    def copy_(self, other: "Tensor") -> None:
        self.torch.queue(2 * other.count / 3e12)

    def zero_(self) -> None:
        self.torch.queue(LAUNCH_S)


class Torch:
    """As much of PyTorch as is used, for chips of a known speed."""

    float32, bfloat16, float16, uint8, float8_e4m3fn = (
        "float32",
        "bfloat16",
        "float16",
        "uint8",
        "fp8",
    )
    tflops = {"float32": 50e12, "bfloat16": 500e12, "float16": 400e12, "fp8": 900e12}

    def __init__(self, clock: ManualClock, *, chips: int = 1, has_fp8: bool = True) -> None:
        self.clock, self.has_fp8 = clock, has_fp8
        self.queued_s = 0.0
        nccl = SimpleNamespace(all_reduce=self.all_reduce)
        self.cuda = SimpleNamespace(
            is_available=lambda: chips > 0,
            device_count=lambda: chips,
            synchronize=self.synchronize,
            get_device_properties=lambda _: SimpleNamespace(
                name="NVIDIA H200", total_memory=141 << 30
            ),
            nccl=nccl,
        )
        self.version = SimpleNamespace(cuda="13.0")

    def queue(self, seconds: float) -> None:
        self.queued_s += seconds

    def synchronize(self, device: object) -> None:
        assert str(device).removeprefix("cuda:").isdecimal()
        self.clock.advance(seconds=self.queued_s)
        self.queued_s = 0.0

    def full(
        self, shape: tuple[int, int], value: float, *, device: str, dtype: str = "float32"
    ) -> Tensor:
        return Tensor(self, shape[0] * shape[1], dtype)

    def ones(self, shape: Any, *, device: str, dtype: str = "float32") -> Tensor:
        return Tensor(self, shape if isinstance(shape, int) else 1, dtype)

    zeros = ones

    def empty_like(self, tensor: Tensor) -> Tensor:
        return tensor

    def matmul(self, left: Tensor, right: Tensor, *, out: Tensor) -> None:
        self.queue(2 * left.count**1.5 / self.tflops[left.kind])

    def _scaled_mm(self, left: Tensor, right: Tensor, **_: object) -> None:
        if not self.has_fp8:
            raise RuntimeError("torch._scaled_mm is only supported on CUDA devices of 8.9 and up")
        self.queue(2 * left.count**1.5 / self.tflops[left.kind])

    def all_reduce(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        chips = len(inputs)
        messages = 2 * (chips - 1)
        self.queue(messages * (inputs[0].count / chips / 200e9 + 3e-6))
