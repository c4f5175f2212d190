import pytest

from craton.silicon.report_charts import Axis, Box, beside, linear, logarithmic, spread


def test_an_axis_maps_its_ends_to_its_pixels() -> None:
    flat = Axis(0, 10, 100, 200)
    assert (flat.at(0), flat.at(5), flat.at(10)) == (100, 150, 200)
    decades = Axis(1, 100, 200, 0, log=True)
    assert decades.at(10) == pytest.approx(100)


@pytest.mark.parametrize("high", [0.003, 0.9, 7, 10, 64, 999, 1e6])
def test_ticks_are_round_few_and_within(high: float) -> None:
    ticks = Axis(0, high, 0, 1).ticks()
    assert 3 <= len(ticks) <= 9
    assert ticks[0] == 0
    assert ticks[-1] <= high * 1.000001


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (1, 20), (3, 5000), (1e-4, 1e6)])
def test_logarithmic_ticks_are_few_and_within(low: float, high: float) -> None:
    axis = logarithmic([low, high], 0, 100)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 12
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert axis.high / axis.low >= 4


def test_an_axis_of_nothing_still_has_a_width() -> None:
    assert linear([], 0, 1).high > 0
    assert linear([0.0], 0, 1).high > 0


def test_labels_keep_their_distance_and_their_order() -> None:
    placed = spread([10, 11, 12, 50], 15, 0, 100)
    assert placed == [10, 25, 40, 55]
    assert spread([95, 99], 15, 0, 100) == [85, 100]


def test_a_label_moves_aside_for_a_mark_and_is_left_out_where_none_fits() -> None:
    room = Box(0, 0, 300, 100)
    first, second = beside([(100, 50, 5, "one"), (112, 50, 5, "two")], room)
    assert first is not None
    assert first[0] < 100
    assert second is not None
    assert second[0] > 112
    assert beside([(10, 10, 5, "far too long for this room")], Box(0, 0, 40, 20)) == [None]
