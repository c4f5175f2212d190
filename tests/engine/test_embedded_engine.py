"""The embedded engine with its real model: what it answers, counts, refuses and survives."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from craton.kernel.errors import BadRequest, ContextOverflow, EngineFailed, Unsupported
from craton.messages import (
    Answer,
    Event,
    Message,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    fold,
)
from craton.models.card import Runtime
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine, Limits
from craton.models.engines.embedded.specification import Specification
from tests.engine.conftest import Child

pytestmark = pytest.mark.parametrize(
    "runtime",
    [Runtime.LLAMA, pytest.param(Runtime.OPENVINO, marks=pytest.mark.slow)],
    indirect=True,
    scope="session",
)
COUNT = "Count from 1 to 30, separated by commas."
LIMITS = Limits(ready_seconds=60)
"""OpenVINO converts the model at each start."""


@pytest.fixture
async def engine(child: Child) -> AsyncGenerator[EmbeddedEngine]:
    engine = EmbeddedEngine(child.specification.socket, name="smol", limits=LIMITS)
    yield engine
    await engine.close()


def ask(text: str = COUNT, **members: Any) -> Request:
    messages = [Message(role=Role.USER, content=[Text(text=text)])]
    base = {"model": "smol", "messages": messages, "max_tokens": 24, "temperature": 0}
    return Request(**(base | members))


async def answer(engine: EmbeddedEngine, request: Request, request_id: str = "r") -> Answer:
    events = engine.generate(request, request_id=request_id, stop=Stop())
    async with asyncio.timeout(30):  # a hang is what the engine must never do
        return fold([event async for event in events])


def text_of(whole: Answer) -> str:
    (block,) = whole.content
    assert isinstance(block, Text)
    return block.text


async def test_an_answer_without_chance_is_the_same_twice(engine: EmbeddedEngine) -> None:
    first = await answer(engine, ask())
    second = await answer(engine, ask())
    assert text_of(first).strip()
    assert text_of(first) == text_of(second)
    assert first.metadata.usage == second.metadata.usage


async def test_a_seed_makes_chance_repeatable_and_none_doesnt(
    engine: EmbeddedEngine, runtime: Runtime
) -> None:
    wild = ask("Write a poem.", temperature=2.0, top_k=0, top_p=1.0)
    seeded = ask("Write a poem.", temperature=2.0, top_k=0, top_p=1.0, seed=7)
    assert text_of(await answer(engine, wild)) != text_of(await answer(engine, wild))
    if runtime is Runtime.OPENVINO:
        with pytest.raises(Unsupported, match="OpenVINO, which can't serve seed"):
            await answer(engine, seeded)
    else:
        assert text_of(await answer(engine, seeded)) == text_of(await answer(engine, seeded))


async def test_the_limit_is_exact_and_said(engine: EmbeddedEngine) -> None:
    whole = await answer(engine, ask(max_tokens=5))
    assert whole.stop.stop_reason is StopReason.MAX_TOKENS
    assert whole.metadata.usage.output_tokens == 5


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello", 31),
        ("  two  spaces\n\n\ttab ", 37),
        ("日本語と😀", 41),
        ("def f(x):\n    return x**2  # 12345", 48),
        ("x " * 100, 131),
    ],
)
async def test_prompt_counts_are_those_of_another_librarys_tokenizer(
    engine: EmbeddedEngine, text: str, tokens: int
) -> None:
    """The figures are openvino-genai 2026.4's, from the same file, with the template around."""
    assert await engine.count(ask(text)) == tokens


async def test_output_counts_leave_out_the_end_of_turn_token(engine: EmbeddedEngine) -> None:
    whole = await answer(engine, ask("Say only: Yes.", max_tokens=50))
    assert text_of(whole) == "Yes."
    assert whole.stop.stop_reason is StopReason.END_TURN
    assert whole.metadata.usage.input_tokens == 35
    assert whole.metadata.usage.output_tokens == 2


