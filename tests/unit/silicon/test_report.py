from html.parser import HTMLParser

import msgspec
import pytest

from craton.silicon.architecture import Architecture
from craton.silicon.catalogue import load_catalogue
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.planner import quote as planned
from craton.silicon.quote import Objective, Point, Quote, Refusal, TrainingJob
from craton.silicon.report import page
from craton.silicon.report_answer import runner_up, sentence
from craton.silicon.report_bars import intervals, memory, timeline
from craton.silicon.report_front import front, lines
from craton.silicon.report_markup import Markup, join, tag
from craton.silicon.report_roofline import dots, roofline
from tests.fakes.quotes import (
    CHIPS,
    DAY,
    EXPERT_MODEL,
    MODEL,
    SERVERS,
    SERVING_JOB,
    about,
    front_of,
    serving_plan,
    serving_quote,
    training_plan,
    training_quote,
)

H200 = next(chip for chip in CHIPS if chip.name == "h200")
VOID = {"meta", "br", "hr", "img", "input", "link"}
SERVING, TRAINING = serving_quote(), training_quote()


class Reading(HTMLParser):
    """What a browser would see: elements that close as they opened, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text += " " + data

    def charts(self) -> list[dict[str, str | None]]:
        """The drawings that say something; a button's mark beside its name says nothing more."""
        return [each for each in self.of("svg") if "aria-hidden" not in each]

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]


def read(quote: Quote) -> Reading:
    return Reading(page(quote, CHIPS, SERVERS, day=DAY))


@pytest.mark.parametrize("quote", [SERVING, TRAINING], ids=["serving", "training"])
def test_a_page_closes_every_element_it_opens(quote: Quote) -> None:
    assert len(read(quote).elements) > 100


@pytest.mark.parametrize("quote", [SERVING, TRAINING], ids=["serving", "training"])
def test_a_page_fetches_nothing(quote: Quote) -> None:
    text = page(quote, CHIPS, SERVERS, day=DAY)
    seen = Reading(text)
    assert not {"link", "img", "iframe", "object", "base"} & {name for name, _ in seen.elements}
    assert all(
        name == "a" or not {"src", "href", "srcset", "action"} & set(attributes)
        for name, attributes in seen.elements
    )
    assert "@import" not in text
    assert "url(" not in text
    policy = next(meta for meta in seen.of("meta") if "http-equiv" in meta)
    assert (policy["content"] or "").startswith("default-src 'none'")


@pytest.mark.parametrize("quote", [SERVING, TRAINING], ids=["serving", "training"])
def test_every_chart_has_a_title_and_a_description_for_those_who_do_not_see_it(
    quote: Quote,
) -> None:
    charts = read(quote).charts()
    assert len(charts) >= 4
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def check_coordinates(seen: Reading) -> None:
    for name, attributes in seen.elements:
        if name in {"rect", "line", "circle", "text"}:
            for key in ("x", "x1", "x2", "cx"):
                assert 0 <= float(attributes.get(key) or 0) <= 860, attributes
            for key in ("y", "y1", "y2", "cy"):
                assert 0 <= float(attributes.get(key) or 0) <= 440, attributes


def test_no_coordinate_is_outside_its_chart() -> None:
    check_coordinates(read(SERVING))
    check_coordinates(read(TRAINING))


def test_a_hostile_name_stays_text() -> None:
    evil = '<script>alert("&")</script>'
    architecture: Architecture = msgspec.structs.replace(MODEL, name=evil)
    plan = msgspec.structs.replace(serving_plan(), chip=evil)
    quote = serving_quote(
        job=msgspec.structs.replace(SERVING_JOB, architecture=architecture),
        plans=(plan,),
        refusals=(Refusal(evil, evil, evil),),
        front=front_of(evil, 1.0, 50),
        warnings=(evil,),
    )
    text = page(quote, CHIPS, SERVERS, day=DAY)
    assert "<script>alert" not in text
    assert len(Reading(text).of("script")) == 1


def test_the_answer_says_how_many_chips_at_which_price_and_how_sure() -> None:
    assert sentence(serving_plan()) == (
        "16 h200 chips, 2 replicas of TP8: $0.92 per million output tokens"
        " (80\N{NO-BREAK SPACE}% interval 0.782\N{EN DASH}1.06)."
    )
    assert "no price under these terms is known for h200" in sentence(serving_plan(usd=None))
    assert "1024 h200 chips" in sentence(training_plan())
    assert "$5.1M (80\N{NO-BREAK SPACE}% interval 4.34M" in sentence(training_plan())


