"""The fleet keeper: makes what is due happen, whoever asks for nothing.

    python -m craton.bootstrap.fleet_keeper SETTINGS

It holds nothing: what is due, and when, is the state process's to say; what runs lies in the data
folder. Killed and started again it goes on where things stand.
"""

import asyncio
import sys

from craton.bootstrap import child
from craton.bootstrap.drivers import open_drivers
from craton.bootstrap.run_keeper import RunKeeper
from craton.bootstrap.settings import Settings, from_argument
from craton.fleet.contract import Advance, Advanced, Due, DueQuery
from craton.fleet.run_folder import RUNS_FOLDER, RunFolder
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError
from craton.kernel.log import Log
from craton.store.client import StateClient

LOOK_EVERY_S = 0.25
"""A host that isn't heard of any more is found so soon after its time is up."""


class FleetKeeper:
    """Looks whether something is due, and has it done; sees to runs after that."""

    def __init__(self, state: StateClient, log: Log, runs: RunKeeper) -> None:
        self._state = state
        self._log = log
        self._runs = runs

    async def look(self) -> Advanced | None:
        """Have done what is due; None if nothing is."""
        due = await self._state.call("fleet_due", DueQuery(), Due)
        if not due.is_due:
            return None
        done = await self._state.call("advance", Advance(), Advanced)
        for event in done.events:
            self._log.info("fleet", what=event)
        return done

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until told to stop; what can't be done now is tried again."""
        while not stop.is_set():
            try:
                await self.look()
                await self._runs.look()
            except CratonError as error:
                self._log.warning("fleet_look_failed", error=error.message)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue


async def serve(settings: Settings, stop: asyncio.Event, *, clock: Clock, log: Log) -> None:
    """Connect to the state process, and look until told to stop."""
    state = StateClient(
        settings.state_socket, process="fleet-keeper", leased=False, clock=clock, log=log
    )
    await state.open()
    child.settle()
    folder = RunFolder(settings.data / RUNS_FOLDER)
    drivers = open_drivers(folder, clock, settings.log)
    await FleetKeeper(state, log, RunKeeper(folder, drivers, state, clock, log)).run(stop)
    await state.close()


def main() -> None:
    """Run as a child of `craton up`."""
    settings = from_argument(sys.argv[1])
    log = Log("fleet-keeper", level=settings.level)
    child.run(lambda stop: serve(settings, stop, clock=SystemClock(), log=log), log)


if __name__ == "__main__":
    main()
