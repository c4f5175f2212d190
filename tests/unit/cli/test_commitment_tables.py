"""What `craton commitments` prints."""

from pathlib import Path

import pytest

from craton.cli.commitment_tables import (
    print_commitment,
    print_commitments,
    print_schedule,
    print_statement,
)
from craton.cli.main import main
from craton.fleet.commitment_contract import Commitments
from craton.fleet.commitment_records import CommitmentState
from tests.fakes.commitment_views import commitment, statement

Captured = pytest.CaptureFixture[str]


def test_a_list_has_a_line_each_and_says_what_is_simulated(capsys: Captured) -> None:
    print_commitments(Commitments([commitment(), commitment(is_simulated=False)]))
    _, first, second = capsys.readouterr().out.splitlines()
    assert "active (simulated)" in first
    assert "simulated" not in second
    assert "138,000,000,000.00" in first
    assert "137,999,904,768.00" in first
    print_commitments(Commitments([]))
    assert "craton commitments sign FILE" in capsys.readouterr().out


def test_a_schedule_says_what_the_fleet_lacks_and_why(capsys: Captured) -> None:
    print_schedule(commitment(is_dry_run=True))
    out = capsys.readouterr().out
    assert "would be signed" in out
    assert "3 x north/trn2.48xlarge" in out
    assert (
        "The fleet lacks 16 of 64 chips from 2026-12-01 on: north/trn2.48xlarge has no more "
        "units free" in out
    )
    assert "What isn't delivered is credited." in out
    assert "nobody else may use north" in out
    assert "simulated capacity" in out


def test_a_commitment_shows_its_years_and_how_its_amount_stands(capsys: Captured) -> None:
    print_commitment(commitment())
    out = capsys.readouterr().out
    (year,) = [line for line in out.splitlines() if line.startswith("2026  ")]
    assert year.split() == [
        *("2026", "1", "47,616", "35,712", "7,440", "95,232.00", "95,232.00"),
        *("23,808.00", "71,424.00", "12.50", "181,248.00"),
    ]
    assert "recognised 71,424.00, lapsed 23,808.00, still to come 137,999,904,768.00" in out
    assert "credited for what wasn't delivered: 23,808.00" in out
    assert "besides, for use above it: 12.50" in out
    assert "paid and still to be used: 2 chip-hours" in out
    assert "for ending it early" not in out
    print_commitment(commitment(fee="5.00", state=CommitmentState.TERMINATED))
    assert "for ending it early: 5.00" in capsys.readouterr().out


def test_megawatts_are_told_in_megawatt_hours(capsys: Captured) -> None:
    print_statement(statement(measure="watt_s", committed=7_200_000_000))
    assert "promised 2 MWh" in capsys.readouterr().out


def test_a_statement_is_the_months_bill_to_the_nano(capsys: Captured) -> None:
    print_statement(statement(due="95232.000000001"))
    out = capsys.readouterr().out
    assert "promised 47,616 chip-hours, delivered 35,712, used 47,616" in out
    assert "due by take-or-pay      95232.000000001 USD" in out
    assert "credit for what lacked  -23808.00 USD" in out
    assert "total                   71424.00 USD" in out
    assert "above it                48.00 USD, for 16 chip-hours on demand" in out
    assert "rolls over" not in out
    print_statement(statement(over=0, banked=3600, drawn=7200))
    out = capsys.readouterr().out
    assert "above it" not in out
    assert "used of what rolled over: 2 chip-hours" in out
    assert "rolls over: 1 chip-hours" in out


def test_a_contract_that_cant_be_read_is_named(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "none").mkdir()
    assert main(["commitments", "sign", str(tmp_path / "none"), "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("craton: ")
