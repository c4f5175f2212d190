"""python -m tests.fuzz: hostile inputs over all wires, through raw sockets, against a real Craton.

Exits with 1 if an answer was wrong, late or missing, or if Craton counts an internal error, lost a
process, isn't ready or has a ledger that isn't whole when all is over.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fakes.craton import Craton
from tests.fuzz.http2_trial import Http2Lane
from tests.fuzz.requests import KINDS
from tests.fuzz.tls import TlsLane
from tests.fuzz.trial import Lane, NewPlayer, Outcome, Plan, run_trial

HEX_BYTES_SHOWN = 4096


def show(outcome: Outcome, console: Console) -> None:
    by_wire: dict[str, dict[str, int]] = defaultdict(dict)
    for (wire, status), times in outcome.counts.items():
        by_wire[wire][status] = times
    statuses = sorted({status for _, status in outcome.counts})
    table = Table("wire", *statuses, title="answers by wire and status")
    for wire in sorted(by_wire):
        table.add_row(wire, *(str(by_wire[wire].get(status, "")) for status in statuses))
    console.print(table)
    for fault in outcome.faults:
        console.print(f"FAULT input {fault.number}, {fault.wire}: {fault.text}", **PLAIN)
        console.print(f"  bytes: {fault.data[:HEX_BYTES_SHOWN].hex()}", **PLAIN)
        console.print(f"  as text: {fault.data[:400]!r}", **PLAIN)
    if outcome.fault_count > len(outcome.faults):
        console.print(f"and {outcome.fault_count - len(outcome.faults)} more faults")
    for text in outcome.after:
        console.print(f"AFTERWARDS {text}", **PLAIN)


PLAIN = {"markup": False, "highlight": False, "soft_wrap": True}


def main() -> int:
    parser = argparse.ArgumentParser(description="Send Craton hostile inputs over all wires.")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each of --over")
    parser.add_argument(
        "--over", choices=("all", *PLAYERS), default="all", help="what is bent below the requests"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=8, help="concurrent clients")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--engine", choices=("echo", "embedded"), default="echo")
    parser.add_argument("--kind", action="append", default=[], choices=KINDS, help="no other ones")
    parser.add_argument("--only", type=int, help="send only the input of this number")
    arguments = parser.parse_args()
    plan = Plan(
        inputs=arguments.inputs,
        seed=arguments.seed,
        lanes=arguments.lanes,
        only=arguments.only,
        kinds=tuple(arguments.kind),
    )
    console = Console(width=200)
    is_clean = True
    for over in PLAYERS if arguments.over == "all" else [arguments.over]:
        outcome = tried(over, plan, engine=arguments.engine, workers=arguments.workers)
        show(outcome, console)
        console.print(
            f"{over}: {outcome.sent} inputs in {outcome.took_s:.0f} s, {outcome.fault_count} "
            f"faults, {len(outcome.after)} afterwards, slowest answer {outcome.slowest_s:.2f} s "
            f"(input {outcome.slowest_number}), seed {plan.seed}"
        )
        is_clean = is_clean and outcome.is_clean and outcome.sent > 0
    return 0 if is_clean else 1


def tried(over: str, plan: Plan, *, engine: str, workers: int) -> Outcome:
    """One trial, with a Craton of its own."""
    with tempfile.TemporaryDirectory(prefix="craton-fuzz-") as folder:
        craton = Craton(Path(folder), engine=engine, workers=workers, tls=over == "tls")
        try:
            player = PLAYERS[over](craton)
            outcome = asyncio.run(run_trial(craton, plan, player))
        finally:
            status = craton.close()
    if status:
        outcome.after.append(f"Craton ended with status {status}")
    return outcome


def _over_tls(craton: Craton) -> NewPlayer:
    context = craton.context
    assert context is not None
    context.set_alpn_protocols(["h2"])
    return lambda *arguments: TlsLane(*arguments, context)


PLAYERS: dict[str, Callable[[Craton], NewPlayer]] = {
    "http1": lambda _: Lane,
    "http2": lambda _: Http2Lane,
    "tls": _over_tls,
}


if __name__ == "__main__":
    sys.exit(main())
