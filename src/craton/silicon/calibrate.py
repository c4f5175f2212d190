"""Measures a device: how fast it multiplies, how fast it copies, how long the least thing takes.

A device is whatever can prepare such work (`calibrate_numpy` for this machine's processor,
`calibrate_torch` for NVIDIA chips); time is an argument. What comes out are samples, from which
`calibrate_file` writes a chip file.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from craton.kernel.clock import Clock
from craton.silicon.precision import Precision

REPETITIONS = 7
SAMPLE_NS = 20_000_000
"""A sample repeats its work until it takes this long, so that reading the clock doesn't count."""
REPEATS_MAX = 1 << 20

Work = Callable[[], object]
"""One operation, ready to be started; its operands are in place."""


class Device(Protocol):
    """Something that computes. Work may be started and not be over: `wait` ends when it is."""

    @property
    def formats(self) -> Sequence[Precision]:
        """Formats it can be asked to multiply in."""
        ...

    def product(self, precision: Precision, size: int) -> Work | None:
        """A product of two square matrices; None where the device turns out not to have it."""
        ...

    def copy(self, size: int) -> Work:
        """A copy of `size` bytes to another place in the same memory."""
        ...

    def least(self) -> Work:
        """The smallest operation there is."""
        ...

    def wait(self) -> None:
        """Wait until all that was started is over."""
        ...


class Samples(msgspec.Struct, frozen=True):
    """One quantity, measured several times. The unit is where the samples stand."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one: what a machine with other things to do disturbs least."""
        return statistics.median(self.values)

    def told(self, unit: str) -> str:
        """The spread, in words."""
        return (
            f"median of {len(self.values)}, from {min(self.values):.4g} to"
            f" {max(self.values):.4g} {unit}"
        )


class DeviceSamples(msgspec.Struct, frozen=True):
    """What was measured of one device."""

    tflops: Mapping[Precision, Samples]
    """10^12 operations a second in a product of large square matrices; integers count too."""
    copy_tb_s: Samples
    """10^12 bytes a second, those read and those written."""
    least_us: Samples
    """Microseconds an operation takes however small it is."""


def timed(
    clock: Clock, work: Work, wait: Callable[[], None], *, repetitions: int = REPETITIONS
) -> Samples:
    """Seconds of one operation: it is warmed up, then repeated in samples of 20 ms or more."""
    work()
    wait()
    repeats = 1
    while _elapsed_ns(clock, work, wait, repeats) < SAMPLE_NS and repeats < REPEATS_MAX:
        repeats *= 2
    samples = [_elapsed_ns(clock, work, wait, repeats) for _ in range(repetitions)]
    return Samples(tuple(max(sample, 1) / repeats / 1e9 for sample in samples))


def _elapsed_ns(clock: Clock, work: Work, wait: Callable[[], None], repeats: int) -> int:
    begun = clock.monotonic_ns()
    for _ in range(repeats):
        work()
    wait()
    return clock.monotonic_ns() - begun


def rates(seconds: Samples, amount: float) -> Samples:
    """`amount` in each of these times: operations or bytes a second."""
    return Samples(tuple(amount / each for each in seconds.values))


def measure(
    clock: Clock,
    device: Device,
    *,
    matrix: int,
    copy_bytes: int,
    repetitions: int = REPETITIONS,
) -> DeviceSamples:
    """Every quantity of a device. `copy_bytes` should be many times its caches."""
    tflops: dict[Precision, Samples] = {}
    for precision in device.formats:
        product = device.product(precision, matrix)
        if product is not None:
            seconds = timed(clock, product, device.wait, repetitions=repetitions)
            tflops[precision] = rates(seconds, 2.0 * matrix**3 / 1e12)
    copied = timed(clock, device.copy(copy_bytes), device.wait, repetitions=repetitions)
    least = timed(clock, device.least(), device.wait, repetitions=repetitions)
    return DeviceSamples(tflops, rates(copied, 2.0 * copy_bytes / 1e12), in_microseconds(least))


def in_microseconds(seconds: Samples) -> Samples:
    """The same times in microseconds."""
    return Samples(tuple(each * 1e6 for each in seconds.values))
