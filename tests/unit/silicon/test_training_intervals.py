"""How wide an interval is, from how far estimates were off; and the file of coefficients."""

from pathlib import Path

import numpy as np
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.training_coefficients import (
    FITS,
    bundled_coefficients,
    read_coefficients,
    release_age,
)
from craton.silicon.training_intervals import Residuals, residuals_of, widened


def test_many_residuals_give_their_own_quantiles() -> None:
    found = residuals_of(np.linspace(-0.1, 0.3, 101))
    assert (found.low, found.high, found.rows) == (-0.06, 0.26, 101)


def test_few_residuals_give_a_span_around_nothing_that_shrinks_with_more() -> None:
    few, more = residuals_of([0.1, -0.1]), residuals_of([0.1, -0.1] * 5)
    assert few.low == -few.high
    assert few.high > more.high > 0.12


def test_widening_keeps_the_middle() -> None:
    found = widened(Residuals(-0.1, 0.3, 9), 2.0)
    assert (found.low, found.high) == pytest.approx((-0.3, 0.5))


def test_the_bundled_file_has_what_every_case_needs() -> None:
    found = bundled_coefficients()
    assert all(value > 0 for value in found.common.values())
    kinds = {kind for kind in found.residuals if not kind.endswith("-unseen")}
    assert kinds == {"megatron", "megatron-experts", "megatron-2022", "fsdp", "neuronx"}
    for kind in kinds:
        seen, unseen = found.residuals[kind], found.residuals[f"{kind}-unseen"]
        assert seen.low < 0 < seen.high
        assert unseen.low < 0 < unseen.high
    assert "llama-3-70b" in found.models


def test_old_releases_are_priced_like_the_first_that_dropped_no_tokens() -> None:
    assert release_age(2025.7, 2026.3) == release_age(2026.0, 2026.3) == pytest.approx(-0.3)
    assert release_age(2026.5, 2026.3) == pytest.approx(0.2)


def test_a_broken_file_says_what_is_wrong(tmp_path: Path) -> None:
    text = (FITS / "training.toml").read_text("utf-8")
    short = tmp_path / "short.toml"
    short.write_text("\n".join(line for line in text.splitlines() if "launch_us" not in line))
    with pytest.raises(BadRequest, match="lacks launch_us, expert_launch_us"):
        read_coefficients(short)
    broken = tmp_path / "broken.toml"
    broken.write_text("source =")
    with pytest.raises(BadRequest, match="broken\\.toml can't be read"):
        read_coefficients(broken)
