"""python -m tests.crash: kill -9 at random moments under load, and count what was lost.

Exits with 1 if an acknowledged answer is missing or billed otherwise than the client was told, if
anything was billed twice, if the ledger does not balance, or if a process did not come back; with
`--budget` also if the budget that the clients race for was ever overdrawn, or blocked. With
`--database postgresql` the database server is killed too, and started again.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.trial import Outcome, Plan, run_trial, write_notes
from tests.fakes.postgresql import PostgreSqlServer

FAULTS_SHOWN = 30
PAUSE_S = {"echo": 0.15, "embedded": 2.0}
"""A real answer takes longer than an echo: kill too fast, and none ever ends."""


def show(outcome: Outcome, console: Console) -> None:
    killings = outcome.killings
    table = Table("victim", "kills", "slowest back, s", title="kill -9")
    for victim, count in sorted(killings.kills.items()):
        table.add_row(victim, str(count), f"{killings.slowest_s.get(victim, 0):.2f}")
    table.add_row("all", str(killings.total), "")
    console.print(table)
    figures = Table("what", "count", title="requests")
    figures.add_row("asked", str(len(outcome.told)))
    figures.add_row("of them streamed", str(sum(told.streamed for told in outcome.told)))
    figures.add_row("acknowledged", str(outcome.acknowledged))
    figures.add_row("records in the ledger", str(len(outcome.records)))
    figures.add_row("billed, not acknowledged", str(outcome.billed_unacknowledged))
    figures.add_row("text delivered, not billed", str(outcome.delivered_unbilled))
    figures.add_row("postings", str(outcome.verdict.postings))
    figures.add_row("sum of all postings, nanos", str(outcome.verdict.sum_nanos))
    if outcome.purse is not None:
        figures.add_row("times the budget was used up", str(outcome.purse.rounds))
        figures.add_row("allowed in all, nanos", str(outcome.purse.amount))
        figures.add_row("posted, nanos", str(outcome.purse.posted))
        figures.add_row("overdrawn, nanos", str(max(0, outcome.purse.overdrawn)))
    console.print(figures)
    for text, count in outcome.failures_told.most_common(8):
        console.print(f"told {count} times: {text}", markup=False, highlight=False)
    for fault in outcome.faults[:FAULTS_SHOWN]:
        console.print(f"FAULT {fault}", markup=False, highlight=False)
    if len(outcome.faults) > FAULTS_SHOWN:
        console.print(f"and {len(outcome.faults) - FAULTS_SHOWN} more faults")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill Craton's processes under load; compare.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--engine", choices=("echo", "embedded"), default="echo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--budget", action="store_true", help="race for a nearly empty budget")
    parser.add_argument("--pause", type=float, help="mean seconds before each kill of a victim")
    parser.add_argument("--data", type=Path, help="keep the data folder and notes here")
    arguments = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="craton-crash-") as folder,
        PostgreSqlServer() if arguments.database == "postgresql" else nullcontext() as server,
    ):
        data = arguments.data or Path(folder) / "data"
        plan = Plan(
            data=data,
            kills=arguments.kills,
            clients=arguments.clients,
            workers=arguments.workers,
            engine=arguments.engine,
            seed=arguments.seed,
            pause_s=arguments.pause or PAUSE_S[arguments.engine],
            budget=arguments.budget,
            server=server,
            database=None if server is None else server.database(),
        )
        started_s = time.monotonic()
        outcome = asyncio.run(run_trial(plan))
        if arguments.data:
            write_notes(outcome, data / "notes.jsonl")
    show(outcome, console)
    console.print(
        f"{time.monotonic() - started_s:.0f} s, seed {plan.seed}, engine {plan.engine}, "
        f"{arguments.database}"
    )
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
