"""Open holds: what requests under way may still cost and use, in memory.

A hold reserves the most that a request can use; the post of what it really used releases it, and so
does a void. Holds die with the connection of the worker that took them, and are taken again when it
comes back.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from craton.economics.bounds import DAY_MS
from craton.economics.contract import Held, Hold, Taken, Void, Voided
from craton.economics.prices import PriceBook, Rated

POST_WITHIN_MS = 15 * 60_000
"""Longer than any request takes from its hold to its post."""


class OpenHold(msgspec.Struct, frozen=True):
    """A hold in memory, and who took it."""

    hold: Hold
    amount: int
    currency: str
    owner: object


class Follower(Protocol):
    """Keeps sums of what is held."""

    def taken(self, opened: OpenHold) -> None:
        """A hold was taken."""
        ...

    def released(self, opened: OpenHold, tokens: int) -> None:
        """A hold is gone; its request used this many tokens."""
        ...


class Holds:
    """Every open hold, and their sum for each account."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._open: dict[str, OpenHold] = {}
        self._held: dict[str, int] = {}
        self.followers: tuple[Follower, ...] = ()

    def take(self, owner: object, hold: Hold) -> Held:
        """Take a hold; taking it again (a worker came back) changes nothing but its owner."""
        if hold.request_id in self._open:
            self.release(hold.request_id)
        rated = self.price(hold)
        amount = rated.amount
        opened = OpenHold(hold, amount, rated.currency, owner)
        self._open[hold.request_id] = opened
        self._held[hold.account] = self._held.get(hold.account, 0) + amount
        for follower in self.followers:
            follower.taken(opened)
        return Held(amount, hold.at_ms)

    def take_all(self, owner: object, holds: Sequence[Hold]) -> Taken:
        """Take several holds."""
        for hold in holds:
            self.take(owner, hold)
        return Taken(len(holds))

    def price(self, hold: Hold) -> Rated:
        """The most that a hold's request can cost, also if prices change before its post."""
        prices, at_ms = self._prices, hold.at_ms
        rated = prices.most(hold.resource, hold.quantities, at_ms)
        if at_ms % DAY_MS < DAY_MS - POST_WITHIN_MS:
            return rated
        late_ms = at_ms + POST_WITHIN_MS
        late = prices.most(hold.resource, hold.quantities, late_ms)
        return late if late.amount > rated.amount else rated

    def void(self, void: Void) -> Voided:
        """Release a hold because nothing is to be paid."""
        return Voided(self.release(void.request_id) is not None)

    def release(self, request_id: str, tokens: int = 0) -> OpenHold | None:
        """Drop a hold if it is open; its request used this many tokens."""
        opened = self._open.pop(request_id, None)
        if opened is None:
            return None
        account = opened.hold.account
        left = self._held[account] - opened.amount
        if left:
            self._held[account] = left
        else:
            del self._held[account]
        for follower in self.followers:
            follower.released(opened, tokens)
        return opened

    def release_owner(self, owner: object) -> None:
        """Drop every hold of a worker whose connection is gone."""
        for request_id in [key for key, opened in self._open.items() if opened.owner is owner]:
            self.release(request_id)

    def held(self, account: str) -> int:
        """The sum of an account's open holds, in nano-units."""
        return self._held.get(account, 0)

    def all(self) -> Iterable[OpenHold]:
        """Every open hold."""
        return self._open.values()

    def __len__(self) -> int:
        return len(self._open)
