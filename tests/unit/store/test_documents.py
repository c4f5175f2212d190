from collections.abc import Iterator

import pytest

from craton.kernel.errors import Conflict, NotFound
from craton.store.database import OwnedConnection, savepoint, transaction
from craton.store.documents import Transaction, everything, page
from craton.store.kind import Change
from tests.fakes.databases import empty_database, in_transaction
from tests.fakes.state_process import NOTES, PRIVATE, Note

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def connection() -> Iterator[OwnedConnection]:
    made = empty_database()
    yield made
    made.close()


@pytest.fixture
def work(connection: OwnedConnection) -> Transaction:
    return Transaction(connection, 1000)


def add(work: Transaction, id: str, *, account: str = "a", name: str | None = None) -> None:
    work.add(NOTES, id, Note(id), account=account, name=name or id)


def test_a_document_is_read_as_it_was_added(work: Transaction) -> None:
    add(work, "one")
    assert work.get(NOTES, "one") == Note("one")
    assert work.find(NOTES, "two") is None
    assert work.find(PRIVATE, "one") is None
    with pytest.raises(NotFound, match="no note 'two'"):
        work.get(NOTES, "two")


def test_a_name_is_taken_once_in_an_account_and_kind(work: Transaction) -> None:
    add(work, "one", name="n")
    with pytest.raises(Conflict, match="A note named 'n' exists"):
        add(work, "two", name="n")
    with pytest.raises(Conflict):
        add(work, "one", name="other")
    add(work, "two", name="n", account="b")
    work.add(PRIVATE, "one", Note("one"), account="a", name="n")


def test_each_change_counts_the_version_up(work: Transaction, connection: OwnedConnection) -> None:
    add(work, "one")
    work.put(NOTES, "one", Note("one", "b"))
    later = Transaction(connection, 2000)
    later.put(NOTES, "one", Note("one", "c"))
    row = connection.execute("SELECT version, created_ms, updated_ms FROM documents").fetchone()
    assert row == (3, 1000, 2000)
    assert work.get(NOTES, "one").text == "c"


def test_changes_are_collected_in_order(work: Transaction) -> None:
    add(work, "one")
    work.put(NOTES, "one", Note("one", "b"))
    work.remove(NOTES, "one")
    assert work.changes == [
        Change("note", "one", b'{"id":"one","text":""}'),
        Change("note", "one", b'{"id":"one","text":"b"}'),
        Change("note", "one", None),
    ]
    assert work.find(NOTES, "one") is None


def test_a_document_is_found_by_the_name_it_was_added_under(work: Transaction) -> None:
    add(work, "one", name="n")
    assert work.find_named(NOTES, "a", "n") == Note("one")
    for kind, account, name in ((NOTES, "b", "n"), (NOTES, "a", "one"), (PRIVATE, "a", "n")):
        assert work.find_named(kind, account, name) is None


def test_a_document_that_moves_is_of_its_new_kind_only(
    work: Transaction, connection: OwnedConnection
) -> None:
    add(work, "one", name="n")
    add(work, "two")
    work.move(NOTES, PRIVATE, "one", Note("one", "over"), name="m")
    assert work.find(NOTES, "one") is work.find_named(PRIVATE, "a", "n") is None
    assert work.find(PRIVATE, "one") == work.find_named(PRIVATE, "a", "m") == Note("one", "over")
    assert [change.id for change in everything(connection, "note")] == ["two"]
    assert work.changes[2:] == [
        Change("note", "one", None),
        Change("private", "one", b'{"id":"one","text":"over"}'),
    ]
    row = connection.execute("SELECT version FROM documents WHERE id = 'one'").fetchone()
    assert row == (2,)
    add(work, "one", name="n")


def add_both(work: Transaction, connection: OwnedConnection, *ids: str) -> None:
    with savepoint(connection):
        for id in ids:
            add(work, id)


def add_twice(work: Transaction, connection: OwnedConnection, id: str) -> None:
    with transaction(connection):
        add(work, id)
        add(work, id)


def test_a_savepoint_undoes_one_command_and_no_other(
    work: Transaction, connection: OwnedConnection
) -> None:
    with transaction(connection):
        with savepoint(connection):
            add(work, "kept")
        with pytest.raises(Conflict):
            add_both(work, connection, "undone", "kept")
        with savepoint(connection):
            add(work, "later")
    assert [note.id for note in work.list(NOTES)] == ["kept", "later"]


def test_a_transaction_keeps_nothing_after_an_exception(
    work: Transaction, connection: OwnedConnection
) -> None:
    with pytest.raises(Conflict):
        add_twice(work, connection, "one")
    assert not in_transaction(connection)
    assert work.list(NOTES) == []


def test_documents_are_listed_by_id_in_pages(
    work: Transaction, connection: OwnedConnection
) -> None:
    for number in range(2500):
        add(work, f"{number:05}")
    assert [note.id for note in work.list(NOTES, after="00010", limit=2)] == ["00011", "00012"]
    assert len(page(connection, "note", "", 10)) == 10
    assert [change.id for change in everything(connection, "note")] == [
        f"{number:05}" for number in range(2500)
    ]
