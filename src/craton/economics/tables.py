"""Usage and postings: the rows that are counted and summed."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, and_

from craton.store.database import METADATA, string

POSTING_NANOS_MAX = 9 * 10**18
"""The most that one posting says, either way; a larger amount is several."""
CUSTOMER_LINE = 0
"""What a record's customer owes for it is on this line, and what doesn't fit on it on those before;
what becomes of that is on the lines after it."""

USAGE = Table(
    "usage",
    METADATA,
    Column("request_id", string(36), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("account", string(32), nullable=False),
    Column("project", string(64), nullable=False),
    Column("principal", string(64), nullable=False),
    Column("resource", string(256), nullable=False),
    Column("replica", string(128), nullable=False),
    Column("outcome", string(16), nullable=False),
    Column("quantities", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""One row a request, made once: the primary key is what deduplicates a post sent again."""

POSTINGS = Table(
    "postings",
    METADATA,
    Column("transaction_id", string(36), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("ledger_account", string(300), nullable=False),
    Column("currency", string(8), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("postings_by_account", "ledger_account", "transaction_id"),
    sqlite_with_rowid=False,
)
"""Double entry: the lines of a transaction sum to zero. A usage record is its own transaction.

Signs: what an account owes is positive on `customer/…`; `revenue/…` and `payable/…` are negative.
"""

WITH_COST = USAGE.outerjoin(
    POSTINGS,
    and_(POSTINGS.c.transaction_id == USAGE.c.request_id, POSTINGS.c.line <= CUSTOMER_LINE),
)
"""Records, each with what its customer owes for it: no posting, one, or several. An outer join for
records that cost nothing, and so that SQLite looks at the records first."""
