from datetime import date

import msgspec
import pytest

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import PriceKind, Server, ServerPrice
from craton.silicon.figure import Figure
from craton.silicon.power import PowerCurve, Site, load_site
from craton.silicon.prices import ChipHour, chip_hour, owned_chip_hour, rented_chip_hour, stale

TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site()


def server(name: str, chips: int, **prices: tuple[float, bool]) -> Server:
    return Server(
        name=name,
        title=name,
        chip="h100",
        chips=chips,
        prices=tuple(
            ServerPrice(PriceKind(kind.replace("_", "-")), Figure(usd, "a", TODAY, is_estimate))
            for kind, (usd, is_estimate) in prices.items()
        ),
    )


def test_a_rented_chip_costs_its_share_of_the_server(catalogue: Catalogue) -> None:
    price = rented_chip_hour(catalogue.server("trn2.48xlarge"), PriceKind.CAPACITY_BLOCK)
    assert price.usd == pytest.approx(2.235, abs=1e-3)
    assert price.read == date(2026, 7, 22)
    assert "capacityblocks" in price.source


def test_terms_that_a_server_has_not_are_refused_with_those_it_has(catalogue: Catalogue) -> None:
    with pytest.raises(NotFound, match="it has capacity-block, reserved, on-demand"):
        rented_chip_hour(catalogue.server("trn1.32xlarge"), PriceKind.OWNED)
    with pytest.raises(NotFound, match="it has none"):
        rented_chip_hour(catalogue.server("trn3-gen2-ultraserver"), PriceKind.ON_DEMAND)


def test_an_owned_chip_costs_capital_over_its_life_and_energy(
    catalogue: Catalogue, site: Site
) -> None:
    hgx = catalogue.server("h100-hgx")
    price = owned_chip_hour(
        catalogue.chip("h100"), site, server=hgx, curve=PowerCurve(100, 600), load=0.5
    )
    capital = 23_238 * (1 + site.capital_overhead.value) / (site.life_years.value * 8766)
    energy = (400 + 0.82 * 700) * 1.14 / 1000 * site.usd_kwh.value
    assert price.energy_usd == pytest.approx(energy)
    assert price.usd == pytest.approx(capital + energy)
    assert price.kind is PriceKind.OWNED
    assert price.estimate


def test_a_servers_own_capital_goes_before_its_chips(catalogue: Catalogue, site: Site) -> None:
    bought = msgspec.structs.replace(
        catalogue.server("h100-hgx"), capex_usd=Figure(350_640, "the invoice", TODAY)
    )
    price = owned_chip_hour(catalogue.chip("h100"), site, server=bought)
    assert price.usd - price.energy_usd == pytest.approx(350_640 / 8 / (5 * 8766))
    assert price.source == "the invoice"


def test_what_cannot_be_owned_at_a_known_price_says_what_to_write(
    catalogue: Catalogue, site: Site
) -> None:
    with pytest.raises(NotFound, match=r"capex_usd.*trainium3\.toml"):
        owned_chip_hour(catalogue.chip("trainium3"), site)
    inferentia = msgspec.structs.replace(
        catalogue.chip("inferentia2"), capex_usd=Figure(1000, "x", TODAY)
    )
    with pytest.raises(BadRequest, match="power_w"):
        owned_chip_hour(inferentia, site)


def test_the_lowest_price_of_the_first_terms_offered_is_taken(
    catalogue: Catalogue, site: Site
) -> None:
    chip = catalogue.chip("h100")
    servers = [
        server("one", 1, on_demand=(3.0, False)),
        server("eight", 8, capacity_block=(40.0, False), on_demand=(16.0, False)),
        server("four", 4, capacity_block=(16.0, False)),
    ]
    found = chip_hour(chip, servers, site)
    assert found is not None
    assert (found.usd, found.kind, found.server) == (4.0, PriceKind.CAPACITY_BLOCK, "four")
    on_demand = chip_hour(chip, servers, site, (PriceKind.ON_DEMAND,))
    assert on_demand is not None
    assert (on_demand.usd, on_demand.server) == (2.0, "eight")


def test_a_price_with_a_source_goes_before_an_estimate(catalogue: Catalogue, site: Site) -> None:
    servers = [server("a", 1, capacity_block=(1.0, True), reserved=(5.0, False))]
    found = chip_hour(catalogue.chip("h100"), servers, site)
    assert found is not None
    assert found.usd == 5.0
    only = chip_hour(catalogue.chip("h100"), servers, site, (PriceKind.CAPACITY_BLOCK,))
    assert only is not None
    assert only.estimate


def test_a_chip_without_any_price_has_none(catalogue: Catalogue, site: Site) -> None:
    chip = catalogue.chip("trainium3")
    assert chip_hour(chip, catalogue.servers_of(chip), site) is None
    assert chip_hour(chip, catalogue.servers_of(chip), site, (PriceKind.OWNED,)) is None


def test_an_operators_own_cost_goes_before_one_worked_out(catalogue: Catalogue, site: Site) -> None:
    chip = catalogue.chip("h100")
    own = chip_hour(chip, [server("mine", 8, owned=(8.0, False))], site, (PriceKind.OWNED,))
    assert own is not None
    assert own.usd == 1.0
    worked_out = chip_hour(chip, catalogue.servers_of(chip), site, (PriceKind.OWNED,))
    assert worked_out is not None
    assert worked_out.energy_usd > 0


def test_an_old_price_is_a_warning_and_a_fresh_one_is_not() -> None:
    price = ChipHour(2.5, PriceKind.CAPACITY_BLOCK, "the page", date(2026, 7, 22), False, "a")
    assert stale(price, TODAY, days=123) is None
    told = stale(price, TODAY, days=122)
    assert told is not None
    assert "123 days ago" in told
    assert "the page" in told


def test_a_price_without_a_day_is_a_warning() -> None:
    told = stale(ChipHour(2.5, PriceKind.ON_DEMAND, "hearsay", None, True), TODAY)
    assert told is not None
    assert "no date" in told
