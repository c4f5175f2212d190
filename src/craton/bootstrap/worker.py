"""A gateway worker: sockets, dialects, and a snapshot of everything else.

    python -m craton.bootstrap.worker SETTINGS NUMBER DESCRIPTOR

The listening socket is inherited under that file descriptor, shared by all workers.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from craton.access.directory import Directory
from craton.apis.app import App
from craton.apis.authenticator import Authenticator
from craton.apis.embedding import Embedding
from craton.apis.inference import Inference
from craton.apis.services import Services
from craton.apis.tracing import Tracing
from craton.bootstrap import child, endpoints
from craton.bootstrap.engines import EngineMaker
from craton.bootstrap.settings import Settings, from_argument
from craton.bootstrap.telemetry import open_tracing
from craton.bootstrap.tls import keep_read, server_tls
from craton.economics.bounds import Bounded
from craton.fleet.run_folder import RUNS_FOLDER, RunFolder
from craton.http import HttpServer, ServerCounters
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.models.engine import Engine
from craton.models.router import Router
from craton.store.client import StateClient
from craton.store.kind import Change

GRACE_S = 5


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts of one gateway worker, put together."""

    services: Services
    app: App

    def server(self) -> HttpServer:
        """The HTTP server in front of the app."""
        return HttpServer(
            self.app.handle,
            clock=self.services.clock,
            refuse=self.app.refuse,
            on_internal_error=self.app.internal_error,
            counters=ServerCounters(),
        )


def assemble(settings: Settings, *, process: str, clock: Clock, log: Log) -> Worker:
    """Put a worker together; it is not connected to anything yet."""
    metrics = Metrics()
    closing: set[asyncio.Task[None]] = set()

    def close_engine(engine: Engine) -> None:
        task = asyncio.get_running_loop().create_task(engine.close())
        closing.add(task)
        task.add_done_callback(closing.discard)

    directory = Directory()
    bounded = Bounded()
    tracing = _tracing(settings, process, clock)
    onward = None if tracing is None else tracing.onward
    router = Router(EngineMaker(settings, clock, onward), close_engine)

    def apply(changes: Sequence[Change]) -> None:
        for change in changes:
            directory.apply(change)
            bounded.apply(change)
            router.apply(change)
        inference.tell_holds()

    state = StateClient(
        settings.state_socket,
        process=process,
        leased=True,
        clock=clock,
        log=log,
        on_change=apply,
        metrics=metrics.snapshot,
    )
    inference = Inference(router=router, state=state, clock=clock, log=log, bounded=bounded)
    services = Services(
        process=process,
        directory=directory,
        router=router,
        state=state,
        inference=inference,
        embedding=Embedding(router=router, inference=inference, clock=clock),
        clock=clock,
        ids=Ids(clock),
        log=log,
        metrics=metrics,
        region=settings.region,
        is_secure=settings.is_secured,
        stores_responses=settings.stores_responses,
        tracing=tracing,
        runs=RunFolder(settings.data / RUNS_FOLDER),
    )
    table = endpoints.endpoints(services, default_model=settings.default_model)
    authenticator = Authenticator(directory, clock, signing_names=table.signing_names)
    return Worker(services, App(services, table.routes, authenticator))


def _tracing(settings: Settings, process: str, clock: Clock) -> Tracing | None:
    if settings.otlp_endpoint is None:
        return None
    offset_ns = clock.now_ns() - clock.monotonic_ns()
    return open_tracing(settings.otlp_endpoint, process=process, wall_less_monotonic_ns=offset_ns)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    listening: socket.socket,
    *,
    process: str,
    clock: Clock,
    log: Log,
) -> None:
    """Connect to the state process, then serve until told to stop."""
    worker = assemble(settings, process=process, clock=clock, log=log)
    server = worker.server()
    await worker.services.state.open()
    secured = server_tls(settings)
    await server.start(listening, ssl_context=None if secured is None else secured.context)
    reading = asyncio.create_task(keep_read(secured, log)) if secured is not None else None
    child.settle()
    log.info("worker_ready")
    await stop.wait()
    if reading is not None:
        reading.cancel()
    await server.close(GRACE_S)
    await worker.services.state.close()
    await worker.services.router.close()
    if worker.services.tracing is not None:
        await asyncio.to_thread(worker.services.tracing.close)


def main() -> None:
    """Run as a child of `craton up`."""
    settings = from_argument(sys.argv[1])
    process = f"gateway-{sys.argv[2]}"
    log = Log(process, level=settings.level)
    listening = socket.socket(fileno=int(sys.argv[3]))
    listening.setblocking(False)
    clock = SystemClock()
    child.run(
        lambda stop: serve(settings, stop, listening, process=process, clock=clock, log=log), log
    )


if __name__ == "__main__":
    main()
