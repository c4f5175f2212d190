"""Vectors of the bundled sentence encoder, with the SDKs people have: OpenAI's and boto3."""

import json
import math
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import openai
import pytest
from botocore.exceptions import ClientError

from tests.fakes.craton import SMOL, Craton

MINILM = "sentence-transformers.all-minilm-l6-v2"
CAT, KITTEN, BONDS = (
    "a cat sits on the mat",
    "a kitten rests on a rug",
    "quarterly bond yields fell sharply",
)
CAT_TOKENS = 8


@pytest.fixture(scope="module")
def client(smol: Craton) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=smol.url + "/v1", api_key=smol.keys.api_key, max_retries=2
    ) as connected:
        yield connected


@pytest.fixture(scope="module")
def runtime(smol: Craton) -> Any:
    keys = smol.keys
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=smol.url,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
    )


def record(smol: Craton, request_id: str) -> dict[str, Any]:
    _, body = smol.get("/craton/v1/usage?limit=50", Authorization=f"Bearer {smol.keys.api_key}")
    found = [each for each in json.loads(body)["records"] if each["request_id"] == request_id]
    return found[0]


def test_meaning_is_near_and_the_ledger_has_its_tokens(smol: Craton, client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model=MINILM, input=[CAT, KITTEN, BONDS], encoding_format="float"
    )
    made = raw.parse()
    cat, kitten, bonds = (np.array(entry.embedding) for entry in made.data)
    assert cat @ kitten > 0.6
    assert cat @ bonds < 0.1
    assert made.usage.prompt_tokens == 23
    assert "x-craton-texts-cut" not in raw.headers
    posted = record(smol, raw.headers["x-request-id"])
    assert posted["quantities"]["input_tokens"] == 23
    assert posted["quantities"]["chip_us"] > 0
    assert posted["resource"] == MINILM
    assert int(raw.headers["x-craton-cost-nanos"]) == 23 * 20  # 0.02 USD a million


def test_base64_and_fewer_dimensions(client: openai.OpenAI) -> None:
    (floats,) = client.embeddings.create(model=MINILM, input=CAT, encoding_format="float").data
    (unasked,) = client.embeddings.create(model=MINILM, input=CAT).data
    assert unasked.embedding == pytest.approx(floats.embedding, abs=1e-6)
    (short,) = client.embeddings.create(model=MINILM, input=CAT, dimensions=64).data
    length = math.hypot(*floats.embedding[:64])
    assert short.embedding == pytest.approx([x / length for x in floats.embedding[:64]], abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="gives 384"):
        client.embeddings.create(model=MINILM, input=CAT, dimensions=385)


def test_a_cut_is_told_in_a_header_and_only_what_was_read_is_billed(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model=MINILM, input=["word " * 500, CAT])
    assert raw.headers["x-craton-texts-cut"] == "1"
    assert raw.parse().usage.prompt_tokens == 256 + CAT_TOKENS


def test_each_kind_of_model_refuses_what_the_other_is_for(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{MINILM} turns texts into vectors"):
        client.chat.completions.create(model=MINILM, messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError, match=f"{SMOL} gives no embeddings.*{MINILM}"):
        client.embeddings.create(model=SMOL, input=CAT)


def test_titan_and_cohere_bodies_have_the_same_vector(runtime: Any, client: openai.OpenAI) -> None:
    (expected,) = client.embeddings.create(model=MINILM, input=CAT).data
    titan = runtime.invoke_model(modelId=MINILM, body=json.dumps({"inputText": CAT}))
    told = json.loads(titan["body"].read())
    assert told["embedding"] == pytest.approx(expected.embedding, abs=1e-6)
    assert told["inputTextTokenCount"] == CAT_TOKENS
    body = {"texts": [CAT, BONDS], "input_type": "search_document", "embedding_types": ["float"]}
    cohere = runtime.invoke_model(modelId=MINILM, body=json.dumps(body))
    told = json.loads(cohere["body"].read())
    assert told["embeddings"]["float"][0] == pytest.approx(expected.embedding, abs=1e-6)
    headers = cohere["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == "15"


def test_cohere_says_whether_a_text_may_be_cut(runtime: Any) -> None:
    body = {"texts": ["word " * 500], "input_type": "search_document"}
    with pytest.raises(ClientError, match="more tokens than the 256"):
        runtime.invoke_model(modelId=MINILM, body=json.dumps(body))
    answer = runtime.invoke_model(modelId=MINILM, body=json.dumps(body | {"truncate": "END"}))
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-craton-texts-cut"] == "1"
    assert answer["body"].read()


def test_bedrock_refuses_text_from_it_by_name(runtime: Any) -> None:
    asked = [{"role": "user", "content": [{"text": "Hi"}]}]
    with pytest.raises(ClientError, match=f"{MINILM} turns texts into vectors"):
        runtime.converse(modelId=MINILM, messages=asked)
    with pytest.raises(ClientError, match=f"{MINILM} generates no text"):
        runtime.invoke_model(modelId=MINILM, body=json.dumps({"messages": [], "max_tokens": 4}))


def test_its_process_may_be_killed_and_the_gateway_answers_on(
    smol: Craton, client: openai.OpenAI
) -> None:
    client.embeddings.create(model=MINILM, input=CAT)
    assert kill_engines(smol, MINILM) == 1
    (again,) = client.embeddings.create(model=MINILM, input=CAT).data
    assert len(again.embedding) == 384
    assert smol.get("/readyz")[0] == 200


def kill_engines(smol: Craton, model: str) -> int:
    """Kill that Craton's engine processes of the model; how many there were."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    killed = 0
    for line in listed.stdout.splitlines():
        pid, parent, words = line.split(maxsplit=2)
        if int(parent) == smol.process.pid and f"--name {model} " in words:
            os.kill(int(pid), signal.SIGKILL)
            killed += 1
    return killed
