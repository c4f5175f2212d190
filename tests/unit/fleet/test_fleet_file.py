"""A fleet file is read whole, or refused with the line and what to do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.fleet.fleet_file import read_fleet_file
from craton.fleet.instance_types import InstanceTypes, load_instance_types
from craton.fleet.inventory import Hosts, build_inventory
from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.catalogue import BUNDLED, load_catalogue
from craton.silicon.power import load_site

EXAMPLE = Path(__file__).parents[3] / "examples" / "ultraserver.toml"

SMALL = """\
[[site]]
name = "north"
driver = "simulated"
power_kw = 1100
[[site.row]]
name = "a"
count = 2
power_kw = 500
[[site.row.rack]]
name = "t"
count = 3
type = "trn2u.48xlarge"
ultraserver = "u-trn2x64"
spares = 1
[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 5
[[site.row]]
name = "b"
[[site.row.rack]]
name = "h"
count = 2
type = "p5en.48xlarge"
hosts = 2
[[site]]
name = "south"
driver = "simulated"
[[site.row]]
name = "a"
[[site.row.rack]]
name = "i"
type = "inf2.48xlarge"
hosts = 1
"""


@pytest.fixture(scope="module")
def types() -> InstanceTypes:
    return load_instance_types(load_catalogue(*BUNDLED), load_site())


def test_the_example_is_two_sites_of_four_pools(types: InstanceTypes) -> None:
    inventory = build_inventory(read_fleet_file(EXAMPLE.read_text(), types), types)
    assert {pool.key: (pool.hosts, pool.units) for pool in inventory.pools} == {
        "north/u-trn2x64": (512, 124),
        "north/u-trn3x144": (1152, 32),
        "south/p5en.48xlarge": (160, 156),
        "south/u-p6e-gb200x72": (108, 6),
    }
    assert inventory.chips == 512 * 16 + 1152 * 4 + 160 * 8 + 108 * 4


def test_hosts_are_numbered_row_by_row_and_found_by_their_names(types: InstanceTypes) -> None:
    inventory = build_inventory(read_fleet_file(SMALL, types), types)
    pool = inventory.by_key["north/p5en.48xlarge"]
    found = [pool.host_name(host) for host in range(pool.hosts)]
    assert found == [
        *(f"north/a1/h/{n}" for n in range(1, 6)),
        *(f"north/a2/h/{n}" for n in range(1, 6)),
        *("north/b/h1/1", "north/b/h1/2", "north/b/h2/1", "north/b/h2/2"),
    ]
    assert pool.row_of_leaf.tolist() == [0, 1, 2, 2]
    assert [inventory.rows[row].name for row in pool.rows.tolist()] == ["a1", "a2", "b"]
    for host, name in enumerate(found):
        assert inventory.find(name) == [Hosts(pool, host, host + 1)]
    assert inventory.find("north/b") == [Hosts(pool, 10, 14)]
    assert [(h.pool.key, h.first, h.last) for h in inventory.find("north/a2")] == [
        ("north/u-trn2x64", 12, 24),
        ("north/p5en.48xlarge", 5, 10),
    ]
    assert [h.last for h in inventory.find("north")] == [24, 14]


def test_spares_are_the_last_of_their_racks(types: InstanceTypes) -> None:
    inventory = build_inventory(read_fleet_file(SMALL, types), types)
    pool = inventory.by_key["north/u-trn2x64"]
    assert pool.spare.tolist() == ([False] * 8 + [True] * 4) * 2
    assert pool.units == 4


@pytest.mark.parametrize("name", ["west", "north/c", "north/a1/h/6", "north/a1/h/0", "north/a1/t4"])
def test_an_unknown_name_is_not_found_and_a_good_one_is_shown(
    types: InstanceTypes, name: str
) -> None:
    inventory = build_inventory(read_fleet_file(SMALL, types), types)
    with pytest.raises(NotFound, match="such as 'north/a1/t1/1'"):
        inventory.find(name)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"p5en.48xlarge"\nhosts = 5', '"p5em.48xlarge"\nhosts = 5', 17, "Did you mean p5e."),
        ('name = "b"', 'name = "a1"', 20, "a1 is there already"),
        ('name = "south"', 'name = "north"', 27, "north is there already"),
        ("power_kw = 500", "power_kw = 100", 8, "its racks need 206 kW at full load"),
        ("power_kw = 1100", "power_kw = 900", 4, "its rows 1046 kW together"),
        ('ultraserver = "u-trn2x64"', 'ultraserver = "u-x"', 13, "it comes in u-trn2x64"),
        ('ultraserver = "u-trn2x64"', "hosts = 0", 13, "0 is less than one"),
        ("hosts = 5", "hosts = 5\nultraserver = 'u-trn2x64'", 19, "doesn't come in"),
        ("hosts = 5", "", 15, "one of the two"),
        ("spares = 1", "spares = 3", 14, "3 spares of 3"),
        ("count = 2\npower", "count = 0\npower", 7, "0 is less than one"),
        ("count = 2\npower", "count = 2000000000\npower", 7, "more than 100000"),
        ("hosts = 5", "hosts = 5000000", 15, "more than 4000000 hosts"),
        ('driver = "simulated"\npower', 'driver = "local"\npower', 3, "this machine is a site by"),
        ('driver = "simulated"\npower', 'driver = "magic"\npower', 3, "Invalid enum value 'magic'"),
        ("spares = 1", "spare = 1", 9, "unknown field `spare`"),
        ('name = "b"', 'name = "B/b"', 20, "is no name"),
        ('type = "inf2.48xlarge"\nhosts = 1\n', "", 31, "required field `type`"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(
    types: InstanceTypes, old: str, new: str, line: int, words: str
) -> None:
    text = SMALL.replace(old, new, 1)
    if "5000000" in new or "2000000000" in new:
        text = text.replace("power_kw = 500\n", "").replace("power_kw = 1100\n", "")
        line -= 1 if line < 8 else 2
    with pytest.raises(BadRequest) as refused:
        read_fleet_file(text, types)
    assert words in refused.value.message
    assert f"At line {line} " in refused.value.message, refused.value.message


def test_no_site_and_no_toml_are_refused(types: InstanceTypes) -> None:
    with pytest.raises(BadRequest, match="no site"):
        read_fleet_file("site = []", types)
    with pytest.raises(BadRequest, match=r"not TOML: .*end of document"):
        read_fleet_file("[[site", types)
    with pytest.raises(BadRequest, match="At the beginning"):
        read_fleet_file("", types)


@given(
    st.text(max_size=200) | st.sampled_from(SMALL.split()).map(lambda w: SMALL.replace(w, "[", 1))
)
def test_hostile_text_is_only_ever_refused(text: str) -> None:
    types = InstanceTypes({})
    with pytest.raises(BadRequest):
        read_fleet_file(text, types)
