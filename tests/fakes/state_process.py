"""The state process inside a test: the real pipeline, socket and database file, a fake domain.

The commands write to one table of documents of kind `note`, so that what a group keeps or loses can
be read back with plain SQL.
"""

import asyncio
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from craton.kernel.clock import Clock, ManualClock
from craton.kernel.errors import BadRequest
from craton.kernel.log import Level, Log
from craton.kernel.metrics import Metrics
from craton.store.client import StateClient
from craton.store.contract import LEASE_S
from craton.store.database import Connection, Cursor, Dialect, OwnedConnection
from craton.store.documents import Transaction
from craton.store.kind import Change, Kind
from craton.store.pipeline import Commands, Pipeline, Session
from tests.fakes.databases import Place, SqlitePlace


class Note(msgspec.Struct, frozen=True):
    """The body of a document, and of every command here."""

    id: str
    text: str = ""


class Count(msgspec.Struct, frozen=True):
    """How many of something."""

    count: int


NOTES = Kind("note", "note", Note)
PRIVATE = Kind("private", "private note", Note)


def add_note(transaction: Transaction, note: Note) -> Note:
    transaction.add(NOTES, note.id, note, account="a", name=note.id)
    if note.text == "refuse after writing":
        raise BadRequest("The note was written, and then refused.")
    return note


def put_note(transaction: Transaction, note: Note) -> Note:
    transaction.get(NOTES, note.id)
    transaction.put(NOTES, note.id, note)
    return note


def remove_note(transaction: Transaction, note: Note) -> Note:
    transaction.remove(NOTES, note.id)
    return note


def add_private(transaction: Transaction, note: Note) -> Note:
    transaction.add(PRIVATE, note.id, note, account="a", name=note.id)
    return note


def add_many(transaction: Transaction, notes: Sequence[Any]) -> list[Note]:
    for note in notes:
        if transaction.find(PRIVATE, note.id) is None:
            transaction.add(PRIVATE, note.id, note, account="a", name=note.id)
    return list(notes)


def count_notes(connection: Connection, _: Note) -> Count:
    row = connection.execute("SELECT count(*) FROM documents").fetchone()
    assert row is not None
    return Count(row[0])


def crash_query(connection: Connection, _: Note) -> Count:
    raise KeyError("a fault of ours in a query")


