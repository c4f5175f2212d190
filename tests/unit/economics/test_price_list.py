from datetime import date

from craton.economics.meters import Meter
from craton.economics.price_list import PriceList, PricesQuery, TariffInEffect
from craton.economics.prices import PriceBook, Tariff
from craton.kernel.clock import ManualClock

NOV_1_2026_NS = 1_793_491_200_000_000_000
DAY_S = 86_400


def tariff(resource: str, price: int, day: date = date(2026, 1, 1)) -> Tariff:
    return Tariff(resource, day, "USD", {Meter.INPUT_TOKENS: price}, f"file of {day}")


def shown(clock: ManualClock, *tariffs: Tariff) -> dict[str, TariffInEffect]:
    read = PriceList(PriceBook(tariffs), clock).read(PricesQuery())
    return {each.resource: each for each in read.tariffs}


def test_the_list_has_the_prices_that_are_charged_today_and_tomorrows_tomorrow() -> None:
    clock = ManualClock(NOV_1_2026_NS)
    every = (tariff("m", 1), tariff("m", 2, date(2026, 11, 2)), tariff("*", 5))
    today = shown(clock, *every)
    assert today["m"].per_million == {"input_tokens": 1}
    assert (today["m"].effective, today["m"].source) == ("2026-01-01", "file of 2026-01-01")
    clock.advance(seconds=DAY_S)
    assert shown(clock, *every)["m"].per_million == {"input_tokens": 2}


def test_a_price_that_is_not_in_effect_yet_is_not_listed() -> None:
    clock = ManualClock(NOV_1_2026_NS)
    later = tariff("m", 9, date(2027, 1, 1))
    assert shown(clock, later) == {}
    book = PriceBook([later, tariff("*", 5)])
    listed = PriceList(book, clock).read(PricesQuery()).tariffs
    assert [each.resource for each in listed] == ["*"]


def test_capacity_is_listed_by_the_hour_and_a_share_with_its_payee() -> None:
    hourly = Tariff(
        "trn2.48xlarge", date(2026, 1, 1), "USD", {}, "s", "lab", 250,
        {Meter.ON_DEMAND_CHIP_S: 7},
    )  # fmt: skip
    found = shown(ManualClock(NOV_1_2026_NS), hourly)["trn2.48xlarge"]
    assert (found.per_million, found.per_hour) == ({}, {"on_demand_chip_s": 7})
    assert (found.payee, found.share_permille) == ("lab", 250)
