"""Who was heard of lately: hosts, and whoever runs a lease. Memory only.

Lost is who was heard of and isn't any more; who was never heard of isn't watched, such as hosts
that are simulated. After a restart of the state process everybody counts as heard of when they
speak again.
"""

from craton.fleet.contract import Alive, AliveAnswer
from craton.fleet.fleet import Fleet
from craton.fleet.records import EndReason, LeaseState
from craton.kernel.clock import Clock

HOST_LOST_S = 2.0
HOLDER_LOST_S = 10.0


class Watch:
    """Signs of life and their absence."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._hosts: dict[str, int] = {}
        self._leases: dict[str, int] = {}

    def hear(self, alive: Alive) -> AliveAnswer:
        """Note signs of life; say which leases their holders don't hold any more."""
        now_ns = self._clock.monotonic_ns()
        for host in alive.hosts:
            self._hosts[host] = now_ns
        fenced: list[str] = []
        ending: dict[str, int] = {}
        reasons: dict[str, EndReason] = {}
        for id, token in alive.leases.items():
            lease = self._fleet.leases.get(id)
            if lease is None or lease.token != token or lease.state is LeaseState.WAITING:
                fenced.append(id)
                self._leases.pop(id, None)
                continue
            self._leases[id] = now_ns
            if lease.state is LeaseState.ENDING and lease.ends_s is not None:
                ending[id] = lease.ends_s
                reasons[id] = lease.reason or EndReason.PREEMPTED
        return AliveAnswer(fenced, ending, reasons)

    def lost_hosts(self) -> list[str]:
        """Hosts not heard of any more."""
        return self._lost(self._hosts, HOST_LOST_S)

    def lost_leases(self) -> list[str]:
        """Leases whose holder isn't heard of any more."""
        return self._lost(self._leases, HOLDER_LOST_S)

    def forget(self, name: str) -> None:
        """Watch a host or lease no longer, until it is heard of again."""
        self._hosts.pop(name, None)
        self._leases.pop(name, None)

    def _lost(self, heard: dict[str, int], after_s: float) -> list[str]:
        before_ns = self._clock.monotonic_ns() - int(after_s * 1e9)
        return [name for name, at_ns in heard.items() if at_ns < before_ns]
