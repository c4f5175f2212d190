"""Batches: bounded, fair, ended early, and every token and microsecond told once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from craton.kernel.clock import ManualClock
from craton.kernel.errors import ContextOverflow, Throttled
from craton.models.engine import Stop
from craton.models.engines.embedded.embeddings_batches import BATCH_TOKENS, Batches
from craton.models.engines.embedded.embeddings_wordpiece import Tokens


class Hand(Executor):
    """Computes what it is given when told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    async def go_on(self) -> None:
        """Compute the oldest, and let the loop see it."""
        future, compute = self.waiting.pop(0)
        try:
            future.set_result(compute())
        except ValueError as error:
            future.set_exception(error)
        for _ in range(5):
            await asyncio.sleep(0)


class Bench:
    """Batches whose texts are numbers: so many tokens each; their vector is the number."""

    def __init__(self, *, threads: int = 1, texts_max: int = 100) -> None:
        self.hand = Hand()
        self.clock = ManualClock()
        self.seen: list[list[int]] = []
        self.batches = Batches(
            self._encode,
            lambda text: Tokens([0] * int(text), is_cut=int(text) == 99),
            executor=self.hand,
            threads=threads,
            texts_max=texts_max,
            clock=self.clock,
        )

    def _encode(self, texts: list[list[int]]) -> list[bytes]:
        self.clock.advance(seconds=0.001)
        sizes = [len(ids) for ids in texts]
        self.seen.append(sizes)
        if 13 in sizes:
            raise ValueError("13")
        return [str(size).encode() for size in sizes]

    async def start(
        self, *sizes: int, name: str = "r", stop: Stop | None = None, may_cut: bool = True
    ) -> "asyncio.Task[Any]":
        task = asyncio.ensure_future(
            self.batches.embed(
                [str(size) for size in sizes],
                request_id=name,
                stop=stop or Stop(),
                may_cut=may_cut,
            )
        )
        await asyncio.sleep(0)
        return task

    async def read(self, *tasks: "asyncio.Task[Any]") -> None:
        """Tokenize for each; what is computed later stays."""
        for _ in tasks:
            await self.hand.go_on()


async def finish(bench: Bench, *tasks: "asyncio.Task[Any]") -> list[Any]:
    while not all(task.done() for task in tasks):
        await bench.hand.go_on()
    return [task.result() for task in tasks]


async def test_texts_come_back_in_their_order_with_all_they_took() -> None:
    bench = Bench(threads=2)
    sizes = [*range(1, 9), 200, 99]
    (made,) = await finish(bench, await bench.start(*sizes))
    assert made.vectors == [str(size).encode() for size in sizes]
    assert made.tokens == sum(sizes)
    assert made.texts_cut == 1
    assert made.chip_us == 1000 * len(bench.seen)
    assert bench.batches.texts == 0


async def test_a_batch_is_bounded_in_tokens_unless_one_text_fills_it() -> None:
    bench = Bench()
    await finish(bench, await bench.start(*[100] * 7, BATCH_TOKENS + 50, 3))
    assert all(sum(batch) <= BATCH_TOKENS or len(batch) == 1 for batch in bench.seen)
    assert [BATCH_TOKENS + 50] in bench.seen


async def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    bench = Bench()
    large = await bench.start(*[90] * 50, name="large")
    await bench.read(large)
    small = await bench.start(5, name="small")
    while not small.done():
        await bench.hand.go_on()
    assert len(bench.seen) <= 3
    assert not large.done()
    await finish(bench, large)


async def test_requests_share_batches_and_their_time_is_the_time_that_passed() -> None:
    bench = Bench()
    tasks = [await bench.start(*[size] * 30, name=f"r{size}") for size in (20, 21, 22)]
    made = await finish(bench, *tasks)
    assert any(len(set(batch)) > 1 for batch in bench.seen)
    assert sum(each.chip_us for each in made) == 1000 * len(bench.seen)


async def test_a_stop_ends_it_after_the_batch_under_way_with_what_was_done() -> None:
    bench, stop = Bench(), Stop()
    task = await bench.start(*[100] * 30, stop=stop)
    await bench.read(task)
    await bench.hand.go_on()
    stop.request()
    (made,) = await finish(bench, task)
    assert len(made.vectors) == sum(map(len, bench.seen)) < 30
    assert made.tokens == 100 * len(made.vectors)
    assert not bench.hand.waiting


async def test_a_stop_starts_no_batch_while_others_are_under_way() -> None:
    bench, stop = Bench(threads=2), Stop()
    task = await bench.start(*[200] * 30, stop=stop)
    await bench.read(task)
    stop.request()
    (made,) = await finish(bench, task)
    assert len(bench.seen) == len(made.vectors) == 2


async def test_a_stop_before_the_first_batch_costs_nothing() -> None:
    bench, stop = Bench(), Stop()
    task = await bench.start(1, stop=stop)
    stop.request()
    (made,) = await finish(bench, task)
    assert (made.vectors, made.tokens, made.chip_us) == ([], 0, 0)
    assert not bench.seen


async def test_a_stopped_request_lets_the_next_one_run() -> None:
    bench, stop = Bench(), Stop()
    first = await bench.start(*[200] * 9, name="first", stop=stop)
    second = await bench.start(7, name="second")
    stop.request()
    assert [each.tokens for each in await finish(bench, first, second)][1] == 7
    assert bench.batches.texts == 0


async def test_too_many_texts_are_refused_and_room_comes_back() -> None:
    bench = Bench(texts_max=10)
    first = await bench.start(*[1] * 8)
    with pytest.raises(Throttled, match="limit of 10"):
        await finish(bench, await bench.start(1, 1, 1, name="s"))
    await finish(bench, first)
    await finish(bench, await bench.start(*[1] * 10))


async def test_a_text_that_may_not_be_cut_is_refused_by_its_number() -> None:
    bench = Bench()
    task = await bench.start(1, 99, may_cut=False)
    with pytest.raises(ContextOverflow, match="text 1 has more tokens than the 99"):
        await finish(bench, task)
    assert not bench.seen
    assert bench.batches.texts == 0


async def test_a_batch_that_fails_fails_its_requests_and_no_other() -> None:
    bench = Bench()
    bad = await bench.start(13, name="bad")
    await bench.read(bad)
    good = await bench.start(250, name="good")
    await bench.hand.go_on()
    with pytest.raises(ValueError, match="13"):
        await bad
    assert (await finish(bench, good))[0].tokens == 250
