"""The whole table: what the planner's estimates must show, and what they show.

    python -m benchmarks.silicon                                  # what needs no data of others
    python -m benchmarks.silicon --energy-data leaderboard/public/data/tasks --this-machine

Every error is of rows whose group (model or table, as the line says) the fit hasn't seen. A part
whose data or tools aren't there says so, and the others go on. The parts can be run alone, and then
say more: `benchmarks.silicon.training`, `.serving`, `.neuron`, `.energy`, `.search`,
`.this_machine`.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon import fit_energy, fit_neuron, neuron, search, serving
from benchmarks.silicon.data_serving import measured, obtain, read
from benchmarks.silicon.energy import GOAL as ENERGY_GOAL
from benchmarks.silicon.energy_rows import read_rows as read_energy_rows
from benchmarks.silicon.fit_serving import CACHE
from benchmarks.silicon.neuron_rows import read_rows as read_neuron_rows
from benchmarks.silicon.peers import CAPPED, unseen_models
from benchmarks.silicon.serving_residuals import TPOT_SPREAD, TTFT_SPREAD
from benchmarks.silicon.splits import SEEN
from craton.silicon.case import Recompute, TrainingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.intervals import interval_score
from craton.silicon.layout import Layout
from craton.silicon.memory import GIB
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from craton.silicon.training_memory import activation_bytes

Numbers = NDArray[np.float64]

WIDTH_TIMES_GOAL = 2.5
CROSS_VALIDATION = (0.75, 0.85)
UNSEEN_MODELS = (0.65, 0.92)
SERVING_GOALS = {"TPOT": (0.18, 0.12), "TTFT": (0.35, None)}
"""All rows; dense models."""
ACTIVATIONS_GOAL = 0.02
MACHINE_GOAL = 0.20


class Unavailable(Exception):
    """A part that can't be measured here; the message says what it needs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One error against its goal."""

    what: str
    split: str
    rows: int
    error: float
    goal: float | None
    unit: str = "%"


@dataclass(frozen=True, slots=True)
class Spread:
    """How good the 80 % intervals of some rows are; all ends are logarithms over the estimate."""

    what: str
    split: str
    rows: int
    goal: float | None
    inside: float
    width: float
    """Median of high less low, over the estimate."""
    score: float
    """Winkler's, of logarithms; less is better."""
    constant: float
    """The same of one constant factor."""


def spread_of(
    what: str,
    split: str,
    goal: float | None,
    *,
    residual: Numbers,
    ends: tuple[Numbers, Numbers],
    plain: tuple[Numbers, Numbers, Numbers],
) -> Spread:
    """From log(measured / estimated) and the ends of intervals; `plain`: a constant factor's."""
    low, high = ends
    return Spread(
        what,
        split,
        len(residual),
        goal,
        float(np.mean((low <= residual) & (residual <= high))),
        float(np.median(np.exp(high) - np.exp(low))),
        float(np.mean(interval_score(low, high, residual))),
        float(np.mean(interval_score(plain[1], plain[2], plain[0]))),
    )


def errors_of(residual: Numbers) -> Numbers:
    """Absolute errors of estimates as parts of what was measured."""
    return np.abs(np.exp(-residual) - 1.0)


# Micro-batch and GiB a rank of states, of activations, and of activations under sequence
# parallelism and selective recomputation; tensor parallelism 8, sequences of 2,048.
# arXiv:2205.05198, figure 1, as transcribed in github.com/calculon-ai/calculon
# (calculon/llm/validation.py, Apache-2.0); split and batch from its validation/seqsel/fig1.
FIGURE_1 = (
    ("megatron-22b", 1, 1, 4, 59.25, 9.5625),
    ("gpt3-175b", 8, 3, 1, 66.84375, 12.3515625),
    ("turing-530b", 35, 3, 1, 114.0234375, 23.076171875),
    ("megatron-1t", 64, 1, 1, 131.25, 26.5625),
)


def activations() -> Iterator[Line]:
    """The worst of the paper's figures of activation memory; nothing is fitted."""
    worst = 0.0
    for model, pipeline, virtual, batch, whole, selective in FIGURE_1:
        case = TrainingCase(
            architecture=find_model(model),
            chip=load_catalogue().chip("a100"),
            layout=Layout(tensor=8, pipeline=pipeline, virtual=virtual),
            chips=8 * pipeline,
            micro_batch=batch,
            global_batch=batch * pipeline * 8 if pipeline > 1 else batch,
            sequence=2048,
            precision=Precision.FP16,
            sequence_parallel=False,
        )
        less = msgspec.structs.replace(case, sequence_parallel=True, recompute=Recompute.SELECTIVE)
        for each, stated in ((case, whole), (less, selective)):
            worst = max(worst, abs(activation_bytes(each) / GIB / stated - 1.0))
    yield Line(
        "activation memory, Korthikanti figure 1, worst",
        "nothing fitted",
        8,
        worst,
        ACTIVATIONS_GOAL,
    )


