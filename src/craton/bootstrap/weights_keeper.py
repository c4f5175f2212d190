"""Finds the weights of embedded models, and goes on trying to fetch what can't be had.

Nothing waits for long: where a fetch takes its time or fails, whoever asks is told so and asks
again later, so that one model's weights keep no other model from starting. What is missing is
written beside the sockets of the engine processes, where workers read it: a request to such a model
is refused at once, with the reason.
"""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from craton.bootstrap.settings import Settings
from craton.kernel.errors import CratonError, NotFound, Unavailable
from craton.kernel.log import Log
from craton.models import weights
from craton.models.card import EmbeddedSource

GRACE_S = 5.0
"""How long who asks waits for a first try: long enough for weights that are there to be hashed."""
RETRY_FIRST_S = 30.0
RETRY_MAX_S = 900.0

Sleep = Callable[[float], Awaitable[object]]


class Fetch(Protocol):
    """Has an artifact's file in a folder, or raises Unavailable."""

    def __call__(self, artifact: weights.Artifact, folder: Path, *, run: weights.Run) -> Path:
        """The file."""
        ...


class WeightsKeeper:
    """Has the weights of each embedded model, or says why it hasn't."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        *,
        unfetched: Mapping[str, str] | None = None,
        fetch: Fetch = weights.fetch,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`unfetched` are weights that could not be had just now, with the reasons."""
        self._settings = settings
        self._folder = settings.data / "weights"
        self._log = log
        self._fetch = fetch
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[Path]] = {}
        self._tried: dict[str, asyncio.Event] = {}
        self._reasons: dict[str, str] = {}
        self._running: set[subprocess.Popen[str]] = set()
        self._is_closed = False
        for name, reason in (unfetched or {}).items():
            self._miss(name, reason)

    async def locate(self, source: EmbeddedSource) -> Path:
        """The file; Unavailable or NotFound says why there is none, and what to do."""
        if source.weights is not None:
            return await self._bundled(source.weights)
        assert source.gguf is not None, "a card names weights or a file"
        path = Path(source.gguf)
        problem = self._settings.weights_problem(source.gguf)
        if not await asyncio.to_thread(path.is_file):
            reason = f"The weights file {path} is gone. Put it back, or remove the model."
            problem.write_text(reason, encoding="utf-8")
            raise NotFound(reason)
        problem.unlink(missing_ok=True)
        return path

    async def close(self) -> None:
        """Give up what is being fetched."""
        self._is_closed = True
        for process in list(self._running):
            process.kill()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _bundled(self, name: str) -> Path:
        artifact = weights.find(name)
        task = self._tasks.get(name)
        if task is None:
            loop = asyncio.get_running_loop()
            self._tried[name] = asyncio.Event()
            task = self._tasks[name] = loop.create_task(self._keep_fetching(name, artifact))
        try:
            async with asyncio.timeout(GRACE_S):
                await self._tried[name].wait()
        except TimeoutError:
            raise Unavailable(
                f"The weights {name} are still being fetched or checked. Try again in a moment."
            ) from None
        if name in self._reasons:
            raise Unavailable(self._reasons[name])
        del self._tasks[name]  # asked again, it looks again: the file may be gone by then
        return await task

    async def _keep_fetching(self, name: str, artifact: weights.Artifact) -> Path:
        pause_s = RETRY_FIRST_S
        if name in self._reasons:  # it was tried just now
            self._tried[name].set()
            await self._sleep(pause_s)
        while True:
            try:
                path = await asyncio.to_thread(
                    self._fetch, artifact, self._folder, run=self._run_lines
                )
            except (CratonError, OSError) as error:
                reason = error.message if isinstance(error, CratonError) else self._unkept(error)
                self._miss(name, reason)
                self._log.warning(
                    "weights_not_fetched", weights=name, error=reason, again_s=pause_s
                )
                self._tried[name].set()
                await self._sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
            else:
                self._reasons.pop(name, None)
                self._settings.weights_problem(name).unlink(missing_ok=True)
                self._tried[name].set()
                return path

    def _unkept(self, error: OSError) -> str:
        return f"The weights can't be kept in {self._folder}: {error}. See to that folder's disk."

    def _miss(self, name: str, reason: str) -> None:
        self._reasons[name] = reason
        text = f"{reason} Craton tries again by itself."
        self._settings.weights_problem(name).write_text(text, encoding="utf-8")

    def _run_lines(self, command: list[str], on_line: Callable[[str], None]) -> int:
        """Run pip so that it can be ended with Craton."""

        def started(process: subprocess.Popen[str]) -> None:
            self._running.add(process)
            if self._is_closed:
                process.kill()

        try:
            return weights.run_lines(command, on_line, on_started=started)
        finally:
            self._running = {each for each in self._running if each.poll() is None}
