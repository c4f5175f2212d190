"""Makes the engine of a model card. Each engine's module is imported only when a card needs it."""

from pathlib import Path
from typing import assert_never

from craton.bootstrap.settings import Settings
from craton.kernel.clock import Clock
from craton.kernel.log import Log
from craton.models.card import EchoSource, EmbeddedSource, ModelCard, RemoteSource
from craton.models.engine import Engine
from craton.models.engines.echo import EchoEngine
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.remote import RemoteEngine


class EngineMaker:
    """Called with a card, gives the open engine a worker uses for it."""

    def __init__(self, settings: Settings, clock: Clock, log: Log) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log

    def __call__(self, card: ModelCard) -> Engine:
        """Open the engine of a card."""
        match card.source:
            case EchoSource():
                return EchoEngine(
                    self._clock,
                    context_tokens=card.context_tokens,
                    output_tokens_default=card.output_tokens_default,
                )
            case EmbeddedSource():
                socket = Path(self._settings.engine_socket(card.id))
                return EmbeddedEngine(socket, name=card.id)
            case RemoteSource():
                return RemoteEngine(card.source, name=card.id, clock=self._clock)
            case _:
                assert_never(card.source)
