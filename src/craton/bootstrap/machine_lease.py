"""The lease under which this machine's own models run: interruptible, of the lowest priority.

The embedded engines run on the machine's processor. Where that is what the fleet has of this
machine, they hold it like any other work, paid by the operator's own account, and give way to who
pays for it: a block, a lease on demand, an interruptible one of higher priority. Where the fleet
can't be asked, or has no room in a budget, models serve all the same.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from craton.access.records import ACCOUNTS, PROJECTS, Account, Project
from craton.fleet.contract import (
    Alive,
    AliveAnswer,
    EndLease,
    FleetQuery,
    FleetView,
    Leases,
    LeasesQuery,
    LeaseView,
    Owner,
    RequestLease,
)
from craton.fleet.lookup import find_lease
from craton.fleet.records import EndReason, LeaseKind, LeaseState
from craton.fleet.run_records import HERE, MARGIN_S, PROCESSOR
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError
from craton.kernel.files import write_private
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.store.client import StateClient
from craton.store.kind import Change

PURPOSE = "model replicas"
PRIORITY = -1000
"""The lowest that anybody may ask for."""
BEAT_S = 1.0
GIVE_WAY_S = 10.0
"""How long running requests have to end before models give way to who waits."""
AGAIN_S = 30.0
"""How soon it is asked for again where it was refused, while models serve without it."""

Lend = Callable[[str | None], None]
"""Told None when engines may use the machine, else why they may not."""


class FirstOwner:
    """Who pays for it: the account that was made first, and its first project."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._projects: dict[str, Project] = {}

    def apply(self, change: Change) -> None:
        """Take a change of the snapshot."""
        if change.body is None:
            return
        if change.kind == ACCOUNTS.name:
            self._accounts[change.id] = ACCOUNTS.decode(change.body)
        elif change.kind == PROJECTS.name:
            self._projects[change.id] = PROJECTS.decode(change.body)

    def find(self) -> Owner | None:
        """The owner, once the snapshot is there."""
        account = min(self._accounts.values(), key=lambda each: each.created_ms, default=None)
        if account is None:
            return None
        own = [each for each in self._projects.values() if each.account == account.id]
        project = min(own, key=lambda each: each.created_ms, default=None)
        return Owner(account.id, project.id if project else "", "craton")


