"""Collectives over levels of links, against the textbook's own formulas."""

import pytest

from craton.silicon.chip import LinkLevel, Topology
from craton.silicon.figure import Figure
from craton.silicon.links import collective_seconds, spans
from craton.silicon.operations import Kind


def _level(name: str, topology: Topology, chips: int, gb_s: float, us: float = 1.0) -> LinkLevel:
    return LinkLevel(name, topology, chips, Figure(gb_s, "test"), Figure(us, "test"))


NODE = _level("node", Topology.ALL_TO_ALL, 8, 450.0)
NETWORK = _level("network", Topology.NETWORK, 0, 50.0, 5.0)


def test_a_group_within_a_level_uses_only_that_level() -> None:
    assert [(span.level.name, span.members) for span in spans((NODE, NETWORK), 8)] == [("node", 8)]


def test_a_group_beyond_a_level_crosses_to_the_next() -> None:
    found = spans((NODE, NETWORK), 32)
    assert [(span.level.name, span.members) for span in found] == [("node", 8), ("network", 4)]


def test_a_group_of_far_members_skips_the_inner_level() -> None:
    found = spans((NODE, NETWORK), 4, first=8)
    assert [(span.level.name, span.members) for span in found] == [("network", 4)]


def test_a_large_all_reduce_moves_its_buffer_nearly_twice() -> None:
    seconds = collective_seconds(Kind.ALL_REDUCE, 1e9, spans((NODE,), 8))
    assert seconds == pytest.approx(2 * 7 / 8 * 1e9 / 450e9, rel=0.01)


def test_a_tiny_all_reduce_costs_its_latency() -> None:
    seconds = collective_seconds(Kind.ALL_REDUCE, 64.0, spans((NODE,), 8))
    assert seconds == pytest.approx(2e-6, rel=0.01)


def test_across_servers_only_a_share_goes_over_the_network() -> None:
    seconds = collective_seconds(Kind.ALL_REDUCE, 1e9, spans((NODE, NETWORK), 32))
    inside = 2 * 7 / 8 * 1e9 / 450e9
    across = 2 * 3 / 4 * (1e9 / 8) / 50e9
    assert seconds == pytest.approx(inside + across, rel=0.01)


def test_a_ring_takes_more_steps_than_a_switch() -> None:
    ring = _level("ring", Topology.RING, 16, 450.0)
    switch = _level("switch", Topology.ALL_TO_ALL, 16, 450.0)
    small = 8192.0
    slow = collective_seconds(Kind.ALL_REDUCE, small, spans((ring,), 16))
    fast = collective_seconds(Kind.ALL_REDUCE, small, spans((switch,), 16))
    assert slow > 5 * fast


@pytest.mark.parametrize("kind", [Kind.ALL_GATHER, Kind.REDUCE_SCATTER])
def test_half_an_all_reduce_costs_half(kind: Kind) -> None:
    path = spans((NODE,), 8)
    whole = collective_seconds(Kind.ALL_REDUCE, 1e9, path)
    assert collective_seconds(kind, 1e9, path) == pytest.approx(whole / 2, rel=0.01)
