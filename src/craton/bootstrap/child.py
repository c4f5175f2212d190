"""What every child process of `craton up` does first: a loop, signals, and an eye on its parent.

A child reads from a pipe on which nothing is ever written; its end means that the supervisor is
gone, however it went, and then the child goes too.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from craton.kernel.errors import CratonError
from craton.kernel.log import Log

FATAL_STATUS = 78
"""EX_CONFIG of sysexits.h: starting this child again would not help."""

Main = Callable[[asyncio.Event], Awaitable[None]]


class _ParentWatch(asyncio.Protocol):
    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._stop.set()


def settle() -> None:
    """Call once started: keep what start-up made out of every garbage collection to come.

    A worker holds some 200,000 objects of service models and codecs that never die, while a request
    makes about a hundred that die by reference counting. Measured with the default thresholds, a
    fifth of a busy worker's time went into walking the former.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _run(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await loop.connect_read_pipe(lambda: _ParentWatch(stop), sys.stdin)
    await main(stop)


def run(main: Main, log: Log) -> None:
    """Run a child's main function until it returns; it is told to stop by the event."""
    try:
        uvloop.run(_run(main))
    except CratonError as error:
        log.warning("fatal", error=error.message)
        sys.exit(FATAL_STATUS)
    finally:
        log.flush()
