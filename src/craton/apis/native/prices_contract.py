"""What the native API says of prices."""

from enum import StrEnum

import msgspec


class Priced(StrEnum):
    """What a price is for."""

    MODEL = "model"
    CAPACITY = "capacity"
    """An instance type."""
    DEFAULT = "default"
    """Every model without a price of its own."""
    UNKNOWN = "unknown"
    """A price file names it, and there is no such model."""


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """What a resource costs now; without `currency` no price file says, and it is free.

    `per_million_nanos` is for a million of what each meter counts, `per_hour_nanos` for an hour of
    what each counts the seconds of. `effective` is a day (UTC), `tariff` the resource under which
    the price file has it: its own name, or `*`. Only operators see who is paid a share.
    """

    resource: str
    kind: Priced
    currency: str | None = None
    per_million_nanos: dict[str, int] = {}
    per_hour_nanos: dict[str, int] = {}
    effective: str | None = None
    tariff: str | None = None
    source: str | None = None
    payee: str | None = None
    share_permille: int | None = None


class PricePage(msgspec.Struct, frozen=True):
    """Prices by resource."""

    prices: list[PriceView]
    next: str | None
