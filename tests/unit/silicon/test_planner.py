"""Quotes: plans keep their limits, the best is first, and what lost says why."""

import random
from datetime import date
from functools import cache

import msgspec
import pytest

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.architecture import Architecture, Dense, Experts, GroupedQuery, LayerGroup
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import PriceKind
from craton.silicon.models import find_model
from craton.silicon.offer import Offer, offers
from craton.silicon.operations import Formats
from craton.silicon.planner import quote
from craton.silicon.planner_serving import plan_serving
from craton.silicon.power import load_site
from craton.silicon.precision import Precision
from craton.silicon.quote import Objective, ServingJob, ServingPlan, TrainingJob, TrainingPlan

TODAY = date(2026, 11, 22)
FP8 = Formats(weights=Precision.FP8, experts=Precision.FP8)


@cache
def _catalogue() -> Catalogue:
    return load_catalogue()


def _offer(chip: str) -> Offer:
    return offers(_catalogue(), [chip], None, load_site(), TODAY)[0]


def _job(**members: object) -> ServingJob:
    base = ServingJob(
        find_model("llama-3.1-8b"),
        input_tokens=1000,
        output_tokens=200,
        rate=10,
        formats=FP8,
        ttft_limit_ms=2000,
        itl_limit_ms=30,
        disaggregated=False,
    )
    return msgspec.structs.replace(base, **members)


def _best(job: ServingJob, chip: str = "h100") -> ServingPlan:
    plan = quote(job, [chip], None, _catalogue(), today=TODAY).plans[0]
    assert isinstance(plan, ServingPlan)
    return plan


def test_a_plan_keeps_its_limits_and_carries_its_load() -> None:
    job = _job(rate=1000, itl_limit_ms=12)
    plan = _best(job)
    assert plan.itl_ms.value <= 12
    assert plan.ttft_ms.value <= 2000
    assert plan.tokens_s.value >= 0.98 * job.rate * job.output_tokens
    assert plan.itl_ms.low < plan.itl_ms.value < plan.itl_ms.high


@pytest.mark.parametrize("chip", ["h100", "mi300x", "trainium2"])
@pytest.mark.parametrize("objective", [Objective.COST, Objective.LATENCY])
def test_with_confidence_the_high_end_keeps_the_limits_too(chip: str, objective: Objective) -> None:
    asked = _job(rate=300, ttft_limit_ms=1500, framework="vllm", objective=objective)
    plain = _best(asked, chip)
    # Between the middle and the high end of what the plain plan has, so that it binds; the fastest
    # plan there is can't be sure to be faster.
    binds = (plain.itl_ms.value * plain.itl_ms.high) ** 0.5
    limit = binds if objective is Objective.COST else plain.itl_ms.high * 1.05
    job = msgspec.structs.replace(asked, itl_limit_ms=limit)
    middle = _best(job, chip)
    sure = _best(msgspec.structs.replace(job, confident=True), chip)
    assert sure.itl_ms.high <= limit
    assert sure.ttft_ms.high <= 1500
    assert sure.tokens_s.value >= 0.98 * job.rate * job.output_tokens
    assert sure.chips >= middle.chips
    if objective is Objective.COST:
        assert middle.itl_ms.high > limit


def test_with_confidence_phases_apart_keep_the_limits_too() -> None:
    def apart(job: ServingJob) -> ServingPlan:
        plans = quote(job, ["h200"], None, _catalogue(), today=TODAY).plans
        return next(each for each in plans if isinstance(each, ServingPlan) and each.prefill_layout)

    asked = _job(rate=200, input_tokens=8000, itl_limit_ms=40, disaggregated=True)
    plain = apart(asked)
    limit = (plain.itl_ms.value * plain.itl_ms.high) ** 0.5
    job = msgspec.structs.replace(asked, itl_limit_ms=limit)
    middle, sure = apart(job), apart(msgspec.structs.replace(job, confident=True))
    assert sure.itl_ms.high <= limit < middle.itl_ms.high
    assert sure.ttft_ms.high <= 2000
    assert sure.chips >= middle.chips


def test_with_confidence_a_miss_says_that_the_high_end_missed() -> None:
    plain = _best(_job(objective=Objective.LATENCY))
    job = _job(itl_limit_ms=plain.itl_ms.value * 1.01, confident=True, chips_limit=1)
    found = quote(job, ["h100"], None, _catalogue(), today=TODAY)
    assert not found.plans
    assert "by the interval's high end" in found.refusals[0].reason
    assert found.id != quote(_job(), ["h100"], None, _catalogue(), today=TODAY).id


def test_more_load_takes_more_chips_and_the_price_follows() -> None:
    few, many = _best(_job(rate=10)), _best(_job(rate=1000))
    assert many.chips > few.chips
    assert few.usd_hour is not None
    assert many.usd_hour == pytest.approx(few.usd_hour * many.chips / few.chips)


