"""The process that embeds: `python -m craton.models.engines.embedded.embeddings_process --name …`.

It maps a sentence encoder's weights, listens on a Unix socket and serves every gateway worker that
connects. It may be killed at any moment. When its standard input ends, its supervisor is gone and
it exits. On standard error it writes structured log lines, with ids and never a text.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError, Fault
from craton.kernel.log import Log
from craton.models.engine import Stop
from craton.models.engines.embedded.embeddings_batches import Batches
from craton.models.engines.embedded.embeddings_contract import (
    CONTRACT,
    Embed,
    Failed,
    Health,
    Healthy,
    Hello,
    Ready,
    StopRequest,
    ToEngine,
    Vectors,
)
from craton.models.engines.embedded.embeddings_encoder import VOCABULARY_FILE, Encoder
from craton.models.engines.embedded.embeddings_specification import EmbeddingSpecification, parse
from craton.models.engines.embedded.embeddings_wordpiece import WordPiece, read_vocabulary


class EmbeddingServer:
    """Serves one model to every worker that connects."""

    def __init__(self, batches: Batches, ready: Ready, log: Log) -> None:
        self._batches = batches
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
                case Embed(request_id=request_id):
                    stop = self._stops[channel][request_id] = Stop()
                    self._spawn(self._embed(channel, message, stop))
                case StopRequest(request_id=request_id):
                    if stop := self._stops[channel].get(request_id):
                        stop.request()
                case Health():
                    channel.send(Healthy())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _embed(self, channel: Channel[ToEngine], message: Embed, stop: Stop) -> None:
        request_id = message.request_id
        try:
            made = await self._batches.embed(
                message.texts, request_id=request_id, stop=stop, may_cut=message.may_cut
            )
            self._log.info(
                "engine.embedded",
                request_id=request_id,
                texts=len(made.vectors),
                tokens=made.tokens,
                texts_cut=made.texts_cut,
                chip_us=made.chip_us,
                stopped=stop.requested,
            )
            channel.send(Vectors(request_id, *made))
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
            self._stops.get(channel, {}).pop(request_id, None)


async def serve(specification: EmbeddingSpecification, *, clock: Clock, log: Log) -> None:
    """Load the model and serve until the supervisor is gone or asks to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await loop.connect_read_pipe(lambda: _Lifeline(ended), sys.stdin)
    begun_ns = clock.monotonic_ns()
    log.info("engine.loading", model=specification.model.name)
    folder = specification.model.parent
    encoder = Encoder(folder)
    words = WordPiece(read_vocabulary(folder / VOCABULARY_FILE))
    limit = min(specification.context_tokens, encoder.config.max_position_embeddings)
    ready = Ready(
        contract=CONTRACT,
        name=specification.name,
        context_tokens=limit,
        dimensions=encoder.config.hidden_size,
        load_ms=(clock.monotonic_ns() - begun_ns) // 1_000_000,
    )
    with ThreadPoolExecutor(specification.threads) as executor:
        batches = Batches(
            lambda texts: [vector.tobytes() for vector in encoder.encode(texts)],
            lambda text: words.tokens(text, tokens_max=limit),
            executor=executor,
            threads=specification.threads,
            texts_max=specification.texts_max,
            clock=clock,
        )
        server = EmbeddingServer(batches, ready, log)
        specification.socket.unlink(missing_ok=True)
        listening = await loop.create_unix_server(server.channel, str(specification.socket))
        specification.socket.chmod(0o600)
        log.info("engine.ready", load_ms=ready.load_ms, context_tokens=limit)
        await ended.wait()
        listening.close()
        specification.socket.unlink(missing_ok=True)
    log.info("engine.ended")


class _Lifeline(asyncio.Protocol):
    """Standard input: its end is the supervisor's."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()


def main(words: list[str]) -> int:
    """Run the process; the exit status is 0 after an orderly end, 1 where the model can't load."""
    log = Log("engine")
    try:
        specification = parse(words)
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
    # A batch under way isn't waited for: whoever wanted it is gone.
    os._exit(status)
