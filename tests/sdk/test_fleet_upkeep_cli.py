"""Shares, maintenance and what is sold below its cost, by commands against a Craton of its own."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.cli.main import main
from tests.fakes.craton import Craton

EXAMPLE = Path(__file__).parents[2] / "examples" / "ultraserver.toml"
CHEAP = """\
effective = 2026-11-23
currency = "USD"
source = "made up"
[[price]]
resource = "p5en.48xlarge"
per_hour = { block_chip_s = "0.02", on_demand_chip_s = "8", interruptible_chip_s = "1" }
"""


def test_shares_maintenance_and_prices_below_cost_are_said_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (data / "prices").mkdir(parents=True)
    (data / "prices" / "own.toml").write_text(CHEAP)
    running = Craton(data, engine="echo")

    def run(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main([*arguments, "--data", str(running.data)]) == status
        told = capsys.readouterr()
        return told.out if status == 0 else told.err

    def read(*arguments: str) -> Any:
        return msgspec.json.decode(run(*arguments, "--json"))

    run("fleet", "apply", str(EXAMPLE))
    chip = read("fleet", "show")["pools"][-1]["chip"]
    account = read("accounts", "list")["accounts"][0]["id"]
    assert "has a share of 8" in run("fleet", "share", account, chip, "8")
    assert read("fleet", "shares")["shares"][0]["chips"] == 8
    name = read("accounts", "list")["accounts"][0]["name"]
    assert read("fleet", "share", name, chip, "8")["account"] == account
    assert "BORROWED" in run("fleet", "shares")
    assert "no share any more" in run("fleet", "share", account, chip, "none")
    assert "Nobody has a share" in run("fleet", "shares")
    assert "craton accounts" in run("fleet", "share", "nobody", chip, "8", status=1)
    assert "a number of chips" in run("fleet", "share", account, chip, "few", status=1)

    times = ("--from", "2027-01-01T08:00", "--to", "2027-01-01T12:00")
    window = read("fleet", "maintenance", "north", *times)
    assert window["state"] == "scheduled"
    assert window["id"] in run("fleet", "maintenance")
    assert "is given up" in run("fleet", "maintenance", "--cancel", window["id"])
    assert "No maintenance" in run("fleet", "maintenance")
    assert "Say what to take" in run("fleet", "maintenance", *times, status=1)
    assert "not both" in run("fleet", "maintenance", "--cancel", "x", "--note", "y", status=1)
    assert "beginning and an end" in run("fleet", "maintenance", "north", status=1)
    assert "not both" in run("fleet", "maintenance", "north", "--cancel", "x", status=1)
    assert "There is no maintenance" in run("fleet", "maintenance", "--cancel", "a/b", status=1)

    assert "is sold below cost: a chip-hour in a block is 0.020 USD" in run("fleet", "show")
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0
