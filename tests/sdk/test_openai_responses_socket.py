"""The WebSocket mode of OpenAI's Responses against a running Craton.

With OpenAI's own client where `websockets` is installed, which that client needs; with a small one
of the tests' own in any case.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from tests.fakes.craton import ECHO, Craton
from tests.fakes.websocket_client import ClosedError, RefusedError, WebSocketClient


def connect(craton: Craton, *, key: str | None = None, path: str = "/v1") -> WebSocketClient:
    headers = {"authorization": f"Bearer {key or craton.keys.api_key}"}
    return WebSocketClient(f"{craton.url}{path}/responses", headers, context=craton.context)


@pytest.fixture
def socket(echo: Craton) -> Iterator[WebSocketClient]:
    with connect(echo) as connected:
        yield connected


def seen(craton: Craton) -> bytes:
    return craton.get("/metrics")[1]


def said(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


@pytest.mark.parametrize("path", ["/v1", "/openai/v1"])
def test_answers_come_as_events_one_after_the_other(echo: Craton, path: str) -> None:
    with connect(echo, path=path) as socket:
        for text in ("one two", "three"):
            socket.send({"type": "response.create", "model": ECHO, "input": text})
        for text in ("one two", "three"):
            events = socket.answer()
            assert said(events) == text
            assert events[-1]["response"]["status"] == "completed"


def test_a_conversation_goes_on_without_being_stored(socket: WebSocketClient) -> None:
    first = socket.create(model=ECHO, input="one two three", store=False)[-1]["response"]
    second = socket.create(model=ECHO, input="four", store=False, previous_response_id=first["id"])[
        -1
    ]["response"]
    assert second["usage"]["input_tokens"] == 3 + 3 + 1
    again = socket.create(model=ECHO, input="x", store=False, previous_response_id=first["id"])
    assert again[-1]["error"]["code"] == "previous_response_not_found"


def test_what_was_stored_is_read_and_continued_elsewhere(echo: Craton) -> None:
    with connect(echo) as socket:
        unstored = socket.create(model=ECHO, input="one two", store=False)[-1]["response"]["id"]
        stored = socket.create(model=ECHO, input="three", previous_response_id=unstored)[-1]
    client = openai.OpenAI(base_url=echo.url + "/v1", api_key=echo.keys.api_key)
    with client, connect(echo) as socket:
        read = client.responses.retrieve(stored["response"]["id"])
        assert (read.output_text, read.store) == ("three", True)
        more = socket.create(model=ECHO, input="four", previous_response_id=read.id)[-1]
        # Its whole conversation was kept, with what only its connection knew.
        assert more["response"]["usage"]["input_tokens"] == 2 + 2 + 1 + 1 + 1
        client.responses.delete(read.id)
        gone = socket.create(model=ECHO, input="four", previous_response_id=read.id)[-1]
        assert gone["error"]["code"] == "previous_response_not_found"


def test_every_answer_is_billed_to_its_key(echo: Craton) -> None:
    operator = Connection(echo.url, echo.keys.api_key, timeout_s=30)
    account = operator.post("/accounts", dict[str, Any], {"name": "sockets"})["id"]
    key = operator.post("/keys", NewKey, {"name": "s", "account": account})
    with connect(echo, key=key.api_key) as socket:
        socket.create(model=ECHO, input="one two three", store=False)
        socket.create(model=ECHO, input="one two three", generate=False)
        socket.create(model=ECHO, input="one two", store=False)
    records = operator.get(f"/usage?account={account}", dict[str, Any])["records"]
    assert sorted(r["quantities"]["output_tokens"] for r in records) == [2, 3]


def test_a_revoked_key_is_refused_on_the_connection_it_opened(echo: Craton) -> None:
    operator = Connection(echo.url, echo.keys.api_key, timeout_s=30)
    key = operator.post("/keys", NewKey, {"name": "short", "account": echo.keys.account})
    with connect(echo, key=key.api_key) as socket:
        assert socket.create(model=ECHO, input="x")[-1]["type"] == "response.completed"
        operator.delete(f"/keys/{key.api_key_id}", dict[str, Any])
        error = socket.create(model=ECHO, input="x")[-1]
        assert (error["status"], error["error"]["code"]) == (401, "invalid_api_key")


def test_who_has_no_key_opens_nothing(echo: Craton) -> None:
    with pytest.raises(RefusedError) as caught:
        connect(echo, key="sk-nobody")
    assert caught.value.status == 401
    status, body = echo.get("/v1/responses", authorization=f"Bearer {echo.keys.api_key}")
    assert (status, b"opens a WebSocket" in body) == (400, True)


def test_a_broken_frame_ends_the_connection_and_nothing_else(echo: Craton) -> None:
    with connect(echo) as socket:
        socket._socket.sendall(b"\x81\x05Hello")  # not masked
        with pytest.raises(ClosedError) as caught:
            socket.receive()
        assert caught.value.code == 1002
    assert echo.metric("craton_internal_errors_total") == 0


def test_turns_are_counted_as_requests_and_connections_apart(echo: Craton) -> None:
    with connect(echo) as socket:
        socket.create(model=ECHO, input="counted")
    deadline_s = time.monotonic() + 10
    while not re.search(rb'requests_total.*status="101".*wire="openai_websocket"', seen(echo)):
        assert time.monotonic() < deadline_s, "the connection was never accounted for"


# What OpenAI's client does with the library below it is not ours to mend.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openai_own_client_holds_a_conversation(echo: Craton) -> None:
    pytest.importorskip("websockets", reason="OpenAI's client needs it for WebSockets")
    client = openai.OpenAI(base_url=echo.url + "/v1", api_key=echo.keys.api_key)
    with client, client.responses.connect() as connection:
        connection.send(
            {"type": "response.create", "model": ECHO, "input": "one two", "store": False}
        )
        first = next(event for event in connection if event.type == "response.completed")
        assert first.response.output_text == "one two"
        connection.send(
            {
                "type": "response.create",
                "model": ECHO,
                "input": "three",
                "store": False,
                "stream_id": "lane",
                "previous_response_id": first.response.id,
            }
        )
        second = next(event for event in connection if event.type == "response.completed")
        assert (second.response.output_text, second.stream_id) == ("three", "lane")
        connection.send({"type": "response.create", "model": "nobody.knows", "input": "x"})
        error = next(iter(connection))
        assert error.type == "error"
        assert (error.status, error.error.code) == (404, "model_not_found")
