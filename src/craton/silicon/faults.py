"""What failures take of a training run: how many a day, how often to save, and what remains.

Interruptions of independent chips add up, so a job of twice the chips is interrupted twice as
often. Saving too often costs time, too seldom costs work done again; the best interval is Young's
(A first order approximation to the optimum checkpoint interval, CACM 17(9), 1974) as Daly made it
exact for exponential failures (FGCS 22, 2006, equation 37).
"""

import math
from dataclasses import dataclass
from datetime import date

from craton.kernel.errors import BadRequest
from craton.silicon.figure import Figure

DAY_S = 86_400.0
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """Interruptions that a published run counted."""

    job: str
    chips: int
    days: Figure
    interruptions: Figure
    """Unplanned ones, whatever broke."""

    @property
    def chip_hours_between(self) -> float:
        """Mean chip-hours between interruptions: the chips' mean time between failures."""
        return self.chips * self.days.value * 24 / self.interruptions.value


_LLAMA = "arXiv:2407.21783, section 3.3.4 and table 5"
_READ = date(2026, 11, 22)

LLAMA_3_405B = FaultRecord(
    "Llama 3 405B on H100",
    16_384,
    Figure(54, _LLAMA, _READ),
    Figure(419, _LLAMA, _READ, note="466 in all, 47 of them planned"),
)


@dataclass(frozen=True, slots=True)
class Saving:
    """What saving and restarting cost a job."""

    save_s: float
    """Training stands still while a checkpoint is taken."""
    restart_s: float
    """From an interruption until training goes on: finding it, replacing, loading."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """What is left of the time."""

    failures_day: float
    mean_hours_between: float
    save_every_s: float
    fraction: float
    """Of the wall time that becomes steps which are kept, 0 to 1."""


def mean_seconds_between(chips: int, record: FaultRecord = LLAMA_3_405B) -> float:
    """Mean time between interruptions of a job of `chips`; BadRequest below one chip."""
    if chips < 1:
        raise BadRequest(f"a job of {chips} chips can't fail; it has at least 1")
    return record.chip_hours_between * HOUR_S / chips


def best_interval(between_s: float, save_s: float) -> float:
    """Seconds of training between checkpoints that lose the least (Daly 2006, equation 37)."""
    if save_s <= 0 or between_s <= 0:
        raise BadRequest("the time of a checkpoint and between failures are above 0 seconds")
    if save_s >= 2 * between_s:
        # Saving takes longer than training lasts: save once a failure.
        return between_s
    ratio = save_s / (2 * between_s)
    return math.sqrt(2 * save_s * between_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save_s


def goodput(chips: int, saving: Saving, record: FaultRecord = LLAMA_3_405B) -> Goodput:
    """What remains of a job's time at the best interval, for exponential failures.

    The wall time of useful work `w` done in pieces of `t`, each saved in `d`, restarted in `r`,
    with a mean of `m` between failures is `m e^(r/m) (e^((t+d)/m) - 1) w / t` (Daly, equation 20).
    """
    if saving.restart_s < 0:
        raise BadRequest(f"a restart of {saving.restart_s} s can't be; it takes at least 0")
    between = mean_seconds_between(chips, record)
    every = best_interval(between, saving.save_s)
    exponent = saving.restart_s / between + math.log(math.expm1((every + saving.save_s) / between))
    fraction = every / between * math.exp(-exponent)
    return Goodput(DAY_S / between, between / HOUR_S, every, fraction)
