"""The engine process: `python -m craton.models.engines.embedded.process --name … --model …`.

It loads the model, listens on a Unix socket and serves every gateway worker that connects. It may
be killed at any moment. When its standard input ends, its supervisor is gone and it exits. On
standard error it writes structured log lines, with ids and never any prompt text.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError, Fault
from craton.kernel.log import Log
from craton.messages import Metadata
from craton.models.card import Runtime
from craton.models.engine import Stop
from craton.models.engines.embedded import openvino_presence
from craton.models.engines.embedded.capacity import Capacity
from craton.models.engines.embedded.contract import (
    CONTRACT,
    Count,
    Counted,
    Events,
    Failed,
    Generate,
    Health,
    Healthy,
    Hello,
    Ready,
    StopRequest,
    ToEngine,
)
from craton.models.engines.embedded.replica import Model, ModelFacts, Replica
from craton.models.engines.embedded.specification import Specification, parse


class LoadedModel(Model, Protocol):
    """A model on one of the runtimes."""

    def start(self) -> None:
        """Load it, which blocks; an error where the file can't be served."""
        ...

    async def facts(self) -> ModelFacts:
        """What the model says about itself."""
        ...


class EngineServer:
    """Serves one replica to every worker that connects."""

    def __init__(self, replica: Replica, ready: Ready, log: Log) -> None:
        self._replica = replica
        self._ready = ready
        self._log = log
        self._stops: dict[Channel[ToEngine], dict[str, Stop]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def channel(self) -> Channel[ToEngine]:
        """A protocol for one more connection."""
        return Channel(
            ToEngine,
            on_messages=self._take,
            on_opened=self._opened,
            on_closed=self._closed,
        )

    def _opened(self, channel: Channel[ToEngine]) -> None:
        self._stops[channel] = {}

    def _closed(self, channel: Channel[ToEngine]) -> None:
        for stop in self._stops.pop(channel).values():
            stop.request()

    def _take(self, channel: Channel[ToEngine], messages: Sequence[ToEngine]) -> None:
        for message in messages:
            match message:
                case Hello(contract=contract):
                    if contract != CONTRACT:
                        self._log.warning("engine.other_release", contract=contract)
                    channel.send(self._ready)
                case Generate(request_id=request_id):
                    # At once: the message that stops it may come in the same frame.
                    stop = self._stops[channel][request_id] = Stop()
                    self._spawn(self._generate(channel, message, stop))
                case StopRequest(request_id=request_id):
                    if stop := self._stops[channel].get(request_id):
                        stop.request()
                case Count():
                    self._spawn(self._count(channel, message))
                case Health():
                    channel.send(Healthy())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _generate(self, channel: Channel[ToEngine], message: Generate, stop: Stop) -> None:
        request_id = message.request_id
        stops = self._stops.get(channel)
        if stops is None:
            return  # the worker hung up before its request began
        try:
            answer = self._replica.generate(message.plan, request_id=request_id, stop=stop)
            async with aclosing(answer) as bunches:
                async for events in bunches:
                    channel.send(Events(request_id, events))
                    if isinstance(events[-1], Metadata):
                        self._finished(request_id, events[-1], stop)
                    await channel.drain()
        except CratonError as error:
            self._fail(channel, request_id, error)
        except Exception as error:  # noqa: BLE001 - top of the task: the caller must hear of it
            self._fail_unexpectedly(channel, request_id, error)
        finally:
            stops.pop(request_id, None)

    async def _count(self, channel: Channel[ToEngine], message: Count) -> None:
        try:
            tokens = await self._replica.count(message.prompt)
            channel.send(Counted(message.request_id, tokens))
        except CratonError as error:
            self._fail(channel, message.request_id, error)
        except Exception as error:  # noqa: BLE001 - top of the task: the caller must hear of it
            self._fail_unexpectedly(channel, message.request_id, error)

    def _finished(self, request_id: str, metadata: Metadata, stop: Stop) -> None:
        self._log.info(
            "engine.answered",
            request_id=request_id,
            input_tokens=metadata.usage.input_tokens,
            output_tokens=metadata.usage.output_tokens,
            latency_ms=metadata.latency_ms,
            chip_us=metadata.chip_us,
            stopped=stop.requested,
        )

    def _fail(self, channel: Channel[ToEngine], request_id: str, error: CratonError) -> None:
        self._log.info("engine.refused", request_id=request_id, fault=error.fault)
        channel.send(Failed(request_id, error.fault, error.message, error.code))

    def _fail_unexpectedly(
        self, channel: Channel[ToEngine], request_id: str, error: Exception
    ) -> None:
        # Only the kind goes into the log: the text of an error may quote the prompt.
        self._log.error("engine.unexpected", request_id=request_id, error=type(error).__name__)
        channel.send(
            Failed(
                request_id,
                Fault.INTERNAL,
                f"The engine met an unexpected {type(error).__name__}. "
                "Its log has the request id; report it as a defect of Craton.",
            )
        )


async def serve(specification: Specification, *, clock: Clock, log: Log) -> None:
    """Load the model and serve until the supervisor is gone or asks to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    begun_ns = clock.monotonic_ns()
    log.info("engine.loading", model=specification.model.name)
    with tempfile.TemporaryDirectory(prefix="craton-engine-") as private:
        model = _model(specification, Path(private))
        model.start()
        # The library takes these signals for itself while it loads; they are ours.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        await loop.connect_read_pipe(lambda: _Lifeline(ended), sys.stdin)
        facts = await model.facts()
        replica = Replica(
            model,
            context_tokens=facts.context_tokens,
            capacity=Capacity(
                slots=specification.slots,
                pool_tokens=specification.pool_tokens,
                queue_max=specification.queue_max,
            ),
            clock=clock,
        )
        ready = Ready(
            contract=CONTRACT,
            name=specification.name,
            context_tokens=facts.context_tokens,
            slots=specification.slots,
            queue_max=specification.queue_max,
            quantization=facts.quantization,
            chat_template=facts.chat_template,
            load_ms=(clock.monotonic_ns() - begun_ns) // 1_000_000,
        )
        server = EngineServer(replica, ready, log)
        specification.socket.unlink(missing_ok=True)
        listening = await loop.create_unix_server(server.channel, str(specification.socket))
        specification.socket.chmod(0o600)
        log.info("engine.ready", load_ms=ready.load_ms, context_tokens=facts.context_tokens)
        await ended.wait()
        listening.close()
        specification.socket.unlink(missing_ok=True)
        log.info("engine.ended")


def _model(specification: Specification, private: Path) -> LoadedModel:
    """The model on its runtime, whose library is loaded only now."""
    if specification.runtime is Runtime.OPENVINO:
        openvino_presence.check_installed()
        from craton.models.engines.embedded.openvino_model import (  # noqa: PLC0415 - a plug-in
            OpenVino,
        )

        return OpenVino(specification)
    from craton.models.engines.embedded.llama import Llama  # noqa: PLC0415 - a plug-in

    return Llama(specification, private)


class _Lifeline(asyncio.Protocol):
    """Standard input: its end is the supervisor's."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()


def main(arguments: list[str]) -> int:
    """Run the process; the exit status is 0 after an orderly end, 1 where the model can't load."""
    # The library prints to standard output; log lines have standard error to themselves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    log = Log("engine")
    try:
        specification = parse(arguments)
    except (msgspec.ValidationError, ValueError) as error:
        log.error("engine.bad_arguments", error=str(error))  # noqa: TRY400 - our Log has no traceback
        return 2
    log = Log("engine", fields={"engine": specification.name})
    try:
        asyncio.run(serve(specification, clock=SystemClock(), log=log))
    except CratonError as error:
        log.error(  # noqa: TRY400 - our Log has no traceback
            "engine.failed", fault=error.fault, error=error.message
        )
        return 1
    finally:
        log.flush()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # The library's threads have no orderly end; nothing here is left to be written.
    os._exit(status)
