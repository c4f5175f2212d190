"""The small form of `python -m tests.limits`: the same races with fewer requests."""

from pathlib import Path

import pytest

from craton.cli.connection import Connection
from tests.fakes.craton import SMOL, Craton
from tests.limits.race import COST, HELD, ground, overrunning_model, race_budget, race_limit, racing


@pytest.mark.parametrize("workers", [3])
async def test_many_clients_over_several_workers_use_a_budget_up_and_never_overdraw_it(
    tmp_path: Path, workers: int
) -> None:
    async with ground(tmp_path / "data", workers=workers) as on:
        result = await race_budget(on, clients=64, amount=100 * COST + HELD)
    assert result.faults == []
    assert result.answered > 90
    assert result.refused == 64
    assert result.posted_nanos == result.answered * COST
    assert result.refused_for_now > 0  # it was close: what was held made others wait


async def test_a_remote_engine_that_overruns_overdraws_by_its_excess_at_most_and_it_shows(
    tmp_path: Path,
) -> None:
    async with (
        ground(tmp_path / "data", workers=2) as on,
        overrunning_model(on, excess_tokens=400) as model,
    ):
        result = await race_budget(on, clients=16, amount=20 * HELD, model=model)
    assert result.faults == []
    assert result.budget is not None
    assert 0 < result.budget.over_nanos <= result.over_hold_nanos


async def test_the_embedded_engine_overdraws_nothing(smol: Craton) -> None:
    on = racing(Connection(smol.url, smol.keys.api_key))
    result = await race_budget(on, clients=4, amount=6 * HELD, model=SMOL)
    assert result.faults == []
    assert result.answered >= 4  # its template makes prompts longer than ours
    assert result.budget is not None
    assert (result.budget.over_nanos, result.over_hold_nanos) == (0, 0)


async def test_a_minute_sees_as_many_requests_as_are_allowed_whatever_worker_they_ask(
    tmp_path: Path,
) -> None:
    async with ground(tmp_path / "data", workers=3) as on:
        result = await race_limit(on, clients=32, requests=50)
    assert result.faults == []
    assert (result.answered, result.refused > 0) == (50, True)
