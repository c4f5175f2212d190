"""Power loss at any moment keeps every acknowledged post.

The ledger's own code posts in groups on a database behind a VFS that records each write and sync.
Then the files are rebuilt as a power failure may leave them, at every sync boundary and at moments
between, and opened with plain SQLite. `kill -9` alone can't see a missing sync: the kernel still
has the pages.
"""

import asyncio
import itertools
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from craton.economics import statements
from craton.economics.contract import Posted, VerifyQuery
from craton.economics.ledger import Holds, Ledger
from craton.economics.meters import Outcome, UsageRecord
from craton.economics.prices import PriceBook, read_price_file
from craton.kernel.clock import ManualClock
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.store.client import StateClient
from craton.store.pipeline import Commands, Pipeline
from craton.store.sqlite import SQLITE, SqliteConnection, configure
from tests.fakes.databases import migrated
from tests.powerloss.recording import Act, Disk, Loss, Operation, Recorder

DATABASE = "craton.db"
GROUPS = 28
SHARED_MEMORY = "-shm"
NAMES = itertools.count()
PRICES = PriceBook(
    read_price_file(
        "test.toml",
        """
effective = 2020-01-01
currency = "USD"
source = "made up for the test"

[[price]]
resource = "*"
per_million = { input_tokens = "0.02", output_tokens = "0.08" }
payee = "lab"
share_permille = 300
""",
    )
)


class RecordedConnection(apsw.Connection):
    """apsw's connection, which knows what it speaks."""

    dialect = SQLITE


@dataclass
class Run:
    """What one run of the ledger did: its operations, and what was acknowledged by when."""

    start: dict[str, bytes]
    operations: list[Operation]
    acknowledged: list[tuple[int, list[str]]] = field(default_factory=list)
    """After this many operations, these ids had been acknowledged."""


async def post_groups(folder: Path, *, pragmas: tuple[str, ...] = ()) -> Run:
    """Post through the real client, socket, pipeline and ledger, a group a turn of the loop."""
    database = folder / DATABASE
    database.write_bytes(migrated())
    recorder = Recorder(f"recorder-{next(NAMES)}")
    connection = RecordedConnection(str(database), vfs=recorder.vfs_name)
    configure(connection)
    # Checkpoints move pages into the database file: have several in this short run.
    connection.execute("PRAGMA wal_autocheckpoint=12").fetchall()
    for pragma in pragmas:
        connection.execute(pragma).fetchall()
    run = Run({DATABASE: migrated()}, recorder.operations)
    clock = ManualClock()
    pipeline = Pipeline(
        connection, connection, post_command(), clock=clock, log=Log("state"), metrics=Metrics()
    )
    socket = str(folder / "state.sock")
    server = await asyncio.get_running_loop().create_unix_server(pipeline.channel, socket)
    client = StateClient(socket, process="gateway-0", leased=True, clock=clock, log=Log("gateway"))
    await client.open(5)
    ids = Ids(clock, random.Random(7).randbytes)
    dice = random.Random(11)
    for _ in range(GROUPS):
        clock.advance(seconds=0.01)
        records = [record(ids.request_id(), clock, dice) for _ in range(dice.randint(1, 12))]
        await asyncio.gather(*(client.call("post", r, Posted, resend=True) for r in records))
        # The replies are here: from now on these posts must survive anything.
        run.acknowledged.append((len(recorder.operations), [r.request_id for r in records]))
    await client.close()
    server.close()
    connection.close()
    return run


def post_command() -> Commands:
    holds = Holds(PRICES)
    return Commands(
        memory={},
        batched={"post": (UsageRecord, Ledger(PRICES, holds).post)},
        single={},
        queries={},
        on_closed=holds.release_owner,
        published={},
    )


def record(request_id: str, clock: ManualClock, dice: random.Random) -> UsageRecord:
    return UsageRecord(
        request_id,
        "111111111111",
        "proj-a",
        "key-a",
        "test.model-1",
        "echo/test.model-1/0",
        Outcome.COMPLETE,
        clock.now_ns() // 1_000_000,
        {"input_tokens": dice.randint(1, 90_000), "output_tokens": dice.randint(1, 90_000)},
    )


