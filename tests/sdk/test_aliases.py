"""Code that names a model of elsewhere reaches the one that the operator mapped, and can tell."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config

from tests.fakes.craton import ECHO, Craton

CLAUDE = "us.anthropic.claude-sonnet-4-6"
GPT = "gpt-5"
HEADER = "x-craton-model"


@pytest.fixture(scope="module", autouse=True)
def mapped(echo: Craton) -> Iterator[None]:
    for name in (CLAUDE, GPT):
        call(echo, "POST", "/craton/v1/aliases", {"name": name, "model": ECHO})
    yield
    for name in (CLAUDE, GPT):
        call(echo, "DELETE", f"/craton/v1/aliases/{name}")


def call(craton: Craton, method: str, path: str, body: object = None) -> None:
    headers = {
        "authorization": f"Bearer {craton.keys.api_key}",
        "content-type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(craton.url + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20):
        pass


def bedrock(craton: Craton) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=craton.url,
        region_name="us-east-1",
        aws_access_key_id=craton.keys.access_key_id,
        aws_secret_access_key=craton.keys.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_reaches_it_by_an_inference_profile_and_sees_which_model_answered(
    echo: Craton,
) -> None:
    messages = [{"role": "user", "content": [{"text": "hello there"}]}]
    answer = bedrock(echo).converse(modelId=CLAUDE, messages=messages)
    assert answer["output"]["message"]["content"] == [{"text": "hello there"}]
    assert answer["ResponseMetadata"]["HTTPHeaders"][HEADER] == ECHO


def test_boto3_reaches_it_by_the_arn_of_that_profile_in_a_stream(echo: Craton) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{echo.keys.account}:inference-profile/{CLAUDE}"
    messages = [{"role": "user", "content": [{"text": "hello there"}]}]
    answer = bedrock(echo).converse_stream(modelId=arn, messages=messages)
    assert answer["ResponseMetadata"]["HTTPHeaders"][HEADER] == ECHO
    assert [list(event) for event in answer["stream"]][-1] == ["metadata"]


def test_the_openai_sdk_keeps_the_name_it_asked_by_and_sees_the_model(echo: Craton) -> None:
    with openai.OpenAI(base_url=echo.url + "/v1", api_key=echo.keys.api_key) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=GPT, messages=[{"role": "user", "content": "hello there"}]
        )
    assert raw.parse().model == GPT
    assert raw.headers[HEADER] == ECHO


def test_the_anthropic_sdk_sees_the_model_in_a_stream(echo: Craton) -> None:
    with (
        anthropic.Anthropic(base_url=echo.url, api_key=echo.keys.api_key) as client,
        client.messages.stream(
            model=CLAUDE, max_tokens=20, messages=[{"role": "user", "content": "hello there"}]
        ) as stream,
    ):
        assert stream.get_final_message().model == CLAUDE
        assert stream.response.headers[HEADER] == ECHO


def test_a_name_nobody_mapped_is_refused_with_what_there_is(echo: Craton) -> None:
    with (
        openai.OpenAI(base_url=echo.url + "/v1", api_key=echo.keys.api_key) as client,
        pytest.raises(openai.NotFoundError, match="gpt-6") as refused,
    ):
        client.chat.completions.create(model="gpt-6", messages=[{"role": "user", "content": "x"}])
    assert GPT in str(refused.value)
    assert ECHO in str(refused.value)
