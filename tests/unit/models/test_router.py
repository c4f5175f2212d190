from typing import Any

import msgspec
import pytest

from craton.kernel.errors import NotFound
from craton.models.card import ALIASES, MODELS, Alias, EchoSource, ModelCard, RemoteSource
from craton.models.router import Router
from craton.store.kind import Change


class Opened:
    """Stands for an engine; only its identity matters here."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card


def card(id: str, source: Any = None) -> ModelCard:
    return ModelCard(id, id, "Lab", source or EchoSource(), 1000, 100)


def model(made: ModelCard) -> Change:
    return Change(MODELS.name, made.id, msgspec.json.encode(made))


def alias(name: str, to: str) -> Change:
    return Change(ALIASES.name, name, msgspec.json.encode(Alias(name, to)))


@pytest.fixture
def closed() -> list[Any]:
    return []


@pytest.fixture
def router(closed: list[Any]) -> Router:
    made = Router(Opened, closed.append)  # type: ignore[arg-type]
    made.apply(model(card("lab.one")))
    made.apply(model(card("lab.two")))
    made.apply(alias("gpt-x", "lab.one"))
    return made


@pytest.mark.parametrize(
    "name",
    [
        "lab.one",
        "gpt-x",
        "arn:aws:bedrock:us-east-1::foundation-model/lab.one",
        "arn:aws:bedrock:us-east-1:111111111111:inference-profile/lab.one",
    ],
)
def test_every_name_of_a_model_finds_it(router: Router, name: str) -> None:
    assert router.route(name).card.id == "lab.one"


@pytest.mark.parametrize(
    "name",
    ["lab.three", "", "LAB.ONE", "arn:aws:bedrock:us-east-1::foundation-model/lab.three", "arn:x"],
)
def test_an_unknown_name_is_refused_with_what_exists(router: Router, name: str) -> None:
    with pytest.raises(NotFound) as refused:
        router.route(name)
    for known in ("lab.one", "lab.two", "gpt-x"):
        assert known in refused.value.message


def test_an_engine_is_opened_once_and_named_in_the_record(router: Router) -> None:
    assert router.route("lab.one").engine is router.route("gpt-x").engine
    assert router.route("lab.one").replica == "echo/lab.one/0"
    assert router.route("lab.two").engine is not router.route("lab.one").engine


def test_a_changed_card_gets_a_new_engine_and_the_old_one_is_closed(
    router: Router, closed: list[Any]
) -> None:
    old = router.route("lab.one").engine
    router.apply(model(card("lab.one", RemoteSource("http://127.0.0.1:1", "m"))))
    assert closed == [old]
    assert router.route("lab.one").replica == "remote/lab.one/0"


def test_a_card_that_is_said_again_unchanged_leaves_its_engine_alone(
    router: Router, closed: list[Any]
) -> None:
    """A worker hears the whole catalogue again whenever the state process comes back."""
    engine = router.route("lab.one").engine
    router.apply(model(card("lab.one")))
    assert closed == []
    assert router.route("lab.one").engine is engine


def test_a_removed_model_is_unknown_and_its_engine_closed(
    router: Router, closed: list[Any]
) -> None:
    old = router.route("lab.one").engine
    router.apply(Change(ALIASES.name, "gpt-x", None))
    router.apply(Change(MODELS.name, "lab.one", None))
    assert closed == [old]
    for name in ("lab.one", "gpt-x"):
        with pytest.raises(NotFound):
            router.route(name)


def test_changes_of_other_kinds_are_not_its_own(router: Router) -> None:
    router.apply(Change("account", "lab.one", None))
    assert [known.id for known in router.cards()] == ["lab.one", "lab.two"]
    assert [known.name for known in router.aliases()] == ["gpt-x"]