@dataclass
class Moment:
    """The power fails after this many operations."""

    number: int
    disk: Disk
    acknowledged: list[str]


def moments(run: Run) -> Iterator[Moment]:
    """Every sync boundary, just before and just after it, and every acknowledgement."""
    disk = Disk(run.start)
    known: list[str] = []
    acknowledged = iter(run.acknowledged)
    due = next(acknowledged, None)
    for number, operation in enumerate(run.operations):
        while due is not None and due[0] <= number:
            known = known + due[1]
            yield Moment(number, disk, known)
            due = next(acknowledged, None)
        if operation.act is Act.SYNC:
            yield Moment(number, disk, known)
        disk.do(operation)
        if operation.act is Act.SYNC:
            yield Moment(number + 1, disk, known)
    yield Moment(len(run.operations), disk, known + (due[1] if due else []))


def faults_after(files: dict[str, bytes], acknowledged: list[str], folder: Path) -> list[str]:
    """Open what the disk holds with plain SQLite, and say what is wrong with it."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        if not name.endswith(SHARED_MEMORY):
            (folder / name).write_bytes(content)
    connection = sqlite3.connect(folder / DATABASE, isolation_level=None, factory=SqliteConnection)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # what is read here may be lost again
        verdict = statements.verify(connection, VerifyQuery())
        found = {row[0] for row in connection.execute("SELECT request_id FROM usage")}
        integrity: list[Any] = connection.execute("PRAGMA quick_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [f"the database can't be read: {error}"]
    finally:
        connection.close()
    faults = list(verdict.faults)
    if verdict.sum_nanos:
        faults.append(f"the ledger sums to {verdict.sum_nanos}")
    if integrity != [("ok",)]:
        faults.append(f"integrity: {integrity[0]}")
    faults += [f"acknowledged {id} is lost" for id in acknowledged if id not in found]
    if verdict.postings != 4 * verdict.usage_records:
        faults.append(f"{verdict.usage_records} records have {verdict.postings} postings")
    return faults


def faults_of(run: Run, folder: Path, losses: dict[Loss, int]) -> tuple[int, list[str]]:
    """How many power losses were tried, and what was wrong after any."""
    dice = random.Random(3)
    tried = 0
    faults: list[str] = []
    folder.mkdir()
    for moment in moments(run):
        for loss, times in losses.items():
            for _ in range(times):
                files = moment.disk.after_power_loss(loss, dice)
                tried += 1
                faults += [
                    f"power lost after operation {moment.number}, unsynced {loss}: {fault}"
                    for fault in faults_after(files, moment.acknowledged, folder)
                ]
    return tried, faults


LOSSES = {
    Loss.DROPPED: 1,
    Loss.KEPT: 1,
    Loss.TORN_AT_SECTORS: 2,
    Loss.TORN_ANYWHERE: 2,
    Loss.SUBSET: 2,
}


async def test_every_acknowledged_post_survives_power_loss_at_any_moment(tmp_path: Path) -> None:
    run = await post_groups(tmp_path)
    syncs = [o for o in run.operations if o.act is Act.SYNC]
    assert len(syncs) >= GROUPS, "each commit syncs"
    assert {o.file for o in syncs} >= {DATABASE, DATABASE + "-wal"}, "and checkpoints ran"
    tried, faults = faults_of(run, tmp_path / "disk", LOSSES)
    assert faults == []
    assert tried > 500


@pytest.mark.parametrize("pragma", ["PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL"])
async def test_the_check_sees_a_missing_sync(tmp_path: Path, pragma: str) -> None:
    run = await post_groups(tmp_path, pragmas=(pragma,))
    _, faults = faults_of(run, tmp_path / "disk", {Loss.DROPPED: 1})
    assert any("is lost" in fault for fault in faults)


async def test_the_check_sees_a_reply_that_leaves_before_the_commit(tmp_path: Path) -> None:
    run = await post_groups(tmp_path)
    previous = 0
    early: list[tuple[int, list[str]]] = []
    for number, ids in run.acknowledged:  # each acknowledged when its group began
        early.append((previous, ids))
        previous = number
    run.acknowledged = early
    _, faults = faults_of(run, tmp_path / "disk", {Loss.DROPPED: 1})
    assert any("is lost" in fault for fault in faults)
