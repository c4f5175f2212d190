"""SDKs, unchanged, against a Craton with its own TLS authority, and two workers."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from anthropic import Anthropic
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError
from openai import OpenAI

from craton.bootstrap.certificates import LocalAuthority
from craton.cli.connection import Connection
from craton.cli.environment import variables_of
from craton.cli.examination import State
from craton.cli.examination_parts import certificate
from craton.cli.installation import Trust, read_installation
from craton.kernel.clock import ManualClock, SystemClock
from craton.kernel.errors import Unavailable
from tests.fakes.bedrock_token import bedrock_token
from tests.fakes.craton import ECHO, Craton

HELLO = [{"role": "user", "content": [{"text": "hello over TLS"}]}]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    running = Craton(tmp_path_factory.mktemp("tls"), engine="echo", workers=2, tls=True)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


@pytest.fixture
def told(secured: Craton, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of `craton env`, set."""
    variables = variables_of(read_installation(secured.data), None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def runtime() -> Any:
    return boto3.client("bedrock-runtime", config=Config(retries={"max_attempts": 0}))


def said(client: Any) -> str:
    answer = client.converse(modelId=ECHO, messages=HELLO)
    client.close()
    return answer["output"]["message"]["content"][0]["text"]


def test_the_variables_name_the_authority_that_was_made(
    secured: Craton, told: dict[str, str]
) -> None:
    folder = secured.data / "tls"
    assert told["AWS_ENDPOINT_URL"].startswith("https://127.0.0.1:")
    assert told["NODE_EXTRA_CA_CERTS"] == str(folder / "ca.pem")
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        assert told[name] == str(folder / "bundle.pem")


@pytest.mark.usefixtures("told")
def test_signed_requests_go_over_tls() -> None:
    assert "hello over TLS" in said(runtime())


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("kind", ["api key", "short-term key"])
def test_boto3_sends_a_bearer_token_that_is_taken(
    secured: Craton, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = secured.keys
    token = keys.api_key
    if kind == "short-term key":
        token = bedrock_token(keys.access_key_id, keys.secret_access_key)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "hello over TLS" in said(runtime())


@pytest.mark.usefixtures("told")
def test_a_short_term_key_of_a_wrong_secret_is_refused(
    secured: Craton, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bedrock_token(secured.keys.access_key_id, "wrong")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
    with pytest.raises(ClientError, match="The Bedrock API key can't be used"):
        said(runtime())


@pytest.mark.usefixtures("told")
def test_a_client_that_trusts_somebody_else_is_not_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(SSLError):
        said(runtime())


@pytest.mark.usefixtures("told")
def test_openai_and_anthropic_go_over_tls() -> None:
    message = {"role": "user", "content": "hello over TLS"}
    with OpenAI() as openai:
        chat = openai.chat.completions.create(model=ECHO, messages=[message])
        assert "hello over TLS" in str(chat.choices[0].message.content)
    with Anthropic() as anthropic:
        answer = anthropic.messages.create(model=ECHO, max_tokens=50, messages=[message])
        assert "hello over TLS" in answer.content[0].text


def test_a_client_that_offers_http_2_gets_it(secured: Craton) -> None:
    context = secured.context
    assert context is not None
    with httpx2.Client(http1=False, http2=True, verify=context) as client:
        for _ in range(4):
            answer = client.get(secured.url + "/readyz")
            assert answer.status_code == 200
            assert answer.http_version == "HTTP/2"


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_the_handshake_decides_the_version(secured: Craton, version: str) -> None:
    ran = subprocess.run(
        [
            "curl", "--silent", "--show-error", version, "--cacert", secured.data / "tls/ca.pem",
            "--write-out", "%{http_version}", "--output", os.devnull, secured.url + "/healthz",
        ],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert ran.stdout == ("2" if version == "--http2" else "1.1")


def test_cratons_own_commands_trust_the_authority_and_nobody_else(secured: Craton) -> None:
    installation = read_installation(secured.data)
    trust = installation.endpoint.trust
    assert trust is not None
    with Connection(secured.url, "", trust=trust).open("GET", "/healthz") as answer:
        assert answer.status == 200
    for other in (None, Trust()):
        with (
            pytest.raises(Unavailable, match="certificate verify failed"),
            Connection(secured.url, "", trust=other).open("GET", "/healthz"),
        ):
            pass


def test_craton_up_serves_a_certificate_of_ones_own_and_its_commands_know_it(
    secured: Craton, tmp_path: Path
) -> None:
    own = secured.data / "tls/server.pem"
    program = [sys.executable, "-c", "from craton.cli.main import run; run()"]
    options = ["up", "--engine", "echo", "--port", "0", "--once", "--json", "--data", tmp_path]
    ran = subprocess.run(
        [*program, *options, "--tls-certificate", own, "--tls-key", own],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(ran.stdout)["url"].startswith("https://127.0.0.1:")
    trust = read_installation(tmp_path).endpoint.trust
    assert trust == Trust(certificate=str(own))
    with Connection(secured.url, "", trust=trust).open("GET", "/healthz") as answer:
        assert answer.status == 200


def test_a_certificate_of_ones_own_is_taken_as_it_is_and_no_other(
    secured: Craton, tmp_path: Path
) -> None:
    other = LocalAuthority(tmp_path / "tls")
    other.ensure(["127.0.0.1"], dt.datetime.now(dt.UTC))
    # Its file leads to the authority of the server's certificate, which doesn't help.
    authority = (secured.data / "tls/ca.pem").read_bytes()
    other.server.write_bytes(other.server.read_bytes() + authority)
    trust = Trust(certificate=str(other.server))
    with (
        pytest.raises(Unavailable, match="certificate verify failed"),
        Connection(secured.url, "", trust=trust).open("GET", "/healthz"),
    ):
        pass


def test_doctor_says_how_long_the_certificate_lasts(secured: Craton) -> None:
    found = read_installation(secured.data).endpoint
    fresh = certificate(found, SystemClock())
    assert (fresh.state, fresh.advice) == (State.OK, "")
    late = ManualClock(SystemClock().now_ns())
    late.advance(seconds=86_400 * 10_000)
    assert certificate(found, late).state is State.WARN
