"""What is over stays found, and costs nothing: no start reads it, no memory holds it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from craton.fleet.contract import (
    Advance,
    CancelReservation,
    LeasesQuery,
    RequestLease,
    ReservationsQuery,
    ReservationView,
)
from craton.fleet.fleet import TOKENS_AHEAD, Fleet
from craton.fleet.past import AT_ONCE_MAX, KEPT_S, LOOK_EVERY_S
from craton.fleet.records import (
    ENDED_LEASES,
    LEASES,
    Lease,
    LeaseKind,
    LeaseState,
    TypeChoice,
)
from craton.fleet.reservation_contract import CancelFleet, CreateFleet
from craton.kernel.errors import Conflict
from craton.store.database import Connection, Cursor, Dialect, Row
from craton.store.documents import Transaction
from tests.fakes.fleet_sales import (
    DAY_S,
    FLEET,
    HOUR_S,
    P5EN,
    buy,
    end,
    lease,
    now,
    reserve,
)
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

POWERED = FLEET.replace('"simulated"\n', '"simulated"\npower_kw = 400\noversubscribed = true\n', 1)


class Counted:
    """A connection that counts the rows it hands out."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows = 0

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        self._cursor = self._connection.execute(sql, parameters)
        return self

    def executemany(self, *_: object) -> None:
        raise AssertionError("a start writes nothing")

    def fetchall(self) -> list[Row]:
        found = self._cursor.fetchall()
        self.rows += len(found)
        return found

    def fetchone(self) -> Row | None:
        found = self._cursor.fetchone()
        self.rows += found is not None
        return found


def rows_at_start(world: FleetWorld) -> int:
    """How many rows a state process reads that starts over what the world has kept."""
    counted = Counted(world.books.connection)
    Fleet(world.office.fleet.inventory).load(counted, world.now_s)
    return counted.rows


def ended(world: FleetWorld, count: int) -> None:
    """As many leases as one may have ended, without the time that takes."""
    over = msgspec.structs.replace(
        _kept(world, ENDED_LEASES.name)[0], state=LeaseState.ENDED, client_token=None
    )

    def write(transaction: Transaction) -> None:
        for number in range(count):
            each = msgspec.structs.replace(over, id=f"lease-{number}")
            transaction.add(ENDED_LEASES, each.id, each, account=each.account, name=each.id)

    world.group(write)


def _kept(world: FleetWorld, kind: str) -> list[Lease]:
    rows = world.books.rows("SELECT body FROM documents WHERE kind = ?", (kind,))
    return [LEASES.decode(body) for (body,) in rows]  # type: ignore[arg-type]


@pytest.mark.usefixtures("any_database")
def test_a_start_reads_what_goes_on_however_much_is_over() -> None:
    world = FleetWorld(FLEET)
    lease(world, chips=1)
    before = rows_at_start(world)
    for number in range(5):
        end(world, lease(world, chips=1, client_token=f"{number}"))
    ended(world, 1500)
    assert rows_at_start(world) == before
    world.restart()
    assert len(world.office.fleet.leases) == 1


@pytest.mark.usefixtures("any_database")
def test_a_lease_that_is_over_is_found_by_id_and_by_token_and_ends_once() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1, client_token="t")
    done = end(world, held)
    assert [each.id for each in _kept(world, LEASES.name)] == []
    world.restart()
    assert now(world, held) == done
    assert end(world, held) == done
    assert lease(world, chips=1, client_token="t") == done
    _, run = world.office.queries()["ended_lease"]
    assert run(world.books.connection, LeasesQuery("bob", held.id)).leases == []
    assert [each.id for each in _kept(world, ENDED_LEASES.name)] == [held.id]


@pytest.mark.usefixtures("any_database")
def test_a_lease_whose_end_was_not_kept_is_as_it_was() -> None:
    world = FleetWorld(FLEET)
    block = reserve(world, hosts=1)
    wanted = {"kind": LeaseKind.RESERVED, "reservation": block.id, "chips": 1, "client_token": "t"}
    inside = lease(world, **wanted)
    world.failing = True
    with pytest.raises(FailedCommitError):
        end(world, inside)
    world.failing = False
    fleet = world.office.fleet
    assert [each.id for each in fleet.leases_in(block.id)] == [inside.id]
    assert lease(world, **wanted).id == inside.id
    assert end(world, inside).state == "ended"
    assert fleet.leases_in(block.id) == []


