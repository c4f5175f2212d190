"""What blocks are offered: how long, how many, from when, where, and to whom."""

import pytest

from craton.fleet.contract import BuyOffer, SearchOffers
from craton.kernel.errors import BadRequest, Conflict, NotFound
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    NANOS,
    P5EN,
    ULTRA,
    buy,
    extensions,
    lease,
    mark,
    offers,
    reserve,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld

DAY_END_S = 11 * HOUR_S + 1800
TWO_SITES = FLEET + FLEET.replace("north", "south")
OF_BOB = FLEET.replace('driver = "simulated"', 'driver = "simulated"\nexclusive_to = "bob"')


def test_a_block_starts_at_once_or_at_the_end_of_a_day_and_always_ends_at_one() -> None:
    world = FleetWorld(FLEET)
    at_once, *later = offers(world, days=2)
    assert world.now_s < at_once.start_s <= world.now_s + 900
    assert at_once.end_s - at_once.start_s >= 2 * DAY_S
    assert at_once.end_s - at_once.start_s < 3 * DAY_S
    assert all(each.start_s % DAY_S == DAY_END_S for each in later)
    assert [each.end_s - each.start_s for each in later] == [2 * DAY_S] * len(later)
    assert all(each.end_s % DAY_S == DAY_END_S for each in (at_once, *later))


def test_there_are_at_most_three_offers_a_pool_the_earliest_first() -> None:
    found = offers(FleetWorld(TWO_SITES))
    assert sorted(each.zone for each in found) == ["north"] * 3 + ["south"] * 3
    assert [each.start_s for each in found] == sorted(each.start_s for each in found)


@pytest.mark.parametrize("hours", [23, 36, 15 * 24, 20 * 24, 183 * 24, 189 * 24, 0])
def test_other_durations_than_those_of_the_terms_are_refused(hours: int) -> None:
    world = FleetWorld(FLEET)
    query = SearchOffers(owner=ALICE, instance_type=P5EN, ultraserver=None, units=1, hours=hours)
    with pytest.raises(BadRequest, match="1 to 14 days"):
        world.read("search_offers", query)


@pytest.mark.parametrize("days", [1, 14, 21, 182])
def test_days_up_to_fourteen_and_weeks_up_to_twenty_six_are_offered(days: int) -> None:
    assert offers(FleetWorld(FLEET), days=days)


def test_a_block_has_one_to_sixty_four_servers() -> None:
    world = FleetWorld(FLEET.replace("hosts = 4", "hosts = 40"))
    assert offers(world, units=64)
    for units in (0, 65):
        with pytest.raises(BadRequest, match="1 to 64"):
            offers(world, units=units)


def test_more_than_there_are_is_not_offered() -> None:
    world = FleetWorld(FLEET)
    assert offers(world, units=6)
    assert not offers(world, units=7), "the two spares aren't sold"


def test_ultraservers_are_counted_whole() -> None:
    world = FleetWorld(FLEET)
    found = offers(world, units=4, ultra=True)[0]
    assert (found.units, found.hosts, found.ultraserver) == (4, 16, "u-trn2x64")
    assert not offers(world, units=5, ultra=True)


def test_one_leased_host_is_one_ultraserver_less() -> None:
    world = FleetWorld(FLEET)
    lease(world, what="trn2u.48xlarge", hosts=1)
    assert not offers(world, units=4, ultra=True)
    assert offers(world, units=3, ultra=True)


def test_blocks_are_offered_where_they_were_asked_for() -> None:
    world = FleetWorld(TWO_SITES)
    assert {each.zone for each in offers(world, zone="south")} == {"south"}
    with pytest.raises(BadRequest, match="in west"):
        offers(world, zone="west")


def test_what_is_kept_for_an_account_is_offered_to_nobody_else() -> None:
    world = FleetWorld(OF_BOB)
    assert offers(world, BOB)
    with pytest.raises(BadRequest, match="Nothing here"):
        offers(world, ALICE)


def test_blocks_lie_within_the_dates_asked_for() -> None:
    world = FleetWorld(FLEET)
    start_s, end_s = world.now_s + 5 * DAY_S, world.now_s + 8 * DAY_S
    found = offers(world, days=2, start_s=start_s, end_s=end_s)
    assert found
    assert all(start_s <= each.start_s and each.end_s <= end_s for each in found)
    assert all(each.start_s % DAY_S == DAY_END_S for each in found)


def test_blocks_start_within_eight_weeks() -> None:
    world = FleetWorld(FLEET)
    last_s = world.now_s + 56 * DAY_S
    found = offers(world, start_s=last_s - DAY_S)
    assert [each.start_s for each in found] == [last_s - DAY_S + DAY_END_S]
    with pytest.raises(BadRequest, match="eight weeks"):
        offers(world, start_s=last_s + 1)


def test_an_end_before_the_earliest_is_explained() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest, match="EndDateRange"):
        offers(world, days=2, end_s=world.now_s + DAY_S)


