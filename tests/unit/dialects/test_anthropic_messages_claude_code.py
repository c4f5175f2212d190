"""The shapes of requests that Claude Code sends, as version 2.1.330 was seen to send them."""

import json
from typing import Any

import pytest

from craton.dialects.anthropic_messages import CLIENT, SERVER
from craton.messages import Role, Text
from craton.messages.blocks import CachePoint
from craton.messages.request import Thinking
from craton.messages.tools import Tool

USER_ID = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s"})
EPHEMERAL = {"type": "ephemeral"}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
    "additionalProperties": False,
}
ASK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "header"},
        {"type": "text", "text": "who you are", "cache_control": EPHEMERAL},
        {"type": "text", "text": "rules", "cache_control": {**EPHEMERAL, "ttl": "1h"}},
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nnote\n</system-reminder>\n"},
                {"type": "text", "text": "the question"},
            ],
        },
        {
            "role": "system",
            "content": [{"type": "text", "text": "# Environment", "cache_control": EPHEMERAL}],
        },
    ],
    "tools": [
        {"name": "Bash", "description": "runs", "input_schema": SCHEMA},
        {"name": "Later", "description": "l", "input_schema": SCHEMA, "defer_loading": True},
    ],
    "metadata": {"user_id": USER_ID},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}
TURN: dict[str, Any] = {
    "messages": [
        ASK["messages"][0],
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "a b"}],
                    "is_error": False,
                    "cache_control": EPHEMERAL,
                }
            ],
        },
    ],
}


@pytest.mark.parametrize(
    "members",
    [
        {},
        TURN,
        {"thinking": {"type": "enabled", "budget_tokens": 31999}},
        {"thinking": {"type": "disabled"}, "temperature": 1},
        {"tool_choice": {"type": "auto"}, "tools": [ASK["tools"][0]]},
        {"tools": [], "stop_sequences": ["x"]},
    ],
)
def test_it_is_read_whole_and_an_upstream_gets_all_of_it(members: dict[str, Any]) -> None:
    body = {**ASK, **members}
    request = SERVER.read_request(json.dumps(body).encode())
    written = json.loads(CLIENT.write_request(request))
    expected = {name: value for name, value in body.items() if value != []}
    assert written == expected


def test_it_means_what_it_says() -> None:
    request = SERVER.read_request(json.dumps(ASK).encode())
    assert [b.text for b in request.system if isinstance(b, Text)] == [
        "header",
        "who you are",
        "rules",
    ]
    points = [block for block in request.system if isinstance(block, CachePoint)]
    assert [point.ttl for point in points] == [None, "1h"]
    assert [message.role for message in request.messages] == [Role.USER, Role.SYSTEM]
    assert request.user == USER_ID
    assert isinstance(request.thinking, Thinking)
    assert (request.thinking.mode, request.thinking.effort) == ("adaptive", "high")
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["Bash", "Later"]


def test_it_counts_tokens_of_the_same() -> None:
    body = {name: ASK[name] for name in ("model", "messages", "tools", "system")}
    assert len(SERVER.read_count_request(json.dumps(body).encode()).tools) == 2
