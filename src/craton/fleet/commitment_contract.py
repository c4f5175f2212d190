"""What may be asked of commitments, and what is told; free of NumPy and of any database library.

Amounts are decimals as text, exact: they may be more nano-units than 64 bits hold. Quantities are
whole `measure`s: chip-seconds, or watt-seconds of a commitment in megawatts. Moments are UTC.
"""

import tomllib

import msgspec

from craton.fleet.commitment_records import CommitmentState
from craton.fleet.commitment_terms import Above, RollsOver, Unit
from craton.kernel.errors import BadRequest


class SignCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """Put a contract in force, for the account that its `account` was found to be."""

    text: str
    account: str
    principal: str
    is_dry_run: bool = False
    """Only say what it would be: what the fleet holds of it and what not."""


class TerminateCommitment(msgspec.Struct, frozen=True):
    """End a contract now: what was used is billed, what was kept is let go."""

    id: str


class FindCapacity(msgspec.Struct, frozen=True):
    """Keep units for what the fleet couldn't hold before, as far as it can now."""

    id: str


class CommitmentsQuery(msgspec.Struct, frozen=True):
    """The commitments of an account (of all if None), or the one of an id or name."""

    account: str | None = None
    id: str | None = None


class StatementQuery(msgspec.Struct, frozen=True):
    """One month of a commitment; `month` is `2027-01`."""

    id: str
    month: str
    account: str | None = None


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery: what is promised and what the fleet keeps for it.

    `amount`, `held` and `missing` are in the contract's unit; `held` is the least of what is kept
    from now to its end, `reason` why something is missing.
    """

    start_s: int
    end_s: int
    of: list[str]
    amount: str
    held: str
    missing: str
    reason: str
    chips: int
    """How many chips are kept for it."""
    pools: dict[str, int]
    """Units by pool."""
    reservations: list[str]
    broken_units: int
    """Of those, units that can't be given now."""


class YearView(msgspec.Struct, frozen=True, kw_only=True):
    """A calendar year, posted months and months to come."""

    year: int
    months_posted: int
    amount: str
    """What its promises are worth."""
    due: str
    credited: str
    extra: str
    recognised: str
    above: str
    """Of what was used above the commitment, in the contract's currency."""
    backlog: str
    """What the months after the year are worth."""
    committed: int
    delivered: int
    used: int
    over: int


class CommitmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A commitment: what is contracted is recognised, lapsed, or still to come (the backlog).

    Lapsed: promised for months that are posted, and neither due nor used, or not delivered.
    """

    id: str
    name: str
    account: str
    state: CommitmentState
    unit: Unit
    measure: str
    currency: str
    start_s: int
    end_s: int
    signed_ms: int
    ended_s: int | None
    take_or_pay_permille: int
    rolls_over: RollsOver
    above: Above
    exclusive: list[str]
    source: str
    contracted: str
    recognised: str
    credited: str
    lapsed: str
    backlog: str
    above_amount: str
    fee: str
    banked: int
    deliveries: list[DeliveryView]
    years: list[YearView]
    next_post_s: int | None
    is_simulated: bool
    is_dry_run: bool = False


class Commitments(msgspec.Struct, frozen=True):
    """Commitments, oldest first."""

    commitments: list[CommitmentView]


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """One month that was posted: what was promised, given, used, and what that costs.

    `total` is due - credit + extra, and `above` besides it, by currency.
    """

    id: str
    name: str
    account: str
    month: str
    start_s: int
    end_s: int
    posted_ms: int
    measure: str
    currency: str
    amount: str
    due: str
    credit: str
    extra: str
    total: str
    above: dict[str, str]
    committed: int
    delivered: int
    used: int
    drawn: int
    over: int
    banked: int
    is_simulated: bool


def account_of(text: str) -> str:
    """The account that a contract names; BadRequest where it names none."""
    try:
        found = tomllib.loads(text).get("account")
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"The contract is not TOML: {error}.") from None
    if not isinstance(found, str) or not found:
        raise BadRequest('The contract names no account. Write account = "…", its id or name.')
    return found
