"""Fits the factors of `craton.silicon.neuron` to the measured rows and stores them.

    python -m benchmarks.silicon.fit_neuron

Each time is a sum of terms times positive factors. The factors' logarithms are found by damped
Gauss-Newton on the logarithm of the time, with a loss that grows linearly for outliers (the same
set-up was published with 1661 and 2722 ms for two models of one shape) and with priors that say
what a rate on an accelerator usually is, so that a factor the rows say nothing of stays there.
"""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.neuron_rows import SOURCE, SPLITS, Row, read_rows
from craton.silicon import neuron

# Mean and standard deviation (of the natural logarithm) of each factor before any row is seen:
# times in ms, rates as slowdown against the specification. Memory reaches about two thirds of its
# rate; prefill multiplies at a quarter of peak; scores and cache pass through memory several times.
PRIORS = {
    "decode": {
        "step": (1.0, 1.0),
        "layers": (0.15, 0.7),
        "weights_ms": (1.5, 0.3),
        "cache_ms": (1.5, 0.3),
    },
    "prefill": {
        "step": (1.0, 1.0),
        "layers": (0.3, 0.7),
        "multiply_ms": (4.0, 0.5),
        "scores_ms": (5.0, 1.0),
        "cache_ms": (3.0, 1.0),
        "links_ms": (1.5, 0.5),
    },
}
_SCALE = 0.1
"""Logarithmic error from which the loss grows linearly."""


def terms(rows: Sequence[Row], phase: str) -> NDArray[np.float64]:
    """Rows by terms, in the order of the priors."""
    walk = neuron.decode_terms if phase == "decode" else neuron.prefill_terms
    found = [walk(row.case) for row in rows]
    return np.array([[getattr(each, name) for name in PRIORS[phase]] for each in found])


def measured(rows: Sequence[Row], phase: str) -> NDArray[np.float64]:
    return np.array([row.tpot_ms if phase == "decode" else row.ttft_ms for row in rows])


def fit(table: NDArray[np.float64], times: NDArray[np.float64], phase: str) -> NDArray[np.float64]:
    """The factors, in the order of the priors."""
    mean = np.log([prior[0] for prior in PRIORS[phase].values()])
    spread = np.array([prior[1] for prior in PRIORS[phase].values()])
    guess, damping = mean.copy(), 1.0
    cost = _cost(guess, table, times, mean, spread)
    for _ in range(200):
        parts = table * np.exp(guess)
        total = parts.sum(axis=1)
        error = (np.log(total) - np.log(times)) / _SCALE
        weight = 1.0 / np.sqrt(1.0 + error**2)
        slope = parts / total[:, None] / _SCALE
        gradient = slope.T @ (weight * error) + (guess - mean) / spread**2
        curve = (slope * weight[:, None]).T @ slope + np.diag(1.0 / spread**2)
        move = np.linalg.solve(curve + damping * np.diag(np.diag(curve)), -gradient)
        tried = _cost(guess + move, table, times, mean, spread)
        if tried < cost:
            guess, cost, damping = guess + move, tried, damping / 3.0
        else:
            damping *= 4.0
        if np.abs(move).max() < 1e-9:
            break
    return np.exp(guess)


def _cost(
    guess: NDArray[np.float64],
    table: NDArray[np.float64],
    times: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> float:
    error = (np.log(table @ np.exp(guess)) - np.log(times)) / _SCALE
    return float(
        2.0 * (np.sqrt(1.0 + error**2) - 1.0).sum() + (((guess - mean) / spread) ** 2).sum()
    )


def held_out(rows: Sequence[Row], phase: str, split: str) -> NDArray[np.float64]:
    """Predictions of each row by factors fitted without its group."""
    table, times = terms(rows, phase), measured(rows, phase)
    groups = np.array([SPLITS[split](row) for row in rows])
    predicted = np.zeros(len(rows))
    for group in np.unique(groups):
        out = groups == group
        predicted[out] = table[out] @ fit(table[~out], times[~out], phase)
    return predicted


def doubts(rows: Sequence[Row], phase: str, terms_of_fit: dict[str, float]) -> NDArray[np.float64]:
    """How uncertain each row is against the others of its phase."""
    walk = neuron.decode_terms if phase == "decode" else neuron.prefill_terms
    some = neuron.Factors(terms=terms_of_fit, spread=0.0, rows=0, error=0.0)
    return np.array([neuron.doubt(walk(row.case), some) for row in rows])


def spread(ratios: NDArray[np.float64], doubt: NDArray[np.float64]) -> float:
    """What holds 80 % of the rows, and a twentieth more: few rows understate what is to come."""
    return float(1.05 * np.quantile(np.abs(np.log(ratios)) / doubt, 0.8))


def named(found: NDArray[np.float64], phase: str) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(PRIORS[phase], found, strict=True)}


def factors(rows: Sequence[Row], phase: str) -> neuron.Factors:
    times = measured(rows, phase)
    ratios = times / held_out(rows, phase, "model")
    found = named(fit(terms(rows, phase), times, phase), phase)
    return neuron.Factors(
        terms=found,
        spread=round(spread(ratios, doubts(rows, phase, found)), 4),
        rows=len(rows),
        error=round(float(np.abs(1.0 / ratios - 1.0).mean()), 4),
    )


def write(fitted: neuron.NeuronFit, path: Path) -> None:
    lines = [
        "# Written by benchmarks/silicon/fit_neuron.py; terms are explained in silicon/neuron.py.",
        f"source = {msgspec.json.encode(fitted.source).decode()}",
        f"fitted = {fitted.fitted}",
        f"chips = {msgspec.json.encode(fitted.chips).decode()}",
    ]
    for name, phase in (("decode", fitted.decode), ("prefill", fitted.prefill)):
        lines += ["", f"[{name}]", f"rows = {phase.rows}", f"spread = {phase.spread}"]
        lines += [f"error = {phase.error}  # mean, leave one model out", "", f"[{name}.terms]"]
        lines += [f"{term} = {factor}" for term, factor in phase.terms.items()]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("src/craton/silicon/fits/neuron.toml"))
    arguments = parser.parse_args()
    rows = read_rows()
    fitted = neuron.NeuronFit(
        source=SOURCE,
        fitted=datetime.datetime.now(tz=datetime.UTC).date(),
        chips=tuple(sorted({row.case.chip.name for row in rows})),
        decode=factors(rows, "decode"),
        prefill=factors(rows, "prefill"),
    )
    write(fitted, arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
