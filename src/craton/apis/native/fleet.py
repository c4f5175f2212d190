"""The fleet: operators describe it, set hosts aside, and see how much of it is taken and when."""

from typing import Any

from craton.access.policy import ADMINISTER
from craton.apis.native.fleet_contract import (
    AskCalendar,
    AskFleet,
    Calendars,
    NewFleet,
    NewMark,
)
from craton.apis.native.operation import Caller, Operation
from craton.fleet.contract import (
    ApplyFleet,
    CalendarQuery,
    CalendarView,
    FleetQuery,
    FleetView,
    Marked,
    MarkHosts,
)
from craton.kernel.errors import BadRequest

DAY_S = 86_400
CALENDAR_DAYS = 56
CALENDAR_DAYS_MAX = 400
APPLY_TIMEOUT_S = 60
"""A fleet of many hosts is built anew, with all that is promised and held of it."""
TOML = "application/toml"


async def get_fleet(caller: Caller, asked: AskFleet) -> FleetView:
    """The fleet as it is now, or what is under a path."""
    return await caller.services.state.call("fleet", FleetQuery(asked.path), FleetView)


async def apply_fleet(caller: Caller, new: NewFleet) -> FleetView:
    """Put a fleet file in force."""
    return await caller.services.state.call(
        "apply_fleet", ApplyFleet(new.text), FleetView, timeout_s=APPLY_TIMEOUT_S
    )


async def mark_hosts(caller: Caller, new: NewMark) -> Marked:
    """Set hosts aside, or take them into use again."""
    command = MarkHosts(new.path, new.state, new.note, new.chips)
    return await caller.services.state.call("mark_hosts", command, Marked)


async def get_calendar(caller: Caller, asked: AskCalendar) -> Calendars:
    """How many units are free and when, of one pool or of each."""
    state = caller.services.state
    now_s = caller.services.clock.now_ns() // 1_000_000_000
    start_s = now_s if asked.start_s is None else asked.start_s
    end_s = start_s + CALENDAR_DAYS * DAY_S if asked.end_s is None else asked.end_s
    if start_s < now_s:
        raise BadRequest(
            f"start_s is {start_s}, which is over: the calendar begins now. Leave it out."
        )
    if not 0 < end_s - start_s <= CALENDAR_DAYS_MAX * DAY_S:
        raise BadRequest(
            f"end_s must be after start_s, by {CALENDAR_DAYS_MAX} days at most; it is "
            f"{end_s - start_s} seconds after."
        )
    pools = [asked.pool]
    if asked.pool is None:
        fleet = await state.call("fleet", FleetQuery(with_racks=False), FleetView)
        pools = [pool.key for pool in fleet.pools]
    return Calendars(
        [
            await state.call("calendar", CalendarQuery(pool, start_s, end_s), CalendarView)
            for pool in pools
            if pool is not None
        ]
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="GetFleet",
        method="GET",
        path="/fleet",
        summary="Sites, rows, racks and pools: what there is, what is taken, what is broken",
        action=ADMINISTER,
        takes=AskFleet,
        returns=FleetView,
        run=get_fleet,
    ),
    Operation(
        name="ApplyFleet",
        method="PUT",
        path="/fleet",
        summary="Put a fleet file in force; refused whole if it would break a promise",
        action=ADMINISTER,
        takes=NewFleet,
        returns=FleetView,
        run=apply_fleet,
        whole_body="text",
        body_type=TOML,
    ),
    Operation(
        name="MarkHosts",
        method="POST",
        path="/fleet/marks",
        summary="Cordon, drain or fail hosts, or chips of one; or take them into use again",
        action=ADMINISTER,
        takes=NewMark,
        returns=Marked,
        run=mark_hosts,
    ),
    Operation(
        name="GetCalendar",
        method="GET",
        path="/fleet/calendar",
        summary="How many units of each pool are free, from when on",
        action=ADMINISTER,
        takes=AskCalendar,
        returns=Calendars,
        run=get_calendar,
    ),
)
