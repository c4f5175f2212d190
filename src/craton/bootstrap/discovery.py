"""What the machine that Craton runs on has: accelerators where there are any, else its processor.

Read from the files that Linux and the drivers keep; nothing is run. Paths are under `root`, which
is `/` outside tests.
"""

import os
import re
from pathlib import Path

from craton.fleet.office import LocalMachine
from craton.fleet.records import HOST_CHIPS_MAX
from craton.kernel.errors import NotFound
from craton.silicon.catalogue import Catalogue

_NEURON = re.compile(r"neuron\d+")
_NEURON_CHIPS = {
    "trn1": "trainium1",
    "trn2": "trainium2",
    "trn3": "trainium3",
    "inf2": "inferentia2",
}
PROCESSOR = "cpu"


def discover(catalogue: Catalogue, root: Path = Path("/")) -> LocalMachine:
    """This machine's chips: all its NVIDIA GPUs, or Neuron devices, or one processor.

    A GPU that the catalogue doesn't know counts under its own name; no power is known of it then.
    """
    chip, chips = _nvidia(catalogue, root) or _neuron(root) or (PROCESSOR, 1)
    return LocalMachine(
        chip=chip,
        chips=min(chips, HOST_CHIPS_MAX),
        server="",
        vcpus=os.cpu_count() or 1,
        memory_gib=_memory_gib(root),
    )


def _nvidia(catalogue: Catalogue, root: Path) -> tuple[str, int] | None:
    """The GPUs that NVIDIA's driver lists; the model of the first one names them all."""
    folder = root / "proc" / "driver" / "nvidia" / "gpus"
    found = sorted(folder.glob("*/information")) if folder.is_dir() else []
    if not found:
        return None
    model = re.search(r"Model:\s*(.+)", _text(found[0]))
    name = model[1].strip() if model else "NVIDIA GPU"
    try:
        return catalogue.chip(name).name, len(found)
    except NotFound:
        return name, len(found)


def _neuron(root: Path) -> tuple[str, int] | None:
    """Neuron devices: a chip each; the instance type in the firmware's tables says which."""
    folder = root / "dev"
    found = [path for path in folder.glob("neuron*") if _NEURON.fullmatch(path.name)]
    if not found:
        return None
    product = _text(root / "sys" / "devices" / "virtual" / "dmi" / "id" / "product_name").strip()
    family = product.partition(".")[0].rstrip("nu")
    return _NEURON_CHIPS.get(family, "neuron"), len(found)


def _memory_gib(root: Path) -> int:
    total = re.search(r"MemTotal:\s*(\d+) kB", _text(root / "proc" / "meminfo"))
    return round(int(total[1]) / (1 << 20)) if total else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
