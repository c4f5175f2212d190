"""A ledger on an empty database, with the tables of the metadata."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from craton.economics.admission import Admission
from craton.economics.budgets import Budgets
from craton.economics.contract import Posted
from craton.economics.holds import Holds
from craton.economics.ledger import Ledger
from craton.economics.limits import Limits
from craton.economics.meters import Outcome, UsageRecord
from craton.economics.prices import PriceBook
from craton.kernel.clock import ManualClock
from craton.kernel.ids import Ids
from craton.kernel.metrics import Metrics
from craton.store.database import transaction
from craton.store.documents import Transaction
from craton.store.sqlite import SQLITE
from tests.fakes.databases import empty_database, placeholders

AT_MS = 1_793_491_200_000

Done = TypeVar("Done")


class Books:
    """Holds, bounds, ledger and database together; `restart` is a new state process over them."""

    def __init__(self, prices: PriceBook) -> None:
        self.prices = prices
        self.clock = ManualClock(AT_MS * 1_000_000)
        self.connection = empty_database()
        self.restart()

    def restart(self, *, awaited: Collection[str] = ()) -> None:
        self.metrics = Metrics()
        self.holds = Holds(self.prices)
        ids = Ids(self.clock)
        self.budgets = Budgets(self.holds, self.clock, ids)
        self.limits = Limits(self.holds, self.clock, ids)
        self.budgets.load(self.connection)
        self.limits.load(self.connection)
        self.admission = Admission(
            self.holds,
            self.budgets,
            self.limits,
            clock=self.clock,
            metrics=self.metrics,
            awaited=awaited,
        )
        self.ledger = Ledger(self.prices, self.holds, self.budgets, self.metrics)

    def commit(self, work: Callable[[Transaction], Done]) -> Done:
        writing = Transaction(self.connection, AT_MS)
        with transaction(self.connection):
            done = work(writing)
        for run in writing.after_commit:
            run()
        return done

    def post(self, *records: UsageRecord) -> list[Posted]:
        return self.commit(lambda writing: self.ledger.post(writing, records))

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        if self.connection.dialect is not SQLITE:
            sql = placeholders(sql)
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
