"""The steps of an engine with one queue, held to steps written out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.silicon.processor_schedule import Limits, schedule

LIMITS = Limits(step_tokens=64, slots=4, pool_tokens=4096)


def test_a_prompt_is_read_in_steps_and_its_answer_grows_a_token_a_step() -> None:
    found = schedule([(100, 3)], 1, LIMITS)
    assert found.prompt_tokens.tolist() == [64, 36, 0, 0]
    assert found.prompt_context.tolist() == [0, 64, 0, 0]
    assert found.decoding.tolist() == [0, 0, 1, 1]
    assert found.decode_context[2:].tolist() == [100, 101]
    assert found.chosen.tolist() == [0, 1, 1, 1]
    assert (found.asked[0], found.first[0], found.last[0]) == (0, 2, 4)


def test_prompts_share_a_step_and_growing_answers_go_first() -> None:
    found = schedule([(40, 4), (60, 2)], 2, LIMITS)
    # 40 and 24; the first answer and the other 36; the second prompt is over with that.
    assert found.prompt_tokens.tolist() == [64, 36, 0, 0]
    assert found.prompts.tolist() == [2, 1, 0, 0]
    assert found.decoding.tolist() == [0, 1, 2, 1]
    assert found.chosen.tolist() == [1, 2, 2, 1]
    assert found.first.tolist() == [1, 2]
    assert found.last.tolist() == [4, 3]


def test_a_full_step_leaves_prompts_for_the_next() -> None:
    limits = Limits(step_tokens=2, slots=4, pool_tokens=4096)
    found = schedule([(1, 5), (1, 5), (3, 1)], 3, limits)
    # Two answers fill the step; the third request is read when they are over.
    assert found.first.tolist() == [1, 1, 7]
    assert found.decoding.tolist() == [0, 2, 2, 2, 2, 0, 0]


def test_the_next_request_comes_when_one_ends() -> None:
    found = schedule([(10, 2)] * 3, 1, LIMITS)
    assert found.asked.tolist() == [0, 2, 4]
    assert found.first.tolist() == [1, 3, 5]
    assert found.last.tolist() == [2, 4, 6]


def test_requests_past_the_slots_wait() -> None:
    found = schedule([(10, 3)] * 5, 5, LIMITS)
    assert found.asked.tolist() == [0] * 5
    assert found.first.tolist() == [1, 1, 1, 1, 4]


def test_requests_past_the_cache_wait_and_one_that_never_fits_runs_alone() -> None:
    limits = Limits(step_tokens=64, slots=4, pool_tokens=100)
    assert schedule([(40, 20), (40, 20)], 2, limits).first.tolist() == [1, 21]
    assert schedule([(200, 2)], 1, limits).last.tolist() == [5]


def test_looked_at_cells_come_in_whole_blocks() -> None:
    found = schedule([(250, 10)], 1, LIMITS)
    assert found.cells.tolist() == [256.0] * 10 + [512.0] * 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 40)), min_size=1, max_size=12),
    st.integers(1, 8),
    st.integers(1, 70),
)
def test_every_token_is_read_and_chosen_once(
    requests: list[tuple[int, int]], concurrency: int, step_tokens: int
) -> None:
    limits = Limits(step_tokens=step_tokens, slots=4, pool_tokens=300)
    found = schedule(requests, concurrency, limits)
    assert found.prompt_tokens.sum() == sum(prompt for prompt, _ in requests)
    assert found.chosen.sum() == sum(output for _, output in requests)
    assert found.decoding.sum() == sum(output - 1 for _, output in requests)
    assert (found.asked < found.first).all()
    assert (found.first <= found.last).all()
    assert found.last.max() == len(found.chosen)
    # A step may be over its limit by the answers that grow, never by a prompt.
    assert (
        (found.prompt_tokens == 0) | (found.prompt_tokens + found.decoding <= step_tokens)
    ).all()


def test_long_answers_take_few_turns_of_the_loop() -> None:
    found = schedule([(10, 100_000)], 1, LIMITS)
    assert len(found.chosen) == 100_000
    assert found.decode_context[-1] == pytest.approx(10 + 100_000 - 2)
