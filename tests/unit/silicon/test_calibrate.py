"""Probes of a device, with a clock and a device made for them; and one real, tiny run."""

import subprocess
from collections.abc import Sequence

import pytest

from craton.kernel.clock import ManualClock
from craton.silicon.calibrate import Samples, Work, measure, rates, timed
from craton.silicon.calibrate_numpy import NumpyDevice, command, read
from craton.silicon.precision import Precision


class Device:
    """A device whose work takes exactly so long, on the clock it is given."""

    formats: Sequence[Precision] = (Precision.BF16, Precision.FP8)

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._queued_s = 0.0

    def product(self, precision: Precision, size: int) -> Work | None:
        if precision is Precision.FP8:
            return None
        return lambda: self._queue(2.0 * size**3 / 4e12)

    def copy(self, size: int) -> Work:
        return lambda: self._queue(2.0 * size / 2e12)

    def least(self) -> Work:
        return lambda: self._queue(5e-6)

    def wait(self) -> None:
        self._clock.advance(seconds=self._queued_s)
        self._queued_s = 0.0

    def _queue(self, seconds: float) -> None:
        self._queued_s += seconds


def test_a_device_of_known_speed_is_measured_as_it_is() -> None:
    clock = ManualClock()
    found = measure(clock, Device(clock), matrix=1000, copy_bytes=10**9, repetitions=3)
    assert found.tflops[Precision.BF16].median == pytest.approx(4.0, rel=1e-3)
    assert found.copy_tb_s.median == pytest.approx(2.0, rel=1e-3)
    assert found.least_us.median == pytest.approx(5.0, rel=1e-3)
    assert len(found.copy_tb_s.values) == 3


def test_a_format_that_the_device_turns_out_not_to_have_is_left_out() -> None:
    clock = ManualClock()
    found = measure(clock, Device(clock), matrix=1000, copy_bytes=10**9, repetitions=1)
    assert set(found.tflops) == {Precision.BF16}


def test_short_work_is_repeated_until_a_sample_takes_twenty_milliseconds() -> None:
    clock = ManualClock()
    starts: list[int] = []

    def work() -> None:
        starts.append(clock.monotonic_ns())
        clock.advance(seconds=1e-3)

    assert timed(clock, work, lambda: None, repetitions=2).values == (1e-3, 1e-3)
    # Warmed up once; 1, 2, 4 … 32 times to find out how often; then two samples of 32.
    assert len(starts) == 1 + 63 + 2 * 32


def test_work_that_takes_no_time_at_all_ends_and_isnt_infinitely_fast() -> None:
    seconds = timed(ManualClock(), lambda: None, lambda: None, repetitions=1)
    assert rates(seconds, 1.0).median > 0


def test_one_disturbed_sample_doesnt_move_the_figure_and_is_told() -> None:
    samples = Samples((1.0, 1.1, 9.0))
    assert samples.median == 1.1
    assert samples.told("us") == "median of 3, from 1 to 9 us"


def test_numpy_measures_this_machine_in_a_process_of_its_own() -> None:
    asked = command(1, matrix=64, copy_bytes=1 << 20, repetitions=2)
    assert "OPENBLAS_NUM_THREADS=1" in asked
    found = read(subprocess.run(asked, capture_output=True, check=True).stdout)
    assert found.tflops[Precision.FP32].median > 1e-4
    assert found.copy_tb_s.median > 1e-5
    assert 0 < found.least_us.median < 1e4


def test_numpy_copies_every_byte_whatever_the_threads() -> None:
    device = NumpyDevice(3)
    work = device.copy(1000)
    work()
    targets = work.__closure__
    assert targets is not None
    arrays = [
        part
        for cell in targets
        if isinstance(cell.cell_contents, list)
        for part in cell.cell_contents
    ]
    assert sum(int(part.sum()) for part in arrays) == 2000
