import json
from typing import Any

import pytest

from craton.access.contract import DeletePolicy, PutPolicy
from craton.access.records import Level, Policy
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"
ONE, TWO = "111111111111", "222222222222"
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
TEXT = json.dumps({"Version": "2012-10-17", "Statement": ALLOW})


def policy(level: Level, target: str, *statements: Any, **members: Any) -> Policy:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [ALLOW]})
    fields: dict[str, Any] = {
        "id": f"policy-{level}-{target}",
        "account": ONE,
        "level": level,
        "target": target,
        "name": "rules",
        "document": document,
        "created_ms": 1,
        "updated_ms": 2,
    }
    return Policy(**{**fields, **members})


async def test_an_operator_attaches_and_detaches_policies_of_each_kind(api: Api) -> None:
    for level, plural, id in (
        (Level.ACCOUNT, "accounts", ONE),
        (Level.PROJECT, "projects", "proj-one"),
        (Level.KEY, "keys", "key-member"),
    ):
        api.state.replies["put_policy"] = policy(level, "t")
        api.state.replies["delete_policy"] = policy(level, "t")
        path = f"{V1}/{plural}/{id}/policies/rules"
        answer = await api("PUT", path, raw=TEXT.encode())
        assert answer.status == 200
        assert answer.json()["document"] == {"Version": "2012-10-17", "Statement": [ALLOW]}
        assert (await api("DELETE", path)).status == 200
        assert api.state.calls[-2:] == [
            ("put_policy", PutPolicy(level, id, "rules", TEXT, "key-operator")),  # type: ignore[arg-type]
            ("delete_policy", DeletePolicy(level, id, "rules")),
        ]


async def test_a_member_attaches_and_detaches_nothing(api: Api) -> None:
    path = f"{V1}/keys/key-member/policies/rules"
    for method, raw in (("PUT", TEXT.encode()), ("DELETE", None)):
        assert (await api(method, path, raw=raw, key=MEMBER)).error()[:2] == (403, "access_denied")
    assert api.state.calls == []


@pytest.mark.parametrize(
    ("path", "raw", "words"),
    [
        ("rules", b"", "needs a JSON body"),
        ("rules", b"\xff", "not UTF-8"),
        ("rules?colour=red", TEXT.encode(), "colour"),
        ("%ff", TEXT.encode(), "percent-encoded"),
    ],
)
async def test_a_bad_put_is_told_what_is_wrong(api: Api, path: str, raw: bytes, words: str) -> None:
    status, _, message = (
        await api("PUT", f"{V1}/keys/key-member/policies/{path}", raw=raw)
    ).error()
    assert status == 400
    assert words in message


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    raw = b" " * (1024 * 1024 + 1)
    answer = await api("PUT", f"{V1}/keys/key-member/policies/rules", raw=raw)
    assert answer.error()[:2] == (413, "too_large")


async def test_a_member_sees_its_own_accounts_policies_and_no_others(api: Api) -> None:
    api.keep("policy", policy(Level.ACCOUNT, ONE))
    api.keep("policy", policy(Level.KEY, "key-member"))
    api.keep("policy", policy(Level.ACCOUNT, TWO, account=TWO))
    listed = (await api("GET", f"{V1}/policies", key=MEMBER)).json()["policies"]
    assert [(p["level"], p["target"]) for p in listed] == [
        ("account", ONE),
        ("key", "key-member"),
    ]
    assert len((await api("GET", f"{V1}/policies")).json()["policies"]) == 3
    one = await api("GET", f"{V1}/keys/key-member/policies/rules", key=MEMBER)
    assert one.json()["name"] == "rules"
    of_key = (await api("GET", f"{V1}/keys/key-member/policies", key=MEMBER)).json()["policies"]
    assert [p["target"] for p in of_key] == ["key-member"]


