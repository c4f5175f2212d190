import pytest

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.comparison import FOUR_BIT, Row, compare, item, native_rate
from craton.silicon.power import load_site


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def rows(catalogue: Catalogue, *names: str) -> dict[str, Row]:
    items = [item(catalogue, name) for name in names]
    return {row.name: row for row in compare(catalogue, items, load_site())}


def values(row: Row) -> list[float | None]:
    return [None if cell is None else cell.value for cell in row.cells]


def test_ultraservers_compare_as_their_makers_print(catalogue: Catalogue) -> None:
    found = rows(catalogue, "trn2-ultraserver", "trn3-gen2-ultraserver")
    assert values(found["dense FP8"]) == [83_136, 362_448]
    assert found["dense FP8"].ratios[1] == pytest.approx(4.36, abs=5e-3)
    assert found["memory bandwidth"].ratios[1] == pytest.approx(3.80, abs=5e-3)
    assert values(found["chips"]) == [64, 144]


def test_a_format_that_a_chip_has_not_is_no_number(catalogue: Catalogue) -> None:
    fp4 = rows(catalogue, "h100", "b200", "mi355x")["dense FP4"]
    assert values(fp4) == [None, 9000, 10_066]
    assert fp4.ratios == (None, 1.0, pytest.approx(10_066 / 9000))
    assert native_rate(catalogue.chip("h100"), FOUR_BIT) is None


def test_a_measure_that_nothing_has_is_left_out(catalogue: Catalogue) -> None:
    assert "dense FP4" not in rows(catalogue, "h100", "a100")


def test_estimates_are_marked(catalogue: Catalogue) -> None:
    power = rows(catalogue, "h100", "trainium3")["chips' power"]
    assert [cell is not None and cell.estimate for cell in power.cells] == [False, True]


def test_a_server_without_a_price_has_its_chips_price_as_an_estimate(
    catalogue: Catalogue,
) -> None:
    price = rows(catalogue, "p5e.48xlarge", "h200-hgx")["price"]
    rented, bought = price.cells
    assert rented is not None
    assert bought is not None
    assert (rented.value, rented.estimate) == (47.76, False)
    assert (bought.value, bought.estimate) == (pytest.approx(47.76), True)


def test_nothing_to_compare_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(BadRequest, match="Name the chips"):
        compare(catalogue, [], load_site())
    with pytest.raises(NotFound):
        item(catalogue, "cpu")
