import json
from pathlib import Path
from typing import Any

import pytest

from craton.cli.chips import app
from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.power import SITE_FILE

OWN_CHIP = """
name = "mine"
title = "My chip"
vendor = "Me"
memory_gib = { value = 24, source = "its sheet" }
memory_tb_s = { value = 1, source = "its sheet" }
[tflops]
bf16 = { value = 123, source = "its sheet" }
[[links]]
name = "Ethernet"
topology = "network"
chips = 0
gb_s = { value = 1, source = "its sheet" }
latency_us = { value = 9, source = "its sheet" }
"""


def run(*arguments: str, data: Path | None = None) -> None:
    where = ["--data", str(data)] if data is not None else []
    with pytest.raises(SystemExit) as ended:
        app([*arguments, *where], prog_name="craton chips")
    assert ended.value.code == 0


def lines(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines() if line.split()}


def test_alone_it_lists_every_chip(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(data=tmp_path)
    told = capsys.readouterr().out
    found = lines(told)
    assert found["h100"][1:8] == ["NVIDIA", "989", "1,978", "-", "80", "3.35", "450"]
    assert "~1,000" in found["trainium3"]
    assert "2.235" in found["trainium2"]
    assert "calibrate" in found["cpu"]
    assert "trn2-ultraserver" in told


def test_old_prices_are_warned_of_on_standard_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("list", data=tmp_path)
    told = capsys.readouterr()
    assert "warning: The on-demand price of tpu-v5p" in told.err
    assert "warning" not in told.out


def test_a_chip_is_shown_with_the_source_of_every_figure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("show", "Trainium-3", data=tmp_path)
    told = capsys.readouterr().out
    assert "trainium3: AWS Trainium3" in told
    assert "trn3-gen2-ultraserver" in told
    assert lines(told)["tflops.mxfp8"][1] == "2,517"
    assert lines(told)["power_w"][1] == "~1,000"
    assert "never confirmed" in told
    assert "2026-11-22" in told


def test_a_server_is_shown_with_its_prices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("show", "trn1.32xlarge", data=tmp_path)
    told = capsys.readouterr().out
    assert "16 x trainium1" in told
    assert "prices[0].usd_hour (capacity-block)" in told
    assert "9.532" in told


def test_a_comparison_has_totals_and_ratios(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("compare", "trn2-ultraserver", "trn3-gen2-ultraserver", data=tmp_path)
    told = capsys.readouterr().out
    assert "362,448 (4.36x)" in told
    assert "705.6 (3.80x)" in told
    assert "144 (2.25x)" in told


def test_a_chip_may_be_compared_with_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("compare", "h100", "H100-80GB", data=tmp_path)
    assert "989 (1.00x)" in capsys.readouterr().out


def test_json_is_one_document_for_each_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def document(*arguments: str) -> Any:
        run(*arguments, "--json", data=tmp_path)
        return json.loads(capsys.readouterr().out)

    listed = document("list")
    assert {"chips", "servers", "unmeasured", "prices"} == set(listed)
    assert listed["prices"]["trainium3"] is None
    shown = document("show", "h200")["chip"]
    assert shown["memory_gib"]["value"] == 141
    assert shown["memory_gib"]["source"].startswith("PyPI aiconfigurator-core")
    assert document("show", "gb200-nvl72")["server"]["chips"] == 72
    compared = document("compare", "h100", "h200")
    assert compared["items"] == ["h100", "h200"]
    bandwidth = next(row for row in compared["rows"] if row["name"] == "memory bandwidth")
    assert bandwidth["cells"][1] == {"value": 4.8, "estimate": False}


def test_a_chip_file_of_ones_own_is_listed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "mine.toml").write_text(OWN_CHIP)
    run("list", data=tmp_path)
    assert lines(capsys.readouterr().out)["mine"][2] == "123"
    (tmp_path / "chips" / "mine.toml").write_text(OWN_CHIP.replace('"its sheet"', '""', 1))
    with pytest.raises(BadRequest, match=r"mine\.toml: memory_gib has no source"):
        app(["list", "--data", str(tmp_path)])


def test_a_site_of_ones_own_changes_the_power_of_a_host(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = SITE_FILE.read_text().replace("host_share = { value = 0.35", "host_share = { value = 1")
    (tmp_path / "site.toml").write_text(own)
    run("compare", "l40s-pcie8", data=tmp_path)
    assert "~5.6" in capsys.readouterr().out


def test_an_unknown_name_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="trainium3"):
        app(["show", "trainium9", "--data", str(tmp_path)])
    with pytest.raises(NotFound, match="calibrate"):
        app(["compare", "h100", "cpu", "--data", str(tmp_path)])


@pytest.mark.parametrize("command", [(), ("list",), ("show",), ("compare",)])
def test_help_says_what_it_does(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    run(*command, "--help")
    assert "Example: craton chips" in capsys.readouterr().out