def test_where_all_is_sold_the_next_start_is_offered() -> None:
    world = FleetWorld(FLEET)
    sold = buy(world, BOB, units=6)
    found = offers(world)
    assert min(each.start_s for each in found) == sold.end_s


def test_nothing_is_offered_where_all_is_kept_without_end() -> None:
    world = FleetWorld(FLEET)
    reserve(world, BOB, hosts=6)
    assert not offers(world)


def test_a_broken_host_is_offered_as_long_as_a_spare_takes_its_place() -> None:
    world = FleetWorld(FLEET)
    mark(world, "north/a1/h/1")
    mark(world, "north/a1/h/2")
    assert offers(world, units=6)
    mark(world, "north/a2/h/1")
    assert not offers(world, units=6)
    mark(world, "north/a2/h/1", None)
    assert offers(world, units=6)


def test_the_price_is_that_of_every_chip_and_hour() -> None:
    offer = offers(FleetWorld(FLEET), units=3, days=2)[1]
    assert offer.amount_nanos == 3 * 8 * 48 * 2 * NANOS
    assert offer.currency == "USD"
    assert offer.is_simulated


def test_an_offer_is_of_one_account_and_cannot_be_forged() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world)[0].id
    changed = offer[:-2] + ("A" if offer[-2] != "A" else "B") + offer[-1]
    for owner, id in ((BOB, offer), (ALICE, changed), (ALICE, "cbo-"), (ALICE, "x" + offer)):
        with pytest.raises(NotFound, match="Search"):
            world.call("buy_offer", BuyOffer(owner=owner, offer=id))


def test_an_offer_outlives_a_restart() -> None:
    world = FleetWorld(FLEET)
    offer = offers(world)[1].id
    world.restart()
    assert world.call("buy_offer", BuyOffer(owner=ALICE, offer=offer)).state == "scheduled"


def test_either_a_type_or_an_ultraserver_is_asked_for() -> None:
    world = FleetWorld(FLEET)
    for type, ultra in ((P5EN, ULTRA), (None, None)):
        query = SearchOffers(owner=ALICE, instance_type=type, ultraserver=ultra, units=1, hours=24)
        with pytest.raises(BadRequest, match="UltraserverType"):
            world.read("search_offers", query)


def test_a_block_is_made_longer_from_where_it_ends_while_its_units_are_free() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=4)
    (offer,) = extensions(world, block, 2)
    assert (offer.start_s, offer.end_s - offer.start_s) == (block.end_s, 2 * DAY_S)
    assert offer.amount_nanos == 4 * 8 * 48 * 2 * NANOS
    buy(world, BOB, units=3, start_s=block.end_s - DAY_S)
    assert buy(world, BOB, units=3, start_s=block.end_s).start_s == block.end_s
    assert not extensions(world, block, 1)


def test_only_a_block_is_made_longer() -> None:
    world = FleetWorld(FLEET)
    with pytest.raises(BadRequest, match="not a capacity block"):
        extensions(world, reserve(world), 1)


def test_a_block_is_made_longer_until_an_hour_before_its_end() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    world.advance(block.end_s - HOUR_S - world.now_s)
    assert extensions(world, block, 1)
    world.advance(1)
    with pytest.raises(BadRequest, match="within the hour"):
        extensions(world, block, 1)


def test_a_block_with_its_extensions_lasts_half_a_year() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, days=182, pick=1)
    assert extensions(world, block, 1), "one day in which it began is beside"
    with pytest.raises(BadRequest, match="at most 182"):
        extensions(world, block, 2)


def test_an_extension_bought_twice_is_bought_once() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    (offer,) = extensions(world, block, 1)
    command = BuyOffer(owner=ALICE, offer=offer.id, extends=block.id)
    once, again = world.call("buy_extension", command), world.call("buy_extension", command)
    assert once == again
    assert once.end_s == block.end_s + DAY_S
    assert once.amount_nanos == block.amount_nanos + 8 * 24 * 2 * NANOS


def test_an_extension_of_what_was_made_longer_meanwhile_is_refused() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    first, second = extensions(world, block, 1)[0], extensions(world, block, 2)[0]
    world.call("buy_extension", BuyOffer(owner=ALICE, offer=first.id))
    with pytest.raises(Conflict, match="meanwhile"):
        world.call("buy_extension", BuyOffer(owner=ALICE, offer=second.id))


def test_an_extension_is_no_block_and_a_block_no_extension() -> None:
    world = FleetWorld(FLEET)
    block = buy(world)
    longer, other = extensions(world, block, 1)[0].id, offers(world)[0].id
    with pytest.raises(BadRequest, match="PurchaseCapacityBlockExtension"):
        world.call("buy_offer", BuyOffer(owner=ALICE, offer=longer))
    with pytest.raises(BadRequest, match="does not make"):
        world.call("buy_extension", BuyOffer(owner=ALICE, offer=other, extends=block.id))
