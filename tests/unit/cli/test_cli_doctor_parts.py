"""What `craton doctor` finds in what it read: each kind of trouble, and none where all is well."""

from pathlib import Path
from typing import Any

import pytest

from craton.apis.native.contract import ModelView
from craton.apis.native.prices_contract import Priced, PriceView
from craton.cli import examination_parts as parts
from craton.cli.examination import Finding, State
from craton.economics.bounds import Period, Scope
from craton.economics.contract import BudgetStatus
from craton.fleet.contract import FleetView, MarkView
from craton.fleet.records import HostState
from craton.models.card import Alias, EchoSource, EmbeddedSource, ModelState, RemoteSource, Source
from tests.fakes.fleet_views import pool


def model(name: str, source: Source) -> ModelView:
    return ModelView(
        id=name, name=name, lab="lab", engine="x", aliases=[], state=ModelState.ACTIVE,
        context_tokens=1, output_tokens_default=1, input_modalities=(), output_modalities=(),
        licence=None, created_ms=1, formats=(), source=source,
    )  # fmt: skip


def far(path: Path) -> ModelView:
    source = RemoteSource("http://10.0.0.7:8000", "far-7b", credential_file=str(path))
    return model("lab.far", source)


def budget(**more: Any) -> BudgetStatus:
    given: dict[str, Any] = {
        "id": "b", "name": "team", "account": "a", "scope": Scope.ACCOUNT, "subjects": (),
        "amount_nanos": 10, "currency": "USD", "period": Period.MONTH, "created_ms": 1,
        "spent_nanos": 0, "held_nanos": 0, "left_nanos": 10, "over_nanos": 0, "started_ms": 1,
        "renews_ms": None, "amount": "0.00000001", "spent": "0.00", "held": "0.00",
        "left": "0.00000001", "over": "0.00",
    }  # fmt: skip
    return BudgetStatus(**{**given, **more})


def is_well(finding: Finding) -> bool:
    assert (finding.state is State.OK) == (finding.advice == "")
    return finding.state is State.OK


def test_models_whose_files_are_there_are_well(tmp_path: Path) -> None:
    key, file = tmp_path / "key", tmp_path / "m.gguf"
    key.write_text("sk-1\n")
    key.chmod(0o600)
    file.touch()
    every = [far(key), model("lab.own", EmbeddedSource(gguf=str(file)))]
    assert is_well(parts.models(every, [Alias("gpt-4o", "lab.far")]))


def test_a_credential_file_that_is_gone_empty_or_open_to_others_fails(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert "lab.far can't be read" in parts.models([far(key)], []).detail
    key.touch(mode=0o600)
    assert parts.models([far(key)], []).state is State.FAIL
    key.write_text("sk-1")
    key.chmod(0o640)
    finding = parts.models([far(key)], [])
    assert finding.state is State.FAIL
    assert "chmod 600" in finding.detail
    assert "sk-1" not in finding.detail


def test_a_file_of_weights_that_is_gone_fails(tmp_path: Path) -> None:
    own = model("lab.own", EmbeddedSource(gguf=str(tmp_path / "gone.gguf")))
    finding = parts.models([own], [])
    assert finding.state is State.FAIL
    assert "gone.gguf" in finding.detail


def test_an_alias_of_a_model_that_is_gone_fails() -> None:
    finding = parts.models([model("lab.m", EchoSource())], [Alias("gpt-4o", "lab.gone")])
    assert finding.state is State.FAIL
    assert "gpt-4o means lab.gone" in finding.detail


def test_no_model_at_all_is_a_warning() -> None:
    assert parts.models([], []).state is State.WARN


def test_models_without_a_price_and_prices_without_a_model_are_warnings() -> None:
    priced = PriceView(resource="lab.m", kind=Priced.MODEL, currency="USD")
    assert is_well(parts.prices([priced]))
    free = PriceView(resource="lab.n", kind=Priced.MODEL)
    assert "lab.n" in parts.prices([priced, free]).detail
    lost = PriceView(resource="lab.gone", kind=Priced.UNKNOWN, currency="USD")
    finding = parts.prices([priced, lost])
    assert finding.state is State.WARN
    assert "lab.gone" in finding.detail


def test_a_budget_that_is_used_up_or_overdrawn_is_a_warning() -> None:
    assert is_well(parts.budgets([budget()]))
    assert "used up: team" in parts.budgets([budget(left_nanos=0)]).detail
    over = parts.budgets([budget(left_nanos=0, over_nanos=5_000_000_000)])
    assert over.state is State.WARN
    assert "team by 5.00 USD" in over.detail


def test_a_fleet_that_can_give_less_than_it_has_fails_and_a_spare_in_use_warns() -> None:
    def fleet(marks: list[MarkView], **more: Any) -> Finding:
        pools = [pool(**{"units": 4, "offered_units": 4, **more})]
        view = FleetView(sites=[], pools=pools, rows=[], marks=marks, chips=64, applied_ms=0)
        return parts.fleet(view)

    broken = MarkView("north/a1/t7/2", HostState.FAILED, 1, "")
    assert is_well(fleet([]))
    assert is_well(fleet([MarkView("north/a1/t7/2", HostState.CORDONED, 1, "")]))
    assert fleet([broken]).state is State.WARN
    short = fleet([broken], offered_units=3)
    assert short.state is State.FAIL
    assert "3 of 4" in short.detail


@pytest.mark.parametrize(
    ("folder", "check"),
    [("prices", "price files"), ("chips", "chip files"), ("instance_types", "chip files")],
)
def test_a_file_that_a_start_would_refuse_fails(tmp_path: Path, folder: str, check: str) -> None:
    assert all(is_well(finding) for finding in parts.own_files(tmp_path))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "mine.toml").write_text("[[price]\n")
    found = {finding.check: finding for finding in parts.own_files(tmp_path)}
    assert found[check].state is State.FAIL
    assert "mine.toml" in found[check].detail


def test_files_that_a_start_would_take_are_well(tmp_path: Path) -> None:
    for folder, text in (
        ("prices", 'effective = 2026-11-01\ncurrency = "USD"\nsource = "s"\n'),
        ("instance_types", '[[type]]\nname = "own.1"\nserver = "h200-hgx"\nchips = 8\n'),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(text)
    assert [is_well(finding) for finding in parts.own_files(tmp_path)] == [True, True]
