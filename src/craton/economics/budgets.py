"""Budgets: what a subject may spend in a calendar period, never a nano-unit more.

A request fits if what was posted in the period, what open holds reserve and what this request can
cost are together no more than the amount. What was posted is kept in memory as a sum over postings:
read from them at the start, raised by a post after its commit, and compared with them again by
`verified`. An open hold counts in whatever period it is looked at, so a request that begins before
midnight and is posted after it can overdraw neither day.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import literal, select
from sqlalchemy.sql import bindparam

from craton.economics.bounds import BUDGETS, Budget, Period, page, period_of
from craton.economics.contract import (
    BoundsQuery,
    BudgetPage,
    BudgetStatus,
    CreateBudget,
    DeleteBudget,
    Hold,
    UpdateBudget,
    Verdict,
)
from craton.economics.holds import POST_WITHIN_MS, Holds, OpenHold
from craton.economics.meters import UsageRecord
from craton.economics.prices import Rated
from craton.economics.sums import sums, total
from craton.economics.tables import POSTINGS, USAGE, WITH_COST
from craton.kernel.clock import Clock
from craton.kernel.errors import BudgetExceeded
from craton.kernel.ids import Ids, first_id
from craton.kernel.units import decimal, money
from craton.store.database import Connection, Statement
from craton.store.documents import DOCUMENTS, Transaction, everything

_VERIFY_ATTEMPTS = 10
RETRY_S = 1
"""When to try again what fits as soon as requests under way have ended."""

_SPENT = Statement(
    select(
        USAGE.c.account,
        USAGE.c.project,
        USAGE.c.principal,
        POSTINGS.c.currency,
        *sums(POSTINGS.c.amount),
    )
    .select_from(WITH_COST)
    .where(
        (bindparam("everyone") == literal(1)) | (USAGE.c.account == bindparam("account")),
        USAGE.c.account.in_(select(DOCUMENTS.c.account).where(DOCUMENTS.c.kind == BUDGETS.name)),
        # The primary key first: what was made long before the period is never looked at.
        USAGE.c.request_id >= bindparam("low"),
        USAGE.c.at_ms >= bindparam("start"),
    )
    .group_by(USAGE.c.account, USAGE.c.project, USAGE.c.principal, POSTINGS.c.currency)
)

Row = tuple[str, str, str, str, int]
"""Account, project, key, currency, and what was posted for them."""


class BudgetState(msgspec.Struct):
    """A budget with its sums: what was posted in the period that runs, and what is held."""

    budget: Budget
    start_ms: int
    end_ms: int | None
    spent: int = 0
    held: int = 0

    def roll(self, now_ms: int) -> None:
        """Begin the period that a moment lies in, unless it runs already or is over."""
        if self.end_ms is not None and now_ms >= self.end_ms:
            self.start_ms, self.end_ms = period_of(self.budget.period, now_ms)
            self.spent = 0

    def status(self) -> BudgetStatus:
        """Where the budget stands."""
        budget = self.budget
        left = max(0, budget.amount_nanos - self.spent - self.held)
        over = max(0, self.spent - budget.amount_nanos)
        return BudgetStatus(
            id=budget.id,
            name=budget.name,
            account=budget.account,
            scope=budget.scope,
            subjects=budget.subjects,
            amount_nanos=budget.amount_nanos,
            currency=budget.currency,
            period=budget.period,
            created_ms=budget.created_ms,
            spent_nanos=self.spent,
            held_nanos=self.held,
            left_nanos=left,
            over_nanos=over,
            started_ms=self.start_ms,
            renews_ms=self.end_ms,
            amount=decimal(budget.amount_nanos),
            spent=decimal(self.spent),
            held=decimal(self.held),
            left=decimal(left),
            over=decimal(over),
        )


class Budgets:
    """Every budget: asked before a hold is taken, told of holds and posts."""

    def __init__(self, holds: Holds, clock: Clock, ids: Ids) -> None:
        self._holds = holds
        self._clock = clock
        self._ids = ids
        self._by_id: dict[str, BudgetState] = {}
        self._by_subject: dict[str, list[BudgetState]] = {}

    def load(self, connection: Connection) -> None:
        """Read every budget and what was posted under it; before anything is held."""
        found = [BUDGETS.decode(c.body) for c in everything(connection, BUDGETS.name) if c.body]
        states = [self._state(budget) for budget in found]
        for start_ms in {state.start_ms for state in states}:
            rows = _posted(connection, start_ms, None)
            for state in states:
                if state.start_ms == start_ms:
                    state.spent = _sum(rows, state.budget)
        for state in states:
            self._install(state)

    def judge(self, hold: Hold, rated: Rated, now_ms: int) -> None:
        """Return if a request fits every budget; BudgetExceeded says which one it doesn't fit."""
        if not self._by_subject or not rated.amount:
            return
        for subject in (hold.account, hold.project, hold.principal):
            states = self._by_subject.get(subject)
            if not states:
                continue
            same = [state for state in states if state.budget.currency == rated.currency]
            if not same:
                raise _other_currency(states[0].budget, hold, rated.currency)
            for state in same:
                state.roll(now_ms)
                if state.spent + state.held + rated.amount > state.budget.amount_nanos:
                    raise _exceeded(state, rated.amount)

    def taken(self, opened: OpenHold) -> None:
        """A hold was taken: it counts until it is released."""
        for state in self._of(opened):
            state.held += opened.amount

    def released(self, opened: OpenHold, tokens: int) -> None:
        """A hold is gone."""
        del tokens
        for state in self._of(opened):
            state.held -= opened.amount

    def posted(self, spent: Iterable[tuple[UsageRecord, Rated]]) -> None:
        """Records were committed, each for the first time."""
        for record, rated in spent:
            for subject in (record.account, record.project, record.principal):
                for state in self._by_subject.get(subject, ()):
                    state.roll(record.at_ms)
                    is_now = record.at_ms >= state.start_ms
                    if is_now and state.budget.currency == rated.currency:
                        state.spent += rated.amount

    def create(self, transaction: Transaction, command: CreateBudget) -> BudgetStatus:
        """Make a budget; what was spent in its period already counts."""
        budget = Budget(
            id=self._ids.name("bud-", length=12),
            name=command.name,
            account=command.account,
            scope=command.scope,
            subjects=command.subjects,
            amount_nanos=command.amount_nanos,
            currency=command.currency,
            period=command.period,
            created_ms=transaction.now_ms,
        )
        state = self._state(budget)
        transaction.add(BUDGETS, budget.id, budget, account=budget.account, name=budget.name)
        rows = _posted(transaction.connection, state.start_ms, budget.account)
        state.spent = _sum(rows, budget)
        transaction.after_commit.append(lambda: self._install(state))
        return state.status()

    def update(self, transaction: Transaction, command: UpdateBudget) -> BudgetStatus:
        """Give a budget another amount."""
        old = transaction.get(BUDGETS, command.id)
        budget = msgspec.structs.replace(old, amount_nanos=command.amount_nanos)
        transaction.put(BUDGETS, budget.id, budget)
        state = self._by_id[budget.id]

        def put() -> None:
            state.budget = budget

        transaction.after_commit.append(put)
        return msgspec.structs.replace(state, budget=budget).status()

    def delete(self, transaction: Transaction, command: DeleteBudget) -> DeleteBudget:
        """Take a budget away."""
        transaction.get(BUDGETS, command.id)
        transaction.remove(BUDGETS, command.id)
        transaction.after_commit.append(lambda: self._uninstall(command.id))
        return command

    def read(self, query: BoundsQuery) -> BudgetPage:
        """Budgets and where they stand."""
        now_ms = self._clock.now_ns() // 1_000_000
        owners = {id: state.budget.account for id, state in self._by_id.items()}
        ids, following = page(
            owners, account=query.account, id=query.id, after=query.after, limit=query.limit
        )
        chosen = [self._by_id[id] for id in ids]
        for state in chosen:
            state.roll(now_ms)
        return BudgetPage([state.status() for state in chosen], following)

    def verified(self, connection: Connection, verdict: Verdict) -> Verdict:
        """The verdict, with a fault for each budget whose sum isn't that of its postings.

        Runs beside the posts: the postings are read between two looks at the sums, and a right sum
        lies between them, unless a credit came in. A post that was committed and is about to be
        added, or one that is counted and about to be committed, may be missed once, but not every
        time.
        """
        faults: list[str] = []
        states = list(self._by_id.values())
        for state in states:
            posted = 0
            for _ in range(_VERIFY_ATTEMPTS):
                start_ms, before = state.start_ms, state.spent
                rows = _posted(connection, start_ms, state.budget.account)
                posted = _sum(rows, state.budget)
                if before <= posted <= state.spent and start_ms == state.start_ms:
                    break
            else:
                faults.append(
                    f"budget {state.budget.name} ({state.budget.id}) counts {state.spent} nanos "
                    f"as spent; its postings since {_moment(state.start_ms)} sum to {posted}"
                )
        return msgspec.structs.replace(
            verdict, faults=[*verdict.faults, *faults], budgets=len(states)
        )

    def _state(self, budget: Budget) -> BudgetState:
        now_ms = self._clock.now_ns() // 1_000_000
        return BudgetState(budget, *period_of(budget.period, now_ms))

    def _install(self, state: BudgetState) -> None:
        self._by_id[state.budget.id] = state
        for subject in state.budget.subjects:
            self._by_subject.setdefault(subject, []).append(state)
        for opened in self._holds.all():
            if any(state is other for other in self._of(opened)):
                state.held += opened.amount

    def _uninstall(self, id: str) -> None:
        state = self._by_id.pop(id)
        for subject in state.budget.subjects:
            others = [other for other in self._by_subject[subject] if other is not state]
            if others:
                self._by_subject[subject] = others
            else:
                del self._by_subject[subject]

    def _of(self, opened: OpenHold) -> list[BudgetState]:
        """The budgets that an open hold counts in."""
        by_subject = self._by_subject
        if not by_subject:
            return []
        hold = opened.hold
        return [
            state
            for subject in (hold.account, hold.project, hold.principal)
            for state in by_subject.get(subject, ())
            if state.budget.currency == opened.currency
        ]


