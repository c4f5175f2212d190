"""A ledger on a database in memory, with the tables of the metadata."""

import sqlite3
from collections.abc import Sequence

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from craton.economics import tables
from craton.economics.contract import Posted
from craton.economics.ledger import Holds, Ledger
from craton.economics.meters import Outcome, UsageRecord
from craton.economics.prices import PriceBook
from craton.models import responses_kept
from craton.store import documents
from craton.store.database import METADATA, transaction
from craton.store.documents import Transaction

AT_MS = 1_793_491_200_000


def empty_database() -> sqlite3.Connection:
    declared = {tables.USAGE.name, documents.DOCUMENTS.name, responses_kept.RESPONSES.name}
    assert declared <= set(METADATA.tables)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    METADATA.create_all(engine)
    return connection


class Books:
    """Holds, ledger and database together."""

    def __init__(self, prices: PriceBook) -> None:
        self.prices = prices
        self.connection = empty_database()
        self.holds = Holds(prices)
        self.ledger = Ledger(prices, self.holds)

    def post(self, *records: UsageRecord) -> list[Posted]:
        with transaction(self.connection):
            return self.ledger.post(Transaction(self.connection, AT_MS), records)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def balance(self, ledger_account: str) -> int:
        ((total,),) = self.rows(
            "SELECT coalesce(sum(amount), 0) FROM postings WHERE ledger_account = ?",
            (ledger_account,),
        )
        assert isinstance(total, int)
        return total


def usage_record(
    number: int | str,
    *,
    account: str = "111111111111",
    resource: str = "lab.model",
    at_ms: int = AT_MS,
    **quantities: int,
) -> UsageRecord:
    return UsageRecord(
        f"{number:>036}",
        account,
        "proj-a",
        "key-a",
        resource,
        "echo/lab.model/0",
        Outcome.COMPLETE,
        at_ms,
        quantities,
    )
