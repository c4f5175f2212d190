"""Documents to bend: for each wire a plain one that must be served, and ones with every part."""

from typing import Any

from tests.fakes.craton import ECHO

Json = Any

PROMPT = "one two three"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXEL = "iVBORw0KGgo="

PLAIN_OPENAI: Json = {
    "model": ECHO,
    "messages": [{"role": "user", "content": PROMPT}],
}
OPENAI: tuple[Json, ...] = (
    {
        "model": ECHO,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": PROMPT, "name": "me"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 40,
        "temperature": 0.5,
        "top_p": 0.9,
        "n": 1,
        "stop": ["three"],
        "seed": 7,
        "user": "u",
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "logit_bias": {"50256": -100},
        "metadata": {"a": "b"},
        "store": False,
    },
    {
        "model": ECHO,
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}},
                    {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "refusal": "no",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": SCHEMA, "strict": True},
        },
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "max_tokens": 10,
    },
    {**PLAIN_OPENAI, "stream": True},
)

PLAIN_ANTHROPIC: Json = {
    "model": ECHO,
    "max_tokens": 50,
    "messages": [{"role": "user", "content": PROMPT}],
}
ANTHROPIC: tuple[Json, ...] = (
    {
        "model": ECHO,
        "max_tokens": 50,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": PROMPT},
        ],
        "stream": True,
        "stop_sequences": ["three"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
    },
    {
        "model": ECHO,
        "max_tokens": 4096,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                        "title": "t",
                        "citations": {"enabled": True},
                    },
                    {
                        "type": "search_result",
                        "source": "u",
                        "title": "t",
                        "content": [{"type": "text", "text": "x"}],
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "AAAA"},
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "4"}],
                        "is_error": False,
                    }
                ],
            },
        ],
        "tools": [
            {"name": "f", "description": "d", "input_schema": SCHEMA},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        ],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    {**PLAIN_ANTHROPIC, "stream": True},
)

PLAIN_CONVERSE: Json = {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
CONVERSE: tuple[Json, ...] = (
    {
        "messages": [
            {"role": "user", "content": [{"text": "a"}]},
            {"role": "assistant", "content": [{"text": "b"}]},
            {"role": "user", "content": [{"text": PROMPT}]},
        ],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {
            "maxTokens": 40,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["three"],
        },
        "requestMetadata": {"team": "blue"},
        "performanceConfig": {"latency": "standard"},
        "additionalModelRequestFields": {"top_k": 5, "deep": [{"a": None}]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                    {"document": {"format": "txt", "name": "d", "source": {"bytes": PIXEL}}},
                    {
                        "video": {
                            "format": "mp4",
                            "source": {"s3Location": {"uri": "s3://bucket/k"}},
                        }
                    },
                    {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
                    {"cachePoint": {"type": "default"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                    {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"city": "Rome"}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "t1",
                            "content": [{"json": {"a": [1, 2.5]}}, {"text": "x"}],
                            "status": "success",
                        }
                    }
                ],
            },
        ],
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}}},
                {"cachePoint": {"type": "default"}},
            ],
            "toolChoice": {"any": {}},
        },
        "guardrailConfig": {
            "guardrailIdentifier": "abc123",
            "guardrailVersion": "1",
            "trace": "enabled",
        },
        "promptVariables": {"x": {"text": "y"}},
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"audio": {"format": "mp3", "source": {"bytes": PIXEL}}},
                    {
                        "document": {
                            "name": "d",
                            "source": {"content": [{"text": "x"}]},
                            "context": "c",
                            "citations": {"enabled": True},
                        }
                    },
                    {"guardContent": {"image": {"format": "png", "source": {"bytes": PIXEL}}}},
                    {
                        "searchResult": {
                            "source": "u",
                            "title": "t",
                            "content": [{"text": "x"}],
                            "citations": {"enabled": True},
                        }
                    },
                    {"toolAddition": {"tool": {"type": "tool_reference", "name": "f"}}},
                    {"toolRemoval": {"tool": {"type": "tool_reference", "name": "f"}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"redactedContent": PIXEL}},
                    {
                        "citationsContent": {
                            "content": [{"text": "x"}],
                            "citations": [
                                {
                                    "title": "t",
                                    "sourceContent": [{"text": "x"}],
                                    "location": {
                                        "documentChar": {"documentIndex": 0, "start": 0, "end": 1}
                                    },
                                }
                            ],
                        }
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "t1",
                            "content": [
                                {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                                {"document": {"name": "d", "source": {"text": "x"}}},
                                {"video": {"format": "mp4", "source": {"bytes": PIXEL}}},
                            ],
                        }
                    },
                    {"text": PROMPT},
                ],
            },
        ],
        "system": [
            {"guardContent": {"text": {"text": "x"}}},
            {"cachePoint": {"type": "default", "ttl": "5m"}},
        ],
        "toolConfig": {
            "tools": [{"systemTool": {"name": "nova_grounding"}}],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "serviceTier": {"type": "default"},
        "outputConfig": {
            "effort": "low",
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": "{}", "name": "s", "description": "d"}},
            },
        },
    },
)
