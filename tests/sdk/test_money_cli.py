"""138 thousand million dollars at once, by commands, on a Craton over each database."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from craton.cli.main import main
from craton.kernel.units import nanos
from tests.fakes.craton import ECHO, Craton

TOTAL = "138000000000.000000001"
START = (datetime.now(UTC) + timedelta(days=7)).date()
CONTRACT = f"""\
name = "two-gigawatts"
account = "frontier-lab"
currency = "USD"
unit = "megawatts"
start = {START}
end = {START.replace(year=START.year + 8, day=1)}
termination_permille = 1000

[price]
total = "{TOTAL}"

[[delivery]]
from = {START}
of = ["trainium3"]
amount = 2000
"""
"""Ending it costs all of it: what a real one takes eight years for."""


class Cli:
    """Runs commands, and returns what they print."""

    def __init__(self, craton: Craton, capsys: pytest.CaptureFixture[str]) -> None:
        self._data = str(craton.data)
        self._capsys = capsys

    def text(self, *arguments: str) -> str:
        self._capsys.readouterr()
        status = main([*arguments, "--data", self._data])
        told = self._capsys.readouterr()
        assert status == 0, told.err
        return " ".join(told.out.split())

    def json(self, *arguments: str) -> Any:
        return msgspec.json.decode(self.text(*arguments, "--json"))


@pytest.fixture(params=["sqlite", "postgresql"])
def craton(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Craton]:
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgresql").database()
    running = Craton(tmp_path, engine="echo", database=database)
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def ask(craton: Craton, key: str) -> None:
    with openai.OpenAI(base_url=craton.url + "/v1", api_key=key, max_retries=0) as client:
        client.chat.completions.create(model=ECHO, messages=[{"role": "user", "content": "one"}])


def test_it_is_exact_wherever_it_is_read(
    craton: Craton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(craton, capsys)
    cli.text("accounts", "create", "frontier-lab")
    operator = Connection(craton.url, craton.keys.api_key, timeout_s=30)
    key = operator.post("/keys", NewKey, {"name": "k", "account": "frontier-lab"})
    file = tmp_path / "contract.toml"
    file.write_text(CONTRACT)
    signed = cli.json("commitments", "sign", str(file))
    assert signed["contracted"] == signed["backlog"] == TOTAL
    budget = cli.json(
        "budgets", "create", "b", "--amount", TOTAL, "--per", "total", "--account", "frontier-lab"
    )
    assert (budget["left_nanos"], budget["left"]) == (nanos(TOTAL), TOTAL)
    ask(craton, key.api_key)
    (asked,) = cli.json("usage", "--records")["records"]
    cost = asked["amount_nanos"]
    assert cli.json("commitments", "terminate", "two-gigawatts", "--yes")["fee"] == TOTAL

    assert cli.json("commitments", "show", "two-gigawatts")["fee"] == TOTAL
    assert "for ending it early: 138,000,000,000.00" in cli.text(
        "commitments", "show", "two-gigawatts"
    )
    listed = cli.json("ledger", "balances")["balances"]
    owed = {each["ledger_account"]: (each["amount_nanos"], each["amount"]) for each in listed}
    assert owed[f"customer/{asked['account']}"][0] == nanos(TOTAL) + cost
    assert owed[f"revenue/commitment/{signed['id']}"] == (-nanos(TOTAL), "-" + TOTAL)
    assert f"-{TOTAL} USD" in cli.text("ledger", "balances", "revenue/commitment")
    verdict = cli.json("ledger", "verify")
    assert verdict["whole"] is True
    assert verdict["verdict"]["sum_nanos"] == 0
    assert verdict["verdict"]["budgets"] == 1

    of_account = ("--account", "frontier-lab")
    assert cli.json("usage", *of_account)["totals"] == {"USD": nanos(TOTAL) + cost}
    records = cli.json("usage", "--records", *of_account)["records"]
    assert sum(each["amount_nanos"] for each in records) == nanos(TOTAL) + cost
    assert re.search(r"138000000000\.\d+ USD", cli.text("usage", *of_account))

    status = cli.json("budgets", "show", budget["id"])
    assert status["spent_nanos"] == nanos(TOTAL) + cost
    assert (status["over_nanos"], status["left"]) == (cost, "0.00")
    with pytest.raises(openai.RateLimitError, match=r"138000000000\.0000\d+ USD is spent"):
        ask(craton, key.api_key)
    cli.text("budgets", "update", budget["id"], "--amount", "138000000001")
    ask(craton, key.api_key)
    checks = cli.json("doctor")["checks"]
    assert {each["state"] for each in checks if each["check"] in ("ledger", "database")} == {"ok"}
