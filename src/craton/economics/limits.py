"""Limits: requests and tokens in any 60 seconds, and requests at once.

A window slides: it keeps what was admitted at each millisecond and forgets it 60 s later, so that
no 60 seconds, wherever they begin, see more than the limit. A token bucket would be smaller, and
would let twice the limit pass in a minute that begins with a full bucket.

A hold counts one request and the most tokens that it can use; the post corrects the tokens to what
was used, and a void takes them back. The request itself stays counted, as it does at OpenAI.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

import msgspec
from sqlalchemy import select
from sqlalchemy.sql import bindparam

from craton.economics.bounds import LIMITS, WINDOW_MS, Limit, page
from craton.economics.contract import (
    BoundsQuery,
    CreateLimit,
    DeleteLimit,
    Hold,
    LimitPage,
    LimitStatus,
    UpdateLimit,
)
from craton.economics.holds import POST_WITHIN_MS, Holds, OpenHold
from craton.economics.meters import tokens_of
from craton.economics.tables import USAGE
from craton.kernel.clock import Clock
from craton.kernel.errors import Throttled, TooLarge
from craton.kernel.ids import Ids, first_id
from craton.store.database import Connection, Statement
from craton.store.documents import Transaction, everything

RETRY_S = 1
"""When to try again what only has to wait for a request to end."""

_RECENT = Statement(
    select(
        USAGE.c.at_ms,
        USAGE.c.account,
        USAGE.c.project,
        USAGE.c.principal,
        USAGE.c.resource,
        USAGE.c.quantities,
    )
    .where(USAGE.c.request_id >= bindparam("low"), USAGE.c.at_ms > bindparam("since"))
    .order_by(USAGE.c.at_ms)
)


class _Moment(msgspec.Struct):
    requests: int = 0
    tokens: int = 0


class Window:
    """What was admitted in the last 60 s, by the millisecond."""

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self._times: deque[int] = deque()
        self._moments: dict[int, _Moment] = {}

    def slide(self, now_ms: int) -> None:
        """Forget what is 60 s old."""
        while self._times and self._times[0] <= now_ms - WINDOW_MS:
            moment = self._moments.pop(self._times.popleft())
            self.requests -= moment.requests
            self.tokens -= moment.tokens

    def add(self, at_ms: int, requests: int, tokens: int) -> None:
        """Count at a moment that isn't forgotten yet."""
        moment = self._moments.get(at_ms)
        if moment is None:
            moment = self._moments[at_ms] = _Moment()
            self._times.insert(bisect_left(self._times, at_ms), at_ms)
        moment.requests += requests
        moment.tokens += tokens
        self.requests += requests
        self.tokens += tokens

    def correct(self, at_ms: int, tokens: int) -> None:
        """Add to the tokens of a moment, unless it is forgotten."""
        moment = self._moments.get(at_ms)
        if moment is not None:
            moment.tokens += tokens
            self.tokens += tokens

    def wait_ms(self, now_ms: int, *, requests: int = 0, tokens: int = 0) -> int:
        """How long until so many requests and tokens will have been forgotten."""
        for at_ms in self._times:
            moment = self._moments[at_ms]
            requests -= moment.requests
            tokens -= moment.tokens
            if requests <= 0 and tokens <= 0:
                return at_ms + WINDOW_MS - now_ms
        return WINDOW_MS


