"""Capacity: what may be bought, blocks ahead of time, and reservations from now on.

An account sees and changes only its own; operators see all of them.
"""

from typing import Any

import msgspec

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import ById
from craton.apis.native.fleet_contract import (
    AskOwned,
    AskPools,
    CapacityPool,
    CapacityPools,
    FindExtensions,
    FindOffers,
    NewExtension,
    NewPayment,
    NewPurchase,
    NewReservation,
    ReservationChange,
    ReservationPage,
)
from craton.apis.native.fleet_owned import oldest_first, owner
from craton.apis.native.operation import READ, Caller, Operation
from craton.fleet.contract import (
    BuyOffer,
    CancelReservation,
    ConfirmPayment,
    CreateReservation,
    FleetQuery,
    FleetView,
    ModifyReservation,
    Offers,
    Reservations,
    ReservationsQuery,
    ReservationView,
    SearchExtensions,
    SearchOffers,
)
from craton.fleet.lookup import find_reservation
from craton.kernel.errors import NotFound

BUY = "craton:BuyCapacity"
RELEASE = "craton:ReleaseCapacity"


async def list_pools(caller: Caller, _: AskPools) -> CapacityPools:
    """What may be bought; what is kept for another account isn't shown."""
    fleet = await caller.services.state.call("fleet", FleetQuery(with_racks=False), FleetView)
    return CapacityPools(
        [
            CapacityPool(
                key=pool.key,
                zone=pool.zone,
                instance_type=pool.instance_type,
                ultraserver=pool.ultraserver,
                chip=pool.chip,
                chips_per_host=pool.chips_per_host,
                hosts_per_unit=pool.hosts_per_unit,
                units=pool.units,
                free_units_now=pool.free_units_now,
                is_simulated=pool.is_simulated,
            )
            for pool in fleet.pools
            if caller.is_operator or pool.exclusive_to in (None, caller.principal.account)
        ]
    )


async def search_offers(caller: Caller, asked: FindOffers) -> Offers:
    """Blocks that could be bought, the earliest first."""
    query = SearchOffers(
        owner=owner(caller),
        instance_type=asked.instance_type,
        ultraserver=asked.ultraserver,
        units=asked.units,
        hours=asked.hours,
        start_s=asked.start_s,
        end_s=asked.end_s,
        zone=asked.zone,
    )
    return await caller.services.state.call("search_offers", query, Offers)


async def search_extensions(caller: Caller, asked: FindExtensions) -> Offers:
    """What a block could be made longer by."""
    query = SearchExtensions(owner(caller), asked.id, asked.hours)
    return await caller.services.state.call("search_extensions", query, Offers)


async def buy_offer(caller: Caller, new: NewPurchase) -> ReservationView:
    """Buy a block."""
    command = BuyOffer(
        owner=owner(caller),
        offer=new.offer,
        platform=new.platform,
        tags=new.tags,
    )
    return await caller.services.state.call("buy_offer", command, ReservationView)


async def buy_extension(caller: Caller, new: NewExtension) -> ReservationView:
    """Make a block longer."""
    command = BuyOffer(owner=owner(caller), offer=new.offer, extends=new.id)
    return await caller.services.state.call("buy_extension", command, ReservationView)


async def create_reservation(caller: Caller, new: NewReservation) -> ReservationView:
    """Keep hosts from now on."""
    command = CreateReservation(
        owner=owner(caller),
        instance_type=new.instance_type,
        hosts=new.hosts,
        zone=new.zone,
        end_s=new.end_s,
        is_targeted=new.is_targeted,
        platform=new.platform,
        client_token=new.client_token,
        tags=new.tags,
    )
    return await caller.services.state.call("create_reservation", command, ReservationView)


async def modify_reservation(caller: Caller, change: ReservationChange) -> ReservationView:
    """Change how many hosts, or until when."""
    end_s = None if isinstance(change.end_s, msgspec.UnsetType) else change.end_s
    command = ModifyReservation(
        account=await _account_of(caller, change.id),
        id=change.id,
        hosts=change.hosts,
        end_s=end_s,
        is_endless=change.end_s is None,
        is_targeted=change.is_targeted,
    )
    return await caller.services.state.call("modify_reservation", command, ReservationView)


