"""Answers of the fleet, made up for tests of whoever shows them or passes them on."""

from typing import Any

from craton.fleet.contract import (
    CalendarView,
    FleetView,
    LeaseView,
    MarkView,
    Offer,
    PoolView,
    RackView,
    ReservationView,
    RowView,
    SiteView,
)
from craton.fleet.records import (
    HostState,
    LeaseKind,
    LeaseState,
    ReservationKind,
    ReservationState,
)

DAY_S = 86_400
MIDNIGHT_S = 30_000 * DAY_S
"""2052-02-20, a Tuesday: after whatever time a test runs at."""
ACCOUNT, OTHERS = "111111111111", "222222222222"


def rack(name: str, **changed: Any) -> RackView:
    values = {
        "name": name,
        "pool": "north/u-trn2x64",
        "hosts": 4,
        "chips": 64,
        "chips_taken": 0,
        "hosts_unusable": 0,
        "hosts_spare": 0,
    }
    return RackView(**{**values, **changed})


def row(name: str, racks: list[RackView], **changed: Any) -> RowView:
    values = {"site": "north", "name": name, "racks": racks, "power_w": 100_000, "taken_w": 25_000}
    return RowView(**{**values, **changed})


def site(name: str = "north", *, is_simulated: bool = True, **changed: Any) -> SiteView:
    values = {
        "name": name,
        "driver": "simulated" if is_simulated else "local",
        "is_simulated": is_simulated,
        "power_w": 1_000_000 if is_simulated else None,
        "taken_w": 250_000,
    }
    return SiteView(**{**values, **changed})


def pool(key: str = "north/u-trn2x64", **changed: Any) -> PoolView:
    values = {
        "key": key,
        "zone": "north",
        "instance_type": "trn2u.48xlarge",
        "chip": "trainium2",
        "chips_per_host": 16,
        "ultraserver": "u-trn2x64",
        "hosts_per_unit": 4,
        "driver": "simulated",
        "is_simulated": True,
        "exclusive_to": None,
        "hosts": 40,
        "units": 9,
        "offered_units": 9,
        "free_units_now": 5,
        "chips": 640,
        "chips_taken": 256,
        "hosts_unusable": 1,
        "hosts_spare": 4,
        "draw_w": 12_345,
        "leaves": 10,
        "rows": 1,
    }
    return PoolView(**{**values, **changed})


def local_pool(chip: str = "cpu") -> PoolView:
    return pool(
        "local/craton.local",
        zone="local",
        instance_type="craton.local",
        chip=chip,
        chips_per_host=1,
        ultraserver=None,
        hosts_per_unit=1,
        driver="local",
        is_simulated=False,
        hosts=1,
        units=1,
        offered_units=1,
        free_units_now=1,
        chips=1,
        chips_taken=0,
        hosts_unusable=0,
        hosts_spare=0,
        draw_w=None,
        leaves=1,
    )


def fleet(**changed: Any) -> FleetView:
    """A simulated site of one row, with a rack of each sort, and this machine."""
    racks = [
        rack("north/a/t1"),
        rack("north/a/t2", chips_taken=16),
        rack("north/a/t3", chips_taken=32),
        rack("north/a/t4", chips_taken=48),
        rack("north/a/t5", chips_taken=64, hosts_unusable=1),
        rack("north/a/t6", hosts_spare=4),
    ]
    own = RowView(
        site="local",
        name="here",
        racks=[rack("local/here/machine", pool="local/craton.local", hosts=1, chips=1)],
        power_w=None,
        taken_w=0,
    )
    mark = MarkView("north/a/t5/2", HostState.FAILED, MIDNIGHT_S * 1000, "chip 3 is dead")
    values = {
        "sites": [site("local", is_simulated=False, taken_w=0), site()],
        "pools": [local_pool(), pool()],
        "rows": [own, row("a", racks)],
        "marks": [mark],
        "chips": 641,
        "applied_ms": MIDNIGHT_S * 1000,
    }
    return FleetView(**{**values, **changed})


def calendar(**changed: Any) -> CalendarView:
    """Nine units: all free for half a day, three for a day, none and then too few, then all."""
    half = MIDNIGHT_S + DAY_S // 2
    values: dict[str, Any] = {
        "pool": "north/u-trn2x64",
        "units": 9,
        "times_s": [MIDNIGHT_S, half, half + DAY_S, half + 2 * DAY_S, half + 3 * DAY_S],
        "free": [9, 3, 0, -2, 9],
        "is_simulated": True,
    }
    return CalendarView(**{**values, **changed})


def offer(**changed: Any) -> Offer:
    values = {
        "id": "cbo-first",
        "pool": "north/u-trn2x64",
        "zone": "north",
        "instance_type": "trn2u.48xlarge",
        "ultraserver": "u-trn2x64",
        "units": 2,
        "hosts": 8,
        "start_s": MIDNIGHT_S,
        "end_s": MIDNIGHT_S + 7 * DAY_S,
        "amount_nanos": 8 * 7 * 24 * 30_000_000_000,
        "currency": "USD",
        "is_simulated": True,
    }
    return Offer(**{**values, **changed})


def reservation(**changed: Any) -> ReservationView:
    values = {
        "id": "cr-0123456789abcdef0",
        "block": "cb-0123456789abcdef0",
        "kind": ReservationKind.BLOCK,
        "account": ACCOUNT,
        "project": "proj-one",
        "pool": "north/u-trn2x64",
        "zone": "north",
        "instance_type": "trn2u.48xlarge",
        "ultraserver": "u-trn2x64",
        "units": 2,
        "total_hosts": 8,
        "used_hosts": 3,
        "broken_hosts": 0,
        "start_s": MIDNIGHT_S,
        "end_s": MIDNIGHT_S + 7 * DAY_S,
        "state": ReservationState.ACTIVE,
        "created_ms": MIDNIGHT_S * 1000,
        "currency": "USD",
        "amount_nanos": 1_344_000_000_000,
        "platform": "Linux/UNIX",
        "is_targeted": True,
        "tags": {},
        "extensions": [],
        "hosts": [],
        "is_simulated": True,
        "offer": "cbo-first",
        "idle_host_s": 0,
        "idle_nanos": 0,
    }
    return ReservationView(**{**values, **changed})


def lease(**changed: Any) -> LeaseView:
    values = {
        "id": "lease-one",
        "kind": LeaseKind.ON_DEMAND,
        "account": ACCOUNT,
        "pool": "north/u-trn2x64",
        "instance_type": "trn2u.48xlarge",
        "chip": "trainium2",
        "driver": "simulated",
        "is_simulated": True,
        "state": LeaseState.ACTIVE,
        "token": 7,
        "chips": 24,
        "hosts": ["north/a/t1/1", "north/a/t1/2"],
        "masks": [0xFFFF, 0x00FF],
        "priority": 0,
        "purpose": "",
        "reservation": None,
        "created_ms": MIDNIGHT_S * 1000,
        "started_s": MIDNIGHT_S,
        "until_s": None,
        "ends_s": None,
        "reason": None,
        "spent_nanos": 1_500_000_000,
        "currency": "USD",
        "outcome": "",
    }
    return LeaseView(**{**values, **changed})
