"""Runs: commands on the chips of a lease, on this machine or on capacity that is simulated.

Only who can write into the data folder can order one, and only an operator's key, or one that a
policy lets, can have it started: it runs as the user that Craton runs as.
"""

import asyncio
from typing import Any

import msgspec

from craton.apis.native.contract import ById
from craton.apis.native.fleet_contract import NewLease
from craton.apis.native.fleet_leases import request_lease
from craton.apis.native.fleet_owned import owner
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.runs_contract import (
    AskRunLog,
    AskRuns,
    RunLog,
    RunPage,
    RunView,
    StartRun,
    StopRun,
)
from craton.fleet.contract import Leases, LeasesQuery, LeaseView
from craton.fleet.lookup import find_lease
from craton.fleet.records import LeaseState
from craton.fleet.run_folder import RunFolder
from craton.fleet.run_log import log_bytes, read_log
from craton.fleet.run_records import Claim, Ended, Held, Order, Result, RunState, Started, StopAsked
from craton.kernel.errors import AccessDenied, BadRequest, CratonError, NotFound, Unavailable

RUN = "craton:RunWorkload"
STOP = "craton:StopRun"
LOG_PART_BYTES = 256 * 1024
PURPOSE_MAX = 256


async def start_run(caller: Caller, asked: StartRun) -> RunView:
    """Take an order: ask for its lease. The fleet keeper starts it when the lease begins."""
    _check_right(caller)
    folder = _folder(caller)
    order = await asyncio.to_thread(folder.get, asked.id, Order)
    if await asyncio.to_thread(folder.find, asked.id, Claim) is not None:
        return await get_run(caller, ById(id=asked.id))
    what = order.name or " ".join(order.command)
    terms = {"purpose": f"{asked.id} {what}"[:PURPOSE_MAX], "client_token": asked.id}
    try:
        new = msgspec.convert({**order.lease, **terms}, NewLease)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The order of {asked.id} asks for no lease there is: {error}.") from None
    claim = Claim(owner(caller), caller.services.clock.now_ns() // 1_000_000)
    await asyncio.to_thread(folder.write, asked.id, claim)
    try:
        lease = await request_lease(caller, new)
    except Unavailable:
        raise  # it may have been granted: the fleet keeper looks for it
    except CratonError:
        await asyncio.to_thread(folder.drop, asked.id)
        raise
    await asyncio.to_thread(folder.write, asked.id, Held(lease.id, lease.token))
    return await asyncio.to_thread(_view, folder, asked.id, claim, lease)


def _check_right(caller: Caller) -> None:
    """Who isn't an operator needs a policy that allows it: without any, other things are free."""
    if caller.is_operator or caller.services.directory.bound(caller.principal) is not None:
        return
    raise AccessDenied(
        f"Key {caller.principal.key} may not run commands on this machine: they would run as the "
        f"user that Craton runs as. An operator may allow {RUN} with `craton policies`."
    )


def _folder(caller: Caller) -> RunFolder:
    folder = caller.services.runs
    if folder is None:
        raise NotFound("This Craton has no data folder that runs could be kept in.")
    return folder


async def list_runs(caller: Caller, asked: AskRuns) -> RunPage:
    """The runs that the caller may see, over or not."""
    account = caller.scope(asked.account)
    found = await caller.services.state.call("leases", LeasesQuery(account), Leases)
    leases = {lease.id: lease for lease in found.leases}
    folder = _folder(caller)
    runs, more = await asyncio.to_thread(_page, folder, asked, account, leases)
    return RunPage(runs, runs[-1].id if more else None)


def _page(
    folder: RunFolder, asked: AskRuns, account: str | None, leases: dict[str, LeaseView]
) -> tuple[list[RunView], bool]:
    runs: list[RunView] = []
    for id in folder.ids():
        if asked.after is not None and id <= asked.after:
            continue
        claim = folder.find(id, Claim)
        if claim is None or account not in (None, claim.owner.account):
            continue
        if len(runs) == asked.limit:
            return runs, True
        held = folder.find(id, Held)
        runs.append(_view(folder, id, claim, leases.get(held.lease) if held else None))
    return runs, False


async def get_run(caller: Caller, asked: ById) -> RunView:
    """One run."""
    folder = _folder(caller)
    claim = await asyncio.to_thread(_claim, caller, folder, asked.id)
    held = await asyncio.to_thread(folder.find, asked.id, Held)
    lease = None if held is None else await find_lease(caller.services.state, held.lease)
    return await asyncio.to_thread(_view, folder, asked.id, claim, lease)


def _claim(caller: Caller, folder: RunFolder, id: str) -> Claim:
    """Whose run it is; NotFound where it isn't the caller's to see."""
    claim = folder.find(id, Claim)
    account = caller.scope(None)
    if claim is None or account not in (None, claim.owner.account):
        raise NotFound(f"There is no run {id!r}. List them with `craton run ps`.")
    return claim


async def stop_run(caller: Caller, asked: StopRun) -> RunView:
    """Have a run ended. What has ended stays as it is."""
    folder = _folder(caller)
    await asyncio.to_thread(_claim, caller, folder, asked.id)
    if await asyncio.to_thread(folder.find, asked.id, Ended) is None:
        await asyncio.to_thread(folder.write, asked.id, StopAsked(asked.grace_s))
    return await get_run(caller, ById(id=asked.id))


async def read_run_log(caller: Caller, asked: AskRunLog) -> RunLog:
    """A part of what a run wrote; an empty one where nothing is there yet."""
    folder = _folder(caller)
    await asyncio.to_thread(_claim, caller, folder, asked.id)
    return await asyncio.to_thread(_part, folder, asked)


def _part(folder: RunFolder, asked: AskRunLog) -> RunLog:
    # Asked before the log is read: what was written before the end is in the part.
    is_over = folder.find(asked.id, Ended) is not None
    part = read_log(folder.path(asked.id), asked.start, LOG_PART_BYTES)
    return RunLog(part.text, part.start, part.next, is_over and part.next == part.start)


def _view(folder: RunFolder, id: str, claim: Claim, lease: LeaseView | None) -> RunView:
    order = folder.get(id, Order)
    ended = folder.find(id, Ended)
    started = folder.find(id, Started)
    result = folder.find(id, Result)
    if ended is not None:
        lease = ended.lease
    is_simulated = lease is not None and lease.is_simulated
    ends_s = None if lease is None else lease.ends_s or lease.until_s
    return RunView(
        id=id,
        name=order.name,
        account=claim.owner.account,
        command=order.command,
        state=_state(order, lease, started, ended),
        lease="" if lease is None else lease.id,
        queue_position=None if lease is None else lease.queue_position,
        is_simulated=is_simulated,
        is_rehearsal=order.is_rehearsal,
        chip="" if lease is None else lease.chip,
        chips=0 if lease is None else lease.chips,
        part=None if lease is None else lease.part,
        hosts=[] if lease is None else lease.hosts,
        ranks=0 if lease is None else len(lease.hosts) * order.ranks_per_host,
        created_ms=claim.at_ms,
        started_ms=None if started is None else started.at_ms,
        ended_ms=None if ended is None else ended.at_ms,
        ends_s=ends_s,
        status=result.status if result is not None else None,
        reason=None if lease is None else lease.reason,
        outcome=ended.outcome if ended is not None else "",
        spent_nanos=0 if lease is None else lease.spent_nanos,
        currency="USD" if lease is None else lease.currency,
        log_bytes=log_bytes(folder.path(id)),
    )


def _state(
    order: Order, lease: LeaseView | None, started: Started | None, ended: Ended | None
) -> RunState:
    if ended is not None:
        return RunState.ENDED
    if lease is None or lease.state is LeaseState.WAITING:
        return RunState.WAITING
    if started is None:
        return RunState.STARTING
    is_held = lease.is_simulated and not order.is_rehearsal
    return RunState.SIMULATED if is_held else RunState.RUNNING


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="StartRun",
        method="POST",
        path="/runs",
        summary="Start a command whose order lies in the data folder: `craton run` writes one",
        action=RUN,
        takes=StartRun,
        returns=RunView,
        run=start_run,
        status=201,
    ),
    Operation(
        name="ListRuns",
        method="GET",
        path="/runs",
        summary="List commands that wait, run or ended, oldest first",
        action=READ,
        takes=AskRuns,
        returns=RunPage,
        run=list_runs,
    ),
    Operation(
        name="GetRun",
        method="GET",
        path="/runs/{id}",
        summary="One run, ended or not",
        action=READ,
        takes=ById,
        returns=RunView,
        run=get_run,
    ),
    Operation(
        name="ReadRunLog",
        method="GET",
        path="/runs/{id}/log",
        summary="A part of what a run wrote",
        action=READ,
        takes=AskRunLog,
        returns=RunLog,
        run=read_run_log,
    ),
    Operation(
        name="StopRun",
        method="DELETE",
        path="/runs/{id}",
        summary="End a run: SIGTERM, then SIGKILL after its grace",
        action=STOP,
        takes=StopRun,
        returns=RunView,
        run=stop_run,
    ),
)
