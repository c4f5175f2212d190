"""The chips to take of a host: exactly the least cut, and boxes where tables would be too large."""

import random
from itertools import combinations

import numpy as np
import pytest

from craton.fleet.subsets import IMPOSSIBLE, HostChips, host_chips


def chips_in(mask: int) -> list[int]:
    return [chip for chip in range(32) if mask >> chip & 1]


def links(chips: HostChips) -> set[frozenset[int]]:
    return {frozenset((a, b)) for a, near in enumerate(chips.neighbours) for b in chips_in(near)}


def cut(links_of: set[frozenset[int]], mask: int) -> int:
    return sum((mask >> min(link) ^ mask >> max(link)) & 1 for link in links_of)


@pytest.mark.parametrize(
    ("chips", "sides", "number"),
    [
        (16, (4, 4), 32),
        (8, (2, 4), 12),
        (4, (2, 2), 4),
        (5, (5,), 5),
        (8, (2, 2, 2), 12),
        (8, (), 0),
    ],
)
def test_a_torus_has_its_links(chips: int, sides: tuple[int, ...], number: int) -> None:
    assert len(links(host_chips(chips, sides))) == number


@pytest.mark.parametrize("sides", [(4, 4), (2, 4), (6,)])
def test_no_subset_of_the_free_chips_cuts_fewer_links(sides: tuple[int, ...]) -> None:
    rng = random.Random(len(sides))
    chips = host_chips(int(np.prod(sides)), sides)
    every_link = links(chips)
    for _ in range(15):
        free = rng.getrandbits(chips.chips)
        for number in {1, 2, 4, rng.randint(1, chips.chips)}:
            best = chips.best(free, number)
            every = [
                sum(1 << chip for chip in each) for each in combinations(chips_in(free), number)
            ]
            if not every:
                assert best is None
                assert chips.least_cuts(number)[free] == IMPOSSIBLE
                continue
            keys = [(cut(every_link, mask), cut(every_link, free & ~mask), mask) for mask in every]
            assert best is not None
            assert (best.cut, cut(every_link, free & ~best.mask), best.mask) == min(keys)
            assert chips.least_cuts(number)[free] == best.cut == chips.cut(best.mask)


def test_half_a_torus_is_a_box_and_leaves_one() -> None:
    chips = host_chips(16, (4, 4))
    best = chips.best(0xFFFF, 8)
    assert best is not None
    assert (best.mask, best.cut) == (0x00FF, 8)
    assert chips.best(0xFFFF & ~best.mask, 8) == (0xFF00, 8)
    four = chips.best(0xFFFF, 4)
    assert four is not None
    assert four.cut == 8


def test_where_chips_are_alike_the_lowest_are_taken() -> None:
    assert host_chips(8, ()).best(0b1011_0110, 3) == (0b0001_0110, 0)
    assert host_chips(32, ()).best(0xFFFF_0000, 2) == (0x0003_0000, 0)


def test_a_large_host_gives_a_box_if_one_fits_and_else_what_hangs_together() -> None:
    chips = host_chips(32, (4, 8))
    assert not chips.has_tables
    box = chips.best(0xFFFF_FFFF, 8)
    assert box is not None
    assert box.cut == 8
    bent = 0b0000_0000_0000_0001_0000_0001_0000_0011
    grown = chips.best(bent | 1 << 31, 4)
    assert grown is not None
    assert grown.mask == bent
    assert chips.best(0b111, 4) is None
