"""Documents to bend for InvokeModel's formats, CountTokens, OpenAI's Responses and embeddings."""

import base64
import json
from typing import Any

from tests.fakes.craton import ECHO
from tests.fuzz.templates import CONVERSE, PIXEL, PLAIN_CONVERSE, PROMPT, SCHEMA

Json = Any

LLAMA_TURNS = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n" + PROMPT + "<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)

PLAIN_TEXTS: dict[str, Json] = {
    "anthropic": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": PROMPT}],
    },
    "openai": {"messages": [{"role": "user", "content": PROMPT}]},
    "nova": {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]},
    "llama": {"prompt": PROMPT},
    "titan": {"inputText": PROMPT, "textGenerationConfig": {}},
}
PLAIN_VECTORS: dict[str, Json] = {
    "titan embedding": {"inputText": PROMPT, "dimensions": 8},
    "cohere embedding": {"input_type": "search_query", "texts": [PROMPT]},
}
"""For each format a body that must be served."""

INVOKE: dict[str, tuple[Json, ...]] = {
    "anthropic": (
        {
            "anthropic_version": "bedrock-2023-05-31",
            "anthropic_beta": ["some-beta-2025-01-01"],
            "max_tokens": 50,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": PROMPT},
            ],
            "stop_sequences": ["three"],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
            "tool_choice": {"type": "auto"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
    ),
    "openai": (
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
            ],
            "max_completion_tokens": 40,
            "temperature": 0.5,
            "stop": ["three"],
            "n": 1,
            "logprobs": True,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
            "tool_choice": "auto",
            "response_format": {"type": "json_object"},
            "reasoning_effort": "low",
        },
    ),
    "nova": (
        {
            "schemaVersion": "messages-v1",
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]},
                {"role": "assistant", "content": [{"text": "b"}]},
                {
                    "role": "user",
                    "content": [
                        {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                        {"text": PROMPT},
                    ],
                },
            ],
            "inferenceConfig": {
                "maxTokens": 20,
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 5,
                "stopSequences": ["three"],
            },
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}],
                "toolChoice": {"any": {}},
            },
        },
    ),
    "llama": (
        {"prompt": LLAMA_TURNS, "max_gen_len": 20, "temperature": 0.5, "top_p": 0.9},
        {"prompt": PROMPT, "images": [PIXEL]},
    ),
    "titan": (
        {
            "inputText": f"User: {PROMPT}\nBot:",
            "textGenerationConfig": {
                "maxTokenCount": 20,
                "temperature": 0.5,
                "topP": 0.9,
                "stopSequences": ["three"],
            },
        },
    ),
    "titan embedding": (
        {
            "inputText": PROMPT,
            "dimensions": 8,
            "normalize": False,
            "embeddingTypes": ["float", "binary"],
        },
        {"inputText": PROMPT},
    ),
    "cohere embedding": (
        {
            "input_type": "search_document",
            "texts": [PROMPT, "a", ""],
            "embedding_types": ["float", "int8", "uint8", "binary", "ubinary"],
            "output_dimension": 8,
            "truncate": "END",
        },
        {
            "input_type": "classification",
            "inputs": [
                {"content": [{"type": "text", "text": PROMPT}]},
                {"content": [{"type": "image_url", "image_url": {"url": "data:," + PIXEL}}]},
            ],
            "max_tokens": 5,
        },
        {"input_type": "image", "images": ["data:image/png;base64," + PIXEL]},
    ),
}
"""For each format bodies with every part."""


def packed(body: Json) -> str:
    """A body as it stands inside another document."""
    return base64.b64encode(json.dumps(body).encode()).decode()


PLAIN_COUNT: Json = {"input": {"converse": PLAIN_CONVERSE}}
COUNT: tuple[Json, ...] = (
    *({"input": {"invokeModel": {"body": packed(body)}}} for body in PLAIN_TEXTS.values()),
    *({"input": {"invokeModel": {"body": packed(body)}}} for body in PLAIN_VECTORS.values()),
    *(
        {
            "input": {
                "converse": {
                    name: document[name]
                    for name in ("messages", "system", "toolConfig", "additionalModelRequestFields")
                    if name in document
                }
            }
        }
        for document in CONVERSE
    ),
)

PLAIN_RESPONSE: Json = {"model": ECHO, "input": PROMPT}
RESPONSES: tuple[Json, ...] = (
    {**PLAIN_RESPONSE, "stream": True},
    {
        "model": ECHO,
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "b", "annotations": []}],
            },
            {"type": "message", "role": "user", "content": PROMPT},
        ],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
        "max_output_tokens": 40,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "truncation": "disabled",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "top_logprobs": 2,
        "safety_identifier": "s",
        "prompt_cache_key": "k",
    },
    {
        "model": ECHO,
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64," + PIXEL},
                    {"type": "input_file", "filename": "a.pdf", "file_data": PIXEL},
                    {"type": "input_text", "text": PROMPT},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "AAAA",
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "f",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "c1", "output": "4"},
            {"type": "item_reference", "id": "msg_0"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
            {"type": "web_search"},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "parallel_tool_calls": False,
        "max_tool_calls": 3,
        "text": {
            "format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        },
        "reasoning": {"effort": "low", "summary": "auto"},
        "previous_response_id": "resp_0",
    },
    {**PLAIN_RESPONSE, "background": True, "conversation": "conv_1", "prompt": {"id": "p"}},
)

PLAIN_EMBEDDING: Json = {"model": ECHO, "input": PROMPT}
EMBEDDINGS: tuple[Json, ...] = (
    {"model": ECHO, "input": [PROMPT, "a"], "encoding_format": "base64", "dimensions": 8},
    {"model": ECHO, "input": [[1, 2, 3], [4]], "user": "u", "encoding_format": "float"},
    {"model": ECHO, "input": ["a"] * 2049, "dimensions": 1},
)

POLICIES: tuple[Json, ...] = (
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "a",
                "Effect": "Allow",
                "Action": ["bedrock:Invoke*", "bedrock:ListFoundationModels"],
                "Resource": ["arn:aws:bedrock:*::foundation-model/*"],
                "Condition": {
                    "StringLike": {"aws:UserAgent": ["boto3*", "${aws:username}"]},
                    "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
                    "DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"},
                    "Bool": {"aws:SecureTransport": "true"},
                    "NumericLessThanEquals": {"aws:EpochTime": 5},
                    "ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": ["a"]},
                },
            },
            {"Effect": "Deny", "NotAction": "craton:*", "NotResource": "*"},
        ],
    },
    {
        "Version": "2008-10-17",
        "Id": "i",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    },
)
"""Policies of accounts, projects and keys: PUT takes one as the whole body."""
