"""What a machine has is read from the files that Linux and the drivers keep."""

from pathlib import Path

import pytest

from craton.bootstrap.discovery import discover
from craton.silicon.catalogue import Catalogue, load_catalogue

MEMINFO = "MemTotal:       25165824 kB\nMemFree: 1 kB\n"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def gpus(root: Path, model: str, count: int) -> None:
    for number in range(count):
        folder = f"proc/driver/nvidia/gpus/0000:{number:02x}:00.0"
        write(root, f"{folder}/information", f"Model: \t\t {model}\nIRQ:   \t\t 11\n")


def test_a_machine_without_accelerators_is_one_processor(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    found = discover(catalogue, tmp_path)
    assert (found.chip, found.chips, found.memory_gib) == ("cpu", 1, 24)
    assert found.vcpus >= 1


@pytest.mark.parametrize(
    ("model", "chip"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40g"),
        ("NVIDIA Thing 9000", "NVIDIA Thing 9000"),
    ],
)
def test_gpus_are_named_as_in_the_catalogue_or_as_they_call_themselves(
    tmp_path: Path, catalogue: Catalogue, model: str, chip: str
) -> None:
    gpus(tmp_path, model, 8)
    found = discover(catalogue, tmp_path)
    assert (found.chip, found.chips) == (chip, 8)


@pytest.mark.parametrize(
    ("product", "chip"),
    [
        ("trn2.48xlarge\n", "trainium2"),
        ("trn1n.32xlarge\n", "trainium1"),
        ("trn2u.48xlarge\n", "trainium2"),
        ("inf2.48xlarge\n", "inferentia2"),
        ("a box\n", "neuron"),
    ],
)
def test_neuron_devices_are_a_chip_each_and_the_firmware_says_which(
    tmp_path: Path, catalogue: Catalogue, product: str, chip: str
) -> None:
    for number in range(16):
        write(tmp_path, f"dev/neuron{number}", "")
    write(tmp_path, "dev/neuron_core", "")
    write(tmp_path, "sys/devices/virtual/dmi/id/product_name", product)
    found = discover(catalogue, tmp_path)
    assert (found.chip, found.chips) == (chip, 16)


def test_more_chips_than_a_host_can_have_are_not_all_counted(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    gpus(tmp_path, "NVIDIA H200", 40)
    assert discover(catalogue, tmp_path).chips == 32
