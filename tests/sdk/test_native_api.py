"""The native API over real HTTP: what the document says is what is served."""

import re
from typing import Any

import msgspec
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import V1, Connection
from craton.kernel.errors import AccessDenied
from tests.fakes.craton import Craton

Json = dict[str, Any]


@pytest.fixture(scope="module")
def member(echo: Craton) -> NewKey:
    connection = connect(echo)
    account = connection.post("/accounts", Json, {"name": "members"})
    return connection.post("/keys", NewKey, {"name": "m", "account": account["id"]})


def connect(echo: Craton, key: str = "") -> Connection:
    return Connection(echo.url, key or echo.keys.api_key, timeout_s=30)


def fetch(echo: Craton, method: str, path: str, key: str = "") -> tuple[int, bytes, Any]:
    with connect(echo, key).open(method, path) as answer:
        return answer.status, answer.read(), answer.headers


def matches(document: Json, schema: Json, value: Any) -> bool:
    """Whether a value has the form of a schema, as far as this document uses JSON Schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return matches(document, document["components"]["schemas"][name], value)
    if "anyOf" in schema:
        return any(matches(document, one, value) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind == "object":
        members = schema.get("properties", {})
        return (
            isinstance(value, dict)
            and set(schema.get("required", [])) <= set(value)
            and all(matches(document, members[n], v) for n, v in value.items() if n in members)
        )
    if kind == "array":
        return isinstance(value, list) and all(
            matches(document, schema.get("items", {}), one) for one in value
        )
    python = {"string": str, "integer": int, "boolean": bool, "null": type(None)}
    return kind is None or isinstance(value, python[kind])


def test_every_list_of_the_document_is_served_as_it_says(echo: Craton) -> None:
    _, body, _ = fetch(echo, "GET", f"{V1}/openapi.json")
    document = msgspec.json.decode(body)
    seen = 0
    for path, item in document["paths"].items():
        if "get" not in item or "{" in path or path.endswith("/docs"):
            continue
        status, body, _ = fetch(echo, "GET", path)
        assert status == 200
        (media,) = item["get"]["responses"]["200"]["content"].values()
        assert matches(document, media["schema"], msgspec.json.decode(body)), path
        seen += 1
    assert seen >= 10


def test_every_operation_asks_for_a_credential(echo: Craton) -> None:
    _, body, _ = fetch(echo, "GET", f"{V1}/openapi.json")
    for path, item in msgspec.json.decode(body)["paths"].items():
        for method, operation in item.items():
            if operation.get("security") == []:
                continue
            real = re.sub(r"\{\w+\}", "x", path)
            status, body, _ = fetch(echo, method.upper(), real, "sk-craton-" + "x" * 43)
            assert status == 401, (method, path)


def test_a_member_sees_nothing_of_another_account(echo: Craton, member: NewKey) -> None:
    own = connect(echo, member.api_key)
    for path, name in [("/keys", "keys"), ("/projects", "projects")]:
        listed = own.get(path, Json)[name]
        assert listed
        assert {entry["account"] for entry in listed} == {member.account}
    assert [a["id"] for a in own.get("/accounts", Json)["accounts"]] == [member.account]
    assert own.get("/usage", Json)["records"] == []
    others = echo.keys.account
    for path in (f"/usage?account={others}", f"/keys?account={others}", f"/accounts/{others}"):
        with pytest.raises(AccessDenied):
            own.get(path, Json)
    for path in ("/ledger/balances", "/ledger/verify"):
        with pytest.raises(AccessDenied):
            own.get(path, Json)


def test_the_page_is_served_with_a_policy_that_loads_nothing(echo: Craton) -> None:
    status, body, headers = fetch(echo, "GET", f"{V1}/docs")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"VerifyLedger" in body


def test_a_wrong_method_names_the_right_ones(echo: Craton) -> None:
    status, body, headers = fetch(echo, "DELETE", f"{V1}/models")
    assert status == 405
    assert headers["allow"] == "GET, POST"
    assert "GET and POST" in msgspec.json.decode(body)["error"]["message"]


def test_an_unknown_path_under_craton_is_told_in_the_native_form(echo: Craton) -> None:
    status, body, _ = fetch(echo, "GET", f"{V1}/nothing")
    assert status == 404
    assert msgspec.json.decode(body)["error"]["type"] == "not_found"