def test_a_tighter_limit_never_takes_fewer_chips() -> None:
    chips = [_best(_job(rate=300, itl_limit_ms=limit)).chips for limit in (60, 30, 15, 8)]
    assert chips == sorted(chips)


def test_plans_are_ranked_by_what_is_asked_for() -> None:
    names = ["h100", "h200", "a100", "mi300x", "b200"]
    for objective, of in (
        (Objective.COST, lambda plan: plan.usd_million_tokens.value),
        (Objective.ENERGY, lambda plan: plan.joules_token.value),
        (Objective.LATENCY, lambda plan: plan.itl_ms.value),
        (Objective.CHIPS, lambda plan: plan.chips),
        (Objective.POWER, lambda plan: plan.power_kw.value),
    ):
        job = _job(rate=200, objective=objective)
        plans = quote(job, names, None, _catalogue(), today=TODAY).plans
        values = [of(plan) for plan in plans]
        assert len(values) == len(names)
        assert values == sorted(values)


def test_what_does_not_fit_and_what_is_too_slow_say_so() -> None:
    big = quote(
        _job(architecture=find_model("deepseek-v3"), chips_limit=1),
        ["h100"],
        None,
        _catalogue(),
        today=TODAY,
    )
    assert not big.plans
    assert "does not fit" in big.refusals[0].reason
    slow = quote(_job(itl_limit_ms=0.5), ["a100"], None, _catalogue(), today=TODAY)
    assert not slow.plans
    assert any("ITL" in each.reason and "limit" in each.reason for each in slow.refusals)


def test_a_power_limit_refuses_what_draws_more() -> None:
    job = _job(rate=500)
    drawn = _best(job).power_kw
    assert drawn is not None
    limited = msgspec.structs.replace(job, power_limit_kw=drawn.value * 0.9)
    found = quote(limited, ["h100"], None, _catalogue(), today=TODAY)
    assert not found.plans
    assert "kW" in found.refusals[-1].reason


def test_phases_on_workers_of_their_own_keep_the_limits_too() -> None:
    job = _job(rate=200, input_tokens=8000, disaggregated=True)
    plans = quote(job, ["h200"], None, _catalogue(), today=TODAY).plans
    apart = [plan for plan in plans if isinstance(plan, ServingPlan) and plan.prefill_layout]
    assert apart
    for plan in apart:
        assert plan.ttft_ms.value <= 2000
        assert plan.itl_ms.value <= 30
        own = plan.prefill_workers * plan.prefill_layout.chips
        assert plan.chips == own + plan.decode_workers * plan.layout.chips


def test_a_prefix_cache_saves_chips() -> None:
    job = _job(rate=500, input_tokens=8000)
    assert _best(msgspec.structs.replace(job, cached_fraction=0.8)).chips < _best(job).chips


def test_no_point_of_a_front_is_beaten_by_another() -> None:
    front = quote(_job(), ["h100"], None, _catalogue(), today=TODAY).front
    assert len(front) > 2
    for one in front:
        assert not any(
            other.tokens_s_user > one.tokens_s_user and other.tokens_s_chip > one.tokens_s_chip
            for other in front
        )


def test_the_same_question_has_the_same_id_and_another_has_another() -> None:
    first = quote(_job(), ["h100"], None, _catalogue(), today=TODAY)
    assert quote(_job(), ["h100"], None, _catalogue(), today=TODAY).id == first.id
    assert quote(_job(rate=11), ["h100"], None, _catalogue(), today=TODAY).id != first.id
    chips = dict(_catalogue().chips)
    faster = msgspec.structs.replace(chips["h100"].memory_tb_s, value=4.0)
    chips["h100"] = msgspec.structs.replace(chips["h100"], memory_tb_s=faster)
    changed = Catalogue(chips, _catalogue().servers, _catalogue().unmeasured)
    assert quote(_job(), ["h100"], None, changed, today=TODAY).id != first.id


def test_old_prices_and_missing_ones_are_warned_of() -> None:
    found = quote(_job(), ["h100", "mi355x"], None, _catalogue(), today=date(2028, 1, 1))
    assert any("days ago" in warning for warning in found.warnings)
    assert any("mi355x" in warning for warning in found.warnings)
    assert found.plans[-1].chip == "mi355x"


