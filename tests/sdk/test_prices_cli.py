"""`craton prices` and `craton models show`, against a running Craton and its own price files."""

from typing import Any

import msgspec
import pytest

from craton.cli.main import main
from tests.fakes.craton import ECHO, Craton

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def cli(echo: Craton, capsys: Captured) -> Any:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        status = main([*arguments, "--data", str(echo.data)])
        told = capsys.readouterr()
        assert status == 0, told.err
        return told.out

    return run


def test_the_price_shown_is_the_price_charged(cli: Any) -> None:
    (price,) = msgspec.json.decode(cli("prices", ECHO, "--json"))["prices"]
    per_million = price["per_million_nanos"]
    asked = msgspec.json.decode(cli("ask", "one two three", "--max-tokens", "2", "--json"))
    cost = 3 * per_million["input_tokens"] + 2 * per_million["output_tokens"]
    assert asked["cost_nanos"] * 1_000_000 == cost
    assert price["currency"] == asked["currency"]


def test_prices_are_listed_with_their_source_and_their_day(cli: Any) -> None:
    told = cli("prices")
    rows = {line.split()[0]: line for line in told.splitlines() if line.strip()}
    assert "input 0.02, output 0.08" in rows[ECHO]
    assert rows[ECHO].split()[-2:] == ["2026-11-01", "*"]
    assert "2.23505" in rows["trn2.48xlarge"]
    assert "a chip-hour" in rows["trn2.48xlarge"]
    assert "Source: Craton's own default tariff" in told


def test_a_model_is_shown_with_what_it_costs(cli: Any) -> None:
    told = cli("models", "show", ECHO)
    assert "price    input 0.02, output 0.08" in told
    shown = msgspec.json.decode(cli("models", "show", ECHO, "--json"))
    assert shown["model"]["id"] == shown["price"]["resource"] == ECHO
