"""The same API under `/openai/v1` and `/anthropic/v1`, with the real SDKs and as agents ask."""

import json
import urllib.request
from typing import Any

import anthropic
import openai
import pytest

from tests.fakes.craton import ECHO, SMOL, Craton

QUESTION: list[Any] = [{"role": "user", "content": "one two three"}]


@pytest.mark.parametrize("path", ["", "/anthropic"])
def test_anthropics_sdk_finds_all_it_asks_for(echo: Craton, path: str) -> None:
    with anthropic.Anthropic(
        base_url=echo.url + path, api_key=echo.keys.api_key, max_retries=0
    ) as client:
        answer = client.messages.create(model=ECHO, messages=QUESTION, max_tokens=9)
        assert [block.text for block in answer.content if block.type == "text"] == ["one two three"]
        beta = client.beta.messages.create(
            model=ECHO, messages=QUESTION, max_tokens=9, betas=["context-1m-2025-08-07"]
        )
        assert beta.usage.output_tokens == 3
        assert client.messages.count_tokens(model=ECHO, messages=QUESTION).input_tokens == 3
        assert ECHO in [model.id for model in client.models.list(limit=1)]
        assert client.models.retrieve(ECHO).id == ECHO
        with pytest.raises(anthropic.NotFoundError, match="not built"):
            client.messages.batches.list()


@pytest.mark.parametrize("path", ["/v1", "/openai/v1"])
def test_openais_sdk_finds_all_it_asks_for(echo: Craton, path: str) -> None:
    with openai.OpenAI(
        base_url=echo.url + path, api_key=echo.keys.api_key, max_retries=0
    ) as client:
        answer = client.chat.completions.create(model=ECHO, messages=QUESTION)
        assert answer.choices[0].message.content == "one two three"
        chunks = client.chat.completions.create(model=ECHO, messages=QUESTION, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == "one two three"
        assert ECHO in [model.id for model in client.models.list()]
        assert client.models.retrieve(ECHO).id == ECHO
        with pytest.raises(openai.NotFoundError, match="not built"):
            client.files.list()
        with pytest.raises(openai.NotFoundError, match="There is no"):
            client.get("/nothing", cast_to=object)


@pytest.mark.parametrize("path", ["", "/anthropic"])
def test_claude_codes_requests_are_served(smol: Craton, path: str) -> None:
    """Its greeting, then a question with all that it sends beside one, but tools and thinking."""
    with urllib.request.urlopen(
        urllib.request.Request(smol.url + (path or "/"), method="HEAD"), timeout=30
    ) as greeted:
        assert greeted.status == 200
    ephemeral = {"type": "ephemeral"}
    body = {
        "model": SMOL,
        "max_tokens": 16,
        "temperature": 0,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": ephemeral}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "What is the capital of France?",
                        "cache_control": ephemeral,
                    }
                ],
            }
        ],
        "metadata": {"user_id": json.dumps({"device_id": "d", "session_id": "s"})},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }
    asked = urllib.request.Request(
        smol.url + path + "/v1/messages?beta=true",
        data=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            "x-api-key": smol.keys.api_key,
            "anthropic-version": "2023-06-01",
            "anthropic-beta": "claude-code-20250219,context-management-2025-06-27",
            "x-app": "cli",
        },
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        told = answer.read().decode()
    assert "Paris" in told
    assert "event: message_stop" in told