def test_who_waits_is_known_whatever_was_taken_back() -> None:
    world = FleetWorld(FLEET)
    fleet = world.office.fleet
    command = RequestLease(
        owner=BOB, kind=LeaseKind.ON_DEMAND, instance_type="p5en.48xlarge", hosts=6, wait=True
    )
    held = lease(world, hosts=6)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.call("request_lease", command)
    assert fleet.waiting() == []
    world.failing = False
    waiting = world.call("request_lease", command)
    assert [each.id for each in fleet.waiting()] == [waiting.id]
    world.restart()
    fleet = world.office.fleet
    assert [each.id for each in fleet.waiting()] == [waiting.id]
    end(world, held)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.advance()
    assert [each.id for each in fleet.waiting()] == [waiting.id]
    world.failing = False
    world.advance()
    assert fleet.waiting() == []
    assert now(world, waiting).state == "active"


def test_a_client_token_that_is_the_id_of_a_lease_is_refused() -> None:
    world = FleetWorld(FLEET)
    held = lease(world, chips=1)
    for _ in range(2):
        with pytest.raises(Conflict, match="is the id of a lease"):
            lease(world, chips=1, client_token=held.id)
        end(world, held)
    assert lease(world, BOB, chips=1, client_token=held.id).state == "active"


@pytest.mark.usefixtures("any_database")
def test_no_fencing_token_is_given_out_twice_whatever_was_kept() -> None:
    world = FleetWorld(FLEET)
    given: list[int] = []
    for _ in range(3):
        world.failing = True
        with pytest.raises(FailedCommitError):
            lease(world, chips=1)
        world.failing = False
        for _ in range(2):
            held = lease(world, chips=1)
            given.append(held.token)
            end(world, held)
        world.restart()
    assert sorted(set(given)) == given
    assert given[1] == given[0] + 1


def test_fencing_tokens_go_on_where_those_written_ahead_are_used_up() -> None:
    world = FleetWorld(FLEET)
    given = lease(world, chips=1).token
    world.office.fleet.token += TOKENS_AHEAD  # as if so many had been given out meanwhile
    last = lease(world, chips=1)
    end(world, last)
    world.restart()
    assert lease(world, chips=1).token > last.token == given + TOKENS_AHEAD + 1


def test_a_year_of_blocks_and_leases_leaves_few_steps_in_the_calendars() -> None:
    world = FleetWorld(POWERED)
    fleet = world.office.fleet
    steps: list[int] = []
    for number in range(122):
        buy(world, ALICE if number % 2 else BOB, days=number % 3 + 1)
        held = lease(world, chips=1, seconds=(number % 5 + 1) * HOUR_S)
        world.advance(7 * HOUR_S + number * 60)
        end(world, held)
        calendars = [*(book.calendar for book in fleet.books.values()), *fleet.watts.values()]
        assert len(calendars) == 4
        steps.append(max(calendar.steps for calendar in calendars))
        world.advance(65 * HOUR_S)
    # What is over has no steps: as few at the end of the year as in its first weeks.
    assert max(steps[10:]) <= max(steps[:10])


def test_the_calendars_are_as_they_were_where_forgetting_was_not_kept() -> None:
    world = FleetWorld(POWERED)
    fleet = world.office.fleet
    block = buy(world)
    book = fleet.books[block.pool]
    before = book.calendar.skyline(0, block.end_s + 1)
    world.clock.advance(seconds=block.end_s + 60 - world.now_s)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.advance()
    after = book.calendar.skyline(0, block.end_s + 1)
    assert [each.tolist() for each in after] == [each.tolist() for each in before]
    world.failing = False
    world.advance()
    assert book.calendar.steps == 1


def past(world: FleetWorld, id: str, account: str | None = None) -> list[ReservationView]:
    """What a reservation's id finds among those that are over for long."""
    _, run = world.office.queries()["past_reservation"]
    found: list[ReservationView] = run(
        world.books.connection, ReservationsQuery(account, id)
    ).reservations
    return found


