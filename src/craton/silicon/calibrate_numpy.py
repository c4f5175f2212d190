"""This machine's processor as a device: NumPy's products, and copies on several threads.

NumPy reads how many threads to multiply on once, when it loads. So each count of threads is
measured in a process of its own, with that count in its environment:
`python -m craton.silicon.calibrate_numpy THREADS MATRIX COPY_BYTES REPETITIONS` prints the samples.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from craton.kernel.clock import SystemClock
from craton.silicon.calibrate import DeviceSamples, Work, measure
from craton.silicon.precision import Precision

MODULE = "craton.silicon.calibrate_numpy"
MATRIX = 2048
COPY_BYTES = 256 * 1024 * 1024
"""Many times the caches of a socket."""

# Each of the libraries that NumPy may be built on reads one of these.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class NumpyDevice:
    """The processor. Products run on as many threads as NumPy was loaded with."""

    formats: Sequence[Precision] = (Precision.FP32,)
    """NumPy has fast products in 32 and 64 bits only."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def product(self, precision: Precision, size: int) -> Work:
        """A product in 32 bits."""
        assert precision is Precision.FP32, f"NumPy has no fast product in {precision}"
        left = np.full((size, size), 0.5, dtype=np.float32)
        right = np.full((size, size), 0.25, dtype=np.float32)
        result = np.empty_like(left)
        return lambda: np.matmul(left, right, out=result)

    def copy(self, size: int) -> Work:
        """A copy in equal parts, one a thread; NumPy lets go of Python's lock meanwhile."""
        source = np.ones(size, dtype=np.uint8)
        target = np.zeros(size, dtype=np.uint8)  # touched, so that its pages are there
        sources = np.array_split(source, self._threads)
        targets = np.array_split(target, self._threads)
        return lambda: list(self._pool.map(np.copyto, targets, sources))

    def least(self) -> Work:
        """A product of two single numbers: what a call costs."""
        one = np.ones((1, 1), dtype=np.float32)
        result = np.empty_like(one)
        return lambda: np.matmul(one, one, out=result)

    def wait(self) -> None:
        """Nothing runs on after its call."""


def command(
    threads: int, *, matrix: int, copy_bytes: int, repetitions: int, python: str = sys.executable
) -> list[str]:
    """The command that measures on some threads; its standard output is for `read`."""
    settings = (f"{name}={threads}" for name in _THREADS)
    sizes = (str(each) for each in (threads, matrix, copy_bytes, repetitions))
    return ["env", *settings, python, "-m", MODULE, *sizes]


def read(output: str | bytes) -> DeviceSamples:
    """What `command` printed."""
    return msgspec.json.decode(output, type=DeviceSamples)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the samples as JSON."""
    threads, matrix, copy_bytes, repetitions = (int(each) for each in arguments)
    samples = measure(
        SystemClock(),
        NumpyDevice(threads),
        matrix=matrix,
        copy_bytes=copy_bytes,
        repetitions=repetitions,
    )
    sys.stdout.write(msgspec.json.encode(samples).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
