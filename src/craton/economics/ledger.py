"""The double-entry ledger: posts are durable, balanced, and unique by request id."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Select, select

from craton.economics.budgets import Budgets
from craton.economics.contract import Posted
from craton.economics.holds import Holds
from craton.economics.meters import UsageRecord, tokens_of
from craton.economics.prices import PriceBook, Rated
from craton.economics.tables import POSTINGS, USAGE
from craton.kernel.metrics import Metrics
from craton.kernel.units import Nanos
from craton.store.database import Dialect, Insertion, Statement
from craton.store.documents import Transaction

_INSERT_USAGE = Insertion(USAGE)
_INSERT_POSTINGS = Insertion(POSTINGS)


def _asked(dialect: Dialect) -> Select[tuple[str]]:
    asked = dialect.strings("ids")
    return select(USAGE.c.request_id).where(USAGE.c.request_id.in_(asked))


_KNOWN = Statement(_asked)


class Ledger:
    """Posts usage records: rated, balanced, once each."""

    def __init__(
        self,
        prices: PriceBook,
        holds: Holds,
        budgets: Budgets | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._prices = prices
        self._holds = holds
        self._budgets = budgets
        self._encode = msgspec.json.Encoder().encode
        metrics = metrics or Metrics()
        self._over_hold = metrics.counter(
            "craton_posts_over_hold_total", "Answers that cost more than was held for them."
        )
        self._nanos_over_hold = metrics.counter(
            "craton_over_hold_nanos_total", "By how much they did, in nano-units of currency."
        )

    def post(self, transaction: Transaction, records: Sequence[UsageRecord]) -> list[Posted]:
        """Write the records of one group. A record that is there already stays as it was."""
        usage: list[tuple[object, ...]] = []
        postings: list[tuple[object, ...]] = []
        replies: list[Posted] = []
        spent: list[tuple[UsageRecord, Rated]] = []
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
                    # A plain string: for a member of an enumeration SQLite's driver looks for a
                    # converter, which costs as much as a row of an index.
                    str.__str__(record.outcome),
                    encode(record.quantities).decode(),
                )
            )
            held = self._holds.release(record.request_id, tokens_of(record.quantities))
            if rated.amount and record.request_id not in known:
                spent.append((record, rated))
                if held is not None and rated.amount > held.amount:
                    self._over_hold.add()
                    self._nanos_over_hold.add(rated.amount - held.amount)
                postings += _lines(record, rated.amount, rated.currency)
                if rated.payee is not None:
                    postings += _share(record, rated.payee, rated.payee_amount, rated.currency)
            known.add(record.request_id)
            replies.append(Posted(rated.amount, rated.currency))
        _INSERT_USAGE.execute(transaction.connection, usage)
        _INSERT_POSTINGS.execute(transaction.connection, postings)
        budgets = self._budgets
        if budgets is not None and spent:
            transaction.after_commit.append(lambda: budgets.posted(spent))
        return replies

    def enter(self, transaction: Transaction, record: UsageRecord, rated: Rated) -> None:
        """Write one record whose amount was agreed, not rated now: a fee, or a credit below zero.

        For commands that decide and post in one commit. Budgets count it at once, so that what is
        decided after it in the same group sees it; they take it back if the group isn't kept.
        """
        usage = (
            *(record.request_id, record.at_ms, record.account, record.project, record.principal),
            *(record.resource, record.replica, record.outcome),
            self._encode(record.quantities).decode(),
        )
        lines = _lines(record, rated.amount, rated.currency) if rated.amount else []
        if rated.payee is not None and rated.payee_amount:
            lines += _share(record, rated.payee, rated.payee_amount, rated.currency)
        _INSERT_USAGE.execute(transaction.connection, [usage])
        _INSERT_POSTINGS.execute(transaction.connection, lines)
        budgets = self._budgets
        if budgets is not None and rated.amount:
            spent = [(record, rated)]
            back = [(record, msgspec.structs.replace(rated, amount=Nanos(-rated.amount)))]
            budgets.posted(spent)
            transaction.undo.append(lambda: budgets.posted(back))

    def _known(self, transaction: Transaction, records: Sequence[UsageRecord]) -> set[str]:
        ids = self._encode([record.request_id for record in records]).decode()
        return {row[0] for row in _KNOWN.execute(transaction.connection, ids=ids).fetchall()}


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
