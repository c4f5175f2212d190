"""How far `craton.silicon.neuron` is from what was measured, by split.

    python -m benchmarks.silicon.neuron

Intervals are held out too: those of a group come from the residuals of the others.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.fit_neuron import doubts, fit, held_out, measured, named, spread, terms
from benchmarks.silicon.neuron_rows import SPLITS, Row, read_rows

GOALS = {"decode": 0.09, "prefill": 0.25}
NAMES = {"decode": "TPOT", "prefill": "TTFT"}


def main() -> None:
    rows = read_rows()
    print(f"{len(rows)} rows, errors are mean |predicted / measured - 1|\n")
    for phase, goal in GOALS.items():
        times = measured(rows, phase)
        for split in SPLITS:
            predicted = held_out(rows, phase, split)
            errors = np.abs(predicted / times - 1.0)
            print(f"{NAMES[phase]} leave one {split} out: {errors.mean():6.1%}", end="")
            print(f"  (goal {goal:.0%})" if split == "model" else "")
            for group in sorted({SPLITS[split](row) for row in rows}):
                mine = np.array([SPLITS[split](row) == group for row in rows])
                print(f"    {group:12} {mine.sum():3} rows {errors[mine].mean():6.1%}")
        _intervals(rows, phase, times)
        print()


def _intervals(rows: list[Row], phase: str, times: NDArray[np.float64]) -> None:
    predicted = held_out(rows, phase, "model")
    doubt = doubts(rows, phase, named(fit(terms(rows, phase), times, phase), phase))
    groups = np.array([row.model for row in rows])
    apart, constant = np.zeros(len(rows)), np.zeros(len(rows))
    for group in np.unique(groups):
        out = groups == group
        ratios = (times / predicted)[~out]
        apart[out] = np.exp(spread(ratios, doubt[~out]) * doubt[out])
        constant[out] = np.exp(np.quantile(np.abs(np.log(ratios)), 0.8))
    low, high = predicted / apart, predicted * apart
    inside = ((times >= low) & (times <= high)).mean()
    width = np.median((high - low) / predicted)
    print(f"  80 % interval: holds {inside:.0%}, median width {width:.0%};", end=" ")
    print(f"interval score {_score(times, low, high):.3f} of the measured time,", end=" ")
    print(f"one constant factor {_score(times, predicted / constant, predicted * constant):.3f}")


def _score(
    times: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> float:
    """Winkler's score of an 80 % interval, each row's by its measured time; less is better."""
    missed = np.maximum(low - times, 0.0) + np.maximum(times - high, 0.0)
    return float(((high - low + 2.0 / 0.2 * missed) / times).mean())


if __name__ == "__main__":
    main()
