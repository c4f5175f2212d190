"""The keeper of runs: what it makes of what lies in the folder and of what becomes of leases."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from craton.bootstrap import shim
from craton.bootstrap.drivers import Drivers, LocalDriver, Progress, SimulatedDriver
from craton.bootstrap.run_keeper import UNCLAIMED_S, RunKeeper
from craton.bootstrap.shim_contract import Ending, Kill, Stop, Word
from craton.fleet.contract import LeaseView, Owner
from craton.fleet.records import EndReason, LeaseState
from craton.fleet.run_folder import RunFolder
from craton.fleet.run_records import Claim, Ended, Held, Order, Result, Started, StopAsked
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest
from craton.kernel.ids import Ids
from craton.kernel.log import Level, Log
from tests.fakes.leases import FakeLeases, lease

KEPT = 3
OWNER = Owner("111111111111", "proj-1", "key-1")
ORDER = Order(command=("true",), folder="/", environment={"SECRET": "hush"}, lease={"hosts": 1})


class FakeDriver:
    """Remembers what it was told to do."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.told: list[Word] = []
        self.progress = Progress.NOT_STARTED
        self.refusal: BadRequest | None = None

    def start(self, id: str, order: Order, lease: LeaseView) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(id)
        self.progress = Progress.RUNNING

    def look(self, id: str) -> Progress:
        return self.progress

    def tell(self, id: str, word: Word) -> bool:
        self.told.append(word)
        return True


