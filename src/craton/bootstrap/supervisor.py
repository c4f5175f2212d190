"""One supervisor over the processes of `craton up`; any of them may be killed.

A child that dies is started again, at once the first time and then with growing pauses, until it
has lived for a while. A child that says that starting it again won't help ends everything.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from craton.bootstrap.child import FATAL_STATUS
from craton.bootstrap.settings import Settings, to_argument
from craton.kernel.clock import Clock
from craton.kernel.errors import Conflict, CratonError, Unavailable
from craton.kernel.log import Log

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0
LIVED_S = 10.0
STOP_GRACE_S = 8.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One child: its name, its command line, and the descriptors it inherits."""

    name: str
    command: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


class Supervisor:
    """Starts children, restarts them, and stops them all."""

    def __init__(self, *, clock: Clock, log: Log, output: BinaryIO | None) -> None:
        self._clock = clock
        self._log = log
        self._output = output
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.restarts: dict[str, int] = {}
        self.fatal: CratonError | None = None

    def start(self, spec: Spec) -> None:
        """Start a child and keep it running."""
        assert spec.name not in self._tasks, f"{spec.name} runs already"
        self._stops[spec.name] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._keep(spec))
        self._tasks[spec.name] = task

    async def stop_one(self, name: str) -> None:
        """Stop a child for good."""
        self._stops[name].set()
        await self._tasks.pop(name)

    @property
    def names(self) -> Sequence[str]:
        """The children that are kept running."""
        return list(self._tasks)

    async def wait(self) -> None:
        """Wait until `stop` was called or a child made it pointless to go on."""
        await self._stopping.wait()

    def stop(self) -> None:
        """Ask everything to end."""
        self._stopping.set()

    async def close(self) -> None:
        """End every child: politely, then by force."""
        self._stopping.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def has_ended(self) -> bool:
        """Whether no child is alive."""
        is_over = all(task.done() and task.exception() is None for task in self._tasks.values())
        return is_over and all(each.returncode is not None for each in self.processes.values())

    async def _keep(self, spec: Spec) -> None:
        stop_this = self._stops[spec.name]
        pause_s = 0.0
        while not self._stopping.is_set() and not stop_this.is_set():
            started_ns = self._clock.monotonic_ns()
            process = await self._spawn(spec)
            self.processes[spec.name] = process
            status = await self._until_exit(process, stop_this)
            if status is None:
                return
            lived_s = (self._clock.monotonic_ns() - started_ns) / 1e9
            self._log.warning("child_died", child=spec.name, status=status, lived_s=lived_s)
            if status == FATAL_STATUS:
                self.fatal = Unavailable(f"The process {spec.name} can't run; see the lines above.")
                self._stopping.set()
                return
            self.restarts[spec.name] = self.restarts.get(spec.name, 0) + 1
            pause_s = 0.0 if lived_s > LIVED_S else min(BACKOFF_MAX_S, pause_s * 2)
            if pause_s:
                await self._pause(pause_s, stop_this)
            pause_s = pause_s or BACKOFF_FIRST_S

    async def _spawn(self, spec: Spec) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            pass_fds=spec.descriptors,
            # A Ctrl-C in the terminal reaches the supervisor only, which then ends the children
            # in order: gateways may still post what they have in hand.
            start_new_session=True,
        )

    async def _until_exit(
        self, process: asyncio.subprocess.Process, stop_this: asyncio.Event
    ) -> int | None:
        """The child's exit status, or None if it was we who ended it."""
        waits = [
            asyncio.ensure_future(process.wait()),
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(stop_this.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits[1:]:
            wait.cancel()
        if process.returncode is not None:
            return process.returncode
        process.terminate()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await waits[0]
        except TimeoutError:
            process.kill()
            await process.wait()
        return None

    async def _pause(self, pause_s: float, stop_this: asyncio.Event) -> None:
        waits = [
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(stop_this.wait()),
        ]
        await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def listen(host: str, port: int) -> socket.socket:
    """The socket that all workers share; Conflict if the port is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise Conflict(
            f"Craton can't listen on {host} port {port}: {error.strerror or error}. "
            "Another program may have it; choose another with --port."
        ) from None
    listening.setblocking(False)
    return listening


def specs(settings: Settings, listening: socket.socket) -> list[Spec]:
    """The children that every `craton up` has."""
    argument = to_argument(settings)
    descriptor = listening.fileno()
    state = Spec("state", (sys.executable, "-m", "craton.bootstrap.state_process", argument))
    workers = [
        Spec(
            f"gateway-{number}",
            (
                sys.executable,
                "-m",
                "craton.bootstrap.worker",
                argument,
                str(number),
                str(descriptor),
            ),
            (descriptor,),
        )
        for number in range(settings.workers)
    ]
    keeper = Spec("fleet-keeper", (sys.executable, "-m", "craton.bootstrap.fleet_keeper", argument))
    return [state, *workers, keeper]