def cancel(world: FleetWorld, held: ReservationView) -> ReservationView:
    done: ReservationView = world.call(
        "cancel_reservation", CancelReservation(held.account, held.id)
    )
    return done


@pytest.mark.usefixtures("any_database")
def test_a_reservation_leaves_memory_a_month_after_its_end_and_its_id_still_finds_it() -> None:
    world = FleetWorld(FLEET)
    block, goes_on = buy(world), reserve(world, token="goes on")
    until_s = world.now_s + 2 * KEPT_S
    given_up = reserve(world, end_s=until_s, token="t")
    before = rows_at_start(world)
    world.advance(DAY_S)
    given_up = cancel(world, given_up)
    world.advance(KEPT_S - 60)
    fleet = world.office.fleet
    assert fleet.reservations.keys() >= {given_up.id, goes_on.id}
    assert reserve(world, end_s=until_s, token="t") == now(world, given_up)
    world.advance(LOOK_EVERY_S)
    assert given_up.id not in fleet.reservations
    assert past(world, given_up.id) == past(world, given_up.id, "alice") == [given_up]
    assert past(world, given_up.id, "bob") == past(world, goes_on.id) == []
    world.advance(2 * DAY_S)
    assert fleet.reservations.keys() == {goes_on.id}
    (over,) = past(world, block.id)
    assert (over.state, over.end_s) == ("expired", block.end_s)
    assert over.amount_nanos == block.amount_nanos > 0
    assert rows_at_start(world) == before - 2
    world.restart()
    assert world.office.fleet.reservations.keys() == {goes_on.id}
    assert past(world, given_up.id) == [given_up]


@pytest.mark.usefixtures("any_database")
def test_a_client_token_makes_another_reservation_once_the_first_is_over_for_long() -> None:
    world = FleetWorld(FLEET)
    made: list[str] = []
    for _ in range(3):
        held = reserve(world, token="t")
        assert reserve(world, token="t").id == held.id
        cancel(world, held)
        assert reserve(world, token="t").id == held.id
        made.append(held.id)
        world.advance(KEPT_S)
        world.advance(LOOK_EVERY_S)
        assert not world.office.fleet.by_token
    assert len(set(made)) == 3
    assert [past(world, id)[0].id for id in made] == made


def test_a_reservation_whose_leaving_was_not_kept_stays() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world, token="t")
    cancel(world, held)
    world.clock.advance(seconds=KEPT_S)
    world.failing = True
    with pytest.raises(FailedCommitError):
        world.advance()
    assert reserve_again(world).id == held.id
    world.failing = False
    world.advance()
    assert held.id not in world.office.fleet.reservations


def reserve_again(world: FleetWorld) -> ReservationView:
    """The same command as before, of which nothing is written: it is known."""
    world.failing = False
    return reserve(world, token="t")


def test_what_a_fleet_of_reservations_has_stays_with_it() -> None:
    world = FleetWorld(FLEET)
    choice = TypeChoice(instance_type=P5EN, platform="Linux/UNIX")
    made = world.call(
        "create_reservation_fleet", CreateFleet(owner=ALICE, choices=[choice], target=1)
    )
    world.call("cancel_reservation_fleet", CancelFleet("alice", made.id))
    world.advance(2 * KEPT_S)
    assert made.members[0].reservation in world.office.fleet.reservations


def test_more_than_leave_at_once_leave_one_look_after_the_other() -> None:
    world = FleetWorld(FLEET)
    held = reserve(world)
    cancel(world, held)
    over = world.office.fleet.reservations[held.id]

    def write(transaction: Transaction) -> None:
        for number in range(AT_ONCE_MAX + 5):
            each = msgspec.structs.replace(over, id=f"cr-{number}")
            world.office.fleet.add(transaction, each)

    world.group(write)
    world.clock.advance(seconds=KEPT_S)
    left: list[int] = []
    for _ in range(3):
        world.call("advance", Advance())
        left.append(len(world.office.fleet.reservations))
    assert left == [6, 0, 0]
