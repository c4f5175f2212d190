"""The fleet keeper: makes what is due happen, whoever asks for nothing.

    python -m craton.bootstrap.fleet_keeper SETTINGS

It holds nothing: what is due, and when, is the state process's to say. Killed and started again it
goes on where things stand.
"""

import asyncio
import sys

from craton.bootstrap import child
from craton.bootstrap.settings import Settings, from_argument
from craton.fleet.contract import Advance, Advanced, Due, DueQuery
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import CratonError
from craton.kernel.log import Log
from craton.store.client import StateClient

LOOK_EVERY_S = 0.25
"""A host that isn't heard of any more is found so soon after its time is up."""


class FleetKeeper:
    """Looks whether something is due, and has it done."""

    def __init__(self, state: StateClient, log: Log) -> None:
        self._state = state
        self._log = log

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
    await FleetKeeper(state, log).run(stop)
    await state.close()


def main() -> None:
    """Run as a child of `craton up`."""
    settings = from_argument(sys.argv[1])
    log = Log("fleet-keeper", level=settings.level)
    child.run(lambda stop: serve(settings, stop, clock=SystemClock(), log=log), log)


if __name__ == "__main__":
    main()
