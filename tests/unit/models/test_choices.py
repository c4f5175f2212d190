import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from craton.kernel.errors import EngineFailed
from craton.messages import (
    ChoiceEvent,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    StopReason,
    Usage,
)
from craton.models.choices import AT_ONCE, generate_choices
from craton.models.engine import Stop

WHOLE = [
    MessageStart(),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(
        usage=Usage(input_tokens=7, output_tokens=2, cache_read_tokens=1, reasoning_tokens=1),
        latency_ms=5,
        chip_us=10,
    ),
]
Step = Event | Exception | asyncio.Event


class Engine:
    """Answers each request by the next of its scripts; remembers who asked and who was let go."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.asked: list[tuple[str, Request]] = []
        self.open = 0
        self.open_most = 0

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncGenerator[Event]:
        self.asked.append((request_id, request))
        script = self.scripts[min(len(self.asked), len(self.scripts)) - 1]
        self.open += 1
        self.open_most = max(self.open, self.open_most)
        try:
            for step in script:
                await asyncio.sleep(0)
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.open -= 1

    async def close(self) -> None:
        pass


async def events(
    engine: Engine, choices: int, *, is_prompt_once: bool = True, seed: int | None = None
) -> list[ChoiceEvent | Metadata]:
    request = Request(model="m", messages=[], choices=choices, seed=seed)
    found = generate_choices(
        engine, request, request_id="r", stop=Stop(), is_prompt_once=is_prompt_once
    )
    return [event async for event in found]


async def test_every_answer_comes_in_order_and_then_what_they_used_together() -> None:
    *answers, last = await events(Engine(WHOLE), 3)
    for choice in range(3):
        of_it = [e.event for e in answers if isinstance(e, ChoiceEvent) and e.choice == choice]
        assert of_it == WHOLE
    assert last == Metadata(
        usage=Usage(input_tokens=7, output_tokens=6, cache_read_tokens=1, reasoning_tokens=3),
        latency_ms=5,
        chip_us=30,
    )


async def test_what_each_prompt_cost_elsewhere_is_added_up() -> None:
    last = (await events(Engine(WHOLE), 3, is_prompt_once=False))[-1]
    assert isinstance(last, Metadata)
    assert (last.usage.input_tokens, last.usage.cache_read_tokens) == (21, 3)


async def test_an_engine_is_asked_for_one_answer_each_under_an_id_and_a_seed_of_its_own() -> None:
    engine = Engine(WHOLE)
    await events(engine, 3, seed=5)
    assert [id for id, _ in engine.asked] == ["r-0", "r-1", "r-2"]
    assert [(request.choices, request.seed) for _, request in engine.asked] == [
        (None, 5),
        (None, 6),
        (None, 7),
    ]


async def test_only_so_many_run_at_once() -> None:
    engine = Engine(WHOLE)
    assert len(await events(engine, 3 * AT_ONCE)) == 3 * AT_ONCE * len(WHOLE) + 1
    assert engine.open_most == AT_ONCE
    assert engine.open == 0


async def test_one_that_fails_ends_them_all_and_nothing_goes_on_behind() -> None:
    never = asyncio.Event()
    engine = Engine([WHOLE[0], never], [EngineFailed("broken")])
    with pytest.raises(EngineFailed, match="broken"):
        await events(engine, 2)
    assert engine.open == 0


async def test_one_that_ends_without_its_counts_is_not_taken_for_an_answer() -> None:
    with pytest.raises(EngineFailed, match="answer 2 of 2"):
        await events(Engine(WHOLE, WHOLE[:-1]), 2)


async def test_whoever_stops_listening_leaves_no_engine_running() -> None:
    never = asyncio.Event()
    engine = Engine([WHOLE[0], never], [WHOLE[0], WHOLE[1], never])
    found = generate_choices(
        engine,
        Request(model="m", messages=[], choices=2),
        request_id="r",
        stop=Stop(),
        is_prompt_once=True,
    )
    await anext(found)
    await found.aclose()
    assert engine.open == 0


async def test_none_begins_after_a_stop_and_those_that_had_begun_are_counted() -> None:
    engine, stop = Engine(WHOLE), Stop()
    request = Request(model="m", messages=[], choices=AT_ONCE + 5)
    found = generate_choices(engine, request, request_id="r", stop=stop, is_prompt_once=True)
    first = await anext(found)
    assert isinstance(first, ChoiceEvent)
    stop.request()
    last = [event async for event in found][-1]
    assert len(engine.asked) == AT_ONCE
    assert isinstance(last, Metadata)
    assert last.usage.output_tokens == 2 * AT_ONCE