def test_the_runner_up_is_of_another_chip_and_says_whether_the_order_is_sure() -> None:
    assert "Next is b200 as TP4: $1.04" in runner_up(SERVING)
    assert "may be the other way round" in runner_up(SERVING)
    clear = serving_quote(plans=(serving_plan(), serving_plan("b200", usd=3.0)))
    assert "don't overlap" in runner_up(clear)
    assert "3.26 times" in runner_up(clear)
    alone = serving_quote(plans=(serving_plan(), serving_plan(usd=1.2)))
    assert "No other chip" in runner_up(alone)


def test_a_page_without_a_plan_says_so_and_keeps_the_reasons() -> None:
    seen = read(serving_quote(plans=(), front=()))
    assert "Nothing that was tried meets these limits." in seen.text
    assert "does not fit: needs 81\N{EN DASH}142.5 GiB" in seen.text
    assert seen.of("svg") == []


def test_a_page_shows_warnings_assumptions_and_the_source_of_each_figure() -> None:
    text = read(SERVING).text
    assert "was read 150 days ago" in text
    assert "70.55B parameters" in text
    assert "Quote quote-8c1f" in text
    assert "2026-11-22" in text
    assert "not verified" in text
    sources = [a["href"] for a in read(SERVING).of("a")]
    assert set(sources) == {"https://chips.example/sheet.pdf"}


def test_a_chip_without_a_price_is_named_and_left_out_of_the_cost_only() -> None:
    seen = Reading(front(SERVING))
    assert "No price under these terms is known for trainium2: not drawn here." in seen.text
    drawn = [group["data-chip"] for group in seen.of("g")]
    assert drawn == ["h100", "b200", "h200", "trainium2", "h100", "b200", "h200"]


def test_without_any_price_the_front_shows_throughput_alone() -> None:
    quote = serving_quote(plans=(serving_plan(usd=None),), front=front_of("h200", None, 90))
    assert len(Reading(front(quote)).charts()) == 1


def test_the_front_marks_the_limit_and_the_best_plan() -> None:
    seen = Reading(front(SERVING))
    assert "ITL limit 40 ms" in seen.text
    assert "best plan" in seen.text
    assert "The ring is the best plan, at the load asked for." in seen.text
    apart = serving_quote(plans=(serving_plan(prefill=(3, Layout())),))
    assert "it has prefill and decode apart" in Reading(front(apart)).text
    free = msgspec.structs.replace(SERVING_JOB, itl_limit_ms=None)
    assert "ITL limit" not in Reading(front(serving_quote(job=free))).text


def test_lines_of_one_colour_differ_in_shape_or_dash() -> None:
    many = tuple(p for n in range(24) for p in front_of(f"chip{n}", 1.0 + n, 50))
    found = lines(serving_quote(front=many, plans=()))
    assert len({(line.colour, line.shape, line.dash) for line in found}) == 24


def test_the_roofline_takes_what_multiplies_and_reads() -> None:
    placed = dots(serving_plan().terms)
    assert {dot.term.name for dot in placed} == {
        "attention and feed-forward",
        "attention scores",
        "output matrix",
    }
    decode = next(dot for dot in placed if dot.term.phase == "decode")
    assert decode.intensity == pytest.approx(1.2e12 / 1.8e10)
    assert decode.tflops == pytest.approx(1.2 / 0.0104)


def test_a_planned_training_step_has_its_roofline_and_its_timeline() -> None:
    catalogue = load_catalogue()
    job = TrainingJob(find_model("llama-3.1-70b"), 2e12, 4096, 4_194_304, deadline_days=60)
    found = planned(job, ["h100"], None, catalogue, today=DAY)
    plan = found.plans[0]
    placed = {dot.term.name for dot in dots(plan.terms)}
    assert {"gemm", "attention", "logits"} <= placed
    assert not {"elementwise", "tensor", "data", "bubble", "optimizer"} & placed
    chips, servers = list(catalogue.chips.values()), list(catalogue.servers.values())
    seen = Reading(page(found, chips, servers, day=DAY))
    check_coordinates(seen)
    drawn = [chart["aria-label"] or "" for chart in seen.charts()]
    assert any("Roofline" in name for name in drawn)
    assert any("One step" in name for name in drawn)
    assert "Forward and backward passes are taken together" in seen.text
    assert "matrix multiplications" in Reading(roofline(plan, catalogue.chip("h100"))).text


def test_the_roof_of_a_rank_is_its_part_of_the_chip() -> None:
    whole = Reading(roofline(serving_plan(), H200)).text
    assert "bf16, fp16 989" in whole
    half = serving_plan(layout=Layout(tensor=8, expert_tensor=8, ranks_per_chip=2))
    assert "bf16, fp16 494" in Reading(roofline(half, H200)).text


