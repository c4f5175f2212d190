"""The locks of this machine's chips: whatever anybody believes, one workload a chip.

A lock file holds the highest fencing token that its chip was used with. A shim waits until the one
before it is gone, and turns away if somebody with a higher token was there.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from craton.kernel.errors import AccessDenied, Conflict

WAIT_S = 30.0
"""For a workload to go whose lease is over; longer than any grace that is left by then."""
_POLL_S = 0.1


class ChipLocks:
    """Holds the locks of some chips, from `take` until it is left."""

    def __init__(self, folder: Path, names: tuple[str, ...], token: int) -> None:
        self._folder = folder
        self._names = tuple(sorted(names))  # one order for all, so that two never wait in a ring
        self._token = token
        self._handles: list[int] = []

    async def take(self, is_given_up: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Take them all; Conflict if one stays taken, AccessDenied if the token is stale.

        Waiting ends, with what was taken so far, when it is given up.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        by = loop.time() + wait_s
        for name in self._names:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            handle = os.open(self._folder / name, flags, 0o600)
            self._handles.append(handle)
            while not lock_now(handle):
                if is_given_up():
                    return
                if loop.time() >= by:
                    raise Conflict(
                        f"The chip {name} is still used by another workload, {wait_s:g} s after "
                        "its lease ended. `craton run ps` lists what runs."
                    )
                await asyncio.sleep(_POLL_S)
            self._show(name, handle)

    def _show(self, name: str, handle: int) -> None:
        seen = int(os.pread(handle, 32, 0) or b"0")
        if seen > self._token:
            raise AccessDenied(
                f"The chip {name} was used with the fencing token {seen}, which is higher than "
                f"this lease's {self._token}: somebody else holds it now. (If the database was "
                f"restored from a backup, remove {self._folder / name}.)"
            )
        text = b"%d" % self._token
        os.pwrite(handle, text, 0)
        os.ftruncate(handle, len(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            os.close(handle)
        self._handles = []


def lock_now(handle: int) -> bool:
    """Lock a file for as long as its handle is open; False where another has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
