"""Shares and maintenance in the native API: who may, and what the state process is told."""

from typing import Any

import pytest

from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    MaintenanceState,
    MaintenanceView,
    MaintenanceViews,
    ScheduleMaintenance,
)
from craton.fleet.share_contract import SetShare, Shares, SharesQuery, ShareView
from tests.unit.apis.native.native_api import MEMBER, Api

V1 = "/craton/v1"
WINDOW = MaintenanceView(
    "maintenance-1", "north/a1", 1_800_000_000, 1_800_003_600, MaintenanceState.SCHEDULED, "x", 4, 1
)
NEW_WINDOW = {"path": "north/a1", "start_s": 1_800_000_000, "end_s": 1_800_003_600, "note": "x"}


@pytest.fixture(autouse=True)
def answers(api: Api) -> None:
    api.state.replies |= {
        "shares": Shares([ShareView("one", "h200", 8, 16, 8)]),
        "set_share": ShareView("one", "h200", 8, 16, 8),
        "maintenance": MaintenanceViews([WINDOW]),
        "schedule_maintenance": WINDOW,
        "cancel_maintenance": WINDOW,
    }


def asked(api: Api) -> Any:
    ((_, body),) = api.state.calls
    return body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/fleet/shares", {"account": "default", "chip": "h200", "chips": 8}),
        ("GET", "/fleet/maintenance", None),
        ("POST", "/fleet/maintenance", NEW_WINDOW),
        ("DELETE", "/fleet/maintenance/maintenance-1", None),
    ],
)
async def test_shares_are_set_and_maintenance_is_planned_by_operators(
    api: Api, method: str, path: str, body: Any
) -> None:
    assert (await api(method, V1 + path, body, key=MEMBER)).status == 403
    assert api.state.calls == []
    assert (await api(method, V1 + path, body)).status in (200, 201)


async def test_a_member_sees_its_own_shares(api: Api) -> None:
    found = (await api("GET", f"{V1}/fleet/shares", key=MEMBER)).json()["shares"]
    assert found[0]["borrowed_chips"] == 8
    assert asked(api).account is not None


async def test_an_operator_sees_all_shares(api: Api) -> None:
    await api("GET", f"{V1}/fleet/shares")
    assert asked(api) == SharesQuery(None)


async def test_a_share_is_a_number_or_none_at_all(api: Api) -> None:
    body: dict[str, Any] = {"account": "default", "chip": "h200", "chips": None}
    assert (await api("POST", f"{V1}/fleet/shares", body)).status == 200
    assert asked(api) == SetShare("111111111111", "h200", None)
    for chips in (-1, "many"):
        assert (await api("POST", f"{V1}/fleet/shares", {**body, "chips": chips})).status == 400


async def test_a_share_is_of_an_account_that_there_is(api: Api) -> None:
    body = {"account": "333333333333", "chip": "h200", "chips": 8}
    answer = await api("POST", f"{V1}/fleet/shares", body)
    assert answer.status == 404
    assert "craton accounts" in answer.error()[2]
    assert api.state.calls == []


async def test_maintenance_is_planned_listed_and_given_up(api: Api) -> None:
    assert (await api("POST", f"{V1}/fleet/maintenance", NEW_WINDOW)).json()["hosts"] == 4
    assert asked(api) == ScheduleMaintenance("north/a1", 1_800_000_000, 1_800_003_600, "x")
    api.state.calls.clear()
    await api("GET", f"{V1}/fleet/maintenance?is_all=true")
    assert asked(api) == MaintenanceQuery(True)
    api.state.calls.clear()
    await api("DELETE", f"{V1}/fleet/maintenance/maintenance-1")
    assert asked(api) == CancelMaintenance("maintenance-1")
