"""The native API of the fleet: who may ask for what, and what the state process is told."""

from typing import Any

import pytest

from craton.access.records import Level, Policy
from craton.fleet.contract import (
    ApplyFleet,
    BuyOffer,
    CalendarQuery,
    CancelReservation,
    ConfirmPayment,
    CreateReservation,
    EndLease,
    FleetQuery,
    Leases,
    LeasesQuery,
    Marked,
    MarkHosts,
    ModifyReservation,
    Offers,
    Owner,
    RequestLease,
    Reservations,
    ReservationsQuery,
    SearchExtensions,
    SearchOffers,
)
from craton.fleet.records import HostState, LeaseKind, Part
from craton.kernel.errors import BadRequest
from tests.fakes.fleet_views import (
    ACCOUNT,
    MIDNIGHT_S,
    OTHERS,
    calendar,
    fleet,
    lease,
    offer,
    pool,
    reservation,
)
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"
DAY_S = 86_400
OPERATORS = Owner(ACCOUNT, "proj-one", "key-operator")
MEMBERS = Owner(ACCOUNT, "proj-one", "key-member")


@pytest.fixture(autouse=True)
def answers(api: Api) -> None:
    """What the state process says of a small fleet."""
    api.state.replies |= {
        "fleet": fleet(),
        "apply_fleet": fleet(),
        "mark_hosts": Marked(4, ["cr-1"], ["lease-1"], []),
        "calendar": lambda query: calendar(pool=query.pool),
        "search_offers": Offers([offer()]),
        "search_extensions": Offers([]),
        "buy_offer": reservation(),
        "buy_extension": reservation(),
        "create_reservation": reservation(),
        "modify_reservation": reservation(),
        "cancel_reservation": reservation(),
        "confirm_payment": reservation(),
        "reservations": Reservations([reservation()]),
        "past_reservation": Reservations([]),
        "request_lease": lease(),
        "end_lease": lease(),
        "leases": Leases([lease()]),
        "ended_lease": Leases([]),
    }


def asked(api: Api) -> Any:
    """The one command that was sent."""
    ((_, body),) = api.state.calls
    return body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/fleet", None),
        ("POST", "/fleet/marks", {"path": "north", "state": "failed"}),
        ("GET", "/fleet/calendar", None),
        ("POST", "/capacity/payments", {"id": "cr-1", "is_paid": True}),
    ],
)
async def test_what_tells_of_the_whole_fleet_or_changes_it_is_for_operators(
    api: Api, method: str, path: str, body: Any
) -> None:
    assert (await api(method, V1 + path, body, key=MEMBER)).status == 403
    assert api.state.calls == []
    assert (await api(method, V1 + path, body)).status == 200


async def test_a_fleet_file_goes_to_the_state_process_as_the_text_it_is(api: Api) -> None:
    text = '[[site]]\nname = "nörd" # whole\n'
    answer = await api("PUT", f"{V1}/fleet", raw=text.encode())
    assert answer.json()["chips"] == 641
    assert asked(api) == ApplyFleet(text)
    assert (await api("PUT", f"{V1}/fleet", raw=b"x", key=MEMBER)).status == 403


async def test_a_fleet_file_that_is_refused_says_the_line(api: Api) -> None:
    api.state.replies["apply_fleet"] = BadRequest("At line 3: nothing is a trn9.")
    status, kind, message = (await api("PUT", f"{V1}/fleet", raw=b"x")).error()
    assert (status, kind, message) == (400, "bad_request", "At line 3: nothing is a trn9.")
    status, _, message = (await api("PUT", f"{V1}/fleet")).error()
    assert status == 400
    assert "a body of application/toml" in message


async def test_a_part_of_the_fleet_is_asked_for_by_its_path(api: Api) -> None:
    await api("GET", f"{V1}/fleet?path=north/a")
    assert asked(api) == FleetQuery("north/a")


async def test_hosts_are_set_aside_and_taken_into_use_again(api: Api) -> None:
    path = "north/a/t5/2"
    told = (await api("POST", f"{V1}/fleet/marks", {"path": path, "state": "draining"})).json()
    assert told["leases_ended"] == ["lease-1"]
    assert asked(api) == MarkHosts(path, HostState.DRAINING)
    api.state.calls.clear()
    await api("POST", f"{V1}/fleet/marks", {"path": path, "state": None, "note": "ok"})
    assert asked(api) == MarkHosts(path, None, "ok")
    assert (await api("POST", f"{V1}/fleet/marks", {"path": path})).status == 400