def test_terms_can_be_asked_for() -> None:
    owned = quote(_job(), ["mi355x"], PriceKind.OWNED, _catalogue(), today=TODAY).plans[0]
    assert owned.price_kind is PriceKind.OWNED


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"rate": 0}, "--rate"),
        ({"input_tokens": float("nan")}, "--input"),
        ({"itl_limit_ms": -1}, "--itl-ms"),
        ({"input_tokens": 200_000}, "was made for"),
    ],
)
def test_a_job_that_cannot_be_names_its_member(members: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        quote(_job(**members), ["h100"], None, _catalogue(), today=TODAY)


def test_an_unknown_chip_names_the_nearest() -> None:
    with pytest.raises(NotFound, match="h100"):
        quote(_job(), ["h1000"], None, _catalogue(), today=TODAY)


CHIPS = ("h100", "h200", "b200", "a100", "mi300x", "tpu-v5p", "l40s")


def _random_job(draw: random.Random) -> ServingJob:
    head = draw.choice((64, 128))
    heads = draw.choice((4, 8, 12, 16))
    width = draw.choice((512, 2048, 8192))
    block = Dense(width)
    if draw.random() < 0.4:
        count = draw.choice((4, 8, 64))
        block = Experts(count, draw.choice((1, 2, 4)), width // 4)
    kv_heads = draw.choice([size for size in (1, 2, 4) if heads % size == 0])
    mixer = GroupedQuery(heads, kv_heads, head)
    layers = draw.choice((2, 4, 24))
    model = Architecture("small", heads * head, 32_000, (LayerGroup(layers, mixer, block),))
    return ServingJob(
        model,
        input_tokens=draw.choice((50, 1000, 20_000)),
        output_tokens=draw.choice((2, 100, 2000)),
        rate=draw.choice((0.1, 20, 3000)),
        formats=draw.choice((Formats(), FP8)),
        ttft_limit_ms=draw.choice((None, 50, 1000)),
        itl_limit_ms=draw.choice((None, 3, 30)),
        chips_limit=draw.choice((1, 2, 2, 4)),
        objective=draw.choice((Objective.COST, Objective.CHIPS, Objective.LATENCY)),
        disaggregated=False,
        confident=draw.random() < 0.3,
    )


@pytest.mark.parametrize("block", range(4))
def test_a_pruned_search_finds_what_an_unpruned_one_finds(block: int) -> None:
    offered = [_offer(name) for name in CHIPS]
    planned = 0
    for case in range(250):
        draw = random.Random(f"{block} {case}")
        job, offer = _random_job(draw), draw.choice(offered)
        pruned, lost, _ = plan_serving(job, offer)
        whole, _, _ = plan_serving(job, offer, pruned=False)
        assert pruned == whole
        assert pruned or lost
        planned += len(pruned)
    assert planned > 100


def _training(**members: object) -> TrainingJob:
    base = TrainingJob(find_model("llama-3.1-8b"), 1e12, 8192, 4_194_304, deadline_days=30)
    return msgspec.structs.replace(base, **members)


def _trained(job: TrainingJob) -> TrainingPlan:
    plan = quote(job, ["h100"], None, _catalogue(), today=TODAY).plans[0]
    assert isinstance(plan, TrainingPlan)
    return plan


def test_training_meets_its_deadline_with_the_fewest_chips() -> None:
    slow, fast = _trained(_training(deadline_days=60)), _trained(_training(deadline_days=10))
    assert slow.days.value <= 60
    assert fast.days.value <= 10
    assert fast.chips > slow.chips
    assert sum(share.gib for share in fast.memory) <= 80
    assert 0.2 < fast.mfu.value < 0.7
    assert fast.usd is not None
    assert 0.8 < fast.goodput < 1


def test_the_terms_of_a_training_plan_say_what_they_multiply_and_move() -> None:
    plan = _trained(_training())
    terms = {term.name: term for term in plan.terms}
    assert sum(term.seconds for term in plan.terms) == pytest.approx(plan.step_s.value)
    for name in ("gemm", "attention", "logits"):
        assert terms[name].flops / terms[name].seconds < 989e12
        assert terms[name].flops > 0 < terms[name].data_bytes
    assert terms["optimizer"].data_bytes > 0 == terms["optimizer"].flops
    assert terms["tensor"].flops == terms["bubble"].flops == 0
    done = sum(term.flops for term in plan.terms)
    reached = plan.mfu.value * 989e12 * plan.step_s.value
    assert done == pytest.approx(reached, rel=0.15)  # above by the scores that are computed again


def test_training_without_a_deadline_shows_several_sizes() -> None:
    job = _training(deadline_days=None)
    plans = quote(job, ["h100"], None, _catalogue(), today=TODAY).plans
    assert len({plan.chips for plan in plans}) == len(plans) > 3


def test_training_that_no_size_can_do_in_time_says_so() -> None:
    found = quote(_training(deadline_days=0.001), ["h100"], None, _catalogue(), today=TODAY)
    assert not found.plans
    assert found.refusals
    with pytest.raises(BadRequest, match="less than one sequence"):
        quote(_training(global_batch_tokens=100), ["h100"], None, _catalogue(), today=TODAY)


def test_of_servers_at_one_price_a_chip_the_largest_is_planned_with() -> None:
    assert _offer("trainium2").server is not None
    assert _offer("trainium2").server.chips == 16
