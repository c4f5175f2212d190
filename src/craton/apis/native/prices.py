"""Prices: what each model and each instance type costs now, by which price file, since when."""

from typing import Any

from craton.apis.native.contract import ById, Paging
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.paging import page
from craton.apis.native.prices_contract import Priced, PricePage, PriceView
from craton.economics.price_list import PricesQuery, TariffInEffect, Tariffs
from craton.economics.prices import ANY_RESOURCE
from craton.kernel.errors import NotFound


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