async def test_the_calendar_is_of_each_pool_for_eight_weeks_unless_said_otherwise(
    api: Api,
) -> None:
    found = (await api("GET", f"{V1}/fleet/calendar")).json()["calendars"]
    assert [each["pool"] for each in found] == ["local/craton.local", "north/u-trn2x64"]
    queries = [body for _, body in api.state.calls if isinstance(body, CalendarQuery)]
    assert {query.end_s - query.start_s for query in queries} == {56 * DAY_S}
    api.state.calls.clear()
    end_s = MIDNIGHT_S + DAY_S
    await api("GET", f"{V1}/fleet/calendar?pool=a/b&start_s={MIDNIGHT_S}&end_s={end_s}")
    assert asked(api) == CalendarQuery("a/b", MIDNIGHT_S, end_s)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("start_s=5", "over"),
        (f"start_s={MIDNIGHT_S}&end_s={MIDNIGHT_S}", "after start_s"),
        (f"start_s={MIDNIGHT_S}&end_s={MIDNIGHT_S + 401 * DAY_S}", "400 days"),
    ],
)
async def test_a_calendar_of_no_time_or_too_much_is_refused(
    api: Api, query: str, word: str
) -> None:
    status, _, message = (await api("GET", f"{V1}/fleet/calendar?{query}")).error()
    assert status == 400
    assert word in message
    assert api.state.calls == []


async def test_what_is_kept_for_another_account_isnt_offered(api: Api) -> None:
    api.state.replies["fleet"] = fleet(
        pools=[pool("a/x"), pool("a/y", exclusive_to=OTHERS), pool("a/z", exclusive_to=ACCOUNT)]
    )

    async def keys(key: str) -> list[str]:
        listed = (await api("GET", f"{V1}/capacity/pools", key=key)).json()["pools"]
        return [each["key"] for each in listed]

    assert await keys(MEMBER) == ["a/x", "a/z"]
    assert await keys(OTHER) == ["a/x", "a/y"]


async def test_offers_are_searched_for_the_caller(api: Api) -> None:
    body = {"ultraserver": "u-trn2x64", "units": 2, "hours": 168, "zone": "north"}
    found = (await api("POST", f"{V1}/capacity/offers", body, key=MEMBER)).json()
    assert found["offers"][0]["is_simulated"]
    assert asked(api) == SearchOffers(
        owner=MEMBERS,
        instance_type=None,
        ultraserver="u-trn2x64",
        units=2,
        hours=168,
        zone="north",
    )
    assert (await api("POST", f"{V1}/capacity/offers", {**body, "units": 0})).status == 400


async def test_an_offer_is_bought_by_whose_key_it_is(api: Api) -> None:
    body = {"offer": "cbo-x", "tags": {"job": "a"}}
    bought = await api("POST", f"{V1}/capacity/reservations/buy", body, key=MEMBER)
    assert bought.status == 201
    assert asked(api) == BuyOffer(owner=MEMBERS, offer="cbo-x", tags={"job": "a"})


async def test_a_block_is_made_longer_by_an_offer_for_it(api: Api) -> None:
    await api("POST", f"{V1}/capacity/extensions", {"id": "cr-1", "hours": 24})
    assert asked(api) == SearchExtensions(OPERATORS, "cr-1", 24)
    api.state.calls.clear()
    body = {"id": "cr-1", "offer": "cbo-y"}
    assert (await api("POST", f"{V1}/capacity/reservations/extend", body)).status == 200
    assert asked(api) == BuyOffer(owner=OPERATORS, offer="cbo-y", extends="cr-1")


async def test_hosts_are_reserved_from_now_on(api: Api) -> None:
    body = {"instance_type": "p5en.48xlarge", "hosts": 2, "client_token": "once"}
    assert (await api("POST", f"{V1}/capacity/reservations", body)).status == 201
    assert asked(api) == CreateReservation(
        owner=OPERATORS,
        instance_type="p5en.48xlarge",
        hosts=2,
        zone=None,
        end_s=None,
        is_targeted=False,
        platform="Linux/UNIX",
        client_token="once",
    )


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"hosts": 3}, {"hosts": 3}),
        ({"end_s": 9}, {"end_s": 9}),
        ({"end_s": None}, {"is_endless": True}),
    ],
)
async def test_only_what_is_said_of_a_reservation_changes(
    api: Api, change: Any, wanted: Any
) -> None:
    body = {"id": "cr-1", **change}
    await api("POST", f"{V1}/capacity/reservations/update", body, key=MEMBER)
    assert asked(api) == ModifyReservation(account=ACCOUNT, id="cr-1", **wanted)


