from collections.abc import Iterator
from datetime import date

import msgspec
import pytest

from craton.economics.contract import Posted
from craton.economics.meters import Meter
from craton.economics.prices import PriceBook, Tariff
from craton.kernel.errors import BadRequest, Internal, NotFound
from craton.models.responses import (
    CHAIN_MAX,
    DAY_MS,
    KEPT_DAYS,
    PREVIOUS_NOT_FOUND,
    READ_MAX,
    DeleteResponse,
    KeepResponse,
    KeptResponse,
    ReadChain,
    ReadResponses,
)
from craton.models.responses_kept import Responses, read_chain, read_responses
from craton.store.database import transaction
from craton.store.documents import Transaction
from tests.fakes.ledgers import AT_MS, Books, usage_record

pytestmark = pytest.mark.usefixtures("any_database")

PRICES = PriceBook([Tariff("*", date(2026, 1, 1), "USD", {Meter.OUTPUT_TOKENS: 7_000_000}, "made")])
MINE, THEIRS = "111111111111", "222222222222"


@pytest.fixture
def books() -> Iterator[Books]:
    made = Books(PRICES)
    yield made
    made.connection.close()


def kept(
    number: int, *, account: str = MINE, previous: int | None = None, size: int = 10, at: int = 0
) -> KeepResponse:
    document = KeptResponse(
        f"resp_{number:>032}",
        account,
        AT_MS + at,
        None if previous is None else f"resp_{previous:>032}",
        b"[]",
        b"x" * (size - 2),
    )
    return KeepResponse(usage_record(number, account=account, output_tokens=1), document)


def keep(
    books: Books, *commands: KeepResponse, responses: Responses | None = None, now: int = 0
) -> list[Posted]:
    with transaction(books.connection):
        moment = Transaction(books.connection, AT_MS + now)
        return (responses or Responses(books.ledger.post)).keep(moment, commands)


def found(books: Books, *numbers: int, account: str = MINE, now: int = 0) -> list[str]:
    query = ReadResponses(account, [f"resp_{n:>032}" for n in numbers], AT_MS + now)
    return [one.id for one in read_responses(books.connection, query).responses]


def chain(books: Books, number: int, *, account: str = MINE, now: int = 0) -> list[int]:
    query = ReadChain(account, f"resp_{number:>032}", AT_MS + now)
    return [int(one.id[5:]) for one in read_chain(books.connection, query).responses]


def test_a_kept_response_is_read_as_it_was_and_its_use_is_posted(books: Books) -> None:
    (posted,) = keep(books, command := kept(1))
    assert posted == Posted(7, "USD")
    assert books.balance(f"customer/{MINE}") == 7
    query = ReadResponses(MINE, [command.kept.id], AT_MS)
    assert read_responses(books.connection, query).responses == [command.kept]


def test_a_command_that_comes_again_changes_nothing(books: Books) -> None:
    keep(books, kept(1))
    again = msgspec.structs.replace(kept(1).kept, response=b"another")
    assert keep(books, KeepResponse(kept(1).record, again)) == [Posted(7, "USD")]
    assert books.balance(f"customer/{MINE}") == 7
    assert books.rows("SELECT response FROM responses") == [(kept(1).kept.response,)]


def test_what_cant_be_posted_is_not_kept_and_others_are(books: Books) -> None:
    mad = msgspec.structs.replace(kept(2).record, quantities={"output_tokens": 10**30})
    first, refused, last = keep(books, kept(1), KeepResponse(mad, kept(2).kept), kept(3))
    assert first == last == Posted(7, "USD")
    assert isinstance(refused, Internal)
    assert found(books, 1, 2, 3) == [f"resp_{number:>032}" for number in (1, 3)]


def test_nothing_is_kept_where_the_post_fails(books: Books) -> None:
    def refuse(*_: object) -> list[Posted]:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        keep(books, kept(1), responses=Responses(refuse))
    assert found(books, 1) == []


def test_one_account_never_reads_or_deletes_what_another_keeps(books: Books) -> None:
    keep(books, kept(1), kept(2, account=THEIRS, previous=1))
    assert found(books, 1, account=THEIRS) == []
    with pytest.raises(BadRequest, match="not found"):
        chain(books, 2, account=THEIRS)  # theirs continues mine
    with pytest.raises(NotFound, match="never stored"), transaction(books.connection):
        Responses(books.ledger.post).delete(
            Transaction(books.connection, AT_MS), DeleteResponse(THEIRS, kept(1).kept.id)
        )
    assert found(books, 1) == [kept(1).kept.id]


def test_a_deleted_response_is_gone_and_breaks_its_chain(books: Books) -> None:
    keep(books, kept(1), kept(2, previous=1))
    assert chain(books, 2) == [1, 2]
    with transaction(books.connection):
        Responses(books.ledger.post).delete(
            Transaction(books.connection, AT_MS), DeleteResponse(MINE, kept(1).kept.id)
        )
    assert found(books, 1, 2) == [kept(2).kept.id]
    with pytest.raises(BadRequest, match="continues") as refused:
        chain(books, 2)
    assert refused.value.code == PREVIOUS_NOT_FOUND


def test_what_is_too_old_is_not_found_and_then_taken_away(books: Books) -> None:
    keep(books, kept(1))
    almost = KEPT_DAYS * DAY_MS - 1
    assert found(books, 1, now=almost) == [kept(1).kept.id]
    assert found(books, 1, now=almost + 1) == []
    keep(books, kept(2, at=almost + 1), now=almost + 1)
    assert books.rows("SELECT id FROM responses") == [(kept(2).kept.id,)]


def test_a_chain_has_bounds(books: Books) -> None:
    keep(books, *[kept(n, previous=n - 1 if n else None) for n in range(CHAIN_MAX + 1)])
    assert chain(books, CHAIN_MAX - 1) == list(range(CHAIN_MAX))
    with pytest.raises(BadRequest, match=str(CHAIN_MAX)):
        chain(books, CHAIN_MAX)
    four_mib = 4 * 1024 * 1024
    keep(
        books, *[kept(2000 + n, previous=1999 + n if n else None, size=four_mib) for n in range(5)]
    )
    assert chain(books, 2003) == [2000, 2001, 2002, 2003]
    with pytest.raises(BadRequest, match="bytes"):
        chain(books, 2004)


def test_an_accounts_oldest_go_when_it_keeps_too_much(books: Books) -> None:
    responses = Responses(books.ledger.post, account_bytes_max=1000)
    for number in range(10):
        keep(books, kept(number, size=100), responses=responses)
    keep(books, kept(50, account=THEIRS, size=100), responses=responses)
    assert len(found(books, *range(10))) == 10
    keep(books, kept(10, size=100), responses=responses)
    assert found(books, *range(11)) == [f"resp_{n:>032}" for n in range(2, 11)]
    assert len(found(books, 50, account=THEIRS)) == 1


def test_the_bound_is_held_from_the_first_response_after_a_restart(books: Books) -> None:
    keep(books, *[kept(n, size=100) for n in range(12)])
    keep(books, kept(12, size=100), responses=Responses(books.ledger.post, account_bytes_max=1000))
    assert books.rows("SELECT sum(bytes) FROM responses") == [(900,)]


def test_no_request_looks_up_more_than_a_few(books: Books) -> None:
    keep(books, *[kept(n, size=4 * 1024 * 1024) for n in range(5)])
    assert len(found(books, *range(4))) == 4
    with pytest.raises(BadRequest, match="bytes"):
        found(books, *range(5))
    with pytest.raises(BadRequest, match=str(READ_MAX)):
        found(books, *range(READ_MAX + 1))
