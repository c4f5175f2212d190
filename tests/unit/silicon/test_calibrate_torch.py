"""NVIDIA chips through PyTorch, which isn't here: a stand-in that answers as PyTorch would."""

import sys
from types import SimpleNamespace

import pytest

from craton.kernel.clock import ManualClock
from craton.silicon import calibrate_torch
from craton.silicon.calibrate import measure
from craton.silicon.calibrate_torch import TorchDevice, all_reduce_gb_s, load
from craton.silicon.precision import Precision
from tests.fakes.torch_chips import Torch


def test_a_chip_of_known_speed_is_measured_as_it_is() -> None:
    clock = ManualClock()
    found = measure(
        clock, TorchDevice(Torch(clock), 0), matrix=8192, copy_bytes=1 << 30, repetitions=2
    )
    told = {str(each): samples.median for each, samples in found.tflops.items()}
    assert told == pytest.approx({"fp32": 50, "bf16": 500, "fp16": 400, "fp8": 900}, rel=1e-3)
    assert found.copy_tb_s.median == pytest.approx(3.0, rel=1e-3)
    assert found.least_us.median == pytest.approx(4.0, rel=1e-3)


def test_a_chip_or_a_pytorch_without_products_in_eight_bits_is_measured_in_the_others() -> None:
    clock = ManualClock()
    old = TorchDevice(Torch(clock, has_fp8=False), 0)
    assert old.product(Precision.FP8, 64) is None
    assert old.product(Precision.BF16, 64) is not None
    earlier = SimpleNamespace()
    assert TorchDevice(earlier, 0).product(Precision.FP8, 64) is None


def test_one_chip_has_nobody_to_reduce_with() -> None:
    clock = ManualClock()
    assert all_reduce_gb_s(Torch(clock), clock) is None


@pytest.mark.parametrize("chips", [2, 8])
def test_links_are_measured_as_what_one_chip_sends_in_a_ring(chips: int) -> None:
    clock = ManualClock()
    found = all_reduce_gb_s(Torch(clock, chips=chips), clock, repetitions=2)
    assert found is not None
    count, gb_s, latency_us = found
    assert count == chips
    size = calibrate_torch.REDUCE_BYTES / chips
    assert gb_s.median == pytest.approx(size / (size / 200e9 + 3e-6) / 1e9, rel=1e-3)
    least = calibrate_torch.LEAST_REDUCE_BYTES / chips / 200e9 * 1e6
    assert latency_us.median == pytest.approx(3.0 + least, rel=1e-3)


@pytest.mark.parametrize(
    ("cuda", "is_there", "found"),
    [("13.0", True, True), ("13.0", False, False), (None, True, False)],
)
def test_pytorch_counts_only_where_it_sees_an_nvidia_chip(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, is_there: bool, found: bool
) -> None:
    seen = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: is_there), version=SimpleNamespace(cuda=cuda)
    )
    monkeypatch.setitem(sys.modules, "torch", seen)
    assert (load() is seen) is found


def test_a_machine_without_pytorch_has_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what Python takes for "not to be found"
    assert load() is None
