"""The fleet as it is told: what there is, what is estimated, and what is sold below its cost."""

from datetime import date

import pytest

from craton.economics.meters import Meter
from craton.economics.prices import PriceBook, Tariff
from craton.fleet.contract import (
    ApplyFleet,
    CalendarQuery,
    FleetQuery,
    FleetView,
    LeasesQuery,
    PoolView,
    ReservationsQuery,
)
from craton.fleet.records import HostState
from craton.kernel.errors import BadRequest, NotFound
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    NANOS,
    P5EN_POOL,
    ULTRA_POOL,
    buy,
    end,
    lease,
    mark,
    now,
    reserve,
)
from tests.fakes.fleets import ALICE, BOB, FleetWorld, instance_types, north, rack


def view(world: FleetWorld, path: str = "", *, with_racks: bool = True) -> FleetView:
    return world.read("fleet", FleetQuery(path, with_racks))


def pool(world: FleetWorld, key: str = P5EN_POOL) -> PoolView:
    return next(each for each in view(world).pools if each.key == key)


def test_a_pool_says_what_there_is_and_what_is_taken() -> None:
    world = FleetWorld(FLEET)
    mark(world, "north/a1/h/1", HostState.CORDONED)
    lease(world, chips=3)
    reserve(world, BOB, hosts=2)
    told = pool(world)
    assert (told.hosts, told.units, told.hosts_spare, told.hosts_unusable) == (8, 6, 2, 1)
    assert (told.chips, told.chips_taken, told.free_units_now) == (64, 19, 3)
    assert told.is_simulated


def test_racks_are_counted_only_when_they_are_wanted() -> None:
    world = FleetWorld(FLEET)
    lease(world, chips=3)
    rows = [row for row in view(world).rows if row.site == "north"]
    assert [row.name for row in rows] == ["a1", "a2"]
    assert sum(rack.chips_taken for row in rows for rack in row.racks) == 3
    assert not view(world, with_racks=False).rows
    assert view(world, with_racks=False).pools == view(world).pools


def test_a_part_of_the_fleet_is_told_by_its_path() -> None:
    world = FleetWorld(FLEET)
    part = view(world, "north/a1/t1")
    assert [each.key for each in part.pools] == [ULTRA_POOL]
    assert [rack.name for row in part.rows for rack in row.racks] == ["north/a1/t1"]
    with pytest.raises(NotFound):
        view(world, "north/a9")


def test_power_that_is_promised_or_leased_is_told() -> None:
    world = FleetWorld(
        FLEET.replace('driver = "simulated"', 'driver = "simulated"\npower_kw = 900')
    )
    before = next(site for site in view(world).sites if site.name == "north")
    assert (before.power_w, before.taken_w) == (900_000, 0)
    reserve(world)
    after = next(site for site in view(world).sites if site.name == "north")
    assert after.taken_w == pool(world).draw_w


def test_a_draw_that_is_estimated_says_so_and_the_operators_own_is_not() -> None:
    kinds = instance_types().by_name
    world = FleetWorld(FLEET)
    for each in view(world).pools:
        if each.zone == "north":
            assert each.is_draw_estimated is kinds[each.instance_type].is_draw_estimated
    estimated = [name for name, kind in kinds.items() if kind.is_draw_estimated and kind.draw_w]
    assert estimated, "the catalogue has estimates"
    text = north(rack("h", estimated[0], hosts=1))
    assert pool(FleetWorld(text), f"north/{estimated[0]}").is_draw_estimated
    own = text + "draw_w = 4321\n"
    told = pool(FleetWorld(own), f"north/{estimated[0]}")
    assert (told.draw_w, told.is_draw_estimated) == (4321, False)


@pytest.mark.parametrize(
    ("nanos", "currency", "words"),
    [
        (20_000_000, "USD", "the energy for it alone costs"),
        (300_000_000, "USD", "owning the chip costs"),
        (90 * NANOS, "USD", None),
        (20_000_000, "EUR", None),
    ],
)
def test_a_block_below_its_cost_is_flagged(nanos: int, currency: str, words: str | None) -> None:
    kind = instance_types().by_name["p5en.48xlarge"]
    assert kind.energy_nanos_hour is not None
    assert kind.owned_nanos_hour is not None
    assert 20_000_000 < kind.energy_nanos_hour < 300_000_000 < kind.owned_nanos_hour < 90 * NANOS
    world = FleetWorld()
    tariff = Tariff(
        "p5en.48xlarge",
        date(2026, 1, 1),
        currency,
        {},
        "made up",
        hourly={Meter.BLOCK_CHIP_S: nanos},
    )
    world.books.prices = PriceBook([tariff])
    world.restart()
    world.call("apply_fleet", ApplyFleet(FLEET))
    told = pool(world).below_cost
    assert told is None if words is None else words in (told or "")
    if told is not None:
        assert f"{nanos / NANOS:.3f} USD" in told


def test_the_calendar_is_told_from_moment_to_moment() -> None:
    world = FleetWorld(FLEET)
    block = buy(world, units=2, pick=1)
    end_s = world.now_s + 9 * DAY_S
    told = world.read("calendar", CalendarQuery(P5EN_POOL, world.now_s, end_s))
    assert (told.times_s, told.free) == ([world.now_s, block.start_s, block.end_s], [6, 4, 6])
    assert told.is_simulated
    with pytest.raises(BadRequest):
        world.read("calendar", CalendarQuery(P5EN_POOL, end_s, end_s))
    with pytest.raises(NotFound, match="There are"):
        world.read("calendar", CalendarQuery("north/none", world.now_s, end_s))


def test_places_in_the_queue_are_counted_as_it_will_be_served() -> None:
    world = FleetWorld(FLEET)
    lease(world, hosts=6)
    queued = [
        lease(world, owner, hosts=1, priority=priority, wait=True)
        for owner, priority in ((ALICE, 0), (BOB, 0), (ALICE, 1))
    ]
    told = world.read("leases", LeasesQuery()).leases
    position = {each.id: each.queue_position for each in told}
    assert [position[each.id] for each in queued] == [3, 2, 1]


def test_what_is_over_is_still_told_when_its_pool_is_gone() -> None:
    world = FleetWorld(FLEET)
    blocks = [buy(world), buy(world, ultra=True)]
    held = lease(world, hosts=1)
    end(world, held)
    world.advance(blocks[0].end_s - world.now_s)
    world.call("apply_fleet", ApplyFleet(""))
    told = world.read("reservations", ReservationsQuery()).reservations
    assert [(each.zone, each.instance_type, each.ultraserver) for each in told] == [
        ("north", "p5en.48xlarge", None),
        ("north", "trn2u.48xlarge", "u-trn2x64"),
    ]
    assert now(world, held).hosts == held.hosts
