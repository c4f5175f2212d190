"""Who holds which chip of a pool, and where room is: arrays that every change keeps up to date.

A host offers the chips that are neither taken nor broken, if it is usable (healthy, not cordoned,
no spare held back). A host that offers all of its chips is *free*; one that offers some is *partly
free*. By row the pool counts its leaves by how many free hosts they have, so that a gang's place is
found by looking at rows first. Nothing here is a Python object for each host.

Every change has an inverse (`take` and `release`, `fail_chip` and `mend_chip`, `set_usable` with
the other value), which is how a command that isn't kept is undone.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from craton.fleet.pool_layout import Layout, Numbers, Power
from craton.fleet.subsets import TABLE_CHIPS_MAX
from craton.kernel.errors import Internal

Masks = NDArray[np.uint32]
Flags = NDArray[np.bool_]
_SHOWN_MAX = 5
_NOTHING = np.uint32(0)


class Pool:
    """The state of one pool. Reading its arrays is free to all; only its methods change them.

    `offered`: by host, the mask of chips that can be taken. `leaf_free`: by leaf, its free hosts.
    `leaves_with[f, row]`: how many leaves of a row have `f` or more free hosts, and
    `hosts_with[f, row]` how many free hosts those leaves have (so `hosts_with[1]` is the free
    hosts by row); `f` goes to one more than the largest leaf has. `held[row, k]`: the free hosts of
    those `k` leaves of a row that have the most, for `k` up to the leaves of the longest row.
    `partly[c, row]`: hosts that are partly free with `c` free chips.
    """

    def __init__(self, layout: Layout, power: Power) -> None:
        self.layout = layout
        self.power = power
        self.full = np.uint32(layout.chips.full)
        self.taken: Masks = np.zeros(layout.hosts, np.uint32)
        self.broken: Masks = np.zeros(layout.hosts, np.uint32)
        self.usable: Flags = np.ones(layout.hosts, np.bool_)
        self.offered: Masks = np.full(layout.hosts, self.full, np.uint32)
        sizes = layout.leaf_hosts_max + 2
        self.leaf_free: Numbers = np.diff(layout.leaf_start).astype(np.int32)
        self._with: Numbers = np.zeros((2, sizes, layout.rows), np.int32)
        self.leaves_with: Numbers = self._with[0]
        self.hosts_with: Numbers = self._with[1]
        longest = max(b - a for a, b in pairwise(layout.row_start))
        self.held: Numbers = np.zeros((layout.rows, longest + 1), np.int32)
        self.partly: Numbers = np.zeros((layout.chips_per_host, layout.rows), np.int32)
        # By mask of offered chips: how many hosts are partly free just so.
        masks = layout.chips.full + 1 if layout.chips_per_host <= TABLE_CHIPS_MAX else 0
        self.partly_by_mask: Numbers = np.zeros(masks, np.int32)
        self._weights = np.stack((np.ones(sizes - 1, np.intp), np.arange(sizes - 1)))
        for row in range(layout.rows):
            self._recount(row)

    @property
    def free_hosts(self) -> int:
        """Hosts of which every chip can be taken."""
        return int(self.hosts_with[1].sum())

    @property
    def chips_taken(self) -> int:
        """Chips that somebody holds."""
        return int(np.bitwise_count(self.taken).sum())

    def take(self, hosts: Numbers, masks: Masks) -> None:
        """Give chips away: of each host those of its mask. Hosts are in ascending order, once each.

        A chip that can't be taken (held already, broken, or on a host that isn't usable) is a fault
        of ours: Internal, and nothing is taken.
        """
        of = self.offered.take(hosts)
        if self._is_full(of) and self._is_full(masks) and _ascends(hosts):
            self._move_whole(hosts, self.full, -1)
        else:
            self._take(hosts, masks, of=of)

    def restore(self, hosts: Numbers, masks: Masks) -> None:
        """Take chips for a lease that already holds them: also on hosts not usable any more."""
        self._take(hosts, masks, of=~self.taken.take(hosts) & self.full)

    def restore_all(self, hosts: Numbers, masks: Masks) -> None:
        """The same for many leases together, hosts in any order and in several of them."""
        if not len(hosts):
            return
        order = hosts.argsort(kind="stable")
        hosts, masks = hosts[order], masks[order]
        is_first = np.ones(len(hosts), np.bool_)
        np.not_equal(hosts[1:], hosts[:-1], out=is_first[1:])
        starts = is_first.nonzero()[0]
        together = np.bitwise_or.reduceat(masks, starts)
        chips = np.add.reduceat(np.bitwise_count(masks), starts, dtype=np.int32)
        twice = chips != np.bitwise_count(together)
        if twice.any():
            raise Internal(
                f"Chips are held twice, {_shown(hosts[starts], together, twice.astype(np.uint32))}."
            )
        self.restore(hosts[starts], together)

    def _take(self, hosts: Numbers, masks: Masks, *, of: Masks) -> None:
        wrong = masks & ~of
        if wrong.any() or not _ascends(hosts) or not masks.all():
            raise Internal(f"Chips that aren't free were taken, {_shown(hosts, masks, wrong)}.")
        before = self.taken.take(hosts)
        self.taken.put(hosts, before | masks)
        leaves, rows = self.layout.place_of(hosts)
        self._power(rows, before == 0, self.layout.draw_w)
        self._changed(hosts, leaves, rows)

    def release(self, hosts: Numbers, masks: Masks) -> None:
        """Take chips back: of each host those of its mask. Hosts ascend, once each.

        A chip that nobody holds is a fault of ours: Internal, and nothing is released.
        """
        before = self.taken.take(hosts)
        if self._is_full(before) and self._is_full(masks) and self._is_sound(hosts):
            self._move_whole(hosts, _NOTHING, 1)
            return
        wrong = masks & ~before
        if wrong.any() or not _ascends(hosts) or not masks.all():
            raise Internal(f"Chips that nobody holds came back, {_shown(hosts, masks, wrong)}.")
        after = before & ~masks
        leaves, rows = self.layout.place_of(hosts)
        self._power(rows, after == 0, -self.layout.draw_w)
        self.taken.put(hosts, after)
        self._changed(hosts, leaves, rows)

    def _is_full(self, masks: Masks) -> bool:
        """Whether there are masks, each that of a whole host."""
        # Counting is several times faster than `all` and `any`.
        return len(masks) == int(np.count_nonzero(masks == self.full)) > 0

    def _is_sound(self, hosts: Numbers) -> bool:
        """Whether hosts, in order, are free as soon as nobody holds them."""
        is_whole = self.usable.take(hosts) > self.broken.take(hosts)
        return len(hosts) == int(np.count_nonzero(is_whole)) and _ascends(hosts)

    def _move_whole(self, hosts: Numbers, taken: np.uint32, step: int) -> None:
        """Take free hosts as a whole, or make them free: what most gangs do, and most quickly."""
        leaves, rows = self.layout.place_of(hosts)
        if self.layout.draw_w:
            self._draw(rows, -step * self.layout.draw_w)
        self.taken.put(hosts, taken)
        self.offered.put(hosts, taken ^ self.full)
        self._count_free(leaves, rows, np.full(len(hosts), step, np.int32))

    def set_usable(self, host: int, value: bool) -> bool:
        """Say whether what is free on a host may be given away; returns whether that changed."""
        if bool(self.usable[host]) == value:
            return False
        self.usable[host] = value
        self._changed_one(host)
        return True

    def fail_chip(self, host: int, chip: int) -> bool:
        """Offer a chip no more, even when its lease ends; returns whether that is new."""
        return self._set_broken(host, chip, broken=True)

    def mend_chip(self, host: int, chip: int) -> bool:
        """The inverse: the chip works again."""
        return self._set_broken(host, chip, broken=False)

    def _set_broken(self, host: int, chip: int, *, broken: bool) -> bool:
        assert 0 <= chip < self.layout.chips_per_host, f"chip {chip}"
        bit = 1 << chip
        before = int(self.broken[host])
        after = before | bit if broken else before & ~bit
        if before == after:
            return False
        self.broken[host] = after
        self._changed_one(host)
        return True

    def drawing_hosts(self) -> Numbers:
        """By row: hosts that count as drawing power, counted anew."""
        layout = self.layout
        drawing = self.taken != 0
        rows = layout.row_of_leaf[layout.leaf_of_host[drawing]]
        return np.bincount(rows, minlength=layout.rows).astype(np.int32)

    def _power(self, rows: Numbers, which: Flags, draw_w: int) -> None:
        """Hosts in these rows, in their order, begin to draw, or with a negative draw end."""
        if draw_w and which.any():
            self._draw(rows[which], draw_w)

    def _draw(self, rows: Numbers, draw_w: int) -> None:
        power_rows = self.layout.power_rows
        if rows[0] == rows[-1]:
            self.power.add([(int(power_rows[rows[0]]), len(rows))], draw_w)
        else:
            each, counts = np.unique(rows, return_counts=True)
            pairs = zip(power_rows[each].tolist(), counts.tolist(), strict=True)
            self.power.add(list(pairs), draw_w)

    def _changed_one(self, host: int) -> None:
        hosts = np.array([host], np.int32)
        self._changed(hosts, *self.layout.place_of(hosts))

    def _changed(self, hosts: Numbers, leaves: Numbers, rows: Numbers) -> None:
        """Bring everything that is counted up to date with these hosts, which ascend."""
        before = self.offered.take(hosts)
        after = self.taken.take(hosts)
        after |= self.broken.take(hosts)
        np.bitwise_xor(after, self.full, out=after)
        after *= self.usable.take(hosts)
        self.offered.put(hosts, after)
        was_free, is_free = before == self.full, after == self.full
        if was_free.tobytes() != is_free.tobytes():
            self._count_free(leaves, rows, np.subtract(is_free, was_free, dtype=np.int32))
        self._count_partly(leaves, before, was_free, -1)
        self._count_partly(leaves, after, is_free, 1)

    def _count_free(self, leaves: Numbers, rows: Numbers, steps: Numbers) -> None:
        np.add.at(self.leaf_free, leaves, steps)
        first, last = int(rows[0]), int(rows[-1])
        for row in (first,) if first == last else dict.fromkeys(rows.tolist()):
            self._recount(row)

    def _count_partly(self, leaves: Numbers, masks: Masks, free: Flags, step: int) -> None:
        some = ~free & (masks != 0)
        if some.any():
            masks = masks[some]
            rows = self.layout.row_of_leaf[leaves[some]]
            np.add.at(self.partly, (np.bitwise_count(masks), rows), step)
            if len(self.partly_by_mask):
                np.add.at(self.partly_by_mask, masks, step)

    def _recount(self, row: int) -> None:
        """Count a row's leaves by free hosts again: cheaper than following each change."""
        first, last = self.layout.row_start[row : row + 2]
        free = self.leaf_free[first:last].copy()
        counts = np.bincount(free, minlength=self._weights.shape[1])
        # Leaves and their hosts, both from the largest size down, and back again.
        sums = np.add.accumulate((counts * self._weights)[:, ::-1], axis=1)
        self._with[:, :-1, row] = sums[:, ::-1]
        free.sort()
        held, size = self.held[row], last - first + 1
        np.add.accumulate(free[::-1], out=held[1:size])
        if size < len(held):
            held[size:] = held[size - 1]

    def check(self) -> None:
        """Count everything anew and compare; AssertionError says what is wrong. For tests."""
        layout = self.layout
        offered = np.where(self.usable, ~(self.taken | self.broken) & self.full, 0)
        assert (self.offered == offered).all(), "offered chips"
        free = offered == self.full
        leaf_free = np.add.reduceat(free.astype(np.int32), layout.leaf_start[:-1])
        assert (self.leaf_free == leaf_free).all(), "free hosts by leaf"
        for least in range(layout.leaf_hosts_max + 2):
            have = leaf_free >= least
            leaves = np.bincount(layout.row_of_leaf[have], minlength=layout.rows)
            hosts = np.bincount(layout.row_of_leaf[have], leaf_free[have], minlength=layout.rows)
            assert (self.leaves_with[least] == leaves).all(), f"leaves with {least} free hosts"
            assert (self.hosts_with[least] == hosts).all(), f"hosts of leaves with {least} free"
        for row in range(layout.rows):
            most = sorted(leaf_free[slice(*layout.row_start[row : row + 2])].tolist(), reverse=True)
            held = [sum(most[:k]) for k in range(self.held.shape[1])]
            assert self.held[row].tolist() == held, f"free hosts of the largest leaves of row {row}"
        partly = ~free & (offered != 0)
        rows = layout.row_of_leaf[layout.leaf_of_host]
        for chips in range(layout.chips_per_host):
            those = partly & (np.bitwise_count(offered) == chips)
            counted = np.bincount(rows[those], minlength=layout.rows)
            assert (self.partly[chips] == counted).all(), f"hosts with {chips} free chips"
        if len(self.partly_by_mask):
            masks = np.bincount(offered[partly], minlength=len(self.partly_by_mask))
            assert (self.partly_by_mask == masks).all(), "partly free hosts by mask"


def _ascends(hosts: Numbers) -> bool:
    """Whether hosts ascend, once each."""
    return len(hosts) - int(np.count_nonzero(hosts[1:] > hosts[:-1])) <= 1


def _shown(hosts: Numbers, masks: Masks, wrong: Masks) -> str:
    """The first hosts and masks that are wrong, or all if only their order is."""
    at = np.flatnonzero(wrong) if wrong.any() else np.arange(len(hosts))
    return ", ".join(
        f"host {int(hosts[i])} chips {int(masks[i]):#x}" for i in at[:_SHOWN_MAX].tolist()
    )
