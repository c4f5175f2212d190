"""How a run comes to run on the hosts of its lease: one driver for each kind a pool can have.

`local` starts a shim on this machine. `simulated` starts nothing: capacity that is only imagined
trains nothing, and no status of it says success. A driver for hosts elsewhere has the same three
methods.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from craton.bootstrap.chip_environment import chip_environment, part_environment
from craton.bootstrap.shim_contract import CONTROL, LOCK, TASK, Ending, Stop, Task, Word
from craton.bootstrap.shim_locks import lock_now
from craton.bootstrap.shim_processes import kill_marked
from craton.fleet.contract import LeaseView
from craton.fleet.records import WHOLE_MILLI, chips_in
from craton.fleet.run_folder import RunFolder
from craton.fleet.run_records import NOTHING_RAN, PROCESSOR, Order, Result, Started
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest
from craton.kernel.files import write_private

SPAWN_WITHIN_S = 20
"""How long a shim may take to come up before another is started."""
CHIPS_FOLDER = "chips"


class Progress(StrEnum):
    """How far a driver has come with a run."""

    NOT_STARTED = "not-started"
    STARTING = "starting"
    RUNNING = "running"
    OVER = "over"
    """There is a result."""
    GONE = "gone"
    """Who ran it is gone, and left no result."""


class Driver(Protocol):
    """Runs what was ordered on the hosts of a lease."""

    def start(self, id: str, order: Order, lease: LeaseView) -> None:
        """Start a run; BadRequest if it can't be on these hosts. Starting twice is starting once.

        It ends by itself, without another word, when the lease is over.
        """
        ...

    def look(self, id: str) -> Progress:
        """How far a run is. After GONE nothing of it runs any more."""
        ...

    def tell(self, id: str, word: Word) -> bool:
        """Say something to a run; whether somebody heard."""
        ...


class LocalDriver:
    """Runs on this machine, a shim for each run, which survives all of Craton's processes."""

    def __init__(self, folder: RunFolder, clock: Clock, output: Path) -> None:
        """`output` is where a shim itself writes, if it fails."""
        self._folder = folder
        self._clock = clock
        self._output = output
        self._spawned: dict[str, tuple[subprocess.Popen[bytes], int]] = {}

    def start(self, id: str, order: Order, lease: LeaseView) -> None:
        """Start a shim with the workload; BadRequest if its ranks can't share the chips."""
        chips = list(chips_in(lease.masks[0]))
        ranks = tuple(
            {**part_environment(lease.chip, lease.part), **rank}
            for rank in _ranks(order, lease.chip, chips)
        )
        locks = tuple(f"chip-{chip}" for chip in chips)
        self._spawn(id, order, lease, ranks, locks)

    def rehearse(self, id: str, order: Order, lease: LeaseView) -> None:
        """Start the command once, as the first rank of hosts that are only imagined."""
        size = len(lease.hosts) * order.ranks_per_host
        rank = {**_place(0, size, 0), "CRATON_SIMULATED": "1", "CRATON_CHIPS": ""}
        self._spawn(id, order, lease, (rank,), ())

    def _spawn(
        self,
        id: str,
        order: Order,
        lease: LeaseView,
        ranks: tuple[dict[str, str], ...],
        locks: tuple[str, ...],
    ) -> None:
        path = self._folder.path(id)
        own = {"CRATON_RUN": id, "CRATON_LEASE": lease.id, "CRATON_TOKEN": str(lease.token)}
        task = Task(
            run=id,
            token=lease.token,
            command=order.command,
            folder=order.folder,
            environment={"PYTHONUNBUFFERED": "1", **order.environment, **own},
            ranks=ranks,
            chips=locks,
            is_part=lease.part is not None and lease.part.chip_milli < WHOLE_MILLI,
            locks=str(self._folder.root / CHIPS_FOLDER),
            grace_s=order.grace_s,
            notice_signal=order.notice_signal,
            ends_s=lease.ends_s if lease.ends_s is not None else lease.until_s,
        )
        write_private(path / TASK, msgspec.json.encode(task))
        with self._output.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program
                (sys.executable, "-m", "craton.bootstrap.shim", str(path)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._spawned[id] = process, self._clock.monotonic_ns()

    def look(self, id: str) -> Progress:
        """How far a run is; what a shim that was killed left running is ended."""
        spawned = self._spawned.get(id)
        has_exited = spawned is None or spawned[0].poll() is not None  # a child is to be reaped
        path = self._folder.path(id)
        if _is_locked(path / LOCK):
            return Progress.RUNNING
        if self._folder.find(id, Result) is not None:
            self._spawned.pop(id, None)
            return Progress.OVER
        if self._folder.find(id, Started) is not None:
            if kill_marked(id):
                return Progress.RUNNING  # until the next look finds none of them
            self._spawned.pop(id, None)
            return Progress.GONE
        if spawned is None or has_exited:
            return Progress.NOT_STARTED
        is_late = self._clock.monotonic_ns() - spawned[1] > SPAWN_WITHIN_S * 1_000_000_000
        return Progress.NOT_STARTED if is_late else Progress.STARTING

    def tell(self, id: str, word: Word) -> bool:
        """Say something to a run's shim."""
        try:
            control = os.open(self._folder.path(id) / CONTROL, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False  # there is no shim, or it isn't up yet
        try:
            os.write(control, msgspec.json.encode(word) + b"\n")
        except OSError:
            return False
        finally:
            os.close(control)
        return True


class SimulatedDriver:
    """Holds a lease on imagined chips until it is over; runs nothing, unless to rehearse it here.

    A rehearsal runs the command itself, once, on this machine, with CRATON_SIMULATED=1.
    """

    def __init__(self, folder: RunFolder, clock: Clock, local: LocalDriver) -> None:
        self._folder = folder
        self._clock = clock
        self._local = local

    def start(self, id: str, order: Order, lease: LeaseView) -> None:
        """Begin to hold."""
        if order.is_rehearsal:
            self._local.rehearse(id, order, lease)
        else:
            self._folder.write(id, Started(0, self._clock.now_ns() // 1_000_000))

    def look(self, id: str) -> Progress:
        """How far a run is."""
        if self._folder.get(id, Order).is_rehearsal:
            return self._local.look(id)
        if self._folder.find(id, Result) is not None:
            return Progress.OVER
        is_held = self._folder.find(id, Started) is not None
        return Progress.RUNNING if is_held else Progress.NOT_STARTED

    def tell(self, id: str, word: Word) -> bool:
        """Say something to a run; what only holds has nothing to end."""
        if self._folder.get(id, Order).is_rehearsal:
            return self._local.tell(id, word)
        if self._folder.find(id, Started) is None:
            return False
        if isinstance(word, Ending):
            return True
        why = "stopped" if isinstance(word, Stop) else "its lease ended"
        outcome = f"{why}; its capacity was simulated, and nothing ran"
        self._folder.write(id, Result(NOTHING_RAN, outcome, self._clock.now_ns() // 1_000_000))
        return True


@dataclass(frozen=True, slots=True)
class Drivers:
    """The drivers there are, by the name that a fleet file has for each."""

    by_kind: Mapping[str, Driver]

    def of(self, lease: LeaseView) -> Driver:
        """The driver of the pool that a lease is in."""
        return self.by_kind[lease.driver]


def open_drivers(folder: RunFolder, clock: Clock, output: Path) -> Drivers:
    """Every kind of driver that a fleet file can name."""
    local = LocalDriver(folder, clock, output)
    simulated = SimulatedDriver(folder, clock, local)
    return Drivers({"local": local, "simulated": simulated})


def _ranks(order: Order, chip: str, chips: list[int]) -> tuple[dict[str, str], ...]:
    """The environment of each rank: its place in the gang, and its share of the chips."""
    size = order.ranks_per_host
    shares = _shares(chips, size, chip)
    return tuple(
        {**_place(rank, size, rank), **chip_environment(chip, share)}
        for rank, share in enumerate(shares)
    )


def _shares(chips: list[int], ranks: int, chip: str) -> list[list[int]]:
    if chip == PROCESSOR:
        return [chips] * ranks  # one processor, shared by all that run on it
    if len(chips) % ranks:
        raise BadRequest(
            f"{ranks} ranks on a host can't share {len(chips)} {chip} evenly. Ask for a number "
            "that divides it, with --ranks-per-host."
        )
    each = len(chips) // ranks
    return [chips[at * each : (at + 1) * each] for at in range(ranks)]


def _place(rank: int, size: int, local_rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(local_rank)}


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not lock_now(handle)
    finally:
        os.close(handle)
