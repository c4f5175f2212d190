import json
from typing import Any

import pytest

from craton.dialects.openai_chat import CLIENT, SERVER
from craton.dialects.openai_chat_settings import without_own
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages import Request
from craton.messages.tools import AnyChoice, AutoChoice, Tool


def read(**members: Any) -> Request:
    user = {"role": "user", "content": "x"}
    return SERVER.read_request(json.dumps({"model": "m", "messages": [user], **members}).encode())


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


ASKING: list[tuple[str, Any]] = [
    ("logit_bias", {"5": -100}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("prediction", {"type": "content", "content": "x"}),
    ("web_search_options", {}),
    ("moderation", {"model": "m"}),
    ("verbosity", "low"),
    ("guided_json", {"type": "object"}),
    ("min_p", 0.1),
]


@pytest.mark.parametrize(("name", "value"), ASKING)
def test_what_an_engine_would_pass_over_is_refused_by_name(name: str, value: Any) -> None:
    request = read(**{name: value})
    with pytest.raises(Unsupported, match=f"`{name}`"):
        without_own(request)


@pytest.mark.parametrize(("name", "value"), ASKING)
def test_an_upstream_that_speaks_chat_completions_gets_it(name: str, value: Any) -> None:
    assert json.loads(CLIENT.write_request(read(**{name: value})))[name] == value


@pytest.mark.parametrize(
    "members",
    [
        {"logit_bias": {}},
        {"min_p": None, "guided_json": None, "prediction": None},
        {"modalities": ["text"]},
        {"verbosity": "medium"},
        {"store": True, "metadata": {"a": "b"}},
        {"safety_identifier": "u", "prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"max_completion_tokens": 5, "stop": "x", "top_k": -1},
        {"stream": True, "stream_options": {"include_usage": False}},
        {"response_format": {"type": "text"}},
        {"user": "u", "service_tier": "auto", "reasoning_effort": "none"},
        {"tools": [function("f")], "tool_choice": "auto"},
        {"tools": [function("f")], "tool_choice": function("f")},
    ],
)
def test_what_asks_nothing_of_the_answer_passes_as_it_is(members: dict[str, Any]) -> None:
    request = read(**members)
    assert without_own(request) is request


def test_only_allowed_tools_are_offered() -> None:
    tools = [function("a"), function("b"), function("c")]
    choice = allowed("required", function("c"), function("a"))
    request = without_own(read(tools=tools, tool_choice=choice))
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["a", "c"]
    assert request.tool_choice == AnyChoice()
    choice = allowed("auto", function("b"))
    assert without_own(read(tools=tools, tool_choice=choice)).tool_choice == AutoChoice()


def test_an_allowed_tool_must_be_one() -> None:
    with pytest.raises(BadRequest, match="'z' is none of"):
        without_own(read(tools=[function("a")], tool_choice=allowed("auto", function("z"))))
    with pytest.raises(Unsupported, match="allowed_tools"):
        without_own(read(tools=[function("a")], tool_choice=allowed("auto", {"type": "mcp"})))


def test_custom_tools_are_refused() -> None:
    custom = {"type": "custom", "custom": {"name": "c"}}
    with pytest.raises(Unsupported, match=r"`tools\[1\].type`: 'custom'"):
        without_own(read(tools=[function("a"), custom]))
    with pytest.raises(Unsupported, match="custom tools"):
        without_own(read(tool_choice=custom))
