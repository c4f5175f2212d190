"""The terms of capacity blocks: how long, how many, from when, until when. EC2's own rules.

Source: EC2 User Guide, "Capacity Blocks for ML" (how they work; pricing and billing; extensions),
read 2026-11-23. Moments are seconds UTC.
"""

from dataclasses import dataclass

from craton.kernel.errors import BadRequest

HOUR_S = 3600
DAY_S = 86_400
END_OF_DAY_S = 11 * HOUR_S + 30 * 60
"""Blocks end at 11:30 UTC."""
DAYS_SHORT_MAX = 14
DAYS_MAX = 182
AHEAD_MAX_S = 56 * DAY_S
"""How far ahead a block may start: eight weeks."""
INSTANCES_PER_BLOCK_MAX = 64
INSTANCES_MAX = 256
"""Of one account, in all blocks that aren't over."""
NOTICE_S = 40 * 60
"""How long before its end a block's holder is told."""
CLEAR_SERVER_S = 30 * 60
"""How long before its end the instances of a block are taken down; UltraServers take longer."""
CLEAR_ULTRASERVER_S = 60 * 60
PAYMENT_WITHIN_S = 12 * HOUR_S
"""How long a block waits for its payment."""
EXTEND_BEFORE_S = HOUR_S
"""How long before its end a block can still be made longer."""

INVALID = "InvalidParameterValue"


@dataclass(frozen=True, slots=True)
class Span:
    """When a block runs."""

    start_s: int
    end_s: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end_s - self.start_s


def check_duration(hours: int, member: str = "CapacityDurationHours") -> None:
    """BadRequest unless a block may be so long: 1 to 14 days, or whole weeks up to 26."""
    days, rest = divmod(hours, 24)
    is_short, is_weeks = 1 <= days <= DAYS_SHORT_MAX, days % 7 == 0 and 7 <= days <= DAYS_MAX
    if rest or not (is_short or is_weeks):
        raise BadRequest(
            f"{member} is {hours}. Capacity blocks last 1 to 14 days by the day, or 21 to 182 days "
            "by the week: write one of 24, 48, … 336, 504, 672, … 4368 hours.",
            code=INVALID,
        )


def check_count(instances: int, member: str) -> None:
    """BadRequest unless one block may have so many instances."""
    if not 1 <= instances <= INSTANCES_PER_BLOCK_MAX:
        raise BadRequest(
            f"{member} makes {instances} instances; a capacity block has 1 to "
            f"{INSTANCES_PER_BLOCK_MAX}. Buy several blocks for more.",
            code=INVALID,
        )


def check_total(instances: int, in_use: int) -> None:
    """BadRequest if an account would have more instances in blocks than one may."""
    if in_use + instances > INSTANCES_MAX:
        raise BadRequest(
            f"{in_use} instances are in capacity blocks of this account that aren't over, and "
            f"{instances} more would be above {INSTANCES_MAX}. Wait for one to end, or ask the "
            "operator.",
            code="ResourceLimitExceeded",
        )


def end_after(start_s: int, hours: int) -> int:
    """The first 11:30 UTC that is at least so many hours after a start."""
    earliest = start_s + hours * HOUR_S
    return earliest + (END_OF_DAY_S - earliest) % DAY_S


def clear_at(end_s: int, *, is_ultraserver: bool) -> int:
    """When what runs in a block is taken down, so that the next holder finds it empty."""
    return end_s - (CLEAR_ULTRASERVER_S if is_ultraserver else CLEAR_SERVER_S)