class LimitState:
    """A limit with what counts against it."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.window = Window()
        self.running = 0

    def bounds(self, account: str, project: str, principal: str, resource: str) -> bool:
        """Whether a request counts here."""
        limit = self.limit
        return limit.model in (None, resource) and not {account, project, principal}.isdisjoint(
            limit.subjects
        )

    def status(self) -> LimitStatus:
        """Where the limit stands."""
        limit = self.limit
        return LimitStatus(
            id=limit.id,
            name=limit.name,
            account=limit.account,
            scope=limit.scope,
            subjects=limit.subjects,
            model=limit.model,
            requests_per_minute=limit.requests_per_minute,
            tokens_per_minute=limit.tokens_per_minute,
            requests_at_once=limit.requests_at_once,
            created_ms=limit.created_ms,
            requests_counted=self.window.requests,
            tokens_counted=self.window.tokens,
            requests_running=self.running,
        )


class Limits:
    """Every limit: asked before a hold is taken, told of holds and what became of them."""

    def __init__(self, holds: Holds, clock: Clock, ids: Ids) -> None:
        self._holds = holds
        self._clock = clock
        self._ids = ids
        self._by_id: dict[str, LimitState] = {}
        self._by_subject: dict[str, list[LimitState]] = {}

    def load(self, connection: Connection) -> None:
        """Read every limit, and the records of the last minute; before anything is held."""
        found = [LIMITS.decode(c.body) for c in everything(connection, LIMITS.name) if c.body]
        states = [LimitState(limit) for limit in found]
        self._recount(connection, states)
        for state in states:
            self._install(state)

    def judge(self, hold: Hold, now_ms: int) -> None:
        """Return if a request fits every limit; Throttled says which one it doesn't, until when."""
        tokens = tokens_of(hold.quantities) if self._by_subject else 0
        for state in self._of(hold):
            limit, window = state.limit, state.window
            window.slide(now_ms)
            if limit.tokens_per_minute is not None and tokens > limit.tokens_per_minute:
                raise TooLarge(
                    f"This request may use {tokens} tokens, and {_named(limit)} allows "
                    f"{limit.tokens_per_minute} a minute. Ask for fewer (max_tokens)."
                )
            _judge_rate(state, tokens, now_ms)
            if limit.requests_at_once is not None and state.running >= limit.requests_at_once:
                raise Throttled(
                    f"{_named(limit)} allows {limit.requests_at_once} requests at once, and as "
                    f"many are under way. Try again in {RETRY_S} s.",
                    retry_after_s=RETRY_S,
                )

    def taken(self, opened: OpenHold) -> None:
        """A hold was taken: it counts from its moment on."""
        hold = opened.hold
        for state in self._of(hold):
            self._count(state, hold)

    def released(self, opened: OpenHold, tokens: int) -> None:
        """A hold is gone; its request used this many tokens."""
        hold = opened.hold
        for state in self._of(hold):
            state.running -= 1
            state.window.correct(hold.at_ms, tokens - tokens_of(hold.quantities))

    def create(self, transaction: Transaction, command: CreateLimit) -> LimitStatus:
        """Make a limit; the last minute counts already."""
        limit = Limit(
            id=self._ids.name("lim-", length=12),
            name=command.name,
            account=command.account,
            scope=command.scope,
            subjects=command.subjects,
            model=command.model,
            requests_per_minute=command.requests_per_minute,
            tokens_per_minute=command.tokens_per_minute,
            requests_at_once=command.requests_at_once,
            created_ms=transaction.now_ms,
        )
        state = LimitState(limit)
        self._recount(transaction.connection, [state])
        transaction.add(LIMITS, limit.id, limit, account=limit.account, name=limit.name)
        transaction.after_commit.append(lambda: self._install(state))
        return state.status()

    def update(self, transaction: Transaction, command: UpdateLimit) -> LimitStatus:
        """Give a limit other numbers."""
        limit = msgspec.structs.replace(
            transaction.get(LIMITS, command.id),
            requests_per_minute=command.requests_per_minute,
            tokens_per_minute=command.tokens_per_minute,
            requests_at_once=command.requests_at_once,
        )
        transaction.put(LIMITS, limit.id, limit)
        state = self._by_id[limit.id]

        def put() -> None:
            state.limit = limit

        transaction.after_commit.append(put)
        return msgspec.structs.replace(
            state.status(),
            requests_per_minute=limit.requests_per_minute,
            tokens_per_minute=limit.tokens_per_minute,
            requests_at_once=limit.requests_at_once,
        )

    def delete(self, transaction: Transaction, command: DeleteLimit) -> DeleteLimit:
        """Take a limit away."""
        transaction.get(LIMITS, command.id)
        transaction.remove(LIMITS, command.id)
        transaction.after_commit.append(lambda: self._uninstall(command.id))
        return command

    def read(self, query: BoundsQuery) -> LimitPage:
        """Limits and where they stand."""
        now_ms = self._clock.now_ns() // 1_000_000
        owners = {id: state.limit.account for id, state in self._by_id.items()}
        ids, following = page(
            owners, account=query.account, id=query.id, after=query.after, limit=query.limit
        )
        chosen = [self._by_id[id] for id in ids]
        for state in chosen:
            state.window.slide(now_ms)
        return LimitPage([state.status() for state in chosen], following)

    def _recount(self, connection: Connection, states: Iterable[LimitState]) -> None:
        """Count the records of the last minute, each when it ended: not when it was admitted.

        That is later, so that a state process that was killed and started again never admits too
        many. Requests that ended without a record are forgotten then.
        """
        states = list(states)
        if not states:
            return
        now_ms = self._clock.now_ns() // 1_000_000
        since_ms = now_ms - WINDOW_MS
        low = first_id(since_ms - POST_WITHIN_MS)
        rows = _RECENT.execute(connection, low=low, since=since_ms).fetchall()
        for at_ms, account, project, principal, resource, quantities in rows:
            tokens = tokens_of(msgspec.json.decode(quantities, type=dict[str, int]))
            for state in states:
                if state.bounds(account, project, principal, resource):
                    state.window.add(at_ms, 1, tokens)

    def _count(self, state: LimitState, hold: Hold) -> None:
        state.running += 1
        now_ms = self._clock.now_ns() // 1_000_000
        state.window.slide(now_ms)
        if hold.at_ms > now_ms - WINDOW_MS:
            state.window.add(hold.at_ms, 1, tokens_of(hold.quantities))

    def _install(self, state: LimitState) -> None:
        self._by_id[state.limit.id] = state
        for subject in state.limit.subjects:
            self._by_subject.setdefault(subject, []).append(state)
        for opened in self._holds.all():
            hold = opened.hold
            if state.bounds(hold.account, hold.project, hold.principal, hold.resource):
                self._count(state, hold)

    def _uninstall(self, id: str) -> None:
        state = self._by_id.pop(id)
        for subject in state.limit.subjects:
            others = [other for other in self._by_subject[subject] if other is not state]
            if others:
                self._by_subject[subject] = others
            else:
                del self._by_subject[subject]

    def _of(self, hold: Hold) -> list[LimitState]:
        """The limits that a request counts in."""
        by_subject = self._by_subject
        if not by_subject:
            return []
        return [
            state
            for subject in (hold.account, hold.project, hold.principal)
            for state in by_subject.get(subject, ())
            if state.limit.model in (None, hold.resource)
        ]


def _judge_rate(state: LimitState, tokens: int, now_ms: int) -> None:
    limit, window = state.limit, state.window
    over = tokens_over = 0
    told = ""
    if limit.requests_per_minute is not None:
        over = window.requests + 1 - limit.requests_per_minute
        if over > 0:
            told = f"allows {limit.requests_per_minute} requests a minute, and as many were made"
    if limit.tokens_per_minute is not None:
        tokens_over = window.tokens + tokens - limit.tokens_per_minute
        if tokens_over > 0:
            told = (
                f"allows {limit.tokens_per_minute} tokens a minute: {window.tokens} are counted, "
                f"and this request may use {tokens}"
            )
    if told:
        wait_ms = window.wait_ms(now_ms, requests=over, tokens=tokens_over)
        retry_s = max(1, -(-wait_ms // 1000))
        raise Throttled(f"{_named(limit)} {told}. Try again in {retry_s} s.", retry_after_s=retry_s)


def _named(limit: Limit) -> str:
    of = f" for {limit.model}" if limit.model is not None else ""
    return f"The limit {limit.name} ({limit.id}) of {limit.scope} {limit.subjects[0]}{of}"
