"""What is asked of a pool, and the two answers: a place, or why there is none."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.fleet.pool_layout import Numbers
from craton.kernel.errors import BadRequest


class Demand(msgspec.Struct, frozen=True):
    """A gang: `hosts` hosts with `chips_per_host` chips of each, all at once or not at all.

    `rest_chips` asks for so many chips of one host more. `hosts_per_leaf_max` and
    `hosts_per_row_max` spread the gang, so that one fault takes only a part of it; `is_one_leaf`
    and `is_one_row` refuse a place that reaches further.
    """

    hosts: int
    chips_per_host: int
    rest_chips: int = 0
    hosts_per_leaf_max: int | None = None
    hosts_per_row_max: int | None = None
    is_one_leaf: bool = False
    is_one_row: bool = False

    @property
    def chips(self) -> int:
        """Chips in all."""
        return self.hosts * self.chips_per_host + self.rest_chips

    @property
    def hosts_touched(self) -> int:
        """Hosts in all."""
        return self.hosts + (self.rest_chips > 0)

    def check(self, chips_per_host: int) -> None:
        """BadRequest if no pool whose hosts have so many chips could ever have a place for it."""
        if self.hosts < 1:
            raise BadRequest(f"A gang of {self.hosts} hosts; ask for one or more.")
        if not 1 <= self.chips_per_host <= chips_per_host:
            raise BadRequest(
                f"{self.chips_per_host} chips of each host; these hosts have {chips_per_host}. "
                "Ask for more hosts instead."
            )
        if self.rest_chips and (
            self.chips_per_host != chips_per_host or not 0 < self.rest_chips < chips_per_host
        ):
            raise BadRequest(
                f"{self.rest_chips} chips beside {self.chips_per_host} of each host; a rest stands "
                f"beside whole hosts of {chips_per_host} chips and is smaller than one."
            )
        for most in (self.hosts_per_leaf_max, self.hosts_per_row_max):
            if most is not None and most < 1:
                raise BadRequest(f"A spread of at most {most} hosts; ask for one or more.")
        if self.rest_chips and (self.hosts_per_leaf_max or self.hosts_per_row_max):
            raise BadRequest(
                "A spread together with a number of chips that isn't a number of whole hosts; "
                "ask for hosts, and for the same number of chips of each."
            )


def demand_for(chips: int, chips_per_host: int) -> Demand:
    """The gang that somebody means who only says how many chips.

    As few hosts as can be: fewer chips than a host has are of one host; whole hosts otherwise, and
    what is over, together, of one host more (24 chips of hosts with 16 are a host and 8 chips). So
    nobody pays for chips they didn't ask for, and the rest of the last host can be used by others.
    Who wants the same on each host says so: `Demand(hosts=2, chips_per_host=12)`.
    """
    if chips < 1:
        raise BadRequest(f"{chips} chips; ask for one or more.")
    if chips < chips_per_host:
        return Demand(1, chips)
    return Demand(chips // chips_per_host, chips_per_host, chips % chips_per_host)


class Placement(msgspec.Struct, frozen=True, eq=False):
    """A gang's place: hosts in ascending order, and of each a mask of chips.

    `cut` counts the links inside hosts that join its chips to others; `rows` and `leaves` those
    that it touches. `cost` compares places on divided hosts: what becomes useless, and what the
    host had left (thousandths of chips).
    """

    hosts: Numbers
    masks: NDArray[np.uint32]
    rows: int
    leaves: int
    cut: int = 0
    cost: tuple[float, int] = (0.0, 0)


class Reason(StrEnum):
    """Why there is no place."""

    TOO_LARGE = "too_large"
    """The pool would have none if it were empty, whole and healthy."""
    NOT_ENOUGH = "not_enough"
    """Too little is free."""
    SCATTERED = "scattered"
    """Enough is free, but not in one row, or one leaf, as was required."""
    SPREAD = "spread"
    """Enough is free, but not so far apart."""
    ROW_POWER = "row_power"
    """Enough is free, but in rows whose power is used."""
    SITE_POWER = "site_power"
    """Enough is free, but the site's power is used."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no place, and what would fit. `row` is the pool's, where one is to blame."""

    reason: Reason
    message: str
    row: int | None = None
