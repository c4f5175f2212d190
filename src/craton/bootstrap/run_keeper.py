"""Keeps every run going as it should: started when its lease begins, ended when that ends.

All that is known of a run lies in its folder and in the state process, so a keeper that was killed
goes on where things stand. What doesn't fit is put right: a shim whose lease is gone is ended, and
a lease whose shim is gone is given back.
"""

from dataclasses import dataclass, field

import msgspec

from craton.bootstrap.drivers import Driver, Drivers, Progress
from craton.bootstrap.shim_contract import Ending, Kill, Stop
from craton.fleet.contract import (
    Alive,
    AliveAnswer,
    EndLease,
    Leases,
    LeasesQuery,
    LeaseView,
)
from craton.fleet.lookup import find_lease
from craton.fleet.records import EndReason, LeaseState
from craton.fleet.run_folder import KEPT_MAX, RunFolder
from craton.fleet.run_records import Claim, Ended, Held, Order, Result, Started, StopAsked
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest, CratonError
from craton.kernel.log import Log
from craton.store.client import StateClient

BEAT_S = 1.0
UNCLAIMED_S = 60
"""An order that nobody took by then is forgotten: who wrote it is gone."""
ADOPT_AFTER_S = 5
"""A claim without its lease by then was made by a process that died: its lease is looked for."""


@dataclass(slots=True)
class _Run:
    """What is known of a run that isn't over."""

    id: str
    seen_ms: int
    held: Held | None = None
    lease: LeaseView | None = None
    """As last heard of: current while it waits, and once something happened to it."""
    is_started: bool = False
    is_fenced: bool = False
    is_scrubbed: bool = False
    stop: StopAsked | None = None
    told: set[object] = field(default_factory=set[object])


