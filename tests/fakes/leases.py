"""The state process's word on leases, without one: for what keeps runs and engines."""

from typing import Any

from craton.fleet.contract import (
    Alive,
    AliveAnswer,
    EndLease,
    FleetView,
    Leases,
    LeasesQuery,
    LeaseView,
    RequestLease,
)
from craton.fleet.records import EndReason, LeaseKind, LeaseState
from craton.fleet.run_records import HERE
from craton.kernel.errors import CratonError
from tests.fakes.fleet_views import local_pool


def lease(id: str = "lease-1", **changes: Any) -> LeaseView:
    """An active lease of this machine."""
    plain: dict[str, Any] = {
        "kind": LeaseKind.ON_DEMAND,
        "account": "111111111111",
        "pool": HERE,
        "instance_type": "craton.local",
        "chip": "cpu",
        "driver": "local",
        "is_simulated": False,
        "state": LeaseState.ACTIVE,
        "token": 7,
        "chips": 1,
        "hosts": ["local/here/machine/1"],
        "masks": [1],
        "priority": 0,
        "purpose": "",
        "reservation": None,
        "created_ms": 1,
        "started_s": 1,
        "until_s": None,
        "ends_s": None,
        "reason": None,
        "spent_nanos": 5,
        "currency": "USD",
        "outcome": "",
    }
    return LeaseView(id=id, **{**plain, **changes})


class FakeLeases:
    """Keeps leases, and remembers what was asked."""

    def __init__(self, *leases: LeaseView) -> None:
        self.leases = {each.id: each for each in leases}
        self.by_token: dict[str, str] = {}
        self.asked: list[RequestLease] = []
        self.ended: list[EndLease] = []
        self.beats: list[Alive] = []
        self.chip = "cpu"
        self.grants = LeaseState.ACTIVE
        self.error: CratonError | None = None

    def put(self, id: str, **changes: Any) -> None:
        """Change a lease."""
        old = self.leases[id]
        fields = {name: getattr(old, name) for name in old.__struct_fields__ if name != "id"}
        self.leases[id] = LeaseView(id=id, **{**fields, **changes})

    async def call(self, name: str, body: Any, reads: Any, **_: Any) -> Any:
        """As `StateClient.call`."""
        if self.error is not None:
            raise self.error
        return getattr(self, "_" + name)(body)

    def _leases(self, query: LeasesQuery) -> Leases:
        return Leases([each for each in self._found(query) if each.state is not LeaseState.ENDED])

    def _ended_lease(self, query: LeasesQuery) -> Leases:
        return Leases(self._found(query))

    def _found(self, query: LeasesQuery) -> list[LeaseView]:
        return [
            each
            for each in self.leases.values()
            if query.id in (None, each.id) and query.account in (None, each.account)
        ]

    def _alive(self, alive: Alive) -> AliveAnswer:
        self.beats.append(alive)
        fenced: list[str] = []
        ending: dict[str, int] = {}
        for id, token in alive.leases.items():
            held = self.leases.get(id)
            if held is None or held.token != token or held.state is LeaseState.ENDED:
                fenced.append(id)
            elif held.ends_s is not None:
                ending[id] = held.ends_s
        return AliveAnswer(fenced, ending)

    def _end_lease(self, command: EndLease) -> LeaseView:
        self.ended.append(command)
        if self.leases[command.id].state is not LeaseState.ENDED:
            reason = command.reason or EndReason.RELEASED
            self.put(command.id, state=LeaseState.ENDED, reason=reason, outcome=command.outcome)
        return self.leases[command.id]

    def _request_lease(self, command: RequestLease) -> LeaseView:
        self.asked.append(command)
        assert command.client_token is not None, "asked for so that it can be asked again"
        id = self.by_token.setdefault(command.client_token, f"lease-{len(self.by_token) + 1}")
        if id not in self.leases:
            purpose = command.purpose
            self.leases[id] = lease(id, state=self.grants, kind=command.kind, purpose=purpose)
        return self.leases[id]

    def _fleet(self, _: Any) -> FleetView:
        pool = local_pool(self.chip)
        return FleetView(sites=[], pools=[pool], rows=[], marks=[], chips=1, applied_ms=0)
