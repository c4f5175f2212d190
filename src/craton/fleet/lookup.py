"""A lease or reservation by its id, wherever the state process keeps it.

What is over isn't in its memory, where all else is answered from; it is read from the database.
"""

from typing import Protocol, TypeVar

import msgspec

from craton.fleet.contract import (
    Leases,
    LeasesQuery,
    LeaseView,
    Reservations,
    ReservationsQuery,
    ReservationView,
)

Result = TypeVar("Result", bound=msgspec.Struct)


class State(Protocol):
    """The state process, where capacity is decided."""

    async def call(self, name: str, body: msgspec.Struct, reads: type[Result]) -> Result:
        """Run a command and return its result; raises the error it was refused with."""
        ...


async def find_lease(state: State, id: str, account: str | None = None) -> LeaseView | None:
    """A lease, over or not; only one of the account's, if one is named."""
    for name in ("leases", "ended_lease"):
        found = await state.call(name, LeasesQuery(account, id), Leases)
        if found.leases:
            return found.leases[0]
    return None


async def find_reservation(
    state: State, id: str, account: str | None = None
) -> ReservationView | None:
    """A reservation, however long it is over; only one of the account's, if one is named."""
    for name in ("reservations", "past_reservation"):
        found = await state.call(name, ReservationsQuery(account, id), Reservations)
        if found.reservations:
            return found.reservations[0]
    return None
