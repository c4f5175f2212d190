"""The processes of a workload: started to die with their shim, signalled, hunted down at the end.

A workload's process is known by the mark in its environment, which every child inherits. One that
clears its environment and leaves its session too can't be told from others, and is left running.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent is gone."""
MARK = "CRATON_RUN"


def dying_with_parent() -> Callable[[], None]:
    """What a child runs before its program, so that a killed shim leaves no rank behind (Linux)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the shim died in between

    return prepare


async def start_rank(
    command: Sequence[str], folder: str, environment: Mapping[str, str], output: int
) -> asyncio.subprocess.Process:
    """Start one rank in a session of its own; OSError if its program can't be run."""
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=dying_with_parent(),
    )


def signal_group(leader: int, number: int) -> None:
    """Signal a rank and what it started in its session."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass  # it is gone; macOS says the latter of zombies


@dataclass(frozen=True, slots=True)
class Marked:
    """The processes of a run, and whether there may be more that don't show it yet."""

    pids: list[int]
    is_sure: bool


def find_marked(run: str, root: Path = Path("/proc")) -> Marked:
    """The processes of a run, except this one. None where there is no /proc."""
    mark = f"{MARK}={run}".encode()
    own = os.getpid()
    pids: list[int] = []
    is_sure = True
    for path in root.glob("[0-9]*"):
        try:
            environ = (path / "environ").read_bytes()
            if not environ and _is_amid_exec(path):
                is_sure = False
        except OSError:
            continue  # gone meanwhile, or another user's
        if mark in environ.split(b"\0") and int(path.name) != own:
            pids.append(int(path.name))
    return Marked(pids, is_sure)


def kill_marked(run: str, root: Path = Path("/proc")) -> bool:
    """Kill every process of a run. Whether another look is needed to know that none is left."""
    found = find_marked(run, root)
    for pid in found.pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(found.pids) or not found.is_sure


def _is_amid_exec(path: Path) -> bool:
    """Whether a process has a new program but no environment yet, as for a moment in execve(2).

    proc(5): `env_end` is field 51 of stat, counted here behind the name, which may hold anything.
    A kernel's thread and a process that has ended have no program, so that reading it is OSError.
    """
    (path / "exe").readlink()
    fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
    return fields[48] == b"0"
