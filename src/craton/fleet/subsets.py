"""Which chips of a host to give away: the subset of the free ones that is cut out of least links.

The chips of some hosts form a torus (of Trainium2, 4 by 4; of a TPU v6e host, 2 by 4), and a job on
a part of them sends over the links inside that part. So 8 of 16 chips are best as 2 by 4, which
cuts 8 links, and bad as scattered ones, which cut up to 32. Where any chip reaches any other alike
nothing is cut, and the lowest numbers are taken.

Chips are bits of a mask. A host of up to 16 chips is looked up in tables of all its subsets, which
makes the answers exact; one of up to 32 gets a box if one fits, else what grows best from one chip.
"""

from functools import cache
from itertools import islice, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craton.fleet.records import chips_in, mask_of

TABLE_CHIPS_MAX = 16
CHIPS_MAX = 32
IMPOSSIBLE = 255
"""In a table of cuts: not that many chips are free. No host of 16 chips has so many links."""
_REMEMBERED_MAX = 65_536


class Subset(NamedTuple):
    """Chips of one host, and how many links join them to its other chips."""

    mask: int
    cut: int


class HostChips:
    """The chips of one kind of host: how they are joined, and what is best taken from a mask.

    `sides` are those of the torus that they form, none where any chip reaches any other alike. In a
    torus of side 2 both ways round lead to the same neighbour, and are counted as one link.
    """

    def __init__(self, chips: int, sides: tuple[int, ...]) -> None:
        assert 1 <= chips <= CHIPS_MAX, f"a host of {chips} chips"
        assert not sides or prod(sides) == chips, f"{chips} chips in a torus of {sides}"
        self.chips = chips
        self.sides = sides
        self.full = (1 << chips) - 1
        self.neighbours = _neighbours(chips, sides)
        self._remembered: dict[tuple[int, int], Subset] = {}
        self._of_size: dict[int, NDArray[np.uint32]] = {}
        self._cuts, self._least = _tables(self.neighbours) if self.has_tables else (None, None)

    @property
    def has_tables(self) -> bool:
        """Whether every subset was looked at."""
        return self.chips <= TABLE_CHIPS_MAX

    def cut(self, mask: int) -> int:
        """How many links join these chips to the host's others."""
        return sum(
            (near & ~mask).bit_count()
            for chip, near in enumerate(self.neighbours)
            if mask >> chip & 1
        )

    def least_cuts(self, chips: int) -> NDArray[np.uint8]:
        """By mask of free chips: the least cut of `chips` of them, or `IMPOSSIBLE`."""
        assert self._least is not None, f"a host of {self.chips} chips has no tables"
        return self._least[chips]

    def best(self, free: int, chips: int) -> Subset | None:
        """The `chips` of the free ones to take; None if there aren't so many.

        Fewest links cut; then fewest links cut around what stays free; then lowest numbers.
        """
        if free.bit_count() < chips:
            return None
        key = (free, chips)
        found = self._remembered.get(key)
        if found is None:
            found = self._best(free, chips)
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def _best(self, free: int, chips: int) -> Subset:
        if not self.sides:
            return Subset(_lowest(free, chips), 0)
        if self._cuts is not None:
            return self._best_of_all(free, chips, self._cuts)
        found = [mask for mask in _boxes(self.sides, chips) if not mask & ~free]
        if not found:
            found = [self._grown(free, chips, chip) for chip in chips_in(free)]
        mask = min(found, key=lambda mask: (self.cut(mask), self.cut(free & ~mask), mask))
        return Subset(mask, self.cut(mask))

    def _best_of_all(self, free: int, chips: int, cuts: NDArray[np.uint8]) -> Subset:
        sized = self._of_size.get(chips)
        if sized is None:
            every = np.arange(self.full + 1, dtype=np.uint32)
            sized = self._of_size[chips] = every[np.bitwise_count(every) == chips]
        inside = sized[(sized & ~np.uint32(free)) == 0]
        order = cuts[inside].astype(np.int32) << 8 | cuts[free ^ inside]
        mask = int(inside[order.argmin()])
        return Subset(mask, int(cuts[mask]))

    def _grown(self, free: int, chips: int, start: int) -> int:
        """Chips added one by one, each that with the most links to those there are."""
        mask = 1 << start
        while mask.bit_count() < chips:
            chip = max(
                chips_in(free & ~mask),
                key=lambda chip: ((self.neighbours[chip] & mask).bit_count(), -chip),
            )
            mask |= 1 << chip
        return mask


@cache
def host_chips(chips: int, sides: tuple[int, ...]) -> HostChips:
    """The tables of one kind of host, made once."""
    return HostChips(chips, sides)


def _lowest(mask: int, chips: int) -> int:
    return mask_of(islice(chips_in(mask), chips))


def _number(at: tuple[int, ...], sides: tuple[int, ...]) -> int:
    number = 0
    for place, side in zip(at, sides, strict=True):
        number = number * side + place % side
    return number


def _neighbours(chips: int, sides: tuple[int, ...]) -> tuple[int, ...]:
    """By chip: the mask of those it has a link to. The last side counts fastest."""
    near = [0] * chips
    for at in product(*(range(side) for side in sides)) if sides else ():
        chip = _number(at, sides)
        for axis, step in product(range(len(sides)), (-1, 1)):
            there = (*at[:axis], at[axis] + step, *at[axis + 1 :])
            near[chip] |= 1 << _number(there, sides)
        near[chip] &= ~(1 << chip)
    return tuple(near)


@cache
def _boxes(sides: tuple[int, ...], chips: int) -> tuple[int, ...]:
    """The masks of all boxes of so many chips, also those that reach around an edge."""
    found: set[int] = set()
    for box in product(*(range(1, side + 1) for side in sides)):
        if prod(box) != chips:
            continue
        inner = list(product(*(range(length) for length in box)))
        for corner in product(*(range(side) for side in sides)):
            mask = 0
            for step in inner:
                at = tuple(place + more for place, more in zip(corner, step, strict=True))
                mask |= 1 << _number(at, sides)
            found.add(mask)
    return tuple(sorted(found))


def _tables(neighbours: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The cut of each mask, and by number of chips and mask the least cut of its subsets.

    A subset of a mask is the mask or a subset of it without one chip; so the least over all subsets
    comes of one pass for each chip.
    """
    chips = len(neighbours)
    every = np.arange(1 << chips, dtype=np.uint32)
    cuts = np.zeros(1 << chips, np.uint8)
    for chip, near in enumerate(neighbours):
        has_chip = (every >> np.uint32(chip) & np.uint32(1)).astype(bool)
        cuts += np.where(has_chip, np.bitwise_count(~every & np.uint32(near)), 0).astype(np.uint8)
    sizes = np.bitwise_count(every)
    least = np.full((chips + 1, 1 << chips), IMPOSSIBLE, np.uint8)
    least[sizes, every] = cuts
    for chip in range(chips):
        halves = least.reshape(chips + 1, -1, 2, 1 << chip)
        np.minimum(halves[:, :, 1], halves[:, :, 0], out=halves[:, :, 1])
    return cuts, least
