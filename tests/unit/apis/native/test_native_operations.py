from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.access.contract import CreateKey, CreateProject, NewKey, RevokeKey
from craton.access.records import Account, Project, Role
from craton.economics.contract import UsageLine, UsagePage, UsageQuery
from craton.kernel.errors import Conflict
from craton.models.card import Alias, EmbeddedSource, RemoteSource
from craton.models.contract import SetAlias
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"


def record(request_id: str, at_ms: int = 5, account: str = "111111111111") -> UsageLine:
    return UsageLine(
        request_id=request_id,
        at_ms=at_ms,
        account=account,
        project="proj-one",
        principal="key-member",
        resource="craton.echo-1",
        replica="echo/craton.echo-1/0",
        outcome="complete",
        quantities={"input_tokens": 3},
        amount_nanos=60,
        currency="USD",
        amount="0.00000006",
    )


async def test_an_operator_lists_every_account_and_a_member_only_its_own(api: Api) -> None:
    every = (await api("GET", f"{V1}/accounts")).json()
    own = (await api("GET", f"{V1}/accounts", key=OTHER)).json()
    assert [a["id"] for a in every["accounts"]] == ["111111111111", "222222222222"]
    assert [a["id"] for a in own["accounts"]] == ["222222222222"]


async def test_listing_keys_never_shows_a_secret_or_a_digest(api: Api) -> None:
    answer = await api("GET", f"{V1}/keys")
    keys = {key["id"]: key for key in answer.json()["keys"]}
    assert keys["AKIAONE"] == {
        "id": "AKIAONE",
        "kind": "access_key",
        "name": "first",
        "account": "111111111111",
        "project": "proj-one",
        "role": "operator",
        "state": "active",
        "hint": None,
        "created_ms": 1,
    }
    assert keys["key-member"]["hint"] == "mber"
    assert b"SECRET" not in answer.body
    assert b"secret" not in answer.body
    assert b"digest" not in answer.body
    assert msgspec.json.encode(b"SECRET-TEXT") not in answer.body


@pytest.mark.parametrize("thing", ["keys", "projects"])
async def test_a_member_sees_only_its_own_accounts_things(api: Api, thing: str) -> None:
    listed = (await api("GET", f"{V1}/{thing}", key=OTHER)).json()[thing]
    assert listed
    assert {entry["account"] for entry in listed} == {"222222222222"}


@pytest.mark.parametrize(
    "path",
    [
        "/keys?account=111111111111",
        "/keys?account=default",
        "/projects?account=default",
        "/usage?account=default",
        "/usage/summary?account=111111111111",
        "/usage?account=there-is-none",
        "/accounts/default",
        "/accounts/there-is-none",
    ],
)
async def test_a_member_is_refused_what_is_anothers_whether_or_not_it_exists(
    api: Api, path: str
) -> None:
    status, kind, message = (await api("GET", V1 + path, key=OTHER)).error()
    assert (status, kind) == (403, "access_denied")
    assert "222222222222" in message
    assert api.state.calls == []


@pytest.mark.parametrize("own", ["222222222222", "other"])
async def test_a_member_may_name_its_own_account(api: Api, own: str) -> None:
    api.state.replies["usage"] = UsagePage([], None)
    assert (await api("GET", f"{V1}/usage?account={own}", key=OTHER)).status == 200
    assert api.state.calls == [("usage", UsageQuery("222222222222", None, 100))]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/accounts", {"name": "x"}),
        ("POST", "/projects", {"name": "x"}),
        ("POST", "/keys", {"name": "x"}),
        ("POST", "/models", {"id": "a.b", "source": {"type": "echo"}}),
        ("DELETE", "/models/lab.far", None),
        ("POST", "/aliases", {"name": "x", "model": "lab.far"}),
        ("DELETE", "/aliases/gpt-4o", None),
        ("GET", "/ledger/balances", None),
        ("GET", "/ledger/verify", None),
    ],
)
async def test_a_member_may_not_administer(api: Api, method: str, path: str, body: Any) -> None:
    status, kind, message = (await api(method, V1 + path, body, key=MEMBER)).error()
    assert (status, kind) == (403, "access_denied")
    assert "operator" in message
    assert api.state.calls == []


