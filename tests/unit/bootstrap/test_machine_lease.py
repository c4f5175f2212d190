"""The lease under which this machine's models run, and whom it gives way to."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.access.records import Account, Project
from craton.bootstrap.machine_lease import FirstOwner, MachineLease
from craton.fleet.contract import Owner
from craton.fleet.records import EndReason, LeaseKind, LeaseState
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BudgetExceeded, Unavailable
from craton.kernel.log import Level, Log
from craton.store.kind import Change
from tests.fakes.leases import FakeLeases, lease


def change(kind: str, body: Any) -> Change:
    return Change(kind, body.id, msgspec.json.encode(body))


class Lent:
    """A machine's lease over made-up leases; waits take no time."""

    def __init__(self, folder: Path) -> None:
        self.state = FakeLeases()
        self.clock = ManualClock()
        self.words: list[str | None] = []
        self.owner = FirstOwner()
        self.token_file = folder / "machine_lease"
        for id, at in (("222222222222", 9), ("111111111111", 3)):
            self.owner.apply(change("account", Account(id, "a", at)))
            self.owner.apply(change("project", Project("p-" + id, id, "default", at)))
        self.restart()

    def restart(self) -> None:
        state: Any = self.state
        self.lease = MachineLease(
            state,
            self.owner,
            self.words.append,
            token_file=self.token_file,
            clock=self.clock,
            log=Log("test", level=Level.ERROR),
            beat_s=0.001,
            again_s=0.001,
            margin_s=0,
        )

    def run(self) -> asyncio.Task[None]:
        opened = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        needed = asyncio.Event()
        needed.set()
        return asyncio.get_running_loop().create_task(self.lease.run(opened, needed))

    async def says(self, wanted: str | None) -> None:
        """Wait until this is the last word."""
        async with asyncio.timeout(5):
            while not self.words or (
                self.words[-1] is not None if wanted is None else wanted not in str(self.words[-1])
            ):
                await asyncio.sleep(0.001)


@pytest.fixture
def lent(tmp_path: Path) -> Lent:
    return Lent(tmp_path)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_is_asked_for_on_behalf_of_who_was_there_first_and_lasts_through_restarts(
    lent: Lent,
) -> None:
    task = lent.run()
    await lent.says(None)
    await end(task)
    (asked,) = lent.state.asked
    assert asked.owner == Owner("111111111111", "p-111111111111", "craton")
    assert (asked.kind, asked.pool, asked.wait) == (
        LeaseKind.INTERRUPTIBLE,
        "local/craton.local",
        True,
    )
    lent.restart()
    lent.words.clear()
    task = lent.run()
    await lent.says(None)
    await end(task)
    assert len(lent.state.leases) == 1


async def test_nothing_is_asked_for_where_engines_do_not_run_on_the_machines_chips(
    lent: Lent,
) -> None:
    lent.state.chip = "h200"
    await lent.run()
    assert lent.words == [None]
    assert lent.state.asked == []


@pytest.mark.parametrize("error", [Unavailable("Not there."), BudgetExceeded("Nothing left.")])
async def test_models_serve_where_no_lease_can_be_had(
    lent: Lent, error: Unavailable | BudgetExceeded
) -> None:
    lent.state.error = error
    task = lent.run()
    await lent.says(None)
    lent.state.error = None
    async with asyncio.timeout(5):
        while not lent.state.asked:
            await asyncio.sleep(0.001)
    await end(task)


async def test_models_go_when_the_lease_ends_and_come_back_with_a_new_one(lent: Lent) -> None:
    task = lent.run()
    await lent.says(None)
    now_s = lent.clock.now_ns() // 10**9
    lent.state.put(
        "lease-1", state=LeaseState.ENDING, ends_s=now_s + 100, reason=EndReason.PREEMPTED
    )
    await asyncio.sleep(0.02)
    assert lent.words[-1] is None, "what has notice runs until its end"
    lent.clock.advance(seconds=99)
    await lent.says("leased for other work")
    lent.state.grants = LeaseState.WAITING
    lent.state.leases["lease-x"] = lease("lease-x", until_s=1_800_003_600)
    lent.state.put("lease-1", state=LeaseState.ENDED)
    await lent.says("until 2027-01-15 09:00:00 UTC")
    assert lent.state.asked[0].client_token != lent.state.asked[-1].client_token
    del lent.state.leases["lease-x"]
    lent.state.put("lease-2", state=LeaseState.ACTIVE)
    await lent.says(None)
    await end(task)


async def test_models_give_way_to_who_waits_once_running_requests_had_time_to_end(
    lent: Lent,
) -> None:
    task = lent.run()
    await lent.says(None)
    now_s = lent.clock.now_ns() // 10**9
    lent.state.put(
        "lease-1", state=LeaseState.ENDING, ends_s=now_s + 120, reason=EndReason.PREEMPTED
    )
    lent.state.leases["lease-x"] = lease("lease-x", state=LeaseState.WAITING, hosts=[], masks=[])
    await asyncio.sleep(0.02)
    assert lent.words[-1] is None
    assert lent.state.ended == []
    lent.state.grants = LeaseState.WAITING
    lent.clock.advance(seconds=11)
    await lent.says("leased for other work")
    async with asyncio.timeout(5):
        while not lent.state.ended:
            await asyncio.sleep(0.001)
    (given_back,) = lent.state.ended
    assert (given_back.id, given_back.reason) == ("lease-1", EndReason.PREEMPTED)
    await end(task)


async def test_a_lease_that_its_budget_ends_does_not_stop_models_that_nobody_displaces(
    lent: Lent,
) -> None:
    task = lent.run()
    await lent.says(None)
    now_s = lent.clock.now_ns() // 10**9
    lent.state.put("lease-1", state=LeaseState.ENDING, ends_s=now_s, reason=EndReason.OUT_OF_BUDGET)
    await asyncio.sleep(0.02)
    assert set(lent.words) == {None}
    await end(task)


async def test_a_lease_that_is_lost_is_asked_for_anew_without_stopping_anything(
    lent: Lent,
) -> None:
    task = lent.run()
    await lent.says(None)
    lent.state.put("lease-1", state=LeaseState.ENDED, reason=EndReason.HOLDER_LOST)
    async with asyncio.timeout(5):
        while "lease-2" not in lent.state.leases:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert set(lent.words) == {None}
    await end(task)
