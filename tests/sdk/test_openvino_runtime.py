"""A model on the second runtime, added by an operator and asked by the SDKs that people have."""

import json
import time
import urllib.request
from typing import Any

import anthropic
import openai
import pytest

from tests.fakes.craton import Craton

pytestmark = pytest.mark.slow
MODEL = "local.smol-openvino"
ASKED: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def model(smol: Craton) -> str:
    pytest.importorskip("openvino_genai", reason="the extra craton[openvino] isn't installed")
    (file,) = (smol.data / "weights").glob("SmolLM2*.gguf")
    source = {"type": "embedded", "gguf": str(file.resolve()), "runtime": "openvino"}
    request = urllib.request.Request(
        smol.url + "/craton/v1/models",
        data=json.dumps({"id": MODEL, "name": "Smol", "source": source}).encode(),
        headers={
            "Authorization": f"Bearer {smol.keys.api_key}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.loads(response.read())["source"]["runtime"] == "openvino"
    return MODEL


@pytest.fixture(scope="module")
def client(smol: Craton, model: str) -> openai.OpenAI:
    connected = openai.OpenAI(
        base_url=smol.url + "/v1", api_key=smol.keys.api_key, max_retries=0, timeout=60
    )
    deadline = time.monotonic() + 90
    while True:  # it converts the file first
        try:
            connected.chat.completions.create(model=model, messages=ASKED, max_tokens=1)
        except openai.InternalServerError:
            assert time.monotonic() < deadline, smol.log()
        else:
            return connected


def test_it_answers_and_is_billed(smol: Craton, client: openai.OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=ASKED, max_tokens=30, temperature=0
    )
    answer = raw.parse()
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    _, body = smol.get("/craton/v1/usage?limit=50", Authorization=f"Bearer {smol.keys.api_key}")
    (record,) = (
        each
        for each in json.loads(body)["records"]
        if each["request_id"] == raw.headers["x-request-id"]
    )
    assert record["quantities"]["input_tokens"] == answer.usage.prompt_tokens
    assert record["quantities"]["output_tokens"] == answer.usage.completion_tokens
    assert record["quantities"]["chip_us"] > 0


def test_it_streams_through_another_wire(smol: Craton, client: openai.OpenAI, model: str) -> None:
    del client  # it is ready
    with (
        anthropic.Anthropic(base_url=smol.url, api_key=smol.keys.api_key) as connected,
        connected.messages.stream(model=model, messages=ASKED, max_tokens=12) as stream,
    ):
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 1
    assert "".join(pieces) == final.content[0].text
    assert final.usage.output_tokens <= 12


def test_what_it_cannot_do_is_refused_by_name(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError, match="OpenVINO, which can't serve an output form"):
        client.chat.completions.create(
            model=model, messages=ASKED, response_format={"type": "json_object"}
        )
