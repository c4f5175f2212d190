"""Health, readiness and metrics: open to everyone who can reach the port; they tell no secret."""

from typing import Literal

import msgspec

from craton.apis.app import Endpoint
from craton.apis.exchange import Exchange
from craton.apis.native.wire import JSON, NativeWire
from craton.apis.services import Services
from craton.kernel.errors import CratonError, EngineNotReady
from craton.kernel.metrics import exposition
from craton.messages import Message, Request, Role, Text
from craton.models.card import EmbeddedSource, RemoteSource
from craton.models.engine import MODEL_MISSING, Counts
from craton.models.router import Router
from craton.store.contract import AllMetrics, ReadMetrics

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
READY_TIMEOUT_S = 2


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What `/readyz` says when Craton takes requests."""

    status: Literal["ready"] = "ready"
    model: str | None = None
    """The model that answers when none is named; None if none does."""
    missing: dict[str, str] = {}
    """Models that come along and can't be run, with the reasons."""


def signal_endpoints(
    services: Services, *, default_model: str | None
) -> dict[tuple[str, bytes], Endpoint]:
    """The endpoints, by method and path."""
    wire = NativeWire()

    async def healthz(exchange: Exchange) -> None:
        """This worker's loop turns."""
        exchange.respond((200, (JSON,), b'{"status":"ok"}'))

    async def readyz(exchange: Exchange) -> None:
        """The ledger takes writes, this worker may serve, and a model that comes along answers.

        The operator's own models aren't asked: one that is down must not take the others out of
        service. Where they are all that can answer, because the weights of the one that comes along
        can't be had or because none comes along, the rest is enough.
        """
        if not services.state.is_leased:
            await services.state.wait_leased(READY_TIMEOUT_S)
        told = Ready(model=default_model)
        if default_model is not None:
            try:
                await _ask(services.router, default_model)
            except CratonError as error:
                reason = f"{default_model} does not answer: {error.message}"
                if error.code != MODEL_MISSING or not _has_others(services.router):
                    raise EngineNotReady(reason, code=error.code) from error
                told = Ready(missing={default_model: error.message})
        exchange.respond((200, (JSON,), msgspec.json.encode(told)))

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


async def _ask(router: Router, model: str) -> None:
    """Have a model count a word; its error if it can't."""
    engine = router.route(model).engine
    if isinstance(engine, Counts):
        message = Message(role=Role.USER, content=[Text(text="ready?")])
        await engine.count(Request(model=model, messages=[message]))


def _has_others(router: Router) -> bool:
    """Whether the operator added a model: a file, or a server elsewhere."""
    return any(
        isinstance(card.source, RemoteSource)
        or (isinstance(card.source, EmbeddedSource) and card.source.gguf is not None)
        for card in router.cards()
    )
