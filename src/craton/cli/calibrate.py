"""`craton chips calibrate`: its options. What it does is in `calibrate_run.py`."""

from pathlib import Path
from typing import Annotated

import typer

from craton.cli.options import DATA, AsJson, Data
from craton.silicon.calibrate import REPETITIONS
from craton.silicon.calibrate_file import PROCESSOR

FOLDER = "chips"
"""In the data folder: an operator's own chip files."""


def calibrate(
    *,
    data: Data = DATA,
    name: Annotated[
        str, typer.Option(help="Of this machine's processor, and of its file.")
    ] = PROCESSOR,
    model: Annotated[
        Path | None,
        typer.Option(help="A GGUF file to probe the engine with. [default: the one in --data]"),
    ] = None,
    is_probed: Annotated[
        bool, typer.Option("--engine/--no-engine", help="Whether to probe the embedded engine.")
    ] = True,
    repetitions: Annotated[int, typer.Option(min=1, help="Samples of each figure.")] = REPETITIONS,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure this machine and write a chip file of it, for `craton chips` and `craton plan`.

    The processor: products, memory, and the embedded engine with a model, where one is there.
    NVIDIA chips, where PyTorch is installed and sees any: files of their own, named after them.
    Takes a minute or two; let the machine do nothing else meanwhile.
    """
    # Imported here: the engine's client takes a quarter of a second, which no other command
    # should pay.
    from craton.cli.calibrate_run import calibrate_machine  # noqa: PLC0415

    calibrate_machine(
        data.expanduser(),
        data.expanduser() / FOLDER,
        name=name,
        model=model,
        is_probed=is_probed,
        repetitions=repetitions,
        is_replacing=force,
        as_json=as_json,
    )
