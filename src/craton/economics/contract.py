"""What a worker may ask of the ledger, and what it is told; free of any database library.

What is told has each amount twice: in nano-units, as an integer of any size, and in whole units of
the currency, as a decimal without loss, for readers whose numbers are floating point.
"""

import msgspec

from craton.economics.bounds import Period, Scope


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Reserve for a request the most it can use.

    `hold` takes it whatever the bounds are: nothing bounds the request, or it was admitted before
    and its worker says it again; `holds` takes a list of them. `admit` takes it only if it fits
    every budget and limit.
    """

    request_id: str
    account: str
    resource: str
    at_ms: int
    quantities: dict[str, int]
    project: str = ""
    principal: str = ""


class Held(msgspec.Struct, frozen=True, array_like=True):
    """The hold is taken; `amount` is what it reserves, in nano-units, `at_ms` when it was."""

    amount: int
    at_ms: int = 0


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """So many holds are taken."""

    count: int


class Void(msgspec.Struct, frozen=True, array_like=True):
    """Release a hold: the request used nothing."""

    request_id: str


class Voided(msgspec.Struct, frozen=True, array_like=True):
    """Whether there was such a hold."""

    existed: bool


class Posted(msgspec.Struct, frozen=True, array_like=True):
    """The record is durable; `amount` is what it cost, in nano-units of `currency`."""

    amount: int
    currency: str


class UsageQuery(msgspec.Struct, frozen=True):
    """Records of an account (all accounts if None), newest first, older than a request id."""

    account: str | None = None
    before: str | None = None
    limit: int = 100


class UsageLine(msgspec.Struct, frozen=True):
    """One request's record with what it cost."""

    request_id: str
    at_ms: int
    account: str
    project: str
    principal: str
    resource: str
    replica: str
    outcome: str
    quantities: dict[str, int]
    amount_nanos: int
    currency: str
    amount: str


class UsagePage(msgspec.Struct, frozen=True):
    """A page of records; `next` continues after it, None at the end."""

    records: list[UsageLine]
    next: str | None


class SummaryQuery(msgspec.Struct, frozen=True):
    """Totals of an account (all accounts if None) since a time."""

    account: str | None = None
    since_ms: int = 0


class SummaryLine(msgspec.Struct, frozen=True):
    """One account's use of one resource."""

    account: str
    resource: str
    requests: int
    quantities: dict[str, int]
    amount_nanos: int
    currency: str
    amount: str


class Summary(msgspec.Struct, frozen=True):
    """Totals by account and resource."""

    lines: list[SummaryLine]


class BalancesQuery(msgspec.Struct, frozen=True):
    """Balances of ledger accounts whose name starts with a prefix."""

    prefix: str = ""


class Balance(msgspec.Struct, frozen=True):
    """A ledger account's sum over its postings."""

    ledger_account: str
    currency: str
    amount_nanos: int
    postings: int
    amount: str


class Balances(msgspec.Struct, frozen=True):
    """Balances by ledger account."""

    balances: list[Balance]


class VerifyQuery(msgspec.Struct, frozen=True):
    """Check the whole ledger."""


class Verdict(msgspec.Struct, frozen=True):
    """What the check found; `faults` is empty when the ledger is whole."""

    usage_records: int
    transactions: int
    postings: int
    sum_nanos: int
    faults: list[str]
    budgets: int = 0
    """How many budgets' sums in memory were compared with their postings."""


class CreateBudget(msgspec.Struct, frozen=True):
    """Bound what a subject may spend; see `bounds.Budget`."""

    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    amount_nanos: int
    currency: str
    period: Period


class UpdateBudget(msgspec.Struct, frozen=True):
    """Give a budget another amount; below what is spent, nothing more passes."""

    id: str
    amount_nanos: int


class DeleteBudget(msgspec.Struct, frozen=True):
    """Take a budget away."""

    id: str


class CreateLimit(msgspec.Struct, frozen=True):
    """Bound how fast a subject may use models; see `bounds.Limit`."""

    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    model: str | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    requests_at_once: int | None


class UpdateLimit(msgspec.Struct, frozen=True):
    """Give a limit other numbers, all three of them."""

    id: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    requests_at_once: int | None


class DeleteLimit(msgspec.Struct, frozen=True):
    """Take a limit away."""

    id: str


class BoundsQuery(msgspec.Struct, frozen=True):
    """Budgets or limits of an account (all accounts if None) by id, after one; or one by its id."""

    account: str | None = None
    id: str | None = None
    after: str | None = None
    limit: int = 100


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A budget and where it stands. Amounts are nano-units of `currency`, moments ms (UTC).

    `left_nanos` is what one more request may still cost: the amount less what is spent and
    held, never below 0.
    `over_nanos` is what was posted above the amount: only an engine whose answer used more than
    was held for it can cause that.
    """

    id: str
    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    amount_nanos: int
    currency: str
    period: Period
    created_ms: int
    spent_nanos: int
    held_nanos: int
    left_nanos: int
    over_nanos: int
    started_ms: int
    renews_ms: int | None
    amount: str
    spent: str
    held: str
    left: str
    over: str


class BudgetPage(msgspec.Struct, frozen=True):
    """Budgets by id; `next` continues after the last, None at the end."""

    budgets: list[BudgetStatus]
    next: str | None


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A limit and what counts against it now: in the last 60 seconds, and at this moment."""

    id: str
    name: str
    account: str
    scope: Scope
    subjects: tuple[str, ...]
    model: str | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    requests_at_once: int | None
    created_ms: int
    requests_counted: int
    tokens_counted: int
    requests_running: int


class LimitPage(msgspec.Struct, frozen=True):
    """Limits by id; `next` continues after the last, None at the end."""

    limits: list[LimitStatus]
    next: str | None
