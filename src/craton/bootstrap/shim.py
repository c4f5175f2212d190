"""A shim: runs the workload of one lease, and outlives all of Craton's own processes.

    python -m craton.bootstrap.shim FOLDER

It owns the workload, its log and its fencing token. It takes its chips' locks with the token first:
a chip that was seen with a higher one isn't touched. It ends the workload by itself when its lease
is over, whether or not anybody is there to say so, and writes down the result when no process of
the workload is left.
"""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import msgspec

from craton.bootstrap.shim_contract import (
    CONTROL,
    LOCK,
    NOTICE,
    TASK,
    Ending,
    Kill,
    Stop,
    Task,
    Word,
)
from craton.bootstrap.shim_ending import Step, next_step
from craton.bootstrap.shim_locks import ChipLocks, lock_now
from craton.bootstrap.shim_output import Output
from craton.bootstrap.shim_processes import kill_marked, signal_group, start_rank
from craton.fleet.run_log import LogWriter
from craton.fleet.run_records import Result, Started
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError
from craton.kernel.files import write_private

CANNOT_RUN = 126
"""As shells say it of a program that is there and can't be run, and of chips that can't be had."""
NOT_FOUND = 127
STARTED, RESULT = "started.json", "result.json"
"""As the folder of runs calls these records."""
STRAYS_WITHIN_S = 5.0
OUTPUT_WITHIN_S = 2.0
"""For what is left in the pipes, in case somebody who can't be found holds one open."""


