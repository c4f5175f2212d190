from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import craton.economics
from craton.economics.meters import Meter
from craton.economics.prices import PriceBook, Tariff, load_prices, read_price_file
from craton.kernel.errors import BadRequest

DAY_MS = 86_400_000
NOV_1_2026_MS = 1_793_491_200_000
HEAD = 'effective = 2026-11-01\ncurrency = "USD"\nsource = "made up"\n'


def tariff(
    resource: str, price: int, *, effective: date = date(2026, 1, 1), **more: object
) -> Tariff:
    return Tariff(resource, effective, "USD", {Meter.INPUT_TOKENS: price}, "made up", **more)  # type: ignore[arg-type]


def rate(book: PriceBook, resource: str, tokens: int, at_ms: int = NOV_1_2026_MS) -> int:
    return book.rate(resource, {"input_tokens": tokens}, at_ms).amount


def test_a_resources_own_price_wins_over_the_one_for_all() -> None:
    book = PriceBook([tariff("*", 1_000_000), tariff("lab.model", 2_000_000)])
    assert rate(book, "lab.model", 10) == 20
    assert rate(book, "lab.other", 10) == 10


def test_the_newest_price_in_effect_wins_from_its_day_on() -> None:
    book = PriceBook(
        [
            tariff("*", 1_000_000, effective=date(2026, 1, 1)),
            tariff("*", 3_000_000, effective=date(2026, 11, 2)),
            tariff("*", 2_000_000, effective=date(2026, 11, 1)),
        ]
    )
    assert rate(book, "m", 10, NOV_1_2026_MS - 1) == 10
    assert rate(book, "m", 10, NOV_1_2026_MS) == 20
    assert rate(book, "m", 10, NOV_1_2026_MS + DAY_MS - 1) == 20
    assert rate(book, "m", 10, NOV_1_2026_MS + DAY_MS) == 30
    assert rate(book, "m", 10, NOV_1_2026_MS - 1) == 10  # asking back in time again


def test_before_any_price_a_resource_is_free() -> None:
    book = PriceBook([tariff("*", 1_000_000, effective=date(2027, 1, 1))])
    assert book.tariff("m", NOV_1_2026_MS) is None
    assert rate(book, "m", 10**9) == 0


def test_of_one_day_the_price_read_last_wins() -> None:
    """The operator's folder is read after the one that comes with Craton."""
    book = PriceBook([tariff("*", 1_000_000), tariff("*", 5_000_000)])
    assert rate(book, "m", 10) == 50


def test_each_meter_is_priced_and_rounded_for_itself() -> None:
    prices = {Meter.INPUT_TOKENS: 500_000, Meter.OUTPUT_TOKENS: 500_000}
    book = PriceBook([Tariff("*", date(2026, 1, 1), "EUR", prices, "made up")])
    rated = book.rate("m", {"input_tokens": 3, "output_tokens": 3, "chip_us": 10**9}, NOV_1_2026_MS)
    assert (rated.amount, rated.currency) == (2 + 2, "EUR")


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 1000))
def test_a_payees_share_is_a_part_of_the_whole(tokens: int, price: int, permille: int) -> None:
    book = PriceBook([tariff("*", price, payee="lab", share_permille=permille)])
    rated = book.rate("m", {"input_tokens": tokens}, NOV_1_2026_MS)
    assert 0 <= rated.payee_amount <= rated.amount
    assert abs(rated.payee_amount * 1000 - rated.amount * permille) <= 500


def test_without_a_payee_no_share_is_paid() -> None:
    rated = PriceBook([tariff("*", 10**9)]).rate("m", {"input_tokens": 10}, NOV_1_2026_MS)
    assert (rated.payee, rated.payee_amount) == (None, 0)


def test_the_prices_that_come_with_craton_can_be_read_and_name_their_source() -> None:
    folder = Path(craton.economics.__file__).parent / "price_files"
    book = load_prices([folder])
    found = book.tariff("any.model", NOV_1_2026_MS)
    assert found is not None
    assert found.source
    assert {Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS} <= set(found.prices)


def test_files_of_several_folders_make_one_book(tmp_path: Path) -> None:
    for name, price in (("ours", "0.01"), ("own", "0.02")):
        (tmp_path / name).mkdir()
        text = f'{HEAD}[[price]]\nresource = "*"\nper_million = {{ input_tokens = "{price}" }}\n'
        (tmp_path / name / "prices.toml").write_text(text)
    book = load_prices([tmp_path / "ours", tmp_path / "own", tmp_path / "absent"])
    assert rate(book, "m", 1_000_000) == 20_000_000


def entry(text: str) -> str:
    return f"{HEAD}[[price]]\n{text}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("= nonsense", "is not TOML"),
        ('currency = "USD"\nsource = "x"', "needs `effective`"),
        ('effective = "2026-11-01"\ncurrency = "USD"\nsource = "x"', "needs `effective`"),
        ('effective = 2026-11-01T00:00:00Z\ncurrency = "USD"\nsource = "x"', "needs `effective`"),
        ('effective = 2026-11-01\nsource = "x"', "`currency`"),
        ('effective = 2026-11-01\ncurrency = "USD"', "needs `source`"),
        (HEAD + "price = 3", "[[price]]"),
        (HEAD + "price = [3]", "[[price]]"),
        (HEAD + '[price]\nresource = "m"', "[[price]]"),
        (entry('per_million = { input_tokens = "1" }'), "no `resource`"),
        (entry('resource = "m"'), "no table `per_million`"),
        (entry('resource = "m"\nper_million = { smells = "1" }'), "'smells'"),
        (entry('resource = "m"\nper_million = { input_tokens = "cheap" }'), "'cheap'"),
        (entry('resource = "m"\nper_million = { input_tokens = "-1" }'), "'-1'"),
        (entry('resource = "m"\nper_million = { input_tokens = "NaN" }'), "'NaN'"),
        (entry('resource = "m"\nper_million = { input_tokens = "0.0000000001" }'), "nine places"),
        (entry('resource = "m"\nper_million = {}\nshare_permille = 1001'), "share_permille"),
        (entry('resource = "m"\nper_million = {}\nshare_permille = "1"'), "share_permille"),
    ],
)
def test_a_wrong_price_file_is_refused_whole_and_says_where(text: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_price_file("mine.toml", text)
    assert "mine.toml" in refused.value.message
    assert says in refused.value.message


def test_chip_seconds_are_priced_by_the_hour() -> None:
    text = HEAD + (
        '[[price]]\nresource = "trn2.48xlarge"\n'
        'per_hour = { block_chip_s = "2.23505", on_demand_chip_s = "0.000000001" }\n'
    )
    book = PriceBook(read_price_file("capacity.toml", text))

    def rated(**quantities: int) -> int:
        return book.rate("trn2.48xlarge", quantities, NOV_1_2026_MS).amount

    assert rated(block_chip_s=3600 * 16) == 35_760_800_000
    assert rated(block_chip_s=1) == 620_847  # 620847.22
    assert [rated(on_demand_chip_s=s) for s in (1800, 1801, 5400)] == [0, 1, 2]  # half to even


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('per_hour = { input_tokens = "1" }', "prices 'input_tokens' in per_hour"),
        ('per_million = { block_chip_s = "1" }', "prices 'block_chip_s' in per_million"),
        ("per_hour = 3", "no table `per_hour`"),
        ('per_hour = { block_chip_s = "-1" }', "block_chip_s is '-1'"),
    ],
)
def test_a_price_under_the_wrong_heading_is_refused(entry: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_price_file("own.toml", HEAD + f'[[price]]\nresource = "x"\n{entry}\n')
