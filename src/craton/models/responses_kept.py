"""Where kept responses are: their table, and what the state process does with it."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    delete,
    func,
    select,
)
from sqlalchemy.sql import bindparam

from craton.economics.contract import Posted
from craton.economics.meters import UsageRecord
from craton.kernel.errors import BadRequest, CratonError
from craton.models.responses import (
    ACCOUNT_BYTES_MAX,
    CHAIN_BYTES_MAX,
    CHAIN_MAX,
    KEPT_DAYS,
    PREVIOUS_NOT_FOUND,
    READ_MAX,
    DeleteResponse,
    KeepResponse,
    KeptResponse,
    KeptResponses,
    ReadChain,
    ReadResponses,
    not_found,
    oldest_ms,
)
from craton.store.database import METADATA, Connection, Insertion, Statement, string
from craton.store.documents import Transaction

RESPONSES = Table(
    "responses",
    METADATA,
    Column("id", string(64), primary_key=True),
    Column("account", string(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("previous", string(64)),
    Column("bytes", Integer, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Index("responses_by_account", "account", "id", "bytes"),
    Index("responses_by_time", "at_ms"),
)

_INSERT = Insertion(RESPONSES)
_READ = Statement(
    select(
        RESPONSES.c.id,
        RESPONSES.c.account,
        RESPONSES.c.at_ms,
        RESPONSES.c.previous,
        RESPONSES.c.input,
        RESPONSES.c.response,
    ).where(
        RESPONSES.c.id == bindparam("i"),
        RESPONSES.c.account == bindparam("a"),
        RESPONSES.c.at_ms > bindparam("since"),
    )
)
_DELETE = Statement(
    delete(RESPONSES).where(RESPONSES.c.id == bindparam("i"), RESPONSES.c.account == bindparam("a"))
)
_OWNED = Statement(
    select(RESPONSES.c.id).where(
        RESPONSES.c.id == bindparam("i"), RESPONSES.c.account == bindparam("a")
    )
)
_DELETE_EXPIRED = Statement(
    delete(RESPONSES).where(
        RESPONSES.c.id.in_(
            select(RESPONSES.c.id)
            .where(RESPONSES.c.at_ms <= bindparam("since"))
            .order_by(RESPONSES.c.at_ms)
            .limit(bindparam("count"))
        )
    )
)
_SUM = Statement(
    select(func.coalesce(func.sum(RESPONSES.c.bytes), 0)).where(
        RESPONSES.c.account == bindparam("a")
    )
)
_OLDEST = Statement(
    select(RESPONSES.c.id, RESPONSES.c.bytes)
    .where(RESPONSES.c.account == bindparam("a"))
    .order_by(RESPONSES.c.id)
    .limit(bindparam("count"))
)

_PAGE = 256
_EXPIRED_A_GROUP = 64
"""Expired rows that one group of commands takes away beside its own work."""

Post = Callable[[Transaction, Sequence[UsageRecord]], Sequence[Posted | CratonError]]


class Responses:
    """Keeps responses within their limits; `post` is how the ledger takes a usage record."""

    def __init__(self, post: Post, *, account_bytes_max: int = ACCOUNT_BYTES_MAX) -> None:
        self._post = post
        self._account_bytes_max = account_bytes_max
        # What each account keeps, at least: summed when first needed, and again before it counts.
        self._bytes: dict[str, int] = {}

    def keep(
        self, transaction: Transaction, commands: Sequence[KeepResponse]
    ) -> list[Posted | CratonError]:
        """Post and keep a group, but what can't be posted; one that comes again changes nothing."""
        replies = list(self._post(transaction, [command.record for command in commands]))
        connection = transaction.connection
        rows: list[tuple[Any, ...]] = []
        kept_bytes: dict[str, int] = {}
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, CratonError):
                continue
            kept = command.kept
            size = len(kept.input) + len(kept.response)
            rows.append(
                (
                    kept.id,
                    kept.account,
                    kept.at_ms,
                    kept.previous,
                    size,
                    kept.input,
                    kept.response,
                )
            )
            kept_bytes[kept.account] = kept_bytes.get(kept.account, 0) + size
        _INSERT.execute(connection, rows)
        since_ms, count = oldest_ms(transaction.now_ms), _EXPIRED_A_GROUP + len(rows)
        _DELETE_EXPIRED.execute(connection, since=since_ms, count=count)
        for account, size in kept_bytes.items():
            self._bound(connection, account, size)
        return replies

    def _bound(self, connection: Connection, account: str, added: int) -> None:
        known = self._bytes.get(account)
        total = _sum(connection, account) if known is None else known + added
        if total > self._account_bytes_max:
            # Deletions and groups that failed are not in the running sum, so look before acting.
            total = _sum(connection, account)
        if total > self._account_bytes_max:
            # A little further than needed, so that the next response doesn't come here again.
            target = self._account_bytes_max - self._account_bytes_max // 16
            total = _drop_oldest(connection, account, total, target)
        self._bytes[account] = total

    def delete(self, transaction: Transaction, command: DeleteResponse) -> DeleteResponse:
        """Forget a response."""
        connection, id, account = transaction.connection, command.id, command.account
        if _OWNED.execute(connection, i=id, a=account).fetchone() is None:
            raise not_found(id)
        _DELETE.execute(connection, i=id, a=account)
        return command


