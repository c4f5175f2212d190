from typing import Any

import pytest

from craton.economics.price_list import PricesQuery, TariffInEffect, Tariffs
from tests.unit.apis.native.native_api import MEMBER, Api

V1 = "/craton/v1"


def tariff(resource: str, **more: Any) -> TariffInEffect:
    given: dict[str, Any] = {
        "effective": "2026-11-01",
        "currency": "USD",
        "per_million": {"input_tokens": 20_000_000},
        "per_hour": {},
        "source": "made up",
        "payee": None,
        "share_permille": 0,
    }
    return TariffInEffect(resource=resource, **{**given, **more})


@pytest.fixture
def priced(api: Api) -> Api:
    api.state.replies["prices"] = Tariffs(
        [
            tariff("*"),
            tariff("lab.far", currency="EUR", payee="lab", share_permille=300),
            tariff("lab.gone"),
            tariff("trn2.48xlarge", per_million={}, per_hour={"block_chip_s": 2_235_050_000}),
        ]
    )
    return api


async def prices(api: Api, **more: Any) -> dict[str, Any]:
    listed = (await api("GET", f"{V1}/prices", **more)).json()
    return {price["resource"]: price for price in listed["prices"]}


async def test_every_model_has_a_price_its_own_or_that_of_all(priced: Api) -> None:
    found = await prices(priced)
    assert priced.state.calls == [("prices", PricesQuery())]
    own, other = found["lab.far"], found["craton.echo-1"]
    assert (own["kind"], own["tariff"], own["currency"]) == ("model", "lab.far", "EUR")
    assert (other["kind"], other["tariff"], other["currency"]) == ("model", "*", "USD")
    assert other["per_million_nanos"] == {"input_tokens": 20_000_000}
    assert (other["effective"], other["source"]) == ("2026-11-01", "made up")


async def test_instance_types_and_names_that_nothing_has_are_told_apart(priced: Api) -> None:
    found = await prices(priced)
    assert {name: price["kind"] for name, price in found.items()} == {
        "*": "default",
        "craton.echo-1": "model",
        "lab.far": "model",
        "lab.gone": "unknown",
        "trn2.48xlarge": "capacity",
    }
    assert found["trn2.48xlarge"]["per_hour_nanos"] == {"block_chip_s": 2_235_050_000}


async def test_only_operators_see_who_is_paid_a_share(priced: Api) -> None:
    operators, members = await prices(priced), await prices(priced, key=MEMBER)
    assert (operators["lab.far"]["payee"], operators["lab.far"]["share_permille"]) == ("lab", 300)
    assert (members["lab.far"]["payee"], members["lab.far"]["share_permille"]) == (None, None)
    assert members["lab.far"]["per_million_nanos"] == operators["lab.far"]["per_million_nanos"]


async def test_what_no_price_file_names_is_shown_as_free(api: Api) -> None:
    api.state.replies["prices"] = Tariffs([])
    found = await prices(api)
    assert found["lab.far"]["currency"] is None
    assert found["lab.far"]["per_million_nanos"] == {}


async def test_one_price_is_found_by_alias_arn_or_instance_type(priced: Api) -> None:
    for name in ("gpt-4o", "arn:aws:bedrock:us-east-1::foundation-model%2Fcraton.echo-1"):
        assert (await priced("GET", f"{V1}/prices/{name}")).json()["resource"] == "craton.echo-1"
    assert (await priced("GET", f"{V1}/prices/trn2.48xlarge")).json()["kind"] == "capacity"
    status, kind, message = (await priced("GET", f"{V1}/prices/p9.huge")).error()
    assert (status, kind) == (404, "not_found")
    assert "p9.huge" in message


async def test_prices_come_in_pages(priced: Api) -> None:
    first = (await priced("GET", f"{V1}/prices?limit=3")).json()
    rest = (await priced("GET", f"{V1}/prices?limit=3&after={first['next']}")).json()
    names = [price["resource"] for page in (first, rest) for price in page["prices"]]
    assert names == sorted(names)
    assert (len(names), rest["next"]) == (5, None)
