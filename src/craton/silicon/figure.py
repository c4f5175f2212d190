"""A number with its source: the only form in which a fact about silicon enters Craton."""

from datetime import date

import msgspec


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fact: its value, where it was read, when, and whether it is an estimate.

    The unit is the name's last word, where the figure stands (`hbm_gib`, `power_w`).
    """

    value: float
    source: str
    read: date | None = None
    """The day the source was read."""
    estimate: bool = False
    """True where no primary source states it."""
    note: str = ""