async def cancel_reservation(caller: Caller, asked: ById) -> ReservationView:
    """Give a reservation back."""
    command = CancelReservation(await _account_of(caller, asked.id), asked.id)
    return await caller.services.state.call("cancel_reservation", command, ReservationView)


async def confirm_payment(caller: Caller, new: NewPayment) -> ReservationView:
    """Say that a block was paid, or wasn't."""
    command = ConfirmPayment(new.id, new.is_paid)
    return await caller.services.state.call("confirm_payment", command, ReservationView)


async def list_reservations(caller: Caller, asked: AskOwned) -> ReservationPage:
    """The reservations the caller may see."""
    query = ReservationsQuery(caller.scope(asked.account))
    found = await caller.services.state.call("reservations", query, Reservations)
    return ReservationPage(*oldest_first(found.reservations, after=asked.after, limit=asked.limit))


async def get_reservation(caller: Caller, asked: ById) -> ReservationView:
    """One reservation, and what is used of it now."""
    found = await find_reservation(caller.services.state, asked.id, caller.scope(None))
    if found is None:
        raise NotFound(
            f"There is no reservation {asked.id!r}. List them with `craton capacity list`."
        )
    return found


async def _account_of(caller: Caller, id: str) -> str:
    """Whose reservation is meant: the caller's own, or for an operator whosever it is."""
    if not caller.is_operator:
        return caller.principal.account
    return (await get_reservation(caller, ById(id=id))).account


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListPools",
        method="GET",
        path="/capacity/pools",
        summary="The kinds of capacity that may be bought here",
        action=READ,
        takes=AskPools,
        returns=CapacityPools,
        run=list_pools,
    ),
    Operation(
        name="SearchOffers",
        method="POST",
        path="/capacity/offers",
        summary="Blocks that could be bought now, the earliest first, with their prices",
        action=READ,
        takes=FindOffers,
        returns=Offers,
        run=search_offers,
    ),
    Operation(
        name="SearchExtensions",
        method="POST",
        path="/capacity/extensions",
        summary="What a block could be made longer by, and for how much",
        action=READ,
        takes=FindExtensions,
        returns=Offers,
        run=search_extensions,
    ),
    Operation(
        name="BuyOffer",
        method="POST",
        path="/capacity/reservations/buy",
        summary="Buy an offer: a block, paid up front",
        action=BUY,
        takes=NewPurchase,
        returns=ReservationView,
        run=buy_offer,
        status=201,
    ),
    Operation(
        name="BuyExtension",
        method="POST",
        path="/capacity/reservations/extend",
        summary="Buy an offer that makes a block longer",
        action=BUY,
        takes=NewExtension,
        returns=ReservationView,
        run=buy_extension,
    ),
    Operation(
        name="CreateReservation",
        method="POST",
        path="/capacity/reservations",
        summary="Keep hosts from now on, paid by the second",
        action=BUY,
        takes=NewReservation,
        returns=ReservationView,
        run=create_reservation,
        status=201,
    ),
    Operation(
        name="ModifyReservation",
        method="POST",
        path="/capacity/reservations/update",
        summary="Change how many hosts a reservation keeps, or until when",
        action=BUY,
        takes=ReservationChange,
        returns=ReservationView,
        run=modify_reservation,
    ),
    Operation(
        name="ListReservations",
        method="GET",
        path="/capacity/reservations",
        summary="List blocks and reservations, oldest first",
        action=READ,
        takes=AskOwned,
        returns=ReservationPage,
        run=list_reservations,
    ),
    Operation(
        name="GetReservation",
        method="GET",
        path="/capacity/reservations/{id}",
        summary="One block or reservation, and what is used of it",
        action=READ,
        takes=ById,
        returns=ReservationView,
        run=get_reservation,
    ),
    Operation(
        name="CancelReservation",
        method="DELETE",
        path="/capacity/reservations/{id}",
        summary="Give a reservation back",
        action=RELEASE,
        takes=ById,
        returns=ReservationView,
        run=cancel_reservation,
    ),
    Operation(
        name="ConfirmPayment",
        method="POST",
        path="/capacity/payments",
        summary="Say that a block was paid, or wasn't",
        action=ADMINISTER,
        takes=NewPayment,
        returns=ReservationView,
        run=confirm_payment,
    ),
)
