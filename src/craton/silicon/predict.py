"""`craton plan predict`: one prediction a row, in order; a row that can't be predicted says why."""

from collections.abc import Iterable, Iterator

from craton.kernel.errors import CratonError, Unsupported
from craton.silicon.case import ServingCase
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import Chip
from craton.silicon.energy import EnergyEstimate, estimate_energy, training_watts
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.limits import as_submitted, within_limits
from craton.silicon.rows import (
    Row,
    architecture_of,
    read_row,
    row_id,
    serving_case,
    training_case,
)
from craton.silicon.serving import estimate_serving
from craton.silicon.training import estimate_training

Prediction = dict[str, str | int | float | None]
"""`id`; each figure, with `_low` and `_high` for its interval; `provenance`; or `error`."""


def predict(lines: Iterable[bytes | str], catalogue: Catalogue) -> Iterator[Prediction]:
    """Predict each line; blank lines are skipped."""
    for line in lines:
        if line.strip():
            yield predict_line(line, catalogue)


def predict_line(line: bytes | str, catalogue: Catalogue) -> Prediction:
    """One row's prediction, or its id and what is wrong with it."""
    try:
        row = read_row(line)
        figures = serve(row, catalogue) if row.kind == "serve" else train(row, catalogue)
    except CratonError as error:
        return {"id": row_id(line), "error": error.message}
    except Exception as error:  # noqa: BLE001 - the run goes on, whatever one row does
        return {"id": row_id(line), "error": f"a fault of the planner: {type(error).__name__}"}
    return rendered(row.id, figures)


def rendered(identifier: str | int, figures: dict[str, Estimate | None]) -> Prediction:
    """Figures as flat members; the provenance is the weakest of them."""
    made: Prediction = {"id": identifier}
    for name, estimate in figures.items():
        if estimate is None:
            made |= {name: None, f"{name}_low": None, f"{name}_high": None}
        else:
            made |= {name: estimate.value, f"{name}_low": estimate.low}
            made[f"{name}_high"] = estimate.high
    known = [estimate.provenance for estimate in figures.values() if estimate is not None]
    main = next(iter(known), Provenance.SPEC_EXTRAPOLATED)
    made["provenance"] = str(main)
    return made


def serve(row: Row, catalogue: Catalogue) -> dict[str, Estimate | None]:
    """The figures of a serving row."""
    architecture = architecture_of(row)
    if row.concurrency is None:
        case = within_limits(row, architecture, catalogue)
    else:
        case = serving_case(row, architecture, catalogue)
    found = estimate_serving(case)
    tokens_s = found.tokens_s
    if row.load is not None:
        tokens_s = as_submitted(tokens_s, case.chip.vendor)
    energy = _energy(case, tokens_s)
    return {
        "ttft_ms": found.ttft_ms,
        "tpot_ms": found.tpot_ms,
        "tokens_s": tokens_s,
        "tokens_s_chip": tokens_s.scaled(1.0 / case.chips),
        "memory_gib": found.memory_gib,
        "watts_chip": energy.watts_chip if energy is not None else None,
        "joules_token": energy.joules_token if energy is not None else None,
    }


def _energy(case: ServingCase, tokens_s: Estimate) -> EnergyEstimate | None:
    """None where nobody publishes the chip's power."""
    try:
        return estimate_energy(case, tokens_s)
    except Unsupported:
        return None


def train(row: Row, catalogue: Catalogue) -> dict[str, Estimate | None]:
    """The figures of a training row."""
    case = training_case(row, architecture_of(row), catalogue)
    found = estimate_training(case, power=_watts)
    return {
        "step_s": found.step_s,
        "tokens_s": found.tokens_s,
        "tflops_chip": found.tflops_chip,
        "mfu": found.mfu,
        "memory_gib": found.memory_gib,
        "memory_activations_gib": found.memory_activations_gib,
        "memory_states_gib": found.memory_states_gib,
        "joules_token": found.joules_token,
    }


def _watts(chip: Chip, mfu: float) -> Estimate | None:
    try:
        return training_watts(chip, mfu)
    except Unsupported:
        return None
