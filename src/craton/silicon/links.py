"""How long ranks take to talk: alpha-beta over the real levels of links.

A group fills the innermost level first. A collective over several levels works inside each level,
then across (reduce-scatter in, all-reduce out, gather in), as the libraries do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from craton.silicon.chip import LinkLevel, Topology
from craton.silicon.operations import Kind, Quantity


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a group that talks over one level."""

    level: LinkLevel
    members: int
    """Chips, or inner groups, that meet at this level."""


def spans(levels: Sequence[LinkLevel], chips: int, *, first: int = 1) -> tuple[Span, ...]:
    """Cut a group of `chips` that lie `first` apart into the levels it crosses, innermost first.

    `first` is how many chips of other groups lie between two of this one (a data-parallel group
    outside tensor groups of eight has `first=8`).
    """
    found: list[Span] = []
    done, inner = 1, first
    for level in levels:
        reach = level.chips or chips * first
        members = min(chips // done, max(reach // inner, 1))
        if members > 1:
            found.append(Span(level, members))
            done *= members
            inner *= members
        if done >= chips:
            break
    rest = -(-chips // done)
    if rest > 1:
        # More chips than any level is said to reach: the outermost carries them.
        found.append(Span(levels[-1], rest))
    return tuple(found)


def collective_seconds(
    kind: Kind,
    data_bytes: Quantity,
    path: Sequence[Span],
    *,
    rate: float = 1.0,
    latency: float = 1.0,
) -> Quantity:
    """Seconds of one collective over `data_bytes` (the whole buffer of one rank).

    `rate` scales what links reach of their specification, `latency` their alpha.
    """
    total: Quantity = 0.0
    share: Quantity = data_bytes
    for span in path:
        bandwidth = span.level.gb_s.value * 1e9 * rate
        alpha = span.level.latency_us.value * 1e-6 * latency
        total = total + _one_level(kind, share, span, bandwidth, alpha)
        if kind in (Kind.ALL_REDUCE, Kind.REDUCE_SCATTER, Kind.ALL_GATHER):
            share = share / span.members
    return total


def _one_level(
    kind: Kind, data_bytes: Quantity, span: Span, bandwidth: float, alpha: float
) -> Quantity:
    n = span.members
    fraction = (n - 1) / n
    match kind:
        case Kind.ALL_REDUCE:
            # The better of a ring (all bandwidth, many steps) and a tree or one shot.
            ring = 2 * fraction * data_bytes / bandwidth + 2 * _steps(span) * alpha
            direct = data_bytes * _direct(span) / bandwidth + 2 * alpha
            return np.minimum(ring, direct)
        case Kind.ALL_GATHER | Kind.REDUCE_SCATTER:
            return fraction * data_bytes / bandwidth + _steps(span) * alpha
        case Kind.ALL_TO_ALL:
            return fraction * data_bytes * _detour(span) / bandwidth + _reach(span) * alpha
        case _:
            return data_bytes / bandwidth + alpha


def _steps(span: Span) -> float:
    """Messages in a row that a collective at full bandwidth needs."""
    n = float(span.members)
    match span.level.topology:
        case Topology.RING:
            return n - 1
        case Topology.TORUS_2D:
            return 2 * (n**0.5 - 1) or 1.0
        case Topology.TORUS_3D:
            return 3 * (n ** (1 / 3) - 1) or 1.0
        case Topology.ALL_TO_ALL | Topology.MESH:
            return 1.0
        case Topology.NETWORK:
            return float(np.log2(n))


def _direct(span: Span) -> float:
    """Buffers each member sends when all send to all at once."""
    n = span.members
    match span.level.topology:
        case Topology.ALL_TO_ALL | Topology.MESH:
            return float(n - 1)
        case _:
            return float("inf")


def _detour(span: Span) -> float:
    """How many links a byte crosses on the mean, over what a switch would need."""
    n = float(span.members)
    match span.level.topology:
        case Topology.RING:
            return max(n / 4, 1.0)
        case Topology.TORUS_2D:
            return max(n**0.5 / 2, 1.0)
        case Topology.TORUS_3D:
            return max(3 * n ** (1 / 3) / 4, 1.0)
        case _:
            return 1.0


def _reach(span: Span) -> float:
    """Hops to the farthest member."""
    n = float(span.members)
    match span.level.topology:
        case Topology.RING:
            return n / 2
        case Topology.TORUS_2D:
            return n**0.5
        case Topology.TORUS_3D:
            return 1.5 * n ** (1 / 3)
        case _:
            return 1.0
