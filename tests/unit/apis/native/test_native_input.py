import pytest

from craton.http import Headers, HttpRequest
from tests.unit.apis.native.native_api import Api

V1 = "/craton/v1"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", ["needs a JSON body"]),
        (b"{", ["truncated"]),
        (b'{"name": nope}', ["malformed", "(byte 13)"]),
        (b'{"name": 1}', ["$.name", "str", "int"]),
        (b"{}", ["name"]),
        (b'{"name": "x", "colour": "red"}', ["unknown field", "colour"]),
        (b'{"name": "\xff"}', ["UTF-8", "byte 10"]),
        (b'{"name": "x"} extra', ["(byte 15)"]),
        (b"[" * 100_000, ["array"]),
        (b'"\\ud800"', ["JSON"]),
    ],
)
async def test_a_bad_body_is_told_what_is_wrong_and_where(
    api: Api, raw: bytes, words: list[str]
) -> None:
    status, kind, message = (await api("POST", f"{V1}/accounts", raw=raw)).error()
    assert (status, kind) == (400, "bad_request")
    assert all(word in message for word in ["CreateAccount", *words]), message
    assert api.state.calls == []


async def test_a_body_nested_past_any_sense_is_refused(api: Api) -> None:
    raw = b'{"id":"a.b","source":{"x":' + b"[" * 200_000 + b"}"
    status, _, message = (await api("POST", f"{V1}/models", raw=raw)).error()
    assert status == 400
    assert "AddModel" in message


async def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    raw = b'{"name": "' + b"x" * 1024 * 1024 + b'"}'
    assert (await api("POST", f"{V1}/accounts", raw=raw)).error()[:2] == (413, "too_large")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/accounts?limit=0", ["$.limit", ">= 1"]),
        ("/accounts?limit=1001", ["$.limit", "<= 1000"]),
        ("/accounts?limit=many", ["$.limit", "int"]),
        ("/accounts?limit=" + "9" * 5000, ["$.limit"]),
        ("/accounts?colour=red", ["unknown", "colour"]),
        ("/accounts?limit=1&limit=2", ["limit", "more than once"]),
        ("/accounts?limit", ["name=value"]),
        ("/accounts?after=%ff", ["name=value"]),
        ("/accounts?" + "&".join(f"a{n}=1" for n in range(40)), ["fields"]),
        ("/accounts/x?id=y", ["'id'", "path"]),
        ("/accounts/%ff", ["percent-encoded"]),
        ("/usage?since_ms=-1", ["$.since_ms"]),
        ("/usage?since_ms=99999999999999999999", ["$.since_ms"]),
    ],
)
async def test_a_bad_query_is_told_what_is_wrong(api: Api, path: str, words: list[str]) -> None:
    status, kind, message = (await api("GET", V1 + path)).error()
    assert (status, kind) == (400, "bad_request")
    assert all(word in message for word in words), message


async def test_a_query_on_post_and_a_body_on_get_are_refused(api: Api) -> None:
    assert (await api("POST", f"{V1}/accounts?x=1", {"name": "x"})).status == 400
    assert (await api("GET", f"{V1}/accounts", {"limit": 1})).status == 400


async def test_an_unknown_path_is_not_found_and_says_where_to_look(api: Api) -> None:
    for path in ["/craton", "/craton/", "/craton/v1", "/craton/v1/nope", "/craton/v1/keys/a/b"]:
        status, kind, message = (await api("GET", path, key=None)).error()
        assert (status, kind) == (404, "not_found")
        assert "/craton/v1/docs" in message


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/accounts", b"GET, POST"),
        ("PATCH", "/keys/key-member", b"DELETE"),
        ("POST", "/usage/summary", b"GET"),
        ("POST", "/docs", b"GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    api: Api, method: str, path: str, allow: bytes
) -> None:
    answer = await api(method, V1 + path)
    assert answer.error()[:2] == (405, "bad_request")
    assert answer.headers[b"allow"] == allow


async def test_a_path_that_is_not_ours_is_left_to_others(api: Api) -> None:
    for path in [b"/v1/models", b"/cratonic", b"/"]:
        assert api.finder(HttpRequest("GET", path, b"", Headers(), b"", "")) is None


async def test_without_a_credential_only_the_document_is_told(api: Api) -> None:
    for (method, path), endpoint in api.exact.items():
        answer = await api(method, path.decode(), key=None)
        is_open = path in (b"/craton/v1/openapi.json", b"/craton/v1/docs")
        assert answer.status == (200 if is_open else 401), path
        assert (endpoint.action is None) == is_open


async def test_every_answer_carries_its_request_id(api: Api) -> None:
    good = await api("GET", f"{V1}/accounts")
    bad = await api("GET", f"{V1}/accounts?limit=0")
    assert len(good.headers[b"x-craton-request-id"]) == 36
    assert bad.headers[b"x-craton-request-id"].decode() == bad.json()["error"]["request_id"]