def training_lines() -> Iterator[Line | Spread]:
    """Step times, by table."""
    try:
        from benchmarks.silicon import fit_training, training  # noqa: PLC0415 - SciPy may be missing
    except ImportError as error:
        raise Unavailable(f"{error.name} is needed to fit: pip install scipy") from error
    runs = fit_training.pretraining()
    split = training.table_split(runs)
    model = fit_training.unseen(runs)
    set_up = fit_training.one_by_one(runs)
    for table, goal in training.GOALS.items():
        rows = [i for i, run in enumerate(runs) if run.table == table]
        name = "whole table" if table in training.ALONE else "model"
        error = training.error([split[i] for i in rows])
        yield Line(f"training step, {table}", f"{name} unseen", len(rows), error, goal)
        plain = np.concatenate([training.baseline(runs, rows, i) for i in rows])
        factor = training.residuals_of(plain)
        ends_plain = (plain, np.full(len(plain), factor.low), np.full(len(plain), factor.high))
        for label, found, by_model in (("model unseen", model, True), ("set-up", set_up, False)):
            each = [training.quantiles_without(runs, found, i, by_model=by_model) for i in rows]
            ends = np.array([one.low for one in each]), np.array([one.high for one in each])
            residual = np.array([found[i] for i in rows])
            yield spread_of(
                f"training step, {table}",
                label,
                goal,
                residual=residual,
                ends=ends,
                plain=ends_plain,
            )


def serving_lines(sample: Path | None, cache: Path) -> Iterator[Line | Spread]:
    """Times to first token and per output token of NVIDIA's chips."""
    try:
        path = sample or obtain(cache)
    except (subprocess.CalledProcessError, OSError) as error:
        raise Unavailable(f"the wheel with the rows can't be downloaded: {error}") from error
    rows, _ = measured(read(path), known=SEEN)
    table, columns, found = unseen_models(rows)
    dense = np.array([each.is_dense for each in rows])
    for figure, residual, names in (
        ("TPOT", found.tpot, TPOT_SPREAD),
        ("TTFT", found.ttft, TTFT_SPREAD),
    ):
        goal, goal_dense = SERVING_GOALS[figure]
        error = errors_of(residual)
        if figure == "TTFT":
            error = np.minimum(error, CAPPED)
        what = f"serving {figure}"
        yield Line(what, "model unseen", len(rows), float(error.mean()), goal)
        if goal_dense is not None:
            mean = float(error[dense].mean())
            yield Line(f"{what}, dense", "model unseen", int(dense.sum()), mean, goal_dense)
        ends = serving.intervals(table, columns, residual, "model", names=names)
        plain = serving.intervals(table, columns, residual, "model", names=())
        yield spread_of(
            what, "model unseen", goal, residual=residual, ends=ends, plain=(residual, *plain)
        )


def by_group(
    residual: Numbers,
    groups: NDArray[np.str_],
    doubt: Numbers,
    half_of: Callable[[Numbers, Numbers], float],
) -> tuple[Numbers, Numbers]:
    """Symmetric intervals of each group, as wide as the residuals of the others ask for."""
    half = np.zeros(len(residual))
    for group in np.unique(groups):
        out = groups == group
        half[out] = half_of(residual[~out], doubt[~out]) * doubt[out]
    return -half, half


def neuron_lines() -> Iterator[Line | Spread]:
    """Times on Trainium1 and Inferentia2."""
    rows = read_neuron_rows()
    groups = np.array([row.model for row in rows])

    def half_of(residual: Numbers, doubt: Numbers) -> float:
        return fit_neuron.spread(np.exp(residual), doubt)

    for phase, goal in neuron.GOALS.items():
        what = f"Trainium1, Inferentia2 {neuron.NAMES[phase]}"
        times = fit_neuron.measured(rows, phase)
        residual = np.log(times / fit_neuron.held_out(rows, phase, "model"))
        terms = fit_neuron.fit(fit_neuron.terms(rows, phase), times, phase)
        doubt = fit_neuron.doubts(rows, phase, fit_neuron.named(terms, phase))
        yield Line(what, "model unseen", len(rows), float(errors_of(residual).mean()), goal)
        ends = by_group(residual, groups, doubt, half_of)
        plain = by_group(residual, groups, np.ones(len(rows)), half_of)
        yield spread_of(
            what, "model unseen", goal, residual=residual, ends=ends, plain=(residual, *plain)
        )


def energy_lines(data: Path | None) -> Iterator[Line | Spread]:
    """Joules for an output token."""
    if data is None:
        raise Unavailable(
            "give --energy-data: public/data/tasks of github.com/ml-energy/leaderboard, whose rows"
            " have no licence to be kept here"
        )
    rows = read_energy_rows(data)
    if not rows:
        raise Unavailable(f"{data} has no task files of the leaderboard")
    table = fit_energy.table(rows)
    groups = fit_energy.groups(rows, "model")
    residual = np.log(table.energy_ms / fit_energy.held_out(table, groups))

    def half_of(residual: Numbers, doubt: Numbers) -> float:
        return fit_energy.spread(np.exp(residual), np.ones(len(residual)), doubt)

    error = float(errors_of(residual).mean())
    yield Line("joules a token", "model unseen", len(rows), error, ENERGY_GOAL)
    ends = by_group(residual, groups, fit_energy.doubts(rows), half_of)
    plain = by_group(residual, groups, np.ones(len(rows)), half_of)
    yield spread_of(
        "joules a token",
        "model unseen",
        ENERGY_GOAL,
        residual=residual,
        ends=ends,
        plain=(residual, *plain),
    )


