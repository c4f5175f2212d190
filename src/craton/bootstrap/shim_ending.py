"""When a workload whose lease ends is told, asked to end, and ended: what spot instances promise.

First a file appears (and a signal comes, for who asked for one), up to two minutes ahead. Then
SIGTERM, early enough for the grace; then SIGKILL, a moment before the lease is over.
"""

from enum import IntEnum

from craton.fleet.run_records import MARGIN_S, NOTICE_BEFORE_S


class Step(IntEnum):
    """How far the end has come, in the order of it."""

    NOTHING = 0
    NOTICE = 1
    TERMINATE = 2
    KILL = 3


def next_step(ends_s: float, grace_s: float, done: Step) -> tuple[Step, float]:
    """What comes after `done`, and when: seconds since the epoch. After the kill, kill again."""
    kill_s = ends_s - MARGIN_S
    terminate_s = kill_s - grace_s
    match done:
        case Step.NOTHING:
            return Step.NOTICE, min(ends_s - NOTICE_BEFORE_S, terminate_s)
        case Step.NOTICE:
            return Step.TERMINATE, terminate_s
        case Step.TERMINATE:
            return Step.KILL, kill_s
        case Step.KILL:
            return Step.KILL, ends_s
