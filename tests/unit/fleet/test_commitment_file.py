"""Contracts as they are written: read whole, or refused with the line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from craton.fleet.commitment_contract import account_of
from craton.fleet.commitment_file import read_contract
from craton.fleet.commitment_terms import Price, Rate, Terms, Unit, amounts, periods
from craton.kernel.errors import BadRequest
from tests.fakes.contracts import DECEMBER_S, MARCH_S, contract
from tests.fakes.fleets import instance_types

EXAMPLE = Path(__file__).parents[3] / "examples" / "commitment-2gw.toml"


def read(text: str) -> Terms:
    return read_contract(text, instance_types())


def test_a_contract_says_what_it_says() -> None:
    terms = read(contract())
    assert (terms.unit, terms.start_s, terms.end_s) == (Unit.CHIPS, DECEMBER_S, MARCH_S)
    assert terms.price == Price(Rate.PER_CHIP_HOUR, 2_000_000_000)
    (delivery,) = terms.deliveries
    assert (delivery.of, delivery.amount) == (("trainium2",), 64)
    assert (delivery.start_s, delivery.end_s) == (DECEMBER_S, MARCH_S)
    assert account_of(contract()) == "alice"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (contract("take_or_pay_permille = 1001"), 7, "1001 is no share in thousandths"),
        (contract('unit = "racks"'), 4, "Invalid enum value 'racks'"),
        (contract("end = 2026-12-01"), 6, "the term ends on 2026-12-01"),
        (contract("end = 2099-01-01"), 6, "longer than 600 months"),
        (contract('name = ""'), 1, "write 1 to 128"),
        (contract(price='per_megawatt_month = "2"\n'), 15, "chips aren't priced so"),
        (contract(price='total = "two"\n'), 15, "is no decimal"),
        (contract(price='total = "0.0000000001"\n'), 15, "can be kept exactly"),
        (contract(price='total = "-1"\n'), 15, "is not above zero"),
        (contract(price='total = "1"\nper_chip_hour = "1"\n'), 14, "2 prices are written"),
        (contract(price="note = 1\n"), 14, "unknown field `note`"),
        (
            contract(delivery='from = 2026-11-30\nof = "trainium2"\namount = 1\n'),
            18,
            "lies in the term",
        ),
        (
            contract(delivery='from = 2026-12-01\nof = "trainium9"\namount = 1\n'),
            19,
            "nothing is called 'trainium9'",
        ),
        (
            contract(delivery='from = 2026-12-01\nof = "trainium2"\namount = "0.5"\n'),
            20,
            "no decimal that can be kept exactly",
        ),
        (
            contract(
                price='total = "3"\nby_year = { 2026 = "1", 2027 = "1" }\n',
            ),
            16,
            "the years add up to 2.00 USD and the total is 3.00 USD",
        ),
        (contract(price='total = "1"\nby_year = { 2026 = "1" }\n'), 16, "years 2026, 2027"),
        (contract(price='per_chip_hour = "1"\nby_year = { 2026 = "1" }\n'), 16, "only a total"),
        (
            contract(
                price='total = "2"\nby_year = { 2026 = "1", 2027 = "1" }\n',
                delivery='from = 2027-01-01\nof = "trainium2"\namount = 1\n',
            ),
            16,
            "2026 has an amount and no delivery",
        ),
        (contract(price='total = "90000000000"\n'), 14, "Divide the contract into several"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(text)
    assert says in refused.value.message
    assert f"At line {line} " in refused.value.message


def test_what_isnt_toml_is_refused() -> None:
    with pytest.raises(BadRequest, match="The contract is not TOML"):
        read("name =")
    with pytest.raises(BadRequest, match="The contract is not TOML"):
        account_of("name =")
    with pytest.raises(BadRequest, match="names no account"):
        account_of("account = 7")


def test_the_example_is_two_gigawatts_over_eight_years_for_138_thousand_million() -> None:
    terms = read(EXAMPLE.read_text(encoding="utf-8"))
    months = periods(terms.start_s, terms.end_s)
    assert sum(amounts(terms, months)) == 138_000_000_000 * 10**9
    at_the_end = [each for each in terms.deliveries if each.end_s == terms.end_s]
    assert sum(each.amount for each in at_the_end) == 2_000_000_000
    first = datetime.fromtimestamp(terms.deliveries[0].start_s, UTC)
    assert first.year == 2027
    assert len(months) == 96
