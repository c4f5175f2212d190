"""What every engine process does: serve each worker that connects, and end with its supervisor."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, cast

import msgspec
import uvloop

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError, Fault
from craton.kernel.log import Log
from craton.models.engine import Stop
from craton.models.engines.embedded.idleness import Idleness
from craton.models.engines.embedded.link_messages import (
    Ask,
    Failed,
    Health,
    Healthy,
    Hello,
    Ready,
    StopRequest,
)

Incoming = TypeVar("Incoming")
"""All that a worker may say."""
Asked = TypeVar("Asked", bound=Ask)
"""What of it is a request."""

Answer = Callable[[Channel[Incoming], Asked, Stop], Coroutine[None, None, None]]
"""Sends what is to be said about a request; a `CratonError` out of it becomes `Failed`."""


class Server(Generic[Incoming, Asked]):
    """Greets every worker that connects, and answers each request in a task of its own."""

    def __init__(
        self,
        reads: Any,  # noqa: ANN401 - a type expression
        ready: Ready,
        log: Log,
        answer: Answer[Incoming, Asked],
        *,
        idleness: Idleness | None = None,
    ) -> None:
        self._reads = reads
        self._ready = ready
        self._log = log
        self._answer = answer
        self._idleness = idleness
        self._is_closed = False
        self._stops: dict[Channel[Incoming], dict[str, Stop]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def channel(self) -> Channel[Incoming]:
        """A protocol for one more connection."""
        return Channel(
            self._reads,
            on_messages=self._take,
            on_opened=self._opened,
            on_closed=self._closed,
        )

    def close(self) -> None:
        """Let nobody in any more, nor a worker that is at the door: it finds the next process."""
        self._is_closed = True

    def _opened(self, channel: Channel[Incoming]) -> None:
        self._stops[channel] = {}
        if self._idleness is not None:
            self._idleness.end()
        if self._is_closed:
            channel.close()

    def _closed(self, channel: Channel[Incoming]) -> None:
        for stop in self._stops.pop(channel).values():
            stop.request()
        if self._idleness is not None and not self._stops:
            self._idleness.begin()

    def _take(self, channel: Channel[Incoming], messages: Sequence[Incoming]) -> None:
        for message in messages:
            match message:
                case Ask(request_id=request_id):
                    # At once: the message that stops it may come in the same frame.
                    stop = self._stops[channel][request_id] = Stop()
                    self._spawn(self._run(channel, cast("Asked", message), stop))
                case StopRequest(request_id=request_id):
                    if stop := self._stops[channel].get(request_id):
                        stop.request()
                case Hello(contract=contract):
                    if contract != self._ready.contract:
                        self._log.warning("engine.other_release", contract=contract)
                    channel.send(self._ready)
                case Health():
                    channel.send(Healthy())
                case _:
                    raise AssertionError(f"a message of no known kind, {type(message).__name__}")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, channel: Channel[Incoming], asked: Asked, stop: Stop) -> None:
        request_id = asked.request_id
        stops = self._stops.get(channel)
        if stops is None:
            return  # the worker hung up before its request began
        try:
            await self._answer(channel, asked, stop)
        except CratonError as error:
            self._log.info("engine.refused", request_id=request_id, fault=error.fault)
            channel.send(Failed(request_id, error.fault, error.message, error.code))
        except Exception as error:  # noqa: BLE001 - top of the task: the caller must hear of it
            # Only the kind goes into the log: the text of an error may quote the caller's.
            kind = type(error).__name__
            self._log.error("engine.unexpected", request_id=request_id, error=kind)
            said = (
                f"The engine met an unexpected {kind}. "
                "Its log has the request id; report it as a defect of Craton."
            )
            channel.send(Failed(request_id, Fault.INTERNAL, said))
        finally:
            stops.pop(request_id, None)


async def ending() -> asyncio.Event:
    """What is set when the supervisor is gone, or asks this process to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await loop.connect_read_pipe(lambda: _Lifeline(ended), sys.stdin)
    return ended


class _Lifeline(asyncio.Protocol):
    """Standard input: its end is the supervisor's."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()


@asynccontextmanager
async def listening(
    accept: Callable[[], asyncio.BaseProtocol], socket: Path
) -> AsyncGenerator[None]:
    """Let workers in, and nobody else; a socket that a dead process left is replaced."""
    _clear(socket)
    server = await asyncio.get_running_loop().create_unix_server(accept, str(socket))
    try:
        socket.chmod(0o600)  # noqa: ASYNC240 - a folder of this machine's own, at the start
        yield
    finally:
        server.close()
        _clear(socket)


def _clear(socket: Path) -> None:
    socket.unlink(missing_ok=True)


class Named(Protocol):
    """A specification, as far as all kinds of them go."""

    @property
    def name(self) -> str:
        """The model's."""
        ...


Told = TypeVar("Told", bound=Named)

Serve = Callable[[Told, Clock, Log], Coroutine[None, None, int]]
"""Loads a model and serves it until the process is to end, with which status; CratonError where it
can't."""


def run(
    words: list[str],
    parse: Callable[[list[str]], Told],
    serve: Serve[Told],
    *,
    stream: BinaryIO | None = None,
) -> int:
    """The whole life of a process that is told `words`; logs go to `stream`, or standard error.

    The exit status: that of `serve`, 1 where the model can't be served, 2 for bad words.
    """
    log = Log("engine", stream=stream)
    try:
        specification = parse(words)
    except (msgspec.ValidationError, ValueError) as error:
        log.error("engine.bad_arguments", error=str(error))  # noqa: TRY400 - our Log has no traceback
        return 2
    log = Log("engine", stream=stream, fields={"engine": specification.name})
    try:
        return uvloop.run(serve(specification, SystemClock(), log))
    except CratonError as error:
        log.error(  # noqa: TRY400 - our Log has no traceback
            "engine.failed", fault=error.fault, error=error.message
        )
        return 1
    finally:
        log.flush()
