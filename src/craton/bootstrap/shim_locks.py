"""The locks of this machine's chips: whatever anybody believes, one workload a chip.

A lock file holds the highest fencing token that its chip was used with. A shim waits until the one
before it is gone, and turns away if somebody with a higher token was there.

Workloads on parts of a chip share its lock. In what order they come means nothing, so that one of
them is turned away only by a higher token of one that had the whole chip; that of the highest part
is kept beside the lock, for those who want the whole chip.
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

    def __init__(
        self, folder: Path, names: tuple[str, ...], token: int, *, is_part: bool = False
    ) -> None:
        """`is_part`: others may have parts of the same chips meanwhile."""
        self._folder = folder
        self._is_part = is_part
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
            while not lock_now(handle, is_shared=self._is_part):
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
        seen = _read(handle)
        parts = os.open(
            self._folder / f"{name}.parts", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(parts, fcntl.LOCK_EX)  # for two reads and a write, by whoever has a part
            if not self._is_part:
                seen = max(seen, _read(parts))
            self._check(name, seen)
            if not self._is_part:
                _write(handle, self._token)
            elif self._token > _read(parts):
                _write(parts, self._token)
        finally:
            os.close(parts)

    def _check(self, name: str, seen: int) -> None:
        if seen > self._token:
            raise AccessDenied(
                f"The chip {name} was used with the fencing token {seen}, which is higher than "
                f"this lease's {self._token}: somebody else holds it now. (If the database was "
                f"restored from a backup, remove {self._folder / name}*.)"
            )

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


def _read(handle: int) -> int:
    return int(os.pread(handle, 32, 0) or b"0")


def _write(handle: int, token: int) -> None:
    text = b"%d" % token
    os.pwrite(handle, text, 0)
    os.ftruncate(handle, len(text))


def lock_now(handle: int, *, is_shared: bool = False) -> bool:
    """Lock a file for as long as its handle is open; False where another has it."""
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