def test_an_unknown_chip_leaves_roofline_out_and_memory_without_its_size() -> None:
    assert roofline(serving_plan(), None) == ""
    assert "holds 91 GiB." in Reading(memory(serving_plan(), None)).text
    assert "holds 91 of 141 GiB." in Reading(memory(serving_plan(), H200)).text


def test_serving_has_a_bar_for_each_phase_and_training_one_for_the_step() -> None:
    assert "Prefill: 542 ms" in Reading(timeline(serving_plan())).text
    assert len(Reading(timeline(serving_plan())).of("svg")) == 2
    assert " 7 pipeline bubble" in Reading(timeline(training_plan())).text
    assert "One step: 4.31 s" in Reading(timeline(training_plan())).text
    assert len(Reading(timeline(training_plan())).of("svg")) == 1


def test_the_pieces_of_a_bar_fill_it() -> None:
    pieces = Reading(timeline(training_plan())).of("rect")
    assert len(pieces) == 9
    assert sum(float(piece["width"] or 0) for piece in pieces) == pytest.approx(858, abs=1)


@pytest.mark.parametrize("objective", list(Objective))
def test_plans_can_be_ranked_by_each_objective(objective: Objective) -> None:
    for job, quote in ((SERVING.job, SERVING), (TRAINING.job, TRAINING)):
        ranked = msgspec.structs.replace(job, objective=objective)
        assert intervals(msgspec.structs.replace(quote, job=ranked)) != ""
        Reading(page(msgspec.structs.replace(quote, job=ranked), CHIPS, SERVERS, day=DAY))


def test_estimates_without_bounds_and_zeros_still_make_a_page() -> None:
    odd = msgspec.structs.replace(
        serving_plan(),
        itl_ms=Estimate(20.0, 0.0, float("inf"), Provenance.SPEC_EXTRAPOLATED),
        usd_million_tokens=Estimate(0.5, 0.0, float("inf"), Provenance.SPEC_EXTRAPOLATED),
        memory=(),
        terms=(),
    )
    endless = Point("h200", 50.0, 100.0, float("inf"), Layout(), 8.0)
    seen = read(serving_quote(plans=(odd, odd), front=(endless,)))
    assert "∞" in seen.text


def test_a_model_of_experts_says_what_a_token_meets() -> None:
    job = msgspec.structs.replace(SERVING_JOB, architecture=EXPERT_MODEL)
    assert "of which a token meets" in read(serving_quote(job=job)).text
    assert "of which a token meets" not in read(SERVING).text


def test_disaggregated_pools_are_both_named() -> None:
    plan = serving_plan(layout=Layout(data=8, expert=8), prefill=(3, Layout(tensor=2)))
    assert "3×TP2 prefill + 1×DP8·EP8 decode" in sentence(plan)  # noqa: RUF001 - times


def test_markup_is_escaped_where_it_enters_and_only_there() -> None:
    assert tag("b", "a<b", title='"&') == '<b title="&quot;&amp;">a&lt;b</b>'
    assert join(Markup("<i></i>"), "<i>") == "<i></i>&lt;i&gt;"
    assert tag("path", stroke_width=1.25, x=2.0, class_="a", id=None) == (
        '<path stroke-width="1.2" x="2" class="a"></path>'
    )


def test_one_plan_has_nothing_to_be_compared_with() -> None:
    assert intervals(serving_quote(plans=(serving_plan(),))) == ""
    assert about(1.0).low < 1.0 < about(1.0).high


def test_a_plan_without_the_figure_keeps_its_place_in_the_others_numbers() -> None:
    plans = (serving_plan(), serving_plan("b200", usd=None), serving_plan("h100", usd=2.0))
    seen = Reading(intervals(serving_quote(plans=plans)))
    assert "3. h100 TP8" in seen.text
    assert "b200" not in seen.text
    assert "1 more plan is in the table only." in seen.text


def test_of_many_chips_the_best_are_drawn_and_the_others_wait_for_their_button() -> None:
    many = tuple(p for n in range(9) for p in front_of(f"chip{n}", 9.0 - n, 50))
    seen = Reading(front(serving_quote(front=many, plans=(serving_plan("chip0"),))))
    hidden = [group["data-chip"] for group in seen.of("g") if group.get("style")]
    assert set(hidden) == {"chip1", "chip2", "chip3"}
    off = [b["data-switch"] for b in seen.of("button") if b["aria-pressed"] == "false"]
    assert set(off) == set(hidden)
    assert "the buttons show 3 others" in seen.text