class RunKeeper:
    """Sees to the runs of a data folder. Only one process may."""

    def __init__(
        self,
        folder: RunFolder,
        drivers: Drivers,
        state: StateClient,
        clock: Clock,
        log: Log,
        *,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._kept_max = kept_max
        self._folder = folder
        self._drivers = drivers
        self._state = state
        self._clock = clock
        self._log = log
        self._open: dict[str, _Run] = {}
        self._closed: set[str] = set()
        self._beaten_ns = 0

    async def look(self) -> None:
        """See to each run that isn't over, and give signs of life for those that run."""
        if not self._open and not self._folder.is_touched():
            return
        ids = self._folder.ids()
        for id in ids:
            if id in self._closed:
                continue
            try:
                await self._see(id)
            except (CratonError, OSError) as error:
                self._log.warning("run_not_seen_to", run=id, error=str(error))
        await self._beat()
        self._keep_few(ids)

    async def _see(self, id: str) -> None:
        if self._folder.find(id, Ended) is not None:
            self._closed.add(id)
            self._open.pop(id, None)
            return
        run = self._open.get(id)
        if run is None:
            run = self._open[id] = _Run(id, self._now_ms())
        run.stop = self._folder.find(id, StopAsked)  # which may have become more urgent
        run.held = run.held or self._folder.find(id, Held)
        if run.held is None:
            await self._unheld(run)
            return
        if run.lease is None or run.lease.state is LeaseState.WAITING:
            run.lease = await find_lease(self._state, run.held.lease)
        if run.lease is None:
            self._without_lease(run)
            return
        if run.lease.state is LeaseState.WAITING:
            if run.stop is not None:
                await self._end(run, run.held, "stopped before it began")
            return
        driver = self._drivers.of(run.lease)
        progress = driver.look(id)
        run.is_started = progress in (Progress.STARTING, Progress.RUNNING)
        if run.is_started:
            self._running(run, driver)
        elif progress is Progress.NOT_STARTED:
            await self._begin(run, run.held, driver)
        else:
            await self._over(run, run.held)

    async def _unheld(self, run: _Run) -> None:
        """An order without a lease: not taken yet, or by a process that died on the way."""
        claim = self._folder.find(run.id, Claim)
        waited_s = (self._now_ms() - run.seen_ms) / 1000
        if claim is None:
            if waited_s > UNCLAIMED_S:
                self._forget(run)
            return
        if waited_s < ADOPT_AFTER_S:
            return
        query = LeasesQuery(claim.owner.account)
        for lease in (await self._state.call("leases", query, Leases)).leases:
            if lease.purpose.split(" ", 1)[0] == run.id:
                self._folder.write(run.id, Held(lease.id, lease.token))
                return
        if waited_s > UNCLAIMED_S:
            self._forget(run)

    def _forget(self, run: _Run) -> None:
        self._log.info("run_forgotten", run=run.id)
        self._folder.drop(run.id)
        del self._open[run.id]

    async def _begin(self, run: _Run, held: Held, driver: Driver) -> None:
        assert run.lease is not None, "the caller asked for it"
        if run.stop is not None or run.lease.state is LeaseState.ENDED:
            await self._end(run, held, "ended before it began")
            return
        order = self._folder.get(run.id, Order)
        try:
            driver.start(run.id, order, run.lease)
        except BadRequest as error:
            await self._end(run, held, error.message)
            return
        self._log.info("run_started", run=run.id, lease=held.lease)

    def _running(self, run: _Run, driver: Driver) -> None:
        """Pass on what happened to its lease, and what was asked of it."""
        assert run.lease is not None, "the caller asked for it"
        if self._folder.find(run.id, Started) is not None:
            self._scrub(run)
        if run.is_fenced:
            driver.tell(run.id, Kill())
        elif run.stop is not None:
            self._tell(run, driver, Stop(run.stop.grace_s))
        if run.lease.state is LeaseState.ENDING and run.lease.ends_s is not None:
            reason = run.lease.reason or EndReason.PREEMPTED
            self._tell(run, driver, Ending(run.lease.ends_s, reason))

    def _tell(self, run: _Run, driver: Driver, word: Ending | Stop) -> None:
        if word not in run.told and driver.tell(run.id, word):
            run.told.add(word)
            self._log.info("run_told", run=run.id, word=type(word).__name__)

    def _scrub(self, run: _Run) -> None:
        """Forget the environment that the command was ordered in, which may hold secrets."""
        if run.is_scrubbed:
            return
        order = self._folder.get(run.id, Order)
        self._folder.write(run.id, msgspec.structs.replace(order, environment={}))
        run.is_scrubbed = True

    async def _over(self, run: _Run, held: Held) -> None:
        result = self._folder.find(run.id, Result)
        if result is not None:
            await self._end(run, held, result.outcome, status=result.status)
            return
        await self._end(
            run,
            held,
            "whoever ran it was killed, or the machine was restarted",
            reason=EndReason.HOLDER_LOST,
        )

    async def _end(
        self,
        run: _Run,
        held: Held,
        outcome: str,
        *,
        status: int | None = None,
        reason: EndReason = EndReason.RELEASED,
    ) -> None:
        """Give the lease back, and write down how it ended."""
        if run.lease is not None and run.lease.state is LeaseState.ENDING:
            reason = run.lease.reason or reason  # it had notice, and went before its end
        command = EndLease(held.lease, held.token, None, outcome, reason)
        lease = await self._state.call("end_lease", command, LeaseView, resend=True)
        ended = Ended(
            at_ms=self._now_ms(),
            status=status,
            outcome=outcome,
            reason=lease.reason or reason,
            lease=lease,
        )
        self._scrub(run)
        self._folder.write(run.id, ended)
        self._log.info("run_ended", run=run.id, lease=held.lease, outcome=outcome)

    def _without_lease(self, run: _Run) -> None:
        """The database doesn't know its lease, as after one of a backup: end it and forget it."""
        drivers = self._drivers.by_kind.values()
        if any(driver.look(run.id) is Progress.RUNNING for driver in drivers):
            for driver in drivers:
                driver.tell(run.id, Kill())
            return
        self._forget(run)

    async def _beat(self) -> None:
        """Say which leases are in use; hear which aren't ours any more, and which end."""
        now_ns = self._clock.monotonic_ns()
        running = [run for run in self._open.values() if run.is_started and run.held is not None]
        if not running or now_ns - self._beaten_ns < BEAT_S * 1e9:
            return
        self._beaten_ns = now_ns
        tokens = {run.held.lease: run.held.token for run in running if run.held is not None}
        # This machine's host needs no sign of life: what watches for them runs on it.
        answer = await self._state.call("alive", Alive([], tokens), AliveAnswer)
        for run in running:
            assert run.held is not None, "it runs"
            if run.held.lease in answer.fenced:
                run.is_fenced = True
            elif answer.ending.get(run.held.lease) is not None:
                run.lease = await find_lease(self._state, run.held.lease)

    def _keep_few(self, ids: list[str]) -> None:
        ended = [id for id in ids if id in self._closed]
        for id in ended[: -self._kept_max]:
            self._folder.drop(id)
            self._closed.discard(id)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000
