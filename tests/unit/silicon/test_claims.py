from pathlib import Path

import pytest

from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import PriceKind
from craton.silicon.claims import TokenCost, page, share_out
from craton.silicon.power import Site, load_site

PAGE = Path(__file__).parents[3] / "docs" / "silicon-claims.md"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site()


def test_the_page_is_what_the_catalogue_says_now(catalogue: Catalogue, site: Site) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(catalogue, site), (
        "python -m craton.silicon.claims > docs/silicon-claims.md"
    )


def test_a_changed_figure_would_change_the_page(site: Site, tmp_path: Path) -> None:
    bundled = Path(__file__).parents[3] / "src/craton/silicon/chip_files/trainium3.toml"
    (tmp_path / "trainium3.toml").write_text(bundled.read_text().replace("2517", "2518"))
    assert page(load_catalogue(tmp_path), site) != PAGE.read_text(encoding="utf-8")


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


def test_prices_per_token_join_the_page(catalogue: Catalogue, site: Site) -> None:
    cost = TokenCost("qwen3-32b", "4k in", "trainium2", PriceKind.CAPACITY_BLOCK, 0.5, 0.4, 0.7)
    told = page(catalogue, site, [cost])
    line = "| qwen3-32b | 4k in | trainium2 | capacity-block | 0.500 (0.400 to 0.700) |"
    assert line in told
    assert "$/M tokens" not in page(catalogue, site)