async def test_a_member_gives_back_its_own_and_an_operator_anybodys(api: Api) -> None:
    await api("DELETE", f"{V1}/capacity/reservations/cr-1", key=OTHER)
    assert asked(api) == CancelReservation(OTHERS, "cr-1")
    api.state.calls.clear()
    api.state.replies["reservations"] = Reservations([reservation(account=OTHERS)])
    await api("DELETE", f"{V1}/capacity/reservations/cr-1")
    assert [body for _, body in api.state.calls] == [
        ReservationsQuery(None, "cr-1"),
        CancelReservation(OTHERS, "cr-1"),
    ]
    api.state.replies["reservations"] = Reservations([])
    assert (await api("DELETE", f"{V1}/capacity/reservations/cr-9")).status == 404


async def test_a_reservation_that_is_over_for_long_is_found_by_its_id(api: Api) -> None:
    api.state.replies["reservations"] = Reservations([])
    api.state.replies["past_reservation"] = Reservations([reservation(id="cr-5")])
    found = await api("GET", f"{V1}/capacity/reservations/cr-5")
    assert (found.status, found.json()["id"]) == (200, "cr-5")
    assert [name for name, _ in api.state.calls] == ["reservations", "past_reservation"]


async def test_an_operator_says_whether_a_block_was_paid(api: Api) -> None:
    await api("POST", f"{V1}/capacity/payments", {"id": "cr-1", "is_paid": False})
    assert asked(api) == ConfirmPayment("cr-1", False)


@pytest.mark.parametrize("path", ["/capacity/reservations", "/leases"])
async def test_a_member_is_shown_its_own_and_refused_anothers(api: Api, path: str) -> None:
    await api("GET", V1 + path, key=MEMBER)
    assert asked(api).account == ACCOUNT
    assert (await api("GET", f"{V1}{path}?account={OTHERS}", key=MEMBER)).status == 403
    api.state.calls.clear()
    await api("GET", V1 + path)
    assert asked(api).account is None
    api.state.calls.clear()
    await api("GET", f"{V1}{path}/some-id", key=MEMBER)
    assert asked(api) in (ReservationsQuery(ACCOUNT, "some-id"), LeasesQuery(ACCOUNT, "some-id"))


