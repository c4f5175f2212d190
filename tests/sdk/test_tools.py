"""Tools and schemas through each SDK, unchanged, against the embedded model."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.fakes.craton import SMOL, Craton

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
ASK = "What is the weather in Paris?"
BAD = {"type": "object", "properties": {"city": {"type": "strin"}}}
WHERE = "at #/properties/city: `type`"
NAME = "get_weather"


def is_weather(value: Any) -> bool:
    return (
        value.keys() == {"city", "unit"}
        and isinstance(value["city"], str)
        and len(value["city"]) <= 20
        and value["unit"] in {"celsius", "fahrenheit"}
    )


# --- OpenAI ---------------------------------------------------------------------------------------

FUNCTION: Any = {
    "type": "function",
    "function": {"name": NAME, "description": "The weather", "parameters": SCHEMA},
}
FORCED: Any = {"type": "function", "function": {"name": NAME}}


@pytest.fixture(scope="module")
def chat(smol: Craton) -> Iterator[openai.OpenAI]:
    made = openai.OpenAI(base_url=smol.url + "/v1", api_key=smol.keys.api_key, max_retries=0)
    with made as client:
        yield client


def complete(client: openai.OpenAI, **settings: Any) -> Any:
    messages = [{"role": "user", "content": ASK}]
    base = {"model": SMOL, "messages": messages, "max_tokens": 60, "temperature": 0}
    return client.chat.completions.create(**(base | settings))


def test_openai_is_given_a_forced_call_whole_and_streamed(chat: openai.OpenAI) -> None:
    whole = complete(chat, tools=[FUNCTION], tool_choice=FORCED).choices[0]
    assert whole.finish_reason == "tool_calls"
    (call,) = whole.message.tool_calls
    assert call.function.name == NAME
    assert is_weather(json.loads(call.function.arguments))
    chunks = list(complete(chat, tools=[FUNCTION], tool_choice=FORCED, stream=True))
    calls = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    assert calls[0].function.name == NAME
    assert calls[0].id
    assert len(calls) > 2, "the arguments came in one piece"
    streamed = "".join(piece.function.arguments for piece in calls)
    assert json.loads(streamed) == json.loads(call.function.arguments)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_openai_sends_the_result_back_and_is_answered_in_words(chat: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function"}
    call["function"] = {"name": NAME, "arguments": '{"city": "Paris", "unit": "celsius"}'}  # type: ignore[assignment]
    messages = [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "18 degrees, sunny"},
    ]
    choice = complete(chat, messages=messages, tools=[FUNCTION]).choices[0]
    assert choice.finish_reason in {"stop", "length"}
    assert "18" in choice.message.content


def test_openai_greets_and_is_greeted_though_there_are_tools(chat: openai.OpenAI) -> None:
    hello = [{"role": "user", "content": "hello"}]
    choice = complete(chat, messages=hello, tools=[FUNCTION], max_tokens=40).choices[0]
    assert choice.message.tool_calls is None
    assert choice.message.content
    assert "<tool_call>" not in choice.message.content


def test_openai_asks_for_a_tool_by_name_and_it_is_called(chat: openai.OpenAI) -> None:
    asked = [{"role": "user", "content": f"Use the {NAME} tool for Berlin."}]
    choice = complete(chat, messages=asked, tools=[FUNCTION]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert is_weather(json.loads(choice.message.tool_calls[0].function.arguments))


def test_openai_is_given_json_of_its_schema(chat: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": SCHEMA}}
    choice = complete(chat, response_format=form).choices[0]
    assert is_weather(json.loads(choice.message.content))
    chunks = list(complete(chat, response_format=form, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == choice.message.content
    free = complete(chat, response_format={"type": "json_object"}, max_tokens=200).choices[0]
    assert free.finish_reason == "length" or isinstance(json.loads(free.message.content), dict)


def test_openai_is_told_where_a_schema_is_wrong(chat: openai.OpenAI) -> None:
    bad: Any = {"type": "function", "function": {"name": NAME, "parameters": BAD}}
    with pytest.raises(openai.BadRequestError, match=WHERE):
        complete(chat, tools=[bad])


def test_openai_is_told_when_a_call_was_cut_off(chat: openai.OpenAI) -> None:
    choice = complete(chat, tools=[FUNCTION], tool_choice=FORCED, max_tokens=3).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.arguments


def test_openai_is_told_each_tokens_probability(chat: openai.OpenAI) -> None:
    choice = complete(chat, max_tokens=4, logprobs=True, top_logprobs=3).choices[0]
    told = choice.logprobs.content
    assert "".join(token.token for token in told) == choice.message.content
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in told)
    assert told[0].top_logprobs[0].token == told[0].token
    plain = complete(chat, max_tokens=2, logprobs=True).choices[0].logprobs.content
    assert [token.top_logprobs for token in plain] == [[], []]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"reasoning_effort": "high"}, "reasoning"),
    ],
)
def test_openai_is_refused_by_name_what_isnt_served(
    chat: openai.OpenAI, settings: dict[str, Any], name: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=name):
        complete(chat, **settings)


# --- Anthropic ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def claude(smol: Craton) -> Iterator[anthropic.Anthropic]:
    made = anthropic.Anthropic(base_url=smol.url, api_key=smol.keys.api_key, max_retries=0)
    with made as client:
        yield client


TOOL: Any = {"name": NAME, "description": "The weather", "input_schema": SCHEMA}


def message(**settings: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": ASK}]
    base = {"model": SMOL, "messages": messages, "max_tokens": 60}
    return base | {"extra_body": {"temperature": 0}} | settings


def test_anthropic_is_given_a_forced_call_whole_and_streamed(claude: anthropic.Anthropic) -> None:
    settings = message(tools=[TOOL], tool_choice={"type": "tool", "name": NAME})
    whole = claude.messages.create(**settings)
    assert whole.stop_reason == "tool_use"
    (call,) = whole.content
    assert call.type == "tool_use"
    assert is_weather(call.input)
    with claude.messages.stream(**settings) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].type == "tool_use"
    assert streamed.content[0].input == call.input
    assert streamed.usage == whole.usage
    counted = claude.messages.count_tokens(
        model=SMOL,
        messages=settings["messages"],
        tools=[TOOL],
        tool_choice=settings["tool_choice"],
    )
    assert counted.input_tokens == whole.usage.input_tokens


def test_anthropic_sends_a_failed_result_back(claude: anthropic.Anthropic) -> None:
    use = {"type": "tool_use", "id": "t1", "name": NAME, "input": {"city": "P", "unit": "celsius"}}
    failed = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "no network"}
    messages = [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, use]},
        {"role": "user", "content": [failed]},
    ]
    whole = claude.messages.create(**message(messages=messages, tools=[TOOL]))
    assert whole.stop_reason in {"end_turn", "max_tokens", "tool_use"}


def test_anthropic_is_told_where_a_schema_is_wrong(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=WHERE):
        claude.messages.create(**message(tools=[{**TOOL, "input_schema": BAD}]))


def test_anthropic_thinks_nothing_where_it_may_and_is_refused_where_it_must(
    claude: anthropic.Anthropic,
) -> None:
    for kind in ("disabled", "adaptive"):
        body = {"temperature": 0, "thinking": {"type": kind}}
        assert claude.messages.create(**message(max_tokens=2, extra_body=body)).content
    must = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    with pytest.raises(anthropic.BadRequestError, match="reasoning"):
        claude.messages.create(**message(max_tokens=2048, extra_body=must))


# --- Bedrock --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime(smol: Craton) -> Iterator[Any]:
    made = boto3.client(
        "bedrock-runtime",
        endpoint_url=smol.url,
        region_name="us-east-1",
        aws_access_key_id=smol.keys.access_key_id,
        aws_secret_access_key=smol.keys.secret_access_key,
        config=Config(retries={"max_attempts": 0}),
    )
    yield made
    made.close()


def converse(schema: Any = SCHEMA, **tool_choice: Any) -> dict[str, Any]:
    spec = {"name": NAME, "description": "The weather", "inputSchema": {"json": schema}}
    config: dict[str, Any] = {"tools": [{"toolSpec": spec}]}
    if tool_choice:
        config["toolChoice"] = tool_choice
    return {
        "modelId": SMOL,
        "messages": [{"role": "user", "content": [{"text": ASK}]}],
        "inferenceConfig": {"maxTokens": 60, "temperature": 0},
        "toolConfig": config,
    }


def test_bedrock_is_given_a_forced_call_whole_and_streamed(runtime: Any) -> None:
    whole = runtime.converse(**converse(tool={"name": NAME}))
    assert whole["stopReason"] == "tool_use"
    (block,) = whole["output"]["message"]["content"]
    assert is_weather(block["toolUse"]["input"])
    events = list(runtime.converse_stream(**converse(tool={"name": NAME}))["stream"])
    starts = [e["contentBlockStart"]["start"] for e in events if "contentBlockStart" in e]
    assert starts[0]["toolUse"]["name"] == NAME
    deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
    text = "".join(delta["toolUse"]["input"] for delta in deltas)
    assert json.loads(text) == block["toolUse"]["input"]


def test_bedrock_must_call_some_tool(runtime: Any) -> None:
    whole = runtime.converse(**converse(any={}))
    assert whole["stopReason"] == "tool_use"
    uses = [block["toolUse"] for block in whole["output"]["message"]["content"]]
    assert all(is_weather(use["input"]) for use in uses)
    assert len({use["toolUseId"] for use in uses}) == len(uses)


def test_bedrock_is_told_where_a_schema_is_wrong(runtime: Any) -> None:
    with pytest.raises(ClientError, match="ValidationException") as refused:
        runtime.converse(**converse(BAD))
    assert WHERE in str(refused.value)
