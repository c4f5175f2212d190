"""What is counted, and the record of one request's counts."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Meter(StrEnum):
    """What can be counted, and priced. The unit is in the name."""

    __hash__ = str.__hash__
    """The same hash, found by `str` itself: meters are keys wherever something is rated."""

    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CACHE_READ_TOKENS = "cache_read_tokens"
    CACHE_WRITE_TOKENS = "cache_write_tokens"
    CHIP_US = "chip_us"
    """The request's share of its replica's busy time, in microseconds. Recorded, rarely priced."""
    BLOCK_CHIP_S = "block_chip_s"
    """Chip-seconds of a capacity block, counted when it is bought."""
    ON_DEMAND_CHIP_S = "on_demand_chip_s"
    """Chip-seconds held on demand, by a lease or an open reservation."""
    INTERRUPTIBLE_CHIP_S = "interruptible_chip_s"
    """Chip-seconds of a lease that may be taken back."""
    RESERVED_CHIP_S = "reserved_chip_s"
    """Chip-seconds of a lease inside a reservation, which is paid for already."""
    COMMITTED_CHIP_S = "committed_chip_s"
    """Chip-seconds of a commitment: what was due in a period, used or not."""


PROMPT_TOKENS = "prompt_tokens"
"""In a hold: input of which it isn't known yet what a cache will serve or keep."""
HOURLY = frozenset(
    (Meter.BLOCK_CHIP_S, Meter.ON_DEMAND_CHIP_S, Meter.INTERRUPTIBLE_CHIP_S, Meter.RESERVED_CHIP_S)
)
"""Meters of seconds, priced by the hour."""
TOKENS = frozenset(
    (
        *(Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS),
        *(Meter.CACHE_READ_TOKENS, Meter.CACHE_WRITE_TOKENS, PROMPT_TOKENS),
    )
)


def tokens_of(quantities: Mapping[str, int]) -> int:
    """Input and output tokens together."""
    tokens = 0
    for meter, count in quantities.items():  # a generator's sum takes twice as long
        if meter in TOKENS:
            tokens += count
    return tokens


class Outcome(StrEnum):
    """How the request ended, as its record says."""

    COMPLETE = "complete"
    CLIENT_GONE = "client_gone"


class UsageRecord(msgspec.Struct, frozen=True, array_like=True):
    """What one request used, where, and for whom. `request_id` is unique: posting twice is once."""

    request_id: str
    account: str
    project: str
    principal: str
    resource: str
    replica: str
    outcome: Outcome
    at_ms: int
    quantities: dict[str, int]
