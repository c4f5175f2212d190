"""Parts of hosts: nothing is given away twice, and the place is the one that costs least."""

import random
from fractions import Fraction

import numpy as np
import pytest

from craton.fleet.placement_divided import (
    LEARNED_MAX,
    DividedHosts,
    Mix,
    PartDemand,
    PartPlacement,
)
from craton.fleet.records import WHOLE_MILLI
from craton.kernel.errors import BadRequest, Internal

HALF = PartDemand(1000, 1024, 1, 500)
ONE = PartDemand(2000, 2048, 1)
TWO = PartDemand(4000, 4096, 2)
NONE = PartDemand(3000, 1024)
MIX = Mix([HALF, ONE, TWO, NONE], [2, 5, 1, 2])
SIZES = [(8000, 16384, 4), (16_000, 8192, 2), (4000, 8192, 0), (12_000, 16384, 1)]


def hosts_of(*sizes: tuple[int, int, int], mix: Mix = MIX, changes_max: int = 1000) -> DividedHosts:
    cpu, memory, chips = zip(*sizes, strict=True)
    return DividedHosts(cpu, memory, chips, mix, changes_max=changes_max)


def useless(cpu: int, memory: int, chips: list[int], mix: Mix) -> Fraction:
    """What is free of a host's chips and useless, as plain as the measure is described."""
    total = Fraction(0)
    for demand, weight in zip(mix.demands, mix.weights, strict=True):
        enough = [free for free in chips if free >= demand.chip_milli]
        can_start = cpu >= demand.cpu_milli and memory >= demand.memory_mib
        if demand.chips and can_start and len(enough) >= demand.chips:
            total += Fraction(weight) * (sum(chips) - sum(enough))
        else:
            total += Fraction(weight) * sum(chips)
    return total / sum(Fraction(weight) for weight in mix.weights)


def state(hosts: DividedHosts, host: int) -> tuple[int, int, list[int]]:
    chips = hosts.chip_free[host].tolist()
    return int(hosts.cpu_free[host]), int(hosts.memory_free[host]), chips


def growths(hosts: DividedHosts, demand: PartDemand, mix: Mix) -> dict[tuple[int, int], Fraction]:
    """What each place costs: by host and, for a part, its chip."""
    found: dict[tuple[int, int], Fraction] = {}
    for host in range(len(hosts.cpu_free)):
        cpu, memory, chips = state(hosts, host)
        able = [at for at, free in enumerate(chips) if free >= demand.chip_milli]
        if cpu < demand.cpu_milli or memory < demand.memory_mib or len(able) < demand.chips:
            continue
        is_part = demand.chip_milli < WHOLE_MILLI
        for taken in [[at] for at in able] if is_part else [able[: demand.chips]]:
            left = [free - demand.chip_milli * (at in taken) for at, free in enumerate(chips)]
            after = useless(cpu - demand.cpu_milli, memory - demand.memory_mib, left, mix)
            found[host, taken[0] if is_part else -1] = after - useless(cpu, memory, chips, mix)
    return found


def some_mix(rng: random.Random) -> Mix:
    demands = {
        PartDemand(rng.randint(0, 6000), rng.randint(0, 6000), rng.randint(0, 3)) for _ in range(4)
    }
    demands |= {PartDemand(500, 500, 1, rng.randint(1, 999)) for _ in range(3)}
    listed = sorted(demands, key=repr)
    return Mix(listed, [rng.randint(1, 9) for _ in listed])


@pytest.mark.parametrize("seed", range(6))
def test_the_place_is_the_one_by_which_the_least_becomes_useless(seed: int) -> None:
    rng = random.Random(seed)
    mix = some_mix(rng)
    hosts = hosts_of(*SIZES, *SIZES, mix=mix)
    held: list[tuple[PartDemand, PartPlacement]] = []
    for _ in range(60):
        if held and rng.random() < 0.45:
            hosts.release(*held.pop(rng.randrange(len(held))))
            continue
        demand = rng.choice(mix.demands)
        costs = growths(hosts, demand, mix)
        found = hosts.place(demand)
        if found is None:
            assert not costs
            continue
        least = min(costs.values())
        part = found.chips[0] if demand.chip_milli < WHOLE_MILLI else -1
        assert found.growth == pytest.approx(float(least), abs=1e-5)
        assert float(costs[found.host, part]) == pytest.approx(float(least), abs=1e-5)
        hosts.take(demand, found)
        held.append((demand, found))
        expected = sum(useless(*state(hosts, host), mix) for host in range(len(hosts.cpu_free)))
        assert hosts.fragmentation == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("changes_max", [1000, 5])
def test_what_was_placed_before_is_remembered_no_longer_than_it_is_true(changes_max: int) -> None:
    rng = random.Random(1)
    hosts = hosts_of(*SIZES, changes_max=changes_max)
    held: list[tuple[PartDemand, PartPlacement]] = []
    for _ in range(200):
        demand = rng.choice(MIX.demands)
        found = hosts.place(demand)
        fresh = hosts_of(*SIZES)
        for each in held:
            fresh.take(*each)
        assert fresh.place(demand) == found
        if found is not None and rng.random() < 0.6:
            hosts.take(demand, found)
            held.append((demand, found))
        elif held:
            hosts.release(*held.pop(rng.randrange(len(held))))


