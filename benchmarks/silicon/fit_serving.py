"""Fit the serving model to measured runs and write `fits/serving.toml`.

    python -m benchmarks.silicon.fit_serving

Least squares on logarithms of times, robust (pseudo-Huber) since the sample has rows that other
rows contradict, by Levenberg and Marquardt's method. Models count alike: a row's weight falls with
how many rows there are of its model on its system under its framework.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.data_serving import Measured, measured, obtain, read
from benchmarks.silicon.serving_figures import FAMILIES, Space, space, unpack
from benchmarks.silicon.serving_residuals import (
    LIMIT,
    TPOT_SPREAD,
    TTFT_SPREAD,
    Spread,
    corrected,
    correction,
    features_of,
    spread,
)
from benchmarks.silicon.serving_table import Table, flows, tabulate
from benchmarks.silicon.splits import SEEN, folds
from craton.silicon.intervals import Correction
from craton.silicon.serving import estimate_serving
from craton.silicon.serving_fit import ServingFit, Speculation

Numbers = NDArray[np.float64]

TTFT_WEIGHT = 0.35
"""Of a time to first token, against a time per output token: it is that much noisier."""
TPOT_KNEE, TTFT_KNEE = 0.15, 0.3
"""Residuals from which the loss grows in proportion, not with the square."""
PRIOR_WEIGHT = 0.3
STEP = 1e-4


def weights(table: Table) -> Numbers:
    """One a row, 1 on the mean."""
    groups = [(each.model, each.system, each.framework) for each in table.measured]
    sizes = Counter(groups)
    found = np.array([1.0 / np.sqrt(sizes[group]) for group in groups])
    return np.sqrt(found / found.mean())


def fit_figures(table: Table, of: Space, start: Numbers | None = None, rounds: int = 25) -> Numbers:
    """The unknowns that explain the table best."""
    weight = weights(table)

    def residuals(unknowns: Numbers) -> Numbers:
        flow = flows(table, of.expand(unknowns))
        tpot = _huber(np.log(flow.tpot_s / table.tpot_s) * weight, TPOT_KNEE)
        ttft = _huber(np.log(flow.ttft_s / table.ttft_s) * weight, TTFT_KNEE)
        prior = (unknowns - of.start) / of.doubt * PRIOR_WEIGHT
        return np.concatenate([tpot, ttft * TTFT_WEIGHT, prior])

    return least_squares(residuals, of.start if start is None else start, rounds)


def _huber(residual: Numbers, knee: float) -> Numbers:
    return np.sign(residual) * knee * np.sqrt(2.0 * (np.hypot(1.0, residual / knee) - 1.0))


def least_squares(
    residuals: Callable[[Numbers], Numbers], start: Numbers, rounds: int, *, enough: float = 1e-4
) -> Numbers:
    """Levenberg and Marquardt's method with differences for derivatives."""
    here, damping = start.copy(), 1e-2
    value = residuals(here)
    cost = float(value @ value)
    for _ in range(rounds):
        slopes = np.empty((len(value), len(here)))
        for index in range(len(here)):
            moved = here.copy()
            moved[index] += STEP
            slopes[:, index] = (residuals(moved) - value) / STEP
        normal, downhill = slopes.T @ slopes, slopes.T @ value
        before = cost
        for _ in range(8):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -downhill)
            tried = residuals(here + np.clip(step, -0.7, 0.7))
            if float(tried @ tried) < cost:
                here = here + np.clip(step, -0.7, 0.7)
                value, cost = tried, float(tried @ tried)
                damping = max(damping / 5.0, 1e-7)
                break
            damping *= 4.0
        if before - cost < enough * before:
            break
    return here


OUTPUT = Path("src/craton/silicon/fits/serving.toml")
CACHE = Path("~/.cache/craton-bench/silicon").expanduser()
SOURCE = (
    "PyPI aiconfigurator-core 0.12.0 systems/silicon_sample.csv (Apache-2.0), mostly InferenceX:"
    " H100, H200, B200, B300, GB200, GB300; filtered by benchmarks/silicon/data_serving.py"
)
NOTHING = Correction(features={}, offset=0.0, low=-0.3, high=0.3, unknown=1.5, limit=0.0)
OTHER_VENDOR = 2.0
"""Least factor on intervals of chips and frameworks nothing was fitted for. The sample is all
NVIDIA; MLPerf Inference 5.1 offline rows of AMD chips (Llama-2-70B and Mixtral on MI300X, MI325X)
come out at 0.93 to 1.20 of the measured rate where NVIDIA's come out at 0.67 to 0.84: a logarithm
of up to 0.48 between the vendors, twice a fitted interval."""
DRAFTED = 3.0
"""Tokens guessed a step in most of InferenceX's set-ups with a draft head."""


def family_of() -> dict[str, str]:
    """The family of each chip."""
    return {chip: name for name, chips in FAMILIES.items() for chip in chips}