class Kept:
    """A keeper, and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.folder = RunFolder(folder)
        self.driver = FakeDriver()
        self.state = FakeLeases(lease())
        self.restart()
        self.id = self.folder.order(Ids(self.clock), ORDER)

    def restart(self) -> None:
        """As after the keeper was killed."""
        state: Any = self.state
        drivers = Drivers({"local": self.driver})
        log = Log("test", level=Level.ERROR)
        self.folder = RunFolder(self.folder.root)
        self.keeper = RunKeeper(self.folder, drivers, state, self.clock, log, kept_max=KEPT)

    def claimed(self) -> None:
        self.folder.write(self.id, Claim(OWNER, 1))
        self.folder.write(self.id, Held("lease-1", 7))

    def over(self, status: int = 0) -> None:
        self.folder.write(self.id, Result(status, f"exited with status {status}", 2))
        self.driver.progress = Progress.OVER

    async def look(self, seconds: float = 1.1) -> None:
        self.clock.advance(seconds=seconds)
        await self.keeper.look()

    @property
    def ended(self) -> Ended | None:
        return self.folder.find(self.id, Ended)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "runs")


async def test_an_order_that_nobody_took_is_not_started_and_in_the_end_forgotten(
    kept: Kept,
) -> None:
    await kept.look()
    assert kept.driver.started == []
    await kept.look(UNCLAIMED_S + 1)
    assert kept.folder.ids() == []


async def test_a_run_starts_when_its_lease_does_and_ends_it_with_its_outcome(kept: Kept) -> None:
    kept.state.put("lease-1", state=LeaseState.WAITING)
    kept.claimed()
    await kept.look()
    assert kept.driver.started == []
    kept.state.put("lease-1", state=LeaseState.ACTIVE)
    await kept.look()
    await kept.look()
    assert kept.driver.started == [kept.id]
    assert kept.state.beats[-1].leases == {"lease-1": 7}
    assert kept.state.beats[-1].hosts == []
    kept.over(3)
    await kept.look()
    (end,) = kept.state.ended
    assert (end.id, end.token, end.outcome) == ("lease-1", 7, "exited with status 3")
    assert kept.ended is not None
    assert (kept.ended.status, kept.ended.reason) == (3, EndReason.RELEASED)
    await kept.look()
    assert len(kept.state.ended) == 1


async def test_what_ran_when_the_keeper_was_killed_goes_on_and_is_not_started_again(
    kept: Kept,
) -> None:
    kept.claimed()
    await kept.look()
    kept.restart()
    await kept.look()
    assert kept.driver.started == [kept.id]
    assert kept.state.beats[-1].leases == {"lease-1": 7}
    kept.restart()
    kept.over()
    await kept.look()
    assert kept.ended is not None


async def test_the_environment_is_forgotten_once_it_was_started(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    await kept.look()
    assert kept.folder.get(kept.id, Order).environment == {"SECRET": "hush"}
    kept.folder.write(kept.id, Started(1, 1))
    await kept.look()
    assert kept.folder.get(kept.id, Order).environment == {}


async def test_notice_and_stop_are_passed_on_once_each(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    kept.state.put(
        "lease-1", state=LeaseState.ENDING, ends_s=2_000_000_000, reason=EndReason.PREEMPTED
    )
    await kept.look()
    await kept.look()
    await kept.look()
    assert kept.driver.told == [Ending(2_000_000_000, "preempted")]
    kept.folder.write(kept.id, StopAsked(5))
    await kept.look()
    await kept.look()
    assert kept.driver.told[1:] == [Stop(5)]
    kept.folder.write(kept.id, StopAsked(0))
    await kept.look()
    assert kept.driver.told[2:] == [Stop(0)]
    kept.over()
    await kept.look()
    assert kept.ended is not None
    assert kept.ended.reason is EndReason.PREEMPTED


async def test_a_workload_whose_lease_is_gone_is_ended_at_once(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    await kept.look()
    kept.state.put("lease-1", state=LeaseState.ENDED, reason=EndReason.RELEASED)
    await kept.look()
    await kept.look()
    assert Kill() in kept.driver.told
    kept.over(137)
    await kept.look()
    assert kept.ended is not None


async def test_a_workload_whose_token_is_stale_is_ended_at_once(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    kept.state.put("lease-1", token=8)
    await kept.look()
    await kept.look()
    assert Kill() in kept.driver.told


async def test_a_lease_whose_shim_is_gone_is_given_back(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    kept.driver.progress = Progress.GONE
    await kept.look()
    assert kept.ended is not None
    assert (kept.ended.status, kept.ended.reason) == (None, EndReason.HOLDER_LOST)
    assert kept.state.ended[0].reason is EndReason.HOLDER_LOST


async def test_a_run_that_is_stopped_while_it_waits_gives_up_its_place(kept: Kept) -> None:
    kept.state.put("lease-1", state=LeaseState.WAITING)
    kept.claimed()
    kept.folder.write(kept.id, StopAsked())
    await kept.look()
    assert kept.driver.started == []
    assert kept.ended is not None
    assert kept.ended.outcome == "stopped before it began"


async def test_what_cannot_run_on_its_hosts_gives_its_lease_back_and_says_why(kept: Kept) -> None:
    kept.driver.refusal = BadRequest("3 ranks can't share 4 chips.")
    kept.claimed()
    await kept.look()
    assert kept.ended is not None
    assert kept.ended.outcome == "3 ranks can't share 4 chips."


async def test_the_lease_of_a_claim_whose_maker_died_is_found(kept: Kept) -> None:
    kept.folder.write(kept.id, Claim(OWNER, 1))
    kept.state.put("lease-1", purpose=f"{kept.id} python train.py")
    await kept.look()
    assert kept.folder.find(kept.id, Held) is None
    await kept.look(10)
    await kept.look()
    assert kept.folder.get(kept.id, Held) == Held("lease-1", 7)
    assert kept.driver.started == [kept.id]


async def test_a_claim_without_any_lease_is_forgotten(kept: Kept) -> None:
    kept.folder.write(kept.id, Claim(OWNER, 1))
    await kept.look()
    await kept.look(UNCLAIMED_S + 1)
    assert kept.folder.ids() == []


async def test_a_run_whose_lease_no_database_knows_is_ended_and_forgotten(kept: Kept) -> None:
    kept.claimed()
    kept.state.leases.clear()
    kept.driver.progress = Progress.RUNNING
    await kept.look()
    assert kept.driver.told == [Kill()]
    kept.driver.progress = Progress.OVER
    await kept.look()
    assert kept.folder.ids() == []


async def test_of_runs_that_ended_only_the_latest_are_kept(kept: Kept) -> None:
    kept.claimed()
    await kept.look()
    kept.over()
    await kept.look()
    first = kept.id
    ended = kept.ended
    assert ended is not None
    ids = Ids(kept.clock)
    for _ in range(KEPT):
        kept.clock.advance(seconds=0.001)
        path = kept.folder.order(ids, ORDER)
        os.link(kept.folder.path(first) / "ended.json", kept.folder.path(path) / "ended.json")
    await kept.look()
    assert first not in kept.folder.ids()
    assert len(kept.folder.ids()) == KEPT


def progress_at_rest(driver: LocalDriver, id: str) -> Progress:
    """How far a run is when no other process of this machine is amid an exec."""
    while (progress := driver.look(id)) is Progress.RUNNING:
        pass
    return progress


def test_a_shim_that_is_gone_hears_nothing(kept: Kept) -> None:
    driver = LocalDriver(kept.folder, kept.clock, kept.folder.root / "log")
    assert not driver.tell(kept.id, Kill())
    assert driver.look(kept.id) is Progress.NOT_STARTED
    os.mkfifo(kept.folder.path(kept.id) / "control")
    assert not driver.tell(kept.id, Kill())
    kept.folder.write(kept.id, Started(1, 1))
    assert progress_at_rest(driver, kept.id) is Progress.GONE


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="found through /proc")
def test_a_run_whose_shim_is_gone_is_over_when_nothing_of_it_runs_any_more(kept: Kept) -> None:
    driver = LocalDriver(kept.folder, kept.clock, kept.folder.root / "log")
    kept.folder.write(kept.id, Started(1, 1))
    pipe, mark = subprocess.PIPE, {"CRATON_RUN": kept.id}
    with subprocess.Popen(["cat"], env=mark, bufsize=0, stdin=pipe, stdout=pipe) as left:
        assert left.stdin is not None
        assert left.stdout is not None
        left.stdin.write(b"up")
        assert left.stdout.read(2) == b"up"
        assert driver.look(kept.id) is Progress.RUNNING
        assert left.wait() == -signal.SIGKILL
    assert progress_at_rest(driver, kept.id) is Progress.GONE


def test_ranks_that_cannot_share_the_chips_of_a_host_are_refused(kept: Kept) -> None:
    driver = LocalDriver(kept.folder, kept.clock, kept.folder.root / "log")
    order = Order(command=("true",), folder="/", environment={}, lease={}, ranks_per_host=3)
    with pytest.raises(BadRequest, match="3 ranks on a host can't share 4 h200 evenly"):
        driver.start(kept.id, order, lease(chip="h200", masks=[0b1111], chips=4))


def test_capacity_that_is_imagined_runs_nothing_and_never_ends_with_success(kept: Kept) -> None:
    local = LocalDriver(kept.folder, kept.clock, kept.folder.root / "log")
    driver = SimulatedDriver(kept.folder, kept.clock, local)
    held = lease(driver="simulated", is_simulated=True)
    assert driver.look(kept.id) is Progress.NOT_STARTED
    driver.start(kept.id, ORDER, held)
    assert driver.look(kept.id) is Progress.RUNNING
    assert driver.tell(kept.id, Ending(5, "preempted"))
    assert driver.look(kept.id) is Progress.RUNNING
    assert driver.tell(kept.id, Stop(None))
    assert driver.look(kept.id) is Progress.OVER
    result = kept.folder.get(kept.id, Result)
    assert result.status != 0
    assert "nothing ran" in result.outcome


def test_a_workload_is_started_once_and_never_again(kept: Kept) -> None:
    path = kept.folder.path(kept.id)
    kept.folder.write(kept.id, Started(1, 1))
    (path / "task.json").write_text("whatever it is, it isn't read")
    shim.serve(path, kept.clock)
    (path / "started.json").unlink()
    lock = os.open(path / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    shim.serve(path, kept.clock)
    os.close(lock)
    assert kept.folder.find(kept.id, Result) is None
    assert not (path / "started.json").exists()