def test_a_part_goes_where_a_part_is_gone_already() -> None:
    hosts = hosts_of((8000, 16384, 2), (8000, 16384, 2))
    first = hosts.place(HALF)
    assert first is not None
    hosts.take(HALF, first)
    again = hosts.place(HALF)
    assert again is not None
    assert (again.host, again.chips) == (first.host, first.chips)
    hosts.take(HALF, again)
    assert hosts.chip_free[first.host].tolist().count(0) == 1


def test_nothing_is_taken_twice_nor_given_back_twice() -> None:
    hosts = hosts_of((4000, 8192, 1))
    place = PartPlacement(0, (0,), 0.0)
    hosts.take(ONE, place)
    before = state(hosts, 0)
    for demand in (ONE, HALF):
        assert hosts.place(demand) is None
        with pytest.raises(Internal):
            hosts.take(demand, place)
    assert state(hosts, 0) == before
    hosts.release(ONE, place)
    with pytest.raises(Internal):
        hosts.release(ONE, place)
    assert state(hosts, 0) == (4000, 8192, [1000])


def test_chips_that_a_smaller_host_does_not_have_are_no_chips() -> None:
    hosts = hosts_of((8000, 16384, 1), (8000, 16384, 3))
    for chips in ((0, 1), (0, 0), (0,)):
        with pytest.raises(Internal):
            hosts.take(TWO, PartPlacement(0, chips, 0.0))
    found = hosts.place(TWO)
    assert found is not None
    assert (found.host, found.chips) == (1, (0, 1))


@pytest.mark.parametrize(
    "demand",
    [
        PartDemand(1, 1, 2, 500),
        PartDemand(1, 1, 0, 500),
        PartDemand(1, 1, 1, 0),
        PartDemand(1, 1, 1, 1001),
        PartDemand(-1, 1),
        PartDemand(1, -1),
        PartDemand(1, 1, -1),
    ],
)
def test_what_no_host_could_be_asked_for_is_refused(demand: PartDemand) -> None:
    with pytest.raises(BadRequest):
        hosts_of((8000, 16384, 2)).place(demand)


def test_hosts_without_chips_serve_who_wants_none() -> None:
    hosts = hosts_of((4000, 8192, 0), (4000, 8192, 1))
    found = hosts.place(NONE)
    assert found == PartPlacement(0, (), 0.0)
    hosts.take(NONE, found)
    assert np.isclose(hosts.fragmentation, float(useless(4000, 8192, [1000], MIX)))


def test_of_equal_places_the_fullest_host_is_taken_then_the_lowest() -> None:
    hosts = DividedHosts([64_000] * 3, [65_536] * 3, [4] * 3)
    third = PartPlacement(2, (0,), 0.0)
    hosts.take(ONE, third)
    placed = hosts.place(ONE)
    assert placed == PartPlacement(2, (1,), 0.0, 3000)
    hosts.release(ONE, third)
    placed = hosts.place(ONE)
    assert placed is not None
    assert placed.host == 0


def test_what_usually_comes_is_learned_and_old_demands_fade() -> None:
    # Beside a half chip, a whole one is worth something only to who wants halves.
    learned, told = (DividedHosts([64_000], [65_536], [2], mix) for mix in (None, Mix([TWO], [1])))
    for _ in range(20):
        learned.expect(TWO)
    assert (learned.place(HALF), learned.place(ONE)) == (told.place(HALF), told.place(ONE))
    for _ in range(2 * LEARNED_MAX):
        learned.expect(HALF)
    only_halves = DividedHosts([64_000], [65_536], [2], Mix([HALF], [1]))
    one, other = learned.place(ONE), only_halves.place(ONE)
    assert one is not None
    assert other is not None
    assert one.growth == pytest.approx(other.growth, abs=600)


def test_a_chip_that_does_not_work_is_given_to_nobody_and_its_holder_keeps_it() -> None:
    hosts = DividedHosts([64_000], [65_536], [2])
    held = hosts.place(HALF)
    assert held is not None
    hosts.take(HALF, held)
    hosts.set_works(0, held.chips[0], works=False)
    other = hosts.place(HALF)
    assert other is not None
    assert other.chips != held.chips
    assert hosts.place(TWO) is None
    hosts.release(HALF, held)
    assert hosts.place(TWO) is None
    hosts.set_works(0, held.chips[0], works=True)
    assert hosts.place(TWO) is not None


def test_only_hosts_that_are_allowed_are_used() -> None:
    hosts = DividedHosts([64_000] * 2, [65_536] * 2, [2] * 2)
    placed = hosts.place(ONE, np.array([False, True]))
    assert placed is not None
    assert placed.host == 1
    assert hosts.place(ONE, np.array([False, False])) is None