class SkippingClock:
    """The machine's clock, which can also be moved forward."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self._ahead_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + self._ahead_ns

    def advance(self, *, seconds: float) -> None:
        self._ahead_ns += int(seconds * 1e9)


class FailingConnection:
    """A connection that fails on statements that are named, and remembers what ran."""

    def __init__(self, inner: OwnedConnection) -> None:
        self.inner = inner
        self.fail_on: set[str] = set()
        self.ran: list[str] = []
        self.before_commit: Callable[[], None] | None = None

    @property
    def dialect(self) -> Dialect:
        return self.inner.dialect

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        self.ran.append(sql)
        if sql == "COMMIT" and self.before_commit is not None:
            self.before_commit()
        if sql in self.fail_on:
            raise OSError(f"the disk refused {sql}")
        return self.inner.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Any:
        self.ran.append(sql)
        return self.inner.executemany(sql, parameters)

    @property
    def commits(self) -> int:
        return self.ran.count("COMMIT")


def note_commands(
    holds: dict[str, Session], seen: list[Note], remembered: list[str] | None = None
) -> Commands:
    memory: list[str] = [] if remembered is None else remembered

    def add_remembered(transaction: Transaction, note: Note) -> Note:
        """Change memory at once, so that the next command of the group sees it."""
        memory.append(note.id)
        transaction.undo.append(lambda: memory.remove(memory[-1]))
        return add_note(transaction, note)

    def hold(session: Session, note: Note) -> Note:
        holds[note.id] = session
        return note

    def refuse(_: Session, note: Note) -> Note:
        raise BadRequest(f"No {note.id}.")

    def released(session: Session) -> None:
        for id in [id for id, owner in holds.items() if owner is session]:
            del holds[id]

    def add_seen(transaction: Transaction, notes: Sequence[Any]) -> list[Note]:
        seen.extend(notes)
        return add_many(transaction, notes)

    return Commands(
        memory={"hold": (Note, hold), "refuse": (Note, refuse)},
        batched={"add_many": (Note, add_seen)},
        single={
            "add": (Note, add_note),
            "put": (Note, put_note),
            "remove": (Note, remove_note),
            "add_private": (Note, add_private),
            "add_remembered": (Note, add_remembered),
        },
        queries={"count": (Note, count_notes), "crash": (Note, crash_query)},
        on_closed=released,
        published={NOTES.name: lambda change: change},
    )


class StateProcess:
    """Start it on a folder; stopping and starting again is what a crash and a restart look like."""

    def __init__(
        self, folder: Path, *, clock: ManualClock | None = None, place: Place | None = None
    ) -> None:
        self.place = place or SqlitePlace(folder / "craton.db")
        self.socket = str(folder / "state.sock")
        self.clock = clock or SkippingClock()
        self.holds: dict[str, Session] = {}
        self.seen: list[Note] = []
        self.remembered: list[str] = []
        self.log = io.BytesIO()
        self.metrics = Metrics()
        self._clients: list[StateClient] = []
        self._server: asyncio.AbstractServer | None = None

    async def start(self, *, old_leases_run: bool = False, is_first: bool = False) -> None:
        """Serve. The leases that a state process before this one gave have run out, by default."""
        writer, self._reader = self.place.open()
        self.connection = FailingConnection(writer)
        self.pipeline = Pipeline(
            self.connection,
            self._reader,
            self.commands(),
            clock=self.clock,
            log=Log("state", stream=self.log, level=Level.DEBUG),
            metrics=self.metrics,
            may_old_leases_run=not is_first,
        )
        if not old_leases_run and not is_first:
            self.clock.advance(seconds=LEASE_S)
        loop = asyncio.get_running_loop()
        Path(self.socket).unlink(missing_ok=True)
        self._server = await loop.create_unix_server(self.pipeline.channel, self.socket)

    def commands(self) -> Commands:
        """What can be asked of it."""
        return note_commands(self.holds, self.seen, self.remembered)

    async def stop(self) -> None:
        """Die as `kill -9` does: connections end, nothing is said."""
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0)  # a connection that was just accepted gets its session
        sessions = list(self.pipeline.sessions)
        for session in sessions:
            session.channel._transport.abort()  # type: ignore[union-attr]
        while list(self.pipeline.sessions):
            await asyncio.sleep(0)
        self.connection.inner.close()
        self._reader.close()

    async def client(
        self,
        process: str = "worker",
        *,
        leased: bool = True,
        on_change: Callable[[Sequence[Change]], None] | None = None,
        clock: Clock | None = None,
        metrics: Callable[[], bytes] | None = None,
    ) -> StateClient:
        client = StateClient(
            self.socket,
            process=process,
            leased=leased,
            clock=clock or self.clock,
            log=Log(process, stream=self.log),
            on_change=on_change,
            metrics=metrics,
        )
        self._clients.append(client)
        await client.open(5)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        if self._server is not None and self._server.is_serving():
            await self.stop()

    def rows(self, kind: str = "%") -> list[str]:
        """Ids of the documents that are really there, read by a connection of its own."""
        found = self.place.run("SELECT id FROM documents WHERE kind LIKE ? ORDER BY id", kind)
        return [row[0] for row in found]


class Snapshot:
    """What a worker holds: applies changes, and remembers each."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.changes: list[Change] = []

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.changes.append(change)
            if change.body is None:
                self.notes.pop(change.id, None)
            else:
                self.notes[change.id] = NOTES.decode(change.body).text


async def until(condition: Callable[[], bool], *, limit_s: float = 5) -> None:
    """Turn the loop until something is so; fails after a limit, so that no test hangs."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.001)
