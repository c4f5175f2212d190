"""What a running Craton promises across its processes, seen from outside."""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.craton import ECHO, SMOL, Craton

PATIENCE_S = 20


def call(craton: Craton, method: str, path: str, body: object = None, key: str = "") -> Any:
    request = urllib.request.Request(
        craton.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "authorization": f"Bearer {key or craton.keys.api_key}",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.loads(response.read() or b"null")


def status_of(craton: Craton, key: str) -> int:
    body = {"model": ECHO, "messages": [{"role": "user", "content": "hello"}]}
    try:
        call(craton, "POST", "/v1/chat/completions", body, key)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_a_revoked_key_is_refused_from_the_moment_its_revocation_is_acknowledged(
    echo: Craton,
) -> None:
    made = call(echo, "POST", "/craton/v1/keys", {"account": "default", "name": "short-lived"})
    key = made["api_key"]
    assert status_of(echo, key) == 200
    begun = time.monotonic()
    call(echo, "DELETE", f"/craton/v1/keys/{made['api_key_id']}")
    took_s = time.monotonic() - begun
    assert status_of(echo, key) == 401
    assert took_s < 1.5, f"the revocation took {took_s:.2f} s"


def test_what_a_client_heard_before_it_left_is_billed_and_no_more_is_generated(
    smol: Craton,
) -> None:
    parts = urlsplit(smol.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    body = {
        "model": SMOL,
        "stream": True,
        "max_tokens": 2000,
        "temperature": 0,
        "messages": [{"role": "user", "content": "Write a long story about a ship and its crew."}],
    }
    headers = {"authorization": f"Bearer {smol.keys.api_key}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    request_id = response.headers["x-request-id"]
    heard = 0
    while heard < 5:
        line = response.readline()
        assert line, f"the answer ended after {heard} pieces"
        heard += line.startswith(b"data: ") and b'"content":"' in line
    response.close()
    connection.close()
    record = wait_for_record(smol, request_id)
    assert record["outcome"] == "client_gone"
    assert 4 <= record["quantities"]["output_tokens"] < 1000
    assert record["amount_nanos"] > 0


def wait_for_record(craton: Craton, request_id: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        page = call(craton, "GET", "/craton/v1/usage?limit=20")
        for record in page["records"]:
            if record["request_id"] == request_id:
                return record
    raise AssertionError(f"no record of {request_id}")


def test_every_answer_is_in_the_ledger_with_the_figures_that_the_client_saw(echo: Craton) -> None:
    before = call(echo, "GET", "/craton/v1/ledger/verify")
    body = {"model": ECHO, "messages": [{"role": "user", "content": "one two three"}]}
    answers = [call(echo, "POST", "/v1/chat/completions", body) for _ in range(5)]
    after = call(echo, "GET", "/craton/v1/ledger/verify")
    assert after["usage_records"] == before["usage_records"] + len(answers)
    assert (after["sum_nanos"], after["faults"]) == (0, [])
    page = call(echo, "GET", "/craton/v1/usage?limit=5")
    counts = [record["quantities"] for record in page["records"]]
    assert [c["input_tokens"] for c in counts] == [a["usage"]["prompt_tokens"] for a in answers]
    assert [c["output_tokens"] for c in counts] == [
        a["usage"]["completion_tokens"] for a in answers
    ]


def test_metrics_are_counted_over_all_processes(echo: Craton) -> None:
    before = echo.metric("craton_requests_total")
    assert status_of(echo, "") == 200
    assert echo.metric("craton_requests_total") > before
    assert echo.metric("craton_commits_total") > 0
