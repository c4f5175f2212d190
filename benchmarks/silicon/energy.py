"""How far `craton.silicon.energy` is from what was measured, by split.

    python -m benchmarks.silicon.energy --data leaderboard/public/data/tasks

Joules a token are predicted from the set-up alone, and again with the measured tokens a second.
Intervals are held out too: those of a group come from the residuals of the others.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.silicon.energy_rows import SPLITS, read_rows
from benchmarks.silicon.fit_energy import (
    Numbers,
    doubts,
    groups,
    held_out,
    implied_steps,
    power_held_out,
    spread,
    table,
)
from craton.silicon.energy import Z_80, blend

GOAL = 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the leaderboard's task files")
    rows = read_rows(parser.parse_args().data)
    data = table(rows)
    measured = data.energy_ms
    print(f"{len(rows)} rows, errors are mean |predicted / measured - 1|\n")
    model = groups(rows, "model")
    print(f"TDP x 0.81 over measured tokens a second: {_error(0.81 * data.step_ms, measured):.1%}")
    for split in SPLITS:
        out = held_out(data, groups(rows, split))
        print(f"joules/token, leave one {split} out: {_error(out, measured):6.1%}", end="")
        print(f"  (goal {GOAL:.0%})" if split == "model" else "")
    power = power_held_out(data, model)
    out = held_out(data, model)
    print(f"watts, given tokens/s, leave one model out: {_error(power, data.share):6.1%}")
    doubt = doubts(rows)
    half = spread(measured, out, doubt) / Z_80
    power_doubt = spread(data.share, power, np.ones(len(rows))) / Z_80
    _given_rate(measured, out, power * data.step_ms, half * doubt, power_doubt)
    steps = implied_steps(rows, data, model)
    print(f"step time implied by both, leave one model out: {_error(steps, data.step_ms):6.1%}")
    print(f"watts, from the set-up alone: {_error(out / steps, data.share):6.1%}\n")
    for label, kinds in (("model", model), ("set-up", np.array([row.group for row in rows]))):
        for kind in np.unique(kinds):
            mine = kinds == kind
            bias = np.log(out[mine] / measured[mine]).mean()
            print(
                f"  {label} {kind:52} {mine.sum():4} rows"
                f" {_error(out[mine], measured[mine]):6.1%}  bias {bias:+.2f}"
            )
    _intervals(measured, out, model, doubt)


def _error(found: Numbers, measured: Numbers) -> float:
    return float(np.abs(found / measured - 1.0).mean())


def _intervals(measured: Numbers, out: Numbers, model: np.ndarray, doubt: Numbers) -> None:
    for label, weighed in (("", doubt), (" of one constant factor", np.ones(len(doubt)))):
        apart = np.zeros(len(out))
        for name in np.unique(model):
            mine = model == name
            half = spread(measured[~mine], out[~mine], weighed[~mine])
            apart[mine] = np.exp(half * weighed[mine])
        low, high = out / apart, out * apart
        inside = ((measured >= low) & (measured <= high)).mean()
        missed = np.maximum(low - measured, 0.0) + np.maximum(measured - high, 0.0)
        score = ((high - low + 10.0 * missed) / measured).mean()
        width = np.median((high - low) / out)
        print(f"\n80 % interval{label}: holds {inside:.0%}, median width {width:.0%},", end=" ")
        print(f"interval score {score:.3f} of the measured energy", end="")
    print()


def _given_rate(
    measured: Numbers, out: Numbers, drawn: Numbers, doubt: Numbers, power_doubt: float
) -> None:
    """Both estimates as one, as `estimate_energy` does it when tokens a second are measured."""
    both = [
        blend((one, one_doubt), (other, power_doubt))
        for one, one_doubt, other in zip(out, doubt, drawn, strict=True)
    ]
    value = np.array([each[0] for each in both])
    apart = np.exp(Z_80 * np.array([each[1] for each in both]))
    inside = ((measured >= value / apart) & (measured <= value * apart)).mean()
    print(
        f"joules/token, given tokens/s, leave one model out: {_error(value, measured):6.1%}"
        f"  80 % interval holds {inside:.0%}"
    )


if __name__ == "__main__":
    main()
