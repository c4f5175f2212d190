from collections.abc import Iterable
from pathlib import Path

import pytest

from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.claims import page, share_out
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.power import Site, load_site
from craton.silicon.token_costs import DENSE, LOADS, TokenCost, token_costs, whole_servers

PAGE = Path(__file__).parents[3] / "docs" / "silicon-claims.md"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site()


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_the_page_is_what_the_catalogue_says_now(catalogue: Catalogue, site: Site) -> None:
    written = lines(PAGE.read_text(encoding="utf-8"))
    rest = iter(written)
    assert all(line in rest for line in lines(page(catalogue, site))), "make docs"


@pytest.fixture(scope="module")
def dense(catalogue: Catalogue, site: Site) -> list[TokenCost]:
    return list(token_costs(catalogue, site, DENSE))


def rows_of(text: str, models: Iterable[str]) -> list[str]:
    named = tuple(f"| {model} | " for model in models)
    return [line for line in text.splitlines() if line.startswith(named)]


def test_what_tokens_cost_is_what_the_planner_says_now(
    catalogue: Catalogue, site: Site, dense: list[TokenCost]
) -> None:
    found = rows_of(page(catalogue, site, dense), DENSE)
    assert len(found) == 2 * len(DENSE) * len(LOADS)
    assert found == rows_of(PAGE.read_text(encoding="utf-8"), DENSE), "make docs"


@pytest.mark.slow
def test_the_whole_page_is_what_the_planner_says_now(catalogue: Catalogue, site: Site) -> None:
    costs = list(token_costs(catalogue, site))
    assert PAGE.read_text(encoding="utf-8") == page(catalogue, site, costs), "make docs"


def test_a_changed_figure_would_change_the_page(site: Site, tmp_path: Path) -> None:
    bundled = Path(__file__).parents[3] / "src/craton/silicon/chip_files/trainium3.toml"
    (tmp_path / "trainium3.toml").write_text(bundled.read_text().replace("2517", "2518"))
    rest = iter(lines(PAGE.read_text(encoding="utf-8")))
    assert not all(line in rest for line in lines(page(load_catalogue(tmp_path), site)))


@pytest.mark.parametrize(
    "told",
    [
        "**4.36x**",  # 362,448 / 83,136 TFLOPS
        "**1.94x**",  # 2,517 / 1,299
        "**2.25x**",  # 144 / 64
        "**3.80x**",  # 705.6 / 185.6 TB/s
        "**1.69x**",  # 4.9 / 2.9
        "**~0.97x**",  # 1.94 over 1000 / 500 W
        "~242 W",  # 500 W x 1.94 / 4
        "~375 W",  # 500 W x 3 / 4
        "| h100 | 5.191 | capacity-block, 2026-07-22 | 2.62 | 5.25 | 1.55 | 34%, 36%, 50% |",
        "0.984 $/kWh at $138B and 0.713 at $100B",
        "| Trainium3, the chip's power alone | 1.000 | 2.00 million | 0.98 | 0.71 |",
        "| 1.425 | 1.40 million | 1.40 | 1.02 |",
        "~700 MW as chips",
    ],
)
def test_the_page_has_the_figures_worked_out_by_hand(told: str) -> None:
    assert told in PAGE.read_text(encoding="utf-8").replace("\n", " ").replace("  ", " ")


def test_every_claim_has_a_verdict_and_who_made_it() -> None:
    claims = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(claims) == 7
    for claim in claims:
        assert "**Verdict: " in claim
        assert "Claimed by " in claim


def test_power_and_money_are_shared_out_over_chips() -> None:
    deal = share_out(kw=1000, usd=8_766_000, years=1, kw_chip=2)
    assert deal.chips == 500
    assert deal.usd_chip_hour == 2.0
    assert deal.usd_kwh == 1.0


def cost(chip: str, hours: float, *, model: str = "qwen3-32b", alike: bool = False) -> TokenCost:
    estimate = Estimate(hours, hours * 0.8, hours * 1.25, Provenance.FITTED)
    return TokenCost(model, "chat", chip, estimate, alike)


