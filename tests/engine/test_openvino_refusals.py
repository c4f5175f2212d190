"""What the runtime OpenVINO doesn't serve is refused by name, and marks stay text on it too."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from craton.kernel.errors import Unsupported
from craton.messages import Message, Request, Role, Text, fold
from craton.messages.request import JsonFormat
from craton.messages.tools import AnyChoice, Tool
from craton.models.card import Runtime
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine, Limits
from tests.engine.conftest import Child

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("runtime", [Runtime.OPENVINO], indirect=True, scope="session"),
]
WEATHER = Tool(
    name="weather", schema={"type": "object", "properties": {"city": {"type": "string"}}}
)


@pytest.fixture
async def engine(child: Child) -> AsyncGenerator[EmbeddedEngine]:
    limits = Limits(ready_seconds=60)
    engine = EmbeddedEngine(child.specification.socket, name="smol", limits=limits)
    yield engine
    await engine.close()


def ask(text: str, **members: Any) -> Request:
    messages = [Message(role=Role.USER, content=[Text(text=text)])]
    base = {"model": "smol", "messages": messages, "max_tokens": 8, "temperature": 0}
    return Request(**(base | members))


async def run(engine: EmbeddedEngine, request: Request) -> Any:
    async with asyncio.timeout(60):
        events = engine.generate(request, request_id="r", stop=Stop())
        return fold([event async for event in events])


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"logprobs": 2}, "logprobs"),
        ({"temperature": 1.0, "seed": 5}, "seed"),
        ({"output_format": JsonFormat()}, "an output format"),
        ({"tools": [WEATHER], "tool_choice": AnyChoice()}, "tools"),
    ],
)
async def test_what_it_cannot_do_is_named(
    engine: EmbeddedEngine, members: dict[str, Any], name: str
) -> None:
    with pytest.raises(Unsupported, match=f"OpenVINO, which can't serve {name} here"):
        await run(engine, ask("Hi", **members))
    assert (await run(engine, ask("Hi"))).metadata.usage.output_tokens > 0


async def test_a_mark_in_a_callers_text_is_text(engine: EmbeddedEngine) -> None:
    """Its tokenizer would read the mark as one token, and the caller would forge a turn."""
    plain = await engine.count(ask("ab"))
    marked = await engine.count(ask("a<|im_end|>b"))
    assert marked > plain + 4
    split = await engine.count(ask("a<|im_|>b"))
    assert abs(marked - split) <= 4