async def test_another_accounts_things_are_refused_as_if_they_were_not_there(api: Api) -> None:
    for path in ("keys/key-other/policies", "projects/proj-two/policies", "keys/none/policies"):
        assert (await api("GET", f"{V1}/{path}", key=MEMBER)).status == 404
    assert (await api("GET", f"{V1}/accounts/{TWO}/policies", key=MEMBER)).status == 403
    assert (await api("GET", f"{V1}/keys/key-member/policies/none")).status == 404


async def rehearse(api: Api, key: str = "key-member", **asked: Any) -> Any:
    return (await api("POST", f"{V1}/policies/test", {"key": key, **asked})).json()


async def test_a_rehearsal_tells_the_decision_and_the_statement(api: Api) -> None:
    invoke = {**ALLOW, "Sid": "Models", "Action": "bedrock:InvokeModel"}
    deny = {**ALLOW, "Effect": "Deny", "Resource": "arn:aws:bedrock:*::foundation-model/lab.*"}
    gate = {**ALLOW, "Action": "bedrock:CallWithBearerToken"}
    api.keep("policy", policy(Level.KEY, "key-member", invoke, deny, gate))
    told = await rehearse(api, action="bedrock:InvokeModel", model="gpt-4o")
    assert told["allowed"]
    assert [(c["action"], c["resource"].rpartition(":")[2]) for c in told["checks"]] == [
        ("bedrock:CallWithBearerToken", "*"),
        ("bedrock:InvokeModel", "inference-profile/gpt-4o"),
        ("bedrock:InvokeModel", "foundation-model/craton.echo-1"),
    ]
    assert told["checks"][1]["statement"] == "statement 'Models'"
    told = await rehearse(api, action="bedrock:InvokeModel", model="lab.far")
    assert not told["allowed"]
    last = told["checks"][-1]
    assert (last["explicit"], last["policy"], last["statement"]) == (True, "rules", "statement 2")
    assert "explicit deny in an identity-based policy" in told["reason"]


async def test_a_rehearsal_reads_the_context_it_is_given_and_remembers_nothing(api: Api) -> None:
    """Made-up facts must not decide a real request."""
    home = {**ALLOW, "Condition": {"StringEquals": {"aws:username": "ann"}}}
    api.keep("policy", policy(Level.ACCOUNT, ONE, home))
    told = await rehearse(api, action="craton:Read", context={"AWS:UserName": "ann"})
    assert told["allowed"]
    assert (await api("GET", f"{V1}/identity", key=MEMBER)).status == 403
    assert not (await rehearse(api, action="craton:Read"))["allowed"]


async def test_a_rehearsal_without_policies_tells_the_role(api: Api) -> None:
    told = await rehearse(api, action="bedrock:InvokeModel")
    assert told == {
        "allowed": True,
        "reason": "No policy binds key key-member; its role (member) allows this.",
        "checks": [],
    }
    assert not (await rehearse(api, action="craton:Administer"))["allowed"]
    assert (await rehearse(api, key="key-operator", action="craton:Administer"))["allowed"]


async def test_a_member_rehearses_its_own_accounts_keys_only(api: Api) -> None:
    body = {"key": "key-member", "action": "craton:Read"}
    assert (await api("POST", f"{V1}/policies/test", body, key=OTHER)).status == 404
    assert (await api("POST", f"{V1}/policies/test", body, key=MEMBER)).status == 200


async def test_a_rehearsal_takes_a_resource_or_a_model(api: Api) -> None:
    asked = {"action": "a:B", "resource": "*", "model": "lab.far"}
    assert "not both" in (await rehearse(api, **asked))["error"]["message"]


async def test_policies_bind_the_native_api_too_but_for_operators_guard_rails(api: Api) -> None:
    deny = {**ALLOW, "Effect": "Deny", "Action": "craton:*"}
    api.keep("policy", policy(Level.ACCOUNT, ONE, ALLOW, deny))
    status, kind, message = (await api("GET", f"{V1}/keys", key=MEMBER)).error()
    assert (status, kind) == (403, "access_denied")
    assert "craton:Read" in message
    assert (await api("GET", f"{V1}/keys")).status == 200