async def test_usage_of_a_member_is_asked_for_its_account_only(api: Api) -> None:
    api.state.replies["usage"] = UsagePage([record("a")], None)
    await api("GET", f"{V1}/usage?limit=7&before=01a2", key=MEMBER)
    assert api.state.calls == [("usage", UsageQuery("111111111111", "01a2", 7))]


async def test_an_operator_finds_an_account_by_name(api: Api) -> None:
    api.state.replies["usage"] = UsagePage([], None)
    await api("GET", f"{V1}/usage?account=other")
    assert api.state.calls[0][1].account == "222222222222"
    status, _, message = (await api("GET", f"{V1}/usage?account=nobody")).error()
    assert status == 404
    assert "nobody" in message


async def test_one_record_is_found_by_its_request_id(api: Api) -> None:
    known = "01a2045d-3130-7000-8000-af9562426c53"
    api.state.replies["usage"] = UsagePage([record(known)], "more")
    assert (await api("GET", f"{V1}/usage/{known}")).json()["amount_nanos"] == 60
    (asked,) = [body for _, body in api.state.calls]
    assert asked.before > known
    assert asked.limit == 1
    status, _, message = (await api("GET", f"{V1}/usage/{known[:-1]}0")).error()
    assert status == 404
    assert known[:-1] in message


async def test_records_before_a_time_are_left_out_and_paging_ends_there(api: Api) -> None:
    new, old = "01a2045d-3130-7000-8000-af9562426c53", "00000000-0001-7000-8000-af9562426c53"
    api.state.replies["usage"] = UsagePage([record(new, 9_000_000), record(old, 1)], old)
    answer = (await api("GET", f"{V1}/usage?since_ms=8000000")).json()
    assert [line["request_id"] for line in answer["records"]] == [new]
    assert answer["next"] is None


async def test_a_long_request_that_ended_after_the_time_does_not_end_paging(api: Api) -> None:
    begun_ms = int("01a2045d3130", 16)
    id = "01a2045d-3130-7000-8000-af9562426c53"
    api.state.replies["usage"] = UsagePage([record(id, begun_ms + 500_000)], id)
    answer = (await api("GET", f"{V1}/usage?since_ms={begun_ms + 100_000}")).json()
    assert len(answer["records"]) == 1
    assert answer["next"] == id


async def test_making_a_key_tells_its_secrets_once_and_defaults_to_the_callers_account(
    api: Api,
) -> None:
    made = NewKey(
        "111111111111",
        "default",
        "proj-one",
        "ci",
        Role.MEMBER,
        "AKIA2",
        "the-secret",
        "key-2",
        "sk-craton-text",
    )
    api.state.replies["create_key"] = made
    answer = await api("POST", f"{V1}/keys", {"name": "ci"})
    assert answer.status == 201
    assert answer.json()["secret_access_key"] == "the-secret"
    assert answer.headers[b"cache-control"] == b"no-store"
    assert api.state.calls == [("create_key", CreateKey("111111111111", "ci"))]


async def test_a_member_may_revoke_its_accounts_key_but_not_an_operators(api: Api) -> None:
    api.state.replies["revoke_key"] = lambda command: command
    answer = await api("DELETE", f"{V1}/keys/key-member", key=MEMBER)
    assert answer.json()["state"] == "revoked"
    assert api.state.calls == [("revoke_key", RevokeKey("key-member", "111111111111"))]
    status, kind, _ = (await api("DELETE", f"{V1}/keys/AKIAONE", key=MEMBER)).error()
    assert (status, kind) == (403, "access_denied")
    assert len(api.state.calls) == 1


async def test_another_accounts_key_is_not_there_for_a_member(api: Api) -> None:
    there = await api("DELETE", f"{V1}/keys/key-member", key=OTHER)
    missing = await api("DELETE", f"{V1}/keys/key-nobody", key=OTHER)
    assert (there.status, missing.status) == (404, 404)
    assert there.error()[2].replace("member", "nobody") == missing.error()[2]