class MachineLease:
    """Asks for the lease, keeps it, and tells the engines when they may run."""

    def __init__(
        self,
        state: StateClient,
        owner: FirstOwner,
        lend: Lend,
        *,
        token_file: Path,
        clock: Clock,
        log: Log,
        beat_s: float = BEAT_S,
        again_s: float = AGAIN_S,
        margin_s: float = MARGIN_S,
    ) -> None:
        self._margin_s = margin_s
        self._told_ns: int | None = None
        self._beat_s = beat_s
        self._again_s = again_s
        self._state = state
        self._owner = owner
        self._lend = lend
        self._token_file = token_file
        self._clock = clock
        self._ids = Ids(clock)
        self._log = log
        self.why_not: str | None = None
        """Why engines may not run; None while they may, or nothing is known yet."""

    async def run(self, opened: asyncio.Task[None], needed: asyncio.Event) -> None:
        """From when a model needs an engine, for as long as Craton runs.

        `opened`: connecting to the state process, after which its snapshot is whole.
        """
        await opened
        await needed.wait()
        while True:
            try:
                if not await self._is_processor():
                    self._say(None)
                    return
                await self._hold_once()
                continue
            except CratonError as error:
                self._log.warning("machine_not_leased", error=error.message)
                self._say(None)
            await asyncio.sleep(self._again_s)

    async def _is_processor(self) -> bool:
        """Whether what the fleet has of this machine is what engines run on."""
        fleet = await self._state.call("fleet", FleetQuery(HERE.partition("/")[0]), FleetView)
        return any(pool.key == HERE and pool.chip == PROCESSOR for pool in fleet.pools)

    async def _hold_once(self) -> None:
        """Ask for a lease, and see it to its end."""
        lease = await self._ask()
        while lease.state is not LeaseState.ENDED:
            if lease.state is LeaseState.WAITING:
                self._say(await self._who_has_it())
            elif self._is_near(lease):
                self._say(_leased(None))
            elif await self._gives_way(lease):
                self._say(_leased(None))
                await asyncio.sleep(self._margin_s)
                await self._give_back(lease)
            else:
                self._say(None)
            await asyncio.sleep(self._beat_s)
            lease = await self._heard_of(lease)

    async def _ask(self) -> LeaseView:
        """The lease of before a restart, if it is still ours; else a new one."""
        token = await asyncio.to_thread(_read, self._token_file)
        if token:
            lease = await self._request(token)
            if lease.state is not LeaseState.ENDED:
                return lease
        token = self._ids.request_id()
        # Written before it is used, so that no restart asks for a second one.
        await asyncio.to_thread(write_private, self._token_file, token.encode())
        return await self._request(token)

    async def _request(self, token: str) -> LeaseView:
        owner = self._owner.find()
        assert owner is not None, "the snapshot has an account"
        command = RequestLease(
            owner=owner,
            kind=LeaseKind.INTERRUPTIBLE,
            pool=HERE,
            hosts=1,
            priority=PRIORITY,
            purpose=PURPOSE,
            client_token=token,
            wait=True,
        )
        return await self._state.call("request_lease", command, LeaseView, resend=True)

    async def _heard_of(self, lease: LeaseView) -> LeaseView:
        """Give a sign of life for it, and hear how it stands."""
        if lease.state is not LeaseState.WAITING:
            alive = Alive([], {lease.id: lease.token})
            answer = await self._state.call("alive", alive, AliveAnswer)
            if lease.state is LeaseState.ACTIVE and not answer.fenced and not answer.ending:
                return lease
        found = await find_lease(self._state, lease.id)
        return found if found is not None else await self._ask()

    def _is_near(self, lease: LeaseView) -> bool:
        """Whether the end is so near that engines stop now, to be gone by then."""
        if lease.reason is EndReason.OUT_OF_BUDGET:
            return False  # nobody waits for the machine, and each request is within its budgets
        ends_s = lease.ends_s
        return ends_s is not None and self._clock.now_ns() / 1e9 > ends_s - MARGIN_S

    async def _gives_way(self, lease: LeaseView) -> bool:
        """Whether somebody waits for the machine, and running requests had time to end.

        Models have nothing to save, so who waits needn't wait for all of the notice. A block that
        is to start has its moment, and nobody is served by stopping earlier.
        """
        if lease.state is not LeaseState.ENDING or lease.reason is not EndReason.PREEMPTED:
            self._told_ns = None
            return False
        now_ns = self._clock.monotonic_ns()
        if self._told_ns is None:
            self._told_ns = now_ns
        if now_ns - self._told_ns < GIVE_WAY_S * 1e9:
            return False
        found = await self._state.call("leases", LeasesQuery(), Leases)
        return any(each.pool == HERE and each.state is LeaseState.WAITING for each in found.leases)

    async def _give_back(self, lease: LeaseView) -> None:
        command = EndLease(lease.id, lease.token, None, "gave way", EndReason.PREEMPTED)
        await self._state.call("end_lease", command, LeaseView, resend=True)

    async def _who_has_it(self) -> str:
        """What is told of the machine while others have it: until when, and not who."""
        found = await self._state.call("leases", LeasesQuery(), Leases)
        ends = [
            lease.ends_s or lease.until_s
            for lease in found.leases
            if lease.pool == HERE and lease.state is not LeaseState.WAITING
        ]
        if not ends:
            return _away("reserved, or set aside")
        known = [end for end in ends if end is not None]
        return _leased(max(known) if known and len(known) == len(ends) else None)

    def _say(self, why_not: str | None) -> None:
        if why_not != self.why_not:
            self._log.info("machine_lent", why_not=why_not)
        self.why_not = why_not
        self._lend(why_not)


def _leased(until_s: int | None) -> str:
    until = "until that is released" if until_s is None else f"until {_utc(until_s)} UTC"
    return _away(f"leased for other work {until}")


def _away(why: str) -> str:
    return (
        f"The machine that it runs on is {why}. It comes back by itself; use another model "
        "meanwhile."
    )


def _utc(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
