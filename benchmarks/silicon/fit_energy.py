"""Fits the coefficients of `craton.silicon.energy` to the ML.ENERGY rows and stores them.

    python -m benchmarks.silicon.fit_energy --data leaderboard/public/data/tasks

The energy of a step, in milliseconds at TDP, is a sum of terms times positive factors. Their
logarithms are found by damped Gauss-Newton on the logarithm of the energy, with a loss that grows
linearly for outliers. Each factor has a prior, and each of the two chips may depart from the
common one by as much as its own prior allows.
"""

import argparse
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.energy_rows import PROMPTS, SOURCE, SPLITS, Row, read_rows
from craton.silicon.energy import (
    Z_80,
    EnergyFit,
    PowerFit,
    implied_step_ms,
    step_energy_ms,
    uncertainty,
)
from craton.silicon.energy_terms import Prompt, Prompts, StepTerms, step_terms

Numbers = NDArray[np.float64]

# Mean and standard deviation (of the natural logarithm) of each factor before any row is seen.
PRIORS = {
    "step": (1.0, 1.0),
    "layers": (0.02, 1.0),
    "dense_ms": (1.0, 0.3),
    "experts_ms": (1.0, 0.3),
    "spread_experts_ms": (1.0, 0.3),
    "packed_experts_ms": (1.0, 0.4),
    "eight_bit_ms": (0.3, 1.0),
    "imbalance_ms": (0.5, 1.0),
    "cache_ms": (1.2, 0.4),
    "activations_ms": (3.0, 0.8),
    "links_ms": (1.0, 0.6),
    "collectives": (0.005, 1.0),
    "multiply_ms": (0.9, 0.3),
    "requests": (3.0, 1.0),
    "images": (10.0, 1.0),
    "sequences_root": (0.1, 1.0),
}
_PROMPT_PRIOR = (1.0, 0.7)
_CHIP_SPREAD = 0.3
"""Standard deviation by which the two chips differ in a factor."""
_SCALE = 0.15
"""Logarithmic error from which the loss grows linearly."""
MEMORY_HALF, COMPUTE_HALF = 0.5, 0.2
"""Fixed before the fit: utilisations that cost half of what full ones do."""
KIN = {"h200": "h100", "h800": "h100", "gb200": "b200", "b300": "b200", "gb300": "b200"}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows as numbers."""

    terms: Numbers
    """Rows by columns: those of PRIORS, one for the prompts of each data set, one for images."""
    energy_ms: Numbers
    """Measured energy of a step of one chip, in ms at TDP."""
    step_ms: Numbers
    share: Numbers
    """Measured power over TDP."""
    reading: Numbers
    several: Numbers
    chip: NDArray[np.str_]


def table(rows: Sequence[Row]) -> Table:
    found, energy, steps, share, reading = [], [], [], [], []
    for row in rows:
        text, image = (step_terms(row.case, _priced(cost)) for cost in ((1.0, 0.0), (0.0, 1.0)))
        own = [getattr(text, name) for name in PRIORS]
        own += [text.prompt_ms * (row.case.dataset == name) for name in PROMPTS.datasets]
        found.append([*own, image.prompt_ms])
        sequences = text.sequences_root**2
        board = row.case.chip.power_w.value
        energy.append(row.joules_token * sequences / row.case.chips / board * 1e3)
        steps.append(sequences / row.tokens_s * 1e3)
        share.append(row.watts_chip / board)
        reading.append(_reading(text))
    return Table(
        terms=np.array(found),
        energy_ms=np.array(energy),
        step_ms=np.array(steps),
        share=np.array(share),
        reading=np.array(reading),
        several=np.array([float(row.case.chips > 1) for row in rows]),
        chip=np.array([row.case.chip.name for row in rows]),
    )


def _priced(cost: tuple[float, float]) -> Prompts:
    """The prompts with one cost for text and one for images."""
    priced = {
        name: msgspec.structs.replace(each, cost=cost[0]) for name, each in PROMPTS.datasets.items()
    }
    return msgspec.structs.replace(PROMPTS, datasets=priced, image_cost=cost[1])


def _reading(terms: StepTerms) -> float:
    weights = terms.dense_ms + terms.experts_ms + terms.spread_experts_ms + terms.packed_experts_ms
    return weights + terms.cache_ms + terms.activations_ms


CHIPS = ("h100", "b200")


@dataclass(frozen=True, slots=True)
class Factors:
    """The common factors, and by how much (as a logarithm) half of the chips' difference is."""

    common: Numbers
    apart: Numbers

    def on(self, chip: str) -> Numbers:
        sign = {"h100": -0.5, "b200": 0.5}.get(chip, 0.0)
        return np.exp(self.common + sign * self.apart)


def _priors() -> tuple[Numbers, Numbers, Numbers]:
    extra = [_PROMPT_PRIOR] * (len(PROMPTS.datasets) + 1)
    both = [*PRIORS.values(), *extra]
    apart = [_CHIP_SPREAD] * len(PRIORS) + [1e-3] * len(extra)
    mean = np.log([prior[0] for prior in both])
    return mean, np.array([prior[1] for prior in both]), np.array(apart)


