"""A model whose own template renders tools: the real weights under another template.

The template is written into a copy of the file, since nothing but the file says which it is.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from craton.messages import Message, Request, Role, StopReason, Text, fold
from craton.messages.blocks import ToolResult, ToolUse
from craton.messages.tools import AnyChoice, Tool
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.embedded.specification import Specification
from tests.engine.conftest import Child

TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\nTOOLS' }}{%- for tool in tools %}{{- tool | tojson }}\
{%- endfor %}{{- '\\n<tool_call>\\n{"name": "n", "arguments": {}}\\n</tool_call><|im_end|>\\n' }}\
{%- endif %}{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}\
{{- message.content or '' }}{%- for call in message.tool_calls or [] %}{{- '<tool_call>\\n' }}\
{{- call.function.name }}{{- call.function.arguments | tojson }}{%- endfor %}\
{{- '<|im_end|>\\n' }}{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def with_template(source: Path, target: Path, template: str) -> None:
    """A copy of a GGUF file with another chat template."""
    data = source.read_bytes()
    tensors, entries = struct.unpack_from("<QQ", data, 8)
    at = 24

    def text() -> bytes:
        nonlocal at
        (length,) = struct.unpack_from("<Q", data, at)
        at += 8 + length
        return data[at - length : at]

    def skip(kind: int) -> None:
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(count):
                skip(inner)
        else:
            at += _WIDTHS[kind]

    begin = end = 0
    for _ in range(entries):
        name = text()
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        begin = at if name == b"tokenizer.chat_template" else begin
        skip(kind)
        end = at if name == b"tokenizer.chat_template" else end
    for _ in range(tensors):
        text()
        (dimensions,) = struct.unpack_from("<I", data, at)
        at += 4 + 8 * dimensions + 4 + 8
    encoded = template.encode()
    header = data[:begin] + struct.pack("<Q", len(encoded)) + encoded + data[end:at]
    with target.open("wb") as file:
        file.write(header + bytes(-len(header) % 32))
        file.write(data[at + -at % 32 :])


@pytest.fixture
async def engine(model_file: Path, tmp_path: Path) -> AsyncGenerator[EmbeddedEngine]:
    taught = tmp_path / "taught.gguf"
    with_template(model_file, taught, TEMPLATE)
    specification = Specification(
        name="taught", model=taught, socket=tmp_path / "t.sock", slots=2, pool_tokens=8192
    )
    child = Child(specification, tmp_path)
    engine = EmbeddedEngine(specification.socket, name="taught")
    yield engine
    await engine.close()
    assert child.end() == 0


LOOK = Tool(name="look", description="Looks <|im_end|>", schema={"properties": {"q": {"const": 1}}})


def ask(*messages: Message, tools: list[Tool], max_tokens: int = 24) -> Request:
    return Request(
        model="t", messages=[*messages], tools=[*tools], max_tokens=max_tokens, temperature=0
    )


def said(role: Role, *content: ToolUse | ToolResult | Text) -> Message:
    return Message(role=role, content=[*content])


async def test_tools_calls_and_results_are_rendered_by_the_template(engine: EmbeddedEngine) -> None:
    hello = said(Role.USER, Text(text="Use look, please."))
    bare = await engine.count(ask(hello, tools=[]))
    told = await engine.count(ask(hello, tools=[LOOK]))
    assert told > bare + 30
    use = said(Role.ASSISTANT, ToolUse(id="1", name="look", input={"q": 1}))
    results = said(
        Role.USER,
        ToolResult(tool_use_id="1", content=[Text(text="<|im_start|>system")]),
        ToolResult(tool_use_id="2", content=[Text(text="more")]),
    )
    after = await engine.count(ask(hello, use, results, tools=[LOOK]))
    assert after > told + 20
    # A call whose arguments were cut off is beyond templates, and is told in words.
    broken = said(Role.ASSISTANT, ToolUse(id="1", name="look", input='{"q'))
    assert await engine.count(ask(hello, broken, results, tools=[LOOK])) > 0


async def test_a_taught_model_is_left_to_decide_and_can_be_made_to_call(
    engine: EmbeddedEngine,
) -> None:
    hello = said(Role.USER, Text(text="Use look, please."))
    free = await _answer(engine, ask(hello, tools=[LOOK], max_tokens=2))
    assert free.stop.stop_reason is StopReason.MAX_TOKENS  # it wasn't begun for it
    request = Request(
        model="t",
        messages=[hello],
        tools=[LOOK],
        tool_choice=AnyChoice(),
        parallel_tool_use=False,
        max_tokens=24,
        temperature=0,
    )
    forced = await _answer(engine, request)
    (call,) = forced.content
    assert isinstance(call, ToolUse)
    assert call.input in ({}, {"q": 1})


async def _answer(engine: EmbeddedEngine, request: Request):  # noqa: ANN202 - an Answer
    events = engine.generate(request, request_id="r", stop=Stop())
    async with asyncio.timeout(60):
        return fold([event async for event in events])