async def test_reservations_come_in_pages_though_some_are_gone_meanwhile(api: Api) -> None:
    every = [reservation(id=f"cr-{n}", created_ms=1000 + n // 2) for n in range(5)]
    api.state.replies["reservations"] = Reservations(every[::-1])
    path = f"{V1}/capacity/reservations?limit=2"
    first = (await api("GET", path)).json()
    assert [each["id"] for each in first["reservations"]] == ["cr-0", "cr-1"]
    api.state.replies["reservations"] = Reservations(every[2:])
    second = (await api("GET", f"{path}&after={first['next']}")).json()
    assert [each["id"] for each in second["reservations"]] == ["cr-2", "cr-3"]
    last = (await api("GET", f"{path}&after={second['next']}")).json()
    assert ([each["id"] for each in last["reservations"]], last["next"]) == (["cr-4"], None)
    assert (await api("GET", f"{path}&after=nowhere")).status == 400


async def test_chips_are_leased_for_whose_key_it_is(api: Api) -> None:
    body = {"chip": "trainium2", "chips": 64, "seconds": 3600, "wait": True}
    assert (await api("POST", f"{V1}/leases", body, key=MEMBER)).status == 201
    assert asked(api) == RequestLease(
        owner=MEMBERS,
        kind=LeaseKind.ON_DEMAND,
        chip="trainium2",
        chips=64,
        seconds=3600,
        wait=True,
    )


async def test_parts_of_divided_hosts_are_leased(api: Api) -> None:
    body = {"chip": "h200", "chip_milli": 250, "cpu_milli": 4000, "memory_mib": 1024}
    assert (await api("POST", f"{V1}/leases", body, key=MEMBER)).status == 201
    assert asked(api).part == Part(chip_milli=250, cpu_milli=4000, memory_mib=1024)
    for wrong in ({"chip_milli": 0}, {"chip_milli": 1001}, {"cpu_milli": -1}, {"memory_mib": -1}):
        assert (await api("POST", f"{V1}/leases", {"chip": "h200", **wrong})).status == 400


async def test_only_what_is_inside_a_reservation_is_leased_as_paid_for(api: Api) -> None:
    await api("POST", f"{V1}/leases", {"reservation": "cr-1", "hosts": 1})
    assert asked(api).kind is LeaseKind.RESERVED
    for body in (
        {"kind": "reserved", "chip": "trainium2", "chips": 1},
        {"kind": "on-demand", "reservation": "cr-1", "chips": 1},
    ):
        status, _, message = (await api("POST", f"{V1}/leases", body)).error()
        assert status == 400
        assert "reservation" in message
    assert len(api.state.calls) == 1


async def test_only_operators_let_somebody_pass_others_in_the_queue(api: Api) -> None:
    body = {"chip": "trainium2", "chips": 1, "priority": 1}
    assert (await api("POST", f"{V1}/leases", body, key=MEMBER)).status == 403
    assert (await api("POST", f"{V1}/leases", {**body, "priority": -5}, key=MEMBER)).status == 201
    assert (await api("POST", f"{V1}/leases", body)).status == 201


async def test_chips_and_hosts_at_once_are_refused(api: Api) -> None:
    body = {"chip": "trainium2", "chips": 64, "hosts": 4}
    assert (await api("POST", f"{V1}/leases", body)).status == 400
    assert api.state.calls == []


async def test_a_lease_is_given_back_by_its_account_or_by_its_token(api: Api) -> None:
    await api("DELETE", f"{V1}/leases/lease-1?token=7&outcome=done", key=MEMBER)
    assert asked(api) == EndLease("lease-1", 7, ACCOUNT, "done")
    api.state.calls.clear()
    await api("DELETE", f"{V1}/leases/lease-1")
    assert asked(api) == EndLease("lease-1", None, None)


async def test_a_lease_is_told_of_after_its_end_and_one_that_never_was_as_such(api: Api) -> None:
    api.state.replies["leases"] = Leases([])
    api.state.replies["ended_lease"] = Leases([lease(id="lease-8")])
    assert (await api("GET", f"{V1}/leases/lease-8", key=MEMBER)).json()["id"] == "lease-8"
    assert api.state.calls[-1] == ("ended_lease", LeasesQuery(ACCOUNT, "lease-8"))
    api.state.replies["ended_lease"] = Leases([])
    assert (await api("GET", f"{V1}/leases/lease-9")).error()[:2] == (404, "not_found")


@pytest.mark.parametrize(
    ("action", "method", "path", "body"),
    [
        (
            "craton:BuyCapacity",
            "POST",
            "/capacity/reservations/buy",
            {"offer": "x"},
        ),
        (
            "craton:BuyCapacity",
            "POST",
            "/capacity/reservations",
            {"instance_type": "t", "hosts": 1},
        ),
        ("craton:ReleaseCapacity", "DELETE", "/capacity/reservations/cr-1", None),
        ("craton:RequestLease", "POST", "/leases", {"chip": "h200", "chips": 1}),
        ("craton:EndLease", "DELETE", "/leases/lease-1", None),
        (
            "craton:Read",
            "POST",
            "/capacity/offers",
            {"instance_type": "t", "units": 1, "hours": 24},
        ),
    ],
)
async def test_a_policy_can_forbid_each_action(
    api: Api, action: str, method: str, path: str, body: Any
) -> None:
    document = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},'
        f'{{"Effect":"Deny","Action":"{action}","Resource":"*"}}]}}'
    )
    policy = Policy(
        id="pol-1",
        account=ACCOUNT,
        level=Level.KEY,
        target="key-member",
        name="rules",
        document=document,
        created_ms=1,
        updated_ms=1,
    )
    assert (await api(method, V1 + path, body, key=MEMBER)).status < 300
    api.keep("policy", policy)
    api.state.calls.clear()
    status, _, message = (await api(method, V1 + path, body, key=MEMBER)).error()
    assert status == 403
    assert action in message
    assert api.state.calls == []


async def test_the_document_says_that_the_fleet_file_is_toml(api: Api) -> None:
    put = (await api("GET", f"{V1}/openapi.json", key=None)).json()["paths"][f"{V1}/fleet"]["put"]
    assert put["requestBody"]["content"] == {"application/toml": {"schema": {"type": "string"}}}
    page = (await api("GET", f"{V1}/docs", key=None)).body.decode()
    assert "--data-binary @FILE" in page