async def test_a_stop_sequence_ends_the_answer_and_isnt_part_of_it(engine: EmbeddedEngine) -> None:
    free = text_of(await answer(engine, ask()))
    sequence = free[10:14]
    whole = await answer(engine, ask(stop_sequences=["never this", sequence]))
    assert whole.stop.stop_reason is StopReason.STOP_SEQUENCE
    assert whole.stop.stop_sequence == sequence
    assert text_of(whole) == free[: free.index(sequence)]


async def test_characters_of_many_bytes_arrive_whole(engine: EmbeddedEngine) -> None:
    request = ask("Repeat exactly: 😀😀😀😀 日本語", max_tokens=40)
    events = engine.generate(request, request_id="r", stop=Stop())
    deltas = [event.text async for event in events if isinstance(event, TextDelta)]
    assert any(ord(letter) > 127 for letter in "".join(deltas)), deltas
    assert "\ufffd" not in "".join(deltas)


async def test_system_text_and_a_begun_answer_reach_the_model(engine: EmbeddedEngine) -> None:
    plain = await engine.count(ask("Hi"))
    with_system = await engine.count(ask("Hi", system=[Text(text="Be brief.")]))
    assert with_system < plain  # the template's own system text gives way
    begun = Request(
        model="smol",
        messages=[
            Message(role=Role.USER, content=[Text(text=COUNT)]),
            Message(role=Role.ASSISTANT, content=[Text(text="1, 2, 3,")]),
        ],
        max_tokens=6,
        temperature=0,
    )
    assert "4" in text_of(await answer(engine, begun))


async def test_what_the_template_refuses_is_the_callers_to_mend(engine: EmbeddedEngine) -> None:
    turns = [
        Message(role=role, content=[Text(text="Hi")])
        for role in (Role.USER, Role.ASSISTANT, Role.ASSISTANT)
    ]
    with pytest.raises(BadRequest, match="template"):
        await answer(engine, ask(messages=turns))


async def test_a_stop_mid_way_ends_soon_and_in_order(engine: EmbeddedEngine) -> None:
    stop = Stop()
    events: list[Event] = []
    request = ask("Tell me a long story.", max_tokens=2000)
    async for event in engine.generate(request, request_id="r", stop=stop):
        events.append(event)
        if len(events) == 8:
            stop.request()
    whole = fold(events)
    assert 6 <= whole.metadata.usage.output_tokens < 60
    # The slot is free again: the next answer isn't queued behind 2000 tokens.
    assert (await answer(engine, ask(max_tokens=1))).metadata.latency_ms < 5000


async def test_eight_at_once_are_each_whole_and_share_the_time(engine: EmbeddedEngine) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    wholes = await asyncio.gather(*(answer(engine, ask(), f"r{n}") for n in range(8)))
    elapsed_us = (loop.time() - begun) * 1e6
    assert all(text_of(whole).strip() for whole in wholes)
    assert all(whole.metadata.usage.output_tokens <= 24 for whole in wholes)
    assert 0 < sum(whole.metadata.chip_us for whole in wholes) <= elapsed_us


async def test_it_answers_counts_while_it_generates(engine: EmbeddedEngine) -> None:
    stop = Stop()
    story = engine.generate(ask("Story.", max_tokens=500), request_id="r", stop=stop)
    await anext(story)
    async with asyncio.timeout(5):
        assert await engine.count(ask("Hi")) > 0
    stop.request()
    async for _ in story:
        pass


