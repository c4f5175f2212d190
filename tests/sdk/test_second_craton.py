"""A Craton whose models are another's, asked over all three dialects through all three SDKs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config

from craton.cli.connection import Connection
from tests.fakes.craton import ECHO, Craton

TEXT = "one two three four"
WORDS = (4, 4)
WIRES = ("openai", "anthropic", "bedrock")


@pytest.fixture(scope="module")
def near(echo: Craton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    """A Craton with three models, all of them the far one's echo."""
    folder = tmp_path_factory.mktemp("keys")
    key, pair = folder / "key", folder / "pair"
    key.write_text(echo.keys.api_key)
    pair.write_text(
        f"[default]\naws_access_key_id={echo.keys.access_key_id}\n"
        f"aws_secret_access_key={echo.keys.secret_access_key}\n"
    )
    running = Craton(tmp_path_factory.mktemp("near"), engine="echo")
    for wire in WIRES:
        add(running, echo, wire, pair if wire == "bedrock" else key)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def add(near: Craton, far: Craton, wire: str, credential: Path) -> None:
    source = {
        "type": "remote",
        "origin": far.url,
        "path": "" if wire == "bedrock" else "/v1",
        "model": ECHO,
        "credential_file": str(credential),
        "wire": wire,
    }
    new = {
        "id": f"far.{wire}",
        "name": f"Far {wire}",
        "source": source,
        "context_tokens": 8192,
        "output_tokens_default": 512,
    }
    with native(near).open("POST", "/craton/v1/models", json.dumps(new).encode()) as response:
        assert json.loads(response.read())["engine"] == "remote"


def native(craton: Craton) -> Connection:
    return Connection(craton.url, craton.keys.api_key)


def through_openai(near: Craton, model: str) -> tuple[str, tuple[int, int]]:
    with openai.OpenAI(base_url=near.url + "/v1", api_key=near.keys.api_key) as client:
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": TEXT}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    usage = chunks[-1].usage
    assert usage is not None
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return text, (usage.prompt_tokens, usage.completion_tokens)


def through_anthropic(near: Craton, model: str) -> tuple[str, tuple[int, int]]:
    with (
        anthropic.Anthropic(base_url=near.url, api_key=near.keys.api_key) as client,
        client.messages.stream(
            model=model, max_tokens=20, messages=[{"role": "user", "content": TEXT}]
        ) as stream,
    ):
        answer = stream.get_final_message()
    return answer.content[0].text, (answer.usage.input_tokens, answer.usage.output_tokens)


def through_bedrock(near: Craton, model: str) -> tuple[str, tuple[int, int]]:
    client: Any = boto3.client(
        "bedrock-runtime",
        endpoint_url=near.url,
        region_name="us-east-1",
        aws_access_key_id=near.keys.access_key_id,
        aws_secret_access_key=near.keys.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )
    messages = [{"role": "user", "content": [{"text": TEXT}]}]
    answer = client.converse(modelId=model, messages=messages)
    usage = answer["usage"]
    text = answer["output"]["message"]["content"][0]["text"]
    return text, (usage["inputTokens"], usage["outputTokens"])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("ask", [through_openai, through_anthropic, through_bedrock])
def test_an_answer_comes_through_with_its_usage(near: Craton, ask: Any, wire: str) -> None:
    assert ask(near, f"far.{wire}") == (TEXT, WORDS)


@pytest.mark.parametrize("wire", WIRES)
def test_several_choices_are_asked_one_by_one_and_cost_what_the_far_side_counts(
    near: Craton, wire: str
) -> None:
    with openai.OpenAI(base_url=near.url + "/v1", api_key=near.keys.api_key) as client:
        answer = client.chat.completions.create(
            model=f"far.{wire}", messages=[{"role": "user", "content": TEXT}], n=3
        )
    assert [choice.message.content for choice in answer.choices] == [TEXT] * 3
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 12)


@pytest.mark.parametrize("wire", WIRES)
def test_both_ledgers_have_what_the_client_saw(near: Craton, echo: Craton, wire: str) -> None:
    through_bedrock(near, f"far.{wire}")
    newest = [last_record(near), last_record(echo)]
    assert [record["resource"] for record in newest] == [f"far.{wire}", ECHO]
    counts = [record["quantities"] for record in newest]
    assert [(each["input_tokens"], each["output_tokens"]) for each in counts] == [WORDS, WORDS]


def last_record(craton: Craton) -> dict[str, Any]:
    with native(craton).open("GET", "/craton/v1/usage?limit=1") as response:
        (record,) = json.loads(response.read())["records"]
    return record


def test_a_name_the_far_side_does_not_know_is_said_to_be_the_servers_trouble(
    near: Craton, echo: Craton
) -> None:
    source = {"type": "remote", "origin": echo.url, "model": "nobody.knows"}
    new = {"id": "far.lost", "name": "Lost", "source": source}
    new |= {"context_tokens": 8192, "output_tokens_default": 512}
    with native(near).open("POST", "/craton/v1/models", json.dumps(new).encode()):
        pass
    with (
        openai.OpenAI(
            base_url=near.url + "/v1", api_key=near.keys.api_key, max_retries=0
        ) as client,
        pytest.raises(openai.APIStatusError, match=r"far\.lost") as refused,
    ):
        client.chat.completions.create(
            model="far.lost", messages=[{"role": "user", "content": "x"}]
        )
    assert refused.value.status_code in (424, 500, 502)
