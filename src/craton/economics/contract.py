"""What a worker may ask of the ledger, and what it is told; free of any database library."""

import msgspec


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Reserve for a request the most it can use."""

    request_id: str
    account: str
    resource: str
    at_ms: int
    quantities: dict[str, int]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """The hold is taken; `amount` is what it reserves, in nano-units."""

    amount: int


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
