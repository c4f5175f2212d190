"""Prices: what each model and each instance type costs now, by which price file, since when."""

from enum import StrEnum
from typing import Any

import msgspec

from craton.apis.native.contract import ById, Paging
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.paging import page
from craton.economics.price_list import PricesQuery, TariffInEffect, Tariffs
from craton.economics.prices import ANY_RESOURCE
from craton.kernel.errors import NotFound


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


async def list_prices(caller: Caller, asked: Paging) -> PricePage:
    """What everything costs that is here, and everything else that price files name."""
    tariffs = await _tariffs(caller)
    models = {card.id for card in caller.services.router.cards()}
    found = {name: _view(caller, name, Priced.MODEL, tariffs) for name in models}
    for tariff in tariffs.tariffs:
        if tariff.resource not in found:
            found[tariff.resource] = _named(caller, tariff, tariffs)
    return PricePage(*page(found, after=asked.after, limit=asked.limit))


async def get_price(caller: Caller, asked: ById) -> PriceView:
    """What one thing costs: a model by id, alias or ARN, or an instance type."""
    tariffs = await _tariffs(caller)
    try:
        card = caller.services.router.card(asked.id)
    except NotFound as error:
        named = next((t for t in tariffs.tariffs if t.resource == asked.id), None)
        if named is None:
            raise NotFound(
                f"{error.message} And no price file names an instance type {asked.id!r}."
            ) from None
        return _named(caller, named, tariffs)
    return _view(caller, card.id, Priced.MODEL, tariffs)


async def _tariffs(caller: Caller) -> Tariffs:
    return await caller.services.state.call("prices", PricesQuery(), Tariffs)


def _named(caller: Caller, tariff: TariffInEffect, tariffs: Tariffs) -> PriceView:
    if tariff.resource == ANY_RESOURCE:
        kind = Priced.DEFAULT
    else:
        kind = Priced.CAPACITY if tariff.per_hour else Priced.UNKNOWN
    return _view(caller, tariff.resource, kind, tariffs)


def _view(caller: Caller, resource: str, kind: Priced, tariffs: Tariffs) -> PriceView:
    tariff = tariffs.of(resource)
    if tariff is None:
        return PriceView(resource=resource, kind=kind)
    is_shared = caller.is_operator and tariff.payee is not None
    return PriceView(
        resource=resource,
        kind=kind,
        currency=tariff.currency,
        per_million_nanos=tariff.per_million,
        per_hour_nanos=tariff.per_hour,
        effective=tariff.effective,
        tariff=tariff.resource,
        source=tariff.source,
        payee=tariff.payee if is_shared else None,
        share_permille=tariff.share_permille if is_shared else None,
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListPrices",
        method="GET",
        path="/prices",
        summary="What each model and instance type costs now, its source, and since when",
        action=READ,
        takes=Paging,
        returns=PricePage,
        run=list_prices,
    ),
    Operation(
        name="GetPrice",
        method="GET",
        path="/prices/{id}",
        summary="What one costs: a model by id, alias or ARN, or an instance type",
        action=READ,
        takes=ById,
        returns=PriceView,
        run=get_price,
    ),
)
