"""The native API of commitments: who may ask for what, and what the state process is told."""

from typing import Any

import pytest

from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    FindCapacity,
    SignCommitment,
    StatementQuery,
    TerminateCommitment,
)
from tests.fakes.commitment_views import commitment, statement
from tests.fakes.contracts import contract
from tests.fakes.fleet_views import ACCOUNT
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"
TEXT = contract(f'account = "{ACCOUNT}"')


@pytest.fixture(autouse=True)
def answers(api: Api) -> None:
    api.state.replies |= {
        "sign_commitment": commitment(),
        "sketch_commitment": commitment(is_dry_run=True),
        "commitments": Commitments([commitment()]),
        "commitment_statement": statement(),
        "find_commitment_capacity": commitment(),
        "terminate_commitment": commitment(),
    }


def told(api: Api) -> tuple[str, Any]:
    ((name, body),) = api.state.calls
    return name, body


@pytest.mark.parametrize(
    ("query", "name"), [("", "sign_commitment"), ("?dry_run=true", "sketch_commitment")]
)
async def test_an_operator_signs_a_contract_or_tries_it(api: Api, query: str, name: str) -> None:
    answer = await api("PUT", f"{V1}/commitments{query}", raw=TEXT.encode())
    assert answer.status == 200
    assert answer.json()["contracted"] == "138000000000.00"
    assert told(api) == (
        name,
        SignCommitment(text=TEXT, account=ACCOUNT, principal="key-operator"),
    )


async def test_the_account_of_a_contract_may_be_named(api: Api) -> None:
    name = (await api("GET", f"{V1}/accounts")).json()["accounts"][0]["name"]
    api.state.calls.clear()
    await api("PUT", f"{V1}/commitments", raw=contract(f'account = "{name}"').encode())
    assert told(api)[1].account == ACCOUNT


async def test_a_contract_for_nobody_is_refused(api: Api) -> None:
    answer = await api("PUT", f"{V1}/commitments", raw=contract('account = "nobody"').encode())
    assert answer.error()[:2] == (404, "not_found")
    answer = await api("PUT", f"{V1}/commitments", raw=b"name = 1\n")
    assert answer.error()[:2] == (400, "bad_request")
    assert not api.state.calls


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/commitments", TEXT),
        ("POST", "/commitments/capacity", {"id": "cmt-1"}),
        ("DELETE", "/commitments/cmt-1", None),
    ],
)
async def test_only_operators_sign_and_end_contracts(
    api: Api, method: str, path: str, body: Any
) -> None:
    raw = body.encode() if isinstance(body, str) else None
    answer = await api(method, V1 + path, None if raw else body, key=MEMBER, raw=raw)
    assert answer.status == 403
    assert not api.state.calls


async def test_a_member_sees_its_own_and_an_operator_all(api: Api) -> None:
    assert (await api("GET", f"{V1}/commitments")).status == 200
    assert (await api("GET", f"{V1}/commitments", key=MEMBER)).status == 200
    assert (await api("GET", f"{V1}/commitments/trainium", key=OTHER)).status == 200
    await api("GET", f"{V1}/commitments/trainium/statements/2026-12", key=MEMBER)
    await api("GET", f"{V1}/commitments/trainium/statements/2026-12")
    assert [body for _, body in api.state.calls] == [
        CommitmentsQuery(None),
        CommitmentsQuery(ACCOUNT),
        CommitmentsQuery("222222222222", "trainium"),
        StatementQuery("trainium", "2026-12", ACCOUNT),
        StatementQuery("trainium", "2026-12", None),
    ]


async def test_what_isnt_there_is_not_found(api: Api) -> None:
    api.state.replies["commitments"] = Commitments([])
    answer = await api("GET", f"{V1}/commitments/cmt-9")
    assert answer.error()[:2] == (404, "not_found")


async def test_a_month_is_written_as_one(api: Api) -> None:
    answer = await api("GET", f"{V1}/commitments/cmt-9/statements/january")
    assert answer.error()[:2] == (400, "bad_request")


async def test_an_operator_looks_for_capacity_and_ends_a_contract(api: Api) -> None:
    await api("POST", f"{V1}/commitments/capacity", {"id": "cmt-1"})
    await api("DELETE", f"{V1}/commitments/cmt-1")
    assert api.state.calls == [
        ("find_commitment_capacity", FindCapacity("cmt-1")),
        ("terminate_commitment", TerminateCommitment("cmt-1")),
    ]