def search_lines() -> Iterator[Line]:
    """Seconds of one core, as users search."""
    search.hold_to_one_core()
    today = datetime.now(UTC).date()
    for each in search.timings(load_catalogue(), today, time.process_time, unpruned=False):
        one = each.chips == search.CHIP
        goal = search.ONE_CHIP_GOAL_S if one else search.ALL_CHIPS_GOAL_S
        yield Line(
            f"search, {each.chips} chips, {each.model}",
            f"{each.splits:,} splits",
            each.batches,
            each.least_s,
            goal,
            unit="s",
        )


def machine_lines(*, wanted: bool) -> Iterator[Line]:
    """Tokens a second of the embedded engine here."""
    if not wanted:
        raise Unavailable("give --this-machine: it fetches a model of 135M, and takes minutes")
    command = [sys.executable, "-m", "benchmarks.silicon.this_machine"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"benchmarks.silicon.this_machine failed: {last}")
    # The first of its two summaries: medians of the runs.
    said = re.search(
        r"^others: mean ([\d.]+)%, worst ([\d.]+)%, \d+ of (\d+) ", ran.stdout, re.MULTILINE
    )
    if said is None:
        raise Unavailable("benchmarks.silicon.this_machine printed no summary of other loads")
    for name, percent in (("mean", said[1]), ("worst", said[2])):
        what = f"this machine, tokens a second, {name}"
        yield Line(what, "load not probed", int(said[3]), float(percent) / 100.0, MACHINE_GOAL)


def lines(found: Sequence[Line]) -> Iterator[str]:
    """The table of errors."""
    yield f"{'':48} {'split':16} {'rows':>6} {'here':>8} {'goal':>8}"
    for each in found:
        value = f"{each.error:8.1%}" if each.unit == "%" else f"{each.error:6.2f} s"
        goal, reached = f"{'':>8}", ""
        if each.goal is not None:
            goal = f"{each.goal:8.0%}" if each.unit == "%" else f"{each.goal:6.0f} s"
            reached = "reached" if each.error <= each.goal else "NOT REACHED"
        yield f"{each.what:48} {each.split:16} {each.rows:6,d} {value} {goal}  {reached}"


def spreads(found: Sequence[Spread]) -> Iterator[str]:
    """The table of intervals."""
    yield (
        f"{'80 % intervals':48} {'split':16} {'rows':>6} {'inside':>8} {'':11} {'width':>6}"
        f" {'goal':>6} {'score':>7} {'constant':>9}"
    )
    for each in found:
        where = next(
            (
                f"in {low:.0%}-{high:.0%}"
                for low, high in (CROSS_VALIDATION, UNSEEN_MODELS)
                if low <= each.inside <= high
            ),
            "OUTSIDE",
        )
        goal, wide = f"{'':>6}", ""
        if each.goal is not None:
            goal = f"{WIDTH_TIMES_GOAL * each.goal:6.0%}"
            wide = "  TOO WIDE" if each.width > WIDTH_TIMES_GOAL * each.goal else ""
        worse = "  WORSE THAN A CONSTANT" if each.score >= each.constant else ""
        yield (
            f"{each.what:48} {each.split:16} {each.rows:6,d} {each.inside:8.1%} {where:11}"
            f" {each.width:6.0%} {goal} {each.score:7.3f} {each.constant:9.3f}{wide}{worse}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=Path, help="silicon_sample.csv, where it is at hand")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the wheel with it is kept")
    parser.add_argument("--energy-data", type=Path, help="ML.ENERGY's task files")
    parser.add_argument("--this-machine", action="store_true", help="run the embedded engine, too")
    names = ("activations", "training", "serving", "neuron", "energy", "machine", "search")
    parser.add_argument("--only", choices=names, action="append", help="some parts")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[Line | Spread]]] = {
        "activations": activations,
        "training": training_lines,
        "serving": lambda: serving_lines(options.sample, options.cache),
        "neuron": neuron_lines,
        "energy": lambda: energy_lines(options.energy_data),
        "search": search_lines,
        "machine": lambda: machine_lines(wanted=options.this_machine),
    }
    found: list[Line | Spread] = []
    for name in options.only or names:
        print(f"# {name}", file=sys.stderr, flush=True)
        try:
            found += parts[name]()
        except Unavailable as reason:
            print(f"{name}: not measured; {reason}.")
    print()
    for text in lines([each for each in found if isinstance(each, Line)]):
        print(text)
    print("\nRows of searches are the set-ups timed; their goal is in seconds of one core.\n")
    for text in spreads([each for each in found if isinstance(each, Spread)]):
        print(text)
    print("\nScores are Winkler's of logarithms, and the same of one constant factor a table.")


if __name__ == "__main__":
    main()
