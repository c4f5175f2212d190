import itertools
from typing import Any

import msgspec
import pytest

from craton.cli.main import main
from tests.fakes.craton import Craton

NUMBERS = itertools.count()


class Cli:
    """Runs commands about an account of its own against the running Craton."""

    def __init__(self, echo: Craton, capsys: pytest.CaptureFixture[str]) -> None:
        self._data = str(echo.data)
        self._capsys = capsys
        self.name = f"saver-{next(NUMBERS)}"
        self.json("accounts", "create", self.name)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        status = main([*arguments, "--data", self._data])
        told = self._capsys.readouterr()
        return status, told.out, told.err

    def text(self, *arguments: str) -> str:
        status, out, err = self.run(*arguments)
        assert status == 0, err
        return out

    def json(self, *arguments: str) -> Any:
        return msgspec.json.decode(self.text(*arguments, "--json"))


@pytest.fixture
def cli(echo: Craton, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(echo, capsys)


def test_a_budget_is_made_shown_changed_and_deleted(cli: Cli) -> None:
    made = cli.json(
        "budgets", "create", "trial", "--amount", "0.5", "--per", "day", "--account", cli.name
    )
    assert (made["amount_nanos"], made["period"], made["scope"]) == (500_000_000, "day", "account")
    table = cli.text("budgets", "--account", cli.name)
    for cell in ("trial", "0.50 USD", "RENEWS", "00:00:00"):
        assert cell in table
    cli.text("budgets", "update", made["id"], "--amount", "2")
    assert cli.json("budgets", "show", made["id"])["amount_nanos"] == 2_000_000_000
    assert cli.json("budgets", "delete", made["id"]) == {"removed": made["id"]}
    assert cli.json("budgets", "list", "--account", cli.name) == {"budgets": []}
    assert cli.text("budgets", "--account", cli.name) == "There are no budgets.\n"


def test_an_amount_finer_than_a_nano_is_refused(cli: Cli) -> None:
    status, _, err = cli.run("budgets", "create", "b", "--amount", "0.0000000001")
    assert status == 1
    assert "nine decimals" in err


def test_a_limit_is_made_shown_changed_and_deleted(cli: Cli) -> None:
    made = cli.json("limits", "create", "calm", "--requests", "6", "--account", cli.name)
    assert (made["requests_per_minute"], made["tokens_per_minute"]) == (6, None)
    cli.text("limits", "update", made["id"], "--tokens", "1000")
    shown = cli.json("limits", "show", made["id"])
    assert (shown["requests_per_minute"], shown["tokens_per_minute"]) == (6, 1000)
    table = cli.text("limits", "--account", cli.name)
    for cell in ("calm", "0 of 6", "0 of 1000", "no limit"):
        assert cell in table
    assert cli.json("limits", "delete", made["id"]) == {"removed": made["id"]}
    assert cli.text("limits", "--account", cli.name) == "There are no limits.\n"


def test_ledger_verify_looks_at_budgets_too(cli: Cli) -> None:
    made = cli.json("budgets", "create", "b", "--amount", "1", "--account", cli.name)
    verdict = cli.json("ledger", "verify")
    assert verdict["whole"]
    assert verdict["verdict"]["budgets"] >= 1
    cli.text("budgets", "delete", made["id"])
