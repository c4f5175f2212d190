"""The engine process: `python -m craton.models.engines.embedded.process --name … --model …`.

It loads the model, listens on a Unix socket and serves every gateway worker that connects. It may
be killed at any moment. When its standard input ends, its supervisor is gone and it exits. On
standard error it writes structured log lines, with ids and never any prompt text.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock
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
    Generate,
    Ready,
    ToEngine,
)
from craton.models.engines.embedded.pacing import Pace
from craton.models.engines.embedded.replica import Model, ModelFacts, Replica
from craton.models.engines.embedded.serving import Server, ending, listening, run
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
        self._log = log
        self._server = Server[ToEngine, Generate | Count](ToEngine, ready, log, self._answer)

    def channel(self) -> Channel[ToEngine]:
        """A protocol for one more connection."""
        return self._server.channel()

    async def _answer(
        self, channel: Channel[ToEngine], asked: Generate | Count, stop: Stop
    ) -> None:
        request_id = asked.request_id
        if isinstance(asked, Count):
            channel.send(Counted(request_id, await self._replica.count(asked.prompt)))
            return
        answer = self._replica.generate(asked.plan, request_id=request_id, stop=stop)
        pace = Pace(
            lambda events: channel.send(Events(request_id, events)), asyncio.get_running_loop()
        )
        try:
            async with aclosing(answer) as bunches:
                async for events in bunches:
                    pace.add(events)
                    if isinstance(events[-1], Metadata):
                        self._finished(request_id, events[-1], stop)
                    await channel.drain()
        finally:
            pace.flush()

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


async def serve(specification: Specification, clock: Clock, log: Log) -> int:
    """Load the model and serve until the supervisor is gone or asks to end."""
    begun_ns = clock.monotonic_ns()
    log.info("engine.loading", model=specification.model.name)
    with tempfile.TemporaryDirectory(prefix="craton-engine-") as private:
        model = _model(specification, Path(private))
        model.start()
        # The library takes these signals for itself while it loads; they are ours.
        ended = await ending()
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
        async with listening(server.channel, specification.socket):
            log.info("engine.ready", load_ms=ready.load_ms, context_tokens=facts.context_tokens)
            await ended.wait()
        log.info("engine.ended")
    return 0


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


def main(words: list[str]) -> int:
    """Run the process; see `run` for the exit status."""
    # The library prints to standard output; log lines have standard error to themselves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return run(words, parse, serve)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # The library's threads have no orderly end; nothing here is left to be written.
    os._exit(status)
