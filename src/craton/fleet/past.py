"""Reservations that are over for long leave memory, and are read no more at a start.

For a month after its end a reservation is listed, tagged, and found by its client token. Then only
its id finds it, as that of a lease that ended: among documents of another kind, where it stays.

What belongs to a commitment or a fleet of reservations stays where it is: those are read with all
of theirs, and are few.
"""

from itertools import islice

from craton.fleet.fleet import Fleet
from craton.fleet.records import PROMISING, Reservation
from craton.store.documents import Transaction

KEPT_S = 30 * 86_400
LOOK_EVERY_S = 3600
"""A look goes over all reservations; this often it costs nothing that could be noticed."""
AT_ONCE_MAX = 1000
"""So many leave in one commit, in which nobody else is served."""


def over_s(reservation: Reservation) -> int | None:
    """When a reservation was over; None while it isn't."""
    if reservation.state in PROMISING:
        return None
    if reservation.block is None:
        return reservation.billed_s
    return reservation.end_s


def retire(fleet: Fleet, transaction: Transaction) -> None:
    """Let go of what is over for long, if nobody looked for a while."""
    now_s = transaction.now_ms // 1000
    if now_s < fleet.retired_s + LOOK_EVERY_S:
        return
    over = (each for each in fleet.reservations.values() if _is_past(each, now_s))
    found = list(islice(over, AT_ONCE_MAX))
    for each in found:
        fleet.retire(transaction, each)
    if len(found) < AT_ONCE_MAX:
        transaction.after_commit.append(lambda: _looked(fleet, now_s))


def _looked(fleet: Fleet, now_s: int) -> None:
    fleet.retired_s = now_s


def _is_past(reservation: Reservation, now_s: int) -> bool:
    if reservation.commitment is not None or reservation.fleet is not None:
        return False
    ended_s = over_s(reservation)
    return ended_s is not None and ended_s + KEPT_S <= now_s
