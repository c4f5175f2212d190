"""The commands and queries of commitments, put together for the state process."""

from collections.abc import Callable
from typing import Any

import msgspec

from craton.economics.ledger import Ledger
from craton.fleet.charges import Charges
from craton.fleet.commitment_contract import (
    CommitmentsQuery,
    FindCapacity,
    SignCommitment,
    StatementQuery,
    TerminateCommitment,
)
from craton.fleet.commitment_records import Commitment
from craton.fleet.commitment_views import CommitmentViews
from craton.fleet.commitments import CommitmentDesk
from craton.fleet.fleet import Fleet
from craton.fleet.instance_types import InstanceTypes
from craton.fleet.leases import LeaseDesk
from craton.fleet.reservations import Promises
from craton.kernel.clock import Clock
from craton.store.documents import Transaction

Single = Callable[[Transaction, Any], msgspec.Struct]


class CommitmentOffice:
    """Everything about commitments in the state process."""

    def __init__(
        self,
        fleet: Fleet,
        promises: Promises,
        leases: LeaseDesk,
        charges: Charges,
        *,
        ledger: Ledger,
        types: InstanceTypes,
        clock: Clock,
    ) -> None:
        self.desk = CommitmentDesk(fleet, promises, leases, charges, ledger=ledger, types=types)
        self._views = CommitmentViews(self.desk)
        self._clock = clock

    def commands(self) -> dict[str, tuple[Any, Single]]:
        """What is decided and posted in one commit, by name."""
        desk = self.desk
        return {
            "sign_commitment": (SignCommitment, self._told(desk.sign)),
            "terminate_commitment": (TerminateCommitment, self._told(desk.terminate)),
            "find_commitment_capacity": (FindCapacity, self._told(desk.find_capacity)),
        }

    def memory(self) -> dict[str, tuple[Any, Callable[[Any, Any], msgspec.Struct]]]:
        """What is read from memory, by name."""
        views = self._views
        return {
            "commitments": (
                CommitmentsQuery,
                lambda _, query: views.list(query, self._now_ms()),
            ),
            "commitment_statement": (
                StatementQuery,
                lambda _, query: views.statement(query),
            ),
            "sketch_commitment": (
                SignCommitment,
                lambda _, command: views.sketch(command, self._now_ms()),
            ),
        }

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    def _told(self, run: Callable[[Transaction, Any], Commitment]) -> Single:
        def answered(transaction: Transaction, command: msgspec.Struct) -> msgspec.Struct:
            return self._views.view(run(transaction, command), transaction.now_ms)

        return answered
