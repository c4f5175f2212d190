"""What real clients see of a budget or limit: their own exceptions, raised or retried as due."""

import itertools
from collections.abc import Callable
from typing import Any

import anthropic
import boto3
import botocore.exceptions
import openai
import pytest
from botocore.config import Config

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from tests.fakes.craton import ECHO, Craton

Json = dict[str, Any]
NUMBERS = itertools.count()
MESSAGES: Any = [{"role": "user", "content": "one two three"}]


class Payer:
    """An account of its own, with a key, so that no test bounds another."""

    def __init__(self, echo: Craton) -> None:
        self.url = echo.url
        self.operator = Connection(echo.url, echo.keys.api_key, timeout_s=30)
        name = f"payer-{next(NUMBERS)}"
        self.account: str = self.operator.post("/accounts", Json, {"name": name})["id"]
        self.key = self.operator.post("/keys", NewKey, {"name": "k", "account": self.account})

    def budget(self, nanos: int, **more: Any) -> Json:
        body = {"name": "b", "account": self.account, "amount_nanos": nanos, **more}
        return self.operator.post("/budgets", Json, body)

    def limit(self, **numbers: Any) -> Json:
        body = {"name": "l", "account": self.account, **numbers}
        return self.operator.post("/limits", Json, body)

    def openai_client(self, *, retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.url + "/v1", api_key=self.key.api_key, max_retries=retries
        )

    def anthropic_client(self, *, retries: int = 0) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=self.key.api_key, max_retries=retries)

    def bedrock(self) -> Any:
        return boto3.client(
            "bedrock-runtime",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key.access_key_id,
            aws_secret_access_key=self.key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def chat(self, client: openai.OpenAI, **more: Any) -> Any:
        return client.chat.completions.create(
            model=ECHO, messages=MESSAGES, **{"max_tokens": 10, **more}
        )


@pytest.fixture
def payer(echo: Craton) -> Payer:
    return Payer(echo)


def converse(payer: Payer) -> Any:
    return payer.bedrock().converse(
        modelId=ECHO,
        messages=[{"role": "user", "content": [{"text": "one two three"}]}],
        inferenceConfig={"maxTokens": 10},
    )


def test_openai_raises_insufficient_quota_at_once(payer: Payer) -> None:
    made = payer.budget(100)
    client = payer.openai_client(retries=5)
    with pytest.raises(openai.RateLimitError) as refused:
        payer.chat(client)
    error = refused.value
    assert error.code == "insufficient_quota"
    assert made["id"] in error.message
    assert error.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.RateLimitError):
        list(payer.chat(client, stream=True))


def test_anthropic_raises_a_billing_error(payer: Payer) -> None:
    payer.budget(100)
    with pytest.raises(anthropic.APIStatusError) as refused:
        payer.anthropic_client(retries=5).messages.create(
            model=ECHO, messages=MESSAGES, max_tokens=10
        )
    assert refused.value.status_code == 402
    assert "billing_error" in str(refused.value.body)


def test_boto3_raises_the_quota_exception_of_its_service_model(payer: Payer) -> None:
    payer.budget(100)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        converse(payer)
    assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert "0.0000001 USD a month" in str(refused.value)


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda payer: payer.chat(payer.openai_client()), "RateLimitError"),
        (
            lambda payer: payer.anthropic_client().messages.create(
                model=ECHO, messages=MESSAGES, max_tokens=10
            ),
            "RateLimitError",
        ),
        (converse, "ThrottlingException"),
    ],
    ids=["openai", "anthropic", "boto3"],
)
def test_a_limit_throttles_in_each_protocols_own_words(
    payer: Payer, ask: Callable[[Payer], Any], name: str
) -> None:
    payer.limit(requests_per_minute=1)
    ask(payer)
    with pytest.raises(Exception, match="allows 1 requests a minute") as refused:
        ask(payer)
    assert type(refused.value).__name__ == name
    response: Any = refused.value.response  # type: ignore[attr-defined]
    headers = getattr(response, "headers", None) or response["ResponseMetadata"]["HTTPHeaders"]
    assert 55 <= int(headers["retry-after"]) <= 60


def test_a_budget_is_used_to_the_last_nano(payer: Payer) -> None:
    cost = 3 * 20 + 3 * 80
    made = payer.budget(cost * 4)
    client = payer.openai_client()
    for _ in range(4):
        payer.chat(client, max_tokens=3)
    with pytest.raises(openai.RateLimitError):
        payer.chat(client, max_tokens=3)
    shown = payer.operator.get(f"/budgets/{made['id']}", Json)
    assert (shown["spent_nanos"], shown["held_nanos"], shown["left_nanos"]) == (cost * 4, 0, 0)


def test_both_keys_of_a_pair_draw_on_one_budget(payer: Payer) -> None:
    payer.budget(3 * 20 + 10 * 80 + 100, key="k")
    converse(payer)
    with pytest.raises(openai.RateLimitError):
        payer.chat(payer.openai_client())


def test_the_key_of_the_account_sees_its_budget_and_changes_nothing(payer: Payer) -> None:
    made = payer.budget(100)
    member = Connection(payer.url, payer.key.api_key, timeout_s=30)
    assert [b["id"] for b in member.get("/budgets", Json)["budgets"]] == [made["id"]]
    with pytest.raises(Exception, match="not authorized"):
        member.delete(f"/budgets/{made['id']}", Json)
    payer.operator.delete(f"/budgets/{made['id']}", Json)
    payer.chat(payer.openai_client())


def test_a_budget_is_changed_in_force_at_once(payer: Payer) -> None:
    made = payer.budget(0)
    with pytest.raises(openai.RateLimitError):
        payer.chat(payer.openai_client())
    payer.operator.post("/budgets/update", Json, {"id": made["id"], "amount_nanos": 10_000})
    payer.chat(payer.openai_client())
