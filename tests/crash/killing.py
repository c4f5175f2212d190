"""Kills processes of a running Craton at random moments, and waits until each is back."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from craton.bootstrap.supervisor import Supervisor
from tests.crash.client import Client
from tests.fakes.postgresql import PostgreSqlServer

BACK_LIMIT_S = 60
POLL_S = 0.02
SESSION_SHARE = 0.3
"""How often only the session that writes is killed, and not the whole server."""
READY_EVENTS = ("state_ready", "worker_ready")
TELL_READY = ("state", "gateway-")
"""Processes that log these events."""


class ShortMemoryClock:
    """The supervisor's clock: each child seems to have lived long, so none waits to be restarted.

    The pauses of a supervisor whose child dies again and again are right in service; here they
    would make a thousand kills take hours.
    """

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() * 1_000


class Journal:
    """Reads the log that the processes write: who became ready, and what failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""
        self.ready: dict[str, int] = {}
        self.failures: list[str] = []

    def read(self) -> None:
        """Take the lines that are new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = msgspec.json.decode(line)
        except msgspec.DecodeError:
            # Half a line of a process that was killed, or a traceback that reached stderr.
            if b"Traceback" in line or b"Error" in line:
                self.failures.append(line.decode("utf-8", "replace"))
            return
        if entry.get("event") in READY_EVENTS:
            self.ready[entry["process"]] = self.ready.get(entry["process"], 0) + 1
        elif entry.get("event") in ("internal_error", "commit_failed", "query_failed"):
            self.failures.append(line.decode())


@dataclass
class Killings:
    """What was killed, and how long each took to be back."""

    kills: dict[str, int] = field(default_factory=dict)
    slowest_s: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.kills.values())


class _Killer:
    """Kills again and again until there have been enough kills altogether."""

    def __init__(
        self,
        *,
        client: Client,
        killings: Killings,
        wanted: int,
        dice: random.Random,
        pause_s: Callable[[random.Random], float],
    ) -> None:
        self._client = client
        self._killings = killings
        self._wanted = wanted
        self._dice = dice
        self._pause_s = pause_s

    async def run(self) -> None:
        """Kill until enough was killed."""
        while self._killings.total < self._wanted:
            await asyncio.sleep(self._pause_s(self._dice))
            if self._killings.total >= self._wanted:
                return
            await self._kill_once()

    async def _kill_once(self) -> None:
        killings, started_s = self._killings, time.monotonic()
        victim = await self._kill()
        if victim is None:
            return
        killings.kills[victim] = killings.kills.get(victim, 0) + 1
        try:
            async with asyncio.timeout(BACK_LIMIT_S):
                await self._until_back()
                await until_ready(self._client)
        except TimeoutError:
            killings.faults.append(f"{victim} was not back within {BACK_LIMIT_S} s")
        took_s = time.monotonic() - started_s
        killings.slowest_s[victim] = max(killings.slowest_s.get(victim, 0), took_s)

    async def _kill(self) -> str | None:
        """Kill once: what was killed, if anything was there to be."""
        raise NotImplementedError

    async def _until_back(self) -> None:
        """Wait until what was killed runs again; that Craton is ready is waited for after it."""


class Killer(_Killer):
    """Kills one process of Craton's."""

    def __init__(
        self,
        victim: str,
        *,
        supervisor: Supervisor,
        journal: Journal,
        client: Client,
        killings: Killings,
        wanted: int,
        dice: random.Random,
        pause_s: Callable[[random.Random], float],
    ) -> None:
        super().__init__(
            client=client, killings=killings, wanted=wanted, dice=dice, pause_s=pause_s
        )
        self._victim = victim
        self._supervisor = supervisor
        self._journal = journal
        self._killed_pid = 0
        self._ready_before = 0

    async def _kill(self) -> str | None:
        self._journal.read()
        self._ready_before = self._journal.ready.get(self._victim, 0)
        self._killed_pid = self._supervisor.processes[self._victim].pid
        try:
            os.kill(self._killed_pid, signal.SIGKILL)
        except ProcessLookupError:
            return None  # it went by itself, because its database did, and is being started again
        return self._victim

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            self._journal.read()
            is_new = self._supervisor.processes[self._victim].pid != self._killed_pid
            if is_new and self._is_ready():
                return

    def _is_ready(self) -> bool:
        if not self._victim.startswith(TELL_READY):
            return True  # it runs; of an engine /readyz says whether it is ready
        return self._journal.ready.get(self._victim, 0) > self._ready_before


class ServerKiller(_Killer):
    """Kills the database server, or one of its sessions.

    A server of which one session was killed ends all the others, and recovers by itself.
    """

    def __init__(
        self,
        server: PostgreSqlServer,
        *,
        client: Client,
        killings: Killings,
        wanted: int,
        dice: random.Random,
        pause_s: Callable[[random.Random], float],
    ) -> None:
        super().__init__(
            client=client, killings=killings, wanted=wanted, dice=dice, pause_s=pause_s
        )
        self._server = server

    async def _kill(self) -> str | None:
        if self._dice.random() < SESSION_SHARE and await asyncio.to_thread(self._kill_session):
            return "postgresql session"
        await asyncio.to_thread(self._server.kill)
        await asyncio.to_thread(self._server.start)
        return "postgresql"

    def _kill_session(self) -> bool:
        """Kill the session that writes, if there is one now."""
        found = self._server.run(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'craton'"
        )
        try:
            for (pid,) in found:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False  # the state process was killed, and its session ended
        self._server.wait()
        return bool(found)


async def until_ready(client: Client) -> None:
    """Wait until the default model answers."""
    while (await client.get("/readyz"))[0] != 200:
        await asyncio.sleep(POLL_S)