def _sum(connection: Connection, account: str) -> int:
    row = _SUM.execute(connection, a=account).fetchone()
    assert row is not None
    return row[0]


def _drop_oldest(connection: Connection, account: str, total: int, target: int) -> int:
    while total > target:
        rows = _OLDEST.execute(connection, a=account, count=_PAGE).fetchall()
        if not rows:
            break
        for id, size in rows:
            if total <= target:
                break
            _DELETE.execute(connection, i=id, a=account)
            total -= size
    return total


def _read(connection: Connection, account: str, id: str, since_ms: int) -> KeptResponse | None:
    row = _READ.execute(connection, i=id, a=account, since=since_ms).fetchone()
    if row is None:
        return None
    kept_id, owner, at_ms, previous, given, response = row
    return KeptResponse(kept_id, owner, at_ms, previous, bytes(given), bytes(response))


def read_responses(connection: Connection, query: ReadResponses) -> KeptResponses:
    """The responses of an account under these ids."""
    if len(query.ids) > READ_MAX:
        raise BadRequest(
            f"The input refers to items of {len(query.ids)} responses; at most {READ_MAX} can be "
            "looked up. Send the items themselves, or use `previous_response_id`."
        )
    since_ms = oldest_ms(query.now_ms)
    found: list[KeptResponse] = []
    size = 0
    for id in query.ids:
        kept = _read(connection, query.account, id, since_ms)
        if kept is None:
            continue
        size += len(kept.input) + len(kept.response)
        if size > CHAIN_BYTES_MAX:
            raise BadRequest(
                f"The responses whose items the input refers to have more than {CHAIN_BYTES_MAX} "
                "bytes together. Send the items themselves."
            )
        found.append(kept)
    return KeptResponses(found)


def read_chain(connection: Connection, query: ReadChain) -> KeptResponses:
    """A response and those before it, oldest first; BadRequest where one is gone."""
    since_ms = oldest_ms(query.now_ms)
    chain: list[KeptResponse] = []
    size = 0
    id: str | None = query.id
    while id is not None:
        kept = _read(connection, query.account, id, since_ms)
        if kept is None:
            raise _broken(query.id, id)
        size += len(kept.input) + len(kept.response)
        if len(chain) == CHAIN_MAX or size > CHAIN_BYTES_MAX:
            raise BadRequest(
                f"`previous_response_id`: the conversation behind {query.id!r} has more than "
                f"{CHAIN_MAX} responses or {CHAIN_BYTES_MAX} bytes. Send what still matters of it "
                "as `input`."
            )
        chain.append(kept)
        id = kept.previous
    return KeptResponses(chain[::-1])


def _broken(asked: str, missing: str) -> BadRequest:
    which = f"Previous response with id {missing!r} not found"
    if asked != missing:
        which = f"Response {asked!r} continues {missing!r}, and that is not found"
    return BadRequest(
        f"`previous_response_id`: {which}: it was never stored, was deleted, or is older than "
        f"{KEPT_DAYS} days. Send the conversation as `input`.",
        code=PREVIOUS_NOT_FOUND,
    )
