"""No bytes make a dialect raise anything but an error a caller may see."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.dialects import anthropic_messages, openai_chat
from craton.kernel.errors import BadRequest, CratonError, EngineFailed

SEEDS: list[Any] = [
    {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "stop": ["a"],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s"}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "x"},
            {"role": "user", "content": "x"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "x"}],
        "choices": [{"index": 0, "message": {"content": "x"}, "delta": {"content": "x"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1},
    },
]

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, member in inner:
        found += places(member, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A sound body with one member replaced, or a few bytes."""
    seed = draw(st.sampled_from(SEEDS))
    seed = replaced(seed, draw(st.sampled_from(places(seed))), draw(junk))
    body = json.dumps(seed).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    return body


@pytest.mark.parametrize("dialect", [openai_chat, anthropic_messages])
@given(body=bodies())
@settings(max_examples=150, deadline=None)
def test_any_body_is_read_or_refused(dialect: Any, body: bytes) -> None:
    try:
        request = dialect.SERVER.read_request(body)
    except BadRequest:
        return
    assert dialect.SERVER.read_request(dialect.CLIENT.write_request(request)) == request


@pytest.mark.parametrize("dialect", [openai_chat, anthropic_messages])
@given(body=bodies())
@settings(max_examples=100, deadline=None)
def test_any_answer_is_read_or_a_failure_of_the_engine(dialect: Any, body: bytes) -> None:
    with suppress(EngineFailed):
        dialect.CLIENT.read_answer(body)
    assert dialect.CLIENT.read_error(500, body).message


@pytest.mark.parametrize("dialect", [openai_chat, anthropic_messages])
@given(frames=st.lists(bodies() | st.binary(max_size=9), max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_stream_is_read_or_a_failure(dialect: Any, frames: list[bytes]) -> None:
    reader = dialect.CLIENT.stream_reader()
    with suppress(CratonError):
        for frame in frames:
            reader.feed(b"data: " + frame + b"\n\n")
        reader.close()
