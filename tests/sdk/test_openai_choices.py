"""Several answers to one request (`n`), through the OpenAI SDK and the real stack."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from craton.cli.connection import Connection
from tests.fakes.craton import ECHO, SMOL, Craton

ASK: list[Any] = [{"role": "user", "content": "one two three"}]
FLAT = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}}


@pytest.fixture(scope="module")
def client(echo: Craton) -> Iterator[openai.OpenAI]:
    with connect(echo) as connected:
        yield connected


def connect(craton: Craton) -> openai.OpenAI:
    return openai.OpenAI(base_url=craton.url + "/v1", api_key=craton.keys.api_key, max_retries=0)


def last_quantities(craton: Craton) -> dict[str, int]:
    with Connection(craton.url, craton.keys.api_key).open(
        "GET", "/craton/v1/usage?limit=1"
    ) as response:
        (record,) = json.loads(response.read())["records"]
    return record["quantities"]


def test_several_choices_are_answered_and_the_prompt_is_billed_once(
    client: openai.OpenAI, echo: Craton
) -> None:
    answer = client.chat.completions.create(model=ECHO, messages=ASK, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"one two three"}
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 9)
    posted = last_quantities(echo)
    assert (posted["input_tokens"], posted["output_tokens"]) == (3, 9)


def test_more_choices_than_run_at_once_all_come(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=ECHO, messages=ASK, n=128)
    assert [choice.index for choice in answer.choices] == list(range(128))
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3 * 128


def test_a_stream_tells_which_choice_a_piece_belongs_to(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=ECHO,
            messages=ASK,
            n=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts: dict[int, str] = defaultdict(str)
    reasons: dict[int, list[str]] = defaultdict(list)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                reasons[choice.index].append(choice.finish_reason)
    assert texts == {0: "one two three", 1: "one two three"}
    assert reasons == {0: ["stop"], 1: ["stop"]}
    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert [(each.prompt_tokens, each.completion_tokens) for each in usage] == [(3, 6)]
    assert len({chunk.id for chunk in chunks}) == 1


def test_too_many_or_no_choices_are_refused_by_name(client: openai.OpenAI) -> None:
    for wrong in (0, 129):
        with pytest.raises(openai.BadRequestError, match="`n`"):
            client.chat.completions.create(model=ECHO, messages=ASK, n=wrong)


def test_choices_of_the_embedded_model_differ_though_a_seed_is_given(smol: Craton) -> None:
    with connect(smol) as client:
        answer = client.chat.completions.create(
            model=SMOL,
            messages=[{"role": "user", "content": "Invent a name."}],
            n=3,
            temperature=1.5,
            seed=7,
            max_tokens=12,
        )
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 36


def test_each_choice_of_the_embedded_model_may_call_a_tool(smol: Craton) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": FLAT}}
    with connect(smol) as client:
        answer = client.chat.completions.create(
            model=SMOL,
            messages=[{"role": "user", "content": "The weather in Rome?"}],
            n=2,
            tools=[tool],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            max_tokens=40,
        )
    for choice in answer.choices:
        assert choice.message.tool_calls is not None
        assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
