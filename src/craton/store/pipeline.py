"""The one place where writes happen: groups of commands, one transaction, then the replies.

Commands that arrive while a commit runs wait in the socket and form the next group, so the group
grows with the load and a lone command waits for nobody. Four kinds of command:

- *memory* commands touch only memory (holds) and are answered at once, or when their future is
  done;
- *batched* commands are the hot path (posts): all of a group run together, and one that is refused
  is answered with an error in the place of its result, and has written nothing;
- *single* commands may be refused; each runs in its own savepoint;
- *queries* read, in a thread with a read-only connection, and never wait for writers.

No reply to a writing command leaves before its commit returned. If the commit fails, every command
of the group is refused with `Unavailable` and nothing of it is kept.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError, Fault
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.store.body import packed, unpacker
from craton.store.contract import (
    LEASE_S,
    AllMetrics,
    Beat,
    Beaten,
    Call,
    Changed,
    Hello,
    ProcessMetrics,
    ReadMetrics,
    Refused,
    Returned,
    Synced,
    ToState,
)
from craton.store.database import Connection, begin, rollback, savepoint
from craton.store.documents import Transaction, page
from craton.store.kind import Change
from craton.store.undo import take_back

GROUP_MAX = 2048
LEASE_NS = int(LEASE_S * 1e9)
SNAPSHOT_CHANGES_MAX = 250
"""So many documents are read and sent at once: a few milliseconds in which nobody is served."""
PIECE_BYTES_MAX = 4 * 1024 * 1024
"""Changes are sent in pieces of about this size: a frame has a limit, and so has memory."""

Publish = Callable[[Change], Change]


class Session:
    """One connected user of the state process."""

    def __init__(self, channel: Channel[ToState]) -> None:
        self.channel = channel
        self.process = "?"
        self.leased = False
        self.is_synced = False
        """Whether it has the whole snapshot; before that it gets no lease."""
        self.unanswered_ns: int | None = None
        """When it sent a beat that is answered once it is synced."""
        self.version = 0
        self.beaten_ns = 0
        self.metrics = b""


MemoryCommand = Callable[[Session, Any], "msgspec.Struct | asyncio.Future[Any]"]
BatchedCommand = Callable[[Transaction, Sequence[Any]], Sequence[msgspec.Struct | CratonError]]
SingleCommand = Callable[[Transaction, Any], msgspec.Struct]
Query = Callable[[Connection, Any], msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Commands:
    """Every command of the state process, by name; filled by bootstrap."""

    memory: dict[str, tuple[Any, MemoryCommand]]
    batched: dict[str, tuple[Any, BatchedCommand]]
    single: dict[str, tuple[Any, SingleCommand]]
    queries: dict[str, tuple[Any, Query]]
    on_closed: Callable[[Session], None]
    published: dict[str, Publish]
    """Kinds whose documents workers hold, with what a worker is told instead of the stored body."""
    on_greeted: Callable[[Session], None] = lambda _: None
    """Called when a user has said who it is, and before that again what it holds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A reply that leaves once the workers hold a version."""

    version: int
    session: Session
    reply: Returned
    since_ns: int


_Reply = tuple[Session, Returned | Refused]


class Pipeline:
    """Serves the contract over channels and owns the writing connection."""

    def __init__(
        self,
        connection: Connection,
        reader: Connection,
        commands: Commands,
        *,
        clock: Clock,
        log: Log,
        metrics: Metrics,
        may_old_leases_run: bool = True,
    ) -> None:
        """`may_old_leases_run`: whether some worker may hold a lease that wasn't given here."""
        self._connection = connection
        self._reader = reader
        self._commands = commands
        self._clock = clock
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sessions: set[Session] = set()
        self._by_channel: dict[Channel[ToState], Session] = {}
        self._pending: list[tuple[Session, Call]] = []
        self._gone: list[Session] = []
        self._waiting: list[_Waiting] = []
        self._version = 1
        # Until then a worker that isn't connected may serve from a lease: one given by the state
        # process before this one, or on a connection that broke.
        self._unseen_until_ns = clock.monotonic_ns() + (LEASE_NS if may_old_leases_run else 0)
        self._queries = asyncio.Semaphore(4)
        self._tasks: set[asyncio.Task[None]] = set()
        self._encode = packed
        self._metrics = metrics
        self._commits = metrics.counter("craton_commits_total", "Transactions committed.")
        self._committed = metrics.counter("craton_committed_commands_total", "Commands committed.")
        self._refused_groups = metrics.counter(
            "craton_commits_failed_total", "Transactions that failed and refused their commands."
        )
        self._memory: dict[str, tuple[Any, MemoryCommand]] = {
            **commands.memory,
            "metrics": (ReadMetrics, self._read_metrics),
        }
        self._unpackers = {
            name: unpacker(entry[0])
            for table in (self._memory, commands.batched, commands.single, commands.queries)
            for name, entry in table.items()
        }

    def channel(self) -> Channel[ToState]:
        """A protocol for one accepted connection."""
        return Channel[ToState](
            ToState, on_messages=self._received, on_opened=self._opened, on_closed=self._closed
        )

    @property
    def sessions(self) -> Iterable[Session]:
        """Everyone connected."""
        return self._sessions

    def _opened(self, channel: Channel[ToState]) -> None:
        session = Session(channel)
        session.beaten_ns = self._clock.monotonic_ns()
        self._by_channel[channel] = session
        self._sessions.add(session)

    def _closed(self, channel: Channel[ToState]) -> None:
        session = self._by_channel.pop(channel)
        self._sessions.discard(session)
        if session.leased:
            end_ns = session.beaten_ns + LEASE_NS
            self._unseen_until_ns = max(self._unseen_until_ns, end_ns)
        if self._pending:
            self._gone.append(session)
        else:
            self._forget(session)
        self.release_waiting()

    def _forget(self, session: Session) -> None:
        """Release what a closed session held, once the posts that it sent before are committed."""
        self._commands.on_closed(session)

    def _received(self, channel: Channel[ToState], messages: Sequence[ToState]) -> None:
        session = self._by_channel[channel]
        for message in messages:
            if isinstance(message, Call):
                self._take(session, message)
            elif isinstance(message, Beat):
                self._beat(session, message)
            else:
                self._greet(session, message)

    def _take(self, session: Session, call: Call) -> None:
        name = call.name
        if name in self._memory:
            self._answer_from_memory(session, call)
        elif name in self._commands.queries:
            task = self._loop.create_task(self._query(session, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif name in self._unpackers:
            if not self._pending:
                self._loop.call_soon(self._commit_group)
            self._pending.append((session, call))
        else:
            session.channel.send(
                Refused(call.seq, Fault.INTERNAL, f"the state process has no command {name!r}")
            )

    def _answer_from_memory(self, session: Session, call: Call) -> None:
        _, run = self._memory[call.name]
        reply: Returned | Refused
        try:
            result = run(session, self._unpackers[call.name](call.body))
        except CratonError as error:
            reply = _refusal(call.seq, error)
        else:
            if not call.seq:
                return
            if isinstance(result, asyncio.Future):
                result.add_done_callback(lambda done: self._answer_late(session, call.seq, done))
                return
            reply = Returned(call.seq, self._encode(result))
        if call.seq:
            session.channel.send(reply)

    def _answer_late(self, session: Session, seq: int, done: asyncio.Future[Any]) -> None:
        error = done.exception()
        reply = _refusal(seq, error) if error else Returned(seq, self._encode(done.result()))
        session.channel.send(reply)

    def _read_metrics(self, _: Session, __: ReadMetrics) -> AllMetrics:
        mine = ProcessMetrics("state", self._metrics.snapshot())
        theirs = [ProcessMetrics(s.process, s.metrics) for s in self._sessions if s.metrics]
        return AllMetrics([mine, *sorted(theirs, key=lambda p: p.process)])

    async def _query(self, session: Session, call: Call) -> None:
        _, run = self._commands.queries[call.name]
        body = self._unpackers[call.name](call.body)
        async with self._queries:
            try:
                result = await asyncio.to_thread(run, self._reader, body)
            except CratonError as error:
                session.channel.send(_refusal(call.seq, error))
            except Exception as error:  # noqa: BLE001 - top of a query: its user must get an answer
                self._log.error("query_failed", command=call.name, error=repr(error))
                session.channel.send(_refusal(call.seq, error))
            else:
                session.channel.send(Returned(call.seq, self._encode(result)))

    def _commit_group(self) -> None:
        self._commit_next()
        if not self._pending:
            gone, self._gone = self._gone, []
            for session in gone:
                self._forget(session)

    def _commit_next(self) -> None:
        group, self._pending = self._pending[:GROUP_MAX], self._pending[GROUP_MAX:]
        if self._pending:
            self._loop.call_soon(self._commit_group)
        transaction = Transaction(self._connection, self._clock.now_ns() // 1_000_000)
        try:
            begin(self._connection)
            singles, posts = self._run(transaction, group)
            published = self._published(transaction.changes)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever stops a commit refuses the group
            rollback(self._connection)
            take_back(transaction.undo)
            self._refused_groups.add()
            self._log.error("commit_failed", error=repr(error), commands=len(group))
            for session, call in group:
                session.channel.send(
                    Refused(
                        call.seq,
                        Fault.UNAVAILABLE,
                        "The ledger could not be written, so nothing was done or billed. "
                        "Try again; the operator finds the reason in the log.",
                    )
                )
            return
        for run in transaction.after_commit:
            run()
        self._commits.add()
        self._committed.add(len(group))
        for session, reply in posts:
            session.channel.send(reply)
        self._publish_and_reply(published, singles)

    def _run(
        self, transaction: Transaction, group: list[tuple[Session, Call]]
    ) -> tuple[list[_Reply], list[_Reply]]:
        """Run a group; the replies of single commands and those of batched ones, apart.

        Only the former may have to wait until the workers know of a change.
        """
        singles: list[_Reply] = []
        posts: list[_Reply] = []
        batches: dict[str, list[tuple[Session, Call]]] = {}
        for session, call in group:
            if call.name in self._commands.batched:
                batches.setdefault(call.name, []).append((session, call))
                continue
            _, run = self._commands.single[call.name]
            mark, after = len(transaction.changes), len(transaction.after_commit)
            undo = len(transaction.undo)
            try:
                body = self._unpackers[call.name](call.body)
                with savepoint(self._connection):
                    result = run(transaction, body)
            except CratonError as error:
                del transaction.changes[mark:]
                del transaction.after_commit[after:]
                take_back(transaction.undo, undo)
                singles.append((session, _refusal(call.seq, error)))
            else:
                singles.append((session, Returned(call.seq, self._encode(result))))
        for name, calls in batches.items():
            _, run = self._commands.batched[name]
            unpack = self._unpackers[name]
            results = run(transaction, [unpack(call.body) for _, call in calls])
            encode = self._encode
            posts += [
                (
                    session,
                    _refusal(call.seq, result)
                    if isinstance(result, CratonError)
                    else Returned(call.seq, encode(result)),
                )
                for (session, call), result in zip(calls, results, strict=True)
            ]
        return singles, posts

    def _published(self, changes: list[Change]) -> list[Change]:
        """What workers are told of these changes. Before the commit, so that a fault undoes it."""
        return [
            self._commands.published[change.kind](change)
            for change in changes
            if change.kind in self._commands.published
        ]

    def _publish_and_reply(self, published: list[Change], replies: list[_Reply]) -> None:
        if published:
            self._version += 1
            *first, last = _pieces(published)
            for session in self._sessions:
                for piece in first:
                    # Who has not the last piece has not this version.
                    session.channel.send(Changed(self._version - 1, piece))
                session.channel.send(Changed(self._version, last))
            now_ns = self._clock.monotonic_ns()
            for session, reply in replies:
                if isinstance(reply, Returned):
                    self._waiting.append(_Waiting(self._version, session, reply, now_ns))
                else:
                    session.channel.send(reply)
            self.release_waiting()
            self._loop.call_later(LEASE_S, self.release_waiting)
        else:
            for session, reply in replies:
                session.channel.send(reply)

    def release_waiting(self) -> None:
        """Send replies whose version every worker with a running lease holds."""
        if not self._waiting:
            return
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._unseen_until_ns:
            self._loop.call_later((self._unseen_until_ns - now_ns) / 1e9, self.release_waiting)
            return
        live = [
            s.version
            for s in self._sessions
            if s.leased and s.is_synced and now_ns - s.beaten_ns < LEASE_NS
        ]
        held = min(live, default=self._version)
        still: list[_Waiting] = []
        for waiting in self._waiting:
            if waiting.version <= held:
                waiting.session.channel.send(waiting.reply)
            else:
                still.append(waiting)
        self._waiting = still

    def _beat(self, session: Session, beat: Beat) -> None:
        session.beaten_ns = self._clock.monotonic_ns()
        session.version = beat.version
        session.metrics = beat.metrics or session.metrics
        if session.is_synced:
            session.channel.send(Beaten(beat.sent_ns))
        else:
            session.unanswered_ns = beat.sent_ns
        self.release_waiting()

    def _greet(self, session: Session, hello: Hello) -> None:
        session.process, session.leased = hello.process, hello.leased
        self._commands.on_greeted(session)
        task = self._loop.create_task(self._send_snapshot(session))
        self._tasks.add(task)

        def sent(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                self._log.error("snapshot_failed", process=session.process, error=repr(error))
                session.channel.close()

        task.add_done_callback(sent)

    async def _send_snapshot(self, session: Session) -> None:
        """Send all that is published, piece by piece, while others are served.

        Each piece is read and sent in one turn of the loop, and a change that is committed between
        two of them is sent at once, like to everybody: so whatever comes last is what is so.
        """
        channel = session.channel
        for kind, publish in self._commands.published.items():
            after = ""
            while rows := page(self._connection, kind, after, SNAPSHOT_CHANGES_MAX):
                piece = _pieces([Change(kind, row[0], bytes(row[1])) for row in rows])[0]
                channel.send(Changed(self._version, [publish(change) for change in piece]))
                after = piece[-1].id
                await asyncio.sleep(0)
                await channel.drain()
                if not channel.is_open:
                    return
        session.is_synced = True
        channel.send(Synced(self._version))
        if session.unanswered_ns is not None:
            channel.send(Beaten(session.unanswered_ns))


def _pieces(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in pieces that fit into a frame, each with one change at least."""
    pieces: list[list[Change]] = [[]]
    room = PIECE_BYTES_MAX
    for change in changes:
        size = len(change.body or b"")
        if size > room and pieces[-1]:
            pieces.append([])
            room = PIECE_BYTES_MAX
        pieces[-1].append(change)
        room -= size
    return pieces


def _refusal(seq: int, error: BaseException) -> Refused:
    if isinstance(error, CratonError):
        return Refused(seq, error.fault, error.message, error.code, error.retry_after_s)
    return Refused(seq, Fault.INTERNAL, "The state process failed on this command; see its log.")
