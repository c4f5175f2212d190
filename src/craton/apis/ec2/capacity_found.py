"""The caller's reservations, all or by their ids."""

from collections.abc import Sequence

from craton.apis.ec2.capacity_words import check_found, check_id, not_found
from craton.apis.ec2.operation import Asked
from craton.fleet.contract import Reservations, ReservationsQuery, ReservationView
from craton.fleet.lookup import State, find_reservation


async def reservations(
    state: State, asked: Asked, ids: Sequence[str] | None = None
) -> list[ReservationView]:
    """The caller's reservations; `….Malformed` or `….NotFound` for an id that is none of them."""
    for id in ids or ():
        check_id("cr", id)
    found = await state.call("reservations", ReservationsQuery(asked.account), Reservations)
    if not ids:
        return found.reservations
    chosen = [view for view in found.reservations if view.id in ids]
    check_found("cr", ids, {view.id for view in chosen})
    return chosen


async def blocks(
    state: State, asked: Asked, ids: Sequence[str] | None = None
) -> list[ReservationView]:
    """The caller's reservations that are capacity blocks, all or by the ids of the blocks."""
    for id in ids or ():
        check_id("cb", id)
    found = await state.call("reservations", ReservationsQuery(asked.account), Reservations)
    chosen = [
        view
        for view in found.reservations
        if view.block is not None and (not ids or view.block in ids)
    ]
    check_found("cb", ids or (), {view.block for view in chosen if view.block is not None})
    return chosen


async def reservation(state: State, asked: Asked, id: str) -> ReservationView:
    """One reservation of the caller's."""
    check_id("cr", id)
    found = await find_reservation(state, id, asked.account)
    if found is None:
        raise not_found("cr", id)
    return found
