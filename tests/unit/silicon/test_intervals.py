import numpy as np
import pytest

from craton.silicon.estimate import Provenance
from craton.silicon.intervals import SPREAD_LIMIT, Correction, Feature, estimate, interval_score

CORRECTION = Correction(
    features={"load": Feature(mean=2.0, scale=1.0, weight=0.2, low=-0.1, high=0.5)},
    offset=-0.1,
    low=-0.2,
    high=0.3,
    unknown=2.0,
    limit=0.4,
)


def at(load: float) -> dict[str, np.ndarray]:
    return {"load": np.array(load)}


def test_a_set_up_like_the_mean_gets_the_offset_only() -> None:
    assert CORRECTION.factor(at(2.0)) == pytest.approx(np.exp(-0.1))


def test_a_correction_grows_with_the_distance_and_stays_within_its_limit() -> None:
    assert CORRECTION.factor(at(3.0)) == pytest.approx(np.exp(0.1))
    assert CORRECTION.factor(at(90.0)) == pytest.approx(np.exp(0.4))
    assert CORRECTION.factor(at(-90.0)) == pytest.approx(np.exp(-0.4))


def test_an_interval_is_wider_where_the_fit_spread_more() -> None:
    low, high = CORRECTION.widths(at(2.0), known=True)
    assert (low, high) == (pytest.approx(-0.2), pytest.approx(0.3))
    low, high = CORRECTION.widths(at(3.0), known=True)
    assert low == pytest.approx(-0.2 * np.exp(-0.1))
    assert high == pytest.approx(0.3 * np.exp(0.5))
    assert CORRECTION.widths(at(50.0), known=True)[1] == pytest.approx(0.3 * np.exp(SPREAD_LIMIT))


@pytest.mark.parametrize("load", [-np.inf, -1e300, -3.0, 0.0, 2.0, 1e300, np.inf])
@pytest.mark.parametrize("known", [True, False])
def test_an_interval_holds_its_estimate_and_ends_for_any_features(
    load: float, *, known: bool
) -> None:
    low, high = CORRECTION.widths(at(load), known=known)
    assert -np.inf < low < 0.0 < high < np.inf
    assert np.isfinite(CORRECTION.factor(at(load)))


def test_set_ups_are_given_their_intervals_all_at_once() -> None:
    loads = np.array([-9.0, 2.0, 2.5, 70.0])
    low, high = CORRECTION.widths({"load": loads}, known=True)
    alone = [CORRECTION.widths(at(load), known=True) for load in loads]
    assert low == pytest.approx([float(each[0]) for each in alone])
    assert high == pytest.approx([float(each[1]) for each in alone])


def test_what_nobody_fitted_for_has_a_wider_interval() -> None:
    assert CORRECTION.widths(at(2.0), known=False)[1] == pytest.approx(0.6)


def test_a_feature_that_weighs_nothing_is_not_asked_for() -> None:
    idle = Feature(mean=0.0, scale=1.0, high=0.1)
    correction = Correction(
        features={"idle": idle}, offset=0.0, low=-0.2, high=0.3, unknown=2.0, limit=0.4
    )
    assert correction.factor({}) == 1.0


def test_a_feature_a_set_up_lacks_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        CORRECTION.factor({})


def test_an_estimate_has_its_interval_around_it() -> None:
    found = estimate(10.0, -0.1, 0.2, Provenance.FITTED)
    assert found.low == pytest.approx(10 * np.exp(-0.1))
    assert found.high == pytest.approx(10 * np.exp(0.2))


def test_the_interval_score_is_the_width_where_the_truth_lies_inside() -> None:
    one = np.array([1.0])
    assert interval_score(one, 3 * one, 2 * one)[0] == 2.0
    assert interval_score(one, 3 * one, 4 * one)[0] == pytest.approx(12.0)
    assert interval_score(one, 3 * one, 0 * one)[0] == pytest.approx(12.0)
