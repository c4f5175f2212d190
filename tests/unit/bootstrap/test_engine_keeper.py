"""The keeper of engine processes: what generates starts at once, what embeds when it is asked."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.bootstrap.engine_specs import EngineKeeper
from craton.bootstrap.settings import Settings
from craton.bootstrap.supervisor import Spec
from craton.kernel.errors import EngineNotReady, Unavailable
from craton.kernel.log import Log
from craton.models.card import MODELS, EmbeddedSource, Modality, ModelCard
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.store.kind import Change


class Children:
    """Stands in for the supervisor."""

    def __init__(self) -> None:
        self.running: dict[str, Spec] = {}

    def start(self, spec: Spec) -> None:
        assert spec.name not in self.running
        self.running[spec.name] = spec

    async def stop_one(self, name: str) -> None:
        del self.running[name]


class Kept:
    def __init__(self, run: Path, *, waits: bool = False) -> None:
        self.settings = Settings(run=run, engine="embedded")
        self.children = Children()
        self.located: list[EmbeddedSource] = []
        self.missing: set[str | None] = set()
        children: Any = self.children
        self.keeper = EngineKeeper(self.settings, children, Log("test"), self._locate, waits=waits)

    async def _locate(self, source: EmbeddedSource) -> Path:
        self.located.append(source)
        if source.weights in self.missing:
            raise Unavailable("There is no network.")
        return Path("/weights/model")

    async def say(self, card: ModelCard | str) -> None:
        """A model comes, or goes."""
        name = card if isinstance(card, str) else card.id
        body = None if isinstance(card, str) else msgspec.json.encode(card)
        self.keeper.apply(Change(MODELS.name, name, body))
        await settle()

    async def ring(self, model: str) -> None:
        """Connect where the model's process would listen."""
        path = self.settings.engine_socket(model)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, path)
            await settle()
            with pytest.raises(ConnectionResetError):  # not let in: to try again
                client.recv(1)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def card(name: str, *, embeds: bool, context_tokens: int = 256) -> ModelCard:
    return ModelCard(
        id=name,
        name=name,
        lab="lab",
        source=EmbeddedSource(weights=name),
        context_tokens=context_tokens,
        output_tokens_default=1,
        output_modalities=(Modality.EMBEDDING if embeds else Modality.TEXT,),
    )


@pytest.fixture
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Kept]:
    kept = Kept(tmp_path_factory.mktemp("k"))
    yield kept
    await kept.keeper.close()
    assert not list(kept.settings.run.iterdir())


async def test_what_generates_starts_at_once(kept: Kept) -> None:
    await kept.say(card("lab.text", embeds=False))
    (spec,) = kept.children.running.values()
    assert "craton.models.engines.embedded.process" in spec.command


async def test_what_embeds_takes_neither_weights_nor_a_process_until_it_is_asked(
    kept: Kept,
) -> None:
    await kept.say(card("lab.vectors", embeds=True))
    assert not kept.children.running
    assert not kept.located
    await kept.ring("lab.vectors")
    (spec,) = kept.children.running.values()
    assert "craton.models.engines.embedded.embeddings_process" in spec.command
    assert str(Path("/weights/model")) in spec.command


async def test_a_doorbell_leaves_with_its_model(kept: Kept) -> None:
    await kept.say(card("lab.vectors", embeds=True))
    assert Path(kept.settings.engine_socket("lab.vectors")).exists()
    await kept.say("lab.vectors")
    assert not Path(kept.settings.engine_socket("lab.vectors")).exists()


async def test_a_process_that_embeds_goes_with_its_model_and_comes_back_when_asked(
    kept: Kept,
) -> None:
    await kept.say(card("lab.vectors", embeds=True))
    await kept.ring("lab.vectors")
    await kept.say("lab.vectors")
    assert not kept.children.running
    await kept.say(card("lab.vectors", embeds=True, context_tokens=99))
    assert not kept.children.running
    await kept.ring("lab.vectors")
    (spec,) = kept.children.running.values()
    assert "99" in spec.command


async def test_weights_that_are_not_to_be_had_are_asked_for_only_when_needed(kept: Kept) -> None:
    kept.missing.add("lab.vectors")
    await kept.say(card("lab.vectors", embeds=True))
    await kept.ring("lab.vectors")
    assert len(kept.located) == 1
    assert not kept.children.running
    kept.missing.clear()
    await kept.say(card("lab.text", embeds=False))  # any change looks again
    assert set(kept.children.running) == {"engine-lab.vectors", "engine-lab.text"}


async def test_nothing_starts_before_the_machine_may_be_used(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kept = Kept(tmp_path_factory.mktemp("k"), waits=True)
    await kept.say(card("lab.text", embeds=False))
    await kept.say(card("lab.vectors", embeds=True))
    assert kept.keeper.needed.is_set()
    assert not kept.children.running
    assert not list(kept.settings.run.iterdir())
    kept.keeper.lend(None)
    await settle()
    assert set(kept.children.running) == {"engine-lab.text"}
    await kept.keeper.close()


async def test_engines_stop_while_the_machine_is_leased_and_their_clients_are_told_until_when(
    kept: Kept,
) -> None:
    await kept.say(card("lab.text", embeds=False))
    await kept.say(card("lab.vectors", embeds=True))
    await kept.ring("lab.vectors")
    assert len(kept.children.running) == 2
    kept.keeper.lend("It is leased until noon.")
    await settle()
    assert not kept.children.running
    for model in ("lab.text", "lab.vectors"):
        engine = EmbeddedEngine(Path(kept.settings.engine_socket(model)), name=model)
        with pytest.raises(EngineNotReady, match="It is leased until noon") as refused:
            await engine.ready()
        assert refused.value.retry_after_s is not None
    await kept.say(card("lab.late", embeds=False))
    assert not kept.children.running
    kept.keeper.lend(None)
    await settle()
    assert set(kept.children.running) == {"engine-lab.text", "engine-lab.late"}
    await kept.ring("lab.vectors")
    assert len(kept.children.running) == 3
