"""python -m benchmarks.fleet.node_loss: how long a dead host holds what ran on it.

Starts a Craton with a fleet of simulated hosts and an agent for each, all in this process, that
gives a sign of life every half second over the state process's own socket. A reservation has 40 %
of the hosts, with gangs of four inside; gangs of two on demand have 20 %. Then agents fall silent,
a few hosts at a time. For each dead host: from its agent's death until no lease has it any more and
the reservation has another host in its place.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from craton.access.credentials import read_credentials
from craton.bootstrap.settings import Settings
from craton.bootstrap.up import running
from craton.fleet.contract import (
    Alive,
    AliveAnswer,
    CreateReservation,
    Leases,
    LeasesQuery,
    LeaseView,
    Owner,
    RequestLease,
    Reservations,
    ReservationsQuery,
    ReservationView,
)
from craton.fleet.records import LeaseKind
from craton.kernel.clock import SystemClock
from craton.kernel.log import Level, Log
from craton.store.client import StateClient

BEAT_S = 0.5
LOOK_S = 0.02
GIVE_UP_S = 30
TYPE = "p5en.48xlarge"
FLEET = """
[[site]]
name = "north"
driver = "simulated"

[[site.row]]
name = "a"
count = 5

[[site.row.rack]]
name = "r"
count = 10
type = "p5en.48xlarge"
hosts = {hosts}
spares = 2
"""


@dataclass
class Agents:
    """One for each host: says every half second that it lives, until it doesn't."""

    state: StateClient
    alive: set[str]
    behind_s: float = 0.0
    """The longest that a beat of the living came late by."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, dice: random.Random) -> None:
        for host in sorted(self.alive):
            task = asyncio.get_running_loop().create_task(self._beat(host, dice.random() * BEAT_S))
            self._tasks.append(task)

    async def _beat(self, host: str, after_s: float) -> None:
        due_s = time.monotonic() + after_s
        while True:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if host not in self.alive:
                return
            self.behind_s = max(self.behind_s, time.monotonic() - due_s)
            await self.state.call("alive", Alive([host], {}), AliveAnswer)
            due_s += BEAT_S

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


class Trial:
    """A fleet with work on it, whose hosts die."""

    def __init__(self, state: StateClient, owner: Owner) -> None:
        self._state = state
        self._owner = owner
        self.reservation = ""
        self.leases: dict[str, set[str]] = {}

    async def fill(self, hosts: int) -> None:
        wanted = CreateReservation(
            owner=self._owner,
            instance_type=TYPE,
            hosts=hosts * 2 // 5,
            zone="north",
            end_s=None,
            is_targeted=True,
            platform="Linux/UNIX",
        )
        made = await self._state.call("create_reservation", wanted, ReservationView)
        self.reservation = made.id
        for _ in range(made.total_hosts // 8):
            await self._lease(4, made.id)
        for _ in range(hosts // 10):
            await self._lease(2, None)

    async def _lease(self, hosts: int, reservation: str | None) -> None:
        kind = LeaseKind.RESERVED if reservation else LeaseKind.ON_DEMAND
        asked = RequestLease(
            owner=self._owner,
            kind=kind,
            instance_type=TYPE,
            zone="north",
            hosts=hosts,
            reservation=reservation,
        )
        lease = await self._state.call("request_lease", asked, LeaseView)
        self.leases[lease.id] = set(lease.hosts)

    async def held(self) -> set[str]:
        """The hosts that the reservation has now."""
        found = await self._state.call(
            "reservations", ReservationsQuery(id=self.reservation), Reservations
        )
        return set(found.reservations[0].hosts)

    async def is_clear(self, host: str) -> bool:
        """Whether nothing is bound to a host any more."""
        for id in [id for id, hosts in self.leases.items() if host in hosts]:
            query = LeasesQuery(id=id)
            if (await self._state.call("leases", query, Leases)).leases:
                return False
            del self.leases[id]
        return host not in await self.held()

    async def taken(self) -> list[str]:
        """The hosts that something is bound to."""
        return sorted((await self.held()).union(*self.leases.values()))


async def kill(trial: Trial, agents: Agents, hosts: list[str]) -> list[float]:
    """Let agents fall silent; seconds until each host was clear."""
    agents.alive.difference_update(hosts)
    begun = time.monotonic()
    took: list[float] = []
    left = list(hosts)
    while left and time.monotonic() - begun < GIVE_UP_S:
        for host in list(left):
            if await trial.is_clear(host):
                left.remove(host)
                took.append(time.monotonic() - begun)
        await asyncio.sleep(LOOK_S)
    assert not left, f"{left} were not let go of within {GIVE_UP_S} s"
    return took


async def measure(arguments: argparse.Namespace, data: Path) -> int:
    dice = random.Random(arguments.seed)
    fleet = data / "fleet.toml"
    fleet.write_text(FLEET.format(hosts=arguments.agents // 50), encoding="utf-8")
    clock, log = SystemClock(), Log("bench", level=Level.ERROR)
    settings = Settings(data=data / "data", engine="echo", port=0, fleet=fleet, level=Level.WARNING)
    async with running(settings, clock=clock, log=log) as up:
        state = StateClient(
            up.settings.state_socket, process="agents", leased=False, clock=clock, log=log
        )
        await state.open()
        key = read_credentials(up.settings.credentials).keys["default"]
        trial = Trial(state, Owner(key.account, "", "bench"))
        names = {
            f"north/a{row}/r{rack}/{number}"
            for row in range(1, 6)
            for rack in range(1, 11)
            for number in range(1, arguments.agents // 50 + 1)
        }
        await trial.fill(len(names))
        agents = Agents(state, set(names))
        agents.start(dice)
        await asyncio.sleep(2 * BEAT_S)
        took: list[float] = []
        for _ in range(arguments.rounds):
            await asyncio.sleep(dice.random() * BEAT_S)
            victims = dice.sample(await trial.taken(), arguments.at_once)
            took += await kill(trial, agents, victims)
        agents.stop()
        marks = len(names) - len(agents.alive)
        await state.close()
    print(f"{len(names)} agents, a sign of life every {BEAT_S} s, seed {arguments.seed}")
    print(f"beats of the living came late by {agents.behind_s * 1000:.0f} ms at most")
    print(f"{marks} hosts died in {arguments.rounds} rounds, {arguments.at_once} at once")
    print(f"clear after: p50 {statistics.median(took):.2f} s, max {max(took):.2f} s")
    return 0 if max(took) <= arguments.limit else 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill simulated hosts; see when it is noticed.")
    parser.add_argument("--agents", type=int, default=1000, help="hosts, a multiple of 50")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=3.0, help="seconds; slower exits with 1")
    with tempfile.TemporaryDirectory(prefix="craton-node-loss-") as folder:
        return asyncio.run(measure(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
