import pytest

from craton.cli.plan_numbers import days, quantity, whole
from craton.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4000", 4e3),
        ("4k", 4e3),
        ("4M", 4e6),
        ("2e12", 2e12),
        ("1.5T", 1.5e12),
        ("4,000_000", 4e6),
        ("0.5", 0.5),
        ("7B", 7e9),
        ("7g", 7e9),
        (" 3 k ", 3e3),
    ],
)
def test_quantities_read_as_people_write_them(text: str, value: float) -> None:
    assert quantity(text, "--tokens") == value


@pytest.mark.parametrize("text", ["", "many", "4X", "-4", "1e999", "0", "nan", "4M4", "1.2.3"])
def test_what_is_not_a_quantity_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(BadRequest, match="--tokens"):
        quantity(text, "--tokens")


def test_what_is_counted_is_whole() -> None:
    assert whole("8k", "--sequence") == 8000
    with pytest.raises(BadRequest, match="whole number"):
        whole("8192.5", "--sequence")


@pytest.mark.parametrize(
    ("text", "value"), [("12h", 0.5), ("30d", 30), ("1.5 w", 10.5), ("1Y", 365.25)]
)
def test_times_are_in_days(text: str, value: float) -> None:
    assert days(text, "--deadline") == value


@pytest.mark.parametrize("text", ["30", "d", "30m", "-1d", "0d", "soon"])
def test_a_time_without_a_clear_unit_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--deadline"):
        days(text, "--deadline")