def test_dollars_are_chip_hours_times_the_price_of_an_hour(
    catalogue: Catalogue, site: Site
) -> None:
    # h100 at 5.191 $/chip-hour, trainium2 at 2.235, each in its capacity block.
    told = page(catalogue, site, [cost("h100", 1.0), cost("trainium2", 0.5)])
    assert "| qwen3-32b | chat | h100 5.19 (4.15 to 6.49) |" in told
    assert "1.12 (0.894 to 1.40): 78% less |" in told
    assert "### In dollars" not in page(catalogue, site)


def test_the_cheapest_gpu_is_what_others_are_held_against(catalogue: Catalogue, site: Site) -> None:
    costs = [cost("h100", 1.0), cost("b200", 0.1), cost("trainium2", 1.0)]
    told = page(catalogue, site, costs)
    assert "| chat | b200 1.24 (0.988 to 1.54) |" in told
    assert "1.8x" not in told
    assert "2.24 (1.79 to 2.79): 81% more |" in told


@pytest.mark.parametrize(
    ("hours", "model", "alike", "row"),
    [
        (0.5, "qwen3-32b", False, "| Trainium2 | 1 | 1 | 1 | 0 | 0 | 0 |"),
        (1.4, "qwen3-32b", False, "| Trainium2 | 1 | 1 | 0 | 0 | 0 | 0 |"),
        (2.0, "qwen3-32b", False, "| Trainium2 | 1 | 0 | 0 | 0 | 1 | 0 |"),
        (9.0, "qwen3-32b", False, "| Trainium2 | 1 | 0 | 0 | 1 | 0 | 0 |"),
        (0.5, "deepseek-v3", False, "| Trainium2 | 1 | 0 | 0 | 0 | 0 | 1 |"),
        (0.5, "deepseek-v3", True, "| Trainium2, alike | 1 | 1 | 1 | 0 | 0 | 0 |"),
    ],
)
def test_cases_are_counted_by_what_their_intervals_and_measurements_allow(
    catalogue: Catalogue, site: Site, *, hours: float, model: str, alike: bool, row: str
) -> None:
    costs = [cost("h100", 1.0, model=model), cost("trainium2", hours, model=model, alike=alike)]
    assert row in page(catalogue, site, costs)


def test_a_chip_without_a_price_has_one_at_which_it_draws_level(
    catalogue: Catalogue, site: Site
) -> None:
    told = page(catalogue, site, [cost("h100", 1.0), cost("trainium3", 2.0)])
    # 5.191 / 2; two factors of 1.25 that have nothing to do with each other make one of 1.37.
    assert "| qwen3-32b | chat | 2.60 (1.89 to 3.56) | 1.30 (0.947 to 1.78) |" in told


def test_what_no_plan_carries_is_said_and_not_counted(catalogue: Catalogue, site: Site) -> None:
    told = page(catalogue, site, [cost("h100", 1.0), cost("trainium1", 9.0)])
    assert "| doesn't meet the limits | doesn't meet the limits |" in told
    assert "| Trainium2 | 0 | 0 | 0 | 0 | 0 | 0 |" in told
    alone = page(catalogue, site, [cost("trainium2", 9.0)])
    assert "| none meets the limits |" in alone


def test_the_two_public_measurements_of_a_served_trainium2_stand_beside_the_plan() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "| llama-3.1-70b, trn2-llama3.3-70b-tutorial | 814 | " in text
    assert "| llama-3.1-405b, trn2-llama3.1-405b-speculative-tutorial | 2,442 | " in text


def test_if_its_software_were_alike_a_chip_needs_no_more_hours(dense: list[TokenCost]) -> None:
    hours = {(each.model, each.load, each.chip, each.alike): each.chip_hours for each in dense}
    for model, load, chip, alike in hours:
        if alike:
            served = hours[model, load, chip, False]
            assert hours[model, load, chip, True].value < served.value


def test_only_servers_that_join_eight_chips_or_more_are_priced(catalogue: Catalogue) -> None:
    kept = whole_servers(catalogue)
    assert {server.name for server in kept.servers_of(kept.chip("trainium2"))} == {
        "trn2.48xlarge",
        "trn2-ultraserver",
    }
