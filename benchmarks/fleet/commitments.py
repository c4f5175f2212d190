"""python -m benchmarks.fleet.commitments: 2 GW over eight years, month by month.

Puts examples/gigawatts.toml in force (1.44 million simulated chips), signs
examples/commitment-2gw.toml, and moves a clock on to each month's first moment until the term is
over. The customer runs something in nine of ten of the blocks that it was given. Everything is the
state process's own: its commands, a commit each, in an SQLite file with synchronous=FULL. In the
middle all of it is thrown away and read again from that file, as after a crash. At the end the
ledger must say what the contract does, to the nano-unit.
"""

import argparse
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.fleet.world import World
from craton.economics import statements
from craton.economics.contract import VerifyQuery
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    CommitmentView,
    SignCommitment,
)
from craton.fleet.contract import ApplyFleet, Owner, RequestLease
from craton.fleet.records import LeaseKind, ReservationState

EXAMPLES = Path(__file__).parents[2] / "examples"
ACCOUNT = "frontier-lab"
OWNER = Owner(ACCOUNT, "proj-train", "key-train")
SIGNED = datetime(2026, 11, 23, tzinfo=UTC)
IDLE_EVERY = 10
"""Nothing runs in every tenth block: that is billed all the same."""
WATT_S_PER_MWH = 3_600_000_000


class Signed(World):
    """A world with one customer, who runs something in most of what it has."""

    def view(self) -> CommitmentView:
        query = CommitmentsQuery()
        told = self.office.memory()["commitments"][1](None, query)
        assert isinstance(told, Commitments)
        (found,) = told.commitments
        return found

    def use(self) -> int:
        """Run something in the blocks that started, but for every tenth; how many began now."""
        fleet = self.office.fleet
        busy = {lease.reservation for lease in fleet.leases.values()}
        blocks = [
            each for each in fleet.reservations.values() if each.state is ReservationState.ACTIVE
        ]
        wanted = [each for at, each in enumerate(blocks) if at % IDLE_EVERY and each.id not in busy]
        for block in wanted:
            wish = RequestLease(
                owner=OWNER,
                kind=LeaseKind.RESERVED,
                reservation=block.id,
                hosts=len(block.hosts),
                purpose="training",
            )
            self.call("request_lease", wish)
        return len(wanted)


def owed(world: Signed) -> int:
    """What the ledger says the customer owes, in two parts: a sum of all is above 64 bits."""
    ((high, low),) = world.connection.execute(
        "SELECT sum(amount / 1000000000), sum(amount % 1000000000) FROM postings "
        "WHERE ledger_account = ?",
        (f"customer/{ACCOUNT}",),
    ).fetchall()
    return int(high or 0) * 10**9 + int(low or 0)


def months(view: CommitmentView) -> list[int]:
    """The first moment of each month after the term's first, up to its end."""
    first = datetime.fromtimestamp(view.start_s, UTC)
    last = datetime.fromtimestamp(view.end_s, UTC)
    found: list[int] = [view.start_s]
    year, month = first.year, first.month
    while (year, month) < (last.year, last.month):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        found.append(int(datetime(year, month, 1, tzinfo=UTC).timestamp()))
    return found


def row(world: Signed, year: int) -> str:
    """One year's line of the table, when it is over."""
    view = world.view()
    (line,) = (each for each in view.years if each.year == year)
    on = [each for each in view.deliveries if each.start_s < world.now_s]
    power_mw = sum(float(each.held) for each in on)
    chips = sum(each.chips for each in on)
    return (
        f"{year}  {power_mw:>6,.0f}  {chips:>9,}  {line.delivered / WATT_S_PER_MWH:>11,.0f}"
        f"  {line.used / WATT_S_PER_MWH:>11,.0f}  {money(line.due)}  {money(line.recognised)}"
        f"  {money(line.backlog)}"
    )


def money(text: str) -> str:
    whole, _, rest = text.partition(".")
    return f"{int(whole):>15,}.{rest[:2]:0<2}"


def run(folder: Path) -> bool:
    begun = time.perf_counter()
    world = Signed(folder / "craton.db", int(SIGNED.timestamp()))
    fleet = world.call("apply_fleet", ApplyFleet((EXAMPLES / "gigawatts.toml").read_text()))
    applied = time.perf_counter()
    print(f"{fleet.chips:,} chips in force after {applied - begun:.2f} s")
    text = (EXAMPLES / "commitment-2gw.toml").read_text()
    command = SignCommitment(text=text, account=ACCOUNT, principal="key-operator")
    view: CommitmentView = world.call("sign_commitment", command)
    blocks = sum(len(each.reservations) for each in view.deliveries)
    missing = sum(float(each.missing) for each in view.deliveries)
    kept = sum(each.chips for each in view.deliveries)
    print(
        f"signed in {time.perf_counter() - applied:.2f} s: {view.contracted} {view.currency}; "
        f"{kept:,} chips in {blocks} blocks, {missing:,.0f} MW missing"
    )
    print(f"{'':4}  {'MW':>6}  {'chips':>9}  {'MWh given':>11}  {'MWh used':>11}", end="")
    print(f"  {'due':>18}  {'recognised':>18}  {'backlog':>18}")
    moments = months(view)
    events, again_s = 0, 0.0
    for at, moment_s in enumerate(moments):
        events += world.go(moment_s) + world.use()
        day = datetime.fromtimestamp(moment_s, UTC)
        if at == len(moments) // 2:
            before, started = world.view(), time.perf_counter()
            world.restart()
            again_s = time.perf_counter() - started
            assert world.view() == before, "what was read again isn't what it was"
        if at and day.month == 1:
            print(row(world, day.year - 1), flush=True)
    view = world.view()
    total = owed(world)
    verdict = statements.verify(world.connection, VerifyQuery())
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    database_mib = world.database.stat().st_size / 2**20
    print(f"owed by the ledger: {total // 10**9:,}.{total % 10**9:09} {view.currency}")
    print(f"{view.state}; lapsed {view.lapsed}, credited {view.credited}, backlog {view.backlog}")
    print(f"ledger: {verdict.usage_records:,} records, {len(verdict.faults)} faults")
    print(f"read again in the middle: {again_s:.2f} s; {events:,} things done")
    print(
        f"{time.perf_counter() - begun:.1f} s, {time.process_time():.1f} s of processor; "
        f"peak {peak_mib:,.0f} MiB; database {database_mib:,.0f} MiB"
    )
    contracted = int(view.contracted.replace(".", "")) * 10**7
    return total == contracted and not verdict.faults and view.state == "completed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where the database is made; default: a new one"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        is_right = run(Path(name))
    print("exact" if is_right else "WRONG: the ledger and the contract differ")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
