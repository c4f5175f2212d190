"""What Linux tells of running processes: which belong together, their time, their memory."""

import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_GRACE_S = 15


def pinned(core: int, nice: int, command: Sequence[str]) -> list[str]:
    """A command line that runs on one core with a priority, with everything that it starts."""
    return ["taskset", "-c", str(core), "nice", "-n", str(nice), *command]


def prioritize(members: Sequence[int], nice: int) -> None:
    """Give the sessions of processes a priority, too.

    Where Linux groups tasks by session (sched(7), autogroup), `nice` counts only within a session,
    and each session gets the same share of a busy core. Every process here leads a session or
    belongs to one whose leader is here.
    """
    if nice >= 0:
        return
    for member in members:
        group = PROC / str(member) / "autogroup"
        if group.exists():
            group.write_text(str(nice), encoding="ascii")


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    left = [root]
    while left:
        process = left.pop()
        found.append(process)
        left += children.get(process, [])
    return found


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces; [] if it is gone."""
    try:
        text = (PROC / str(process) / "stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def cpu_s(processes: Sequence[int]) -> float:
    """Processor seconds, user and system, of all threads and of children already waited for."""
    ticks = 0
    for process in processes:
        # utime, stime, cutime, cstime are fields 14 to 17 of proc(5); the state is field 3.
        ticks += sum(int(field) for field in _stat(process)[11:15])
    return ticks / TICKS_PER_S


def core_user_s(core: int) -> float:
    """Seconds that a core has spent in programs, whoever's."""
    for line in (PROC / "stat").read_text(encoding="utf-8").splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            return (int(fields[0]) + int(fields[1])) / TICKS_PER_S  # user and nice
    raise SystemExit(f"This machine has no core {core}; choose others with --gateway-core.")


def user_s(processes: Sequence[int]) -> float:
    """Processor seconds that processes have spent outside the kernel."""
    ticks = 0
    for process in processes:
        fields = _stat(process)
        if fields:
            ticks += int(fields[11]) + int(fields[13])
    return ticks / TICKS_PER_S


def command_line(process: int) -> str:
    """The command line of a process, "" if it is gone."""
    try:
        raw = (PROC / str(process) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def memory_mb(process: int) -> float:
    """Proportional set size in megabytes of 10^6 bytes: pages shared by n processes count 1/n."""
    return _kilobytes(PROC / str(process) / "smaps_rollup", "Pss:") * 1024 / 1e6


def peak_mb(process: int) -> float:
    """The largest resident set so far, in megabytes: shared pages count whole."""
    return _kilobytes(PROC / str(process) / "status", "VmHWM:") * 1024 / 1e6


def _kilobytes(path: Path, label: str) -> int:
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def move(process: int, core: int) -> None:
    """Let every thread of a process run on another core."""
    for thread in (PROC / str(process) / "task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def started(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> Generator[subprocess.Popen[bytes]]:
    """Run a command in a folder; on leaving, end it and everything it started."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        members = tree(process.pid)
        process.terminate()
        try:
            process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end(members)


def _end(members: Sequence[int]) -> None:
    """End what outlived the process that started it: some programs leave their workers."""
    deadline = time.monotonic() + STOP_GRACE_S
    while left := [member for member in members if command_line(member)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"These processes would not end: {left}.")
        for member in left:
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
