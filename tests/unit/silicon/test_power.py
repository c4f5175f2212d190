from pathlib import Path

import numpy as np
import pytest

from craton.kernel.errors import BadRequest
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.power import (
    SITE_FILE,
    PowerCurve,
    Site,
    load_site,
    power_curve,
    wall_power,
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site()


def test_power_is_affine_between_idle_and_peak(catalogue: Catalogue, site: Site) -> None:
    curve = power_curve(catalogue.chip("h200"), site)
    assert curve.watts(0) == 80.3
    assert curve.watts(1) == pytest.approx(700)
    assert curve.watts(0.5) == pytest.approx((80.3 + 700) / 2)
    assert not curve.estimate


def test_a_chip_that_tells_no_idle_power_has_an_estimate(catalogue: Catalogue, site: Site) -> None:
    curve = power_curve(catalogue.chip("h100"), site)
    assert curve.watts(0) == pytest.approx(700 * site.idle_fraction.value)
    assert curve.watts(1) == pytest.approx(700)
    assert curve.estimate


def test_a_fitted_curve_goes_before_the_specification(catalogue: Catalogue, site: Site) -> None:
    fitted = {"h100": PowerCurve(100, 500)}
    assert power_curve(catalogue.chip("h100"), site, fitted).watts(1) == 600
    assert power_curve(catalogue.chip("b200"), site, fitted).watts(1) == pytest.approx(1000)


def test_many_loads_at_once(site: Site) -> None:
    power = wall_power(PowerCurve(100, 600), np.array([0.0, 0.5, 1.0]), site)
    assert np.allclose(power.chip_w, [100, 400, 700])


def test_the_wall_adds_the_host_and_the_building(catalogue: Catalogue, site: Site) -> None:
    power = wall_power(PowerCurve(100, 600), 0.5, site, catalogue.server("h100-hgx"))
    assert power.chip_w == 400
    assert power.host_w == pytest.approx(0.82 * 700)
    assert power.overhead_w == pytest.approx((400 + 574) * 0.14)
    assert power.total_w == pytest.approx((400 + 574) * 1.14)
    assert power.kwh(10) == pytest.approx(power.total_w / 100)
    assert power.joules(60) == pytest.approx(power.total_w * 60)


def test_a_server_that_says_nothing_has_the_sites_share(catalogue: Catalogue, site: Site) -> None:
    power = wall_power(PowerCurve(0, 100), 1, site, catalogue.server("l40s-pcie8"))
    assert power.host_w == 100 * site.host_share.value


@pytest.mark.parametrize("load", [-0.1, 1.1])
def test_a_load_outside_zero_to_one_is_refused(load: float) -> None:
    with pytest.raises(BadRequest, match="from 0 to 1"):
        PowerCurve(1, 1).watts(load)


def test_a_chip_of_unknown_power_says_what_to_write(catalogue: Catalogue, site: Site) -> None:
    with pytest.raises(BadRequest, match=r"power_w.*inferentia2\.toml"):
        power_curve(catalogue.chip("inferentia2"), site)


def test_aws_says_its_pue(site: Site) -> None:
    assert site.pue.value == 1.14
    assert not site.pue.estimate
    assert "sustainability.aboutamazon.com" in site.pue.source


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("pue = { value = 1.14", "pue = { value = 0.9", "pue is 0.9"),
        ("load = { value = 0.8", "load = { value = 80", "load is a fraction"),
        ('source = "@aws-pue"', 'source = ""', "pue has no source"),
        ("usd_kwh", "usd_mwh", "usd_mwh"),
    ],
)
def test_a_wrong_site_is_refused(tmp_path: Path, was: str, becomes: str, told: str) -> None:
    text = SITE_FILE.read_text(encoding="utf-8")
    assert was in text
    path = tmp_path / "site.toml"
    path.write_text(text.replace(was, becomes))
    with pytest.raises(BadRequest, match=told):
        load_site(path)
