"""What may be said and asked about shares of the fleet; free of NumPy and of any database library.

A share is how many chips of a kind an account is meant to have. It keeps nothing from others: what
an account doesn't use others borrow, until it wants them back.
"""

import msgspec


class SetShare(msgspec.Struct, frozen=True):
    """Give an account so many chips of a kind as its share; None: say nothing about it any more."""

    account: str
    chip: str
    chips: int | None


class SharesQuery(msgspec.Struct, frozen=True):
    """The shares of an account, or of all if None."""

    account: str | None = None


class ShareView(msgspec.Struct, frozen=True):
    """A share and how much of it is used. `borrowed_chips`: what is held beyond it."""

    account: str
    chip: str
    chips: int | None
    held_chips: int
    borrowed_chips: int


class Shares(msgspec.Struct, frozen=True):
    """Shares, by account and chip."""

    shares: list[ShareView]
