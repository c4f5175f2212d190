"""python -m tests.limits: race for budgets and limits with many clients over several workers.

Exits with 1 if a budget was overdrawn by more than a remote engine's own excess, if something was
refused that could have fit, or if a limit let other than its number pass.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.limits.race import (
    COST,
    HELD,
    Result,
    ground,
    overrunning_model,
    race_budget,
    race_limit,
)

EXCESS_TOKENS = 400


async def race(arguments: argparse.Namespace, folder: Path) -> dict[str, Result]:
    clients, workers = arguments.clients, arguments.workers
    amount = arguments.requests * COST + HELD
    results: dict[str, Result] = {}
    async with ground(folder / "budget", workers=workers) as on:
        results["budget"] = await race_budget(on, clients=clients, amount=amount)
    async with (
        ground(folder / "remote", workers=workers) as on,
        overrunning_model(on, excess_tokens=EXCESS_TOKENS) as model,
    ):
        results["budget, remote engine that overruns"] = await race_budget(
            on, clients=clients, amount=amount, model=model
        )
    async with ground(folder / "limit", workers=workers) as on:
        results["requests a minute"] = await race_limit(
            on, clients=clients, requests=min(arguments.requests, 500)
        )
    return results


def show(results: dict[str, Result], console: Console) -> None:
    table = Table(title="races")
    for name in ("race", "allowed", "answered", "refused", "for now", "posted", "over", "left"):
        table.add_column(name, justify="left" if name == "race" else "right")
    for name, result in results.items():
        budget, limit = result.budget, result.limit
        row = [name]
        if budget is not None:
            over = max(0, result.posted_nanos - budget.amount_nanos)
            row += [str(budget.amount_nanos), str(result.answered), str(result.refused)]
            row += [str(result.refused_for_now), str(result.posted_nanos), str(over)]
            row.append(str(budget.left_nanos))
        elif limit is not None:
            row += [str(limit.requests_per_minute), str(result.answered), str(result.refused)]
        table.add_row(*row)
    console.print(table)
    for name, result in results.items():
        for fault in result.faults[:20]:
            console.print(f"FAULT {name}: {fault}", markup=False, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Race for budgets and limits.")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000, help="about so many fit")
    arguments = parser.parse_args()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="craton-limits-") as folder:
        results = asyncio.run(race(arguments, Path(folder)))
    console = Console()
    show(results, console)
    console.print(f"a request is held at {HELD} nanos and costs {COST}; all amounts are nanos")
    console.print(f"{time.monotonic() - started_s:.0f} s")
    return 1 if any(result.faults for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
