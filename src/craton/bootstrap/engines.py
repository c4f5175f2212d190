"""The registry of engines: each by the tag of the model source that it runs.

An engine's module is imported inside its maker, so that a worker loads only what its models use.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from craton.bootstrap.settings import Settings
from craton.kernel.clock import Clock
from craton.kernel.registry import Registry
from craton.models.card import (
    EchoSource,
    EmbeddedSource,
    Modality,
    ModelCard,
    RemoteSource,
    RemoteWire,
)
from craton.models.engine import Engine, Onward

ENGINES = Registry[Engine]("engine")


@dataclass(frozen=True, slots=True)
class EngineMaker:
    """Called with a card, gives the open engine a worker uses for it."""

    settings: Settings
    clock: Clock
    onward: Onward | None = None
    """Where requests are traced: what takes a trace on to the servers of remote models."""

    def __call__(self, card: ModelCard) -> Engine:
        """Open the engine of a card."""
        return ENGINES.get(str(type(card.source).__struct_config__.tag))(self, card)


@dataclass(frozen=True, slots=True)
class Missing:
    """Called, says why the process of an embedded model can't be there; None if it can."""

    settings: Settings
    source: EmbeddedSource

    def __call__(self) -> str | None:
        """The reason, and what to do."""
        engine, name = self.settings.engine, self.source.weights or self.source.gguf
        if self.source.weights is not None and engine != "embedded":
            return (
                f"It came along with Craton, which was started with `--engine {engine}` and runs "
                "no such model. Start it with `--engine embedded`, or ask another model."
            )
        assert name is not None, "a card names weights or a file"
        try:
            return self.settings.weights_problem(name).read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None


@ENGINES.register("echo")
def open_echo(maker: EngineMaker, card: ModelCard) -> Engine:
    """The echo engine, in the worker itself."""
    from craton.models.engines.echo import EchoEngine  # noqa: PLC0415 - a plug-in

    assert isinstance(card.source, EchoSource)
    return EchoEngine(
        maker.clock,
        context_tokens=card.context_tokens,
        output_tokens_default=card.output_tokens_default,
    )


@ENGINES.register("embedded")
def open_embedded(maker: EngineMaker, card: ModelCard) -> Engine:
    """A client of the model's engine process, which the supervisor keeps running."""
    assert isinstance(card.source, EmbeddedSource)
    missing = Missing(maker.settings, card.source)
    socket = Path(maker.settings.engine_socket(card.id))
    if Modality.EMBEDDING in card.output_modalities:
        from craton.models.engines.embedded.embeddings_client import (  # noqa: PLC0415 - a plug-in
            EmbeddingEngine,
        )

        return EmbeddingEngine(socket, name=card.id, missing=missing)
    from craton.models.engines.embedded.client import EmbeddedEngine  # noqa: PLC0415 - a plug-in

    return EmbeddedEngine(socket, name=card.id, missing=missing)


@ENGINES.register("remote")
def open_remote(maker: EngineMaker, card: ModelCard) -> Engine:
    """A client of a server elsewhere."""
    from craton.models.engines import remote  # noqa: PLC0415 - a plug-in

    assert isinstance(card.source, RemoteSource)
    is_counting = card.source.wire is not RemoteWire.OPENAI
    kind = remote.CountingRemoteEngine if is_counting else remote.RemoteEngine
    return kind(
        card.source,
        name=card.id,
        output_tokens_default=card.output_tokens_default,
        clock=maker.clock,
        random_source=random.SystemRandom(),
        onward=maker.onward,
    )