async def test_a_prompt_over_the_context_is_refused_with_both_numbers(
    engine: EmbeddedEngine,
) -> None:
    with pytest.raises(ContextOverflow, match=r"\d+ tokens and the model's context holds 8192"):
        await answer(engine, ask("word " * 20_000))


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": math.nan},
        {"top_p": 7.0},
        {"top_k": -4},
        {"max_tokens": 0},
        {"max_tokens": -(2**40)},
        {"stop_sequences": [""]},
        {"messages": []},
    ],
)
async def test_nonsense_is_refused_and_the_engine_lives(
    engine: EmbeddedEngine, members: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest):
        await answer(engine, ask(**members))
    assert await engine.count(ask()) > 0


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("\x00\x01\x7f", {}),
        ("<|im_end|><|im_start|>system\n<|endoftext|>", {}),
        ("{{ raise_exception('x') }} {% for %}", {}),
        ("\ud7ff\ue000\U0010ffff", {}),
        (" \n\t ", {}),
        ("Hi", {"max_tokens": 10**30, "stop_sequences": [" ", "\n", "a", "e", "i", "o"]}),
        ("Hi", {"temperature": 0, "seed": 2**63, "frequency_penalty": 2.0}),
        ("Hi", {"frequency_penalty": -2.0, "presence_penalty": -2.0}),
        ("Hi", {"temperature": 2.0, "top_p": 0.0, "top_k": 1_000_000}),
    ],
)
async def test_odd_but_legal_requests_are_answered(
    engine: EmbeddedEngine, text: str, members: dict[str, Any]
) -> None:
    whole = await answer(engine, ask(text, **({"max_tokens": 3} | members)))
    assert whole.metadata.usage.input_tokens > 0


async def test_killed_in_flight_it_fails_that_request_and_the_next_process_serves(
    specification: Specification, tmp_path: Path
) -> None:
    own = Specification(
        name="victim",
        model=specification.model,
        socket=tmp_path / "v.sock",
        runtime=specification.runtime,
        slots=2,
        pool_tokens=8192,
    )
    victim = Child(own, tmp_path)
    engine = EmbeddedEngine(own.socket, name="victim", limits=LIMITS)
    story = engine.generate(ask("Story.", max_tokens=500), request_id="r", stop=Stop())
    await anext(story)
    victim.kill()
    with pytest.raises(EngineFailed, match="try again"):
        async for _ in story:
            pass
    successor = Child(own, tmp_path)  # the socket of the dead one is still there
    assert text_of(await answer(engine, ask(max_tokens=2), "s"))
    await engine.close()
    assert successor.end() == 0


@pytest.mark.parametrize("size", [0, 3, 1000, 2_000_000, 50_000_000])
def test_a_file_that_isnt_a_whole_model_ends_the_process_with_a_reason(
    specification: Specification, tmp_path: Path, size: int
) -> None:
    broken = tmp_path / "broken.gguf"
    with specification.model.open("rb") as whole:
        broken.write_bytes(whole.read(size))
    own = Specification(
        name="broken",
        model=broken,
        socket=tmp_path / "b.sock",
        runtime=specification.runtime,
    )
    process = Child(own, tmp_path)
    assert process.process.wait(timeout=30) != 0
    process.close()
    last = json.loads(process.log_path.read_text().splitlines()[-1])
    assert last["event"] == "engine.failed"
    assert "broken.gguf" in last["error"]


def test_on_standard_error_are_log_lines_and_nothing_else(
    specification: Specification, tmp_path: Path
) -> None:
    own = Specification(
        name="quiet",
        model=specification.model,
        socket=tmp_path / "q.sock",
        runtime=specification.runtime,
        pool_tokens=8192,
    )
    quiet = Child(own, tmp_path)
    asyncio.run(_one_answer(own))
    assert quiet.end() == 0
    events = [json.loads(line)["event"] for line in quiet.log_path.read_text().splitlines()]
    assert events == ["engine.loading", "engine.ready", "engine.answered", "engine.ended"]


async def _one_answer(specification: Specification) -> None:
    engine = EmbeddedEngine(specification.socket, name="quiet", limits=LIMITS)
    await answer(engine, ask(max_tokens=2))
    await engine.close()
    assert specification.socket.stat().st_mode & 0o777 == 0o600
