"""Keeps one engine process running for each model that needs one, as the catalogue says."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from craton.bootstrap.settings import Settings
from craton.bootstrap.supervisor import Spec, Supervisor
from craton.kernel.errors import CratonError
from craton.kernel.log import Log
from craton.models.card import MODELS, EmbeddedSource, ModelCard
from craton.models.engines.embedded.specification import Specification, command
from craton.store.kind import Change

WEIGHTS_RETRY_S = 30
"""How long after weights could not be had they are looked for again."""

Locate = Callable[[EmbeddedSource], Awaitable[Path]]


class EngineKeeper:
    """Starts and stops engine processes as models come and go."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, log: Log, locate: Locate
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._log = log
        self._locate = locate
        self._wanted: dict[str, ModelCard] = {}
        self._running: dict[str, ModelCard] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep())

    def apply(self, change: Change) -> None:
        """Take a change of the catalogue."""
        if change.kind != MODELS.name:
            return
        card = MODELS.decode(change.body) if change.body is not None else None
        if card is not None and isinstance(card.source, EmbeddedSource):
            if card.source.weights is None or self._settings.engine == "embedded":
                self._wanted[change.id] = card
        else:
            self._wanted.pop(change.id, None)
        self._changed.set()

    async def close(self) -> None:
        """Stop keeping; the supervisor ends the processes."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for model in [m for m in self._running if self._wanted.get(m) != self._running[m]]:
                del self._running[model]
                await self._supervisor.stop_one(child_name(model))
            for model, card in list(self._wanted.items()):
                if model not in self._running:
                    await self._start(card)

    async def _start(self, card: ModelCard) -> None:
        assert isinstance(card.source, EmbeddedSource)
        try:
            weights = await self._locate(card.source)
        except CratonError as error:
            self._log.error("weights_missing", model=card.id, error=error.message)
            self._loop.call_later(WEIGHTS_RETRY_S, self._changed.set)
            return
        self._running[card.id] = card
        specification = Specification(
            name=card.id,
            model=weights,
            socket=Path(self._settings.engine_socket(card.id)),
            context_tokens=card.context_tokens,
        )
        self._supervisor.start(Spec(child_name(card.id), tuple(command(specification))))


def child_name(model: str) -> str:
    """The name of a model's engine process."""
    return f"engine-{model}"
