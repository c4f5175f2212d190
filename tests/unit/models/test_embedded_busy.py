"""Busy time is shared out without remainder."""

from hypothesis import given
from hypothesis import strategies as st

from craton.kernel.clock import ManualClock
from craton.models.engines.embedded.busy import BusyTime


def test_two_at_once_take_half_each() -> None:
    clock = ManualClock()
    busy = BusyTime(clock)
    busy.enter("a")
    clock.advance(seconds=1)
    busy.enter("b")
    clock.advance(seconds=1)
    assert busy.leave("a") == 1_500_000
    clock.advance(seconds=1)
    assert busy.leave("b") == 1_500_000


def test_idle_time_belongs_to_nobody() -> None:
    clock = ManualClock()
    busy = BusyTime(clock)
    busy.enter("a")
    clock.advance(seconds=1)
    busy.leave("a")
    clock.advance(seconds=5)
    busy.enter("b")
    clock.advance(seconds=2)
    assert busy.leave("b") == 2_000_000
    assert busy.total_ns == 3_000_000_000


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10_000_000)), max_size=40))
def test_the_shares_add_up_to_the_busy_time(steps: list[tuple[int, int]]) -> None:
    clock = ManualClock()
    busy = BusyTime(clock)
    active: set[str] = set()
    shares = 0
    for who, passed_ns in steps:
        name = str(who)
        if name in active:
            active.remove(name)
            shares += busy.leave(name)
        else:
            active.add(name)
            busy.enter(name)
        clock.advance(seconds=passed_ns / 1e9)
    for name in sorted(active):
        shares += busy.leave(name)
    assert shares == busy.total_ns // 1000
