"""An embedded model that can't be run is refused at once, by what it can't be run for."""

from pathlib import Path
from typing import Any

import pytest

from craton.bootstrap.engines import EngineMaker
from craton.bootstrap.settings import Settings
from craton.kernel.clock import ManualClock
from craton.kernel.errors import EngineNotReady
from craton.messages import Message, Request, Role, Text
from craton.models.card import EmbeddedSource, Modality, ModelCard
from craton.models.engine import MODEL_MISSING, Stop

REQUEST = Request(model="lab.m", messages=[Message(role=Role.USER, content=[Text(text="hi")])])


def card(source: EmbeddedSource, *, embeds: bool = False) -> ModelCard:
    gives = Modality.EMBEDDING if embeds else Modality.TEXT
    return ModelCard("lab.m", "m", "lab", source, 100, 10, output_modalities=(gives,))


async def refusal(settings: Settings, asked: ModelCard) -> EngineNotReady:
    engine: Any = EngineMaker(settings, ManualClock())(asked)
    if asked.output_modalities == (Modality.EMBEDDING,):
        asking = engine.embed(["hi"], request_id="r", stop=Stop(), may_cut=False)
    else:
        asking = engine.count(REQUEST)
    with pytest.raises(EngineNotReady) as refused:
        await asking
    await engine.close()
    return refused.value


@pytest.mark.parametrize("embeds", [False, True])
async def test_weights_that_can_not_be_had_refuse_with_the_reason(
    tmp_path: Path, *, embeds: bool
) -> None:
    settings = Settings(run=tmp_path, engine="embedded")
    settings.weights_problem("w").write_text("There is no network. Craton tries again by itself.")
    error = await refusal(settings, card(EmbeddedSource(weights="w"), embeds=embeds))
    assert "lab.m can't be run. There is no network." in error.message
    assert error.code == MODEL_MISSING


async def test_a_file_that_is_gone_refuses_with_the_reason(tmp_path: Path) -> None:
    settings = Settings(run=tmp_path, engine="none")
    settings.weights_problem("/m.gguf").write_text("The weights file /m.gguf is gone.")
    error = await refusal(settings, card(EmbeddedSource(gguf="/m.gguf")))
    assert "/m.gguf is gone" in error.message


@pytest.mark.parametrize("engine", ["none", "echo"])
async def test_what_came_along_is_refused_where_nothing_of_it_is_run(
    tmp_path: Path, engine: str
) -> None:
    settings = Settings(run=tmp_path, engine=engine)
    error = await refusal(settings, card(EmbeddedSource(weights="w")))
    assert f"--engine {engine}" in error.message
    assert "--engine embedded" in error.message
