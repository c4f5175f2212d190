from datetime import date
from pathlib import Path

import pytest

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import Chip, Server, Topology
from craton.silicon.chip_file import figures_of, read_chip_file
from craton.silicon.precision import Precision

CHIP = """
name = "mine"
title = "A chip of one's own"
vendor = "me"
aliases = ["my-chip"]
memory_gib = { value = 24, source = "@sheet" }
memory_tb_s = { value = 1.0, source = "@sheet", estimate = true }

[tflops]
bf16 = { value = 100, source = "@sheet" }

[[links]]
name = "PCIe"
topology = "all-to-all"
chips = 4
gb_s = { value = 32, source = "@sheet" }
latency_us = { value = 2, source = "@sheet" }

[[links]]
name = "Ethernet"
topology = "network"
chips = 0
gb_s = { value = 12.5, source = "@sheet" }
latency_us = { value = 5, source = "@sheet" }

[sources.sheet]
text = "the maker's data sheet"
read = 2026-11-22
"""

SERVER = """
[[server]]
name = "my-server"
title = "Two chips of one's own"
chip = "mine"
chips = 2
network_gbit_s = { value = 100, source = "the adapter's data sheet" }
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.toml").write_text(text)
    return path


def refusal(text: str) -> str:
    with pytest.raises(BadRequest) as refused:
        read_chip_file("mine.toml", text)
    assert "mine.toml" in refused.value.message
    return refused.value.message


def test_it_holds_the_chips_and_servers_that_are_asked_for(catalogue: Catalogue) -> None:
    chips = (
        "trainium1 trainium2 trainium3 inferentia2 a100-40g a100 h100 h200 b200 b300 gb200 gb300"
        " mi300x mi325x mi355x tpu-v5e tpu-v5p tpu-v6e tpu-v7 gaudi3 l40s rtx-pro-6000"
    )
    servers = (
        "trn1.32xlarge trn1n.32xlarge inf2.48xlarge trn2.3xlarge trn2.48xlarge trn2-ultraserver"
        " trn3-gen1-ultraserver trn3-gen2-ultraserver p4d.24xlarge p4de.24xlarge p5.48xlarge"
        " p5e.48xlarge p5en.48xlarge p6-b200.48xlarge p6-b300.48xlarge u-p6e-gb200x72 h100-hgx"
        " h200-hgx b200-hgx gb200-nvl72 gb300-nvl72 mi300x-oam8 gaudi3-8 cpu-server"
    )
    assert set(chips.split()) <= set(catalogue.chips)
    assert set(servers.split()) <= set(catalogue.servers)
    assert set(catalogue.unmeasured) == {"cpu"}


def test_every_bundled_figure_has_a_source_and_a_day_or_says_that_it_is_unverified(
    catalogue: Catalogue,
) -> None:
    bare = [
        f"{item.name}.{member}"
        for item in (*catalogue.chips.values(), *catalogue.servers.values())
        for member, figure in figures_of(item)
        if not figure.source or (figure.read is None and figure.source != "not verified")
    ]
    assert bare == []


def test_nothing_recalled_passes_for_a_fact(catalogue: Catalogue) -> None:
    loose = [
        f"{item.name}.{member}"
        for item in (*catalogue.chips.values(), *catalogue.servers.values())
        for member, figure in figures_of(item)
        if not figure.estimate and ("recalled" in figure.source or figure.source == "not verified")
    ]
    assert loose == []


def test_every_server_has_links_that_reach_its_chips_and_a_network(catalogue: Catalogue) -> None:
    for server in catalogue.servers.values():
        if server.chip in catalogue.unmeasured:
            continue
        *inner, network = server.links
        assert network.topology is Topology.NETWORK, server.name
        assert max((level.chips for level in inner), default=1) == server.chips, server.name


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("H100-80GB", "h100"),
        ("h100_sxm", "h100"),
        ("h100_80gb", "h100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200-SXM-141GB", "h200"),
        ("NVIDIA B200-SXM-180GB", "b200"),
        ("DGX-GB200", "gb200"),
        ("gb200_nvl72", "gb200"),
        ("a100_40gb", "a100-40g"),
        ("a100_80gb", "a100"),
        ("AMD Instinct MI300X 192GB HBM3", "mi300x"),
        ("AMD Instinct MI325X 256GB HBM3e", "mi325x"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("tpu_v5e", "tpu-v5e"),
        ("trn1.32xlarge", "trainium1"),
        ("Inf2.48xlarge", "inferentia2"),
        ("u-trn2x64", "trainium2"),
    ],
)
def test_a_name_from_public_data_finds_its_chip(catalogue: Catalogue, name: str, chip: str) -> None:
    assert catalogue.chip(name).name == chip


@pytest.mark.parametrize("name", ["NVIDIA H100 94GB", "H100 PCIe", "MI300X 256GB", "NVIDIA", ""])
def test_another_chip_of_a_like_name_is_not_taken_for_it(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(NotFound):
        catalogue.chip(name)


def test_an_unknown_chip_is_told_the_nearest_names(catalogue: Catalogue) -> None:
    with pytest.raises(NotFound, match=r"'trainium4'.*trainium3"):
        catalogue.chip("trainium4")
    with pytest.raises(NotFound, match=r"'p5.47xlarge'.*p5.48xlarge"):
        catalogue.server("p5.47xlarge")


def test_a_chip_without_figures_says_how_to_measure_them(catalogue: Catalogue) -> None:
    with pytest.raises(NotFound, match="craton chips calibrate"):
        catalogue.chip("cpu")
    with pytest.raises(NotFound, match="craton chips calibrate"):
        catalogue.chip("cpu-server")


def test_a_name_goes_before_an_alias(catalogue: Catalogue) -> None:
    # gb200-nvl72 is a server, and an alias of its chip in public data.
    assert isinstance(catalogue.find("GB200-NVL72"), Server)
    assert isinstance(catalogue.find("gb200"), Chip)
    assert catalogue.find("dgx_h100").name == "h100-hgx"


def test_trainium2_has_a_torus_and_its_ultraserver_a_ring_above_it(catalogue: Catalogue) -> None:
    levels = catalogue.server("trn2-ultraserver").links
    found = [(level.topology, level.chips, level.gb_s.value) for level in levels]
    assert found == [
        (Topology.TORUS_2D, 16, 512),
        (Topology.RING, 64, 128),
        (Topology.NETWORK, 0, 25),
    ]


def test_trainium3_has_three_switched_levels(catalogue: Catalogue) -> None:
    gen2 = catalogue.server("trn3-gen2-ultraserver").links
    assert [(level.chips, level.gb_s.value) for level in gen2] == [
        (4, 256),
        (72, 320),
        (144, 128),
        (0, 25),
    ]
    gen1 = catalogue.server("trn3-gen1-ultraserver").links
    assert [level.chips for level in gen1] == [4, 32, 64, 0]


def test_a_server_takes_the_chips_links_as_far_as_it_reaches(catalogue: Catalogue) -> None:
    assert [level.chips for level in catalogue.server("inf2.24xlarge").links] == [6, 0]
    assert [level.chips for level in catalogue.server("p5.4xlarge").links] == [0]
    p4d = catalogue.server("p4d.24xlarge").links
    assert p4d[0].gb_s.value == 300
    assert p4d[-1].gb_s.value == 400 / 8 / 8


def test_totals_are_what_the_maker_prints_for_the_whole(catalogue: Catalogue) -> None:
    chip = catalogue.chip("trainium3")
    server = catalogue.server("trn3-gen2-ultraserver")
    assert server.chips * chip.tflops[Precision.MXFP8].value == 362_448
    assert server.chips * chip.memory_tb_s.value == pytest.approx(705.6)
    assert server.chips * chip.memory_gib.value == 20_736


def test_a_file_of_ones_own_is_a_new_chip(tmp_path: Path) -> None:
    catalogue = load_catalogue(folder(tmp_path, mine=CHIP, server=SERVER))
    chip = catalogue.chip("My Chip")
    assert chip.memory_gib.source == "the maker's data sheet"
    assert chip.memory_gib.read == date(2026, 11, 22)
    assert chip.memory_tb_s.estimate
    assert [server.name for server in catalogue.servers_of(chip)] == ["my-server"]
    assert [level.chips for level in catalogue.server("my-server").links] == [2, 0]
    assert "h100" in catalogue.chips


def test_a_file_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    mine = CHIP.replace('"mine"', '"h100"').replace("my-chip", "h100-mine")
    catalogue = load_catalogue(folder(tmp_path, h100=mine))
    assert catalogue.chip("h100").vendor == "me"
    cpu = CHIP.replace('"mine"', '"cpu"')
    measured = load_catalogue(folder(tmp_path, h100=mine, cpu=cpu.replace("my-chip", "my-cpu")))
    assert measured.chip("cpu").vendor == "me"
    assert measured.unmeasured == {}


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path, catalogue: Catalogue) -> None:
    assert load_catalogue(tmp_path / "none").chips == catalogue.chips


def test_a_name_that_two_chips_claim_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"h100.*mine"):
        load_catalogue(folder(tmp_path, mine=CHIP.replace("my-chip", "H100_SXM")))


def test_a_server_of_an_unknown_chip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"my-server.*'mine'"):
        load_catalogue(folder(tmp_path, server=SERVER))


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('source = "@sheet" }', 'source = "" }', "memory_gib has no source"),
        ("memory_gib = {", "memory_gb = {", "memory_gb"),
        ('{ value = 24, source = "@sheet" }', "24", "Expected `object`, got `int`"),
        ('source = "@sheet" }', 'source = "@sheets" }', "sources.sheets"),
        ('source = "@sheet" }', 'source = "recalled" }', "estimate = true"),
        ("value = 24", "value = -1", "memory_gib is -1.0; it must be above 0"),
        ("value = 24", "value = nan", "memory_gib is nan"),
        ('[tflops]\nbf16 = { value = 100, source = "@sheet" }', "[tflops]", "tflops is empty"),
        ("bf16 =", "bf17 =", "Invalid enum value 'bf17'"),
        ("chips = 4", "chips = 1", r"links[0].chips is 1"),
        ("chips = 0", "chips = 8", "The last level"),
        ('topology = "all-to-all"', 'topology = "network"', "The last level"),
        ("text = ", "title = ", "[sources]"),
        ('"the maker\'s data sheet"', '" "', "sources.sheet.text is empty"),
        ("name =", "name", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_member_with_what_to_write(
    was: str, becomes: str, told: str
) -> None:
    assert was in CHIP
    assert told in refusal(CHIP.replace(was, becomes, 1))


def test_a_server_file_is_held_to_the_same_rules() -> None:
    assert "server[0].chips is 0" in refusal(SERVER.replace("chips = 2", "chips = 0"))
    assert "server[0].network_gbit_s has no source" in refusal(
        SERVER.replace("the adapter's data sheet", "")
    )
    assert "nothing else" in refusal('name = "mine"\n' + SERVER)
