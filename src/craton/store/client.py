"""A process's connection to the state process: calls, the snapshot, the lease.

Calls made while the state process restarts wait for it, within a limit. A command that may have
been done before the connection broke is sent again only if the caller says it can be (`resend`):
posts carry a unique request id and are deduplicated there.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock
from craton.kernel.errors import Unavailable, raised
from craton.kernel.log import Log
from craton.store.body import packed, unpacked
from craton.store.contract import (
    BEAT_S,
    LEASE_S,
    UNANSWERED,
    Beat,
    Beaten,
    Call,
    Changed,
    FromState,
    Hello,
    Refused,
    Returned,
    Synced,
)
from craton.store.kind import Change

Result = TypeVar("Result", bound=msgspec.Struct)

RECONNECT_S = 0.05
CALLS_MAX = 20_000


class _Pending(msgspec.Struct):
    call: Call
    future: asyncio.Future[bytes]
    deadline_ns: int
    resend: bool


class StateClient:
    """Talks to the state process over its Unix socket; reconnects for as long as it is open."""

    def __init__(
        self,
        socket_path: str,
        *,
        process: str,
        leased: bool,
        clock: Clock,
        log: Log,
        on_change: Callable[[Sequence[Change]], None] | None = None,
        metrics: Callable[[], bytes] | None = None,
    ) -> None:
        self._path = socket_path
        self._hello = Hello(process, leased)
        self._clock = clock
        self._log = log
        self._on_change = on_change
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._channel: Channel[FromState] | None = None
        self._pending: dict[int, _Pending] = {}
        self._seq = 0
        self._version = 0
        self._lease_until_ns = 0
        self._synced = asyncio.Event()
        self._renewed = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.before_calls: Callable[[], Sequence[tuple[str, bytes]]] | None = None
        """What to say again on each new connection, such as open holds."""
        self._known: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] | None = None

    async def open(self, timeout_s: float = 30) -> None:
        """Connect and take the first snapshot."""
        self._task = self._loop.create_task(self._keep_connected())
        async with asyncio.timeout(timeout_s):
            await self._synced.wait()

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._closing = True
        if self._channel is not None:
            self._channel.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(Unavailable("This process is shutting down."))
        self._pending.clear()

    @property
    def is_leased(self) -> bool:
        """Whether the snapshot may be served from: a revocation can't have passed unseen."""
        return self._clock.monotonic_ns() < self._lease_until_ns

    async def wait_leased(self, timeout_s: float) -> None:
        """Wait for the lease; Unavailable after the limit."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_leased:
                    self._renewed.clear()
                    await self._renewed.wait()
        except TimeoutError:
            raise Unavailable(
                "Craton's state process does not answer, so no request can be admitted. "
                "Try again in a few seconds."
            ) from None

    async def call(
        self,
        name: str,
        body: msgspec.Struct,
        reads: type[Result],
        *,
        timeout_s: float = 10,
        resend: bool = False,
    ) -> Result:
        """Run a command and return its result; raises the error it was refused with."""
        reply = await self.submit(name, packed(body), timeout_s=timeout_s, resend=resend)
        return unpacked(reply, reads)

    def tell(self, name: str, body: bytes) -> None:
        """Send a command that wants no answer; it may wait for others, and for nothing else.

        While there is no connection it is dropped: only for what a new connection says again.
        """
        if self._channel is not None:
            self._channel.send(Call(0, name, body), soon=False)

    def submit(
        self, name: str, body: bytes, *, timeout_s: float, resend: bool
    ) -> asyncio.Future[bytes]:
        """Send a command; the future has its reply. Deadlines are looked at every `BEAT_S`."""
        if len(self._pending) >= CALLS_MAX:
            raise Unavailable("Too many requests wait for the ledger. Try again in a few seconds.")
        self._seq = seq = self._seq + 1
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        call = Call(seq, name, body)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._pending[seq] = _Pending(call, future, deadline_ns, resend)
        if self._channel is not None:
            self._channel.send(call)
        return future

    def _sweep(self) -> None:
        """Give up calls that have waited too long; forget those whose caller has gone."""
        now_ns = self._clock.monotonic_ns()
        for seq, pending in list(self._pending.items()):
            if pending.future.done():
                del self._pending[seq]
            elif now_ns > pending.deadline_ns:
                del self._pending[seq]
                pending.future.set_exception(
                    Unavailable(
                        "Craton's state process did not answer in time, so this request was given "
                        "up. Try again in a few seconds.",
                        code=UNANSWERED,
                    )
                )

    async def _keep_connected(self) -> None:
        while not self._closing:
            closed = asyncio.Event()
            try:
                _, channel = await self._loop.create_unix_connection(
                    lambda: Channel[FromState](
                        FromState,
                        on_messages=self._received,
                        on_closed=lambda _: closed.set(),  # noqa: B023 - set before the next turn
                    ),
                    self._path,
                )
            except OSError:
                self._sweep()
                await asyncio.sleep(RECONNECT_S)
                continue
            self._greet(channel)
            while not closed.is_set():
                self._beat(channel)
                self._sweep()
                try:
                    async with asyncio.timeout(BEAT_S):
                        await closed.wait()
                except TimeoutError:
                    continue
            self._lost(channel)

    def _greet(self, channel: Channel[FromState]) -> None:
        # A new state process counts versions afresh, and what it doesn't send again is gone.
        self._version = 0
        self._seen = set()
        self._channel = channel
        if self.before_calls is not None:
            for name, body in self.before_calls():
                channel.send(Call(0, name, body))
        channel.send(self._hello)
        for pending in self._pending.values():
            if not pending.future.done():
                channel.send(pending.call)

    def _beat(self, channel: Channel[FromState]) -> None:
        metrics = self._metrics() if self._metrics is not None else b""
        channel.send(Beat(self._version, self._clock.monotonic_ns(), metrics))

    def _lost(self, channel: Channel[FromState]) -> None:
        self._channel = None
        if not self._closing:
            self._log.warning("state_connection_lost", error=repr(channel.error))
        for pending in list(self._pending.values()):
            if not pending.resend and not pending.future.done():
                pending.future.set_exception(
                    Unavailable(
                        "Craton's state process restarted while it worked on this command, and may "
                        "have done it. Look before trying again."
                    )
                )

    def _received(self, channel: Channel[FromState], messages: Sequence[FromState]) -> None:
        pending = self._pending
        for message in messages:
            if isinstance(message, Returned):
                waiting = pending.pop(message.seq, None)
                if waiting is not None and not waiting.future.done():
                    waiting.future.set_result(message.body)
            elif isinstance(message, Beaten):
                self._lease_until_ns = max(
                    self._lease_until_ns, message.sent_ns + int(LEASE_S * 1e9)
                )
                if self._synced.is_set():
                    self._renewed.set()
            elif isinstance(message, Refused):
                waiting = pending.pop(message.seq, None)
                if waiting is not None and not waiting.future.done():
                    waiting.future.set_exception(
                        raised(message.fault, message.message, message.code, message.retry_after_s)
                    )
            elif isinstance(message, Changed):
                self._apply(message)
            else:
                self._sync(channel, message)

    def _apply(self, changed: Changed) -> None:
        for change in changed.changes:
            key = (change.kind, change.id)
            if change.body is None:
                self._known.discard(key)
            else:
                self._known.add(key)
            if self._seen is not None and change.body is None:
                self._seen.discard(key)  # it was removed while the snapshot came
            elif self._seen is not None:
                self._seen.add(key)
        if self._on_change is not None:
            self._on_change(changed.changes)
        if self._seen is None:
            self._version = changed.version
            if self._channel is not None:
                self._beat(self._channel)

    def _sync(self, channel: Channel[FromState], synced: Synced) -> None:
        assert self._seen is not None, "a snapshot ended that had not begun"
        gone = [Change(kind, id, None) for kind, id in self._known - self._seen]
        self._known, self._seen = self._seen, None
        if gone and self._on_change is not None:
            self._on_change(gone)
        self._version = synced.version
        self._synced.set()
        self._beat(channel)
