"""The processes of a workload: started to die with their shim, signalled, hunted down at the end.

A workload's process is known by the mark in its environment, which every child inherits. One that
clears its environment and leaves its session too can't be told from others, and is left running.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def marked(run: str, root: Path = Path("/proc")) -> Iterator[int]:
    """The processes of a run, except this one. None where there is no /proc."""
    mark = f"{MARK}={run}".encode()
    own = os.getpid()
    for path in root.glob("[0-9]*"):
        try:
            entries = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile, or another user's
        if mark in entries and int(path.name) != own:
            yield int(path.name)


def kill_marked(run: str, root: Path = Path("/proc")) -> int:
    """Kill every process of a run; how many there were."""
    found = list(marked(run, root))
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(found)
