"""Runs over the native API: who may have what ordered, and what is told of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.access.records import AccountId, Level, Policy
from craton.fleet.contract import Leases, LeaseView, Owner, RequestLease
from craton.fleet.records import EndReason, LeaseState
from craton.fleet.run_folder import RunFolder
from craton.fleet.run_log import LogWriter
from craton.fleet.run_records import Claim, Ended, Held, Order, Result, Started, StopAsked
from craton.kernel.clock import ManualClock
from craton.kernel.errors import Conflict, Unavailable
from craton.kernel.ids import Ids
from tests.fakes.leases import lease
from tests.unit.apis.native.native_api import MEMBER, OTHER, Api

V1 = "/craton/v1"
ONE = "111111111111"
ORDER = Order(
    command=("python", "train.py"),
    folder="/work",
    environment={"SECRET": "hush"},
    lease={"pool": "local/craton.local", "hosts": 1, "wait": True, "kind": None},
    ranks_per_host=2,
)


class Placed:
    """The API with a folder of runs."""

    def __init__(self, root: Path) -> None:
        self.folder = RunFolder(root)
        self.api = Api(self.folder)
        self.replies = self.api.state.replies
        self.replies["request_lease"] = lease()
        self.replies["leases"] = Leases([lease()])
        self.replies["ended_lease"] = Leases([])
        self.id = self.order()

    def order(self, **changes: Any) -> str:
        return self.folder.order(Ids(ManualClock()), msgspec.structs.replace(ORDER, **changes))

    def claimed(self, account: str = ONE) -> None:
        self.folder.write(self.id, Claim(Owner(account, "proj-one", "key-operator"), 5))
        self.folder.write(self.id, Held("lease-1", 7))

    async def start(self, key: str | None = None) -> Any:
        body = {"id": self.id}
        if key is None:
            return await self.api("POST", f"{V1}/runs", body)
        return await self.api("POST", f"{V1}/runs", body, key=key)

    async def view(self) -> Any:
        return (await self.api("GET", f"{V1}/runs/{self.id}")).json()

    def asked(self) -> RequestLease:
        (command,) = [body for name, body in self.api.state.calls if name == "request_lease"]
        return command


@pytest.fixture
async def placed(tmp_path: Path) -> Placed:
    return Placed(tmp_path / "runs")


async def test_an_order_is_taken_once_for_who_asks_and_its_lease_names_the_run(
    placed: Placed,
) -> None:
    answer = await placed.start()
    assert answer.status == 201
    assert answer.json()["state"] == "starting"
    assert b"hush" not in answer.body
    asked = placed.asked()
    assert asked.owner == Owner(ONE, "proj-one", "key-operator")
    assert asked.client_token == placed.id
    assert asked.purpose == f"{placed.id} python train.py"
    assert placed.folder.get(placed.id, Held) == Held("lease-1", 7)
    assert placed.folder.get(placed.id, Claim).owner == asked.owner
    assert (await placed.start()).status == 201
    placed.asked()


async def test_what_is_refused_is_forgotten_and_what_may_have_been_granted_is_not(
    placed: Placed,
) -> None:
    placed.replies["request_lease"] = Unavailable("It restarted.")
    assert (await placed.start()).status == 503
    assert placed.folder.get(placed.id, Claim)
    placed.id = placed.order()
    placed.replies["request_lease"] = Conflict("There is no room now.")
    assert (await placed.start()).error()[:2] == (409, "conflict")
    assert placed.id not in placed.folder.ids()


async def test_an_order_for_no_lease_there_is_says_what_is_wrong(placed: Placed) -> None:
    placed.id = placed.order(lease={"hosts": 0})
    status, _, message = (await placed.start()).error()
    assert status == 400
    assert "hosts" in message
    placed.id = placed.order(lease={"priority": 5, "hosts": 1, "colour": "blue"})
    assert "colour" in (await placed.start()).error()[2]


def allow(account: str, action: str) -> Policy:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return Policy(
        id="policy-1",
        account=AccountId(account),
        level=Level.ACCOUNT,
        target=account,
        name="runs",
        document=document,
        created_ms=1,
        updated_ms=1,
    )


@pytest.mark.parametrize("key", [MEMBER, OTHER])
async def test_who_is_no_operator_runs_nothing_unless_a_policy_lets_them(
    placed: Placed, key: str
) -> None:
    status, type, message = (await placed.start(key)).error()
    assert (status, type) == (403, "access_denied")
    assert "craton:RunWorkload" in message
    assert placed.api.state.calls == []
    account = ONE if key == MEMBER else "222222222222"
    placed.api.keep("policy", allow(account, "craton:RequestLease"))
    assert (await placed.start(key)).status == 403
    placed.api.keep("policy", allow(account, "craton:RunWorkload"))
    assert (await placed.start(key)).status == 201


async def test_a_run_of_another_account_is_nowhere(placed: Placed) -> None:
    placed.claimed()
    placed.replies["leases"] = lambda query: Leases([])
    path = f"{V1}/runs/{placed.id}"
    for method, where in (("GET", path), ("GET", path + "/log"), ("DELETE", path)):
        assert (await placed.api(method, where, key=OTHER)).status == 404
    assert (await placed.api("GET", f"{V1}/runs", key=OTHER)).json() == {"runs": [], "next": None}
    assert placed.folder.find(placed.id, StopAsked) is None


ACTIVE = lease(until_s=99)
WAITING = lease(state=LeaseState.WAITING, queue_position=3, hosts=[], chips=0)
SIMULATED = lease(is_simulated=True, driver="simulated")


@pytest.mark.parametrize(
    ("found", "write", "state"),
    [
        (WAITING, lambda _: None, "waiting"),
        (ACTIVE, lambda _: None, "starting"),
        (ACTIVE, lambda placed: placed.folder.write(placed.id, Started(1, 6)), "running"),
        (SIMULATED, lambda placed: placed.folder.write(placed.id, Started(0, 6)), "simulated"),
    ],
)
async def test_where_a_run_stands(
    placed: Placed, found: LeaseView, write: Callable[[Placed], None], state: str
) -> None:
    placed.claimed()
    write(placed)
    placed.replies["leases"] = Leases([found])
    view = await placed.view()
    assert view["state"] == state
    assert view["queue_position"] == found.queue_position
    assert view["ends_s"] == found.until_s
    assert (view["status"], view["ended_ms"]) == (None, None)


async def test_how_a_run_ended_and_what_it_cost(placed: Placed) -> None:
    placed.claimed()
    placed.folder.write(placed.id, Started(1, 6))
    placed.folder.write(placed.id, Result(4, "exited with status 4", 7))
    over = lease(state=LeaseState.ENDED, spent_nanos=1234, reason=EndReason.RELEASED, ends_s=9)
    ended = Ended(at_ms=8, status=4, outcome="exited with status 4", reason=over.reason, lease=over)  # type: ignore[arg-type]
    placed.folder.write(placed.id, ended)
    view = await placed.view()
    assert (view["state"], view["status"], view["spent_nanos"]) == ("ended", 4, 1234)
    assert (view["outcome"], view["started_ms"], view["ended_ms"]) == (ended.outcome, 6, 8)


async def test_runs_are_listed_in_pages(placed: Placed) -> None:
    clock = ManualClock()
    ids = [placed.id]
    placed.claimed()
    for _ in range(4):
        clock.advance(seconds=1)
        placed.id = placed.folder.order(Ids(clock), ORDER)
        placed.claimed()
        ids.append(placed.id)
    clock.advance(seconds=1)
    placed.folder.order(Ids(clock), ORDER)  # not taken: nobody's yet
    seen: list[str] = []
    after = ""
    while True:
        page = (await placed.api("GET", f"{V1}/runs?limit=2{after}")).json()
        seen += [run["id"] for run in page["runs"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == ids


async def test_a_log_is_read_on_from_a_position_until_the_run_is_over(placed: Placed) -> None:
    placed.claimed()
    path = f"{V1}/runs/{placed.id}/log"
    assert (await placed.api("GET", path)).json() == {
        "text": "",
        "start": 0,
        "next": 0,
        "is_over": False,
    }
    LogWriter(placed.folder.path(placed.id)).write(b"hello\n")
    part = (await placed.api("GET", path)).json()
    assert (part["text"], part["next"], part["is_over"]) == ("hello\n", 6, False)
    over = lease(state=LeaseState.ENDED)
    ended = Ended(at_ms=8, status=0, outcome="", reason=EndReason.RELEASED, lease=over)
    placed.folder.write(placed.id, ended)
    assert not (await placed.api("GET", path)).json()["is_over"]
    assert (await placed.api("GET", path + "?start=6")).json()["is_over"]


async def test_a_stop_is_written_down_and_what_ended_stays_as_it_is(placed: Placed) -> None:
    placed.claimed()
    path = f"{V1}/runs/{placed.id}"
    assert (await placed.api("DELETE", path + "?grace_s=3")).status == 200
    assert placed.folder.get(placed.id, StopAsked) == StopAsked(3)
    (placed.folder.path(placed.id) / "stop.json").unlink()
    over = lease(state=LeaseState.ENDED)
    ended = Ended(at_ms=8, status=0, outcome="", reason=EndReason.RELEASED, lease=over)
    placed.folder.write(placed.id, ended)
    assert (await placed.api("DELETE", path)).status == 200
    assert placed.folder.find(placed.id, StopAsked) is None
