from typing import Any

import pytest

from craton.economics.bounds import Period, Scope
from craton.economics.contract import (
    BoundsQuery,
    BudgetPage,
    BudgetStatus,
    CreateBudget,
    CreateLimit,
    DeleteBudget,
    DeleteLimit,
    LimitPage,
    LimitStatus,
    UpdateBudget,
    UpdateLimit,
)
from craton.kernel.errors import Conflict, Throttled
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"
ACCOUNT, OTHERS = "111111111111", "222222222222"
BUDGET = BudgetStatus(
    id="bud-1", name="b", account=ACCOUNT, scope=Scope.ACCOUNT, subjects=(ACCOUNT,),
    amount_nanos=100, currency="USD", period=Period.DAY, created_ms=1, spent_nanos=60,
    held_nanos=30, left_nanos=10, over_nanos=0, started_ms=0, renews_ms=5, amount="0.0000001",
    spent="0.00000006", held="0.00000003", left="0.00000001", over="0.00",
)  # fmt: skip
LIMIT = LimitStatus(
    id="lim-1", name="l", account=ACCOUNT, scope=Scope.ACCOUNT, subjects=(ACCOUNT,), model=None,
    requests_per_minute=6, tokens_per_minute=70, requests_at_once=None, created_ms=1,
    requests_counted=1, tokens_counted=2, requests_running=3,
)  # fmt: skip


@pytest.fixture
def api(api: Api) -> Api:
    api.state.replies = {
        "budgets": BudgetPage([BUDGET], None),
        "limits": LimitPage([LIMIT], None),
        "create_budget": BUDGET,
        "create_limit": LIMIT,
        "update_budget": BUDGET,
        "update_limit": LIMIT,
        "delete_budget": DeleteBudget("bud-1"),
        "delete_limit": DeleteLimit("lim-1"),
    }
    return api


async def asked_with(api: Api, path: str, body: dict[str, Any]) -> Any:
    answer = await api("POST", V1 + path, body)
    assert answer.status in (200, 201), answer.body
    return api.state.calls[-1][1]


async def test_a_budget_is_shown_with_what_is_spent_held_and_left(api: Api) -> None:
    listed = (await api("GET", f"{V1}/budgets")).json()
    one = (await api("GET", f"{V1}/budgets/bud-1")).json()
    assert listed == {"budgets": [one], "next": None}
    assert (one["spent_nanos"], one["held_nanos"], one["left_nanos"]) == (60, 30, 10)


@pytest.mark.parametrize("kind", ["budgets", "limits"])
async def test_a_member_sees_its_own_accounts_and_makes_none(api: Api, kind: str) -> None:
    await api("GET", f"{V1}/{kind}", key=OTHER)
    assert api.state.calls[-1] == (kind, BoundsQuery(OTHERS, None, None, 100))
    await api("GET", f"{V1}/{kind}/x-1", key=OTHER)
    assert api.state.calls[-1] == (kind, BoundsQuery(OTHERS, "x-1"))
    await api("GET", f"{V1}/{kind}")
    assert api.state.calls[-1] == (kind, BoundsQuery(None, None, None, 100))
    before = len(api.state.calls)
    for method, path, body in (
        ("POST", kind, {"name": "n", "amount_nanos": 1}),
        ("POST", f"{kind}/update", {"id": "x", "amount_nanos": 1}),
        ("DELETE", f"{kind}/x-1", None),
    ):
        assert (await api(method, f"{V1}/{path}", body, key=MEMBER)).status == 403
    assert len(api.state.calls) == before


@pytest.mark.parametrize("kind", ["budgets", "limits"])
async def test_what_is_not_there_is_not_found(api: Api, kind: str) -> None:
    api.state.replies = {"budgets": BudgetPage([], None), "limits": LimitPage([], None)}
    status, fault, message = (await api("GET", f"{V1}/{kind}/x-1")).error()
    assert (status, fault) == (404, "not_found")
    assert f"craton {kind}" in message