def fit(data: Table, keep: NDArray[np.bool_]) -> Factors:
    """The factors that the kept rows ask for."""
    mean, spread, apart = _priors()
    terms, energy = data.terms[keep], np.log(data.energy_ms[keep])
    sign = np.select([data.chip[keep] == "h100", data.chip[keep] == "b200"], [-0.5, 0.5])[:, None]
    middle = np.concatenate([mean, np.zeros_like(mean)])
    width = np.concatenate([spread, apart])
    count = len(mean)

    def errors(guess: Numbers) -> tuple[Numbers, Numbers]:
        parts = terms * np.exp(guess[:count] + sign * guess[count:])
        return parts, (np.log(parts.sum(axis=1)) - energy) / _SCALE

    def cost(guess: Numbers) -> float:
        error = errors(guess)[1]
        bent = 2.0 * (np.sqrt(1.0 + error**2) - 1.0)
        return float(bent.sum() + (((guess - middle) / width) ** 2).sum())

    guess, damping, best = middle.copy(), 1.0, cost(middle)
    for _ in range(200):
        parts, error = errors(guess)
        weight = 1.0 / np.sqrt(1.0 + error**2)
        slope = parts / parts.sum(axis=1)[:, None] / _SCALE
        both = np.hstack([slope, slope * sign])
        gradient = both.T @ (weight * error) + (guess - middle) / width**2
        curve = (both * weight[:, None]).T @ both + np.diag(1.0 / width**2)
        move = np.linalg.solve(curve + damping * np.diag(np.diag(curve)), -gradient)
        tried = cost(guess + move)
        if tried < best:
            guess, best, damping = guess + move, tried, damping / 3.0
        else:
            damping *= 4.0
        if np.abs(move).max() < 1e-7:
            break
    return Factors(guess[:count], guess[count:])


def predicted(data: Table, factors: Factors) -> Numbers:
    """Energy of a step of one chip, in ms at TDP."""
    found = np.zeros(len(data.energy_ms))
    for chip in np.unique(data.chip):
        mine = data.chip == chip
        found[mine] = data.terms[mine] @ factors.on(str(chip))
    return found


def groups(rows: Sequence[Row], split: str) -> NDArray[np.str_]:
    return np.array([SPLITS[split](row) for row in rows])


def held_out(data: Table, group: NDArray[np.str_]) -> Numbers:
    """Energies by factors fitted without each row's group."""
    found = np.zeros(len(group))
    for name in np.unique(group):
        out = group == name
        found[out] = predicted(data, fit(data, ~out))[out]
    return found


def power_columns(data: Table, factors: Factors) -> Numbers:
    """What the power share is a sum of: idle, idle of a B200 besides, links, memory, compute."""
    prompts = data.terms[:, len(PRIORS) :] @ np.exp(factors.common[len(PRIORS) :])
    at = list(PRIORS).index("multiply_ms")
    prompts = prompts / np.exp(factors.common[at])
    memory = data.reading / data.step_ms
    compute = (data.terms[:, at] + prompts) / data.step_ms
    return np.column_stack(
        [
            np.ones(len(memory)),
            data.chip == "b200",
            data.several,
            memory / (memory + MEMORY_HALF),
            compute / (compute + COMPUTE_HALF),
        ]
    )


# Before any row: a board at rest draws about a tenth of its TDP, a B200 a little more; memory and
# multipliers at full rate would each draw most of it. Weighed as this many rows.
_POWER_PRIOR = np.array([0.1, 0.04, 0.03, 0.8, 0.8])
_POWER_PRIOR_ROWS = 100.0


def fit_power(columns: Numbers, share: Numbers, keep: NDArray[np.bool_]) -> Numbers:
    """Coefficients by relative least squares, outliers down-weighted."""
    scaled = columns[keep] / share[keep, None]
    weight = np.ones(len(scaled))
    found = _POWER_PRIOR
    for _ in range(20):
        curve = (scaled * weight[:, None]).T @ scaled + _POWER_PRIOR_ROWS * np.eye(len(found))
        aim = (scaled * weight[:, None]).sum(axis=0) + _POWER_PRIOR_ROWS * _POWER_PRIOR
        found = np.linalg.solve(curve, aim)
        weight = 1.0 / np.maximum(np.abs(scaled @ found - 1.0), 0.05)
    return found


def power_held_out(data: Table, group: NDArray[np.str_]) -> Numbers:
    found = np.zeros(len(group))
    for name in np.unique(group):
        out = group == name
        columns = power_columns(data, fit(data, ~out))
        found[out] = np.clip(columns[out] @ fit_power(columns, data.share, ~out), 0.02, 1.0)
    return found


def doubts(rows: Sequence[Row]) -> Numbers:
    return np.array([uncertainty(row.case.architecture) for row in rows])


