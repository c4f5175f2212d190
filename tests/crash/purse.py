"""A budget under kill -9: always nearly empty, filled again and again, never overdrawn.

The trial's clients race for it while processes die. Whenever it is used up, a little is added; so
at every moment of the trial, holds that are lost, counted twice or not waited for would overdraw
it or block it.
"""

import asyncio
from typing import Any

import msgspec

from craton.cli.connection import Connection
from craton.economics.contract import BudgetStatus, Summary
from craton.kernel.errors import CratonError

Json = dict[str, Any]

ROUND_NANOS = 200_000
"""What is added when nothing fits any more: a few dozen of the trial's requests."""
FIT_NANOS = 40_000
"""More than any of the trial's requests is held at."""
POLL_S = 0.05
ANSWER_S = 0.3
STUCK_S = 60


class Purse:
    """The budget of one trial."""

    def __init__(self, url: str, key: str) -> None:
        self._key = key
        self._connection = Connection(url, key)
        self._impatient = Connection(url, key, timeout_s=ANSWER_S)
        self._budget: BudgetStatus | None = None
        self.amount = ROUND_NANOS
        self.rounds = 0
        self.posted = 0
        self.overdrawn = 0
        self.faults: list[str] = []

    async def open(self) -> None:
        """Make the budget, on the account of the trial's clients."""
        body = {"name": "trial", "amount_nanos": self.amount, "period": "total"}
        self._budget = await asyncio.to_thread(
            self._connection.post, "/budgets", BudgetStatus, body
        )

    async def keep_filling(self, stop: asyncio.Event) -> None:
        """Fill it whenever it is used up; note when it is overdrawn, or stuck with room left."""
        loop = asyncio.get_running_loop()
        changed_s, last = loop.time(), -1
        while not stop.is_set():
            await asyncio.sleep(POLL_S)
            status = await self._status()
            if status is None:
                continue
            self.overdrawn = max(self.overdrawn, status.over_nanos)
            if status.over_nanos:
                self.faults.append(f"the budget is overdrawn by {status.over_nanos} nanos")
            if status.spent_nanos != last:
                changed_s, last = loop.time(), status.spent_nanos
            elif loop.time() - changed_s > STUCK_S:
                self.faults.append(f"nothing was spent for {STUCK_S} s: {status}")
                return
            if self.amount - status.spent_nanos < FIT_NANOS:
                self.amount += ROUND_NANOS
                self.rounds += 1
            if status.amount_nanos < self.amount:
                await self._fill()

    async def check(self, url: str) -> None:
        """After a clean restart: the ledger must have posted no more than was ever allowed."""
        self._connection = Connection(url, self._key)
        status = await self._status()
        summary = await asyncio.to_thread(self._connection.get, "/usage/summary", Summary)
        posted = self.posted = sum(line.amount_nanos for line in summary.lines)
        self.overdrawn = max(self.overdrawn, posted - self.amount)
        if status is None or status.spent_nanos != posted:
            self.faults.append(f"the ledger has posted {posted}, the budget says {status}")
        if posted > self.amount:
            self.faults.append(f"{posted} nanos were posted of {self.amount}")
        if self.rounds == 0:
            self.faults.append("the budget was never used up, so nothing was tested")
        if status is not None and status.held_nanos:
            self.faults.append(f"{status.held_nanos} nanos are held though nothing runs")

    async def _fill(self) -> None:
        assert self._budget is not None
        body = {"id": self._budget.id, "amount_nanos": self.amount}
        try:
            await asyncio.to_thread(self._impatient.post, "/budgets/update", BudgetStatus, body)
        except (CratonError, msgspec.MsgspecError):
            pass  # killed while it was asked; or done, and each worker that dies delays the answer

    async def _status(self) -> BudgetStatus | None:
        assert self._budget is not None
        path = f"/budgets/{self._budget.id}"
        try:
            return await asyncio.to_thread(self._connection.get, path, BudgetStatus)
        except (CratonError, msgspec.MsgspecError):
            return None  # killed while it was asked
