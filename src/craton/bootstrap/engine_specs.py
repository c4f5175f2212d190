"""Keeps one engine process running for each model that needs one, as the catalogue says.

A process that generates is started as soon as its model is there, since its start takes a second or
more. One that embeds is started when it is first asked: until then its socket has a doorbell, and
neither its weights nor its memory are taken.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from craton.bootstrap.settings import Settings
from craton.bootstrap.supervisor import Spec, Supervisor
from craton.kernel.errors import CratonError
from craton.kernel.log import Log
from craton.models.card import MODELS, EmbeddedSource, Modality, ModelCard
from craton.models.engines.embedded import embeddings_specification, specification
from craton.models.engines.embedded.link import AWAY
from craton.store.kind import Change

WEIGHTS_RETRY_S = 30
"""How long after weights could not be had they are looked for again."""

Locate = Callable[[EmbeddedSource], Awaitable[Path]]


class EngineKeeper:
    """Starts and stops engine processes as models come and go."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        log: Log,
        locate: Locate,
        *,
        waits: bool = False,
    ) -> None:
        """`waits`: nothing is started before `lend` has said that engines may use the machine."""
        self._settings = settings
        self._supervisor = supervisor
        self._log = log
        self._locate = locate
        self._wanted: dict[str, ModelCard] = {}
        self._running: dict[str, ModelCard] = {}
        self._doorbells: dict[str, Doorbell] = {}
        self._asked: set[str] = set()
        self._is_lent = not waits
        self._why_not: str | None = None
        self.needed = asyncio.Event()
        """Set once some model needs an engine process."""
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
                self.needed.set()
        else:
            self._wanted.pop(change.id, None)
        self._changed.set()

    def lend(self, why_not: str | None) -> None:
        """Let engines use the machine; or stop them, and have their clients told why."""
        if not self._is_lent or why_not != self._why_not:
            self._is_lent, self._why_not = True, why_not
            self._changed.set()

    async def close(self) -> None:
        """Stop keeping; the supervisor ends the processes."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for model in list(self._doorbells):
            self._doorbells.pop(model).close()

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._is_lent:
                continue
            await self._come_or_go()
            if self._why_not is not None:
                continue
            for model in [m for m in self._running if self._wanted.get(m) != self._running[m]]:
                del self._running[model]
                self._asked.discard(model)
                await self._supervisor.stop_one(child_name(model))
            for model in [m for m in self._doorbells if m not in self._wanted]:
                self._doorbells.pop(model).close()
            for model, card in list(self._wanted.items()):
                if model in self._running or model in self._doorbells:
                    continue
                if _embeds(card) and model not in self._asked:
                    self._hang(model)
                else:
                    await self._start(card)

    async def _come_or_go(self) -> None:
        """Say beside each socket whether its process was taken away for a time, and why."""
        for model in self._wanted:
            away = Path(self._settings.engine_socket(model)).with_suffix(AWAY)
            if self._why_not is None:
                away.unlink(missing_ok=True)
            else:
                away.write_text(self._why_not, encoding="utf-8")
        if self._why_not is not None:
            self._asked.clear()
            for model in list(self._doorbells):
                self._doorbells.pop(model).close()
            for model in list(self._running):
                del self._running[model]
                await self._supervisor.stop_one(child_name(model))

    def _hang(self, model: str) -> None:
        """Hang a doorbell; the process starts when it rings."""
        path = self._settings.engine_socket(model)

        def ring() -> None:
            del self._doorbells[model]
            self._asked.add(model)
            self._changed.set()

        self._doorbells[model] = Doorbell(Path(path), ring)

    async def _start(self, card: ModelCard) -> None:
        assert isinstance(card.source, EmbeddedSource)
        try:
            weights = await self._locate(card.source)
        except CratonError as error:
            self._log.error("weights_missing", model=card.id, error=error.message)
            self._loop.call_later(WEIGHTS_RETRY_S, self._changed.set)
            return
        self._running[card.id] = card
        socket_path = Path(self._settings.engine_socket(card.id))
        self._supervisor.start(Spec(child_name(card.id), _command(card, weights, socket_path)))


class Doorbell:
    """Listens where an engine process will, and calls once when somebody wants to connect.

    Who rings isn't let in: the connection breaks, and a client that tries again finds the process.
    """

    def __init__(self, path: Path, ring: Callable[[], None]) -> None:
        self._path = path
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen()
        self._loop.add_reader(self._socket.fileno(), self._answer)

    def _answer(self) -> None:
        self.close()
        self._ring()

    def close(self) -> None:
        """Take it down."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _embeds(card: ModelCard) -> bool:
    return Modality.EMBEDDING in card.output_modalities


def _command(card: ModelCard, weights: Path, socket_path: Path) -> tuple[str, ...]:
    if _embeds(card):
        embedding = embeddings_specification.EmbeddingSpecification(
            name=card.id, model=weights, socket=socket_path, context_tokens=card.context_tokens
        )
        return tuple(embeddings_specification.command(embedding))
    assert isinstance(card.source, EmbeddedSource)
    generating = specification.Specification(
        name=card.id,
        model=weights,
        socket=socket_path,
        runtime=card.source.runtime,
        context_tokens=card.context_tokens,
    )
    return tuple(specification.command(generating))


def child_name(model: str) -> str:
    """The name of a model's engine process."""
    return f"engine-{model}"
