"""Health, readiness and metrics: open to everyone who can reach the port; they tell no secret."""

import msgspec

from craton.apis.app import Endpoint
from craton.apis.exchange import Exchange
from craton.apis.native.wire import JSON, NativeWire
from craton.apis.services import Services
from craton.kernel.errors import CratonError, EngineNotReady
from craton.kernel.metrics import exposition
from craton.messages import Message, Request, Role, Text
from craton.models.engine import Counts
from craton.store.contract import AllMetrics, ReadMetrics

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
READY_TIMEOUT_S = 2


def signal_endpoints(
    services: Services, *, default_model: str
) -> dict[tuple[str, bytes], Endpoint]:
    """The endpoints, by method and path."""
    wire = NativeWire()

    async def healthz(exchange: Exchange) -> None:
        """This worker's loop turns."""
        exchange.respond((200, (JSON,), b'{"status":"ok"}'))

    async def readyz(exchange: Exchange) -> None:
        """The ledger takes writes and the default model answers."""
        if not services.state.is_leased:
            await services.state.wait_leased(READY_TIMEOUT_S)
        engine = services.router.route(default_model).engine
        if isinstance(engine, Counts):
            message = Message(role=Role.USER, content=[Text(text="ready?")])
            try:
                await engine.count(Request(model=default_model, messages=[message]))
            except CratonError as error:
                raise EngineNotReady(f"{default_model} does not answer: {error.message}") from error
        body = msgspec.json.encode({"status": "ready", "model": default_model})
        exchange.respond((200, (JSON,), body))

    async def metrics(exchange: Exchange) -> None:
        """Every process's counters, as Prometheus text."""
        all_metrics = await services.state.call("metrics", ReadMetrics(), AllMetrics)
        snapshots = {p.process: p.snapshot for p in all_metrics.processes}
        snapshots[services.process] = services.metrics.snapshot()
        text = exposition(sorted(snapshots.items()))
        exchange.respond((200, (_TEXT,), text.encode()))

    return {
        ("GET", b"/healthz"): Endpoint(wire, healthz, None),
        ("GET", b"/readyz"): Endpoint(wire, readyz, None),
        ("GET", b"/metrics"): Endpoint(wire, metrics, None),
    }