async def test_accounts_and_projects_are_made_as_asked(api: Api) -> None:
    api.state.replies["create_account"] = Account("333333333333", "new", 3)
    api.state.replies["create_project"] = Project("proj-3", "222222222222", "p", 3)
    assert (await api("POST", f"{V1}/accounts", {"name": "new"})).json()["id"] == "333333333333"
    await api("POST", f"{V1}/projects", {"name": "p", "account": "other"})
    assert api.state.calls[1] == ("create_project", CreateProject("other", "p"))


async def test_what_the_state_process_refuses_is_told_as_it_says(api: Api) -> None:
    api.state.replies["create_account"] = Conflict("taken; choose another")
    answer = await api("POST", f"{V1}/accounts", {"name": "new"})
    assert answer.error() == (409, "conflict", "taken; choose another")


async def test_models_are_listed_with_engine_and_aliases_and_paged(api: Api) -> None:
    first = (await api("GET", f"{V1}/models?limit=1")).json()
    assert first["models"][0]["id"] == "craton.echo-1"
    assert first["models"][0]["engine"] == "echo"
    assert first["models"][0]["aliases"] == ["gpt-4o"]
    second = (await api("GET", f"{V1}/models?limit=1&after={first['next']}")).json()
    assert [m["id"] for m in second["models"]] == ["lab.far"]
    assert second["next"] is None


async def test_only_an_operator_sees_where_a_model_runs(api: Api) -> None:
    seen = await api("GET", f"{V1}/models/lab.far")
    unseen = await api("GET", f"{V1}/models/lab.far", key=MEMBER)
    assert seen.json()["source"]["origin"] == "http://10.0.0.7:8000"
    assert unseen.json()["source"] is None
    assert b"10.0.0.7" not in unseen.body


async def test_a_model_is_found_by_alias(api: Api) -> None:
    assert (await api("GET", f"{V1}/models/gpt-4o")).json()["id"] == "craton.echo-1"


async def test_a_gguf_file_is_looked_at_before_the_model_is_added(api: Api, tmp_path: Path) -> None:
    api.state.replies["add_model"] = lambda command: command.card
    good, bad = tmp_path / "good.gguf", tmp_path / "bad.gguf"
    good.write_bytes(b"GGUF\x03\x00\x00\x00")
    bad.write_bytes(b"\x80\x04safetensors")
    for path, status, word in [
        (bad, 400, "GGUF"),
        (tmp_path / "none.gguf", 404, "none.gguf"),
        (tmp_path, 404, str(tmp_path)),
        ("relative.gguf", 400, "absolute"),
        ("/nul\x00byte", 404, "nul"),
    ]:
        body = {"id": "lab.mine", "source": {"type": "embedded", "gguf": str(path)}}
        refused = (await api("POST", f"{V1}/models", body)).error()
        assert refused[0] == status, refused
        assert word in refused[2]
    assert api.state.calls == []
    body = {"id": "lab.mine", "source": {"type": "embedded", "gguf": str(good)}}
    assert (await api("POST", f"{V1}/models", body)).json()["engine"] == "embedded"
    card = api.state.calls[0][1].card
    assert card.source == EmbeddedSource(gguf=str(good))
    assert (card.lab, card.name) == ("lab", "lab.mine")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"type": "remote", "origin": "ftp://x", "model": "m"}, "ftp"),
        ({"type": "remote", "origin": "http://x/v1", "model": "m"}, "path"),
        ({"type": "remote", "origin": "http://u:p@x", "model": "m"}, "credential_file"),
        ({"type": "remote", "origin": "http://x:99999", "model": "m"}, "99999"),
        ({"type": "remote", "origin": "http://x", "model": "m", "path": "v1"}, "v1"),
        ({"type": "remote", "origin": "http://x", "model": "m", "path": "/a b"}, "/a b"),
        ({"type": "remote", "origin": "http://x", "model": ""}, "$.source.model"),
        ({"type": "embedded"}, "gguf"),
        ({"type": "embedded", "gguf": "/x", "weights": "y"}, "gguf"),
        ({"type": "vllm"}, "$.source.type"),
        ({"type": "echo", "words": 3}, "words"),
    ],
)
async def test_a_wrong_source_is_refused_by_the_member_that_is_wrong(
    api: Api, source: dict[str, Any], word: str
) -> None:
    refused = (await api("POST", f"{V1}/models", {"id": "lab.m", "source": source})).error()
    assert refused[:2] == (400, "bad_request")
    assert word in refused[2]
    assert api.state.calls == []


