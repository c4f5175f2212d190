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
from typing import Any

import msgspec

from craton.bootstrap.migrate import migrate
from craton.bootstrap.state_process import economy, price_folders
from craton.economics import statements
from craton.economics.contract import VerifyQuery
from craton.economics.prices import load_prices
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    CommitmentView,
    SignCommitment,
)
from craton.fleet.contract import Advance, ApplyFleet, Owner, RequestLease
from craton.fleet.instance_types import load_instance_types
from craton.fleet.office import Books, FleetOffice, LocalMachine
from craton.fleet.records import LeaseKind, ReservationState
from craton.kernel.clock import ManualClock
from craton.kernel.ids import Ids
from craton.kernel.metrics import Metrics
from craton.silicon.catalogue import load_catalogue
from craton.silicon.power import load_site
from craton.store.database import transaction
from craton.store.documents import Transaction
from craton.store.sqlite import open_sqlite

EXAMPLES = Path(__file__).parents[2] / "examples"
ACCOUNT = "frontier-lab"
OWNER = Owner(ACCOUNT, "proj-train", "key-train")
SIGNED = datetime(2026, 11, 23, tzinfo=UTC)
IDLE_EVERY = 10
"""Nothing runs in every tenth block: that is billed all the same."""
WATT_S_PER_MWH = 3_600_000_000


class World:
    """A state process's fleet and ledger over one file, and the clock they are told."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.clock = ManualClock(int(SIGNED.timestamp()) * 10**9)
        self.types = load_instance_types(load_catalogue(), load_site())
        migrate(database)
        self.open()

    def open(self) -> None:
        """Read everything there is."""
        self.connection = open_sqlite(self.database)
        prices = load_prices(price_folders(self.database.parent))
        rated = economy(self.connection, prices, awaited=(), clock=self.clock, metrics=Metrics())
        self.office = FleetOffice(
            self.types,
            LocalMachine("cpu", 1, "cpu-server", 2, 24),
            Books(prices, rated.ledger, rated.budgets),
            clock=self.clock,
            ids=Ids(self.clock),
            seal=b"k" * 32,
        )
        self.office.load(self.connection)
        self.commands = self.office.commands()

    def restart(self) -> None:
        self.connection.close()
        self.open()

    @property
    def now_s(self) -> int:
        return self.clock.now_ns() // 10**9

    def call(self, name: str, command: msgspec.Struct) -> Any:  # noqa: ANN401 - as each answers
        """One command, and its commit."""
        writing = Transaction(self.connection, self.now_s * 1000)
        with transaction(self.connection):
            done = self.commands[name][1](writing, command)
        for after in writing.after_commit:
            after()
        return done

    def go(self, at_s: int) -> int:
        """Move the clock, and have done what is due; how many things were."""
        self.clock.advance(seconds=at_s - self.now_s)
        return len(self.call("advance", Advance()).events)

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


def owed(world: World) -> int:
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


def row(world: World, year: int) -> str:
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
    world = World(folder / "craton.db")
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
