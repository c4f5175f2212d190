"""What docs/fleet.md says of the fleet file, the actions and the prices is what there is."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.apis.native import fleet, fleet_capacity, fleet_leases, fleet_upkeep
from craton.cli import fleet_upkeep as fleet_commands
from craton.economics.meters import Meter
from craton.economics.prices import load_prices
from craton.fleet.fleet_file import RackEntry, RowEntry, SiteEntry

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
LATER_MS = 2_000_000_000_000


def keys_under(heading: str) -> set[str]:
    """The first cells of the table after a heading."""
    _, _, after = TEXT.partition(f"\n`{heading}`")
    table = after.split("\n\n")[1]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "entry", "tables"),
    [
        ("[[site]]", SiteEntry, {"row"}),
        ("[[site.row]]", RowEntry, {"rack"}),
        ("[[site.row.rack]]", RackEntry, set[str]()),
    ],
)
def test_each_key_of_the_file_is_described_and_no_other(
    heading: str, entry: type[Any], tables: set[str]
) -> None:
    described = keys_under(heading)
    assert described == {field.name for field in msgspec.structs.fields(entry)} - tables


def test_each_action_is_described() -> None:
    operations = (
        *fleet.OPERATIONS,
        *fleet_capacity.OPERATIONS,
        *fleet_leases.OPERATIONS,
        *fleet_upkeep.OPERATIONS,
    )
    assert set(re.findall(r"`(craton:\w+)`", TEXT)) == {each.action for each in operations}


def test_each_command_that_sets_hosts_aside_is_described() -> None:
    known = {each.name for each in fleet_commands.app.registered_commands}
    told = set(re.findall(r"`craton fleet (\w+) PATH`", TEXT))
    assert told == known - {"show", "apply", "calendar", "share", "shares"}


def test_the_price_file_in_it_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "own.toml").write_text(block)
    tariff = load_prices([tmp_path]).tariff("p5en.48xlarge", LATER_MS)
    assert tariff is not None
    assert tariff.hourly[Meter.BLOCK_CHIP_S] == 6_500_000_000