async def test_whom_a_budget_bounds_is_named_as_people_name_it(api: Api) -> None:
    new = {"name": "n", "amount_nanos": 5, "period": "total", "currency": "EUR"}
    assert await asked_with(api, "/budgets", new) == CreateBudget(
        "n", ACCOUNT, Scope.ACCOUNT, (ACCOUNT,), 5, "EUR", Period.TOTAL
    )
    other = await asked_with(api, "/budgets", {**new, "account": "other", "project": "default"})
    assert (other.account, other.scope, other.subjects) == (OTHERS, Scope.PROJECT, ("proj-two",))
    large = await asked_with(api, "/budgets", {**new, "amount_nanos": 10**30})
    assert large.amount_nanos == 10**30
    by_id = await asked_with(api, "/budgets", {**new, "project": "proj-one"})
    assert by_id.subjects == ("proj-one",)


async def test_a_key_is_bounded_with_the_other_of_its_pair(api: Api) -> None:
    key = api.directory.api_keys["key-member"]
    pair = api.directory.access_keys["AKIAONE"]
    assert pair.name == "first"
    api.keep("api_key", type(key)(**{**_members(key), "id": "key-first", "name": "first"}))
    new = {"name": "n", "amount_nanos": 5}
    for named in ("first", "AKIAONE", "key-first"):
        asked = await asked_with(api, "/budgets", {**new, "key": named})
        assert (asked.scope, asked.subjects) == (Scope.KEY, ("AKIAONE", "key-first"))


def _members(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"project": "default", "key": "first"}, 400),
        ({"project": "nowhere"}, 404),
        ({"key": "key-other"}, 404),
        ({"account": "nobody"}, 404),
        ({"amount_nanos": -1}, 400),
        ({"amount_nanos": 10**30 + 1}, 400),
        ({"currency": "dollars"}, 400),
        ({"period": "week"}, 400),
        ({"name": " n"}, 400),
        ({"limit": 1}, 400),
    ],
)
async def test_an_unclear_budget_is_refused(api: Api, change: dict[str, Any], status: int) -> None:
    answer = await api("POST", f"{V1}/budgets", {"name": "n", "amount_nanos": 5, **change})
    assert answer.status == status
    assert api.state.calls == []


async def test_a_name_that_is_taken_is_a_conflict(api: Api) -> None:
    api.state.replies["create_budget"] = Conflict("A budget named 'n' exists already.")
    assert (await api("POST", f"{V1}/budgets", {"name": "n", "amount_nanos": 5})).status == 409


async def test_a_budget_is_changed_and_taken_away(api: Api) -> None:
    changed = await asked_with(api, "/budgets/update", {"id": "bud-1", "amount_nanos": 7})
    assert changed == UpdateBudget("bud-1", 7)
    assert (await api("DELETE", f"{V1}/budgets/bud-1")).json() == {"removed": "bud-1"}
    assert api.state.calls[-1] == ("delete_budget", DeleteBudget("bud-1"))


async def test_a_limit_may_count_one_model_by_any_of_its_names(api: Api) -> None:
    made = await asked_with(api, "/limits", {"name": "l", "model": "gpt-4o", "requests_at_once": 2})
    assert made == CreateLimit(
        "l", ACCOUNT, Scope.ACCOUNT, (ACCOUNT,), "craton.echo-1", None, None, 2
    )
    answer = await api("POST", f"{V1}/limits", {"name": "l", "model": "x", "requests_at_once": 2})
    assert answer.status == 404


async def test_numbers_that_are_left_out_stay_and_null_takes_one_away(api: Api) -> None:
    changed = await asked_with(api, "/limits/update", {"id": "lim-1", "requests_per_minute": 9})
    assert changed == UpdateLimit("lim-1", 9, 70, None)
    changed = await asked_with(api, "/limits/update", {"id": "lim-1", "tokens_per_minute": None})
    assert changed == UpdateLimit("lim-1", 6, None, None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/limits", {"name": "l"}),
        ("/limits", {"name": "l", "requests_per_minute": 0}),
        (
            "/limits/update",
            {"id": "lim-1", "requests_per_minute": None, "tokens_per_minute": None},
        ),
    ],
)
async def test_a_limit_that_limits_nothing_is_refused(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    assert (await api("POST", V1 + path, body)).status == 400


async def test_a_limit_is_taken_away(api: Api) -> None:
    assert (await api("DELETE", f"{V1}/limits/lim-1")).json() == {"removed": "lim-1"}


async def test_a_refusal_that_passes_says_in_its_header_when(api: Api) -> None:
    api.state.replies["budgets"] = Throttled("Later.", retry_after_s=7)
    answer = await api("GET", f"{V1}/budgets")
    assert (answer.status, answer.headers[b"retry-after"]) == (429, b"7")
