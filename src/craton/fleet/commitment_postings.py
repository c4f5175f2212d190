"""A commitment's entries in the ledger: what a month costs, and what ending it early costs.

Each has an id that is made of the commitment, the month and what it is, so that no month can be
entered twice, whatever else went wrong.
"""

from collections.abc import Mapping
from hashlib import sha256

from craton.economics.ledger import Ledger
from craton.economics.meters import Meter, Outcome, UsageRecord
from craton.economics.prices import Rated
from craton.fleet.charges import Charges
from craton.fleet.commitment_records import Commitment, Part
from craton.fleet.commitment_terms import Bill, Period, Unit, share, watt_seconds
from craton.kernel.units import Nanos
from craton.store.documents import Transaction

POSTING_NANOS_MAX = 9 * 10**18


def measured(unit: Unit, used: Mapping[str, int], parts: tuple[Part, ...]) -> dict[str, int]:
    """What was used of each pool, in the contract's measure."""
    if unit is not Unit.MEGAWATTS:
        return dict(used)
    by_pool = {part.pool: part for part in parts}
    return {
        pool: watt_seconds(chip_s, by_pool[pool].host_w, by_pool[pool].host_chips)
        for pool, chip_s in used.items()
    }


class Postings:
    """Enters what a commitment costs, in the commit that decides it."""

    def __init__(self, ledger: Ledger, charges: Charges) -> None:
        self._ledger = ledger
        self._charges = charges

    def month(
        self,
        transaction: Transaction,
        commitment: Commitment,
        month: Period,
        made: Bill,
        *,
        currency: str,
        committed_chip_s: int,
        above: Mapping[str, int],
    ) -> None:
        """The lines of one month's bill: what is due, what was used besides, what is given back."""
        quantities = {str(Meter.COMMITTED_CHIP_S): committed_chip_s}
        self._enter(transaction, commitment, month, "due", made.due, currency, quantities)
        for what, amount in (("extra", made.extra), ("credit", -made.credit)):
            if amount:
                self._enter(transaction, commitment, month, what, amount, currency, {})
        for other, amount in above.items():
            if amount:
                self._enter(transaction, commitment, month, f"above/{other}", amount, other, {})

    def fee(
        self,
        transaction: Transaction,
        commitment: Commitment,
        month: Period,
        amount: int,
        currency: str,
    ) -> tuple[int, ...]:
        """What ending it early costs, in as many postings as that takes; their amounts."""
        parts: list[int] = []
        while amount > 0:
            parts.append(min(amount, POSTING_NANOS_MAX))
            amount -= parts[-1]
        for at, part in enumerate(parts):
            self._enter(transaction, commitment, month, f"fee/{at}", part, currency, {})
        return tuple(parts)

    def above(
        self,
        used: Mapping[str, int],
        weights: Mapping[str, int],
        over: int,
        types: Mapping[str, str],
        at_ms: int,
    ) -> dict[str, int]:
        """The price of use above the commitment on demand, by currency.

        `used`: chip-seconds by pool; `weights`: the same in the contract's measure, of which `over`
        is above. Each pool's share is that of its use; what nobody has a price for is free.
        """
        found: dict[str, int] = {}
        if not over:
            return found
        pools = sorted(used)
        shares = share(over, [weights[pool] for pool in pools])
        for pool, part in zip(pools, shares, strict=True):
            resource = types[pool]
            if not part or not self._charges.has_price(resource, Meter.ON_DEMAND_CHIP_S, at_ms):
                continue
            chip_s = used[pool] * part // weights[pool]
            rated = self._charges.rate(resource, Meter.ON_DEMAND_CHIP_S, chip_s, at_ms)
            found[rated.currency] = found.get(rated.currency, 0) + rated.amount
        return found

    def _enter(  # noqa: PLR0917 - all of it is the entry
        self,
        transaction: Transaction,
        commitment: Commitment,
        month: Period,
        what: str,
        amount: int,
        currency: str,
        quantities: dict[str, int],
    ) -> None:
        # The last moment of the month: a bill belongs to it, however late it is made.
        at_ms = month.end_s * 1000 - 1
        record = UsageRecord(
            request_id=_posting_id(at_ms, f"{commitment.id}/{month.key}/{what}"),
            account=commitment.account,
            project=commitment.project,
            principal=commitment.principal,
            resource=f"commitment/{commitment.id}",
            replica=f"{commitment.id}/{month.key}/{what}",
            outcome=Outcome.COMPLETE,
            at_ms=at_ms,
            quantities=quantities,
        )
        self._ledger.enter(transaction, record, Rated(Nanos(amount), currency, None, Nanos(0)))


def _posting_id(at_ms: int, name: str) -> str:
    """A request id like any other (UUID version 7), the same for the same name."""
    time, rest = f"{at_ms:012x}", sha256(name.encode()).hexdigest()
    return f"{time[:8]}-{time[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"