def spread(measured: Numbers, found: Numbers, doubt: Numbers) -> float:
    """The logarithm within which 80 % of the rows lie, over how uncertain each is."""
    return float(np.quantile(np.abs(np.log(measured / found)) / doubt, 0.8))


def assembled(factors: Factors, power: Numbers) -> EnergyFit:
    """Coefficients as they are stored, nothing said yet of how well they do."""
    names = [*PRIORS, "prompt_ms"]
    at = names.index("multiply_ms")
    costs = np.exp(factors.common[len(PRIORS) :] - factors.common[at])

    def on(where: str) -> dict[str, float]:
        own = factors.on(where)[: len(PRIORS)]
        prompt = float(np.exp(factors.common[at]))
        return {name: float(value) for name, value in zip(names, [*own, prompt], strict=True)}

    idle, b200, several, memory, compute = (float(each) for each in power)
    return EnergyFit(
        source=SOURCE,
        fitted=datetime.datetime.now(tz=datetime.UTC).date(),
        rows=0,
        error=0.0,
        spread=0.1,
        spread_elsewhere=0.1,
        terms=on(""),
        chips={name: on(name) for name in CHIPS},
        kin=KIN,
        power=PowerFit(
            idle={"": idle + b200 / 2, "h100": idle, "b200": idle + b200},
            several=several,
            memory=memory,
            memory_half=MEMORY_HALF,
            compute=compute,
            compute_half=COMPUTE_HALF,
            spread=0.1,
            step_spread=0.1,
            error=0.0,
        ),
        prompts=Prompts(
            datasets={
                name: Prompt(each.tokens, float(cost), each.pictures)
                for (name, each), cost in zip(PROMPTS.datasets.items(), costs[:-1], strict=True)
            },
            image_tokens=PROMPTS.image_tokens,
            image_cost=float(costs[-1]),
        ),
    )


def implied_steps(rows: Sequence[Row], data: Table, group: NDArray[np.str_]) -> Numbers:
    """Milliseconds of a step that energy and power imply, by a fit without each row's group."""
    found = np.zeros(len(rows))
    for name in np.unique(group):
        out = group == name
        factors = fit(data, ~out)
        power = fit_power(power_columns(data, factors), data.share, ~out)
        without = assembled(factors, power)
        for at in np.flatnonzero(out):
            case = rows[at].case
            terms = step_terms(case, without.prompts)
            energy = step_energy_ms(terms, case.chip.name, without)
            found[at] = implied_step_ms(
                terms, energy, case.chip.name, without, several=case.chips > 1
            )
    return found


def fitted(rows: Sequence[Row]) -> EnergyFit:
    """The fit to all rows, and its errors on rows of models it hasn't seen."""
    data = table(rows)
    every, even = np.ones(len(rows), dtype=bool), np.ones(len(rows))
    model, chip, doubt = groups(rows, "model"), groups(rows, "chip"), doubts(rows)
    factors = fit(data, every)
    found = assembled(factors, fit_power(power_columns(data, factors), data.share, every))
    out, power = held_out(data, model), power_held_out(data, model)
    steps = implied_steps(rows, data, model)
    return msgspec.structs.replace(
        found,
        rows=len(rows),
        error=float(np.abs(out / data.energy_ms - 1.0).mean()),
        spread=spread(data.energy_ms, out, doubt),
        spread_elsewhere=spread(data.energy_ms, held_out(data, chip), doubt),
        power=msgspec.structs.replace(
            found.power,
            spread=spread(data.share, power, even) / Z_80,
            step_spread=spread(data.step_ms, steps, even) / Z_80,
            error=float(np.abs(power / data.share - 1.0).mean()),
        ),
    )


def write(found: EnergyFit, path: Path) -> None:
    """As TOML, by hand: nested tables of numbers, strings and truth values are all there is."""
    lines = ["# Written by benchmarks/silicon/fit_energy.py; explained in silicon/energy.py."]
    _lines(msgspec.to_builtins(found, builtin_types=(datetime.date,)), (), lines)
    path.write_text("\n".join(lines) + "\n")


def _lines(values: dict[str, object], place: tuple[str, ...], lines: list[str]) -> None:
    tables = {}
    for name, value in values.items():
        match value:
            case dict():
                tables[name] = value
            case float():
                lines.append(f"{_key(name)} = {value:.4g}")
            case datetime.date():
                lines.append(f"{_key(name)} = {value}")
            case _:
                lines.append(f"{_key(name)} = {msgspec.json.encode(value).decode()}")
    for name, inner in tables.items():
        within = (*place, _key(name))
        lines += ["", f"[{'.'.join(within)}]"]
        _lines(inner, within, lines)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else f'"{name}"'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the leaderboard's task files")
    parser.add_argument("--out", type=Path, default=Path("src/craton/silicon/fits/energy.toml"))
    arguments = parser.parse_args()
    write(fitted(read_rows(arguments.data)), arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
