"""Leases: chips that an account holds, inside a reservation or of what is free now."""

from typing import Any

from craton.apis.native.contract import ById
from craton.apis.native.fleet_contract import AskOwned, LeaseEnd, LeasePage, NewLease
from craton.apis.native.fleet_owned import oldest_first, owner
from craton.apis.native.operation import READ, Caller, Operation
from craton.fleet.contract import (
    EndLease,
    Leases,
    LeasesQuery,
    LeaseView,
    RequestLease,
)
from craton.fleet.lookup import find_lease
from craton.fleet.records import LeaseKind
from craton.kernel.errors import AccessDenied, BadRequest, NotFound

LEASE = "craton:RequestLease"
END = "craton:EndLease"


async def request_lease(caller: Caller, new: NewLease) -> LeaseView:
    """Hold chips, or wait for them."""
    if new.priority > 0 and not caller.is_operator:
        raise AccessDenied(
            f"Key {caller.principal.key} asks for priority {new.priority}. Only operators let "
            "somebody pass others in the queue; ask for 0 or less."
        )
    if new.chips is not None and new.hosts is not None:
        raise BadRequest("Ask for chips or for hosts, not both.")
    command = RequestLease(
        owner=owner(caller),
        kind=_kind(new),
        chip=new.chip,
        instance_type=new.instance_type,
        zone=new.zone,
        pool=new.pool,
        chips=new.chips,
        hosts=new.hosts,
        chips_per_host=new.chips_per_host,
        reservation=new.reservation,
        seconds=new.seconds,
        priority=new.priority,
        purpose=new.purpose,
        client_token=new.client_token,
        is_one_row=new.is_one_row,
        is_one_leaf=new.is_one_leaf,
        hosts_per_leaf_max=new.hosts_per_leaf_max,
        wait=new.wait,
        chip_milli=new.chip_milli,
        cpu_milli=new.cpu_milli,
        memory_mib=new.memory_mib,
    )
    return await caller.services.state.call("request_lease", command, LeaseView)


def _kind(new: NewLease) -> LeaseKind:
    """The terms of a lease; what is inside a reservation, and nothing else, is paid for with it."""
    is_inside = new.reservation is not None
    kind = new.kind or (LeaseKind.RESERVED if is_inside else LeaseKind.ON_DEMAND)
    if is_inside is not (kind is LeaseKind.RESERVED):
        raise BadRequest(
            f"kind is {kind} {'inside' if is_inside else 'outside'} a reservation. Name a "
            "reservation to use what is paid for; leave it out for other kinds."
        )
    return kind


async def list_leases(caller: Caller, asked: AskOwned) -> LeasePage:
    """The leases the caller may see that wait or run."""
    query = LeasesQuery(caller.scope(asked.account))
    found = await caller.services.state.call("leases", query, Leases)
    return LeasePage(*oldest_first(found.leases, after=asked.after, limit=asked.limit))


async def get_lease(caller: Caller, asked: ById) -> LeaseView:
    """One lease, also one that has ended."""
    found = await find_lease(caller.services.state, asked.id, caller.scope(None))
    if found is None:
        raise NotFound(f"There is no lease {asked.id!r}. List them with `craton leases`.")
    return found


async def end_lease(caller: Caller, asked: LeaseEnd) -> LeaseView:
    """Give chips back, or give up waiting."""
    command = EndLease(asked.id, asked.token, caller.scope(None), asked.outcome)
    return await caller.services.state.call("end_lease", command, LeaseView)


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="RequestLease",
        method="POST",
        path="/leases",
        summary="Hold chips: inside a reservation, or of what is free now",
        action=LEASE,
        takes=NewLease,
        returns=LeaseView,
        run=request_lease,
        status=201,
    ),
    Operation(
        name="ListLeases",
        method="GET",
        path="/leases",
        summary="List the leases that wait or run, oldest first",
        action=READ,
        takes=AskOwned,
        returns=LeasePage,
        run=list_leases,
    ),
    Operation(
        name="GetLease",
        method="GET",
        path="/leases/{id}",
        summary="One lease, ended or not",
        action=READ,
        takes=ById,
        returns=LeaseView,
        run=get_lease,
    ),
    Operation(
        name="EndLease",
        method="DELETE",
        path="/leases/{id}",
        summary="Give chips back, or give up waiting for them",
        action=END,
        takes=LeaseEnd,
        returns=LeaseView,
        run=end_lease,
    ),
)