def blank(of: Space, unknowns: Numbers, rows: int = 0) -> ServingFit:
    """A fit without corrections."""
    families, software = unpack(unknowns, of)
    return ServingFit(
        source=SOURCE,
        fitted=datetime.now(UTC).date(),
        rows=rows,
        families=families,
        software=software,
        speculation=Speculation(drafted=DRAFTED, accepted=2.2),
        ttft=NOTHING,
        tpot=NOTHING,
    )


def table_of(rows: list[Measured], of: Space) -> Table:
    """The passes of all rows."""
    return tabulate(rows, blank(of, of.start), family_of(), of.names)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Residuals of rows under a fit that did not see their group: measured over estimated."""

    tpot: Numbers
    ttft: Numbers
    """Corrected."""


def unseen(
    table: Table, of: Space, unknowns: Numbers, columns: Mapping[str, Numbers], split: str
) -> Unseen:
    """Fit without each group of a split in turn, and see how far off its rows come out."""
    tpot, ttft = np.zeros((2, len(table.measured)))
    weight = weights(table)
    for _, mine in folds(table.measured, split):
        found = fit_figures(table.select(~mine), of, unknowns, 10)
        flow = flows(table, of.expand(found))
        tpot[mine] = np.log(table.tpot_s / flow.tpot_s)[mine]
        left = np.log(table.ttft_s / flow.ttft_s)
        others = {name: column[~mine] for name, column in columns.items()}
        line = corrected(others, left[~mine], weight[~mine] ** 2)
        own = {name: column[mine] for name, column in columns.items()}
        ttft[mine] = left[mine] - np.clip(line.at(own) + line.offset, -LIMIT, LIMIT)
    return Unseen(tpot, ttft)


def build(table: Table, of: Space) -> tuple[ServingFit, Numbers, Mapping[str, Numbers], Unseen]:
    """The whole fit, the unknowns behind it, the rows' features, and unseen models' residuals."""
    unknowns = fit_figures(table, of, rounds=40)
    fit = blank(of, unknowns, len(table.measured))
    columns = features_of(table, fit)
    found = unseen(table, of, unknowns, columns, "model")
    left = np.log(table.ttft_s / flows(table, of.expand(unknowns)).ttft_s)
    line = corrected(columns, left, weights(table) ** 2)
    # What nobody fitted for is judged by whole families and frameworks kept out.
    apart = [unseen(table, of, unknowns, columns, split) for split in ("family", "framework")]
    widths = {
        "tpot": spread(columns, TPOT_SPREAD, found.tpot),
        "ttft": spread(columns, TTFT_SPREAD, found.ttft),
    }
    farther = {
        name: _factor(columns, width, [getattr(each, name) for each in apart])
        for name, width in widths.items()
    }
    fit = msgspec.structs.replace(
        fit,
        tpot=correction(None, widths["tpot"], farther["tpot"]),
        ttft=correction(line, widths["ttft"], farther["ttft"]),
    )
    return fit, unknowns, columns, found


def _factor(columns: Mapping[str, Numbers], width: Spread, far: list[Numbers]) -> float:
    """How much wider intervals must be to hold 80 % of the residuals `far` from the fit."""
    low, high = width.ends(columns)
    needed = [np.maximum(each / high, each / low) for each in far]
    return max(float(np.quantile(np.concatenate(needed), 0.8)), OTHER_VENDOR)


def accepted_tokens(rows: list[Measured], fit: ServingFit) -> float:
    """Tokens a step yields with a draft head: the median over set-ups that ran with one."""
    speculation = Speculation(drafted=DRAFTED, accepted=1.0)
    fit = msgspec.structs.replace(fit, speculation=speculation)
    ratios = [estimate_serving(each.case, fit).tpot_ms.value / each.tpot_ms for each in rows]
    return round(float(np.median(ratios)), 2)


def main() -> None:
    """Fit, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, help="silicon_sample.csv, where it is at hand")
    sample = read(parser.parse_args().sample or obtain(CACHE))
    rows, left = measured(sample, known=SEEN)
    for reason, count in left.most_common():
        print(f"{count:5d} rows left out: {reason}")
    of = space()
    fit, *_ = build(table_of(rows, of), of)
    drafting, _ = measured(sample, known=SEEN, speculative=True)
    speculation = Speculation(drafted=DRAFTED, accepted=accepted_tokens(drafting, fit))
    fit = msgspec.structs.replace(fit, speculation=speculation)
    lines = [
        "# Written by benchmarks/silicon/fit_serving.py; silicon/efficiency.py says what it means.",
        *toml_lines(msgspec.to_builtins(fit, builtin_types=(date,))),
    ]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(rows)} rows fitted, written to {OUTPUT}")


def toml_lines(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A table as TOML: its own values, then its tables."""
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{key} = {_toml(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield f"\n[{path}{key}]"
            yield from toml_lines(value, f"{path}{key}.")


def _toml(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:g}" if "." in f"{value:g}" or "e" in f"{value:g}" else f"{value:.1f}"
    return json.dumps(value)


if __name__ == "__main__":
    main()