def _posted(connection: Connection, start_ms: int, account: str | None) -> Sequence[Row]:
    """What was posted since a moment for accounts with budgets: by project, key and currency."""
    rows = _SPENT.execute(
        connection,
        everyone=int(account is None),
        account=account,
        low=first_id(start_ms - POST_WITHIN_MS),
        start=start_ms,
    ).fetchall()
    return [(*row[:4], total(*row[4:])) for row in rows]


def _sum(rows: Sequence[Row], budget: Budget) -> int:
    return sum(
        amount
        for account, project, principal, currency, amount in rows
        if currency == budget.currency
        and not {account, project, principal}.isdisjoint(budget.subjects)
    )


def _exceeded(state: BudgetState, amount: int) -> BudgetExceeded:
    budget = state.budget
    currency = budget.currency
    spent, allowed = state.spent, budget.amount_nanos
    left = max(0, allowed - spent - state.held)
    is_soon = spent + amount <= allowed
    reserved = f" and {money(state.held, currency)} is reserved by requests under way"
    used = f"{money(spent, currency)} is spent{reserved if state.held else ''}"
    what = {Period.DAY: " a day", Period.MONTH: " a month", Period.TOTAL: " in all"}[budget.period]
    renews = (
        "It does not renew" if state.end_ms is None else f"It renews at {_moment(state.end_ms)}"
    )
    return BudgetExceeded(
        f"The budget {budget.name} ({budget.id}) of {budget.scope} {budget.subjects[0]} allows "
        f"{money(allowed, currency)}{what}. {used}, so "
        f"{money(left, currency)} is left, and this request may cost {money(amount, currency)}. "
        + (
            f"Try again in {RETRY_S} s, when requests under way have ended."
            if is_soon
            else f"{renews}. Ask for fewer tokens, or ask the operator for more."
        ),
        retry_after_s=RETRY_S if is_soon else None,
    )


def _other_currency(budget: Budget, hold: Hold, currency: str) -> BudgetExceeded:
    return BudgetExceeded(
        f"The model {hold.resource} is priced in {currency}, and {budget.scope} "
        f"{budget.subjects[0]} has a budget in {budget.currency} alone ({budget.name}, "
        f"{budget.id}), which could not bound it. Ask the operator for a budget in {currency} too."
    )


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
