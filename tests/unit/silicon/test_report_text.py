import math

import msgspec
import pytest

from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.quote import Refusal
from craton.silicon.report_text import (
    count,
    duration,
    grouped,
    interval,
    losses,
    memory_used,
    number,
    provenance,
    question,
    split_of,
    tried_in_short,
)
from tests.fakes.quotes import CHIPS, SERVING_JOB, TRAINING_JOB, serving_plan, serving_quote


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (12.345, "12.3"),
        (999.96, "1,000"),
        (123_456, "123,000"),
        (999_999.9, "1M"),
        (5.1e6, "5.1M"),
        (2e12, "2T"),
        (0.00012, "0.00012"),
        (3e-5, "3.00e-5"),
        (-4.25, "-4.25"),
        (math.inf, "∞"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_tokens_and_times_are_in_the_unit_people_say() -> None:
    assert [count(n) for n in (500, 4000, 2.1e6, 1.5e13)] == ["500", "4k", "2.1M", "15T"]
    assert [duration(s) for s in (3e-5, 0.0104, 2.5, 2040, 7200, 1e6)] == [
        "30 µs",
        "10.4 ms",
        "2.5 s",
        "34 min",
        "2 h",
        "11.6 d",
    ]


def test_an_interval_without_width_is_one_figure() -> None:
    assert interval(Estimate(2, 2, 2, Provenance.MEASURED)) == "2"
    assert interval(Estimate(2, 1, 3, Provenance.FITTED)) == "1\N{EN DASH}3"
    assert interval(None) == ""


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (Layout(), "TP1"),
        (Layout(tensor=8, expert_tensor=8), "TP8"),
        (Layout(tensor=2, data=4, expert=8), "TP2·DP4·EP8"),
        (Layout(tensor=4, data=2, expert=4, expert_tensor=2), "TP4·DP2·EP4·MoE-TP2"),
        (Layout(pipeline=2, virtual=3, context=2), "PP2·VP3·CP2"),
    ],
)
def test_a_split_names_only_the_ways_it_splits(layout: Layout, text: str) -> None:
    assert split_of(layout) == text


def test_a_plan_rests_on_its_weakest_figure() -> None:
    plan = serving_plan(provenance=Provenance.SPEC_EXTRAPOLATED)
    assert provenance(plan) is Provenance.SPEC_EXTRAPOLATED
    assert provenance(serving_plan()) is Provenance.FITTED


def test_memory_used_is_of_the_chip_and_unknown_without_it() -> None:
    chip = next(chip for chip in CHIPS if chip.name == "h200")
    assert memory_used(serving_plan(), chip) == "65 %"
    assert memory_used(serving_plan(), None) == "\N{EN DASH}"


def test_refusals_of_one_kind_are_told_once_with_their_range() -> None:
    refusals = [
        Refusal("h100", "TP1", "needs 142.5 GiB, has 80"),
        Refusal("h100", "TP2", "ITL 61 ms"),
        Refusal("h100", "PP2", "needs 81 GiB, has 80"),
        Refusal("b200", "TP1", "needs 1,200 GiB, has 180"),
    ]
    found = grouped(refusals)
    assert [(loss.chip, loss.tried, loss.reason) for loss in found] == [
        ("h100", ("TP1", "PP2"), "needs 81\N{EN DASH}142.5 GiB, has 80"),
        ("h100", ("TP2",), "ITL 61 ms"),
        ("b200", ("TP1",), "needs 1,200 GiB, has 180"),
    ]


def test_a_reason_with_the_grouping_sign_in_it_is_told_as_it_is() -> None:
    assert grouped([Refusal("a", "b", "case #4 of 5")])[0].reason == "case #4 of 5"


def test_many_tries_are_shortened() -> None:
    loss = grouped([Refusal("h100", f"TP{n}", "too slow") for n in range(1, 7)])[0]
    assert tried_in_short(loss) == "TP1, TP2, TP3 and 3 more"
    sizes = [Refusal("h100", f"{n} chips a replica", "too slow") for n in (2, 16, 4)]
    assert tried_in_short(grouped(sizes)[0]) == "2\N{EN DASH}16 chips a replica"
    assert tried_in_short(grouped(sizes[:1])[0]) == "2 chips a replica"


def test_chips_without_any_plan_come_first_among_what_lost() -> None:
    refusals = (
        Refusal("h200", "TP1", "slow"),
        Refusal("l40s", "TP1", "slow"),
        Refusal("h200", "TP2", "late"),
    )
    assert [loss.chip for loss in losses(serving_quote(refusals=refusals))] == [
        "l40s",
        "h200",
        "h200",
    ]


def test_a_job_is_one_line() -> None:
    assert question(SERVING_JOB) == (
        "4k tokens in, 500 out, 20 requests a second, TTFT at most 800 ms, ITL at most 40 ms;"
        " least cost first"
    )
    sure = msgspec.structs.replace(SERVING_JOB, confident=True)
    assert "40 ms, limits kept by the high ends of intervals; least" in question(sure)
    assert question(TRAINING_JOB) == (
        "2T tokens in sequences of 8,192, 4M tokens a step, in bf16, done within 30 d;"
        " least cost first"
    )
