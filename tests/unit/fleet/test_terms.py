import pytest

from craton.fleet.terms import (
    DAY_S,
    END_OF_DAY_S,
    HOUR_S,
    check_count,
    check_duration,
    check_total,
    end_after,
)
from craton.kernel.errors import BadRequest


def test_blocks_last_days_up_to_two_weeks_and_then_weeks_up_to_twenty_six() -> None:
    allowed: list[int] = []
    for hours in range(5000):
        try:
            check_duration(hours)
        except BadRequest:
            continue
        allowed.append(hours)
    days = [*range(1, 15), *range(21, 183, 7)]
    assert allowed == [day * 24 for day in days]


def test_a_block_ends_at_half_past_eleven_and_lasts_at_least_as_long_as_asked() -> None:
    assert end_after(END_OF_DAY_S, 24) == END_OF_DAY_S + DAY_S
    assert end_after(END_OF_DAY_S + 1, 24) == END_OF_DAY_S + 2 * DAY_S
    assert end_after(5 * HOUR_S, 24) == DAY_S + END_OF_DAY_S


@pytest.mark.parametrize("instances", [0, -1, 65])
def test_a_block_has_one_to_64_instances(instances: int) -> None:
    check_count(64, "InstanceCount")
    with pytest.raises(BadRequest, match="InstanceCount makes"):
        check_count(instances, "InstanceCount")


def test_an_account_has_256_instances_in_blocks_at_most() -> None:
    check_total(64, 192)
    with pytest.raises(BadRequest, match="193 instances are in capacity blocks") as refused:
        check_total(64, 193)
    assert refused.value.code == "ResourceLimitExceeded"
