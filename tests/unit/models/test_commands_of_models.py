from collections.abc import Iterator

import pytest

from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.models.card import ALIASES, MODELS, EchoSource, ModelCard
from craton.models.commands import add_model, remove_alias, remove_model, set_alias
from craton.models.contract import AddModel, RemoveAlias, RemoveModel, SetAlias
from craton.store.documents import Transaction
from tests.fakes.databases import empty_database

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def work() -> Iterator[Transaction]:
    connection = empty_database()
    made = Transaction(connection, 1234)
    add_model(made, AddModel(card("lab.one")))
    yield made
    connection.close()


def card(id: str) -> ModelCard:
    return ModelCard(id, id, "Lab", EchoSource(), 1000, 100)


def test_a_model_is_added_with_its_time(work: Transaction) -> None:
    assert work.get(MODELS, "lab.one").created_ms == 1234


WRONG_IDS = ["one", "Lab.one", "lab.one!", "lab.", ".one", "a.b.c.d", "lab/one", ""]


@pytest.mark.parametrize("id", WRONG_IDS)
def test_an_id_that_bedrock_would_not_take_is_refused(work: Transaction, id: str) -> None:
    with pytest.raises(BadRequest, match=r"lab\.name"):
        add_model(work, AddModel(card(id)))


def test_ids_and_aliases_share_one_space_of_names(work: Transaction) -> None:
    set_alias(work, SetAlias("lab.two", "lab.one"))
    with pytest.raises(Conflict, match="alias already"):
        add_model(work, AddModel(card("lab.two")))
    with pytest.raises(Conflict, match="a model of its own"):
        set_alias(work, SetAlias("lab.one", "lab.one"))
    with pytest.raises(Conflict):
        add_model(work, AddModel(card("lab.one")))


def test_an_alias_can_be_set_again_to_mean_another(work: Transaction) -> None:
    add_model(work, AddModel(card("lab.two")))
    set_alias(work, SetAlias("gpt-x", "lab.one"))
    set_alias(work, SetAlias("gpt-x", "lab.two"))
    assert work.get(ALIASES, "gpt-x").model == "lab.two"


def test_an_alias_means_a_model_that_exists(work: Transaction) -> None:
    with pytest.raises(NotFound):
        set_alias(work, SetAlias("gpt-x", "lab.absent"))


@pytest.mark.parametrize("name", ["", " x", "a b", "-x", "x" * 201, "é"])
def test_a_wrong_alias_is_refused(work: Transaction, name: str) -> None:
    with pytest.raises(BadRequest, match="1 to 200"):
        set_alias(work, SetAlias(name, "lab.one"))


def test_removing_a_model_takes_its_aliases_first(work: Transaction) -> None:
    set_alias(work, SetAlias("gpt-x", "lab.one"))
    work.changes.clear()
    remove_model(work, RemoveModel("lab.one"))
    assert [(change.kind, change.id, change.body) for change in work.changes] == [
        ("alias", "gpt-x", None),
        ("model", "lab.one", None),
    ]
    with pytest.raises(NotFound):
        remove_model(work, RemoveModel("lab.one"))


def test_an_alias_is_forgotten_once(work: Transaction) -> None:
    set_alias(work, SetAlias("gpt-x", "lab.one"))
    remove_alias(work, RemoveAlias("gpt-x"))
    with pytest.raises(NotFound):
        remove_alias(work, RemoveAlias("gpt-x"))
