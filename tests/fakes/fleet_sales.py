"""A small fleet, and what its customers do there, each in one line.

`north` has two rows, each with three p5en hosts (8 chips) and one more in reserve, and two
UltraServers of four trn2u hosts (16 chips). The world begins at midnight UTC.
"""

from typing import Any

from craton.economics.bounds import Period, Scope
from craton.economics.contract import CreateBudget
from craton.fleet.contract import (
    BuyOffer,
    CreateReservation,
    EndLease,
    LeasesQuery,
    LeaseView,
    MarkHosts,
    Offer,
    Owner,
    RequestLease,
    ReservationsQuery,
    ReservationView,
    SearchExtensions,
    SearchOffers,
)
from craton.fleet.records import HostState, LeaseKind
from tests.fakes.fleets import ALICE, FleetWorld

HOUR_S, DAY_S = 3600, 86_400
P5EN, TRN2U, ULTRA = "p5en.48xlarge", "trn2u.48xlarge", "u-trn2x64"
P5EN_POOL, ULTRA_POOL = "north/p5en.48xlarge", "north/u-trn2x64"
NANOS = 1_000_000_000
FLEET = """\
[[site]]
name = "north"
driver = "simulated"
[[site.row]]
name = "a"
count = 2
[[site.row.rack]]
name = "h"
type = "p5en.48xlarge"
hosts = 4
spares = 1
[[site.row.rack]]
name = "t"
count = 2
type = "trn2u.48xlarge"
ultraserver = "u-trn2x64"
"""
NO_SPARES = FLEET.replace("spares = 1\n", "")


def offers(
    world: FleetWorld,
    owner: Owner = ALICE,
    *,
    units: int = 1,
    days: int = 1,
    ultra: bool = False,
    **more: Any,
) -> list[Offer]:
    """What could be bought."""
    query = SearchOffers(
        owner=owner,
        instance_type=None if ultra else P5EN,
        ultraserver=ULTRA if ultra else None,
        units=units,
        hours=days * 24,
        **more,
    )
    return world.read("search_offers", query).offers


def buy(
    world: FleetWorld, owner: Owner = ALICE, *, pick: int = 0, **wanted: Any
) -> ReservationView:
    """Buy the block that is offered first, or another of them."""
    offer = offers(world, owner, **wanted)[pick]
    return world.call("buy_offer", BuyOffer(owner=owner, offer=offer.id))


def extensions(world: FleetWorld, reservation: ReservationView, days: int) -> list[Offer]:
    """What a block could be made longer by."""
    owner = Owner(reservation.account, reservation.project, "key")
    query = SearchExtensions(owner, reservation.id, days * 24)
    return world.read("search_extensions", query).offers


def reserve(
    world: FleetWorld,
    owner: Owner = ALICE,
    *,
    hosts: int = 1,
    kind: str = P5EN,
    end_s: int | None = None,
    token: str | None = None,
) -> ReservationView:
    """Keep hosts from now on."""
    command = CreateReservation(
        owner=owner,
        instance_type=kind,
        hosts=hosts,
        zone=None,
        end_s=end_s,
        is_targeted=True,
        platform="Linux/UNIX",
        client_token=token,
    )
    return world.call("create_reservation", command)


def lease(
    world: FleetWorld,
    owner: Owner = ALICE,
    kind: LeaseKind = LeaseKind.ON_DEMAND,
    *,
    what: str = P5EN,
    **wanted: Any,
) -> LeaseView:
    """Hold chips, or whole hosts."""
    if kind is LeaseKind.RESERVED:
        command = RequestLease(owner=owner, kind=kind, **wanted)
    else:
        command = RequestLease(owner=owner, kind=kind, instance_type=what, **wanted)
    return world.call("request_lease", command)


def spot(world: FleetWorld, owner: Owner = ALICE, **wanted: Any) -> LeaseView:
    """Hold what may be taken back."""
    return lease(world, owner, LeaseKind.INTERRUPTIBLE, **wanted)


def end(world: FleetWorld, held: LeaseView) -> LeaseView:
    """Give chips back."""
    return world.call("end_lease", EndLease(held.id, held.token, None))


def mark(world: FleetWorld, path: str, state: HostState | None = HostState.FAILED) -> Any:
    """Set hosts aside, or take them back."""
    return world.call("mark_hosts", MarkHosts(path, state))


def now(world: FleetWorld, what: LeaseView | ReservationView) -> Any:
    """The same lease or reservation, as it is now."""
    if isinstance(what, LeaseView):
        found = world.read("leases", LeasesQuery(id=what.id)).leases
        if not found:
            _, run = world.office.queries()["ended_lease"]
            found = run(world.books.connection, LeasesQuery(id=what.id)).leases
        return found[0]
    return world.read("reservations", ReservationsQuery(id=what.id)).reservations[0]


def paid(world: FleetWorld, owner: Owner = ALICE) -> int:
    """What an account was billed so far, in nano-units, credits taken off."""
    return world.books.balance(f"customer/{owner.account}")


def at_day_end(world: FleetWorld) -> None:
    """Go to the next 11:30 UTC, when blocks start and end."""
    world.advance((11 * HOUR_S + 1800 - world.now_s) % DAY_S)


def cap(
    world: FleetWorld, amount: int, account: str = "alice", *, period: Period = Period.TOTAL
) -> None:
    """Give an account a budget of so many dollars."""
    budget = CreateBudget(
        name="cap",
        account=account,
        scope=Scope.ACCOUNT,
        subjects=(account,),
        amount_nanos=amount * NANOS,
        currency="USD",
        period=period,
    )
    world.books.commit(lambda writing: world.books.budgets.create(writing, budget))


def free(world: FleetWorld, start_s: int, end_s: int) -> int:
    """Units of the pool of single hosts that can be promised for all of a time."""
    return world.office.fleet.book(P5EN_POOL).free(start_s, end_s)


def started(world: FleetWorld, units: int) -> ReservationView:
    """A block that was bought and has begun."""
    block = buy(world, units=units)
    world.advance(block.start_s - world.now_s)
    return now(world, block)