async def test_unknown_weights_are_refused_with_those_there_are(api: Api) -> None:
    body = {"id": "lab.m", "source": {"type": "embedded", "weights": "llama"}}
    status, _, message = (await api("POST", f"{V1}/models", body)).error()
    assert status == 404
    assert "smollm2-135m-instruct" in message


@pytest.mark.parametrize(
    ("source", "outputs", "word"),
    [
        ({"weights": "all-minilm-l6-v2"}, ["TEXT"], "put out EMBEDDING only"),
        ({"weights": "smollm2-135m-instruct"}, ["EMBEDDING"], "put out TEXT only"),
        ({"gguf": "/x"}, ["EMBEDDING"], "runs no GGUF file for embeddings"),
        ({"gguf": "/x", "runtime": "tensorrt"}, ["TEXT"], "$.source.runtime"),
    ],
)
async def test_what_a_source_cannot_put_out_is_refused(
    api: Api, source: dict[str, Any], outputs: list[str], word: str
) -> None:
    told = {"id": "lab.m", "source": source | {"type": "embedded"}, "output_modalities": outputs}
    status, _, message = (await api("POST", f"{V1}/models", told)).error()
    assert status == 400
    assert word in message
    assert api.state.calls == []


async def test_weights_that_embed_and_a_runtime_are_kept(api: Api, tmp_path: Path) -> None:
    api.state.replies["add_model"] = lambda command: command.card
    source = {"type": "embedded", "weights": "all-minilm-l6-v2"}
    told = {"id": "lab.m", "source": source, "output_modalities": ["EMBEDDING"]}
    assert (await api("POST", f"{V1}/models", told)).status == 201
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    source = {"type": "embedded", "gguf": str(file), "runtime": "llama"}
    assert (await api("POST", f"{V1}/models", {"id": "lab.n", "source": source})).status == 201
    cards = [command.card for _, command in api.state.calls]
    assert [card.source.runtime for card in cards] == ["llama", "llama"]
    assert cards[0].output_modalities == ("EMBEDDING",)


async def test_a_server_elsewhere_is_added_by_origin_and_path(api: Api, tmp_path: Path) -> None:
    api.state.replies["add_model"] = lambda command: command.card
    key = tmp_path / "key"
    key.write_text("sk-upstream")
    source = {
        "type": "remote",
        "origin": "https://far.example",
        "path": "/v1/",
        "model": "m",
        "credential_file": str(key),
    }
    answer = await api("POST", f"{V1}/models", {"id": "lab.m", "source": source})
    assert answer.status == 201
    card = api.state.calls[0][1].card
    assert card.source == RemoteSource("https://far.example", "m", "/v1", str(key))
    assert b"sk-upstream" not in answer.body


async def test_alias_names_with_slashes_travel_percent_encoded(api: Api) -> None:
    api.state.replies["remove_alias"] = lambda command: command
    api.state.replies["set_alias"] = lambda command: Alias(command.name, command.model, 1)
    await api("POST", f"{V1}/aliases", {"name": "org/Name", "model": "lab.far"})
    answer = await api("DELETE", f"{V1}/aliases/org%2FName")
    assert answer.json() == {"removed": "org/Name"}
    assert api.state.calls[0] == ("set_alias", SetAlias("org/Name", "lab.far"))


async def test_the_caller_learns_who_it_is(api: Api) -> None:
    assert (await api("GET", f"{V1}/identity", key=OTHER)).json() == {
        "account": "222222222222",
        "account_name": "other",
        "project": "proj-two",
        "key": "key-other",
        "role": "member",
    }
