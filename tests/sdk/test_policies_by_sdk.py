"""Policies as a client meets them: attached by the command line, told by each SDK in its words."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import msgspec
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from craton.cli.main import main
from tests.fakes.craton import ECHO, Craton

QUESTION: Any = [{"role": "user", "content": "one two"}]
BLOCKS = [{"role": "user", "content": [{"text": "one two"}]}]
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
WHOLE_ONLY = {**ALLOW, "Action": ["bedrock:InvokeModel", "bedrock:CallWithBearerToken"]}
NO_ECHO = {
    "Sid": "NoEcho",
    "Effect": "Deny",
    "Action": "bedrock:InvokeModel*",
    "Resource": "arn:aws:bedrock:*::foundation-model/craton.echo*",
}


class Bound:
    """A member's key of its own, and the commands that bind it."""

    def __init__(self, echo: Craton, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = echo.url
        self._data = str(echo.data)
        self._file = folder / "policy.json"
        self._capsys = capsys
        made = self.run("keys", "create", folder.name, "--json")
        self.key = msgspec.json.decode(made)
        self.id: str = self.key["api_key_id"]

    def run(self, *arguments: str, status: int = 0) -> str:
        self._capsys.readouterr()
        assert main([*arguments, "--data", self._data]) == status, self._capsys.readouterr().err
        return self._capsys.readouterr().out

    def put(self, *statements: dict[str, Any], on: tuple[str, str] | None = None) -> str:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self._file.write_text(json.dumps(document), encoding="utf-8")
        return self.run("policies", "put", "rules", str(self._file), *(on or ("--key", self.id)))

    def runtime(self) -> Any:
        return boto3.client(
            "bedrock-runtime",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key["access_key_id"],
            aws_secret_access_key=self.key["secret_access_key"],
            config=Config(retries={"max_attempts": 0}),
        )

    def status(self, method: str, path: str, body: dict[str, Any] | None) -> int:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "authorization": f"Bearer {self.key['api_key']}",
                "content-type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def statuses(self) -> list[tuple[str, str, int]]:
        return [(method, path, self.status(method, path, body)) for method, path, body in ASKED]

    def chat(self, *, stream: bool = False) -> Any:
        with openai.OpenAI(
            base_url=self.url + "/v1", api_key=self.key["api_key"], max_retries=0
        ) as client:
            return client.chat.completions.create(model=ECHO, messages=QUESTION, stream=stream)


@pytest.fixture
def bound(echo: Craton, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bound]:
    made = Bound(echo, tmp_path, capsys)
    yield made
    for policy in msgspec.json.decode(made.run("policies", "list", "--json"))["policies"]:
        place = made.id if policy["level"] == "key" else policy["target"]
        made.run("policies", "delete", policy["name"], f"--{policy['level']}", place)


def test_a_denied_model_is_told_in_openais_words(bound: Bound) -> None:
    assert bound.chat().choices[0].message.content == "one two"
    assert "binds key" in bound.put(ALLOW, NO_ECHO)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        bound.chat()
    assert "with an explicit deny in an identity-based policy" in caught.value.message
    assert "NoEcho" in caught.value.message
    bound.run("policies", "delete", "rules", "--key", bound.id)
    assert bound.chat().choices[0].message.content == "one two"


def test_a_denied_model_is_told_in_anthropics_words(bound: Bound) -> None:
    bound.put(ALLOW, NO_ECHO)
    with (
        anthropic.Anthropic(
            base_url=bound.url, api_key=bound.key["api_key"], max_retries=0
        ) as client,
        pytest.raises(anthropic.PermissionDeniedError, match="explicit deny"),
    ):
        client.messages.create(model=ECHO, max_tokens=10, messages=QUESTION)


def test_a_denied_model_is_told_in_awss_words(bound: Bound) -> None:
    bound.put(ALLOW, NO_ECHO)
    client = bound.runtime()
    with pytest.raises(ClientError) as caught:
        client.converse(modelId=ECHO, messages=BLOCKS)
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Message"].startswith(f"User: arn:aws:iam::{bound.key['account']}:user/")
    client.close()


def test_a_stream_needs_its_own_action_on_every_wire(bound: Bound) -> None:
    bound.put(WHOLE_ONLY)
    client = bound.runtime()
    assert client.converse(modelId=ECHO, messages=BLOCKS)["stopReason"] == "end_turn"
    with pytest.raises(ClientError, match="InvokeModelWithResponseStream"):
        client.converse_stream(modelId=ECHO, messages=BLOCKS)
    client.close()
    assert bound.chat().choices[0].message.content == "one two"
    with pytest.raises(openai.PermissionDeniedError, match="InvokeModelWithResponseStream"):
        bound.chat(stream=True)


def test_without_leave_for_bearer_tokens_only_signed_requests_come_in(bound: Bound) -> None:
    bound.put({**ALLOW, "Action": "bedrock:Invoke*"})
    client = bound.runtime()
    assert client.converse(modelId=ECHO, messages=BLOCKS)["stopReason"] == "end_turn"
    client.close()
    with pytest.raises(openai.PermissionDeniedError, match="bedrock:CallWithBearerToken"):
        bound.chat()


def test_listing_models_needs_its_own_action(bound: Bound) -> None:
    with openai.OpenAI(
        base_url=bound.url + "/v1", api_key=bound.key["api_key"], max_retries=0
    ) as client:
        assert ECHO in [model.id for model in client.models.list()]
        bound.put(WHOLE_ONLY)
        with pytest.raises(openai.PermissionDeniedError, match="bedrock:ListFoundationModels"):
            client.models.list()
        with pytest.raises(openai.PermissionDeniedError, match="bedrock:GetFoundationModel"):
            client.models.retrieve(ECHO)


def test_an_accounts_policy_binds_all_its_keys_and_its_operator_can_take_it_back(
    bound: Bound,
) -> None:
    bound.put(ALLOW, NO_ECHO, on=("--account", "default"))
    with pytest.raises(openai.PermissionDeniedError, match="service control policy"):
        bound.chat()
    bound.run("policies", "delete", "rules", "--account", "default")
    assert bound.chat().choices[0].message.content == "one two"


def test_the_command_line_tests_shows_and_lists_policies(bound: Bound) -> None:
    bound.put(ALLOW, NO_ECHO)
    asked = ("--key", bound.id, "--action", "bedrock:InvokeModel", "--model", ECHO)
    told = bound.run("policies", "test", *asked, status=1)
    assert told.startswith("denied\n")
    assert "statement 'NoEcho'" in told
    told = bound.run("policies", "test", "--key", bound.id, "--action", "craton:Read")
    assert told.startswith("allowed\n")
    shown = json.loads(bound.run("policies", "show", "rules", "--key", bound.id))
    assert shown["Statement"][1] == NO_ECHO
    assert "rules" in bound.run("policies")


CHAT = {"model": ECHO, "messages": QUESTION, "max_tokens": 5}
CONVERSE = {"messages": BLOCKS}
NATIVE = {"model": ECHO, "input": "one two"}
INSIDE = {"anthropic_version": "bedrock-2023-05-31", "messages": QUESTION, "max_tokens": 5}


ASKED: list[tuple[str, str, Any]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/openai/v1/chat/completions", CHAT),
    ("POST", "/v1/responses", NATIVE),
    ("POST", "/v1/responses", {**NATIVE, "stream": True}),
    ("POST", "/v1/responses/input_tokens", NATIVE),
    ("POST", "/v1/messages", CHAT),
    ("POST", "/v1/messages", {**CHAT, "stream": True}),
    ("POST", "/v1/messages/count_tokens", {"model": ECHO, "messages": QUESTION}),
    ("POST", "/anthropic/v1/messages", CHAT),
    ("GET", "/v1/models", None),
    ("GET", f"/v1/models/{ECHO}", None),
    ("GET", f"/anthropic/v1/models/{ECHO}", None),
    ("POST", f"/model/{ECHO}/converse", CONVERSE),
    ("POST", f"/model/{ECHO}/converse-stream", CONVERSE),
    ("POST", f"/model/{ECHO}/invoke", INSIDE),
    ("POST", f"/model/{ECHO}/invoke-with-response-stream", INSIDE),
    ("POST", f"/model/{ECHO}/count-tokens", {"input": {"converse": CONVERSE}}),
    ("GET", "/foundation-models", None),
    ("GET", f"/foundation-models/{ECHO}", None),
    ("GET", f"/foundation-model-availability/{ECHO}", None),
    ("GET", "/inference-profiles", None),
    ("GET", "/craton/v1/identity", None),
    ("GET", "/craton/v1/policies", None),
]


def test_no_endpoint_forgets_to_ask(bound: Bound) -> None:
    """Everything is denied but bearer tokens; what answers at all must answer 403."""
    bound.put({**ALLOW, "Action": "bedrock:CallWithBearerToken"})
    assert [(path, status) for _, path, status in bound.statuses() if status != 403] == []
    bound.put(ALLOW)
    assert [(path, status) for _, path, status in bound.statuses() if status == 403] == []


def test_whoever_only_denies_is_told_that_nothing_is_allowed(bound: Bound) -> None:
    assert "allows anything" not in bound.put(ALLOW, NO_ECHO)
    assert "so everything is denied" in bound.put(NO_ECHO)
    with pytest.raises(openai.PermissionDeniedError):
        bound.chat()


def test_a_bad_policy_is_refused_and_the_old_one_stays(bound: Bound) -> None:
    bound.put(ALLOW, NO_ECHO)
    bad = {**ALLOW, "Effect": "Permit"}
    with pytest.raises(AssertionError, match='Statement 1: "Effect" is "Permit"'):
        bound.put(bad)
    shown = json.loads(bound.run("policies", "show", "rules", "--key", bound.id))
    assert shown["Statement"][1] == NO_ECHO
