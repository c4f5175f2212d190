"""What failures take of a training run."""

import math
import random

import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.faults import (
    LLAMA_3_405B,
    Saving,
    best_interval,
    goodput,
    mean_seconds_between,
)


def test_llama_3_was_interrupted_every_three_hours() -> None:
    # arXiv:2407.21783, section 3.3.4: 419 unexpected interruptions in 54 days.
    assert mean_seconds_between(16_384) / 3600 == pytest.approx(54 * 24 / 419)
    assert goodput(16_384, Saving(60, 600)).failures_day == pytest.approx(419 / 54)


def test_twice_the_chips_fail_twice_as_often() -> None:
    assert mean_seconds_between(2048) == pytest.approx(2 * mean_seconds_between(4096))
    assert LLAMA_3_405B.chip_hours_between == pytest.approx(50_677, rel=1e-4)


def test_the_interval_nears_youngs_where_saving_is_quick() -> None:
    assert best_interval(1e6, 1.0) == pytest.approx(math.sqrt(2e6), rel=2e-3)


@pytest.mark.parametrize("chips", [256, 16_384, 131_072])
def test_no_other_interval_leaves_more(chips: int) -> None:
    saving = Saving(90.0, 600.0)
    found = goodput(chips, saving)
    between = mean_seconds_between(chips)

    def kept(every: float) -> float:
        wall = between * math.exp(saving.restart_s / between)
        return every / (wall * math.expm1((every + saving.save_s) / between))

    assert found.fraction == pytest.approx(kept(found.save_every_s))
    for factor in (0.5, 0.8, 1.25, 2.0):
        assert kept(found.save_every_s * factor) < found.fraction


def test_the_fraction_is_what_a_simulated_run_keeps() -> None:
    chips, saving = 16_384, Saving(60.0, 900.0)
    found = goodput(chips, saving)
    between = mean_seconds_between(chips)
    dice = random.Random(7)
    kept = clock = 0.0
    fails_at = dice.expovariate(1 / between)
    while clock < 4000 * between:
        if clock + found.save_every_s + saving.save_s <= fails_at:
            clock += found.save_every_s + saving.save_s
            kept += found.save_every_s
            continue
        # A restart may be interrupted, too.
        clock = fails_at
        fails_at = clock + dice.expovariate(1 / between)
        while clock + saving.restart_s > fails_at:
            clock = fails_at
            fails_at = clock + dice.expovariate(1 / between)
        clock += saving.restart_s
    assert kept / clock == pytest.approx(found.fraction, rel=0.02)


def test_larger_jobs_keep_less_and_save_more_often() -> None:
    small, large = goodput(1024, Saving(60, 600)), goodput(65_536, Saving(60, 600))
    assert large.fraction < small.fraction < 1
    assert large.save_every_s < small.save_every_s


def test_times_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadRequest, match="at least 1"):
        mean_seconds_between(0)
    with pytest.raises(BadRequest, match="above 0"):
        best_interval(3600.0, 0.0)
    with pytest.raises(BadRequest, match="restart"):
        goodput(8, Saving(60, -1))
