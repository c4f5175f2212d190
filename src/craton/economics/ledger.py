"""The double-entry ledger: posts are durable, balanced, and unique by request id."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Select, select

from craton.economics.budgets import Budgets
from craton.economics.contract import Posted
from craton.economics.holds import Holds
from craton.economics.meters import UsageRecord, tokens_of
from craton.economics.prices import PriceBook, Rated
from craton.economics.tables import CUSTOMER_LINE, POSTING_NANOS_MAX, POSTINGS, USAGE
from craton.kernel.errors import Internal
from craton.kernel.metrics import Metrics
from craton.kernel.units import Nanos, money
from craton.store.database import Dialect, Insertion, Statement
from craton.store.documents import Transaction

RECORD_NANOS_MAX = 10_000 * POSTING_NANOS_MAX
"""The most that one record costs: ninety million million of a currency, a posting for each nine
thousand million. More is a mistaken price, or the word of an engine that can't count."""

_Line = tuple[str, int, str, str, int]

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

    def post(
        self, transaction: Transaction, records: Sequence[UsageRecord]
    ) -> list[Posted | Internal]:
        """Write the records of one group. A record that is there already stays as it was.

        One that would cost too much for the ledger is answered with an error, and isn't written.
        """
        usage: list[tuple[object, ...]] = []
        postings: list[tuple[object, ...]] = []
        replies: list[Posted | Internal] = []
        spent: list[tuple[UsageRecord, Rated]] = []
        encode = self._encode
        # A record that comes again may be rated otherwise, since prices can have changed between:
        # what was posted with it first must not be added to.
        known = self._known(transaction, records)
        for record in records:
            rated = self._prices.rate(record.resource, record.quantities, record.at_ms)
            held = self._holds.release(record.request_id, tokens_of(record.quantities))
            if record.request_id not in known and rated.amount > RECORD_NANOS_MAX:
                replies.append(_too_much(record, rated))
                continue
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
            if rated.amount and record.request_id not in known:
                spent.append((record, rated))
                if held is not None and rated.amount > held.amount:
                    self._over_hold.add()
                    # As Prometheus reads it: of more than 64 bits no snapshot could be made.
                    self._nanos_over_hold.add(float(rated.amount - held.amount))
                postings += _lines(record, rated)
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

        Internal if it is more than the ledger takes at once.

        For commands that decide and post in one commit. Budgets count it at once, so that what is
        decided after it in the same group sees it; they take it back if the group isn't kept.
        """
        if abs(rated.amount) > RECORD_NANOS_MAX:
            raise _too_much(record, rated)
        usage = (
            *(record.request_id, record.at_ms, record.account, record.project, record.principal),
            *(record.resource, record.replica, str.__str__(record.outcome)),
            self._encode(record.quantities).decode(),
        )
        _INSERT_USAGE.execute(transaction.connection, [usage])
        if rated.amount:
            _INSERT_POSTINGS.execute(transaction.connection, _lines(record, rated))
        budgets = self._budgets
        if budgets is not None and rated.amount:
            spent = [(record, rated)]
            back = [(record, msgspec.structs.replace(rated, amount=Nanos(-rated.amount)))]
            budgets.posted(spent)
            transaction.undo.append(lambda: budgets.posted(back))

    def _known(self, transaction: Transaction, records: Sequence[UsageRecord]) -> set[str]:
        ids = self._encode([record.request_id for record in records]).decode()
        return {row[0] for row in _KNOWN.execute(transaction.connection, ids=ids).fetchall()}


def _lines(record: UsageRecord, rated: Rated) -> list[_Line]:
    """A record's postings: what its customer owes, what that earns, and who has a share of it."""
    id, amount, currency = record.request_id, rated.amount, rated.currency
    lines: list[_Line] = [
        (id, CUSTOMER_LINE, f"customer/{record.account}", currency, amount),
        (id, 1, f"revenue/{record.resource}", currency, -amount),
    ]
    if rated.payee is not None:
        share = rated.payee_amount
        lines += [
            (id, 2, f"cost/share/{record.resource}", currency, share),
            (id, 3, f"payable/{rated.payee}", currency, -share),
        ]
    return lines if abs(amount) <= POSTING_NANOS_MAX else _divided(lines)


def _divided(lines: Sequence[_Line]) -> list[_Line]:
    """The same as more lines, of which none says more than one posting holds."""
    divided: list[_Line] = []
    following = len(lines)
    for id, first, account, currency, amount in lines:
        line, left = first, abs(amount)
        while left > 0 or line == first:
            part = min(left, POSTING_NANOS_MAX)
            divided.append((id, line, account, currency, part if amount > 0 else -part))
            left -= part
            if first == CUSTOMER_LINE:
                line -= 1
            else:
                line, following = following, following + 1
    return divided


def _too_much(record: UsageRecord, rated: Rated) -> Internal:
    return Internal(
        f"{record.resource} would cost {money(rated.amount, rated.currency)} here, and the ledger "
        f"takes {money(RECORD_NANOS_MAX, rated.currency)} at once. Nothing was done or billed. "
        "The operator looks at its price, and at what it is said to have used."
    )
