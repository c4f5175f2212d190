"""Shares of the fleet, and its maintenance: who is meant to have how much, and when nobody."""

from typing import Annotated, Any

from msgspec import Meta

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import ById, OfAccount, Taken
from craton.apis.native.fleet_contract import CHIPS_MAX, Moment, Name
from craton.apis.native.operation import READ, Caller, Operation
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    MaintenanceView,
    MaintenanceViews,
    ScheduleMaintenance,
)
from craton.fleet.share_contract import SetShare, Shares, SharesQuery, ShareView


class AskShares(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for shares, of one account or of all the caller may see."""

    account: OfAccount | None = None


class NewShare(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gives an account so many chips of a kind as its share; null takes its share away."""

    account: OfAccount
    chip: Name
    chips: Annotated[int, Meta(ge=0, le=CHIPS_MAX)] | None


class AskMaintenance(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for the windows that are scheduled or under way, or for all there ever were."""

    is_all: bool = False


class NewMaintenance(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hosts to take out of use from one moment to another."""

    path: Annotated[str, Meta(min_length=1, max_length=256, description="As in a host's name.")]
    start_s: Moment
    end_s: Moment
    note: Annotated[str, Meta(max_length=1024)] = ""


async def list_shares(caller: Caller, asked: AskShares) -> Shares:
    """The shares that the caller may see, and how much of them is used."""
    query = SharesQuery(caller.scope(asked.account))
    return await caller.services.state.call("shares", query, Shares)


async def set_share(caller: Caller, new: NewShare) -> ShareView:
    """Change a share of an account that there is, by its id or name."""
    command = SetShare(caller.find_account(new.account), new.chip, new.chips)
    return await caller.services.state.call("set_share", command, ShareView)


async def list_maintenance(caller: Caller, asked: AskMaintenance) -> MaintenanceViews:
    """The windows, by their start."""
    query = MaintenanceQuery(asked.is_all)
    return await caller.services.state.call("maintenance", query, MaintenanceViews)


async def schedule_maintenance(caller: Caller, new: NewMaintenance) -> MaintenanceView:
    """Plan a window."""
    command = ScheduleMaintenance(new.path, new.start_s, new.end_s, new.note)
    return await caller.services.state.call("schedule_maintenance", command, MaintenanceView)


async def cancel_maintenance(caller: Caller, asked: ById) -> MaintenanceView:
    """Give a window up."""
    command = CancelMaintenance(asked.id)
    return await caller.services.state.call("cancel_maintenance", command, MaintenanceView)


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListShares",
        method="GET",
        path="/fleet/shares",
        summary="How many chips each account is meant to have, has, and borrows",
        action=READ,
        takes=AskShares,
        returns=Shares,
        run=list_shares,
    ),
    Operation(
        name="SetShare",
        method="POST",
        path="/fleet/shares",
        summary="Say how many chips of a kind an account is meant to have",
        action=ADMINISTER,
        takes=NewShare,
        returns=ShareView,
        run=set_share,
    ),
    Operation(
        name="ListMaintenance",
        method="GET",
        path="/fleet/maintenance",
        summary="List the maintenance that is scheduled or under way",
        action=ADMINISTER,
        takes=AskMaintenance,
        returns=MaintenanceViews,
        run=list_maintenance,
    ),
    Operation(
        name="ScheduleMaintenance",
        method="POST",
        path="/fleet/maintenance",
        summary="Take hosts out of use for a while; refused where a promise would lack them",
        action=ADMINISTER,
        takes=NewMaintenance,
        returns=MaintenanceView,
        run=schedule_maintenance,
        status=201,
    ),
    Operation(
        name="CancelMaintenance",
        method="DELETE",
        path="/fleet/maintenance/{id}",
        summary="Give up maintenance, or end it now",
        action=ADMINISTER,
        takes=ById,
        returns=MaintenanceView,
        run=cancel_maintenance,
    ),
)
