"""`/readyz`: whether Craton takes requests, and which model answers when none is named."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.apis.native.signals import signal_endpoints
from craton.kernel.errors import EngineNotReady
from craton.models.card import EchoSource, EmbeddedSource, ModelCard, RemoteSource, Source
from craton.models.engine import MODEL_MISSING
from craton.models.router import Router
from craton.store.kind import Change

BUNDLED = "lab.bundled"
OWN = RemoteSource("http://10.0.0.7:8000", "far-7b")
MISSING = EngineNotReady("There is no network.", code=MODEL_MISSING)
LOADING = EngineNotReady("Still loading.")


class Counting:
    """An engine that counts, or says why it doesn't."""

    def __init__(self, fault: EngineNotReady | None) -> None:
        self._fault = fault

    async def count(self, request: Any) -> int:
        assert request.model == BUNDLED, "only what comes along is asked"
        if self._fault is not None:
            raise self._fault
        return 1


async def readyz(
    *others: Source,
    default: str | None = BUNDLED,
    fault: EngineNotReady | None = None,
    knows_default: bool = True,
) -> Any:
    engine: Any = Counting(fault)
    router = Router(lambda _: engine, lambda _: None)
    cards = {f"own.m{number}": source for number, source in enumerate(others)}
    if knows_default:
        cards[BUNDLED] = EmbeddedSource(weights="w")
    for name, source in cards.items():
        card = ModelCard(name, name, "lab", source, 1000, 100)
        router.apply(Change("model", name, msgspec.json.encode(card)))
    services: Any = SimpleNamespace(state=SimpleNamespace(is_leased=True), router=router)
    answers: list[Any] = []
    exchange: Any = SimpleNamespace(respond=answers.append)
    endpoint = signal_endpoints(services, default_model=default)["GET", b"/readyz"]
    await endpoint.run(exchange)
    ((status, _, body),) = answers
    assert status == 200
    return msgspec.json.decode(body)


async def test_it_is_ready_when_the_model_that_comes_along_answers() -> None:
    assert await readyz(OWN) == {"status": "ready", "model": BUNDLED, "missing": {}}


@pytest.mark.parametrize("others", [(), (OWN,)])
async def test_it_is_not_ready_while_that_model_loads(others: tuple[Source, ...]) -> None:
    with pytest.raises(EngineNotReady, match="Still loading"):
        await readyz(*others, fault=LOADING)


@pytest.mark.parametrize("other", [OWN, EmbeddedSource(gguf="/models/m.gguf")])
async def test_what_can_not_be_had_does_not_take_the_operators_models_out(other: Source) -> None:
    told = await readyz(other, fault=MISSING)
    assert told["model"] is None
    assert told["missing"] == {BUNDLED: "There is no network."}


@pytest.mark.parametrize("others", [(), (EchoSource(),), (EmbeddedSource(weights="v"),)])
async def test_without_a_model_of_the_operators_it_is_not_ready(others: tuple[Source, ...]) -> None:
    with pytest.raises(EngineNotReady, match="There is no network"):
        await readyz(*others, fault=MISSING)


async def test_without_a_model_that_comes_along_it_is_ready_at_once() -> None:
    assert await readyz(default=None, knows_default=False) == {
        "status": "ready",
        "model": None,
        "missing": {},
    }