class Shim:
    """One workload, from start to result."""

    def __init__(self, folder: Path, task: Task, clock: Clock) -> None:
        self._folder = folder
        self._task = task
        self._clock = clock
        self._log = LogWriter(folder)
        self._ranks: list[asyncio.subprocess.Process] = []
        self._ends_s = task.ends_s
        self._reason = "expired"
        self._told = Step.NOTHING
        self._kill_s = float("inf")
        self._why = ""
        self._changed = asyncio.Event()
        self._words = b""
        self._outputs: list[Output] = []

    async def run(self) -> Result:
        """Take the chips, start every rank, see them end, and leave nothing behind."""
        task = self._task
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._take, Stop(None))
        self._open_control(loop)
        watching = loop.create_task(self._watch())
        try:
            with _locks(task) as locks:
                await locks.take(lambda: self._told >= Step.TERMINATE)
                status = await self._work()
        except CratonError as error:
            status, self._why = CANNOT_RUN, error.message
            self._say(self._why)
        watching.cancel()
        self._log.close()
        outcome = self._why or f"exited with status {status}"
        if self._log.lost_bytes:
            outcome += f"; {self._log.lost_bytes} bytes of its log could not be written"
        return Result(status, outcome, self._clock.now_ns() // 1_000_000)

    async def _work(self) -> int:
        if self._told >= Step.TERMINATE:
            return 128 + signal.SIGTERM
        status = await self._start()
        if status is None:
            status = await self._until_over()
        else:
            self._signal(signal.SIGKILL)
            await asyncio.gather(*(rank.wait() for rank in self._ranks))
        await self._clear()
        return status

    def _open_control(self, loop: asyncio.AbstractEventLoop) -> None:
        path = self._folder / CONTROL
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # Open for writing too, so that it never comes to an end when a writer closes it.
        control = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        loop.add_reader(control, self._hear, control)

    def _hear(self, control: int) -> None:
        *lines, self._words = (self._words + os.read(control, 65_536)).split(b"\n")
        for line in lines:
            try:
                word = msgspec.json.decode(line, type=Word)
            except msgspec.MsgspecError as error:
                self._say(f"a word that can't be read was left out: {error}")
                continue
            self._take(word)

    def _take(self, word: Word) -> None:
        now_s = self._clock.now_ns() / 1e9
        match word:
            case Ending(ends_s, reason):
                if self._ends_s is None or ends_s < self._ends_s:
                    self._ends_s, self._reason = ends_s, reason
            case Stop(grace_s):
                grace = self._task.grace_s if grace_s is None else grace_s
                self._why = self._why or "stopped"
                self._end_by(now_s + grace)
            case Kill():
                self._why = "its lease was taken away"
                self._end_by(now_s)
        self._changed.set()

    def _end_by(self, kill_s: float) -> None:
        """Ask every rank to end, now; and make it at a moment."""
        self._kill_s = min(self._kill_s, kill_s)
        if self._told < Step.TERMINATE:
            self._told = Step.TERMINATE
            self._signal(signal.SIGTERM)

    async def _start(self) -> int | None:
        """Start the ranks; an exit status if one can't be."""
        task = self._task
        port = str(_free_port())
        shared = {**task.environment, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared["CRATON_NOTICE"] = str(self._folder / NOTICE)
        for number, own in enumerate(task.ranks):
            prefix = f"[{number}] ".encode() if len(task.ranks) > 1 else b""
            reads, writes = os.pipe()
            try:
                rank = await start_rank(task.command, task.folder, {**shared, **own}, writes)
            except OSError as error:
                os.close(reads)
                self._why = f"{task.command[0]} can't be run: {error.strerror}"
                self._say(self._why)
                return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
            finally:
                os.close(writes)
            self._ranks.append(rank)
            output = Output(self._log, prefix)
            self._outputs.append(output)
            await asyncio.get_running_loop().connect_read_pipe(
                lambda output=output: output, os.fdopen(reads, "rb", 0)
            )
        return None

    async def _until_over(self) -> int:
        """The gang's exit status: the first failure ends the other ranks, and is what counts."""
        failed: int | None = None
        loop = asyncio.get_running_loop()
        waits: set[asyncio.Task[int]] = {loop.create_task(rank.wait()) for rank in self._ranks}
        while waits:
            done, waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                status = _shell_status(each.result())
                if status and failed is None:
                    failed = status
                    if waits and self._told < Step.TERMINATE:
                        self._why = f"exited with status {status}; the other ranks were ended"
                        self._end_by(self._clock.now_ns() / 1e9 + self._task.grace_s)
                        self._changed.set()
        return failed or 0

    async def _watch(self) -> None:
        """Tell and end the workload when its time comes."""
        while True:
            self._changed.clear()
            now_s = self._clock.now_ns() / 1e9
            at_s = self._kill_s
            if self._ends_s is not None and self._told < Step.KILL:
                step, step_s = next_step(self._ends_s, self._task.grace_s, self._told)
                if step_s <= now_s:
                    self._do(step, now_s)
                    continue
                at_s = min(at_s, step_s)
            if self._kill_s <= now_s:
                self._signal(signal.SIGKILL)
                # Once more in a while: for a rank that was being started just then.
                at_s = self._kill_s = now_s + 1
            try:
                async with asyncio.timeout(min(60.0, at_s - now_s)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _do(self, step: Step, now_s: float) -> None:
        assert self._ends_s is not None, "there is an end to come to"
        self._told = step
        if step is Step.NOTICE:
            notice = {"ends_s": self._ends_s, "reason": self._reason}
            write_private(self._folder / NOTICE, msgspec.json.encode(notice))
            if self._task.notice_signal is not None:
                self._signal(self._task.notice_signal)
            return
        self._why = self._why or f"its lease ended: {self._reason}"
        if step is Step.TERMINATE:
            self._signal(signal.SIGTERM)
        else:
            self._kill_s = min(self._kill_s, now_s)

    def _signal(self, number: int) -> None:
        for rank in self._ranks:
            if rank.returncode is None:
                signal_group(rank.pid, number)

    async def _clear(self) -> None:
        """End what the ranks left behind, so that the chips are free."""
        for rank in self._ranks:
            signal_group(rank.pid, signal.SIGKILL)
        loop = asyncio.get_running_loop()
        by = loop.time() + STRAYS_WITHIN_S
        # Nothing tells when another process's child is gone, so it is looked for again.
        while kill_marked(self._task.run) and loop.time() < by:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        closed = [output.closed for output in self._outputs]
        if closed:
            await asyncio.wait(closed, timeout=OUTPUT_WITHIN_S)

    def _say(self, text: str) -> None:
        self._log.write(f"craton: {text}\n".encode())


def _shell_status(code: int) -> int:
    return code if code >= 0 else 128 - code


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _locks(task: Task) -> ChipLocks:
    return ChipLocks(Path(task.locks), task.chips, task.token, is_part=task.is_part)


async def _run(folder: Path, task: Task, clock: Clock) -> Result:
    return await Shim(folder, task, clock).run()


def serve(folder: Path, clock: Clock) -> None:
    """Run the task of a folder, once: not beside another shim, and never again."""
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if lock_now(lock) and not (folder / STARTED).exists():
            _serve(folder, clock)
    finally:
        os.close(lock)


def _serve(folder: Path, clock: Clock) -> None:
    task = msgspec.json.decode((folder / TASK).read_bytes(), type=Task)
    started = Started(os.getpid(), clock.now_ns() // 1_000_000)
    # From here on it counts as started, whatever becomes of this process.
    write_private(folder / STARTED, msgspec.json.encode(started))
    (folder / TASK).unlink()  # it holds the environment of who ordered it
    result = asyncio.run(_run(folder, task, clock))
    write_private(folder / RESULT, msgspec.json.encode(result))
    (folder / CONTROL).unlink(missing_ok=True)


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame


def main() -> None:
    """Run as a process in a session of its own."""
    # Ctrl-C and a terminal that closes are not for it: who stops a run says so by the FIFO.
    # A handler, and not SIG_IGN, which the workload would inherit.
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _ignore)
    serve(Path(sys.argv[1]), SystemClock())


if __name__ == "__main__":
    main()
