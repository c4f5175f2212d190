"""The double-entry ledger: hold, post, void.

A hold reserves what a request may cost at most, in the memory of the state process; the post of
what it really used releases it, and so does a void. Holds die with the connection of the worker
that took them, and are taken again when it comes back. Posts are durable and unique by request id.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from craton.economics.contract import Held, Hold, Posted, Void, Voided
from craton.economics.meters import UsageRecord
from craton.economics.prices import PriceBook
from craton.economics.tables import POSTINGS, USAGE
from craton.store.database import Statement
from craton.store.documents import Transaction


class OpenHold(msgspec.Struct, frozen=True):
    """A hold in memory, and who took it."""

    account: str
    amount: int
    owner: object


class Holds:
    """Every open hold, and their sum for each account."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._open: dict[str, OpenHold] = {}
        self._held: dict[str, int] = {}

    def take(self, owner: object, hold: Hold) -> Held:
        """Take a hold; taking it again (a worker came back) changes nothing but its owner."""
        self.release(hold.request_id)
        amount = self._prices.rate(hold.resource, hold.quantities, hold.at_ms).amount
        self._open[hold.request_id] = OpenHold(hold.account, amount, owner)
        self._held[hold.account] = self._held.get(hold.account, 0) + amount
        return Held(amount)

    def void(self, void: Void) -> Voided:
        """Release a hold because nothing is to be paid."""
        return Voided(self.release(void.request_id))

    def release(self, request_id: str) -> bool:
        """Drop a hold if it is open."""
        hold = self._open.pop(request_id, None)
        if hold is None:
            return False
        left = self._held[hold.account] - hold.amount
        if left:
            self._held[hold.account] = left
        else:
            del self._held[hold.account]
        return True

    def release_owner(self, owner: object) -> None:
        """Drop every hold of a worker whose connection is gone."""
        for request_id in [key for key, hold in self._open.items() if hold.owner is owner]:
            self.release(request_id)

    def held(self, account: str) -> int:
        """The sum of an account's open holds, in nano-units."""
        return self._held.get(account, 0)

    def __len__(self) -> int:
        return len(self._open)


_INSERT_USAGE = Statement(insert(USAGE).on_conflict_do_nothing())
_INSERT_POSTING = Statement(insert(POSTINGS).on_conflict_do_nothing())
_ASKED = func.json_each(bindparam("ids")).table_valued("value")
_KNOWN = Statement(select(USAGE.c.request_id).where(USAGE.c.request_id.in_(select(_ASKED.c.value))))


class Ledger:
    """Posts usage records: rated, balanced, once each."""

    def __init__(self, prices: PriceBook, holds: Holds) -> None:
        self._prices = prices
        self._holds = holds
        self._encode = msgspec.json.Encoder().encode

    def post(self, transaction: Transaction, records: Sequence[UsageRecord]) -> list[Posted]:
        """Write the records of one group. A record that is there already stays as it was."""
        usage: list[tuple[object, ...]] = []
        postings: list[tuple[object, ...]] = []
        replies: list[Posted] = []
        encode = self._encode
        # A record that comes again may be rated otherwise, since prices can have changed between:
        # what was posted with it first must not be added to.
        known = self._known(transaction, records)
        for record in records:
            rated = self._prices.rate(record.resource, record.quantities, record.at_ms)
            usage.append(
                (
                    record.request_id,
                    record.at_ms,
                    record.account,
                    record.project,
                    record.principal,
                    record.resource,
                    record.replica,
                    record.outcome,
                    encode(record.quantities).decode(),
                )
            )
            if rated.amount and record.request_id not in known:
                postings += _lines(record, rated.amount, rated.currency)
                if rated.payee is not None:
                    postings += _share(record, rated.payee, rated.payee_amount, rated.currency)
            known.add(record.request_id)
            replies.append(Posted(rated.amount, rated.currency))
            self._holds.release(record.request_id)
        transaction.connection.executemany(_INSERT_USAGE.sql, usage)
        transaction.connection.executemany(_INSERT_POSTING.sql, postings)
        return replies

    def _known(self, transaction: Transaction, records: Sequence[UsageRecord]) -> set[str]:
        ids = self._encode([record.request_id for record in records]).decode()
        rows = transaction.connection.execute(_KNOWN.sql, _KNOWN.parameters(ids=ids)).fetchall()
        return {row[0] for row in rows}


def _lines(record: UsageRecord, amount: int, currency: str) -> list[tuple[object, ...]]:
    request_id = record.request_id
    return [
        (request_id, 0, f"customer/{record.account}", currency, amount),
        (request_id, 1, f"revenue/{record.resource}", currency, -amount),
    ]


def _share(record: UsageRecord, payee: str, amount: int, currency: str) -> list[tuple[object, ...]]:
    request_id = record.request_id
    return [
        (request_id, 2, f"cost/share/{record.resource}", currency, amount),
        (request_id, 3, f"payable/{payee}", currency, -amount),
    ]


assert _INSERT_USAGE.names == tuple(column.name for column in USAGE.columns)
assert _INSERT_POSTING.names == tuple(column.name for column in POSTINGS.columns)
