"""How far the serving estimate is off, by split: `python -m benchmarks.silicon.serving`.

Each split keeps a group out of the whole fit (physics and corrections) and estimates it; intervals
come from the residuals of the other groups. Errors are mean absolute percentage errors, those of
times to first token capped at 100 %. The interval score is Winkler's, of logarithms of the truth
over the estimate; beside it stands that of one constant factor for all rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.data_serving import measured, obtain, read
from benchmarks.silicon.fit_serving import CACHE, Unseen, build, table_of, unseen
from benchmarks.silicon.serving_figures import space
from benchmarks.silicon.serving_residuals import TPOT_SPREAD, TTFT_SPREAD, spread
from benchmarks.silicon.serving_table import Table
from benchmarks.silicon.splits import SEEN, folds
from craton.silicon.intervals import interval_score

Numbers = NDArray[np.float64]

REPORTED = ("model", "name", "system", "framework", "family")


def relative(residual: Numbers) -> Numbers:
    """Error of the estimate as a fraction of the truth, from log(truth / estimate)."""
    return np.abs(np.exp(-residual) - 1.0)


def intervals(
    table: Table,
    columns: Mapping[str, Numbers],
    residual: Numbers,
    split: str,
    *,
    names: Sequence[str],
) -> tuple[Numbers, Numbers]:
    """Ends of each row's interval, as logarithms over the estimate, from the other groups' rows.

    `names` are the features the spread differs with; without any it is one constant factor.
    """
    ends = np.zeros((2, len(residual)))
    for _, mine in folds(table.measured, split):
        if not names:
            ends[:, mine] = np.quantile(residual[~mine], [0.1, 0.9])[:, None]
            continue
        others = {name: column[~mine] for name, column in columns.items()}
        own = {name: column[mine] for name, column in columns.items()}
        ends[:, mine] = spread(others, names, residual[~mine]).ends(own)
    return ends[0], ends[1]


def report(table: Table, columns: Mapping[str, Numbers], found: Unseen, split: str) -> None:
    """Print one split."""
    dense = np.array([each.is_dense for each in table.measured])
    print(f"\nleave one {split} out")
    for name, residual, names, cap in (
        ("TPOT", found.tpot, TPOT_SPREAD, np.inf),
        ("TTFT", found.ttft, TTFT_SPREAD, 1.0),
    ):
        error = np.minimum(relative(residual), cap)
        low, high = intervals(table, columns, residual, split, names=names)
        inside = (residual >= low) & (residual <= high)
        score = interval_score(low, high, residual).mean()
        flat = intervals(table, columns, residual, split, names=())
        constant = interval_score(*flat, residual).mean()
        width = float(np.median(np.exp(high) - np.exp(low)))
        print(
            f"  {name}  all {error.mean():6.1%}  median {np.median(error):6.1%}"
            f"  dense {error[dense].mean():6.1%}  80 % interval: holds {inside.mean():.1%},"
            f" median width {width:.0%}, score {score:.3f} (constant factor {constant:.3f})"
        )
        for group, mine in folds(table.measured, split):
            print(
                f"    {group:34s} {mine.sum():5d} rows  {error[mine].mean():6.1%}"
                f"  median {np.median(error[mine]):6.1%}  holds {inside[mine].mean():4.0%}"
            )


def main() -> None:
    """Print all splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, help="silicon_sample.csv, where it is at hand")
    parser.add_argument("--split", choices=REPORTED, action="append")
    arguments = parser.parse_args()
    rows, left = measured(read(arguments.sample or obtain(CACHE)), known=SEEN)
    print(f"{len(rows)} rows; {sum(left.values())} left out")
    of = space()
    table = table_of(rows, of)
    _, unknowns, columns, found = build(table, of)
    for split in arguments.split or REPORTED:
        each = found if split == "model" else unseen(table, of, unknowns, columns, split)
        report(table, columns, each, split)


if __name__ == "__main__":
    main()
