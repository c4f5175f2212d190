"""The measured rows on NeuronCores, as cases; and how they are split, fixed before any fit."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from craton.silicon.case import Batching, ServingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision

DATA = Path(__file__).parent / "data" / "neuron_decoder.csv"
SOURCE = (
    "github.com/aws-neuron/aws-neuron-sdk @81ce03ae, about-neuron/benchmarks:"
    " Llama-2 and Llama-3 decoders on inf2.48xlarge and trn1.32xlarge, Neuron 2.18"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured set-up."""

    model: str
    case: ServingCase
    ttft_ms: float
    tpot_ms: float


SPLITS: dict[str, Callable[[Row], str]] = {
    # The goal's split.
    "model": lambda row: row.model,
    # Harder: nothing within a factor of ten of the size is seen.
    "size": lambda row: "70B" if "70b" in row.model else "7B-8B",
    "chip": lambda row: row.case.chip.name,
}


def read_rows() -> list[Row]:
    catalogue = load_catalogue()
    with DATA.open(newline="") as lines:
        return [_row(each, catalogue.chip(each["chip"])) for each in csv.DictReader(lines)]


def _row(each, chip) -> Row:  # noqa: ANN001 - a line of the table, and the chip it names
    tensor = int(each["tp"])
    layout = Layout(tensor=tensor, expert_tensor=tensor, ranks_per_chip=chip.ranks)
    return Row(
        model=each["model"],
        case=ServingCase(
            architecture=find_model(each["model"]),
            chip=chip,
            layout=layout,
            formats=Formats(weights=Precision(each["weights"])),
            input_tokens=float(each["input_tokens"]),
            output_tokens=float(each["output_tokens"]),
            concurrency=float(each["batch"]),
            chips=layout.chips,
            framework="transformers-neuronx",
            batching=Batching.STATIC,
        ),
        ttft_ms=float(each["ttft_ms_p50"]),
        tpot_ms=float(each["tpot_ms_p50"]),
    )
