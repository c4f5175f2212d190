"""Room for answers: in order, within limits, and nothing leaks when callers give up."""

import asyncio

import pytest

from craton.kernel.errors import Throttled
from craton.models.engines.embedded.capacity import Capacity


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_one_more_than_the_slots_waits_for_a_release() -> None:
    capacity = Capacity(slots=1, pool_tokens=100, queue_max=4)
    await capacity.reserve(10)
    second = asyncio.ensure_future(capacity.reserve(10))
    await turn()
    assert not second.done()
    assert (capacity.running, capacity.waiting) == (1, 1)
    capacity.release(10)
    await second
    assert (capacity.running, capacity.waiting) == (1, 0)


async def test_cells_are_reserved_whole_and_a_small_request_doesnt_overtake() -> None:
    capacity = Capacity(slots=4, pool_tokens=100, queue_max=4)
    await capacity.reserve(60)
    large = asyncio.ensure_future(capacity.reserve(60))
    small = asyncio.ensure_future(capacity.reserve(10))
    await turn()
    assert not large.done()
    assert not small.done()
    capacity.release(60)
    await asyncio.gather(large, small)
    assert capacity.running == 2


async def test_a_full_queue_is_refused_with_its_numbers() -> None:
    capacity = Capacity(slots=1, pool_tokens=100, queue_max=1)
    await capacity.reserve(1)
    waiting = asyncio.ensure_future(capacity.reserve(1))
    await turn()
    with pytest.raises(Throttled, match="1 requests run and 1 wait"):
        await capacity.reserve(1)
    waiting.cancel()
    await asyncio.wait((waiting,))


async def test_a_caller_who_gives_up_leaves_the_queue_and_lets_others_by() -> None:
    capacity = Capacity(slots=2, pool_tokens=100, queue_max=4)
    await capacity.reserve(60)
    large = asyncio.ensure_future(capacity.reserve(60))
    small = asyncio.ensure_future(capacity.reserve(10))
    await turn()
    large.cancel()
    await small
    assert (capacity.running, capacity.waiting) == (2, 0)


async def test_a_caller_who_gives_up_in_the_turn_of_the_grant_gives_it_back() -> None:
    capacity = Capacity(slots=1, pool_tokens=100, queue_max=4)
    await capacity.reserve(10)
    waiting = asyncio.ensure_future(capacity.reserve(10))
    await turn()
    capacity.release(10)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    assert capacity.running == 0
    await capacity.reserve(100)


async def test_a_caller_who_gave_up_just_before_a_release_takes_nothing() -> None:
    capacity = Capacity(slots=1, pool_tokens=100, queue_max=4)
    await capacity.reserve(10)
    waiting = asyncio.ensure_future(capacity.reserve(10))
    await turn()
    waiting.cancel()
    capacity.release(10)
    await asyncio.wait((waiting,))
    assert (capacity.running, capacity.waiting) == (0, 0)
